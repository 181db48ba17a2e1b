//! What a client gave for an attribute (RFC 7643 §2.5), which only normalization can determine.

use serde_json::Value;

/// What normalization found in what a client sent for an attribute.
///
/// An operation decides by this and never by the JSON that arrived: `[{"value": ""}]` is as empty as
/// `null`, but only the schema shows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Given<T = Value> {
    /// `null` or an empty array: the client clears the attribute.
    Cleared,
    /// JSON without a value in it, as `""` or `[{"value": ""}]`.
    Nothing,
    /// A value.
    Value(T),
}

impl<T> Given<T> {
    /// Returns the value, if there is one.
    pub(crate) fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Cleared | Self::Nothing => None,
        }
    }
}

/// Returns whether a value is `null` or the empty text.
pub(crate) fn is_null_or_empty(value: &Value) -> bool {
    value.is_null() || value.as_str() == Some("")
}

/// Returns whether there is no number, no boolean and no character of text anywhere in a value.
pub(crate) fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(_) | Value::Number(_) => false,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.iter().all(is_blank),
        Value::Object(map) => map.values().all(is_blank),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_says_nothing_when_all_that_is_in_it_is_blank() {
        for value in [
            json!(null),
            json!(""),
            json!([]),
            json!({}),
            json!([null]),
            json!([{}]),
            json!([{"value": ""}]),
            json!([{"value": null, "sub": [[""]]}]),
        ] {
            assert!(is_blank(&value), "{value}");
        }
        for value in [json!(0), json!(false), json!(" "), json!([{"value": "", "primary": false}])]
        {
            assert!(!is_blank(&value), "{value}");
        }
    }
}
