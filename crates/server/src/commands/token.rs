//! `headcount token …`

use anyhow::{Context, bail};
use headcount_core::ids::{ResourceId, TenantId, TokenId};
use headcount_core::journal::Actor;
use headcount_core::provider::{Provider as _, Query, Start, With};
use headcount_core::quirks::{Applied, Quirks};
use headcount_core::service::parse_filter;
use headcount_core::work::Work;
use headcount_token_admin::format::Purpose;
use headcount_token_admin::{Expiry, IssuedToken, NewToken, Scopes, TenantStore, Token};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::seconds;
use crate::cli::{self, Format, TokenCreate};
use crate::config::Config;
use crate::machine;
use crate::output;
use crate::wiring::{self, Parts};

pub(super) fn run(config: &Config, command: cli::Token, format: Format) -> anyhow::Result<()> {
    let parts = wiring::command(config)?;
    match command {
        cli::Token::Create(new) => create(&parts, new, format),
        cli::Token::List { tenant } => list(&parts, tenant.as_deref(), format),
        cli::Token::Revoke { id } => revoke(&parts, &id, format),
        cli::Token::Rotate { id, overlap } => rotate(&parts, &id, &overlap, format),
    }
}

fn create(parts: &Parts, new: TokenCreate, format: Format) -> anyhow::Result<()> {
    let tenant = find_tenant(parts, &new.tenant)?;
    let scopes = Scopes::parse(&new.scope.join(" ")).map_err(|word| {
        let known: Vec<_> = Scopes::NAMES.iter().map(|(name, _)| *name).collect();
        anyhow::anyhow!(
            "there is no scope \"{word}\"; there are provisioning, administration, {}",
            known.join(", ")
        )
    })?;
    let expiry = match new.expires.as_deref() {
        None => Expiry::Default,
        Some("never") => Expiry::Never,
        Some(text) => Expiry::After(seconds(text)?),
    };
    let cidr = |net: &String| match net.parse() {
        Ok(net) => Ok(net),
        // One address is a network of one.
        Err(_) => net
            .parse::<std::net::IpAddr>()
            .map(Into::into)
            .with_context(|| format!("--cidr \"{net}\" is no network such as 203.0.113.0/24")),
    };
    let issued = parts.tokens.issue(
        tenant.id,
        NewToken {
            purpose: scopes.purpose(),
            name: new.name,
            scopes,
            expiry,
            cidrs: new.cidr.iter().map(cidr).collect::<anyhow::Result<_>>()?,
            user: new.user.map(|name| find_user(parts, tenant.id, &name)).transpose()?,
            by: machine::author(Actor::Cli),
        },
    )?;
    show_secret(&issued, &tenant.name, format, &json!({}));
    Ok(())
}

fn find_tenant(parts: &Parts, name: &str) -> anyhow::Result<headcount_token_admin::Tenant> {
    let tenant = parts.store.tenant(name)?;
    tenant.with_context(|| {
        format!("there is no tenant \"{name}\"; make it with `headcount tenant create {name}`")
    })
}

/// Finds the user that somebody named by `userName` or id.
fn find_user(parts: &Parts, tenant: TenantId, name: &str) -> anyhow::Result<ResourceId> {
    let kind = parts.registry.kind("User").context("this deployment has no users")?;
    let quoted = Value::from(name);
    let filter = parse_filter(
        kind,
        Quirks::ALL,
        &mut Applied::default(),
        &format!("id eq {quoted} or userName eq {quoted}"),
    )?;
    let (start, with, work) = (Start::Offset(0), With::Nothing, Work::default());
    let query = Query { kind, filter: Some(filter), sort: None, start, limit: 2, with, work };
    let mut found = parts.store.find(tenant, &query)?.resources.into_iter();
    let user = found.next().with_context(|| {
        format!("there is no user \"{name}\" in this tenant; provision the user first")
    })?;
    Ok(user.resource.id)
}

/// Prints a secret: alone on standard output, so that it can be piped where it belongs.
fn show_secret(issued: &IssuedToken, tenant: &str, format: Format, more: &Value) {
    let token = &issued.token;
    let secret = issued.secret.expose_secret();
    if format == Format::Json {
        let mut shown = describe(token, Some(tenant));
        if let (Some(shown), Some(more)) = (shown.as_object_mut(), more.as_object()) {
            shown.insert("token".to_owned(), secret.into());
            shown.extend(more.clone());
        }
        output::json(&shown);
        return;
    }
    let expires = token.expires.map_or_else(|| "never".to_owned(), |at| at.to_string());
    output::note(&format!(
        "token \"{}\" for tenant \"{tenant}\", id {}, expires {expires}",
        token.name, token.id
    ));
    output::note(match token.purpose {
        Purpose::Provisioning => {
            "It is shown this once. Enter it in the identity provider as the secret token:"
        }
        Purpose::Administration => {
            "It is shown this once. Send it to the admin API as Authorization: Bearer, or put it into \
             HEADCOUNT_TOKEN for commands with --server:"
        }
    });
    output::result(secret);
}

fn describe(token: &Token, tenant: Option<&str>) -> Value {
    let time = |at: Option<headcount_core::clock::Timestamp>| at.map(|at| at.to_string());
    let used = token.last_used.as_ref();
    json!({
        "id": token.id.as_str(),
        "name": token.name,
        "tenant": tenant,
        "scopes": token.scopes.to_string().split(' ').collect::<Vec<_>>(),
        "cidrs": token.cidrs.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "created": token.created.to_string(),
        "createdBy": token.created_by,
        "expires": time(token.expires),
        "revoked": time(token.revoked),
        "user": token.user.as_ref().map(ResourceId::as_str),
        "replaces": token.replaces.as_ref().map(TokenId::as_str),
        "lastUsed": used.map(|used| used.at.to_string()),
        "lastAddress": used.and_then(|used| used.address).map(|address| address.to_string()),
        "lastAgent": used.and_then(|used| used.agent.clone()),
    })
}

fn list(parts: &Parts, tenant: Option<&str>, format: Format) -> anyhow::Result<()> {
    let only = tenant.map(|name| find_tenant(parts, name)).transpose()?;
    let tokens = parts.tokens.list(only.map(|tenant| tenant.id))?;
    let tenants = parts.store.tenants()?;
    let name = |token: &Token| {
        tenants
            .iter()
            .find(|tenant| tenant.id == token.tenant)
            .map_or_else(String::new, |tenant| tenant.name.clone())
    };
    if format == Format::Json {
        let tokens: Vec<_> =
            tokens.iter().map(|token| describe(token, Some(&name(token)))).collect();
        output::json(&json!({"tokens": tokens}));
        return Ok(());
    }
    if tokens.is_empty() {
        output::note("there are no tokens; make one with `headcount token create --name NAME`");
        return Ok(());
    }
    let day = |at: headcount_core::clock::Timestamp| {
        at.to_string().chars().take(16).collect::<String>().replace('T', " ")
    };
    let rows: Vec<Vec<String>> = tokens
        .iter()
        .map(|token| {
            let state = match (token.revoked, token.expires) {
                (Some(at), _) => format!("revoked {}", day(at)),
                (None, Some(at)) => format!("until {}", day(at)),
                (None, None) => "never expires".to_owned(),
            };
            let used =
                token.last_used.as_ref().map_or_else(|| "never".to_owned(), |used| day(used.at));
            vec![
                token.id.to_string(),
                token.name.clone(),
                name(token),
                token.scopes.to_string(),
                state,
                used,
            ]
        })
        .collect();
    output::table(&["ID", "NAME", "TENANT", "SCOPES", "STATE", "LAST USED (UTC)"], &rows);
    Ok(())
}

fn revoke(parts: &Parts, id: &str, format: Format) -> anyhow::Result<()> {
    if !parts.tokens.revoke(&TokenId::new(id), &machine::author(Actor::Cli))? {
        bail!(
            "there is no token with the id {id} that could be revoked; `headcount token list` shows all"
        );
    }
    match format {
        Format::Json => output::json(&json!({"id": id, "revoked": true})),
        Format::Text => {
            output::note(&format!("token {id} is revoked; the next request with it is refused"));
        }
    }
    Ok(())
}

fn rotate(parts: &Parts, id: &str, overlap: &str, format: Format) -> anyhow::Result<()> {
    let by = machine::author(Actor::Cli);
    let rotated = parts.tokens.rotate(&TokenId::new(id), seconds(overlap)?, &by)?;
    let tenants = parts.store.tenants()?;
    let tenant = tenants.iter().find(|tenant| tenant.id == rotated.issued.token.tenant);
    let name = tenant.map_or("", |tenant| tenant.name.as_str());
    show_secret(
        &rotated.issued,
        name,
        format,
        &json!({"oldTokenUntil": rotated.old_until.to_string()}),
    );
    if format == Format::Text {
        output::note(&format!("the old token {id} works until {}", rotated.old_until));
    }
    Ok(())
}
