//! The provisioning log: every request, with why it was refused and what to change.

use askama::Template;
use headcount_core::clock::Timestamp;
use headcount_core::ids::{Kind, TenantId, TokenId};
use headcount_core::index::fold;
use headcount_records::{LogQuery, Logged, advice};
use serde_json::json;

use crate::answer::{Answer, Fault};
use crate::desk::{Desk, Frame};
use crate::format::{query, quote, time};

/// Requests of one page.
const PAGE: usize = 50;

/// One request in a list.
pub(crate) struct Line {
    pub(crate) seq: i64,
    pub(crate) time: String,
    pub(crate) iso: String,
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
}

impl Line {
    pub(crate) fn of(logged: &Logged, _now: Timestamp) -> Self {
        let record = &logged.record;
        let name = record.name.clone().or_else(|| record.query.clone()).unwrap_or_default();
        Self {
            seq: logged.seq,
            time: time(record.at),
            iso: record.at.to_string(),
            failed: record.status >= 400,
            status: record.status,
            sender: record.sender().to_owned(),
            method: record.method.clone(),
            path: record.path.clone(),
            name,
            outcome: record.outcome(),
            reason: record.reason.clone().unwrap_or_default(),
            advice: advice::advice(record).unwrap_or_default(),
            token: record.token_name.clone().unwrap_or_default(),
            others: record.others().unwrap_or_default(),
        }
    }
}

#[derive(Template)]
#[template(path = "log.html")]
struct Page {
    frame: Frame,
    lines: Vec<Line>,
    name: String,
    token: String,
    kind: String,
    status: String,
    tokens: Vec<(String, String)>,
    kinds: Vec<String>,
    older: Option<String>,
    newer: Option<String>,
    /// Where new requests are asked for; empty on older pages.
    tail: String,
    filtered: bool,
}

fn wanted(desk: &Desk<'_>) -> Result<LogQuery, Fault> {
    let asked = &desk.visit.query;
    let set = |name| Some(asked.get(name)).filter(|value| !value.is_empty());
    let tenant =
        if asked.get("status") == "unknown" { TenantId::new(0) } else { desk.tenant()?.id };
    Ok(LogQuery {
        tenant: Some(tenant),
        token: set("token").map(TokenId::new),
        name: set("name").map(fold),
        request: None,
        failed: matches!(asked.get("status"), "failed" | "unknown"),
        kind: set("kind").map(Kind::new),
        before: asked.get("before").parse().ok(),
        after: None,
        limit: PAGE,
    })
}

/// The list.
pub(crate) fn list(desk: &Desk<'_>) -> Result<Answer, Fault> {
    let asked = &desk.visit.query;
    let wanted = wanted(desk)?;
    let mut found =
        desk.console.log.requests(&LogQuery { limit: PAGE + 1, ..wanted.clone() }, &desk.work)?;
    let more = found.len() > PAGE;
    found.truncate(PAGE);
    let filter = [
        ("name", asked.get("name")),
        ("token", asked.get("token")),
        ("kind", asked.get("kind")),
        ("status", asked.get("status")),
    ];
    let at = |more: (&str, &str)| {
        format!("/console/log{}", query(&[filter.as_slice(), &[more]].concat()))
    };
    let last = found.last().map_or(0, |logged| logged.seq).to_string();
    let first = found.first().map_or(0, |logged| logged.seq).to_string();
    let tail = [filter.as_slice(), &[("after", first.as_str()), ("live", "1")]].concat();
    let tokens = desk.console.api.tokens.list(&desk.principal()?, Some(desk.tenant()?.id))?;
    let registry = &desk.console.api.service.registry;
    let tenant = quote(&desk.tenant()?.name);
    let failed = if wanted.failed { " --failed" } else { "" };
    let command = format!("log tail --tenant {tenant}{failed} --follow");
    Answer::page(&Page {
        frame: desk.frame("Log", "log").at_the_command_line(vec![desk.command(&command)]),
        lines: found.iter().map(|logged| Line::of(logged, desk.now)).collect(),
        name: asked.get("name").to_owned(),
        token: asked.get("token").to_owned(),
        kind: asked.get("kind").to_owned(),
        status: asked.get("status").to_owned(),
        tokens: tokens.iter().map(|token| (token.id.to_string(), token.name.clone())).collect(),
        kinds: registry.kinds().iter().map(|kind| kind.kind.to_string()).collect(),
        older: more.then(|| at(("before", &last))),
        newer: wanted.before.map(|_| at(("", ""))),
        tail: match wanted.before {
            None => format!("/console/log/tail{}", query(&tail)),
            Some(_) => String::new(),
        },
        filtered: filter.iter().any(|(_, value)| !value.is_empty()),
    })
}

/// What arrived since, for the script of the list: oldest first.
pub(crate) fn tail(desk: &Desk<'_>) -> Result<Answer, Fault> {
    let after = desk.visit.query.get("after").parse().unwrap_or(0);
    let query = LogQuery { after: Some(after), before: None, ..wanted(desk)? };
    let lines = desk.console.log.requests(&query, &desk.work)?;
    let lines = lines.iter().map(|logged| {
        let line = Line::of(logged, desk.now);
        json!({
            "seq": line.seq, "at": line.iso, "failed": line.failed, "status": line.status,
            "sender": line.sender, "request": format!("{} {}", line.method, line.path),
            "name": line.name, "outcome": line.outcome, "reason": line.reason,
            "advice": line.advice, "token": line.token, "others": line.others,
        })
    });
    Ok(Answer::json(&json!({"lines": lines.collect::<Vec<_>>()})))
}

#[derive(Template)]
#[template(path = "log_one.html")]
struct One {
    frame: Frame,
    line: Line,
    facts: Vec<(&'static str, String)>,
    repairs: Vec<String>,
    body: String,
    reply: String,
    resource: Option<(String, String)>,
}

/// One request, whole.
pub(crate) fn show(desk: &Desk<'_>) -> Result<Answer, Fault> {
    let missing = || Fault::NotFound("This request is not in the log, or not any more.".to_owned());
    let seq: i64 = desk.visit.part("seq").parse().map_err(|_error| missing())?;
    let of = |tenant| -> Result<Option<Logged>, Fault> {
        let (before, after) = (Some(seq.saturating_add(1)), Some(seq.saturating_sub(1)));
        let query =
            LogQuery { tenant: Some(tenant), before, after, limit: 1, ..LogQuery::default() };
        Ok(desk
            .console
            .log
            .requests(&query, &desk.work)?
            .into_iter()
            .find(|logged| logged.seq == seq))
    };
    let found = match of(desk.tenant()?.id)? {
        Some(found) => Some(found),
        None => of(TenantId::new(0))?,
    };
    let logged = found.ok_or_else(missing)?;
    let record = &logged.record;
    let registry = &desk.console.api.service.registry;
    let resource = record.resource.as_ref().zip(record.kind.as_ref()).and_then(|(id, kind)| {
        let endpoint = &registry.kind(kind.as_str())?.endpoint;
        Some((
            record.name.clone().unwrap_or_else(|| id.to_string()),
            format!("/console/resources{endpoint}/{id}"),
        ))
    });
    let facts = [
        ("Request id", Some(record.request.to_string())),
        ("Identity provider", record.idp.clone()),
        (
            "Token",
            record.token_name.clone().or_else(|| record.token.as_ref().map(ToString::to_string)),
        ),
        ("Refused because", record.refused.clone()),
        ("Address", record.address.clone()),
        ("User agent", record.agent.clone()),
        ("Filter", record.query.clone()),
        ("scimType", record.scim_type.clone()),
        ("Attribute", record.field.clone()),
        ("Time taken", Some(format!("{:.1} ms", millis(record.micros)))),
    ];
    let facts = facts.into_iter().filter_map(|(label, value)| Some((label, value?)));
    let command = desk.command(&format!("log show {seq}"));
    let title = format!("{} {}", record.method, record.path);
    Answer::page(&One {
        frame: desk.frame(&title, "log").at_the_command_line(vec![command]),
        line: Line::of(&logged, desk.now),
        facts: facts.collect(),
        repairs: record.repairs(),
        body: pretty(record.body.as_deref()),
        reply: pretty(record.reply.as_deref()),
        resource,
    })
}

fn millis(micros: i64) -> f64 {
    f64::from(i32::try_from(micros).unwrap_or(i32::MAX)) / 1_000.0
}

/// Indents JSON; a text that was cut is none and stays as it is.
fn pretty(text: Option<&str>) -> String {
    let text = text.unwrap_or_default();
    let parsed = serde_json::from_str::<serde_json::Value>(text);
    parsed.map_or_else(|_| text.to_owned(), |value| format!("{value:#}"))
}
