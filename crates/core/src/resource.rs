//! Resources: canonical attributes, and the text that is stored and sent.

mod identity;
mod normalize;
mod number;
mod projection;
mod reply;
mod rules;

use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::error::{Error, ProviderError, Source};
use crate::ids::{Kind, ResourceId, Urn, Version};
use crate::path::AttrRef;
use crate::schema::ResourceType;
use crate::work::{self, Work};

pub(crate) use identity::Identities;
#[cfg(test)]
pub(crate) use normalize::canonical;
pub(crate) use normalize::{At, Normalized, body, canonical_stored, defaults};
pub use normalize::{MAX_STRING_BYTES, MAX_VALUES};
pub use projection::Projection;
pub(crate) use reply::ObjectWriter;
pub use reply::{Computed, Reply};
pub(crate) use rules::{Others, Rules, is_primary, too_many_values};

/// The attributes of a resource in canonical form.
///
/// Invariants: names have the spelling and the order of the schema; extension attributes are under their
/// URN; multi-valued attributes are arrays that are not empty; there is no `null` and no empty text;
/// booleans, numbers and timestamps have their schema type; `id`, `meta`, `schemas`, `members`, computed
/// attributes and `returned: never` values are absent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Attributes(Map<String, Value>);

impl Attributes {
    /// Returns a top-level attribute by its canonical name or extension URN.
    pub fn top(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Returns the `externalId`.
    pub fn external_id(&self) -> Option<&str> {
        self.top("externalId").and_then(Value::as_str)
    }

    /// Returns the object that the attributes of a container are in.
    pub(crate) fn container(&self, urn: Option<&Urn>) -> Option<&Map<String, Value>> {
        match urn {
            None => Some(&self.0),
            Some(urn) => self.0.get(urn.as_str()).and_then(Value::as_object),
        }
    }

    /// Returns the whole value of an attribute, even if the path names a sub-attribute.
    pub(crate) fn whole(&self, at: &AttrRef) -> Option<&Value> {
        self.container(at.container.as_ref())?.get(&*at.attribute.name)
    }

    /// Returns the value at a path through singular attributes.
    pub fn value(&self, at: &AttrRef) -> Option<&Value> {
        let whole = self.whole(at)?;
        match &at.sub_attribute {
            Some(sub) => whole.get(&*sub.name),
            None => Some(whole),
        }
    }

    /// Returns the values of an attribute: the elements of an array, or the one value.
    pub(crate) fn elements(&self, at: &AttrRef) -> &[Value] {
        match self.whole(at) {
            None => &[],
            Some(Value::Array(elements)) => elements,
            Some(one) => std::slice::from_ref(one),
        }
    }

    /// Returns all attributes.
    pub(crate) fn map(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Returns all attributes by value, for the PATCH engine, which normalizes them again.
    pub(crate) fn into_map(self) -> Map<String, Value> {
        self.0
    }

    /// Wraps attributes that normalization has just produced.
    pub(crate) fn from_canonical(map: Map<String, Value>) -> Self {
        Self(map)
    }
}

/// The stored form of a resource: the canonical body as text, parsed only when its values are needed.
///
/// The text is one JSON object that begins with `schemas` and contains neither `id` nor `meta` nor anything
/// computed, so that a reply is spliced together without decoding it.
#[derive(Debug, Clone)]
pub struct Document {
    text: Arc<str>,
    parsed: OnceLock<Attributes>,
}

impl Document {
    /// Writes the attributes of a resource of the kind.
    pub fn from_attributes(kind: &ResourceType, attributes: Attributes) -> Self {
        let mut text = Vec::with_capacity(1_024);
        text.extend_from_slice(b"{\"schemas\":[");
        for (index, urn) in schemas_of(kind, &attributes).enumerate() {
            if index > 0 {
                text.push(b',');
            }
            write_json(&mut text, urn.as_str());
        }
        text.push(b']');
        for (name, value) in &attributes.0 {
            text.push(b',');
            write_json(&mut text, name);
            text.push(b':');
            write_json(&mut text, value);
        }
        text.push(b'}');
        // JSON written from texts is UTF-8.
        let text = String::from_utf8(text).unwrap_or_default();
        Self { text: text.into(), parsed: OnceLock::from(attributes) }
    }

    /// Wraps a text that [`Document::text`] returned. It is trusted, not checked.
    pub fn from_store(text: impl Into<Arc<str>>) -> Self {
        Self { text: text.into(), parsed: OnceLock::new() }
    }

    /// Returns the stored text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the attributes; the text is parsed at the first call.
    ///
    /// # Errors
    ///
    /// An internal error when this server did not write the stored text.
    pub fn attributes(&self) -> Result<&Attributes, Error> {
        if let Some(attributes) = self.parsed.get() {
            return Ok(attributes);
        }
        let mut map: Map<String, Value> = serde_json::from_str(&self.text).map_err(|error| {
            ProviderError::Internal(Source::new("a stored document is not JSON", error))
        })?;
        map.shift_remove("schemas");
        Ok(self.parsed.get_or_init(|| Attributes(map)))
    }

    /// Returns the attributes, and pays for the text when it has to be parsed.
    ///
    /// # Errors
    ///
    /// [`Halt`] when the work runs out; an internal error when this server did not write the stored text.
    ///
    /// [`Halt`]: crate::work::Halt
    pub fn read(&self, work: &Work) -> Result<&Attributes, Error> {
        if self.parsed.get().is_none() {
            work.spend(work::bytes(&self.text))?;
        }
        self.attributes()
    }
}

impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// Returns the base schema and the extensions that the resource has data for (RES-006).
pub(crate) fn schemas_of<'k>(
    kind: &'k ResourceType,
    attributes: &'k Attributes,
) -> impl Iterator<Item = &'k Urn> {
    let extensions = kind.extensions.iter().map(|extension| &extension.schema.id);
    std::iter::once(&kind.schema.id)
        .chain(extensions.filter(|urn| attributes.0.contains_key(urn.as_str())))
}

/// Appends a value as JSON text.
pub(crate) fn write_json<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Writing texts, numbers and objects with text keys into memory cannot fail.
    drop(serde_json::to_writer(out, value));
}

/// A stored resource (RFC 7643 §3).
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// The kind.
    pub kind: Kind,
    /// The id.
    pub id: ResourceId,
    /// The version, counted by the store.
    pub version: Version,
    /// When it was created.
    pub created: Timestamp,
    /// When the text or the membership last changed.
    pub modified: Timestamp,
    /// The attributes, as text.
    pub document: Document,
}
