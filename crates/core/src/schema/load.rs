//! Reads a schema document (RFC 7643 §7) and refuses everything that could not be honoured.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Attribute, Mutability, Returned, Schema, SchemaError, Uniqueness, ValueType};
use crate::ids::Urn;

/// Attributes of one schema, sub-attributes of one attribute (LIM-18).
const MAX_ATTRIBUTES: usize = 200;
const MAX_CANONICAL_VALUES: usize = 500;

/// A place in a file, for errors.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) file: &'a str,
    pub(super) path: &'a str,
}

impl Place<'_> {
    pub(super) fn error(&self, name: &str, reason: impl Into<String>) -> SchemaError {
        let path = match (self.path.is_empty(), name.is_empty()) {
            (true, _) => name.to_owned(),
            (false, true) => self.path.to_owned(),
            (false, false) => format!("{}.{name}", self.path),
        };
        SchemaError { file: self.file.to_owned(), path, reason: reason.into() }
    }

    pub(super) fn text<'v>(
        &self,
        object: &'v Map<String, Value>,
        name: &str,
    ) -> Result<&'v str, SchemaError> {
        match object.get(name) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text),
            Some(_) => Err(self.error(name, "must be a text that is not empty")),
            None => Err(self.error(name, "is missing")),
        }
    }

    fn flag(&self, object: &Map<String, Value>, name: &str) -> Result<bool, SchemaError> {
        match object.get(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.error(name, "must be true or false")),
        }
    }

    /// Reads one of a fixed set of words; absent means the default of RFC 7643 §2.2.
    fn word<T: Copy>(
        &self,
        object: &Map<String, Value>,
        name: &str,
        default: T,
        words: &[(&str, T)],
    ) -> Result<T, SchemaError> {
        let Some(value) = object.get(name).filter(|value| !value.is_null()) else {
            return Ok(default);
        };
        let found = value.as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let list: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            self.error(name, format!("must be one of {}", list.join(", ")))
        })
    }

    pub(super) fn list<'v>(
        &self,
        object: &'v Map<String, Value>,
        name: &str,
    ) -> Result<&'v [Value], SchemaError> {
        match object.get(name) {
            None | Some(Value::Null) => Ok(&[]),
            Some(Value::Array(values)) => Ok(values),
            Some(_) => Err(self.error(name, "must be an array")),
        }
    }

    fn texts(&self, object: &Map<String, Value>, name: &str) -> Result<Vec<Arc<str>>, SchemaError> {
        let values = self.list(object, name)?;
        if values.len() > MAX_CANONICAL_VALUES {
            return Err(self.error(name, format!("has more than {MAX_CANONICAL_VALUES} values")));
        }
        let texts = values.iter().map(|value| value.as_str().map(Arc::from));
        texts.collect::<Option<_>>().ok_or_else(|| self.error(name, "must hold texts only"))
    }
}

/// What a schema is used for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The attributes of a resource itself. It may list those that every resource has.
    Core,
    /// Attributes below its URN.
    Extension,
}

/// Reads a schema and checks all of it.
pub(super) fn schema(file: &str, document: &Value, role: Role) -> Result<Schema, SchemaError> {
    let place = Place { file, path: "" };
    let object = document.as_object().ok_or_else(|| place.error("", "must be a JSON object"))?;
    let id = place.text(object, "id")?;
    if !is_schema_urn(id) {
        return Err(place.error(
            "id",
            "must be a URN such as urn:example:params:scim:schemas:Thing (letters, digits, \"-\", \"_\", \".\" and \":\")",
        ));
    }
    if id.to_ascii_lowercase().starts_with("urn:ietf:params:scim:api:") {
        return Err(place.error("id", "is reserved for protocol messages (RFC 7644 §3.1)"));
    }
    let name = place.text(object, "name")?;
    let listed = own(file, place.list(object, "attributes")?, role)?;
    let attributes = attributes(file, "attributes", &listed, false)?;
    if attributes.is_empty() {
        return Err(place.error("attributes", "must define at least one attribute"));
    }
    let served = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        "id": id,
        "name": name,
        "description": object.get("description").and_then(Value::as_str).unwrap_or(name),
        "attributes": listed.iter().zip(&attributes)
            .map(|((_, source), attribute)| served(source, attribute)).collect::<Vec<_>>(),
    });
    Ok(Schema { id: Urn::new(id), name: name.into(), attributes, document: served })
}

/// Tells whether a text can be the URN of a schema and stand in front of an attribute path.
pub(super) fn is_schema_urn(text: &str) -> bool {
    let head = text.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("urn:"));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '/');
    head && text.len() > 6
        && text.len() <= 255
        && text.chars().all(plain)
        && !text.ends_with([':', '.'])
}

/// RFC 7643 §2.1: `ALPHA *(nameChar)`, and `$` as in `$ref` (erratum 8924).
fn is_name(text: &str) -> bool {
    let body = text.strip_prefix('$').unwrap_or(text);
    text.len() <= 64
        && body.starts_with(|c: char| c.is_ascii_alphabetic())
        && body.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

/// What every resource has already, and of which type (RFC 7643 §3.1).
const COMMON: [(&str, ValueType); 4] = [
    ("id", ValueType::String),
    ("externalId", ValueType::String),
    ("meta", ValueType::Complex),
    ("schemas", ValueType::String),
];

/// Returns the definitions that are a schema's own, with their places in the file. Products print the
/// common attributes among them; of the schema of a resource these are taken for what they are.
fn own<'v>(
    file: &str,
    documents: &'v [Value],
    role: Role,
) -> Result<Vec<(usize, &'v Value)>, SchemaError> {
    let mut own = Vec::with_capacity(documents.len());
    for (index, document) in documents.iter().enumerate() {
        let name = document.get("name").and_then(Value::as_str).unwrap_or_default();
        let Some((name, value_type)) =
            COMMON.iter().find(|(common, _)| common.eq_ignore_ascii_case(name))
        else {
            own.push((index, document));
            continue;
        };
        let path = format!("attributes[{index}]");
        let place = Place { file, path: &path };
        let refuse = |at: &str, words: &str| {
            place.error(
                at,
                format!("\"{name}\" belongs to every resource already{words} (RFC 7643 §3.1)"),
            )
        };
        if role == Role::Extension {
            return Err(refuse("name", "; an extension needs another name"));
        }
        let says = |name: &str| document.get(name).and_then(Value::as_str);
        let of_schemas = *name == "schemas" && says("type") == Some("reference");
        if says("type").is_some_and(|word| word != word_of(&TYPES, *value_type)) && !of_schemas {
            return Err(refuse("type", ", with another type"));
        }
        let demands = document.get("required").and_then(Value::as_bool) == Some(true)
            || says("uniqueness").is_some_and(|word| word != "none");
        if *name == "externalId" && demands {
            return Err(refuse("name", "; it can be neither required nor unique"));
        }
    }
    Ok(own)
}

fn attributes(
    file: &str,
    path: &str,
    documents: &[(usize, &Value)],
    nested: bool,
) -> Result<Vec<Arc<Attribute>>, SchemaError> {
    if documents.len() > MAX_ATTRIBUTES {
        return Err(Place { file, path: "" }
            .error(path, format!("has more than {MAX_ATTRIBUTES} attributes")));
    }
    let mut attributes: Vec<Arc<Attribute>> = Vec::with_capacity(documents.len());
    for (index, document) in documents {
        let path = format!("{path}[{index}]");
        let place = Place { file, path: &path };
        let attribute = attribute(&place, document, nested)?;
        if super::find(&attributes, &attribute.name).is_some() {
            return Err(place.error("name", format!("\"{}\" is defined twice", attribute.name)));
        }
        attributes.push(Arc::new(attribute));
    }
    Ok(attributes)
}

fn attribute(place: &Place<'_>, document: &Value, nested: bool) -> Result<Attribute, SchemaError> {
    let object = document.as_object().ok_or_else(|| place.error("", "must be a JSON object"))?;
    let name = place.text(object, "name")?;
    if !is_name(name) {
        return Err(place.error(
            "name",
            format!("\"{name}\" is no attribute name: a letter, then letters, digits, \"-\" and \"_\" (RFC 7643 §2.1)"),
        ));
    }
    let value_type = place.word(object, "type", ValueType::String, &TYPES)?;
    let sub_path = format!("{}.subAttributes", place.path);
    let sub_documents = place.list(object, "subAttributes")?;
    if nested && value_type == ValueType::Complex {
        return Err(place.error("type", "a sub-attribute cannot be complex (RFC 7643 §2.3.8)"));
    }
    if (value_type == ValueType::Complex) == sub_documents.is_empty() {
        return Err(place.error(
            "subAttributes",
            "a complex attribute has sub-attributes, every other type has none",
        ));
    }
    let sub_documents: Vec<(usize, &Value)> = sub_documents.iter().enumerate().collect();
    let sub_attributes = attributes(place.file, &sub_path, &sub_documents, true)?;
    let to_resources = place
        .texts(object, "referenceTypes")?
        .iter()
        .any(|kind| !matches!(&**kind, "external" | "uri"));
    let attribute = Attribute {
        name: name.into(),
        value_type,
        multi_valued: place.flag(object, "multiValued")?,
        required: place.flag(object, "required")?,
        // RFC 7643 §2.3.6, §2.3.7: binaries and references are case exact whatever the file says.
        case_exact: place.flag(object, "caseExact")?
            || matches!(value_type, ValueType::Binary | ValueType::Reference),
        mutability: place.word(object, "mutability", Mutability::ReadWrite, &MUTABILITIES)?,
        returned: place.word(object, "returned", Returned::Default, &RETURNED)?,
        uniqueness: place.word(object, "uniqueness", Uniqueness::None, &UNIQUENESS)?,
        canonical_values: place.texts(object, "canonicalValues")?,
        refers: match value_type {
            ValueType::Reference => to_resources,
            ValueType::Complex => {
                sub_attributes.iter().any(|sub| &*sub.name == "$ref" && sub.refers)
            }
            _ => false,
        },
        sub_attributes,
    };
    coherent(place, &attribute, nested)?;
    Ok(attribute)
}

/// Refuses combinations that the server could publish but not honour.
fn coherent(place: &Place<'_>, attribute: &Attribute, nested: bool) -> Result<(), SchemaError> {
    if nested && attribute.multi_valued {
        return Err(place.error("multiValued", "a sub-attribute cannot be multi-valued here"));
    }
    if attribute.uniqueness == Uniqueness::Server
        && (attribute.multi_valued || nested || attribute.value_type != ValueType::String)
    {
        return Err(
            place.error("uniqueness", "only a singular top-level string can be unique here")
        );
    }
    if attribute.required && attribute.is_read_only() {
        return Err(place.error("required", "a readOnly attribute cannot be required of a client"));
    }
    if attribute.mutability == Mutability::WriteOnly && attribute.returned != Returned::Never {
        return Err(
            place.error("returned", "a writeOnly attribute has returned \"never\" (RFC 7643 §7)")
        );
    }
    if attribute.returned == Returned::Never && attribute.uniqueness == Uniqueness::Server {
        return Err(place.error("uniqueness", "a value that is never kept cannot be unique"));
    }
    // CHR-039: the predefined sub-attributes of RFC 7643 §2.4 keep their meaning.
    if nested {
        let expected = match &*attribute.name {
            "primary" => Some(ValueType::Boolean),
            "type" | "display" => Some(ValueType::String),
            "$ref" => Some(ValueType::Reference),
            _ => None,
        };
        if expected.is_some_and(|expected| expected != attribute.value_type) {
            return Err(place.error(
                "type",
                format!(
                    "the sub-attribute \"{}\" has its meaning from RFC 7643 §2.4",
                    attribute.name
                ),
            ));
        }
    }
    Ok(())
}

/// Writes an attribute as `/Schemas` shows it: every characteristic, defaults included.
fn served(source: &Value, attribute: &Attribute) -> Value {
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| drop(shown.insert(name.to_owned(), value));
    put("name", json!(&*attribute.name));
    put("type", json!(word_of(&TYPES, attribute.value_type)));
    put("multiValued", json!(attribute.multi_valued));
    put(
        "description",
        json!(source.get("description").and_then(Value::as_str).unwrap_or(&attribute.name)),
    );
    put("required", json!(attribute.required));
    if !attribute.canonical_values.is_empty() {
        put(
            "canonicalValues",
            json!(attribute.canonical_values.iter().map(|v| &**v).collect::<Vec<_>>()),
        );
    }
    if attribute.value_type != ValueType::Complex {
        put("caseExact", json!(attribute.case_exact));
    }
    put("mutability", json!(word_of(&MUTABILITIES, attribute.mutability)));
    put("returned", json!(word_of(&RETURNED, attribute.returned)));
    // Erratum 6004: a complex attribute has no `uniqueness` of its own.
    if attribute.value_type != ValueType::Complex {
        put("uniqueness", json!(word_of(&UNIQUENESS, attribute.uniqueness)));
    }
    if attribute.value_type == ValueType::Reference {
        put(
            "referenceTypes",
            source.get("referenceTypes").cloned().unwrap_or_else(|| json!(["uri"])),
        );
    }
    if !attribute.sub_attributes.is_empty() {
        let sources =
            source.get("subAttributes").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let subs = sources.iter().zip(&attribute.sub_attributes);
        put("subAttributes", subs.map(|(source, sub)| served(source, sub)).collect());
    }
    Value::Object(shown)
}

const TYPES: [(&str, ValueType); 8] = [
    ("string", ValueType::String),
    ("boolean", ValueType::Boolean),
    ("decimal", ValueType::Decimal),
    ("integer", ValueType::Integer),
    ("dateTime", ValueType::DateTime),
    ("binary", ValueType::Binary),
    ("reference", ValueType::Reference),
    ("complex", ValueType::Complex),
];
const MUTABILITIES: [(&str, Mutability); 4] = [
    ("readOnly", Mutability::ReadOnly),
    ("readWrite", Mutability::ReadWrite),
    ("immutable", Mutability::Immutable),
    ("writeOnly", Mutability::WriteOnly),
];
const RETURNED: [(&str, Returned); 4] = [
    ("always", Returned::Always),
    ("never", Returned::Never),
    ("default", Returned::Default),
    ("request", Returned::Request),
];
const UNIQUENESS: [(&str, Uniqueness); 3] =
    [("none", Uniqueness::None), ("server", Uniqueness::Server), ("global", Uniqueness::Server)];

fn word_of<T: PartialEq + Copy>(words: &[(&'static str, T)], meaning: T) -> &'static str {
    words.iter().find(|(_, candidate)| *candidate == meaning).map_or("", |(word, _)| word)
}
