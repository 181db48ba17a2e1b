//! Tokens: the list, one of them, and the forms that make, rotate and revoke them.

use std::time::Duration;

use actix_web::http::StatusCode;
use askama::Template;
use headcount_core::clock::Timestamp;
use headcount_core::ids::TokenId;
use headcount_token_admin::{AdminError, Field, IssuedToken, Scopes, Token, TokenState};
use secrecy::ExposeSecret as _;

use crate::context::{Flash, Layout, PageContext};
use crate::error::PageError;
use crate::format::{ago, query, quote, time};
use crate::response::PageResponse;

mod form;

pub(crate) use form::{Form, Issue, free_name, issue};

/// One hour and one day, in seconds.
const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;
/// Characters of a token's name in the name of its file.
const MAX_FILE_NAME: usize = 40;

#[derive(Template)]
#[template(path = "tokens.html")]
struct TokenListPage {
    layout: Layout,
    rows: Vec<TokenRow>,
    form: Form,
    may_change: bool,
}

/// One token in a list.
struct TokenRow {
    href: String,
    prefix: String,
    name: String,
    scopes: String,
    created: String,
    expires: String,
    state: &'static str,
    used: String,
    /// The address of the last request.
    address: String,
    /// The user agent of the last request.
    agent: String,
    replaced: bool,
}

impl TokenRow {
    fn new(token: &Token, all: &[Token], now: Timestamp) -> Self {
        let used = token.last_used.as_ref();
        Self {
            href: href(token),
            prefix: format!("{}{}_…", token.purpose.prefix(), token.id),
            name: token.name.clone(),
            scopes: match token.scopes {
                Scopes::PROVISIONING => "provisioning".to_owned(),
                Scopes::ADMINISTRATION => "administration".to_owned(),
                other => other.to_string(),
            },
            created: time(token.created),
            expires: token.expires.map_or_else(|| "never".to_owned(), |at| ago(at, now)),
            state: match token.state(now) {
                TokenState::Works => "works",
                TokenState::Expired => "expired",
                TokenState::Revoked => "revoked",
            },
            used: used.map_or_else(|| "never".to_owned(), |used| ago(used.at, now)),
            address: used
                .and_then(|used| used.address)
                .map_or_else(String::new, |address| address.to_string()),
            agent: used.and_then(|used| used.agent.clone()).unwrap_or_default(),
            replaced: successor(token, all).is_some(),
        }
    }
}

fn href(token: &Token) -> String {
    format!("/console/tokens/{}", token.id)
}

/// Returns the token that replaces another.
fn successor<'t>(token: &Token, all: &'t [Token]) -> Option<&'t Token> {
    all.iter().find(|other| other.replaces.as_ref() == Some(&token.id))
}

fn render_list(
    ctx: &PageContext<'_>,
    mut form: Form,
    password_error: String,
) -> Result<PageResponse, PageError> {
    let tenant = ctx.tenant()?;
    let tokens = ctx.console.api.tokens.list(&ctx.principal()?, Some(tenant.id))?;
    let mut rows: Vec<TokenRow> =
        tokens.iter().map(|token| TokenRow::new(token, &tokens, ctx.now)).collect();
    rows.sort_by_key(|row| row.state != "works");
    form.open |= rows.is_empty();
    let name = quote(&tenant.name);
    let layout = ctx.layout("Tokens", "tokens").with_commands(vec![
        ctx.command(&format!("token create --name NAME --tenant {name}")),
        ctx.command(&format!("token list --tenant {name}")),
    ]);
    PageResponse::render(&TokenListPage {
        layout: Layout { password_error, ..layout },
        rows,
        form,
        may_change: ctx.may_change(),
    })
}

/// Shows the list, and the form of a new token.
pub(crate) fn list(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    render_list(ctx, Form::new(ctx), String::new())
}

#[derive(Template)]
#[template(path = "new_token.html")]
struct NewTokenPage {
    layout: Layout,
    name: String,
    secret: String,
    expires: String,
    base: String,
    /// The token that it replaces: address, and until when that one works.
    old: Option<(String, String)>,
}

/// Leads to the page that shows a new token, once.
fn show_once(
    ctx: &PageContext<'_>,
    issued: &IssuedToken,
    command: String,
) -> Result<PageResponse, PageError> {
    let flash = ctx.leave(&flash(issued, command))?;
    let path = format!("{}/secret{}", href(&issued.token), query(&[("flash", &flash)]));
    Ok(PageResponse::redirect(path))
}

/// Returns what is shown once of a new token.
pub(crate) fn flash(issued: &IssuedToken, command: String) -> Flash {
    Flash { secret: issued.secret.clone(), about: issued.token.name.clone(), command }
}

/// Shows a new token, this once.
pub(crate) fn reveal(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    let (token, tokens) = find(ctx)?;
    let Some(flash) = ctx.collect()? else {
        return Ok(PageResponse::redirect(format!("{}?done=shown", href(&token))));
    };
    let old = tokens.iter().find(|old| token.replaces.as_ref() == Some(&old.id));
    PageResponse::render(&NewTokenPage {
        layout: ctx.layout("Copy the token now", "tokens").with_commands(vec![flash.command]),
        name: token.name.clone(),
        secret: flash.secret.expose_secret().to_owned(),
        expires: token.expires.map_or_else(|| "never".to_owned(), time),
        base: ctx.base_url(),
        old: old.map(|old| (href(old), old.expires.map_or_else(String::new, time))),
    })
}

/// Issues a token and shows it.
pub(crate) fn create(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    match issue(ctx)? {
        Issue::Issued(issued, command) => show_once(ctx, &issued, command),
        Issue::Rejected { form, password_error, status } => {
            Ok(render_list(ctx, *form, password_error)?.status(status))
        }
    }
}

/// Returns a token that was just shown as a file.
pub(crate) fn download(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    let form = &ctx.request.form;
    let (name, base, secret) = (form.get("name"), ctx.base_url(), form.get("secret"));
    let text = format!("Headcount, token \"{name}\"\nBase URL: {base}\nToken: {secret}\n");
    let file: String = name
        .chars()
        .take(MAX_FILE_NAME)
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
        .collect();
    Ok(PageResponse::download(
        format!("headcount-{file}.txt"),
        "text/plain; charset=utf-8",
        text.into_bytes(),
    ))
}

#[derive(Template)]
#[template(path = "token.html")]
struct TokenPage {
    layout: Layout,
    token: TokenRow,
    id: String,
    created_by: String,
    cidrs: String,
    revoked: String,
    works: bool,
    may_change: bool,
    /// Name and address.
    replaces: Option<(String, String)>,
    /// Name and address.
    replaced_by: Option<(String, String)>,
    /// A warning when the token is still used although another replaces it.
    still_used: String,
    overlap_error: String,
    /// Whether the page was opened again after it had shown the secret.
    shown_before: bool,
}

/// Returns the token of the path, and all tokens of its tenant.
fn find(ctx: &PageContext<'_>) -> Result<(Token, Vec<Token>), PageError> {
    let (tokens, by) = (&ctx.console.api.tokens, ctx.principal()?);
    let token = tokens.get(&by, None, &TokenId::new(ctx.request.parameter("id")))?;
    let related = tokens.list(&by, Some(token.tenant))?;
    Ok((token, related))
}

fn render_token(
    ctx: &PageContext<'_>,
    password_error: String,
    overlap_error: String,
) -> Result<PageResponse, PageError> {
    let (token, tokens) = find(ctx)?;
    let replaces = tokens.iter().find(|other| token.replaces.as_ref() == Some(&other.id));
    let replaced_by = successor(&token, &tokens);
    let works = token.state(ctx.now) == TokenState::Works;
    let still_used = match (&token.last_used, replaced_by, works) {
        (Some(used), Some(new), true) if used.at > new.created => format!(
            "The old token is still used by {} from {}, although another token replaces it.",
            used.agent.as_deref().unwrap_or("an unnamed client"),
            used.address.map_or_else(|| "an unknown address".to_owned(), |a| a.to_string()),
        ),
        _ => String::new(),
    };
    let commands = match works {
        true => vec![
            ctx.command(&format!("token rotate {} --overlap 24h", token.id)),
            ctx.command(&format!("token revoke {}", token.id)),
        ],
        false => Vec::new(),
    };
    let layout = ctx.layout(&format!("Token {}", token.name), "tokens").with_commands(commands);
    PageResponse::render(&TokenPage {
        layout: Layout { password_error, ..layout },
        id: token.id.to_string(),
        created_by: token.created_by.clone(),
        cidrs: match token.cidrs.as_slice() {
            [] => "everywhere".to_owned(),
            cidrs => cidrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        },
        revoked: token.revoked.map_or_else(String::new, time),
        works,
        may_change: ctx.may_change(),
        replaces: replaces.map(|old| (old.name.clone(), href(old))),
        replaced_by: replaced_by.map(|new| (new.name.clone(), href(new))),
        token: TokenRow::new(&token, &tokens, ctx.now),
        still_used,
        overlap_error,
        shown_before: ctx.request.query.get("done") == "shown",
    })
}

/// Shows one token.
pub(crate) fn show(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    render_token(ctx, String::new(), String::new())
}

fn reject(
    ctx: &PageContext<'_>,
    password_error: String,
    overlap_error: String,
) -> Result<PageResponse, PageError> {
    let response = render_token(ctx, password_error, overlap_error)?;
    Ok(response.status(StatusCode::UNPROCESSABLE_ENTITY))
}

/// Rotates or revokes a token.
pub(crate) fn change(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    let (token, _) = find(ctx)?;
    if let Some(error) = ctx.reauthenticate()? {
        return reject(ctx, error, String::new());
    }
    let (form, by, tokens) = (&ctx.request.form, ctx.principal()?, &ctx.console.api.tokens);
    if form.get("act") == "revoke" {
        tokens.revoke(&by, None, &token.id)?;
        return Ok(PageResponse::redirect(href(&token)));
    }
    let hours = form.get("hours").parse::<u64>().ok();
    let Some(overlap) = hours.and_then(|hours| hours.checked_mul(HOUR)) else {
        return reject(ctx, String::new(), "enter a number of hours".to_owned());
    };
    match tokens.rotate(&by, None, &token.id, Duration::from_secs(overlap)) {
        Ok(rotated) => {
            let hours = overlap / HOUR;
            let command = ctx.command(&format!("token rotate {} --overlap {hours}h", token.id));
            show_once(ctx, &rotated.issued, command)
        }
        Err(AdminError::Rule { field: field @ Field::Overlap, rule }) => {
            reject(ctx, String::new(), rule.sentence(field))
        }
        Err(other) => Err(other.into()),
    }
}
