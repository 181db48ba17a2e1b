//! Users, groups and every other kind: searched, shown, handed out.

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
use super::explain::{self, Event};
use super::overview;
use crate::answer::{Answer, Fault};
use crate::desk::{Desk, Frame};
use crate::format::{number, plain, query, quote, time};

mod export;
mod reach;

pub(crate) use export::export;

/// Resources of one page.
const PAGE: i64 = 50;
/// Events of the timeline that are shown.
const EVENTS: usize = 30;
/// Members of a group that are shown.
const MEMBERS: usize = 100;
/// Where there are so many, documents are read for a plain text only when somebody asks for that.
const MANY: u64 = 5_000;

#[derive(Template)]
#[template(path = "resources.html")]
struct List {
    frame: Frame,
    endpoint: String,
    noun: String,
    text: String,
    /// What finds the same again: the text, or the filter that it was taken for.
    walked: String,
    error: String,
    /// The filter up to the place of the error, and from there.
    error_at: Option<(String, String)>,
    total: String,
    rows: Vec<Row>,
    has_active: bool,
    next: Option<String>,
    first: Option<String>,
    /// The filter that a plain text stands for.
    meant: String,
    /// Where more is found by the same text, if there may be more, and what the link says.
    wider: Option<(String, &'static str)>,
    reach: &'static str,
    may_export: bool,
}

struct Row {
    href: String,
    name: String,
    display: String,
    external_id: String,
    active: Option<bool>,
    modified: String,
}

fn kind<'d>(desk: &'d Desk<'_>) -> Result<&'d Arc<ResourceType>, Fault> {
    let registry = &desk.console.api.service.registry;
    let endpoint = format!("/{}", desk.visit.part("endpoint"));
    registry
        .by_endpoint(&endpoint)
        .or_else(|| registry.kinds().iter().find(|kind| kind.endpoint == endpoint))
        .ok_or_else(|| Fault::NotFound("There is no such resource type.".to_owned()))
}

/// Checks whether a text is meant as a filter: it has quotes or parentheses, or begins with an attribute and
/// an operator. "Research and Development" and "Marie le Pen" are names.
fn is_filter(kind: &ResourceType, text: &str) -> bool {
    const OPERATORS: [&str; 10] = ["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "pr"];
    let mut words = text.split_whitespace();
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let second = second.to_ascii_lowercase();
    let compares = OPERATORS.contains(&second.as_str()) && kind.resolve(first).is_ok();
    let negates = first.eq_ignore_ascii_case("not") && second.starts_with('(');
    let opens = text.starts_with('(') || first.to_ascii_lowercase().starts_with("not(");
    text.contains('"') || opens || negates || compares
}

/// The filter that was asked for, as the service takes it.
fn wanted(kind: &ResourceType, text: &str, reach: Reach) -> Option<String> {
    match text {
        "" => None,
        text if is_filter(kind, text) => Some(text.to_owned()),
        text => Some(reach.filter(kind, text)),
    }
}

/// What a search came to, and the filter that it was.
type Searched = (Option<String>, Result<Listing, Error>);

/// Searches. Among many, resources that have exactly this name come first, by a look into each index; then
/// what has an index is gone through; and documents are read when nothing is found and that takes no time.
fn search(
    desk: &Desk<'_>,
    kind: &Arc<ResourceType>,
    text: &str,
    cursor: &str,
    reach: &mut Reach,
) -> Result<Searched, Fault> {
    let plain = !text.is_empty() && !is_filter(kind, text);
    let few = plain && overview::count(desk, kind, None)? <= MANY;
    if plain && *reach == Reach::Exact {
        if !few && let Some(searched) = whole_names(desk, kind, text, cursor)? {
            return Ok(searched);
        }
        *reach = Reach::Indexed;
    }
    loop {
        let filter = wanted(kind, text, *reach);
        let found = ask(desk, kind, filter.as_deref(), cursor)?;
        let nothing = found.as_ref().is_ok_and(|listing| listing.head.total == 0);
        let more = wanted(kind, text, Reach::Everywhere) != filter;
        if !(nothing && more && few && cursor.is_empty()) {
            return Ok((filter, found));
        }
        *reach = Reach::Everywhere;
    }
}

/// Finds all resources that have exactly this name; `None` when there are none. Only the attributes that
/// find more than those before, or that cannot be compared with the text, are part of the filter: mostly
/// userName and e-mail address are the same, and the page is one look into one index.
fn whole_names(
    desk: &Desk<'_>,
    kind: &Arc<ResourceType>,
    text: &str,
    cursor: &str,
) -> Result<Option<Searched>, Fault> {
    let (mut hits, mut seen) = (Vec::new(), HashSet::new());
    for term in Reach::Exact.exact(kind, text) {
        let found = ask(desk, kind, Some(&term), cursor)?;
        let finds_more = match &found {
            Ok(listing) => {
                let before = seen.len();
                seen.extend(listing.resources.iter().map(|found| found.resource.id.clone()));
                seen.len() > before || listing.head.next_cursor.is_some()
            }
            Err(_) => true,
        };
        if finds_more {
            hits.push((term, found));
        }
    }
    if hits.len() < 2 {
        return Ok(hits.pop().map(|(term, found)| (Some(term), found)));
    }
    let terms: Vec<String> = hits.into_iter().map(|(term, _)| term).collect();
    let filter = terms.join(" or ");
    let found = ask(desk, kind, Some(&filter), cursor)?;
    Ok(Some((Some(filter), found)))
}

fn ask(
    desk: &Desk<'_>,
    kind: &Arc<ResourceType>,
    filter: Option<&str>,
    cursor: &str,
) -> Result<Result<Listing, Error>, Fault> {
    let request = SearchRequest {
        filter: filter.map(str::to_owned),
        count: Some(PAGE),
        cursor: Some(cursor.to_owned()),
        // Members and memberships are not shown in a list, so that they are not read for it.
        excluded_attributes: vec!["members".to_owned(), "groups".to_owned()],
        ..SearchRequest::default()
    };
    let service = &desk.console.api.service;
    Ok(service.search(&desk.caller()?, &[Arc::clone(kind)], &request))
}

/// Says of a search that was ended what is missing and how to go on; of another error, what it says itself.
fn explained(error: &Error) -> String {
    match error {
        Error::Provider(ProviderError::Halted(Halt::Deadline)) => {
            "Not everything was looked at: the search took too long. Enter a whole userName, e-mail address, \
             externalId or id, or a filter that an index answers."
                .to_owned()
        }
        other => other.to_string(),
    }
}

fn row(kind: &ResourceType, found: &Found) -> Result<Row, Fault> {
    let attributes = found.resource.document.attributes()?;
    let columns = Columns::of(kind, attributes);
    let display = attributes.top("displayName").map(plain).unwrap_or_default();
    let given = attributes.top("name").and_then(|name| name.get("formatted")).map(plain);
    let name = columns.name.unwrap_or_else(|| found.resource.id.to_string());
    let display = if display.is_empty() { given.unwrap_or_default() } else { display };
    Ok(Row {
        href: format!("/console/resources{}/{}", kind.endpoint, found.resource.id),
        display: if display == name { String::new() } else { display },
        name,
        external_id: columns.external_id.unwrap_or_default(),
        active: columns.active,
        modified: time(found.resource.modified),
    })
}

/// The list.
pub(crate) fn list(desk: &Desk<'_>) -> Result<Answer, Fault> {
    let kind = kind(desk)?;
    let text = desk.visit.query.get("q");
    let cursor = desk.visit.query.get("cursor");
    let endpoint = kind.endpoint.trim_start_matches('/').to_owned();
    let mut reach = Reach::of(desk.visit.query.get("in"));
    let (filter, listing) = search(desk, kind, text, cursor, &mut reach)?;
    let meant = filter.clone().filter(|filter| filter != text).unwrap_or_default();
    let (listing, error) = match listing {
        Ok(listing) => (Some(listing), None),
        Err(error @ Error::Provider(_))
            if error.status_and_type().0 >= 500 && explained(&error) == error.to_string() =>
        {
            return Err(error.into());
        }
        Err(error) => (None, Some(error)),
    };
    let error_at = match &error {
        Some(Error::Filter(error)) => {
            error.at.map(|at| (text.chars().take(at).collect(), text.chars().skip(at).collect()))
        }
        _ => None,
    };
    let found = listing.as_ref().map(|listing| listing.resources.as_slice()).unwrap_or_default();
    let rows = found.iter().map(|found| row(kind, found)).collect::<Result<Vec<_>, _>>()?;
    let head = listing.as_ref().map(|listing| &listing.head);
    // What was found by one of several filters is walked by that one.
    let walked = filter.as_deref().filter(|_| reach == Reach::Exact).unwrap_or(text);
    let at = |cursor: &str| {
        format!(
            "{}{}",
            desk.visit.path,
            query(&[("q", walked), ("in", reach.word()), ("cursor", cursor)])
        )
    };
    let question = query(&[("filter", filter.as_deref().unwrap_or_default()), ("count", "50")]);
    let command = format!(
        "curl -H 'Authorization: Bearer TOKEN' {}",
        quote(&format!("{}{}{question}", desk.base_url(), kind.endpoint))
    );
    let status = error.as_ref().map_or(200, |error| error.status_and_type().0);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    let page = Answer::page(&List {
        frame: desk.frame(&endpoint, &format_place(kind)).at_the_command_line(vec![command]),
        noun: endpoint.to_lowercase(),
        endpoint,
        text: text.to_owned(),
        error: error.as_ref().map_or_else(String::new, explained),
        error_at,
        total: head.map_or_else(String::new, |head| number(head.total)),
        has_active: rows.iter().any(|row| row.active.is_some()),
        rows,
        next: head.and_then(|head| head.next_cursor.as_deref()).map(at),
        first: (!cursor.is_empty()).then(|| at("")),
        meant,
        walked: walked.to_owned(),
        wider: reach.wider().filter(|wider| wanted(kind, text, *wider) != filter).map(|wider| {
            let href = query(&[("q", text), ("in", wider.word())]);
            (format!("{}{href}", desk.visit.path), wider.invitation())
        }),
        reach: reach.word(),
        may_export: desk.may_change(),
    })?;
    Ok(page.status(status))
}

fn format_place(kind: &ResourceType) -> String {
    kind.endpoint.trim_start_matches('/').to_owned()
}

#[derive(Template)]
#[template(path = "resource.html")]
struct One {
    frame: Frame,
    name: String,
    active: Option<bool>,
    back: String,
    attributes: Vec<(String, String)>,
    related: Vec<(String, String)>,
    related_heading: &'static str,
    /// Where all of them are listed, when these are only the first.
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
                    // What belongs to an extension is written without its URN: it is long, and once enough.
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

/// One resource.
pub(crate) fn show(desk: &Desk<'_>) -> Result<Answer, Fault> {
    let kind = kind(desk)?;
    let service = &desk.console.api.service;
    let id = ResourceId::new(desk.visit.part("id"));
    let group = kind.membership == Membership::Members;
    // Of a group with many members, only those are read that are shown.
    let with = if group { With::Members(MEMBERS) } else { With::Groups };
    let missing = || Error::not_found(&kind.kind, &id);
    let found = service.provider.get(desk.tenant()?.id, &kind.kind, &id, with);
    let found = found?.ok_or_else(missing)?;
    let projection = Projection::new(kind, &[], &[])?;
    let base = desk.base_url();
    let mut raw = Vec::new();
    let reply = Reply { registry: &service.registry, kind, projection: &projection, base: &base };
    reply.write(&mut raw, &found.resource, &found.computed)?;
    let mut whole: Value = serde_json::from_slice(&raw)
        .map_err(|error| Fault::Internal(format!("a resource is written as JSON: {error}")))?;
    let raw = format!("{whole:#}");
    let mut attributes = Vec::new();
    if let Some(map) = whole.as_object_mut() {
        for apart in ["schemas", "members", "groups"] {
            map.shift_remove(apart);
        }
        // What the server says of a resource comes after what it is.
        let meta = map.shift_remove("meta");
        map.extend(meta.map(|meta| ("meta".to_owned(), meta)));
    }
    flatten("", &whole, &mut attributes);
    let columns = Columns::of(kind, found.resource.document.attributes()?);
    let name = columns.name.unwrap_or_else(|| id.to_string());
    let entries = explain::timeline(desk, desk.tenant()?.id, &id, EVENTS)?;
    let events = explain::events(desk, &entries);
    let tenant = quote(&desk.tenant()?.name);
    let frame = desk.frame(&name, &format_place(kind)).at_the_command_line(vec![
        format!("curl -H 'Authorization: Bearer TOKEN' {base}{}/{id}", kind.endpoint),
        desk.command(&format!("log explain {} --tenant {tenant}", quote(&name))),
    ]);
    Answer::page(&One {
        frame,
        explain: format!("/console/explain{}", query(&[("name", &name)])),
        name,
        active: columns.active,
        back: format!("/console/resources{}", kind.endpoint),
        attributes,
        related: if group { members(desk, &found)? } else { groups(&found) },
        related_heading: if group { "Members" } else { "Groups" },
        related_more: found.computed.more_members.is_some().then(|| {
            let members = format!("groups.value eq {}", Value::from(id.as_str()));
            format!("/console/resources/Users{}", query(&[("q", &members)]))
        }),
        raw,
        events,
    })
}

fn groups(found: &Found) -> Vec<(String, String)> {
    let entries = found.computed.groups.iter();
    entries
        .map(|entry| (entry.display.clone(), format!("/console/resources/Groups/{}", entry.group)))
        .collect()
}

/// The members with their names.
fn members(desk: &Desk<'_>, found: &Found) -> Result<Vec<(String, String)>, Fault> {
    let service = &desk.console.api.service;
    let mut named = Vec::new();
    for member in &found.computed.members {
        let Some(kind) = service.registry.kind(member.kind.as_str()) else { continue };
        let tenant = desk.tenant()?.id;
        if let Some(found) =
            service.provider.get(tenant, &member.kind, &member.id, With::Nothing)?
        {
            let row = row(kind, &found)?;
            named.push((row.name, row.href));
        }
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_with_an_operator_is_a_filter() {
        let registry = headcount_core::schema::Registry::builtin().unwrap();
        let user = registry.kind("User").unwrap();
        let filters = ["userName eq \"x\"", "active eq true", "title pr", "(a pr)", "title SW b"];
        for filter in filters.into_iter().chain(["not (title pr)", "NOT(title pr)", "x eq \"y\""]) {
            assert!(is_filter(user, filter), "{filter}");
        }
    }

    #[test]
    fn a_name_with_a_word_that_is_an_operator_is_a_name() {
        let registry = headcount_core::schema::Registry::builtin().unwrap();
        let user = registry.kind("User").unwrap();
        let names = ["jane", "jane roe", "jane@example.com", "eq", "Andy", "Marie le Pen"];
        for plain in names.into_iter().chain(["Research and Development", "Anne Le Roux", "Not us"])
        {
            assert!(!is_filter(user, plain), "{plain}");
        }
    }

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
