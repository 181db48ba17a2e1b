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

/// Up to this many values, comparing with each costs less than hashing.
const MAX_COMPARED: usize = 16;

/// The values of one attribute by what makes each the one it is. In a long list, a value is compared only
/// with those of the same hash.
///
/// Belongs to one list, which may only grow, or change in values whose identity stays.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    hasher: RandomState,
    /// Positions by hash, of the first `indexed` values.
    positions: HashMap<u64, Vec<usize>>,
    indexed: usize,
    /// How many values have been compared with another.
    pub(crate) compared: usize,
}

impl Identities {
    /// Finds the position of the value among `values`.
    pub(crate) fn find(&mut self, values: &[Value], value: &Value) -> Option<usize> {
        if values.len() <= MAX_COMPARED {
            let found = values.iter().position(|known| same_value(known, value));
            self.compared += found.map_or(values.len(), |position| position + 1);
            return found;
        }
        for (position, known) in values.iter().enumerate().skip(self.indexed) {
            self.positions.entry(self.hash(known)).or_default().push(position);
        }
        self.indexed = values.len();
        for &position in self.positions.get(&self.hash(value))? {
            self.compared += 1;
            if values.get(position).is_some_and(|known| same_value(known, value)) {
                return Some(position);
            }
        }
        None
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
        let others = (0..MAX_COMPARED).map(|number| json!(format!("other {number}")));
        let long: Vec<Value> = values.iter().cloned().chain(others).collect();
        for list in [&values[..], &long] {
            let mut identities = Identities::default();
            let mut at = |value: Value| identities.find(list, &value);
            assert_eq!(at(json!({"type": "work", "value": "a"})), Some(0));
            assert_eq!(at(json!({"value": "a", "primary": true})), Some(1));
            assert_eq!(at(json!({"value": "a", "type": "home"})), None);
            assert_eq!(at(json!({"locality": "L"})), Some(2));
            assert_eq!(at(json!({"locality": "L", "type": "work"})), None);
            assert_eq!(at(json!("text")), Some(3));
        }
    }
}
