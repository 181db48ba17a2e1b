//! Records and stories, for people and for programs.

use headcount_core::clock::Timestamp;
use headcount_core::ids::{Kind, ResourceId, TokenId};
use headcount_core::journal::advice::advice;
use headcount_core::journal::{Entry, Logged, RequestRecord, Story, moment};
use serde_json::{Value, json};

/// The lines of a record: one, and below it why it failed and what was repaired.
pub(super) fn lines(record: &RequestRecord, seq: Option<i64>) -> Vec<String> {
    let number = seq.map_or_else(String::new, |seq| format!("{seq:>6}  "));
    let scim_type = record.scim_type.as_deref().map_or_else(String::new, |text| format!(" {text}"));
    let name = record.name.as_deref().map_or_else(String::new, |name| format!(" \"{name}\""));
    let query = record.query.as_deref().map_or_else(String::new, |query| format!(" {query}"));
    let mut lines = vec![format!(
        "{number}{}  {}  {} {}{query}  {}{scim_type}  {}{name}",
        moment(record.at),
        record.sender(),
        record.method,
        record.path,
        record.status,
        record.outcome(),
    )];
    let mut below = |head: &str, text: &str| lines.push(format!("          {head}: {text}"));
    if let Some(refused) = &record.refused {
        let token = record.token_name.as_deref().or(record.token.as_ref().map(TokenId::as_str));
        below(
            "token",
            &format!("{refused}{}", token.map_or_else(String::new, |name| format!(" ({name})"))),
        );
    }
    if let Some(field) = &record.field {
        below("rejected", field);
    }
    if let Some(reason) = &record.reason {
        below("reason", reason);
    }
    if let Some(advice) = advice(record) {
        below("what to do", &advice);
    }
    for repair in record.repairs() {
        below("repaired", &repair);
    }
    lines
}

/// Everything of a record.
pub(super) fn whole(logged: &Logged) -> Vec<String> {
    let record = &logged.record;
    let mut all = lines(record, Some(logged.seq));
    let mut below = |head: &str, text: Option<&str>| {
        if let Some(text) = text {
            all.push(format!("          {head}: {text}"));
        }
    };
    below("request id", Some(record.request.as_str()));
    below("token", record.token.as_ref().map(TokenId::as_str));
    below("from", record.address.as_deref());
    below("agent", record.agent.as_deref());
    below("took", Some(&format!("{} µs", record.micros)));
    below("sent", record.body.as_deref());
    below("answered", record.reply.as_deref());
    all
}

/// A record for programs, with its bodies or without.
pub(super) fn record(logged: &Logged, bodies: bool) -> Value {
    let record = &logged.record;
    let mut shown = json!({
        "number": logged.seq,
        "at": record.at.to_string(),
        "micros": record.micros,
        "requestId": record.request.as_str(),
        "tokenId": record.token.as_ref().map(TokenId::as_str),
        "token": record.token_name,
        "refused": record.refused,
        "address": record.address,
        "agent": record.agent,
        "idp": record.idp,
        "method": record.method,
        "path": record.path,
        "filter": record.query,
        "kind": record.kind.as_ref().map(Kind::as_str),
        "resource": record.resource.as_ref().map(ResourceId::as_str),
        "name": record.name,
        "status": record.status,
        "scimType": record.scim_type,
        "field": record.field,
        "reason": record.reason,
        "advice": advice(record),
        "quirks": record.quirks.iter().map(|quirk| quirk.name).collect::<Vec<_>>(),
    });
    if let (true, Some(map)) = (bodies, shown.as_object_mut()) {
        map.insert("sent".to_owned(), json!(record.body));
        map.insert("answered".to_owned(), json!(record.reply));
    }
    shown
}

/// A story for people.
pub(super) fn story_lines(story: &Story) -> Vec<String> {
    let mut all = vec![story.summary()];
    all.extend(story.what_to_do().map(|text| format!("What to do: {text}")));
    for entry in &story.entries {
        all.push(String::new());
        all.extend(entry_lines(entry));
    }
    all
}

fn entry_lines(entry: &Entry) -> Vec<String> {
    let mut all = match &entry.request {
        Some(logged) => lines(&logged.record, Some(logged.seq)),
        None => {
            let by = entry.changes.first().map(|recorded| recorded.change.actor.parts());
            let by = match by {
                Some(("token", id)) => format!("token {id}"),
                Some(("cli", _)) => "command line".to_owned(),
                Some(("admin", name)) => format!("admin {name}"),
                _ => "the server".to_owned(),
            };
            vec![format!(
                "        {}  {by}  (the request is no longer in the log)",
                moment(entry.at)
            )]
        }
    };
    for recorded in &entry.changes {
        all.push(format!("          {} {}, {}", recorded.kind, recorded.id, recorded.outcome()));
    }
    all
}

/// A story for programs.
pub(super) fn story(story: &Story) -> Value {
    let present = story.present.iter().map(|present| {
        json!({
            "kind": present.kind.as_str(),
            "id": present.id.as_str(),
            "name": present.name,
            "active": present.active,
            "created": present.created.to_string(),
            "lastModified": present.modified.to_string(),
        })
    });
    let entries = story.entries.iter().map(|entry| {
        let changes = entry.changes.iter().map(|recorded| {
            json!({
                "kind": recorded.kind.as_str(),
                "id": recorded.id.as_str(),
                "act": recorded.change.act.word(),
                "version": recorded.version.to_string(),
                "paths": recorded.change.paths,
                "told": recorded.outcome(),
            })
        });
        json!({
            "at": entry.at.to_string(),
            "request": entry.request.as_ref().map(|logged| record(logged, true)),
            "changes": changes.collect::<Vec<_>>(),
        })
    });
    json!({
        "name": story.name,
        "summary": story.summary(),
        "whatToDo": story.what_to_do(),
        "present": present.collect::<Vec<_>>(),
        "entries": entries.collect::<Vec<_>>(),
        "lastRequest": story.last_request.map(|at: Timestamp| at.to_string()),
    })
}
