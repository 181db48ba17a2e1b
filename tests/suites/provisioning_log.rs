//! The provisioning log: every request is told, no secret is, and nothing waits for it.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use headcount_e2e::http::Connection;
use headcount_e2e::server::{binary, wait_for};
use headcount_e2e::{Client, Database, Server, on_both};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(10);

fn lines(server: &Server, arguments: &[&str]) -> Vec<Value> {
    let all = [&["log", "tail", "--output", "json", "-n", "5000"], arguments].concat();
    let output = server.run(&all);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The newest record for which `wanted` holds, once it is there.
fn record(server: &Server, wanted: impl Fn(&Value) -> bool) -> Value {
    let found = wait_for(SOON, || lines(server, &[]).into_iter().rev().find(&wanted));
    found.unwrap_or_else(|| panic!("no such record in {:#?}", lines(server, &[])))
}

fn explain(server: &Server, name: &str) -> Value {
    let output = server.run(&["log", "explain", name, "--output", "json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

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
    assert_eq!((&deleted["status"], &deleted["resource"]), (&json!(204), &json!(id)));
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
    // The story holds all but the two that name nobody.
    let story = explain(server, "e-1");
    assert!(story["summary"].as_str().unwrap().contains("has been deleted"), "{story:#}");
    assert_eq!(story["entries"].as_array().unwrap().len(), 5, "{story:#}");
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
    assert_eq!(of("expired")["token"], "test", "a refused token is told by its name");
    assert_eq!(of("malformed")["token"], json!(null));
    for record in all.iter().filter(|record| record["status"] == 401) {
        assert!(record["advice"].as_str().unwrap().contains("oken"), "{record}");
    }
    let test = all.iter().find(|record| record["idp"] == "entra").unwrap();
    assert_eq!((&test["status"], &test["method"]), (&json!(200), &json!("GET")));
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
    assert_eq!((&refused["status"], &refused["scimType"]), (&json!(409), &json!("uniqueness")));
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

/// Sends the same request `count` times over as few connections as the server allows.
fn flood(server: &Server, client: &Client, target: &str, count: usize) {
    let request = client.request("GET", target, &[], None);
    let mut connection = Connection::open(server.address).unwrap();
    for _ in 0..count {
        let answered = connection.send(&request).and_then(|()| connection.receive(false));
        let answer = answered.or_else(|_closed| {
            connection = Connection::open(server.address)?;
            connection.send(&request)?;
            connection.receive(false)
        });
        assert!((400..500).contains(&answer.unwrap().status));
    }
}

const FLOOD: usize = 4_000;

on_both!(aud_02_s3_no_stranger_takes_the_place_of_a_proven_request, |server: &Server| {
    let client = server.client();
    for number in 0..20 {
        client.post("/Users", &json!({"userName": format!("user{number}")}));
    }
    let outside = server.token(&["--cidr", "203.0.113.0/24"]);
    let expired = server.token(&["--expires", "1s"]);
    record(server, |record| record["name"] == "user19");
    // A filter of 2 KB, which nobody who is not proven may leave in the log.
    let filtered = format!("/Users?filter=userName%20eq%20%22{}%22", "x".repeat(2_000));
    let root = Client { base: String::new(), ..client.clone() };
    std::thread::sleep(Duration::from_secs(1));
    flood(server, &client.with_token(None), &filtered, FLOOD);
    flood(server, &client.with_token(Some("nonsense")), &filtered, FLOOD);
    flood(server, &client.with_token(Some(&expired)), &filtered, FLOOD);
    flood(server, &client.with_token(Some(&outside)), &filtered, FLOOD);
    flood(server, &root.with_token(None), "/wrong/base/Users?filter=a", FLOOD);
    flood(server, &root, "/wrong/base/Users?filter=a", FLOOD);
    let floods = 6 * FLOOD;
    let counted = || {
        let all = lines(server, &[]);
        let unkept: u64 = all.iter().map(|line| line["unkept"].as_u64().unwrap()).sum();
        let others = all.len() - 20 + usize::try_from(unkept).unwrap();
        (others == floods).then_some(all)
    };
    let all = wait_for(SOON, counted).unwrap_or_else(|| {
        panic!("{floods} requests are not all kept or counted: {:#?}", lines(server, &[]))
    });
    assert!((20..=220).contains(&all.len()), "{} are kept", all.len());
    assert!(all.iter().all(|line| line["status"] == 201 || line["filter"] == json!(null)));
    assert_eq!(all.iter().filter(|line| line["status"] == 201).count(), 20);
    let told = all.iter().find(|line| line["refused"] == "expired").unwrap();
    assert_eq!(told["token"], "test", "the connection test with an expired token is found");
    assert_eq!(server.metric("headcount_log_dropped_total", ""), 0.0);
    let untold = server.metric("headcount_log_refusals_untold_total", "");
    assert_eq!(untold, f64::from(u32::try_from(floods + 20 - all.len()).unwrap()));
    let tail = server.run(&["log", "tail", "--failed"]);
    let tail = String::from_utf8(tail.stdout).unwrap();
    assert!(tail.contains("more requests without a valid token were counted"), "{tail}");
    // Not even where the log has next to no room: the next server prunes it at once.
    let database = Arc::clone(&server.database);
    server.terminate();
    assert_eq!(server.stopped(SOON), Some(true));
    let again = Server::start_with(database, &[], &[("HEADCOUNT__REQUESTS__KEEP_BYTES", "600000")]);
    flood(&again, &again.client().with_token(None), &filtered, FLOOD);
    again.client().post("/Users", &json!({"userName": "user20"}));
    record(&again, |record| record["name"] == "user20");
    let all = lines(&again, &[]);
    assert_eq!(all.iter().filter(|line| line["status"] == 201).count(), 21, "{all:#?}");
});

on_both!(a_connection_test_with_a_wrong_token_is_found_beside_a_flood, |server: &Server| {
    let client = server.client();
    flood(server, &client.with_token(None), "/Users", 300);
    let wrong = client.with_token(Some(&"X".repeat(40)));
    assert_eq!(wrong.raw("GET", "/Users?count=1", &[("User-Agent", "desk")], None).status, 401);
    let told = record(server, |record| record["agent"] == "desk");
    assert_eq!((&told["refused"], &told["unkept"]), (&json!("malformed"), &json!(0)));
    let (untold, dropped) = ("headcount_log_refusals_untold_total", "headcount_log_dropped_total");
    assert!(server.metric(untold, "") > 200.0 && server.metric(dropped, "") == 0.0);
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
    let told = story["entries"].as_array().unwrap().iter();
    let told: Vec<_> = told.map(|entry| &entry["request"]["outcome"]).collect();
    assert_eq!(told.iter().filter(|outcome| **outcome == "unchanged").count(), 5, "{told:?}");
});

on_both!(tail_follows_within_a_second_and_a_half, |server: &Server| {
    let client = server.client();
    client.get("/ServiceProviderConfig");
    record(server, |record| record["path"] == "/ServiceProviderConfig");
    let mut command = Command::new(binary());
    command.args(["log", "tail", "--follow", "-n", "1", "--database", &server.database.url]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut shown = BufReader::new(child.stdout.take().unwrap()).lines();
    let latest = shown.next().unwrap().unwrap();
    assert!(latest.contains("asked what the server can do"), "{latest}");
    client.post("/Users", &json!({"userName": "jane"}));
    client.post("/Users", &json!({"userName": "Jane"}));
    let first = shown.next().unwrap().unwrap();
    assert!(first.contains("POST /Users  201  created \"jane\""), "{first}");
    let second = shown.find(|line| line.as_ref().unwrap().contains("  409 ")).unwrap().unwrap();
    assert!(second.contains("uniqueness"), "{second}");
    let field = shown.next().unwrap().unwrap();
    assert_eq!(field.trim(), "rejected: userName");
    child.kill().unwrap();
    child.wait().unwrap();
});

on_both!(no_client_commands_the_terminal, |server: &Server| {
    let client = server.client();
    let name = "\u{1b}]0;mine\u{7}jane\u{9b}31m\n\u{7f}";
    client.post("/Users", &json!({"userName": name, "externalId": name, "active": "perhaps"}));
    record(server, |record| record["status"] == 400);
    for command in [&["log", "tail"][..], &["log", "show", "1"], &["log", "explain", name]] {
        let output = server.run(command);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("jane"), "{command:?}: {text}");
        let obeyed = text.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(obeyed, None, "{command:?}: {text:?}");
    }
});

on_both!(old_records_go, |server: &Server| {
    let client = server.client();
    client.post("/Users", &json!({"userName": "jane"}));
    record(server, |record| record["name"] == "jane");
    let database = Arc::clone(&server.database);
    server.terminate();
    assert_eq!(server.stopped(SOON), Some(true));
    let settings = [("HEADCOUNT__REQUESTS__KEEP_DAYS", "0")];
    let again = Server::start_with(database, &[], &settings);
    again.client().get("/Users");
    let emptied = wait_for(SOON, || lines(&again, &[]).is_empty().then_some(()));
    assert!(emptied.is_some(), "{:#?}", lines(&again, &[]));
    // What happened outlives what was asked.
    let story = explain(&again, "jane");
    assert_eq!(story["entries"][0]["request"], json!(null));
    assert_eq!(story["entries"][0]["changes"][0]["act"], "created");
});

#[test]
fn a_log_that_cannot_be_written_stops_nothing_sqlite() {
    let database = Database::sqlite();
    // Nothing can be opened or written under this name.
    std::fs::create_dir(database.path().join("headcount-log.db")).unwrap();
    let server = Server::start(database);
    let client = server.client();
    for number in 0..20 {
        let user = json!({"userName": format!("user{number}")});
        assert_eq!(client.post("/Users", &user).status, 201);
    }
    let dropped =
        wait_for(SOON, || (server.metric("headcount_log_dropped_total", "") >= 20.0).then_some(()));
    assert!(dropped.is_some());
    assert_eq!(client.get("/Users").at("/totalResults"), "20");
    assert_eq!(server.log().matches("the provisioning log cannot be written").count(), 1);
    let refused = server.run(&["log", "tail"]);
    assert!(!refused.status.success(), "a log that cannot be read is no empty log");
}

#[test]
fn nothing_is_kept_when_it_is_switched_off_sqlite() {
    let settings = [("HEADCOUNT__REQUESTS__KEEP", "false")];
    let server = Server::start_with(Arc::new(Database::sqlite()), &[], &settings);
    server.client().post("/Users", &json!({"userName": "jane"}));
    server.terminate();
    assert_eq!(server.stopped(SOON), Some(true));
    assert!(lines(&server, &[]).is_empty());
}

on_both!(metrics_tell_of_tenants_tokens_and_pools, |server: &Server| {
    let client = server.client();
    client.post("/Users", &json!({"userName": "jane@example.com"}));
    client.post("/Groups", &json!({"displayName": "Staff"}));
    let of_users = || server.metric("headcount_resources", "tenant=\"default\",kind=\"User\"");
    assert_eq!(wait_for(SOON, || (of_users() == 1.0).then_some(())), Some(()));
    assert!(server.metric("headcount_token_expires_timestamp_seconds", "token=") > 1.7e9);
    assert!(server.metric("headcount_pool_connections", "pool=\"data\",state=\"open\"") >= 1.0);
    assert!(server.metric("headcount_log_dropped_total", "") == 0.0);
    let text = headcount_e2e::Client { base: String::new(), ..client }.get("/metrics").text();
    assert!(!text.contains("jane") && !text.contains("Staff"), "{text}");
});

#[test]
fn metrics_may_have_an_address_of_their_own_sqlite() {
    let settings = [("HEADCOUNT__HTTP__METRICS_LISTEN", "127.0.0.1:0")];
    let server = Server::start_with(Arc::new(Database::sqlite()), &[], &settings);
    let client = headcount_e2e::Client { base: String::new(), ..server.client() };
    assert_eq!(client.get("/metrics").status, 404);
    let line = server.log().lines().find_map(|line| {
        line.strip_prefix("metrics are at http://")
            .map(|rest| rest.trim_end_matches("/metrics").to_owned())
    });
    let apart = headcount_e2e::Client { address: line.unwrap().parse().unwrap(), ..client };
    assert!(apart.get("/metrics").text().contains("headcount_argon2_runs_total"));
    assert_eq!(apart.get("/scim/v2/Users").status, 404);
}

/// A client of the admin API with these scopes.
fn admin(server: &Server, scopes: &str) -> headcount_e2e::Client {
    let token = server.token(&["--scope", scopes]);
    headcount_e2e::Client {
        base: "/api/v1".to_owned(),
        ..headcount_e2e::Client::new(server.address, &token)
    }
}

on_both!(the_api_tells_what_the_command_line_tells, |server: &Server| {
    let client = server.client();
    let id = client.create("/Users", &json!({"userName": "jane@example.com", "active": "True"}));
    client.post("/Users", &json!({"userName": "JANE@example.com"}));
    client.with_token(Some("nonsense")).get("/Users");
    record(server, |record| record["refused"] == "malformed");
    let api = admin(server, "administration");
    let listed = api.get("/log?outcome=failed").json();
    assert_eq!(listed["requests"].as_array().unwrap().len(), 1, "{listed:#}");
    assert_eq!(listed["requests"][0]["field"], "userName");
    assert_eq!(listed["requests"][0]["sent"], json!(null));
    let number = listed["requests"][0]["number"].to_string();
    let one = api.get(&format!("/log/{number}"));
    assert!(one.at("/sent").contains("JANE@example.com"), "{}", one.text());
    assert_eq!((one.at("/sender"), one.at("/outcome")), ("Entra".to_owned(), "refused".to_owned()));
    assert_eq!(api.get("/log/999999").status, 404);
    let by_id = api.get(&format!("/log?requestId={}", one.at("/requestId"))).json();
    assert_eq!(by_id["requests"], listed["requests"]);
    assert_eq!(api.get("/log?requestId=unknown").json(), json!({"requests": []}));
    assert_eq!(
        api.get("/log?name=jane%40example.com").json()["requests"].as_array().unwrap().len(),
        2
    );
    let made = api.get(&format!("/log?kind=User&before={number}")).json()["requests"][0].clone();
    assert_eq!(made["outcome"], "created");
    let repair = made["repairs"][0].as_str().unwrap();
    assert!(repair.ends_with(&format!("({})", made["quirks"][0].as_str().unwrap())), "{repair}");
    let story = api.get("/timeline?name=jane%40example.com").json();
    assert_eq!(story, explain(server, "jane@example.com"));
    assert_eq!(story["present"][0]["id"], id.as_str());
    assert_eq!(api.get("/timeline").status, 400);
    let quirks = api.get("/quirks").json();
    let of = |name: &str| {
        let all = quirks["quirks"].as_array().unwrap();
        all.iter().find(|quirk| quirk["quirk"] == name).cloned().unwrap_or_default()
    };
    assert_eq!(of("booleans-as-text")["count"], 1, "{quirks:#}");
    // A token that is nobody's is shown to whoever may see all tenants, and to nobody else.
    assert_eq!(api.get("/log?everywhere=yes").status, 403);
    let all = admin(server, "administration tenants:all");
    let nobody = record(server, |record| record["refused"] == "malformed")["number"].to_string();
    assert_eq!(all.get(&format!("/log/{nobody}")).status, 404, "it is of no tenant");
    assert_eq!(all.get(&format!("/log/{nobody}?everywhere=yes")).at("/refused"), "malformed");
    assert_eq!(api.get(&format!("/log/{number}?everywhere=yes")).status, 403);
    let all = all.get("/log?everywhere=yes").json();
    let refused = |record: &Value| record["refused"] == "malformed";
    assert!(all["requests"].as_array().unwrap().iter().any(refused), "{all:#}");
    for path in ["/log", "/timeline?name=x", "/quirks", "/log/1"] {
        let provisioning = headcount_e2e::Client { base: api.base.clone(), ..client.clone() };
        assert_eq!(provisioning.get(path).status, 403, "{path}");
        assert_eq!(admin(server, "events:read").get(path).status, 403, "{path}");
    }
});
