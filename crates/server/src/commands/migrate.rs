//! `headcount migrate`

use headcount_store_diesel::{OlderSchema, SchemaState, Settings, Store};
use serde_json::json;

use crate::cli::Format;
use crate::config::Config;
use crate::output;
use crate::wiring;

pub(super) fn run(config: &Config, format: Format) -> anyhow::Result<()> {
    let settings = Settings::command(wiring::database(config)?);
    let before = Store::schema_state(&settings)?;
    let applied = match &before {
        SchemaState::Current => Vec::new(),
        SchemaState::Behind(missing) => missing.clone(),
        SchemaState::Empty | SchemaState::Ahead(_) => vec!["all".to_owned()],
    };
    drop(Store::open(&settings, &[], OlderSchema::Migrate)?);
    match format {
        Format::Json => {
            output::json(&json!({"database": settings.url.to_string(), "applied": applied}));
        }
        Format::Text if applied.is_empty() => output::note("the database is up to date"),
        Format::Text => output::note(&format!("{} is up to date now", settings.url)),
    }
    Ok(())
}
