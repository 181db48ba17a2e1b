//! The traces that people leave in the provisioning log, and how they are recognized there.
//!
//! A deleted resource is gone, but the log still contains what was sent about it: the values there are what is
//! looked for, since filters and responses to others may contain them without the person's name.

use std::collections::HashSet;

use headcount_core::index::fold;
use serde_json::Value;

/// The attributes whose values lead to a person, in lower case.
const PERSONAL: [&str; 14] = [
    "username",
    "externalid",
    "displayname",
    "nickname",
    "name",
    "emails",
    "phonenumbers",
    "ims",
    "photos",
    "addresses",
    "profileurl",
    "employeenumber",
    "x509certificates",
    "upn",
];
/// Attributes whose values are those of other people, or of everyone.
const OF_OTHERS: [&str; 5] = ["manager", "members", "groups", "schemas", "meta"];
/// Parts of these attributes that many people share.
const SHARED: [&str; 9] = [
    "type",
    "primary",
    "$ref",
    "country",
    "region",
    "locality",
    "postalcode",
    "honorificprefix",
    "honorificsuffix",
];
/// The shortest value that is looked for, in characters.
const MIN_CHARS: usize = 4;
/// The shortest value that is looked for within others, in characters, unless it is an address.
const MIN_RARE_CHARS: usize = 8;
/// From how many characters on a single word belongs to few people.
const LONG_WORD: usize = 10;

/// What is known of people who are to be forgotten. Each value is folded.
#[derive(Default)]
pub struct Traces {
    known: HashSet<String>,
}

/// The texts of a record in which traces are looked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogTexts<'a> {
    /// The filter.
    pub query: Option<&'a str>,
    /// Path, name, rejected attribute and reason.
    pub lines: [Option<&'a str>; 4],
    /// The bodies of request and response.
    pub bodies: [Option<&'a str>; 2],
}

impl Traces {
    /// Adds a value; one that is too short to lead to anyone is left out.
    pub fn add(&mut self, value: &str) {
        let folded = fold(value.trim());
        if folded.chars().count() >= MIN_CHARS {
            self.known.insert(folded);
        }
    }

    /// Adds the values in a body that was sent or returned for the person.
    pub fn add_body(&mut self, body: &str) {
        match serde_json::from_str::<Value>(body) {
            Ok(body) => self.add_resource(&body),
            // The log cuts long bodies: of such a one, every value that can only be this person's is taken.
            Err(_) => {
                for text in quoted(body) {
                    if is_identifying(&text) && !text.starts_with("urn:") {
                        self.add(&text);
                    }
                }
            }
        }
    }

    /// Checks whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Returns the values, each as it is compared, sorted.
    pub fn values(&self) -> Vec<String> {
        let mut values: Vec<String> = self.known.iter().cloned().collect();
        values.sort_unstable();
        values
    }

    /// Checks whether a record contains a trace.
    ///
    /// A whole value is a trace wherever it is. In a filter, so is a part of a value that few people share.
    pub fn are_in(&self, texts: &LogTexts<'_>) -> bool {
        let mut bodies = texts.bodies.into_iter().flatten().flat_map(quoted);
        let mut lines = texts.lines.into_iter().flatten();
        texts.query.is_some_and(|query| self.is_asked_for(query))
            || lines.any(|line| self.is_named(line))
            || bodies.any(|value| self.is_in_value(&value))
    }

    fn add_resource(&mut self, value: &Value) {
        match value {
            Value::Object(map) => {
                let path = map.get("path").and_then(Value::as_str);
                if let (Some(path), Some(value)) = (path, map.get("value")) {
                    self.add_attribute(path, value);
                    if is_of_others(path) {
                        return;
                    }
                    quoted(path).iter().for_each(|operand| self.add_identifying(operand));
                    return;
                }
                map.iter().for_each(|(name, value)| self.add_attribute(name, value));
            }
            Value::Array(values) => values.iter().for_each(|value| self.add_resource(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// Adds the values of an attribute, by its name or path, if they lead to a person.
    fn add_attribute(&mut self, path: &str, value: &Value) {
        let lower = path.to_ascii_lowercase();
        let plain = lower.split('[').next().unwrap_or_default();
        let plain = plain.rsplit(':').next().unwrap_or_default();
        let root = plain.split('.').next().unwrap_or_default();
        let last = lower.rsplit('.').next().unwrap_or_default();
        if OF_OTHERS.contains(&root) {
            return;
        }
        if PERSONAL.contains(&root) {
            if !SHARED.contains(&last) {
                self.add_leaves(value);
            }
        } else {
            // An extension, the operations of a PATCH, or a value without a path.
            self.add_resource(value);
        }
    }

    fn add_leaves(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.add(text),
            Value::Array(values) => values.iter().for_each(|value| self.add_leaves(value)),
            Value::Object(map) => {
                let own = map
                    .iter()
                    .filter(|(name, _)| !SHARED.contains(&name.to_ascii_lowercase().as_str()));
                own.for_each(|(_, value)| self.add_leaves(value));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn add_identifying(&mut self, text: &str) {
        if is_identifying(text) {
            self.add(text);
        }
    }

    fn is_asked_for(&self, query: &str) -> bool {
        quoted(query).iter().any(|operand| {
            let operand = fold(operand.trim());
            self.known.contains(&operand)
                || self.contain(&operand)
                || is_identifying(&operand)
                    && self.known.iter().any(|value| value.contains(operand.as_str()))
        })
    }

    fn is_named(&self, line: &str) -> bool {
        let folded = fold(line);
        self.known.contains(&folded)
            || self.contain(&folded)
            || folded.split('/').any(|it| is_identifying(it) && self.known.contains(it))
    }

    fn is_in_value(&self, value: &str) -> bool {
        let folded = fold(value.trim());
        // Words that many people share are no trace in what was sent about others.
        is_identifying(&folded) && (self.known.contains(&folded) || self.contain(&folded))
    }

    /// Checks whether a text contains a value that belongs to few people.
    fn contain(&self, text: &str) -> bool {
        self.known.iter().any(|value| {
            value.len() <= text.len() && is_rare(value) && text.contains(value.as_str())
        })
    }
}

/// Checks whether a value leads to a person by itself: a number, an address, several words or a long one.
fn is_identifying(value: &str) -> bool {
    let count = value.chars().count();
    let is_telling = value
        .contains(|letter: char| letter == '@' || letter.is_numeric() || letter.is_whitespace());
    count >= LONG_WORD || count >= MIN_CHARS && is_telling
}

/// Checks whether a value can be looked for within others: a short number is part of many times and numbers.
fn is_rare(value: &str) -> bool {
    let is_number = value.chars().all(|letter| letter.is_numeric() || letter.is_whitespace());
    is_identifying(value)
        && (value.contains('@') || value.chars().count() >= MIN_RARE_CHARS && !is_number)
        && !value.starts_with("urn:")
}

/// Checks whether a path is that of values of other people.
fn is_of_others(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let plain = lower.split(['[', '.']).next().unwrap_or_default();
    OF_OTHERS.contains(&plain.rsplit(':').next().unwrap_or_default())
}

/// Returns the texts in quotes, without escapes; one that is cut off ends with the text.
fn quoted(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut letters = text.chars();
    while letters.by_ref().any(|letter| letter == '"') {
        let mut raw = String::from("\"");
        while let Some(letter) = letters.next() {
            raw.push(letter);
            match letter {
                '"' => break,
                '\\' => raw.extend(letters.next()),
                _ => {}
            }
        }
        let value = serde_json::from_str(&raw);
        found.push(value.unwrap_or_else(|_| raw.trim_matches('"').to_owned()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s10_values_of_others_and_short_numbers_are_no_traces() {
        let mut traces = Traces::default();
        traces.add_body(
            r#"{"userName":"jane@example.com",
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":
                    {"employeeNumber":"2024","manager":{"value":"0198-boss","displayName":"John Boss"}}}"#,
        );
        traces.add_body(
            r#"{"Operations":[{"op":"add","path":"members[value eq \"0198-alive\"]","value":"0198-alive"}]}"#,
        );
        assert_eq!(traces.values(), ["2024", "jane@example.com"]);
        let other = r#"{"userName":"john@example.com","displayName":"John Boss","meta":{"created":"2024-05-01T00:00:00Z"}}"#;
        let about_other = LogTexts { bodies: [Some(other), None], ..LogTexts::default() };
        assert!(!traces.are_in(&about_other));
        let mut users = Traces::default();
        users.add("Users");
        let line = LogTexts {
            lines: [Some("/scim/v2/Users/0198"), None, None, None],
            ..LogTexts::default()
        };
        assert!(!users.are_in(&line));
    }

    const USER: &str = r#"{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName":"jane@example.com","name":{"givenName":"Jane","familyName":"Doe Fam","honorificPrefix":"Professor"},
        "emails":[{"type":"work","value":"j.doe@example.com"}],"active":true,"title":"Engineer at large",
        "addresses":[{"locality":"Springfield","streetAddress":"742 Evergreen Terrace"}],
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"employeeNumber":"E-701","department":"Sales 7"}}"#;

    fn traces() -> Traces {
        let mut traces = Traces::default();
        traces.add_body(USER);
        traces
    }

    #[test]
    fn s10_what_was_sent_about_a_person_is_known_and_what_many_share_is_not() {
        let known = [
            "742 evergreen terrace",
            "doe fam",
            "e-701",
            "j.doe@example.com",
            "jane",
            "jane@example.com",
        ];
        assert_eq!(traces().values(), known);
        let mut patched = Traces::default();
        patched.add_body(
            r#"{"Operations":[{"op":"replace","path":"emails[type eq \"work\"].value","value":"new@example.com"},
                {"op":"add","value":{"nickName":"Janey 2","title":"Boss of all"}},
                {"op":"add","path":"phoneNumbers","value":[{"type":"work","value":"+49 30 1"}]},
                {"op":"add","path":"addresses.country","value":"Germany East"}]}"#,
        );
        assert_eq!(patched.values(), ["+49 30 1", "janey 2", "new@example.com"]);
        let mut cut = Traces::default();
        cut.add_body(USER.split_once("active").unwrap().0);
        assert!(cut.values().contains(&"j.doe@example.com".to_owned()));
    }

    #[test]
    fn s10_filters_names_and_bodies_with_a_trace_are_found_and_others_are_not() {
        let traces = traces();
        let query = |query| traces.are_in(&LogTexts { query: Some(query), ..LogTexts::default() });
        assert!(query(r#"emails eq "J.Doe@example.com""#));
        assert!(query(r#"name.familyName co "oe Fam""#));
        assert!(query(r#"name.givenName eq "Jane""#));
        assert!(query(r#"addresses.formatted co "742 Evergreen Terrace, Springfield""#));
        assert!(!query(r#"emails[type eq "work"].value eq "john@example.com""#));
        assert!(!query(r#"name.givenName sw "J""#));
        let line = |line| {
            let lines = [Some(line), None, None, None];
            traces.are_in(&LogTexts { lines, ..LogTexts::default() })
        };
        assert!(line("userName \"jane@example.com\" is taken"));
        assert!(line("/Users/jane@example.com"));
        assert!(!line("/Users"));
        let body = |body| {
            let bodies = [None, Some(body)];
            traces.are_in(&LogTexts { bodies, ..LogTexts::default() })
        };
        assert!(body(r#"{"value":"E-701"}"#));
        assert!(body(r#"{"value":"cut off jane@example.com"#));
        assert!(!body(
            r#"{"name":{"givenName":"Jane","familyName":"Roe"},"department":"Sales 7"}"#
        ));
    }
}
