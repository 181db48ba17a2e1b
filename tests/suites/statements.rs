//! PostgreSQL as users run it: how many statements a request costs, and that they are kept prepared.

use std::sync::Arc;

use headcount_e2e::wire::{Sent, Tap, of_request, socket};
use headcount_e2e::{Client, Database, Server};
use serde_json::{Value, json};

/// A server that reaches its database through a tap.
struct Tapped {
    client: Client,
    tap: Tap,
    _server: Server,
}

fn tapped(environment: &[(&str, &str)]) -> Tapped {
    let mut database = Database::postgres();
    let tap = Tap::open(database.path(), &socket(&database.url));
    database.url = tap.url(&database.url);
    let server = Server::start_with(Arc::new(database), &[], environment);
    Tapped { client: server.client(), tap, _server: server }
}

impl Tapped {
    /// Asks some times, so that everything is prepared, and returns what it cost then.
    ///
    /// The server asks on its own account, too, such as which tenants there are: of several times the
    /// one counts in which it did so least.
    fn cost(&self, mut ask: impl FnMut(&Client, usize)) -> Vec<Sent> {
        // A pool has sixteen connections, and each prepares for itself.
        for round in 0..96 {
            ask(&self.client, round);
        }
        let once = |round| {
            self.tap.taken();
            ask(&self.client, round);
            self.tap.taken()
        };
        (96..=100).map(once).min_by_key(Vec::len).unwrap_or_default()
    }

    fn assert_at_most(&self, most: usize, ask: impl FnMut(&Client, usize)) {
        let sent = self.cost(ask);
        let statements = of_request(&sent);
        assert!(!statements.is_empty(), "nothing was seen: {sent:?}");
        assert!(statements.len() <= most, "{} statements: {statements:#?}", statements.len());
    }

    fn user(&self, name: &str) -> String {
        self.client.create("/Users", &json!({"userName": name, "displayName": "Some Body"}))
    }
}

mod postgres {
    use super::*;

    #[test]
    fn a_user_is_read_with_two() {
        let tapped = tapped(&[]);
        let id = tapped.user("someone");
        tapped.assert_at_most(2, |client, _| {
            assert_eq!(client.get(&format!("/Users/{id}")).status, 200);
        });
    }

    #[test]
    fn a_user_is_found_by_name_with_two() {
        let tapped = tapped(&[]);
        tapped.user("someone");
        tapped.assert_at_most(2, |client, _| {
            let found = client.get("/Users?filter=userName%20eq%20%22someone%22");
            assert_eq!(found.at("/totalResults"), "1");
        });
    }

    #[test]
    fn a_user_is_switched_off_with_six() {
        let tapped = tapped(&[]);
        let id = tapped.user("someone");
        tapped.assert_at_most(6, |client, round| {
            let active = if round % 2 == 0 { "False" } else { "True" };
            let change = json!([{"op": "Replace", "path": "active", "value": active}]);
            assert_eq!(client.patch(&format!("/Users/{id}"), &change).status, 200);
        });
    }

    #[test]
    fn names_of_members_cost_one_statement_more_and_only_who_asks() {
        let tapped = tapped(&[]);
        let users: Vec<Value> =
            (0..50).map(|n| json!({"value": tapped.user(&format!("u{n}"))})).collect();
        let group =
            tapped.client.create("/Groups", &json!({"displayName": "all", "members": users}));
        let cost = |query: &str| {
            let path = format!("/Groups/{group}{query}");
            let sent = tapped.cost(|client, _| assert_eq!(client.get(&path).status, 200));
            of_request(&sent).len()
        };
        let plain = cost("");
        assert_eq!(cost("?attributes=members"), plain);
        assert_eq!(cost("?attributes=members,members.display"), plain + 1);
    }

    #[test]
    fn a_member_is_added_with_six() {
        let tapped = tapped(&[]);
        let group = tapped.client.create("/Groups", &json!({"displayName": "all"}));
        let users: Vec<Value> =
            (0..101).map(|n| json!({"value": tapped.user(&format!("u{n}"))})).collect();
        tapped.assert_at_most(6, |client, round| {
            let change = json!([{"op": "Add", "path": "members", "value": [users[round]]}]);
            let status = client.patch(&format!("/Groups/{group}"), &change).status;
            assert_eq!(status, 200);
        });
    }

    #[test]
    fn prepared_ones_are_used_again() {
        let tapped = tapped(&[]);
        let id = tapped.user("someone");
        let sent = tapped.cost(|client, _| {
            assert_eq!(client.get(&format!("/Users/{id}")).status, 200);
        });
        let parsed: Vec<_> = sent.iter().filter(|one| matches!(one, Sent::Parsed(_))).collect();
        assert!(parsed.is_empty(), "{parsed:#?}");
    }

    #[test]
    fn none_is_kept_where_a_pooler_would_lose_it() {
        let tapped = tapped(&[("HEADCOUNT__DATABASE__PREPARED_STATEMENTS", "false")]);
        let id = tapped.user("someone");
        let sent = tapped.cost(|client, _| {
            assert_eq!(client.get(&format!("/Users/{id}")).status, 200);
        });
        let parsed = sent.iter().filter(|one| matches!(one, Sent::Parsed(_))).count();
        assert!(parsed >= of_request(&sent).len() && parsed > 0, "{sent:#?}");
    }
}
