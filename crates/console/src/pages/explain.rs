//! "Why was Jane not provisioned?"

use askama::Template;
use headcount_core::ids::{ResourceId, TenantId};
use headcount_records::timeline::{Entry, IdentityTimeline, TimelineReader, Verdict};
use headcount_records::{LogQuery, Logged, describe};

use super::log::Line;
use crate::answer::{Answer, Fault};
use crate::desk::{Desk, Frame};
use crate::format::{query, quote, time};

#[derive(Template)]
#[template(path = "explain.html")]
struct Page {
    frame: Frame,
    name: String,
    story: Option<Told>,
}

struct Told {
    good: bool,
    summary: String,
    what_to_do: String,
    present: Vec<(String, String)>,
    /// Where names that were not looked through are searched.
    wider: Option<String>,
    entries: Vec<Event>,
}

/// One thing that happened.
pub(crate) struct Event {
    pub(crate) time: String,
    pub(crate) line: Option<Line>,
    pub(crate) changes: Vec<String>,
    pub(crate) by: String,
}

/// Tells what is known of a name or an id.
fn tell(desk: &Desk<'_>, tenant: TenantId, name: &str) -> Result<IdentityTimeline, Fault> {
    let service = &desk.console.api.service;
    let reader = TimelineReader {
        registry: &service.registry,
        provider: &*service.provider,
        changes: &*desk.console.changes,
        log: &*desk.console.log,
        work: &desk.work,
    };
    Ok(reader.read(tenant, name)?)
}

/// What happened to one resource and what was asked about it by its id, oldest first, at most `most`.
pub(crate) fn timeline(
    desk: &Desk<'_>,
    tenant: TenantId,
    id: &ResourceId,
    most: usize,
) -> Result<Vec<Entry>, Fault> {
    let name = Some(headcount_core::index::fold(id.as_str()));
    let query = LogQuery { tenant: Some(tenant), name, limit: most, ..LogQuery::default() };
    let requests = desk.console.log.requests(&query, &desk.work)?;
    let entry = |logged: Logged| Entry {
        at: logged.record.at,
        request: Some(logged),
        changes: Vec::new(),
        own: true,
    };
    let mut entries: Vec<Entry> = requests.into_iter().map(entry).collect();
    for change in desk.console.changes.history(tenant, id, most, &desk.work)? {
        let made = |entry: &&mut Entry| {
            entry.request.as_ref().is_some_and(|logged| {
                logged.record.request == change.change.request
                    && logged.record.resource.as_ref() == Some(&change.id)
            })
        };
        match entries.iter_mut().find(made) {
            Some(entry) => entry.changes.push(change),
            None => {
                let at = change.change.at;
                entries.push(Entry { at, request: None, changes: vec![change], own: true });
            }
        }
    }
    entries.sort_by_key(|entry| (entry.at, entry.request.as_ref().map_or(0, |logged| logged.seq)));
    Ok(entries.split_off(entries.len().saturating_sub(most)))
}

/// Turns the entries of a story into events, newest first.
pub(crate) fn events(desk: &Desk<'_>, entries: &[Entry]) -> Vec<Event> {
    let event = |entry: &Entry| Event {
        time: time(entry.at),
        line: entry.request.as_ref().map(|logged| Line::of(logged, desk.now)),
        changes: entry.changes.iter().map(describe::change).collect(),
        by: entry.changes.first().map_or_else(String::new, |one| one.change.actor.to_string()),
    };
    entries.iter().rev().map(event).collect()
}

fn told(desk: &Desk<'_>, name: &str) -> Result<Told, Fault> {
    let story = tell(desk, desk.tenant()?.id, name)?;
    let registry = &desk.console.api.service.registry;
    let link = |kind: &str, id: &ResourceId| {
        let endpoint = registry.kind(kind).map(|kind| kind.endpoint.clone()).unwrap_or_default();
        format!("/console/resources{endpoint}/{id}")
    };
    let present = story.present.iter().map(|present| {
        let name = present.name.clone().unwrap_or_else(|| present.id.to_string());
        (format!("{} {name}", present.kind), link(present.kind.as_str(), &present.id))
    });
    Ok(Told {
        good: story.verdict == Verdict::Present,
        summary: story.summary(),
        what_to_do: story.what_to_do().unwrap_or_default(),
        present: present.collect(),
        wider: (story.unread && story.present.is_empty())
            .then(|| format!("/console/resources/Users{}", query(&[("q", name), ("in", "all")]))),
        entries: events(desk, &story.entries),
    })
}

/// The page.
pub(crate) fn show(desk: &Desk<'_>) -> Result<Answer, Fault> {
    let name = desk.visit.query.get("name");
    let story = if name.is_empty() { None } else { Some(told(desk, name)?) };
    let tenant = quote(&desk.tenant()?.name);
    let shown = if name.is_empty() { "jane@example.com" } else { name };
    let command = desk.command(&format!("log explain {} --tenant {tenant}", quote(shown)));
    Answer::page(&Page {
        frame: desk.frame("Explain", "explain").at_the_command_line(vec![command]),
        name: name.to_owned(),
        story,
    })
}
