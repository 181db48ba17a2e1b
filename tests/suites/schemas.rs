//! Schemas of a deployment that change while there is data, and ids that never come again.

use std::collections::HashSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use headcount_e2e::server::{Scratch, binary, wait_for};
use headcount_e2e::{Client, Database, Server, seed};
use serde_json::{Value, json};

const BADGE: &str = "urn:example:params:scim:schemas:extension:badge:1.0:User";

/// Writes an extension of users with these attributes.
fn write_schemas(directory: &Path, attributes: &Value) {
    let schema = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        "id": BADGE, "name": "Badge", "attributes": attributes,
    });
    let kind = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
        "id": "User", "name": "User", "endpoint": "/Users",
        "schema": "urn:ietf:params:scim:schemas:core:2.0:User",
        "schemaExtensions": [{"schema": BADGE, "required": false}],
    });
    std::fs::write(directory.join("badge.json"), schema.to_string()).unwrap();
    std::fs::write(directory.join("user.json"), kind.to_string()).unwrap();
}

fn start(database: &Arc<Database>, schemas: &Scratch) -> Server {
    let directory = schemas.path().display().to_string();
    let environment = [("HEADCOUNT__SCHEMAS__DIRECTORY", directory.as_str())];
    Server::start_with(Arc::clone(database), &[], &environment)
}

/// Starts a server that must refuse to, and returns why it does.
fn refusal(database: &Database, schemas: &Scratch) -> String {
    let mut child = Command::new(binary())
        .args(["serve", "--listen", "127.0.0.1:0", "--database", &database.url])
        .env("HEADCOUNT__SCHEMAS__DIRECTORY", schemas.path())
        .current_dir(database.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let ended = wait_for(Duration::from_secs(20), || child.try_wait().unwrap());
    if ended.is_none() {
        child.kill().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(ended.is_some_and(|status| !status.success()), "it served: {text}");
    text
}

fn schemas_change_with_care(database: Database) {
    let (database, schemas) = (Arc::new(database), Scratch::new());
    let number = json!({"name": "number", "type": "string"});
    let level = json!({"name": "level", "type": "string"});
    let before = json!([number, level]);
    write_schemas(schemas.path(), &before);
    let server = start(&database, &schemas);
    let client = server.client();
    let bodies = [
        json!({"userName": "a", BADGE: {"number": "17", "level": "high"}}),
        json!({"userName": "b", BADGE: {"number": "17"}}),
    ];
    let users = seed::users(&client, &bodies);
    drop(server);
    for (what, attributes, words) in [
        ("an attribute with data is gone", json!([number]), ["level", users[0].as_str()]),
        (
            "a type that the data does not have",
            json!([{"name": "number", "type": "string"}, {"name": "level", "type": "integer"}]),
            ["level", users[0].as_str()],
        ),
        (
            "required, and not there",
            json!([number, {"name": "level", "type": "string", "required": true}]),
            ["level", users[1].as_str()],
        ),
        (
            "unique, and there twice",
            json!([{"name": "number", "type": "string", "uniqueness": "server"}, level]),
            ["number", "unique"],
        ),
        (
            "only the server's",
            json!([number, {"name": "level", "type": "string", "mutability": "readOnly"}]),
            ["readOnly", users[0].as_str()],
        ),
    ] {
        write_schemas(schemas.path(), &attributes);
        let refusal = refusal(&database, &schemas);
        assert!(words.iter().all(|word| refusal.contains(word)), "{what}: {refusal}");
    }
    // Nothing was lost by trying, and what does no harm is accepted.
    write_schemas(schemas.path(), &json!([number, level, {"name": "colour", "type": "string"}]));
    let server = start(&database, &schemas);
    let client = Client { address: server.address, ..client };
    let read = client.get(&format!("/Users/{}", users[0])).json();
    assert_eq!(read[BADGE], json!({"number": "17", "level": "high"}));
    assert_eq!(read["meta"]["version"], "W/\"1\"");
    let path = format!("/Users/{}", users[0]);
    let clear = json!([{"op": "remove", "path": format!("{BADGE}:level")}]);
    assert_eq!(client.patch(&path, &clear).status, 200);
    drop(server);
    // Without its data, the attribute may go.
    write_schemas(schemas.path(), &json!([number]));
    let server = start(&database, &schemas);
    let client = Client { address: server.address, ..client };
    assert_eq!(client.get(&path).json()[BADGE], json!({"number": "17"}));
    let served = client.get(&format!("/Schemas/{BADGE}")).json();
    assert_eq!(served["attributes"].as_array().map(Vec::len), Some(1));
}

#[test]
fn ext_018_schemas_change_only_where_the_data_allows_it_on_sqlite() {
    schemas_change_with_care(Database::sqlite());
}

#[test]
fn ext_018_schemas_change_only_where_the_data_allows_it_on_postgres() {
    schemas_change_with_care(Database::postgres());
}

fn ids_come_once(database: Database) {
    let database = Arc::new(database);
    let server = Server::start_with(Arc::clone(&database), &[], &[]);
    let (first, second) = (server.client(), server.tenant("second", "all"));
    let mut known = HashSet::new();
    let mut kept = String::new();
    for round in 0..3 {
        for client in [&first, &second] {
            // The same names again and again: what is deleted gives its name back, never its id.
            let made = seed::users(client, &seed::named("u", 700));
            for id in &made {
                assert!(!id.is_empty() && known.insert(id.clone()), "{id} was given out before");
            }
            if round < 2 {
                seed::delete_users(client, &made);
                for id in made.iter().step_by(100) {
                    assert_eq!(client.get(&format!("/Users/{id}")).status, 404);
                }
            }
            made[699].clone_into(&mut kept);
        }
    }
    assert_eq!(known.len(), 4_200);
    // Behind the time, an id is random: no part of it can be derived from its neighbors.
    let random: HashSet<&str> = known.iter().filter_map(|id| id.get(19..)).collect();
    assert_eq!(random.len(), known.len(), "62 bits that never repeat");
    let path = format!("/Users/{kept}");
    let body = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "id": "other", "userName": "changed"});
    assert_eq!(second.put(&path, &body).at("/id"), kept);
    let rename = json!([{"op": "replace", "path": "userName", "value": "again"}]);
    assert_eq!(second.patch(&path, &rename).at("/id"), kept);
    assert_eq!(first.get(&path).status, 404, "an id of one tenant is none of another");
    drop(server);
    let server = Server::start_with(database, &[], &[]);
    let second = Client { address: server.address, ..second };
    let read = second.get(&path);
    assert_eq!(read.at("/id"), kept);
    read.assert_at("/userName", "again");
    for id in seed::users(&second, &seed::named("later", 500)) {
        assert!(known.insert(id));
    }
}

#[test]
fn res_008_ten_004_an_id_is_given_out_once_on_sqlite() {
    ids_come_once(Database::sqlite());
}

#[test]
fn res_008_ten_004_an_id_is_given_out_once_on_postgres() {
    ids_come_once(Database::postgres());
}

/// A type of the deployment's own with two extensions, one of which every resource has to have.
fn extensions_are_required(database: Database) {
    let (database, schemas) = (Arc::new(database), Scratch::new());
    let urn = |name: &str| format!("urn:example:params:scim:schemas:office:1.0:{name}");
    let schema = |name: &str, attribute: &str| {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
            "id": urn(name), "name": name, "attributes": [{"name": attribute, "type": "string"}],
        })
    };
    let kind = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
        "name": "Room", "endpoint": "/Rooms", "schema": urn("Room"),
        "schemaExtensions": [
            {"schema": urn("Floor"), "required": true}, {"schema": urn("Chairs"), "required": false}
        ],
    });
    for (file, content) in [
        ("room.json", schema("Room", "displayName")),
        ("floor.json", schema("Floor", "level")),
        ("chairs.json", schema("Chairs", "color")),
        ("type.json", kind),
    ] {
        std::fs::write(schemas.path().join(file), content.to_string()).unwrap();
    }
    let server = start(&database, &schemas);
    let client = server.client();
    let (floor, chairs) = (urn("Floor"), urn("Chairs"));
    let room = |extensions: &[(&String, Value)]| {
        let mut body = json!({"schemas": [urn("Room")], "displayName": "Library"});
        for (urn, value) in extensions {
            body[urn.as_str()] = value.clone();
        }
        body
    };
    let (second, red) = (json!({"level": "2"}), json!({"color": "red"}));
    for missing in [room(&[]), room(&[(&chairs, red.clone())]), room(&[(&floor, json!({}))])] {
        let refused = client.post("/Rooms", &missing);
        refused.assert_status(400);
        refused.assert_at("/scimType", "invalidValue");
        assert!(refused.at("/detail").contains(&floor), "{}", refused.text());
    }
    let both = room(&[(&floor, second.clone()), (&chairs, red)]);
    let id = client.create("/Rooms", &both);
    let path = format!("/Rooms/{id}");
    assert_eq!(client.put(&path, &room(&[])).status, 400);
    let remove = json!([{"op": "remove", "path": floor}]);
    assert_eq!(client.patch(&path, &remove).status, 400);
    assert_eq!(client.get(&path).at("/meta/version"), "W/\"1\"");
    let one = client.put(&path, &room(&[(&floor, second)]));
    one.assert_status(200);
    assert_eq!(one.json()["schemas"].as_array().map(Vec::len), Some(2));
}

#[test]
fn ext_005_dev_001_an_extension_can_be_required_on_sqlite() {
    extensions_are_required(Database::sqlite());
}

#[test]
fn ext_005_dev_001_an_extension_can_be_required_on_postgres() {
    extensions_are_required(Database::postgres());
}
