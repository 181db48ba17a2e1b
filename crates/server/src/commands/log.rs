//! `headcount log …`

mod shown;

use std::time::Duration;

use anyhow::{Context, bail};
use headcount_core::ids::TenantId;
use headcount_core::journal::{LogQuery, Logged, RequestLog as _, Storyteller};
use headcount_http_api::{record_json, story_json};
use headcount_token_admin::TenantStore as _;

use crate::cli::{self, Format};
use crate::config::Config;
use crate::output;
use crate::wiring::{self, Parts};

/// How often `--follow` looks.
const LOOK: Duration = Duration::from_millis(250);
/// Records that are read at once.
const PAGE: usize = 1_000;

pub(super) fn run(config: &Config, command: cli::Log, format: Format) -> anyhow::Result<()> {
    let parts = wiring::command(config)?;
    match command {
        cli::Log::Tail { tenant, failed, limit, follow } => {
            let tenant = tenant.map(|name| tenant_id(&parts, &name)).transpose()?;
            let query = LogQuery { tenant, failed, limit, ..LogQuery::default() };
            tail(&parts, &query, follow, format)
        }
        cli::Log::Show { id } => show(&parts, &id, format),
        cli::Log::Explain { name, tenant } => explain(&parts, &tenant, &name, format),
    }
}

fn tenant_id(parts: &Parts, name: &str) -> anyhow::Result<TenantId> {
    let tenant = parts.store.tenant(name)?;
    let tenant = tenant.with_context(|| {
        format!("there is no tenant \"{name}\"; `headcount tenant list` shows all")
    })?;
    Ok(tenant.id)
}

fn tail(parts: &Parts, query: &LogQuery, follow: bool, format: Format) -> anyhow::Result<()> {
    let mut latest = parts.log.requests(query)?;
    latest.reverse();
    if latest.is_empty() && !follow {
        output::note("the provisioning log is empty: no request has arrived that it still holds");
    }
    let mut after = 0;
    loop {
        for logged in &latest {
            print(logged, format);
            after = after.max(logged.seq);
        }
        if !follow {
            return Ok(());
        }
        std::thread::sleep(LOOK);
        let onward = LogQuery { after: Some(after), limit: PAGE, ..query.clone() };
        latest = parts.log.requests(&onward)?;
    }
}

fn print(logged: &Logged, format: Format) {
    match format {
        // One record a line, so that other programs can follow.
        Format::Json => output::result(&record_json(logged, false).to_string()),
        Format::Text => shown::lines(&logged.record, Some(logged.seq)).iter().for_each(|line| {
            output::result(line);
        }),
    }
}

fn show(parts: &Parts, id: &str, format: Format) -> anyhow::Result<()> {
    let found = match id.parse::<i64>() {
        Ok(seq) => {
            let query = LogQuery {
                after: Some(seq - 1),
                before: Some(seq.saturating_add(1)),
                limit: 1,
                ..LogQuery::default()
            };
            parts.log.requests(&query)?
        }
        Err(_) => parts.log.of_request(id)?,
    };
    if found.is_empty() {
        bail!("there is no request {id} in the log; `headcount log tail` shows the latest");
    }
    for logged in &found {
        match format {
            Format::Json => output::json(&record_json(logged, true)),
            Format::Text => shown::whole(logged).iter().for_each(|line| output::result(line)),
        }
    }
    Ok(())
}

fn explain(parts: &Parts, tenant: &str, name: &str, format: Format) -> anyhow::Result<()> {
    let tenant = tenant_id(parts, tenant)?;
    let storyteller = Storyteller {
        registry: &parts.registry,
        provider: &*parts.store,
        changes: &*parts.store,
        log: &*parts.log,
    };
    let story = storyteller.tell(tenant, name)?;
    match format {
        Format::Json => output::json(&story_json(&story)),
        Format::Text => shown::story_lines(&story).iter().for_each(|line| output::result(line)),
    }
    Ok(())
}
