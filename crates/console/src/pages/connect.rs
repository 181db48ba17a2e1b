//! Connecting an identity provider: base URL and token next to each other, what to enter where, and whether
//! it worked.

use askama::Template;
use headcount_records::{LogQuery, LogScope};
use headcount_token_admin::{Token, TokenState};
use secrecy::ExposeSecret as _;

use self::panel::Panel;
use super::tokens;
use crate::context::{Layout, PageContext};
use crate::error::PageError;
use crate::format::query;
use crate::guides::{self, GUIDES, Guide, Value};
use crate::response::PageResponse;

mod panel;

/// Working tokens that are listed.
const MAX_TOKENS: usize = 5;

#[derive(Template)]
#[template(path = "connect.html")]
struct ConnectPage {
    layout: Layout,
    /// The guides: address, name, and whether it is the one that is shown.
    tabs: Vec<(String, &'static str, bool)>,
    guide: &'static Guide,
    /// The token, if one was just made.
    secret: String,
    fields: Vec<Field>,
    panel: Panel,
    /// The address that the script asks for the panel.
    live: String,
    /// The address of the same page, without the token.
    again: String,
    /// Where the form is sent.
    action: String,
    /// The name of the token that the page listens for; empty for none.
    chosen: String,
    /// A name for a new token that no other has.
    free_name: String,
    may_change: bool,
    /// The tokens that work: name, and the address of the page that listens for it.
    tokens: Vec<(String, String)>,
    form: tokens::Form,
    curl: String,
}

struct Field {
    label: &'static str,
    value: String,
    /// Whether the value is chosen at the identity provider, rather than typed.
    chosen: bool,
    /// Whether the value is a token that is not made yet.
    waits: bool,
    id: String,
}

impl Field {
    fn new(index: usize, label: &'static str, value: Value, base: &str, secret: &str) -> Self {
        let is_token = matches!(value, Value::Token | Value::BearerToken);
        Self {
            label,
            chosen: matches!(value, Value::Choose(_)),
            waits: is_token && secret.is_empty(),
            value: match value {
                Value::BaseUrl => base.to_owned(),
                Value::Token => secret.to_owned(),
                Value::BearerToken if secret.is_empty() => String::new(),
                Value::BearerToken => format!("Bearer {secret}"),
                Value::Text(text) | Value::Choose(text) => text.to_owned(),
            },
            id: format!("field-{index}"),
        }
    }
}

/// Returns the number of the newest request of the tenant, or without a known token.
fn newest(ctx: &PageContext<'_>) -> Result<i64, PageError> {
    let mut newest = 0;
    for scope in [LogScope::Tenant(ctx.tenant()?.id), LogScope::Unknown] {
        let query = LogQuery { scope, limit: 1, ..LogQuery::default() };
        let requests = ctx.console.log.requests(&query, &ctx.work)?;
        newest = requests.iter().map(|logged| logged.seq).fold(newest, i64::max);
    }
    Ok(newest)
}

/// Finds the token that the page listens for: the one that was just made, or that was chosen.
fn chosen<'t>(ctx: &PageContext<'_>, tokens: &'t [Token]) -> Option<&'t Token> {
    let id = ctx.request.query.get("for");
    tokens.iter().find(|token| token.id.as_str() == id)
}

/// Returns the tokens of the tenant.
fn tokens_of_tenant(ctx: &PageContext<'_>) -> Result<Vec<Token>, PageError> {
    Ok(ctx.console.api.tokens.list(&ctx.principal()?, Some(ctx.tenant()?.id))?)
}

/// Returns the address of the page that listens for a token since a request.
fn listening(guide: &Guide, token: &str, after: i64, flash: &str) -> String {
    let after = after.to_string();
    let fields = [("idp", guide.id), ("for", token), ("after", &after), ("flash", flash)];
    format!("/console/connect{}", query(&fields))
}

/// Returns since which request the page listens.
fn after(ctx: &PageContext<'_>) -> Result<i64, PageError> {
    match ctx.request.query.get("after").parse() {
        Ok(after) => Ok(after),
        Err(_) => newest(ctx),
    }
}

fn render(
    ctx: &PageContext<'_>,
    layout: Layout,
    secret: &str,
    form: tokens::Form,
) -> Result<PageResponse, PageError> {
    let guide = guides::find(ctx.request.query.get("idp"));
    let (base, after, tokens) = (ctx.base_url(), after(ctx)?, tokens_of_tenant(ctx)?);
    let chosen = chosen(ctx, &tokens);
    let token = if secret.is_empty() { "TOKEN" } else { secret };
    let id = chosen.map_or("", |token| token.id.as_str());
    let working = tokens.iter().filter(|token| token.state(ctx.now) == TokenState::Works);
    PageResponse::render(&ConnectPage {
        layout,
        tabs: GUIDES
            .iter()
            .map(|known| (listening(known, id, after, ""), known.name, known.id == guide.id))
            .collect(),
        guide,
        fields: guide
            .fields
            .iter()
            .enumerate()
            .map(|(index, (label, value))| Field::new(index, label, *value, &base, secret))
            .collect(),
        panel: Panel::read(ctx, chosen, after)?,
        live: format!(
            "/console/connect/heard{}",
            query(&[("after", &after.to_string()), ("for", id), ("live", "1")])
        ),
        again: listening(guide, id, after, ""),
        action: listening(guide, "", after, ""),
        chosen: chosen.map(|token| token.name.clone()).unwrap_or_default(),
        free_name: tokens::free_name(guide.id, &tokens, ctx.now),
        may_change: ctx.may_change(),
        tokens: working
            .take(MAX_TOKENS)
            .map(|token| (token.name.clone(), listening(guide, token.id.as_str(), after, "")))
            .collect(),
        form,
        curl: format!("curl -H 'Authorization: Bearer {token}' '{base}/Users?count=1'"),
        secret: secret.to_owned(),
    })
}

/// Shows the page. If a token was just made, it is in the fields that it belongs in, this once.
pub(crate) fn show(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    let flash = ctx.collect()?;
    let command = match &flash {
        Some(flash) => flash.command.clone(),
        None => ctx.command(&format!(
            "token create --name {} --tenant {}",
            guides::find(ctx.request.query.get("idp")).id,
            ctx.tenant()?.name
        )),
    };
    let layout = ctx.layout("Connect", "connect").with_commands(vec![command]);
    let secret = flash.as_ref().map_or("", |flash| flash.secret.expose_secret());
    // A page that reloads itself would lose the token.
    let layout = Layout { refresh: secret.is_empty(), ..layout };
    render(ctx, layout, secret, tokens::Form::new(ctx))
}

/// Makes a token, and leads to the page that shows it and listens for it.
pub(crate) fn create(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    let guide = guides::find(ctx.request.query.get("idp"));
    let after = after(ctx)?;
    match tokens::issue(ctx)? {
        tokens::Issue::Issued(issued, command) => {
            let flash = ctx.leave(&tokens::flash(&issued, command))?;
            let id = issued.token.id.as_str();
            Ok(PageResponse::redirect(listening(guide, id, after, &flash)))
        }
        tokens::Issue::Rejected { form, password_error, status } => {
            let layout = Layout { password_error, ..ctx.layout("Connect", "connect") };
            Ok(render(ctx, layout, "", *form)?.status(status))
        }
    }
}

/// Returns the status of the connection, for the script of the page.
pub(crate) fn status(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    let after = ctx.request.query.get("after").parse().unwrap_or(0);
    let tokens = tokens_of_tenant(ctx)?;
    Ok(PageResponse::json(&Panel::read(ctx, chosen(ctx, &tokens), after)?.json()))
}
