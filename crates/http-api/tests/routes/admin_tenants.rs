//! Tenants of the admin API.

use serde_json::json;

use crate::harness::TestApi;

#[actix_web::test]
async fn tenants_are_listed() {
    let api = TestApi::new().await;
    let response = api.root().get("/tenants").await;
    response.status(200).at("/tenants/0/name", "default").at("/tenants/1/name", "second");
}

#[actix_web::test]
async fn a_token_of_one_tenant_lists_only_that() {
    let api = TestApi::new().await;
    let response = api.admin().get("/tenants").await;
    response.at("/tenants/0/name", "default").absent("/tenants/1");
}

#[actix_web::test]
async fn a_tenant_is_created() {
    let api = TestApi::new().await;
    let response = api.root().post("/tenants", json!({"name": "acme"})).await;
    response.status(201).at("/enabled", true).header("location", "/api/v1/tenants/acme");
}

#[actix_web::test]
async fn a_tenant_is_created_only_with_a_token_of_all_tenants() {
    let api = TestApi::new().await;
    let response = api.admin().post("/tenants", json!({"name": "acme"})).await;
    response.problem(403, "scope").contains("/detail", "tenants:all");
}

#[actix_web::test]
async fn the_permission_is_checked_before_the_body() {
    let api = TestApi::new().await;
    api.admin().post("/tenants", json!({"name": 1})).await.problem(403, "scope");
}

#[actix_web::test]
async fn a_taken_name_is_a_conflict() {
    let api = TestApi::new().await;
    api.root().post("/tenants", json!({"name": "second"})).await.problem(409, "conflict");
}

#[actix_web::test]
async fn an_unknown_quirk_is_refused() {
    let api = TestApi::new().await;
    let response = api.root().post("/tenants", json!({"name": "acme", "quirks": ["x"]})).await;
    response.problem(400, "invalid-body").contains("/detail", "quirks");
}

#[actix_web::test]
async fn a_tenant_is_read_by_its_name() {
    let api = TestApi::new().await;
    api.admin().get("/tenants/default").await.status(200).at("/name", "default");
}

#[actix_web::test]
async fn an_unknown_tenant_is_not_found() {
    let api = TestApi::new().await;
    api.root().get("/tenants/acme").await.problem(404, "not-found");
}

#[actix_web::test]
async fn a_change_leaves_absent_fields_as_they_are() {
    let api = TestApi::new().await;
    let response = api.root().patch("/tenants/second", json!({"quirks": []})).await;
    response.status(200).at("/quirks", json!([])).at("/enabled", true);
}

#[actix_web::test]
async fn a_tenant_is_deleted() {
    let api = TestApi::new().await;
    let root = api.root();
    root.delete("/tenants/second").await.status(204);
    root.get("/tenants/second").await.problem(404, "not-found");
}

#[actix_web::test]
async fn the_default_tenant_cannot_be_deleted() {
    let api = TestApi::new().await;
    api.root().delete("/tenants/default").await.problem(409, "conflict");
}

#[actix_web::test]
async fn another_tenant_is_named_in_the_query() {
    let api = TestApi::new().await;
    let root = api.root();
    root.post("/tokens?tenant=second", json!({"name": "idp"})).await.status(201);
    root.get("/tokens?tenant=second").await.status(200).at("/tokens/0/name", "idp");
}
