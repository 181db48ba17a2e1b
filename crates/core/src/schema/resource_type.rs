//! A resource type: a schema, its extensions, and where each attribute is found.

use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value};

use super::{
    AttrRef, Attribute, GROUP, Mutability, Place, Returned, Schema, USER, Uniqueness, ValueType,
};
use crate::ids::{Kind, Urn};

/// An extension that resources of a kind may or must carry (RFC 7643 §3.3).
#[derive(Debug, Clone, PartialEq)]
pub struct Extension {
    /// The schema of the extension.
    pub schema: Arc<Schema>,
    /// Whether every resource must carry it.
    pub required: bool,
}

/// Where attributes stand: in the resource itself or under an extension's URN.
#[derive(Debug, Clone, Copy)]
pub enum Container<'a> {
    /// The resource itself.
    Core,
    /// The object under the extension's URN.
    Extension(&'a Extension),
}

impl Container<'_> {
    /// Returns the attributes that stand in it.
    pub fn attributes<'k>(&'k self, kind: &'k ResourceType) -> &'k [Arc<Attribute>] {
        match self {
            Self::Core => &kind.schema.attributes,
            Self::Extension(extension) => &extension.schema.attributes,
        }
    }
}

/// An attribute for which the store keeps rows that filters find.
#[derive(Debug, Clone, PartialEq)]
pub struct Indexed {
    /// The canonical path, also the key of the rows.
    pub path: Arc<str>,
    /// The attribute.
    pub reference: AttrRef,
}

/// The relation of a kind to group membership, which is kept as rows and not in documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// The kind has nothing to do with it.
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
    /// The attribute that names a resource, if the kind has one.
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
        let schemas =
            || std::iter::once(&schema).chain(extensions.iter().map(|extension| &extension.schema));
        // Members and groups are rows: they are not in the text.
        let rows = match membership {
            Membership::None => None,
            Membership::Members => Some("members"),
            Membership::Groups => Some("groups"),
        };
        let on_request = |attribute: &Arc<Attribute>| {
            rows != Some(&*attribute.name)
                && (attribute.returned == Returned::Request
                    || attribute.sub_attributes.iter().any(|sub| sub.returned == Returned::Request))
        };
        let spliceable = !schemas().any(|schema| schema.attributes.iter().any(on_request));
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
            name.place = Place::Name;
        }
        for (urn, container) in kind.containers_owned() {
            for attribute in &container.attributes {
                if attribute.uniqueness == Uniqueness::Server {
                    let reference = kind.reference(urn.clone(), attribute);
                    kind.unique.push(reference);
                }
            }
        }
        // A unique attribute has index rows too, unless it is a column: filters ask for it.
        for reference in kind.unique.clone() {
            if reference.place == Place::Document {
                kind.mark_indexed(reference);
            }
        }
        kind
    }

    /// Adds index rows for an attribute that has none yet.
    pub(super) fn mark_indexed(&mut self, mut reference: AttrRef) {
        let path: Arc<str> = reference.to_string().into();
        if self.indexed.iter().all(|indexed| indexed.path != path) {
            reference.place = Place::Indexed(Arc::clone(&path));
            self.indexed.push(Indexed { path, reference });
        }
        let placed: Vec<_> = self.unique.iter().map(|reference| self.place(reference)).collect();
        for (reference, place) in self.unique.iter_mut().zip(placed) {
            reference.place = place;
        }
    }

    fn reference(&self, container: Option<Urn>, attribute: &Arc<Attribute>) -> AttrRef {
        let mut reference = AttrRef {
            container,
            attribute: Arc::clone(attribute),
            sub_attribute: None,
            place: Place::Document,
        };
        reference.place = self.place(&reference);
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
        let has = |name: &str, value: &Value| {
            let empty = value.as_object().map_or(value.is_null(), Map::is_empty);
            !empty && self.extension(name).is_some()
        };
        let named = |name: &str| {
            urns.iter().filter_map(Value::as_str).any(|urn| urn.eq_ignore_ascii_case(name))
        };
        let unnamed = body.iter().filter(|(name, value)| has(name, value) && !named(name));
        unnamed
            .filter_map(|(name, _)| self.extension(name))
            .map(|extension| extension.schema.id.clone())
            .collect()
    }

    /// Finds one of the attributes that every resource has (RFC 7643 §3.1).
    pub(crate) fn common_attribute(&self, name: &str) -> Option<&'static Arc<Attribute>> {
        super::find(&*COMMON, name)
    }

    /// Tells where the value of an attribute of this kind is found.
    pub(crate) fn place(&self, reference: &AttrRef) -> Place {
        let name = &*reference.attribute.name;
        let sub = reference.sub_attribute.as_ref().map(|sub| &*sub.name);
        if reference.container.is_none() {
            match (name, sub) {
                ("id", None) => return Place::Id,
                ("externalId", None) => return Place::ExternalId,
                ("schemas", None) => return Place::Schemas,
                ("meta", Some("resourceType")) => return Place::ResourceType,
                ("meta", Some("created")) => return Place::Created,
                ("meta", Some("lastModified")) => return Place::Modified,
                ("meta", Some("version")) => return Place::Version,
                ("active", None) if self.schema.id.as_str() == USER => return Place::Active,
                ("members", _) if self.membership == Membership::Members => return Place::Members,
                ("groups", _) if self.membership == Membership::Groups => return Place::Groups,
                (name, None) if self.name.as_ref().is_some_and(|n| &*n.attribute.name == name) => {
                    return Place::Name;
                }
                _ => {}
            }
        }
        let same = |indexed: &&Indexed| {
            indexed.reference.container == reference.container
                && indexed.reference.attribute.name == reference.attribute.name
                && indexed.reference.sub_attribute == reference.sub_attribute
        };
        match self.indexed.iter().find(same) {
            Some(indexed) => Place::Indexed(Arc::clone(&indexed.path)),
            None => Place::Document,
        }
    }
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
    let sub = |name: &str, value_type| Arc::new(common(name, value_type, Vec::new()));
    let meta = vec![
        sub("resourceType", ValueType::String),
        sub("created", ValueType::DateTime),
        sub("lastModified", ValueType::DateTime),
        sub("location", ValueType::Reference),
        sub("version", ValueType::String),
    ];
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
