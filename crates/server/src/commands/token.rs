//! `headcount token …`

use anyhow::Context;
use headcount_core::change::Actor;
use headcount_core::clock::{Clock as _, Timestamp};
use headcount_core::filter::parse_filter;
use headcount_core::ids::{ResourceId, TenantId, TokenId};
use headcount_core::provider::{Provider as _, Query, Start, With};
use headcount_core::quirks::{Applied, Quirks};
use headcount_core::work::Work;
use headcount_store_diesel::DatabaseUrl;
use headcount_token_admin::format::Purpose;
use headcount_token_admin::{
    AdminError, Expiry, IssuedToken, NewToken, Principal, Rule, Tenant, Token, TokenState,
    networks, scopes,
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::span;
use crate::cli::{self, Format, TokenCreate};
use crate::config::Config;
use crate::output;
use crate::system::{self, SystemClock};
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
    let by = operator();
    let tenant = find_tenant(parts, &by, &new.tenant)?;
    let expiry = match new.expires.as_deref() {
        None => Expiry::Default,
        Some("never") => Expiry::Never,
        Some(text) => Expiry::After(span(text)?),
    };
    let words = new.scope.iter().flat_map(|words| words.split([' ', ',']));
    let words = words.filter(|word| !word.is_empty());
    let wanted = NewToken {
        name: new.name,
        scopes: scopes(words)?,
        expiry,
        cidrs: networks(new.cidr.iter().map(String::as_str))?,
        user: new.user.map(|name| find_user(parts, tenant.id, &name)).transpose()?,
    };
    let known = parts.tokens.list(&by, Some(tenant.id))?;
    let issued = parts.tokens.issue(&by, tenant.id, wanted)?;
    let (name, now) = (&issued.token.name, SystemClock.now());
    if known.iter().any(|token| token.name == *name && token.state(now) == TokenState::Works) {
        output::note(&format!(
            "another working token of this tenant is called \"{name}\", too; `headcount token list` shows both"
        ));
    }
    show_secret(parts, &issued, &tenant.name, format, &json!({}));
    Ok(())
}

fn operator() -> Principal {
    Principal::operator(system::author(Actor::Cli))
}

fn find_tenant(parts: &Parts, by: &Principal, name: &str) -> anyhow::Result<Tenant> {
    parts.tenants.find(by, name).map_err(|error| match error {
        AdminError::Rule { rule: Rule::Missing(_), .. } => {
            anyhow::anyhow!("{error}; make it with `headcount tenant create {name}`")
        }
        other => other.into(),
    })
}

/// Finds a user by `userName` or id.
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

/// Prints a secret: alone on standard output, so that it can be piped.
fn show_secret(parts: &Parts, issued: &IssuedToken, tenant: &str, format: Format, more: &Value) {
    let token = &issued.token;
    // A token of another database than the server's never works.
    output::note(&format!("database: {}", location(parts.store.url())));
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

/// Returns where a database is, as a path from the root where it is a file.
fn location(url: &DatabaseUrl) -> String {
    match url {
        DatabaseUrl::Sqlite(path) => {
            std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string()
        }
        DatabaseUrl::Postgres(_) => url.to_string(),
    }
}

fn describe(token: &Token, tenant: Option<&str>) -> Value {
    let used = token.last_used.as_ref();
    json!({
        "id": token.id.as_str(),
        "name": token.name,
        "tenant": tenant,
        "scopes": token.scopes.to_string().split(' ').collect::<Vec<_>>(),
        "cidrs": token.cidrs.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "created": token.created.to_string(),
        "createdBy": token.created_by,
        "expires": token.expires.map(|at| at.to_string()),
        "revoked": token.revoked.map(|at| at.to_string()),
        "user": token.user.as_ref().map(ResourceId::as_str),
        "replaces": token.replaces.as_ref().map(TokenId::as_str),
        "lastUsed": used.map(|used| used.at.to_string()),
        "lastAddress": used.and_then(|used| used.address).map(|address| address.to_string()),
        "lastAgent": used.and_then(|used| used.agent.clone()),
    })
}

fn list(parts: &Parts, tenant: Option<&str>, format: Format) -> anyhow::Result<()> {
    let by = operator();
    let only = tenant.map(|name| find_tenant(parts, &by, name)).transpose()?;
    let tokens = parts.tokens.list(&by, only.map(|tenant| tenant.id))?;
    let (tenants, now) = (parts.tenants.list(&by)?, SystemClock.now());
    if format == Format::Json {
        let tokens: Vec<_> = tokens
            .iter()
            .map(|token| describe(token, Some(name_of(token.tenant, &tenants))))
            .collect();
        output::json(&json!({"tokens": tokens}));
        return Ok(());
    }
    if tokens.is_empty() {
        output::note("there are no tokens; make one with `headcount token create --name NAME`");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = tokens
        .iter()
        .map(|token| {
            let state = match token.state(now) {
                TokenState::Revoked => format!("revoked {}", minute(token.revoked)),
                TokenState::Expired => format!("expired {}", minute(token.expires)),
                TokenState::Works if token.expires.is_none() => "never expires".to_owned(),
                TokenState::Works => format!("until {}", minute(token.expires)),
            };
            let used = match &token.last_used {
                Some(used) => minute(Some(used.at)),
                None => "never".to_owned(),
            };
            vec![
                token.id.to_string(),
                token.name.clone(),
                name_of(token.tenant, &tenants).to_owned(),
                token.scopes.to_string(),
                state,
                used,
            ]
        })
        .collect();
    output::table(&["ID", "NAME", "TENANT", "SCOPES", "STATE", "LAST USED (UTC)"], &rows);
    Ok(())
}

fn name_of(tenant: TenantId, tenants: &[Tenant]) -> &str {
    let tenant = tenants.iter().find(|known| known.id == tenant);
    tenant.map_or("", |tenant| tenant.name.as_str())
}

/// Returns a time up to its minutes.
fn minute(at: Option<Timestamp>) -> String {
    let at = at.map_or_else(String::new, |at| at.to_string());
    at.chars().take(16).collect::<String>().replace('T', " ")
}

fn revoke(parts: &Parts, id: &str, format: Format) -> anyhow::Result<()> {
    parts.tokens.revoke(&operator(), None, &TokenId::new(id)).map_err(missing)?;
    match format {
        Format::Json => output::json(&json!({"id": id, "revoked": true})),
        Format::Text => {
            output::note(&format!("token {id} is revoked; the next request with it is refused"));
        }
    }
    Ok(())
}

fn missing(error: AdminError) -> anyhow::Error {
    match error {
        AdminError::Rule { rule: Rule::Missing(_), .. } => {
            anyhow::anyhow!("{error}; `headcount token list` shows all")
        }
        other => other.into(),
    }
}

fn rotate(parts: &Parts, id: &str, overlap: &str, format: Format) -> anyhow::Result<()> {
    let (by, overlap) = (operator(), span(overlap)?);
    let rotated = parts.tokens.rotate(&by, None, &TokenId::new(id), overlap).map_err(missing)?;
    let tenants = parts.tenants.list(&by)?;
    let name = name_of(rotated.issued.token.tenant, &tenants);
    show_secret(
        parts,
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
