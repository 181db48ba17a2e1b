//! Which values of a multi-valued attribute are the same one (CHR-038), found without comparing all.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use serde_json::Value;

/// CHR-038: the same `(type, value)` pair, or the same value as a whole, is kept once.
pub(crate) fn same_value(a: &Value, b: &Value) -> bool {
    match (a.get("value"), b.get("value")) {
        (Some(one), Some(other)) => one == other && a.get("type") == b.get("type"),
        _ => a == b,
    }
}

/// The values of one attribute by what makes each the one it is, so that a value is compared only with
/// those of the same hash.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    hasher: RandomState,
    positions: HashMap<u64, Vec<usize>>,
    /// How many values have been compared with another.
    pub(crate) compared: usize,
}

impl Identities {
    /// Takes up values that are known to differ.
    pub(crate) fn of(values: &[Value]) -> Self {
        let mut identities = Self::default();
        for (position, value) in values.iter().enumerate() {
            identities.add(value, position);
        }
        identities
    }

    /// Finds the position of the value among `values`, all of which have been added.
    pub(crate) fn find(&mut self, values: &[Value], value: &Value) -> Option<usize> {
        let positions = self.positions.get(&self.hash(value))?;
        let mut compared = 0;
        let found = positions.iter().copied().find(|position| {
            compared += 1;
            values.get(*position).is_some_and(|known| same_value(known, value))
        });
        self.compared += compared;
        found
    }

    /// Adds a value that stands at the position.
    pub(crate) fn add(&mut self, value: &Value, position: usize) {
        self.positions.entry(self.hash(value)).or_default().push(position);
    }

    /// Values that [`same_value`] calls the same have the same hash.
    fn hash(&self, value: &Value) -> u64 {
        match value.get("value") {
            Some(inner) => self.hasher.hash_one((inner, value.get("type"))),
            None => self.hasher.hash_one(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_found_by_their_pair_or_as_a_whole() {
        let values = [
            json!({"value": "a", "type": "work", "display": "A"}),
            json!({"value": "a"}),
            json!({"locality": "L"}),
            json!("text"),
        ];
        let mut identities = Identities::of(&values);
        let mut at = |value: Value| identities.find(&values, &value);
        assert_eq!(at(json!({"type": "work", "value": "a"})), Some(0));
        assert_eq!(at(json!({"value": "a", "primary": true})), Some(1));
        assert_eq!(at(json!({"value": "a", "type": "home"})), None);
        assert_eq!(at(json!({"locality": "L"})), Some(2));
        assert_eq!(at(json!({"locality": "L", "type": "work"})), None);
        assert_eq!(at(json!("text")), Some(3));
    }
}
