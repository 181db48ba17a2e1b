//! The event feed of the admin API.

use actix_web::http::Method;
use headcount_http_api::HttpSettings;
use headcount_token_admin::Scopes;

use crate::harness::TestApi;

#[actix_web::test]
async fn events_are_read_page_by_page() {
    let api = TestApi::new().await;
    let id = api.scim().create_user("jane").await;
    let response = api.admin().get("/events").await;
    response
        .status(200)
        .at("/events/0/type", "user.created")
        .at("/events/0/resource/id", id)
        .at("/more", false);
}

#[actix_web::test]
async fn a_page_continues_behind_its_cursor() {
    let api = TestApi::new().await;
    let scim = api.scim();
    scim.create_user("jane").await;
    let admin = api.admin();
    let next = admin.get("/events").await.text("/next");
    let joe = scim.create_user("joe").await;
    let response = admin.get(&format!("/events?after={next}")).await;
    response.at("/events/0/resource/id", joe).absent("/events/1");
}

#[actix_web::test]
async fn events_of_one_type_are_selected() {
    let api = TestApi::new().await;
    api.scim().create_user("jane").await;
    api.admin().get("/events?types=group.*").await.status(200).absent("/events/0");
}

#[actix_web::test]
async fn an_unknown_type_is_refused() {
    let api = TestApi::new().await;
    let response = api.admin().get("/events?types=user.vanished").await;
    response.problem(400, "invalid-parameter").contains("/detail", "types");
}

#[actix_web::test]
async fn a_cursor_of_others_is_refused() {
    let api = TestApi::new().await;
    let response = api.admin().get("/events?after=x").await;
    response.problem(400, "invalid-parameter").contains("/detail", "after");
}

#[actix_web::test]
async fn events_need_a_scope() {
    let api = TestApi::new().await;
    let response = api.admin_with(Scopes::ADMIN_READ).get("/events").await;
    response.problem(403, "scope").contains("/detail", "events:read");
}

#[actix_web::test]
async fn the_full_payload_needs_the_scope_to_read_resources() {
    let api = TestApi::new().await;
    let response = api.admin().get("/events?payload=full").await;
    response.problem(403, "scope").contains("/detail", "scim:read");
}

#[actix_web::test]
async fn the_full_payload_has_the_resource() {
    let api = TestApi::new().await;
    api.scim().create_user("jane").await;
    let reader = api.admin_with(Scopes::EVENTS_READ.with(Scopes::SCIM_READ));
    let response = reader.get("/events?payload=full").await;
    response.status(200).at("/events/0/data/userName", "jane");
}

#[actix_web::test]
async fn a_mistake_in_the_query_says_nothing_to_a_stranger() {
    let api = TestApi::new().await;
    let request = actix_web::test::TestRequest::get().uri("/api/v1/events?after=x");
    api.admin().send(request).await.problem(401, "unauthorized");
}

#[actix_web::test]
async fn a_stream_is_begun_by_its_media_type() {
    let api = TestApi::new().await;
    let admin = api.admin();
    let request =
        admin.request(Method::GET, "/events").insert_header(("accept", "text/event-stream"));
    admin.open(request).await.status(200).header("content-type", "text/event-stream");
}

#[actix_web::test]
async fn too_many_readers_are_refused() {
    let api = TestApi::with(HttpSettings { event_readers: 0, ..HttpSettings::default() }).await;
    let response = api.admin().get("/events?wait=1").await;
    response.problem(503, "busy").header("retry-after", "2");
}
