//! Numbers keep the digits that the client wrote.
//!
//! A [`serde_json::Number`] holds whole numbers of 64 bits and doubles. A number that it would print
//! differently, such as `12345678901234567890` or `1.50`, is kept verbatim instead: as a text in a
//! [`Value`] that begins with U+0000, which no text of a client contains. The rules of its attribute
//! decide later whether it is accepted, so that a number in an unknown attribute causes no error.

use serde_json::{Number, Value};

const MARK: char = '\0';

/// Reads a JSON number so that no digit is lost.
pub(crate) fn number(text: &str) -> Value {
    match plain(text) {
        Some(number) => Value::Number(number),
        None => Value::String(format!("{MARK}{text}")),
    }
}

/// Returns the text of a number that is kept verbatim.
pub(crate) fn verbatim(value: &Value) -> Option<&str> {
    value.as_str()?.strip_prefix(MARK)
}

/// Returns the text of a number, verbatim or not.
pub(crate) fn digits(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => Some(number.to_string()),
        other => verbatim(other).map(str::to_owned),
    }
}

/// Returns the number if it prints as the client wrote it.
fn plain(text: &str) -> Option<Number> {
    if let Ok(whole) = text.parse::<i64>() {
        return (text != "-0").then(|| whole.into());
    }
    let number = Number::from_f64(text.parse().ok()?)?;
    (number.to_string() == text).then_some(number)
}

/// Returns whether a text is a number by the grammar of JSON (RFC 8259 §6).
pub(crate) fn is_number(text: &str) -> bool {
    let body = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match body.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (body, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    are_digits(whole)
        && (whole.len() == 1 || !whole.starts_with('0'))
        && fraction.is_none_or(are_digits)
        && exponent.is_none_or(|text| are_digits(text.strip_prefix(['+', '-']).unwrap_or(text)))
}

fn are_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns the whole number of 64 bits that a JSON number means.
pub(crate) fn whole(text: &str) -> Option<i64> {
    let Meaning { negative, digits, point } = Meaning::of(text)?;
    let length = usize::try_from(point).ok().filter(|length| *length <= 19);
    let zeros = length.and_then(|length| length.checked_sub(digits.len()));
    if digits.is_empty() {
        return Some(0);
    }
    format!("{}{digits}{}", if negative { "-" } else { "" }, "0".repeat(zeros?)).parse().ok()
}

/// Returns the double that is exactly a JSON number, if there is one: it prints with the same digits.
pub(crate) fn exact(text: &str) -> Option<f64> {
    let double: f64 = text.parse().ok()?;
    let same = double.is_finite() && Meaning::of(text)? == Meaning::of(&format!("{double:e}"))?;
    same.then_some(double)
}

/// The value of a number in any spelling: 0.`digits` times ten to the power of `point`.
#[derive(Debug, PartialEq, Eq)]
struct Meaning {
    negative: bool,
    /// Without zeros at either end; empty for zero.
    digits: String,
    point: i64,
}

impl Meaning {
    fn of(text: &str) -> Option<Self> {
        if !is_number(text) {
            return None;
        }
        let body = text.strip_prefix('-').unwrap_or(text);
        let (mantissa, exponent) = body.split_once(['e', 'E']).unwrap_or((body, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let digits = all.trim_start_matches('0');
        let zeros = all.len() - digits.len();
        let digits = digits.trim_end_matches('0');
        if digits.is_empty() {
            return Some(Self { negative: false, digits: String::new(), point: 0 });
        }
        // An exponent beyond 64 bits is beyond everything that is compared with it.
        let saturated = if exponent.starts_with('-') { i64::MIN } else { i64::MAX };
        let shift = i64::try_from(whole.len()).ok()? - i64::try_from(zeros).ok()?;
        let point = exponent.parse().unwrap_or(saturated).saturating_add(shift);
        Some(Self { negative: text.starts_with('-'), digits: digits.to_owned(), point })
    }
}

/// The numbers of a JSON text that are kept verbatim.
pub(super) struct Extracted {
    /// By index among all numbers of the text.
    pub(super) numbers: Vec<(usize, String)>,
    /// The text with each of them replaced by a zero and blanks, so that positions in errors stay right.
    pub(super) text: Vec<u8>,
}

/// Takes such numbers out of a text. Most texts have none.
pub(super) fn extract(bytes: &[u8]) -> Option<Extracted> {
    let mut extracted: Option<Extracted> = None;
    let (mut at, mut count) = (0, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at += string_length(bytes.get(at + 1..).unwrap_or_default()) + 1,
            b'-' | b'0'..=b'9' => {
                let rest = bytes.get(at..).unwrap_or_default();
                let length = rest
                    .iter()
                    .take_while(|byte| {
                        matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
                    })
                    .count();
                let token = rest.get(..length).unwrap_or_default();
                let text = (!is_short(token)).then(|| std::str::from_utf8(token).ok()).flatten();
                if let Some(text) = text.filter(|text| is_number(text) && plain(text).is_none()) {
                    let extracted = extracted.get_or_insert_with(|| Extracted {
                        numbers: Vec::new(),
                        text: bytes.to_vec(),
                    });
                    extracted.numbers.push((count, text.to_owned()));
                    if let Some((first, others)) =
                        extracted.text.get_mut(at..at + length).and_then(<[u8]>::split_first_mut)
                    {
                        *first = b'0';
                        others.fill(b' ');
                    }
                }
                count += 1;
                at += length;
            }
            _ => at += 1,
        }
    }
    extracted
}

/// Returns whether a number prints as it is written without parsing it; true of most numbers.
fn is_short(token: &[u8]) -> bool {
    token.len() <= 18 && token.iter().all(u8::is_ascii_digit)
}

/// Returns the length of a string after its opening quote, with the closing one.
fn string_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(step) = memchr::memchr2(b'"', b'\\', bytes.get(at..).unwrap_or_default()) {
        at += step;
        match bytes.get(at) {
            Some(b'"') => return at + 1,
            _ => at += 2,
        }
    }
    bytes.len()
}

/// Writes a value as JSON, with every number as the client wrote it.
pub(crate) fn write(value: &Value, out: &mut String) {
    match value {
        Value::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                write(value, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            for (index, (name, value)) in map.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
        one => match verbatim(one) {
            Some(number) => out.push_str(number),
            None => out.push_str(&one.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_3_whole_numbers_are_exact_to_the_last_of_64_bits() {
        for (text, number) in [
            ("0", 0),
            ("-0", 0),
            ("0e999999999999999999999", 0),
            ("5.0", 5),
            ("1e3", 1_000),
            ("9007199254740993", 9_007_199_254_740_993),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            ("-9.223372036854775808e18", i64::MIN),
        ] {
            assert_eq!(whole(text), Some(number), "{text}");
        }
        for text in ["1.5", "9223372036854775808", "1e19", "1e-1", "1e999999999999999999999", "07"]
        {
            assert_eq!(whole(text), None, "{text}");
        }
    }

    #[test]
    fn a_3_a_decimal_is_exact_or_none() {
        for text in ["0.1", "1.50", "1e300", "5e-324", "-0", "123456789012345", "1e19", "0e-999"] {
            assert!(exact(text).is_some(), "{text}");
        }
        for text in [
            "0.12345678901234567890123",
            "9007199254740993",
            "1e309",
            "1e-400",
            "1e999999999999999999999",
            "-1e-999999999999999999999",
        ] {
            assert_eq!(exact(text), None, "{text}");
        }
    }

    #[test]
    fn a_3_the_grammar_is_that_of_json() {
        for text in
            ["", "-", "007", "+5", "1.", ".5", "1e", "1e+", "0x1", "1 ", "1.5.2", "-5-", "nan"]
        {
            assert!(!is_number(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_3_every_number_prints_as_it_was_written(text in "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,4})?") {
            prop_assert!(is_number(&text));
            let mut out = String::new();
            write(&number(&text), &mut out);
            prop_assert_eq!(&out, &text);
            let body = format!("{{\"a\":[{text},1],\"b\":\"{text}\"}}");
            out.clear();
            write(&super::super::parse(body.as_bytes()).unwrap(), &mut out);
            prop_assert_eq!(out, body);
        }

        #[test]
        fn a_3_doubles_and_whole_numbers_keep_their_meaning(double: f64, number: i64) {
            prop_assume!(double.is_finite());
            prop_assert_eq!(exact(&format!("{double:e}")), Some(double));
            prop_assert_eq!(exact(&format!("{double}")), Some(double));
            prop_assert_eq!(whole(&number.to_string()), Some(number));
            prop_assert_eq!(whole(&format!("{number}.0e0")), Some(number));
        }
    }
}
