//! A database of an earlier release goes on working under this one, with everything in it.

use std::sync::Arc;

use headcount_e2e::upgrade::{self, Engine};
use headcount_e2e::{Client, Server};
use serde_json::{Value, json};

/// Nothing in a fixture is too old to be kept, however long ago it was made.
const FOREVER: [(&str, &str); 3] = [
    ("HEADCOUNT__PROVISIONING_LOG__KEEP_DAYS", "36500"),
    ("HEADCOUNT__AUDIT__NAMES_DAYS", "36500"),
    ("HEADCOUNT__TOKENS__ALLOW_NEVER_EXPIRES", "true"),
];

/// This release on a database of an earlier one.
struct Upgraded {
    server: Server,
    known: Value,
}

impl Upgraded {
    fn start(release: &str, engine: Engine) -> Self {
        let (database, known) = upgrade::load(release, engine);
        let server = Server::start_with(Arc::new(database), &[], &FOREVER);
        Self { server, known }
    }

    fn client(&self, token: &str) -> Client {
        let secret = self.known["tokens"][token].as_str().unwrap();
        Client::new(self.server.address, secret)
    }

    fn known(&self, pointer: &str) -> &Value {
        self.known.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is not known"))
    }

    /// Runs a command that has to end well, and returns what it printed.
    fn done(&self, arguments: &[&str]) -> String {
        let output = self.server.run(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Runs a test on each fixture of each database.
macro_rules! upgraded {
    ($name:ident, $test:expr) => {
        mod $name {
            use super::*;

            fn each(engine: Engine) {
                let test: fn(&Upgraded) = $test;
                for release in upgrade::releases() {
                    test(&Upgraded::start(&release, engine));
                }
            }

            #[test]
            fn sqlite() {
                each(Engine::Sqlite);
            }

            #[test]
            fn postgres() {
                each(Engine::Postgres);
            }
        }
    };
}

fn total(client: &Client, path: &str) -> Value {
    client.get(path).json()["totalResults"].clone()
}

/// Takes away what names the address of the server.
fn placeless(mut resource: Value) -> Value {
    fn clear(value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.remove("$ref");
                members.remove("location");
                members.values_mut().for_each(clear);
            }
            Value::Array(items) => items.iter_mut().for_each(clear),
            _ => {}
        }
    }
    clear(&mut resource);
    resource
}

upgraded!(people_are_who_they_were, |upgraded: &Upgraded| {
    let client = upgraded.client("provisioning");
    assert_eq!(total(&client, "/Users?count=0"), *upgraded.known("/totals/Users"));
    let other = upgraded.client("other");
    assert_eq!(total(&other, "/Users?count=0"), *upgraded.known("/totals/otherUsers"));
    for person in upgraded.known("/people").as_array().unwrap() {
        let id = person["id"].as_str().unwrap();
        let now = client.get(&format!("/Users/{id}")).json();
        assert_eq!(placeless(now), placeless(person.clone()));
    }
});

upgraded!(people_are_found_by_what_they_were_found_by, |upgraded: &Upgraded| {
    let client = upgraded.client("provisioning");
    for person in upgraded.known("/people").as_array().unwrap() {
        let values = [
            ("userName", &person["userName"]),
            ("externalId", &person["externalId"]),
            ("emails.value", &person["emails"][0]["value"]),
        ];
        for (attribute, value) in values {
            let value = value.as_str().unwrap();
            let found =
                client.get(&format!("/Users?filter={attribute}%20eq%20%22{value}%22")).json();
            assert_eq!(found["Resources"][0]["id"], person["id"], "{attribute} eq {value}");
        }
    }
});

upgraded!(groups_have_the_members_they_had, |upgraded: &Upgraded| {
    let client = upgraded.client("provisioning");
    assert_eq!(total(&client, "/Groups?count=0"), *upgraded.known("/totals/Groups"));
    let other = upgraded.client("other");
    assert_eq!(total(&other, "/Groups?count=0"), *upgraded.known("/totals/otherGroups"));
    for group in upgraded.known("/groups").as_array().unwrap() {
        let id = group["id"].as_str().unwrap();
        let path = format!("/Users?filter=groups.value%20eq%20%22{id}%22&count=0");
        assert_eq!(total(&client, &path), group["members"], "{}", group["displayName"]);
        let now = client.get(&format!("/Groups/{id}?excludedAttributes=members")).json();
        assert_eq!(now["displayName"], group["displayName"]);
    }
});

upgraded!(tokens_open_what_they_opened, |upgraded: &Upgraded| {
    assert_eq!(upgraded.client("provisioning").get("/Users?count=0").status, 200);
    assert_eq!(upgraded.client("revoked").get("/Users?count=0").status, 401);
    let admin = Client { base: "/api/v1".to_owned(), ..upgraded.client("admin") };
    let listed = admin.get("/tokens");
    assert_eq!(listed.status, 200, "{}", listed.text());
    let list: Value =
        serde_json::from_str(&upgraded.done(&["token", "list", "--output", "json"])).unwrap();
    let count = list["tokens"].as_array().unwrap().len();
    assert_eq!(json!(count), *upgraded.known("/totals/tokens"));
});

upgraded!(the_log_of_before_is_read, |upgraded: &Upgraded| {
    let tail = upgraded.done(&["log", "tail", "--output", "json", "-n", "5000"]);
    assert_eq!(json!(tail.lines().count()), *upgraded.known("/totals/requests"));
    let person = upgraded.known("/people/0/userName").as_str().unwrap();
    let story: Value =
        serde_json::from_str(&upgraded.done(&["log", "explain", person, "--output", "json"]))
            .unwrap();
    assert!(story["entries"].as_array().unwrap().len() >= 3, "{story:#}");
});

upgraded!(the_record_of_changes_holds_and_goes_on, |upgraded: &Upgraded| {
    let checkpoint = upgraded.server.database.path().join("checkpoint.json");
    std::fs::write(&checkpoint, upgraded.known("/audit/checkpoint").as_str().unwrap()).unwrap();
    let verify = ["audit", "verify", "--output", "json"];
    let kept = ["--checkpoint", checkpoint.to_str().unwrap()];
    let verdict: Value =
        serde_json::from_str(&upgraded.done(&[&verify[..], &kept].concat())).unwrap();
    assert_eq!(verdict["holds"], true, "{verdict:#}");
    assert!(verdict["sealed"].as_u64() >= upgraded.known("/audit/sealed").as_u64());
    let exported = upgraded.done(&["audit", "export"]);
    let at = upgraded.known("/audit/last/place").as_u64().unwrap();
    let line = exported.lines().find_map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        (line["place"].as_u64() == Some(at)).then_some(line)
    });
    assert_eq!(line.unwrap()["hash"], *upgraded.known("/audit/last/hash"));
});

upgraded!(accounts_of_the_console_log_in, |upgraded: &Upgraded| {
    let client = Client { address: upgraded.server.address, token: None, base: String::new() };
    let (name, password) = (upgraded.known("/account/name"), upgraded.known("/account/password"));
    let password = password.as_str().unwrap().replace(' ', "+");
    let form = format!("name={}&password={password}", name.as_str().unwrap());
    let headers =
        [("Content-Type", "application/x-www-form-urlencoded"), ("Sec-Fetch-Site", "same-origin")];
    let answer = client.raw("POST", "/console/login", &headers, Some(form.as_bytes()));
    assert_eq!(answer.status, 303, "{}", answer.text());
    let listed = upgraded.done(&["admin", "list"]);
    for other in upgraded.known("/account/others").as_array().unwrap() {
        assert!(listed.contains(other.as_str().unwrap()), "{listed}");
    }
});

upgraded!(writes_go_on, |upgraded: &Upgraded| {
    let client = upgraded.client("provisioning");
    let made = client.create("/Users", &json!({"userName": "new@example.com"}));
    // A name of before is taken, whatever its case.
    let taken = upgraded.known("/people/1/userName").as_str().unwrap().to_uppercase();
    assert_eq!(client.post("/Users", &json!({"userName": taken})).status, 409);
    let id = upgraded.known("/people/1/id").as_str().unwrap();
    let path = format!("/Users/{id}");
    let version = client.get(&path).at("/meta/version");
    let title = json!([{"op": "replace", "path": "title", "value": "Pilot"}]);
    let patched = client.patch(&path, &title);
    patched.assert_status(200);
    patched.assert_at("/title", "Pilot");
    assert_ne!(patched.at("/meta/version"), version);
    let group = upgraded.known("/groups/0/id").as_str().unwrap();
    let add = json!([{"op": "add", "path": "members", "value": [{"value": made}]}]);
    assert!(client.patch(&format!("/Groups/{group}"), &add).status < 300);
    assert_eq!(client.get(&format!("/Users/{made}")).at("/groups/0/value"), group);
    assert_eq!(client.delete(&path).status, 204);
    let people = upgraded.known("/totals/Users");
    assert_eq!(total(&client, "/Users?count=0"), *people, "one came and one went");
    let verdict = upgraded.done(&["audit", "verify", "--output", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&verdict).unwrap()["holds"], true);
});

/// What stands in a filter for a name, whatever is in it.
fn named(attribute: &str, name: &str) -> String {
    let escaped: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("?filter={attribute}%20eq%20%22{escaped}%22")
}

/// Three that have one name now, oldest first.
fn three(client: &Client, path: &str, attribute: &str, name: &str) -> Vec<String> {
    let found = client.get(&format!("{path}{}", named(attribute, name))).json();
    let found = found["Resources"].as_array().unwrap();
    assert_eq!(found.len(), 3, "{found:#?}");
    found.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

upgraded!(a9_names_that_look_alike_are_one_and_the_older_keeps_it, |upgraded: &Upgraded| {
    let client = upgraded.client("provisioning");
    for (path, attribute, name) in [
        ("/Users", "userName", "TWIN@example.com\u{200b} "),
        ("/Groups", "displayName", "\u{feff}sales"),
    ] {
        let ids = three(&client, path, attribute, name);
        let note = |id: &str, value: &str| {
            let note = json!([{"op": "replace", "path": "externalId", "value": value}]);
            client.patch(&format!("{path}/{id}"), &note)
        };
        assert!(note(&ids[0], "x1").status < 300, "the older one is as it was");
        let refused = note(&ids[1], "x2");
        refused.assert_status(409);
        refused.assert_at("/scimType", "uniqueness");
        let rename =
            json!([{"op": "replace", "path": attribute, "value": format!("free {attribute}")}]);
        assert!(client.patch(&format!("{path}/{}", ids[1]), &rename).status < 300);
        assert!(note(&ids[1], "x3").status < 300, "renamed, it is like any other");
        // The name was the older one's all the time.
        assert_eq!(client.post(path, &json!({attribute: name})).status, 409);
        // The last one can be deleted, which frees nothing.
        assert_eq!(client.delete(&format!("{path}/{}", ids[2])).status, 204);
        assert_eq!(client.post(path, &json!({attribute: name})).status, 409);
    }
});

upgraded!(a9_once_the_older_one_has_gone_the_next_has_the_name, |upgraded: &Upgraded| {
    let client = upgraded.client("provisioning");
    let ids = three(&client, "/Users", "userName", "twin@example.com");
    assert_eq!(client.delete(&format!("/Users/{}", ids[0])).status, 204);
    let title = json!([{"op": "replace", "path": "title", "value": "Pilot"}]);
    assert_eq!(client.patch(&format!("/Users/{}", ids[1]), &title).status, 200);
    assert_eq!(client.patch(&format!("/Users/{}", ids[2]), &title).status, 409);
});

upgraded!(a9_duplicates_are_warned_of_and_listed, |upgraded: &Upgraded| {
    let log = upgraded.server.log();
    let warned = log.lines().filter(|line| line.contains("headcount duplicates")).count();
    assert_eq!(warned, 4, "{log}");
    let list = || -> Vec<Value> {
        let text = upgraded.done(&["duplicates", "--output", "json"]);
        let list: Value = serde_json::from_str(&text).unwrap();
        list["duplicates"].as_array().unwrap().clone()
    };
    let client = upgraded.client("provisioning");
    let users = three(&client, "/Users", "userName", "twin@example.com");
    let listed = list();
    assert_eq!(listed.len(), 4, "{listed:#?}");
    let one = listed.iter().find(|one| one["id"] == *users[1]).unwrap();
    assert_eq!(one["tenant"], json!("default"));
    assert_eq!(one["kind"], json!("User"));
    assert_eq!(one["attribute"], json!("userName"));
    assert_eq!(one["older"], json!(users[0]));
    assert_eq!(client.delete(&format!("/Users/{}", users[1])).status, 204);
    assert_eq!(list().len(), 3);
    // Made again by hand, they are what they were.
    upgraded.server.terminate();
    upgraded.server.stopped(std::time::Duration::from_secs(20));
    upgraded.done(&["reindex"]);
    assert_eq!(list().len(), 3);
});
