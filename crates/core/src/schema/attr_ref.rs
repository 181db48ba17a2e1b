//! References to attributes, as everything after the parsers uses them: the definition, and where the
//! value is found.

use std::fmt;
use std::sync::Arc;

use super::{Attribute, ResourceType, ValueType};
use crate::ids::Urn;

/// Where the value of an attribute is found, so that a store needs no schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttrSource {
    /// The resource's `id`.
    Id,
    /// The resource's `externalId`.
    ExternalId,
    /// The `schemas` of the resource.
    Schemas,
    /// `meta.resourceType`: the same for all resources of the kind.
    ResourceType,
    /// `meta.created`.
    Created,
    /// `meta.lastModified`.
    Modified,
    /// `meta.version`.
    Version,
    /// The attribute that names the resource: `userName`, or `displayName` of kinds without one.
    Name,
    /// The boolean `active` of a user.
    Active,
    /// A sub-attribute of a group's `members`, which are rows.
    Members,
    /// A sub-attribute of a user's computed `groups`.
    Groups,
    /// Index rows under this path; see [`crate::index`].
    Indexed(Arc<str>),
    /// The document alone.
    Document,
}

/// An attribute of a kind, or a sub-attribute, with everything that its readers need.
#[derive(Clone, PartialEq)]
pub struct AttrRef {
    /// The extension under whose URN the attribute is; none for core and common attributes.
    pub container: Option<Urn>,
    /// The attribute.
    pub attribute: Arc<Attribute>,
    /// The sub-attribute, for paths such as `name.familyName`.
    pub sub_attribute: Option<Arc<Attribute>>,
    /// Where the value is found.
    pub source: AttrSource,
}

impl AttrRef {
    /// Returns the definition at the end of the path.
    pub fn leaf(&self) -> &Arc<Attribute> {
        self.sub_attribute.as_ref().unwrap_or(&self.attribute)
    }

    /// Returns whether the path can have more than one value.
    pub fn is_plural(&self) -> bool {
        self.attribute.multi_valued
    }

    /// Returns whether the path has several values without sub-attributes.
    pub fn is_simple_list(&self) -> bool {
        let attribute = &self.attribute;
        attribute.multi_valued && attribute.value_type != ValueType::Complex
    }

    /// Returns the same attribute with a sub-attribute below it.
    pub(crate) fn with_sub(&self, kind: &ResourceType, sub: &Arc<Attribute>) -> Self {
        let mut reference = Self { sub_attribute: Some(Arc::clone(sub)), ..self.clone() };
        reference.source = kind.source(&reference);
        reference
    }
}

impl fmt::Display for AttrRef {
    /// Writes the canonical path, as `emails.value` or `urn:…:User:manager.value`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(urn) = &self.container {
            write!(f, "{urn}:")?;
        }
        f.write_str(&self.attribute.name)?;
        match &self.sub_attribute {
            Some(sub) => write!(f, ".{}", sub.name),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for AttrRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
