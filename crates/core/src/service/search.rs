//! Queries (RFC 7644 §3.4.2): from the words of a request to a page.

use std::sync::Arc;

use super::{Caller, Service};
use crate::cursor::{self, Cursor};
use crate::error::Error;
use crate::filter::{Context, ParsedFilter, ResolvedFilter, sort_key};
use crate::lenient::{self, Repairs};
use crate::message::{ListHead, SearchRequest};
use crate::path::Place;
use crate::provider::{Found, Page, Query, Sort, Start};
use crate::quirks::{Applied, Quirks};
use crate::resource::Projection;
use crate::schema::{ResourceType, Returned, ValueType};
use crate::work::bytes;

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

impl Service {
    /// Finds resources of one kind or of several (RFC 7644 §3.4.2, §3.4.3).
    ///
    /// Of several kinds, those named first come first, unless the request says how to sort. An
    /// attribute that one of several kinds does not have counts there as one without a value.
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
        let parts = kinds
            .iter()
            .map(|kind| self.part(caller, kind, kinds.len() > 1, request, &mut applied))
            .collect::<Result<Vec<_>, Error>>()?;
        let several_sorted = parts.len() > 1 && parts.iter().any(|part| part.sort.is_some());
        let mut next_cursor = None;
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
                    "sorted queries over several resource types go by startIndex",
                ));
            }
            let endpoints: Vec<&str> = kinds.iter().map(|kind| &*kind.endpoint).collect();
            let purpose = cursor::purpose(caller.tenant, &endpoints.join(" "), request);
            let from = self.open_cursor(text, &purpose)?;
            let (total, found, next) =
                self.page_by_cursor(caller, &parts, &mut applied, &from, count)?;
            next_cursor = next.map(|next| next.write(&*self.cursor_cipher, &purpose));
            (total, found)
        } else if several_sorted {
            self.merge_sorted(caller, &parts, &mut applied, start_index - 1, count)?
        } else {
            self.concatenate(caller, &parts, &mut applied, start_index - 1, count)?
        };
        let head = ListHead {
            total,
            items: resources.len(),
            start_index: request.cursor.is_none().then_some(start_index),
            next_cursor,
        };
        if parts.iter().any(|part| part.projection.is_explicit()) {
            // What is cut out of a document is read in it first.
            let texts = resources.iter().map(|found| bytes(found.resource.document.text()));
            caller.work.spend(texts.sum())?;
        }
        let projections = parts.into_iter().map(|part| (part.kind, part.projection)).collect();
        Ok(Listing { head, resources, projections, applied })
    }

    /// Reads where a walk goes on; an empty cursor begins one (RFC 9865 §2).
    fn open_cursor(&self, text: &str, purpose: &str) -> Result<Cursor, Error> {
        let now = self.clock.now();
        if text.is_empty() {
            return Ok(Cursor { issued: now, part: 0, plus: false, after: None });
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
        one_of_several: bool,
        request: &SearchRequest,
        applied: &mut Applied,
    ) -> Result<Part, Error> {
        let mut filter = |text: &Option<String>| -> Result<Option<ResolvedFilter>, Error> {
            let Some(text) = text else { return Ok(None) };
            let mut repairs = Repairs { quirks: caller.quirks, applied };
            let parsed = ParsedFilter::parse_leniently(text, &mut repairs)?;
            let mut context =
                Context { kind, quirks: caller.quirks, applied, unknown_is_absent: one_of_several };
            context.resolve(&parsed).map(Some)
        };
        let is_filtered = request.is_filtered();
        let resolved = if is_filtered { filter(&request.filter) } else { Ok(None) };
        // Where "+" stands for a space, as it mostly does, the other reading is no filter at all.
        let with_plus = match is_filtered && caller.quirks.has(Quirks::PLUS_IN_QUERY) {
            true => filter(&request.filter_with_plus).unwrap_or_default(),
            false => None,
        };
        // And where it stands for itself, as in a time zone, the first reading may be none.
        let (resolved, with_plus) = match (resolved, with_plus) {
            (Err(_), Some(literal)) => {
                applied.note(Quirks::PLUS_IN_QUERY);
                (Some(literal), None)
            }
            (resolved, with_plus) => (resolved?, with_plus),
        };
        let sort_by = request.sort_by.as_deref().unwrap_or_default();
        let sort_by = lenient::path(kind, caller.quirks, applied, sort_by);
        let sort = match sort(kind, request, &sort_by) {
            // Of several kinds, one may lack the attribute: its resources have no value there.
            Err(_) if one_of_several && kind.resolve(&sort_by).is_err() => None,
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

    /// Reads a page of one kind; true when the filter was read with its `+` taken literally.
    fn page(
        &self,
        caller: &Caller,
        part: &Part,
        start: Start,
        plus: bool,
        limit: usize,
    ) -> Result<(Page, bool), Error> {
        let mut query = Query {
            kind: &part.kind,
            filter: if plus { part.with_plus.clone() } else { part.filter.clone() },
            sort: part.sort.clone(),
            start,
            limit,
            with: self.reads_for(&part.kind, &part.projection, self.limits.members_at_once),
            work: caller.work.clone(),
        };
        let page = self.found(caller, part, &query)?;
        let walking = matches!(query.start, Start::After(_));
        let Some(with_plus) =
            part.with_plus.as_ref().filter(|_| page.total == 0 && !plus && !walking)
        else {
            return Ok((page, plus));
        };
        query.filter = Some(with_plus.clone());
        let page = self.found(caller, part, &query)?;
        let found = page.total > 0;
        Ok((page, found))
    }

    /// Reads a page, and what members are called if the reply shows it.
    fn found(&self, caller: &Caller, part: &Part, query: &Query<'_>) -> Result<Page, Error> {
        let mut page = self.provider.find(caller.tenant, query)?;
        self.name_members(caller.tenant, &part.kind, &part.projection, &mut page.resources)?;
        Ok(page)
    }

    /// Reads a page over kinds, one behind the other.
    fn concatenate(
        &self,
        caller: &Caller,
        parts: &[Part],
        applied: &mut Applied,
        offset: u64,
        limit: usize,
    ) -> Result<(u64, Vec<Found>), Error> {
        let (mut total, mut found) = (0, Vec::new());
        for part in parts {
            let skip = Start::Offset(offset.saturating_sub(total));
            let (page, plus) = self.page(caller, part, skip, false, limit - found.len())?;
            note_plus(applied, plus);
            total += page.total;
            found.extend(page.resources);
        }
        Ok((total, found))
    }

    /// Reads the next page of a walk over kinds, one behind the other, and where it goes on.
    fn page_by_cursor(
        &self,
        caller: &Caller,
        parts: &[Part],
        applied: &mut Applied,
        from: &Cursor,
        limit: usize,
    ) -> Result<(u64, Vec<Found>, Option<Cursor>), Error> {
        let (mut total, mut found, mut next) = (0, Vec::new(), None);
        for (index, part) in parts.iter().enumerate() {
            let here = index == from.part;
            let start = match &from.after {
                Some(key) if here => Start::After(key.clone()),
                _ => Start::Offset(0),
            };
            let room = if index < from.part { 0 } else { limit - found.len() };
            let (page, plus) = self.page(caller, part, start, here && from.plus, room)?;
            note_plus(applied, plus);
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
        Ok((total, found, next.filter(|_| limit > 0)))
    }

    /// Reads a page over several kinds in one order.
    fn merge_sorted(
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
            let (page, plus) = self.page(caller, part, Start::Offset(0), false, deepest)?;
            note_plus(applied, plus);
            total += page.total;
            descending |= part.sort.as_ref().is_some_and(|sort| sort.descending);
            for (index, found) in page.resources.into_iter().enumerate() {
                let key = match &part.sort {
                    Some(sort) => sort_key(&sort.by, &found.resource, &caller.work)?,
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

fn note_plus(applied: &mut Applied, plus: bool) {
    if plus {
        applied.note(Quirks::PLUS_IN_QUERY);
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

pub(super) fn sort(
    kind: &ResourceType,
    request: &SearchRequest,
    path: &str,
) -> Result<Option<Sort>, Error> {
    let descending = match request.sort_order.as_deref() {
        None => false,
        Some(order) if order.eq_ignore_ascii_case("ascending") => false,
        Some(order) if order.eq_ignore_ascii_case("descending") => true,
        Some(_) => return Err(Error::value("sortOrder", "must be ascending or descending")),
    };
    if path.is_empty() {
        return Ok(None);
    }
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
