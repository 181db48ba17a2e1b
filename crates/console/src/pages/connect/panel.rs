//! Whether a connection works: what the requests with one token show, in three marks.
//!
//! Only requests with this token count, and a mark turns green only by what was proven. Requests with another token
//! are mentioned. A request whose credentials belong to no token may be from this identity provider, with a token
//! that was cut off: it turns a mark red until this token was heard, but none green. Requests without credentials
//! are from strangers, and count for nothing.

use headcount_records::{LogQuery, LogScope, Logged, RequestRecord, advice};
use headcount_token_admin::Token;
use serde_json::{Value, json};

use crate::context::PageContext;
use crate::error::PageError;
use crate::format::distance;

/// Requests of each kind that are read.
const MAX_REQUESTS: usize = 50;

/// What to do until something is heard.
const NEXT: &str = "Enter the values below in the identity provider, then run its connection test.";

/// What the identity provider has sent since the page was opened.
pub(super) struct Panel {
    pub(super) state: State,
    pub(super) text: String,
    pub(super) advice: String,
    /// What is known, in the order in which it becomes known.
    pub(super) marks: [Mark; 3],
    /// Requests with other tokens.
    pub(super) also: String,
}

/// One question, and its answer.
pub(super) struct Mark {
    pub(super) label: &'static str,
    pub(super) state: State,
    pub(super) text: String,
    advice: String,
}

/// How far a question is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Waiting,
    Good,
    Bad,
}

impl State {
    /// Returns the word in classes and for the script.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Good => "good",
            Self::Bad => "bad",
        }
    }
}

/// The requests since the page was opened, newest first.
struct Heard {
    /// With this token.
    own: Vec<RequestRecord>,
    /// With other tokens of the tenant.
    others: Vec<RequestRecord>,
    /// With credentials that belong to no token.
    suspects: Vec<RequestRecord>,
}

impl Heard {
    fn read(ctx: &PageContext<'_>, token: Option<&Token>, after: i64) -> Result<Self, PageError> {
        let tenant = ctx.tenant()?.id;
        let since = LogQuery {
            // With it, the newest come first.
            before: Some(i64::MAX),
            after: Some(after),
            limit: MAX_REQUESTS,
            ..LogQuery::default()
        };
        let all = LogQuery { scope: LogScope::Tenant(tenant), ..since.clone() };
        let unknown = LogQuery { scope: LogScope::Unknown, ..since };
        let id = token.map(|token| &token.id);
        let own = match id {
            Some(id) => records(ctx, &LogQuery { token: Some(id.clone()), ..all.clone() })?,
            None => Vec::new(),
        };
        let mut others = records(ctx, &all)?;
        others.retain(|record| record.token.is_some() && record.token.as_ref() != id);
        let mut suspects = records(ctx, &unknown)?;
        // A token without a tenant is known to none; any other text is malformed.
        suspects.retain(|record| record.token.is_some() || record.refused.is_some());
        Ok(Self { own, others, suspects })
    }

    /// Whether the base URL was right.
    fn reached(&self, ctx: &PageContext<'_>) -> Mark {
        let mark = Mark::new("Reached", "Nothing has arrived with this token yet.");
        match (self.own.first(), self.suspects.first()) {
            (Some(record), _) if is_astray(record) => mark.refused(ctx, record),
            (Some(record), _) => mark.good(arrival(ctx, record)),
            (None, Some(record)) if is_astray(record) => mark.refused(ctx, record),
            (None, _) => mark,
        }
    }

    /// Whether the token was right.
    fn authenticated(&self, ctx: &PageContext<'_>) -> Mark {
        let mark = Mark::new("Authenticated", "The token was not accepted yet.");
        let checked = self.own.iter().find(|record| record.proven || is_rejected(record));
        let suspect = self.suspects.first().filter(|_| self.own.is_empty());
        match (checked, suspect) {
            (Some(record), _) if record.proven => mark.good("The token was accepted.".to_owned()),
            (Some(record), _) => mark.refused(ctx, record),
            (None, Some(record)) if !is_astray(record) => mark.refused(ctx, record),
            (None, _) => mark,
        }
    }

    /// Whether users or groups were read or written.
    fn worked(&self, ctx: &PageContext<'_>) -> Mark {
        let mark = Mark::new("Read or wrote", "No user or group was read or written yet.");
        let used = self.own.iter().filter(|record| record.proven && !is_astray(record));
        // That one resource is not here proves the token, and nothing beyond it.
        let mut used = used.filter(|record| !record.is_notice());
        match used.find(|record| record.is_refusal() || has_worked(record)) {
            Some(record) if record.is_refusal() => mark.refused(ctx, record),
            Some(record) => mark.good(capitalized(&format!("{}.", record.outcome()))),
            None => mark,
        }
    }

    /// Mentions requests with other tokens.
    fn also(&self, ctx: &PageContext<'_>) -> String {
        let Some(record) = self.others.first() else { return String::new() };
        let token = record.token_name.as_deref().unwrap_or("unknown");
        let more = match self.others.len() {
            1 => String::new(),
            MAX_REQUESTS => format!(", and at least {} more", MAX_REQUESTS - 1),
            count => format!(", and {} more", count - 1),
        };
        let when = distance(record.at, ctx.now);
        format!("Also heard: {} with the token \"{token}\", {when}{more}.", record.sender())
    }
}

impl Mark {
    fn new(label: &'static str, text: &str) -> Self {
        Self { label, state: State::Waiting, text: text.to_owned(), advice: String::new() }
    }

    fn good(self, text: String) -> Self {
        Self { state: State::Good, text, ..self }
    }

    fn refused(self, ctx: &PageContext<'_>, record: &RequestRecord) -> Self {
        let (status, reason) = (record.status, record.reason.as_deref().unwrap_or_default());
        let cause = match status {
            404 => "wrong URL",
            401 => "wrong token",
            403 if record.proven => "wrong scope",
            403 => "wrong network",
            _ => "refused",
        };
        let when = distance(record.at, ctx.now);
        let text = format!("{} was refused ({status}) {when}, {cause}: {reason}", sender(record));
        let tenant = ctx.tenant().map_or("NAME", |tenant| tenant.name.as_str());
        let advice = advice::advice_for(record, tenant).unwrap_or_default();
        Self { state: State::Bad, text, advice, ..self }
    }
}

impl Panel {
    /// Reads what was heard of a token since a request.
    pub(super) fn read(
        ctx: &PageContext<'_>,
        token: Option<&Token>,
        after: i64,
    ) -> Result<Self, PageError> {
        let heard = Heard::read(ctx, token, after)?;
        let also = heard.also(ctx);
        let marks = [heard.reached(ctx), heard.authenticated(ctx), heard.worked(ctx)];
        let Some(token) = token else {
            let text = "Create a token below, or choose the one to listen for.".to_owned();
            let marks = marks.map(|mark| Mark::new(mark.label, "No token is chosen."));
            return Ok(Self { state: State::Waiting, text, advice: NEXT.to_owned(), marks, also });
        };
        let bad = marks.iter().find(|mark| mark.state == State::Bad);
        let [reached, _, worked] = &marks;
        let (state, text, advice) = match bad {
            Some(mark) => (State::Bad, mark.text.clone(), mark.advice.clone()),
            None if worked.state == State::Good => (
                State::Good,
                format!("It works. {} {}{}", reached.text, worked.text, so_far(&heard.own)),
                "Assign users and groups in the identity provider; they appear under Users and Groups."
                    .to_owned(),
            ),
            None => (
                State::Waiting,
                match reached.state {
                    State::Good => format!("{} Waiting for users or groups…", reached.text),
                    _ => format!("Waiting for the first request with the token \"{}\"…", token.name),
                },
                NEXT.to_owned(),
            ),
        };
        Ok(Self { state, text, advice, marks, also })
    }

    /// Writes it for the script of the page.
    pub(super) fn json(&self) -> Value {
        let marks = self.marks.iter().map(
            |mark| json!({"label": mark.label, "state": mark.state.word(), "text": mark.text}),
        );
        json!({
            "state": self.state.word(), "text": self.text, "advice": self.advice,
            "marks": marks.collect::<Vec<_>>(), "also": self.also,
        })
    }
}

fn records(ctx: &PageContext<'_>, query: &LogQuery) -> Result<Vec<RequestRecord>, PageError> {
    let requests: Vec<Logged> = ctx.console.log.requests(query, &ctx.work)?;
    Ok(requests.into_iter().map(|logged| logged.record).collect())
}

/// Checks whether a request was at an address where there is nothing.
fn is_astray(record: &RequestRecord) -> bool {
    record.status == 404 && record.kind.is_none()
}

/// Checks whether the token of a request was not accepted, or not from its address.
fn is_rejected(record: &RequestRecord) -> bool {
    record.status == 401 || (record.status == 403 && !record.proven)
}

/// Checks whether a request read or wrote users or groups: that it was told what the server can do is not enough.
fn has_worked(record: &RequestRecord) -> bool {
    let is_about_all = matches!(record.path.as_str(), "/" | "/.search" | "/Bulk");
    record.status < 400 && (record.kind.is_some() || is_about_all)
}

fn sender(record: &RequestRecord) -> String {
    let address = record.address.as_deref().unwrap_or("an unknown address");
    match record.sender() {
        "unknown" => format!("A client at {address}"),
        sender => format!("{sender} from {address}"),
    }
}

fn arrival(ctx: &PageContext<'_>, record: &RequestRecord) -> String {
    format!("{}, {}.", sender(record), distance(record.at, ctx.now))
}

fn so_far(own: &[RequestRecord]) -> String {
    match own.iter().filter(|record| record.status < 400).count() {
        0 | 1 => String::new(),
        MAX_REQUESTS => format!(" At least {MAX_REQUESTS} requests so far."),
        count => format!(" {count} requests so far."),
    }
}

fn capitalized(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect())
}
