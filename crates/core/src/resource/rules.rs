//! The rules for values: the types and characteristics of the schema, as one tenant applies them.

use serde_json::{Map, Value};

use super::identity::Identities;
use super::normalize::{At, MAX_STRING_BYTES, MAX_VALUES, position, require, twice};
use super::number;
use crate::clock::Instant;
use crate::error::{Error, excerpt};
use crate::json;
use crate::quirks::Quirks;
use crate::schema::{Attribute, Returned, ValueType};
use crate::value::{Given, base64, text_form};

/// The rules of one tenant for values.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) quirks: Quirks,
    /// Whether the values are stored or have passed the rules before: only their type is checked, not their
    /// form.
    pub(crate) stored: bool,
}

impl Rules {
    /// Returns the rules for values from a client.
    pub(crate) fn new(quirks: Quirks) -> Self {
        Self { quirks, stored: false }
    }

    /// Returns whether a value need not satisfy what a quirk leaves unchecked.
    fn spares(self, quirk: Quirks) -> bool {
        self.stored || self.quirks.has(quirk)
    }

    /// Normalizes the value of an attribute.
    pub(crate) fn attribute(
        self,
        attribute: &Attribute,
        value: Value,
        at: &At<'_>,
    ) -> Result<Given, Error> {
        // RFC 7643 §7: a client's values of read-only attributes are ignored.
        if attribute.is_read_only() {
            return Ok(Given::Nothing);
        }
        let given = if attribute.multi_valued {
            self.array(attribute, value, at)?
        } else {
            self.single(attribute, value, at)?
        };
        // A value that no one may read is checked, but not stored.
        Ok(if attribute.returned == Returned::Never { Given::Nothing } else { given })
    }

    fn array(self, attribute: &Attribute, value: Value, at: &At<'_>) -> Result<Given, Error> {
        let values = match value {
            Value::Null => return Ok(Given::Cleared),
            Value::Array(values) if values.is_empty() => return Ok(Given::Cleared),
            Value::Array(values) => values,
            _ => return Err(at.refuse("this attribute has several values; send an array")),
        };
        if values.len() > MAX_VALUES {
            return Err(too_many_values(at));
        }
        let mut kept: Vec<Value> = Vec::with_capacity(values.len());
        let mut identities = Identities::default();
        for (index, value) in values.into_iter().enumerate() {
            if let Given::Value(value) = self.single(attribute, value, &At::Element(at, index))?
                && identities.find(&kept, &value).is_none()
            {
                kept.push(value);
            }
        }
        let primaries = kept.iter().filter(|value| is_primary(value)).count();
        if primaries > 1 {
            return Err(at.refuse("only one value can be primary"));
        }
        Ok(if kept.is_empty() { Given::Nothing } else { Given::Value(Value::Array(kept)) })
    }

    /// Normalizes one value, an element of an array or the value of a singular attribute.
    pub(crate) fn single(
        self,
        attribute: &Attribute,
        value: Value,
        at: &At<'_>,
    ) -> Result<Given, Error> {
        if value.is_null() {
            return Ok(Given::Cleared);
        }
        let value = match attribute.value_type {
            ValueType::String => {
                let value = self.text(value, at)?;
                self.check_canonical(attribute, value.as_ref(), at)?;
                value
            }
            ValueType::Boolean => match value {
                Value::Bool(_) => Some(value),
                _ => return Err(at.refuse("must be true or false")),
            },
            ValueType::Integer => Some(number::integer(value, at)?),
            ValueType::Decimal if self.stored && value.is_number() => Some(value),
            ValueType::Decimal => Some(number::decimal(value, at)?),
            ValueType::DateTime => self.moment(value, at)?,
            ValueType::Binary => {
                let value = self.form(value, at)?;
                let read = match self.spares(Quirks::URL_SAFE_BASE64) {
                    true => base64::canonical_of_any,
                    false => base64::canonical,
                };
                match value.as_ref().and_then(Value::as_str).and_then(read) {
                    Some(text) => Some(Value::String(text)),
                    None => return Err(at.refuse("must be base64 (RFC 4648 §4)")),
                }
            }
            ValueType::Reference => {
                let value = self.form(value, at)?;
                match value.as_ref().and_then(Value::as_str) {
                    Some(text)
                        if !self.spares(Quirks::REFERENCES_UNCHECKED)
                            && !is_reference(attribute, text) =>
                    {
                        return Err(at.refuse("must be a URI"));
                    }
                    _ => value,
                }
            }
            ValueType::Complex => self.complex(attribute, value, at)?,
        };
        Ok(value.map_or(Given::Nothing, Given::Value))
    }

    /// Normalizes an object, or returns `None` when nothing is left in it.
    fn complex(
        self,
        attribute: &Attribute,
        value: Value,
        at: &At<'_>,
    ) -> Result<Option<Value>, Error> {
        let Value::Object(map) = value else {
            return Err(at.refuse("must be an object with sub-attributes"));
        };
        let map = self.object(&attribute.sub_attributes, map, at)?;
        if map.is_empty() {
            return Ok(None);
        }
        require(&attribute.sub_attributes, &map, at)?;
        Ok(Some(Value::Object(map)))
    }

    /// Normalizes the members of an object into the order of their definitions.
    pub(crate) fn object(
        self,
        attributes: &[std::sync::Arc<Attribute>],
        map: Map<String, Value>,
        at: &At<'_>,
    ) -> Result<Map<String, Value>, Error> {
        let mut values: Vec<Option<Value>> = vec![None; attributes.len()];
        let others = Others::of(attributes, &map);
        for (name, value) in map {
            let found = position(attributes, &name);
            let Some((slot, attribute)) = found
                .and_then(|found| values.get_mut(found))
                .zip(found.and_then(|found| attributes.get(found)))
            else {
                return Err(self.unknown(&name, others, at));
            };
            if slot.is_some() {
                return Err(twice(&name));
            }
            let given = self.attribute(attribute, value, &At::Under(at, &attribute.name))?;
            *slot = Some(given.value().unwrap_or(Value::Null));
        }
        let mut out = Map::new();
        for (attribute, value) in attributes.iter().zip(values) {
            if let Some(value) = value.filter(|value| !value.is_null()) {
                out.insert((*attribute.name).to_owned(), value);
            }
        }
        Ok(out)
    }

    /// Returns the error for a name that the schema does not have.
    ///
    /// A value of unknown names alone is refused even where unknown names are ignored: it is not empty, and
    /// must not clear the attribute.
    pub(crate) fn unknown(self, name: &str, others: Others, at: &At<'_>) -> Error {
        let name = excerpt(name);
        if others == Others::Known && !self.quirks.has(Quirks::UNKNOWN_ATTRIBUTES) {
            return Error::syntax(format!(
                "{at} has no attribute \"{name}\"; remove it or correct its name"
            ));
        }
        at.refuse(format!(
            "there is no attribute \"{name}\" here, and the value has no other; correct its name"
        ))
    }

    /// Checks a text, or returns `None` for the empty one, which is the same as absent (RES-026, FLT-015).
    pub(super) fn text(self, value: Value, at: &At<'_>) -> Result<Option<Value>, Error> {
        match value {
            Value::Null => Ok(None),
            Value::String(text) if text.is_empty() => Ok(None),
            Value::String(text) if text.len() > MAX_STRING_BYTES => Err(
                at.refuse(format!("longer than {MAX_STRING_BYTES} bytes, the limit for one value"))
            ),
            Value::String(_) if json::verbatim(&value).is_none() => Ok(Some(value)),
            _ => Err(at.refuse("must be a text")),
        }
    }

    /// Checks a text of a type that the empty text does not fit.
    fn form(self, value: Value, at: &At<'_>) -> Result<Option<Value>, Error> {
        match self.text(value, at)? {
            None => Err(at.refuse("must not be an empty text; leave it out or send null")),
            text => Ok(text),
        }
    }

    fn moment(self, value: Value, at: &At<'_>) -> Result<Option<Value>, Error> {
        let value = self.form(value, at)?;
        let Some(text) = value.as_ref().and_then(Value::as_str) else {
            return Ok(value);
        };
        match Instant::parse(text) {
            Some(instant) if instant.zoned || self.spares(Quirks::TIMES_WITHOUT_ZONE) => Ok(value),
            _ => Err(at.refuse("must be a date and time with zone, such as 2011-05-13T04:42:34Z")),
        }
    }

    fn check_canonical(
        self,
        attribute: &Attribute,
        value: Option<&Value>,
        at: &At<'_>,
    ) -> Result<(), Error> {
        if self.spares(Quirks::ANY_CANONICAL_VALUE) || attribute.canonical_values.is_empty() {
            return Ok(());
        }
        let Some(text) = value.and_then(Value::as_str) else {
            return Ok(());
        };
        let form = text_form(attribute, text);
        if attribute.canonical_values.iter().any(|value| text_form(attribute, value) == form) {
            return Ok(());
        }
        Err(at.refuse(format!("must be one of {}", attribute.canonical_values.join(", "))))
    }
}

/// Whether a value with an unknown name has known ones as well.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    Known,
    None,
}

impl Others {
    pub(crate) fn of(attributes: &[std::sync::Arc<Attribute>], map: &Map<String, Value>) -> Self {
        match map.keys().any(|name| position(attributes, name).is_some()) {
            true => Self::Known,
            false => Self::None,
        }
    }
}

/// Returns the error for an attribute with more than [`MAX_VALUES`].
pub(crate) fn too_many_values(at: &At<'_>) -> Error {
    at.refuse(format!("more than {MAX_VALUES} values; that is the limit for one attribute"))
}

pub(crate) fn is_primary(value: &Value) -> bool {
    value.get("primary") == Some(&Value::Bool(true))
}

/// Returns whether a text has the form of a URI (RFC 3986). A reference to a resource of this server may
/// be relative; any other, such as `profileUrl`, has a scheme (RFC 7643 §4.1.1).
fn is_reference(attribute: &Attribute, text: &str) -> bool {
    let allowed = text.chars().all(|c| {
        !c.is_whitespace()
            && !c.is_control()
            && !matches!(c, '<' | '>' | '"' | '{' | '}' | '|' | '\\' | '^' | '`')
    });
    allowed && (attribute.refers || text.split_once(':').is_some_and(|(head, _)| is_scheme(head)))
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}
