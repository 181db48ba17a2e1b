//! Connecting an identity provider: base URL and token next to each other, what to enter where, and whether
//! it worked.

use askama::Template;
use headcount_records::{LogQuery, LogScope, Logged, advice};
use headcount_token_admin::TokenState;
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::tokens;
use crate::context::{Layout, PageContext};
use crate::error::PageError;
use crate::format::distance;
use crate::guides::{self, GUIDES, Guide, Value};
use crate::response::PageResponse;

/// Requests that are read to say whether a connection works.
const MAX_REQUESTS: usize = 50;
/// Working tokens that are listed.
const MAX_TOKENS: usize = 5;

#[derive(Template)]
#[template(path = "connect.html")]
struct ConnectPage {
    layout: Layout,
    /// The guides: id, name, and whether it is the one that is shown.
    tabs: Vec<(&'static str, &'static str, bool)>,
    guide: &'static Guide,
    /// The token, if this request made one.
    secret: String,
    fields: Vec<Field>,
    status: ConnectionStatus,
    /// The number of the newest request when the page was first opened.
    after: i64,
    may_change: bool,
    /// The tokens that work: name and address.
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

/// What the identity provider has sent since the page was opened.
struct ConnectionStatus {
    /// `waiting`, `good` or `bad`.
    state: &'static str,
    text: String,
    advice: String,
}

/// Returns requests of the tenant, and those without a known token: one of these may be from the token
/// that was just pasted.
fn requests(ctx: &PageContext<'_>, query: &LogQuery) -> Result<Vec<Logged>, PageError> {
    let mut requests = Vec::new();
    for scope in [LogScope::Tenant(ctx.tenant()?.id), LogScope::Unknown] {
        let query = LogQuery { scope, ..query.clone() };
        requests.extend(ctx.console.log.requests(&query, &ctx.work)?);
    }
    requests.sort_by_key(|logged| logged.seq);
    Ok(requests)
}

/// Returns the number of the newest request.
fn newest(ctx: &PageContext<'_>) -> Result<i64, PageError> {
    let newest = requests(ctx, &LogQuery { limit: 1, ..LogQuery::default() })?;
    Ok(newest.last().map_or(0, |logged| logged.seq))
}

fn connection_status(ctx: &PageContext<'_>, after: i64) -> Result<ConnectionStatus, PageError> {
    let query = LogQuery { after: Some(after), limit: MAX_REQUESTS, ..LogQuery::default() };
    let requests = requests(ctx, &query)?;
    let Some(last) = requests.last() else {
        return Ok(ConnectionStatus {
            state: "waiting",
            text: "Waiting for the first request…".to_owned(),
            advice:
                "Enter the values below in the identity provider, then run its connection test."
                    .to_owned(),
        });
    };
    let record = &last.record;
    let who = format!(
        "{} from {}",
        record.sender(),
        record.address.as_deref().unwrap_or("an unknown address")
    );
    let when = distance(record.at, ctx.now);
    // A search that finds nothing may get status 404: connection tests expect that.
    let refused = record.status >= 400 && !(record.status == 404 && record.kind.is_some());
    if refused {
        let reason = record.reason.as_deref().unwrap_or_default();
        return Ok(ConnectionStatus {
            state: "bad",
            text: format!("{who} was refused ({}) {when}: {reason}", record.status),
            advice: advice::advice(record).unwrap_or_default(),
        });
    }
    let count = requests.iter().filter(|logged| logged.record.status < 400).count();
    let more = if count > 1 { format!(" {count} requests so far.") } else { String::new() };
    Ok(ConnectionStatus {
        state: "good",
        text: format!("It works. {who}, {when}: {}.{more}", record.outcome()),
        advice:
            "Assign users and groups in the identity provider; they appear under Users and Groups."
                .to_owned(),
    })
}

fn render(
    ctx: &PageContext<'_>,
    layout: Layout,
    secret: &str,
    form: tokens::Form,
) -> Result<PageResponse, PageError> {
    let guide = guides::find(ctx.request.query.get("idp"));
    let base = ctx.base_url();
    let after = match ctx.request.query.get("after").parse() {
        Ok(after) => after,
        Err(_) => newest(ctx)?,
    };
    let tokens = ctx.console.api.tokens.list(&ctx.principal()?, Some(ctx.tenant()?.id))?;
    let token = if secret.is_empty() { "TOKEN" } else { secret };
    PageResponse::render(&ConnectPage {
        layout,
        tabs: GUIDES.iter().map(|known| (known.id, known.name, known.id == guide.id)).collect(),
        guide,
        fields: guide
            .fields
            .iter()
            .enumerate()
            .map(|(index, (label, value))| Field::new(index, label, *value, &base, secret))
            .collect(),
        status: connection_status(ctx, after)?,
        after,
        may_change: ctx.may_change(),
        tokens: tokens
            .iter()
            .filter(|token| token.state(ctx.now) == TokenState::Works)
            .take(MAX_TOKENS)
            .map(|token| (token.name.clone(), format!("/console/tokens/{}", token.id)))
            .collect(),
        form,
        curl: format!("curl -H 'Authorization: Bearer {token}' '{base}/Users?count=1'"),
        secret: secret.to_owned(),
    })
}

/// Shows the page.
pub(crate) fn show(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    let command = ctx.command(&format!(
        "token create --name {} --tenant {}",
        guides::find(ctx.request.query.get("idp")).id,
        ctx.tenant()?.name
    ));
    let layout = ctx.layout("Connect", "connect").with_commands(vec![command]);
    render(ctx, Layout { refresh: true, ..layout }, "", tokens::Form::new(ctx))
}

/// Makes a token and shows it in the fields that it belongs in.
pub(crate) fn create(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    let layout = ctx.layout("Connect", "connect");
    match tokens::issue(ctx)? {
        tokens::Issue::Issued(issued, command) => {
            let layout = layout.with_commands(vec![command]);
            render(ctx, layout, issued.secret.expose_secret(), tokens::Form::new(ctx))
        }
        tokens::Issue::Rejected { form, password_error, status } => {
            let layout = Layout { password_error, ..layout };
            Ok(render(ctx, layout, "", *form)?.status(status))
        }
    }
}

/// Returns the status of the connection, for the script of the page.
pub(crate) fn status(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    let after = ctx.request.query.get("after").parse().unwrap_or(0);
    let status = connection_status(ctx, after)?;
    Ok(PageResponse::json(
        &json!({"state": status.state, "text": status.text, "advice": status.advice}),
    ))
}
