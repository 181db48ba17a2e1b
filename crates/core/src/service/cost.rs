//! What a read will cost, as far as its words say it: nothing is read to find out.

use std::sync::Arc;

use super::{Service, Shape, search};
use crate::filter::{Comparison, Filter, ResolvedFilter, parse_filter};
use crate::index::is_indexed;
use crate::lenient;
use crate::message::SearchRequest;
use crate::path::{AttrRef, Place};
use crate::provider::With;
use crate::quirks::{Applied, Quirks};
use crate::schema::{ResourceType, ValueType};

/// The cost of a read, from cheap to dear.
///
/// It is a judgment, not a promise: an equality may hold for every resource there is. Whoever acts on it
/// must not depend on its being right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cost {
    /// A resource or a few, by a key.
    Point,
    /// A page that an index serves.
    Page,
    /// Resources are read until enough are found, or all are.
    Scan,
}

impl Service {
    /// Judges a read of one resource.
    pub fn cost_of_get(&self, kind: &ResourceType, shape: &Shape) -> Cost {
        let projection = shape.projection(kind, Quirks::ALL, &mut Applied::default());
        match projection.map(|projection| self.reads_for(kind, &projection, 1)) {
            Ok(With::Members(_) | With::AllMembers(_)) => Cost::Page,
            // A request that is refused reads nothing.
            Ok(With::Nothing | With::Groups) | Err(_) => Cost::Point,
        }
    }

    /// Judges a search over kinds.
    pub fn cost_of_search(&self, kinds: &[Arc<ResourceType>], request: &SearchRequest) -> Cost {
        let cost = |kind: &Arc<ResourceType>| self.cost_in(kind, request);
        kinds.iter().map(cost).max().unwrap_or(Cost::Point)
    }

    fn cost_in(&self, kind: &ResourceType, request: &SearchRequest) -> Cost {
        let shape = Shape {
            attributes: request.attributes.clone(),
            excluded: request.excluded_attributes.clone(),
        };
        let parse = |text| parse_filter(kind, Quirks::ALL, &mut Applied::default(), text);
        let filter = request.filter.as_deref().filter(|_| request.is_filtered());
        let filter = match filter.map(parse).transpose() {
            Ok(filter) => filter.as_ref().map_or(Cost::Page, of_filter),
            // Refused, or of another kind among several.
            Err(_) => return Cost::Point,
        };
        let sort_by = request.sort_by.as_deref().unwrap_or_default();
        let sort_by = lenient::path(kind, Quirks::ALL, &mut Applied::default(), sort_by);
        let sort = match search::sort(kind, request, &sort_by) {
            Ok(Some(sort)) if filter > Cost::Point && !is_indexed(&sort.by.place) => Cost::Scan,
            Ok(_) | Err(_) => Cost::Point,
        };
        filter.max(sort).max(self.cost_of_get(kind, &shape))
    }
}

/// Judges a filter.
pub fn of_filter(filter: &ResolvedFilter) -> Cost {
    match filter {
        Filter::And(terms) => {
            let costs = || terms.iter().map(of_filter);
            // A key leaves so few that the other terms do not matter.
            match costs().min() {
                None => Cost::Page,
                Some(Cost::Point) => Cost::Point,
                Some(Cost::Page | Cost::Scan) => costs().max().unwrap_or(Cost::Page),
            }
        }
        Filter::Or(terms) => terms.iter().map(of_filter).fold(Cost::Page, Cost::max),
        // Most resources satisfy it.
        Filter::Not(_) => Cost::Scan,
        Filter::Present(at) => of_place(at),
        Filter::Compare(at, comparison, _) => compared(at, *comparison),
        Filter::Element(at, inner) => element(at, inner),
    }
}

fn of_place(at: &AttrRef) -> Cost {
    if is_indexed(&at.place) { Cost::Page } else { Cost::Scan }
}

fn compared(at: &AttrRef, comparison: Comparison) -> Cost {
    let is_key = match at.place {
        Place::Id | Place::Name | Place::ExternalId => true,
        Place::Indexed(_) => at.leaf().value_type != ValueType::Boolean,
        _ => false,
    };
    match comparison {
        Comparison::Equal if is_key => Cost::Point,
        Comparison::Equal
        | Comparison::StartsWith
        | Comparison::Greater
        | Comparison::GreaterOrEqual
        | Comparison::Less
        | Comparison::LessOrEqual => of_place(at),
        // An index holds these texts, but is read from its beginning to its end.
        Comparison::Contains | Comparison::EndsWith | Comparison::NotEqual => Cost::Scan,
    }
}

/// One row of an index carries a value with the type beside it, so that a key among the terms decides.
fn element(at: &AttrRef, inner: &ResolvedFilter) -> Cost {
    match (&at.place, of_filter(inner)) {
        (Place::Members | Place::Groups, _) => Cost::Page,
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
    fn s1_p7_what_reads_resources_until_it_finds_some_is_dear() {
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
