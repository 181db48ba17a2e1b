//! Readers that die and transactions that commit late: no change is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use headcount_e2e::server::psql;
use headcount_e2e::{Client, Database, Server};
use serde_json::{Value, json};

/// What a reader has seen, by the ids of events.
type Seen = BTreeMap<(i64, i64), Value>;

fn position(event: &Value) -> (i64, i64) {
    let (place, number) = event["id"].as_str().unwrap().split_once('.').unwrap();
    (place.parse().unwrap(), number.parse().unwrap())
}

/// A small generator of numbers: the same in every run.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Reads until the writers are done and nothing is left, dying at random: whatever was in a page that
/// it did not finish is read again by its successor, which knows only the last cursor.
fn mortal_reader(reader: &Client, mut state: u64, done: &AtomicBool) -> Seen {
    let (mut seen, mut cursor) = (Seen::new(), "0".to_owned());
    loop {
        let over = done.load(Ordering::SeqCst);
        let limit = 1 + random(&mut state) % 9;
        let path = format!("/events?after={cursor}&limit={limit}");
        if random(&mut state).is_multiple_of(4) {
            // Killed before the answer came.
            let mut socket = TcpStream::connect(reader.address).unwrap();
            socket.write_all(&reader.request("GET", &path, &[], None)).unwrap();
            continue;
        }
        let page = reader.get(&path);
        assert_eq!(page.status, 200, "{}", page.text());
        let page = page.json();
        let events = page["events"].as_array().unwrap();
        // Killed in the middle of a page: some of it was processed, the cursor was not kept.
        let killed = random(&mut state).is_multiple_of(3);
        let part = if killed { events.len() / 2 } else { events.len() };
        for event in &events[..part] {
            let known = seen.insert(position(event), event.clone());
            assert!(known.is_none_or(|known| known == *event), "{event} changed");
        }
        if killed {
            continue;
        }
        if over && events.is_empty() && page["more"] == json!(false) {
            return seen;
        }
        cursor = page["next"].as_str().unwrap().to_owned();
    }
}

/// Creates, changes and deletes users, and changes one that all writers share; returns what the server
/// has acknowledged: resource and version.
fn writer(client: &Client, number: usize, shared: &str, round: usize) -> Vec<(String, String)> {
    let created = client.post("/Users", &json!({"userName": format!("w{number}-{round}")}));
    assert_eq!(created.status, 201, "{}", created.text());
    let id = created.at("/id");
    let mut acknowledged = vec![(id.clone(), created.at("/meta/version"))];
    let change = json!([{"op": "replace", "path": "title", "value": format!("{number}-{round}")}]);
    let target = if round.is_multiple_of(2) { shared } else { &id };
    let changed = client.patch(&format!("/Users/{target}"), &change);
    assert_eq!(changed.status, 200, "{}", changed.text());
    acknowledged.push((target.to_owned(), changed.at("/meta/version")));
    if round.is_multiple_of(3) {
        assert_eq!(client.delete(&format!("/Users/{id}")).status, 204);
    }
    acknowledged
}

/// Some transactions are held open after they have taken their number, others take one and give up.
const LATE: &str = "
    CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF random() < 0.3 THEN PERFORM pg_sleep(random() * 0.02); END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER late AFTER INSERT ON changes FOR EACH ROW EXECUTE FUNCTION late();";
const GIVEN_UP: &str = "BEGIN; INSERT INTO changes
        (tenant, at, actor_kind, actor, request, act, kind, resource, version, paths, delta, personal_digest)
    VALUES (1, 0, 'system', '', 'r', 'created', 'User', 'ghost', 1, '', '', '');
    SELECT pg_sleep(random() * 0.01); ROLLBACK;\n";

#[test]
fn evt_018_postgres_no_change_is_lost_however_late_it_commits() {
    const ROUNDS: usize = 200;
    let server = Server::start(Database::postgres());
    let (client, reader) = (server.client(), server.admin("events:read"));
    let shared = client.create("/Users", &json!({"userName": "shared"}));
    psql(&server.database.url, LATE);
    let mut ghosts = Command::new("psql")
        .args(["-qAt", "-v", "ON_ERROR_STOP=1", &server.database.url])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut given_up = ghosts.stdin.take().unwrap();
    let (done, acknowledged) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let seen: Vec<Seen> = std::thread::scope(|scope| {
        let readers: Vec<_> = [0x9E37_79B9, 0x85EB_CA6B]
            .into_iter()
            .map(|seed| {
                let (reader, done) = (&reader, &done);
                scope.spawn(move || mortal_reader(reader, seed, done))
            })
            .collect();
        for round in 0..ROUNDS {
            given_up.write_all(GIVEN_UP.as_bytes()).unwrap();
            let writers: Vec<_> = (0..3)
                .map(|number| {
                    let (client, shared) = (&client, shared.as_str());
                    scope.spawn(move || writer(client, number, shared, round))
                })
                .collect();
            for writer in writers {
                acknowledged.lock().unwrap().extend(writer.join().unwrap());
            }
        }
        drop(given_up);
        assert!(ghosts.wait().unwrap().success());
        done.store(true, Ordering::SeqCst);
        readers.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    // Every committed change, and nothing else.
    let rows = psql(
        &server.database.url,
        "SELECT place || ' ' || resource || ' ' || version FROM changes WHERE tenant = 1 ORDER BY place",
    );
    let committed: BTreeSet<&str> = rows.lines().collect();
    assert!(committed.len() > ROUNDS * 6);
    assert!(!rows.contains("ghost"));
    for seen in &seen {
        let reported: BTreeSet<String> = seen
            .iter()
            .map(|((place, _), event)| {
                let (resource, version) = (&event["resource"]["id"], &event["resource"]["version"]);
                format!("{place} {} {}", resource.as_str().unwrap(), version.as_i64().unwrap_or(0))
            })
            .collect();
        let reported: BTreeSet<&str> = reported.iter().map(String::as_str).collect();
        assert_eq!(committed.difference(&reported).collect::<Vec<_>>(), [&""; 0], "not reported");
        assert_eq!(reported.difference(&committed).collect::<Vec<_>>(), [&""; 0], "invented");
        let mut versions: BTreeMap<&str, i64> = BTreeMap::new();
        for event in seen.values() {
            let version = event["resource"]["version"].as_i64().unwrap_or(0);
            let resource = event["resource"]["id"].as_str().unwrap();
            let before = versions.insert(resource, version).unwrap_or(0);
            assert!(before <= version, "{resource} went from {before} to {version}");
        }
        for (resource, version) in acknowledged.lock().unwrap().iter() {
            let number: i64 = version.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
            let is_it = |event: &Value| {
                event["resource"]["id"] == json!(resource)
                    && event["resource"]["version"] == json!(number)
            };
            assert!(seen.values().any(is_it), "{resource} {version}");
        }
    }
    assert!(seen[0] == seen[1], "both readers got the same");
}
