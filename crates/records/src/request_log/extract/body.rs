//! A body as the log reads it: the members that have names or ids, and the text that is kept.
//!
//! An accepted request was parsed in full before. Here the values of all other members are skipped, which takes
//! a fraction of the time and no memory.

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::super::redact;
use super::RecordBuilder;
use headcount_core::json;

/// Bodies above this size are neither read nor kept: they take longer than the request.
const MAX_BYTES: usize = 512 * 1024;

/// A body as far as it can be read.
pub(super) enum Body<'b> {
    None,
    /// A JSON object: its text, and the members that were asked for.
    Object(&'b [u8], Value),
    /// Not a JSON object, or too large; its length in bytes.
    Opaque(usize),
}

impl<'b> Body<'b> {
    /// Reads the members whose names are `wanted`, and the wanted ones inside them.
    ///
    /// Of their values, texts, lists and objects are read: no resource is named by a number. This is for bodies
    /// that [`headcount_core::json::parse`] has accepted already: what is skipped is not validated.
    pub(super) fn sketch(bytes: Option<&'b [u8]>, wanted: fn(&str) -> bool) -> Self {
        // Only a number beyond all doubles is read by one and not by the other.
        Self::of(bytes, |bytes| sketch(bytes, wanted).or_else(|| json::parse(bytes).ok()))
    }

    /// Reads the `id` of a resource that this server wrote, and nothing behind it.
    pub(super) fn id(bytes: Option<&'b [u8]>) -> Self {
        Self::of(bytes, |bytes| {
            let mut id = None;
            let mut deserializer = serde_json::Deserializer::from_slice(bytes);
            // It ends with an error after the id, which is long before the end.
            drop(serde::Deserializer::deserialize_map(&mut deserializer, Id(&mut id)));
            id.map(|id| Map::from_iter([("id".to_owned(), Value::String(id))]).into())
        })
    }

    /// Reads every member. A text that two parsers would understand differently is opaque.
    pub(super) fn read(bytes: Option<&'b [u8]>) -> Self {
        Self::of(bytes, |bytes| json::parse(bytes).ok())
    }

    fn of(bytes: Option<&'b [u8]>, read: impl Fn(&[u8]) -> Option<Value>) -> Self {
        let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) else { return Self::None };
        let object = (bytes.len() <= MAX_BYTES).then(|| read(bytes)).flatten();
        match object {
            Some(value) if value.is_object() => Self::Object(bytes, value),
            Some(_) | None => Self::Opaque(bytes.len()),
        }
    }

    /// Returns what was read of an object.
    pub(super) fn json(&self) -> Option<&Value> {
        if let Self::Object(_, value) = self { Some(value) } else { None }
    }

    /// Reads all of an object.
    pub(super) fn whole(&self) -> Option<Value> {
        if let Self::Object(bytes, _) = self { json::parse(bytes).ok() } else { None }
    }

    /// Returns the text that is kept. Of a body that cannot be read, only the length: it may have a secret.
    ///
    /// An object in which nothing has to be masked is kept as it was sent.
    pub(super) fn text(&self, by: &RecordBuilder) -> Option<String> {
        let length = match self {
            Self::None => return None,
            Self::Opaque(length) => *length,
            Self::Object(bytes, _) => {
                if let Some(plain) = plain(bytes, by) {
                    return Some(plain);
                }
                if let Some(mut value) = self.whole() {
                    redact::mask(&mut value, &by.never);
                    return Some(redact::cut(&json::to_text(&value)));
                }
                bytes.len()
            }
        };
        Some(format!("({length} bytes, not kept)"))
    }
}

/// Returns the text of a body in which nothing has to be masked; `None` when something may have to be.
fn plain(bytes: &[u8], by: &RecordBuilder) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    by.words.are_absent(text).then(|| redact::cut(text))
}

/// Reads the wanted members of a JSON text; `None` when it is not JSON.
fn sketch(bytes: &[u8], wanted: fn(&str) -> bool) -> Option<Value> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Sketch(wanted).deserialize(&mut deserializer).ok()?;
    deserializer.end().is_ok().then_some(value)
}

/// Finds the `id` of an object, and stops there.
struct Id<'i>(&'i mut Option<String>);

impl<'de> Visitor<'de> for Id<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object with an id")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        while let Some(is_id) = access.next_key_seed(Wanted(|name| name == "id"))? {
            if is_id.is_some() {
                *self.0 = Some(access.next_value()?);
                return Ok(());
            }
            access.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Sketch(fn(&str) -> bool);

impl<'de> DeserializeSeed<'de> for Sketch {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Sketch {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = access.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = access.next_key_seed(Wanted(self.0))? {
            match name {
                Some(name) => drop(map.insert(name, access.next_value_seed(self)?)),
                None => drop(access.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Value::Object(map))
    }
}

/// Reads the name of a member, if it is wanted.
struct Wanted(fn(&str) -> bool);

impl<'de> DeserializeSeed<'de> for Wanted {
    type Value = Option<String>;

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Option<String>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Wanted {
    type Value = Option<String>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<String>, E> {
        Ok((self.0)(name).then(|| name.to_owned()))
    }
}
