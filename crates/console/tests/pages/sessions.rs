//! Log-in, the cookie of a session, and its end.

use actix_web::test::TestRequest;
use headcount_http_api::HttpSettings;
use headcount_token_admin::accounts::Role;

use crate::support::{Browser, PASSWORD, Response, TestConsole};

async fn log_in(browser: &Browser<'_>, password: &str) -> Response {
    browser.post("/console/login", &[("name", "owner"), ("password", password)]).await
}

#[actix_web::test]
async fn the_right_password_leads_to_the_overview() {
    let console = TestConsole::new().await;
    let browser = console.with_owner();
    log_in(&browser, PASSWORD).await.redirects_to("/console");
}

#[actix_web::test]
async fn a_log_in_leads_back_to_the_page_that_asked_for_it() {
    let console = TestConsole::new().await;
    let browser = console.with_owner();
    let form = [("name", "owner"), ("password", PASSWORD), ("next", "/console/log")];
    browser.post("/console/login", &form).await.redirects_to("/console/log");
}

#[actix_web::test]
async fn a_log_in_never_leads_to_another_site() {
    let console = TestConsole::new().await;
    let browser = console.with_owner();
    let form = [("name", "owner"), ("password", PASSWORD), ("next", "https://evil.example")];
    browser.post("/console/login", &form).await.redirects_to("/console");
}

#[actix_web::test]
async fn the_cookie_of_a_session_is_read_by_no_script_and_sent_by_no_other_site() {
    let console = TestConsole::new().await;
    let browser = console.with_owner();
    let (cookie, attributes) = log_in(&browser, PASSWORD).await.set_cookie();
    assert!(cookie.starts_with("headcount="), "{cookie}");
    assert_eq!(attributes, ["HttpOnly", "Path=/", "SameSite=Strict"]);
}

#[actix_web::test]
async fn over_tls_the_cookie_of_a_session_belongs_to_this_host_alone() {
    let console =
        TestConsole::with_settings(HttpSettings { tls: true, ..HttpSettings::default() }).await;
    let browser = console.with_owner();
    let (cookie, attributes) = log_in(&browser, PASSWORD).await.set_cookie();
    assert!(cookie.starts_with("__Host-headcount="), "{cookie}");
    assert_eq!(attributes, ["HttpOnly", "Path=/", "SameSite=Strict", "Secure"]);
}

#[actix_web::test]
async fn the_cookie_of_a_log_in_opens_pages() {
    let console = TestConsole::new().await;
    let mut browser = console.with_owner();
    browser.cookie = log_in(&browser, PASSWORD).await.set_cookie().0;
    browser.get("/console").await.status(200);
}

#[actix_web::test]
async fn a_cookie_among_broken_ones_counts() {
    let console = TestConsole::new().await;
    let mut browser = console.signed_in_as(Role::Auditor);
    browser.cookie = format!("flag; =x; a=b=c; {}", browser.cookie);
    browser.get("/console").await.status(200);
}

#[actix_web::test]
async fn over_tls_a_cookie_without_the_prefix_counts_for_nothing() {
    let console =
        TestConsole::with_settings(HttpSettings { tls: true, ..HttpSettings::default() }).await;
    let browser = console.signed_in_as(Role::Owner);
    browser.get("/console").await.status(303);
}

#[actix_web::test]
async fn a_wrong_password_is_refused() {
    let console = TestConsole::new().await;
    let browser = console.with_owner();
    let response = log_in(&browser, "not the password").await;
    response.status(401).shows("name, password or code is wrong");
}

#[actix_web::test]
async fn an_unknown_account_is_refused_in_the_same_words() {
    let console = TestConsole::new().await;
    let browser = console.with_owner();
    let form = [("name", "nobody"), ("password", PASSWORD)];
    let response = browser.post("/console/login", &form).await;
    response.status(401).shows("name, password or code is wrong");
}

#[actix_web::test]
async fn after_seven_wrong_passwords_the_right_one_has_to_wait_a_minute() {
    let console = TestConsole::new().await;
    let browser = console.with_owner();
    for _ in 0..7 {
        log_in(&browser, "not the password").await.status(401);
    }
    log_in(&browser, PASSWORD).await.status(401);
    console.clock.advance(61);
    log_in(&browser, PASSWORD).await.status(303);
}

#[actix_web::test]
async fn the_log_in_says_how_the_first_account_is_made() {
    let console = TestConsole::new().await;
    console.visitor().get("/console/login").await.shows("headcount admin setup-link");
}

#[actix_web::test]
async fn a_session_needs_no_log_in() {
    let console = TestConsole::new().await;
    let browser = console.signed_in_as(Role::Auditor);
    browser.get("/console/login?next=/console/audit").await.redirects_to("/console/audit");
}

#[actix_web::test]
async fn a_log_out_ends_the_session() {
    let console = TestConsole::new().await;
    let browser = console.signed_in_as(Role::Auditor);
    browser.post("/console/logout", &[]).await.redirects_to("/console/login");
    browser.get("/console").await.status(303);
}

#[actix_web::test]
async fn a_log_out_clears_what_the_browser_stores() {
    let console = TestConsole::new().await;
    let browser = console.signed_in_as(Role::Auditor);
    let response = browser.post("/console/logout", &[]).await;
    response.header("clear-site-data", "\"cache\", \"storage\"");
    let (cookie, attributes) = response.set_cookie();
    assert_eq!(cookie, "headcount=");
    assert_eq!(attributes, ["HttpOnly", "Max-Age=0", "Path=/", "SameSite=Strict"]);
}

#[actix_web::test]
async fn a_session_ends_after_30_minutes_without_a_request() {
    let console = TestConsole::new().await;
    let browser = console.signed_in_as(Role::Auditor);
    console.clock.advance(30 * 60);
    browser.get("/console").await.status(303);
}

#[actix_web::test]
async fn a_session_ends_after_8_hours() {
    let console = TestConsole::new().await;
    let browser = console.signed_in_as(Role::Auditor);
    for _ in 0..23 {
        console.clock.advance(20 * 60);
        browser.get("/console/account").await.status(200);
    }
    console.clock.advance(20 * 60);
    browser.get("/console/account").await.status(303);
}

#[actix_web::test]
async fn a_page_that_asks_by_itself_keeps_no_session_alive() {
    let console = TestConsole::new().await;
    let browser = console.signed_in_as(Role::Auditor);
    console.clock.advance(20 * 60);
    browser.get("/console/log/tail?after=0&live=1").await.status(200);
    console.clock.advance(20 * 60);
    browser.get("/console").await.status(303);
}

#[actix_web::test]
async fn the_chosen_tenant_is_remembered_for_the_console_alone() {
    let console = TestConsole::new().await;
    let browser = console.signed_in_as(Role::Owner);
    browser.post("/console/settings", &[("act", "create-tenant"), ("name", "second")]).await;
    let (cookie, attributes) = browser.get("/console/log?tenant=second").await.set_cookie();
    assert_eq!(cookie, "headcount-tenant=second");
    assert_eq!(attributes, ["HttpOnly", "Path=/console", "SameSite=Strict"]);
}

#[actix_web::test]
async fn a_remembered_tenant_is_the_one_of_the_next_page() {
    let console = TestConsole::new().await;
    let mut browser = console.signed_in_as(Role::Owner);
    browser.post("/console/settings", &[("act", "create-tenant"), ("name", "second")]).await;
    browser.cookie += "; headcount-tenant=second";
    browser.get("/console/tokens").await.shows("token list --tenant second");
}

#[actix_web::test]
async fn a_tenant_that_does_not_exist_is_not_remembered() {
    let console = TestConsole::new().await;
    let browser = console.signed_in_as(Role::Auditor);
    let request = TestRequest::get().uri("/console/tokens?tenant=none");
    let response = browser.send(request).await;
    response.status(200).hides("tenant none").lacks_header("set-cookie");
}

#[actix_web::test]
async fn s12_the_cookie_of_a_device_is_read_by_no_script_and_outlives_the_session() {
    let console = TestConsole::new().await;
    let browser = console.with_owner();
    let (cookie, attributes) = log_in(&browser, PASSWORD).await.device_cookie();
    assert!(cookie.starts_with("headcount-device="), "{cookie}");
    assert_eq!(attributes, ["HttpOnly", "Max-Age=7776000", "Path=/", "SameSite=Strict"]);
    let console =
        TestConsole::with_settings(HttpSettings { tls: true, ..HttpSettings::default() }).await;
    let browser = console.with_owner();
    let (cookie, attributes) = log_in(&browser, PASSWORD).await.device_cookie();
    assert!(cookie.starts_with("__Host-headcount-device="), "{cookie}");
    assert!(attributes.contains(&"Secure".to_owned()), "{attributes:?}");
}

#[actix_web::test]
async fn s12_guessers_do_not_keep_out_a_device_that_was_there_before() {
    let console = TestConsole::new().await;
    let mut browser = console.with_owner();
    browser.cookie = log_in(&browser, PASSWORD).await.device_cookie().0;
    let stranger = console.visitor();
    for _ in 0..40 {
        log_in(&stranger, "not the password").await.status(401);
    }
    log_in(&stranger, PASSWORD).await.status(401);
    log_in(&browser, PASSWORD).await.status(303);
}
