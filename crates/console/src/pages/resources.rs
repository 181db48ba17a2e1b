//! Users, groups and every other kind: the list with its search, one resource, and the export.

use std::collections::HashSet;
use std::sync::Arc;

use actix_web::http::StatusCode;
use askama::Template;
use headcount_core::error::Error;
use headcount_core::ids::ResourceId;
use headcount_core::index::Columns;
use headcount_core::message::SearchRequest;
use headcount_core::provider::{Found, ProviderError, With};
use headcount_core::resource::{Projection, Reply};
use headcount_core::schema::{Membership, ResourceType};
use headcount_core::service::Listing;
use headcount_core::work::Halt;
use serde_json::Value;

use self::reach::Reach;
use self::words::Words;
use super::explain::{self, Event};
use super::overview;
use crate::context::{Layout, PageContext};
use crate::error::PageError;
use crate::format::{number, plain, query, quote, time};
use crate::response::PageResponse;

mod export;
mod reach;
mod tombstone;
mod words;

pub(crate) use export::export;

/// Resources on one page.
const PAGE_SIZE: i64 = 50;
/// Events of the timeline that are shown.
const MAX_EVENTS: usize = 30;
/// Members of a group that are shown.
const MAX_MEMBERS: usize = 100;
/// Resources of a kind up to which a search reads documents without being asked to.
const MAX_DOCUMENTS: u64 = 5_000;

#[derive(Template)]
#[template(path = "resources.html")]
struct ResourceListPage {
    layout: Layout,
    endpoint: String,
    noun: String,
    text: String,
    /// The text that finds the same again: the one that was entered, or the filter that was made of it.
    walked: String,
    error: String,
    /// The filter up to the position of the error, and from there.
    error_at: Option<(String, String)>,
    total: String,
    rows: Vec<ResourceRow>,
    has_active: bool,
    next: Option<String>,
    first: Option<String>,
    /// The filter that was made of the text.
    filter: String,
    /// A search that may find more: its address, and the text of the link.
    wider: Option<(String, &'static str)>,
    /// The other way to read the text: its address, and the text of the link.
    other: Option<(String, &'static str)>,
    reach: &'static str,
    /// How the text is read.
    read: &'static str,
    may_export: bool,
}

struct ResourceRow {
    href: String,
    name: String,
    display: String,
    external_id: String,
    active: Option<bool>,
    modified: String,
}

fn kind<'d>(ctx: &'d PageContext<'_>) -> Result<&'d Arc<ResourceType>, PageError> {
    let registry = &ctx.console.api.service.registry;
    let endpoint = format!("/{}", ctx.request.parameter("endpoint"));
    registry
        .by_endpoint(&endpoint)
        .or_else(|| registry.kinds().iter().find(|kind| kind.endpoint == endpoint))
        .ok_or_else(|| PageError::NotFound("There is no such resource type.".to_owned()))
}

/// The filter of a search, and what it found.
type Search = (Option<String>, Result<Listing, Error>);

/// Searches for a text or a filter.
///
/// A text is looked for in three steps, each of which may find enough. Among many resources, those that have
/// exactly this name come first: one look into each index. Then what has an index is scanned. Documents are
/// read last, and only if nothing was found and there are few of them; `reach` is set to the last step.
fn search(
    ctx: &PageContext<'_>,
    kind: &Arc<ResourceType>,
    words: &Words<'_>,
    cursor: &str,
    reach: &mut Reach,
) -> Result<Search, PageError> {
    let (text, plain) = (words.text, words.is_text());
    let few = plain && overview::count(ctx, kind, None)? <= MAX_DOCUMENTS;
    if plain && *reach == Reach::Exact {
        if !few && let Some(search) = search_whole_names(ctx, kind, text, cursor)? {
            return Ok(search);
        }
        *reach = Reach::Indexed;
    }
    loop {
        let filter = words.filter(kind, *reach);
        let listing = page_of(ctx, kind, filter.as_deref(), cursor)?;
        let nothing = listing.as_ref().is_ok_and(|listing| listing.head.total == 0);
        let more = words.filter(kind, Reach::Everywhere) != filter;
        if !(nothing && more && few && cursor.is_empty()) {
            return Ok((filter, listing));
        }
        *reach = Reach::Everywhere;
    }
}

/// Finds all resources that have exactly this name; `None` when there are none.
///
/// Only the attributes that find more than those before, or that cannot be compared with the text, are part
/// of the filter: mostly userName and e-mail address are the same, and the page is one look into one index.
fn search_whole_names(
    ctx: &PageContext<'_>,
    kind: &Arc<ResourceType>,
    text: &str,
    cursor: &str,
) -> Result<Option<Search>, PageError> {
    let (mut hits, mut seen) = (Vec::new(), HashSet::new());
    for term in Reach::Exact.exact(kind, text) {
        let listing = page_of(ctx, kind, Some(&term), cursor)?;
        let finds_more = match &listing {
            Ok(listing) => {
                let before = seen.len();
                seen.extend(listing.resources.iter().map(|found| found.resource.id.clone()));
                seen.len() > before || listing.head.next_cursor.is_some()
            }
            Err(_) => true,
        };
        if finds_more {
            hits.push((term, listing));
        }
    }
    if hits.len() < 2 {
        return Ok(hits.pop().map(|(term, listing)| (Some(term), listing)));
    }
    let terms: Vec<String> = hits.into_iter().map(|(term, _)| term).collect();
    let filter = terms.join(" or ");
    let listing = page_of(ctx, kind, Some(&filter), cursor)?;
    Ok(Some((Some(filter), listing)))
}

/// Reads one page of a search. The inner error belongs next to the search field.
fn page_of(
    ctx: &PageContext<'_>,
    kind: &Arc<ResourceType>,
    filter: Option<&str>,
    cursor: &str,
) -> Result<Result<Listing, Error>, PageError> {
    let request = SearchRequest {
        filter: filter.map(str::to_owned),
        count: Some(PAGE_SIZE),
        cursor: Some(cursor.to_owned()),
        // A list does not show members and memberships: they need not be read.
        excluded_attributes: vec!["members".to_owned(), "groups".to_owned()],
        ..SearchRequest::default()
    };
    let service = &ctx.console.api.service;
    Ok(service.search(&ctx.caller()?, &[Arc::clone(kind)], &request))
}

/// Returns the sentence for a search that failed.
fn search_error(error: &Error) -> String {
    match error {
        Error::Provider(ProviderError::Halted(Halt::Deadline)) => {
            "Not everything was searched: it took too long. Enter a whole userName, e-mail address, \
             externalId or id, or a filter that an index answers."
                .to_owned()
        }
        other => other.to_string(),
    }
}

/// Checks whether a search failed because the server did, not because of what was entered.
fn is_server_error(error: &Error) -> bool {
    let halted = matches!(error, Error::Provider(ProviderError::Halted(Halt::Deadline)));
    matches!(error, Error::Provider(_)) && error.status_and_type().0 >= 500 && !halted
}

fn row(kind: &ResourceType, found: &Found) -> Result<ResourceRow, PageError> {
    let attributes = found.resource.document.attributes()?;
    let columns = Columns::of(kind, attributes);
    let name = columns.name.unwrap_or_else(|| found.resource.id.to_string());
    let display = [
        attributes.top("displayName"),
        attributes.top("name").and_then(|name| name.get("formatted")),
    ]
    .into_iter()
    .flatten()
    .map(plain)
    .find(|display| !display.is_empty())
    .unwrap_or_default();
    Ok(ResourceRow {
        href: format!("/console/resources{}/{}", kind.endpoint, found.resource.id),
        display: if display == name { String::new() } else { display },
        name,
        external_id: columns.external_id.unwrap_or_default(),
        active: columns.active,
        modified: time(found.resource.modified),
    })
}

/// Shows the list.
pub(crate) fn list(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    let (kind, asked) = (kind(ctx)?, &ctx.request.query);
    let (text, cursor) = (asked.get("q"), asked.get("cursor"));
    let endpoint = endpoint(kind);
    let mut reach = Reach::of(asked.get("in"));
    let words = Words::read(ctx, kind, text, asked.get("read"))?;
    let (filter, listing) = search(ctx, kind, &words, cursor, &mut reach)?;
    let (listing, error) = match listing {
        Ok(listing) => (Some(listing), None),
        Err(error) if is_server_error(&error) => return Err(error.into()),
        Err(error) => (None, Some(error)),
    };
    let status = error.as_ref().map_or(200, |error| error.status_and_type().0);
    let error_at = match &error {
        Some(Error::Filter(error)) => {
            error.at.map(|at| (text.chars().take(at).collect(), text.chars().skip(at).collect()))
        }
        _ => None,
    };
    let found = listing.as_ref().map(|listing| listing.resources.as_slice()).unwrap_or_default();
    let rows = found.iter().map(|found| row(kind, found)).collect::<Result<Vec<_>, _>>()?;
    let head = listing.as_ref().map(|listing| &listing.head);
    // The next page of a search for whole names asks for the filter that found them.
    let found_by = filter.as_deref().filter(|_| reach == Reach::Exact && words.is_text());
    let walked = found_by.unwrap_or(text);
    let read = if found_by.is_some() { "" } else { words.word() };
    let path = &ctx.request.path;
    let first = [("q", walked), ("in", reach.word()), ("read", read)];
    let next = head.and_then(|head| head.next_cursor.as_deref()).map(|cursor| {
        let [q, reach, read] = first;
        format!("{path}{}", query(&[q, reach, read, ("cursor", cursor)]))
    });
    let wider = reach.wider().filter(|wider| words.filter(kind, *wider) != filter);
    let scim = query(&[("filter", filter.as_deref().unwrap_or_default()), ("count", "50")]);
    let url = quote(&format!("{}{}{scim}", ctx.base_url(), kind.endpoint));
    let command = format!("curl -H 'Authorization: Bearer TOKEN' {url}");
    let response = PageResponse::render(&ResourceListPage {
        layout: ctx.layout(&endpoint, &endpoint).with_commands(vec![command]),
        noun: endpoint.to_lowercase(),
        endpoint,
        text: text.to_owned(),
        walked: walked.to_owned(),
        error: error.as_ref().map_or_else(String::new, search_error),
        error_at,
        total: head.map_or_else(String::new, |head| number(head.total)),
        has_active: rows.iter().any(|row| row.active.is_some()),
        rows,
        next,
        first: (!cursor.is_empty()).then(|| format!("{path}{}", query(&first))),
        wider: wider.map(|wider| {
            let query = query(&[("q", text), ("in", wider.word()), ("read", words.word())]);
            (format!("{path}{query}"), wider.invitation())
        }),
        filter: filter.filter(|filter| filter != text).unwrap_or_default(),
        other: words.other(error.is_some()).map(|(word, invitation)| {
            (format!("{path}{}", query(&[("q", text), ("read", word)])), invitation)
        }),
        reach: reach.word(),
        read,
        may_export: ctx.may_change(),
    })?;
    Ok(response.status(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST)))
}

/// Returns the endpoint of a kind without its slash, which names it in the menu: `Users`.
fn endpoint(kind: &ResourceType) -> String {
    kind.endpoint.trim_start_matches('/').to_owned()
}

#[derive(Template)]
#[template(path = "resource.html")]
struct ResourcePage {
    layout: Layout,
    name: String,
    active: Option<bool>,
    back: String,
    /// Path and value.
    attributes: Vec<(String, String)>,
    /// Members or groups: name and address.
    related: Vec<(String, String)>,
    related_heading: &'static str,
    /// The address of the list of all members, when only the first are shown.
    related_more: Option<String>,
    raw: String,
    events: Vec<Event>,
    explain: String,
}

/// Puts every value of a document on a line of its own.
fn flatten(path: &str, value: &Value, lines: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                let inner = match path {
                    "" => name.clone(),
                    // An attribute of an extension is shown without its URN, which is long.
                    path if path.starts_with("urn:") => name.clone(),
                    path => format!("{path}.{name}"),
                };
                flatten(&inner, value, lines);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                flatten(&format!("{path}[{index}]"), value, lines);
            }
        }
        value => lines.push((path.to_owned(), plain(value))),
    }
}

/// Returns a resource as JSON, as the protocol does.
fn render_json(
    ctx: &PageContext<'_>,
    kind: &ResourceType,
    found: &Found,
) -> Result<Value, PageError> {
    let projection = Projection::new(kind, &[], &[])?;
    let (registry, base) = (&ctx.console.api.service.registry, ctx.base_url());
    let mut json = Vec::new();
    Reply { registry, kind, projection: &projection, base: &base }.write(
        &mut json,
        &found.resource,
        &found.computed,
    )?;
    serde_json::from_slice(&json)
        .map_err(|error| PageError::Internal(format!("a resource is written as JSON: {error}")))
}

/// Returns the attributes of a resource that its page lists: path and value.
fn attributes(mut json: Value) -> Vec<(String, String)> {
    if let Some(map) = json.as_object_mut() {
        for elsewhere in ["schemas", "members", "groups"] {
            map.shift_remove(elsewhere);
        }
        // `meta` comes last.
        let meta = map.shift_remove("meta");
        map.extend(meta.map(|meta| ("meta".to_owned(), meta)));
    }
    let mut attributes = Vec::new();
    flatten("", &json, &mut attributes);
    attributes
}

/// Shows one resource.
pub(crate) fn show(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    let (kind, tenant) = (kind(ctx)?, ctx.tenant()?);
    let id = ResourceId::new(ctx.request.parameter("id"));
    let is_group = kind.membership == Membership::Members;
    // Of a group with many members, only those are read that are shown.
    let with = if is_group { With::Members(MAX_MEMBERS) } else { With::Groups };
    let provider = &ctx.console.api.service.provider;
    let Some(found) = provider.get(tenant.id, &kind.kind, &id, with)? else {
        let tombstone = tombstone::render(ctx, kind, &id)?;
        return tombstone.ok_or_else(|| Error::not_found(&kind.kind, &id).into());
    };
    let json = render_json(ctx, kind, &found)?;
    let columns = Columns::of(kind, found.resource.document.attributes()?);
    let name = columns.name.unwrap_or_else(|| id.to_string());
    let entries = explain::reader(ctx).read_resource(tenant.id, &id, MAX_EVENTS)?;
    let (base, tenant) = (ctx.base_url(), quote(&tenant.name));
    let layout = ctx.layout(&name, &endpoint(kind)).with_commands(vec![
        format!("curl -H 'Authorization: Bearer TOKEN' {base}{}/{id}", kind.endpoint),
        ctx.command(&format!("log explain {} --tenant {tenant}", quote(&name))),
    ]);
    PageResponse::render(&ResourcePage {
        layout,
        explain: format!("/console/explain{}", query(&[("name", &name)])),
        name,
        active: columns.active,
        back: format!("/console/resources{}", kind.endpoint),
        raw: format!("{json:#}"),
        attributes: attributes(json),
        related: if is_group { members(ctx, &found)? } else { groups(&found) },
        related_heading: if is_group { "Members" } else { "Groups" },
        related_more: found.computed.more_members.is_some().then(|| {
            let members = format!("groups.value eq {}", Value::from(id.as_str()));
            format!("/console/resources/Users{}", query(&[("q", &members)]))
        }),
        events: explain::events(ctx, &entries),
    })
}

/// Returns the groups of a resource: name and address.
fn groups(found: &Found) -> Vec<(String, String)> {
    found
        .computed
        .groups
        .iter()
        .map(|entry| (entry.display.clone(), format!("/console/resources/Groups/{}", entry.group)))
        .collect()
}

/// Returns the members of a group: name and address.
fn members(ctx: &PageContext<'_>, found: &Found) -> Result<Vec<(String, String)>, PageError> {
    let (service, tenant) = (&ctx.console.api.service, ctx.tenant()?.id);
    let mut members = Vec::new();
    for member in &found.computed.members {
        let Some(kind) = service.registry.kind(member.kind.as_str()) else { continue };
        let resource = service.provider.get(tenant, &member.kind, &member.id, With::Nothing)?;
        if let Some(resource) = resource {
            let row = row(kind, &resource)?;
            members.push((row.name, row.href));
        }
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_shown_line_by_line() {
        let mut lines = Vec::new();
        let value = serde_json::json!({
            "name": {"givenName": "Jane"}, "emails": [{"value": "a@example.com"}],
            "urn:x:User": {"department": "Research"}, "active": true,
        });
        flatten("", &value, &mut lines);
        let shown: Vec<String> =
            lines.iter().map(|(path, value)| format!("{path}={value}")).collect();
        assert_eq!(
            shown,
            [
                "name.givenName=Jane",
                "emails[0].value=a@example.com",
                "department=Research",
                "active=true"
            ]
        );
    }
}
