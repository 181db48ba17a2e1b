//! The log on a terminal, over the admin API, and as metrics.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;

use headcount_e2e::server::{binary, wait_for};
use headcount_e2e::{Client, Database, Server, on_both};
use serde_json::{Value, json};

use crate::support::{SOON, explain, record};

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

on_both!(inj_05_s_d_no_client_commands_the_terminal, |server: &Server| {
    let client = server.client();
    let name = "\u{1b}]0;mine\u{7}jane\u{9b}31m\n\u{7f}\u{202e}\u{2028}\u{2066}";
    client.post("/Users", &json!({"userName": name, "externalId": name, "active": "perhaps"}));
    record(server, |record| record["status"] == 400);
    // These are allowed in names: some scripts are written from right to left.
    let turned = "jane\u{202e}\u{2066}\u{2028}";
    client.create("/Users", &json!({"userName": turned, "displayName": turned}));
    record(server, |record| record["status"] == 201);
    for command in [
        &["log", "tail"][..],
        &["log", "tail", "--output", "json"],
        &["log", "show", "1"],
        &["log", "show", "1", "--output", "json"],
        &["log", "explain", name],
        &["audit", "export"],
    ] {
        // The audit has it a moment later.
        let shown = wait_for(SOON, || {
            let text = String::from_utf8(server.run(command).stdout).unwrap();
            text.contains("jane").then_some(text)
        });
        let text = shown.unwrap_or_else(|| panic!("{command:?}"));
        let is_obeyed = |c: char| {
            c.is_control() && c != '\n'
                || ('\u{2028}'..='\u{202e}').contains(&c)
                || ('\u{2066}'..='\u{2069}').contains(&c)
        };
        assert_eq!(text.chars().find(|c| is_obeyed(*c)), None, "{command:?}: {text:?}");
    }
});

on_both!(metrics_tell_of_tenants_tokens_and_pools, |server: &Server| {
    let client = server.client();
    client.post("/Users", &json!({"userName": "jane@example.com"}));
    client.post("/Groups", &json!({"displayName": "Staff"}));
    let of_users = || server.metric("headcount_resources", "kind=\"User\"");
    assert_eq!(wait_for(SOON, || (of_users() == 1.0).then_some(())), Some(()));
    assert!(server.metric("headcount_token_expires_timestamp_seconds", "provisioning") > 1.7e9);
    assert!(server.metric("headcount_pool_connections", "pool=\"data\",state=\"open\"") >= 1.0);
    assert!(server.metric("headcount_log_dropped_total", "") == 0.0);
    let text = Client { base: String::new(), ..client }.get("/metrics").text();
    assert!(!text.contains("jane") && !text.contains("Staff"), "{text}");
});

#[test]
fn metrics_may_have_an_address_of_their_own_sqlite() {
    let settings = [("HEADCOUNT__HTTP__METRICS_LISTEN", "127.0.0.1:0")];
    let server = Server::start_with(Arc::new(Database::sqlite()), &[], &settings);
    let client = Client { base: String::new(), ..server.client() };
    assert_eq!(client.get("/metrics").status, 404);
    let line = server.log().lines().find_map(|line| {
        line.strip_prefix("metrics are at http://")
            .map(|rest| rest.trim_end_matches("/metrics").to_owned())
    });
    let apart = Client { address: line.unwrap().parse().unwrap(), ..client };
    assert!(apart.get("/metrics").text().contains("headcount_argon2_runs_total"));
    assert_eq!(apart.get("/scim/v2/Users").status, 404);
}

/// A client of the admin API with these scopes.
fn admin(server: &Server, scopes: &str) -> Client {
    let token = server.token(&["--scope", scopes]);
    Client { base: "/api/v1".to_owned(), ..Client::new(server.address, &token) }
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
    one.assert_at("/sender", "Entra");
    one.assert_at("/outcome", "refused");
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
    // A token of no tenant is shown only to those who may see all tenants.
    assert_eq!(api.get("/log?everywhere=yes").status, 403);
    let all = admin(server, "administration tenants:all");
    let unowned = record(server, |record| record["refused"] == "malformed")["number"].to_string();
    assert_eq!(all.get(&format!("/log/{unowned}")).status, 404, "it is of no tenant");
    assert_eq!(all.get(&format!("/log/{unowned}?everywhere=yes")).at("/refused"), "malformed");
    assert_eq!(api.get(&format!("/log/{number}?everywhere=yes")).status, 403);
    let all = all.get("/log?everywhere=yes").json();
    let refused = |record: &Value| record["refused"] == "malformed";
    assert!(all["requests"].as_array().unwrap().iter().any(refused), "{all:#}");
    for path in ["/log", "/timeline?name=x", "/quirks", "/log/1"] {
        let provisioning = Client { base: api.base.clone(), ..client.clone() };
        assert_eq!(provisioning.get(path).status, 403, "{path}");
        assert_eq!(admin(server, "events:read").get(path).status, 403, "{path}");
    }
});
