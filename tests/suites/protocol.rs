//! What a hostile or broken client gets: a SCIM error that says what to change, and nothing changed.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

use std::time::Duration;

use headcount_e2e::http::Connection;
use headcount_e2e::{Client, Response, Server, on_both};
use serde_json::{Value, json};

/// Checks that an answer is a SCIM error of the given kind with a detail for people.
fn refused(response: &Response, status: u16, scim_type: Option<&str>, what: &str) {
    let body = response.json();
    assert_eq!(response.status, status, "{what}: {}", response.text());
    assert_eq!(response.header("content-type"), Some("application/scim+json"), "{what}");
    assert_eq!(body["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]), "{what}");
    assert_eq!(body["status"], status.to_string(), "{what}");
    assert_eq!(body["scimType"].as_str(), scim_type, "{what}: {body}");
    assert!(body["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{what}: {body}");
}

on_both!(bodies_that_are_no_resource_are_refused, |server: &Server| {
    let client = server.client();
    let deep = format!("{{\"userName\":{}1{}}}", "[".repeat(40), "]".repeat(40));
    let flood = "[".repeat(500_000);
    let cases: [(&str, Option<&str>); 13] = [
        ("", Some("invalidSyntax")),
        ("{", Some("invalidSyntax")),
        ("[]", Some("invalidSyntax")),
        ("\"x\"", Some("invalidSyntax")),
        ("null", Some("invalidSyntax")),
        ("{\"userName\":\"a\"} x", Some("invalidSyntax")),
        ("{\"userName\":\"a\",\"userName\":\"b\"}", Some("invalidSyntax")),
        ("{\"userName\":\"a\",\"USERNAME\":\"b\"}", Some("invalidSyntax")),
        ("{\"userName\":\"a\\u0000b\"}", Some("invalidValue")),
        ("{\"userName\":\"\\ud800\"}", Some("invalidSyntax")),
        ("{\"displayName\":\"no userName\"}", Some("invalidValue")),
        (&deep, Some("invalidSyntax")),
        (&flood, Some("invalidSyntax")),
    ];
    for (body, scim_type) in cases {
        let shown: String = body.chars().take(60).collect();
        refused(&client.raw("POST", "/Users", &[], Some(body.as_bytes())), 400, scim_type, &shown);
    }
    refused(
        &client.raw("POST", "/Users", &[], Some(b"{\"userName\":\"\xff\"}")),
        400,
        Some("invalidSyntax"),
        "UTF-8",
    );
    assert_eq!(client.get("/Users").at("/totalResults"), "0", "nothing was stored");
});

on_both!(values_of_the_wrong_type_are_refused, |server: &Server| {
    let client = server.client();
    for (attribute, value) in [
        ("name", json!(5)),
        ("name", json!("Jensen")),
        ("title", json!(["a", "b"])),
        ("active", json!("maybe")),
        ("active", json!(1)),
        ("emails", json!([{"value": {}}])),
        ("emails", json!([{"value": "a", "primary": true}, {"value": "b", "primary": true}])),
        ("userName", json!("")),
        ("userName", json!("   ")),
        ("userName", json!("a\tb")),
        ("userName", json!("x".repeat(1_025))),
        ("displayName", json!("x".repeat(70_000))),
        ("x509Certificates", json!([{"value": "no base64!"}])),
    ] {
        let mut body = json!({"userName": "someone"});
        body[attribute] = value.clone();
        let response = client.post("/Users", &body);
        refused(&response, 400, Some("invalidValue"), &format!("{attribute}: {value}"));
        assert!(response.at("/detail").contains(attribute), "{}", response.text());
    }
    let many: Vec<Value> = (0..1_001).map(|n| json!({"value": format!("{n}@x")})).collect();
    refused(
        &client.post("/Users", &json!({"userName": "many", "emails": many})),
        400,
        Some("invalidValue"),
        "1,001 values",
    );
    assert_eq!(client.get("/Users").at("/totalResults"), "0", "nothing was stored");
});

on_both!(filters_that_are_none_are_refused, |server: &Server| {
    let client = server.client();
    client.create("/Users", &json!({"userName": "someone"}));
    let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let nested = format!("{}userName pr{}", "(".repeat(1_000), ")".repeat(1_000));
    let negated = format!("{}userName pr{}", "not (".repeat(1_000), ")".repeat(1_000));
    let long = vec!["userName pr"; 300].join(" or ");
    for filter in [
        "userName",
        "userName eq",
        "userName regex \"a\"",
        "userName eq \"a\" and",
        "(userName pr",
        "userName pr)",
        "foo eq 1",
        "active gt true",
        "password sw \"a\"",
        "name eq \"x\"",
        "emails[type eq \"work\"",
        "'; DROP TABLE users; --",
        "userName eq \"a\" or 1=1",
        &nested,
        &negated,
        &long,
    ] {
        let shown: String = filter.chars().take(60).collect();
        refused(
            &client.get(&format!("/Users?filter={}", encode(filter))),
            400,
            Some("invalidFilter"),
            &shown,
        );
        let search = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "filter": filter});
        refused(&client.post("/Users/.search", &search), 400, Some("invalidFilter"), &shown);
    }
    for query in [
        "count=abc",
        "startIndex=1e3",
        "sortBy=nobody",
        "sortBy=name",
        "sortOrder=up",
        "filter=%zz",
        "filter=a&filter=b",
        "attributes=a&excludedAttributes=b",
    ] {
        assert_eq!(client.get(&format!("/Users?{query}")).status, 400, "{query}");
    }
    assert_eq!(client.get("/Users").at("/totalResults"), "1");
});

on_both!(a_refused_patch_changes_nothing, |server: &Server| {
    let client = server.client();
    let id = client.create("/Users", &json!({"userName": "someone", "title": "t"}));
    let path = format!("/Users/{id}");
    let before = client.get(&path).json();
    for (operations, status, scim_type) in [
        (
            json!([{"op": "replace", "path": "title", "value": "u"}, {"op": "replace", "path": "nope", "value": 1}]),
            400,
            "invalidPath",
        ),
        (
            json!([{"op": "replace", "path": "title", "value": "u"}, {"op": "remove"}]),
            400,
            "noTarget",
        ),
        (
            json!([{"op": "replace", "path": "title", "value": "u"}, {"op": "replace", "path": "id", "value": "x"}]),
            400,
            "mutability",
        ),
        (json!([{"op": "replace", "path": "emails[type eq", "value": "x"}]), 400, "invalidPath"),
        (
            json!([{"op": "replace", "path": "emails[nope eq \"x\"].value", "value": "x"}]),
            400,
            "invalidFilter",
        ),
        (json!([{"op": "move", "path": "title"}]), 400, "invalidSyntax"),
        (json!([{"op": "replace", "path": "active", "value": "perhaps"}]), 400, "invalidValue"),
        (json!([{"op": "remove", "path": "userName"}]), 400, "mutability"),
        (json!("x"), 400, "invalidSyntax"),
    ] {
        refused(
            &client.patch(&path, &operations),
            status,
            Some(scim_type),
            &operations.to_string(),
        );
    }
    let many: Vec<Value> =
        (0..1_001).map(|_| json!({"op": "add", "path": "title", "value": "x"})).collect();
    refused(&client.patch(&path, &Value::Array(many)), 413, None, "1,001 operations");
    assert_eq!(client.get(&path).json(), before);
});

on_both!(what_is_not_there_is_not_found, |server: &Server| {
    let client = server.client();
    let unknown = "/Users/00000000-0000-7000-8000-000000000000";
    refused(&client.get(unknown), 404, None, "GET");
    refused(&client.delete(unknown), 404, None, "DELETE");
    refused(&client.put(unknown, &json!({"userName": "x"})), 404, None, "PUT");
    refused(&client.put(unknown, &json!({})), 404, None, "PUT of nonsense");
    refused(
        &client.patch(unknown, &json!([{"op": "add", "path": "title", "value": "x"}])),
        404,
        None,
        "PATCH",
    );
    refused(
        &client.raw("PATCH", unknown, &[("Content-Type", "text/plain")], Some(b"x")),
        404,
        None,
        "PATCH of another type",
    );
    for path in [
        "/Users/%00",
        "/Users/a%20b",
        "/Users/..%2f..",
        "/Users/x.scim",
        "/Nothing",
        "/Users/a/b/c",
        "/.search/x",
    ] {
        refused(&client.get(path), 404, None, path);
    }
    for (method, path, allowed) in [
        ("DELETE", "/Users", "POST"),
        ("POST", "/Users/abc", "PATCH"),
        ("PUT", "/Schemas", "GET"),
        ("PATCH", "/ServiceProviderConfig", "GET"),
        ("GET", "/Users/.search", "POST"),
        ("TRACE", "/Users", "GET"),
    ] {
        let response = client.raw(method, path, &[], None);
        refused(&response, 405, None, path);
        assert!(
            response.header("allow").is_some_and(|allow| allow.contains(allowed)),
            "{method} {path}"
        );
    }
    refused(&client.get("/Me"), 501, None, "/Me");
});

on_both!(
    htp_007_htp_008_htp_013_htp_016_oversized_and_foreign_bodies_are_refused,
    |server: &Server| {
        let client = server.client();
        let large = format!("{{\"userName\":\"{}\"}}", "x".repeat(10 * 1024 * 1024));
        refused(&client.raw("POST", "/Users", &[], Some(large.as_bytes())), 413, None, "10 MiB");
        let mut connection = Connection::open(server.address).unwrap();
        let head = client.request("POST", "/Users", &[("Transfer-Encoding", "chunked")], None);
        let head = String::from_utf8(head).unwrap().replace("Content-Length: 0\r\n", "");
        connection.send(head.as_bytes()).unwrap();
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        for _ in 0..20 {
            if connection.send(chunk.as_bytes()).is_err() {
                break;
            }
        }
        refused(&connection.receive(false).unwrap(), 413, None, "20 chunks of 64 KiB");
        for (name, value) in [
            ("Content-Type", "text/plain"),
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Content-Type", "application/json; charset=latin1"),
            ("Content-Encoding", "gzip"),
        ] {
            refused(
                &client.raw("POST", "/Users", &[(name, value)], Some(b"{\"userName\":\"a\"}")),
                415,
                None,
                value,
            );
        }
        refused(
            &client.get(&format!("/Users?filter={}", "x".repeat(40_000))),
            414,
            None,
            "a long URL",
        );
        assert_eq!(client.get("/Users").at("/totalResults"), "0");
    }
);

on_both!(
    aut_001_aut_002_aut_003_aut_004_aut_006_aut_011_aut_015_tokens_that_are_none_are_refused,
    |server: &Server| {
        let client = server.client();
        let nobody = client.with_token(None);
        let missing = nobody.get("/Users");
        refused(&missing, 401, None, "no token");
        assert_eq!(missing.header("www-authenticate"), Some("Bearer realm=\"scim\""));
        let good = client.token.clone().unwrap();
        let (id, secret) = (good.get(3..19).unwrap(), good.get(20..).unwrap());
        let mut answers = Vec::new();
        for token in [
            "",
            "x",
            "hc_",
            &good.replace("hc_", "hca_"),
            good.get(..40).unwrap(),
            &format!("hc_{id}_{}", secret.chars().rev().collect::<String>()),
        ] {
            let response = client.with_token(Some(token)).get("/Users");
            refused(&response, 401, None, token);
            answers.push((response.header("www-authenticate").map(str::to_owned), response.body));
        }
        assert!(
            answers.iter().all(|answer| *answer == answers[0]),
            "every bad token gets the same answer"
        );
        for (headers, status) in [
            (vec![("Authorization", "Basic dXNlcjpwYXNz")], 401),
            (vec![("Authorization", "Bearer")], 401),
            (vec![("Cookie", "token=x")], 401),
        ] {
            refused(
                &nobody.raw("GET", "/Users", &headers, None),
                status,
                None,
                &format!("{headers:?}"),
            );
        }
        let bearer = format!("Bearer {good}");
        refused(
            &client.raw("GET", "/Users", &[("Authorization", &bearer)], None),
            400,
            None,
            "two tokens",
        );
        refused(
            &nobody.get(&format!("/Users?access_token={good}")),
            401,
            None,
            "a token in the URL",
        );
        assert_eq!(
            nobody
                .raw("GET", "/Users", &[("Authorization", &format!("bEARER   {good}"))], None)
                .status,
            200
        );
        for path in ["/Nothing", "/Schemas", "/ResourceTypes", "/Me", "/Users/x"] {
            refused(&nobody.get(path), 401, None, path);
        }
        assert_eq!(nobody.get("/ServiceProviderConfig").status, 200);
    }
);

on_both!(aut_005_aut_010_err_008_sec_004_scopes_networks_and_revocation_hold, |server: &Server| {
    let reader = Client::new(server.address, &server.token(&["--scope", "scim:read"]));
    let id = server.client().create("/Users", &json!({"userName": "someone"}));
    assert_eq!(reader.get("/Users").status, 200);
    let search = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]});
    assert_eq!(reader.post("/Users/.search", &search).status, 200, "a query is a read");
    for response in [
        reader.post("/Users", &json!({"userName": "x"})),
        reader.put(&format!("/Users/{id}"), &json!({"userName": "x"})),
        reader
            .patch(&format!("/Users/{id}"), &json!([{"op": "add", "path": "title", "value": "x"}])),
        reader.delete(&format!("/Users/{id}")),
        reader.post("/Groups", &json!({"displayName": "x"})),
    ] {
        refused(&response, 403, None, "read only");
        assert!(
            response
                .header("www-authenticate")
                .is_some_and(|value| value.contains("insufficient_scope"))
        );
    }
    let users = Client::new(server.address, &server.token(&["--scope", "scim:read users:write"]));
    assert_eq!(users.post("/Users", &json!({"userName": "y"})).status, 201);
    refused(&users.post("/Groups", &json!({"displayName": "g"})), 403, None, "users only");
    let elsewhere = Client::new(server.address, &server.token(&["--cidr", "192.0.2.0/24"]));
    refused(&elsewhere.get("/Users"), 403, None, "another network");
    let here = Client::new(
        server.address,
        &server.token(&["--cidr", "192.0.2.0/24", "--cidr", "127.0.0.1"]),
    );
    assert_eq!(here.get("/Users").status, 200);
    let listed: Value =
        serde_json::from_slice(&server.run(&["token", "list", "--output", "json"]).stdout).unwrap();
    for token in listed["tokens"].as_array().unwrap() {
        assert!(server.run(&["token", "revoke", token["id"].as_str().unwrap()]).status.success());
    }
    for client in [&reader, &users, &here] {
        refused(&client.get("/Users"), 401, None, "revoked");
    }
});

on_both!(argon2_runs_once_per_token_and_never_for_a_wrong_one, |server: &Server| {
    let client = server.client();
    let runs = || server.metric("headcount_argon2_runs_total", "");
    assert_eq!(runs(), 0.0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut connection = Connection::open(server.address).unwrap();
                for _ in 0..2_500 {
                    let response = client.on(&mut connection, "GET", "/Users?count=0", None);
                    assert_eq!(response.status, 200, "{}", response.text());
                }
            });
        }
    });
    assert_eq!(runs(), 1.0, "10,000 requests with one token");
    let good = client.token.clone().unwrap();
    let id = good.get(3..19).unwrap();
    let wrong = checksummed(&format!("hc_{id}_{}", "A".repeat(43)));
    let bad = client.with_token(Some(&wrong));
    let (mut connection, mut limited) = (Connection::open(server.address).unwrap(), 0);
    for round in 0..1_000 {
        let response = bad.on(&mut connection, "GET", "/Users", None);
        match response.status {
            401 => {}
            429 => {
                limited += 1;
                assert!(
                    response
                        .header("retry-after")
                        .is_some_and(|value| value.parse::<u32>().is_ok())
                );
            }
            other => panic!("{other}"),
        }
        if round % 100 == 0 {
            assert_eq!(
                client.get("/Users?count=0").status,
                200,
                "a good token from the same address is served"
            );
        }
    }
    assert!(limited > 500, "the address is limited: {limited}");
    assert_eq!(runs(), 1.0, "a wrong secret never reaches argon2");
});

/// Gives a token the checksum that anybody can compute.
fn checksummed(body: &str) -> String {
    let mut crc = !0u32;
    for byte in body.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    let (mut rest, mut digits) = (!crc, Vec::new());
    for _ in 0..6 {
        let digits_of = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        digits.push(digits_of.chars().nth(usize::try_from(rest % 62).unwrap()).unwrap());
        rest /= 62;
    }
    format!("{body}{}", digits.iter().rev().collect::<String>())
}

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
    assert_eq!((shown.status, shown.at("/displayName").as_str()), (200, "large"));
});

on_both!(etg_007_etg_008_etg_011_conditional_requests_protect_changes, |server: &Server| {
    let client = server.client();
    let id = client.create("/Users", &json!({"userName": "someone"}));
    let path = format!("/Users/{id}");
    let tag = client.get(&path).header("etag").unwrap().to_owned();
    let covered = format!("{path}?excludedAttributes=groups");
    let not_modified = client.raw("GET", &covered, &[("If-None-Match", &tag)], None);
    assert_eq!((not_modified.status, not_modified.body.len()), (304, 0));
    let change =
        json!({"Operations": [{"op": "replace", "path": "title", "value": "x"}]}).to_string();
    let send = |method: &str, tag: &str, body: &str| {
        client.raw(method, &path, &[("If-Match", tag)], Some(body.as_bytes()))
    };
    assert_eq!(send("PATCH", &tag, &change).status, 200);
    let put = json!({"userName": "other"}).to_string();
    for (method, body) in [("PATCH", change.as_str()), ("PUT", put.as_str()), ("DELETE", "")] {
        refused(&send(method, &tag, body), 412, None, method);
    }
    refused(&send("PATCH", "broken\"", &change), 400, Some("invalidSyntax"), "a malformed tag");
    assert_eq!(client.get(&path).at("/userName"), "someone");
    assert_eq!(send("PUT", "*", &put).status, 200);
    assert_eq!(send("DELETE", "W/\"1\", \"3\"", "").status, 204);
});

on_both!(htp_018_htp_019_htp_022_every_answer_has_its_headers, |server: &Server| {
    let client = server.client();
    for response in [
        client.get("/Users"),
        client.get("/Nothing"),
        client.with_token(None).get("/Users"),
        client.delete("/Users"),
    ] {
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(response.header("cache-control"), Some("no-store"));
        assert!(response.header("content-security-policy").is_some());
        assert!(response.header("x-request-id").is_some_and(|id| !id.is_empty()));
        assert_eq!(response.header("access-control-allow-origin"), None);
    }
    let named = client.raw("GET", "/Users", &[("X-Request-Id", "abc-123")], None);
    assert_eq!(named.header("x-request-id"), Some("abc-123"));
    let options = client.raw("OPTIONS", "/Users", &[("Origin", "https://evil.example")], None);
    assert_eq!((options.status, options.header("access-control-allow-origin")), (204, None));
    let head = client.raw("HEAD", "/Users", &[], None);
    assert_eq!((head.status, head.body.len()), (200, 0));
});

on_both!(a_slow_body_is_cut_off_and_harms_nobody, |_: &Server| {
    let database = headcount_e2e::Database::sqlite();
    let server = Server::start_with(
        std::sync::Arc::new(database),
        &[],
        &[("HEADCOUNT__LIMITS__BODY_SECONDS", "1")],
    );
    let client = server.client();
    let mut slow: Vec<Connection> = (0..120)
        .map(|_| {
            let mut connection = Connection::open(server.address).unwrap();
            let request = client.request("POST", "/Users", &[], Some(b"{\"userName\":\"slow\"}"));
            connection.send(request.get(..request.len() - 5).unwrap()).unwrap();
            connection
        })
        .collect();
    assert_eq!(client.get("/Users").status, 200, "others are served meanwhile");
    let answer = slow.pop().unwrap().receive(false).unwrap();
    refused(&answer, 408, None, "a slow body");
    assert_eq!(client.get("/Users").at("/totalResults"), "0");
    std::thread::sleep(Duration::from_millis(10));
});

on_both!(nothing_personal_reaches_the_log, |server: &Server| {
    let client = server.client();
    let secret = client.token.clone().unwrap();
    let marker = "CNRYjane";
    client.post("/Users", &json!({"userName": marker, "password": "CNRYpassword", "emails": [{"value": "CNRYmail@x"}]}));
    client.post("/Users", &json!({"userName": marker.to_uppercase()}));
    client.get(&format!("/Users?filter=userName+eq+%22{marker}%22"));
    client.get(&format!("/Users/{marker}"));
    client.post("/Users", &json!({"userName": marker, "CNRYunknown": {"CNRYkey": 1}}));
    client.raw("POST", "/Users", &[], Some(b"{\"userName\":\"CNRYbroken"));
    client.with_token(Some("CNRYtoken")).get("/Users");
    let log = headcount_e2e::server::wait_for(Duration::from_secs(5), || {
        Some(server.log()).filter(|log| log.matches("\"message\":\"request\"").count() >= 7)
    });
    let log = log.unwrap_or_else(|| panic!("seven requests are logged: {}", server.log()));
    assert!(!log.contains("CNRY"), "{log}");
    assert!(!log.contains(secret.get(20..).unwrap()), "{log}");
    assert!(log.contains("\"route\":\"/scim/v2/{endpoint}/{id}\""), "{log}");
    let metrics = Client { base: String::new(), ..client.clone() }.get("/metrics").text();
    assert!(!metrics.contains("CNRY"), "{metrics}");
});

on_both!(chr_042_lengths_are_bounded_and_the_error_names_the_limit, |server: &Server| {
    let client = server.client();
    let id = client.create("/Users", &json!({"userName": "bounded"}));
    let path = format!("/Users/{id}");
    let user = |name: &str, value: Value| {
        let mut user = json!({"userName": "bounded"});
        user[name] = value;
        user
    };
    let title = |bytes: usize| user("title", "x".repeat(bytes).into());
    let emails = |count: usize| {
        user("emails", (0..count).map(|n| json!({"value": format!("{n}@example.com")})).collect())
    };
    for (most, over, limit) in [
        (title(64 * 1024), title(64 * 1024 + 1), "65536 bytes"),
        (emails(1_000), emails(1_001), "1000 values"),
    ] {
        assert_eq!(client.put(&path, &most).status, 200, "what is allowed");
        let before = client.get(&path).at("/meta/version");
        let response = client.put(&path, &over);
        refused(&response, 400, Some("invalidValue"), limit);
        assert!(response.at("/detail").contains(limit), "{}", response.text());
        assert_eq!(client.get(&path).at("/meta/version"), before, "nothing was changed");
    }
});
