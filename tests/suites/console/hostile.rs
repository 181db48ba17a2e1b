//! What identity providers send is hostile until proven otherwise.

use headcount_e2e::Client;
use serde_json::json;

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

#[test]
fn adm_12_nothing_that_is_stored_runs_in_a_page() {
    let site = Site::new();
    let page = site.owner(true);
    let client = site.server.client();
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
            // What is refused stands in the log instead.
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
    let mut paths: Vec<String> = [
        "",
        "/tokens",
        "/connect",
        "/resources/Users",
        "/resources/Groups",
        "/log",
        "/log?status=failed",
        "/audit",
        "/settings",
    ]
    .map(str::to_owned)
    .to_vec();
    paths.extend(users.iter().map(|id| format!("/resources/Users/{id}")));
    for text in CORPUS {
        let escaped: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        paths.push(format!("/explain?name={escaped}"));
        paths.push(format!("/resources/Users?q={escaped}"));
        paths.push(format!("/login?next={escaped}"));
    }
    for path in &paths {
        page.goto(&site.url(path));
        let injected = page.eval(
            "document.querySelectorAll('main script, main img, main iframe, main style, main [onerror], main [onload], \
             main [onfocus], main [onmouseover], main [ontoggle], main a[href^=javascript]').length",
        );
        assert_eq!(injected, 0, "{path}");
    }
    // The rows that the script adds are made of text, too.
    page.goto(&site.url("/log"));
    client.post("/Users", &json!({"userName": CORPUS[6], "active": CORPUS[6]}));
    page.wait_for("refused");
    site.is_clean(&page);
}
