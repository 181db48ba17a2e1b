//! Writes parsed filters as text, to parse them again.

use headcount_core::filter::{Comparison, Filter, Literal, ParsedFilter};
use serde_json::json;

/// Writes a filter by the grammar of RFC 7644, with parentheses only where they are needed.
pub fn to_text(filter: &ParsedFilter) -> String {
    match filter {
        Filter::And(terms) => {
            let terms = terms.iter().map(|term| match term {
                Filter::And(_) | Filter::Or(_) => format!("({})", to_text(term)),
                _ => to_text(term),
            });
            terms.collect::<Vec<_>>().join(" and ")
        }
        Filter::Or(terms) => {
            let terms = terms.iter().map(|term| match term {
                Filter::Or(_) => format!("({})", to_text(term)),
                _ => to_text(term),
            });
            terms.collect::<Vec<_>>().join(" or ")
        }
        Filter::Not(inner) => format!("not ({})", to_text(inner)),
        Filter::Present(at) => format!("{} pr", at.as_str()),
        Filter::Compare(at, comparison, value) => {
            let known = Comparison::ALL.iter().find(|(_, known)| known == comparison);
            let name = known.map_or("", |(name, _)| name);
            format!("{} {name} {}", at.as_str(), literal(value))
        }
        Filter::Element(at, inner) => format!("{}[{}]", at.as_str(), to_text(inner)),
    }
}

fn literal(value: &Literal) -> String {
    match value {
        Literal::Null => "null".to_owned(),
        Literal::Boolean(flag) => flag.to_string(),
        Literal::Number(digits) | Literal::Word(digits) => digits.clone(),
        Literal::Text(text) => json!(text).to_string(),
    }
}
