//! The current filter as a file: CSV for a spreadsheet, JSON for everything else.

use std::sync::Arc;

use actix_web::http::StatusCode;
use headcount_core::index::Columns;
use headcount_core::message::SearchRequest;
use headcount_core::provider::Found;
use headcount_core::schema::ResourceType;
use serde_json::{Value, json};

use super::reach::Reach;
use super::{kind, search};
use crate::answer::{Answer, Fault};
use crate::desk::Desk;
use crate::format::plain;
use crate::pages::fault;

/// Resources that are read at once.
const SLICE: i64 = 1_000;
/// Resources that one file holds at most; who needs more takes the protocol.
const MOST: usize = 100_000;

/// The columns behind those that every kind has.
const MORE: [&str; 5] =
    ["displayName", "name.givenName", "name.familyName", "emails.value", "title"];

/// Hands the resources of the filter out.
pub(crate) fn export(desk: &Desk<'_>) -> Result<Answer, Fault> {
    if let Some(error) = desk.prove()? {
        let reason = Fault::Wrong(format!("Personal data leaves the server: {error}."));
        return Ok(fault::answer(&reason, Some(desk)).status(StatusCode::UNAUTHORIZED));
    }
    let kind = Arc::clone(kind(desk)?);
    let csv = desk.visit.form.get("as") == "csv";
    let mut out = Vec::new();
    if csv {
        // With the mark, spreadsheets read the file as UTF-8.
        out.extend_from_slice("\u{feff}".as_bytes());
        let fixed = ["id", "name", "externalId", "active", "created", "lastModified"];
        line(&mut out, fixed.iter().chain(&MORE).map(|heading| (*heading).to_owned()));
    } else {
        out.extend_from_slice(b"[");
    }
    let mut count = 0;
    walk(desk, &kind, &mut |found| {
        if csv {
            let cells = cells(&kind, found)?;
            line(&mut out, cells.into_iter());
        } else {
            if count > 0 {
                out.extend_from_slice(b",\n");
            }
            out.extend_from_slice(document(&kind, found)?.to_string().as_bytes());
        }
        count += 1;
        Ok(())
    })?;
    if !csv {
        out.extend_from_slice(b"]\n");
    }
    let (ending, media) =
        if csv { ("csv", "text/csv; charset=utf-8") } else { ("json", "application/json") };
    let name = kind.endpoint.trim_start_matches('/').to_lowercase();
    tracing::info!(
        admin = %desk.session()?.admin.name,
        scim.kind = %kind.kind,
        count,
        "resources were exported from the console"
    );
    Ok(Answer::file(format!("headcount-{name}.{ending}"), media, out))
}

fn walk(
    desk: &Desk<'_>,
    kind: &Arc<ResourceType>,
    each: &mut dyn FnMut(&Found) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let service = &desk.console.api.service;
    // What the page of this text finds, and no more.
    let (text, mut reach) = (desk.visit.form.get("q"), Reach::of(desk.visit.form.get("in")));
    let (filter, _) = search(desk, kind, text, "", &mut reach)?;
    let (mut cursor, mut left) = (Some(String::new()), MOST);
    while let Some(from) = cursor.filter(|_| left > 0) {
        let request = SearchRequest {
            filter: filter.clone(),
            count: Some(SLICE.min(i64::try_from(service.limits.max_page).unwrap_or(SLICE))),
            cursor: Some(from),
            excluded_attributes: vec!["members".to_owned(), "groups".to_owned()],
            ..SearchRequest::default()
        };
        // Each slice has a budget of its own: the file may be as large as the collection.
        let listing = service.search(&desk.caller()?, &[Arc::clone(kind)], &request)?;
        left = left.saturating_sub(listing.resources.len());
        listing.resources.iter().try_for_each(&mut *each)?;
        cursor = listing.head.next_cursor;
    }
    Ok(())
}

fn document(kind: &ResourceType, found: &Found) -> Result<Value, Fault> {
    let text = found.resource.document.text();
    let attributes: Value = serde_json::from_str(text)
        .map_err(|error| Fault::Internal(format!("a stored document is JSON: {error}")))?;
    Ok(json!({
        "id": found.resource.id.as_str(),
        "kind": kind.kind.as_str(),
        "created": found.resource.created.to_string(),
        "lastModified": found.resource.modified.to_string(),
        "attributes": attributes,
    }))
}

fn cells(kind: &ResourceType, found: &Found) -> Result<Vec<String>, Fault> {
    let attributes = found.resource.document.attributes()?;
    let columns = Columns::of(kind, attributes);
    let active = columns.active.map_or_else(String::new, |active| active.to_string());
    let more = MORE.iter().map(|path| {
        let (top, rest) = path.split_once('.').unwrap_or((path, ""));
        let value = attributes.top(top);
        let inner = match value {
            Some(Value::Array(values)) => values.first().and_then(|first| first.get(rest)),
            Some(value) if !rest.is_empty() => value.get(rest),
            value => value,
        };
        inner.map(plain).unwrap_or_default()
    });
    let fixed = [
        found.resource.id.to_string(),
        columns.name.unwrap_or_default(),
        columns.external_id.unwrap_or_default(),
        active,
        found.resource.created.to_string(),
        found.resource.modified.to_string(),
    ];
    Ok(fixed.into_iter().chain(more).collect())
}

/// Writes a line of CSV (RFC 4180).
fn line(out: &mut Vec<u8>, cells: impl Iterator<Item = String>) {
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(harmless(&cell).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Quotes a cell, and takes from a spreadsheet the idea that it is a formula (ADM-19).
fn harmless(cell: &str) -> String {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    let mark = if formula { "'" } else { "" };
    format!("\"{mark}{}\"", cell.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adm_19_a_cell_is_never_a_formula() {
        for begin in ["=", "+", "-", "@", "\t", "\r", "\n"] {
            let cell = format!("{begin}cmd|' /C calc'!A0");
            assert!(harmless(&cell).starts_with("\"'"), "{cell:?}");
        }
        assert_eq!(harmless("say \"hi\", twice"), "\"say \"\"hi\"\", twice\"");
        assert_eq!(harmless("jane"), "\"jane\"");
    }
}
