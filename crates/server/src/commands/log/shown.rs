//! Records and timelines, for people.

use headcount_core::clock::Timestamp;
use headcount_records::{EntryBody, RecordBody, TimelineBody, describe};

/// Returns the lines of a record: one, and below it why it failed and what was repaired.
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
    let refused = record.refused.as_ref().map(|refused| {
        match record.token.as_ref().or(record.token_id.as_ref()) {
            Some(token) => format!("{refused} ({token})"),
            None => refused.clone(),
        }
    });
    lines.extend(detail("token", refused.as_deref()));
    lines.extend(detail("rejected", record.field.as_deref()));
    lines.extend(detail("reason", record.reason.as_deref()));
    lines.extend(detail("what to do", record.advice.as_deref()));
    lines.extend(record.repairs.iter().filter_map(|repair| detail("repaired", Some(repair))));
    lines.extend(detail("others", describe::unkept(record.unkept).as_deref()));
    lines
}

/// Returns a line below a record.
fn detail(head: &str, text: Option<&str>) -> Option<String> {
    text.map(|text| format!("          {head}: {text}"))
}

/// Returns all lines of a record.
pub(super) fn whole(record: &RecordBody) -> Vec<String> {
    let mut all = lines(record);
    let took = format!("{} µs", record.micros);
    let details = [
        detail("request id", Some(&record.request)),
        detail("token", record.token_id.as_deref()),
        detail("from", record.address.as_deref()),
        detail("agent", record.agent.as_deref()),
        detail("took", Some(&took)),
        detail("sent", record.sent.as_deref()),
        detail("answered", record.answered.as_deref()),
    ];
    all.extend(details.into_iter().flatten());
    all
}

/// Returns the lines of a timeline.
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
    all.extend(entry.membership.as_ref().map(|text| format!("          {text}")));
    for change in &entry.changes {
        all.push(format!("          {} {}, {}", change.kind, change.id, change.told));
    }
    all
}

fn moment(text: &str) -> String {
    Timestamp::parse(text).map_or_else(|| text.to_owned(), describe::moment)
}
