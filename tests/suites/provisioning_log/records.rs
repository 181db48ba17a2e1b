//! What a record says of its request.

use std::time::{Duration, Instant};

use headcount_e2e::{Client, Server, on_both};
use serde_json::{Value, json};

use crate::support::{SOON, explain, lines, record};

on_both!(every_request_is_one_record, |server: &Server| {
    let client = server.client();
    let user = json!({"userName": "jane@example.com", "externalId": "e-1", "active": "True"});
    let made = client.post("/Users", &user);
    let id = made.at("/id");
    client.raw("GET", &format!("/Users/{id}"), &[("User-Agent", "Okta SCIM Client 1.0.0")], None);
    client.get("/Users?filter=userName%20eq%20%22JANE@example.com%22");
    client.get("/ServiceProviderConfig");
    client.get("/Nothing");
    client.raw("PUT", &format!("/Users/{id}"), &[], Some(b"{broken"));
    client.delete(&format!("/Users/{id}"));
    let deleted = record(server, |record| record["method"] == "DELETE");
    assert_eq!(deleted["status"], json!(204));
    assert_eq!(deleted["resource"], json!(id));
    assert_eq!(deleted["name"], "jane@example.com", "the server knew who it was");
    let all = lines(server, &[]);
    assert_eq!(all.len(), 7, "{all:#?}");
    let numbers: Vec<i64> = all.iter().map(|record| record["number"].as_i64().unwrap()).collect();
    assert!(numbers.is_sorted());
    assert_eq!(all[0]["name"], "jane@example.com");
    assert_eq!(all[0]["resource"], id.as_str());
    assert_eq!(all[0]["token"], "test");
    assert_eq!(all[0]["address"], "127.0.0.1");
    assert!(all[0]["quirks"].as_array().unwrap().contains(&json!("booleans-as-text")));
    assert_eq!(all[0]["requestId"], made.header("x-request-id").unwrap());
    assert_eq!(all[1]["idp"], "okta");
    assert_eq!(all[2]["filter"], "userName eq \"JANE@example.com\"");
    assert_eq!(all[3]["path"], "/ServiceProviderConfig");
    assert_eq!(all[4]["status"], 404);
    assert!(all[4]["advice"].as_str().unwrap().contains("/scim/v2"), "{}", all[4]["advice"]);
    assert_eq!(all[5]["scimType"], "invalidSyntax");
    let number = all[5]["number"].to_string();
    let shown = server.run(&["log", "show", &number]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("(7 bytes, not kept)"));
    let failed = lines(server, &["--failed"]);
    assert_eq!(failed.len(), 2);
    // The timeline has all but the two that name no one.
    let story = explain(server, "e-1");
    assert!(story["summary"].as_str().unwrap().contains("has been deleted"), "{story:#}");
    assert_eq!(story["entries"].as_array().unwrap().len(), 5, "{story:#}");
});

on_both!(ux_6_a_deleted_person_and_the_groups_it_was_added_to_have_names, |server: &Server| {
    let client = server.client();
    let jane = client.create("/Users", &json!({"userName": "jane@example.com"}));
    let group = client.create("/Groups", &json!({"displayName": "All Employees"}));
    let path = format!("/Groups/{group}");
    client.patch(&path, &json!([{"op": "add", "path": "members", "value": [{"value": jane}]}]));
    let out = json!([{"op": "remove", "path": format!("members[value eq \"{jane}\"]")}]);
    client.patch(&path, &out);
    client.delete(&format!("/Users/{jane}"));
    record(server, |record| record["method"] == "DELETE");
    let tail = server.run(&["log", "tail"]);
    let tail = String::from_utf8_lossy(&tail.stdout).into_owned();
    let line = tail.lines().find(|line| line.contains("DELETE")).unwrap_or_default();
    assert!(line.contains("\"jane@example.com\""), "{tail}");
    let story = explain(server, &jane);
    let told: Vec<&str> = story["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|entry| entry["membership"].as_str())
        .collect();
    let expected = ["added to group \"All Employees\"", "removed from group \"All Employees\""];
    assert_eq!(told, expected, "{story:#}");
});

on_both!(ux_1_a_wrong_base_url_has_a_record_whose_advice_is_about_it, |server: &Server| {
    let client = Client { base: String::new(), ..server.client() };
    let filter = "/Users?filter=userName%20eq%20%22x%22";
    assert_eq!(client.raw("GET", filter, &[], None).at("/status"), "404");
    assert_eq!(client.with_token(Some("wrong")).raw("GET", filter, &[], None).status, 404);
    record(server, |record| record["refused"] == "malformed");
    let all = lines(server, &[]);
    for record in &all {
        assert_eq!(record["kind"], Value::Null, "{record:#}");
        assert_eq!(record["outcome"], "wrong address", "{record:#}");
        assert!(record["reason"].as_str().unwrap().contains("/scim/v2"), "{record:#}");
        assert!(record["advice"].as_str().unwrap().contains("base URL"), "{record:#}");
    }
    assert_eq!(all.len(), 2, "{all:#?}");
});

on_both!(refused_tokens_and_the_connection_test_appear_within_a_second, |server: &Server| {
    let client = server.client();
    let probe = "/Users?filter=userName%20eq%20%22b7a3d5c1-8f0e-4f6b-9c2d-1e5a7b9c3d4f%22";
    assert_eq!(client.raw("GET", probe, &[("User-Agent", "-")], None).status, 200);
    let short = client.with_token(Some(&server.token(&["--expires", "1s"])));
    let good = client.token.clone().unwrap();
    // A wrong secret in a token of the right form, checksum included, needs the id of a real one.
    let wrong = "X".repeat(40);
    std::thread::sleep(Duration::from_millis(1_200));
    assert_eq!(short.get("/Users").status, 401);
    assert_eq!(client.with_token(Some(&wrong)).get("/Users").status, 401);
    assert_eq!(client.with_token(None).get("/Users").status, 401);
    let listed = server.run(&["token", "list", "--output", "json"]);
    let tokens: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let id =
        tokens["tokens"].as_array().unwrap().iter().find(|token| token["lastUsed"] != json!(null));
    let id = id.map_or_else(|| tokens["tokens"][1]["id"].clone(), |token| token["id"].clone());
    server.run(&["token", "revoke", id.as_str().unwrap()]);
    assert_eq!(client.with_token(Some(&good)).get("/Users").status, 401);
    let asked = Instant::now();
    record(server, |record| record["refused"] == "revoked");
    assert!(asked.elapsed() < SOON);
    let all = lines(server, &[]);
    let of = |refused: &str| all.iter().find(|record| record["refused"] == refused).unwrap();
    assert_eq!(of("expired")["token"], "test", "a refused token is reported by its name");
    assert_eq!(of("malformed")["token"], json!(null));
    for record in all.iter().filter(|record| record["status"] == 401) {
        assert!(record["advice"].as_str().unwrap().contains("oken"), "{record}");
    }
    let test = all.iter().find(|record| record["idp"] == "entra").unwrap();
    assert_eq!(test["status"], json!(200));
    assert_eq!(test["method"], json!("GET"));
    assert!(!format!("{all:?}").contains(&good));
});

on_both!(pwd_01_no_secret_is_kept, |server: &Server| {
    let client = server.client();
    let token = client.token.clone().unwrap();
    let secret = "CNRY-secret-1";
    client.post("/Users", &json!({"userName": "a", "password": secret, "nickName": token}));
    client.post("/Users", &json!({"userName": "a", "password": secret, "clientSecret": secret}));
    let id = client.get("/Users").at("/Resources/0/id");
    let operations = json!([
        {"op": "replace", "path": "password", "value": secret},
        {"op": "replace", "value": {"password": secret}}
    ]);
    client.patch(&format!("/Users/{id}"), &operations);
    let bulk = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": [
        {"method": "POST", "path": "/Users", "bulkId": "1", "data": {"userName": "b", "password": secret}}
    ]});
    client.post("/Bulk", &bulk);
    client.raw("POST", "/Users", &[], Some(format!("{{\"password\": \"{secret}\"").as_bytes()));
    record(server, |record| record["scimType"] == "invalidSyntax");
    let mut everything = String::new();
    for record in lines(server, &[]) {
        let number = record["number"].to_string();
        let shown = server.run(&["log", "show", &number, "--output", "json"]);
        everything.push_str(&String::from_utf8(shown.stdout).unwrap());
    }
    assert!(everything.contains("(not kept)") && everything.contains("\\\"userName\\\":\\\"a\\\""));
    assert!(!everything.contains(secret), "{everything}");
    assert!(!everything.contains(&token), "{everything}");
});

on_both!(each_operation_of_a_bulk_request_is_found, |server: &Server| {
    let client = server.client();
    client.post("/Users", &json!({"userName": "taken"}));
    let operations: Vec<Value> = ["kim", "Taken", "lee"]
        .iter()
        .enumerate()
        .map(|(index, name)| {
            json!({"method": "POST", "path": "/Users", "bulkId": index.to_string(), "data": {"userName": name}})
        })
        .collect();
    let bulk = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": operations
    });
    assert_eq!(client.post("/Bulk", &bulk).status, 200);
    record(server, |record| record["name"] == "lee");
    let kim = explain(server, "kim");
    assert_eq!(kim["entries"][0]["request"]["status"], 201, "{kim:#}");
    assert_eq!(kim["entries"][0]["changes"][0]["act"], "created", "{kim:#}");
    let taken = explain(server, "taken");
    let refused = &taken["entries"][1]["request"];
    assert_eq!(refused["status"], json!(409));
    assert_eq!(refused["scimType"], json!("uniqueness"));
    assert!(taken["whatToDo"].as_str().unwrap().contains("userName"), "{taken:#}");
});

on_both!(a_group_change_is_in_the_story_of_its_members, |server: &Server| {
    let client = server.client();
    let id = client.post("/Users", &json!({"userName": "kim"})).at("/id");
    let group = client.post("/Groups", &json!({"displayName": "Staff"})).at("/id");
    let add = json!([{"op": "Add", "path": "members", "value": [{"value": id}]}]);
    assert_eq!(client.patch(&format!("/Groups/{group}"), &add).status, 200);
    let remove = json!([{"op": "remove", "path": format!("members[value eq \"{id}\"]")}]);
    assert_eq!(client.patch(&format!("/Groups/{group}"), &remove).status, 200);
    record(server, |record| record["method"] == "PATCH" && record["quirks"] == json!([]));
    let story = explain(server, "KIM");
    let of_group = |entry: &&Value| entry["request"]["kind"] == "Group";
    assert_eq!(
        story["entries"].as_array().unwrap().iter().filter(of_group).count(),
        2,
        "{story:#}"
    );
});

on_both!(a8_a_slip_in_what_is_asked_for_is_ignored_and_said, |server: &Server| {
    let client = server.client();
    let user = json!({"userName": "jane", "title": "t"});
    let id = client.post("/Users?attributes=usrName", &user).at("/id");
    let near = "urn:ietf:params:scim:schemas:extension:enterprise:1.0:User:department";
    for path in [
        format!("/Users/{id}?attributes=title,{near}"),
        format!("/Users?excludedAttributes={near}"),
        format!("/Users/{id}?attributes=title,shoeSize,urn:example:other:1.0:User:x"),
        "?attributes=displayName".to_owned(),
    ] {
        assert_eq!(client.get(&path).status, 200, "{path}");
    }
    record(server, |record| record["path"] == "/");
    let all = lines(server, &[]);
    let meant = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department";
    let expected =
        [Some(("usrName", "userName")), Some((near, meant)), Some((near, meant)), None, None];
    assert_eq!(all.len(), expected.len());
    for (record, expected) in all.iter().zip(expected) {
        let said = expected.map(|(name, meant)| {
            format!("unknown attribute \"{name}\" was ignored; did you mean \"{meant}\"?")
        });
        assert_eq!(record["reason"], json!(said), "{record:#}");
        match (said, record["advice"].as_str()) {
            (Some(said), Some(advice)) => assert!(advice.contains(&said), "{advice}"),
            (said, advice) => assert_eq!((said, advice), (None, None)),
        }
    }
});

on_both!(a10_what_changed_nothing_is_not_called_a_change, |server: &Server| {
    let client = server.client();
    let id = client.post("/Users", &json!({"userName": "jane", "title": "t"})).at("/id");
    let user = format!("/Users/{id}");
    let replace = |path: &str, value: &str| json!({"op": "replace", "path": path, "value": value});
    let patch = |operation: Value| assert_eq!(client.patch(&user, &json!([operation])).status, 200);
    patch(replace("title", "u"));
    patch(replace("title", "u"));
    patch(replace("urn:example:of:another:application:badge", "7"));
    client.put(&user, &json!({"userName": "jane", "title": "u"}));
    client.put(&user, &json!({"userName": "jane", "title": "v"}));
    let data = |value: &str| {
        json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [replace("title", value)]})
    };
    let operation = |value: &str| json!({"method": "PATCH", "path": user, "data": data(value)});
    let bulk = |operations: Value| {
        let schemas = ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"];
        let body = json!({"schemas": schemas, "Operations": operations});
        assert_eq!(client.post("/Bulk", &body).status, 200);
    };
    bulk(json!([operation("v"), operation("w")]));
    bulk(json!([operation("w")]));
    client.post(
        "/.search",
        &json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]}),
    );
    client.get("?count=1");
    client.get("/ServiceProviderConfig");
    client.delete(&user);
    record(server, |record| record["method"] == "DELETE");
    let all = lines(server, &[]);
    let outcomes: Vec<(&str, &str)> = all
        .iter()
        .map(|line| (line["method"].as_str().unwrap(), line["outcome"].as_str().unwrap()))
        .collect();
    let expected = [
        ("POST", "created"),
        ("PATCH", "changed"),
        ("PATCH", "unchanged"),
        ("PATCH", "unchanged"),
        ("PUT", "unchanged"),
        ("PUT", "replaced"),
        ("POST", "carried out"),
        ("PATCH", "unchanged"),
        ("PATCH", "changed"),
        ("POST", "unchanged"),
        ("PATCH", "unchanged"),
        ("POST", "listed"),
        ("GET", "listed"),
        ("GET", "asked what the server can do"),
        ("DELETE", "deleted"),
    ];
    assert_eq!(outcomes, expected);
    let story = explain(server, "jane");
    let reported = story["entries"].as_array().unwrap().iter();
    let reported: Vec<_> = reported.map(|entry| &entry["request"]["outcome"]).collect();
    assert_eq!(
        reported.iter().filter(|outcome| **outcome == "unchanged").count(),
        5,
        "{reported:?}"
    );
});
