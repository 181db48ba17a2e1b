//! What identity providers send is hostile until proven otherwise.

use std::collections::BTreeSet;

use headcount_e2e::{Client, Page};
use serde_json::{Value, json};

use crate::support::Site;

/// Texts that have run in pages that were careless.
const CORPUS: [&str; 24] = [
    "<script>alert(1)</script>",
    "\"><script>alert(1)</script>",
    "'><script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"><img src=x onerror=alert(1)>",
    "' onfocus=alert(1) autofocus x='",
    "\" onfocus=alert(1) autofocus x=\"",
    "\" onmouseover=\"alert(1)",
    "<svg onload=alert(1)>",
    "<svg><script>alert&#40;1&#41;</script></svg>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "<details open ontoggle=alert(1)>",
    "<iframe srcdoc=\"<script>alert(1)</script>\">",
    "<body onload=alert(1)>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "javascript:alert(1)",
    "<a href=javascript:alert(1)>x</a>",
    "<style>@import 'javascript:alert(1)'</style>",
    "{{constructor.constructor('alert(1)')()}}",
    "<!--><img src=x onerror=alert(1)>-->",
    "&lt;script&gt;alert(1)&lt;/script&gt;<b>bold",
];

/// Fails when a text has become an element.
fn is_harmless(page: &Page, path: &str) {
    let injected = page.eval(
        "document.querySelectorAll('main script, main img, main iframe, main style, main [onerror], main [onload], \
         main [onfocus], main [onmouseover], main [ontoggle], main a[href^=javascript]').length",
    );
    assert_eq!(injected, 0, "{path}");
}

#[test]
fn what_a_form_gives_back_is_text() {
    let site = Site::new();
    let page = site.owner(true);
    for text in CORPUS {
        page.goto(&site.url("/tokens"));
        for field in ["#name", "#days", "#cidrs"] {
            page.fill(field, text);
        }
        page.follow("form[action='/console/tokens'] button");
        is_harmless(&page, text);
        assert_eq!(page.value("#cidrs"), text);
        page.goto(&site.url("/settings"));
        page.eval("document.querySelectorAll('details').forEach(d => { d.open = true })");
        page.fill("#invite-name", text);
        page.follow("section[aria-labelledby=admins] > details:nth-of-type(1) button");
        is_harmless(&page, text);
        page.eval("document.querySelectorAll('details').forEach(d => { d.open = true })");
        page.fill("#tenant-name", text);
        page.follow("section[aria-labelledby=tenants] > details:nth-of-type(1) button");
        is_harmless(&page, text);
    }
    site.is_clean(&page);
    let stranger = site.browser.page();
    for text in CORPUS {
        stranger.goto(&site.url("/login"));
        stranger.fill("#name", text);
        stranger.fill("#password", text);
        stranger.follow("form.card button");
        is_harmless(&stranger, text);
        assert_eq!(stranger.value("#name"), text.trim());
    }
    site.is_clean(&stranger);
}

/// What the other tests rely on: had anything run, loaded or been blocked, the browser would have reported it.
#[test]
fn the_browser_notices_what_must_not_be() {
    let site = Site::new();
    let page = site.owner(true);
    site.is_clean(&page);
    let origin = site.origin();
    page.eval("setTimeout(() => alert(1), 0); 1");
    page.eval("new Promise(done => setTimeout(done, 200))");
    assert_eq!(page.troubles(&origin).dialogs, 1);
    page.eval("setTimeout(() => { throw new Error('x') }, 0); 1");
    page.eval("new Promise(done => setTimeout(done, 200))");
    assert_eq!(page.troubles(&origin).exceptions.len(), 1);
    // A page that holds what was stored unescaped: the policy keeps it from running, and reports that.
    let frame = site.browser.page();
    frame.goto(&site.url("/login"));
    frame.eval(
        "document.body.setAttribute('style', 'color: red'); \
         const i = document.createElement('img'); i.src = 'https://elsewhere.example/x.png'; document.body.append(i); 1",
    );
    frame.eval("new Promise(done => setTimeout(done, 300))");
    let troubles = frame.troubles(&origin);
    assert!(troubles.violations.len() >= 2, "{troubles:?}");
    assert_eq!(troubles.dialogs, 0);
}

#[test]
fn adm_12_nothing_that_is_stored_runs_in_a_page() {
    let site = Site::new();
    let page = site.owner(true);
    let client = site.server.client();
    let users = store_corpus(&site, &client);
    let mut paths = paths(&users);
    // Every page that these lead to, each field that is shown again, every parameter of an address.
    let mut seen = BTreeSet::new();
    while let Some(path) = paths.pop() {
        if seen.insert(path.clone()) {
            page.goto(&site.url(&path));
            is_harmless(&page, &path);
            paths.extend(details(&page));
        }
    }
    for kind in ["/resources/Users/", "/resources/Groups/", "/tokens/", "/log/"] {
        let visited = seen.iter().filter(|path| path.starts_with(kind)).count();
        assert!(visited >= 10, "{kind}: {visited}");
    }
    // The rows that the script adds are made of text, too.
    page.goto(&site.url("/log"));
    client.post("/Users", &json!({"userName": CORPUS[6], "active": CORPUS[6]}));
    page.wait_for("refused");
    site.is_clean(&page);
}

/// Stores each text of the corpus wherever a text is stored; returns the ids of the users.
fn store_corpus(site: &Site, client: &Client) -> Vec<String> {
    let mut users = Vec::new();
    for (number, text) in CORPUS.iter().enumerate() {
        let user = json!({
            "userName": format!("{number}{text}"), "externalId": text, "displayName": text,
            "nickName": text, "title": text, "userType": text, "name": {
                "formatted": text, "givenName": text, "familyName": text, "honorificPrefix": text,
            },
            "profileUrl": "javascript:alert(1)", "emails": [{"value": format!("a{number}@example.com"), "display": text}],
            "addresses": [{"streetAddress": text, "country": "DE"}], "roles": [{"value": text}],
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": text},
        });
        let made = client.post("/Users", &user);
        if made.status == 201 {
            users.push(made.at("/id"));
        } else {
            // What is refused is in the log instead.
            let plain = json!({"userName": format!("{number}{text}"), "title": text});
            users.push(client.create("/Users", &plain));
        }
        client
            .post("/Groups", &json!({"displayName": text, "members": [{"value": users[number]}]}));
        client.post("/Users", &json!({"userName": text, "active": text}));
        let agent = [("User-Agent", *text)];
        client.raw("GET", "/Users?count=1", &agent, None);
        let named = site.server.run(&["token", "create", "--name", text]);
        let token = String::from_utf8_lossy(&named.stdout).trim().to_owned();
        if named.status.success() {
            Client::new(site.server.address, &token).raw("GET", "/Users?count=1", &agent, None);
        }
    }
    users
}

/// Returns the paths of pages, with each text of the corpus as every parameter.
fn paths(users: &[String]) -> Vec<String> {
    let plain = [
        "",
        "/tokens",
        "/connect",
        "/resources/Users",
        "/resources/Groups",
        "/log",
        "/log?status=failed",
        "/audit",
        "/settings",
    ];
    let mut paths: Vec<String> = plain.map(str::to_owned).to_vec();
    paths.extend(users.iter().map(|id| format!("/resources/Users/{id}")));
    for text in CORPUS {
        let x: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        paths.extend([
            format!("?span={x}&tenant={x}"),
            format!("/connect?idp={x}&after={x}"),
            format!("/explain?name={x}"),
            format!("/resources/Users?q={x}"),
            format!("/resources/Groups?q={x}&in={x}&cursor={x}"),
            format!("/resources/Users?q=title%20eq%20{x}"),
            format!("/log?name={x}&token={x}&kind={x}&before={x}"),
            format!("/log?status={x}"),
            format!("/audit?by={x}&of={x}&before={x}"),
            format!("/settings?done={x}&tenant={x}"),
            format!("/login?next={x}"),
            format!("/setup/{x}"),
            format!("/tokens/{x}"),
            format!("/resources/{x}/{x}"),
        ]);
    }
    paths
}

/// Returns the paths of the pages about one thing that a page links to.
fn details(page: &Page) -> Vec<String> {
    let links = page.eval(
        "[...document.querySelectorAll('main a[href^=\"/console/\"]')].map(a => a.getAttribute('href').slice(8))",
    );
    let links = links.as_array().unwrap().iter().filter_map(Value::as_str);
    let details = ["/resources/Groups/", "/tokens/", "/log/"];
    links
        .filter(|link| details.iter().any(|begin| link.starts_with(begin)))
        .map(str::to_owned)
        .collect()
}
