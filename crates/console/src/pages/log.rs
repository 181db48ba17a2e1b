//! The provisioning log: every request, with why it was refused and what to change.

use askama::Template;
use headcount_core::ids::{Kind, TokenId};
use headcount_core::index::fold;
use headcount_records::{LogQuery, LogScope, Logged, advice};
use serde_json::json;

use crate::context::{Layout, PageContext};
use crate::error::PageError;
use crate::format::{query, quote, time};
use crate::request::Fields;
use crate::response::PageResponse;

/// Requests on one page.
const PAGE_SIZE: usize = 50;

/// One request in a list.
pub(crate) struct LogLine {
    pub(crate) seq: i64,
    pub(crate) time: String,
    pub(crate) iso: String,
    /// Whether it was refused; what was not found was not.
    pub(crate) failed: bool,
    pub(crate) status: u16,
    pub(crate) sender: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) name: String,
    pub(crate) outcome: String,
    pub(crate) reason: String,
    pub(crate) advice: String,
    pub(crate) token: String,
    pub(crate) others: String,
    /// The address of the switch that allows what was refused; empty when there is none.
    pub(crate) switch: String,
}

impl LogLine {
    pub(crate) fn new(ctx: &PageContext<'_>, logged: &Logged) -> Self {
        let record = &logged.record;
        let tenant = record.tenant.map_or_else(String::new, |tenant| ctx.tenant_name(tenant));
        let switch = match advice::has_switch(record) {
            true => format!("/console/settings{}#switches", query(&[("tenant", &tenant)])),
            false => String::new(),
        };
        let name = record.name.clone().or_else(|| record.query.clone()).unwrap_or_default();
        Self {
            seq: logged.seq,
            time: time(record.at),
            iso: record.at.to_string(),
            failed: record.is_refusal(),
            status: record.status,
            sender: record.sender().to_owned(),
            method: record.method.clone(),
            path: record.path.clone(),
            name,
            outcome: record.outcome(),
            reason: record.reason.clone().unwrap_or_default(),
            advice: advice::advice_for(record, &quote(&tenant)).unwrap_or_default(),
            token: record.token_name.clone().unwrap_or_default(),
            others: record.others().unwrap_or_default(),
            switch,
        }
    }
}

impl LogLine {
    /// Returns the class of the status: that something is not here is neither good nor bad.
    pub(crate) fn tag(&self) -> &'static str {
        match (self.failed, self.status) {
            (true, _) => "bad",
            (false, 400..) => "",
            _ => "good",
        }
    }
}

#[derive(Template)]
#[template(path = "log.html")]
struct LogPage {
    layout: Layout,
    lines: Vec<LogLine>,
    name: String,
    token: String,
    kind: String,
    status: String,
    /// The tokens to choose from: id and name.
    tokens: Vec<(String, String)>,
    kinds: Vec<String>,
    older: Option<String>,
    newest: Option<String>,
    /// The address that the script asks for new requests; empty on older pages.
    tail: String,
    filtered: bool,
}

/// Returns the query of the log that the fields of the page ask for.
fn log_query(ctx: &PageContext<'_>) -> Result<LogQuery, PageError> {
    let asked = &ctx.request.query;
    let status = asked.get("status");
    Ok(LogQuery {
        scope: match status {
            "unknown" => LogScope::Unknown,
            _ => LogScope::Tenant(ctx.tenant()?.id),
        },
        token: value_of(asked, "token").map(TokenId::new),
        name: value_of(asked, "name").map(fold),
        request: None,
        failed: matches!(status, "failed" | "unknown"),
        kind: value_of(asked, "kind").map(Kind::new),
        before: asked.get("before").parse().ok(),
        after: None,
        limit: PAGE_SIZE,
    })
}

fn value_of<'f>(fields: &'f Fields, name: &str) -> Option<&'f str> {
    Some(fields.get(name)).filter(|value| !value.is_empty())
}

/// Shows the list.
pub(crate) fn list(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    let asked = &ctx.request.query;
    let wanted = log_query(ctx)?;
    let one_more = LogQuery { limit: PAGE_SIZE + 1, ..wanted.clone() };
    let mut requests = ctx.console.log.requests(&one_more, &ctx.work)?;
    let more = requests.len() > PAGE_SIZE;
    requests.truncate(PAGE_SIZE);
    let filter = ["name", "token", "kind", "status"].map(|name| (name, asked.get(name)));
    let [name, token, kind, status] = filter;
    let last = requests.last().map_or(0, |logged| logged.seq).to_string();
    let first = requests.first().map_or(0, |logged| logged.seq).to_string();
    let older = query(&[name, token, kind, status, ("before", &last)]);
    let tail = query(&[name, token, kind, status, ("after", &first), ("live", "1")]);
    let tokens = ctx.console.api.tokens.list(&ctx.principal()?, Some(ctx.tenant()?.id))?;
    let registry = &ctx.console.api.service.registry;
    let tenant = quote(&ctx.tenant()?.name);
    let failed = if wanted.failed { " --failed" } else { "" };
    let command = format!("log tail --tenant {tenant}{failed} --follow");
    PageResponse::render(&LogPage {
        layout: ctx.layout("Log", "log").with_commands(vec![ctx.command(&command)]),
        lines: requests.iter().map(|logged| LogLine::new(ctx, logged)).collect(),
        name: name.1.to_owned(),
        token: token.1.to_owned(),
        kind: kind.1.to_owned(),
        status: status.1.to_owned(),
        tokens: tokens.iter().map(|token| (token.id.to_string(), token.name.clone())).collect(),
        kinds: registry.kinds().iter().map(|kind| kind.kind.to_string()).collect(),
        older: more.then(|| format!("/console/log{older}")),
        newest: wanted.before.map(|_| format!("/console/log{}", query(&filter))),
        tail: match wanted.before {
            None => format!("/console/log/tail{tail}"),
            Some(_) => String::new(),
        },
        filtered: filter.iter().any(|(_, value)| !value.is_empty()),
    })
}

/// Returns the requests since a number, oldest first, for the script of the list.
pub(crate) fn tail(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    let after = ctx.request.query.get("after").parse().unwrap_or(0);
    let query = LogQuery { after: Some(after), before: None, ..log_query(ctx)? };
    let requests = ctx.console.log.requests(&query, &ctx.work)?;
    let lines = requests.iter().map(|logged| LogLine::new(ctx, logged)).map(|line| {
        json!({
            "seq": line.seq, "at": line.iso, "failed": line.failed, "status": line.status,
            "sender": line.sender, "request": format!("{} {}", line.method, line.path),
            "name": line.name, "outcome": line.outcome, "reason": line.reason,
            "advice": line.advice, "token": line.token, "others": line.others,
        })
    });
    Ok(PageResponse::json(&json!({"lines": lines.collect::<Vec<_>>()})))
}

#[derive(Template)]
#[template(path = "log_request.html")]
struct LogRequestPage {
    layout: Layout,
    line: LogLine,
    /// Label and value.
    facts: Vec<(&'static str, String)>,
    repairs: Vec<String>,
    body: String,
    reply: String,
    /// The resource that the request is about: name and address.
    resource: Option<(String, String)>,
}

/// Finds one request of the tenant, or one without a known token.
fn find(ctx: &PageContext<'_>, seq: i64) -> Result<Option<Logged>, PageError> {
    for scope in [LogScope::Tenant(ctx.tenant()?.id), LogScope::Unknown] {
        let query = LogQuery {
            scope,
            before: Some(seq.saturating_add(1)),
            after: Some(seq.saturating_sub(1)),
            limit: 1,
            ..LogQuery::default()
        };
        let requests = ctx.console.log.requests(&query, &ctx.work)?;
        if let Some(logged) = requests.into_iter().find(|logged| logged.seq == seq) {
            return Ok(Some(logged));
        }
    }
    Ok(None)
}

/// Shows one request with all that is known about it.
pub(crate) fn show(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    let logged = match ctx.request.parameter("seq").parse() {
        Ok(seq) => find(ctx, seq)?,
        Err(_) => None,
    };
    let logged = logged.ok_or_else(|| {
        PageError::NotFound("This request is not in the log, or no longer.".to_owned())
    })?;
    let record = &logged.record;
    let registry = &ctx.console.api.service.registry;
    let resource = record.resource.as_ref().zip(record.kind.as_ref()).and_then(|(id, kind)| {
        let endpoint = &registry.kind(kind.as_str())?.endpoint;
        Some((
            record.name.clone().unwrap_or_else(|| id.to_string()),
            format!("/console/resources{endpoint}/{id}"),
        ))
    });
    let token_id = record.token.as_ref().map(ToString::to_string);
    let facts = [
        ("Request id", Some(record.request.to_string())),
        ("Identity provider", record.idp.clone()),
        ("Token", record.token_name.clone().or(token_id)),
        ("Refused because", record.refused.clone()),
        ("Address", record.address.clone()),
        ("User agent", record.agent.clone()),
        ("Filter", record.query.clone()),
        ("scimType", record.scim_type.clone()),
        ("Attribute", record.field.clone()),
        ("Time taken", Some(format!("{:.1} ms", millis(record.micros)))),
    ];
    let title = format!("{} {}", record.method, record.path);
    let command = ctx.command(&format!("log show {}", logged.seq));
    PageResponse::render(&LogRequestPage {
        layout: ctx.layout(&title, "log").with_commands(vec![command]),
        line: LogLine::new(ctx, &logged),
        facts: facts.into_iter().filter_map(|(label, value)| Some((label, value?))).collect(),
        repairs: record.repairs(),
        body: pretty(record.body.as_deref()),
        reply: pretty(record.reply.as_deref()),
        resource,
    })
}

fn millis(micros: i64) -> f64 {
    f64::from(i32::try_from(micros).unwrap_or(i32::MAX)) / 1_000.0
}

/// Indents JSON. A body that was cut is not JSON and stays as it is.
fn pretty(text: Option<&str>) -> String {
    let text = text.unwrap_or_default();
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(value) => format!("{value:#}"),
        Err(_) => text.to_owned(),
    }
}
