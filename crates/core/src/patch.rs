//! PATCH (RFC 7644 §3.5.2): a pure function from attributes and operations to attributes.

mod apply;
mod effect;
mod elements;
mod immutable;
mod member_ids;
mod membership;
mod request;
mod values;

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::error::Error;
use crate::filter::ResolvedFilter;
use crate::members::MemberChange;
use crate::path::AttrRef;
use crate::resource::Attributes;
use crate::schema::{Attribute, Extension};

pub use apply::Outcome;
pub(crate) use apply::{Before, apply};
pub(crate) use immutable::check_immutable;
pub(crate) use membership::members_match;
pub use request::{MAX_OPERATIONS, PatchRequest};

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// RFC 7644 §3.5.2.1
    Add,
    /// RFC 7644 §3.5.2.3
    Replace,
    /// RFC 7644 §3.5.2.2
    Remove,
}

/// One operation with its path resolved. An operation without a path has become one per attribute.
#[derive(Debug, Clone)]
pub struct Operation {
    /// What it does.
    pub verb: Verb,
    /// What it works on.
    pub target: PatchTarget,
    /// The value; never absent for add and replace.
    pub value: Option<Value>,
    /// The number of the operation in the request, counted from 1, for errors.
    pub number: usize,
}

/// What an operation works on.
#[derive(Debug, Clone)]
pub enum PatchTarget {
    /// An attribute or sub-attribute.
    Attribute(AttrRef),
    /// The values of a complex attribute that a filter selects.
    Elements(Elements),
    /// All attributes of an extension.
    Container(Extension),
    /// The list of schemas.
    Schemas,
    /// All members of a group.
    Members,
    /// The members of a group that a filter selects.
    SelectedMembers(ResolvedFilter),
}

/// Some values of a complex attribute, or one sub-attribute of them.
#[derive(Debug, Clone)]
pub struct Elements {
    /// The attribute.
    pub attribute: AttrRef,
    /// The filter that selects values.
    pub filter: ResolvedFilter,
    /// The sub-attribute after the bracket.
    pub sub_attribute: Option<Arc<Attribute>>,
    /// The sub-attributes that a value needs to satisfy the filter, if the filter is nothing but `eq` terms
    /// joined by `and`.
    pub template: Option<Map<String, Value>>,
}

impl Elements {
    /// Returns whether the path has no filter and so means every value.
    pub(crate) fn is_every(&self) -> bool {
        self.filter == ResolvedFilter::everything()
    }
}

/// The result of a PATCH.
#[derive(Debug, Clone)]
pub struct Patched {
    /// The attributes afterwards.
    pub attributes: Attributes,
    /// The change of the members.
    pub members: MemberChange,
}

fn read_only(path: String) -> Error {
    Error::Mutability { path, reason: "only the server sets this attribute".into() }
}

#[cfg(test)]
mod nasty;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod worst_cases;
