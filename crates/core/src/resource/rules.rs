//! The rules for values: each type and characteristic of the schema, as one tenant applies them.

use serde_json::{Map, Value};

use super::normalize::{At, MAX_STRING_BYTES, MAX_VALUES, position, require, twice};
use crate::clock::Instant;
use crate::error::{Error, excerpt};
use crate::quirks::Quirks;
use crate::schema::{Attribute, Returned, ValueType};

/// The rules of one tenant for values.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) quirks: Quirks,
}

impl Rules {
    /// Normalizes the value of an attribute; none when that leaves nothing to keep.
    pub(crate) fn attribute(
        self,
        attribute: &Attribute,
        value: Value,
        at: &At<'_>,
    ) -> Result<Option<Value>, Error> {
        // RFC 7643 §7: a client's values of read-only attributes are ignored.
        if attribute.is_read_only() {
            return Ok(None);
        }
        let value = if attribute.multi_valued {
            self.array(attribute, value, at)?
        } else {
            self.single(attribute, value, at)?
        };
        // Decision 9: what nobody may ever read is checked and then discarded.
        Ok(value.filter(|_| attribute.returned != Returned::Never))
    }

    fn array(
        self,
        attribute: &Attribute,
        value: Value,
        at: &At<'_>,
    ) -> Result<Option<Value>, Error> {
        let values = match value {
            Value::Null => return Ok(None),
            Value::Array(values) => values,
            _ => return Err(at.refuse("this attribute has several values; send an array")),
        };
        if values.len() > MAX_VALUES {
            return Err(at.refuse(format!(
                "more than {MAX_VALUES} values; that is the limit for one attribute"
            )));
        }
        let mut kept: Vec<Value> = Vec::with_capacity(values.len());
        for (index, value) in values.into_iter().enumerate() {
            if let Some(value) = self.single(attribute, value, &At::Element(at, index))?
                && !kept.iter().any(|known| same_value(known, &value))
            {
                kept.push(value);
            }
        }
        let primaries = kept.iter().filter(|value| is_primary(value)).count();
        if primaries > 1 {
            return Err(at.refuse("only one value can be primary"));
        }
        Ok(if kept.is_empty() { None } else { Some(Value::Array(kept)) })
    }

    /// Normalizes one value, an element of an array or the value of a singular attribute.
    pub(crate) fn single(
        self,
        attribute: &Attribute,
        value: Value,
        at: &At<'_>,
    ) -> Result<Option<Value>, Error> {
        if value.is_null() {
            return Ok(None);
        }
        match attribute.value_type {
            ValueType::String => {
                let value = self.text(value, at)?;
                self.check_canonical(attribute, value.as_ref(), at)?;
                Ok(value)
            }
            ValueType::Boolean => match value {
                Value::Bool(_) => Ok(Some(value)),
                _ => Err(at.refuse("must be true or false")),
            },
            ValueType::Integer => match value.as_i64() {
                Some(_) => Ok(Some(value)),
                None => Err(at.refuse("must be a whole number, without fraction or exponent")),
            },
            ValueType::Decimal => match value {
                Value::Number(_) => Ok(Some(value)),
                _ => Err(at.refuse("must be a number")),
            },
            ValueType::DateTime => self.moment(value, at),
            ValueType::Binary => {
                let value = self.text(value, at)?;
                match value.as_ref().and_then(Value::as_str) {
                    Some(text) if !is_base64(text) => Err(at.refuse("must be base64")),
                    _ => Ok(value),
                }
            }
            ValueType::Reference => {
                let value = self.text(value, at)?;
                match value.as_ref().and_then(Value::as_str) {
                    Some(text)
                        if !self.quirks.has(Quirks::REFERENCES_UNCHECKED)
                            && !is_reference(attribute, text) =>
                    {
                        Err(at.refuse("must be a URI"))
                    }
                    _ => Ok(value),
                }
            }
            ValueType::Complex => {
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
        }
    }

    /// Normalizes the members of an object into the order of their definitions.
    pub(crate) fn object(
        self,
        attributes: &[std::sync::Arc<Attribute>],
        map: Map<String, Value>,
        at: &At<'_>,
    ) -> Result<Map<String, Value>, Error> {
        let mut values: Vec<Option<Value>> = vec![None; attributes.len()];
        for (name, value) in map {
            let found = position(attributes, &name);
            let Some((slot, attribute)) = found
                .and_then(|found| values.get_mut(found))
                .zip(found.and_then(|found| attributes.get(found)))
            else {
                return Err(Error::syntax(format!(
                    "{at} has no attribute \"{}\"; remove it or correct its name",
                    excerpt(&name)
                )));
            };
            if slot.is_some() {
                return Err(twice(&name));
            }
            *slot = Some(
                self.attribute(attribute, value, &At::Under(at, &attribute.name))?
                    .unwrap_or(Value::Null),
            );
        }
        let mut out = Map::new();
        for (attribute, value) in attributes.iter().zip(values) {
            if let Some(value) = value.filter(|value| !value.is_null()) {
                out.insert(attribute.name.to_string(), value);
            }
        }
        Ok(out)
    }

    /// Checks a text; none when it is empty, which is the same as absent (RES-026, FLT-015).
    pub(super) fn text(self, value: Value, at: &At<'_>) -> Result<Option<Value>, Error> {
        match value {
            Value::Null => Ok(None),
            Value::String(text) if text.is_empty() => Ok(None),
            Value::String(text) if text.len() > MAX_STRING_BYTES => Err(
                at.refuse(format!("longer than {MAX_STRING_BYTES} bytes, the limit for one value"))
            ),
            Value::String(_) => Ok(Some(value)),
            _ => Err(at.refuse("must be a text")),
        }
    }

    fn moment(self, value: Value, at: &At<'_>) -> Result<Option<Value>, Error> {
        let value = self.text(value, at)?;
        let Some(text) = value.as_ref().and_then(Value::as_str) else {
            return Ok(value);
        };
        match Instant::parse(text) {
            Some(instant) if instant.zoned || self.quirks.has(Quirks::TIMES_WITHOUT_ZONE) => {
                Ok(value)
            }
            _ => Err(at.refuse("must be a date and time with zone, such as 2011-05-13T04:42:34Z")),
        }
    }

    fn check_canonical(
        self,
        attribute: &Attribute,
        value: Option<&Value>,
        at: &At<'_>,
    ) -> Result<(), Error> {
        if self.quirks.has(Quirks::ANY_CANONICAL_VALUE) || attribute.canonical_values.is_empty() {
            return Ok(());
        }
        let Some(text) = value.and_then(Value::as_str) else {
            return Ok(());
        };
        let form = crate::index::text_form(attribute, text);
        let known =
            |value: &&std::sync::Arc<str>| crate::index::text_form(attribute, value) == form;
        match attribute.canonical_values.iter().find(known) {
            Some(_) => Ok(()),
            None => {
                Err(at.refuse(format!("must be one of {}", attribute.canonical_values.join(", "))))
            }
        }
    }
}

/// CHR-038: the same `(type, value)` pair, or the same value as a whole, is kept once.
pub(crate) fn same_value(a: &Value, b: &Value) -> bool {
    match (a.get("value"), b.get("value")) {
        (Some(one), Some(other)) => one == other && a.get("type") == b.get("type"),
        _ => a == b,
    }
}

pub(crate) fn is_primary(value: &Value) -> bool {
    value.get("primary") == Some(&Value::Bool(true))
}

/// Tells whether a text is base64 or base64url; padding may be left out (RFC 7643 §2.3.6).
fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let padding = text.len() - body.len();
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_');
    body.bytes().all(plain)
        && body.len() % 4 != 1
        && padding <= 2
        && (padding == 0 || text.len().is_multiple_of(4))
}

/// Tells whether a text has the form of a URI (RFC 3986). One that leads to a resource of this server
/// may be relative; one that leads elsewhere, as `profileUrl`, names its scheme (RFC 7643 §4.1.1).
fn is_reference(attribute: &Attribute, text: &str) -> bool {
    let scheme = || {
        text.split_once(':').is_some_and(|(scheme, _)| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        })
    };
    let allowed = |c: char| {
        !c.is_whitespace()
            && !c.is_control()
            && !matches!(c, '<' | '>' | '"' | '{' | '}' | '|' | '\\' | '^' | '`')
    };
    text.chars().all(allowed) && (attribute.refers || scheme())
}
