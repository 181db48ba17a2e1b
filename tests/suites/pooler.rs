//! Headcount behind PgBouncer in transaction mode, as it says it works.

use std::sync::Arc;

use headcount_e2e::pooler::Pooler;
use headcount_e2e::wire::socket;
use headcount_e2e::{Database, Server};
use serde_json::{Value, json};

/// A server behind a pooler with fewer connections than the server has.
fn behind() -> (Pooler, Server, String) {
    let mut database = Database::postgres();
    let server = socket(&database.url);
    let pooler = Pooler::start(database.path(), server.parent().unwrap());
    let name = database.url.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned();
    database.url = pooler.url(&database.url);
    let environment = [("HEADCOUNT__DATABASE__PREPARED_STATEMENTS", "false")];
    let server = Server::start_with(Arc::new(database), &[], &environment);
    (pooler, server, name)
}

mod postgres {
    use super::*;

    #[test]
    fn every_kind_of_request_works_behind_pgbouncer() {
        let (pooler, server, name) = behind();
        let client = server.client();
        let ids: Vec<String> = (0..20)
            .map(|n| {
                let user = json!({"userName": format!("u{n}"), "emails": [{"value": format!("u{n}@example.com"), "type": "work"}]});
                client.create("/Users", &user)
            })
            .collect();
        let again = client.post("/Users", &json!({"userName": "U0"}));
        again.assert_status(409);
        again.assert_at("/scimType", "uniqueness");
        let members: Vec<Value> = ids.iter().map(|id| json!({"value": id})).collect();
        let group = client.create("/Groups", &json!({"displayName": "all", "members": members}));
        let filter = "/Users?filter=emails%5Btype%20eq%20%22work%22%20and%20value%20co%20%22u1%22%5D&count=5";
        let found = client.get(filter);
        assert_eq!(found.at("/totalResults"), "11");
        let page = client.get("/Users?cursor=&count=8");
        let next = page.at("/nextCursor");
        let page = client.get(&format!("/Users?cursor={next}&count=8"));
        assert_eq!(page.json()["Resources"].as_array().map(Vec::len), Some(8));
        let change = json!([{"op": "Remove", "path": format!("members[value eq \"{}\"]", ids.first().unwrap())}]);
        assert!(client.patch(&format!("/Groups/{group}"), &change).status < 300);
        let operations = json!([
            {"method": "POST", "path": "/Users", "bulkId": "a", "data": {"userName": "bulk"}},
            {"method": "POST", "path": "/Groups", "bulkId": "b", "data": {"displayName": "bulk", "members": [{"value": "bulkId:a"}]}}
        ]);
        let schema = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
        let bulk = client.post("/Bulk", &json!({"schemas": [schema], "Operations": operations}));
        assert_eq!(bulk.at("/Operations/1/status"), "201", "{}", bulk.text());
        assert_eq!(client.delete(&format!("/Users/{}", ids.last().unwrap())).status, 204);
        let left = client.get(&format!("/Groups/{group}")).json();
        assert_eq!(left["members"].as_array().map(Vec::len), Some(18));
        assert!(pooler.transactions(&name) > 30, "everything went through the pooler");
    }

    #[test]
    fn many_clients_share_its_few_connections() {
        let (_pooler, server, _) = behind();
        let client = server.client();
        let group = client.create("/Groups", &json!({"displayName": "all"}));
        std::thread::scope(|scope| {
            for part in 0..16 {
                let (client, group) = (&client, &group);
                scope.spawn(move || {
                    for n in 0..10 {
                        let user = json!({"userName": format!("u{part}-{n}")});
                        let id = client.create("/Users", &user);
                        let path = format!("/Users/{id}");
                        let change = json!([{"op": "Replace", "path": "active", "value": "False"}]);
                        assert_eq!(client.patch(&path, &change).status, 200);
                        let add =
                            json!([{"op": "Add", "path": "members", "value": [{"value": id}]}]);
                        let added = client.patch(&format!("/Groups/{group}"), &add);
                        assert_eq!(added.status, 200, "{}", added.text());
                        assert_eq!(client.get(&path).at("/active"), "false");
                    }
                });
            }
        });
        let members = client.get(&format!("/Groups/{group}")).json();
        assert_eq!(members["members"].as_array().expect("a group has members").len(), 160);
    }
}
