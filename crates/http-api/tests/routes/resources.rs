//! One resource: POST, GET, PUT, PATCH and DELETE (RFC 7644 §3.3 to §3.6).

use actix_web::http::Method;
use headcount_http_api::HttpSettings;
use headcount_token_admin::Scopes;
use serde_json::json;

use crate::harness::TestApi;

#[actix_web::test]
async fn post_creates_a_user() {
    let api = TestApi::new().await;
    let response = api.scim().post("/Users", json!({"userName": "jane"})).await;
    response.status(201).at("/userName", "jane").at("/meta/resourceType", "User");
}

#[actix_web::test]
async fn post_returns_the_url_and_the_version_of_the_resource() {
    let api = TestApi::new().await;
    let response = api.scim().post("/Users", json!({"userName": "jane"})).await;
    response
        .header("location", &response.text("/meta/location"))
        .header("etag", &response.text("/meta/version"));
}

#[actix_web::test]
async fn post_takes_a_body_without_a_content_type() {
    let api = TestApi::new().await;
    let scim = api.scim();
    let request = scim.request(Method::POST, "/Users").set_payload("{\"userName\": \"jane\"}");
    scim.send(request).await.status(201);
}

#[actix_web::test]
async fn post_of_another_content_type_is_unsupported() {
    let api = TestApi::new().await;
    let scim = api.scim();
    let request =
        scim.request(Method::POST, "/Users").insert_header(("content-type", "text/plain"));
    scim.send(request.set_payload("{}")).await.error(415, "");
}

#[actix_web::test]
async fn post_of_malformed_json_is_a_syntax_error() {
    let api = TestApi::new().await;
    let scim = api.scim();
    let request = scim.request(Method::POST, "/Users").set_payload("{");
    scim.send(request).await.error(400, "invalidSyntax");
}

#[actix_web::test]
async fn post_without_a_required_attribute_names_it() {
    let api = TestApi::new().await;
    let response = api.scim().post("/Users", json!({"displayName": "Jane"})).await;
    response.error(400, "invalidValue").contains("/detail", "userName");
}

#[actix_web::test]
async fn post_of_a_taken_name_is_a_conflict() {
    let api = TestApi::new().await;
    let scim = api.scim();
    scim.create_user("jane").await;
    scim.post("/Users", json!({"userName": "JANE"})).await.error(409, "uniqueness");
}

#[actix_web::test]
async fn post_above_the_limit_names_the_limit() {
    let api = TestApi::with(HttpSettings { body_bytes: 100, ..HttpSettings::default() }).await;
    let response = api.scim().post("/Users", json!({"userName": "j".repeat(100)})).await;
    response.error(413, "").contains("/detail", "100 bytes");
}

#[actix_web::test]
async fn post_to_an_unknown_endpoint_is_not_found() {
    let api = TestApi::new().await;
    api.scim().post("/Devices", json!({})).await.error(404, "");
}

#[actix_web::test]
async fn post_of_a_group_needs_its_own_scope() {
    let api = TestApi::new().await;
    let users_only = api.scim_with(Scopes::USERS_WRITE);
    let response = users_only.post("/Groups", json!({"displayName": "Staff"})).await;
    response.error(403, "").contains("/detail", "groups:write");
}

#[actix_web::test]
async fn post_creates_a_group_with_members() {
    let api = TestApi::new().await;
    let scim = api.scim();
    let jane = scim.create_user("jane").await;
    let group = json!({"displayName": "Staff", "members": [{"value": jane}]});
    scim.post("/Groups", group).await.status(201).at("/members/0/value", jane);
}

#[actix_web::test]
async fn get_returns_a_resource() {
    let api = TestApi::new().await;
    let scim = api.scim();
    let id = scim.create_user("jane").await;
    scim.get(&format!("/Users/{id}")).await.status(200).at("/id", id).at("/userName", "jane");
}

#[actix_web::test]
async fn get_returns_the_attributes_that_are_asked_for() {
    let api = TestApi::new().await;
    let scim = api.scim();
    let id = scim.create_user("jane").await;
    let response = scim.get(&format!("/Users/{id}?attributes=userName")).await;
    response.status(200).at("/userName", "jane").absent("/meta");
}

#[actix_web::test]
async fn get_of_an_unknown_id_is_not_found() {
    let api = TestApi::new().await;
    api.scim().get("/Users/nobody").await.error(404, "").contains("/detail", "nobody");
}

#[actix_web::test]
async fn get_of_a_resource_of_another_tenant_is_not_found() {
    let api = TestApi::new().await;
    let id = api.scim().create_user("jane").await;
    api.scim_of_second().get(&format!("/Users/{id}")).await.error(404, "");
}

#[actix_web::test]
async fn get_with_a_filter_is_refused() {
    let api = TestApi::new().await;
    let scim = api.scim();
    let id = scim.create_user("jane").await;
    let response = scim.get(&format!("/Users/{id}?filter=userName%20pr")).await;
    response.error(400, "invalidFilter");
}

#[actix_web::test]
async fn get_of_a_known_version_is_not_modified() {
    let api = TestApi::new().await;
    let scim = api.scim();
    let id = scim.create_user("jane").await;
    let path = format!("/Users/{id}?excludedAttributes=groups");
    let etag = scim.get(&path).await.header_text("etag").unwrap();
    let request = scim.request(Method::GET, &path).insert_header(("if-none-match", etag));
    scim.send(request).await.status(304).empty();
}

#[actix_web::test]
async fn get_with_a_malformed_precondition_is_refused() {
    let api = TestApi::new().await;
    let scim = api.scim();
    let id = scim.create_user("jane").await;
    let request = scim.request(Method::GET, &format!("/Users/{id}"));
    scim.send(request.insert_header(("if-none-match", "\""))).await.status(400);
}

#[actix_web::test]
async fn put_replaces_a_resource() {
    let api = TestApi::new().await;
    let scim = api.scim();
    let id = scim.create_user("jane").await;
    let user = json!({"userName": "jane", "displayName": "Jane"});
    scim.put(&format!("/Users/{id}"), user).await.status(200).at("/displayName", "Jane");
}

#[actix_web::test]
async fn put_of_another_version_is_refused() {
    let api = TestApi::new().await;
    let scim = api.scim();
    let id = scim.create_user("jane").await;
    let request = scim.request(Method::PUT, &format!("/Users/{id}"));
    let request = request.insert_header(("if-match", "W/\"7\""));
    let request = request.set_payload(json!({"userName": "june"}).to_string());
    scim.send(request).await.error(412, "");
}

#[actix_web::test]
async fn put_of_a_malformed_body_to_an_unknown_id_is_not_found() {
    let api = TestApi::new().await;
    let scim = api.scim();
    let request = scim.request(Method::PUT, "/Users/nobody").set_payload("{");
    scim.send(request).await.error(404, "");
}

#[actix_web::test]
async fn patch_changes_a_resource_and_its_version() {
    let api = TestApi::new().await;
    let scim = api.scim();
    let id = scim.create_user("jane").await;
    let operations = json!([{"op": "replace", "path": "displayName", "value": "Jane"}]);
    let response = scim.patch(&format!("/Users/{id}"), json!({"Operations": operations})).await;
    response.status(200).at("/displayName", "Jane").at("/meta/version", "W/\"2\"");
}

#[actix_web::test]
async fn patch_of_a_malformed_path_is_refused() {
    let api = TestApi::new().await;
    let scim = api.scim();
    let id = scim.create_user("jane").await;
    let operations = json!([{"op": "replace", "path": "emails[", "value": "x"}]);
    let response = scim.patch(&format!("/Users/{id}"), json!({"Operations": operations})).await;
    response.status(400);
}

#[actix_web::test]
async fn patch_of_a_read_only_attribute_is_refused() {
    let api = TestApi::new().await;
    let scim = api.scim();
    let id = scim.create_user("jane").await;
    let operations = json!([{"op": "replace", "path": "meta.created", "value": "x"}]);
    let response = scim.patch(&format!("/Users/{id}"), json!({"Operations": operations})).await;
    response.error(400, "mutability").contains("/detail", "meta.created");
}

#[actix_web::test]
async fn patch_of_another_version_is_refused() {
    let api = TestApi::new().await;
    let scim = api.scim();
    let id = scim.create_user("jane").await;
    let operations = json!([{"op": "replace", "path": "displayName", "value": "Jane"}]);
    let request = scim.request(Method::PATCH, &format!("/Users/{id}"));
    let request = request.insert_header(("if-match", "W/\"7\""));
    let request = request.set_payload(json!({"Operations": operations}).to_string());
    scim.send(request).await.error(412, "");
}

#[actix_web::test]
async fn delete_removes_a_resource() {
    let api = TestApi::new().await;
    let scim = api.scim();
    let id = scim.create_user("jane").await;
    scim.delete(&format!("/Users/{id}")).await.status(204).empty();
    scim.get(&format!("/Users/{id}")).await.error(404, "");
}

#[actix_web::test]
async fn delete_of_another_version_is_refused() {
    let api = TestApi::new().await;
    let scim = api.scim();
    let id = scim.create_user("jane").await;
    let request = scim.request(Method::DELETE, &format!("/Users/{id}"));
    scim.send(request.insert_header(("if-match", "W/\"7\""))).await.error(412, "");
}

#[actix_web::test]
async fn delete_needs_a_scope_to_write() {
    let api = TestApi::new().await;
    let id = api.scim().create_user("jane").await;
    let reader = api.scim_with(Scopes::SCIM_READ);
    let response = reader.delete(&format!("/Users/{id}")).await;
    response.error(403, "").contains("/detail", "users:write");
}
