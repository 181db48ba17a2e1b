//! The event feed over HTTP and on the command line: types, cursors, payloads, waiting, streams, and
//! nothing lost when transactions commit late.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headcount_e2e::server::{binary, psql, wait_for};
use headcount_e2e::{Client, Database, Server, on_both};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);

/// Reads all events behind a cursor.
fn all(reader: &Client, query: &str) -> Vec<Value> {
    let (mut after, mut events) = ("0".to_owned(), Vec::new());
    loop {
        let page = reader.get(&format!("/events?after={after}&{query}"));
        assert_eq!(page.status, 200, "{}", page.text());
        events.extend(page.json()["events"].as_array().unwrap().iter().cloned());
        after = page.at("/next");
        if page.json()["more"] == json!(false) {
            return events;
        }
    }
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

/// The events of users and groups, without those of tokens.
const RESOURCES: &str = "types=user.*,group.*";

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
    assert_eq!((active(false).status, active(true).status), (200, 200));
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
    assert_eq!((&events[8]["member"], &events[9]["member"]), (&json!(jane), &json!(john)));
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
    for wrong in
        ["after=1", "after=-1.1", "limit=0", "types=user.create", "types=", "tail=1", "wait=31"]
    {
        let refused = reader.get(&format!("/events?{wrong}"));
        assert_eq!(
            (refused.status, refused.header("content-type")),
            (400, Some("application/problem+json")),
            "{wrong}"
        );
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
    assert_eq!((&data["id"], data.get("members")), (&json!(group), None));
    assert_eq!(types(&events[3..]), ["user.created", "user.deleted"]);
    assert!(events[3].get("data").is_none() && events[4].get("data").is_none());
    assert!(all(&thin, RESOURCES).iter().all(|event| event.get("data").is_none()));
    for query in ["payload=full", "payload=full&format=set", "format=set"] {
        let text = json!(all(&reader, query)).to_string();
        assert!(!text.contains("s3cret-Value"), "{query}");
        assert!(!text.contains("\"password\":"), "{query}");
    }
});

/// The name of a token's one event behind the prefix, and its payload.
fn set_event(set: &Value) -> (&str, &Value) {
    let (uri, payload) = set["events"].as_object().unwrap().iter().next().unwrap();
    (uri.strip_prefix("urn:ietf:params:scim:event:prov:").unwrap(), payload)
}

/// A user and a group with a history, for the tests of RFC 9967.
fn history(server: &Server) -> (Client, String, String) {
    let client = server.client();
    let id =
        client.create("/Users", &json!({"userName": "jane", "externalId": "x1", "title": "a"}));
    let path = format!("/Users/{id}");
    let put = json!({"userName": "jane", "title": "b"});
    assert_eq!(client.put(&path, &put).status, 200);
    let patch = json!([
        {"op": "replace", "path": "nickName", "value": "j"},
        {"op": "remove", "path": "title"},
        {"op": "replace", "path": "active", "value": false},
    ]);
    assert_eq!(client.patch(&path, &patch).status, 200);
    let on = json!([{"op": "replace", "path": "active", "value": true}]);
    assert_eq!(client.patch(&path, &on).status, 200);
    let group = client.create("/Groups", &json!({"displayName": "g", "members": [{"value": id}]}));
    assert_eq!(client.delete(&path).status, 204);
    (client, id, group)
}

fn sets(server: &Server, query: &str) -> Vec<Value> {
    all(&server.admin("events:read scim:read"), &format!("format=set&{query}"))
}

on_both!(evt_001_evt_002_the_subject_is_a_relative_uri, |server: &Server| {
    let (_, id, group) = history(server);
    let sets = sets(server, "");
    assert!(sets.iter().all(|set| set.get("sub").is_none()));
    for set in &sets {
        let subject = set["sub_id"].as_object().unwrap();
        assert_eq!(subject["format"], "scim");
        if subject["uri"] == json!(format!("/Users/{id}")) {
            assert_eq!(subject["externalId"], "x1");
        } else {
            assert_eq!(subject["uri"], json!(format!("/Groups/{group}")));
            assert_eq!(subject.get("externalId"), None);
        }
        assert_eq!(set["iss"], json!(format!("http://{}", server.address)));
    }
});

on_both!(evt_003_evt_004_evt_005_evt_006_evt_007_payloads, |server: &Server| {
    let (client, id, group) = history(server);
    let names = |sets: &[Value]| -> Vec<String> {
        sets.iter().map(|set| set_event(set).0.to_owned()).collect()
    };
    let notices = sets(server, "");
    let wanted = [
        "create:notice",
        "put:notice",
        "patch:notice",
        "deactivate",
        "activate",
        "create:notice",
        "patch:notice",
        "patch:notice",
        "delete",
    ];
    assert_eq!(names(&notices), wanted);
    assert_eq!(set_event(&notices[1]).1, &json!({"version": "W/\"2\"", "attributes": ["title"]}));
    assert_eq!(set_event(&notices[2]).1["attributes"], json!(["title", "nickName"]));
    for place in [3, 4, 8] {
        assert_eq!(set_event(&notices[place]).1, &json!({}));
    }
    // What is gone cannot be shown; the membership says all by itself.
    let full = sets(server, "payload=full");
    assert_eq!(
        names(&full),
        [
            "create:notice",
            "put:notice",
            "patch:notice",
            "deactivate",
            "activate",
            "create:notice",
            "patch:full",
            "patch:full",
            "delete",
        ]
    );
    let remove = json!([{"op": "remove", "path": format!("members[value eq \"{id}\"]")}]);
    assert_eq!(set_event(&full[7]).1["data"]["Operations"], remove);
    assert_eq!(
        set_event(&full[7]).1["version"],
        client.get(&format!("/Groups/{group}")).json()["meta"]["version"]
    );
    for set in full.iter().chain(&notices) {
        let (name, payload) = set_event(set);
        let has = |key: &str| payload.get(key).is_some();
        assert_eq!(has("data"), name.ends_with(":full"), "{set}");
        assert_eq!(has("attributes"), name.ends_with(":notice"), "{set}");
        assert_eq!(has("version"), name.contains(':'), "{set}");
    }
    // While a resource is in the version that the event made, its data can be told.
    let john = client.create("/Users", &json!({"userName": "john", "title": "a"}));
    let path = format!("/Users/{john}");
    let last = || sets(server, "payload=full").pop().unwrap();
    assert_eq!(
        (set_event(&last()).0, &set_event(&last()).1["data"]["title"]),
        ("create:full", &json!("a"))
    );
    assert_eq!(client.put(&path, &json!({"userName": "john", "title": "b"})).status, 200);
    assert_eq!(
        (set_event(&last()).0, &set_event(&last()).1["data"]["title"]),
        ("put:full", &json!("b"))
    );
    let patch =
        json!([{"op": "remove", "path": "title"}, {"op": "add", "path": "nickName", "value": "j"}]);
    assert_eq!(client.patch(&path, &patch).status, 200);
    let patched = last();
    let operations = &set_event(&patched).1["data"]["Operations"];
    assert_eq!(set_event(&patched).0, "patch:full");
    assert_eq!(
        operations,
        &json!([{"op": "remove", "path": "title"}, {"op": "replace", "path": "nickName", "value": "j"}])
    );
    // The operations are a PATCH that the server itself understands.
    let other = client.create("/Users", &json!({"userName": "other", "title": "a"}));
    assert_eq!(client.patch(&format!("/Users/{other}"), operations).status, 200);
    assert_eq!(client.get(&format!("/Users/{other}")).json()["nickName"], "j");
});

on_both!(evt_008_a_token_is_the_same_again_and_requests_belong_together, |server: &Server| {
    let (_, _, _) = history(server);
    let first = sets(server, "");
    assert_eq!(sets(server, "limit=1"), first);
    let ids: BTreeSet<&str> = first.iter().map(|set| set["jti"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), first.len());
    let txn = |place: usize| &first[place]["txn"];
    // One PATCH made the third and the fourth; one DELETE the last two.
    assert_eq!((txn(2), txn(7)), (txn(3), txn(8)));
    let all: BTreeSet<String> = first.iter().map(|set| set["txn"].to_string()).collect();
    assert_eq!(all.len(), 6);
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

/// A stream of server-sent events, line by line.
struct Stream {
    lines: BufReader<TcpStream>,
}

impl Stream {
    fn open(reader: &Client, path: &str, last: &str) -> Self {
        let headers = [("Accept", "text/event-stream"), ("Last-Event-ID", last)];
        let mut socket = TcpStream::connect(reader.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(&reader.request("GET", path, &headers, None)).unwrap();
        let mut stream = Self { lines: BufReader::new(socket) };
        let head = stream.until("\r\n");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.contains("content-type: text/event-stream"), "{head}");
        stream
    }

    /// Reads up to a line.
    fn until(&mut self, end: &str) -> String {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "the stream ended: {text}");
            text.push_str(&line);
            if line == end {
                return text;
            }
        }
    }

    /// Reads the next event: its id, type and data.
    fn event(&mut self) -> (String, String, Value) {
        let (mut id, mut kind) = (String::new(), String::new());
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "the stream ended");
            match line.trim_end().split_once(": ") {
                Some(("id", value)) => value.clone_into(&mut id),
                Some(("event", value)) => value.clone_into(&mut kind),
                Some(("data", value)) => {
                    return (id, kind, serde_json::from_str(value).unwrap());
                }
                _ => {}
            }
        }
    }

    /// Reads to the end of the body or of the connection.
    fn rest(mut self) -> String {
        let mut text = String::new();
        while !text.ends_with("\n0\r\n") && self.lines.read_line(&mut text).unwrap() > 0 {}
        text
    }
}

on_both!(a_stream_tells_what_comes_and_goes_on_where_it_stopped, |server: &Server| {
    let (client, reader) = (server.client(), server.admin("events:read"));
    let first = client.create("/Users", &json!({"userName": "first"}));
    let mut stream = Stream::open(&reader, &format!("/events?{RESOURCES}"), "");
    let (id, kind, data) = stream.event();
    assert_eq!((kind.as_str(), &data["resource"]["id"]), ("user.created", &json!(first)));
    assert_eq!(data["id"], json!(id));
    let second = client.create("/Users", &json!({"userName": "second"}));
    assert_eq!(stream.event().2["resource"]["id"], json!(second));
    drop(stream);
    let mut again = Stream::open(&reader, &format!("/events?after=0&{RESOURCES}"), &id);
    assert_eq!(again.event().2["resource"]["id"], json!(second));
    // A token that is revoked reads nothing more.
    let token = reader.token.as_deref().unwrap().get(4..20).unwrap();
    assert!(server.run(&["token", "revoke", token]).status.success());
    client.create("/Users", &json!({"userName": "third"}));
    assert!(!again.rest().contains("data:"));
});

on_both!(a_reader_may_begin_with_the_newest, |server: &Server| {
    let (client, reader) = (server.client(), server.admin("events:read"));
    for name in ["first", "second", "third"] {
        client.create("/Users", &json!({"userName": name}));
    }
    let every = all(&reader, "");
    let newest = |query: &str| reader.get(&format!("/events?{query}")).json();
    let page = newest("newest=2");
    assert_eq!(page["events"].as_array().unwrap()[..], every[every.len() - 2..]);
    assert_eq!((&page["next"], &page["more"]), (&every[every.len() - 1]["id"], &json!(false)));
    assert_eq!(newest("newest=1&types=token.*")["next"], page["next"]);
    let end = newest("newest=0");
    assert_eq!((&end["events"], &end["next"]), (&json!([]), &page["next"]));
    let last = page["next"].as_str().unwrap();
    let before = page["events"][0]["id"].as_str().unwrap();
    assert_eq!(newest(&format!("newest=9&after={before}"))["events"], json!([page["events"][1]]));
    assert_eq!(newest(&format!("newest=9&after={last}")), end);
    assert_eq!(newest("newest=9&after=999.1")["next"], "999.1");
    for wrong in ["newest=1001", "newest=x"] {
        assert_eq!(reader.get(&format!("/events?{wrong}")).status, 400, "{wrong}");
    }
    // A stream begins there, too, and goes on behind what it told when it comes back.
    let path = format!("/events?newest=0&{RESOURCES}");
    let mut stream = Stream::open(&reader, &path, "");
    let fourth = client.create("/Users", &json!({"userName": "fourth"}));
    let (id, _, told) = stream.event();
    assert_eq!(told["resource"]["id"], json!(fourth));
    let fifth = client.create("/Users", &json!({"userName": "fifth"}));
    assert_eq!(stream.event().2["resource"]["id"], json!(fifth));
    let mut again = Stream::open(&reader, &path, &id);
    assert_eq!(again.event().2["resource"]["id"], json!(fifth));
});

on_both!(streams_and_waits_end_when_the_server_stops, |server: &Server| {
    let reader = server.admin("events:read");
    let next = reader.get("/events").at("/next");
    let stream = Stream::open(&reader, &format!("/events?after={next}"), "");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| reader.get(&format!("/events?after={next}&wait=30")));
        server.terminate();
        assert_eq!(server.stopped(PATIENCE), Some(true));
        drop(stream.rest());
        drop(waiting.join());
    });
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
fn a_token_that_ends_soon_is_told() {
    let database = Arc::new(Database::sqlite());
    let server = Server::start_with(Arc::clone(&database), &[], &[]);
    let token = server.token(&["--expires", "5d"]);
    drop(server);
    let server = Server::start_with(database, &[], &[]);
    let page = server.admin("events:read").get("/events?types=token.expiring&wait=30").json();
    assert_eq!(page["events"][0]["resource"]["id"], json!(token.get(3..19)));
    assert_eq!(page["events"][0]["actor"], json!({"type": "system"}));
}

on_both!(tail_prints_the_newest_events, |server: &Server| {
    let none = server.run(&["events", "tail", "--types", "user.*"]);
    assert_eq!(none.status.code(), Some(1));
    let client = server.client();
    let ids: Vec<String> =
        (0..30).map(|n| client.create("/Users", &json!({"userName": format!("u{n}")}))).collect();
    let tail = |flags: &[&str]| {
        let output = server.run(&[&["events", "tail", "--output", "json"], flags].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    let newest = tail(&[]);
    let told: Vec<&str> = newest.iter().map(|e| e["resource"]["id"].as_str().unwrap()).collect();
    assert_eq!(told, ids[10..]);
    assert_eq!(newest, all(&server.admin("events:read"), "types=user.*")[10..]);
    let first = tail(&["--after", "0", "--types", "user.*", "--limit", "2"]);
    assert_eq!(first[1]["resource"]["id"], json!(ids[1]));
    assert_eq!(types(&tail(&["--types", "token.*", "--limit", "1"])), ["token.created"]);
    let text = server.run(&["events", "tail", "--limit", "1"]);
    let line = String::from_utf8(text.stdout).unwrap();
    assert!(line.contains("token.created") || line.contains("user.created"), "{line}");
    for wrong in [["--types", "nothing"], ["--after", "x"], ["--tenant", "nobody"]] {
        assert!(!server.run(&[&["events", "tail"], &wrong[..]].concat()).status.success());
    }
});

on_both!(tail_follows_the_server, |server: &Server| {
    let client = server.client();
    let mut child = Command::new(binary())
        .args([
            "events",
            "tail",
            "--follow",
            "--types",
            "user.*",
            "--database",
            &server.database.url,
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for name in ["first", "second"] {
        let id = client.create("/Users", &json!({"userName": name}));
        assert!(lines.next().unwrap().unwrap().contains(&id));
    }
    child.kill().unwrap();
    child.wait().unwrap();
});

/// What a reader has seen, by the ids of events.
type Seen = BTreeMap<(i64, i64), Value>;

fn position(event: &Value) -> (i64, i64) {
    let (place, number) = event["id"].as_str().unwrap().split_once('.').unwrap();
    (place.parse().unwrap(), number.parse().unwrap())
}

/// A small generator of numbers: the same in every run.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Reads until the writers are done and nothing is left, dying at random: whatever was in a page that
/// it did not finish is read again by its successor, which knows only the last cursor.
fn mortal_reader(reader: &Client, mut state: u64, done: &AtomicBool) -> Seen {
    let (mut seen, mut cursor) = (Seen::new(), "0".to_owned());
    loop {
        let over = done.load(Ordering::SeqCst);
        let limit = 1 + random(&mut state) % 9;
        let path = format!("/events?after={cursor}&limit={limit}");
        if random(&mut state).is_multiple_of(4) {
            // Killed before the answer came.
            let mut socket = TcpStream::connect(reader.address).unwrap();
            socket.write_all(&reader.request("GET", &path, &[], None)).unwrap();
            continue;
        }
        let page = reader.get(&path);
        assert_eq!(page.status, 200, "{}", page.text());
        let page = page.json();
        let events = page["events"].as_array().unwrap();
        // Killed in the middle of a page: some of it was processed, the cursor was not kept.
        let killed = random(&mut state).is_multiple_of(3);
        let part = if killed { events.len() / 2 } else { events.len() };
        for event in &events[..part] {
            let known = seen.insert(position(event), event.clone());
            assert!(known.is_none_or(|known| known == *event), "{event} changed");
        }
        if killed {
            continue;
        }
        if over && events.is_empty() && page["more"] == json!(false) {
            return seen;
        }
        cursor = page["next"].as_str().unwrap().to_owned();
    }
}

/// Creates, changes and deletes users, and changes one that all writers share; returns what the server
/// has acknowledged: resource and version.
fn writer(client: &Client, number: usize, shared: &str, round: usize) -> Vec<(String, String)> {
    let created = client.post("/Users", &json!({"userName": format!("w{number}-{round}")}));
    assert_eq!(created.status, 201, "{}", created.text());
    let id = created.at("/id");
    let mut acknowledged = vec![(id.clone(), created.at("/meta/version"))];
    let change = json!([{"op": "replace", "path": "title", "value": format!("{number}-{round}")}]);
    let target = if round.is_multiple_of(2) { shared } else { &id };
    let changed = client.patch(&format!("/Users/{target}"), &change);
    assert_eq!(changed.status, 200, "{}", changed.text());
    acknowledged.push((target.to_owned(), changed.at("/meta/version")));
    if round.is_multiple_of(3) {
        assert_eq!(client.delete(&format!("/Users/{id}")).status, 204);
    }
    acknowledged
}

/// Some transactions are held open after they have taken their number, others take one and give up.
const LATE: &str = "
    CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF random() < 0.3 THEN PERFORM pg_sleep(random() * 0.02); END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER late AFTER INSERT ON changes FOR EACH ROW EXECUTE FUNCTION late();";
const GIVEN_UP: &str = "BEGIN; INSERT INTO changes
        (tenant, at, actor_kind, actor, request, act, kind, resource, version, paths, delta, personal_digest)
    VALUES (1, 0, 'system', '', 'r', 'created', 'User', 'ghost', 1, '', '', '');
    SELECT pg_sleep(random() * 0.01); ROLLBACK;\n";

#[test]
fn evt_018_postgres_no_change_is_lost_however_late_it_commits() {
    const ROUNDS: usize = 200;
    let server = Server::start(Database::postgres());
    let (client, reader) = (server.client(), server.admin("events:read"));
    let shared = client.create("/Users", &json!({"userName": "shared"}));
    psql(&server.database.url, LATE);
    let mut ghosts = Command::new("psql")
        .args(["-qAt", "-v", "ON_ERROR_STOP=1", &server.database.url])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut given_up = ghosts.stdin.take().unwrap();
    let (done, acknowledged) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let seen: Vec<Seen> = std::thread::scope(|scope| {
        let readers: Vec<_> = [0x9E37_79B9, 0x85EB_CA6B]
            .into_iter()
            .map(|seed| {
                let (reader, done) = (&reader, &done);
                scope.spawn(move || mortal_reader(reader, seed, done))
            })
            .collect();
        for round in 0..ROUNDS {
            given_up.write_all(GIVEN_UP.as_bytes()).unwrap();
            let writers: Vec<_> = (0..3)
                .map(|number| {
                    let (client, shared) = (&client, shared.as_str());
                    scope.spawn(move || writer(client, number, shared, round))
                })
                .collect();
            for writer in writers {
                acknowledged.lock().unwrap().extend(writer.join().unwrap());
            }
        }
        drop(given_up);
        assert!(ghosts.wait().unwrap().success());
        done.store(true, Ordering::SeqCst);
        readers.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    // Every committed change, and nothing else.
    let rows = psql(
        &server.database.url,
        "SELECT place || ' ' || resource || ' ' || version FROM changes WHERE tenant = 1 ORDER BY place",
    );
    let committed: BTreeSet<&str> = rows.lines().collect();
    assert!(committed.len() > ROUNDS * 6);
    assert!(!rows.contains("ghost"));
    for seen in &seen {
        let told: BTreeSet<String> = seen
            .iter()
            .map(|((place, _), event)| {
                let (resource, version) = (&event["resource"]["id"], &event["resource"]["version"]);
                format!("{place} {} {}", resource.as_str().unwrap(), version.as_i64().unwrap_or(0))
            })
            .collect();
        let told: BTreeSet<&str> = told.iter().map(String::as_str).collect();
        assert_eq!(committed.difference(&told).collect::<Vec<_>>(), [&""; 0], "not told");
        assert_eq!(told.difference(&committed).collect::<Vec<_>>(), [&""; 0], "invented");
        let mut versions: BTreeMap<&str, i64> = BTreeMap::new();
        for event in seen.values() {
            let version = event["resource"]["version"].as_i64().unwrap_or(0);
            let resource = event["resource"]["id"].as_str().unwrap();
            let before = versions.insert(resource, version).unwrap_or(0);
            assert!(before <= version, "{resource} went from {before} to {version}");
        }
        for (resource, version) in acknowledged.lock().unwrap().iter() {
            let number: i64 = version.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
            let is_it = |event: &Value| {
                event["resource"]["id"] == json!(resource)
                    && event["resource"]["version"] == json!(number)
            };
            assert!(seen.values().any(is_it), "{resource} {version}");
        }
    }
    assert!(seen[0] == seen[1], "both readers were told the same");
}
