//! Lists and searches (RFC 7644 §3.4.2, §3.4.3).

use actix_web::http::Method;
use headcount_token_admin::Scopes;
use serde_json::json;

use crate::harness::{Client, TestApi};

const SEARCH_REQUEST: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

async fn create_users(scim: &Client<'_>, names: &[&str]) {
    for name in names {
        scim.create_user(name).await;
    }
}

#[actix_web::test]
async fn a_list_has_a_total() {
    let api = TestApi::new().await;
    let scim = api.scim();
    create_users(&scim, &["a", "b"]).await;
    let response = scim.get("/Users").await;
    response.status(200).at("/totalResults", 2).at("/Resources/1/userName", "b");
}

#[actix_web::test]
async fn a_list_contains_only_the_tenants_resources() {
    let api = TestApi::new().await;
    api.scim().create_user("jane").await;
    api.scim_of_second().get("/Users").await.status(200).at("/totalResults", 0);
}

#[actix_web::test]
async fn a_list_needs_the_scope_to_read() {
    let api = TestApi::new().await;
    let response = api.scim_with(Scopes::USERS_WRITE).get("/Users").await;
    response.error(403, "").contains("/detail", "scim:read");
}

#[actix_web::test]
async fn a_filter_selects_resources() {
    let api = TestApi::new().await;
    let scim = api.scim();
    create_users(&scim, &["jane", "joe"]).await;
    let response = scim.get("/Users?filter=userName+eq+%22joe%22").await;
    response.status(200).at("/totalResults", 1).at("/Resources/0/userName", "joe");
}

#[actix_web::test]
async fn a_malformed_filter_is_refused() {
    let api = TestApi::new().await;
    api.scim().get("/Users?filter=userName%20eq").await.error(400, "invalidFilter");
}

#[actix_web::test]
async fn a_percent_sign_without_an_escape_is_refused() {
    let api = TestApi::new().await;
    let response = api.scim().get("/Users?filter=userName%20eq%20%22100%%22").await;
    response.error(400, "invalidSyntax").contains("/detail", "%25");
}

#[actix_web::test]
async fn a_count_limits_the_page() {
    let api = TestApi::new().await;
    let scim = api.scim();
    create_users(&scim, &["a", "b", "c"]).await;
    let response = scim.get("/Users?count=1&startIndex=2").await;
    response.at("/itemsPerPage", 1).at("/startIndex", 2).at("/totalResults", 3);
}

#[actix_web::test]
async fn a_count_that_is_no_number_is_refused() {
    let api = TestApi::new().await;
    let response = api.scim().get("/Users?count=many").await;
    response.error(400, "invalidValue").contains("/detail", "count");
}

#[actix_web::test]
async fn a_parameter_that_is_sent_twice_is_refused() {
    let api = TestApi::new().await;
    let response = api.scim().get("/Users?count=1&COUNT=2").await;
    response.error(400, "invalidValue").contains("/detail", "twice");
}

#[actix_web::test]
async fn an_unknown_parameter_is_ignored() {
    let api = TestApi::new().await;
    api.scim().get("/Users?aadOptscim062020").await.status(200);
}

#[actix_web::test]
async fn a_cursor_leads_to_the_next_page() {
    let api = TestApi::new().await;
    let scim = api.scim();
    create_users(&scim, &["a", "b"]).await;
    let first = scim.get("/Users?cursor&count=1").await;
    let next = first.status(200).text("/nextCursor");
    let next: String = url_encoded(&next);
    let response = scim.get(&format!("/Users?count=1&cursor={next}")).await;
    response.status(200).at("/Resources/0/userName", "b");
}

fn url_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[actix_web::test]
async fn a_cursor_of_others_is_refused() {
    let api = TestApi::new().await;
    api.scim().get("/Users?cursor=x").await.error(400, "invalidCursor");
}

#[actix_web::test]
async fn a_large_list_is_compressed_where_the_client_wants_it() {
    let api = TestApi::new().await;
    let scim = api.scim();
    for number in 0..20 {
        scim.create_user(&format!("user-{number}")).await;
    }
    let request = scim.request(Method::GET, "/Users").insert_header(("accept-encoding", "gzip"));
    let response = scim.send(request).await;
    response.status(200).header("content-encoding", "gzip");
    assert!(response.body().starts_with(&[0x1f, 0x8b]));
}

#[actix_web::test]
async fn post_to_search_finds_resources_of_one_kind() {
    let api = TestApi::new().await;
    let scim = api.scim();
    create_users(&scim, &["jane", "joe"]).await;
    let search = json!({
        "schemas": [SEARCH_REQUEST],
        "filter": "userName eq \"joe\"",
    });
    scim.post("/Users/.search", search).await.status(200).at("/totalResults", 1);
}

#[actix_web::test]
async fn post_to_search_needs_only_the_scope_to_read() {
    let api = TestApi::new().await;
    let reader = api.scim_with(Scopes::SCIM_READ);
    let search = json!({"schemas": [SEARCH_REQUEST], "count": 1});
    reader.post("/Users/.search", search).await.status(200);
}

#[actix_web::test]
async fn post_to_the_root_search_finds_all_kinds() {
    let api = TestApi::new().await;
    let scim = api.scim();
    scim.create_user("jane").await;
    scim.post("/Groups", json!({"displayName": "Staff"})).await.status(201);
    let search = json!({"schemas": [SEARCH_REQUEST], "filter": "id pr"});
    scim.post("/.search", search).await.status(200).at("/totalResults", 2);
}

#[actix_web::test]
async fn get_of_the_base_url_with_a_filter_searches_all_kinds() {
    let api = TestApi::new().await;
    let scim = api.scim();
    scim.create_user("jane").await;
    scim.get("?filter=id+pr").await.status(200).at("/totalResults", 1);
}

#[actix_web::test]
async fn a_query_with_nul_is_refused_without_naming_an_attribute() {
    let api = TestApi::new().await;
    let response = api.scim().get("/Users?filter=%00").await;
    response.error(400, "invalidValue");
    assert!(response.text("/detail").starts_with("the query contains the character U+0000"));
}
