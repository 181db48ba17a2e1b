//! Filters as text again, so that what was parsed can be parsed once more.

use headcount_core::filter::{Comparison, Filter, Literal, ParsedFilter};
use serde_json::json;

/// Writes a filter by the grammar of RFC 7644, with parentheses only where they are needed.
pub fn printed(filter: &ParsedFilter) -> String {
    match filter {
        Filter::And(terms) => {
            let term = |term: &ParsedFilter| match term {
                Filter::And(_) | Filter::Or(_) => format!("({})", printed(term)),
                _ => printed(term),
            };
            terms.iter().map(term).collect::<Vec<_>>().join(" and ")
        }
        Filter::Or(terms) => {
            let term = |term: &ParsedFilter| match term {
                Filter::Or(_) => format!("({})", printed(term)),
                _ => printed(term),
            };
            terms.iter().map(term).collect::<Vec<_>>().join(" or ")
        }
        Filter::Not(inner) => format!("not ({})", printed(inner)),
        Filter::Present(at) => format!("{} pr", at.as_str()),
        Filter::Compare(at, comparison, value) => {
            let known = Comparison::ALL.iter().find(|(_, known)| known == comparison);
            let name = known.map_or("", |(name, _)| name);
            format!("{} {name} {}", at.as_str(), literal(value))
        }
        Filter::Element(at, inner) => format!("{}[{}]", at.as_str(), printed(inner)),
    }
}

fn literal(value: &Literal) -> String {
    match value {
        Literal::Null => "null".to_owned(),
        Literal::Boolean(flag) => flag.to_string(),
        Literal::Number(written) | Literal::Word(written) => written.clone(),
        Literal::Text(text) => json!(text).to_string(),
    }
}
