//! Husks: values of which only descriptive sub-attributes are left.

use serde_json::{Map, Value};

use super::Repairs;
use crate::quirks::Quirks;
use crate::schema::Attribute;
use crate::value::is_blank;

/// Returns whether an object among plain values is empty: `{}` or `{"value": ""}`.
pub(super) fn is_empty_object(map: &Map<String, Value>) -> bool {
    map.iter().all(|(name, value)| name.eq_ignore_ascii_case("value") && is_blank(value))
}

impl Repairs<'_> {
    /// Returns whether a value of a multi-valued attribute has something emptied and is otherwise only
    /// descriptive, as `{"type": "work", "value": ""}`. Clients clear one of several values in this way.
    pub(super) fn is_husk(&mut self, attribute: &Attribute, map: &Map<String, Value>) -> bool {
        let emptied = map.values().any(is_blank);
        let mut left = map.iter().filter(|(_, value)| !is_blank(value));
        emptied && left.next().is_some() && self.leaves_husk(attribute, map)
    }

    /// Returns whether a value from which something was cleared is removed as a whole, because the rest
    /// only describes what was cleared (quirk `no-husks`).
    pub(crate) fn leaves_husk(&mut self, attribute: &Attribute, map: &Map<String, Value>) -> bool {
        attribute.is_plural_complex()
            && map
                .iter()
                .filter(|(_, value)| !is_blank(value))
                .all(|(name, _)| attribute.describes(name))
            && self.allows(Quirks::NO_HUSKS)
    }
}
