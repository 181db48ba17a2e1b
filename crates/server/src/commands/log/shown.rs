//! Records and stories, for people.

use headcount_core::clock::Timestamp;
use headcount_records::{EntryBody, RecordBody, TimelineBody, describe};

/// The lines of a record: one, and below it why it failed and what was repaired.
pub(super) fn lines(record: &RecordBody) -> Vec<String> {
    let scim_type = record.scim_type.as_deref().map_or_else(String::new, |text| format!(" {text}"));
    let name = record.name.as_deref().map_or_else(String::new, |name| format!(" \"{name}\""));
    let filter = record.filter.as_deref().map_or_else(String::new, |filter| format!(" {filter}"));
    let mut lines = vec![format!(
        "{:>6}  {}  {}  {} {}{filter}  {}{scim_type}  {}{name}",
        record.number,
        moment(&record.at),
        record.sender,
        record.method,
        record.path,
        record.status,
        record.outcome,
    )];
    let mut below = |head: &str, text: &str| lines.push(format!("          {head}: {text}"));
    if let Some(refused) = &record.refused {
        let token = record.token.as_ref().or(record.token_id.as_ref());
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
    if let Some(advice) = &record.advice {
        below("what to do", advice);
    }
    for repair in &record.repairs {
        below("repaired", repair);
    }
    if let Some(others) = describe::unkept(record.unkept) {
        below("others", &others);
    }
    lines
}

/// Everything of a record.
pub(super) fn whole(record: &RecordBody) -> Vec<String> {
    let mut all = lines(record);
    let mut below = |head: &str, text: Option<&str>| {
        if let Some(text) = text {
            all.push(format!("          {head}: {text}"));
        }
    };
    below("request id", Some(&record.request));
    below("token", record.token_id.as_deref());
    below("from", record.address.as_deref());
    below("agent", record.agent.as_deref());
    below("took", Some(&format!("{} µs", record.micros)));
    below("sent", record.sent.as_deref());
    below("answered", record.answered.as_deref());
    all
}

/// A timeline for people.
pub(super) fn timeline(timeline: &TimelineBody) -> Vec<String> {
    let mut all = vec![timeline.summary.clone()];
    all.extend(timeline.what_to_do.as_ref().map(|text| format!("What to do: {text}")));
    for entry in &timeline.entries {
        all.push(String::new());
        all.extend(entry_lines(entry));
    }
    all
}

fn entry_lines(entry: &EntryBody) -> Vec<String> {
    let mut all = match &entry.request {
        Some(record) => lines(record),
        None => {
            let first = entry.changes.first();
            let by =
                first.map_or_else(|| "the server".to_owned(), |change| change.actor.to_string());
            vec![format!(
                "        {}  {by}  (the request is no longer in the log)",
                moment(&entry.at)
            )]
        }
    };
    for change in &entry.changes {
        all.push(format!("          {} {}, {}", change.kind, change.id, change.told));
    }
    all
}

fn moment(text: &str) -> String {
    Timestamp::parse(text).map_or_else(|| text.to_owned(), describe::moment)
}
