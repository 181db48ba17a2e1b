//! Equal values of a multi-valued attribute (CHR-038), found without comparing each with each.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use serde_json::Value;

/// Returns whether two values have the same pair of `type` and `value`, or are equal as a whole (CHR-038).
pub(crate) fn same_value(a: &Value, b: &Value) -> bool {
    match (a.get("value"), b.get("value")) {
        (Some(one), Some(other)) => one == other && a.get("type") == b.get("type"),
        _ => a == b,
    }
}

/// Values up to which comparing with each costs less than hashing.
const MAX_COMPARED: usize = 16;

/// An index of the values of one list. In a long list, a value is compared only with those of the same hash.
///
/// Invariant: the list only grows, or changes in values whose identity stays the same.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    hasher: RandomState,
    /// Positions by hash, of the first `indexed` values.
    positions: HashMap<u64, Vec<usize>>,
    indexed: usize,
    /// The number of comparisons made.
    pub(crate) comparisons: usize,
}

impl Identities {
    /// Finds the position of the value among `values`.
    pub(crate) fn find(&mut self, values: &[Value], value: &Value) -> Option<usize> {
        if values.len() <= MAX_COMPARED {
            let found = values.iter().position(|known| same_value(known, value));
            self.comparisons += found.map_or(values.len(), |position| position + 1);
            return found;
        }
        for (position, known) in values.iter().enumerate().skip(self.indexed) {
            self.positions.entry(self.hash(known)).or_default().push(position);
        }
        self.indexed = values.len();
        for &position in self.positions.get(&self.hash(value))? {
            self.comparisons += 1;
            if values.get(position).is_some_and(|known| same_value(known, value)) {
                return Some(position);
            }
        }
        None
    }

    /// Returns a hash that is equal for values that are the same by [`same_value`].
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
            for (value, position) in [
                (json!({"type": "work", "value": "a"}), Some(0)),
                (json!({"value": "a", "primary": true}), Some(1)),
                (json!({"value": "a", "type": "home"}), None),
                (json!({"locality": "L"}), Some(2)),
                (json!({"locality": "L", "type": "work"}), None),
                (json!("text"), Some(3)),
            ] {
                assert_eq!(identities.find(list, &value), position, "{value}");
            }
        }
    }
}
