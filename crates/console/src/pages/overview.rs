//! The first page: totals, activity, tokens, and what needs attention.

use askama::Template;
use headcount_core::clock::Timestamp;
use headcount_core::filter::parse_filter;
use headcount_core::provider::{Query, Start, With};
use headcount_core::quirks::Applied;
use headcount_core::schema::ResourceType;
use headcount_records::activity::Slots;
use headcount_records::{LogQuery, LogScope};
use headcount_token_admin::{Token, TokenState};

use super::chart::{self, Bar};
use super::log::LogLine;
use crate::context::{Layout, PageContext};
use crate::error::PageError;
use crate::format::{ago, distance, number, time};
use crate::response::PageResponse;

/// One day, in seconds.
const DAY: i64 = 24 * 60 * 60;
/// Seconds without a request after which a sync is late.
const SYNC_TIMEOUT: i64 = 2 * 60 * 60;
/// Seconds before a token expires, and after it has, in which it needs attention.
const EXPIRY_NOTICE: i64 = 30 * DAY;
/// Seconds before a token expires in which it needs attention urgently.
const URGENT_EXPIRY_NOTICE: i64 = 7 * DAY;
/// Refused requests that are shown.
const MAX_REFUSED: usize = 5;
/// Failed requests that are read for them: what was only not found is not shown.
const MAX_FAILED: usize = 50;
/// Working tokens that are shown.
const MAX_TOKENS: usize = 8;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    layout: Layout,
    totals: Vec<Total>,
    activity: Activity,
    tokens: Vec<TokenUse>,
    notices: Vec<Notice>,
    refused: Vec<LogLine>,
    /// Whether no token was ever made.
    fresh: bool,
}

struct Total {
    label: String,
    value: String,
    href: String,
    more: String,
}

struct TokenUse {
    name: String,
    href: String,
    used: String,
    by: String,
}

struct Notice {
    bad: bool,
    text: String,
    href: String,
    action: &'static str,
}

/// The spans that can be shown: word, label, length of a slot, number of slots.
const SPANS: [(&str, &str, i64, usize); 3] = [
    ("day", "24 hours", 3_600, 24),
    ("week", "7 days", 6 * 3_600, 28),
    ("month", "30 days", DAY, 30),
];

/// Counts the resources of a kind.
pub(super) fn count(
    ctx: &PageContext<'_>,
    kind: &ResourceType,
    filter: Option<&str>,
) -> Result<u64, PageError> {
    let tenant = ctx.tenant()?;
    let filter = filter
        .map(|text| parse_filter(kind, tenant.quirks, &mut Applied::default(), text))
        .transpose()?;
    let (start, with, work) = (Start::Offset(0), With::Nothing, ctx.work.clone());
    let query = Query { kind, filter, sort: None, start, limit: 0, with, work };
    Ok(ctx.console.api.service.provider.find(tenant.id, &query)?.total)
}

fn totals(ctx: &PageContext<'_>) -> Result<Vec<Total>, PageError> {
    let mut totals = Vec::new();
    for kind in ctx.console.api.service.registry.kinds() {
        let total = count(ctx, kind, None)?;
        let endpoint = kind.endpoint.trim_start_matches('/');
        let mut more = String::new();
        if kind.kind.as_str() == "User" {
            let off = count(ctx, kind, Some("active eq false"))?;
            more =
                format!("{} active, {} deactivated", number(total - off.min(total)), number(off));
        }
        totals.push(Total {
            label: endpoint.to_owned(),
            value: number(total),
            href: format!("/console/resources/{endpoint}"),
            more,
        });
    }
    Ok(totals)
}

/// The chart of a span, with its legend.
struct Activity {
    svg: String,
    /// The amount of the highest bar.
    highest: String,
    /// When the first bar begins.
    begins: String,
    /// Word, class and amount.
    sums: Vec<(&'static str, &'static str, String)>,
    /// The spans to choose from: word, label, and whether it is the one that is shown.
    spans: Vec<(&'static str, &'static str, bool)>,
}

fn activity(ctx: &PageContext<'_>) -> Result<Activity, PageError> {
    let asked = ctx.request.query.get("span");
    let chosen = SPANS.iter().find(|(word, ..)| *word == asked).unwrap_or(&SPANS[0]);
    let (word, label, seconds, count) = *chosen;
    let tenant = ctx.tenant()?.id;
    let length = seconds * 1_000_000;
    // Slots begin at whole hours or days, and the last one is the present one.
    let end = (ctx.now.micros() / length + 1) * length;
    let from = Timestamp::from_micros(end - length * i64::try_from(count).unwrap_or(0));
    let slots = Slots { from, seconds, count };
    let happened = ctx.console.activity.changes_by_slot(tenant, slots, &ctx.work)?;
    let refused = ctx.console.refusals.refusals_by_slot(tenant, slots, &ctx.work)?;
    let bars: Vec<Bar> = (0..)
        .zip(happened.iter().zip(&refused))
        .map(|(index, (happened, refused))| Bar {
            happened: *happened,
            refused: *refused,
            begins: slots.begin(index),
        })
        .collect();
    let sums = Bar::sums(&bars);
    let summary = sums.map(|(word, _, amount)| format!("{} {word}", number(amount))).join(", ");
    let highest = bars.iter().map(Bar::total).max().unwrap_or(0);
    Ok(Activity {
        svg: chart::draw(&bars, &format!("The last {label}: {summary}")),
        highest: number(highest),
        begins: time(from),
        sums: sums.map(|(word, class, amount)| (word, class, number(amount))).to_vec(),
        spans: SPANS.map(|(known, label, ..)| (known, label, known == word)).to_vec(),
    })
}

fn notices(ctx: &PageContext<'_>, tokens: &[Token]) -> Vec<Notice> {
    let mut notices = Vec::new();
    if ctx.tenant().is_ok_and(|tenant| !tenant.enabled) {
        notices.push(Notice {
            bad: true,
            text: "This tenant is disabled: every request with its tokens is refused.".to_owned(),
            href: "/console/settings".to_owned(),
            action: "Open settings",
        });
    }
    notices.extend(
        tokens
            .iter()
            .filter(|token| token.revoked.is_none())
            .filter_map(|token| expiry(token, tokens, ctx.now)),
    );
    let last_used = tokens
        .iter()
        .filter(|token| token.revoked.is_none())
        .filter_map(|token| Some(token.last_used.as_ref()?.at))
        .max();
    if let Some(at) = last_used.filter(|at| at.plus_seconds(SYNC_TIMEOUT) < ctx.now) {
        notices.push(Notice {
            bad: false,
            text: format!(
                "No request has arrived since {}. Most identity providers send one at least every 40 minutes.",
                distance(at, ctx.now)
            ),
            href: "/console/log".to_owned(),
            action: "Open the log",
        });
    }
    notices
}

/// Returns what has to be done about a token that ends soon, or has ended. Of one that was rotated, what matters is
/// whether its successor is used.
fn expiry(token: &Token, tokens: &[Token], now: Timestamp) -> Option<Notice> {
    let expires = token.expires.filter(|at| *at <= now.plus_seconds(EXPIRY_NOTICE))?;
    let (over, when) = (expires <= now, distance(expires, now));
    let successors = tokens.iter().filter(|other| other.replaces.as_ref() == Some(&token.id));
    if let Some(new) = successors.filter(|new| new.revoked.is_none()).max_by_key(|new| new.created)
    {
        let is_old = expires.plus_seconds(EXPIRY_NOTICE) < now;
        let verb = if over { "ended" } else { "ends" };
        return (new.last_used.is_none() && !is_old).then(|| Notice {
            bad: expires <= now.plus_seconds(URGENT_EXPIRY_NOTICE),
            text: format!(
                "The old token \"{}\" {verb} {when}; its successor has not been used yet. Enter the new token in the identity provider.",
                token.name
            ),
            href: format!("/console/tokens/{}", new.id),
            action: "Open the successor",
        });
    }
    if over && expires.plus_seconds(EXPIRY_NOTICE) < now {
        return None;
    }
    let verb = if over { "expired" } else { "expires" };
    Some(Notice {
        bad: over || expires <= now.plus_seconds(URGENT_EXPIRY_NOTICE),
        text: format!("The token \"{}\" {verb} {when}.", token.name),
        href: format!("/console/tokens/{}", token.id),
        action: if over { "Open" } else { "Rotate" },
    })
}

fn token_use(token: &Token, now: Timestamp) -> TokenUse {
    let used = token.last_used.as_ref();
    TokenUse {
        name: token.name.clone(),
        href: format!("/console/tokens/{}", token.id),
        used: used.map_or_else(|| "never".to_owned(), |used| ago(used.at, now)),
        by: used.and_then(|used| used.agent.clone()).unwrap_or_default(),
    }
}

/// Shows the page.
pub(crate) fn show(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    let tenant = ctx.tenant()?;
    let tokens = ctx.console.api.tokens.list(&ctx.principal()?, Some(tenant.id))?;
    let query = LogQuery {
        scope: LogScope::Tenant(tenant.id),
        failed: true,
        limit: MAX_FAILED,
        ..LogQuery::default()
    };
    let failed = ctx.console.log.requests(&query, &ctx.work)?;
    let refused = failed.iter().filter(|logged| logged.record.is_refusal()).take(MAX_REFUSED);
    let mut working: Vec<&Token> =
        tokens.iter().filter(|token| token.state(ctx.now) == TokenState::Works).collect();
    working.sort_by_key(|token| std::cmp::Reverse(token.last_used.as_ref().map(|used| used.at)));
    PageResponse::render(&OverviewPage {
        layout: ctx
            .layout("Overview", "overview")
            .with_commands(vec![ctx.command("token list"), ctx.command("log tail --failed")]),
        totals: totals(ctx)?,
        activity: activity(ctx)?,
        tokens: working.iter().take(MAX_TOKENS).map(|token| token_use(token, ctx.now)).collect(),
        notices: notices(ctx, &tokens),
        refused: refused.map(|logged| LogLine::new(ctx, logged)).collect(),
        fresh: tokens.is_empty(),
    })
}
