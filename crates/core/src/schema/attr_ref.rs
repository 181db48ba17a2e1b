//! Attributes as everything behind the parsers names them: by definition, and by where the value is.

use std::fmt;
use std::sync::Arc;

use super::{Attribute, ResourceType, ValueType};
use crate::ids::Urn;

/// Where the value of an attribute is found, so that a store needs no schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
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
    /// Derived rows under this path; see [`crate::index`].
    Indexed(Arc<str>),
    /// Only the document knows.
    Document,
}

/// An attribute of a kind, or a sub-attribute, with everything a reader needs to know of it.
#[derive(Clone, PartialEq)]
pub struct AttrRef {
    /// The extension under whose URN the attribute stands; none for core and common attributes.
    pub container: Option<Urn>,
    /// The attribute.
    pub attribute: Arc<Attribute>,
    /// The sub-attribute, for paths such as `name.familyName`.
    pub sub_attribute: Option<Arc<Attribute>>,
    /// Where the value is found.
    pub place: Place,
}

impl AttrRef {
    /// Returns the definition that the path ends at.
    pub fn leaf(&self) -> &Arc<Attribute> {
        self.sub_attribute.as_ref().unwrap_or(&self.attribute)
    }

    /// Checks whether more than one value can be found at this path.
    pub fn is_plural(&self) -> bool {
        self.attribute.multi_valued
    }

    /// Returns whether it leads to several values without sub-attributes.
    pub fn is_simple_list(&self) -> bool {
        let attribute = &self.attribute;
        attribute.multi_valued && attribute.value_type != ValueType::Complex
    }

    /// Returns the same attribute with a sub-attribute below it.
    pub(crate) fn with_sub(&self, kind: &ResourceType, sub: &Arc<Attribute>) -> Self {
        let mut reference = Self { sub_attribute: Some(Arc::clone(sub)), ..self.clone() };
        reference.place = kind.place(&reference);
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
