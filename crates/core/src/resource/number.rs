//! The rules for numbers, which keep all their digits or are refused.

use serde_json::{Number, Value};

use super::normalize::At;
use crate::error::Error;
use crate::json;

/// Accepts a whole number of 64 bits (RFC 7643 §2.3.4).
pub(super) fn integer(value: Value, at: &At<'_>) -> Result<Value, Error> {
    if value.is_i64() {
        return Ok(value);
    }
    let is_long = json::verbatim(&value).is_some_and(|text| !text.contains(['.', 'e', 'E']));
    Err(at.refuse(match is_long {
        true => "must be a whole number of 64 bits; this one is larger",
        false => "must be a whole number, without fraction or exponent",
    }))
}

/// Accepts a decimal (RFC 7643 §2.3.3) that a double represents with all its digits, since decimals are
/// compared as doubles.
pub(super) fn decimal(value: Value, at: &At<'_>) -> Result<Value, Error> {
    let Some(digits) = json::digits(&value) else {
        return Err(at.refuse("must be a number"));
    };
    match (json::exact(&digits), value) {
        (Some(_), value @ Value::Number(_)) => Ok(value),
        (Some(double), _) => Ok(Number::from_f64(double).map_or(Value::Null, Value::Number)),
        (None, _) => Err(at.refuse(
            "must be a decimal that keeps all its digits; 15 always do, up to 308 places before or after the point",
        )),
    }
}
