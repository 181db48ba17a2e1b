//! Setup links, one's own account, and the accounts of others.

use headcount_token_admin::accounts::Role;

use crate::support::{PASSWORD, TestConsole};

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
