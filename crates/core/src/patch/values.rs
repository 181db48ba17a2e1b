//! What operations do to JSON values.

use serde_json::{Map, Value};

use crate::resource::{is_primary, same_value};
use crate::schema::Attribute;

/// Sets a member of an object, or takes it away.
pub(super) fn set(object: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    match value {
        Some(value) => drop(object.insert(name.to_owned(), value)),
        None => drop(object.shift_remove(name)),
    }
}

/// Takes an attribute away that has nothing left in it.
pub(super) fn drop_if_empty(map: &mut Map<String, Value>, name: &str) {
    let empty = match map.get(name) {
        Some(Value::Object(object)) => object.is_empty(),
        Some(Value::Array(values)) => values.is_empty(),
        Some(Value::Null) => true,
        _ => false,
    };
    if empty {
        map.shift_remove(name);
    }
}

/// CHR-035: in PATCH, one value may stand for an array of one.
pub(super) fn one_as_array(attribute: &Attribute, value: Value) -> Value {
    match value {
        Value::Array(_) | Value::Null => value,
        one if attribute.multi_valued && one.as_str() != Some("") => Value::Array(vec![one]),
        other => other,
    }
}

/// The value for one selected element may come as an array of one.
pub(super) fn one_element(value: Value) -> Value {
    match value {
        Value::Array(mut values) if values.len() == 1 => values.pop().unwrap_or(Value::Null),
        other => other,
    }
}

/// Appends values that are not there yet; one that is there is completed (PAT-038, PAT-039).
pub(super) fn append(map: &mut Map<String, Value>, name: &str, new: Vec<Value>) {
    let slot = map.entry(name).or_insert_with(|| Value::Array(Vec::new()));
    let Value::Array(values) = slot else { return };
    for value in new {
        let makes_primary = is_primary(&value);
        let known = values.iter().position(|known| same_value(known, &value));
        let index = match known.and_then(|index| values.get_mut(index).map(|known| (index, known)))
        {
            Some((index, Value::Object(known))) => {
                if let Value::Object(value) = value {
                    known.extend(value);
                }
                index
            }
            Some((index, _)) => index,
            None => {
                values.push(value);
                values.len() - 1
            }
        };
        if makes_primary {
            demote_others(values, index);
        }
    }
}

/// PAT-016: a new primary value makes the others ordinary.
pub(super) fn demote_others(values: &mut [Value], keep: usize) {
    for (index, value) in values.iter_mut().enumerate() {
        if index != keep
            && is_primary(value)
            && let Value::Object(object) = value
        {
            object.insert("primary".to_owned(), Value::Bool(false));
        }
    }
}

/// Tells whether a listed value means a stored one: by its `value`, else by all that it says.
pub(super) fn describes(listed: &Value, stored: &Value) -> bool {
    match (listed, stored) {
        (Value::Object(listed), Value::Object(stored)) => {
            match (listed.get("value"), listed.get("type")) {
                (Some(value), kind) => {
                    stored.get("value") == Some(value)
                        && kind.is_none_or(|kind| stored.get("type") == Some(kind))
                }
                (None, _) => listed.iter().all(|(name, value)| stored.get(name) == Some(value)),
            }
        }
        (listed, stored) => listed == stored,
    }
}
