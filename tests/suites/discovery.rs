//! What discovery says is so: every schema whole, every attribute stored, every URN known.

use std::collections::BTreeSet;
use std::sync::Arc;

use headcount_e2e::{Client, Database, Server, on_both};
use serde_json::{Map, Value, json};

/// Returns the elements of a list of the server.
fn resources(client: &Client, path: &str) -> Vec<Value> {
    let response = client.get(path);
    assert_eq!(response.status, 200, "{path}: {}", response.text());
    response.json()["Resources"].as_array().unwrap().clone()
}

fn is_one_of(attribute: &Value, name: &str, allowed: &[&str]) {
    let value = attribute[name].as_str();
    assert!(value.is_some_and(|value| allowed.contains(&value)), "{name} of {attribute}");
}

/// Checks that a definition has every characteristic (RFC 7643 §7).
fn whole(attribute: &Value) {
    const TYPES: [&str; 8] =
        ["string", "boolean", "decimal", "integer", "dateTime", "reference", "binary", "complex"];
    is_one_of(attribute, "type", &TYPES);
    is_one_of(attribute, "mutability", &["readOnly", "readWrite", "immutable", "writeOnly"]);
    is_one_of(attribute, "returned", &["always", "never", "default", "request"]);
    assert!(attribute["name"].as_str().is_some_and(|name| !name.is_empty()), "{attribute}");
    for name in ["multiValued", "required"] {
        assert!(attribute[name].is_boolean(), "{name} of {attribute}");
    }
    assert!(attribute["description"].as_str().is_some_and(|text| text.len() > 3), "{attribute}");
    match attribute["type"].as_str() {
        Some("complex") => {
            let subs = attribute["subAttributes"].as_array().unwrap();
            assert!(!subs.is_empty(), "{attribute}");
            for sub in subs {
                assert_ne!(sub["type"], "complex", "{attribute}");
                whole(sub);
            }
            // Erratum 6004: uniqueness is said of what holds a value.
            assert!(matches!(attribute["uniqueness"].as_str(), None | Some("none")), "{attribute}");
        }
        kind => {
            assert!(attribute.get("subAttributes").is_none(), "{attribute}");
            is_one_of(attribute, "uniqueness", &["none", "server", "global"]);
            if matches!(kind, Some("string" | "reference" | "binary")) {
                assert!(attribute["caseExact"].is_boolean(), "{attribute}");
            }
            if kind == Some("reference") {
                let types = attribute["referenceTypes"].as_array();
                assert!(types.is_some_and(|types| !types.is_empty()), "{attribute}");
            }
        }
    }
}

/// Returns an attribute of a schema by its path.
fn find<'s>(schema: &'s Value, path: &str) -> &'s Value {
    let mut steps = path.split('.');
    let by_name = |list: &'s Value, name: &str| {
        let mut list = list.as_array().unwrap().iter();
        list.find(|attribute| attribute["name"] == name).unwrap_or_else(|| panic!("{path}"))
    };
    let top = by_name(&schema["attributes"], steps.next().unwrap());
    steps.fold(top, |attribute, name| by_name(&attribute["subAttributes"], name))
}

on_both!(dsc_012_every_definition_is_whole_and_as_the_rfc_has_it, |server: &Server| {
    let client = server.client();
    let schemas = resources(&client, "/Schemas");
    for schema in &schemas {
        assert!(schema["id"].as_str().is_some_and(|urn| urn.starts_with("urn:")), "{schema}");
        assert!(schema["name"].as_str().is_some_and(|name| !name.is_empty()), "{schema}");
        assert_eq!(schema["meta"]["resourceType"], "Schema");
        for attribute in schema["attributes"].as_array().unwrap() {
            whole(attribute);
        }
    }
    let schema = |end: &str| {
        schemas.iter().find(|schema| schema["id"].as_str().unwrap().ends_with(end)).unwrap()
    };
    let (user, group, enterprise) =
        (schema("core:2.0:User"), schema("core:2.0:Group"), schema("enterprise:2.0:User"));
    for (schema, path, name, wanted) in [
        (user, "userName", "required", json!(true)),
        (user, "userName", "uniqueness", json!("server")),
        (user, "userName", "caseExact", json!(false)),
        (user, "password", "mutability", json!("writeOnly")),
        (user, "password", "returned", json!("never")),
        (user, "groups", "mutability", json!("readOnly")),
        (user, "groups.value", "mutability", json!("readOnly")),
        (user, "groups.$ref", "referenceTypes", json!(["Group"])),
        (user, "emails", "multiValued", json!(true)),
        (user, "emails.primary", "type", json!("boolean")),
        (user, "x509Certificates.value", "type", json!("binary")),
        (user, "profileUrl", "referenceTypes", json!(["external"])),
        (user, "active", "type", json!("boolean")),
        (group, "displayName", "required", json!(true)),
        (group, "members", "multiValued", json!(true)),
        (group, "members.value", "mutability", json!("immutable")),
        (group, "members.$ref", "referenceTypes", json!(["User", "Group"])),
        (enterprise, "manager.value", "type", json!("string")),
        (enterprise, "manager.value", "caseExact", json!(true)),
        (enterprise, "manager.displayName", "mutability", json!("readOnly")),
    ] {
        assert_eq!(find(schema, path)[name], wanted, "{path} {name}");
    }
});

/// Makes a value for an attribute, different for each of its names.
fn sample(attribute: &Value, user: &str) -> Option<Value> {
    let name = attribute["name"].as_str().unwrap();
    if attribute["mutability"] == "readOnly" || attribute["returned"] == "never" {
        return None;
    }
    let value = match attribute["type"].as_str().unwrap() {
        "complex" => {
            let subs = attribute["subAttributes"].as_array().unwrap();
            let mut object = Map::new();
            for sub in subs {
                // References are computed from the value next to them.
                if let Some(value) = sample(sub, user).filter(|_| sub["name"] != "$ref") {
                    object.insert(sub["name"].as_str().unwrap().to_owned(), value);
                }
            }
            if name == "members" {
                object = Map::from_iter([("value".to_owned(), user.into())]);
            }
            Value::Object(object)
        }
        "boolean" => true.into(),
        "integer" => 7.into(),
        "decimal" => 1.5.into(),
        "dateTime" => "2026-01-02T03:04:05Z".into(),
        "binary" => "AQID".into(),
        "reference" => format!("https://example.com/{name}").into(),
        _ => match attribute["canonicalValues"].as_array().and_then(|values| values.first()) {
            Some(value) => value.clone(),
            None => match name {
                "locale" | "preferredLanguage" => "de-CH".into(),
                "timezone" => "Europe/Zurich".into(),
                "country" => "CH".into(),
                _ => format!("some {name}").into(),
            },
        },
    };
    Some(if attribute["multiValued"] == true { json!([value]) } else { value })
}

on_both!(dsc_013_dsc_014_what_is_listed_is_stored_and_told_back, |server: &Server| {
    let client = server.client();
    let member = client.create("/Users", &json!({"userName": "member"}));
    let schemas = resources(&client, "/Schemas");
    let known: BTreeSet<&str> = schemas.iter().filter_map(|schema| schema["id"].as_str()).collect();
    let attributes = |urn: &Value| {
        let schema = schemas.iter().find(|schema| schema["id"] == *urn);
        schema.unwrap_or_else(|| panic!("{urn} has a schema"))["attributes"].as_array().unwrap()
    };
    for kind in resources(&client, "/ResourceTypes") {
        let mut body = Map::new();
        for attribute in attributes(&kind["schema"]) {
            if let Some(value) = sample(attribute, &member) {
                body.insert(attribute["name"].as_str().unwrap().to_owned(), value);
            }
        }
        for extension in kind["schemaExtensions"].as_array().into_iter().flatten() {
            let mut inner = Map::new();
            for attribute in attributes(&extension["schema"]) {
                if let Some(value) = sample(attribute, &member) {
                    inner.insert(attribute["name"].as_str().unwrap().to_owned(), value);
                }
            }
            body.insert(extension["schema"].as_str().unwrap().to_owned(), inner.into());
        }
        let endpoint = kind["endpoint"].as_str().unwrap();
        let made = client.post(endpoint, &Value::Object(body.clone()));
        assert_eq!(made.status, 201, "{}: {}", Value::Object(body), made.text());
        let read = client.get(&format!("{endpoint}/{}", made.at("/id"))).json();
        for (name, value) in &body {
            contains(&read[name], value, name);
        }
        for urn in read["schemas"].as_array().unwrap() {
            assert!(known.contains(urn.as_str().unwrap()), "{urn} has a schema");
        }
        // Nothing is shown that no schema lists.
        let listed: BTreeSet<&str> = attributes(&kind["schema"])
            .iter()
            .filter_map(|attribute| attribute["name"].as_str())
            .chain(["id", "externalId", "meta", "schemas"])
            .chain(known.iter().copied())
            .collect();
        for name in read.as_object().unwrap().keys() {
            assert!(listed.contains(name.as_str()), "{name}");
        }
        let mut config = client.get("/ServiceProviderConfig").json();
        assert!(config["schemas"].take().as_array().is_some_and(|urns| urns.len() == 1));
    }
    let user = schemas.iter().find(|schema| schema["name"] == "User").unwrap();
    let groups = find(user, "groups")["subAttributes"].as_array().unwrap();
    assert!(groups.iter().all(|sub| sub["name"] != "primary"), "no group is a primary one");
});

/// Checks that everything that was sent is returned; members lose their `display` by design.
fn contains(read: &Value, sent: &Value, place: &str) {
    match (read, sent) {
        (Value::Object(read), Value::Object(sent)) => {
            for (name, value) in sent {
                contains(read.get(name).unwrap_or(&Value::Null), value, &format!("{place}.{name}"));
            }
        }
        (Value::Array(read), Value::Array(sent)) => {
            assert_eq!(read.len(), sent.len(), "{place}");
            for (read, sent) in read.iter().zip(sent) {
                contains(read, sent, place);
            }
        }
        (read, sent) => assert_eq!(read, sent, "{place}"),
    }
}

on_both!(dsc_016_every_location_leads_to_the_document_itself, |server: &Server| {
    let client = server.client();
    let base = format!("http://{}/scim/v2", server.address);
    let mut documents = resources(&client, "/Schemas");
    documents.extend(resources(&client, "/ResourceTypes"));
    documents.push(client.get("/ServiceProviderConfig").json());
    for document in documents {
        let location = document["meta"]["location"].as_str().unwrap();
        let path = location.strip_prefix(&base).unwrap_or_else(|| panic!("{location}"));
        assert_eq!(client.get(path).json(), document, "{location}");
    }
});

on_both!(dsc_020_all_schemas_are_one_small_answer, |server: &Server| {
    let client = server.client();
    let answer = client.get("/Schemas");
    let body = answer.json();
    assert_eq!(body["totalResults"], body["Resources"].as_array().unwrap().len());
    assert!(answer.body.len() < 128 * 1024, "{} bytes", answer.body.len());
    println!("{} bytes after {:?}", answer.body.len(), answer.elapsed);
    // The documents are made at the start: not even a search is needed for them.
    assert_eq!(client.get("/Schemas").body, answer.body);
});

#[test]
fn dsc_013_schemas_of_a_deployment_are_described_too() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let schemas = root.join("deploy/examples/schemas").display().to_string();
    let environment = [("HEADCOUNT__SCHEMAS__DIRECTORY", schemas.as_str())];
    let server = Server::start_with(Arc::new(Database::sqlite()), &[], &environment);
    let client = server.client();
    let known: BTreeSet<String> =
        resources(&client, "/Schemas").iter().map(|schema| schema["id"].to_string()).collect();
    for schema in resources(&client, "/Schemas") {
        schema["attributes"].as_array().unwrap().iter().for_each(whole);
    }
    for kind in resources(&client, "/ResourceTypes") {
        let extensions = kind["schemaExtensions"].as_array().cloned().unwrap_or_default();
        let extensions = extensions.iter().map(|extension| extension["schema"].to_string());
        for urn in extensions.chain([kind["schema"].to_string()]) {
            assert!(known.contains(&urn), "{urn}");
        }
    }
}
