//! All kinds of a deployment: built once, checked completely at start, immutable afterwards.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};

use super::attr_ref::AttrSource;
use super::load::{FilePosition, Role, schema};
use super::{Extension, ResourceType, Schema, SchemaError, ValueType};
use crate::ids::{Kind, Urn};

/// A file with a schema or a resource type.
#[derive(Debug, Clone)]
pub struct SchemaFile {
    /// The file's name, for errors.
    pub file: String,
    /// The JSON.
    pub content: Value,
}

/// Which attributes of which kind get index rows beyond the built-in ones.
///
/// Keys are kinds, values are paths, as in `indexes.toml`.
pub type IndexMarks = BTreeMap<String, Vec<String>>;

/// Marked attributes of one kind. Each costs a row per value and write.
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
    /// Never for the files of a release; a test verifies them.
    pub fn builtin() -> Result<Self, SchemaError> {
        Self::from_documents(&[], &IndexMarks::new())
    }

    /// Builds the registry from the built-in files and the deployment's own.
    ///
    /// A resource type named like a built-in one adds its `schemaExtensions` to it.
    ///
    /// # Errors
    ///
    /// [`SchemaError`] naming file, position and reason for the first document that cannot be honored.
    pub fn from_documents(
        documents: &[SchemaFile],
        marks: &IndexMarks,
    ) -> Result<Self, SchemaError> {
        let documents: Vec<SchemaFile> =
            builtin_documents()?.into_iter().chain(documents.iter().cloned()).collect();
        let (mut sources, mut types) = (Vec::new(), Vec::new());
        for document in &documents {
            match message(document)? {
                Message::Schema => sources.push(document),
                Message::ResourceType => types.push((document, type_fields(document)?)),
            }
        }
        let mut schemas: Vec<Arc<Schema>> = Vec::new();
        for document in sources {
            let schema = schema(&document.file, &document.content, role(document, &types))?;
            if find_schema(&schemas, schema.id.as_str()).is_some() {
                return Err(FilePosition::top(&document.file)
                    .error("id", format!("the schema {} is defined already", schema.id)));
            }
            schemas.push(Arc::new(schema));
        }
        let kinds = assemble(&schemas, &types)?;
        let kinds = mark(kinds, marks)?;
        // Files may define schemas that no kind uses; those are not published.
        schemas.retain(|schema| {
            kinds.iter().any(|kind| kind.containers().any(|(urn, _)| *urn == schema.id))
        });
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
        find_schema(&self.schemas, urn)
    }
}

fn find_schema<'a>(schemas: &'a [Arc<Schema>], urn: &str) -> Option<&'a Arc<Schema>> {
    schemas.iter().find(|schema| schema.id.as_str().eq_ignore_ascii_case(urn))
}

enum Message {
    Schema,
    ResourceType,
}

fn message(document: &SchemaFile) -> Result<Message, SchemaError> {
    let urns = document.content.get("schemas").and_then(Value::as_array);
    for urn in urns.into_iter().flatten().filter_map(Value::as_str) {
        match urn {
            "urn:ietf:params:scim:schemas:core:2.0:Schema" => return Ok(Message::Schema),
            "urn:ietf:params:scim:schemas:core:2.0:ResourceType" => {
                return Ok(Message::ResourceType);
            }
            _ => {}
        }
    }
    Err(FilePosition::top(&document.file).error(
        "schemas",
        "must name urn:ietf:params:scim:schemas:core:2.0:Schema or urn:ietf:params:scim:schemas:core:2.0:ResourceType",
    ))
}

/// Returns what a schema is used for.
fn role(schema: &SchemaFile, types: &[(&SchemaFile, TypeFields)]) -> Role {
    let id = schema.content.get("id").and_then(Value::as_str).unwrap_or_default();
    let mut extensions = types.iter().flat_map(|(_, kind)| &kind.extensions);
    match extensions.any(|(urn, _)| urn.eq_ignore_ascii_case(id)) {
        true => Role::Extension,
        false => Role::Core,
    }
}

/// The fields of a resource type's file, before its URNs are resolved.
struct TypeFields {
    name: String,
    endpoint: String,
    description: String,
    schema: String,
    /// URNs, and whether every resource must have the extension.
    extensions: Vec<(String, bool)>,
}

fn is_word(text: &str) -> bool {
    text.len() <= 40 && text.chars().all(|c| c.is_ascii_alphanumeric())
}

fn type_fields(document: &SchemaFile) -> Result<TypeFields, SchemaError> {
    let at = FilePosition::top(&document.file);
    let object =
        document.content.as_object().ok_or_else(|| at.error("", "must be a JSON object"))?;
    let name = at.text(object, "name")?;
    if !is_word(name) || !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err(at.error("name", "must be a word of letters and digits, such as Device"));
    }
    let endpoint = at.text(object, "endpoint")?;
    const RESERVED: [&str; 6] =
        ["ServiceProviderConfig", "ResourceTypes", "Schemas", "Bulk", "Me", "v2"];
    let bare = endpoint.strip_prefix('/').unwrap_or_default();
    if bare.is_empty() || !is_word(bare) || RESERVED.contains(&bare) {
        return Err(at.error("endpoint", "must be \"/\" and a word of letters and digits that the protocol does not use, such as /Devices"));
    }
    let mut extensions = Vec::new();
    for (index, extension) in at.list(object, "schemaExtensions")?.iter().enumerate() {
        let path = format!("schemaExtensions[{index}]");
        let at = FilePosition { file: &document.file, path: &path };
        let extension =
            extension.as_object().ok_or_else(|| at.error("", "must be a JSON object"))?;
        let required = extension.get("required").and_then(Value::as_bool).unwrap_or(false);
        extensions.push((at.text(extension, "schema")?.to_owned(), required));
    }
    Ok(TypeFields {
        name: name.to_owned(),
        endpoint: endpoint.to_owned(),
        description: object.get("description").and_then(Value::as_str).unwrap_or(name).to_owned(),
        schema: at.text(object, "schema")?.to_owned(),
        extensions,
    })
}

fn require_schema(
    schemas: &[Arc<Schema>],
    at: &FilePosition<'_>,
    urn: &str,
) -> Result<Arc<Schema>, SchemaError> {
    find_schema(schemas, urn)
        .cloned()
        .ok_or_else(|| at.error("schema", format!("no file defines the schema {urn}")))
}

fn assemble(
    schemas: &[Arc<Schema>],
    types: &[(&SchemaFile, TypeFields)],
) -> Result<Vec<ResourceType>, SchemaError> {
    let mut order: Vec<&TypeFields> = Vec::new();
    let mut extensions: HashMap<&str, Vec<Extension>> = HashMap::new();
    for (document, resource_type) in types {
        let at = FilePosition::top(&document.file);
        require_schema(schemas, &at, &resource_type.schema)?;
        match order.iter().find(|known| known.name.eq_ignore_ascii_case(&resource_type.name)) {
            None => {
                let mut known = order.iter();
                if let Some(known) =
                    known.find(|known| known.endpoint.eq_ignore_ascii_case(&resource_type.endpoint))
                {
                    return Err(at.error(
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
                return Err(at.error(
                    "name",
                    format!(
                        "{} exists; to add an extension to it, keep its endpoint {} and schema {}",
                        known.name, known.endpoint, known.schema
                    ),
                ));
            }
        }
        let known = extensions.entry(&resource_type.name).or_default();
        extend(known, schemas, &document.file, resource_type)?;
    }
    order
        .into_iter()
        .map(|resource_type| {
            let schema = require_schema(schemas, &FilePosition::top(""), &resource_type.schema)?;
            let extensions = extensions.remove(&*resource_type.name).unwrap_or_default();
            let document = publish(resource_type, &schema.id, &extensions);
            let kind = Kind::new(resource_type.name.as_str());
            Ok(ResourceType::new(
                kind,
                resource_type.endpoint.clone(),
                schema,
                extensions,
                document,
            ))
        })
        .collect()
}

/// Adds the extensions of a resource type's file to those that are known of the kind.
fn extend(
    known: &mut Vec<Extension>,
    schemas: &[Arc<Schema>],
    file: &str,
    resource_type: &TypeFields,
) -> Result<(), SchemaError> {
    for (index, (urn, required)) in resource_type.extensions.iter().enumerate() {
        let path = format!("schemaExtensions[{index}]");
        let at = FilePosition { file, path: &path };
        let schema = require_schema(schemas, &at, urn)?;
        if schema.id.as_str().eq_ignore_ascii_case(&resource_type.schema) {
            return Err(
                at.error("schema", format!("{urn} is the schema of {} itself", resource_type.name))
            );
        }
        // A file that adds to a kind may repeat the extensions that the kind has.
        match known.iter_mut().find(|extension| extension.schema.id == schema.id) {
            Some(extension) => extension.required |= *required,
            None => known.push(Extension { schema, required: *required }),
        }
    }
    Ok(())
}

/// Returns a resource type as `/ResourceTypes` shows it.
fn publish(resource_type: &TypeFields, schema: &Urn, extensions: &[Extension]) -> Value {
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
    for (name, paths) in BUILTIN_MARKS.iter().map(|(kind, paths)| (*kind, paths.to_vec())).chain(
        marks
            .iter()
            .map(|(kind, paths)| (kind.as_str(), paths.iter().map(String::as_str).collect())),
    ) {
        let at = FilePosition { file: "indexes.toml", path: name };
        let Some(kind) = kinds.iter_mut().find(|kind| kind.kind.as_str() == name) else {
            return Err(at.error("", "there is no resource type of this name"));
        };
        if paths.len() > MAX_MARKS {
            return Err(at.error("indexed", format!("has more than {MAX_MARKS} attributes")));
        }
        for path in paths {
            let reference =
                kind.resolve(path).map_err(|error| at.error("indexed", error.to_string()))?;
            let leaf = reference.leaf();
            if matches!(leaf.value_type, ValueType::Complex | ValueType::Binary)
                || leaf.returned == super::Returned::Never
            {
                return Err(at.error(
                    "indexed",
                    format!("{path} cannot be indexed: it is complex, binary or never returned"),
                ));
            }
            // Columns and member rows are found without index rows.
            if matches!(reference.source, AttrSource::Document) {
                kind.mark_indexed(reference);
            }
        }
    }
    Ok(kinds)
}

const ENTERPRISE_MANAGER: &str =
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value";

/// Attributes by which identity providers search: lookups by e-mail, checks of the manager.
const BUILTIN_MARKS: [(&str, &[&str]); 1] =
    [("User", &["emails.value", "phoneNumbers.value", ENTERPRISE_MANAGER])];

fn builtin_documents() -> Result<Vec<SchemaFile>, SchemaError> {
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
                .map_err(|error| FilePosition::top(file).error("", error.to_string()))?;
            Ok(SchemaFile { file: (*file).to_owned(), content })
        })
        .collect()
}

#[cfg(test)]
mod tests;
