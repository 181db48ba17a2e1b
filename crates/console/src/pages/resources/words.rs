//! What was entered into the search field: a filter, or a text to look for.

use headcount_core::filter::parse_filter;
use headcount_core::quirks::Applied;
use headcount_core::schema::ResourceType;

use super::reach::Reach;
use crate::context::PageContext;
use crate::error::PageError;

/// Operators of filters. Some are words of names, too: "Anne le Roux", "People and Culture".
const OPERATORS: [&str; 10] = ["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "pr"];
const CONJUNCTIONS: [&str; 3] = ["and", "or", "not"];

/// What was entered, and how it is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words<'t> {
    pub(super) text: &'t str,
    is_filter: bool,
    /// The word that the address has for the way to read it.
    wanted: &'static str,
}

impl<'t> Words<'t> {
    /// Reads a text as `wanted` says: `filter` or `text`. Otherwise what parses as a filter is one, and so is what
    /// can only be meant as one; everything else is a text.
    pub(super) fn read(
        ctx: &PageContext<'_>,
        kind: &ResourceType,
        text: &'t str,
        wanted: &str,
    ) -> Result<Self, PageError> {
        let quirks = ctx.tenant()?.quirks;
        let wanted = ["filter", "text"].into_iter().find(|known| *known == wanted);
        let wanted = wanted.unwrap_or_default();
        let is_filter = match wanted {
            _ if text.is_empty() => false,
            "filter" => true,
            "text" => false,
            _ => {
                parse_filter(kind, quirks, &mut Applied::default(), text).is_ok()
                    || is_meant_as_filter(kind, text)
            }
        };
        Ok(Self { text, is_filter, wanted })
    }

    /// Returns the word that reads the text in this way again.
    pub(super) fn word(&self) -> &'static str {
        self.wanted
    }

    /// Returns the word of the other way to read the text, and the text of a link to it, where both may be meant:
    /// a word after the first is one of filters, or what was read as a filter is none.
    pub(super) fn other(&self, failed: bool) -> Option<(&'static str, &'static str)> {
        let mut later = self.text.split_whitespace().skip(1);
        let has_word = later.any(|word| {
            OPERATORS.iter().chain(&CONJUNCTIONS).any(|known| known.eq_ignore_ascii_case(word))
        });
        match self.is_filter {
            true if failed || (has_word && !self.text.contains(['"', '('])) => {
                Some(("text", "Look for these words instead"))
            }
            false if has_word || self.wanted == "text" => {
                Some(("filter", "Read it as a filter instead"))
            }
            _ => None,
        }
    }

    /// Checks whether a text is looked for.
    pub(super) fn is_text(&self) -> bool {
        !self.text.is_empty() && !self.is_filter
    }

    /// Returns the filter of the search; `None` when everything is asked for.
    pub(super) fn filter(&self, kind: &ResourceType, reach: Reach) -> Option<String> {
        match self.text {
            "" => None,
            text if self.is_filter => Some(text.to_owned()),
            text => Some(reach.filter(kind, text)),
        }
    }
}

/// Checks whether a text can only be meant as a filter: it has quotes or parentheses, or begins with an attribute
/// and an operator. "Research and Development" and "Marie le Pen" are names.
fn is_meant_as_filter(kind: &ResourceType, text: &str) -> bool {
    let mut words = text.split_whitespace();
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let second = second.to_ascii_lowercase();
    let compares = OPERATORS.contains(&second.as_str()) && kind.resolve(first).is_ok();
    let negates = first.eq_ignore_ascii_case("not") && second.starts_with('(');
    let opens = text.starts_with('(') || first.to_ascii_lowercase().starts_with("not(");
    text.contains('"') || opens || negates || compares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_with_an_operator_is_a_filter() {
        let registry = headcount_core::schema::Registry::builtin().unwrap();
        let user = registry.kind("User").unwrap();
        let filters = ["userName eq \"x\"", "active eq true", "title pr", "(a pr)", "title SW b"];
        for filter in filters.into_iter().chain(["not (title pr)", "NOT(title pr)", "x eq \"y\""]) {
            assert!(is_meant_as_filter(user, filter), "{filter}");
        }
    }

    #[test]
    fn a_name_with_a_word_that_is_an_operator_is_a_name() {
        let registry = headcount_core::schema::Registry::builtin().unwrap();
        let user = registry.kind("User").unwrap();
        let names = ["jane", "jane roe", "jane@example.com", "eq", "Andy", "Marie le Pen"];
        for plain in names.into_iter().chain(["Research and Development", "Anne Le Roux", "Not us"])
        {
            assert!(!is_meant_as_filter(user, plain), "{plain}");
        }
    }

    #[test]
    fn ux_3_a_name_with_a_word_of_filters_can_be_read_in_two_ways() {
        for (text, other) in [
            ("Anne le Roux", Some("filter")),
            ("People and Culture", Some("filter")),
            ("jane", None),
            ("jane roe", None),
            ("Andy", None),
        ] {
            let words = Words { text, is_filter: false, wanted: "" };
            assert_eq!(words.other(false).map(|(word, _)| word), other, "{text}");
        }
        let filter = |text| Words { text, is_filter: true, wanted: "" };
        assert_eq!(filter("title pr").other(false).map(|(word, _)| word), Some("text"));
        assert_eq!(filter("title eq \"x\"").other(false), None);
        assert_eq!(filter("Bob \"B\" Roe").other(true).map(|(word, _)| word), Some("text"));
    }
}
