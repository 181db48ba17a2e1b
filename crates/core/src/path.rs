//! Attribute paths (RFC 7644 §3.10): as clients write them, and resolved against a kind.

mod near;
mod parts;

use std::sync::Arc;

use crate::error::{Lead, PathError};
use crate::schema::{Container, Extension, ResourceType, ValueType};

pub use crate::schema::{AttrRef, AttrSource};

pub use parts::PathParts;
pub(crate) use parts::split_list;

/// An attribute path as the client wrote it. Only its characters have been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttrPath(String);

impl AttrPath {
    /// Wraps a text of which each character satisfies [`is_path_char`].
    pub(crate) fn from_word(word: &str) -> Self {
        Self(word.to_owned())
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns whether a character can be part of an attribute path.
pub(crate) fn is_path_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '$' | '.' | ':' | '/')
}

/// Returns whether a path begins like a URN.
fn is_urn(path: &str) -> bool {
    path.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("urn:"))
}

/// What a path names.
#[derive(Debug, Clone, PartialEq)]
pub enum PathTarget {
    /// An attribute or sub-attribute.
    Attribute(AttrRef),
    /// All attributes of an extension: the path is its URN.
    Container(Extension),
}

impl ResourceType {
    /// Resolves a path to an attribute, in any case and with or without the schema's URN.
    ///
    /// # Errors
    ///
    /// [`PathError`] when the path is malformed, names nothing, or names a whole extension.
    pub fn resolve(&self, path: &str) -> Result<AttrRef, PathError> {
        match self.resolve_target(path)? {
            PathTarget::Attribute(reference) => Ok(reference),
            PathTarget::Container(_) => {
                Err(PathError::new(path, "this is a whole extension; name one of its attributes"))
            }
        }
    }

    /// Resolves a path to an attribute or to an extension as a whole.
    ///
    /// # Errors
    ///
    /// [`PathError`] when the path is malformed or names nothing.
    pub fn resolve_target(&self, path: &str) -> Result<PathTarget, PathError> {
        let (container, names) = self.split_urn(path)?;
        let Some(names) = names else {
            return match container {
                Container::Extension(extension) => Ok(PathTarget::Container(extension.clone())),
                Container::Core => {
                    Err(PathError::new(path, "this is a whole schema; name one of its attributes"))
                }
            };
        };
        let mut parts = names.split('.');
        let (name, sub) = (parts.next().unwrap_or_default(), parts.next());
        if name.is_empty() || sub == Some("") || parts.next().is_some() {
            return Err(PathError::new(
                path,
                "an attribute path is a name, or a name, a dot and a sub-attribute",
            ));
        }
        let attribute = match container {
            Container::Core => self.common_attribute(name).or_else(|| self.schema.attribute(name)),
            Container::Extension(extension) => extension.schema.attribute(name),
        };
        let Some(attribute) = attribute else {
            return Err(PathError::new(
                path,
                format!("{} has no attribute of this name", self.kind),
            ));
        };
        let urn = match container {
            Container::Core => None,
            Container::Extension(extension) => Some(extension.schema.id.clone()),
        };
        let mut reference = AttrRef {
            container: urn,
            attribute: Arc::clone(attribute),
            sub_attribute: None,
            source: AttrSource::Document,
        };
        if let Some(sub) = sub {
            let found = attribute.sub(sub).ok_or_else(|| {
                let reason = match attribute.value_type {
                    ValueType::Complex => {
                        format!("{} has no sub-attribute of this name", attribute.name)
                    }
                    _ => format!("{} has no sub-attributes", attribute.name),
                };
                PathError::new(path, reason)
            })?;
            reference.sub_attribute = Some(Arc::clone(found));
        }
        reference.source = self.source(&reference);
        Ok(PathTarget::Attribute(reference))
    }

    /// Splits the longest known schema URN off the front of a path (EXT-011, EXT-012).
    ///
    /// The names are absent when the path is the URN itself.
    fn split_urn<'k, 'p>(
        &'k self,
        path: &'p str,
    ) -> Result<(Container<'k>, Option<&'p str>), PathError> {
        if path.is_empty() || !path.chars().all(is_path_char) {
            return Err(PathError::new(
                path,
                "an attribute path has letters, digits, \"-\", \"_\", \"$\", \".\" and \":\" only",
            ));
        }
        if !is_urn(path) {
            return match path.contains(':') {
                true => Err(PathError::new(
                    path,
                    "a \":\" can only be between a schema URN and an attribute",
                )),
                false => Ok((Container::Core, Some(path))),
            };
        }
        let matching = self.containers().filter_map(|(urn, container)| {
            let tail = near::after(urn, path)?;
            let names = match tail.strip_prefix(':') {
                None if tail.is_empty() => None,
                Some(names) => Some(names),
                None => return None,
            };
            Some((urn.as_str().len(), container, names))
        });
        if let Some((_, container, names)) = matching.max_by_key(|(length, _, _)| *length) {
            return Ok((container, names));
        }
        let (lead, reason) = match near::meant(self, path) {
            Some(urn) => (
                Lead::Mistaken,
                format!(
                    "no schema of {} has this URN; write {urn}, then \":\" and the attribute",
                    self.kind
                ),
            ),
            None => (Lead::Foreign, format!("no schema of {} has this URN", self.kind)),
        };
        Err(PathError { lead, ..PathError::new(path, reason) })
    }

    /// Replaces the dot after a schema URN by a colon.
    pub(crate) fn with_colon_after_urn(&self, path: &str) -> Option<String> {
        if !is_urn(path) || self.split_urn(path).is_ok() {
            return None;
        }
        let dotted = self.containers().filter_map(|(urn, _)| {
            let names =
                near::after(urn, path)?.strip_prefix('.').filter(|names| !names.is_empty())?;
            Some((urn, names))
        });
        let (urn, names) = dotted.max_by_key(|(urn, _)| urn.as_str().len())?;
        Some(format!("{urn}:{names}"))
    }
}
