//! `headcount duplicates`

use serde_json::json;

use crate::cli::Format;
use crate::config::Config;
use crate::{output, wiring};

/// Duplicates that are listed.
const MAX_LISTED: usize = 10_000;

pub(super) fn run(config: &Config, format: Format) -> anyhow::Result<()> {
    let duplicates = wiring::command(config)?.store.duplicates(MAX_LISTED)?;
    match format {
        Format::Json => {
            let list: Vec<_> = duplicates
                .iter()
                .map(|one| {
                    json!({
                        "tenant": one.tenant,
                        "kind": one.kind.as_str(),
                        "id": one.id.as_str(),
                        "attribute": one.path,
                        "older": one.older.as_ref().map(|older| older.as_str()),
                    })
                })
                .collect();
            output::json(&json!({"duplicates": list}));
        }
        Format::Text if duplicates.is_empty() => output::note("every name is unique"),
        Format::Text => {
            let rows: Vec<Vec<String>> = duplicates
                .into_iter()
                .map(|one| {
                    let older = one.older.map_or_else(|| "-".to_owned(), |older| older.to_string());
                    vec![one.tenant, one.kind.to_string(), one.id.to_string(), one.path, older]
                })
                .collect();
            output::table(&["TENANT", "KIND", "ID", "ATTRIBUTE", "OLDER ONE"], &rows);
        }
    }
    Ok(())
}
