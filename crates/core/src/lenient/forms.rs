//! Other forms of one value: JSON inside a text, a value in an object, bytes and times in other
//! alphabets.

use serde_json::{Map, Value};

use super::Repairs;
use crate::json;
use crate::quirks::Quirks;
use crate::schema::{Attribute, ValueType};
use crate::value::base64;

impl Repairs<'_> {
    /// JSON inside a text, where an object or an array of objects is due.
    pub(crate) fn json_in_text(&mut self, value: Value) -> Value {
        let read = |text: &str| {
            let is_json = text.trim_start().starts_with(['{', '[']);
            is_json.then(|| json::parse(text.as_bytes()).ok()).flatten()
        };
        let found = match &value {
            Value::String(text) => read(text),
            // One text for an array of one, whose only element is an array then.
            Value::Array(values) => match values.as_slice() {
                [Value::String(text)] => read(text).filter(Value::is_array),
                _ => None,
            },
            _ => None,
        };
        match found {
            Some(found) if self.uses(Quirks::JSON_IN_TEXT) => found,
            _ => value,
        }
    }

    /// `{"value": x}` for a plain `x`. What else the object says is a label that a plain value lacks.
    pub(super) fn plain(&mut self, value: Value) -> Value {
        const LABELS: [&str; 4] = ["type", "display", "primary", "$ref"];
        let Value::Object(map) = &value else { return value };
        let is_value = |name: &str| name.eq_ignore_ascii_case("value");
        let is_label = |name: &str| LABELS.iter().any(|label| label.eq_ignore_ascii_case(name));
        let understood =
            |(name, value): (&String, &Value)| is_value(name) || is_label(name) || value.is_null();
        let inner = map.iter().find(|(name, _)| is_value(name)).map(|(_, inner)| inner);
        match inner {
            Some(inner) if map.iter().all(understood) && self.uses(Quirks::VALUE_OR_OBJECT) => {
                inner.clone()
            }
            _ => value,
        }
    }

    /// A plain `x` for `{"value": x}`.
    pub(super) fn object_of(&mut self, attribute: &Attribute, value: Value) -> Value {
        let has_value = attribute.sub("value").is_some_and(|sub| !sub.is_read_only());
        if !has_value || !self.uses(Quirks::VALUE_OR_OBJECT) {
            return value;
        }
        Value::Object(self.object(Some(attribute), &attribute.sub_attributes, valued(value)))
    }

    /// An empty text where no text is due.
    pub(super) fn is_cleared(&mut self, attribute: &Attribute, text: &str) -> bool {
        text.is_empty()
            && attribute.value_type != ValueType::String
            && self.uses(Quirks::EMPTY_CLEARS)
    }

    /// The URL-safe alphabet of base64 (RFC 4648 §5), where the ordinary one is due.
    pub(crate) fn base64(&mut self, text: String) -> String {
        if text.contains(['-', '_']) && self.uses(Quirks::URL_SAFE_BASE64) {
            return base64::ordinary(&text);
        }
        text
    }

    /// A whole number as a text.
    pub(crate) fn whole(&mut self, value: Value) -> Value {
        let read = value.as_str().and_then(json::whole);
        match read {
            Some(number) if self.uses(Quirks::NUMBERS_AS_TEXT) => number.into(),
            _ => value,
        }
    }

    /// `+0000` for `+00:00`, as Java's `SimpleDateFormat` writes it.
    pub(crate) fn moment(&mut self, text: String) -> String {
        let colon = text.len().checked_sub(2).filter(|colon| {
            let zone = colon.checked_sub(3).and_then(|start| text.as_bytes().get(start..));
            matches!(zone, Some([b'+' | b'-', digits @ ..]) if digits.iter().all(u8::is_ascii_digit))
                && text.contains('T')
        });
        match colon.and_then(|colon| text.split_at_checked(colon)) {
            Some((head, minutes)) if self.uses(Quirks::OFFSETS_WITHOUT_COLON) => {
                format!("{head}:{minutes}")
            }
            _ => text,
        }
    }
}

/// The object whose `value` is this.
pub(super) fn valued(value: Value) -> Map<String, Value> {
    Map::from_iter([("value".to_owned(), value)])
}
