//! Schemas as data (RFC 7643 §2, §7): the server publishes and enforces what the files define.

mod attr_ref;
mod load;
pub mod registry;
mod resource_type;

use std::sync::Arc;

use serde_json::Value;
use thiserror::Error as ThisError;

use crate::ids::Urn;

pub use attr_ref::{AttrRef, AttrSource};
pub use registry::Registry;
pub use resource_type::{Container, Extension, Indexed, Membership, ResourceType};

/// The URN of the core User schema (RFC 7643 §4.1).
pub const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// The URN of the core Group schema (RFC 7643 §4.2).
pub const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

/// The data type of an attribute (RFC 7643 §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// Unicode text.
    String,
    /// `true` or `false`.
    Boolean,
    /// A real number.
    Decimal,
    /// A whole number of 64 bits.
    Integer,
    /// An `xsd:dateTime`.
    DateTime,
    /// Bytes in base64.
    Binary,
    /// A URI.
    Reference,
    /// An object with sub-attributes.
    Complex,
}

/// Who may change an attribute, and when (RFC 7643 §7 `mutability`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutability {
    /// Only the server.
    ReadOnly,
    /// The client, at any time.
    ReadWrite,
    /// The client, while there is no value.
    Immutable,
    /// The client; no one reads it.
    WriteOnly,
}

/// When an attribute is in a reply (RFC 7643 §7 `returned`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returned {
    /// In every reply.
    Always,
    /// In no reply.
    Never,
    /// Unless the client asked for other attributes.
    Default,
    /// When the client names it, or has just written it.
    Request,
}

/// Whether values may repeat (RFC 7643 §7 `uniqueness`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uniqueness {
    /// They may.
    None,
    /// Not among the resources of one kind in one tenant. `global` is enforced as `server`.
    Server,
}

/// The definition of one attribute or sub-attribute (RFC 7643 §7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// The name in its canonical spelling.
    pub name: Arc<str>,
    /// The data type.
    pub value_type: ValueType,
    /// Whether the value is an array.
    pub multi_valued: bool,
    /// Whether a resource must have a value.
    pub required: bool,
    /// Whether upper and lower case differ in comparisons.
    pub case_exact: bool,
    /// Who may change it.
    pub mutability: Mutability,
    /// When it is in a reply.
    pub returned: Returned,
    /// Whether values may repeat.
    pub uniqueness: Uniqueness,
    /// Whether values name other resources: a reference to a resource type, or a complex attribute
    /// with such a `$ref` next to its `value` (RFC 7643 §2.4).
    pub refers: bool,
    /// Suggested values; enforced only for tenants that ask for it.
    pub canonical_values: Vec<Arc<str>>,
    /// The sub-attributes of a complex attribute.
    pub sub_attributes: Vec<Arc<Attribute>>,
}

impl Attribute {
    /// Finds a sub-attribute by its name in any case (RFC 7643 §2.1).
    pub fn sub(&self, name: &str) -> Option<&Arc<Attribute>> {
        find(&self.sub_attributes, name)
    }

    /// Returns whether no client may write it.
    pub fn is_read_only(&self) -> bool {
        self.mutability == Mutability::ReadOnly
    }

    /// Returns whether a sub-attribute only describes one of several values: `type` and `primary`, and
    /// `display` where there is no `value`. A value of which nothing else is left is no value.
    pub(crate) fn describes(&self, name: &str) -> bool {
        self.is_plural_complex()
            && self.is_description(name)
            && !self.sub_attributes.iter().all(|sub| self.is_description(&sub.name))
    }

    fn is_description(&self, name: &str) -> bool {
        ["type", "primary"].iter().any(|mark| name.eq_ignore_ascii_case(mark))
            || (name.eq_ignore_ascii_case("display") && self.sub("value").is_none())
    }

    /// Returns whether the attribute is an array of objects.
    pub(crate) fn is_plural_complex(&self) -> bool {
        self.multi_valued && self.value_type == ValueType::Complex
    }
}

/// Finds an attribute by its name in any case.
pub(crate) fn find<'a>(attributes: &'a [Arc<Attribute>], name: &str) -> Option<&'a Arc<Attribute>> {
    attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}

/// A schema: a URN and the attributes it defines.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    /// The URN.
    pub id: Urn,
    /// The name for people.
    pub name: Arc<str>,
    /// The attributes, in the order in which resources show them.
    pub attributes: Vec<Arc<Attribute>>,
    /// The schema as it is served at `/Schemas`, without `meta`: with every characteristic.
    pub document: Value,
}

impl Schema {
    /// Finds an attribute by its name in any case.
    pub fn attribute(&self, name: &str) -> Option<&Arc<Attribute>> {
        find(&self.attributes, name)
    }
}

/// A schema or resource type file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[error("{file}: {}{reason}", if path.is_empty() { String::new() } else { format!("{path}: ") })]
pub struct SchemaError {
    /// The file's name, as given to the registry.
    pub file: String,
    /// The position in the file, as `attributes[3].subAttributes[0].type`.
    pub path: String,
    /// What is wrong, and what to change.
    pub reason: String,
}
