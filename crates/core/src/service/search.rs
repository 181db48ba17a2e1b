//! Searches (RFC 7644 §3.4.2), over one kind or several.

use std::sync::Arc;

use super::{Caller, Service};
use crate::cursor::{self, Cursor, Plus};
use crate::error::Error;
use crate::filter::{Context, ResolvedFilter, sort_key};
use crate::lenient::{self, Repairs};
use crate::message::{ListHead, SearchRequest};
use crate::path::AttrSource;
use crate::provider::{Direction, Found, Page, Query, Sort, Start};
use crate::quirks::{Applied, Quirks};
use crate::resource::Projection;
use crate::schema::{ResourceType, Returned, ValueType};
use crate::work::bytes;

/// A page of resources, with the projections for its reply.
#[derive(Debug)]
pub struct Listing {
    /// The head of the response.
    pub head: ListHead,
    /// The resources.
    pub resources: Vec<Found>,
    /// The projection of each kind that was searched.
    pub projections: Vec<(Arc<ResourceType>, Projection)>,
    /// The repairs that the request needed.
    pub applied: Applied,
}

impl Service {
    /// Finds resources of one kind or of several (RFC 7644 §3.4.2, §3.4.3).
    ///
    /// Resources of several kinds are in the order of `kinds`, unless the request sorts them. An attribute
    /// that one of several kinds does not have counts there as one without a value.
    ///
    /// # Errors
    ///
    /// `invalidFilter`, `invalidValue` for the other parameters, `tooMany`, and those of RFC 9865.
    pub fn search(
        &self,
        caller: &Caller,
        kinds: &[Arc<ResourceType>],
        request: &SearchRequest,
    ) -> Result<Listing, Error> {
        let mut applied = request.applied;
        request.accept_missing(&mut Repairs { quirks: caller.quirks, applied: &mut applied })?;
        let start_index = u64::try_from(request.start_index.unwrap_or(1)).unwrap_or(1).max(1);
        let wanted = request.count.map_or(self.limits.default_page, |count| {
            usize::try_from(count.max(0)).unwrap_or(usize::MAX)
        });
        let count = wanted.min(self.limits.max_page);
        let unknown = if kinds.len() > 1 { Unknown::IsAbsent } else { Unknown::IsError };
        let parts = kinds
            .iter()
            .map(|kind| self.part(caller, kind, unknown, request, &mut applied))
            .collect::<Result<Vec<_>, Error>>()?;
        let several_sorted = parts.len() > 1 && parts.iter().any(|part| part.sort.is_some());
        let mut next_cursor = None;
        let mut pages =
            Pages { service: self, caller, parts: &parts, applied: &mut applied, limit: count };
        let (total, resources) = if let Some(text) = &request.cursor {
            if request.start_index.is_some() {
                return Err(Error::value("cursor", "excludes startIndex; send one of them"));
            }
            if wanted > self.limits.max_page {
                return Err(Error::InvalidCount);
            }
            if several_sorted {
                return Err(Error::value(
                    "cursor",
                    "sorted queries over several resource types use startIndex",
                ));
            }
            let endpoints: Vec<&str> = kinds.iter().map(|kind| &*kind.endpoint).collect();
            let purpose = cursor::purpose(caller.tenant, &endpoints.join(" "), request);
            let from = self.open_cursor(text, &purpose)?;
            let (total, found, next) = pages.resume(&from)?;
            next_cursor = next.map(|next| next.write(&*self.cursor_cipher, &purpose));
            (total, found)
        } else if several_sorted {
            pages.merge_sorted(start_index - 1)?
        } else {
            pages.concatenate(start_index - 1)?
        };
        let head = ListHead {
            total,
            items: resources.len(),
            start_index: request.cursor.is_none().then_some(start_index),
            next_cursor,
        };
        if parts.iter().any(|part| part.projection.is_explicit()) {
            // The reply parses the documents to select attributes.
            let texts = resources.iter().map(|found| bytes(found.resource.document.text()));
            caller.work.spend(texts.sum())?;
        }
        let projections = parts.into_iter().map(|part| (part.kind, part.projection)).collect();
        Ok(Listing { head, resources, projections, applied })
    }

    /// Reads the position of the next page. An empty cursor asks for the first one (RFC 9865 §2).
    fn open_cursor(&self, text: &str, purpose: &str) -> Result<Cursor, Error> {
        let now = self.clock.now();
        if text.is_empty() {
            return Ok(Cursor { issued: now, part: 0, plus: Plus::Space, after: None });
        }
        let cursor = Cursor::read(&*self.cursor_cipher, purpose, text)?;
        if now > cursor.issued.plus_seconds(self.limits.cursor_seconds) {
            return Err(Error::ExpiredCursor);
        }
        Ok(Cursor { issued: now, ..cursor })
    }

    /// Resolves a request against one kind.
    fn part(
        &self,
        caller: &Caller,
        kind: &Arc<ResourceType>,
        unknown: Unknown,
        request: &SearchRequest,
        applied: &mut Applied,
    ) -> Result<Part, Error> {
        let unknown_is_absent = unknown == Unknown::IsAbsent;
        let mut context = Context { kind, quirks: caller.quirks, applied, unknown_is_absent };
        let is_filtered = request.is_filtered();
        let resolved = match &request.filter {
            Some(text) if is_filtered => context.parse_and_resolve(text).map(Some),
            _ => Ok(None),
        };
        // If "+" is a space, as in most filters, the reading as a plus usually does not parse.
        let with_plus = match &request.filter_with_plus {
            Some(text) if is_filtered && caller.quirks.has(Quirks::PLUS_IN_QUERY) => {
                context.parse_and_resolve(text).ok()
            }
            _ => None,
        };
        // If it is a plus, as in a time zone, the reading as a space may not parse.
        let (resolved, with_plus) = match (resolved, with_plus) {
            (Err(_), Some(literal)) => {
                applied.note(Quirks::PLUS_IN_QUERY);
                (Some(literal), None)
            }
            (resolved, with_plus) => (resolved?, with_plus),
        };
        let sort_by = request.sort_by.as_deref().unwrap_or_default();
        let sort_by = lenient::repair_path(kind, caller.quirks, applied, sort_by);
        let sort = match sort(kind, request, &sort_by) {
            // One of several kinds may lack the attribute: its resources have no value there.
            Err(_) if unknown_is_absent && kind.resolve(&sort_by).is_err() => None,
            sorted => sorted?,
        };
        let projection = Projection::read(
            kind,
            caller.quirks,
            applied,
            &request.attributes,
            &request.excluded_attributes,
        )?;
        Ok(Part { kind: Arc::clone(kind), filter: resolved, with_plus, sort, projection })
    }
}

/// The pages of a search over kinds.
struct Pages<'a> {
    service: &'a Service,
    caller: &'a Caller,
    parts: &'a [Part],
    applied: &'a mut Applied,
    /// The maximum number of resources of the reply.
    limit: usize,
}

impl Pages<'_> {
    /// Reads a page of one kind, and returns how the `+` of the filter was read.
    fn page(
        &mut self,
        part: &Part,
        start: Start,
        plus: Plus,
        limit: usize,
    ) -> Result<(Page, Plus), Error> {
        let service = self.service;
        let mut query = Query {
            kind: &part.kind,
            filter: match plus {
                Plus::Space => part.filter.clone(),
                Plus::Literal => part.with_plus.clone(),
            },
            sort: part.sort.clone(),
            start,
            limit,
            with: service.reads_for(&part.kind, &part.projection, service.limits.members_at_once),
            work: self.caller.work.clone(),
        };
        let mut page = self.find(part, &query)?;
        let mut plus = plus;
        if let (Plus::Space, Start::Offset(_), Some(with_plus)) =
            (plus, &query.start, &part.with_plus)
            && page.total == 0
        {
            query.filter = Some(with_plus.clone());
            page = self.find(part, &query)?;
            plus = if page.total > 0 { Plus::Literal } else { Plus::Space };
        }
        if plus == Plus::Literal {
            self.applied.note(Quirks::PLUS_IN_QUERY);
        }
        Ok((page, plus))
    }

    /// Reads a page, and the names of members if the reply shows them.
    fn find(&self, part: &Part, query: &Query<'_>) -> Result<Page, Error> {
        let (service, tenant) = (self.service, self.caller.tenant);
        let mut page = service.provider.find(tenant, query)?;
        service.name_members(tenant, &part.kind, &part.projection, &mut page.resources)?;
        Ok(page)
    }

    /// Reads a page over kinds, one after the other.
    fn concatenate(&mut self, offset: u64) -> Result<(u64, Vec<Found>), Error> {
        let (mut total, mut found) = (0, Vec::new());
        for part in self.parts {
            let skip = Start::Offset(offset.saturating_sub(total));
            let (page, _) = self.page(part, skip, Plus::Space, self.limit - found.len())?;
            total += page.total;
            found.extend(page.resources);
        }
        Ok((total, found))
    }

    /// Reads the next page over kinds, one after the other, and returns the position of the page after it.
    fn resume(&mut self, from: &Cursor) -> Result<(u64, Vec<Found>, Option<Cursor>), Error> {
        let (mut total, mut found, mut next) = (0, Vec::new(), None);
        for (index, part) in self.parts.iter().enumerate() {
            let here = index == from.part;
            let start = match &from.after {
                Some(key) if here => Start::After(key.clone()),
                _ => Start::Offset(0),
            };
            let plus = if here { from.plus } else { Plus::Space };
            let room = if index < from.part { 0 } else { self.limit - found.len() };
            let (page, plus) = self.page(part, start, plus, room)?;
            total += page.total;
            found.extend(page.resources);
            let follows = match page.next {
                Some(key) => Some(Some(key)),
                None if room == 0 && index > from.part && page.total > 0 => Some(None),
                None => None,
            };
            if let (None, Some(after)) = (&next, follows) {
                next = Some(Cursor { issued: from.issued, part: index, plus, after });
            }
        }
        Ok((total, found, next.filter(|_| self.limit > 0)))
    }

    /// Reads a page over several kinds in one order.
    fn merge_sorted(&mut self, offset: u64) -> Result<(u64, Vec<Found>), Error> {
        let skip = usize::try_from(offset).unwrap_or(usize::MAX);
        let deepest = skip.saturating_add(self.limit);
        if deepest > MAX_MERGED {
            return Err(Error::TooMany(format!(
                "sorted queries over several resource types reach {MAX_MERGED} resources deep; search one endpoint instead"
            )));
        }
        let (mut total, mut keyed, mut direction) = (0, Vec::new(), Direction::Ascending);
        for (order, part) in self.parts.iter().enumerate() {
            let (page, _) = self.page(part, Start::Offset(0), Plus::Space, deepest)?;
            total += page.total;
            if let Some(sort) = &part.sort {
                direction = sort.direction;
            }
            for (index, found) in page.resources.into_iter().enumerate() {
                let key = match &part.sort {
                    Some(sort) => sort_key(&sort.by, &found.resource, &self.caller.work)?,
                    None => None,
                };
                keyed.push((key, (order, index), found));
            }
        }
        keyed.sort_by(|(a, a_position, _), (b, b_position, _)| {
            // No value sorts last ascending and first descending (RFC 7644 §3.4.2.3).
            let by_key = (a.is_none(), a).cmp(&(b.is_none(), b));
            direction.apply(by_key).then(a_position.cmp(b_position))
        });
        let page = keyed.into_iter().skip(skip).take(self.limit).map(|(_, _, found)| found);
        Ok((total, page.collect()))
    }
}

/// Resources that a sorted query over several kinds may reach.
const MAX_MERGED: usize = 10_000;

/// What an attribute is that a kind does not have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unknown {
    IsError,
    IsAbsent,
}

/// A search, resolved against one kind.
struct Part {
    kind: Arc<ResourceType>,
    filter: Option<ResolvedFilter>,
    with_plus: Option<ResolvedFilter>,
    sort: Option<Sort>,
    projection: Projection,
}

pub(super) fn sort(
    kind: &ResourceType,
    request: &SearchRequest,
    path: &str,
) -> Result<Option<Sort>, Error> {
    let direction = match request.sort_order.as_deref() {
        None => Direction::Ascending,
        Some(order) if order.eq_ignore_ascii_case("ascending") => Direction::Ascending,
        Some(order) if order.eq_ignore_ascii_case("descending") => Direction::Descending,
        Some(_) => return Err(Error::value("sortOrder", "must be ascending or descending")),
    };
    if path.is_empty() {
        return Ok(None);
    }
    let by = kind.resolve(path).map_err(|error| Error::value("sortBy", error.to_string()))?;
    let leaf = by.leaf();
    if leaf.value_type == ValueType::Complex {
        let reason = format!("{by} is complex; sort by one of its sub-attributes");
        return Err(Error::value("sortBy", reason));
    }
    if leaf.returned == Returned::Never || by.attribute.returned == Returned::Never {
        let reason = format!("{by} cannot be sorted by: no one may learn its value");
        return Err(Error::value("sortBy", reason));
    }
    let unordered =
        matches!(by.source, AttrSource::Members | AttrSource::Groups | AttrSource::Schemas)
            || (by.container.is_none()
                && &*by.attribute.name == "meta"
                && by.source == AttrSource::Document);
    if unordered {
        let reason = format!("{by} has no order; sort by another attribute");
        return Err(Error::value("sortBy", reason));
    }
    Ok(Some(Sort { by, direction }))
}
