//! The forms of tokens, tenants and exports: what they do, and which field an error is at.

use headcount_token_admin::accounts::Role;
use serde_json::json;

use crate::support::{Browser, Response, TestConsole, operator};

/// Sends the form of a new token, with one field changed.
async fn new_token(browser: &Browser<'_>, changed: (&str, &str)) -> Response {
    let form = [("name", "entra"), ("days", "30"), ("cidrs", ""), ("scope", "scim:read")];
    let form = form.map(|field| if field.0 == changed.0 { changed } else { field });
    browser.post_and_follow("/console/tokens", &form).await
}

/// Makes a token and returns the path of its page.
async fn token_page(browser: &Browser<'_>) -> String {
    let secret = new_token(browser, ("days", "30")).await.status(200).input("secret");
    format!("/console/tokens/{}", secret.split('_').nth(1).unwrap())
}

#[actix_web::test]
async fn a_token_is_shown_once() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    let secret = new_token(&admin, ("name", "entra")).await.status(200).input("secret");
    assert!(secret.starts_with("hc_") && secret.len() > 60, "{secret}");
    admin.get("/console/tokens").await.shows("entra").hides(&secret);
}

#[actix_web::test]
async fn a_token_is_shown_with_the_command_that_makes_it() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    let response = new_token(&admin, ("cidrs", "203.0.113.0/24")).await;
    response.shows(
        "headcount --database test.db token create --name entra --tenant default \
         --scope scim:read --expires 30d --cidr 203.0.113.0/24",
    );
}

#[actix_web::test]
async fn connect_puts_a_new_token_where_it_belongs() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    let form = [("name", "okta"), ("days", "30"), ("scope", "scim:read")];
    let response = admin.post_and_follow("/console/connect?idp=generic", &form).await;
    let (token, bearer) = (response.input("field-1"), response.input("field-2"));
    assert!(token.starts_with("hc_"), "{token}");
    assert_eq!(bearer, format!("Bearer {token}"));
}

#[actix_web::test]
async fn each_error_of_a_new_token_is_at_its_field() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    for (changed, error) in [
        (("name", ""), "name-error"),
        (("days", "soon"), "days-error"),
        (("days", "0"), "days-error"),
        (("days", "100000"), "days-error"),
        (("cidrs", "office"), "cidrs-error"),
        (("scope", "none"), "scopes-error"),
    ] {
        let response = new_token(&admin, changed).await;
        response.status(422).shows(&format!("id=\"{error}\""));
        assert_eq!(response.body.matches("class=\"error\"").count(), 1, "{changed:?}");
    }
}

#[actix_web::test]
async fn what_was_entered_stays_in_a_form_with_an_error() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    let response = new_token(&admin, ("cidrs", "office")).await;
    response.shows("value=\"entra\"").shows("value=\"office\"");
}

#[actix_web::test]
async fn five_minutes_after_the_password_a_token_needs_it() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    console.clock.advance(5 * 60);
    let response = new_token(&admin, ("name", "entra")).await;
    response.status(422).shows("enter your password to continue");
}

#[actix_web::test]
async fn a_rotated_token_is_shown_with_the_end_of_the_old_one() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    let path = token_page(&admin).await;
    let response = admin.post_and_follow(&path, &[("act", "rotate"), ("hours", "24")]).await;
    let secret = response.status(200).shows("works until").input("secret");
    assert!(!path.contains(secret.split('_').nth(1).unwrap()), "{secret}");
}

#[actix_web::test]
async fn an_overlap_that_is_no_number_is_refused_at_its_field() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    let path = token_page(&admin).await;
    let response = admin.post(&path, &[("act", "rotate"), ("hours", "a day")]).await;
    response.status(422).shows("id=\"hours-error\">enter a number of hours<");
}

#[actix_web::test]
async fn a_revoked_token_says_so() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    let path = token_page(&admin).await;
    admin.post(&path, &[("act", "revoke")]).await.redirects_to(&path);
    admin.get(&path).await.shows(">revoked<").hides("Rotate token");
}

#[actix_web::test]
async fn a_downloaded_token_has_a_plain_file_name() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    let form = [("name", "../a\"b"), ("secret", "hc_secret")];
    let response = admin.post("/console/tokens/file", &form).await;
    response
        .header("content-disposition", "attachment; filename=\"headcount-___a_b.txt\"")
        .shows("Token: hc_secret");
}

#[actix_web::test]
async fn a_tenant_name_is_checked_at_its_field() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    let form = [("act", "create-tenant"), ("name", "Two Words")];
    let response = admin.post("/console/settings", &form).await;
    response.status(422).shows("id=\"tenant-error\"");
}

#[actix_web::test]
async fn a_tenant_is_deleted_only_by_its_name() {
    let console = TestConsole::new().await;
    let owner = console.signed_in_as(Role::Owner);
    owner.post("/console/settings", &[("act", "create-tenant"), ("name", "second")]).await;
    let delete = [("act", "delete-tenant"), ("name", "secnd")];
    let response = owner.post("/console/settings?tenant=second", &delete).await;
    response.status(422).shows("id=\"delete-error\">enter the name of the tenant<");
    let delete = [("act", "delete-tenant"), ("name", "second")];
    let response = owner.post("/console/settings?tenant=second", &delete).await;
    response.redirects_to("/console/settings?done=deleted");
}

#[actix_web::test]
async fn a_quirk_that_is_switched_off_stays_off() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    let form = [("act", "switches"), ("enabled", "on"), ("quirk", "bare-words")];
    let response = admin.post("/console/settings", &form).await;
    response.redirects_to("/console/settings?done=switches");
    admin
        .get("/console/settings")
        .await
        .shows("value=\"bare-words\" checked")
        .hides("value=\"plus-in-query\" checked");
}

#[actix_web::test]
async fn an_action_that_does_not_exist_is_refused() {
    let console = TestConsole::new().await;
    let owner = console.signed_in_as(Role::Owner);
    for path in ["/console/settings", "/console/account"] {
        let response = owner.post(path, &[("act", "dance")]).await;
        response.status(400).shows("There is no such action.");
    }
}

#[actix_web::test]
async fn an_export_has_what_the_search_finds() {
    let console = TestConsole::new().await;
    console.create("User", json!({"userName": "jane", "title": "=1+1"}));
    console.user("omar");
    let admin = console.signed_in_as(Role::Admin);
    let form = [("as", "csv"), ("q", "userName eq \"jane\"")];
    let response = admin.post("/console/resources/Users", &form).await;
    response
        .status(200)
        .header("content-disposition", "attachment; filename=\"headcount-users.csv\"")
        .shows("\"jane\"")
        .shows("\"'=1+1\"")
        .hides("omar");
}

#[actix_web::test]
async fn h_a_form_that_does_not_say_so_switches_no_tenant_off() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    let form = [("act", "switches"), ("quirk", "bare-words")];
    admin.post("/console/settings", &form).await.redirects_to("/console/settings?done=switches");
    let tenants = console.console.tenants.list(&operator()).unwrap();
    assert!(tenants.iter().all(|tenant| tenant.enabled));
}

#[actix_web::test]
async fn h_switching_a_tenant_off_asks_for_the_password() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    let enabled = || console.console.tenants.list(&operator()).unwrap()[0].enabled;
    console.clock.advance(5 * 60);
    let off = [("act", "switches"), ("enabled", "off")];
    let response = admin.post("/console/settings", &off).await;
    response.status(422).shows("enter your password to continue");
    assert!(enabled());
    // What can be switched back does not.
    let on = [("act", "switches"), ("enabled", "on")];
    admin.post("/console/settings", &on).await.redirects_to("/console/settings?done=switches");
}

#[actix_web::test]
async fn h_a_tenant_is_switched_off_soon_after_the_password() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    let off = [("act", "switches"), ("enabled", "off")];
    admin.post("/console/settings", &off).await.redirects_to("/console/settings?done=switches");
    assert!(!console.console.tenants.list(&operator()).unwrap()[0].enabled);
}

#[actix_web::test]
async fn n_an_export_is_recorded_before_it_leaves() {
    let console = TestConsole::new().await;
    console.user("jane");
    let admin = console.signed_in_as(Role::Admin);
    admin.post("/console/resources/Users", &[("as", "csv")]).await.status(200).shows("jane");
    let (kind, id, change) = console.accounts.changes().pop().unwrap();
    assert_eq!((kind.as_str(), id.as_str()), ("Export", "1"));
    assert_eq!(
        (change.actor.to_string(), change.paths.join(" ")),
        ("admin".to_owned(), "users csv".to_owned())
    );
}

#[actix_web::test]
async fn ux_23_every_error_of_a_new_token_is_shown_at_once() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    let form = [("name", " x\u{7} "), ("days", "99999"), ("cidrs", "10.0.0.0/99")];
    let response = admin.post("/console/tokens", &form).await;
    for error in ["name-error", "days-error", "cidrs-error", "scopes-error"] {
        response.status(422).shows(&format!("id=\"{error}\""));
    }
    assert_eq!(response.body.matches("class=\"error\"").count(), 4);
    console.clock.advance(5 * 60);
    let response = new_token(&admin, ("days", "99999")).await;
    response.shows("id=\"days-error\"").shows("enter your password to continue");
}

#[actix_web::test]
async fn ux_5_reloading_the_page_of_a_new_token_shows_and_makes_nothing() {
    let console = TestConsole::new().await;
    let (admin, other) = (console.signed_in_as(Role::Admin), console.signed_in_as(Role::Owner));
    let form = [("name", "entra"), ("days", "30"), ("scope", "scim:read")];
    for (path, id) in [("/console/tokens", "secret"), ("/console/connect?idp=entra", "field-1")] {
        let form = form.map(|field| if field.0 == "name" { ("name", id) } else { field });
        let made = admin.post(path, &form).await;
        let page = made.status(303).header_text("location").unwrap().to_owned();
        other.get(&page).await.hides("value=\"hc_");
        let secret = admin.get(&page).await.status(200).input(id);
        assert!(secret.starts_with("hc_"), "{secret}");
        assert!(!page.contains(&secret) && !made.body.contains(&secret));
        let again = admin.get(&page).await;
        let again = match again.header_text("location") {
            Some(location) => admin.get(location).await,
            None => again,
        };
        again.status(200).hides(&secret).shows("cannot be shown again");
    }
    let tokens = admin.get("/console/tokens").await;
    assert_eq!(tokens.body.matches("<a href=\"/console/tokens/").count(), 2);
}

#[actix_web::test]
async fn ux_5_an_invitation_is_shown_once() {
    let console = TestConsole::new().await;
    let owner = console.signed_in_as(Role::Owner);
    let form = [("act", "invite"), ("name", "jane"), ("role", "auditor")];
    let made = owner.post("/console/settings", &form).await;
    let page = made.status(303).header_text("location").unwrap().to_owned();
    owner.get(&page).await.shows("/console/setup/").shows("<strong>jane</strong>");
    owner.get(&page).await.status(200).hides("/console/setup/");
}

#[actix_web::test]
async fn ux_5_a_name_that_a_working_token_has_is_asked_about_once() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    new_token(&admin, ("name", "entra")).await.status(200);
    let asked = new_token(&admin, ("name", "entra")).await;
    asked
        .status(422)
        .shows("a working token of this tenant has this name")
        .shows("value=\"entra\"");
    let form = [("name", "entra"), ("days", "30"), ("scope", "scim:read"), ("again", "entra")];
    admin.post("/console/tokens", &form).await.status(303);
    admin.get("/console/connect?idp=entra").await.shows("value=\"entra-2\"");
}

#[actix_web::test]
async fn ux_15b_a_revoked_token_does_not_expire() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    let path = token_page(&admin).await;
    admin.get(&path).await.shows("<dt>Expires</dt>");
    admin.post(&path, &[("act", "revoke")]).await;
    admin.get(&path).await.shows("<dt>Revoked</dt>").hides("<dt>Expires</dt>");
}
