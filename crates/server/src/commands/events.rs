//! `headcount events …`

use std::time::Duration;

use anyhow::{Context, bail};
use headcount_core::ids::TenantId;
use headcount_core::journal::ChangeFeed as _;
use headcount_core::journal::events::{Event, EventId, unfold};
use headcount_core::journal::feed::{Wanted, read_events};
use headcount_http_api::event_json;
use headcount_token_admin::TenantStore as _;

use crate::cli::{self, EventsTail, Format};
use crate::config::Config;
use crate::output;
use crate::wiring::{self, Parts};

/// How often one who follows looks for more.
const LOOK: Duration = Duration::from_millis(250);
/// Events that are read at a time.
const PART: usize = 500;
/// Changes that are searched at most for the newest events of some types.
const MOST: usize = 20_000;

pub(super) fn run(config: &Config, command: cli::Events, format: Format) -> anyhow::Result<()> {
    let cli::Events::Tail(tail) = command;
    let parts = wiring::command(config)?;
    let tenant = parts.store.tenant(&tail.tenant)?;
    let tenant = tenant
        .with_context(|| {
            format!("there is no tenant \"{}\"; `headcount tenant list` shows all", tail.tenant)
        })?
        .id;
    let wanted = match &tail.types {
        None => Wanted::default(),
        Some(text) => Wanted::parse(&parts.registry, text)
            .map_err(|reason| anyhow::anyhow!("--types: {reason}"))?,
    };
    let reader = Reader { parts, tenant, wanted, format };
    let (told, mut cursor) = reader.first(&tail)?;
    if !reader.print(&told) {
        return Ok(());
    }
    if !tail.follow {
        if told.is_empty() {
            bail!("there are no such events in the tenant \"{}\"", tail.tenant);
        }
        return Ok(());
    }
    loop {
        let batch = read_events(&*reader.parts.store, tenant, cursor, PART, &reader.wanted)?;
        cursor = batch.next;
        if !reader.print(&batch.events) {
            return Ok(());
        }
        if !batch.more {
            std::thread::sleep(LOOK);
        }
    }
}

/// Reads and prints events of one tenant.
struct Reader {
    parts: Parts,
    tenant: TenantId,
    wanted: Wanted,
    format: Format,
}

impl Reader {
    /// Returns what is printed first, and the cursor behind it.
    fn first(&self, tail: &EventsTail) -> anyhow::Result<(Vec<Event>, EventId)> {
        let Some(text) = &tail.after else {
            return self.newest(tail.limit);
        };
        let mut cursor = EventId::parse(text)
            .with_context(|| format!("--after \"{text}\" is no id of an event, and not 0"))?;
        let mut told = Vec::new();
        loop {
            let room = tail.limit.saturating_sub(told.len());
            if room == 0 {
                return Ok((told, cursor));
            }
            let store = &*self.parts.store;
            let batch = read_events(store, self.tenant, cursor, room.min(PART), &self.wanted)?;
            cursor = batch.next;
            told.extend(batch.events);
            if !batch.more {
                return Ok((told, cursor));
            }
        }
    }

    /// Returns the newest events that are wanted, oldest first.
    fn newest(&self, limit: usize) -> anyhow::Result<(Vec<Event>, EventId)> {
        let mut part = limit.clamp(1, MOST);
        loop {
            let changes = self.parts.store.newest_changes(self.tenant, part)?;
            let events: Vec<Event> = changes.iter().flat_map(unfold).collect();
            let cursor = events.last().map_or(EventId::START, |event| event.id);
            let mut told = events;
            told.retain(|event| self.wanted.wants(&event.event_type()));
            if told.len() >= limit || changes.len() < part || part >= MOST {
                told.drain(..told.len().saturating_sub(limit));
                return Ok((told, cursor));
            }
            part = part.saturating_mul(8).min(MOST);
        }
    }

    /// Prints events; false when nobody reads them any more.
    fn print(&self, events: &[Event]) -> bool {
        events.iter().all(|event| {
            output::line(&match self.format {
                Format::Json => event_json(&self.parts.registry, event).to_string(),
                Format::Text => text(event),
            })
        })
    }
}

/// An event on one line.
fn text(event: &Event) -> String {
    let at: String = event.at.to_string().chars().take(19).collect();
    let about = match &event.member {
        Some(member) => format!("member {member}"),
        None => event.attributes.join(" "),
    };
    let (id, kind, resource) = (event.id.to_string(), event.event_type(), &event.resource);
    let line = format!("{at}Z  {id:<8}  {kind:<20}  {resource}  by {}  {about}", event.actor);
    line.trim_end().to_owned()
}
