//! Makes a fixture for the upgrade tests: fills a deployment through the front door of a given binary,
//! stops it, and packs its database.
//!
//! `cargo xtask fixture BINARY NAME` starts the PostgreSQL that this needs and names the binary in
//! `HEADCOUNT_BIN`. Names, bodies and their order are always the same; ids, hashes, keys and times are not.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use headcount_e2e::server::wait_for;
use headcount_e2e::upgrade::{self, Engine, SQLITE_FILES};
use headcount_e2e::{Client, Server, seed};
use serde_json::{Value, json};

/// People who are made first; some are deleted again.
const PEOPLE: usize = 2_025;
const DELETED: usize = 25;
const TEAMS: usize = 40;
const TEAM: usize = 50;
const PATCHED: usize = 150;
const PATIENCE: Duration = Duration::from_secs(60);
/// The password of both accounts of the console.
const PASSWORD: &str = "velvet otter quarry";
/// A browser says this of a form that the console itself has sent.
const OURS: (&str, &str) = ("Sec-Fetch-Site", "same-origin");

fn main() {
    let name = std::env::args().nth(1).expect("usage: upgrade_fixture NAME");
    let to = upgrade::directory().join(name);
    std::fs::create_dir_all(&to).unwrap();
    for engine in [Engine::Sqlite, Engine::Postgres] {
        make(engine, &to);
    }
}

fn make(engine: Engine, to: &Path) {
    let forever = [("HEADCOUNT__TOKENS__ALLOW_NEVER_EXPIRES", "true")];
    let server = Server::start_with(Arc::new(engine.database()), &[], &forever);
    let known = fill(&server);
    server.terminate();
    assert_eq!(server.stopped(PATIENCE), Some(true), "{}", server.log());
    match engine {
        Engine::Sqlite => {
            for file in SQLITE_FILES {
                let path = server.database.path().join(file);
                assert!(!path.with_extension("db-wal").exists(), "the server left a WAL behind");
                upgrade::pack(&path, &to.join(format!("{file}.xz")));
            }
        }
        Engine::Postgres => {
            let dump = server.database.path().join("postgres.sql");
            std::fs::write(&dump, dumped(&server.database.url)).unwrap();
            upgrade::pack(&dump, &to.join("postgres.sql.xz"));
        }
    }
    let text = serde_json::to_string_pretty(&known).unwrap();
    std::fs::write(to.join(format!("{}.json", engine.word())), text + "\n").unwrap();
    println!("{}: done", engine.word());
}

/// A plain dump that any psql can read.
fn dumped(url: &str) -> String {
    let dump =
        Command::new("pg_dump").args(["--no-owner", "--no-privileges", url]).output().unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let text = String::from_utf8(dump.stdout).unwrap();
    // Newer releases of pg_dump begin and end with commands that older ones of psql do not know.
    let known = |line: &&str| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict");
    text.split_inclusive('\n').filter(known).collect()
}

/// Fills a deployment, and returns what the tests have to know of it.
fn fill(server: &Server) -> Value {
    let token = |more: &[&str]| server.token(&[&["--expires", "never"], more].concat());
    let provisioning = token(&[]);
    let client = Client::new(server.address, &provisioning);
    let people = fill_default(&client);
    fill_log(&client, &people);
    let other = fill_other(server);
    let before: Vec<Value> = listed(server).iter().map(|token| token["id"].clone()).collect();
    let revoked = token(&[]);
    // Its id is the only one that was not there before.
    let new = listed(server).into_iter().find(|token| !before.contains(&token["id"])).unwrap();
    assert!(server.run(&["token", "revoke", new["id"].as_str().unwrap()]).status.success());
    assert_eq!(client.with_token(Some(&revoked)).get("/Users?count=0").status, 401);
    let admin = token(&["--scope", "administration"]);
    make_accounts(server);
    let gone = &people[people.len() - 1];
    assert!(server.run(&["audit", "erase", gone]).status.success());
    let verdict = sealed(server);
    let file = server.database.path().join("checkpoint.json");
    let kept = server.run(&["audit", "checkpoint", "--out", file.to_str().unwrap()]);
    assert!(kept.status.success(), "{}", String::from_utf8_lossy(&kept.stderr));
    let shown: Vec<Value> =
        people.iter().take(5).map(|id| client.get(&format!("/Users/{id}")).json()).collect();
    let listed_groups = client.get("/Groups?count=100&excludedAttributes=members").json();
    let known = |group: &Value| {
        let id = group["id"].as_str().unwrap();
        json!({"id": id, "displayName": group["displayName"], "members": members(&client, id)})
    };
    let groups: Vec<Value> =
        listed_groups["Resources"].as_array().unwrap().iter().map(known).collect();
    json!({
        "tokens": {
            "provisioning": provisioning, "other": other, "revoked": revoked, "admin": admin,
        },
        "account": {"name": "owner", "password": PASSWORD, "others": ["watcher"]},
        "totals": {
            "Users": total(&client, "/Users"),
            "Groups": total(&client, "/Groups"),
            "otherUsers": total(&client.with_token(Some(&other)), "/Users"),
            "otherGroups": total(&client.with_token(Some(&other)), "/Groups"),
            "requests": requests(server),
            "tokens": listed(server).len(),
        },
        "audit": {
            "sealed": verdict["sealed"], "last": verdict["last"],
            "checkpoint": std::fs::read_to_string(&file).unwrap(),
        },
        "people": shown,
        "groups": groups,
    })
}

/// How many members a group has, whatever number one answer shows.
fn members(client: &Client, id: &str) -> u64 {
    let filter = format!("/Users?filter=groups.value%20eq%20%22{id}%22&count=0");
    client.get(&filter).json()["totalResults"].as_u64().unwrap()
}

fn total(client: &Client, path: &str) -> u64 {
    client.get(&format!("{path}?count=0")).json()["totalResults"].as_u64().unwrap()
}

fn person(n: usize) -> Value {
    let (given, family) = match n % 5 {
        0 => ("Jörg", "Groß"),
        1 => ("Zoë", "O'Brien"),
        2 => ("李", "小龍"),
        3 => ("Ann", "Smith"),
        _ => ("İpek", "Yılmaz"),
    };
    let title = ["Engineer", "Buyer", "Nurse"][n % 3];
    json!({
        "schemas": [
            "urn:ietf:params:scim:schemas:core:2.0:User",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
        ],
        "userName": format!("Person{n}@example.com"),
        "externalId": format!("hr-{n:05}"),
        "name": {"givenName": given, "familyName": format!("{family} {n}")},
        "displayName": format!("{given} {family} {n}"),
        "title": title,
        "active": !n.is_multiple_of(17),
        "emails": [
            {"value": format!("person{n}@example.com"), "type": "work", "primary": true},
            {"value": format!("p{n}@home.example.net"), "type": "home"},
        ],
        "phoneNumbers": [{"value": format!("tel:+1-555-01{:02}", n % 100), "type": "work"}],
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
            "employeeNumber": n.to_string(), "department": format!("Department {}", n % 12),
        },
    })
}

/// Users, groups, and what happens to them in a year.
fn fill_default(client: &Client) -> Vec<String> {
    let bodies: Vec<Value> = (0..PEOPLE).map(person).collect();
    let people = seed::users(client, &bodies);
    let team = |n: usize| people.iter().cycle().skip(n * TEAM).take(TEAM);
    let group = |name: &str, members: Vec<&String>| {
        let members: Vec<Value> = members.iter().map(|id| json!({"value": id})).collect();
        client.create(
            "/Groups",
            &json!({"displayName": name, "externalId": name, "members": members}),
        )
    };
    let teams: Vec<String> =
        (0..TEAMS).map(|n| group(&format!("Team {n}"), team(n).collect())).collect();
    group("Everybody", people.iter().collect());
    group("Teams", teams.iter().collect());
    group("Nobody", Vec::new());
    for name in ["twin@example.com", "twin\u{200b}@example.com", "\u{202e}Twin@example.com"] {
        client.create("/Users", &json!({"userName": name}));
    }
    make_twins(client, &people[..5]);
    for (n, id) in people.iter().enumerate().take(PATCHED) {
        let operation = match n % 3 {
            0 => json!([{"op": "Replace", "path": "active", "value": "False"}]),
            1 => {
                json!([{"op": "replace", "path": "emails[type eq \"work\"].value", "value": format!("new{n}@example.com")}])
            }
            _ => json!([{"op": "add", "value": {"nickName": format!("nick {n}")}}]),
        };
        assert_eq!(client.patch(&format!("/Users/{id}"), &operation).status, 200);
    }
    for (n, id) in people.iter().enumerate().skip(PATCHED).take(20) {
        let mut body = person(n);
        body["title"] = json!("Head of Engineering");
        assert_eq!(client.put(&format!("/Users/{id}"), &body).status, 200);
    }
    for (n, group) in teams.iter().enumerate() {
        let member = team(n).next().unwrap();
        let remove = json!([{"op": "remove", "path": format!("members[value eq \"{member}\"]")}]);
        assert!(client.patch(&format!("/Groups/{group}"), &remove).status < 300);
    }
    seed::delete_users(client, &people[PEOPLE - DELETED..]);
    people
}

/// Groups whose names differ by what no one sees.
fn make_twins(client: &Client, members: &[String]) {
    let members: Vec<Value> = members.iter().map(|id| json!({"value": id})).collect();
    let group = "urn:ietf:params:scim:schemas:core:2.0:Group";
    for name in ["Sales", "Sales ", "Sa\u{ad}les"] {
        let body = json!({"schemas": [group], "displayName": name, "members": members});
        client.create("/Groups", &body);
    }
}

/// Requests that only the provisioning log knows of: questions, refusals, repairs.
fn fill_log(client: &Client, people: &[String]) {
    for (n, id) in people.iter().enumerate().take(60) {
        assert_eq!(client.get(&format!("/Users/{id}")).status, 200);
        let known = format!("/Users?filter=userName%20eq%20%22person{n}@example.com%22");
        assert_eq!(client.get(&known).json()["totalResults"], 1);
    }
    for n in 0..10 {
        assert_eq!(client.post("/Users", &person(n)).status, 409);
        assert_eq!(client.get("/Users?filter=userName%20eq").status, 400);
        assert_eq!(client.get(&format!("/Users/none{n}")).status, 404);
        assert_eq!(client.with_token(Some("wrong")).get("/Users").status, 401);
    }
}

/// A second tenant that is read to the letter.
fn fill_other(server: &Server) -> String {
    assert!(server.run(&["tenant", "create", "other", "--quirks", "none"]).status.success());
    let token = server.token(&["--tenant", "other", "--expires", "never"]);
    let client = Client::new(server.address, &token);
    let bodies: Vec<Value> = (0..60).map(person).collect();
    let people = seed::users(&client, &bodies);
    make_twins(&client, &people[..5]);
    token
}

/// An owner, and someone who may only look.
fn make_accounts(server: &Server) {
    let link = |arguments: &[&str]| {
        let output = server.run(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let secret = text.split("/console/setup/").nth(1).expect("a link is printed");
        format!("/console/setup/{}", secret.split_whitespace().next().unwrap())
    };
    let password = PASSWORD.replace(' ', "+");
    let take = |path: &str, more: &str| {
        let client = Client { address: server.address, token: None, base: String::new() };
        let form = format!("{more}new={password}&again={password}");
        let typed = ("Content-Type", "application/x-www-form-urlencoded");
        let made = client.raw("POST", path, &[OURS, typed], Some(form.as_bytes()));
        assert_eq!(made.status, 303, "{}", made.text());
    };
    take(&link(&["admin", "setup-link"]), "name=owner&");
    take(&link(&["admin", "invite", "watcher", "--role", "auditor"]), "");
}

fn listed(server: &Server) -> Vec<Value> {
    let output = server.run(&["token", "list", "--output", "json"]);
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    list["tokens"].as_array().unwrap().clone()
}

/// The verdict over the record of changes, once all of it is sealed.
fn sealed(server: &Server) -> Value {
    let verdict = wait_for(PATIENCE, || {
        let output = server.run(&["audit", "verify", "--output", "json"]);
        let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
        Some(verdict).filter(|verdict| verdict["unsealed"] == 0)
    });
    let verdict = verdict.expect("the server seals what was changed");
    assert_eq!(verdict["holds"], true);
    verdict
}

/// How many requests the log holds, once no more come.
fn requests(server: &Server) -> usize {
    let mut before = 0;
    wait_for(PATIENCE, || {
        let tail = server.run(&["log", "tail", "--output", "json", "-n", "5000"]);
        let now = String::from_utf8(tail.stdout).unwrap().lines().count();
        std::thread::sleep(Duration::from_millis(500));
        let same = now == before && now > 0;
        before = now;
        same.then_some(now)
    })
    .expect("the log comes to rest")
}
