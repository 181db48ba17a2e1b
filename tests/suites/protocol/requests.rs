//! Bodies, values, filters and targets that are refused.

use headcount_e2e::http::Connection;
use headcount_e2e::{Server, on_both};
use serde_json::{Value, json};

use crate::support::refused;

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

on_both!(htp_013_a_body_over_the_limit_is_refused, |server: &Server| {
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
    assert_eq!(client.get("/Users").at("/totalResults"), "0");
});

on_both!(htp_007_htp_008_htp_016_foreign_bodies_are_refused, |server: &Server| {
    let client = server.client();
    for (name, value) in [
        ("Content-Type", "text/plain"),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Content-Type", "application/json; charset=latin1"),
        ("Content-Encoding", "gzip"),
    ] {
        let body = Some(&b"{\"userName\":\"a\"}"[..]);
        refused(&client.raw("POST", "/Users", &[(name, value)], body), 415, None, value);
    }
    assert_eq!(client.get("/Users").at("/totalResults"), "0");
});

on_both!(a_url_over_the_limit_is_refused, |server: &Server| {
    let response = server.client().get(&format!("/Users?filter={}", "x".repeat(40_000)));
    refused(&response, 414, None, "a long URL");
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
