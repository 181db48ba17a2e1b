//! The canary run: every secret and every personal value of a long conversation carries a mark, and
//! afterwards the mark is looked for wherever something is written down.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use headcount_e2e::server::{psql, wait_for};
use headcount_e2e::{Client, Database, Response, Server, replay};
use serde_json::{Value, json};

/// What belongs to a person.
const PERSONAL: &str = "CNRYperson";
/// What no one may ever read again.
const SECRET: &str = "CNRYsecret";

/// Where personal values belong. Everything that is found elsewhere is a leak.
const ALLOWED: [&str; 12] = [
    "documents.text",
    "resources.name",
    "resources.name_key",
    "resources.external_id",
    "resource_index.value",
    "resource_keys.folded",
    // Erasable, and covered by the chain through its digest alone.
    "changes.personal",
    // The provisioning log, which is kept for a while and says so.
    "requests.name",
    "requests.query",
    "requests.body",
    "requests.reply",
    "requests.path",
];

fn person(number: usize) -> Value {
    let mark = |what: &str| format!("{PERSONAL}-{what}-{number}");
    json!({
        "schemas": [
            "urn:ietf:params:scim:schemas:core:2.0:User",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
        ],
        "userName": mark("name"), "externalId": mark("external"), "displayName": mark("display"),
        "nickName": mark("nick"), "title": mark("title"), "password": format!("{SECRET}-{number}"),
        "name": {"givenName": mark("given"), "familyName": mark("family"), "formatted": mark("whole")},
        "emails": [{"value": format!("{}@example.com", mark("mail")), "primary": true}],
        "phoneNumbers": [{"value": mark("phone"), "type": "work"}],
        "addresses": [{"streetAddress": mark("street"), "locality": mark("town")}],
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
            "employeeNumber": mark("number"), "department": mark("department")
        }
    })
}

/// Sends a token in headers and paths, as it is and encoded, where a client that is set up wrongly might.
fn misplace(client: &Client, token: &str) -> Vec<Response> {
    let once = token.replace('_', "%5f");
    let twice = once.replace('%', "%25").replace('h', "%68");
    // The header takes 64 characters, which are the id and nearly all of the secret.
    let short = token.get(..64).unwrap();
    let nobody = client.with_token(None);
    let mut answers = Vec::new();
    for client in [client, &nobody] {
        for (name, value) in [
            ("X-Request-Id", short),
            ("User-Agent", token),
            ("User-Agent", &format!("Mozilla/5.0 ({once})")),
            ("Referer", token),
            ("X-Forwarded-For", token),
            ("X-Forwarded-Host", token),
            ("If-Match", token),
            ("Cookie", &format!("headcount={token}")),
            ("Content-Type", token),
        ] {
            let body = br#"{"userName": "headers"}"#;
            let answer = client.raw("POST", "/Users", &[(name, value)], Some(body));
            assert!(answer.header("x-request-id").is_some_and(|id| !id.contains(short)));
            answers.push(answer);
            answers.push(client.raw("GET", "/Groups/none", &[(name, value)], None));
        }
        for text in [token, &once, &twice] {
            for path in [format!("/Users/{text}"), format!("/{text}"), format!("/{text}/x/y")] {
                answers.push(client.get(&path));
                answers.push(client.delete(&path));
            }
            answers.push(client.get(&format!("/Users?filter=userName%20eq%20%22{text}%22")));
            answers.push(client.get(&format!("/Users?{text}={text}")));
            let elsewhere = Client { base: String::new(), ..client.clone() };
            for path in [format!("/{text}"), format!("/console/{text}"), format!("/api/v1/{text}")]
            {
                answers.push(elsewhere.get(&path));
            }
        }
    }
    answers
}

/// Says everything that can be said, rightly and wrongly, and returns the errors that came back.
fn converse(server: &Server, client: &Client) -> Vec<Response> {
    let mut answers = Vec::new();
    let mut ids = Vec::new();
    for number in 0..5 {
        let made = client.post("/Users", &person(number));
        assert_eq!(made.status, 201, "{}", made.text());
        ids.push(made.at("/id"));
        // The same once more: refused.
        answers.push(client.post("/Users", &person(number)));
    }
    let path = format!("/Users/{}", ids[0]);
    let secret = format!("{SECRET}-patch");
    let mark = |what: &str| format!("{PERSONAL}-{what}");
    let wrong = json!([{"op": "replace", "path": "active", "value": mark("active")}]);
    for (operations, status) in [
        (json!([{"op": "replace", "path": "password", "value": secret}]), 200),
        (json!([{"op": "replace", "value": {"password": secret, "title": mark("title")}}]), 200),
        (json!([{"op": "replace", "path": "password", "value": {"deep": secret}}]), 400),
        (json!([{"op": "remove", "path": "password", "value": secret}]), 200),
        (wrong, 400),
        (json!([{"op": "replace", "path": "emails[foo eq \"x\"].value", "value": mark("m")}]), 400),
        (json!([{"op": "replace", "path": "userName", "value": mark("name-1")}]), 409),
    ] {
        let answer = client.patch(&path, &operations);
        assert_eq!(answer.status, status, "{operations}: {}", answer.text());
        answers.push(answer);
    }
    for filter in [
        format!("userName eq \"{}\"", mark("name-1")),
        format!("emails.value co \"{}\"", mark("mail")),
        format!("password eq \"{SECRET}\""),
        format!("title co \"{}", mark("torn")),
        format!("foo eq \"{}\"", mark("unknown")),
    ] {
        let encoded = filter.replace(' ', "%20").replace('"', "%22");
        answers.push(client.get(&format!("/Users?filter={encoded}")));
        answers.push(client.post("/Users/.search", &json!({"filter": filter})));
    }
    let group = client
        .create("/Groups", &json!({"displayName": mark("group"), "members": [{"value": ids[1]}]}));
    answers.push(client.post("/Groups", &json!({"displayName": mark("group")})));
    client.patch(
        &format!("/Groups/{group}"),
        &json!([{"op": "add", "path": "members", "value": [{"value": ids[2]}]}]),
    );
    let bulk = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [
            {"method": "POST", "path": "/Users", "bulkId": "a", "data": person(5)},
            {"method": "POST", "path": "/Users", "bulkId": "b", "data": person(5)}
        ]
    });
    answers.push(client.post("/Bulk", &bulk));
    for body in [
        format!("{{\"userName\": \"{PERSONAL}\", \"password\": \"{SECRET}"),
        format!("[\"{SECRET}\"]"),
        format!("{{\"userName\": \"{PERSONAL}-twice\", \"userName\": \"{SECRET}\"}}"),
    ] {
        answers.push(client.raw("POST", "/Users", &[], Some(body.as_bytes())));
    }
    // Tokens where none belong, and a token that was never issued.
    let token = client.token.clone().unwrap();
    answers.push(client.post("/Users", &json!({"userName": token.clone(), "title": token})));
    answers.push(client.with_token(Some(&format!("{token}{SECRET}"))).get("/Users"));
    answers.push(client.raw(
        "GET",
        "/Users",
        &[("Authorization", &format!("Basic {SECRET}"))],
        None,
    ));
    answers.extend(misplace(client, &token));
    client.delete(&format!("/Users/{}", ids[3]));
    server.run(&["log", "explain", &mark("name-0")]);
    answers
}

fn rows(database: &Database) -> Vec<(String, Value)> {
    let parse = |text: &str| -> Vec<(String, Value)> {
        let line = |line: &str| {
            let (table, row) = line.split_once('\t').unwrap();
            (table.to_owned(), serde_json::from_str(row).unwrap())
        };
        text.lines().map(line).collect()
    };
    if database.is_postgres() {
        let tables =
            psql(&database.url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'");
        let dump = |table: &str| {
            psql(
                &database.url,
                &format!("SELECT '{table}' || E'\\t' || row_to_json(t)::text FROM {table} t"),
            )
        };
        return tables.lines().flat_map(|table| parse(&dump(table))).collect();
    }
    const DUMP: &str = "\
import json, sqlite3, sys
for path in sys.argv[1:]:
    db = sqlite3.connect(path)
    db.row_factory = sqlite3.Row
    for (table,) in db.execute(\"SELECT name FROM sqlite_master WHERE type = 'table'\").fetchall():
        for row in db.execute(f'SELECT * FROM \"{table}\"'):
            values = {key: row[key] if not isinstance(row[key], bytes) else row[key].hex() for key in row.keys()}
            print(table + '\\t' + json.dumps(values))
";
    let files = ["headcount.db", "headcount-log.db"].map(|name| database.path().join(name));
    let output = Command::new("python3").args(["-c", DUMP]).args(files).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    parse(&String::from_utf8(output.stdout).unwrap())
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect()
}

fn run(database: Database) {
    let settings =
        [("HEADCOUNT__LOGGING__FILTER", "trace"), ("HEADCOUNT__LOGGING__FORMAT", "json")];
    let server = Server::start_with(Arc::new(database), &[], &settings);
    let client = server.client();
    let token = client.token.clone().unwrap();
    let answers = converse(&server, &client);
    assert!(answers.iter().filter(|answer| answer.status >= 400).count() >= 18);
    for answer in &answers {
        let text = answer.text();
        assert!(!text.contains(SECRET), "{text}");
        assert!(answer.status < 400 || !text.contains(PERSONAL), "{text}");
    }
    let base = Client { base: String::new(), ..client.clone() };
    let metrics = base.get("/metrics").text();
    for mark in [PERSONAL, SECRET, &token] {
        assert!(!metrics.contains(mark), "{mark} is in the metrics");
        for file in ["cmdline", "environ"] {
            // Only the administrator of the machine may read the environment.
            let text = match std::fs::read(format!("/proc/{}/{file}", server.pid())) {
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => continue,
                read => read.unwrap(),
            };
            assert!(!String::from_utf8_lossy(&text).contains(mark), "{mark} is in {file}");
        }
    }
    // With the last request, everything before it has been written down.
    client.post("/Users", &json!({"userName": "the-last-one"}));
    let reported = || {
        let output = server.run(&["log", "tail", "-n", "1"]);
        String::from_utf8_lossy(&output.stdout).contains("the-last-one").then_some(())
    };
    assert!(wait_for(Duration::from_secs(10), reported).is_some());
    server.terminate();
    assert_eq!(server.stopped(Duration::from_secs(30)), Some(true));
    let log = server.log();
    assert!(log.matches("\"message\":\"request\"").count() > 30);
    let secret = token.get(20..60).unwrap();
    let leaks: Vec<&str> =
        log.lines().filter(|line| line.contains("CNRY") || line.contains(secret)).collect();
    assert!(leaks.is_empty(), "{leaks:#?}");

    let mut found = BTreeSet::new();
    for (table, row) in rows(&server.database) {
        for (column, value) in row.as_object().unwrap() {
            let text = value.to_string();
            let place = format!("{table}.{column}");
            assert!(!text.contains(SECRET), "{place}: {text}");
            // Someone entered it as a name: there it is what it is, a name.
            let as_name = ["documents.text", "changes.personal"].contains(&place.as_str());
            assert!(as_name || place.starts_with("resource") || !text.contains(secret), "{place}");
            if text.contains(PERSONAL) || text.to_lowercase().contains(&PERSONAL.to_lowercase()) {
                found.insert(place);
            }
        }
    }
    let leaks: Vec<&String> =
        found.iter().filter(|place| !ALLOWED.contains(&place.as_str())).collect();
    assert!(leaks.is_empty(), "personal values where none belong: {leaks:?}");
    assert!(found.contains("documents.text") && found.contains("requests.body"), "{found:?}");
    if !server.database.is_postgres() {
        for file in files(server.database.path()) {
            let bytes = std::fs::read(&file).unwrap();
            assert!(!contains(&bytes, SECRET.as_bytes()), "{}", file.display());
        }
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// What a server says about its own database: with a password in its URL, and from the environment.
#[test]
fn cfg_03_s_b_the_url_of_the_database_is_nowhere_postgres() {
    let database = Database::postgres();
    let scratch = headcount_e2e::server::Scratch::new();
    let url = format!("{}&password={SECRET}", database.url);
    let run = |arguments: &[&str]| {
        let mut command = Command::new(headcount_e2e::server::binary());
        command.args(arguments).current_dir(scratch.path());
        command.env("HEADCOUNT__DATABASE__URL", &url).env("HEADCOUNT__LOGGING__FILTER", "trace");
        let output = command.output().unwrap();
        [output.stdout, output.stderr].concat()
    };
    for arguments in [
        &["migrate"][..],
        &["check-config"],
        &["check-config", "--output", "json"],
        &["token", "list"],
        &["log", "tail"],
        // It cannot listen there, and says so.
        &["serve", "--listen", "127.0.0.1:x"],
    ] {
        let said = run(arguments);
        assert!(!said.is_empty() && !contains(&said, SECRET.as_bytes()), "{arguments:?}");
    }
    database.set_available(false);
    let said = run(&["token", "list"]);
    assert!(!said.is_empty() && !contains(&said, SECRET.as_bytes()));
    database.set_available(true);
}

#[test]
fn usr_004_usr_005_sec_001_sec_003_marks_are_found_where_they_belong_and_nowhere_else_sqlite() {
    run(Database::sqlite());
}

#[test]
fn usr_004_usr_005_sec_001_sec_003_marks_are_found_where_they_belong_and_nowhere_else_postgres() {
    run(Database::postgres());
}

/// Every text of the recorded conversations that is long enough not to be a word.
fn values(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if text.len() >= 10 && !text.starts_with("urn:") => {
            found.insert(text.clone());
        }
        Value::Array(values_) => values_.iter().for_each(|one| values(one, found)),
        Value::Object(map) => map.values().for_each(|one| values(one, found)),
        _ => {}
    }
}

fn corpus(database: Database) {
    let settings =
        [("HEADCOUNT__LOGGING__FILTER", "trace"), ("HEADCOUNT__LOGGING__FORMAT", "json")];
    let server = Server::start_with(Arc::new(database), &[], &settings);
    let client = server.client();
    let mut known = BTreeSet::new();
    for file in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/idp")) {
        if file.extension().is_some_and(|extension| extension == "jsonl") {
            assert!(replay::run(&client, &file).failures.is_empty());
            for line in std::fs::read_to_string(&file).unwrap().lines() {
                let step: Value = serde_json::from_str(line).unwrap_or_default();
                values(&step["body"], &mut known);
            }
        }
    }
    // What the server says by itself: names of attributes, of messages, of products.
    known.retain(|text| text.contains('@') || text.contains(' '));
    assert!(known.len() > 50, "{}", known.len());
    let log = server.log();
    for text in known {
        assert!(!log.contains(&text), "\"{text}\" is in the log");
    }
}

#[test]
fn pii_01_nothing_of_the_recorded_conversations_is_in_the_log_sqlite() {
    corpus(Database::sqlite());
}

#[test]
fn pii_01_nothing_of_the_recorded_conversations_is_in_the_log_postgres() {
    corpus(Database::postgres());
}
