//! Members: those that do not exist, and those of a large group.

use headcount_e2e::http::Connection;
use headcount_e2e::{Server, on_both};
use serde_json::{Value, json};

use crate::support::refused;

on_both!(members_are_users_and_groups_that_exist, |server: &Server| {
    let client = server.client();
    let group = client.create("/Groups", &json!({"displayName": "g"}));
    let unknown = "00000000-0000-7000-8000-000000000000";
    let member = json!([{"value": unknown}]);
    for response in [
        client.post("/Groups", &json!({"displayName": "h", "members": member})),
        client.put(&format!("/Groups/{group}"), &json!({"displayName": "g", "members": member})),
        client.patch(
            &format!("/Groups/{group}"),
            &json!([{"op": "add", "path": "members", "value": member}]),
        ),
        client.patch(
            &format!("/Groups/{group}"),
            &json!([{"op": "replace", "path": "members", "value": member}]),
        ),
    ] {
        refused(&response, 400, Some("invalidValue"), "an unknown member");
        assert!(response.at("/detail").contains(unknown), "{}", response.text());
    }
    let own = json!([{"op": "add", "path": "members", "value": [{"value": group}]}]);
    refused(
        &client.patch(&format!("/Groups/{group}"), &own),
        400,
        Some("invalidValue"),
        "its own member",
    );
    assert_eq!(client.get("/Groups").at("/totalResults"), "1");
    assert_eq!(client.get(&format!("/Groups/{group}")).json()["members"], json!([]));
});

on_both!(a_large_group_is_streamed_whole, |server: &Server| {
    let client = server.client();
    let mut connection = Connection::open(server.address).unwrap();
    let ids: Vec<Value> = (0..6_000)
        .map(|n| {
            let response = client.on(
                &mut connection,
                "POST",
                "/Users?attributes=id",
                Some(&json!({"userName": format!("u{n}")})),
            );
            json!({"value": response.at("/id")})
        })
        .collect();
    let group = client.create(
        "/Groups?excludedAttributes=members",
        &json!({"displayName": "large", "members": ids}),
    );
    let path = format!("/Groups/{group}");
    let read = client.get(&path);
    assert_eq!(read.header("transfer-encoding"), Some("chunked"));
    let mut members: Vec<_> = read.json()["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| member["value"].to_string())
        .collect();
    assert_eq!(members.len(), 6_000);
    members.sort();
    members.dedup();
    assert_eq!(members.len(), 6_000);
    assert_eq!(read.json()["meta"]["version"].as_str(), read.header("etag"));
    let listed = client.get("/Groups").json();
    assert_eq!(listed["Resources"][0]["members"].as_array().map(Vec::len), Some(6_000));
    assert_eq!(
        client.get("/Groups?excludedAttributes=members").json()["Resources"][0].get("members"),
        None
    );
    let one = json!([{"op": "remove", "path": format!("members[value eq {}]", ids[17]["value"])}]);
    assert_eq!(
        client.patch(&path, &one).status,
        204,
        "the answer to a PATCH does not grow with the group"
    );
    let shown = client.patch(&format!("{path}?attributes=displayName"), &one);
    shown.assert_status(200);
    shown.assert_at("/displayName", "large");
});
