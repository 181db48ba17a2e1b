//! Values without their resources: what a client gave, and the form in which values are compared.
//!
//! The databases compare bytes and nothing else; every rule about case, width, numbers and time is
//! applied here, before a value is stored or compared.

pub(crate) mod base64;
mod fold;
mod given;
mod invisible;

use serde_json::Value;

use crate::clock::Instant;
use crate::schema::{Attribute, ValueType};
use crate::work::{VISIT, bytes, folding};

pub use fold::{fold, fold_part};
pub(crate) use given::{Given, is_blank, is_null_or_empty};

/// The version of [`fold`] and of the value forms below. Stores rebuild the rows that another version
/// derived.
pub const FOLD_VERSION: i64 = 2;

/// Returns the comparable form of a text under an attribute's case rule.
pub fn text_form(attribute: &Attribute, text: &str) -> String {
    if attribute.case_exact { text.to_owned() } else { fold(text) }
}

/// Returns the comparable form of a part of a text, for `co`, `sw` and `ew`.
pub fn part_form(attribute: &Attribute, text: &str) -> String {
    if attribute.case_exact { text.to_owned() } else { fold_part(text) }
}

/// Returns the comparable form of a canonical value: equal values have equal bytes, and for ordered
/// types the order of bytes is the order of values.
///
/// Returns `None` for complex values, and for values that do not have the attribute's type.
pub fn comparable(attribute: &Attribute, value: &Value) -> Option<String> {
    match attribute.value_type {
        ValueType::String | ValueType::Reference => {
            value.as_str().map(|text| text_form(attribute, text))
        }
        ValueType::Binary => value.as_str().and_then(base64::canonical_of_any),
        ValueType::Boolean => value.as_bool().map(boolean_form),
        ValueType::Integer => value.as_i64().map(integer_form),
        ValueType::Decimal => value.as_f64().map(decimal_form),
        ValueType::DateTime => value.as_str().and_then(date_time_form),
        ValueType::Complex => None,
    }
}

/// `0` or `1`.
pub(crate) fn boolean_form(value: bool) -> String {
    if value { "1".to_owned() } else { "0".to_owned() }
}

/// Sixteen hexadecimal digits with the sign bit flipped.
pub(crate) fn integer_form(value: i64) -> String {
    format!("{:016x}", value.cast_unsigned() ^ (1 << 63))
}

/// Sixteen hexadecimal digits of the IEEE 754 bits, arranged so that they order like the numbers.
pub(crate) fn decimal_form(value: f64) -> String {
    // Both zeros are one number.
    let bits = (value + 0.0).to_bits();
    let ordered = if bits >> 63 == 1 { !bits } else { bits | (1 << 63) };
    format!("{ordered:016x}")
}

/// Nanoseconds since the epoch with the sign bit flipped, in twenty-four hexadecimal digits.
pub(crate) fn date_time_form(text: &str) -> Option<String> {
    Instant::parse(text).map(instant_form)
}

pub(crate) fn instant_form(instant: Instant) -> String {
    format!("{}{:03}", integer_form(instant.micros), instant.finer)
}

/// Returns the cost of making the comparable form of a value, in units of work.
pub(crate) fn units(attribute: &Attribute, value: &Value) -> u64 {
    match value {
        Value::String(text) if attribute.case_exact => bytes(text),
        Value::String(text) => folding(text),
        _ => VISIT,
    }
}
