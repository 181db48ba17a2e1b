//! Every page, in light and dark, on a desk and on a phone.

use std::path::PathBuf;

use headcount_e2e::Page;
use serde_json::json;

use crate::support::Site;

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
        ("users-none", "/resources/Users?q=nobodyatall".to_owned(), "Nothing is found"),
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

/// Where pictures go: where the command wants them, or nowhere that is kept.
fn folder(site: &Site) -> PathBuf {
    let wanted = std::env::var_os("HEADCOUNT_PICTURES").map(PathBuf::from);
    let folder = wanted.unwrap_or_else(|| site.server.database.path().join("pictures"));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn axe() -> String {
    let environment = std::env::var_os("HEADCOUNT_TEST_VENV")
        .expect("axe-core stands in the virtual environment that `cargo xtask test` makes");
    let lib = PathBuf::from(environment).join("lib");
    let python = std::fs::read_dir(lib).unwrap().map(|entry| entry.unwrap().path());
    let file = "site-packages/axe_core_python/axe.min.js";
    let found = python.map(|path| path.join(file)).find(|path| path.exists());
    std::fs::read_to_string(found.expect("axe-core-python is installed")).unwrap()
}

/// Returns what axe-core finds that keeps people from using a page.
fn barriers(page: &Page, axe: &str) -> String {
    page.eval(&format!("{axe}; 1"));
    let found = page.eval(
        "axe.run(document, {resultTypes: ['violations']}).then(r => r.violations \
         .filter(v => v.impact === 'serious' || v.impact === 'critical') \
         .map(v => v.id + ': ' + v.nodes.map(n => n.html + ' ' + n.failureSummary).join(' | ')).join('\\n'))",
    );
    found.as_str().unwrap_or_default().to_owned()
}

#[test]
fn every_page_shows_what_it_should_and_keeps_nobody_out() {
    let site = Site::new();
    let page = site.owner(true);
    site.populate();
    let tour = tour(&site, &page);
    let (axe, folder) = (axe(), folder(&site));
    let mut found = Vec::new();
    for dark in [false, true] {
        page.dark(dark);
        for (width, device) in [(1280, ""), (390, "-phone")] {
            page.size(width, 900);
            for (name, path, shows) in &tour {
                page.goto(&site.url(path));
                assert!(
                    page.text().contains(shows),
                    "{path} does not show {shows}:\n{}",
                    page.text()
                );
                let wide = page.eval("document.documentElement.scrollWidth > innerWidth");
                if wide == true {
                    found.push(format!("{name}{device}: wider than the window"));
                }
                let scheme = if dark { "-dark" } else { "" };
                let file = folder.join(format!("{name}{device}{scheme}.png"));
                std::fs::write(file, page.picture()).unwrap();
                // Forms that are folded away count, too.
                page.eval("document.querySelectorAll('details').forEach(d => { d.open = true })");
                let barriers = barriers(&page, &axe);
                if !barriers.is_empty() {
                    found.push(format!("{name}{device}{scheme}: {barriers}"));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    site.is_clean(&page);
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
    page.wait_for("Only the first are shown");
    site.is_clean(&page);
}
