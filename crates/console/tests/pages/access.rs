//! Who gets to a page: role, session and origin of a form.

use actix_web::test::TestRequest;
use headcount_token_admin::accounts::Role;

use crate::support::TestConsole;

/// Every page that is shown to every role.
const PAGES: [&str; 15] = [
    "/console",
    "/console?span=day",
    "/console/connect",
    "/console/connect?idp=okta",
    "/console/connect/heard",
    "/console/tokens",
    "/console/resources/Users",
    "/console/resources/Groups",
    "/console/log",
    "/console/log/tail",
    "/console/explain",
    "/console/explain?name=jane",
    "/console/audit",
    "/console/account",
    "/console/settings",
];

const TOKEN_FORM: [(&str, &str); 3] = [("name", "entra"), ("days", "1"), ("scope", "scim:read")];

#[actix_web::test]
async fn a_page_without_a_session_leads_to_the_log_in() {
    let console = TestConsole::new().await;
    for path in PAGES {
        let path = path.split('?').next().unwrap();
        let next = format!("/console/login?next={path}");
        console.visitor().get(path).await.redirects_to(&next);
    }
}

#[actix_web::test]
async fn every_role_reads_every_page() {
    for role in Role::ALL {
        let console = TestConsole::new().await;
        let browser = console.signed_in_as(role);
        for path in PAGES {
            browser.get(path).await.status(200);
        }
    }
}

#[actix_web::test]
async fn an_auditor_makes_no_token() {
    let console = TestConsole::new().await;
    let auditor = console.signed_in_as(Role::Auditor);
    let response = auditor.post("/console/tokens", &TOKEN_FORM).await;
    response.status(403).shows("Your account may not do this");
}

#[actix_web::test]
async fn an_auditor_exports_nothing() {
    let console = TestConsole::new().await;
    let auditor = console.signed_in_as(Role::Auditor);
    auditor.post("/console/resources/Users", &[("as", "csv")]).await.status(403);
}

#[actix_web::test]
async fn an_auditor_is_shown_no_form_for_tokens() {
    let console = TestConsole::new().await;
    let auditor = console.signed_in_as(Role::Auditor);
    auditor.get("/console/tokens").await.hides("New token");
}

#[actix_web::test]
async fn an_admin_makes_a_token() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    admin.post("/console/tokens", &TOKEN_FORM).await.status(303);
}

#[actix_web::test]
async fn an_admin_makes_no_token_for_all_tenants() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    let form = [("name", "entra"), ("days", "1"), ("scope", "tenants:all")];
    admin.post("/console/tokens", &form).await.status(403);
}

#[actix_web::test]
async fn an_admin_invites_no_account() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    let form = [("act", "invite"), ("name", "jane"), ("role", "auditor")];
    admin.post("/console/settings", &form).await.status(403);
}

#[actix_web::test]
async fn an_admin_deletes_no_tenant() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    let form = [("act", "delete-tenant"), ("name", "default")];
    admin.post("/console/settings", &form).await.status(403);
}

#[actix_web::test]
async fn an_owner_invites_an_account_with_a_link() {
    let console = TestConsole::new().await;
    let owner = console.signed_in_as(Role::Owner);
    let form = [("act", "invite"), ("name", "jane"), ("role", "auditor")];
    let page = owner.post_and_follow("/console/settings", &form).await;
    page.status(200).shows("/console/setup/").shows("admin invite");
}

#[actix_web::test]
async fn a_form_of_another_site_is_refused() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    let form = [&[("token", admin.form_token.as_str())], &TOKEN_FORM[..]].concat();
    for site in ["cross-site", "same-site", "none"] {
        let request = TestRequest::post().uri("/console/tokens").set_form(&form);
        let response = admin.send(request.insert_header(("Sec-Fetch-Site", site))).await;
        response.status(403).shows("This form");
    }
}

#[actix_web::test]
async fn a_form_of_another_origin_is_refused() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    let form = [&[("token", admin.form_token.as_str())], &TOKEN_FORM[..]].concat();
    let request = TestRequest::post().uri("/console/tokens").set_form(&form);
    let request = request.insert_header(("Origin", "https://evil.example"));
    admin.send(request).await.status(403);
}

#[actix_web::test]
async fn a_form_of_an_old_browser_needs_only_its_token() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    let form = [&[("token", admin.form_token.as_str())], &TOKEN_FORM[..]].concat();
    admin.send(TestRequest::post().uri("/console/tokens").set_form(&form)).await.status(303);
}

#[actix_web::test]
async fn a_form_without_the_token_of_its_session_is_refused() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    let other = console.signed_in_as(Role::Owner);
    for token in ["", other.form_token.as_str()] {
        let form = [&[("token", token)], &TOKEN_FORM[..]].concat();
        let request = TestRequest::post().uri("/console/tokens").set_form(&form);
        let request = request.insert_header(("Sec-Fetch-Site", "same-origin"));
        admin.send(request).await.status(403);
    }
}

#[actix_web::test]
async fn a_log_in_has_to_say_where_it_comes_from() {
    let console = TestConsole::new().await;
    let form = [("name", "owner"), ("password", "x")];
    let request = TestRequest::post().uri("/console/login").set_form(form);
    console.visitor().send(request).await.status(403);
}

#[actix_web::test]
async fn a_form_without_a_session_is_answered_with_a_page() {
    let console = TestConsole::new().await;
    let response = console.visitor().post("/console/tokens", &TOKEN_FORM).await;
    response.status(401).shows("You are not logged in");
}

#[actix_web::test]
async fn a_body_that_is_no_form_is_refused() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    let request = TestRequest::post().uri("/console/tokens").set_json(["name"]);
    admin.send(request).await.status(400);
}

#[actix_web::test]
async fn a_form_of_more_than_64_kib_is_refused() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    let name = "x".repeat(64 * 1024);
    admin.post("/console/tokens", &[("name", &name)]).await.status(400);
}

#[actix_web::test]
async fn a_path_without_a_page_is_not_found() {
    let console = TestConsole::new().await;
    let response = console.visitor().get("/console/nowhere").await;
    response.status(404).shows("There is no such page in the console.");
}

#[actix_web::test]
async fn what_a_page_is_about_has_to_exist() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    for path in ["/resources/Robots", "/resources/Users/none", "/tokens/none", "/log/7", "/log/x"] {
        admin.get(&format!("/console{path}")).await.status(404);
    }
}
