//! Changes of one resource by many at once, and groups whose size must not matter.

use std::collections::{HashMap, HashSet};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use headcount_e2e::http::Connection;
use headcount_e2e::server::{psql, wait_for};
use headcount_e2e::{Client, Database, Server, on_both, seed};
use serde_json::{Value, json};

fn members(ids: &[String]) -> Value {
    ids.iter().map(|id| json!({"value": id})).collect()
}

fn ids_in(group: &Value) -> HashSet<String> {
    let members = group["members"].as_array().unwrap();
    let ids: HashSet<String> =
        members.iter().map(|member| member["value"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), members.len(), "a member stands once");
    ids
}

fn set(ids: &[String]) -> HashSet<String> {
    ids.iter().cloned().collect()
}

/// Clients of the servers on one database: two replicas where it can have them.
fn replicas(server: &Server) -> (Option<Server>, [Client; 2]) {
    let client = server.tenant("replicas", "all,-create-by-filter");
    let second = server
        .database
        .is_postgres()
        .then(|| Server::start_with(Arc::clone(&server.database), &[], &[]));
    let address = second.as_ref().map_or(server.address, |second| second.address);
    let other = Client { address, ..client.clone() };
    (second, [client, other])
}

on_both!(put_019_readers_see_the_old_members_or_the_new_ones, |server: &Server| {
    let client = server.client();
    let users = seed::users(&client, &seed::named("u", 600));
    let states = [("old", &users[..400]), ("new", &users[200..])];
    let body = |(name, ids): (&str, &[String])| json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": name, "members": members(ids)});
    let group = client.create("/Groups", &body(states[0]));
    let path = format!("/Groups/{group}");
    let (done, reads) = (AtomicBool::new(false), [AtomicUsize::new(0), AtomicUsize::new(0)]);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut connection = Connection::open(client.address).unwrap();
                while !done.load(Ordering::SeqCst) {
                    let read = client.on(&mut connection, "GET", &path, None).json();
                    let state =
                        states.iter().position(|state| read["displayName"] == state.0).unwrap();
                    assert_eq!(ids_in(&read), set(states[state].1), "as a whole");
                    reads[state].fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let mut connection = Connection::open(client.address).unwrap();
        let written = wait_for(Duration::from_secs(50), || {
            for state in [1, 0] {
                let response = client.on(&mut connection, "PUT", &path, Some(&body(states[state])));
                if response.status != 200 {
                    return Some(Err(response.text()));
                }
            }
            reads.iter().all(|count| count.load(Ordering::SeqCst) >= 30).then_some(Ok(()))
        });
        done.store(true, Ordering::SeqCst);
        written.expect("both states were read").unwrap();
    });
});

on_both!(int_005_a_patch_adds_and_removes_many_members_one_by_one, |server: &Server| {
    let client = server.client();
    let users = seed::users(&client, &seed::named("u", 60));
    let group = client.create("/Groups", &json!({"displayName": "g"}));
    let path = format!("/Groups/{group}");
    let each: Vec<Value> = users
        .iter()
        .map(|id| json!({"op": "add", "path": "members", "value": [{"value": id}]}))
        .collect();
    client.patch(&path, &json!(each)).assert_status(200);
    assert_eq!(ids_in(&client.get(&path).json()), set(&users));
    let each: Vec<Value> = users
        .iter()
        .map(|id| json!({"op": "remove", "path": format!("members[value eq \"{id}\"]")}))
        .collect();
    client.patch(&path, &json!(each)).assert_status(200);
    assert_eq!(ids_in(&client.get(&path).json()), HashSet::new());
});

/// Checks that a PATCH is refused with a limit in its detail, and changes nothing.
fn refused_by_limit(client: &Client, path: &str, operations: &Value, limit: &str) {
    let before = client.get(path).at("/meta/version");
    let response = client.patch(path, operations);
    response.assert_status(413);
    assert!(response.at("/detail").contains(limit), "{}", response.text());
    client.get(path).assert_at("/meta/version", before);
}

on_both!(pat_014_a_patch_has_at_most_1000_operations, |server: &Server| {
    let client = server.client();
    let path = format!("/Groups/{}", client.create("/Groups", &json!({"displayName": "g"})));
    let renames = |count: usize| -> Value {
        (0..count)
            .map(|n| json!({"op": "replace", "path": "displayName", "value": format!("n{n}")}))
            .collect()
    };
    client.patch(&path, &renames(1_000)).assert_at("/displayName", "n999");
    refused_by_limit(&client, &path, &renames(1_001), "1000");
});

/// Operations that add so many members each, none of whom exists.
fn additions(counts: &[usize]) -> Value {
    let members = |count: usize| -> Value {
        (0..count).map(|n| json!({"value": format!("00000000-0000-7000-8000-{n:012}")})).collect()
    };
    counts
        .iter()
        .map(|count| json!({"op": "add", "path": "members", "value": members(*count)}))
        .collect()
}

on_both!(pat_014_a_patch_has_at_most_10000_values, |server: &Server| {
    let client = server.client();
    let path = format!("/Groups/{}", client.create("/Groups", &json!({"displayName": "g"})));
    refused_by_limit(&client, &path, &additions(&[10_001]), "10000");
    refused_by_limit(&client, &path, &additions(&[5_001, 5_001]), "10000");
    // The most that is allowed is read: its members do not exist.
    let response = client.patch(&path, &additions(&[10_000]));
    response.assert_status(400).assert_at("/scimType", "invalidValue");
});

on_both!(pat_085_pat_086_members_come_and_go_in_parallel_and_none_is_lost, |server: &Server| {
    let (_second, clients) = replicas(server);
    let users = seed::users(&clients[0], &seed::named("u", 160));
    let (leaving, coming) = users.split_at(80);
    let group =
        clients[0].create("/Groups", &json!({"displayName": "g", "members": members(leaving)}));
    let path = format!("/Groups/{group}");
    std::thread::scope(|scope| {
        for (number, (leaving, coming)) in leaving.chunks(10).zip(coming.chunks(10)).enumerate() {
            let (client, path) = (&clients[number % 2], &path);
            scope.spawn(move || {
                // The first of each part stays, all others go.
                for id in &leaving[1..] {
                    let select = format!("members[value eq \"{id}\"]");
                    let response = client.patch(path, &json!([{"op": "remove", "path": select}]));
                    assert_eq!(response.status, 200, "{}", response.text());
                }
            });
            let client = &clients[(number + 1) % 2];
            scope.spawn(move || {
                for id in coming {
                    let add = json!([{"op": "add", "path": "members", "value": [{"value": id}]}]);
                    let response = client.patch(path, &add);
                    assert_eq!(response.status, 200, "{}", response.text());
                }
            });
        }
    });
    let read = clients[1].get(&path).json();
    let staying = leaving.chunks(10).map(|part| part[0].clone());
    let wanted: HashSet<String> = staying.chain(coming.iter().cloned()).collect();
    assert_eq!(ids_in(&read), wanted);
    assert_eq!(read["meta"]["version"], "W/\"153\"", "152 changes, each one version");
});

on_both!(pat_087_a_patch_builds_on_what_was_written_a_moment_ago_elsewhere, |server: &Server| {
    let (_second, clients) = replicas(server);
    let user = clients[0].create(
        "/Users",
        &json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "u"}),
    );
    let path = format!("/Users/{user}");
    for round in 0..40 {
        let (writer, follower) = (&clients[round % 2], &clients[(round + 1) % 2]);
        let value = json!([{"type": format!("t{round}"), "value": "old"}]);
        let add = json!([{"op": "add", "path": "emails", "value": value}]);
        assert_eq!(writer.patch(&path, &add).status, 200);
        // A base state without that value would make this an error: there is no target.
        let at = format!("emails[type eq \"t{round}\"].value");
        let replace = json!([{"op": "replace", "path": at, "value": format!("new{round}")}]);
        let response = follower.patch(&path, &replace);
        assert_eq!(response.status, 200, "{}", response.text());
    }
    std::thread::scope(|scope| {
        for (number, client) in clients.iter().enumerate() {
            let path = &path;
            scope.spawn(move || {
                for round in 0..40 {
                    let value = json!([{"type": format!("p{number}-{round}"), "value": "x"}]);
                    let add = json!([{"op": "add", "path": "emails", "value": value}]);
                    assert_eq!(client.patch(path, &add).status, 200);
                }
            });
        }
    });
    let read = clients[1].get(&path).json();
    let emails = read["emails"].as_array().unwrap();
    assert_eq!(emails.len(), 120, "no write was lost");
    for (round, email) in emails.iter().take(40).enumerate() {
        assert_eq!(email["value"], format!("new{round}"));
    }
    assert_eq!(read["meta"]["version"], "W/\"161\"");
});

/// What a server read and wrote of the members on disk, as the database reports it.
struct Touched<'s>(&'s Server);

impl Touched<'_> {
    /// Bytes that the process moved: SQLite reads and writes files itself.
    fn bytes(&self, which: &str) -> u64 {
        let io = std::fs::read_to_string(format!("/proc/{}/io", self.0.pid())).unwrap();
        let line = io.lines().find_map(|line| line.strip_prefix(which)).unwrap();
        line.trim_start_matches(':').trim().parse().unwrap()
    }

    /// Rows of members that PostgreSQL wrote after a transaction.
    fn rows_since(&self, mark: &str) -> u64 {
        let count = format!("SELECT count(*) FROM group_members WHERE xmin::text::bigint > {mark}");
        psql(&self.0.database.url, &count).parse().unwrap()
    }

    fn mark(&self) -> String {
        psql(&self.0.database.url, "SELECT pg_current_xact_id()")
    }

    /// Brings what was written before into the file, so that it does not happen while bytes are counted.
    fn checkpoint(&self) {
        const CHECKPOINT: &str = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('PRAGMA wal_checkpoint(TRUNCATE)')";
        let file = self.0.database.path().join("headcount.db");
        let done = Command::new("python3").args(["-c", CHECKPOINT]).arg(file).status().unwrap();
        assert!(done.success());
    }

    /// Does something and checks that at most `rows` rows of members were written for it.
    fn writes_at_most(&self, rows: u64, act: impl FnOnce()) {
        if self.0.database.is_postgres() {
            let mark = self.mark();
            act();
            let written = self.rows_since(&mark);
            assert!(written <= rows, "{written} rows were written, {rows} would do");
        } else {
            self.checkpoint();
            let before = self.bytes("wchar");
            act();
            let written = self.bytes("wchar") - before;
            assert!(written < 300_000, "{written} bytes were written for {rows} rows");
        }
    }
}

/// Rows of members that PostgreSQL has read since the statistics of the database began; exact once
/// no client is connected any more.
fn rows_read(database: &Database) -> u64 {
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let alone =
        wait_for(Duration::from_secs(20), || (psql(&database.url, others) == "0").then_some(()));
    alone.expect("the server has left the database");
    let read = "SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname = 'group_members'";
    psql(&database.url, read).parse().unwrap()
}

const LARGE: usize = 8_000;

/// Makes a server with a group of many members; `others` are no members.
fn with_large_group(database: Database) -> (Server, Client, String, Vec<String>) {
    // What the provisioning log writes is not what is measured here.
    let settings = [("HEADCOUNT__PROVISIONING_LOG__KEEP", "false")];
    let server = Server::start_with(Arc::new(database), &[], &settings);
    let client = server.client();
    let users = seed::users(&client, &seed::named("u", LARGE + 2));
    let body = json!({"displayName": "large", "members": members(&users[..LARGE])});
    let group = client.create("/Groups?attributes=displayName", &body);
    (server, client, format!("/Groups/{group}"), users)
}

fn a_replaced_list_is_compared(database: Database) {
    let (server, client, path, users) = with_large_group(database);
    let quiet = format!("{path}?attributes=displayName,meta.version");
    // The record of the creation gets its place in the chain a moment after it.
    let sealed = || {
        let reported = server.run(&["audit", "verify"]);
        (!String::from_utf8_lossy(&reported.stdout).contains("not sealed yet")).then_some(())
    };
    assert!(wait_for(Duration::from_secs(20), sealed).is_some());
    let replaced: Vec<String> = users[1..=LARGE].to_vec();
    let replace = json!([{"op": "replace", "path": "members", "value": members(&replaced)}]);
    let touched = Touched(&server);
    touched.writes_at_most(1, || {
        let response = client.patch(&quiet, &replace);
        assert_eq!(response.status, 200, "{}", response.text());
    });
    let read = client.get(&path).json();
    assert_eq!(ids_in(&read), set(&replaced));
    assert_eq!(read["meta"]["version"], "W/\"2\"", "one change, one version");
    touched.writes_at_most(0, || assert_eq!(client.patch(&quiet, &replace).status, 200));
    assert_eq!(client.get(&quiet).at("/meta/version"), "W/\"2\"");
    let add = json!([{"op": "add", "path": "members", "value": [{"value": users[0]}]}]);
    touched.writes_at_most(1, || assert_eq!(client.patch(&quiet, &add).status, 200));
    assert_eq!(ids_in(&client.get(&path).json()), set(&users[..=LARGE]));
    assert_eq!(client.get(&quiet).at("/meta/version"), "W/\"3\"");
}

#[test]
fn pat_084_pat_086_a_replaced_list_is_written_as_its_difference_on_sqlite() {
    a_replaced_list_is_compared(Database::sqlite());
}

#[test]
fn pat_084_pat_086_a_replaced_list_is_written_as_its_difference_on_postgres() {
    a_replaced_list_is_compared(Database::postgres());
}

on_both!(usr_028_members_of_a_streamed_group_are_named_too, |server: &Server| {
    // More than are read together with the group, and more than one part behind them.
    const STREAMED: usize = 7_100;
    let client = server.tenant("named", "all");
    let users = seed::users(&client, &seed::named("u", STREAMED));
    let body = json!({"displayName": "large", "members": members(&users)});
    let group = client.create("/Groups?attributes=displayName", &body);
    let read = |lists: &str| client.get(&format!("/Groups/{group}?attributes={lists}")).json();
    let named = read("members.value,members.display");
    assert_eq!(ids_in(&named), set(&users));
    let called: HashMap<&str, String> =
        users.iter().enumerate().map(|(n, id)| (id.as_str(), format!("u{n}"))).collect();
    for member in named["members"].as_array().unwrap() {
        let id = member["value"].as_str().unwrap();
        assert_eq!(*member, json!({"value": id, "display": called[id]}));
    }
    let plain = read("members");
    assert!(plain["members"].as_array().unwrap().iter().all(|one| one.get("display").is_none()));
});

/// What must not read the members: the group without them, and one member more.
fn small_requests(client: &Client, path: &str, user: &str) {
    let read = client.get(&format!("{path}?excludedAttributes=members"));
    assert_eq!(read.status, 200, "{}", read.text());
    assert_eq!(read.json().get("members"), None);
    let add = json!([{"op": "add", "path": "members", "value": [{"value": user}]}]);
    let response = client.patch(&format!("{path}?attributes=displayName"), &add);
    assert_eq!(response.status, 200, "{}", response.text());
    let listed = client.get("/Groups?excludedAttributes=members&count=1");
    assert_eq!(listed.json()["Resources"][0]["displayName"], "large");
    assert_eq!(listed.json()["Resources"][0].get("members"), None);
}

#[test]
fn usr_029_prj_012_members_are_left_alone_by_what_does_not_need_them_on_postgres() {
    let (server, client, path, users) = with_large_group(Database::postgres());
    let database = Arc::clone(&server.database);
    drop(server);
    let before = rows_read(&database);
    let (server, client) = restarted(&database, &client);
    small_requests(&client, &path, &users[LARGE]);
    drop(server);
    let small = rows_read(&database) - before;
    assert!(small < 50, "{small} rows of members were read for one");
    let (server, client) = restarted(&database, &client);
    assert_eq!(ids_in(&client.get(&path).json()).len(), LARGE + 1);
    drop(server);
    let all = rows_read(&database) - before - small;
    assert!(all >= 8_000, "the database counts what is read: {all}");
}

#[test]
fn usr_029_prj_012_members_are_left_alone_by_what_does_not_need_them_on_sqlite() {
    let (server, client, path, users) = with_large_group(Database::sqlite());
    let database = Arc::clone(&server.database);
    drop(server);
    let body = json!({"displayName": "small", "members": members(&users[..1])});
    let (server, client) = restarted(&database, &client);
    let other = format!("/Groups/{}", client.create("/Groups", &body));
    drop(server);
    // Nothing is in the memory of a fresh process.
    let read = |act: &dyn Fn(&Client)| {
        let (server, client) = restarted(&database, &client);
        assert_eq!(client.get("/Users?count=0").status, 200);
        // Changes that the process before it left unsealed are read first; passes are a second apart.
        let touched = Touched(&server);
        let at_rest = || {
            let before = touched.bytes("rchar");
            std::thread::sleep(Duration::from_millis(1_500));
            (touched.bytes("rchar") == before).then_some(before)
        };
        let before = wait_for(Duration::from_secs(60), at_rest);
        let before = before.expect("a server without requests comes to rest");
        act(&client);
        touched.bytes("rchar") - before
    };
    let small = read(&|client| small_requests(client, &other, &users[LARGE]));
    let large = read(&|client| small_requests(client, &path, &users[LARGE]));
    let all = read(&|client| {
        assert_eq!(ids_in(&client.get(&path).json()).len(), LARGE + 1);
    });
    println!(
        "bytes read: {small} for a small group, {large} for a large one, {all} for its members"
    );
    assert!(all > small + 200_000, "the members are read where they are asked for: {all}, {small}");
    assert!(large < small + 50_000, "{large} bytes for a large group, {small} for a small one");
}

fn restarted(database: &Arc<Database>, client: &Client) -> (Server, Client) {
    let settings = [("HEADCOUNT__PROVISIONING_LOG__KEEP", "false")];
    let server = Server::start_with(Arc::clone(database), &[], &settings);
    let client = Client { address: server.address, ..client.clone() };
    (server, client)
}
