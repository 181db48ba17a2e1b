//! What a search finds, as a file: CSV for spreadsheets, JSON for everything else.

use std::sync::Arc;

use actix_web::http::StatusCode;
use headcount_core::index::Columns;
use headcount_core::message::SearchRequest;
use headcount_core::provider::Found;
use headcount_core::schema::ResourceType;
use serde_json::{Value, json};

use super::reach::Reach;
use super::words::Words;
use super::{kind, search};
use crate::context::PageContext;
use crate::error::PageError;
use crate::format::plain;
use crate::pages::error;
use crate::response::PageResponse;

/// Resources that are read at once.
const READ_BATCH: i64 = 1_000;
/// Resources in one file; the protocol reads more than that.
const MAX_RESOURCES: usize = 100_000;

/// The columns that every kind has.
const COLUMNS: [&str; 6] = ["id", "name", "externalId", "active", "created", "lastModified"];
/// The attributes that follow them; empty for a kind that does not have them.
const ATTRIBUTES: [&str; 5] =
    ["displayName", "name.givenName", "name.familyName", "emails.value", "title"];

/// Exports what a search finds.
pub(crate) fn export(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    if let Some(error) = ctx.reauthenticate()? {
        let error = PageError::BadRequest(format!("Personal data leaves the server: {error}."));
        return Ok(error::render(&error, Some(ctx)).status(StatusCode::UNAUTHORIZED));
    }
    let kind = Arc::clone(kind(ctx)?);
    let csv = ctx.request.form.get("as") == "csv";
    let mut out = Vec::new();
    if csv {
        // The byte order mark makes spreadsheets read the file as UTF-8.
        out.extend_from_slice("\u{feff}".as_bytes());
        line(&mut out, COLUMNS.iter().chain(&ATTRIBUTES).copied());
    } else {
        out.extend_from_slice(b"[");
    }
    let mut count = 0;
    for_each(ctx, &kind, &mut |found| {
        if csv {
            line(&mut out, cells(&kind, found)?);
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
    let accounts = &ctx.console.accounts;
    let what = [name.as_str(), ending];
    accounts.record_export(&ctx.principal()?, ctx.tenant()?, &what, &ctx.request.network)?;
    tracing::info!(
        admin = %ctx.session()?.admin.name,
        scim.kind = %kind.kind,
        count,
        "resources were exported from the console"
    );
    Ok(PageResponse::download(format!("headcount-{name}.{ending}"), media, out))
}

/// Reads everything that the search of the form finds.
fn for_each(
    ctx: &PageContext<'_>,
    kind: &Arc<ResourceType>,
    each: &mut dyn FnMut(&Found) -> Result<(), PageError>,
) -> Result<(), PageError> {
    let service = &ctx.console.api.service;
    // The same filter as on the page from which the form was sent.
    let form = &ctx.request.form;
    let mut reach = Reach::of(form.get("in"));
    let words = Words::read(ctx, kind, form.get("q"), form.get("read"))?;
    let (filter, _) = search(ctx, kind, &words, "", &mut reach)?;
    let (mut cursor, mut left) = (Some(String::new()), MAX_RESOURCES);
    while let Some(from) = cursor.filter(|_| left > 0) {
        let request = SearchRequest {
            filter: filter.clone(),
            count: Some(
                READ_BATCH.min(i64::try_from(service.limits.max_page).unwrap_or(READ_BATCH)),
            ),
            cursor: Some(from),
            excluded_attributes: vec!["members".to_owned(), "groups".to_owned()],
            ..SearchRequest::default()
        };
        // Each batch has its own budget: the file may be as large as the collection.
        let listing = service.search(&ctx.caller()?, &[Arc::clone(kind)], &request)?;
        left = left.saturating_sub(listing.resources.len());
        listing.resources.iter().try_for_each(&mut *each)?;
        cursor = listing.head.next_cursor;
    }
    Ok(())
}

fn document(kind: &ResourceType, found: &Found) -> Result<Value, PageError> {
    let text = found.resource.document.text();
    let attributes: Value = serde_json::from_str(text)
        .map_err(|error| PageError::Internal(format!("a stored document is JSON: {error}")))?;
    Ok(json!({
        "id": found.resource.id.as_str(),
        "kind": kind.kind.as_str(),
        "created": found.resource.created.to_string(),
        "lastModified": found.resource.modified.to_string(),
        "attributes": attributes,
    }))
}

fn cells(kind: &ResourceType, found: &Found) -> Result<Vec<String>, PageError> {
    let attributes = found.resource.document.attributes()?;
    let columns = Columns::of(kind, attributes);
    let active = columns.active.map_or_else(String::new, |active| active.to_string());
    let mut cells = vec![
        found.resource.id.to_string(),
        columns.name.unwrap_or_default(),
        columns.external_id.unwrap_or_default(),
        active,
        found.resource.created.to_string(),
        found.resource.modified.to_string(),
    ];
    for path in ATTRIBUTES {
        let (top, rest) = path.split_once('.').unwrap_or((path, ""));
        let value = match attributes.top(top) {
            Some(Value::Array(values)) => values.first().and_then(|first| first.get(rest)),
            Some(value) if !rest.is_empty() => value.get(rest),
            value => value,
        };
        cells.push(value.map(plain).unwrap_or_default());
    }
    Ok(cells)
}

/// Writes a line of CSV (RFC 4180).
fn line(out: &mut Vec<u8>, cells: impl IntoIterator<Item = impl AsRef<str>>) {
    for (index, cell) in cells.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(quote_cell(cell.as_ref()).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Quotes a cell, so that no spreadsheet takes it for a formula (ADM-19), neither as it is nor after dropping
/// blanks or taking a character for the end of a cell.
fn quote_cell(cell: &str) -> String {
    let begin = cell.trim_start_matches(|c: char| {
        c.is_whitespace()
            || c.is_control()
            || matches!(c, ',' | ';' | '|' | '"' | '\'' | '\u{feff}')
    });
    let formula = begin.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
        || cell.starts_with(['\t', '\r', '\n']);
    let mark = if formula { "'" } else { "" };
    format!("\"{mark}{}\"", cell.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adm_19_a_cell_is_never_a_formula() {
        for begin in [
            "=", "+", "-", "@", "\t", "\r", "\n", " =", ";=", ",+", "\u{a0}@", "; -", "\"=",
            "\u{b}=", "＝",
        ] {
            let cell = format!("{begin}cmd|' /C calc'!A0");
            assert!(quote_cell(&cell).starts_with("\"'"), "{cell:?}");
        }
        assert_eq!(quote_cell("say \"hi\", twice"), "\"say \"\"hi\"\", twice\"");
        for cell in ["jane", "a=b", "; a", "jane@example.com"] {
            assert_eq!(quote_cell(cell), format!("\"{cell}\""));
        }
    }
}
