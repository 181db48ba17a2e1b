//! The endpoints that describe the server (RFC 7644 §4).

use actix_web::http::Method;

use crate::harness::TestApi;

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

#[actix_web::test]
async fn the_configuration_is_public() {
    let api = TestApi::new().await;
    let response = api.stranger().get("/ServiceProviderConfig").await;
    response.status(200).at("/patch/supported", true).at("/bulk/maxOperations", 1_000);
}

#[actix_web::test]
async fn the_base_url_is_the_configuration() {
    let api = TestApi::new().await;
    let response = api.stranger().get("").await;
    response.status(200).at("/meta/resourceType", "ServiceProviderConfig");
}

#[actix_web::test]
async fn resource_types_need_a_token() {
    let api = TestApi::new().await;
    api.stranger().get("/ResourceTypes").await.error(401, "");
}

#[actix_web::test]
async fn resource_types_are_listed() {
    let api = TestApi::new().await;
    let response = api.scim().get("/ResourceTypes").await;
    response.status(200).at("/totalResults", 2).at("/Resources/0/id", "User");
}

#[actix_web::test]
async fn a_resource_type_is_found_by_its_name() {
    let api = TestApi::new().await;
    api.scim().get("/ResourceTypes/Group").await.status(200).at("/endpoint", "/Groups");
}

#[actix_web::test]
async fn an_unknown_resource_type_is_not_found() {
    let api = TestApi::new().await;
    api.scim().get("/ResourceTypes/Device").await.error(404, "").contains("/detail", "Device");
}

#[actix_web::test]
async fn schemas_are_listed() {
    let api = TestApi::new().await;
    api.scim().get("/Schemas").await.status(200).at("/Resources/0/id", USER);
}

#[actix_web::test]
async fn a_schema_is_found_in_any_case() {
    let api = TestApi::new().await;
    let path = format!("/Schemas/{}", USER.to_ascii_uppercase());
    api.scim().get(&path).await.status(200).at("/id", USER);
}

#[actix_web::test]
async fn an_unknown_schema_is_not_found() {
    let api = TestApi::new().await;
    api.scim().get("/Schemas/urn:x").await.error(404, "");
}

#[actix_web::test]
async fn discovery_cannot_be_filtered() {
    let api = TestApi::new().await;
    api.scim().get("/Schemas?filter=id%20pr").await.error(403, "");
}

#[actix_web::test]
async fn a_known_document_is_not_modified() {
    let api = TestApi::new().await;
    let scim = api.scim();
    let etag = scim.get("/Schemas").await.header_text("etag").unwrap();
    let request = scim.request(Method::GET, "/Schemas").insert_header(("if-none-match", etag));
    scim.send(request).await.status(304).header("cache-control", "private, no-cache").empty();
}
