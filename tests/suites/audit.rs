//! The record of changes: who did what is in it once, no one can change it unseen, and a person can
//! be erased from it.

use std::collections::HashSet;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headcount_e2e::server::{binary, psql, wait_for};
use headcount_e2e::{Client, Database, Server, on_both};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);

/// Runs the binary on a database that no server uses.
fn headcount(database: &Database, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(arguments).args(["--database", &database.url]).current_dir(database.path());
    command.output().unwrap()
}

/// Returns standard output of a command that ended well.
fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn exported(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
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

/// The verdict, once the server has sealed everything.
fn verdict(server: &Server) -> Value {
    let sealed = wait_for(PATIENCE, || {
        let text = done(&server.run(&["audit", "verify", "--output", "json"]));
        let verdict: Value = serde_json::from_str(&text).unwrap();
        Some(verdict).filter(|verdict| verdict["unsealed"] == 0)
    });
    sealed.expect("the server seals what was changed")
}

on_both!(aud_01_each_change_has_one_line_that_says_who_did_what, |server: &Server| {
    let client = server.client();
    let mut wanted = vec![("cli", "created", "Token")];
    let mut requests = Vec::new();
    let mut step =
        |method: &str, path: &str, body: Option<Value>, reported: Option<&'static str>| {
            let body = body.map(|body| body.to_string().into_bytes());
            let response = client.raw(method, path, &[], body.as_deref());
            assert!(response.status < 300, "{method} {path}: {}", response.text());
            if let Some(act) = reported {
                let kind = if path.starts_with("/Users") { "User" } else { "Group" };
                wanted.push(("token", act, kind));
                requests.push(response.header("x-request-id").unwrap().to_owned());
            }
            response
        };
    let user = json!({"userName": "jane@example.com", "externalId": "e1", "active": true});
    let made = step("POST", "/Users", Some(user.clone()), Some("created")).at("/id");
    let path = format!("/Users/{made}");
    let off = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "path": "active", "value": false}]});
    step("PATCH", &path, Some(off.clone()), Some("patched"));
    // What changes nothing is no change.
    step("PATCH", &path, Some(off), None);
    step("GET", &path, None, None);
    step("PUT", &path, Some(user), Some("replaced"));
    let group = json!({"displayName": "all", "members": [{"value": made}]});
    let group = step("POST", "/Groups", Some(group), Some("created")).at("/id");
    step("DELETE", &path, None, Some("deleted"));
    assert_eq!(client.post("/Users", &json!({"active": true})).status, 400);
    let verdict = verdict(server);
    assert_eq!(verdict["holds"], json!(true));
    assert_eq!(verdict["sealed"], json!(wanted.len()));

    let lines = exported(&done(&server.run(&["audit", "export"])));
    let reported: Vec<_> = lines
        .iter()
        .map(|line| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (text(&line["actor"]["kind"]), text(&line["act"]), text(&line["kind"]))
        })
        .collect();
    let wanted: Vec<_> = wanted
        .iter()
        .map(|(a, b, c)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned()))
        .collect();
    assert_eq!(reported, wanted);
    let places: Vec<_> = lines.iter().map(|line| line["place"].as_u64().unwrap()).collect();
    assert_eq!(places, (1..).take(wanted.len()).collect::<Vec<_>>());
    let said: Vec<_> =
        lines[1..].iter().map(|line| line["request"].as_str().unwrap().to_owned()).collect();
    assert_eq!(said, requests);
    let token = lines[0]["resource"].clone();
    assert!(lines[1..].iter().all(|line| line["actor"]["id"] == token));
    let off = &lines[2];
    assert_eq!(off["paths"], json!(["active"]));
    assert_eq!(off["switchedOn"], json!(false));
    assert_eq!(off["name"], json!("jane@example.com"));
    assert_eq!(off["externalId"], json!("e1"));
    assert_eq!(off["resource"], json!(made));
    assert_eq!(off["version"], json!(2));
    assert_eq!(lines[4]["membersAdded"], json!([made]));
    assert_eq!(lines[5]["groupsLeft"], json!([group]));
    assert_eq!(verdict["last"]["hash"], lines[5]["hash"]);
    let rest = exported(&done(&server.run(&["audit", "export", "--after", "4"])));
    assert_eq!(rest, lines[4..]);
});

on_both!(each_tenant_is_exported_by_itself_even_when_it_is_gone, |server: &Server| {
    let client = server.tenant("acme", "all");
    client.create("/Users", &json!({"userName": "someone"}));
    server.client().create("/Users", &json!({"userName": "somebody"}));
    let of = |tenant: &str| {
        let lines = exported(&done(&server.run(&["audit", "export", "--tenant", tenant])));
        lines
            .iter()
            .map(|line| {
                format!("{} {}", line["act"].as_str().unwrap(), line["kind"].as_str().unwrap())
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(of("acme"), ["created Tenant", "created Token", "created User"]);
    assert_eq!(of("default"), ["created Token", "created User"]);
    assert!(server.run(&["tenant", "set", "acme", "--enabled", "false"]).status.success());
    assert!(server.run(&["tenant", "delete", "acme", "--yes"]).status.success());
    failed(
        &server.run(&["audit", "export", "--tenant", "acme"]),
        &["no tenant \"acme\"", "tenantKey"],
    );
    let all = exported(&done(&server.run(&["audit", "export"])));
    let key = all.last().unwrap()["tenantKey"].to_string();
    let last = ["changed Tenant", "deleted Tenant"];
    assert_eq!(of(&key)[3..], last);
    assert_eq!(verdict(server)["holds"], true);
});

on_both!(gdp_a_deleted_person_is_erased_and_the_chain_still_holds, |server: &Server| {
    let client = server.client();
    let name = "jane.canary@example.com";
    let user = json!({"userName": name, "externalId": "canary-7", "displayName": "Jane"});
    let id = client.create("/Users", &user);
    let other = client.create("/Users", &json!({"userName": "john@example.com"}));
    failed(&server.run(&["audit", "erase", name]), &["still exists", &id, "delete it first"]);
    assert_eq!(client.delete(&format!("/Users/{id}")).status, 204);
    failed(&server.run(&["audit", "erase", "nobody"]), &["nothing was erased"]);
    let checkpoint = server.database.path().join("before.json");
    let checkpoint = checkpoint.to_str().unwrap();
    done(&server.run(&["audit", "checkpoint", "--out", checkpoint]));
    assert!(done(&server.run(&["audit", "export"])).contains(name));
    let logged = || done(&server.run(&["log", "tail"])).contains("DELETE").then_some(());
    assert!(wait_for(PATIENCE, logged).is_some());
    let erased = server.run(&["audit", "erase", "JANE.canary@Example.com", "--output", "json"]);
    let erased: Value = serde_json::from_str(&done(&erased)).unwrap();
    // The creation, the deletion and, from the log, what asked for them.
    assert_eq!(erased, json!({"kind": "User", "id": id, "changes": 2, "requests": 2}));
    let text = done(&server.run(&["audit", "export"]));
    assert!(!text.contains("canary"), "{text}");
    let lines = exported(&text);
    let of: Vec<_> = lines.iter().filter(|line| line["resource"] == id.as_str()).collect();
    let reported: Vec<_> =
        of.iter().map(|line| (line["act"].as_str().unwrap(), line["erased"] == true)).collect();
    assert_eq!(reported, [("created", true), ("deleted", true), ("erased", false)]);
    assert_eq!(of[2]["actor"]["kind"], "cli");
    assert!(
        lines
            .iter()
            .any(|line| line["resource"] == other.as_str() && line["name"] == "john@example.com")
    );
    failed(&server.run(&["audit", "erase", "canary-7"]), &["nothing was erased"]);
    assert_eq!(verdict(server)["holds"], true);
    let verified = done(&server.run(&["audit", "verify", "--checkpoint", checkpoint]));
    assert!(verified.contains("checkpoints that agree: 1"), "{verified}");
});

#[test]
fn aud_03_a_cut_end_is_found_by_a_checkpoint_and_rows_without_a_place_are_reported() {
    let database = Database::sqlite();
    done(&headcount(&database, &["migrate"]));
    let create = |name: &str| done(&headcount(&database, &["tenant", "create", name]));
    create("one");
    let unsealed = done(&headcount(&database, &["audit", "verify"]));
    assert!(unsealed.contains("not sealed yet, about which nothing is proven: 1"), "{unsealed}");
    let place = |name: &str| database.path().join(name).to_str().unwrap().to_owned();
    let (file, copy) = (place("headcount.db"), place("copy.db"));
    done(&headcount(&database, &["audit", "checkpoint", "--out", &place("early.json")]));
    std::fs::copy(&file, &copy).unwrap();
    create("two");
    done(&headcount(&database, &["audit", "checkpoint", "--out", &place("late.json")]));
    let verify =
        |name: &str| headcount(&database, &["audit", "verify", "--checkpoint", &place(name)]);
    assert!(done(&verify("late.json")).contains("checkpoints that agree: 1"));
    // Someone puts back what was there before the second change.
    std::fs::copy(&copy, &file).unwrap();
    assert!(done(&headcount(&database, &["audit", "verify"])).starts_with("the audit holds"));
    assert!(done(&verify("early.json")).contains("agree: 1"));
    failed(&verify("late.json"), &["place 2", "cut off", "does not hold; findings: 1"]);
    // And goes on as if nothing had been.
    create("three");
    done(&headcount(&database, &["audit", "checkpoint"]));
    failed(&verify("late.json"), &["place 2", "another hash", "rewritten"]);
    let json = headcount(
        &database,
        &["audit", "verify", "--checkpoint", &place("late.json"), "--output", "json"],
    );
    assert_eq!(json.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(report["holds"], false);
    assert_eq!(report["findings"][0]["place"], json!(2));
    assert_eq!(report["findings"][0]["kind"], json!("rewritten"));
    failed(&verify("none.json"), &["cannot be read"]);
    std::fs::write(place("empty.json"), "").unwrap();
    failed(&verify("empty.json"), &["contains no checkpoint"]);
}

#[test]
fn aud_03_an_edit_in_the_database_is_reported_with_its_place() {
    let server = Server::start(Database::postgres());
    let client = server.client();
    for name in ["a", "b", "c"] {
        client.create("/Users", &json!({"userName": name}));
    }
    assert_eq!(verdict(&server)["sealed"], 4);
    let tampered = |sql: &str, words: &[&str]| {
        psql(&server.database.url, "DROP TABLE IF EXISTS kept; CREATE TABLE kept AS TABLE changes");
        psql(&server.database.url, sql);
        failed(&server.run(&["audit", "verify"]), words);
        psql(
            &server.database.url,
            "BEGIN; DELETE FROM changes; INSERT INTO changes SELECT * FROM kept; COMMIT",
        );
        assert_eq!(verdict(&server)["holds"], true);
    };
    tampered("UPDATE changes SET actor = 'x' WHERE place = 2", &["place 2", "edited"]);
    tampered("DELETE FROM changes WHERE place = 3", &["place 3", "deleted"]);
    tampered("UPDATE changes SET personal = NULL WHERE place = 2", &["place 2", "no later row"]);
    tampered(
        "UPDATE changes SET place = -3 WHERE place = 3; UPDATE changes SET place = 3 WHERE place = 2; \
         UPDATE changes SET place = 2 WHERE place = -3",
        &["place 2", "exchanged"],
    );
}

/// A key of Ed25519 in PEM, written to a file; its path.
fn key_file(database: &Database) -> String {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let path = database.path().join("checkpoint.pem");
    std::fs::write(&path, pair.serialize_pem()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_server_appends_checkpoints_signed_by_the_configured_key() {
    for database in [Database::sqlite(), Database::postgres()] {
        let database = Arc::new(database);
        let file = database.path().join("checkpoints.jsonl");
        let key = key_file(&database);
        // What a crash left of a line.
        std::fs::write(&file, "{\"place\":").unwrap();
        let environment = [
            ("HEADCOUNT__AUDIT__KEY_FILE", key.as_str()),
            ("HEADCOUNT__AUDIT__CHECKPOINT_FILE", file.to_str().unwrap()),
        ];
        for name in ["first", "second"] {
            let server = Server::start_with(Arc::clone(&database), &[], &environment);
            server.client().create("/Users", &json!({"userName": name}));
            server.terminate();
            assert_eq!(server.stopped(PATIENCE), Some(true), "{}", server.log());
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert_eq!(lines[0], "{\"place\":", "{text}");
        std::fs::write(&file, lines[1..].join("\n")).unwrap();
        let made: Vec<Value> = exported(&lines[1..].join("\n"));
        assert_eq!(made[0]["place"], json!(2));
        assert_eq!(made[1]["place"], json!(4));
        let verify = |more: &[&str]| {
            let all = ["audit", "verify", "--checkpoint", file.to_str().unwrap()];
            headcount(&database, &[&all[..], more].concat())
        };
        // Without the configuration the key is another one.
        failed(&verify(&[]), &["checkpoint 1", "signed by the key", "--key"]);
        let public = made[0]["key"].as_str().unwrap();
        assert!(done(&verify(&["--key", public])).contains("checkpoints that agree: 2"));
        let forged = lines[1..].join("\n").replace("\"place\":4", "\"place\":3");
        std::fs::write(&file, format!("{forged}\nnonsense")).unwrap();
        failed(
            &verify(&["--key", public]),
            &["checkpoint 2", "signature does not fit", "checkpoint 3", "line 3", "findings: 2"],
        );
    }
}

#[test]
fn a_key_that_is_none_is_refused_before_the_server_listens() {
    let database = Database::sqlite();
    let path = database.path().join("key.pem");
    std::fs::write(&path, "nonsense").unwrap();
    let mut command = Command::new(binary());
    command
        .args(["audit", "checkpoint", "--database", &database.url])
        .env("HEADCOUNT__AUDIT__KEY_FILE", &path)
        .current_dir(database.path());
    done(&headcount(&database, &["migrate"]));
    done(&headcount(&database, &["tenant", "create", "one"]));
    failed(&command.output().unwrap(), &["audit.key_file", "PEM"]);
    let empty = Database::sqlite();
    done(&headcount(&empty, &["migrate"]));
    failed(&headcount(&empty, &["audit", "checkpoint"]), &["nothing has been recorded"]);
    let verified = done(&headcount(&empty, &["audit", "verify"]));
    assert_eq!(verified.trim(), "nothing is recorded yet: there is nothing to verify");
    let verified = done(&headcount(&empty, &["audit", "verify", "--output", "json"]));
    let report: Value = serde_json::from_str(&verified).unwrap();
    assert_eq!(report["holds"], Value::Null);
}

#[test]
fn a_token_that_ends_soon_is_recorded_once_by_the_server() {
    for database in [Database::sqlite(), Database::postgres()] {
        let database = Arc::new(database);
        done(&headcount(&database, &["migrate"]));
        done(&headcount(&database, &["token", "create", "--name", "soon", "--expires", "13d"]));
        done(&headcount(&database, &["token", "create", "--name", "late", "--expires", "100d"]));
        for _ in 0..2 {
            let server = Server::start_with(Arc::clone(&database), &[], &[]);
            let lines = wait_for(PATIENCE, || {
                let lines = exported(&done(&server.run(&["audit", "export"])));
                lines.iter().any(|line| line["act"] == "expiring").then_some(lines)
            });
            let lines = lines.expect("the server reports it soon after it starts");
            let reported: Vec<_> = lines.iter().filter(|line| line["act"] == "expiring").collect();
            assert_eq!(reported.len(), 1);
            assert_eq!(reported[0]["name"], json!("soon"));
            assert_eq!(reported[0]["actor"]["kind"], json!("system"));
            server.terminate();
            assert_eq!(server.stopped(PATIENCE), Some(true));
        }
    }
}

#[test]
fn aud_01_after_a_kill_each_user_has_one_row_and_each_row_a_user() {
    for database in [Database::sqlite(), Database::postgres()] {
        let database = Arc::new(database);
        let server = Server::start_with(Arc::clone(&database), &[], &[]);
        let (client, acknowledged) = (server.client(), Mutex::new(HashSet::new()));
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let (client, acknowledged) = (&client, &acknowledged);
                scope.spawn(move || {
                    for n in 0.. {
                        let user = json!({"userName": format!("u{writer}-{n}")}).to_string();
                        match client.try_raw("POST", "/Users", &[], Some(user.as_bytes())) {
                            Ok(made) if made.status == 201 => {
                                acknowledged.lock().unwrap().insert(made.at("/id"));
                            }
                            _ => return,
                        }
                    }
                });
            }
            let enough =
                wait_for(PATIENCE, || (acknowledged.lock().unwrap().len() >= 50).then_some(()));
            let killed = Command::new("kill").args(["-KILL", &server.pid().to_string()]).status();
            assert!(killed.unwrap().success());
            assert!(enough.is_some(), "the server answers");
        });
        drop(server);
        let server = Server::start_with(Arc::clone(&database), &[], &[]);
        assert_eq!(verdict(&server)["holds"], true);
        let lines = exported(&done(&server.run(&["audit", "export"])));
        let rows: Vec<&str> = lines
            .iter()
            .filter(|line| line["kind"] == "User")
            .map(|line| line["resource"].as_str().unwrap())
            .collect();
        let recorded: HashSet<String> = rows.iter().map(|id| (*id).to_owned()).collect();
        assert_eq!(rows.len(), recorded.len(), "no user has two rows");
        assert!(acknowledged.into_inner().unwrap().is_subset(&recorded));
        let there = server.client().get("/Users?count=0").at("/totalResults");
        assert_eq!(there, rows.len().to_string());
    }
}

/// Returns the blocks of a language in the page about the audit.
fn blocks(language: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = std::fs::read_to_string(root.join("docs/AUDIT.md")).unwrap();
    let begin = format!("```{language}\n");
    let parts = page.split(&begin).skip(1);
    parts.map(|part| part.split("```").next().unwrap()).collect()
}

#[test]
fn aud_05_a_server_without_the_right_to_change_the_audit_works() {
    let mut database = Database::postgres();
    done(&headcount(&database, &["migrate"]));
    let (owner, role) = (database.url.clone(), format!("app_{}", std::process::id()));
    let grants = blocks("sql").replace("headcount_app", &role);
    assert_eq!(grants.lines().count(), 3);
    psql(&owner, &format!("CREATE ROLE {role}"));
    psql(&owner, &grants);
    let join = if owner.contains('?') { '&' } else { '?' };
    database.url = format!("{owner}{join}options=-crole%3D{role}");
    assert_eq!(psql(&database.url, "SELECT current_user"), role);
    let server = Server::start(database);
    let client = server.client();
    let id = client.create("/Users", &json!({"userName": "jane@example.com"}));
    assert_eq!(client.delete(&format!("/Users/{id}")).status, 204);
    done(&server.run(&["audit", "erase", "jane@example.com"]));
    assert_eq!(verdict(&server)["holds"], true);
    let changes = ["UPDATE changes SET act = 'x'", "DELETE FROM changes", "TRUNCATE changes"];
    for forbidden in changes {
        let output = Command::new("psql").args(["-c", forbidden, &server.database.url]).output();
        let said = output.unwrap().stderr;
        assert!(String::from_utf8_lossy(&said).contains("permission denied"), "{forbidden}");
    }
    server.terminate();
    assert_eq!(server.stopped(PATIENCE), Some(true));
    psql(&owner, &format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn the_commands_of_the_page_work_as_written() {
    let server = Server::start(Database::sqlite());
    let client = server.client();
    let id = client.create("/Users", &json!({"userName": "jane@example.com"}));
    assert_eq!(client.delete(&format!("/Users/{id}")).status, 204);
    let script = blocks("sh").replace("headcount ", &format!("{} ", binary().display()));
    let mut shell = Command::new("sh");
    shell.args(["-euc", &script]).current_dir(server.database.path());
    let said = done(&shell.output().unwrap());
    assert_eq!(said.matches("the audit holds").count(), 2, "{said}");
    assert_eq!(verdict(&server)["holds"], true);
}

#[test]
fn two_servers_make_one_chain() {
    let database = Arc::new(Database::postgres());
    let servers = [(); 2].map(|()| Server::start_with(Arc::clone(&database), &[], &[]));
    let token = servers[0].token(&[]);
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let client = Client::new(servers[writer % 2].address, &token);
            scope.spawn(move || {
                for n in 0..25 {
                    client.create("/Users", &json!({"userName": format!("u{writer}-{n}")}));
                }
            });
        }
    });
    let verdict = verdict(&servers[1]);
    assert_eq!(verdict["holds"], json!(true));
    assert_eq!(verdict["sealed"], json!(101));
    assert_eq!(verdict["last"]["place"], 101);
}

on_both!(del_009_names_of_the_deleted_go_after_their_time, |server: &Server| {
    let client = server.client();
    let id = client.create(
        "/Users",
        &json!({"userName": "jane@example.com", "externalId": "number-of-janes"}),
    );
    client.delete(&format!("/Users/{id}"));
    client.create("/Users", &json!({"userName": "kim@example.com"}));
    let database = Arc::clone(&server.database);
    server.terminate();
    assert_eq!(server.stopped(PATIENCE), Some(true));
    let kept = done(&headcount(&database, &["audit", "export"]));
    assert!(kept.contains("jane@example.com") && kept.contains("number-of-janes"));
    // No part of an id or of a digest reads like this by chance.
    let again = Server::start_with(database, &[], &[("HEADCOUNT__AUDIT__NAMES_DAYS", "0")]);
    let gone = wait_for(PATIENCE, || {
        let left = done(&again.run(&["audit", "export"]));
        (!left.contains("jane")).then_some(left)
    });
    let left = gone.unwrap_or_else(|| panic!("the names are erased: {}", again.log()));
    assert!(left.contains("kim@example.com") && left.contains(&id), "{left}");
    let log = again.run(&["log", "explain", "jane@example.com"]);
    assert!(String::from_utf8_lossy(&log.stdout).contains("no request that is still in the log"));
    assert!(again.run(&["audit", "verify"]).status.success());
});
