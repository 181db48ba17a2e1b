//! Splits a path of PATCH into its parts. A quoted text in its filter may contain any character.

use crate::error::{Error, PathError};
use crate::json::quoted_length;

/// The parts of `attribute[filter].sub` (RFC 7644 Figure 7), of which only the attribute is required.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathParts<'p> {
    /// The attribute path before the bracket.
    pub attribute: &'p str,
    /// The text in the brackets.
    pub filter: Option<&'p str>,
    /// The name after the bracket and its dot.
    pub sub: Option<&'p str>,
}

impl<'p> PathParts<'p> {
    /// Splits a path, without checking the parts themselves.
    ///
    /// # Errors
    ///
    /// `invalidPath` for brackets that do not close or are empty, `invalidFilter` for a bracket inside
    /// another one.
    pub fn of(path: &'p str) -> Result<Self, Error> {
        let Some((attribute, rest)) = path.split_once('[') else {
            return Ok(Self { attribute: path, filter: None, sub: None });
        };
        let (filter, tail) = match bracket(rest) {
            Bracket::Closed(end) => {
                (rest.get(..end).unwrap_or_default(), rest.get(end + 1..).unwrap_or_default())
            }
            // Errata 4690 and 7322: brackets do not nest.
            Bracket::Nested => {
                return Err(Error::filter("a filter in [ ] cannot contain another [ ]"));
            }
            Bracket::Open => {
                return Err(malformed_path(path, "a \"[\" without its \"]\""));
            }
        };
        if filter.trim().is_empty() || filter.trim().bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(malformed_path(
                path,
                "values have no numbers; select by a filter, as in emails[type eq \"work\"]",
            ));
        }
        let sub = match tail {
            "" => None,
            tail => match tail.strip_prefix('.') {
                Some(sub) if !sub.is_empty() && !sub.contains(['.', '[', ']', ':']) => Some(sub),
                _ => {
                    return Err(malformed_path(
                        path,
                        "only a dot and one sub-attribute can follow \"]\"",
                    ));
                }
            },
        };
        Ok(Self { attribute, filter: Some(filter), sub })
    }
}

fn malformed_path(path: &str, reason: &str) -> Error {
    Error::Path(PathError::new(path, reason))
}

/// Splits a list of paths at the commas outside brackets.
pub(crate) fn split_list(list: &str) -> Vec<&str> {
    let (mut paths, mut start, mut at) = (Vec::new(), 0, 0);
    while let Some(byte) = list.as_bytes().get(at) {
        match byte {
            b',' => {
                paths.extend(list.get(start..at));
                start = at + 1;
            }
            b'[' => {
                if let Bracket::Closed(length) = bracket(list.get(at + 1..).unwrap_or_default()) {
                    at += length + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    paths.extend(list.get(start..));
    paths
}

enum Bracket {
    /// It closes at this byte offset.
    Closed(usize),
    /// Another one opens before it closes.
    Nested,
    /// It never closes.
    Open,
}

/// Finds the end of a bracket in the text after its `[`.
fn bracket(text: &str) -> Bracket {
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at) {
        match byte {
            b']' => return Bracket::Closed(at),
            b'[' => return Bracket::Nested,
            b'"' => match quoted_length(text.get(at..).unwrap_or_default()) {
                Some(length) => at += length,
                None => return Bracket::Open,
            },
            _ => at += 1,
        }
    }
    Bracket::Open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_2_a_quoted_text_may_hold_what_the_grammar_is_made_of() {
        let texts: Vec<serde_json::Value> =
            serde_json::from_str(include_str!("../../fixtures/nasty-texts.json")).unwrap();
        for text in texts {
            let filter = format!("value eq {text}");
            for sub in ["", ".display"] {
                let path = format!("roles[{filter}]{sub}");
                let parts = PathParts::of(&path).unwrap();
                assert_eq!(parts.attribute, "roles");
                assert_eq!(parts.filter, Some(&*filter), "{path}");
                assert_eq!(parts.sub, sub.strip_prefix('.'), "{path}");
                let list = format!("title,{path},{path}");
                assert_eq!(split_list(&list), ["title", &path, &path], "{list}");
            }
        }
    }

    #[test]
    fn pat_022_brackets_close_and_do_not_nest() {
        for bad in ["a[", "a[b", "a[b eq \"]", "a[]", "a[ ]", "a[7]", "a[b pr]c", "a[b pr].c.d"] {
            assert!(matches!(PathParts::of(bad), Err(Error::Path(_))), "{bad}");
        }
        assert!(matches!(PathParts::of("a[b[c pr]]"), Err(Error::Filter(_))));
        assert_eq!(split_list("a,,b[c"), ["a", "", "b[c"]);
    }
}
