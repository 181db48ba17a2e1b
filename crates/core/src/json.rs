//! The only parser for JSON from clients.
//!
//! `serde_json` accepts some texts that two readers would understand differently, or that one of the
//! databases cannot store. This visitor refuses them while it reads. Numbers keep the digits that the
//! client wrote.

mod number;

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::Error;

pub(crate) use number::{digits, exact, is_number, number, verbatim, whole};

/// Levels of nested objects and arrays.
pub const MAX_DEPTH: usize = 32;

/// Reads one JSON text.
///
/// # Errors
///
/// `invalidSyntax` for text that is not JSON (RFC 8259), not UTF-8, deeper than [`MAX_DEPTH`], or
/// that names a key of one object twice; `invalidValue` for U+0000 in a string.
pub fn parse(bytes: &[u8]) -> Result<Value, Error> {
    // A byte order mark is not JSON, but some tools write one.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let (text, verbatim) = match number::extract(bytes) {
        Some(extracted) => (Cow::Owned(extracted.text), extracted.numbers),
        None => (Cow::Borrowed(bytes), Vec::new()),
    };
    let numbers = Numbers { next: Cell::new(0), verbatim };
    let mut deserializer = serde_json::Deserializer::from_slice(&text);
    let value = Strict { depth: 0, numbers: &numbers }
        .deserialize(&mut deserializer)
        .map_err(|error| refusal(&error))?;
    deserializer.end().map_err(|error| refusal(&error))?;
    Ok(value)
}

/// Writes a value that [`parse`] read. `Value::to_string` would write numbers that were kept verbatim as
/// texts.
pub fn to_text(value: &Value) -> String {
    let mut out = String::new();
    number::write(value, &mut out);
    out
}

/// The numbers of a text that are kept verbatim, and a count of all numbers that have been passed.
struct Numbers {
    next: Cell<usize>,
    /// By index among all numbers of the text, in ascending order.
    verbatim: Vec<(usize, String)>,
}

impl Numbers {
    /// Passes one number, and returns it verbatim or as the parser read it.
    fn pass(&self, read: impl Into<Value>) -> Value {
        let this = self.next.replace(self.next.get() + 1);
        let found = self.verbatim.binary_search_by_key(&this, |(index, _)| *index).ok();
        found
            .and_then(|at| self.verbatim.get(at))
            .map_or_else(|| read.into(), |(_, text)| number(text))
    }
}

/// Marks errors that are about a value and not about the syntax.
const VALUE_MARK: &str = "\u{1}";

fn refusal(error: &serde_json::Error) -> Error {
    let text = error.to_string();
    match text.strip_prefix(VALUE_MARK) {
        Some(reason) => Error::message_value(reason),
        None if error.is_eof() && error.line() <= 1 && error.column() == 0 => {
            Error::syntax("the request body is empty; send a JSON object")
        }
        None => Error::syntax(format!("the request body is not acceptable JSON: {text}")),
    }
}

/// Returns the length of a JSON string literal at the start of a text, quotes included.
pub(crate) fn quoted_length(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

#[derive(Clone, Copy)]
struct Strict<'n> {
    depth: usize,
    numbers: &'n Numbers,
}

impl Strict<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom(format_args!("it is nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

fn refuse_nul<E: serde::de::Error>(text: &str) -> Result<(), E> {
    if text.contains('\0') {
        return Err(E::custom(format_args!(
            "{VALUE_MARK}a string contains the character U+0000, which no attribute can hold"
        )));
    }
    Ok(())
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(self.numbers.pass(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(self.numbers.pass(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(self.numbers.pass(value))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        refuse_nul(value)?;
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Value, E> {
        refuse_nul(&value)?;
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
            refuse_nul(&key)?;
            let value = access.next_value_seed(inner)?;
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!(
                    "the name {key:?} is in one object twice"
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
            "1.",
            "01",
            "1e",
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
    fn res_032_nul_is_no_part_of_a_value() {
        for text in [r#"{"a":"x\u0000y"}"#, r#"{"a\u0000":1}"#, r#"["\u00001e400"]"#] {
            assert_eq!(refused(text).0, Some("invalidValue"), "{text}");
        }
    }

    #[test]
    fn a_3_a_number_of_any_length_is_read_and_written_alike() {
        for text in
            ["9223372036854775808", "[1e30]", "99999999999999999999", "{\"a\":[1.50,1e999,-0,7]}"]
        {
            let value = parse(text.as_bytes()).unwrap();
            assert_eq!(to_text(&value), text);
            assert_eq!(parse(to_text(&value).as_bytes()).unwrap(), value);
        }
    }

    #[test]
    fn a_3_what_is_wrong_is_found_where_it_is() {
        let (_, detail) = refused("[12345678901234567890,1e999,\nx]");
        assert!(detail.contains("line 2 column 1"), "{detail}");
    }

    fn nested(depth: usize) -> String {
        format!("{}{}", "[".repeat(depth), "]".repeat(depth))
    }

    #[test]
    fn depth_is_counted_before_it_is_entered() {
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(refused(&nested(MAX_DEPTH + 1)).0, Some("invalidSyntax"));
        assert_eq!(refused(&"[".repeat(1_000_000)).0, Some("invalidSyntax"));
        assert_eq!(refused(&"{\"a\":".repeat(200_000)).0, Some("invalidSyntax"));
    }
}
