//! The record of changes, the provisioning log, counters and the description of the admin API.

use headcount_core::quirks::Quirks;
use headcount_records::RequestRecord;
use headcount_token_admin::Scopes;

use crate::harness::TestApi;
use crate::stores::request;

#[actix_web::test]
async fn the_record_of_changes_has_pages() {
    let api = TestApi::new().await;
    let scim = api.scim();
    scim.create_user("jane").await;
    scim.create_user("joe").await;
    let response = api.admin().get("/audit?limit=1").await;
    response
        .status(200)
        .at("/rows/0/act", "created")
        .at("/rows/0/actor/type", "token")
        .at("/next", 1)
        .at("/more", true);
}

#[actix_web::test]
async fn the_record_of_changes_continues_after_a_position() {
    let api = TestApi::new().await;
    api.scim().create_user("jane").await;
    let response = api.admin().get("/audit?after=1").await;
    response.status(200).at("/next", 1).at("/more", false).absent("/rows/0");
}

#[actix_web::test]
async fn a_negative_position_is_refused() {
    let api = TestApi::new().await;
    api.admin().get("/audit?after=-1").await.problem(400, "invalid-parameter");
}

#[actix_web::test]
async fn the_log_is_listed_newest_first_without_bodies() {
    let api = TestApi::new().await;
    api.log.add(request(1, "/Users/1", 200));
    api.log.add(request(1, "/Users/2", 404));
    let response = api.admin().get("/log").await;
    response.status(200).at("/requests/0/path", "/Users/2").absent("/requests/0/sent");
}

#[actix_web::test]
async fn the_log_is_limited_to_the_tenant() {
    let api = TestApi::new().await;
    api.log.add(request(2, "/Users/1", 200));
    api.admin().get("/log").await.status(200).absent("/requests/0");
}

#[actix_web::test]
async fn the_log_of_everywhere_needs_a_scope() {
    let api = TestApi::new().await;
    let response = api.admin().get("/log?everywhere=yes").await;
    response.problem(403, "scope").contains("/detail", "tenants:all");
}

#[actix_web::test]
async fn the_log_of_everywhere_has_all_tenants() {
    let api = TestApi::new().await;
    api.log.add(request(2, "/Users/1", 200));
    let response = api.root().get("/log?everywhere=yes").await;
    response.status(200).at("/requests/0/path", "/Users/1");
}

#[actix_web::test]
async fn the_log_can_be_limited_to_failures() {
    let api = TestApi::new().await;
    api.log.add(request(1, "/Users/1", 404));
    api.log.add(request(1, "/Users/2", 200));
    let response = api.admin().get("/log?outcome=failed").await;
    response.at("/requests/0/path", "/Users/1").absent("/requests/1");
}

#[actix_web::test]
async fn a_page_above_the_limit_is_refused() {
    let api = TestApi::new().await;
    let response = api.admin().get("/log?limit=1001").await;
    response.problem(400, "invalid-parameter").contains("/detail", "1000");
}

#[actix_web::test]
async fn a_logged_request_is_read_with_its_body() {
    let api = TestApi::new().await;
    api.log.add(request(1, "/Users/1", 200));
    let response = api.admin().get("/log/1").await;
    response.status(200).at("/number", 1).contains("/sent", "true");
}

#[actix_web::test]
async fn an_unknown_logged_request_is_not_found() {
    let api = TestApi::new().await;
    api.admin().get("/log/7").await.problem(404, "not-found").contains("/detail", "7");
}

#[actix_web::test]
async fn a_number_that_is_none_is_not_found() {
    let api = TestApi::new().await;
    api.admin().get("/log/x").await.problem(404, "not-found");
}

#[actix_web::test]
async fn a_timeline_needs_a_name() {
    let api = TestApi::new().await;
    let response = api.admin().get("/timeline").await;
    response.problem(400, "invalid-parameter").contains("/detail", "name");
}

#[actix_web::test]
async fn a_timeline_shows_the_identity() {
    let api = TestApi::new().await;
    api.scim().create_user("jane").await;
    api.admin().get("/timeline?name=jane").await.status(200).at("/name", "jane");
}

#[actix_web::test]
async fn repairs_are_counted_by_token() {
    let api = TestApi::new().await;
    for _ in 0..7 {
        let quirks = Quirks::SCHEMAS_REPAIRED;
        api.log.add(RequestRecord { quirks, ..request(1, "/Users", 201) });
    }
    let response = api.admin().get("/quirks").await;
    response.status(200).at("/quirks/0/quirk", "schemas-repaired").at("/quirks/0/count", 7);
}

#[actix_web::test]
async fn counters_have_totals_and_changes() {
    let api = TestApi::new().await;
    api.scim().create_user("jane").await;
    let response = api.admin().get("/counters").await;
    response.status(200).at("/kinds/0/total", 1).at("/kinds/0/created", 1);
}

#[actix_web::test]
async fn counters_begin_at_a_time() {
    let api = TestApi::new().await;
    api.scim().create_user("jane").await;
    let response = api.admin().get("/counters?since=2999-01-01T00:00:00Z").await;
    response.status(200).at("/kinds/0/total", 1).at("/kinds/0/created", 0);
}

#[actix_web::test]
async fn a_time_that_is_none_is_refused() {
    let api = TestApi::new().await;
    let response = api.admin().get("/counters?since=yesterday").await;
    response.problem(400, "invalid-parameter").contains("/detail", "2026-01-31T00:00:00Z");
}

#[actix_web::test]
async fn the_records_need_the_scope_to_read() {
    let api = TestApi::new().await;
    let events = api.admin_with(Scopes::EVENTS_READ);
    for path in ["/audit", "/log", "/log/1", "/timeline?name=x", "/quirks", "/counters"] {
        events.get(path).await.problem(403, "scope");
    }
}

#[actix_web::test]
async fn the_description_is_public() {
    let api = TestApi::new().await;
    let admin = api.admin();
    let request = actix_web::test::TestRequest::get().uri("/api/v1/openapi.json");
    admin.send(request).await.status(200).at("/info/title", "Headcount admin API");
}
