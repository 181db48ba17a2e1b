use serde_json::{Value, json};

use super::*;

fn document(content: Value) -> SchemaFile {
    SchemaFile { file: "devices.json".to_owned(), content }
}

fn device_schema() -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        "id": "urn:example:schemas:Device", "name": "Device",
        "attributes": [
            {"name": "displayName", "required": true},
            {"name": "serial", "uniqueness": "server", "caseExact": true, "mutability": "immutable"},
            {"name": "ports", "type": "complex", "multiValued": true, "subAttributes": [{"name": "value", "type": "integer"}]},
        ],
    })
}

fn device_type() -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
        "name": "Device", "endpoint": "/Devices", "schema": "urn:example:schemas:Device",
    })
}

fn build(documents: &[Value]) -> Result<Registry, SchemaError> {
    let documents: Vec<_> = documents.iter().cloned().map(document).collect();
    Registry::from_documents(&documents, &IndexMarks::new())
}

#[test]
fn the_builtin_files_are_sound_and_user_comes_first() {
    let registry = Registry::builtin().unwrap();
    let kinds: Vec<_> = registry.kinds().iter().map(|kind| kind.kind.as_str()).collect();
    assert_eq!(kinds, ["User", "Group"]);
    assert_eq!(registry.schemas().len(), 3);
    let user = registry.by_endpoint("Users").unwrap();
    assert_eq!(user.unique.len(), 1);
    assert!(user.spliceable);
    // The sub-attribute of members that is returned on request is not in the text.
    assert!(registry.by_endpoint("Groups").unwrap().spliceable);
}

#[test]
fn ext_016_a_file_adds_a_resource_type() {
    let registry = build(&[device_schema(), device_type()]).unwrap();
    let device = registry.by_endpoint("Devices").unwrap();
    assert_eq!(device.resolve("SERIAL").unwrap().to_string(), "serial");
    assert_eq!(device.unique.len(), 1);
    assert!(device.indexed.iter().any(|indexed| &*indexed.path == "serial"));
}

#[test]
fn chr_001_defaults_are_spelled_out_where_they_are_served() {
    let registry = build(&[device_schema(), device_type()]).unwrap();
    let served = &registry.schema("urn:example:schemas:device").unwrap().document["attributes"][0];
    assert_eq!(
        *served,
        json!({"name": "displayName", "type": "string", "multiValued": false, "description": "displayName", "required": true,
               "caseExact": false, "mutability": "readWrite", "returned": "default", "uniqueness": "none"})
    );
}

#[test]
fn a_file_adds_an_extension_to_a_builtin_type() {
    let badge = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        "id": "urn:example:schemas:Badge", "name": "Badge", "attributes": [{"name": "number", "type": "integer"}],
    });
    let user = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
        "name": "User", "endpoint": "/Users", "schema": "urn:ietf:params:scim:schemas:core:2.0:User",
        "schemaExtensions": [{"schema": "urn:example:schemas:Badge", "required": false}],
    });
    let registry = build(&[badge, user]).unwrap();
    let user = registry.kind("User").unwrap();
    assert_eq!(user.extensions.len(), 2);
    assert!(user.resolve("urn:example:schemas:Badge:number").is_ok());
    assert_eq!(user.document["schemaExtensions"].as_array().map(Vec::len), Some(2));
}

#[test]
fn chr_033_chr_041_what_cannot_be_honoured_is_refused_with_its_place() {
    let with = |attribute: Value| {
        let mut schema = device_schema();
        schema["attributes"][0] = attribute;
        build(&[schema, device_type()]).unwrap_err().to_string()
    };
    for (attribute, expected) in [
        (json!({"name": "emails[type eq \"work\"]"}), "attributes[0].name"),
        (json!({"name": "a", "type": "text"}), "attributes[0].type: must be one of"),
        (json!({"name": "a", "type": "complex"}), "attributes[0].subAttributes"),
        (
            json!({"name": "a", "type": "complex", "subAttributes": [{"name": "b", "type": "complex", "subAttributes": [{"name": "c"}]}]}),
            "attributes[0].subAttributes[0].type: a sub-attribute cannot be complex",
        ),
        (json!({"name": "a", "required": "yes"}), "attributes[0].required: must be true or false"),
        (json!({"name": "externalId", "required": true}), "can be neither required nor unique"),
        (json!({"name": "externalId", "uniqueness": "server"}), "can be neither required"),
        (
            json!({"name": "ID", "type": "integer"}),
            "attributes[0].type: \"id\" belongs to every resource",
        ),
        (json!({"name": "SERIAL"}), "is defined twice"),
        (json!({"name": "a", "mutability": "writeOnly"}), "attributes[0].returned"),
        (
            json!({"name": "a", "type": "complex", "subAttributes": [{"name": "primary", "type": "string"}]}),
            "RFC 7643 §2.4",
        ),
    ] {
        let error = with(attribute);
        assert!(error.starts_with("devices.json: ") && error.contains(expected), "{error}");
    }
    assert!(
        build(&[device_type()]).unwrap_err().to_string().contains("no file defines the schema")
    );
    let mut core = device_schema();
    core["id"] = json!("urn:ietf:params:scim:schemas:core:2.0:User");
    assert!(build(&[core]).unwrap_err().to_string().contains("is defined already"));
    let mut reserved = device_type();
    reserved["endpoint"] = json!("/Bulk");
    assert!(build(&[device_schema(), reserved]).unwrap_err().to_string().contains("endpoint"));
}

#[test]
fn common_attributes_that_a_schema_lists_are_taken_for_what_they_are() {
    let mut listed = device_schema();
    let own = listed["attributes"].as_array().unwrap().clone();
    let common = [
        json!({"name": "id", "type": "string", "required": true, "mutability": "readOnly", "returned": "always", "uniqueness": "server"}),
        json!({"name": "externalId", "required": false, "uniqueness": "none"}),
        json!({"name": "schemas", "type": "reference", "multiValued": true}),
        json!({"name": "META", "type": "complex", "subAttributes": [{"name": "created", "type": "dateTime"}]}),
    ];
    listed["attributes"] = common.iter().chain(&own).cloned().collect();
    let with = build(&[listed.clone(), device_type()]).unwrap();
    let without = build(&[device_schema(), device_type()]).unwrap();
    let urn = device_schema()["id"].as_str().unwrap().to_owned();
    assert_eq!(with.schema(&urn).unwrap(), without.schema(&urn).unwrap());
    // A mistake among its own is still reported with its position in the file.
    listed["attributes"][4] = json!({"name": "a", "type": "text"});
    let error = build(&[listed, device_type()]).unwrap_err().to_string();
    assert!(error.contains("attributes[4].type"), "{error}");
}

#[test]
fn an_extension_has_no_id_of_its_own() {
    let badge = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        "id": "urn:example:schemas:Badge", "name": "Badge",
        "attributes": [{"name": "number"}, {"name": "id"}],
    });
    let user = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
        "name": "User", "endpoint": "/Users", "schema": "urn:ietf:params:scim:schemas:core:2.0:User",
        "schemaExtensions": [{"schema": "urn:example:schemas:badge"}],
    });
    let error = build(&[badge, user]).unwrap_err().to_string();
    assert!(error.contains("attributes[1].name: \"id\" belongs to every resource"), "{error}");
}

#[test]
fn chr_039_predefined_sub_attributes_keep_their_meaning() {
    let with = |name: &str, value_type: &str| {
        let mut sub = json!({"name": name, "type": value_type});
        if value_type == "reference" {
            sub["referenceTypes"] = json!(["User"]);
        }
        let mut schema = device_schema();
        schema["attributes"][0] = json!({
            "name": "owners", "type": "complex", "multiValued": true, "subAttributes": [{"name": "value"}, sub],
        });
        build(&[schema, device_type()])
    };
    for (name, meant) in
        [("primary", "boolean"), ("type", "string"), ("display", "string"), ("$ref", "reference")]
    {
        assert!(with(name, meant).is_ok(), "{name} as {meant}");
        for other in ["string", "boolean", "integer", "dateTime", "reference"] {
            if other != meant {
                let error = with(name, other).unwrap_err().to_string();
                let expected = format!("the sub-attribute \"{name}\" has its meaning");
                assert!(error.contains(&expected), "{name} as {other}: {error}");
            }
        }
    }
    assert!(with("since", "dateTime").is_ok(), "other names are free");
}

#[test]
fn index_marks_must_lead_somewhere() {
    let marks = IndexMarks::from([("User".to_owned(), vec!["nickName".to_owned()])]);
    let registry = Registry::from_documents(&[], &marks).unwrap();
    assert!(
        registry.kind("User").unwrap().indexed.iter().any(|indexed| &*indexed.path == "nickName")
    );
    for path in ["nick", "name", "password", "x509Certificates.value"] {
        let marks = IndexMarks::from([("User".to_owned(), vec![path.to_owned()])]);
        assert!(Registry::from_documents(&[], &marks).is_err(), "{path}");
    }
    assert!(
        Registry::from_documents(&[], &IndexMarks::from([("Nobody".to_owned(), Vec::new())]))
            .is_err()
    );
}
