//! Connecting an identity provider: base URL and token side by side, what to enter where, and whether
//! it worked.

use askama::Template;
use headcount_core::ids::TenantId;
use headcount_records::{LogQuery, Logged, advice};
use headcount_token_admin::TokenState;
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::tokens;
use crate::answer::{Answer, Fault};
use crate::desk::{Desk, Frame};
use crate::format::distance;
use crate::guides::{self, GUIDES, Guide, Value};

/// Requests that are looked at to say whether a connection works.
const LOOKED_AT: usize = 50;

#[derive(Template)]
#[template(path = "connect.html")]
struct Page {
    frame: Frame,
    tabs: Vec<(&'static str, &'static str, bool)>,
    guide: &'static Guide,
    /// The token, when it was just made.
    secret: String,
    fields: Vec<Field>,
    heard: Heard,
    /// The number of the newest request when the page was made first.
    after: i64,
    may_change: bool,
    works: Vec<(String, String)>,
    form: tokens::Form,
    curl: String,
}

struct Field {
    label: &'static str,
    value: String,
    /// Whether the value is chosen over there, rather than typed.
    chosen: bool,
    /// Whether the value waits for a token to be made.
    waits: bool,
    id: String,
}

/// What was heard of the identity provider since the page was opened.
struct Heard {
    /// `waiting`, `good` or `bad`.
    state: &'static str,
    text: String,
    advice: String,
}

fn newest(desk: &Desk<'_>) -> Result<i64, Fault> {
    let of = |tenant| -> Result<i64, Fault> {
        let query = LogQuery { tenant: Some(tenant), limit: 1, ..LogQuery::default() };
        Ok(desk.console.log.requests(&query, &desk.work)?.first().map_or(0, |logged| logged.seq))
    };
    Ok(of(desk.tenant()?.id)?.max(of(TenantId::new(0))?))
}

fn hear(desk: &Desk<'_>, after: i64) -> Result<Heard, Fault> {
    let of = |tenant| -> Result<Vec<Logged>, Fault> {
        let query = LogQuery {
            tenant: Some(tenant),
            after: Some(after),
            limit: LOOKED_AT,
            ..LogQuery::default()
        };
        Ok(desk.console.log.requests(&query, &desk.work)?)
    };
    // A token that is nobody's belongs to no tenant: it may be the one that was just pasted.
    let mut all = of(desk.tenant()?.id)?;
    all.extend(of(TenantId::new(0))?);
    all.sort_by_key(|logged| logged.seq);
    let Some(last) = all.last() else {
        return Ok(Heard {
            state: "waiting",
            text: "Waiting for the first request…".to_owned(),
            advice: "Enter the values below, then run the connection test over there.".to_owned(),
        });
    };
    let record = &last.record;
    let who = format!(
        "{} from {}",
        record.sender(),
        record.address.as_deref().unwrap_or("an unknown address")
    );
    let when = distance(record.at, desk.now);
    // A search that finds nothing may be answered 404: that is what a connection test hopes for.
    let refused = record.status >= 400 && !(record.status == 404 && record.kind.is_some());
    if refused {
        let reason = record.reason.clone().unwrap_or_default();
        return Ok(Heard {
            state: "bad",
            text: format!("{who} was refused ({}) {when}: {reason}", record.status),
            advice: advice::advice(record).unwrap_or_default(),
        });
    }
    let count = all.iter().filter(|logged| logged.record.status < 400).count();
    let more = if count > 1 { format!(" {count} requests so far.") } else { String::new() };
    Ok(Heard {
        state: "good",
        text: format!("It works. {who}, {when}: {}.{more}", record.outcome()),
        advice: "Assign users and groups over there; they appear under Users and Groups."
            .to_owned(),
    })
}

fn page(
    desk: &Desk<'_>,
    secret: &str,
    form: tokens::Form,
    frame: impl FnOnce(Frame) -> Frame,
) -> Result<Answer, Fault> {
    let guide = guides::find(desk.visit.query.get("idp"));
    let tenant = desk.tenant()?;
    let base = desk.base_url();
    let value = |value| match value {
        Value::BaseUrl => base.clone(),
        Value::Token => secret.to_owned(),
        Value::BearerToken if secret.is_empty() => String::new(),
        Value::BearerToken => format!("Bearer {secret}"),
        Value::Text(text) | Value::Choose(text) => text.to_owned(),
    };
    let fields = (0..).zip(guide.fields).map(|(index, (label, kind)): (i32, _)| Field {
        label,
        value: value(*kind),
        chosen: matches!(kind, Value::Choose(_)),
        waits: matches!(kind, Value::Token | Value::BearerToken) && secret.is_empty(),
        id: format!("field-{index}"),
    });
    let after = match desk.visit.query.get("after").parse() {
        Ok(after) => after,
        Err(_) => newest(desk)?,
    };
    let all = desk.console.api.tokens.list(&desk.principal()?, Some(tenant.id))?;
    let works = all.iter().filter(|token| token.state(desk.now) == TokenState::Works);
    let shown = if secret.is_empty() { "TOKEN" } else { secret };
    Answer::page(&Page {
        frame: frame(Frame { refresh: secret.is_empty(), ..desk.frame("Connect", "connect") }),
        tabs: GUIDES.iter().map(|known| (known.id, known.name, known.id == guide.id)).collect(),
        guide,
        fields: fields.collect(),
        heard: hear(desk, after)?,
        after,
        may_change: desk.may_change(),
        works: works
            .take(5)
            .map(|token| (token.name.clone(), format!("/console/tokens/{}", token.id)))
            .collect(),
        form,
        curl: format!("curl -H 'Authorization: Bearer {shown}' '{base}/Users?count=1'"),
        secret: secret.to_owned(),
    })
}

/// The page.
pub(crate) fn show(desk: &Desk<'_>) -> Result<Answer, Fault> {
    let command = desk.command(&format!(
        "token create --name {} --tenant {}",
        guides::find(desk.visit.query.get("idp")).id,
        desk.tenant()?.name
    ));
    page(desk, "", tokens::Form::empty(desk), |frame| frame.at_the_command_line(vec![command]))
}

/// Makes a token and shows it in its place.
pub(crate) fn create(desk: &Desk<'_>) -> Result<Answer, Fault> {
    match tokens::issue(desk)? {
        tokens::Issued::Made(issued, command) => {
            let secret = issued.secret.expose_secret();
            let form = tokens::Form::empty(desk);
            page(desk, secret, form, |frame| frame.at_the_command_line(vec![command]))
        }
        tokens::Issued::Wrong(form, password_error, status) => {
            let answer =
                page(desk, "", *form, |frame| Frame { password_error, refresh: false, ..frame })?;
            Ok(answer.status(status))
        }
    }
}

/// What was heard, for the script of the page.
pub(crate) fn heard(desk: &Desk<'_>) -> Result<Answer, Fault> {
    let after = desk.visit.query.get("after").parse().unwrap_or(0);
    let heard = hear(desk, after)?;
    Ok(Answer::json(&json!({"state": heard.state, "text": heard.text, "advice": heard.advice})))
}
