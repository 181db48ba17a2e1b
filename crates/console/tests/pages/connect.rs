//! The panel of the page that connects an identity provider: whose requests turn which mark.

use headcount_core::ids::{Kind, TokenId};
use headcount_records::RequestRecord;
use headcount_token_admin::accounts::Role;
use serde_json::Value;

use crate::support::{Browser, TestConsole, request};

/// Makes a token on the page of an identity provider; returns its id and the address of the panel.
async fn connect(admin: &Browser<'_>) -> (TokenId, String) {
    let form = [("name", "entra"), ("days", "30"), ("scope", "scim:read")];
    let page = admin.post_and_follow("/console/connect?idp=entra", &form).await;
    let (_, rest) = page.status(200).body.split_once("data-live=\"").unwrap();
    let live = rest.split('"').next().unwrap().replace("&#38;", "&");
    let id = live.split("for=").nth(1).unwrap().split('&').next().unwrap();
    (TokenId::new(id), live)
}

/// A request with a token that was accepted, or with none that is known.
fn sent(token: Option<&TokenId>, method: &str, path: &str, status: u16) -> RequestRecord {
    let mut record = request("jane", status);
    record.token = token.cloned();
    record.method = method.to_owned();
    record.path = path.to_owned();
    record.kind = path.starts_with("/Users").then(|| Kind::new("User"));
    record
}

/// A request whose token was not accepted.
fn refused(token: Option<&TokenId>, path: &str, why: &str) -> RequestRecord {
    let mut record = sent(token, "GET", path, 401);
    record.proven = false;
    record.refused = Some(why.to_owned());
    if token.is_none() {
        record.tenant = None;
        record.token_name = None;
    }
    record
}

/// A request at an address where there is nothing.
fn astray(token: Option<&TokenId>) -> RequestRecord {
    let mut record = refused(token, "/Users", "malformed");
    record.status = 404;
    record.kind = None;
    record.refused = token.is_none().then(|| "malformed".to_owned());
    record.reason = Some("the base URL for SCIM is https://h.example/scim/v2".to_owned());
    record
}

/// What the panel shows: its state, and those of its marks.
async fn panel(admin: &Browser<'_>, live: &str) -> (String, Value) {
    let panel: Value = serde_json::from_str(&admin.get(live).await.body).unwrap();
    let marks = panel["marks"].as_array().unwrap();
    let states = marks.iter().map(|mark| mark["state"].as_str().unwrap());
    let states: Vec<&str> = [panel["state"].as_str().unwrap()].into_iter().chain(states).collect();
    (states.join(" "), panel)
}

#[actix_web::test]
async fn ux_1_a_wrong_base_url_is_red_whatever_the_token_is() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    let (token, live) = connect(&admin).await;
    for who in [None, Some(&token)] {
        console.log.add(astray(who));
        let (states, panel) = panel(&admin, &live).await;
        assert_eq!(states, "bad bad waiting waiting", "{panel}");
        assert!(panel["text"].as_str().unwrap().contains("wrong URL"), "{panel}");
        assert!(panel["advice"].as_str().unwrap().contains("ends in /scim/v2"), "{panel}");
    }
}

#[actix_web::test]
async fn ux_1_one_resource_that_is_not_here_proves_the_token_alone() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    let (token, live) = connect(&admin).await;
    console.log.add(sent(Some(&token), "GET", "/Users/nobody", 404));
    assert_eq!(panel(&admin, &live).await.0, "waiting good good waiting");
    console.log.add(sent(Some(&token), "GET", "/Schemas", 200));
    assert_eq!(panel(&admin, &live).await.0, "waiting good good waiting");
    console.log.add(sent(Some(&token), "GET", "/Users", 200));
    let (states, panel) = panel(&admin, &live).await;
    assert_eq!(states, "good good good good", "{panel}");
    assert!(panel["text"].as_str().unwrap().starts_with("It works."), "{panel}");
}

#[actix_web::test]
async fn ux_1_what_needs_no_token_shows_that_the_server_is_reached() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    let (token, live) = connect(&admin).await;
    let mut record = sent(Some(&token), "GET", "/ServiceProviderConfig", 200);
    record.proven = false;
    console.log.add(record);
    assert_eq!(panel(&admin, &live).await.0, "waiting good waiting waiting");
}

#[actix_web::test]
async fn ux_1_a_wrong_token_and_a_wrong_scope_are_told_apart() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    let (token, live) = connect(&admin).await;
    console.log.add(refused(None, "/Users", "malformed"));
    let (states, shown) = panel(&admin, &live).await;
    assert_eq!(states, "bad waiting bad waiting", "{shown}");
    assert!(shown["text"].as_str().unwrap().contains("wrong token"), "{shown}");
    assert!(shown["advice"].as_str().unwrap().contains("Paste the whole token"), "{shown}");
    console.log.add(sent(Some(&token), "POST", "/Users", 403));
    let (states, shown) = panel(&admin, &live).await;
    assert_eq!(states, "bad good good bad", "{shown}");
    assert!(shown["text"].as_str().unwrap().contains("wrong scope"), "{shown}");
    console.log.add(refused(Some(&token), "/Users", "revoked"));
    let (states, shown) = panel(&admin, &live).await;
    assert!(states.starts_with("bad good bad"), "{shown}");
}

#[actix_web::test]
async fn ux_2_strangers_turn_nothing_and_others_are_only_mentioned() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    let (token, live) = connect(&admin).await;
    let scanner = |path: &str, status: u16| {
        let mut record = refused(None, path, "");
        (record.status, record.refused, record.kind) = (status, None, None);
        record
    };
    for record in [scanner("/wp-login.php", 404), scanner("/Users", 404), scanner("/Users", 401)] {
        console.log.add(record);
    }
    let other = TokenId::new("another");
    console.log.add(sent(Some(&other), "POST", "/Users", 201));
    console.log.add(refused(Some(&other), "/Users", "revoked"));
    let (states, shown) = panel(&admin, &live).await;
    assert_eq!(states, "waiting waiting waiting waiting", "{shown}");
    assert!(shown["also"].as_str().unwrap().starts_with("Also heard: Entra with"), "{shown}");
    // Once this token was heard, no garbage takes its marks away.
    console.log.add(sent(Some(&token), "GET", "/Users", 200));
    console.log.add(refused(None, "/Users", "malformed"));
    console.log.add(astray(None));
    assert_eq!(panel(&admin, &live).await.0, "good good good good");
}

#[actix_web::test]
async fn ux_2_without_a_token_nothing_is_listened_for() {
    let console = TestConsole::new().await;
    let admin = console.signed_in_as(Role::Admin);
    console.log.add(sent(Some(&TokenId::new("another")), "POST", "/Users", 201));
    let (states, shown) = panel(&admin, "/console/connect/heard?after=0").await;
    assert_eq!(states, "waiting waiting waiting waiting", "{shown}");
    assert!(shown["text"].as_str().unwrap().contains("Create a token"), "{shown}");
    let (token, _) = connect(&admin).await;
    let page = admin.get("/console/connect?idp=okta").await;
    page.shows("Listen for a token that was made before").shows(&format!("for={token}"));
}
