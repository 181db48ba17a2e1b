//! Random schemas, in the files of a deployment.

use headcount_core::schema::registry::{IndexMarks, SchemaFile};
use headcount_core::schema::{Registry, SchemaError};
use serde_json::{Map, Value, json};

use super::Random;

/// Kinds that a random deployment adds to the built-in ones.
pub const KINDS: usize = 6;
const SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";
const RESOURCE_TYPE: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
const TYPES: [&str; 10] = [
    "string",
    "string",
    "string",
    "boolean",
    "decimal",
    "integer",
    "dateTime",
    "binary",
    "reference",
    "complex",
];

/// The files of a deployment with random kinds.
pub struct Deployment {
    /// Schemas and resource types.
    pub documents: Vec<SchemaFile>,
    /// The indexed attributes.
    pub marks: IndexMarks,
}

impl Deployment {
    /// Makes random kinds, and a random extension of the built-in users.
    pub fn new(random: &mut Random) -> Self {
        let mut made = Self { documents: Vec::new(), marks: IndexMarks::new() };
        for number in 0..KINDS {
            let kind = format!("Thing{number}");
            let urn = format!("urn:example:params:scim:schemas:{kind}");
            let paths = made.schema(random, &urn, true);
            made.mark(random, &kind, paths);
            let mut extensions = Vec::new();
            for extension in 0..random.below(3) {
                let urn = format!("urn:example:params:scim:schemas:extension:{extension}:{kind}");
                let paths = made.schema(random, &urn, false);
                made.mark(
                    random,
                    &kind,
                    paths.iter().map(|path| format!("{urn}:{path}")).collect(),
                );
                extensions.push(json!({"schema": urn, "required": false}));
            }
            made.add(
                json!({"schemas": [RESOURCE_TYPE], "name": kind, "endpoint": format!("/{kind}s"),
                "schema": urn, "schemaExtensions": extensions}),
            );
        }
        let urn = "urn:example:params:scim:schemas:extension:person:User";
        let paths = made.schema(random, urn, false);
        made.mark(random, "User", paths.iter().map(|path| format!("{urn}:{path}")).collect());
        made.add(json!({"schemas": [RESOURCE_TYPE], "name": "User", "endpoint": "/Users",
            "schema": headcount_core::schema::USER, "schemaExtensions": [{"schema": urn}]}));
        made
    }

    /// Loads the files as a server does.
    ///
    /// # Errors
    ///
    /// When a file cannot be honored, which is a fault of this generator.
    pub fn registry(&self) -> Result<Registry, SchemaError> {
        Registry::from_documents(&self.documents, &self.marks)
    }

    fn add(&mut self, content: Value) {
        let file = format!("{}.json", self.documents.len());
        self.documents.push(SchemaFile { file, content });
    }

    /// Adds a random schema and returns the paths that can be indexed.
    fn schema(&mut self, random: &mut Random, urn: &str, core: bool) -> Vec<String> {
        let mut paths = Vec::new();
        let mut attributes = Vec::new();
        if core && random.once_in(2) {
            let name = *random.one(&["userName", "displayName"]);
            attributes.push(json!({"name": name, "caseExact": random.once_in(2),
                "required": random.once_in(2),
                "uniqueness": random.one(&["none", "server"])}));
        }
        for number in 0..2 + random.below(6) {
            let name = format!("{}{number}", random.one(&["a", "At", "x-", "b_"]));
            attributes.push(attribute(random, &name, &mut paths));
        }
        self.add(
            json!({"schemas": [SCHEMA], "id": urn, "name": "Random", "attributes": attributes}),
        );
        paths
    }

    fn mark(&mut self, random: &mut Random, kind: &str, paths: Vec<String>) {
        let marked = self.marks.entry(kind.to_owned()).or_default();
        for path in paths {
            if marked.len() < 40 && random.once_in(2) {
                marked.push(path);
            }
        }
    }
}

fn attribute(random: &mut Random, name: &str, paths: &mut Vec<String>) -> Value {
    let value_type = *random.one(&TYPES);
    let mut map = simple(random, name, value_type);
    let plural = random.once_in(2);
    map.insert("multiValued".to_owned(), plural.into());
    let hidden = map.get("returned").is_some_and(|returned| returned == "never");
    if value_type == "complex" {
        let mut subs = Vec::new();
        for (name, sub_type) in [
            ("value", *random.one(&["string", "string", "reference", "integer", "boolean"])),
            ("type", "string"),
            ("display", "string"),
            ("primary", "boolean"),
            ("$ref", "reference"),
            ("C1", *random.one(&TYPES[..9])),
            ("c2", *random.one(&TYPES[..9])),
        ] {
            if random.once_in(2) {
                let sub = simple(random, name, sub_type);
                let searchable = sub.get("returned").is_none_or(|returned| returned != "never");
                if searchable && sub_type != "binary" {
                    paths.push(format!("{}.{name}", map_name(&map)));
                }
                subs.push(Value::Object(sub));
            }
        }
        if subs.is_empty() {
            subs.push(json!({"name": "only"}));
        }
        map.insert("subAttributes".to_owned(), subs.into());
    } else if value_type != "binary" && !hidden {
        paths.push(name.to_owned());
    }
    if value_type == "string" && !plural && !hidden && random.once_in(5) {
        map.insert("uniqueness".to_owned(), (*random.one(&["server", "global"])).into());
    }
    let client = map.get("mutability").is_none_or(|mutability| mutability != "readOnly");
    if client && random.once_in(20) {
        map.insert("required".to_owned(), true.into());
    }
    Value::Object(map)
}

fn map_name(map: &Map<String, Value>) -> &str {
    map.get("name").and_then(Value::as_str).unwrap_or_default()
}

/// Makes an attribute's characteristics, without those that only some attributes can have.
fn simple(random: &mut Random, name: &str, value_type: &str) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("name".to_owned(), name.into());
    map.insert("type".to_owned(), value_type.into());
    map.insert("caseExact".to_owned(), random.once_in(2).into());
    if value_type == "reference" {
        map.insert("referenceTypes".to_owned(), json!([random.one(&["uri", "external", "User"])]));
    }
    if random.once_in(6) {
        map.insert("returned".to_owned(), (*random.one(&["always", "request", "never"])).into());
    }
    if random.once_in(8) {
        let mutability = *random.one(&["readOnly", "immutable", "writeOnly"]);
        map.insert("mutability".to_owned(), mutability.into());
        if mutability == "writeOnly" {
            map.insert("returned".to_owned(), "never".into());
        }
    }
    map
}
