//! The commands.

mod admin;
mod audit;
mod check_config;
mod duplicates;
mod events;
mod log;
mod migrate;
mod schema;
mod serve;
mod source;
mod tenant;
mod token;

use std::time::Duration;

use anyhow::bail;

use crate::cli::{self, Cli, Command};
use crate::config;

/// Runs a command.
pub(crate) fn run(cli: Cli) -> anyhow::Result<()> {
    let serve = match &cli.command {
        Command::Serve(serve) => Some(serve),
        _ => None,
    };
    let loaded = config::load(&cli.common, serve)?;
    let output = cli.common.output;
    match cli.command {
        Command::Serve(_) => serve::run(&loaded, &cli.common),
        Command::Token(command) => token::run(&loaded.config, command, output),
        Command::Tenant(command) => tenant::run(&loaded.config, command, output),
        Command::Events { origin, command } => {
            events::run(&*source::open(&loaded.config, &cli.common, &origin)?, command, output)
        }
        Command::Log { origin, command } => {
            log::run(&*source::open(&loaded.config, &cli.common, &origin)?, command, output)
        }
        Command::Admin(command) => admin::run(&loaded.config, command, output),
        Command::Audit(command) => audit::run(&loaded.config, command, output),
        Command::Schema(cli::Schema::Check { files }) => schema::check(&files, output),
        Command::Reindex => schema::reindex(&loaded.config, output),
        Command::Duplicates => duplicates::run(&loaded.config, output),
        Command::Migrate => migrate::run(&loaded.config, output),
        Command::CheckConfig => check_config::run(&loaded, output),
    }
}

/// Reads a span of time such as `180d`, `12h`, `30m` or `45s`.
fn span(text: &str) -> anyhow::Result<Duration> {
    let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let read = units.iter().find_map(|(unit, factor)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(*factor)
    });
    match read {
        Some(seconds) => Ok(Duration::from_secs(seconds)),
        None => bail!("\"{text}\" is not a span of time such as 180d, 12h, 30m or 45s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time_have_a_unit() {
        for (text, seconds) in [("180d", 180 * 86_400), ("24h", 86_400), ("0s", 0)] {
            assert_eq!(span(text).unwrap(), Duration::from_secs(seconds));
        }
        for wrong in ["", "10", "d", "-1d", "1w", "99999999999999999999d", "999999999999999d"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }
}
