//! Every page, in light and dark, on a desk and on a phone.

use std::time::Duration;

use headcount_e2e::server::wait_for;
use headcount_e2e::{Client, Page};
use serde_json::json;

use crate::gallery::Gallery;
use crate::support::{PASSWORD, Site};

/// Every page: name of its picture, path, and what it shows.
fn tour(site: &Site, page: &Page) -> Vec<(&'static str, String, &'static str)> {
    let first = |path: &str, selector: &str| {
        page.goto(&site.url(path));
        let script =
            format!("new URL(document.querySelector('{selector}').href).pathname.slice(8)");
        page.eval(&script).as_str().unwrap().to_owned()
    };
    vec![
        ("overview", String::new(), "Activity"),
        ("connect", "/connect".to_owned(), "Enter this in Entra ID"),
        ("connect-okta", "/connect?idp=okta".to_owned(), "Enter this in Okta"),
        ("connect-onelogin", "/connect?idp=onelogin".to_owned(), "Enter this in OneLogin"),
        ("connect-jumpcloud", "/connect?idp=jumpcloud".to_owned(), "Enter this in JumpCloud"),
        ("connect-keycloak", "/connect?idp=keycloak".to_owned(), "Enter this in Keycloak"),
        ("connect-authentik", "/connect?idp=authentik".to_owned(), "Enter this in authentik"),
        ("connect-generic", "/connect?idp=generic".to_owned(), "curl"),
        ("tokens", "/tokens".to_owned(), "Last used"),
        ("token", first("/tokens", "td a"), "Begins with"),
        ("users", "/resources/Users".to_owned(), "jane@example.com"),
        ("user", first("/resources/Users", "td a"), "Timeline"),
        ("users-error", "/resources/Users?q=userName%20eq%20jane%20und".to_owned(), "not valid"),
        ("users-none", "/resources/Users?q=nobodyatall".to_owned(), "Nothing found"),
        ("groups", "/resources/Groups".to_owned(), "Engineering"),
        ("group", first("/resources/Groups", "td a"), "Members"),
        ("log", "/log".to_owned(), "POST /Users"),
        ("log-one", first("/log?status=failed", ".log a"), "Request body"),
        ("explain", "/explain?name=jane%40example.com".to_owned(), "is here"),
        ("explain-missing", "/explain?name=who".to_owned(), "is not here"),
        ("audit", "/audit".to_owned(), "created"),
        ("account", "/account".to_owned(), "Log out everywhere"),
        ("settings", "/settings".to_owned(), "Accounts"),
        ("not-found", "/nowhere".to_owned(), "Not found"),
    ]
}

#[test]
fn every_page_shows_what_it_should_and_has_no_barrier() {
    let site = Site::new();
    let page = site.owner(true);
    site.populate();
    let tour = tour(&site, &page);
    let mut gallery = Gallery::of(&site);
    for (name, path, shows) in &tour {
        page.goto(&site.url(path));
        gallery.look(&page, name, shows);
    }
    gallery.close();
    site.is_clean(&page);
}

/// A client whose name is longer than most others.
const AGENT: [(&str, &str); 1] =
    [("User-Agent", "Okta SCIM Client 1.0.0 with a name that is longer than most others")];

#[test]
fn pages_that_come_before_and_between_have_no_barrier_either() {
    let site = Site::new();
    let mut gallery = Gallery::of(&site);
    let stranger = site.browser.page();
    set_up(&site, &stranger, &mut gallery);
    let page = site.owner(true);
    while_nothing_is_there(&site, &page, &mut gallery);
    let client = connect(&site, &page, &mut gallery);
    use_tokens(&site, &page, &mut gallery);
    store_long_names(&site, &page, &client, &mut gallery);
    let link = change_settings(&site, &page, &mut gallery);
    let reader = read_only(&site, &link, &mut gallery);
    gallery.close();
    for page in [&stranger, &page, &reader] {
        site.is_clean(page);
    }
}

fn set_up(site: &Site, stranger: &Page, gallery: &mut Gallery) {
    stranger.goto(&site.url("/login"));
    gallery.look(stranger, "login-first", "There is no account yet");
    stranger.goto(&format!("{}{}", site.origin(), site.setup_path()));
    gallery.look(stranger, "setup", "Create the first account");
    stranger.fill("#name", "owner");
    stranger.fill("#new", "short");
    stranger.fill("#again", "short");
    stranger.follow("form.card button");
    gallery.look(stranger, "setup-error", "at least 15 characters");
    stranger.goto(&site.url("/setup/none"));
    gallery.look(stranger, "setup-used", "used already");
}

fn while_nothing_is_there(site: &Site, page: &Page, gallery: &mut Gallery) {
    for (name, path, shows) in [
        ("overview-fresh", "", "Nothing is connected yet"),
        ("tokens-none", "/tokens", "This tenant has no token"),
        ("users-fresh", "/resources/Users", "There are no users yet"),
        ("groups-fresh", "/resources/Groups", "There are no groups yet"),
        ("log-fresh", "/log", "No request has arrived yet"),
        ("explain-fresh", "/explain", "Find out why"),
        ("audit-fresh", "/audit", "No change matches"),
    ] {
        page.goto(&site.url(path));
        gallery.look(page, name, shows);
    }
}

/// Connects an identity provider, which is refused first; returns it.
fn connect(site: &Site, page: &Page, gallery: &mut Gallery) -> Client {
    page.goto(&site.url("/connect?idp=okta"));
    page.follow(".steps form button");
    gallery.look(page, "connect-token", "This is your new token.");
    let client = Client::new(site.server.address, &page.value("#field-4"));
    assert_eq!(client.with_token(Some("hc_none")).get("/Users").status, 401);
    page.wait_for("was refused (401)");
    gallery.look(page, "connect-refused", "was refused (401)");
    assert_eq!(client.get("/Users").status, 200);
    page.wait_for("It works.");
    gallery.look(page, "connect-works", "It works.");
    client
}

/// A form with errors, a token that is made, one that is rotated and still used.
fn use_tokens(site: &Site, page: &Page, gallery: &mut Gallery) {
    page.goto(&site.url("/tokens"));
    page.click("details.card summary");
    page.fill("#name", "entra");
    page.fill("#cidrs", "nonsense");
    page.fill("#days", "many");
    page.follow("form[action='/console/tokens'] button");
    gallery.look(page, "tokens-error", "enter a number of days");
    page.fill("#cidrs", "127.0.0.0/8, 2001:db8::/32");
    page.fill("#days", "6");
    page.follow("form[action='/console/tokens'] button");
    gallery.look(page, "token-made", "Copy the token now");
    let old = Client::new(site.server.address, &page.value("#secret"));
    page.goto(&site.url("/tokens"));
    page.follow("tbody tr:nth-child(1) a");
    page.click("details.card summary");
    page.follow("details[open] button");
    gallery.look(page, "token-rotated", "old token");
    assert_eq!(old.raw("GET", "/Users", &AGENT, None).status, 200);
    page.follow(".note a");
    let used = wait_for(Duration::from_secs(90), || {
        page.goto(&page.url());
        page.text().contains("still used").then_some(())
    });
    assert!(used.is_some(), "{}", page.text());
    gallery.look(page, "token-still-used", "still used");
    page.click("details.danger summary");
    page.follow("details.danger button");
    gallery.look(page, "token-revoked", "revoked");
    page.goto(&site.url(""));
    gallery.look(page, "overview-attention", "Needs attention");
}

/// Stores what is longer than anyone expects.
fn store_long_names(site: &Site, page: &Page, client: &Client, gallery: &mut Gallery) {
    let long = "a-name-without-any-space-that-goes-on-and-on-".repeat(4);
    let id = client.create(
        "/Users",
        &json!({
            "userName": format!("{long}@example.com"), "displayName": long, "externalId": long,
            "title": "word ".repeat(60),
        }),
    );
    client.create("/Groups", &json!({"displayName": long, "members": [{"value": id}]}));
    client.raw("GET", &format!("/Users?filter=userName%20eq%20%22{long}%22"), &AGENT, None);
    for (name, path) in [
        ("users-long", "/resources/Users".to_owned()),
        ("user-long", format!("/resources/Users/{id}")),
        ("log-long", "/log".to_owned()),
        ("explain-long", format!("/explain?name={long}%40example.com")),
        ("audit-long", "/audit".to_owned()),
    ] {
        page.goto(&site.url(&path));
        gallery.look(page, name, "a-name-without");
    }
}

/// An error next to its field, a second tenant, an invitation, the account with an error; returns the link of
/// the invitation.
fn change_settings(site: &Site, page: &Page, gallery: &mut Gallery) -> String {
    page.goto(&site.url("/settings"));
    page.click("section[aria-labelledby=tenants] > details:nth-of-type(1) summary");
    page.fill("#tenant-name", "No");
    page.follow("section[aria-labelledby=tenants] > details[open] button");
    gallery.look(page, "settings-error", "use lower-case letters");
    page.fill("#tenant-name", "second");
    page.follow("section[aria-labelledby=tenants] > details[open] button");
    gallery.look(page, "settings-tenants", "The tenant has been created.");
    page.click("section[aria-labelledby=admins] > details.card summary");
    page.fill("#invite-name", "reader");
    page.eval("document.querySelector('#invite-role').value = 'auditor'");
    page.follow("section[aria-labelledby=admins] > details[open] button");
    gallery.look(page, "settings-invited", "Give this link to reader");
    let link = page.value("#link");
    page.goto(&site.url("/account"));
    page.fill("#old", "wrong");
    page.fill("#new", PASSWORD);
    page.fill("#again", PASSWORD);
    page.follow("section.card:nth-of-type(1) button");
    gallery.look(page, "account-error", "this is not your password");
    page.goto(&site.url("/setup/none"));
    gallery.look(page, "setup-inside", "used already");
    link
}

/// Looks at the pages of an auditor, who logs out, and at those outside; returns the page.
fn read_only(site: &Site, link: &str, gallery: &mut Gallery) -> Page {
    let reader = site.browser.page();
    reader.goto(link);
    gallery.look(&reader, "setup-invited", "Welcome to Headcount");
    reader.fill("#new", PASSWORD);
    reader.fill("#again", PASSWORD);
    reader.follow("form.card button");
    for (name, path, shows) in [
        ("auditor-connect", "/connect", "Your account may not create tokens"),
        ("auditor-tokens", "/tokens", "entra"),
        ("auditor-settings", "/settings", "Accounts"),
    ] {
        reader.goto(&site.url(path));
        gallery.look(&reader, name, shows);
    }
    reader.follow(".who form button.link");
    gallery.look(&reader, "login", "Log in");
    reader.fill("#name", "reader");
    reader.fill("#password", "wrong");
    reader.follow("form.card button");
    gallery.look(&reader, "login-refused", "name, password or code is wrong");
    reader.goto(&site.url("/nowhere"));
    gallery.look(&reader, "not-found-outside", "Not found");
    reader
}

#[test]
fn no_page_loads_more_than_it_shows() {
    let site = Site::new();
    let page = site.owner(true);
    let client = site.populate();
    let operations: Vec<_> = (0..600)
        .map(|n| {
            let data = json!({"userName": format!("user{n}@example.com"), "displayName": format!("User {n}")});
            json!({"method": "POST", "path": "/Users", "bulkId": format!("u{n}"), "data": data})
        })
        .collect();
    let bulk = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations,
    });
    let done = client.post("/Bulk", &bulk);
    assert_eq!(done.status, 200, "{}", done.text());
    let ids: Vec<_> = done.json()["Operations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| json!({"value": one["location"].as_str().unwrap().rsplit('/').next()}))
        .collect();
    client.create("/Groups", &json!({"displayName": "Everybody", "members": ids}));
    for (name, path, _) in tour(&site, &page) {
        page.goto(&site.url(&path));
        let weight =
            page.eval("new TextEncoder().encode(document.documentElement.outerHTML).length");
        println!("{name}: {} KB", weight.as_u64().unwrap() / 1024);
        assert!(weight.as_u64().unwrap() < 100 * 1024, "{name}: {weight}");
    }
    page.goto(&site.url("/resources/Users"));
    let rows = |page: &Page| page.eval("document.querySelectorAll('tbody tr').length");
    assert_eq!(rows(&page), 50);
    // A walk by pages meets everybody once, also those who are found by a name without an index.
    for (path, there) in [("", 607), ("?q=User%205", 111)] {
        page.goto(&site.url(&format!("/resources/Users{path}")));
        let mut seen = 0;
        loop {
            seen += rows(&page).as_u64().unwrap();
            if page.eval("document.querySelector('a[rel=next]') === null") == true {
                break;
            }
            page.follow("a[rel=next]");
        }
        assert_eq!(seen, there, "{path}");
    }
    page.goto(&site.url("/resources/Groups?q=Everybody"));
    page.follow("td a");
    page.wait_for("Only the first 100 are shown");
    page.follow("section[aria-labelledby=related] p a");
    page.wait_for("600 in all");
    assert_eq!(rows(&page), 50);
    site.is_clean(&page);
}
