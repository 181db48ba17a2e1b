//! Who may do what: tokens, their users, tenants and their end, a database that is away.

use std::time::Duration;

use headcount_e2e::server::{psql, wait_for};
use headcount_e2e::{Client, Database, Response, Server, on_both};
use serde_json::{Value, json};

/// Checks that an answer is a SCIM error.
fn refused(response: &Response, status: u16) {
    assert_eq!(response.status, status, "{}", response.text());
    assert_eq!(response.header("content-type"), Some("application/scim+json"));
    let body = response.json();
    assert_eq!(body["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]));
    assert_eq!(body["status"], status.to_string());
    assert!(body["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{body}");
}

fn json_of(output: &std::process::Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

on_both!(me_001_me_002_me_003_a_token_with_a_user_is_that_user_at_me, |server: &Server| {
    let client = server.client();
    let id = client.create("/Users", &json!({"userName": "Jane"}));
    let other = client.create("/Users", &json!({"userName": "other"}));
    let own = format!("http://{}/scim/v2/Users/{id}", server.address);
    refused(&client.get("/Me"), 501);
    for named in ["jane", id.as_str()] {
        let me = Client::new(server.address, &server.token(&["--user", named]));
        let read = me.get("/Me");
        read.assert_status(200);
        assert_eq!(read.at("/id"), id.clone());
        assert_eq!(read.header("location"), Some(own.as_str()));
        assert_eq!(read.at("/meta/location"), own);
        assert_eq!(read.json(), client.get(&format!("/Users/{id}")).json());
    }
    let me = Client::new(server.address, &server.token(&["--user", "jane"]));
    let patched = me.patch("/Me", &json!([{"op": "replace", "path": "title", "value": "t"}]));
    patched.assert_status(200);
    patched.assert_at("/title", "t");
    assert_eq!(patched.header("location"), Some(own.as_str()));
    let put = json!({"userName": "jane", "title": "u"});
    let stale = me.raw("PUT", "/Me", &[("If-Match", "W/\"1\"")], Some(put.to_string().as_bytes()));
    refused(&stale, 412);
    let put = me.put("/Me", &put);
    put.assert_status(200);
    assert_eq!(put.header("location"), Some(own.as_str()));
    assert_eq!(client.get(&format!("/Users/{id}")).at("/title"), "u");
    refused(&me.post("/Me", &json!({"userName": "third"})), 501);
    let reader =
        Client::new(server.address, &server.token(&["--user", "jane", "--scope", "scim:read"]));
    assert_eq!(reader.get("/Me").status, 200);
    refused(&reader.delete("/Me"), 403);
    refused(&client.delete("/Me"), 501);
    assert_eq!(me.delete("/Me").status, 204);
    refused(&me.get("/Me"), 404);
    let left = client.get("/Users").json();
    assert_eq!(left["totalResults"], json!(1));
    assert_eq!(left["Resources"][0]["id"], json!(other));
    let anonymous = server.run(&["token", "create", "--name", "x", "--user", "nobody"]);
    assert!(!anonymous.status.success());
});

on_both!(aut_004_err_008_the_refusal_does_not_tell_why, |server: &Server| {
    let secret = |flags: &[&str]| server.token(flags);
    let (expired, revoked) = (secret(&["--expires", "1s"]), secret(&[]));
    let id = revoked.get(3..19).unwrap();
    assert!(server.run(&["token", "revoke", id]).status.success());
    let disabled = server.tenant("dark", "all");
    assert!(server.run(&["tenant", "set", "dark", "--enabled", "false"]).status.success());
    let client = Client::new(server.address, &expired);
    let over =
        wait_for(Duration::from_secs(10), || (client.get("/Users").status == 401).then_some(()));
    assert!(over.is_some(), "a token ends with its time");
    let answers: Vec<_> =
        [expired.as_str(), revoked.as_str(), disabled.token.as_deref().unwrap(), "hc_x"]
            .iter()
            .map(|token| {
                let response = client.with_token(Some(token)).get("/Users");
                refused(&response, 401);
                let challenge = response.header("www-authenticate").unwrap().to_owned();
                assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
                (challenge, response.body)
            })
            .collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let log = wait_for(Duration::from_secs(5), || {
        let log = server.log();
        ["expired", "revoked", "tenant disabled"]
            .iter()
            .all(|why| log.contains(&format!("\"token.refused\":\"{why}\"")))
            .then_some(log)
    });
    assert!(log.is_some(), "the log says why: {}", server.log());
});

on_both!(aut_006_credentials_stand_in_one_place, |server: &Server| {
    let client = server.client();
    let bearer = format!("Bearer {}", client.token.clone().unwrap());
    for second in [bearer.as_str(), "Basic dXNlcjpwYXNz", "Bearer x"] {
        let twice = client.raw("GET", "/Users", &[("Authorization", second)], None);
        refused(&twice, 400);
        assert!(
            twice.header("www-authenticate").is_some_and(|value| value.contains("invalid_request"))
        );
        let body = json!({"userName": "someone"}).to_string();
        let write =
            client.raw("POST", "/Users", &[("Authorization", second)], Some(body.as_bytes()));
        refused(&write, 400);
    }
    assert_eq!(client.get("/Users").at("/totalResults"), "0");
});

on_both!(aut_007_a_token_in_the_url_is_neither_taken_nor_written_down, |server: &Server| {
    let client = server.client();
    let secret = client.token.clone().unwrap();
    let anonymous = client.with_token(None);
    for path in [
        format!("/Users?access_token={secret}"),
        format!("/Users/{secret}"),
        format!("/{secret}"),
        format!("/Users?token={secret}&filter=userName+eq+%22{secret}%22"),
    ] {
        refused(&anonymous.get(&path), 401);
        assert_ne!(client.get(&path).status, 500, "{path}");
    }
    let log = wait_for(Duration::from_secs(5), || {
        Some(server.log()).filter(|log| log.matches("\"message\":\"request\"").count() >= 8)
    });
    let log = log.expect("every request is logged");
    assert!(!log.contains(secret.get(20..).unwrap()), "{log}");
    let metrics = Client { base: String::new(), ..anonymous }.get("/metrics").text();
    assert!(!metrics.contains(secret.get(20..).unwrap()), "{metrics}");
});

on_both!(aut_008_tokens_have_256_bits_that_never_repeat, |server: &Server| {
    let secrets: Vec<String> = (0..4).map(|_| server.token(&[])).collect();
    for (index, secret) in secrets.iter().enumerate() {
        let random = secret.get(20..63).unwrap();
        // 43 digits of 62: log2(62) × 43 = 256 bits.
        assert!(random.chars().all(|c| c.is_ascii_alphanumeric()), "{random}");
        assert!(secrets.iter().skip(index + 1).all(|other| other.get(20..63) != Some(random)));
    }
});

on_both!(aut_009_every_token_has_an_end_that_the_server_knows, |server: &Server| {
    server.token(&[]);
    server.token(&["--expires", "30d"]);
    let listed = json_of(&server.run(&["token", "list", "--output", "json"]));
    let tokens = listed["tokens"].as_array().unwrap();
    assert_eq!(tokens.len(), 2);
    for token in tokens {
        let (created, expires) = (token["created"].as_str(), token["expires"].as_str());
        assert!(expires.is_some() && expires > created, "{token}");
    }
    let never = server.run(&["token", "create", "--name", "x", "--expires", "never"]);
    assert!(!never.status.success());
    assert!(String::from_utf8_lossy(&never.stderr).contains("allow_never_expires"));
});

on_both!(ten_008_with_a_tenant_everything_of_it_goes, |server: &Server| {
    let doomed = server.tenant("doomed", "all");
    let second = Client::new(server.address, &server.token(&["--tenant", "doomed"]));
    let user = doomed.create("/Users", &json!({"userName": "MARKER-jane", "externalId": "MARKER-e", "emails": [{"value": "MARKER@example.com"}]}));
    doomed.create("/Groups", &json!({"displayName": "MARKER-g", "members": [{"value": user}]}));
    let own = server.client();
    let kept = own.create("/Users", &json!({"userName": "MARKER-jane"}));
    assert_eq!(doomed.get("/Users").status, 200);
    assert!(!server.run(&["tenant", "delete", "doomed"]).status.success(), "it asks back");
    assert_eq!(doomed.get("/Users").status, 200);
    assert!(server.run(&["tenant", "delete", "doomed", "--yes"]).status.success());
    refused(&doomed.get("/Users"), 401);
    refused(&second.get(&format!("/Users/{user}")), 401);
    refused(&doomed.post("/Users", &json!({"userName": "late"})), 401);
    let again = server.tenant("doomed", "all");
    assert_eq!(again.get("/Users").at("/totalResults"), "0");
    assert_eq!(again.get("/Groups").at("/totalResults"), "0");
    refused(&again.get(&format!("/Users/{user}")), 404);
    assert_eq!(again.post("/Users", &json!({"userName": "MARKER-jane"})).status, 201);
    refused(&doomed.get("/Users"), 401);
    assert_eq!(own.get(&format!("/Users/{kept}")).at("/userName"), "MARKER-jane");
    let tokens = json_of(&server.run(&["token", "list", "--output", "json"]));
    let of_it = |token: &&Value| token["tenant"] == "doomed";
    assert_eq!(tokens["tokens"].as_array().unwrap().iter().filter(of_it).count(), 1);
    if server.database.is_postgres() {
        let url = &server.database.url;
        let tables = psql(
            url,
            "SELECT table_name FROM information_schema.columns WHERE column_name = 'tenant' AND table_schema = 'public'",
        );
        assert!(tables.lines().count() >= 4, "{tables}");
        // What happened stays on record, but not to whom.
        let named = "SELECT count(*) FROM changes WHERE personal LIKE '%MARKER-e%'";
        assert_eq!(psql(url, named), "0");
        for table in tables.lines().filter(|table| *table != "changes") {
            let orphans = format!(
                "SELECT count(*) FROM {table} WHERE tenant <> 0 AND tenant NOT IN (SELECT id FROM tenants)"
            );
            assert_eq!(psql(url, &orphans), "0", "{table}");
        }
        let documents = psql(url, "SELECT count(*) FROM documents WHERE text LIKE '%MARKER-e%'");
        assert_eq!(documents, "0");
    }
});

#[test]
fn err_011_without_its_database_the_server_says_so_and_comes_back_on_postgres() {
    let server = Server::start(Database::postgres());
    let client = server.client();
    client.create("/Users", &json!({"userName": "someone"}));
    server.database.set_available(false);
    for _ in 0..3 {
        for response in [
            client.get("/Users"),
            client.post("/Users", &json!({"userName": "other"})),
            client.get("/Users?filter=userName+eq+%22someone%22"),
        ] {
            refused(&response, 503);
            let retry = response.header("retry-after").and_then(|value| value.parse::<u32>().ok());
            assert!(retry.is_some(), "{:?}", response.headers);
            assert!(!response.at("/detail").to_lowercase().contains("connection"));
        }
    }
    server.database.set_available(true);
    let back = wait_for(Duration::from_secs(30), || {
        let response = client.get("/Users");
        (response.status == 200).then(|| response.at("/totalResults"))
    });
    assert_eq!(back.as_deref(), Some("1"), "nothing was written while it was away");
}

on_both!(err_011_int_007_many_wrong_tokens_are_told_to_wait, |server: &Server| {
    let client = server.client();
    let wrong = client.with_token(Some("hc_wrong"));
    let mut connection = headcount_e2e::http::Connection::open(server.address).unwrap();
    let mut waiting = |path: &str| {
        (0..1_000).find_map(|_| {
            let response = wrong.on(&mut connection, "GET", path, None);
            (response.status == 429).then_some(response)
        })
    };
    for path in ["/Users", "/Groups/x", "/Schemas", "/Me", "/Nothing"] {
        let response = waiting(path).unwrap_or_else(|| panic!("{path} is limited"));
        refused(&response, 429);
        let retry = response.header("retry-after").and_then(|value| value.parse::<u32>().ok());
        assert!(retry.is_some_and(|seconds| seconds > 0));
    }
    assert_eq!(client.get("/Users").status, 200, "a good token is served all the same");
});

on_both!(err_010_whatever_a_client_sends_is_never_the_servers_fault, |server: &Server| {
    let client = server.client();
    let id = client.create("/Users", &json!({"userName": "someone"}));
    // A fixed seed: what fails once fails again.
    let mut state = 0x2545_F491_4F6C_DD1Du64;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(limit).unwrap()).unwrap()
    };
    let words = [
        "userName",
        "emails",
        "[",
        "]",
        "eq",
        "\"a\"",
        "and",
        "not",
        "(",
        ")",
        ".",
        "value",
        "type",
        "null",
        "{",
        "}",
        ":",
        ",",
        "\"schemas\"",
        "\"Operations\"",
        "\"op\"",
        "\"add\"",
        "\"path\"",
        "true",
        "1e400",
        "-0",
        "\u{0}",
        "\u{fffd}",
        "😀",
        "%",
        "\\",
        "urn:x:y",
        "members",
        "$ref",
        "id",
        "meta.created",
        "9223372036854775808",
        "\"W/\\\"1\\\"\"",
        "bulkId:x",
        "\"failOnErrors\"",
    ];
    let paths = ["/Users", "/Groups", "/Bulk", "/.search", "/Users/.search"];
    for round in 0..600 {
        let length = below(14);
        let text: String = (0..length).map(|_| words[below(words.len())]).collect();
        let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = match round % 4 {
            0 => client.get(&format!("/Users?filter={encoded}&sortBy={encoded}")),
            1 => client.raw("POST", paths[below(paths.len())], &[], Some(text.as_bytes())),
            2 => client.patch(
                &format!("/Users/{id}"),
                &json!([{"op": "add", "path": text, "value": text}]),
            ),
            _ => client.get(&format!("/Users/{encoded}?attributes={encoded}&count={encoded}")),
        };
        assert!(answer.status < 500, "{text:?}: {} {}", answer.status, answer.text());
        if answer.status >= 400 {
            refused(&answer, answer.status);
            assert!(answer.header("x-request-id").is_some());
        }
    }
    assert_eq!(client.get(&format!("/Users/{id}")).status, 200);
});
