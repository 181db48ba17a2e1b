//! Values that implementations are known to compare wrongly.

use headcount_core::schema::{Attribute, ValueType};
use serde_json::{Value, json};

use super::Random;

/// Case beyond ASCII, wildcards of SQL, prefixes of one another, composed and decomposed letters,
/// letters of four bytes, writing from right to left, fullwidth forms, the ends of the code space.
pub const TEXTS: [&str; 40] = [
    "a",
    "A",
    "ab",
    "b",
    "B",
    "ä",
    "Ä",
    "a\u{308}",
    "ß",
    "ẞ",
    "ss",
    "σ",
    "ς",
    "Σ",
    "İ",
    "ı",
    "i",
    "I",
    "Å",
    "A\u{30a}",
    "\u{212b}",
    "100%",
    "1_0",
    "a\\b",
    "'quoted'",
    "\"",
    "é😀",
    "😀",
    "z",
    "\u{fffd}",
    "שלום",
    "أب",
    "ｆｕｌｌ",
    "full",
    "\u{d7ff}",
    "\u{e000}",
    "\u{10ffff}",
    "ab ba",
    "ǅ",
    "ab\u{200d}",
];
/// One instant in several spellings, and its neighbors.
pub const TIMES: [&str; 10] = [
    "2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00.000000Z",
    "2026-01-01T00:00:00.000003Z",
    "2026-01-01T00:00:00.0000030001Z",
    "2026-01-01T00:00:00.000003001Z",
    "2026-01-01T01:00:00+01:00",
    "2025-12-31T18:30:00-05:30",
    "2026-01-01T00:00:00",
    "1999-12-31T23:59:59Z",
    "1969-12-31T23:59:59.999999Z",
];
const INTEGERS: [i64; 9] = [i64::MIN, -10, -1, 0, 1, 9, 10, 9_007_199_254_740_992, i64::MAX];
const DECIMALS: [&str; 11] =
    ["0", "-0.0", "0.5", "-2.5", "1e10", "10000000000", "1e300", "3", "3.0", "1e-7", "0.1"];
const BINARIES: [&str; 5] = ["YQ==", "YWI=", "YQ", "-_8", "AAAA"];
/// Lengths around the limit of indexed values, in bytes.
const LONG: [usize; 4] = [1_022, 1_023, 1_024, 1_025];

/// Makes a text, once in sixty times one near the limit of indexed values.
pub fn text(random: &mut Random) -> String {
    if !random.once_in(60) {
        return (*random.one(&TEXTS)).to_owned();
    }
    // Letters that fold to as many bytes, to more, to fewer.
    let letter = *random.one(&["x", "X", "ß", "ä", "İ", "😀", "\u{212b}"]);
    let length = *random.one(&LONG);
    let mut long = letter.repeat(length / letter.len());
    while long.len() < length {
        long.push('x');
    }
    long
}

/// Quotes a text for a filter.
pub fn quote(text: &str) -> String {
    json!(text).to_string()
}

/// Makes a JSON value for one element of an attribute that is not complex.
pub fn simple(random: &mut Random, attribute: &Attribute) -> Value {
    if &*attribute.name == "type" {
        return (*random.one(&["work", "Work", "home", "ä", "Ä"])).into();
    }
    match attribute.value_type {
        ValueType::String | ValueType::Reference => text(random).into(),
        ValueType::Boolean if &*attribute.name == "primary" => false.into(),
        ValueType::Boolean => random.once_in(2).into(),
        ValueType::Decimal => parse(random.one::<&str>(&DECIMALS)),
        ValueType::Integer => (*random.one(&INTEGERS)).into(),
        ValueType::DateTime => (*random.one(&TIMES)).into(),
        ValueType::Binary => (*random.one(&BINARIES)).into(),
        ValueType::Complex => json!({}),
    }
}

fn parse(number: &str) -> Value {
    serde_json::from_str(number).unwrap_or_else(|error| panic!("{number}: {error}"))
}

/// Makes a literal for a filter on the attribute.
pub fn literal(random: &mut Random, attribute: &Attribute) -> String {
    if random.once_in(16) {
        return "null".to_owned();
    }
    if random.once_in(25) {
        return (*random.one(&[
            "true",
            "1",
            "\"x\"",
            "1.5",
            "True",
            "bare",
            "\"2026-01-01T00:00:00Z\"",
        ]))
        .to_owned();
    }
    if random.once_in(20) && attribute.value_type == ValueType::String {
        return "\"\"".to_owned();
    }
    match attribute.value_type {
        ValueType::Boolean => (*random.one(&["true", "false"])).to_owned(),
        ValueType::Decimal => (*random.one(&DECIMALS)).to_owned(),
        ValueType::Integer => random.one(&INTEGERS).to_string(),
        _ => simple(random, attribute).to_string(),
    }
}

/// Makes the value of an attribute: an element, or an array of them.
pub fn value(random: &mut Random, attribute: &Attribute) -> Value {
    if !attribute.multi_valued {
        return element(random, attribute);
    }
    let mut values: Vec<Value> = (0..random.below(4)).map(|_| element(random, attribute)).collect();
    // More than one primary value is refused, which is tried once in thirty times.
    let primaries = if random.once_in(30) { 2 } else { random.below(2) };
    for value in values.iter_mut().take(primaries) {
        if let (Some(map), Some(_)) = (value.as_object_mut(), attribute.sub("primary")) {
            map.insert("primary".to_owned(), true.into());
        }
    }
    Value::Array(values)
}

/// Makes one element of an attribute.
pub fn element(random: &mut Random, attribute: &Attribute) -> Value {
    if attribute.value_type != ValueType::Complex {
        return match random.once_in(60) {
            true => random.one(&[Value::Null, json!(""), json!({}), json!(7)]).clone(),
            false => simple(random, attribute),
        };
    }
    let mut map = serde_json::Map::new();
    for sub in &attribute.sub_attributes {
        if !random.once_in(3) {
            map.insert(sub.name.to_string(), simple(random, sub));
        }
    }
    Value::Object(map)
}

/// Makes the body of a resource of random values.
pub fn body(random: &mut Random, kind: &headcount_core::schema::ResourceType) -> Value {
    let mut body = serde_json::Map::new();
    for attribute in &kind.schema.attributes {
        if &*attribute.name != "members" && (attribute.required || random.once_in(2)) {
            body.insert(attribute.name.to_string(), value(random, attribute));
        }
    }
    if random.once_in(3) {
        body.insert("externalId".to_owned(), text(random).into());
    }
    for extension in &kind.extensions {
        if random.once_in(2) {
            let mut inner = serde_json::Map::new();
            for attribute in &extension.schema.attributes {
                if attribute.required || random.once_in(2) {
                    inner.insert(attribute.name.to_string(), value(random, attribute));
                }
            }
            body.insert(extension.schema.id.to_string(), Value::Object(inner));
        }
    }
    Value::Object(body)
}
