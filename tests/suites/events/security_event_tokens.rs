//! The feed as security event tokens (RFC 9967).

use std::collections::BTreeSet;

use headcount_e2e::{Client, Server, on_both};
use serde_json::{Value, json};

use crate::support::all;

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

fn names(sets: &[Value]) -> Vec<&str> {
    sets.iter().map(|set| set_event(set).0).collect()
}

on_both!(evt_005_evt_006_evt_007_a_notice_names_what_changed, |server: &Server| {
    history(server);
    let notices = sets(server, "");
    let expected = [
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
    assert_eq!(names(&notices), expected);
    assert_eq!(set_event(&notices[1]).1, &json!({"version": "W/\"2\"", "attributes": ["title"]}));
    assert_eq!(set_event(&notices[2]).1["attributes"], json!(["title", "nickName"]));
    for number in [3, 4, 8] {
        assert_eq!(set_event(&notices[number]).1, &json!({}));
    }
});

on_both!(evt_004_what_is_gone_is_in_no_full_payload, |server: &Server| {
    let (client, id, group) = history(server);
    let full = sets(server, "payload=full");
    let expected = [
        "create:notice",
        "put:notice",
        "patch:notice",
        "deactivate",
        "activate",
        "create:notice",
        "patch:full",
        "patch:full",
        "delete",
    ];
    assert_eq!(names(&full), expected);
    // A change of members needs nothing but itself.
    let (_, removal) = set_event(&full[7]);
    let remove = json!([{"op": "remove", "path": format!("members[value eq \"{id}\"]")}]);
    assert_eq!(removal["data"]["Operations"], remove);
    let version = client.get(&format!("/Groups/{group}")).json()["meta"]["version"].clone();
    assert_eq!(removal["version"], version);
});

on_both!(evt_003_evt_004_a_payload_is_full_or_a_notice, |server: &Server| {
    history(server);
    for set in sets(server, "payload=full").iter().chain(&sets(server, "")) {
        let (name, payload) = set_event(set);
        assert_eq!(payload.get("data").is_some(), name.ends_with(":full"), "{set}");
        assert_eq!(payload.get("attributes").is_some(), name.ends_with(":notice"), "{set}");
        assert_eq!(payload.get("version").is_some(), name.contains(':'), "{set}");
    }
});

on_both!(evt_005_a_full_payload_has_the_data_of_its_version, |server: &Server| {
    let client = server.client();
    let id = client.create("/Users", &json!({"userName": "john", "title": "a"}));
    let path = format!("/Users/{id}");
    let last = || sets(server, "payload=full").pop().unwrap();
    let created = last();
    assert_eq!(set_event(&created).0, "create:full");
    assert_eq!(set_event(&created).1["data"]["title"], "a");
    client.put(&path, &json!({"userName": "john", "title": "b"})).assert_status(200);
    let replaced = last();
    assert_eq!(set_event(&replaced).0, "put:full");
    assert_eq!(set_event(&replaced).1["data"]["title"], "b");
    let patch =
        json!([{"op": "remove", "path": "title"}, {"op": "add", "path": "nickName", "value": "j"}]);
    client.patch(&path, &patch).assert_status(200);
    let patched = last();
    assert_eq!(set_event(&patched).0, "patch:full");
    let operations = &set_event(&patched).1["data"]["Operations"];
    let expected = json!([
        {"op": "remove", "path": "title"}, {"op": "replace", "path": "nickName", "value": "j"}
    ]);
    assert_eq!(*operations, expected);
    // The operations are a PATCH that the server itself understands.
    let other = client.create("/Users", &json!({"userName": "other", "title": "a"}));
    client.patch(&format!("/Users/{other}"), operations).assert_status(200);
    client.get(&format!("/Users/{other}")).assert_at("/nickName", "j");
});

on_both!(evt_008_a_token_is_the_same_again_and_requests_belong_together, |server: &Server| {
    let (_, _, _) = history(server);
    let first = sets(server, "");
    assert_eq!(sets(server, "limit=1"), first);
    let ids: BTreeSet<&str> = first.iter().map(|set| set["jti"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), first.len());
    let txn = |place: usize| &first[place]["txn"];
    // One PATCH made the third and the fourth; one DELETE the last two.
    assert_eq!(txn(2), txn(3));
    assert_eq!(txn(7), txn(8));
    let all: BTreeSet<String> = first.iter().map(|set| set["txn"].to_string()).collect();
    assert_eq!(all.len(), 6);
});
