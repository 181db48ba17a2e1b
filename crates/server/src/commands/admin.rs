//! `headcount admin …`

use std::path::PathBuf;

use anyhow::Context;
use headcount_core::change::Actor;
use headcount_store_diesel::DatabaseUrl;
use headcount_token_admin::accounts::{Admin, Link};
use headcount_token_admin::{AdminError, Principal, Rule};
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::cli::{self, Format};
use crate::config::Config;
use crate::output;
use crate::private_file;
use crate::system::author;
use crate::wiring::{self, Parts};

/// The name under which the address of the server is stored for other processes, which need not have its settings:
/// the public one, or that on which it listens.
const ADDRESS: &str = "console.address";

pub(super) fn run(config: &Config, command: cli::Admin, format: Format) -> anyhow::Result<()> {
    let parts = wiring::command(config)?;
    let (accounts, by) = (&parts.accounts, Principal::operator(author(Actor::Cli)));
    match command {
        cli::Admin::SetupLink => {
            let link = accounts.setup_link(&by)?;
            show(config, &parts, &link, format, "make the first account")
        }
        cli::Admin::Recover { name } => {
            let link = accounts.recovery_link(&by, &name).map_err(missing)?;
            show(config, &parts, &link, format, "choose a new password")
        }
        cli::Admin::List => list(&accounts.admins(&by)?, format),
        cli::Admin::Invite { name, role } => {
            let link = accounts.invitation(&by, &name, role)?;
            show(config, &parts, &link, format, &format!("make the account {name}"))
        }
        cli::Admin::Role { name, role } => {
            accounts.set_role(&by, &name, role).map_err(missing)?;
            output::note(&format!("{name} is {role} now; all sessions of the account have ended"));
            Ok(())
        }
        cli::Admin::Remove { name } => {
            accounts.remove(&by, &name).map_err(missing)?;
            output::note(&format!("removed the account {name}"));
            Ok(())
        }
        cli::Admin::LogOut { name } => {
            accounts.log_out_everywhere(&by, name.as_deref()).map_err(missing)?;
            output::note("the sessions have ended on every replica");
            Ok(())
        }
    }
}

fn missing(error: AdminError) -> anyhow::Error {
    match error {
        AdminError::Rule { rule: Rule::Missing(_), .. } => {
            anyhow::anyhow!("{error}; `headcount admin list` shows all")
        }
        other => other.into(),
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
    // A listener of its own is not what the public URL reaches.
    let public = config.http.public_url.as_deref().filter(|_| config.http.admin_listen.is_none());
    let public = public.map(|url| url.trim_end_matches('/').to_owned());
    let base = match public {
        Some(url) => url,
        None => parts.store.meta(ADDRESS)?.context(
            "the address of the console is not known, because the server has not run yet; start `headcount serve` first, or set http.public_url",
        )?,
    };
    Ok(format!("{base}/console/setup/{}", link.secret.expose_secret()))
}

fn list(admins: &[Admin], format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        let admins: Vec<_> = admins
            .iter()
            .map(|admin| {
                json!({
                    "name": admin.name,
                    "role": admin.role.word(),
                    "secondFactor": admin.second_factor,
                    "created": admin.created.to_string(),
                    "lastLogin": admin.last_login.map(|at| at.to_string()),
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
            let last = admin.last_login.map_or_else(|| "never".to_owned(), |at| at.to_string());
            vec![admin.name.clone(), admin.role.to_string(), codes.to_owned(), last]
        })
        .collect();
    output::table(&["NAME", "ROLE", "CODES", "LAST LOG-IN (UTC)"], &rows);
    Ok(())
}

/// Shows the link for the first account, while there is none: on the terminal if there is one, else in a file
/// that only this user can read. A link is never logged.
pub(super) fn invite_first(
    config: &Config,
    parts: &Parts,
    address: &str,
    terminal: bool,
) -> anyhow::Result<()> {
    parts.store.set_meta(ADDRESS, address)?;
    let file = file(config)?;
    if parts.accounts.any_admin()? {
        // A link that was never opened is of no more use.
        drop(std::fs::remove_file(file));
        return Ok(());
    }
    let by = Principal::operator(author(Actor::System));
    let url = match parts.accounts.setup_link(&by) {
        Ok(link) => url(config, parts, &link)?,
        // Another replica was faster, and its link was used.
        Err(AdminError::Rule { rule: Rule::NotFirst, .. }) => return Ok(()),
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

/// Returns the file for the link, next to the database.
fn file(config: &Config) -> anyhow::Result<PathBuf> {
    Ok(match wiring::database(config)? {
        DatabaseUrl::Sqlite(path) => PathBuf::from(format!("{}-setup-link", path.display())),
        DatabaseUrl::Postgres(_) => PathBuf::from("headcount-setup-link"),
    })
}
