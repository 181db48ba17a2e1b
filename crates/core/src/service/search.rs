//! Queries (RFC 7644 §3.4.2): from the words of a request to a page.

use std::sync::Arc;

use super::{Caller, Service};
use crate::error::Error;
use crate::filter::{Context, ResolvedFilter, sort_key};
use crate::lenient::Repairs;
use crate::message::{ListHead, SearchRequest};
use crate::path::Place;
use crate::provider::{Found, Page, Query, Sort, Start};
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
    /// What to show of resources of each kind that was searched.
    pub projections: Vec<(Arc<ResourceType>, Projection)>,
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
    Context { kind, quirks, applied, unknown_is_absent: false }.resolve(&parsed)
}

impl Service {
    /// Finds resources of one kind or of several (RFC 7644 §3.4.2, §3.4.3).
    ///
    /// Of several kinds, those named first come first, unless the request says how to sort. An
    /// attribute that one of several kinds does not have counts there as one without a value.
    ///
    /// # Errors
    ///
    /// `invalidFilter`, `invalidValue` for the other parameters, `tooMany`.
    pub fn search(
        &self,
        caller: &Caller,
        kinds: &[Arc<ResourceType>],
        request: &SearchRequest,
    ) -> Result<Listing, Error> {
        let mut applied = Applied::default();
        let start_index = u64::try_from(request.start_index.unwrap_or(1)).unwrap_or(1).max(1);
        let count = request
            .count
            .map_or(self.limits.default_page, |count| {
                usize::try_from(count.max(0)).unwrap_or(usize::MAX)
            })
            .min(self.limits.max_page);
        let parts = kinds
            .iter()
            .map(|kind| self.part(caller, kind, kinds.len() > 1, request, &mut applied))
            .collect::<Result<Vec<_>, Error>>()?;
        let (total, resources) = match parts.as_slice() {
            [part] => {
                let page = self.page(caller, part, &mut applied, start_index - 1, count)?;
                (page.total, page.resources)
            }
            parts if parts.iter().any(|part| part.sort.is_some()) => {
                self.merged(caller, parts, &mut applied, start_index - 1, count)?
            }
            parts => self.chained(caller, parts, &mut applied, start_index - 1, count)?,
        };
        let head = ListHead {
            total,
            items: resources.len(),
            start_index: Some(start_index),
            next_cursor: None,
        };
        let projections = parts.into_iter().map(|part| (part.kind, part.projection)).collect();
        Ok(Listing { head, resources, projections, applied })
    }

    /// Resolves a request against one kind.
    fn part(
        &self,
        caller: &Caller,
        kind: &Arc<ResourceType>,
        one_of_several: bool,
        request: &SearchRequest,
        applied: &mut Applied,
    ) -> Result<Part, Error> {
        let mut filter = |text: &Option<String>| -> Result<Option<ResolvedFilter>, Error> {
            let Some(text) = text else { return Ok(None) };
            let parsed = Repairs { quirks: caller.quirks, applied }.filter(text)?;
            let mut context =
                Context { kind, quirks: caller.quirks, applied, unknown_is_absent: one_of_several };
            context.resolve(&parsed).map(Some)
        };
        let resolved = filter(&request.filter)?;
        // Where "+" stands for a space, as it mostly does, the other reading is no filter at all.
        let with_plus = match caller.quirks.has(Quirks::PLUS_IN_QUERY) {
            true => filter(&request.filter_with_plus).unwrap_or_default(),
            false => None,
        };
        let sort = match sort(kind, request) {
            // Of several kinds, one may lack the attribute: its resources have no value there.
            Err(_)
                if one_of_several
                    && kind.resolve(request.sort_by.as_deref().unwrap_or_default()).is_err() =>
            {
                None
            }
            sorted => sorted?,
        };
        let projection = Projection::new(kind, &request.attributes, &request.excluded_attributes)?;
        Ok(Part { kind: Arc::clone(kind), filter: resolved, with_plus, sort, projection })
    }

    /// Reads a page of one kind.
    fn page(
        &self,
        caller: &Caller,
        part: &Part,
        applied: &mut Applied,
        offset: u64,
        limit: usize,
    ) -> Result<Page, Error> {
        let mut query = Query {
            kind: &part.kind,
            filter: part.filter.clone(),
            sort: part.sort.clone(),
            start: Start::Offset(offset),
            limit,
            with: self.with(&part.kind, &part.projection, self.limits.members_at_once),
        };
        let page = self.provider.find(caller.tenant, &query)?;
        let Some(with_plus) = part.with_plus.as_ref().filter(|_| page.total == 0) else {
            return Ok(page);
        };
        query.filter = Some(with_plus.clone());
        let page = self.provider.find(caller.tenant, &query)?;
        if page.total > 0 {
            applied.note(Quirks::PLUS_IN_QUERY);
        }
        Ok(page)
    }

    /// Reads a page over several kinds, one behind the other.
    fn chained(
        &self,
        caller: &Caller,
        parts: &[Part],
        applied: &mut Applied,
        offset: u64,
        limit: usize,
    ) -> Result<(u64, Vec<Found>), Error> {
        let (mut total, mut found) = (0, Vec::new());
        for part in parts {
            let skip = offset.saturating_sub(total);
            let page = self.page(caller, part, applied, skip, limit - found.len())?;
            total += page.total;
            found.extend(page.resources);
        }
        Ok((total, found))
    }

    /// Reads a page over several kinds in one order.
    fn merged(
        &self,
        caller: &Caller,
        parts: &[Part],
        applied: &mut Applied,
        offset: u64,
        limit: usize,
    ) -> Result<(u64, Vec<Found>), Error> {
        let skip = usize::try_from(offset).unwrap_or(usize::MAX);
        let deepest = skip.saturating_add(limit);
        if deepest > MERGED {
            return Err(Error::TooMany(format!(
                "sorted queries over several resource types reach {MERGED} resources deep; ask one endpoint instead"
            )));
        }
        let (mut total, mut keyed, mut descending) = (0, Vec::new(), false);
        for (order, part) in parts.iter().enumerate() {
            let page = self.page(caller, part, applied, 0, deepest)?;
            total += page.total;
            descending |= part.sort.as_ref().is_some_and(|sort| sort.descending);
            for (index, found) in page.resources.into_iter().enumerate() {
                let key = match &part.sort {
                    Some(sort) => sort_key(&sort.by, &found.resource)?,
                    None => None,
                };
                keyed.push((key, (order, index), found));
            }
        }
        keyed.sort_by(|(a, a_place, _), (b, b_place, _)| {
            // No value sorts last ascending and first descending (RFC 7644 §3.4.2.3).
            let by_key = (a.is_none(), a).cmp(&(b.is_none(), b));
            (if descending { by_key.reverse() } else { by_key }).then(a_place.cmp(b_place))
        });
        let page = keyed.into_iter().skip(skip).take(limit).map(|(_, _, found)| found);
        Ok((total, page.collect()))
    }
}

/// Resources that a sorted query over several kinds may reach.
const MERGED: usize = 10_000;

/// A request, resolved against one kind.
struct Part {
    kind: Arc<ResourceType>,
    filter: Option<ResolvedFilter>,
    with_plus: Option<ResolvedFilter>,
    sort: Option<Sort>,
    projection: Projection,
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
    let by = kind.resolve(path).map_err(|error| refuse(error.to_string()))?;
    let leaf = by.leaf();
    if leaf.value_type == ValueType::Complex {
        return Err(refuse(format!("{by} is complex; sort by one of its sub-attributes")));
    }
    if leaf.returned == Returned::Never || by.attribute.returned == Returned::Never {
        return Err(refuse(format!("{by} cannot be sorted by: nobody may learn its value")));
    }
    let unordered = matches!(by.place, Place::Members | Place::Groups | Place::Schemas)
        || (by.container.is_none() && &*by.attribute.name == "meta" && by.place == Place::Document);
    if unordered {
        return Err(refuse(format!("{by} has no order; sort by another attribute")));
    }
    Ok(Some(Sort { by, descending }))
}
