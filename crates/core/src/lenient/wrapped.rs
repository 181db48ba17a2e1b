//! Values inside an object under the attribute's own name, or those of an extension under its URN.

use serde_json::{Map, Value};

use super::Repairs;
use crate::quirks::Quirks;
use crate::schema::{Attribute, Extension};

impl Repairs<'_> {
    /// Accepts `{"emails": […]}` as the value of `emails`.
    pub(super) fn strip_wrapper(&mut self, attribute: &Attribute, value: Value) -> Value {
        // A sub-attribute of the same name makes it an ordinary object.
        if attribute.sub(&attribute.name).is_some() {
            return value;
        }
        self.under_own_name(&attribute.name, value)
    }

    /// Accepts `{"members": […]}` as the value of `members`.
    pub(super) fn strip_members_wrapper(&mut self, value: Value) -> Value {
        self.under_own_name("members", value)
    }

    /// Repairs the value of an extension: an object, alone or as an array of one, whose keys are
    /// attributes, paths below the extension with or without its URN, or the URN itself.
    pub(crate) fn extension(&mut self, extension: &Extension, value: Value) -> Value {
        let value = match self.json_in_text(value) {
            Value::Array(mut values) if values.len() <= 1 && self.allows(Quirks::ARRAYS_OF_ONE) => {
                values.pop().unwrap_or(Value::Null)
            }
            Value::String(text) if text.is_empty() && self.allows(Quirks::EMPTY_CLEARS) => {
                Value::Null
            }
            other => other,
        };
        let urn = extension.schema.id.as_str();
        match self.under_own_name(urn, value) {
            Value::Object(map) => Value::Object(self.plain_keys(extension, map)),
            other => other,
        }
    }

    /// Takes the one value out of an object, or out of an array of one such object.
    fn under_own_name(&mut self, name: &str, value: Value) -> Value {
        let wrapped = match &value {
            Value::Array(values) => {
                values.len() == 1 && values.iter().all(|value| is_wrapper(name, value))
            }
            other => is_wrapper(name, other),
        };
        if !wrapped || !self.allows(Quirks::WRAPPED_VALUES) {
            return value;
        }
        let object = match value {
            Value::Array(mut values) => values.pop().unwrap_or(Value::Null),
            other => other,
        };
        match object {
            Value::Object(map) => map.into_iter().next().map_or(Value::Null, |(_, inner)| inner),
            other => other,
        }
    }

    /// Accepts `urn:…:User:department` and `manager.value` as keys of the extension's own value.
    fn plain_keys(&mut self, extension: &Extension, map: Map<String, Value>) -> Map<String, Value> {
        if map.keys().all(|key| extension.schema.attribute(key).is_some()) {
            return map;
        }
        let mut out = Map::new();
        for (key, value) in map {
            match self.plain_key(extension, &key) {
                Some((name, None)) => drop(out.insert(name, value)),
                Some((name, Some(sub))) => {
                    let whole = out.entry(name).or_insert_with(|| Value::Object(Map::new()));
                    if let Value::Object(whole) = whole {
                        whole.insert(sub, value);
                    }
                }
                None => drop(out.insert(key, value)),
            }
        }
        out
    }

    /// Returns the attribute that a key means, and its sub-attribute, or `None` for a key that is not a
    /// path.
    fn plain_key(&mut self, extension: &Extension, key: &str) -> Option<(String, Option<String>)> {
        let schema = &extension.schema;
        if schema.attribute(key).is_some() {
            return None;
        }
        let urn = schema.id.as_str();
        let below = key.get(..urn.len()).filter(|head| head.eq_ignore_ascii_case(urn));
        let path = match below.and_then(|head| key.get(head.len()..)) {
            Some(tail) => tail.strip_prefix([':', '.'])?,
            None => key,
        };
        let (name, sub) =
            path.split_once('.').map_or((path, None), |(name, sub)| (name, Some(sub)));
        let attribute = schema.attribute(name)?;
        let sub = match sub {
            Some(_) if attribute.multi_valued => return None,
            Some(sub) => Some(attribute.sub(sub)?.name.to_string()),
            None => None,
        };
        self.allows(Quirks::WRAPPED_VALUES).then(|| (attribute.name.to_string(), sub))
    }
}

/// Returns whether a value is an object with this name alone.
fn is_wrapper(name: &str, value: &Value) -> bool {
    value
        .as_object()
        .is_some_and(|map| map.len() == 1 && map.keys().all(|key| key.eq_ignore_ascii_case(name)))
}
