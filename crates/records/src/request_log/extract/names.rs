//! The names by which people search for what a request was about.

use serde_json::Value;

use super::super::redact;
use super::{member, text_of};
use headcount_core::filter::{Filter, Literal, ParsedFilter, Syntax};
use headcount_core::index::fold;
use headcount_core::path::PathParts;

/// Names that are kept of one request.
const MAX_NAMES: usize = 256;

/// Collects the names of a resource from bodies and filters.
#[derive(Default)]
pub(super) struct Names {
    /// In the form in which they are compared.
    pub(super) folded: Vec<String>,
    /// The name that people read.
    pub(super) label: Option<String>,
    /// Whether the label is a userName, which no other name replaces.
    is_proper: bool,
    /// Whether to skip members.
    pub(super) without_members: bool,
}

impl Names {
    /// Adds a name, once.
    pub(super) fn add(&mut self, name: &str) {
        let known = fold(name);
        let fits = !known.is_empty() && known.len() <= 1_024 && !redact::looks_like_token(name);
        if fits && self.folded.len() < MAX_NAMES && !self.folded.contains(&known) {
            self.folded.push(known);
        }
    }

    /// Adds the value of an attribute, if people use it as a name.
    fn attribute(&mut self, attribute: &str, value: &Value) {
        let lower = attribute.to_ascii_lowercase();
        // A filter in brackets is not part of the path.
        let lower = lower.split('[').next().unwrap_or_default();
        let path = lower.rsplit(':').next().unwrap_or_default();
        let last = path.rsplit('.').next().unwrap_or_default();
        if value.as_str().is_some_and(redact::looks_like_token) {
            return;
        }
        match (last, value) {
            ("username" | "displayname", Value::String(text)) => {
                self.add(text);
                if !self.is_proper && !text.is_empty() {
                    self.label = Some(text.clone());
                    self.is_proper = last == "username";
                }
            }
            ("externalid", Value::String(text)) => {
                self.add(text);
                if self.label.is_none() {
                    self.label = Some(text.clone());
                }
            }
            _ if path.starts_with("emails") => self.values_of(value),
            _ if path.starts_with("members") && !self.without_members => {
                self.values_of(value);
                // `members[value eq "2819c223"]`
                self.of_brackets(attribute);
            }
            _ => {}
        }
    }

    /// Adds the texts of a value, or of `value` in objects and arrays of them.
    fn values_of(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.add(text),
            Value::Array(values) => values.iter().for_each(|value| self.values_of(value)),
            Value::Object(map) => {
                if let Some(value) = map.get("value") {
                    self.values_of(value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn of_brackets(&mut self, path: &str) {
        if let Some(filter) = PathParts::of(path).ok().and_then(|parts| parts.filter) {
            self.of_filter(filter);
        }
    }

    /// Adds what a body names: a resource, or the operations of a PATCH.
    pub(super) fn collect(&mut self, body: &Value) {
        let Some(map) = body.as_object() else { return };
        for (name, value) in map {
            if name.eq_ignore_ascii_case("Operations") {
                value.as_array().into_iter().flatten().for_each(|one| self.operation(one));
            } else if name.contains(':') && value.is_object() {
                self.collect(value);
            } else {
                self.attribute(name, value);
            }
        }
    }

    fn operation(&mut self, operation: &Value) {
        let value = member(operation, "value");
        match (text_of(operation, "path").filter(|path| !path.is_empty()), value) {
            (Some(path), Some(value)) => self.attribute(&path, value),
            (Some(path), None) => self.attribute(&path, &Value::Null),
            (None, Some(value)) => self.collect(value),
            (None, None) => {}
        }
    }

    /// Adds the texts that a filter compares with.
    pub(super) fn of_filter(&mut self, filter: &str) {
        let loose = Syntax { bare_words: true, loose_forms: true };
        if let Ok((filter, _)) = ParsedFilter::parse_with(filter, loose) {
            self.of_tree(&filter);
        }
    }

    fn of_tree(&mut self, filter: &ParsedFilter) {
        match filter {
            Filter::And(all) | Filter::Or(all) => all.iter().for_each(|one| self.of_tree(one)),
            Filter::Not(inner) | Filter::Element(_, inner) => self.of_tree(inner),
            Filter::Compare(
                _,
                _,
                Literal::Text(text) | Literal::Word(text) | Literal::Number(text),
            ) => self.add(text),
            Filter::Compare(..) | Filter::Present(_) => {}
        }
    }
}

/// Checks whether a member of a body may have what [`Names`] collects, by its name in any case.
pub(super) fn is_telling(name: &str) -> bool {
    const WHOLE: [&str; 6] = ["id", "filter", "operations", "op", "path", "value"];
    const ENDS: [&str; 3] = ["username", "displayname", "externalid"];
    const STARTS: [&str; 2] = ["emails", "members"];
    // Extensions, and attributes under the URN of their schema.
    name.contains(':')
        || WHOLE.iter().any(|word| name.eq_ignore_ascii_case(word))
        || ENDS.iter().any(|word| ends_with(name, word))
        || STARTS.iter().any(|word| starts_with(name, word))
}

/// Compares the beginning of a name in any case.
fn starts_with(name: &str, word: &str) -> bool {
    let start = name.as_bytes().get(..word.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
}

/// Compares the end of a name in any case.
fn ends_with(name: &str, word: &str) -> bool {
    let end = name.len().checked_sub(word.len()).and_then(|start| name.as_bytes().get(start..));
    end.is_some_and(|end| end.eq_ignore_ascii_case(word.as_bytes()))
}
