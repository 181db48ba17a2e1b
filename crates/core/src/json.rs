//! The one door for JSON from outside.
//!
//! `serde_json` accepts some texts that two readers would understand differently or that one of the
//! databases cannot hold. This visitor refuses them while reading, before any of it is kept.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::error::Error;

/// Objects and arrays may stand this deep inside one another.
pub const MAX_DEPTH: usize = 32;

/// Reads one JSON text.
///
/// # Errors
///
/// `invalidSyntax` for text that is not JSON (RFC 8259), not UTF-8, deeper than [`MAX_DEPTH`], or
/// that names a key of one object twice; `invalidValue` for U+0000 in a string and for integers
/// that do not fit 64 bits.
pub fn parse(bytes: &[u8]) -> Result<Value, Error> {
    // A byte order mark is no JSON, but some tools write it in front.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value =
        Strict { depth: 0 }.deserialize(&mut deserializer).map_err(|error| refusal(&error))?;
    deserializer.end().map_err(|error| refusal(&error))?;
    Ok(value)
}

/// Marks the refusals that are about a value and not about the syntax.
const VALUE_MARK: &str = "\u{1}";

fn refusal(error: &serde_json::Error) -> Error {
    let text = error.to_string();
    match text.strip_prefix(VALUE_MARK) {
        Some(reason) => Error::value("", reason),
        None if error.is_eof() && error.line() <= 1 && error.column() == 0 => {
            Error::syntax("the request body is empty; send a JSON object")
        }
        None => Error::syntax(format!("the request body is not acceptable JSON: {text}")),
    }
}

#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom(format_args!("it is nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

fn checked<E: serde::de::Error>(text: &str) -> Result<(), E> {
    if text.contains('\0') {
        return Err(E::custom(format_args!(
            "{VALUE_MARK}a string contains the character U+0000, which no attribute can hold"
        )));
    }
    Ok(())
}

fn too_long<E: serde::de::Error>() -> E {
    E::custom(format_args!("{VALUE_MARK}a number does not fit a 64 bit integer"))
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        i64::try_from(value).map(|value| Value::Number(value.into())).map_err(|_large| too_long())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        // A number this large has no fraction: it was written as an integer or means one.
        if value.abs() >= 9_223_372_036_854_775_808.0 {
            return Err(too_long());
        }
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number is not finite"))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        checked(value)?;
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Value, E> {
        checked(&value)?;
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = access.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            checked(&key)?;
            let value = access.next_value_seed(inner)?;
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!(
                    "the name {key:?} stands twice in one object"
                )));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (Option<&'static str>, String) {
        let error = parse(text.as_bytes()).unwrap_err();
        (error.status_and_type().1, error.to_string())
    }

    #[test]
    fn cre_007_text_that_is_not_json_is_invalid_syntax() {
        for text in [
            "",
            "{",
            "{\"a\":}",
            "[1,]",
            "nul",
            "{\"a\":1} x",
            "'a'",
            "{\"a\":\"\\ud800\"}",
            "1e999",
        ] {
            assert_eq!(refused(text).0, Some("invalidSyntax"), "{text}");
        }
        assert!(refused("").1.contains("empty"));
    }

    #[test]
    fn htp_009_invalid_utf8_is_invalid_syntax_and_a_byte_order_mark_is_not() {
        let error = parse(b"{\"a\":\"\xff\"}").unwrap_err();
        assert_eq!(error.status_and_type(), (400, Some("invalidSyntax")));
        assert_eq!(parse(b"\xef\xbb\xbf{}").unwrap(), serde_json::json!({}));
    }

    #[test]
    fn res_030_a_key_named_twice_is_refused() {
        let (scim_type, detail) = refused(r#"{"userName":"a","userName":"b"}"#);
        assert_eq!(scim_type, Some("invalidSyntax"));
        assert!(detail.contains("userName"), "{detail}");
    }

    #[test]
    fn res_032_nul_and_long_integers_are_invalid_values() {
        for text in [
            r#"{"a":"x\u0000y"}"#,
            r#"{"a\u0000":1}"#,
            "9223372036854775808",
            "[1e30]",
            "99999999999999999999",
        ] {
            assert_eq!(refused(text).0, Some("invalidValue"), "{text}");
        }
    }

    #[test]
    fn depth_is_counted_before_it_is_entered() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(refused(&nested(MAX_DEPTH + 1)).0, Some("invalidSyntax"));
        assert_eq!(refused(&"[".repeat(1_000_000)).0, Some("invalidSyntax"));
        assert_eq!(refused(&"{\"a\":".repeat(200_000)).0, Some("invalidSyntax"));
    }
}
