//! Whoever is erased is nowhere any more: not in a table, not in the bytes of a file (GDP-02).

use std::sync::Arc;
use std::time::Duration;

use headcount_e2e::server::{psql, wait_for};
use headcount_e2e::{Client, Database, Server};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);
/// What is in every value of the person, in any case.
const MARK: &str = "kanarie7";

/// Does everything to a person that leaves traces, and returns the id.
fn live(server: &Server, client: &Client) -> String {
    let user = json!({
        "userName": "Kanarie7@example.com", "externalId": "ext-kanarie7", "displayName": "Jane kanarie7",
        "nickName": "kanarie7nick", "profileUrl": "https://example.com/kanarie7",
        "name": {"familyName": "Kanarie7 Family", "givenName": "kanarie7given", "formatted": "Jane kanarie7 Family"},
        "emails": [{"type": "work", "value": "work@kanarie7.example.com"}],
        "phoneNumbers": [{"type": "work", "value": "+49 30 kanarie7"}],
        "addresses": [{"type": "home", "streetAddress": "7 kanarie7 street", "locality": "Berlin"}],
    });
    let id = client.create("/Users", &user);
    assert_eq!(client.post("/Users", &user).status, 409);
    let path = format!("/Users/{id}");
    let email = json!([{"op": "replace", "path": "emails[type eq \"work\"].value", "value": "new@kanarie7.example.com"}]);
    assert_eq!(client.patch(&path, &email).status, 200);
    let group = json!({"displayName": "staff", "members": [{"value": id}]});
    client.create("/Groups", &group);
    for filter in [
        "userName eq \"kanarie7@example.com\"",
        "emails.value eq \"WORK@kanarie7.example.com\"",
        "emails eq \"work@kanarie7.example.com\"",
        "emails.value eq \"new@kanarie7.example.com\"",
        "name.familyName co \"Kanarie7 Fam\"",
        "name.givenName eq \"kanarie7given\"",
        "phoneNumbers.value eq \"+49 30 kanarie7\"",
        "addresses.streetAddress sw \"7 kanarie7\"",
        "nickName eq \"kanarie7nick\" and displayName pr",
        "profileUrl eq \"https://example.com/kanarie7\"",
    ] {
        let encoded: String = filter.bytes().map(|byte| format!("%{byte:02X}")).collect();
        assert_eq!(client.get(&format!("/Users?filter={encoded}")).status, 200, "{filter}");
    }
    let urn = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
    let bulk = json!({"schemas": [urn], "Operations": [{"method": "PATCH", "path": path, "data": {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "add", "path": "title", "value": "seen with kanarie7nick"}]}}]});
    assert_eq!(client.post("/Bulk", &bulk).status, 200);
    check_export(server, &id);
    assert_eq!(client.delete(&path).status, 204);
    id
}

/// Checks that the person is shown everything, and nobody else's (GDP-01).
fn check_export(server: &Server, id: &str) {
    let output = server.run(&["audit", "person", "kanarie7@EXAMPLE.com"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let shown: Value = serde_json::from_str(&text).unwrap();
    let people = shown["people"].as_array().unwrap();
    assert_eq!(people.len(), 1, "{shown:#}");
    let person = &people[0];
    assert_eq!(person["id"], id);
    assert_eq!(person["resource"]["emails"][0]["value"], "new@kanarie7.example.com");
    assert_eq!(person["resource"]["id"], id);
    assert_eq!(person["groups"].as_array().unwrap().len(), 1);
    let acts: Vec<_> = person["changes"].as_array().unwrap().iter().collect();
    // Created, patched, a member of a group, patched in bulk.
    assert_eq!(acts.len(), 4, "{acts:#?}");
    assert_eq!(acts[2]["membersAdded"], json!([id]));
    // What was sent, what was refused, what was searched for.
    let requests = person["requests"].as_array().unwrap();
    assert!(requests.len() >= 15, "{requests:#?}");
    assert!(requests.iter().any(|request| request["status"] == 409));
    assert!(text.contains("work@kanarie7.example.com"), "values of before are in the log");
    assert!(!text.contains("john@"), "{text}");
    let unknown = server.run(&["audit", "person", "nobody"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("nothing is held about"));
}

/// Lets a person live and be erased next to another one, and stops the server.
fn erased(database: Database) -> Arc<Database> {
    let database = Arc::new(database);
    let server = Server::start_with(Arc::clone(&database), &[], &[]);
    let client = server.client();
    let john = json!({"userName": "john@example.com", "name": {"familyName": "Family"},
        "emails": [{"type": "work", "value": "john@work.example.com"}]});
    client.create("/Users", &john);
    client.get("/Users?filter=emails%5Btype%20eq%20%22work%22%5D%20pr");
    let id = live(&server, &client);
    let output = server.run(&["audit", "erase", "KANARIE7@example.com"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let log = server.run(&["log", "tail", "--output", "json", "-n", "1000"]);
    let log = String::from_utf8(log.stdout).unwrap();
    assert!(!log.to_lowercase().contains(MARK), "{log}");
    assert!(!log.contains(&id), "{log}");
    assert_eq!(server.run(&["audit", "person", &id]).status.code(), Some(1));
    // Nobody else is forgotten.
    assert!(log.contains("john@example.com"), "{log}");
    assert!(log.contains("emails[type eq"), "{log}");
    let verdict = || {
        let output = server.run(&["audit", "verify", "--output", "json"]);
        let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
        (verdict["unsealed"] == 0).then_some(verdict)
    };
    let verdict = wait_for(PATIENCE, verdict).expect("everything is sealed");
    assert_eq!(verdict["holds"], true, "{verdict:#}");
    server.terminate();
    assert_eq!(server.stopped(PATIENCE), Some(true), "{}", server.log());
    database
}

#[test]
fn s10_gdp_02_no_byte_of_an_erased_person_is_left_on_sqlite() {
    let database = erased(Database::sqlite());
    let mut searched = 0;
    for entry in std::fs::read_dir(database.path()).unwrap() {
        let path = entry.unwrap().path();
        if !path.to_string_lossy().contains(".db") {
            continue;
        }
        searched += 1;
        let bytes = std::fs::read(&path).unwrap().to_ascii_lowercase();
        let at = bytes.windows(MARK.len()).position(|window| window == MARK.as_bytes());
        let around = at.map(|at| String::from_utf8_lossy(&bytes[at.saturating_sub(80)..at + 80]));
        assert_eq!(around, None, "{}", path.display());
    }
    assert!(searched >= 2, "the data and the log are files");
}

#[test]
fn s10_gdp_02_no_row_of_an_erased_person_is_left_on_postgres() {
    let database = erased(Database::postgres());
    let tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'";
    let tables = psql(&database.url, tables);
    assert!(tables.lines().count() > 10, "{tables}");
    for table in tables.lines() {
        let found = format!("SELECT row::text FROM {table} row WHERE row::text ILIKE '%{MARK}%'");
        assert_eq!(psql(&database.url, &found), "", "{table}");
    }
}

#[test]
fn s10_what_a_failure_interrupts_the_same_command_completes_on_postgres() {
    let database = Arc::new(Database::postgres());
    let server = Server::start_with(Arc::clone(&database), &[], &[]);
    live(&server, &server.client());
    let found = |table: &str| {
        let count = format!("SELECT count(*) FROM {table} row WHERE row::text ILIKE '%{MARK}%'");
        psql(&database.url, &count)
    };
    psql(
        &database.url,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE EXCEPTION 'refused'; END $$",
    );
    // Whichever of the two steps fails, names are left by which the command finds everything again.
    for (table, event) in [("requests", "DELETE"), ("changes", "UPDATE OF personal")] {
        let refused =
            format!("BEFORE {event} ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse()");
        psql(&database.url, &format!("CREATE TRIGGER refused {refused}"));
        let output = server.run(&["audit", "erase", "kanarie7@example.com"]);
        assert_eq!(output.status.code(), Some(1), "{table}");
        assert_ne!(found("changes"), "0", "{table}");
        psql(&database.url, &format!("DROP TRIGGER refused ON {table}"));
    }
    assert!(server.run(&["audit", "erase", "kanarie7@example.com"]).status.success());
    assert_eq!((found("changes").as_str(), found("requests").as_str()), ("0", "0"));
}
