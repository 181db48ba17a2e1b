//! `headcount admin …`

use std::path::PathBuf;

use anyhow::Context;
use headcount_core::change::Actor;
use headcount_store_diesel::DatabaseUrl;
use headcount_token_admin::accounts::{AccountError, Link};
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::cli::{self, Format};
use crate::config::Config;
use crate::machine::author;
use crate::output;
use crate::private_file;
use crate::wiring::{self, Parts};

/// The name under which the address of the server is kept for other processes.
const ADDRESS: &str = "console.address";

pub(super) fn run(config: &Config, command: cli::Admin, format: Format) -> anyhow::Result<()> {
    let parts = wiring::command(config)?;
    match command {
        cli::Admin::SetupLink => {
            let link = parts.accounts.setup_link()?;
            show(config, &parts, &link, format, "make the first account")
        }
        cli::Admin::Recover { name } => {
            let link = parts.accounts.recovery_link(&name).map_err(|error| match error {
                AccountError::Missing => anyhow::anyhow!(
                    "there is no account \"{name}\"; `headcount admin list` shows all"
                ),
                other => other.into(),
            })?;
            show(config, &parts, &link, format, "choose a new password")
        }
        cli::Admin::List => list(&parts, format),
        cli::Admin::Invite { name, role } => {
            let link = parts.accounts.invitation(&name, role)?;
            show(config, &parts, &link, format, &format!("make the account {name}"))
        }
        cli::Admin::Role { name, role } => {
            parts.accounts.set_role(&name, role, &author(Actor::Cli))?;
            output::note(&format!("{name} is {role} now; all sessions of the account have ended"));
            Ok(())
        }
        cli::Admin::Remove { name } => {
            parts.accounts.remove(&name, &author(Actor::Cli))?;
            output::note(&format!("the account {name} is removed"));
            Ok(())
        }
        cli::Admin::LogOut { name } => {
            let by = author(Actor::Cli);
            // Ending the sessions of nobody would look like success.
            if let Some(name) = &name
                && !parts.accounts.admins()?.iter().any(|admin| admin.name == *name)
            {
                return Err(AccountError::Missing.into());
            }
            parts.accounts.log_out_everywhere(name.as_deref(), &by)?;
            output::note("the sessions have ended on every replica");
            Ok(())
        }
    }
}

fn show(
    config: &Config,
    parts: &Parts,
    link: &Link,
    format: Format,
    what: &str,
) -> anyhow::Result<()> {
    let url = url(config, parts, link)?;
    if format == Format::Json {
        output::json(&json!({"url": url, "expires": link.expires.to_string()}));
        return Ok(());
    }
    output::note(&format!("Open this link to {what}. It works once, until {}:", link.expires));
    output::result(&url);
    Ok(())
}

fn url(config: &Config, parts: &Parts, link: &Link) -> anyhow::Result<String> {
    let public = config.http.public_url.as_deref().map(|url| url.trim_end_matches('/').to_owned());
    let base = match public {
        Some(url) => url,
        None => parts.store.recalled(ADDRESS)?.context(
            "the server has not listened anywhere yet, so that the address of the console is not known; start `headcount serve` first, or set http.public_url",
        )?,
    };
    Ok(format!("{base}/console/setup/{}", link.secret.expose_secret()))
}

fn list(parts: &Parts, format: Format) -> anyhow::Result<()> {
    let admins = parts.accounts.admins()?;
    let last =
        |admin: &headcount_token_admin::accounts::Admin| admin.last_login.map(|at| at.to_string());
    if format == Format::Json {
        let admins: Vec<_> = admins
            .iter()
            .map(|admin| {
                json!({
                    "name": admin.name,
                    "role": admin.role.word(),
                    "secondFactor": admin.second_factor,
                    "created": admin.created.to_string(),
                    "lastLogin": last(admin),
                })
            })
            .collect();
        output::json(&json!({"admins": admins}));
        return Ok(());
    }
    if admins.is_empty() {
        output::note(
            "there is no account yet; make one with the link of `headcount admin setup-link`",
        );
        return Ok(());
    }
    let rows: Vec<Vec<String>> = admins
        .iter()
        .map(|admin| {
            let codes = if admin.second_factor { "yes" } else { "no" };
            let last = last(admin).unwrap_or_else(|| "never".to_owned());
            vec![admin.name.clone(), admin.role.to_string(), codes.to_owned(), last]
        })
        .collect();
    output::table(&["NAME", "ROLE", "CODES", "LAST LOG-IN (UTC)"], &rows);
    Ok(())
}

/// Tells how to make the first account, while there is none: on the terminal when there is one, else in
/// a file that only this user can read. A link never goes into a log.
pub(super) fn invite_first(
    config: &Config,
    parts: &Parts,
    address: &str,
    terminal: bool,
) -> anyhow::Result<()> {
    parts.store.remember(ADDRESS, address)?;
    let file = file(config)?;
    if parts.accounts.any_admin()? {
        // A link that was never opened is of no use any more.
        drop(std::fs::remove_file(file));
        return Ok(());
    }
    let url = match parts.accounts.setup_link() {
        Ok(link) => url(config, parts, &link)?,
        // Another replica was faster, and somebody used its link.
        Err(AccountError::NotFirst) => return Ok(()),
        Err(other) => return Err(other.into()),
    };
    if terminal {
        output::note("open the console and make the first account with this link, within an hour:");
        output::note(&format!("    {url}"));
        return Ok(());
    }
    private_file::replace(&file, &format!("{url}\n"))?;
    output::note(&format!(
        "there is no account for the console yet; the link to make one is in {}",
        file.display()
    ));
    Ok(())
}

/// The file beside the database that holds the link.
fn file(config: &Config) -> anyhow::Result<PathBuf> {
    Ok(match wiring::database(config)? {
        DatabaseUrl::Sqlite(path) => PathBuf::from(format!("{}-setup-link", path.display())),
        DatabaseUrl::Postgres(_) => PathBuf::from("headcount-setup-link"),
    })
}
