//! Changes of JSON values.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use crate::error::Error;
use crate::resource::{At, Identities, MAX_VALUES, is_primary, too_many_values};
use crate::schema::Attribute;

/// Sets a field of an object, or removes it.
pub(super) fn set(object: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    match value {
        Some(value) => drop(object.insert(name.to_owned(), value)),
        None => drop(object.shift_remove(name)),
    }
}

/// Removes an attribute that has nothing left in it.
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

/// Accepts one value for an array of one, in PATCH (CHR-035).
pub(super) fn one_as_array(attribute: &Attribute, value: Value) -> Value {
    match value {
        Value::Array(_) | Value::Null => value,
        one if attribute.multi_valued && one.as_str() != Some("") => Value::Array(vec![one]),
        other => other,
    }
}

/// Accepts an array of one for the value of a selected element.
pub(super) fn one_element(value: Value) -> Value {
    match value {
        Value::Array(mut values) if values.len() <= 1 => values.pop().unwrap_or(Value::Null),
        other => other,
    }
}

/// Appends new values, and merges others into the values that they repeat (PAT-038, PAT-039).
///
/// The work grows with the number of appended values, not with the length of the list.
///
/// # Errors
///
/// `invalidValue` at the first value that is one too many.
pub(super) fn append(
    values: &mut Vec<Value>,
    identities: &mut Identities,
    new: Vec<Value>,
    at: &At<'_>,
) -> Result<(), Error> {
    for value in new {
        let makes_primary = is_primary(&value);
        let index = match identities.find(values, &value) {
            Some(index) => {
                if let (Some(Value::Object(known)), Value::Object(value)) =
                    (values.get_mut(index), value)
                {
                    known.extend(value);
                }
                index
            }
            None if values.len() >= MAX_VALUES => return Err(too_many_values(at)),
            None => {
                values.push(value);
                values.len() - 1
            }
        };
        // At most one of the appended values is primary, so that this happens once.
        if makes_primary && demote_others(values, index) {
            *identities = Identities::default();
        }
    }
    Ok(())
}

/// Makes all values but one ordinary, since that one is the new primary value (PAT-016). Returns whether a
/// value changed.
pub(super) fn demote_others(values: &mut [Value], keep: usize) -> bool {
    let mut demoted = false;
    for (index, value) in values.iter_mut().enumerate() {
        if index != keep
            && is_primary(value)
            && let Value::Object(object) = value
        {
            object.insert("primary".to_owned(), Value::Bool(false));
            demoted = true;
        }
    }
    demoted
}

/// Values that a client lists to select stored ones.
pub(super) struct ListedValues<'v> {
    /// Objects with a `value`, by this value.
    by_value: HashMap<&'v Value, Vec<&'v Value>>,
    /// Objects without a `value`. They select each stored value that agrees in all their fields.
    partial: Vec<&'v Map<String, Value>>,
    /// Values of simple attributes.
    simple: HashSet<&'v Value>,
}

impl<'v> ListedValues<'v> {
    pub(super) fn new(values: &'v [Value]) -> Self {
        let mut listed =
            Self { by_value: HashMap::new(), partial: Vec::new(), simple: HashSet::new() };
        for value in values {
            match (value, value.get("value")) {
                (_, Some(inner)) => listed.by_value.entry(inner).or_default().push(value),
                (Value::Object(map), None) => listed.partial.push(map),
                (simple, None) => drop(listed.simple.insert(simple)),
            }
        }
        listed
    }

    /// Returns how many of the list have to be compared with each stored value.
    pub(super) fn partial(&self) -> usize {
        self.partial.len()
    }

    /// Returns whether the list selects a stored value: by `value`, and by `type` where it is listed; or by
    /// all fields of a listed object without a `value`.
    pub(super) fn select(&self, stored: &Value) -> bool {
        let by_value = stored.get("value").and_then(|value| self.by_value.get(value));
        let mut same_value = by_value.into_iter().flatten();
        same_value
            .any(|listed| listed.get("type").is_none_or(|kind| stored.get("type") == Some(kind)))
            || self.simple.contains(stored)
            || self
                .partial
                .iter()
                .any(|listed| listed.iter().all(|(name, value)| stored.get(name) == Some(value)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn emails(numbers: std::ops::Range<usize>) -> Vec<Value> {
        numbers.map(|number| json!({"value": format!("{number}@x"), "type": "work"})).collect()
    }

    fn appended(values: &mut Vec<Value>, identities: &mut Identities, new: Vec<Value>) -> bool {
        append(values, identities, new, &At::Root).is_ok()
    }

    #[test]
    fn s2_appending_compares_a_value_only_with_itself() {
        let (mut values, mut identities) = (Vec::new(), Identities::default());
        for start in (0..MAX_VALUES).step_by(10) {
            assert!(appended(&mut values, &mut identities, emails(start..start + 10)));
        }
        let first = identities.comparisons;
        // Short lists are compared: 1 + 2 + … + 16.
        assert!(values.len() == MAX_VALUES && first <= 136, "{first}");
        assert!(appended(&mut values, &mut identities, emails(0..MAX_VALUES)));
        assert_eq!((values.len(), identities.comparisons - first), (MAX_VALUES, MAX_VALUES));
    }

    #[test]
    fn s2_the_first_value_beyond_the_limit_is_refused() {
        let mut values = emails(0..MAX_VALUES);
        let mut identities = Identities::default();
        assert!(!appended(&mut values, &mut identities, emails(MAX_VALUES..MAX_VALUES + 10)));
        assert_eq!(values.len(), MAX_VALUES);
    }

    #[test]
    fn pat_016_a_value_that_lost_its_primary_is_found_again() {
        let home = json!({"locality": "Springfield", "primary": true});
        let work = json!({"locality": "Shelbyville", "primary": true});
        let mut values = vec![home];
        let mut identities = Identities::default();
        assert!(appended(&mut values, &mut identities, vec![work]));
        let ordinary = json!({"locality": "Springfield", "primary": false});
        assert!(appended(&mut values, &mut identities, vec![ordinary.clone()]));
        assert_eq!(values.len(), 2);
        assert_eq!(values[0], ordinary);
    }

    #[test]
    fn pat_058_a_list_means_values_by_value_and_type_or_by_all_that_it_says() {
        let list = [
            json!({"value": "a", "type": "work"}),
            json!({"value": "b"}),
            json!({"type": "other"}),
            json!("text"),
        ];
        let listed = ListedValues::new(&list);
        for stored in [
            json!({"value": "a", "type": "work", "primary": true}),
            json!({"value": "b", "type": "home"}),
            json!({"value": "c", "type": "other"}),
            json!("text"),
        ] {
            assert!(listed.select(&stored), "{stored}");
        }
        for stored in [json!({"value": "a"}), json!({"value": "c", "type": "work"}), json!("b")] {
            assert!(!listed.select(&stored), "{stored}");
        }
    }
}
