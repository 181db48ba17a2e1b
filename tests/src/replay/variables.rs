//! The variables of a scenario: their values, and the texts that name them.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use serde_json::{Map, Value};

/// The variables of a scenario: saved ones, `rnd`, and `uuid_…` invented at first use.
#[derive(Debug, Clone, Default)]
pub(crate) struct Variables {
    pub(super) values: HashMap<String, String>,
    pub(super) known: HashSet<String>,
}

/// A step that cannot be taken since an earlier one failed.
pub(super) struct Blocked(pub(super) String);

impl Variables {
    /// Begins with some values.
    pub(crate) fn new(values: &[(&str, &str)]) -> Self {
        let mut variables = Self::default();
        for (name, value) in values {
            variables.set(name, value);
        }
        variables
    }

    /// Sets one.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.known.insert(name.to_owned());
        self.values.insert(name.to_owned(), value.to_owned());
    }

    /// Puts values in the place of their names.
    pub(crate) fn fill(&mut self, text: &str) -> Result<String, String> {
        self.substitute(text).map_err(|Blocked(name)| format!("{{{name}}} was never kept"))
    }

    /// Does so in all texts of a value.
    pub(crate) fn fill_all(&mut self, value: &Value) -> Result<Value, String> {
        self.deep(value).map_err(|Blocked(name)| format!("{{{name}}} was never kept"))
    }

    pub(super) fn substitute(&mut self, text: &str) -> Result<String, Blocked> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(start) = rest.find('{') {
            out.push_str(rest.get(..start).unwrap_or_default());
            let tail = rest.get(start..).unwrap_or_default();
            let Some((inside, behind)) = tail.get(1..).and_then(|tail| tail.split_once('}')) else {
                break;
            };
            let mut parts = inside.split('|');
            let name = parts.next().unwrap_or_default();
            let is_name = !name.is_empty()
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                && !name.starts_with(|c: char| c.is_ascii_digit());
            match self.value(name).filter(|_| is_name) {
                Some(value) => {
                    out.push_str(&parts.fold(value, |value, filter| filtered(&value, filter)));
                    rest = behind;
                }
                None if is_name && self.known.contains(name) => {
                    return Err(Blocked(name.to_owned()));
                }
                // Not ours: a literal brace stays.
                None => {
                    out.push('{');
                    rest = tail.get(1..).unwrap_or_default();
                }
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    fn value(&mut self, name: &str) -> Option<String> {
        if let Some(value) = self.values.get(name) {
            return Some(value.clone());
        }
        let invented = name.starts_with("uuid_").then(|| random_uuid(name))?;
        self.values.insert(name.to_owned(), invented.clone());
        Some(invented)
    }

    pub(super) fn deep(&mut self, value: &Value) -> Result<Value, Blocked> {
        Ok(match value {
            Value::String(text) => Value::String(self.substitute(text)?),
            Value::Array(values) => {
                values.iter().map(|value| self.deep(value)).collect::<Result<_, _>>()?
            }
            Value::Object(map) => {
                let mut out = Map::new();
                for (name, value) in map {
                    out.insert(self.substitute(name)?, self.deep(value)?);
                }
                Value::Object(out)
            }
            other => other.clone(),
        })
    }
}

pub(super) fn filtered(value: &str, filter: &str) -> String {
    match filter {
        "q" => percent(value, false),
        "qp" => percent(value, true),
        "upper" => value.to_uppercase(),
        "lower" => value.to_lowercase(),
        other => panic!("there is no filter |{other}"),
    }
}

pub(super) fn percent(text: &str, plus: bool) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' if plus => out.push('+'),
            other => drop(write!(out, "%{other:02X}")),
        }
    }
    out
}

/// Something that was not there before: names must not clash between runs.
pub(super) fn unique() -> u128 {
    use std::hash::{BuildHasher, Hasher};
    let random =
        || u128::from(std::collections::hash_map::RandomState::new().build_hasher().finish());
    random() << 64 | random()
}

pub(super) fn random_uuid(_name: &str) -> String {
    let hex = format!("{:032x}", unique());
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-4{}-a{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}
