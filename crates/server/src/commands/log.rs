//! `headcount log …`

mod shown;

use anyhow::bail;
use headcount_records::RecordBody;
use serde::Serialize;
use serde_json::Value;

use super::source::{Onward, Requests, Source, follow};
use crate::cli::{self, Format};
use crate::output;

pub(super) fn run(source: &dyn Source, command: cli::Log, format: Format) -> anyhow::Result<()> {
    match command {
        cli::Log::Tail { tenant, failed, limit, follow } => {
            let tail = Tail { source, wanted: Requests { tenant, failed }, format };
            tail.run(limit, follow)
        }
        cli::Log::Show { id } => show(source, &id, format),
        cli::Log::Explain { name, tenant } => explain(source, tenant.as_deref(), &name, format),
    }
}

/// Prints requests as they come.
struct Tail<'a> {
    source: &'a dyn Source,
    wanted: Requests,
    format: Format,
}

impl Tail<'_> {
    fn run(&self, limit: usize, goes_on: bool) -> anyhow::Result<()> {
        // Without any old ones, following still begins behind them.
        let latest = self.source.latest(&self.wanted, limit.max(1))?;
        let mut number = latest.last().map_or(0, |record| record.number);
        if latest.is_empty() && !goes_on {
            output::note(
                "the provisioning log contains no such request; provisioning_log.keep_days and keep_bytes limit how long requests are kept",
            );
        }
        let shown = latest.get(latest.len().saturating_sub(limit)..).unwrap_or_default();
        if !self.print(shown) || !goes_on {
            return Ok(());
        }
        follow(|| {
            let found = self.source.since(&self.wanted, number)?;
            number = found.last().map_or(number, |record| record.number);
            Ok(if self.print(&found) { Onward::SOON } else { Onward::Stop })
        })
    }

    /// Prints records; false when the reader has closed the pipe.
    fn print(&self, records: &[RecordBody]) -> bool {
        records.iter().all(|record| match self.format {
            // One record a line, so that other programs can follow.
            Format::Json => output::line(&json(record).to_string()),
            Format::Text => {
                shown::lines(record).iter().all(|line| output::line(&output::plain(line)))
            }
        })
    }
}

fn show(source: &dyn Source, id: &str, format: Format) -> anyhow::Result<()> {
    let found = source.request(id)?;
    if found.is_empty() {
        bail!("there is no request {id} in the log; `headcount log tail` shows the latest");
    }
    for record in &found {
        match format {
            Format::Json => output::json(&json(record)),
            Format::Text => print(&shown::whole(record)),
        }
    }
    Ok(())
}

fn explain(
    source: &dyn Source,
    tenant: Option<&str>,
    name: &str,
    format: Format,
) -> anyhow::Result<()> {
    let timeline = source.timeline(tenant, name)?;
    match format {
        Format::Json => output::json(&json(&timeline)),
        Format::Text => print(&shown::timeline(&timeline)),
    }
    Ok(())
}

fn print(lines: &[String]) {
    lines.iter().for_each(|line| output::result(&output::plain(line)));
}

fn json(body: &impl Serialize) -> Value {
    serde_json::to_value(body).unwrap_or_default()
}
