//! `headcount events …`

use anyhow::bail;
use headcount_records::EventBody;

use super::source::{Begin, Events, Onward, Page, Source, follow};
use crate::cli::{self, EventsTail, Format};
use crate::output;

/// Events that are read at a time.
const READ_BATCH: usize = 500;

pub(super) fn run(source: &dyn Source, command: cli::Events, format: Format) -> anyhow::Result<()> {
    let cli::Events::Tail(EventsTail { tenant, after, types, follow: goes_on, limit }) = command;
    let wanted = Events { tenant, types };
    let first = match after {
        None => source.events(&wanted, Begin::Newest, limit)?,
        Some(cursor) => behind(source, &wanted, cursor, limit)?,
    };
    if !print(&first.events, format) {
        return Ok(());
    }
    if !goes_on {
        if first.events.is_empty() {
            bail!("there are no such events");
        }
        return Ok(());
    }
    let mut cursor = first.next;
    follow(|| {
        let page = source.events(&wanted, Begin::Following(&cursor), READ_BATCH)?;
        cursor = page.next;
        Ok(match print(&page.events, format) {
            false => Onward::Stop,
            true if page.more => Onward::NOW,
            true => Onward::SOON,
        })
    })
}

/// Reads events behind a cursor until there are enough, or no more.
fn behind(
    source: &dyn Source,
    wanted: &Events,
    cursor: String,
    limit: usize,
) -> anyhow::Result<Page> {
    let mut all = Page { events: Vec::new(), next: cursor, more: true };
    while all.more && all.events.len() < limit {
        let room = (limit - all.events.len()).min(READ_BATCH);
        let page = source.events(wanted, Begin::After(&all.next), room)?;
        (all.next, all.more) = (page.next, page.more);
        all.events.extend(page.events);
    }
    Ok(all)
}

/// Prints events; false when the reader has closed the pipe.
fn print(events: &[EventBody], format: Format) -> bool {
    events.iter().all(|event| {
        output::line(&match format {
            Format::Json => serde_json::to_value(event).unwrap_or_default().to_string(),
            Format::Text => output::plain(&text(event)),
        })
    })
}

/// An event on one line.
fn text(event: &EventBody) -> String {
    let at: String = event.at.chars().take(19).collect();
    let about = match &event.member {
        Some(member) => format!("member {member}"),
        None => event.attributes.join(" "),
    };
    let (id, kind, resource, actor) = (&event.id, &event.kind, &event.resource.id, &event.actor);
    let line = format!("{at}Z  {id:<8}  {kind:<20}  {resource}  by {actor}  {about}");
    line.trim_end().to_owned()
}
