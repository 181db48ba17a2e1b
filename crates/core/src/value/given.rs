//! What a client gave for an attribute, known only after normalization (RFC 7643 §2.5).

use serde_json::Value;

/// What normalization found in what a client sent for an attribute.
///
/// An operation decides what to do by this and never by the text that arrived: `[{"value": ""}]` is as
/// empty as `null`, but only a schema can tell.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Given<T = Value> {
    /// `null` or an empty array: the client says that there is no value.
    Cleared,
    /// Something in which no value is, as `""` or `[{"value": ""}]`.
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

/// Tells whether no number, no boolean and no character of text is anywhere in a value.
pub(crate) fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(_) | Value::Number(_) => false,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.iter().all(says_nothing),
        Value::Object(map) => map.values().all(says_nothing),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_says_nothing_when_all_that_is_in_it_says_nothing() {
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
            assert!(says_nothing(&value), "{value}");
        }
        for value in [json!(0), json!(false), json!(" "), json!([{"value": "", "primary": false}])]
        {
            assert!(!says_nothing(&value), "{value}");
        }
    }
}
