//! The admin API: tokens, tenants, the record of changes, counters, and its description.

use std::path::Path;
use std::process::Command;

use headcount_e2e::{Client, Server, on_both};
use serde_json::{Value, json};

const ALL: &str = "administration tenants:all";

fn json_body(client: &Client, method: &str, path: &str, body: &Value) -> headcount_e2e::Response {
    let headers = [("Content-Type", "application/json")];
    client.raw(method, path, &headers, Some(body.to_string().as_bytes()))
}

/// A SCIM client with a token that the admin API has made.
fn scim(server: &Server, token: &str) -> Client {
    Client::new(server.address, token)
}

on_both!(a_token_is_made_used_rotated_and_revoked, |server: &Server| {
    let admin = server.admin("administration");
    let made = json_body(&admin, "POST", "/tokens", &json!({"name": "idp", "expiresIn": 3600}));
    assert_eq!(made.status, 201, "{}", made.text());
    let (id, secret) = (made.at("/id"), made.at("/token"));
    assert_eq!(made.header("location"), Some(format!("/api/v1/tokens/{id}").as_str()));
    assert_eq!(made.at("/purpose"), "provisioning");
    assert_eq!(scim(server, &secret).get("/Users").status, 200);
    let read = admin.get(&format!("/tokens/{id}"));
    read.assert_status(200);
    read.assert_at("/name", "idp");
    assert!(!admin.get("/tokens").text().contains(&secret));
    let rotated =
        json_body(&admin, "POST", &format!("/tokens/{id}/rotate"), &json!({"overlap": 0}));
    rotated.assert_status(201);
    assert_eq!(rotated.at("/replaces"), id.clone(), "{}", rotated.text());
    assert_eq!(scim(server, &secret).get("/Users").status, 401);
    assert_eq!(scim(server, &rotated.at("/token")).get("/Users").status, 200);
    let again = admin.raw("POST", &format!("/tokens/{id}/rotate"), &[], None);
    again.assert_status(409);
    again.assert_at("/type", "urn:headcount:problem:conflict");
    let new = rotated.at("/id");
    assert_eq!(admin.delete(&format!("/tokens/{new}")).status, 204);
    assert_eq!(scim(server, &rotated.at("/token")).get("/Users").status, 401);
    assert_eq!(admin.delete(&format!("/tokens/{new}")).status, 204);
    assert_eq!(admin.delete("/tokens/0000000000000000").status, 404);
    // What was done is on record, with its author.
    let rows = admin.get("/audit?limit=1000").json();
    let by = admin.token.as_deref().unwrap().get(4..20).unwrap().to_owned();
    let acts: Vec<&str> = rows["rows"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["actor"]["id"] == json!(by))
        .map(|row| row["act"].as_str().unwrap())
        .collect();
    assert_eq!(acts, ["created", "created", "rotated", "revoked"]);
});

on_both!(tok_a_token_gives_no_more_than_it_has, |server: &Server| {
    let admin = server.admin("administration");
    let every = server.admin(ALL);
    let new = |scopes: Value| json!({"name": "x", "scopes": scopes});
    for scopes in [json!(["tenants:all"]), json!(["scim:read", "tenants:all"])] {
        let refused = json_body(&admin, "POST", "/tokens", &new(scopes.clone()));
        refused.assert_status(403);
        refused.assert_at("/type", "urn:headcount:problem:grant");
        assert_eq!(json_body(&every, "POST", "/tokens", &new(scopes)).status, 201);
    }
    let weak = server.admin("admin:write");
    assert_eq!(json_body(&weak, "POST", "/tokens", &new(json!(["events:read"]))).status, 403);
    // Who rotates a token has it afterwards.
    let strong = every.token.as_deref().unwrap().get(4..20).unwrap();
    assert_eq!(admin.raw("POST", &format!("/tokens/{strong}/rotate"), &[], None).status, 403);
    let made = json_body(&every, "POST", "/tokens", &new(json!(["events:read", "scim:read"])));
    assert!(made.at("/token").starts_with("hca_"));
    assert_eq!(scim(server, &made.at("/token")).get("/Users").status, 200);
    let events = Client { base: "/api/v1".to_owned(), ..scim(server, &made.at("/token")) };
    events.get("/events").assert_status(200);
    events.get("/tokens").assert_status(403);
    let reader = server.admin("admin:read");
    assert_eq!(json_body(&reader, "POST", "/tokens", &new(json!(["scim:read"]))).status, 403);
});

on_both!(a_tenant_is_made_changed_and_deleted, |server: &Server| {
    let (every, admin) = (server.admin(ALL), server.admin("administration"));
    let made = json_body(
        &every,
        "POST",
        "/tenants",
        &json!({"name": "acme", "quirks": ["schemas-repaired"]}),
    );
    made.assert_status(201);
    made.assert_at("/quirks", json!(["schemas-repaired"]));
    assert_eq!(json_body(&every, "POST", "/tenants", &json!({"name": "acme"})).status, 409);
    assert_eq!(json_body(&admin, "POST", "/tenants", &json!({"name": "other"})).status, 403);
    let names = |client: &Client| -> Vec<String> {
        let list = client.get("/tenants").json()["tenants"].as_array().unwrap().clone();
        list.iter().map(|tenant| tenant["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&every), vec!["acme".to_owned(), "default".to_owned()]);
    assert_eq!(names(&admin), vec!["default".to_owned()]);
    admin.get("/tenants/acme").assert_status(403);
    every.get("/tenants/acme").assert_status(200);
    assert_eq!(admin.get("/tenants/nobody").status, 403);
    let token = json_body(&every, "POST", "/tokens?tenant=acme", &json!({"name": "idp"}));
    let client = scim(server, &token.at("/token"));
    client.create("/Groups", &json!({"displayName": "same"}));
    client.create("/Groups", &json!({"displayName": "same"}));
    // Names of groups that are not unique stand in the way of the rule that they are.
    let unique = json_body(
        &every,
        "PATCH",
        "/tenants/acme",
        &json!({"quirks": ["schemas-repaired", "unique-group-names"]}),
    );
    unique.assert_status(409);
    unique.assert_at("/type", "urn:headcount:problem:conflict");
    let off = json_body(&every, "PATCH", "/tenants/acme", &json!({"enabled": false}));
    off.assert_status(200);
    off.assert_at("/enabled", json!(false));
    assert_eq!(client.get("/Users").status, 401);
    assert_eq!(every.delete("/tenants/acme").status, 204);
    assert_eq!(every.delete("/tenants/acme").status, 404);
    assert_eq!(every.delete("/tenants/default").status, 409);
});

on_both!(counters_and_the_record_tell_what_happened, |server: &Server| {
    let (client, admin) = (server.client(), server.admin("admin:read"));
    let id = client.create("/Users", &json!({"userName": "jane", "externalId": "x1"}));
    let path = format!("/Users/{id}");
    let active = |on: bool| json!([{"op": "replace", "path": "active", "value": on}]);
    assert_eq!(client.patch(&path, &active(false)).status, 200);
    assert_eq!(client.patch(&path, &active(true)).status, 200);
    let gone = client.create("/Users", &json!({"userName": "gone"}));
    assert_eq!(client.delete(&format!("/Users/{gone}")).status, 204);
    client.create("/Groups", &json!({"displayName": "g", "members": [{"value": id}]}));
    let counters = admin.get("/counters").json();
    assert_eq!(
        counters["kinds"],
        json!([
            {"kind": "User", "total": 1, "created": 2, "changed": 2, "deactivated": 1, "reactivated": 1, "deleted": 1},
            {"kind": "Group", "total": 1, "created": 1, "changed": 0, "deactivated": 0, "reactivated": 0, "deleted": 0},
        ])
    );
    let later = admin.get("/counters?since=2999-01-01T00:00:00Z").json();
    assert_eq!(later["kinds"][0]["total"], json!(1));
    assert_eq!(later["kinds"][0]["created"], json!(0));
    let page = admin.get("/audit?limit=1000").json();
    let rows = page["rows"].as_array().unwrap();
    let user: Vec<&Value> = rows.iter().filter(|row| row["id"] == json!(id)).collect();
    let reported = |name: &str| user.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    assert_eq!(reported("act"), ["created", "patched", "patched"]);
    assert_eq!(reported("active"), [json!(null), json!(false), json!(true)]);
    assert_eq!(user[0]["name"], json!("jane"));
    assert_eq!(user[0]["externalId"], json!("x1"));
    assert!(rows.iter().all(|row| row["hash"].as_str().is_some_and(|hash| hash.len() == 64)));
    let mut walked = Vec::new();
    let mut after = 0;
    loop {
        let page = admin.get(&format!("/audit?limit=2&after={after}")).json();
        walked.extend(page["rows"].as_array().unwrap().clone());
        after = page["next"].as_i64().unwrap();
        if page["more"] == json!(false) {
            break;
        }
    }
    assert_eq!(&walked, rows);
});

on_both!(problems_say_what_to_change, |server: &Server| {
    let admin = server.admin(ALL);
    let anonymous = admin.with_token(None);
    let problem = |response: &headcount_e2e::Response| {
        assert_eq!(response.header("content-type"), Some("application/problem+json"));
        assert_eq!(response.json()["status"], json!(response.status), "{}", response.text());
        assert!(response.at("/title").len() > 5 && response.at("/detail").len() > 5);
        assert!(response.header("x-request-id").is_some());
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
        let kind = response.at("/type").replace("urn:headcount:problem:", "");
        (response.status, kind)
    };
    let reported = |response: headcount_e2e::Response, status: u16, kind: &str| {
        assert_eq!(problem(&response), (status, kind.to_owned()), "{}", response.text());
    };
    reported(anonymous.get("/tokens"), 401, "unauthorized");
    reported(anonymous.get("/nothing"), 401, "unauthorized");
    reported(admin.get("/nothing"), 404, "not-found");
    reported(admin.with_token(Some("hca_x")).get("/tokens"), 401, "unauthorized");
    reported(
        Client { base: "/api/v1".to_owned(), ..server.client() }.get("/tokens"),
        403,
        "token-purpose",
    );
    reported(server.admin("events:read").get("/tokens"), 403, "scope");
    reported(admin.get("/tokens?page=2"), 400, "invalid-parameter");
    reported(admin.get("/audit?after=-1"), 400, "invalid-parameter");
    reported(admin.get("/counters?since=yesterday"), 400, "invalid-parameter");
    reported(
        admin.raw("POST", "/tokens", &[("Content-Type", "application/json")], Some(b"{")),
        400,
        "invalid-body",
    );
    for body in [
        json!({}),
        json!([]),
        json!({"name": ""}),
        json!({"name": 1}),
        json!({"name": "x", "scope": []}),
        json!({"name": "x", "scopes": []}),
        json!({"name": "x", "scopes": ["all"]}),
        json!({"name": "x", "expiresIn": 0}),
        json!({"name": "x", "expiresIn": 99_999_999_999_i64}),
        json!({"name": "x", "cidrs": ["nowhere"]}),
        json!({"name": "a\u{1}b"}),
    ] {
        reported(json_body(&admin, "POST", "/tokens", &body), 400, "invalid-body");
    }
    for body in [json!({"name": "A"}), json!({"name": "x", "quirks": ["none"]})] {
        reported(json_body(&admin, "POST", "/tenants", &body), 400, "invalid-body");
    }
    reported(
        admin.raw("POST", "/tokens", &[("Content-Type", "text/plain")], Some(b"{}")),
        415,
        "media-type",
    );
    let large = vec![b' '; 2 * 1024 * 1024];
    reported(
        admin.raw("POST", "/tokens", &[("Content-Type", "application/json")], Some(&large)),
        413,
        "too-large",
    );
    let refused = admin.raw("PUT", "/tokens", &[], Some(b"{}"));
    assert_eq!(refused.header("allow"), Some("GET, POST"));
    reported(refused, 405, "method");
    reported(admin.raw("TRACE", "/openapi.json", &[], None), 405, "method");
});

on_both!(a_name_with_a_nul_is_one_that_does_not_exist, |server: &Server| {
    let admin = server.admin(ALL);
    for path in ["/log", "/log/1", "/timeline?name=x", "/quirks", "/audit", "/counters", "/tokens"]
    {
        let joint = if path.contains('?') { '&' } else { '?' };
        let answer = admin.get(&format!("{path}{joint}tenant=a%00b"));
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
    }
    for path in ["/tenants/a%00b", "/tokens/a%00b"] {
        assert_eq!(admin.get(path).status, 404, "{path}");
        assert_eq!(admin.raw("DELETE", path, &[], None).status, 404, "{path}");
    }
    let change = json_body(&admin, "PATCH", "/tenants/a%00b", &json!({"enabled": true}));
    assert_eq!(change.status, 404, "{}", change.text());
    let rotate = json_body(&admin, "POST", "/tokens/a%00b/rotate", &json!({}));
    assert_eq!(rotate.status, 404, "{}", rotate.text());
});

on_both!(the_description_names_what_there_is, |server: &Server| {
    let anonymous = Client { base: "/api/v1".to_owned(), token: None, address: server.address };
    let described = anonymous.get("/openapi.json");
    described.assert_status(200);
    assert_eq!(described.header("content-type"), Some("application/json"));
    let described = described.json();
    assert_eq!(described["openapi"], "3.1.0");
    let paths: Vec<&str> =
        described["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    for path in [
        "/api/v1/events",
        "/api/v1/tokens/{id}/rotate",
        "/api/v1/tenants/{name}",
        "/api/v1/audit",
        "/api/v1/counters",
    ] {
        assert!(paths.contains(&path), "{path}");
    }
    // The page about it names every operation.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = std::fs::read_to_string(root.join("docs/reference/admin-api.md")).unwrap();
    for (path, methods) in described["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let operation = format!("`{} {path}`", method.to_uppercase());
            assert!(page.contains(&operation), "{operation}");
        }
    }
    // Each operation that is described is served: none is answered by "no such path" or "no such method".
    let admin = server.admin(ALL);
    for (path, methods) in described["paths"].as_object().unwrap() {
        let path = path
            .replace("/api/v1", "")
            .replace("{id}", "0000000000000000")
            .replace("{name}", "nobody");
        for method in methods.as_object().unwrap().keys() {
            let response = admin.raw(&method.to_uppercase(), &path, &[], None);
            assert_ne!(response.status, 405, "{method} {path}");
            assert!(!response.at("/detail").contains("such path"), "{method} {path}");
        }
    }
});

on_both!(schemathesis_finds_no_failure, |server: &Server| {
    let environment = std::env::var_os("HEADCOUNT_TEST_VENV").expect(
        "the suites of others need their virtual environment: run `cargo xtask test`, which makes one and sets HEADCOUNT_TEST_VENV",
    );
    let client = server.client();
    let id = client.create("/Users", &json!({"userName": "jane"}));
    client.create("/Groups", &json!({"displayName": "g", "members": [{"value": id}]}));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("third-party/run_schemathesis.py");
    let output = Command::new(Path::new(&environment).join("bin/python"))
        .arg(script)
        .env("BASE_URL", format!("http://{}", server.address))
        .env("TOKEN", server.token(&["--scope", "administration tenants:all scim:read"]))
        .output()
        .unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    println!("{text}");
    assert!(output.status.success(), "{text}");
    assert!(server.metric("headcount_requests_total", "/api/v1/") > 200.0);
    assert!(server.metric("headcount_requests_total", "status=\"5") == 0.0);
});
