//! Requests that try to be something else: two in one, another path, another host, another client.

use std::sync::Arc;

use headcount_e2e::http::Connection;
use headcount_e2e::{Client, Database, Server, on_both};

const SEARCH: &str = r#"{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]}"#;

/// Reads the escapes of a line of `fixtures/wire`.
fn unescape(text: &str, token: &str) -> Vec<u8> {
    let host = "Host: localhost\\r\\n";
    let bearer = format!("Authorization: Bearer {token}\\r\\n");
    let text = text.replace("{H}", host).replace("{T}", &bearer).replace("{S}", SEARCH);
    let (mut bytes, mut rest) = (Vec::new(), text.chars());
    while let Some(c) = rest.next() {
        match (c, if c == '\\' { rest.next() } else { None }) {
            (_, Some('r')) => bytes.push(b'\r'),
            (_, Some('n')) => bytes.push(b'\n'),
            (_, Some('t')) => bytes.push(b'\t'),
            (_, Some('0')) => bytes.push(0),
            (_, Some('x')) => {
                let digits: String = rest.by_ref().take(2).collect();
                bytes.push(u8::from_str_radix(&digits, 16).unwrap());
            }
            (_, Some(other)) => bytes.push(u8::try_from(other).unwrap()),
            (c, None) => bytes.extend(c.to_string().bytes()),
        }
    }
    bytes
}

/// The lines of a file of `fixtures/wire`, in columns.
fn corpus(file: &str) -> Vec<Vec<String>> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/wire").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// Sends a shape on a connection of its own, and returns what came back and what it was then.
fn told(server: &Server, bytes: &[u8], expected: usize) -> (Vec<String>, &'static str) {
    let mut connection = Connection::open(server.address).unwrap();
    // The server may have closed it already.
    drop(connection.send(bytes));
    let mut statuses = Vec::new();
    while statuses.len() < expected {
        let Ok(answer) = connection.receive(false) else { break };
        statuses.push(answer.status.to_string());
    }
    // What was sent must not be answered once more, nor be taken for the beginning of this.
    let next = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    drop(connection.send(next));
    match connection.receive(false) {
        Ok(answer) if answer.text() == "ok\n" => (statuses, "open"),
        Ok(answer) => {
            statuses.push(answer.status.to_string());
            (statuses, "not clear")
        }
        Err(_) => (statuses, "closed"),
    }
}

#[test]
fn hdr_06_s_j_no_request_hides_in_another() {
    let server = Server::start(Database::sqlite());
    let token = server.token(&["--scope", "scim:read"]);
    let shapes = corpus("shapes.tsv");
    assert!(shapes.len() >= 40);
    let mut wrong = Vec::new();
    for shape in shapes {
        let [name, statuses, then, bytes] = shape.as_slice() else { panic!("{shape:?}") };
        let expected: Vec<&str> = statuses.split(' ').collect();
        let (found, now) = told(&server, &unescape(bytes, &token), expected.len());
        let fits = match statuses.strip_suffix('?') {
            Some(status) => found.iter().all(|found| found == status),
            None => found == expected,
        };
        if !fits || now != then {
            wrong.push(format!("{name}: {found:?} {now}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn hdr_06_inj_08_no_path_leads_to_another() {
    let server = Server::start(Database::sqlite());
    let token = server.token(&["--scope", "scim:read"]);
    let mut wrong = Vec::new();
    for path in corpus("paths.tsv") {
        let [target, without, with] = path.as_slice() else { panic!("{path:?}") };
        for (bearer, expected) in [("", without), ("{T}", with)] {
            let request = format!("GET {target} HTTP/1.1\\r\\n{{H}}{bearer}\\r\\n");
            let mut connection = Connection::open(server.address).unwrap();
            connection.send(&unescape(&request, &token)).unwrap();
            let answer = connection.receive(false).unwrap();
            let text = answer.text();
            let leaks = text.contains("headcount_requests_total") || text.contains("root:");
            let splits = answer.header("set-cookie").is_some();
            if answer.status.to_string() != *expected || leaks || splits {
                wrong.push(format!("{target} {bearer}: {} {text}", answer.status));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

on_both!(s_j_the_authority_of_the_target_wins_over_the_header, |server: &Server| {
    let client = Client { base: "http://named.example/scim/v2".to_owned(), ..server.client() };
    let made =
        client.raw("POST", "/Users", &[("Host", "other.example")], Some(br#"{"userName":"a"}"#));
    assert_eq!(made.status, 201);
    let location = made.header("location").unwrap();
    assert!(location.starts_with("http://named.example/scim/v2/Users/"), "{location}");
});

#[test]
fn tls_06_s5_only_listed_proxies_are_believed() {
    let server = Server::start_with(
        Arc::new(Database::sqlite()),
        &["--behind-proxy"],
        &[("HEADCOUNT__HTTP__TRUSTED_PROXIES", "10.0.0.0/8")],
    );
    let near = Server::start_with(Arc::new(Database::sqlite()), &["--behind-proxy"], &[]);
    let forwarded = [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Host", "evil.example")];
    for (server, expected) in [(&server, 403), (&near, 200)] {
        let token = server.token(&["--cidr", "203.0.113.0/24"]);
        let client = Client::new(server.address, &token);
        assert_eq!(client.raw("GET", "/Users", &forwarded, None).status, expected);
        let own = Client::new(server.address, &server.token(&["--cidr", "::ffff:127.0.0.1"]));
        // Without what a proxy adds, this is the client itself.
        assert_eq!(own.get("/Users").status, 200);
        let config = own.raw("GET", "/ServiceProviderConfig", &forwarded[1..], None);
        assert_eq!(config.text().contains("evil.example"), expected == 200);
    }
    // It is said once, for the one whose proxy is missing in the list.
    let told = |server: &Server| server.log().matches("add it to http.trusted_proxies").count();
    assert_eq!((told(&server), told(&near)), (1, 0));
    // Whoever changes his address is still one who guesses.
    let failures = (0..300).filter(|n| {
        let from = format!("203.0.113.{}", n % 250);
        let wrong = Client::new(server.address, "hc_wrong");
        wrong.raw("GET", "/Users", &[("X-Forwarded-For", &from)], None).status == 429
    });
    assert!(failures.count() > 0);
}
