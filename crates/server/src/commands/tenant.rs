//! `headcount tenant …`

use anyhow::bail;
use headcount_core::clock::Clock;
use headcount_core::journal::{Actor, RequestLog as _};
use headcount_core::quirks::{QUIRKS, Quirks};
use headcount_token_admin::{StoreError, Tenant, TenantStore};
use serde_json::{Value, json};

use crate::cli::{self, Format};
use crate::config::Config;
use crate::machine::{self, SystemClock};
use crate::output;
use crate::wiring;

pub(super) fn run(config: &Config, command: cli::Tenant, format: Format) -> anyhow::Result<()> {
    let parts = wiring::command(config)?;
    let store = &parts.store;
    let (now, by) = (SystemClock.now(), machine::author(Actor::Cli));
    match command {
        cli::Tenant::Create { name, quirks } => {
            if !Tenant::is_name(&name) {
                bail!(
                    "\"{name}\" is no name for a tenant; use lower-case letters, digits and hyphens"
                );
            }
            let created = store.create_tenant(&name, parse(&quirks)?, now, &by);
            let tenant = created.map_err(|error| match error {
                StoreError::Taken => anyhow::anyhow!("there is a tenant \"{name}\" already"),
                other => other.into(),
            })?;
            done(
                format,
                &describe(&tenant),
                &format!(
                    "tenant \"{name}\" is there; make a token with `headcount token create --tenant {name} --name NAME`"
                ),
            );
        }
        cli::Tenant::List => {
            let tenants = store.tenants()?;
            if format == Format::Json {
                output::json(&json!({"tenants": tenants.iter().map(describe).collect::<Vec<_>>()}));
                return Ok(());
            }
            let rows: Vec<Vec<String>> = tenants
                .iter()
                .map(|tenant| {
                    let state = if tenant.enabled { "enabled" } else { "disabled" };
                    vec![
                        tenant.name.clone(),
                        state.to_owned(),
                        switches(tenant.quirks),
                        tenant.created.to_string(),
                    ]
                })
                .collect();
            output::table(&["NAME", "STATE", "QUIRKS", "CREATED"], &rows);
        }
        cli::Tenant::Set { name, quirks, enabled } => {
            let Some(tenant) = store.tenant(&name)? else { bail!("there is no tenant \"{name}\"") };
            let quirks = quirks.map_or(Ok(tenant.quirks), |text| parse(&text))?;
            let enabled = enabled.unwrap_or(tenant.enabled);
            wiring::keep_unique(&parts, &tenant, quirks)?;
            store.set_tenant(&name, enabled, quirks, now, &by)?;
            done(
                format,
                &describe(&Tenant { quirks, enabled, ..tenant }),
                &format!("tenant \"{name}\" is changed"),
            );
        }
        cli::Tenant::Delete { name, yes } => {
            if name == Tenant::DEFAULT {
                bail!(
                    "the tenant \"default\" stays; switch it off with `headcount tenant set default --enabled false`"
                );
            }
            if !yes {
                bail!(
                    "this deletes every user, group and token of \"{name}\" for good; add --yes to do it"
                );
            }
            let Some(tenant) = store.tenant(&name)? else { bail!("there is no tenant \"{name}\"") };
            if !store.delete_tenant(&name, now, &by)? {
                bail!("there is no tenant \"{name}\"");
            }
            parts.log.forget(tenant.id)?;
            done(
                format,
                &json!({"name": name, "deleted": true}),
                &format!("tenant \"{name}\" and everything in it is deleted"),
            );
        }
    }
    Ok(())
}

fn done(format: Format, value: &Value, text: &str) {
    match format {
        Format::Json => output::json(value),
        Format::Text => output::note(text),
    }
}

fn parse(text: &str) -> anyhow::Result<Quirks> {
    Quirks::parse(text).map_err(|word| {
        let known: Vec<_> = QUIRKS.iter().map(|quirk| quirk.name).collect();
        anyhow::anyhow!("there is no quirk \"{word}\"; there are all, none, {}", known.join(", "))
    })
}

fn switches(quirks: Quirks) -> String {
    if quirks == Quirks::ALL {
        return "all".to_owned();
    }
    let on: Vec<_> = quirks.iter().map(|quirk| quirk.name).collect();
    if on.is_empty() { "none".to_owned() } else { on.join(",") }
}

fn describe(tenant: &Tenant) -> Value {
    json!({
        "name": tenant.name,
        "enabled": tenant.enabled,
        "quirks": switches(tenant.quirks),
        "created": tenant.created.to_string(),
    })
}
