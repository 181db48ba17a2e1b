//! Bulk requests (RFC 7644 §3.7).

use headcount_http_api::HttpSettings;
use headcount_token_admin::Scopes;
use serde_json::{Value, json};

use crate::harness::TestApi;

fn bulk(operations: &[Value]) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": operations,
    })
}

fn post(path: &str, bulk_id: &str, data: &Value) -> Value {
    json!({"method": "POST", "path": path, "bulkId": bulk_id, "data": data})
}

#[actix_web::test]
async fn operations_are_answered_one_by_one() {
    let api = TestApi::new().await;
    let jane = post("/Users", "1", &json!({"userName": "jane"}));
    let again = post("/Users", "2", &json!({"userName": "jane"}));
    let response = api.scim().post("/Bulk", bulk(&[jane, again])).await;
    response
        .status(200)
        .at("/Operations/0/status", "201")
        .at("/Operations/1/status", "409")
        .at("/Operations/1/response/scimType", "uniqueness");
}

#[actix_web::test]
async fn an_operation_without_its_scope_is_refused_alone() {
    let api = TestApi::new().await;
    let user = post("/Users", "1", &json!({"userName": "jane"}));
    let group = post("/Groups", "2", &json!({"displayName": "Staff"}));
    let users_only = api.scim_with(Scopes::USERS_WRITE);
    let response = users_only.post("/Bulk", bulk(&[user, group])).await;
    response.at("/Operations/0/status", "201").at("/Operations/1/status", "403");
}

#[actix_web::test]
async fn too_many_operations_are_refused() {
    let settings = HttpSettings { bulk_operations: 1, ..HttpSettings::default() };
    let api = TestApi::with(settings).await;
    let user = post("/Users", "1", &json!({"userName": "jane"}));
    api.scim().post("/Bulk", bulk(&[user.clone(), user])).await.error(413, "");
}

#[actix_web::test]
async fn bulk_that_is_switched_off_is_not_implemented() {
    let settings = HttpSettings { bulk_operations: 0, ..HttpSettings::default() };
    let api = TestApi::with(settings).await;
    api.scim().post("/Bulk", bulk(&[])).await.error(501, "");
}

#[actix_web::test]
async fn bulk_needs_a_token() {
    let api = TestApi::new().await;
    api.stranger().post("/Bulk", bulk(&[])).await.error(401, "");
}
