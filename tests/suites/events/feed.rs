//! Events as pages: which there are, in which order, and who may read them.

use std::process::{Command, Stdio};
use std::sync::Arc;

use headcount_e2e::server::{psql, wait_for};
use headcount_e2e::{Client, Database, Server, on_both};
use serde_json::{Value, json};

use crate::support::{PATIENCE, RESOURCES, all, types};

on_both!(every_change_is_an_event_of_its_type, |server: &Server| {
    let (client, reader) = (server.client(), server.admin("events:read"));
    let jane =
        client.create("/Users", &json!({"userName": "jane", "externalId": "number-of-jane"}));
    let path = format!("/Users/{jane}");
    let active =
        |on: bool| client.patch(&path, &json!([{"op": "replace", "path": "active", "value": on}]));
    assert_eq!(
        client.patch(&path, &json!([{"op": "add", "path": "title", "value": "x"}])).status,
        200
    );
    active(false).assert_status(200);
    active(true).assert_status(200);
    let group =
        client.create("/Groups", &json!({"displayName": "g", "members": [{"value": jane}]}));
    let group_path = format!("/Groups/{group}");
    let rename = json!([{"op": "replace", "path": "displayName", "value": "h"}]);
    assert_eq!(client.patch(&group_path, &rename).status, 200);
    let john = client.create("/Users", &json!({"userName": "john"}));
    let members = json!([
        {"op": "add", "path": "members", "value": [{"value": john}]},
        {"op": "remove", "path": format!("members[value eq \"{jane}\"]")},
    ]);
    assert_eq!(client.patch(&group_path, &members).status, 200);
    assert_eq!(client.delete(&format!("/Users/{john}")).status, 204);
    assert_eq!(client.delete(&group_path).status, 204);
    let events = all(&reader, RESOURCES);
    assert_eq!(
        types(&events),
        [
            "user.created",
            "user.updated",
            "user.deactivated",
            "user.reactivated",
            "group.created",
            "group.member_added",
            "group.updated",
            "user.created",
            "group.member_removed",
            "group.member_added",
            "group.member_removed",
            "user.deleted",
            "group.deleted",
        ]
    );
    assert_eq!(events[0]["resource"]["uri"], json!(path));
    assert_eq!(events[1]["attributes"], json!(["title"]));
    assert_eq!(events[8]["member"], json!(jane));
    assert_eq!(events[9]["member"], json!(john));
    assert_eq!(events[8]["request"], events[9]["request"]);
    // The group's version counts on when a member is deleted.
    let versions: Vec<i64> = events
        .iter()
        .filter(|event| event["resource"]["id"] == json!(group))
        .map(|event| event["resource"]["version"].as_i64().unwrap())
        .collect();
    assert_eq!(versions, [1, 1, 2, 3, 3, 4, 4]);
    let token = client.token.as_deref().unwrap().get(3..19).unwrap();
    assert_eq!(events[0]["actor"], json!({"type": "token", "id": token}));
    // Values are read from the resource, never from the feed.
    assert!(!json!(events).to_string().contains("number-of-jane"));
});

on_both!(evt_012_what_changes_nothing_is_no_event, |server: &Server| {
    let (client, reader) = (server.client(), server.admin("events:read"));
    let id = client.create("/Users", &json!({"userName": "jane", "title": "x"}));
    let same = json!([{"op": "replace", "path": "title", "value": "x"}]);
    assert_eq!(client.patch(&format!("/Users/{id}"), &same).status, 200);
    assert_eq!(client.post("/Users", &json!({"userName": "jane"})).status, 409);
    assert_eq!(types(&all(&reader, RESOURCES)), ["user.created"]);
});

on_both!(evt_018_the_changes_of_a_resource_come_in_their_order, |server: &Server| {
    const CHANGES: i64 = 40;
    let (client, reader) = (server.client(), server.admin("events:read"));
    let users = ["jane", "john", "joan"]
        .map(|name| client.create("/Users", &json!({"userName": name, "title": "0"})));
    std::thread::scope(|scope| {
        for id in &users {
            let client = &client;
            scope.spawn(move || {
                for change in 1..=CHANGES {
                    let title =
                        json!([{"op": "replace", "path": "title", "value": change.to_string()}]);
                    assert_eq!(client.patch(&format!("/Users/{id}"), &title).status, 200);
                }
            });
        }
    });
    let events = all(&reader, RESOURCES);
    for id in &users {
        let versions: Vec<i64> = events
            .iter()
            .filter(|event| event["resource"]["id"] == json!(id))
            .map(|event| event["resource"]["version"].as_i64().unwrap())
            .collect();
        assert_eq!(versions, (1..=CHANGES + 1).collect::<Vec<_>>(), "each change once, in order");
    }
});

on_both!(a_cursor_leaves_nothing_out_and_ids_stay, |server: &Server| {
    let (client, reader) = (server.client(), server.admin("events:read"));
    let users: Vec<Value> = (0..7)
        .map(|n| json!({"value": client.create("/Users", &json!({"userName": format!("u{n}")}))}))
        .collect();
    client.create("/Groups", &json!({"displayName": "g", "members": users}));
    let events = all(&reader, "limit=1000");
    assert!(events.len() >= 15);
    for limit in [1, 2, 7] {
        assert_eq!(all(&reader, &format!("limit={limit}")), events);
    }
    // The id of an event is the cursor behind it.
    let third = events[2]["id"].as_str().unwrap();
    let rest = reader.get(&format!("/events?after={third}")).json();
    assert_eq!(rest["events"][0], events[3]);
    let none = reader.get(&format!("/events?after={}", rest["next"].as_str().unwrap()));
    assert_eq!(none.json()["events"], json!([]));
    assert_eq!(types(&all(&reader, "types=group.created")), ["group.created"]);
    assert!(types(&all(&reader, "types=token.*")).iter().all(|name| *name == "token.created"));
});

on_both!(wrong_parameters_are_refused, |server: &Server| {
    let reader = server.admin("events:read");
    for wrong in
        ["after=1", "after=-1.1", "limit=0", "types=user.create", "types=", "tail=1", "wait=31"]
    {
        let refused = reader.get(&format!("/events?{wrong}"));
        refused.assert_status(400);
        assert_eq!(refused.header("content-type"), Some("application/problem+json"), "{wrong}");
    }
});

on_both!(evt_009_a_full_payload_needs_its_scope_and_shows_what_scim_shows, |server: &Server| {
    let client = server.client();
    let id = client
        .create("/Users", &json!({"userName": "jane", "title": "x", "password": "s3cret-Value"}));
    let group = client.create("/Groups", &json!({"displayName": "g", "members": [{"value": id}]}));
    let gone = client.create("/Users", &json!({"userName": "gone"}));
    assert_eq!(client.delete(&format!("/Users/{gone}")).status, 204);
    let thin = server.admin("events:read");
    let refused = thin.get("/events?payload=full");
    assert_eq!(refused.status, 403);
    assert!(refused.at("/detail").contains("scim:read"), "{}", refused.text());
    let reader = server.admin("events:read scim:read");
    let events = all(&reader, &format!("payload=full&{RESOURCES}"));
    assert_eq!(events[0]["data"]["title"], "x");
    assert_eq!(events[0]["data"]["meta"], client.get(&format!("/Users/{id}")).json()["meta"]);
    let data = &events[1]["data"];
    assert_eq!(data["id"], json!(group));
    assert_eq!(data.get("members"), None);
    assert_eq!(types(&events[3..]), ["user.created", "user.deleted"]);
    assert!(events[3].get("data").is_none() && events[4].get("data").is_none());
    assert!(all(&thin, RESOURCES).iter().all(|event| event.get("data").is_none()));
    for query in ["payload=full", "payload=full&format=set", "format=set"] {
        let text = json!(all(&reader, query)).to_string();
        assert!(!text.contains("s3cret-Value"), "{query}");
        assert!(!text.contains("\"password\":"), "{query}");
    }
});

on_both!(evt_011_an_event_is_there_with_its_change, |server: &Server| {
    let (client, reader) = (server.client(), server.admin("events:read"));
    for round in 0..20 {
        let id = client.create("/Users", &json!({"userName": format!("u{round}")}));
        let events = all(&reader, RESOURCES);
        assert_eq!(events.last().unwrap()["resource"]["id"], json!(id));
        assert_eq!(events.len(), round + 1);
    }
});

#[test]
fn evt_011_postgres_a_reader_sees_what_another_seals() {
    let server = Server::start(Database::postgres());
    let (client, reader) = (server.client(), server.admin("events:read"));
    // Another server that seals, and takes its time.
    let sealer = Command::new("psql")
        .args(["-qAt", "-c", "BEGIN", "-c", "SELECT pg_advisory_xact_lock(4836102347752)"])
        .args(["-c", "SELECT pg_sleep(0.4)", "-c", "COMMIT", &server.database.url])
        .stdout(Stdio::null())
        .spawn();
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted \
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let is_held = || (psql(&server.database.url, held) != "0").then_some(());
    assert!(wait_for(PATIENCE, is_held).is_some());
    let id = client.create("/Users", &json!({"userName": "jane"}));
    assert_eq!(all(&reader, RESOURCES)[0]["resource"]["id"], json!(id));
    assert!(sealer.unwrap().wait().unwrap().success());
}

on_both!(a_reader_waits_for_what_comes, |server: &Server| {
    let (client, reader) = (server.client(), server.admin("events:read"));
    let next = reader.get("/events").at("/next");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            reader.get(&format!("/events?after={next}&wait=30&types=user.created")).json()
        });
        // What is not wanted does not end the wait.
        client.create("/Groups", &json!({"displayName": "g"}));
        let id = client.create("/Users", &json!({"userName": "jane"}));
        let page = waiting.join().unwrap();
        assert_eq!(page["events"][0]["resource"]["id"], json!(id));
    });
    let empty = reader.get("/events?after=999.1&wait=1").json();
    assert_eq!(empty, json!({"events": [], "next": "999.1", "more": false}));
});

on_both!(the_feed_is_for_its_own_tokens_and_its_own_tenant, |server: &Server| {
    let client = server.client();
    client.create("/Users", &json!({"userName": "jane"}));
    let provisioning = Client { base: "/api/v1".to_owned(), ..client.clone() };
    assert_eq!(provisioning.get("/events").status, 403);
    assert_eq!(server.admin("admin:read").get("/events").status, 403);
    assert_eq!(provisioning.with_token(None).get("/events").status, 401);
    assert!(server.run(&["tenant", "create", "other"]).status.success());
    let token = server.token(&["--tenant", "other", "--scope", "events:read"]);
    let other = provisioning.with_token(Some(&token));
    assert!(all(&other, RESOURCES).is_empty());
    assert_eq!(other.get("/events?tenant=default").status, 403);
    let every = server.admin("events:read tenants:all");
    assert_eq!(types(&all(&every, "types=tenant.*&tenant=other")), ["tenant.created"]);
    assert_eq!(every.get("/events?tenant=nobody").status, 404);
});

#[test]
fn a_token_that_expires_soon_is_reported() {
    let database = Arc::new(Database::sqlite());
    let server = Server::start_with(Arc::clone(&database), &[], &[]);
    let token = server.token(&["--expires", "5d"]);
    drop(server);
    let server = Server::start_with(database, &[], &[]);
    let page = server.admin("events:read").get("/events?types=token.expiring&wait=30").json();
    assert_eq!(page["events"][0]["resource"]["id"], json!(token.get(3..19)));
    assert_eq!(page["events"][0]["actor"], json!({"type": "system"}));
}
