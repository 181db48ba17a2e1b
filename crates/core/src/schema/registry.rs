//! All kinds that a deployment knows: built once, checked completely at start, immutable afterwards.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};

use super::attr_ref::Place as Found;
use super::load::{Place, Role, schema};
use super::{Extension, ResourceType, Schema, SchemaError, ValueType};
use crate::ids::{Kind, Urn};

/// A file with a schema or a resource type: its name, for errors, and its content.
#[derive(Debug, Clone)]
pub struct Document {
    /// The file's name.
    pub file: String,
    /// The JSON.
    pub content: Value,
}

/// Which attributes of which kind get index rows beyond the built-in ones.
///
/// Keys are kinds, values are paths, as in `indexes.toml`.
pub type IndexMarks = BTreeMap<String, Vec<String>>;

/// Attributes that one kind can have marked: each is a row per value and write.
const MAX_MARKS: usize = 50;

/// The kinds and schemas of a deployment.
#[derive(Debug)]
pub struct Registry {
    kinds: Vec<Arc<ResourceType>>,
    schemas: Vec<Arc<Schema>>,
}

impl Registry {
    /// Builds the registry of a deployment that adds nothing.
    ///
    /// # Errors
    ///
    /// Never for the files of a release; a test holds that.
    pub fn builtin() -> Result<Self, SchemaError> {
        Self::from_documents(&[], &IndexMarks::new())
    }

    /// Builds the registry from the built-in files and the deployment's own.
    ///
    /// A resource type named like a built-in one adds its `schemaExtensions` to it.
    ///
    /// # Errors
    ///
    /// [`SchemaError`] naming file, place and reason for the first document that cannot be honoured.
    pub fn from_documents(documents: &[Document], marks: &IndexMarks) -> Result<Self, SchemaError> {
        let documents: Vec<Document> =
            builtin_documents()?.into_iter().chain(documents.iter().cloned()).collect();
        let (mut sources, mut types) = (Vec::new(), Vec::new());
        for document in &documents {
            match message(document)? {
                Message::Schema => sources.push(document),
                Message::ResourceType => types.push((document, type_document(document)?)),
            }
        }
        let mut schemas: Vec<Arc<Schema>> = Vec::new();
        for document in sources {
            let schema = schema(&document.file, &document.content, role(document, &types))?;
            let taken =
                |known: &Arc<Schema>| known.id.as_str().eq_ignore_ascii_case(schema.id.as_str());
            if schemas.iter().any(taken) {
                let place = Place { file: &document.file, path: "" };
                return Err(
                    place.error("id", format!("the schema {} is defined already", schema.id))
                );
            }
            schemas.push(Arc::new(schema));
        }
        let kinds = assemble(&schemas, &types)?;
        let kinds = mark(kinds, marks)?;
        let used = |schema: &&Arc<Schema>| {
            kinds.iter().any(|kind| kind.containers().any(|(urn, _)| *urn == schema.id))
        };
        let schemas = schemas.iter().filter(used).cloned().collect();
        Ok(Self { kinds: kinds.into_iter().map(Arc::new).collect(), schemas })
    }

    /// Returns all kinds, `User` first.
    pub fn kinds(&self) -> &[Arc<ResourceType>] {
        &self.kinds
    }

    /// Finds a kind by its name.
    pub fn kind(&self, kind: &str) -> Option<&Arc<ResourceType>> {
        self.kinds.iter().find(|candidate| candidate.kind.as_str() == kind)
    }

    /// Finds a kind by its endpoint without the slash, as `Users`.
    pub fn by_endpoint(&self, endpoint: &str) -> Option<&Arc<ResourceType>> {
        self.kinds.iter().find(|kind| kind.endpoint.strip_prefix('/') == Some(endpoint))
    }

    /// Returns every schema that some kind uses.
    pub fn schemas(&self) -> &[Arc<Schema>] {
        &self.schemas
    }

    /// Finds a schema by its URN in any case.
    pub fn schema(&self, urn: &str) -> Option<&Arc<Schema>> {
        self.schemas.iter().find(|schema| schema.id.as_str().eq_ignore_ascii_case(urn))
    }
}

enum Message {
    Schema,
    ResourceType,
}

fn message(document: &Document) -> Result<Message, SchemaError> {
    let urns =
        document.content.get("schemas").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let says = |urn: &str| urns.iter().any(|value| value.as_str() == Some(urn));
    if says("urn:ietf:params:scim:schemas:core:2.0:Schema") {
        Ok(Message::Schema)
    } else if says("urn:ietf:params:scim:schemas:core:2.0:ResourceType") {
        Ok(Message::ResourceType)
    } else {
        Err(Place { file: &document.file, path: "" }.error(
            "schemas",
            "must name urn:ietf:params:scim:schemas:core:2.0:Schema or urn:ietf:params:scim:schemas:core:2.0:ResourceType",
        ))
    }
}

/// Returns what a schema is used for.
fn role(schema: &Document, types: &[(&Document, TypeDocument)]) -> Role {
    let id = schema.content.get("id").and_then(Value::as_str).unwrap_or_default();
    let extends =
        |kind: &TypeDocument| kind.extensions.iter().any(|(urn, _)| urn.eq_ignore_ascii_case(id));
    if types.iter().any(|(_, kind)| extends(kind)) { Role::Extension } else { Role::Core }
}

/// A resource type as its file says it, before its URNs are known to lead anywhere.
struct TypeDocument {
    name: String,
    endpoint: String,
    description: String,
    schema: String,
    extensions: Vec<(String, bool)>,
}

fn type_document(document: &Document) -> Result<TypeDocument, SchemaError> {
    let place = Place { file: &document.file, path: "" };
    let object =
        document.content.as_object().ok_or_else(|| place.error("", "must be a JSON object"))?;
    let name = place.text(object, "name")?;
    let word = |text: &str| text.len() <= 40 && text.chars().all(|c| c.is_ascii_alphanumeric());
    if !word(name) || !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err(place.error("name", "must be a word of letters and digits, such as Device"));
    }
    let endpoint = place.text(object, "endpoint")?;
    const RESERVED: [&str; 6] =
        ["ServiceProviderConfig", "ResourceTypes", "Schemas", "Bulk", "Me", "v2"];
    let bare = endpoint.strip_prefix('/').unwrap_or_default();
    if bare.is_empty() || !word(bare) || RESERVED.contains(&bare) {
        return Err(place.error("endpoint", "must be \"/\" and a word of letters and digits that the protocol does not use, such as /Devices"));
    }
    let mut extensions = Vec::new();
    for (index, extension) in place.list(object, "schemaExtensions")?.iter().enumerate() {
        let path = format!("schemaExtensions[{index}]");
        let place = Place { file: &document.file, path: &path };
        let extension =
            extension.as_object().ok_or_else(|| place.error("", "must be a JSON object"))?;
        let required = extension.get("required").and_then(Value::as_bool).unwrap_or(false);
        extensions.push((place.text(extension, "schema")?.to_owned(), required));
    }
    Ok(TypeDocument {
        name: name.to_owned(),
        endpoint: endpoint.to_owned(),
        description: object.get("description").and_then(Value::as_str).unwrap_or(name).to_owned(),
        schema: place.text(object, "schema")?.to_owned(),
        extensions,
    })
}

fn assemble(
    schemas: &[Arc<Schema>],
    types: &[(&Document, TypeDocument)],
) -> Result<Vec<ResourceType>, SchemaError> {
    let find = |place: &Place<'_>, name: &str, urn: &str| {
        let found = schemas.iter().find(|schema| schema.id.as_str().eq_ignore_ascii_case(urn));
        found.cloned().ok_or_else(|| place.error(name, format!("no file defines the schema {urn}")))
    };
    let mut order: Vec<&TypeDocument> = Vec::new();
    let mut extensions: HashMap<&str, Vec<Extension>> = HashMap::new();
    for (document, resource_type) in types {
        let place = Place { file: &document.file, path: "" };
        find(&place, "schema", &resource_type.schema)?;
        match order.iter().find(|known| known.name.eq_ignore_ascii_case(&resource_type.name)) {
            None => {
                let clash = |known: &&&TypeDocument| {
                    known.endpoint.eq_ignore_ascii_case(&resource_type.endpoint)
                };
                if let Some(known) = order.iter().find(clash) {
                    return Err(place.error(
                        "endpoint",
                        format!("{} belongs to {} already", known.endpoint, known.name),
                    ));
                }
                order.push(resource_type);
            }
            Some(known)
                if known.endpoint == resource_type.endpoint
                    && known.schema == resource_type.schema => {}
            Some(known) => {
                return Err(place.error(
                    "name",
                    format!(
                        "{} exists; to add an extension to it, keep its endpoint {} and schema {}",
                        known.name, known.endpoint, known.schema
                    ),
                ));
            }
        }
        let list = extensions.entry(&resource_type.name).or_default();
        for (index, (urn, required)) in resource_type.extensions.iter().enumerate() {
            let path = format!("schemaExtensions[{index}]");
            let place = Place { file: &document.file, path: &path };
            let schema = find(&place, "schema", urn)?;
            if schema.id.as_str().eq_ignore_ascii_case(&resource_type.schema) {
                return Err(place.error(
                    "schema",
                    format!("{urn} is the schema of {} itself", resource_type.name),
                ));
            }
            // A file that adds to a kind may repeat what the kind carries.
            match list.iter_mut().find(|extension| extension.schema.id == schema.id) {
                Some(known) => known.required |= *required,
                None => list.push(Extension { schema, required: *required }),
            }
        }
    }
    let place = Place { file: "", path: "" };
    order
        .into_iter()
        .map(|resource_type| {
            let schema = find(&place, "schema", &resource_type.schema)?;
            let extensions = extensions.remove(&*resource_type.name).unwrap_or_default();
            let served = served(resource_type, &schema.id, &extensions);
            let kind = Kind::new(resource_type.name.as_str());
            Ok(ResourceType::new(kind, resource_type.endpoint.clone(), schema, extensions, served))
        })
        .collect()
}

fn served(resource_type: &TypeDocument, schema: &Urn, extensions: &[Extension]) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
        "id": resource_type.name,
        "name": resource_type.name,
        "description": resource_type.description,
        "endpoint": resource_type.endpoint,
        "schema": schema.as_str(),
        "schemaExtensions": extensions.iter().map(|extension| json!({
            "schema": extension.schema.id.as_str(),
            "required": extension.required,
        })).collect::<Vec<_>>(),
    })
}

fn mark(
    mut kinds: Vec<ResourceType>,
    marks: &IndexMarks,
) -> Result<Vec<ResourceType>, SchemaError> {
    const FILE: &str = "indexes.toml";
    for (name, paths) in BUILTIN_MARKS.iter().map(|(kind, paths)| (*kind, paths.to_vec())).chain(
        marks
            .iter()
            .map(|(kind, paths)| (kind.as_str(), paths.iter().map(String::as_str).collect())),
    ) {
        let place = Place { file: FILE, path: name };
        let Some(kind) = kinds.iter_mut().find(|kind| kind.kind.as_str() == name) else {
            return Err(place.error("", "there is no resource type of this name"));
        };
        if paths.len() > MAX_MARKS {
            return Err(place.error("indexed", format!("has more than {MAX_MARKS} attributes")));
        }
        for path in paths {
            let reference =
                kind.resolve(path).map_err(|error| place.error("indexed", error.to_string()))?;
            let leaf = reference.leaf();
            if matches!(leaf.value_type, ValueType::Complex | ValueType::Binary)
                || leaf.returned == super::Returned::Never
            {
                return Err(place.error(
                    "indexed",
                    format!("{path} cannot be indexed: it is complex, binary or never returned"),
                ));
            }
            // Columns and member rows are found without index rows.
            if matches!(reference.place, Found::Document) {
                kind.mark_indexed(reference);
            }
        }
    }
    Ok(kinds)
}

const ENTERPRISE_MANAGER: &str =
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value";

/// What filters of identity providers ask for (`idp-behaviour`: lookups by e-mail, manager checks).
const BUILTIN_MARKS: [(&str, &[&str]); 1] =
    [("User", &["emails.value", "phoneNumbers.value", ENTERPRISE_MANAGER])];

fn builtin_documents() -> Result<Vec<Document>, SchemaError> {
    const FILES: [(&str, &str); 5] = [
        ("user.json", include_str!("../../schemas/user.json")),
        ("group.json", include_str!("../../schemas/group.json")),
        ("enterprise-user.json", include_str!("../../schemas/enterprise-user.json")),
        ("user-type.json", include_str!("../../schemas/user-type.json")),
        ("group-type.json", include_str!("../../schemas/group-type.json")),
    ];
    FILES
        .iter()
        .map(|(file, text)| {
            let content = serde_json::from_str(text)
                .map_err(|error| Place { file, path: "" }.error("", error.to_string()))?;
            Ok(Document { file: (*file).to_owned(), content })
        })
        .collect()
}

#[cfg(test)]
mod tests;
