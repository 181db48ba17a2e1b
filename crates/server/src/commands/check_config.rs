//! `headcount check-config`

use serde_json::json;

use crate::cli::Format;
use crate::config::Loaded;
use crate::{output, secret_files, wiring};

pub(super) fn run(loaded: &Loaded, format: Format) -> anyhow::Result<()> {
    // What can be checked without a database is checked.
    wiring::database(&loaded.config)?;
    super::serve::check(&loaded.config)?;
    for finding in secret_files::findings(loaded) {
        output::note(&finding);
    }
    if format == Format::Json {
        let values = loaded
            .origins
            .iter()
            .map(|(key, value, origin)| json!({"key": key, "value": value, "from": origin}));
        output::json(&json!({"settings": values.collect::<Vec<_>>()}));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = loaded
        .origins
        .iter()
        .map(|(key, value, origin)| vec![key.clone(), value.clone(), origin.clone()])
        .collect();
    output::table(&["SETTING", "VALUE", "FROM"], &rows);
    Ok(())
}
