//! Rows of the record of changes say by a key who wrote them.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use headcount_e2e::server::{binary, psql, wait_for};
use headcount_e2e::{Database, Server};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);

/// Runs the binary on a database without what its server is configured with, but for a file of keys.
fn headcount(database: &Database, keys: Option<&Path>, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(arguments).args(["--database", &database.url]).current_dir(database.path());
    command.envs(keys.map(|keys| ("HEADCOUNT__AUDIT__MAC_KEY_FILE", keys)));
    command.output().unwrap()
}

/// Returns standard output of a command that ended well.
fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Checks that a command ended with status 1 and said something.
fn failed(output: &Output, words: &[&str]) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} in: {text}");
    }
}

/// Waits until every change has its position.
fn sealed(database: &Database) {
    let open = || psql(&database.url, "SELECT count(*) FROM changes WHERE place IS NULL");
    assert!(wait_for(PATIENCE, || (open() == "0").then_some(())).is_some());
}

fn verdict(server: &Server) -> Value {
    let text = done(&server.run(&["audit", "verify", "--output", "json"]));
    serde_json::from_str(&text).unwrap()
}

/// A row that someone inserts, in the name of an administrator.
const FRAMED: &str = "INSERT INTO changes (tenant, at, actor_kind, actor, request, act, kind, resource, \
     version, paths, delta, personal_digest) VALUES (1, 1, 'admin', 'innocent', 'r', 'deleted', 'User', \
     'u1', 1, '', '', '')";

#[test]
fn s14_a_row_that_was_put_past_the_server_is_named_and_stops_nothing_on_postgres() {
    let database = Arc::new(Database::postgres());
    let file = database.path().join("audit-mac.keys");
    std::fs::write(&file, format!("k1 {}\n", "ab".repeat(32))).unwrap();
    let environment = [("HEADCOUNT__AUDIT__MAC_KEY_FILE", file.to_str().unwrap())];
    let server = Server::start_with(Arc::clone(&database), &[], &environment);
    let client = server.client();
    client.create("/Users", &json!({"userName": "a"}));
    sealed(&database);
    let before = verdict(&server);
    assert_eq!(before["holds"], true, "{before:#}");
    assert_eq!(before["macs"], json!({"key": "file", "acceptedUpTo": 0, "accepted": 0}));
    psql(&database.url, FRAMED);
    client.create("/Users", &json!({"userName": "b"}));
    sealed(&database);
    failed(&server.run(&["audit", "verify"]), &["place 3", "no MAC", "findings: 1"]);
    assert!(server.log().contains("was not written by a server that has the key"));
    // A command without the key is not the server, either.
    done(&headcount(&database, None, &["tenant", "create", "other"]));
    sealed(&database);
    failed(&server.run(&["audit", "verify"]), &["place 3", "place 5", "audit.mac_key_file"]);
    failed(&server.run(&["audit", "accept", "99"]), &["not a place of the audit", "0 to 5"]);
    done(&server.run(&["audit", "accept", "5"]));
    assert_eq!(verdict(&server)["macs"]["accepted"], 2);
}

#[test]
fn s14_verify_says_what_a_key_in_the_database_does_not_prove() {
    let database = Database::sqlite();
    done(&headcount(&database, None, &["migrate"]));
    done(&headcount(&database, None, &["tenant", "create", "one"]));
    let output = headcount(&database, None, &["audit", "verify"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("set audit.mac_key_file"));
    let file = database.path().join("audit-mac.keys");
    std::fs::write(&file, "k1 abc").unwrap();
    let verified = headcount(&database, Some(&file), &["audit", "verify"]);
    failed(&verified, &["audit.mac_key_file", "line 1", "64 hexadecimal digits"]);
}
