//! What a token opens, and what happens without one.

use headcount_e2e::http::Connection;
use headcount_e2e::{Client, Server, on_both};
use serde_json::json;

use crate::support::refused;

on_both!(aut_001_aut_003_without_a_token_the_scheme_is_named, |server: &Server| {
    let client = server.client().with_token(None);
    let missing = client.get("/Users");
    refused(&missing, 401, None, "no token");
    assert_eq!(missing.header("www-authenticate"), Some("Bearer realm=\"scim\""));
    for header in [
        ("Authorization", "Basic dXNlcjpwYXNz"),
        ("Authorization", "Bearer"),
        ("Cookie", "token=x"),
    ] {
        let response = client.raw("GET", "/Users", &[header], None);
        refused(&response, 401, None, &format!("{header:?}"));
    }
});

on_both!(aut_004_aut_011_every_bad_token_gets_the_same_answer, |server: &Server| {
    let client = server.client();
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
    for answer in &answers {
        assert_eq!(*answer, answers[0]);
    }
});

on_both!(aut_006_a_token_is_in_one_header_and_nowhere_else, |server: &Server| {
    let client = server.client();
    let good = client.token.clone().unwrap();
    let bearer = format!("Bearer {good}");
    let twice = client.raw("GET", "/Users", &[("Authorization", &bearer)], None);
    refused(&twice, 400, None, "two tokens");
    let in_url = client.with_token(None).get(&format!("/Users?access_token={good}"));
    refused(&in_url, 401, None, "a token in the URL");
});

on_both!(aut_002_the_scheme_may_be_in_any_case_before_several_blanks, |server: &Server| {
    let client = server.client();
    let bearer = format!("bEARER   {}", client.token.as_deref().unwrap());
    let client = client.with_token(None);
    client.raw("GET", "/Users", &[("Authorization", &bearer)], None).assert_status(200);
});

on_both!(aut_015_a_token_is_asked_for_before_a_path_is_judged, |server: &Server| {
    let client = server.client().with_token(None);
    for path in ["/Nothing", "/Schemas", "/ResourceTypes", "/Me", "/Users/x"] {
        refused(&client.get(path), 401, None, path);
    }
    client.get("/ServiceProviderConfig").assert_status(200);
});

on_both!(aut_005_aut_010_err_008_sec_004_a_token_to_read_does_not_write, |server: &Server| {
    let reader = Client::new(server.address, &server.token(&["--scope", "scim:read"]));
    let path = format!("/Users/{}", server.client().create("/Users", &json!({"userName": "a"})));
    reader.get("/Users").assert_status(200);
    // A query is a read, whatever its method.
    let search = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]});
    reader.post("/Users/.search", &search).assert_status(200);
    for response in [
        reader.post("/Users", &json!({"userName": "x"})),
        reader.put(&path, &json!({"userName": "x"})),
        reader.patch(&path, &json!([{"op": "add", "path": "title", "value": "x"}])),
        reader.delete(&path),
        reader.post("/Groups", &json!({"displayName": "x"})),
    ] {
        refused(&response, 403, None, "read only");
        let challenge = response.header("www-authenticate").unwrap_or_default();
        assert!(challenge.contains("insufficient_scope"), "{challenge}");
    }
});

on_both!(aut_010_sec_004_a_token_for_users_does_not_write_groups, |server: &Server| {
    let users = Client::new(server.address, &server.token(&["--scope", "scim:read users:write"]));
    users.post("/Users", &json!({"userName": "y"})).assert_status(201);
    refused(&users.post("/Groups", &json!({"displayName": "g"})), 403, None, "users only");
});

on_both!(aut_010_a_token_opens_from_its_networks_only, |server: &Server| {
    let elsewhere = Client::new(server.address, &server.token(&["--cidr", "192.0.2.0/24"]));
    refused(&elsewhere.get("/Users"), 403, None, "another network");
    let networks = ["--cidr", "192.0.2.0/24", "--cidr", "127.0.0.1"];
    Client::new(server.address, &server.token(&networks)).get("/Users").assert_status(200);
});

on_both!(err_008_a_revoked_token_opens_nothing, |server: &Server| {
    let client = server.client();
    client.get("/Users").assert_status(200);
    let id = client.token.as_deref().unwrap().get(3..19).unwrap();
    assert!(server.run(&["token", "revoke", id]).status.success());
    refused(&client.get("/Users"), 401, None, "revoked");
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
