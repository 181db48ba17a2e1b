//! A server with an owner, and a browser that is logged in.

use std::sync::Arc;

use headcount_e2e::browser::Troubles;
pub(crate) use headcount_e2e::visitor::{PASSWORD, setup_path};
use headcount_e2e::{Browser, Client, Database, Page, Server};
use serde_json::json;

/// A server and a browser.
pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) browser: Arc<Browser>,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self { server: Server::start(Database::sqlite()), browser: Browser::start() }
    }

    /// The address that browsers treat as they treat https.
    pub(crate) fn origin(&self) -> String {
        format!("http://localhost:{}", self.server.address.port())
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}/console{path}", self.origin())
    }

    /// The path of the setup link, out of the file that the log names.
    pub(crate) fn setup_path(&self) -> String {
        setup_path(&self.server)
    }

    /// A page whose owner has just made the first account.
    pub(crate) fn owner(&self, scripts: bool) -> Page {
        let page = self.browser.page();
        page.scripts(scripts);
        page.goto(&format!("{}{}", self.origin(), self.setup_path()));
        page.fill("#name", "owner");
        page.fill("#new", PASSWORD);
        page.fill("#again", PASSWORD);
        page.follow("form.card button");
        assert!(page.url().ends_with("/console/connect"), "{}", page.url());
        page
    }

    /// Fails when the browser has seen anything that must not be.
    pub(crate) fn is_clean(&self, page: &Page) {
        assert_eq!(page.troubles(&self.origin()), Troubles::default());
    }

    /// Fills the server with people, groups, refused requests and tokens.
    pub(crate) fn populate(&self) -> Client {
        let client = self.server.client();
        let names = ["jane", "omar", "lena", "tariq", "mei", "paulo", "ines", "sven"];
        let ids: Vec<String> = names
            .iter()
            .map(|name| {
                let user = json!({
                    "userName": format!("{name}@example.com"), "externalId": format!("00u-{name}"),
                    "displayName": name, "active": *name != "sven",
                    "name": {"givenName": name, "familyName": "Example"},
                    "emails": [{"value": format!("{name}@example.com"), "primary": true}],
                    "title": "Engineer",
                });
                client.create("/Users", &user)
            })
            .collect();
        for (name, members) in [("Engineering", 6), ("Research", 3)] {
            let members: Vec<_> = ids.iter().take(members).map(|id| json!({"value": id})).collect();
            client.create("/Groups", &json!({"displayName": name, "members": members}));
        }
        let jane = json!({"userName": "JANE@example.com"});
        assert_eq!(client.post("/Users", &jane).status, 409);
        let title = json!([{"op": "replace", "path": "title", "value": "Lead"}]);
        client.patch(&format!("/Users/{}", ids[0]), &title);
        let leave = json!([{"op": "replace", "path": "active", "value": "False"}]);
        client.patch(&format!("/Users/{}", ids[1]), &leave);
        client.delete(&format!("/Users/{}", ids[7]));
        client.get("/Users?filter=userName%20eq%20%22nobody%40example.com%22");
        client
    }
}
