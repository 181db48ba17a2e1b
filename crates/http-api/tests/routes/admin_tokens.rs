//! Tokens of the admin API, and the errors that all of its routes share.

use actix_web::http::Method;
use headcount_http_api::HttpSettings;
use headcount_token_admin::Scopes;
use serde_json::json;

use crate::harness::TestApi;

#[actix_web::test]
async fn a_request_without_a_token_is_unauthorized() {
    let api = TestApi::new().await;
    let admin = api.admin();
    let request = actix_web::test::TestRequest::get().uri("/api/v1/tokens");
    let response = admin.send(request).await;
    response.problem(401, "unauthorized").contains("/detail", "admin API");
}

#[actix_web::test]
async fn a_provisioning_token_has_another_purpose() {
    let api = TestApi::new().await;
    let provisioning = api.admin_with(Scopes::PROVISIONING);
    let response = provisioning.get("/tokens").await;
    response.problem(403, "token-purpose").contains("/detail", "--scope administration");
}

#[actix_web::test]
async fn a_missing_scope_is_named() {
    let api = TestApi::new().await;
    let response = api.admin_with(Scopes::EVENTS_READ).get("/tokens").await;
    response.problem(403, "scope").contains("/detail", "admin:read");
}

#[actix_web::test]
async fn an_unknown_path_is_not_found() {
    let api = TestApi::new().await;
    api.admin().get("/nothing").await.problem(404, "not-found");
}

#[actix_web::test]
async fn a_method_that_a_path_lacks_is_refused_with_those_it_has() {
    let api = TestApi::new().await;
    let response = api.admin().put("/tokens", json!({})).await;
    response.problem(405, "method").header("allow", "GET, POST");
}

#[actix_web::test]
async fn options_lists_the_methods() {
    let api = TestApi::new().await;
    let admin = api.admin();
    let response = admin.send(admin.request(Method::OPTIONS, "/tenants")).await;
    response.status(204).header("allow", "GET, POST");
}

#[actix_web::test]
async fn an_unknown_parameter_is_refused() {
    let api = TestApi::new().await;
    let response = api.admin().get("/tokens?page=2").await;
    response.problem(400, "invalid-parameter").contains("/detail", "page");
}

#[actix_web::test]
async fn a_body_of_another_type_is_unsupported() {
    let api = TestApi::new().await;
    let admin = api.admin();
    let request =
        admin.request(Method::POST, "/tokens").insert_header(("content-type", "text/plain"));
    admin.send(request.set_payload("{}")).await.problem(415, "media-type");
}

#[actix_web::test]
async fn a_body_above_the_limit_is_too_large() {
    let api = TestApi::with(HttpSettings { body_bytes: 100, ..HttpSettings::default() }).await;
    let response = api.admin().post("/tokens", json!({"name": "x".repeat(100)})).await;
    response.problem(413, "too-large");
}

#[actix_web::test]
async fn tokens_are_listed_without_secrets() {
    let api = TestApi::new().await;
    let response = api.admin().get("/tokens").await;
    response.status(200).at("/tokens/0/purpose", "administration").absent("/tokens/0/token");
}

#[actix_web::test]
async fn a_new_token_works() {
    let api = TestApi::new().await;
    let response = api.admin().post("/tokens", json!({"name": "idp"})).await;
    let secret = response.status(201).text("/token");
    api.stranger().with_bearer(&secret).get("/Users").await.status(200);
}

#[actix_web::test]
async fn a_new_token_has_a_path() {
    let api = TestApi::new().await;
    let response = api.admin().post("/tokens", json!({"name": "idp"})).await;
    response.header("location", &format!("/api/v1/tokens/{}", response.text("/id")));
}

#[actix_web::test]
async fn a_new_token_with_an_unknown_field_is_refused() {
    let api = TestApi::new().await;
    let response = api.admin().post("/tokens", json!({"name": "idp", "scope": []})).await;
    response.problem(400, "invalid-body").contains("/detail", "scope");
}

#[actix_web::test]
async fn a_new_token_with_an_invalid_network_names_the_field() {
    let api = TestApi::new().await;
    let response = api.admin().post("/tokens", json!({"name": "idp", "cidrs": ["x"]})).await;
    response.problem(400, "invalid-body").contains("/detail", "cidrs");
}

#[actix_web::test]
async fn a_token_grants_no_more_than_it_has() {
    let api = TestApi::new().await;
    let new = json!({"name": "idp", "scopes": ["tenants:all"]});
    api.admin().post("/tokens", new).await.problem(403, "grant");
}

#[actix_web::test]
async fn creating_a_token_needs_the_scope_to_write() {
    let api = TestApi::new().await;
    let reader = api.admin_with(Scopes::ADMIN_READ);
    let response = reader.post("/tokens", json!({"name": "idp"})).await;
    response.problem(403, "scope").contains("/detail", "admin:write");
}

#[actix_web::test]
async fn a_token_is_read_by_its_id() {
    let api = TestApi::new().await;
    let admin = api.admin();
    let id = admin.post("/tokens", json!({"name": "idp"})).await.text("/id");
    admin.get(&format!("/tokens/{id}")).await.status(200).at("/name", "idp");
}

#[actix_web::test]
async fn an_unknown_token_is_not_found() {
    let api = TestApi::new().await;
    api.admin().get("/tokens/0000000000000000").await.problem(404, "not-found");
}

#[actix_web::test]
async fn a_revoked_token_stops_working() {
    let api = TestApi::new().await;
    let admin = api.admin();
    let issued = admin.post("/tokens", json!({"name": "idp"})).await;
    admin.delete(&format!("/tokens/{}", issued.text("/id"))).await.status(204).empty();
    api.stranger().with_bearer(&issued.text("/token")).get("/Users").await.error(401, "");
}

#[actix_web::test]
async fn a_rotation_replaces_a_token() {
    let api = TestApi::new().await;
    let admin = api.admin();
    let id = admin.post("/tokens", json!({"name": "idp"})).await.text("/id");
    let response = admin.post(&format!("/tokens/{id}/rotate"), json!({"overlap": 60})).await;
    response.status(201).at("/replaces", id).at("/name", "idp");
}

#[actix_web::test]
async fn a_rotation_needs_no_body() {
    let api = TestApi::new().await;
    let admin = api.admin();
    let id = admin.post("/tokens", json!({"name": "idp"})).await.text("/id");
    admin.send(admin.request(Method::POST, &format!("/tokens/{id}/rotate"))).await.status(201);
}

#[actix_web::test]
async fn a_revoked_token_cannot_be_rotated() {
    let api = TestApi::new().await;
    let admin = api.admin();
    let id = admin.post("/tokens", json!({"name": "idp"})).await.text("/id");
    admin.delete(&format!("/tokens/{id}")).await.status(204);
    admin.post(&format!("/tokens/{id}/rotate"), json!({})).await.problem(409, "conflict");
}
