//! Records and stories, for people.

use headcount_core::ids::TokenId;
use headcount_core::journal::advice::advice;
use headcount_core::journal::{Entry, Logged, RequestRecord, Story, moment};

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
