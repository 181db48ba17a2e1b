//! `headcount tenant …`

use anyhow::bail;
use headcount_core::change::Actor;
use headcount_core::quirks::{QUIRKS, Quirks};
use headcount_token_admin::{Principal, Tenant, TenantChange};
use serde_json::{Value, json};

use crate::cli::{self, Format};
use crate::config::Config;
use crate::output;
use crate::system;
use crate::wiring;

pub(super) fn run(config: &Config, command: cli::Tenant, format: Format) -> anyhow::Result<()> {
    let tenants = wiring::command(config)?.tenants;
    let by = Principal::operator(system::author(Actor::Cli));
    match command {
        cli::Tenant::Create { name, quirks } => {
            let tenant = tenants.create(&by, &name, parse(&quirks)?)?;
            print(
                format,
                &describe(&tenant),
                &format!(
                    "created tenant \"{name}\"; make a token with `headcount token create --tenant {name} --name NAME`"
                ),
            );
        }
        cli::Tenant::List => {
            let tenants = tenants.list(&by)?;
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
            let quirks = quirks.as_deref().map(parse).transpose()?;
            let tenant = tenants.change(&by, &name, TenantChange { enabled, quirks })?;
            print(format, &describe(&tenant), &format!("changed tenant \"{name}\""));
        }
        cli::Tenant::Delete { name, yes } => {
            if !yes && name != Tenant::DEFAULT {
                bail!(
                    "this deletes every user, group and token of \"{name}\" for good; add --yes to do it"
                );
            }
            tenants.delete(&by, &name)?;
            print(
                format,
                &json!({"name": name, "deleted": true}),
                &format!("deleted tenant \"{name}\" and everything in it"),
            );
        }
    }
    Ok(())
}

fn print(format: Format, value: &Value, text: &str) {
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
