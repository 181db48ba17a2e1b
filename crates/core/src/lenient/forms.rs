//! Other forms of one value: JSON inside a text, a value in an object, bytes and times in other
//! alphabets.

use serde_json::{Map, Value};

use super::Repairs;
use crate::json;
use crate::quirks::Quirks;
use crate::schema::{Attribute, ValueType};
use crate::value::base64;

impl Repairs<'_> {
    /// Accepts JSON inside a text where an object or an array of objects is expected.
    pub(crate) fn json_in_text(&mut self, value: Value) -> Value {
        let found = match &value {
            Value::String(text) => parse_inner(text),
            // The only element of an array may be the text of the whole array.
            Value::Array(values) => match values.as_slice() {
                [Value::String(text)] => parse_inner(text).filter(Value::is_array),
                _ => None,
            },
            _ => None,
        };
        match found {
            Some(found) if self.allows(Quirks::JSON_IN_TEXT) => found,
            _ => value,
        }
    }

    /// Accepts `{"value": x}` for a plain `x`. The other sub-attributes are labels that a plain value does
    /// not have.
    pub(super) fn plain(&mut self, value: Value) -> Value {
        const LABELS: [&str; 4] = ["type", "display", "primary", "$ref"];
        let Value::Object(map) = &value else { return value };
        let mut inner = None;
        for (name, part) in map {
            if name.eq_ignore_ascii_case("value") {
                inner = inner.or(Some(part));
            } else if !part.is_null()
                && !LABELS.iter().any(|label| label.eq_ignore_ascii_case(name))
            {
                return value;
            }
        }
        match inner {
            Some(inner) if self.allows(Quirks::VALUE_OR_OBJECT) => inner.clone(),
            _ => value,
        }
    }

    /// Accepts a plain `x` for `{"value": x}`.
    pub(super) fn object_of(&mut self, attribute: &Attribute, value: Value) -> Value {
        let has_value = attribute.sub("value").is_some_and(|sub| !sub.is_read_only());
        if !has_value || !self.allows(Quirks::VALUE_OR_OBJECT) {
            return value;
        }
        Value::Object(self.object(Some(attribute), &attribute.sub_attributes, wrap_value(value)))
    }

    /// Returns whether an empty text clears an attribute that is not a text.
    pub(super) fn is_cleared(&mut self, attribute: &Attribute, text: &str) -> bool {
        text.is_empty()
            && attribute.value_type != ValueType::String
            && self.allows(Quirks::EMPTY_CLEARS)
    }

    /// Accepts the URL-safe alphabet of base64 (RFC 4648 §5) for the ordinary one.
    pub(crate) fn base64(&mut self, text: String) -> String {
        if text.contains(['-', '_']) && self.allows(Quirks::URL_SAFE_BASE64) {
            return base64::ordinary(&text);
        }
        text
    }

    /// Accepts a whole number as a text.
    pub(crate) fn whole(&mut self, value: Value) -> Value {
        match value.as_str().and_then(json::whole) {
            Some(number) if self.allows(Quirks::NUMBERS_AS_TEXT) => number.into(),
            _ => value,
        }
    }

    /// Accepts `+0000` for `+00:00`, as Java's `SimpleDateFormat` writes it.
    pub(crate) fn moment(&mut self, text: String) -> String {
        let colon = text.len().checked_sub(2).filter(|colon| {
            let zone = colon.checked_sub(3).and_then(|start| text.as_bytes().get(start..));
            matches!(zone, Some([b'+' | b'-', digits @ ..]) if digits.iter().all(u8::is_ascii_digit))
                && text.contains('T')
        });
        match colon.and_then(|colon| text.split_at_checked(colon)) {
            Some((head, minutes)) if self.allows(Quirks::OFFSETS_WITHOUT_COLON) => {
                format!("{head}:{minutes}")
            }
            _ => text,
        }
    }
}

/// Parses a text that has the form of an object or an array.
fn parse_inner(text: &str) -> Option<Value> {
    let is_json = text.trim_start().starts_with(['{', '[']);
    is_json.then(|| json::parse(text.as_bytes()).ok()).flatten()
}

/// Returns the object with this `value`.
pub(super) fn wrap_value(value: Value) -> Map<String, Value> {
    Map::from_iter([("value".to_owned(), value)])
}
