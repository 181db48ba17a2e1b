//! Why a person is here, or not.

use askama::Template;
use headcount_records::describe;
use headcount_records::timeline::{Entry, Membership, TimelineReader, Verdict};

use super::log::LogLine;
use crate::context::{Layout, PageContext};
use crate::error::PageError;
use crate::format::{query, quote, time};
use crate::response::PageResponse;

#[derive(Template)]
#[template(path = "explain.html")]
struct ExplainPage {
    layout: Layout,
    name: String,
    explanation: Option<Explanation>,
}

struct Explanation {
    /// Whether the identity is here.
    good: bool,
    summary: String,
    what_to_do: String,
    /// The address of the switch that allows what was refused; empty when there is none.
    switch: String,
    /// The resources that have the name: label and address.
    present: Vec<(String, String)>,
    /// The address of the search in names that were not read.
    wider: Option<String>,
    events: Vec<Event>,
}

/// A request with its changes, or changes without a request.
pub(crate) struct Event {
    pub(crate) time: String,
    pub(crate) line: Option<LogLine>,
    pub(crate) changes: Vec<String>,
    pub(crate) by: String,
    /// Whether the request added the identity to a group or removed it.
    pub(crate) membership: String,
}

/// Returns what reads timelines.
pub(crate) fn reader<'c>(ctx: &'c PageContext<'_>) -> TimelineReader<'c> {
    let service = &ctx.console.api.service;
    TimelineReader {
        registry: &service.registry,
        provider: &*service.provider,
        changes: &*ctx.console.changes,
        log: &*ctx.console.log,
        work: &ctx.work,
    }
}

/// Returns the entries of a timeline as events, newest first.
pub(crate) fn events(ctx: &PageContext<'_>, entries: &[Entry]) -> Vec<Event> {
    entries
        .iter()
        .rev()
        .map(|entry| Event {
            time: time(entry.at),
            line: entry.request.as_ref().map(|logged| LogLine::new(ctx, logged)),
            changes: entry.changes.iter().map(describe::change).collect(),
            by: entry
                .changes
                .first()
                .map_or_else(String::new, |recorded| recorded.change.actor.to_string()),
            membership: entry.membership.as_ref().map_or_else(String::new, Membership::describe),
        })
        .collect()
}

fn explain(ctx: &PageContext<'_>, name: &str) -> Result<Explanation, PageError> {
    let registry = &ctx.console.api.service.registry;
    let timeline = reader(ctx).read(ctx.tenant()?.id, name)?;
    let mut present = Vec::new();
    for found in &timeline.present {
        let name = found.name.clone().unwrap_or_else(|| found.id.to_string());
        let kind = registry.kind(found.kind.as_str());
        let endpoint = kind.map(|kind| kind.endpoint.as_str()).unwrap_or_default();
        let href = format!("/console/resources{endpoint}/{}", found.id);
        present.push((format!("{} {name}", found.kind), href));
    }
    let what_to_do = timeline.what_to_do_in(&quote(&ctx.tenant()?.name)).unwrap_or_default();
    let mut events = events(ctx, &timeline.entries);
    // The advice that is given once at the top is not repeated at the request.
    let mut lines = events.iter_mut().filter_map(|event| event.line.as_mut());
    let repeated = lines.find(|line| !line.advice.is_empty() && what_to_do.ends_with(&line.advice));
    let switch = repeated.map_or_else(String::new, |line| {
        line.advice.clear();
        std::mem::take(&mut line.switch)
    });
    Ok(Explanation {
        good: timeline.verdict == Verdict::Present && timeline.later_refusal().is_none(),
        summary: timeline.summary(),
        what_to_do,
        switch,
        wider: (timeline.unread && present.is_empty())
            .then(|| format!("/console/resources/Users{}", query(&[("q", name), ("in", "all")]))),
        present,
        events,
    })
}

/// Shows the page.
pub(crate) fn show(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    let name = ctx.request.query.get("name");
    let explanation = if name.is_empty() { None } else { Some(explain(ctx, name)?) };
    let tenant = quote(&ctx.tenant()?.name);
    let example = if name.is_empty() { "jane@example.com" } else { name };
    let command = ctx.command(&format!("log explain {} --tenant {tenant}", quote(example)));
    PageResponse::render(&ExplainPage {
        layout: ctx.layout("Explain", "explain").with_commands(vec![command]),
        name: name.to_owned(),
        explanation,
    })
}
