//! Setup links, one's own account, and the accounts of others.

use std::sync::Arc;

use actix_http::Payload;
use actix_http::error::PayloadError;
use actix_web::http::header::ContentType;
use actix_web::test::TestRequest;
use actix_web::web::Bytes;
use headcount_core::clock::Clock as _;
use headcount_token_admin::accounts::{AccountStore as _, Password, Role, SealedTotp};

use crate::support::{Browser, PASSWORD, Response, TestConsole, operator};

const OTHER_PASSWORD: &str = "quarry otter velvet";

#[actix_web::test]
async fn a_setup_link_makes_the_first_account_and_logs_in() {
    let console = TestConsole::new().await;
    let (mut browser, link) = (console.visitor(), console.setup_link());
    let form = [("name", "owner"), ("new", PASSWORD), ("again", PASSWORD)];
    let response = browser.post(&format!("/console/setup/{link}"), &form).await;
    browser.cookie = response.redirects_to("/console/connect").set_cookie().0;
    browser.get("/console").await.status(200);
}

#[actix_web::test]
async fn a_setup_link_works_once() {
    let console = TestConsole::new().await;
    let link = console.setup_link();
    console.signed_in_as(Role::Owner);
    let response = console.visitor().get(&format!("/console/setup/{link}")).await;
    response.status(404).shows("headcount admin recover NAME");
}

#[actix_web::test]
async fn a_password_that_was_mistyped_is_entered_again() {
    let console = TestConsole::new().await;
    let link = console.setup_link();
    let form = [("name", "owner"), ("new", PASSWORD), ("again", "velvet")];
    let response = console.visitor().post(&format!("/console/setup/{link}"), &form).await;
    response.status(422).shows("id=\"new-error\">the two passwords differ<");
}

#[actix_web::test]
async fn a_password_that_is_too_short_is_refused_at_its_field() {
    let console = TestConsole::new().await;
    let link = console.setup_link();
    let form = [("name", "owner"), ("new", "velvet"), ("again", "velvet")];
    let response = console.visitor().post(&format!("/console/setup/{link}"), &form).await;
    response.status(422).shows("id=\"new-error\"").hides("id=\"name-error\"");
}

#[actix_web::test]
async fn a_name_that_no_account_can_have_is_refused_at_its_field() {
    let console = TestConsole::new().await;
    let link = console.setup_link();
    let form = [("name", "two words"), ("new", PASSWORD), ("again", PASSWORD)];
    let response = console.visitor().post(&format!("/console/setup/{link}"), &form).await;
    response.status(422).shows("id=\"name-error\"").hides("id=\"new-error\"");
}

#[actix_web::test]
async fn a_new_password_needs_the_old_one() {
    let console = TestConsole::new().await;
    let mut browser = console.with_owner();
    let form = [("name", "owner"), ("password", PASSWORD)];
    browser.cookie = browser.post("/console/login", &form).await.set_cookie().0;
    browser.form_token = console.form_token(&browser.cookie);
    let form = [
        ("act", "password"),
        ("old", "velvet"),
        ("new", OTHER_PASSWORD),
        ("again", OTHER_PASSWORD),
    ];
    let response = browser.post("/console/account", &form).await;
    response.status(422).shows("id=\"old-error\"");
}

#[actix_web::test]
async fn a_wrong_code_is_refused_at_its_field() {
    let console = TestConsole::new().await;
    let browser = console.signed_in_as(Role::Auditor);
    let key = browser.get("/console/account").await.input("secret");
    let form = [("act", "codes"), ("secret", key.as_str()), ("code", "0")];
    let response = browser.post("/console/account", &form).await;
    response.status(422).shows("id=\"code-error\"").shows(&key);
}

#[actix_web::test]
async fn all_sessions_of_an_account_end_at_once() {
    let console = TestConsole::new().await;
    let browser = console.signed_in_as(Role::Auditor);
    let response = browser.post("/console/account", &[("act", "everywhere")]).await;
    response.redirects_to("/console/login");
    browser.get("/console").await.status(303);
}

#[actix_web::test]
async fn another_role_ends_the_sessions_of_the_account() {
    let console = TestConsole::new().await;
    let (owner, auditor) = (console.signed_in_as(Role::Owner), console.signed_in_as(Role::Auditor));
    let form = [("act", "role"), ("name", "auditor"), ("role", "admin")];
    owner.post("/console/settings", &form).await.redirects_to("/console/settings?done=role");
    auditor.get("/console").await.status(303);
}

#[actix_web::test]
async fn the_last_owner_stays() {
    let console = TestConsole::new().await;
    let owner = console.signed_in_as(Role::Owner);
    let form = [("act", "remove"), ("name", "owner")];
    let response = owner.post("/console/settings", &form).await;
    response.status(422).shows("this is the last owner");
}

#[actix_web::test]
async fn a_name_is_invited_once() {
    let console = TestConsole::new().await;
    let owner = console.signed_in_as(Role::Owner);
    let form = [("act", "invite"), ("name", "owner"), ("role", "admin")];
    let response = owner.post("/console/settings", &form).await;
    response.status(422).shows("id=\"invite-error\"");
}

#[actix_web::test]
async fn five_minutes_after_the_password_an_invitation_asks_for_it() {
    let console = TestConsole::new().await;
    let owner = console.signed_in_as(Role::Owner);
    console.clock.advance(5 * 60);
    let form = [("act", "invite"), ("name", "jane"), ("role", "auditor")];
    let response = owner.post("/console/settings", &form).await;
    response.status(422).shows("enter your password to continue").hides("/console/setup/");
}

/// Sends a form whose body arrives only after `meanwhile` has happened.
async fn slow_form(
    browser: &Browser<'_>,
    path: &str,
    fields: &str,
    meanwhile: impl FnOnce() + 'static,
) -> Response {
    let form = format!("token={}&{fields}", browser.form_token);
    let body = futures_util::stream::once(async move {
        meanwhile();
        Ok::<_, PayloadError>(Bytes::from(form))
    });
    let request = TestRequest::post().uri(path).insert_header(ContentType::form_url_encoded());
    let request = request.insert_header(("Sec-Fetch-Site", "same-origin"));
    browser.send_with(request, Payload::Stream { payload: Box::pin(body) }).await
}

#[actix_web::test]
async fn s8_an_account_that_is_removed_while_it_sends_a_form_does_nothing() {
    let console = TestConsole::new().await;
    let (_, auditor) = (console.signed_in_as(Role::Owner), console.signed_in_as(Role::Admin));
    let accounts = Arc::clone(&console.console.accounts);
    let form = "name=kept&days=1&scope=scim%3Aread";
    let response = slow_form(&auditor, "/console/tokens", form, move || {
        accounts.remove(&operator(), "admin").unwrap();
    });
    response.await.status(401).hides("hc_");
    assert!(console.console.api.tokens.list(&operator(), None).unwrap().is_empty());
}

#[actix_web::test]
async fn s8_an_account_that_is_demoted_while_it_sends_a_form_does_nothing() {
    let console = TestConsole::new().await;
    let (owner, other) = (console.signed_in_as(Role::Owner), console.signed_in_as(Role::Admin));
    let accounts = Arc::clone(&console.console.accounts);
    drop(other);
    accounts.set_role(&operator(), "admin", Role::Owner).unwrap();
    let form = "act=invite&name=door&role=owner";
    let response = slow_form(&owner, "/console/settings", form, move || {
        accounts.set_role(&operator(), "owner", Role::Auditor).unwrap();
    });
    response.await.status(401).hides("/console/setup/");
}

#[actix_web::test]
async fn s8_an_invitation_of_a_removed_owner_opens_nothing() {
    let console = TestConsole::new().await;
    let (owner, _) = (console.signed_in_as(Role::Owner), console.signed_in_as(Role::Admin));
    let accounts = &console.console.accounts;
    accounts.set_role(&operator(), "admin", Role::Owner).unwrap();
    let form = [("act", "invite"), ("name", "door"), ("role", "owner")];
    let made = owner.post("/console/settings", &form).await;
    let page = owner.get(made.status(303).header_text("location").unwrap()).await;
    let (_, rest) = page.status(200).body.split_once("/console/setup/").unwrap();
    let link = format!("/console/setup/{}", rest.split('"').next().unwrap());
    console.visitor().get(&link).await.status(200);
    accounts.remove(&operator(), "owner").unwrap();
    let form = [("new", PASSWORD), ("again", PASSWORD)];
    console.visitor().post(&link, &form).await.status(404);
}

#[actix_web::test]
async fn s11_ending_codes_asks_for_a_code_and_for_a_long_password() {
    let console = TestConsole::new().await;
    let browser = console.signed_in_as(Role::Auditor);
    let sealed = SealedTotp::from_store(vec![7; 20]);
    let by = operator().author;
    console.accounts.set_totp("auditor", &sealed, console.clock.now(), &by).unwrap();
    let page = browser.get("/console/account").await;
    page.status(200).shows("id=\"end-code\"").hides("id=\"alone\"");
    let response = browser.post("/console/account", &[("act", "no-codes"), ("code", "0")]).await;
    response.status(422).shows("id=\"end-code-error\"");
    // A password whose strength is not known has to be replaced.
    let row = console.accounts.admin("auditor").unwrap().unwrap();
    let unknown = Password { stands_alone: None, ..row.password.clone() };
    console.accounts.rehash("auditor", &row.password.hash, &unknown).unwrap();
    browser.get("/console/account").await.shows("id=\"alone\"");
    let form = [("act", "no-codes"), ("code", "0"), ("new", "velvet"), ("again", "velvet")];
    let response = browser.post("/console/account", &form).await;
    response.status(422).shows("id=\"alone-error\">use at least 15 characters");
}
