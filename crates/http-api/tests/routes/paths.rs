//! Paths, methods and headers that all routes share.

use actix_web::http::Method;
use serde_json::json;

use crate::harness::TestApi;

#[actix_web::test]
async fn a_path_without_a_version_is_the_newest_versions() {
    let api = TestApi::new().await;
    let scim = api.scim();
    let id = scim.create_user("jane").await;
    let uri = format!("/scim/Users/{id}");
    let request = scim.request(Method::GET, "").uri(&uri);
    scim.send(request).await.status(200).at("/userName", "jane");
}

#[actix_web::test]
async fn another_version_is_not_found() {
    let api = TestApi::new().await;
    let scim = api.scim();
    scim.send(scim.request(Method::GET, "").uri("/scim/v1/Users")).await.error(404, "");
}

#[actix_web::test]
async fn a_trailing_slash_is_ignored() {
    let api = TestApi::new().await;
    api.scim().get("/Users/").await.status(200);
}

#[actix_web::test]
async fn an_unknown_path_is_not_found() {
    let api = TestApi::new().await;
    api.scim().get("/Users/a/b").await.error(404, "");
}

#[actix_web::test]
async fn ux_1_a_base_url_without_its_path_gets_an_error_that_names_the_right_one() {
    let api = TestApi::new().await;
    for client in [api.scim(), api.stranger(), api.scim().with_bearer("wrong")] {
        for path in [
            "/Users?filter=userName%20eq%20%22x%22",
            "/Groups",
            "/ServiceProviderConfig",
            "/v2/Users",
            "/users/7",
            "/api/scim/Bulk",
            "/Users/.search",
        ] {
            for method in [Method::GET, Method::POST, Method::DELETE] {
                let request =
                    client.request(method, "").uri(path).insert_header(("host", "h.example"));
                let response = client.send(request).await;
                response
                    .error(404, "")
                    .contains("/detail", "base URL for SCIM is http://h.example/scim/v2");
            }
        }
    }
}

#[actix_web::test]
async fn ux_1_a_base_url_with_a_part_twice_gets_the_same_error() {
    let api = TestApi::new().await;
    for path in ["/v2/Users", "/scim/v2/Users/7", "/Users/a/b"] {
        api.scim().get(path).await.error(404, "").contains("/detail", "/scim/v2");
        api.stranger().get(path).await.error(401, "");
    }
    api.scim().get("/Nowhere/7").await.error(404, "").contains("/detail", "endpoint /Nowhere");
}

#[actix_web::test]
async fn ux_2_a_path_that_has_nothing_to_do_with_scim_gets_nothing() {
    let api = TestApi::new().await;
    for path in ["/wp-login.php", "/", "/robots.txt", "/.env"] {
        let scim = api.scim();
        scim.send(scim.request(Method::GET, "").uri(path)).await.status(404).empty();
    }
}

#[actix_web::test]
async fn an_unknown_path_says_nothing_to_a_stranger() {
    let api = TestApi::new().await;
    api.stranger().get("/Users/a/b").await.error(401, "");
}

#[actix_web::test]
async fn a_method_that_a_path_lacks_is_refused_with_those_it_has() {
    let api = TestApi::new().await;
    let response = api.scim().post("/Users/x", json!({})).await;
    response.error(405, "").header("allow", "GET, HEAD, PUT, PATCH, DELETE");
}

#[actix_web::test]
async fn options_lists_the_methods_without_cors_headers() {
    let api = TestApi::new().await;
    let stranger = api.stranger();
    let request = stranger.request(Method::OPTIONS, "/Users");
    let response = stranger.send(request.insert_header(("origin", "https://evil.example"))).await;
    response
        .status(204)
        .header("allow", "GET, HEAD, POST")
        .no_header("access-control-allow-origin");
}

#[actix_web::test]
async fn head_has_the_headers_of_get() {
    let api = TestApi::new().await;
    let scim = api.scim();
    let id = scim.create_user("jane").await;
    let response = scim.send(scim.request(Method::HEAD, &format!("/Users/{id}"))).await;
    response.status(200).header("etag", "W/\"1\"");
}

#[actix_web::test]
async fn me_needs_a_token_that_belongs_to_a_user() {
    let api = TestApi::new().await;
    api.scim().get("/Me").await.error(501, "");
}

#[actix_web::test]
async fn me_cannot_be_created() {
    let api = TestApi::new().await;
    let response = api.scim().post("/Me", json!({"userName": "jane"})).await;
    response.error(501, "").contains("/detail", "/Users");
}

#[actix_web::test]
async fn a_url_that_is_too_long_is_refused() {
    let api = TestApi::new().await;
    let path = format!("/Users?filter={}", "x".repeat(32 * 1024));
    api.scim().get(&path).await.error(414, "").contains("/detail", ".search");
}

#[actix_web::test]
async fn the_request_id_of_the_client_is_returned() {
    let api = TestApi::new().await;
    let scim = api.scim();
    let request = scim.request(Method::GET, "/Users").insert_header(("x-request-id", "abc-1"));
    scim.send(request).await.header("x-request-id", "abc-1");
}

#[actix_web::test]
async fn a_request_id_that_is_no_plain_text_is_replaced() {
    let api = TestApi::new().await;
    let scim = api.scim();
    let request = scim.request(Method::GET, "/Users").insert_header(("x-request-id", "a b"));
    let response = scim.send(request).await;
    assert!(response.header_text("x-request-id").unwrap().starts_with("id-"));
}

#[actix_web::test]
async fn an_error_has_the_headers_of_every_response() {
    let api = TestApi::new().await;
    let response = api.stranger().get("/Users").await;
    response
        .header("x-content-type-options", "nosniff")
        .header("cache-control", "no-store")
        .header("content-security-policy", "default-src 'none'; frame-ancestors 'none'");
}

#[actix_web::test]
async fn a_stored_host_cannot_break_a_url() {
    let api = TestApi::new().await;
    let scim = api.scim();
    let request = scim.request(Method::POST, "/Users").insert_header(("host", "a\"b"));
    let response = scim.send(request.set_payload("{\"userName\": \"jane\"}")).await;
    assert!(!response.status(201).text("/meta/location").contains('"'));
}
