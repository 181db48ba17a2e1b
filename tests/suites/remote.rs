//! The log and the events at the command line, read from a running server instead of its database.

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use headcount_e2e::server::{Scratch, binary, wait_for};
use headcount_e2e::{Database, Server, on_both};
use serde_json::json;

const SOON: Duration = Duration::from_secs(10);
/// What a token needs to see everything.
const ALL: &[&str] = &["--scope", "administration", "--scope", "tenants:all"];

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

/// Runs a command that must succeed and returns what it printed and noted.
fn output_of(command: &mut Command) -> (String, String) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{:?}", text(&output));
    text(&output)
}

/// Runs a command that must fail and returns why.
fn refused(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (printed, why) = text(&output);
    assert_eq!(output.status.code(), Some(1), "{why}");
    assert_eq!(printed.as_str(), "", "{why}");
    assert_eq!(why.lines().count(), 1, "{why}");
    why
}

/// Waits until the log holds the last request that was made.
fn settle(server: &Server, needle: &str) {
    let is_there = || text(&server.run(&["log", "tail"])).0.contains(needle).then_some(());
    assert!(wait_for(SOON, is_there).is_some());
}

on_both!(a_server_tells_what_its_database_tells, |server: &Server| {
    let client = server.client();
    let jane = json!({"userName": "jane@example.com", "externalId": "e-1", "active": "True"});
    let id = client.post("/Users", &jane).at("/id");
    client.post("/Users", &json!({"userName": "Jane@Example.com"}));
    client.post("/Groups", &json!({"displayName": "staff", "members": [{"value": id}]}));
    let leave = json!([{"op": "Replace", "path": "active", "value": "False"}]);
    client.patch(&format!("/Users/{id}"), &leave);
    let operation = |name: &str| json!({"method": "POST", "path": "/Users", "bulkId": name, "data": {"userName": name}});
    let bulk = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [operation("kim"), operation("lee")]});
    let bulk = client.post("/Bulk", &bulk).header("x-request-id").unwrap().to_owned();
    client.with_token(Some("nonsense")).get("/Users");
    server.tenant("other", "all").post("/Users", &json!({"userName": "somebody else"}));
    settle(server, "somebody else");
    let token = server.token(ALL);
    for command in [
        &["log", "tail"][..],
        &["log", "tail", "--failed"],
        &["log", "tail", "-n", "3", "--tenant", "other"],
        &["log", "tail", "-n", "5000", "--output", "json"],
        &["log", "show", "1"],
        &["log", "show", &bulk],
        &["log", "show", &bulk, "--output", "json"],
        &["log", "explain", "JANE@example.com"],
        &["log", "explain", "staff", "--output", "json"],
        &["log", "explain", "somebody else", "--tenant", "other"],
        &["log", "explain", "nobody"],
        &["events", "tail"],
        &["events", "tail", "--tenant", "other", "--types", "user.*"],
        &["events", "tail", "--types", "user.created,group.*", "--limit", "2"],
        &["events", "tail", "--after", "0", "--limit", "4", "--output", "json"],
    ] {
        let here = server.run(command);
        assert!(here.status.success(), "{command:?}: {:?}", text(&here));
        assert!(here.stdout.len() > 20, "{command:?}: {:?}", text(&here));
        assert_eq!(text(&here), output_of(&mut server.ask(&token, command)), "{command:?}");
    }
    let bulk = text(&server.run(&["log", "show", &bulk])).0;
    assert!(bulk.contains("POST /Bulk") && bulk.contains("\"kim\"") && bulk.contains("\"lee\""));
    for command in [
        &["log", "show", "4711"][..],
        &["log", "show", "no-such-request"],
        &["log", "explain", "jane", "--tenant", "nobody"],
        &["events", "tail", "--types", "user.erased"],
        &["events", "tail", "--types", "nothing"],
        &["events", "tail", "--after", "x"],
    ] {
        let here = server.run(command);
        assert_eq!(here.status.code(), Some(1), "{command:?}");
        refused(&mut server.ask(&token, command));
    }
});

on_both!(more_requests_than_a_page_are_read_page_by_page, |server: &Server| {
    let client = server.client();
    for _ in 0..1_050 {
        client.get("/Users?count=0");
    }
    client.get("/ServiceProviderConfig");
    settle(server, "asked what the server can do");
    let token = server.token(ALL);
    let lines = |limit: &str| {
        let (printed, _) = output_of(&mut server.ask(&token, &["log", "tail", "-n", limit]));
        printed.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let all = lines("2000");
    assert_eq!(all.len(), 1_051);
    assert_eq!(lines("1020"), all[31..]);
});

on_both!(a_token_of_one_tenant_sees_that_one, |server: &Server| {
    let client = server.tenant("sales", "all");
    client.post("/Users", &json!({"userName": "kim"}));
    server.client().post("/Users", &json!({"userName": "jane"}));
    client.with_token(Some("nonsense")).get("/Users");
    settle(server, "token refused");
    let token = server.token(&["--tenant", "sales", "--scope", "administration"]);
    let (printed, note) = output_of(&mut server.ask(&token, &["log", "tail"]));
    assert!(printed.contains("\"kim\"") && printed.matches(" UTC ").count() == 1, "{printed}");
    assert!(note.contains("its own tenant") && note.contains("tenants:all"), "{note}");
    let (story, note) = output_of(&mut server.ask(&token, &["log", "explain", "kim"]));
    assert!(story.starts_with("\"kim\" is here") && note.is_empty(), "{story}{note}");
    let number = printed.split_whitespace().next().unwrap();
    assert!(output_of(&mut server.ask(&token, &["log", "show", number])).0.contains("answered: "));
    let (events, _) = output_of(&mut server.ask(&token, &["events", "tail", "--types", "user.*"]));
    assert_eq!(events.lines().count(), 1, "{events}");
    for command in [&["log", "tail"][..], &["log", "explain", "jane"], &["events", "tail"]] {
        let other = [command, &["--tenant", "default"]].concat();
        assert!(refused(&mut server.ask(&token, &other)).contains("tenants:all"));
    }
});

#[test]
fn what_is_wrong_is_said_and_what_to_change() {
    let server = Server::start(Database::sqlite());
    let token = server.token(ALL);
    let provisioning = server.token(&[]);
    let scratch = Scratch::new();
    let file = scratch.path().join("token");
    let named = file.to_str().unwrap();
    let tail = &["log", "tail"][..];
    let ask = |token: &str, more: &[&str]| refused(&mut server.ask(token, &[tail, more].concat()));
    for (why, words) in [
        (ask("", &[]), ["HEADCOUNT_TOKEN", "token create"]),
        (ask("two words", &[]), ["HEADCOUNT_TOKEN", "one line"]),
        (ask("nonsense", &[]), ["401", "token create"]),
        (ask(&provisioning, &[]), ["403", "for provisioning"]),
        (ask(&server.token(&["--scope", "events:read"]), &[]), ["403", "admin:read"]),
        (ask(&token, &["--database", "sqlite:a.db"]), ["--server", "--database"]),
        (ask(&token, &["--token-file", named]), ["--token-file", "cannot be read"]),
        (ask(&token, &["--ca-file", named]), ["--ca-file", "cannot be read"]),
    ] {
        assert!(words.iter().all(|word| why.contains(word)), "{why}");
        assert!(!why.contains(&token) && !why.contains("two words"), "{why}");
    }
    let alone = server.run(&["log", "tail", "--token-file", named]);
    assert!(text(&alone).1.contains("--server"), "{:?}", text(&alone));
    std::fs::write(&file, format!("{token}\n")).unwrap();
    output_of(&mut server.ask("nonsense", &["log", "tail", "--token-file", named]));
}

/// Answers one connection with a text and returns where.
fn impostor(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        drop(stream.read(&mut [0; 4_096]));
        drop(stream.write_all(answer.as_bytes()));
    });
    address
}

#[test]
fn what_is_no_headcount_server_gets_no_second_request() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (address, words) in [
        (format!("http://{free}"), ["does not answer", ""]),
        ("127.0.0.1:8080".to_owned(), ["--server", "e.g. https://"]),
        ("https://name:word@127.0.0.1".to_owned(), ["--server", "e.g. https://"]),
        (
            impostor("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
            ["not a Headcount server", ""],
        ),
        (
            impostor("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
            ["not a Headcount", "404"],
        ),
        (
            impostor(
                "HTTP/1.1 302 Found\r\nLocation: https://login.example.com/\r\nContent-Length: 0\r\n\r\n",
            ),
            ["points to https://login.example.com/", "--server"],
        ),
        (
            impostor("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"),
            ["does not answer", "502"],
        ),
    ] {
        let mut command = Command::new(binary());
        command.args(["log", "tail", "--server", &address]).env("HEADCOUNT_TOKEN", "hca_x");
        let why = refused(&mut command);
        assert!(words.iter().all(|word| why.contains(word)), "{address}: {why}");
    }
}

#[test]
fn a_certificate_of_ones_own_authority_is_trusted_when_it_is_named() {
    let database = Database::sqlite();
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let path = |name: &str| database.path().join(name).to_str().unwrap().to_owned();
    let (cert_path, key_path) = (path("cert.pem"), path("key.pem"));
    std::fs::write(&cert_path, cert.pem()).unwrap();
    std::fs::write(&key_path, signing_key.serialize_pem()).unwrap();
    let flags = ["--tls-cert", &cert_path, "--tls-key", &key_path];
    let server = Server::start_with(Arc::new(database), &flags, &[]);
    let token = server.token(ALL);
    let address = format!("https://localhost:{}/scim/v2", server.address.port());
    let tail = |more: &[&str]| {
        let mut command = Command::new(binary());
        command.args(["events", "tail", "--server", &address]).args(more);
        command.env("HEADCOUNT_TOKEN", &token);
        command
    };
    let why = refused(&mut tail(&[])).to_lowercase();
    assert!(why.contains("certificate"), "{why}");
    let (events, _) = output_of(&mut tail(&["--ca-file", &cert_path]));
    assert!(events.contains("token.created"), "{events}");
    assert!(refused(&mut tail(&["--ca-file", &key_path])).contains("no certificate in PEM"));
}

/// A command that goes on, and what it prints.
struct Following {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Following {
    fn begin(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Reads on until a line holds a word.
    fn until(&mut self, word: &str) {
        assert!(self.lines.any(|line| line.unwrap().contains(word)), "{word}");
    }

    /// Ends it and returns what it noted.
    fn end(mut self) -> String {
        self.child.kill().unwrap();
        let mut noted = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut noted).unwrap();
        self.child.wait().unwrap();
        noted
    }
}

on_both!(who_follows_outlives_the_server, |server: &Server| {
    let client = server.client();
    client.post("/Users", &json!({"userName": "before"}));
    settle(server, "\"before\"");
    let token = server.token(ALL);
    let mut log = Following::begin(&mut server.ask(&token, &["log", "tail", "-f", "-n", "1"]));
    let events = ["events", "tail", "--follow", "--types", "user.*"];
    let mut events = Following::begin(&mut server.ask(&token, &events));
    log.until("\"before\"");
    events.until("user.created");
    let id = client.create("/Users", &json!({"userName": "during"}));
    log.until("\"during\"");
    events.until(&id);
    server.terminate();
    assert_eq!(server.stopped(SOON), Some(true));
    let address = server.address.to_string();
    let again = Server::start_with(Arc::clone(&server.database), &["--listen", &address], &[]);
    let id = client.create("/Users", &json!({"userName": "after"}));
    log.until("\"after\"");
    events.until(&id);
    assert!(log.end().contains("trying again"));
    drop(events.end());
    drop(again);
});
