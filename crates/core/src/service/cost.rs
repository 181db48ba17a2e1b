//! Estimates the cost of reads from the request alone, without reading anything.

use std::sync::Arc;

use super::{Service, Shape, search};
use crate::filter::{Comparison, Filter, ResolvedFilter, parse_filter};
use crate::index::is_indexed;
use crate::lenient;
use crate::message::SearchRequest;
use crate::path::{AttrRef, AttrSource};
use crate::provider::With;
use crate::quirks::{Applied, Quirks};
use crate::schema::{ResourceType, ValueType};

/// The estimated cost of a read, from cheap to expensive.
///
/// The estimate can be wrong: an equality may hold for every resource. Callers must not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cost {
    /// One or a few resources, found by a key.
    Point,
    /// A page, found by an index.
    Page,
    /// Resources are read until enough are found, or all of them.
    Scan,
}

impl Service {
    /// Estimates a read of one resource.
    pub fn cost_of_get(&self, kind: &ResourceType, shape: &Shape) -> Cost {
        let projection = shape.projection(kind, Quirks::ALL, &mut Applied::default());
        match projection.map(|projection| self.reads_for(kind, &projection, 1)) {
            Ok(With::Members(_) | With::AllMembers(_)) => Cost::Page,
            // A request that is refused reads nothing.
            Ok(With::Nothing | With::Groups) | Err(_) => Cost::Point,
        }
    }

    /// Estimates a search over kinds.
    pub fn cost_of_search(&self, kinds: &[Arc<ResourceType>], request: &SearchRequest) -> Cost {
        kinds.iter().map(|kind| self.cost_in(kind, request)).max().unwrap_or(Cost::Point)
    }

    fn cost_in(&self, kind: &ResourceType, request: &SearchRequest) -> Cost {
        let shape = Shape {
            attributes: request.attributes.clone(),
            excluded: request.excluded_attributes.clone(),
        };
        let filter = match request.filter.as_deref().filter(|_| request.is_filtered()) {
            None => Cost::Page,
            Some(text) => match parse_filter(kind, Quirks::ALL, &mut Applied::default(), text) {
                Ok(filter) => of_filter(&filter),
                // Refused, or meant for another one of several kinds.
                Err(_) => return Cost::Point,
            },
        };
        let sort_by = request.sort_by.as_deref().unwrap_or_default();
        let sort_by = lenient::repair_path(kind, Quirks::ALL, &mut Applied::default(), sort_by);
        let sort = match search::sort(kind, request, &sort_by) {
            Ok(Some(sort)) if filter > Cost::Point && !is_indexed(&sort.by.source) => Cost::Scan,
            Ok(_) | Err(_) => Cost::Point,
        };
        filter.max(sort).max(self.cost_of_get(kind, &shape))
    }
}

/// Estimates a filter.
pub fn of_filter(filter: &ResolvedFilter) -> Cost {
    match filter {
        Filter::And(terms) => {
            let costs: Vec<Cost> = terms.iter().map(of_filter).collect();
            // A key leaves so few resources that the other terms do not matter.
            match costs.contains(&Cost::Point) {
                true => Cost::Point,
                false => costs.into_iter().max().unwrap_or(Cost::Page),
            }
        }
        Filter::Or(terms) => terms.iter().map(of_filter).fold(Cost::Page, Cost::max),
        // Most resources satisfy it.
        Filter::Not(_) => Cost::Scan,
        Filter::Present(at) => of_source(at),
        Filter::Compare(at, comparison, _) => of_comparison(at, *comparison),
        Filter::Element(at, inner) => of_element(at, inner),
    }
}

fn of_source(at: &AttrRef) -> Cost {
    if is_indexed(&at.source) { Cost::Page } else { Cost::Scan }
}

fn of_comparison(at: &AttrRef, comparison: Comparison) -> Cost {
    let is_key = match at.source {
        AttrSource::Id | AttrSource::Name | AttrSource::ExternalId => true,
        AttrSource::Indexed(_) => at.leaf().value_type != ValueType::Boolean,
        _ => false,
    };
    match comparison {
        Comparison::Equal if is_key => Cost::Point,
        Comparison::Equal
        | Comparison::StartsWith
        | Comparison::Greater
        | Comparison::GreaterOrEqual
        | Comparison::Less
        | Comparison::LessOrEqual => of_source(at),
        // An index has these texts, but is read from beginning to end.
        Comparison::Contains | Comparison::EndsWith | Comparison::NotEqual => Cost::Scan,
    }
}

/// Estimates a filter in brackets. An index row has a value and its type, so that a key among the terms
/// decides.
fn of_element(at: &AttrRef, inner: &ResolvedFilter) -> Cost {
    match (&at.source, of_filter(inner)) {
        (AttrSource::Members | AttrSource::Groups, _) => Cost::Page,
        (_, Cost::Point) => Cost::Point,
        (_, Cost::Page | Cost::Scan) => Cost::Scan,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Registry;

    fn cost(kind: &str, filter: &str) -> Cost {
        let registry = Registry::builtin().unwrap();
        let kind = registry.kind(kind).unwrap();
        let parsed = parse_filter(kind, Quirks::ALL, &mut Applied::default(), filter);
        of_filter(&parsed.unwrap_or_else(|error| panic!("{filter}: {error}")))
    }

    #[test]
    fn f7_p2_what_identity_providers_look_up_is_cheap() {
        for filter in [
            "id eq \"a\"",
            "userName eq \"a\"",
            "externalId eq \"a\"",
            "emails.value eq \"a@x\"",
            "emails[type eq \"work\" and value eq \"a@x\"]",
            "emails[type eq \"work\"].value eq \"a@x\"",
            "userName eq \"a\" and active eq true",
            "userName eq \"a\" and nickName co \"x\"",
        ] {
            assert_eq!(cost("User", filter), Cost::Point, "{filter}");
        }
        for filter in ["displayName eq \"a\"", "id eq \"a\" and members eq \"b\""] {
            assert_eq!(cost("Group", filter), Cost::Point, "{filter}");
        }
    }

    #[test]
    fn what_an_index_serves_is_a_page() {
        for filter in [
            "active eq true",
            "userName sw \"a\"",
            "meta.lastModified gt \"2026-01-01T00:00:00Z\"",
            "id eq \"a\" or id eq \"b\"",
            "externalId pr",
        ] {
            assert_eq!(cost("User", filter), Cost::Page, "{filter}");
        }
        assert_eq!(cost("Group", "members.value eq \"a\""), Cost::Page);
        assert_eq!(cost("Group", "members[value eq \"a\"]"), Cost::Page);
    }

    #[test]
    fn s1_p7_what_reads_resources_until_it_finds_some_is_expensive() {
        for filter in [
            "nickName eq \"a\"",
            "nickName pr",
            "nickName co \"a\" or userName eq \"b\"",
            "userName co \"a\"",
            "userName ew \"a\"",
            "userName ne \"a\"",
            "not (userName eq \"a\")",
            "active eq true and title eq \"x\"",
            "schemas eq \"urn:x\"",
        ] {
            assert_eq!(cost("User", filter), Cost::Scan, "{filter}");
        }
    }
}
