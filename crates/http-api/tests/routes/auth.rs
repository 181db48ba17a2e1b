//! Authentication, and what a response says about it (RFC 6750 §3).

use actix_web::http::Method;
use headcount_http_api::HttpSettings;
use serde_json::json;

use crate::harness::TestApi;

#[actix_web::test]
async fn a_request_without_a_token_gets_a_challenge() {
    let api = TestApi::new().await;
    let response = api.stranger().get("/Users").await;
    response.error(401, "").header("www-authenticate", "Bearer realm=\"scim\"");
}

#[actix_web::test]
async fn credentials_of_another_scheme_are_no_token() {
    let api = TestApi::new().await;
    let stranger = api.stranger();
    let request = stranger.request(Method::GET, "/Users");
    let response = stranger.send(request.insert_header(("authorization", "Basic YTpi"))).await;
    response.error(401, "").header("www-authenticate", "Bearer realm=\"scim\"");
}

#[actix_web::test]
async fn the_scheme_is_read_in_any_case() {
    let api = TestApi::new().await;
    let scim = api.scim();
    let request = scim.request(Method::GET, "/Users").to_http_request();
    let bearer = request.headers().get("authorization").unwrap().to_str().unwrap();
    let bearer = bearer.replace("Bearer ", "BEARER  ");
    let request = scim.request(Method::GET, "/Users").insert_header(("authorization", bearer));
    scim.send(request).await.status(200);
}

#[actix_web::test]
async fn a_malformed_token_is_invalid() {
    let api = TestApi::new().await;
    let response = api.stranger().with_bearer("hcp_x").get("/Users").await;
    let challenge = "Bearer realm=\"scim\", error=\"invalid_token\", \
                     error_description=\"the token is not accepted\"";
    response.error(401, "").header("www-authenticate", challenge);
}

#[actix_web::test]
async fn a_revoked_token_is_invalid() {
    let api = TestApi::new().await;
    let scim = api.scim();
    scim.get("/Users").await.status(200);
    api.revoke(&scim);
    scim.get("/Users").await.error(401, "");
}

#[actix_web::test]
async fn two_headers_with_credentials_are_ambiguous() {
    let api = TestApi::new().await;
    let scim = api.scim();
    let request = scim.request(Method::GET, "/Users").append_header(("authorization", "Bearer x"));
    let challenge = "Bearer realm=\"scim\", error=\"invalid_request\"";
    scim.send(request).await.error(400, "").header("www-authenticate", challenge);
}

#[actix_web::test]
async fn a_missing_scope_is_named_in_the_challenge() {
    let api = TestApi::new().await;
    let reader = api.scim_with(headcount_token_admin::Scopes::SCIM_READ);
    let response = reader.post("/Users", json!({"userName": "jane"})).await;
    let challenge = "Bearer realm=\"scim\", error=\"insufficient_scope\", scope=\"users:write\"";
    response.error(403, "").header("www-authenticate", challenge);
}

#[actix_web::test]
async fn a_token_works_within_its_networks() {
    let api = TestApi::new().await;
    api.scim_within("192.0.2.0/24").get("/Users").await.status(200);
}

#[actix_web::test]
async fn a_token_is_refused_outside_its_networks() {
    let api = TestApi::new().await;
    let response = api.scim_within("198.51.100.0/24").get("/Users").await;
    response.error(403, "").no_header("www-authenticate");
}

#[actix_web::test]
async fn the_tokens_of_a_disabled_tenant_are_refused() {
    let api = TestApi::new().await;
    let scim = api.scim_of_second();
    api.root().patch("/tenants/second", json!({"enabled": false})).await.status(200);
    scim.get("/Users").await.error(401, "");
}

#[actix_web::test]
async fn repeated_failures_of_one_address_are_limited() {
    let settings =
        HttpSettings { failures_per_second: 1, failures_burst: 1, ..HttpSettings::default() };
    let api = TestApi::with(settings).await;
    let wrong = api.stranger().with_bearer("hcp_x");
    wrong.get("/Users").await.error(401, "");
    wrong.get("/Users").await.error(429, "").header("retry-after", "2");
}

#[actix_web::test]
async fn failures_of_others_do_not_stop_a_good_token() {
    let settings =
        HttpSettings { failures_per_second: 1, failures_burst: 1, ..HttpSettings::default() };
    let api = TestApi::with(settings).await;
    let wrong = api.stranger().with_bearer("hcp_x");
    wrong.get("/Users").await.error(401, "");
    wrong.get("/Users").await.error(429, "");
    api.scim().get("/Users").await.status(200);
}

#[actix_web::test]
async fn the_token_is_checked_before_the_body() {
    let api = TestApi::new().await;
    let revoked = api.scim();
    api.revoke(&revoked);
    let request = revoked.request(Method::POST, "/Users").set_payload("{");
    revoked.send(request).await.error(401, "");
}

#[actix_web::test]
async fn f_sco_a_token_that_may_only_write_reads_nothing_back() {
    let api = TestApi::new().await;
    let id = api.scim().create_user("jane").await;
    let path = format!("/Users/{id}");
    let secret = json!([{"op": "add", "path": "nickName", "value": "secret"}]);
    let patch = |operations| json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations});
    api.scim().patch(&path, patch(secret)).await.at("/nickName", "secret");
    let writer = api.scim_with(headcount_token_admin::Scopes::USERS_WRITE);
    let title = patch(json!([{"op": "add", "path": "title", "value": "Pilot"}]));
    let nothing = patch(json!([{"op": "add", "path": "title", "value": "Pilot"}]));
    let user = json!({"userName": "jane", "nickName": "secret"});
    for response in [
        writer.patch(&path, title).await,
        writer.patch(&path, nothing).await,
        writer.patch(&format!("{path}?attributes=nickName,userName"), patch(json!([]))).await,
        writer.put(&format!("{path}?attributes=nickName"), user).await,
        writer.post("/Users?excludedAttributes=title", json!({"userName": "john"})).await,
    ] {
        if response.body().is_empty() {
            continue;
        }
        let shown: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        let mut keys: Vec<_> = shown.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        // An error shows nothing of the resource, either.
        assert!(keys == ["id", "meta", "schemas"] || shown.get("status").is_some(), "{shown}");
        assert!(!shown.to_string().contains("secret"), "{shown}");
    }
    writer
        .patch(&path, patch(json!([{"op": "add", "path": "title", "value": "Cook"}])))
        .await
        .status(200)
        .at("/id", id.as_str());
    writer.get(&path).await.error(403, "");
    // Who may read, too, is answered as before.
    api.scim()
        .patch(&path, patch(json!([{"op": "add", "path": "title", "value": "Pilot"}])))
        .await
        .at("/title", "Pilot");
}
