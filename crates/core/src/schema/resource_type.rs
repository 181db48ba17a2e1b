//! A resource type: a schema, its extensions, and the source of each attribute.

use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value};

use super::{
    AttrRef, AttrSource, Attribute, GROUP, Mutability, Returned, Schema, USER, Uniqueness,
    ValueType,
};
use crate::ids::{Kind, Urn};

/// An extension that resources of a kind may or must have (RFC 7643 §3.3).
#[derive(Debug, Clone, PartialEq)]
pub struct Extension {
    /// The schema of the extension.
    pub schema: Arc<Schema>,
    /// Whether every resource must have it.
    pub required: bool,
}

/// The object that attributes belong to: the resource itself, or the one under an extension's URN.
#[derive(Debug, Clone, Copy)]
pub enum Container<'a> {
    /// The resource itself.
    Core,
    /// The object under the extension's URN.
    Extension(&'a Extension),
}

impl Container<'_> {
    /// Returns its attributes.
    pub fn attributes<'k>(&'k self, kind: &'k ResourceType) -> &'k [Arc<Attribute>] {
        match self {
            Self::Core => &kind.schema.attributes,
            Self::Extension(extension) => &extension.schema.attributes,
        }
    }
}

/// An attribute for which the store keeps index rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Indexed {
    /// The canonical path, also the key of the rows.
    pub path: Arc<str>,
    /// The attribute.
    pub reference: AttrRef,
}

/// The relation of a kind to group membership, which is stored as rows and not in documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// None.
    None,
    /// The kind has `members`.
    Members,
    /// The kind shows the computed `groups`.
    Groups,
}

/// A kind of resource that this deployment serves (RFC 7643 §6).
#[derive(Debug)]
pub struct ResourceType {
    /// The name: `User`, `Group`, …
    pub kind: Kind,
    /// The endpoint below the base URL, with its slash: `/Users`.
    pub endpoint: String,
    /// The core schema.
    pub schema: Arc<Schema>,
    /// The extensions, in the order in which resources show them.
    pub extensions: Vec<Extension>,
    /// The resource type as it is served at `/ResourceTypes`, without `meta`.
    pub document: Value,
    /// Attributes with index rows.
    pub indexed: Vec<Indexed>,
    /// Attributes whose values are unique among the resources of the kind.
    pub unique: Vec<AttrRef>,
    /// The attribute that names a resource: `userName`, or `displayName` of kinds without one.
    pub name: Option<AttrRef>,
    /// The relation to group membership.
    pub membership: Membership,
    /// Whether the stored text may be sent as it is: no attribute in it is `returned: request`.
    pub spliceable: bool,
}

impl ResourceType {
    pub(super) fn new(
        kind: Kind,
        endpoint: String,
        schema: Arc<Schema>,
        extensions: Vec<Extension>,
        document: Value,
    ) -> Self {
        let membership = match schema.id.as_str() {
            GROUP if schema.attribute("members").is_some() => Membership::Members,
            USER if schema.attribute("groups").is_some() => Membership::Groups,
            _ => Membership::None,
        };
        // Members and groups are rows: they are not in the text.
        let rows = match membership {
            Membership::None => None,
            Membership::Members => Some("members"),
            Membership::Groups => Some("groups"),
        };
        let mut schemas =
            std::iter::once(&schema).chain(extensions.iter().map(|extension| &extension.schema));
        let spliceable = !schemas.any(|schema| {
            let mut stored = schema.attributes.iter().filter(|at| rows != Some(&*at.name));
            stored.any(|attribute| is_on_request(attribute))
        });
        let mut kind = Self {
            kind,
            endpoint,
            schema,
            extensions,
            document,
            indexed: Vec::new(),
            unique: Vec::new(),
            name: None,
            membership,
            spliceable,
        };
        kind.name = ["userName", "displayName"].iter().find_map(|name| {
            let attribute = kind.schema.attribute(name)?;
            let plain = attribute.value_type == ValueType::String && !attribute.multi_valued;
            plain.then(|| kind.reference(None, attribute))
        });
        if let Some(name) = &mut kind.name {
            name.source = AttrSource::Name;
        }
        for (urn, container) in kind.containers_owned() {
            for attribute in &container.attributes {
                if attribute.uniqueness == Uniqueness::Server {
                    let reference = kind.reference(urn.clone(), attribute);
                    kind.unique.push(reference);
                }
            }
        }
        // Clients search by unique attributes: those that are no columns have index rows.
        for reference in kind.unique.clone() {
            if reference.source == AttrSource::Document {
                kind.mark_indexed(reference);
            }
        }
        kind
    }

    /// Adds index rows for an attribute that has none.
    pub(super) fn mark_indexed(&mut self, mut reference: AttrRef) {
        let path: Arc<str> = reference.to_string().into();
        if self.indexed.iter().all(|indexed| indexed.path != path) {
            reference.source = AttrSource::Indexed(Arc::clone(&path));
            self.indexed.push(Indexed { path, reference });
        }
        let sources: Vec<_> = self.unique.iter().map(|reference| self.source(reference)).collect();
        for (reference, source) in self.unique.iter_mut().zip(sources) {
            reference.source = source;
        }
    }

    fn reference(&self, container: Option<Urn>, attribute: &Arc<Attribute>) -> AttrRef {
        let mut reference = AttrRef {
            container,
            attribute: Arc::clone(attribute),
            sub_attribute: None,
            source: AttrSource::Document,
        };
        reference.source = self.source(&reference);
        reference
    }

    fn containers_owned(&self) -> Vec<(Option<Urn>, Arc<Schema>)> {
        let core = std::iter::once((None, Arc::clone(&self.schema)));
        let extensions = self.extensions.iter();
        core.chain(extensions.map(|e| (Some(e.schema.id.clone()), Arc::clone(&e.schema)))).collect()
    }

    /// Returns the containers of attributes with their URNs: the core schema, then the extensions.
    pub fn containers(&self) -> impl Iterator<Item = (&Urn, Container<'_>)> {
        let extensions = self.extensions.iter();
        std::iter::once((&self.schema.id, Container::Core)).chain(
            extensions.map(|extension| (&extension.schema.id, Container::Extension(extension))),
        )
    }

    /// Finds an extension by its URN in any case (EXT-002).
    pub fn extension(&self, urn: &str) -> Option<&Extension> {
        self.extensions
            .iter()
            .find(|extension| extension.schema.id.as_str().eq_ignore_ascii_case(urn))
    }

    /// Returns the extensions that a body has values of and its `schemas` do not name.
    pub(crate) fn unnamed_extensions(&self, body: &Map<String, Value>, urns: &[Value]) -> Vec<Urn> {
        let mut unnamed = Vec::new();
        for (name, value) in body {
            let empty = value.as_object().map_or(value.is_null(), Map::is_empty);
            let mut urns = urns.iter().filter_map(Value::as_str);
            if let Some(extension) = self.extension(name)
                && !empty
                && !urns.any(|urn| urn.eq_ignore_ascii_case(name))
            {
                unnamed.push(extension.schema.id.clone());
            }
        }
        unnamed
    }

    /// Finds one of the attributes that every resource has (RFC 7643 §3.1).
    pub(crate) fn common_attribute(&self, name: &str) -> Option<&'static Arc<Attribute>> {
        super::find(&*COMMON, name)
    }

    /// Returns where the value of an attribute of this kind is found.
    pub(crate) fn source(&self, reference: &AttrRef) -> AttrSource {
        let name = &*reference.attribute.name;
        let sub = reference.sub_attribute.as_ref().map(|sub| &*sub.name);
        if reference.container.is_none() {
            match (name, sub) {
                ("id", None) => return AttrSource::Id,
                ("externalId", None) => return AttrSource::ExternalId,
                ("schemas", None) => return AttrSource::Schemas,
                ("meta", Some("resourceType")) => return AttrSource::ResourceType,
                ("meta", Some("created")) => return AttrSource::Created,
                ("meta", Some("lastModified")) => return AttrSource::Modified,
                ("meta", Some("version")) => return AttrSource::Version,
                ("active", None) if self.schema.id.as_str() == USER => return AttrSource::Active,
                ("members", _) if self.membership == Membership::Members => {
                    return AttrSource::Members;
                }
                ("groups", _) if self.membership == Membership::Groups => {
                    return AttrSource::Groups;
                }
                (name, None) if self.name.as_ref().is_some_and(|n| &*n.attribute.name == name) => {
                    return AttrSource::Name;
                }
                _ => {}
            }
        }
        let indexed = self.indexed.iter().find(|indexed| {
            indexed.reference.container == reference.container
                && indexed.reference.attribute.name == reference.attribute.name
                && indexed.reference.sub_attribute == reference.sub_attribute
        });
        match indexed {
            Some(indexed) => AttrSource::Indexed(Arc::clone(&indexed.path)),
            None => AttrSource::Document,
        }
    }
}

/// Returns whether the attribute or a part of it is shown only when a client names it.
fn is_on_request(attribute: &Attribute) -> bool {
    attribute.returned == Returned::Request
        || attribute.sub_attributes.iter().any(|sub| sub.returned == Returned::Request)
}

fn common(name: &str, value_type: ValueType, sub_attributes: Vec<Arc<Attribute>>) -> Attribute {
    Attribute {
        name: name.into(),
        value_type,
        multi_valued: false,
        required: false,
        case_exact: true,
        mutability: Mutability::ReadOnly,
        returned: Returned::Default,
        uniqueness: Uniqueness::None,
        refers: false,
        canonical_values: Vec::new(),
        sub_attributes,
    }
}

/// The attributes of RFC 7643 §3.1, which belong to no schema and to every resource.
static COMMON: LazyLock<[Arc<Attribute>; 4]> = LazyLock::new(|| {
    let meta = [
        ("resourceType", ValueType::String),
        ("created", ValueType::DateTime),
        ("lastModified", ValueType::DateTime),
        ("location", ValueType::Reference),
        ("version", ValueType::String),
    ]
    .map(|(name, value_type)| Arc::new(common(name, value_type, Vec::new())))
    .to_vec();
    [
        Arc::new(Attribute {
            multi_valued: true,
            returned: Returned::Always,
            ..common("schemas", ValueType::Reference, Vec::new())
        }),
        Arc::new(Attribute {
            returned: Returned::Always,
            ..common("id", ValueType::String, Vec::new())
        }),
        Arc::new(Attribute {
            mutability: Mutability::ReadWrite,
            ..common("externalId", ValueType::String, Vec::new())
        }),
        Arc::new(common("meta", ValueType::Complex, meta)),
    ]
});
