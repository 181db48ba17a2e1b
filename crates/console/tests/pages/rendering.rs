//! What pages show: headers, escaped texts, searches, the log.

use headcount_token_admin::accounts::Role;
use serde_json::{Value, json};

use crate::support::{DEFAULT, TestConsole, operator, request};

const HOSTILE: &str = "<script>alert(\"1\")</script>";

#[actix_web::test]
async fn a_page_runs_only_scripts_of_this_server() {
    let console = TestConsole::new().await;
    let page = console.visitor().get("/console/login").await;
    page.header(
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
         connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'",
    );
}

#[actix_web::test]
async fn a_page_is_not_cached() {
    let console = TestConsole::new().await;
    console.visitor().get("/console/login").await.header("cache-control", "no-store");
}

#[actix_web::test]
async fn an_asset_is_cached_until_its_address_changes() {
    let console = TestConsole::new().await;
    let asset = console.visitor().get("/console/assets/console.css").await;
    asset.status(200).header("cache-control", "public, max-age=31536000, immutable");
}

#[actix_web::test]
async fn a_hostile_name_is_a_text_on_every_page() {
    let console = TestConsole::new().await;
    let id = console.create("User", json!({"userName": HOSTILE, "displayName": HOSTILE}));
    console.log.add(request(HOSTILE, 400));
    let owner = console.signed_in_as(Role::Owner);
    let query = "%3Cscript%3Ealert(%221%22)%3C/script%3E";
    for path in [
        "/console".to_owned(),
        "/console/resources/Users".to_owned(),
        format!("/console/resources/Users/{id}"),
        format!("/console/resources/Users?q={query}"),
        format!("/console/explain?name={query}"),
        format!("/console/log?name={query}"),
        "/console/log".to_owned(),
        "/console/log/1".to_owned(),
        format!("/console/audit?by={query}"),
        format!("/console/tokens?tenant={query}"),
    ] {
        owner.get(&path).await.hides("<script>alert");
    }
    for path in [
        "/console/resources/Users".to_owned(),
        format!("/console/resources/Users/{id}"),
        "/console/log".to_owned(),
    ] {
        owner.get(&path).await.status(200).shows("&#60;script&#62;");
    }
    let login = console.visitor().get(&format!("/console/login?next={query}")).await;
    login.status(200).hides("<script>alert");
}

#[actix_web::test]
async fn a_hostile_token_name_is_a_text() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    let form = [("name", HOSTILE), ("days", "1"), ("scope", "scim:read")];
    admin.post("/console/tokens", &form).await.hides("<script>alert");
    admin.get("/console/tokens").await.shows("&#60;script&#62;").hides("<script>alert");
}

#[actix_web::test]
async fn a_text_finds_users_by_a_part_of_their_name() {
    let console = TestConsole::new().await;
    console.user("jane@example.com");
    console.user("omar@example.com");
    let auditor = console.signed_in_as(Role::Auditor);
    let page = auditor.get("/console/resources/Users?q=jan").await;
    page.status(200).shows("jane@example.com").hides("omar@example.com").shows("1 in all");
}

#[actix_web::test]
async fn a_filter_with_an_error_is_shown_up_to_the_error() {
    let console = TestConsole::new().await;
    let auditor = console.signed_in_as(Role::Auditor);
    let page = auditor.get("/console/resources/Users?q=userName%20eq%20%22a%22%20and").await;
    page.status(400).shows("id=\"q-error\"").shows("<mark>");
}

#[actix_web::test]
async fn a_list_goes_on_behind_its_cursor() {
    let console = TestConsole::new().await;
    for number in 0..51 {
        console.user(&format!("user-{number:02}"));
    }
    let auditor = console.signed_in_as(Role::Auditor);
    let page = auditor.get("/console/resources/Users").await;
    page.shows("51 in all").hides("user-50");
    let (_, rest) = page.body.split_once("<a href=\"/console/resources/Users?cursor=").unwrap();
    let cursor = rest.split('"').next().unwrap();
    let next = auditor.get(&format!("/console/resources/Users?cursor={cursor}")).await;
    next.shows("user-50").hides("user-49");
}

#[actix_web::test]
async fn a_group_lists_its_members() {
    let console = TestConsole::new().await;
    let jane = console.user("jane");
    let members = json!([{"value": jane}]);
    let id = console.create("Group", json!({"displayName": "Research", "members": members}));
    let auditor = console.signed_in_as(Role::Auditor);
    let page = auditor.get(&format!("/console/resources/Groups/{id}")).await;
    page.shows(&format!("<a href=\"/console/resources/Users/{jane}\">jane</a>"));
}

#[actix_web::test]
async fn a_user_lists_its_groups() {
    let console = TestConsole::new().await;
    let jane = console.user("jane");
    let members = json!([{"value": jane}]);
    let id = console.create("Group", json!({"displayName": "Research", "members": members}));
    let auditor = console.signed_in_as(Role::Auditor);
    let page = auditor.get(&format!("/console/resources/Users/{jane}")).await;
    page.shows(&format!("<a href=\"/console/resources/Groups/{id}\">Research</a>"));
}

#[actix_web::test]
async fn a_refused_request_is_in_the_log_with_its_reason() {
    let console = TestConsole::new().await;
    let mut record = request("jane", 409);
    record.reason = Some("userName is taken.".to_owned());
    console.log.add(record);
    console.log.add(request("omar", 201));
    let auditor = console.signed_in_as(Role::Auditor);
    let page = auditor.get("/console/log?status=failed").await;
    page.shows("userName is taken.").hides("omar");
}

#[actix_web::test]
async fn the_log_gives_its_script_what_is_new() {
    let console = TestConsole::new().await;
    let first = console.log.add(request("jane", 201));
    console.log.add(request("omar", 201));
    let auditor = console.signed_in_as(Role::Auditor);
    let tail = auditor.get(&format!("/console/log/tail?after={first}&live=1")).await;
    let tail: Value = serde_json::from_str(&tail.body).unwrap();
    assert_eq!(tail["lines"].as_array().unwrap().len(), 1, "{tail}");
    assert_eq!(tail["lines"][0]["name"], "omar");
}

#[actix_web::test]
async fn connect_waits_for_the_first_request() {
    let console = TestConsole::new().await;
    let auditor = console.signed_in_as(Role::Auditor);
    auditor.get("/console/connect/heard?after=0").await.shows("\"state\":\"waiting\"");
}

#[actix_web::test]
async fn connect_reports_a_request_that_worked() {
    let console = TestConsole::new().await;
    console.log.add(request("jane", 201));
    let auditor = console.signed_in_as(Role::Auditor);
    auditor.get("/console/connect/heard?after=0").await.shows("\"state\":\"good\"");
}

#[actix_web::test]
async fn connect_reports_a_request_with_an_unknown_token() {
    let console = TestConsole::new().await;
    let mut record = request("jane", 401);
    record.tenant = None;
    console.log.add(record);
    let auditor = console.signed_in_as(Role::Auditor);
    auditor.get("/console/connect/heard?after=0").await.shows("\"state\":\"bad\"");
}

#[actix_web::test]
async fn explain_links_to_a_user_who_is_here() {
    let console = TestConsole::new().await;
    let id = console.user("jane");
    let auditor = console.signed_in_as(Role::Auditor);
    let page = auditor.get("/console/explain?name=jane").await;
    page.shows("is here").shows(&format!("href=\"/console/resources/Users/{id}\""));
}

#[actix_web::test]
async fn the_audit_names_who_changed_what() {
    let console = TestConsole::new().await;
    let id = console.user("jane");
    for recorded in console.console.changes.newest_changes(DEFAULT, 1).unwrap() {
        console.activity.add(DEFAULT, recorded);
    }
    let auditor = console.signed_in_as(Role::Auditor);
    let page = auditor.get("/console/audit").await;
    page.shows("command line").shows(&format!("href=\"/console/resources/Users/{id}\""));
}

#[actix_web::test]
async fn a_tenant_that_is_switched_off_needs_attention() {
    let console = TestConsole::new().await;
    let change = headcount_token_admin::TenantChange { enabled: Some(false), quirks: None };
    console.console.tenants.change(&operator(), "default", change).unwrap();
    let auditor = console.signed_in_as(Role::Auditor);
    auditor.get("/console").await.shows("This tenant is disabled");
}
