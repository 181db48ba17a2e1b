//! Queries (RFC 7644 §3.4.2): from the words of a request to a page.

use super::{Caller, Service};
use crate::error::Error;
use crate::filter::{Context, ResolvedFilter};
use crate::lenient::Repairs;
use crate::message::{ListHead, SearchRequest};
use crate::path::Place;
use crate::provider::{Found, Query, Sort, Start};
use crate::quirks::{Applied, Quirks};
use crate::resource::Projection;
use crate::schema::{ResourceType, Returned, ValueType};

/// A page, and how to show it.
#[derive(Debug)]
pub struct Listing {
    /// The head of the response.
    pub head: ListHead,
    /// The resources.
    pub resources: Vec<Found>,
    /// What to show of each.
    pub projection: Projection,
    /// The repairs that the request needed.
    pub applied: Applied,
}

/// Reads a filter and resolves it against a kind.
///
/// # Errors
///
/// `invalidFilter`.
pub fn parse_filter(
    kind: &ResourceType,
    quirks: Quirks,
    applied: &mut Applied,
    text: &str,
) -> Result<ResolvedFilter, Error> {
    let parsed = Repairs { quirks, applied }.filter(text)?;
    Context {
        kind,
        quirks,
        applied,
        unknown_is_absent: false,
    }
    .resolve(&parsed)
}

impl Service {
    /// Finds resources of one kind (RFC 7644 §3.4.2, §3.4.3).
    ///
    /// # Errors
    ///
    /// `invalidFilter`, `invalidValue` for the other parameters, `tooMany`.
    pub fn search(
        &self,
        caller: &Caller,
        kind: &ResourceType,
        request: &SearchRequest,
    ) -> Result<Listing, Error> {
        let mut applied = Applied::default();
        let projection = Projection::new(kind, &request.attributes, &request.excluded_attributes)?;
        let mut filter = |text: &Option<String>| -> Result<Option<ResolvedFilter>, Error> {
            text.as_ref()
                .map(|text| parse_filter(kind, caller.quirks, &mut applied, text))
                .transpose()
        };
        let resolved = filter(&request.filter)?;
        let with_plus = filter(&request.filter_with_plus)?;
        let start_index = u64::try_from(request.start_index.unwrap_or(1))
            .unwrap_or(1)
            .max(1);
        let count = request.count.map_or(self.limits.default_page, |count| {
            usize::try_from(count.max(0)).unwrap_or(usize::MAX)
        });
        let mut query = Query {
            kind,
            filter: resolved,
            sort: sort(kind, request)?,
            start: Start::Offset(start_index - 1),
            limit: count.min(self.limits.max_page),
            with: self.with(kind, &projection, self.limits.members_at_once),
        };
        let mut page = self.provider.find(caller.tenant, &query)?;
        if page.total == 0 && with_plus.is_some() {
            query.filter = with_plus;
            page = self.provider.find(caller.tenant, &query)?;
            if page.total > 0 {
                applied.note(Quirks::PLUS_IN_QUERY);
            }
        }
        let head = ListHead {
            total: page.total,
            items: page.resources.len(),
            start_index: Some(start_index),
            next_cursor: None,
        };
        Ok(Listing {
            head,
            resources: page.resources,
            projection,
            applied,
        })
    }
}

fn sort(kind: &ResourceType, request: &SearchRequest) -> Result<Option<Sort>, Error> {
    let descending = match request.sort_order.as_deref() {
        None | Some("") => false,
        Some(order) if order.eq_ignore_ascii_case("ascending") => false,
        Some(order) if order.eq_ignore_ascii_case("descending") => true,
        Some(_) => return Err(Error::value("sortOrder", "must be ascending or descending")),
    };
    let Some(path) = request.sort_by.as_deref().filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    let refuse = |reason: String| Error::value("sortBy", reason);
    let by = kind
        .resolve(path)
        .map_err(|error| refuse(error.to_string()))?;
    let leaf = by.leaf();
    if leaf.value_type == ValueType::Complex {
        return Err(refuse(format!(
            "{by} is complex; sort by one of its sub-attributes"
        )));
    }
    if leaf.returned == Returned::Never || by.attribute.returned == Returned::Never {
        return Err(refuse(format!(
            "{by} cannot be sorted by: nobody may learn its value"
        )));
    }
    let unordered = matches!(by.place, Place::Members | Place::Groups | Place::Schemas)
        || (by.container.is_none() && &*by.attribute.name == "meta" && by.place == Place::Document);
    if unordered {
        return Err(refuse(format!(
            "{by} has no order; sort by another attribute"
        )));
    }
    Ok(Some(Sort { by, descending }))
}
