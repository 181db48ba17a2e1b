//! Reads a schema document (RFC 7643 §7) and refuses everything that could not be honored.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Attribute, Mutability, Returned, Schema, SchemaError, Uniqueness, ValueType};
use crate::ids::Urn;

/// Attributes of one schema, sub-attributes of one attribute (LIM-18).
const MAX_ATTRIBUTES: usize = 200;
const MAX_CANONICAL_VALUES: usize = 500;

/// A position in a file, for errors.
#[derive(Clone, Copy)]
pub(super) struct FilePosition<'a> {
    pub(super) file: &'a str,
    pub(super) path: &'a str,
}

impl<'a> FilePosition<'a> {
    /// Returns the beginning of a file.
    pub(super) fn top(file: &'a str) -> Self {
        Self { file, path: "" }
    }

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
        texts.collect::<Option<_>>().ok_or_else(|| self.error(name, "must be an array of texts"))
    }
}

/// How attributes are nested.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Attribute,
    SubAttribute,
}

/// What a schema is used for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The attributes of a resource itself. The schema may list those that every resource has.
    Core,
    /// Attributes below its URN.
    Extension,
}

/// Reads a schema and checks all of it.
pub(super) fn schema(file: &str, document: &Value, role: Role) -> Result<Schema, SchemaError> {
    let at = FilePosition::top(file);
    let object = document.as_object().ok_or_else(|| at.error("", "must be a JSON object"))?;
    let id = at.text(object, "id")?;
    if !is_schema_urn(id) {
        return Err(at.error(
            "id",
            "must be a URN such as urn:example:params:scim:schemas:Thing (letters, digits, \"-\", \"_\", \".\" and \":\")",
        ));
    }
    if id.to_ascii_lowercase().starts_with("urn:ietf:params:scim:api:") {
        return Err(at.error("id", "is reserved for protocol messages (RFC 7644 §3.1)"));
    }
    let name = at.text(object, "name")?;
    let listed = own(file, at.list(object, "attributes")?, role)?;
    let attributes = attributes(file, "attributes", &listed, Level::Attribute)?;
    if attributes.is_empty() {
        return Err(at.error("attributes", "must define at least one attribute"));
    }
    let published = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        "id": id,
        "name": name,
        "description": object.get("description").and_then(Value::as_str).unwrap_or(name),
        "attributes": listed.iter().zip(&attributes)
            .map(|((_, source), attribute)| publish(source, attribute)).collect::<Vec<_>>(),
    });
    Ok(Schema { id: Urn::new(id), name: name.into(), attributes, document: published })
}

/// Returns whether a text can be the URN of a schema, and so the beginning of an attribute path.
pub(super) fn is_schema_urn(text: &str) -> bool {
    let head = text.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("urn:"));
    head && text.len() > 6
        && text.len() <= 255
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '/'))
        && !text.ends_with([':', '.'])
}

/// Returns whether a text is `ALPHA *(nameChar)` (RFC 7643 §2.1), or that after a `$` as in `$ref`
/// (erratum 8924).
fn is_name(text: &str) -> bool {
    let body = text.strip_prefix('$').unwrap_or(text);
    text.len() <= 64
        && body.starts_with(|c: char| c.is_ascii_alphabetic())
        && body.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

/// The attributes that every resource has, with their types (RFC 7643 §3.1).
const COMMON: [(&str, ValueType); 4] = [
    ("id", ValueType::String),
    ("externalId", ValueType::String),
    ("meta", ValueType::Complex),
    ("schemas", ValueType::String),
];

/// Returns the definitions that are a schema's own, with their positions in the file.
///
/// Products list the common attributes among them. The schema of a resource may do so, as long as it
/// demands nothing else of them.
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
        if let Some((field, rule)) = misuse(document, name, *value_type, role) {
            let path = format!("attributes[{index}]");
            return Err(FilePosition { file, path: &path }.error(
                field,
                format!("\"{name}\" belongs to every resource already{rule} (RFC 7643 §3.1)"),
            ));
        }
    }
    Ok(own)
}

/// Returns the field in which the definition of a common attribute demands what cannot be honored, and
/// the rule.
fn misuse(
    document: &Value,
    name: &str,
    value_type: ValueType,
    role: Role,
) -> Option<(&'static str, &'static str)> {
    if role == Role::Extension {
        return Some(("name", "; an extension needs another name"));
    }
    let listed_type = document.get("type").and_then(Value::as_str);
    let of_schemas = name == "schemas" && listed_type == Some("reference");
    if listed_type.is_some_and(|word| word != word_of(&TYPES, value_type)) && !of_schemas {
        return Some(("type", ", with another type"));
    }
    let required = document.get("required").and_then(Value::as_bool) == Some(true);
    let uniqueness = document.get("uniqueness").and_then(Value::as_str);
    if name == "externalId" && (required || uniqueness.is_some_and(|word| word != "none")) {
        return Some(("name", "; it can be neither required nor unique"));
    }
    None
}

fn attributes(
    file: &str,
    path: &str,
    documents: &[(usize, &Value)],
    level: Level,
) -> Result<Vec<Arc<Attribute>>, SchemaError> {
    if documents.len() > MAX_ATTRIBUTES {
        return Err(FilePosition::top(file)
            .error(path, format!("has more than {MAX_ATTRIBUTES} attributes")));
    }
    let mut attributes: Vec<Arc<Attribute>> = Vec::with_capacity(documents.len());
    for (index, document) in documents {
        let path = format!("{path}[{index}]");
        let at = FilePosition { file, path: &path };
        let attribute = attribute(&at, document, level)?;
        if super::find(&attributes, &attribute.name).is_some() {
            return Err(at.error("name", format!("\"{}\" is defined twice", attribute.name)));
        }
        attributes.push(Arc::new(attribute));
    }
    Ok(attributes)
}

fn attribute(
    at: &FilePosition<'_>,
    document: &Value,
    level: Level,
) -> Result<Attribute, SchemaError> {
    let object = document.as_object().ok_or_else(|| at.error("", "must be a JSON object"))?;
    let name = at.text(object, "name")?;
    if !is_name(name) {
        return Err(at.error(
            "name",
            format!("\"{name}\" is not an attribute name: a letter, then letters, digits, \"-\" and \"_\" (RFC 7643 §2.1)"),
        ));
    }
    let value_type = at.word(object, "type", ValueType::String, &TYPES)?;
    let sub_path = format!("{}.subAttributes", at.path);
    let sub_documents = at.list(object, "subAttributes")?;
    if level == Level::SubAttribute && value_type == ValueType::Complex {
        return Err(at.error("type", "a sub-attribute cannot be complex (RFC 7643 §2.3.8)"));
    }
    if (value_type == ValueType::Complex) == sub_documents.is_empty() {
        return Err(at.error(
            "subAttributes",
            "a complex attribute has sub-attributes, every other type has none",
        ));
    }
    let sub_documents: Vec<(usize, &Value)> = sub_documents.iter().enumerate().collect();
    let sub_attributes = attributes(at.file, &sub_path, &sub_documents, Level::SubAttribute)?;
    let to_resources = at
        .texts(object, "referenceTypes")?
        .iter()
        .any(|kind| !matches!(&**kind, "external" | "uri"));
    let attribute = Attribute {
        name: name.into(),
        value_type,
        multi_valued: at.flag(object, "multiValued")?,
        required: at.flag(object, "required")?,
        // RFC 7643 §2.3.6, §2.3.7: binaries and references are case exact whatever the file says.
        case_exact: at.flag(object, "caseExact")?
            || matches!(value_type, ValueType::Binary | ValueType::Reference),
        mutability: at.word(object, "mutability", Mutability::ReadWrite, &MUTABILITIES)?,
        returned: at.word(object, "returned", Returned::Default, &RETURNED)?,
        uniqueness: at.word(object, "uniqueness", Uniqueness::None, &UNIQUENESS)?,
        canonical_values: at.texts(object, "canonicalValues")?,
        refers: match value_type {
            ValueType::Reference => to_resources,
            ValueType::Complex => {
                sub_attributes.iter().any(|sub| &*sub.name == "$ref" && sub.refers)
            }
            _ => false,
        },
        sub_attributes,
    };
    check_coherence(at, &attribute, level)?;
    Ok(attribute)
}

/// Refuses combinations that the server could publish but not honor.
fn check_coherence(
    at: &FilePosition<'_>,
    attribute: &Attribute,
    level: Level,
) -> Result<(), SchemaError> {
    let nested = level == Level::SubAttribute;
    if nested && attribute.multi_valued {
        return Err(at.error("multiValued", "a sub-attribute cannot be multi-valued here"));
    }
    if attribute.uniqueness == Uniqueness::Server
        && (attribute.multi_valued || nested || attribute.value_type != ValueType::String)
    {
        return Err(at.error("uniqueness", "only a singular top-level string can be unique here"));
    }
    if attribute.required && attribute.is_read_only() {
        return Err(at.error("required", "a readOnly attribute cannot be required of a client"));
    }
    if attribute.mutability == Mutability::WriteOnly && attribute.returned != Returned::Never {
        return Err(
            at.error("returned", "a writeOnly attribute has returned \"never\" (RFC 7643 §7)")
        );
    }
    if attribute.returned == Returned::Never && attribute.uniqueness == Uniqueness::Server {
        return Err(at.error("uniqueness", "a value that is never kept cannot be unique"));
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
            return Err(at.error(
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

/// Returns an attribute as `/Schemas` shows it: every characteristic, defaults included.
fn publish(source: &Value, attribute: &Attribute) -> Value {
    let complex = attribute.value_type == ValueType::Complex;
    let canonical: Vec<&str> = attribute.canonical_values.iter().map(|value| &**value).collect();
    let sub_sources = source.get("subAttributes").and_then(Value::as_array);
    let subs: Vec<Value> = sub_sources
        .into_iter()
        .flatten()
        .zip(&attribute.sub_attributes)
        .map(|(source, sub)| publish(source, sub))
        .collect();
    let fields = [
        ("name", Some(json!(&*attribute.name))),
        ("type", Some(json!(word_of(&TYPES, attribute.value_type)))),
        ("multiValued", Some(json!(attribute.multi_valued))),
        (
            "description",
            Some(json!(
                source.get("description").and_then(Value::as_str).unwrap_or(&attribute.name)
            )),
        ),
        ("required", Some(json!(attribute.required))),
        ("canonicalValues", (!canonical.is_empty()).then(|| json!(canonical))),
        ("caseExact", (!complex).then(|| json!(attribute.case_exact))),
        ("mutability", Some(json!(word_of(&MUTABILITIES, attribute.mutability)))),
        ("returned", Some(json!(word_of(&RETURNED, attribute.returned)))),
        // Erratum 6004: a complex attribute has no `uniqueness` of its own.
        ("uniqueness", (!complex).then(|| json!(word_of(&UNIQUENESS, attribute.uniqueness)))),
        (
            "referenceTypes",
            (attribute.value_type == ValueType::Reference)
                .then(|| source.get("referenceTypes").cloned().unwrap_or_else(|| json!(["uri"]))),
        ),
        ("subAttributes", (!subs.is_empty()).then(|| Value::Array(subs))),
    ];
    let fields = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(fields.collect())
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
