//! Values of which only the description is left.

use serde_json::{Map, Value};

use super::Repairs;
use crate::quirks::Quirks;
use crate::schema::Attribute;
use crate::value::says_nothing;

/// `{}` and `{"value": ""}` among values that are no objects.
pub(super) fn is_empty_object(map: &Map<String, Value>) -> bool {
    map.iter().all(|(name, value)| name.eq_ignore_ascii_case("value") && says_nothing(value))
}

impl Repairs<'_> {
    /// Tells whether a value of a multi-valued attribute comes with something emptied and says nothing
    /// else, as `{"type": "work", "value": ""}` does: so clients clear one of several values.
    pub(super) fn is_husk(&mut self, attribute: &Attribute, map: &Map<String, Value>) -> bool {
        let emptied = map.values().any(says_nothing);
        let mut left = map.iter().filter(|(_, value)| !says_nothing(value));
        emptied && left.next().is_some() && self.leaves_husk(attribute, map)
    }

    /// Tells whether a value from which something was cleared goes as a whole, since what is left in it
    /// only describes what is gone (quirk `no-husks`).
    pub(crate) fn leaves_husk(&mut self, attribute: &Attribute, map: &Map<String, Value>) -> bool {
        attribute.is_plural_complex()
            && map
                .iter()
                .filter(|(_, value)| !says_nothing(value))
                .all(|(name, _)| attribute.describes(name))
            && self.uses(Quirks::NO_HUSKS)
    }
}
