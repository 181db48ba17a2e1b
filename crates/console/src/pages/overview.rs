//! How it goes: numbers, activity, tokens, what needs attention.

use askama::Template;
use headcount_core::clock::Timestamp;
use headcount_core::filter::parse_filter;
use headcount_core::provider::{Query, Start, With};
use headcount_core::quirks::Applied;
use headcount_core::schema::ResourceType;
use headcount_records::LogQuery;
use headcount_records::activity::Slots;
use headcount_token_admin::{Token, TokenState};

use super::chart::{self, Bar};
use super::log::Line;
use crate::answer::{Answer, Fault};
use crate::desk::{Desk, Frame};
use crate::format::{ago, distance, number, time};

const DAY: i64 = 24 * 60 * 60;
/// A sync is late when the identity provider, which came regularly, has been silent for so long.
const SILENCE: i64 = 2 * 60 * 60;
/// Tokens that end within this time need attention.
const SOON: i64 = 30 * DAY;
/// Refused requests that are shown.
const REFUSED: usize = 5;

#[derive(Template)]
#[template(path = "overview.html")]
struct Page {
    frame: Frame,
    numbers: Vec<Number>,
    chart: String,
    /// The highest bar, and when the first begins.
    most: String,
    begins: String,
    sums: Vec<(&'static str, &'static str, String)>,
    spans: Vec<(&'static str, &'static str, bool)>,
    tokens: Vec<Used>,
    notices: Vec<Notice>,
    refused: Vec<Line>,
    /// Whether no token was ever made.
    fresh: bool,
}

struct Number {
    label: String,
    value: String,
    href: String,
    more: String,
}

struct Used {
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
    desk: &Desk<'_>,
    kind: &ResourceType,
    filter: Option<&str>,
) -> Result<u64, Fault> {
    let tenant = desk.tenant()?;
    let parse = |text| parse_filter(kind, tenant.quirks, &mut Applied::default(), text);
    let filter = filter.map(parse).transpose()?;
    let (start, with, work) = (Start::Offset(0), With::Nothing, desk.work.clone());
    let query = Query { kind, filter, sort: None, start, limit: 0, with, work };
    Ok(desk.console.api.service.provider.find(tenant.id, &query)?.total)
}

fn numbers(desk: &Desk<'_>) -> Result<Vec<Number>, Fault> {
    let mut numbers = Vec::new();
    for kind in desk.console.api.service.registry.kinds() {
        let total = count(desk, kind, None)?;
        let endpoint = kind.endpoint.trim_start_matches('/');
        let href = format!("/console/resources/{endpoint}");
        let mut more = String::new();
        if kind.kind.as_str() == "User" {
            let off = count(desk, kind, Some("active eq false"))?;
            more =
                format!("{} active, {} deactivated", number(total - off.min(total)), number(off));
        }
        numbers.push(Number { label: endpoint.to_owned(), value: number(total), href, more });
    }
    Ok(numbers)
}

/// The chart of a span with what is written around it.
struct Drawn {
    svg: String,
    most: String,
    begins: String,
    sums: Vec<(&'static str, &'static str, String)>,
    spans: Vec<(&'static str, &'static str, bool)>,
}

fn activity(desk: &Desk<'_>) -> Result<Drawn, Fault> {
    let asked = desk.visit.query.get("span");
    let chosen = SPANS.iter().find(|(word, ..)| *word == asked).unwrap_or(&SPANS[0]);
    let (word, label, seconds, slots) = *chosen;
    let tenant = desk.tenant()?.id;
    let length = seconds * 1_000_000;
    // Slots begin at whole hours or days, and the last one is the present one.
    let end = (desk.now.micros() / length + 1) * length;
    let from = Timestamp::from_micros(end - length * i64::try_from(slots).unwrap_or(0));
    let slots = Slots { from, seconds, count: slots };
    let happened = desk.console.activity.happened(tenant, slots, &desk.work)?;
    let refused = desk.console.refusals.refused(tenant, slots, &desk.work)?;
    let bars: Vec<Bar> = (0..)
        .zip(happened.iter().zip(&refused))
        .map(|(index, (happened, refused))| Bar {
            happened: *happened,
            refused: *refused,
            begins: slots.begin(index),
        })
        .collect();
    let sum = |of: fn(&Bar) -> u64| bars.iter().map(of).sum::<u64>();
    let sums = [
        ("created", "bar-created", sum(|bar| bar.happened.created)),
        ("changed", "bar-changed", sum(|bar| bar.happened.changed)),
        ("deleted", "bar-deleted", sum(|bar| bar.happened.deleted)),
        ("refused", "bar-refused", sum(|bar| bar.refused)),
    ];
    let told: Vec<String> =
        sums.iter().map(|(word, _, amount)| format!("{} {word}", number(*amount))).collect();
    let svg = chart::draw(&bars, &format!("The last {label}: {}", told.join(", ")));
    let sums = sums.map(|(word, class, amount)| (word, class, number(amount))).to_vec();
    let spans = SPANS.map(|(known, label, ..)| (known, label, known == word)).to_vec();
    let most = bars.iter().map(Bar::total).max().unwrap_or(0);
    Ok(Drawn { svg, most: number(most), begins: time(from), sums, spans })
}

fn notices(desk: &Desk<'_>, tokens: &[Token]) -> Vec<Notice> {
    let mut notices = Vec::new();
    if desk.tenant().is_ok_and(|tenant| !tenant.enabled) {
        notices.push(Notice {
            bad: true,
            text: "This tenant is switched off: every request with its tokens is refused."
                .to_owned(),
            href: "/console/settings".to_owned(),
            action: "Open settings",
        });
    }
    let succeeded =
        |token: &Token| tokens.iter().any(|other| other.replaces.as_ref() == Some(&token.id));
    for token in tokens.iter().filter(|token| token.revoked.is_none()) {
        let Some(expires) = token.expires.filter(|at| *at <= desk.now.plus_seconds(SOON)) else {
            continue;
        };
        let over = expires <= desk.now;
        if over && (succeeded(token) || expires.plus_seconds(SOON) < desk.now) {
            continue;
        }
        let verb = if over { "expired" } else { "expires" };
        notices.push(Notice {
            bad: over || expires <= desk.now.plus_seconds(7 * DAY),
            text: format!("The token \"{}\" {verb} {}.", token.name, distance(expires, desk.now)),
            href: format!("/console/tokens/{}", token.id),
            action: if over { "Open" } else { "Rotate" },
        });
    }
    let used = tokens.iter().filter(|token| token.revoked.is_none());
    let last = used.filter_map(|token| token.last_used.as_ref()).map(|used| used.at).max();
    if let Some(at) = last.filter(|at| at.plus_seconds(SILENCE) < desk.now) {
        notices.push(Notice {
            bad: false,
            text: format!(
                "No request has arrived since {}. Most identity providers come at least every 40 minutes.",
                distance(at, desk.now)
            ),
            href: "/console/log".to_owned(),
            action: "Open the log",
        });
    }
    notices
}

/// The page.
pub(crate) fn show(desk: &Desk<'_>) -> Result<Answer, Fault> {
    let tenant = desk.tenant()?;
    let tokens = desk.console.api.tokens.list(&desk.principal()?, Some(tenant.id))?;
    let drawn = activity(desk)?;
    let query =
        LogQuery { tenant: Some(tenant.id), failed: true, limit: REFUSED, ..LogQuery::default() };
    let refused = desk.console.log.requests(&query, &desk.work)?;
    let used = |token: &Token| {
        let used = token.last_used.as_ref();
        Used {
            name: token.name.clone(),
            href: format!("/console/tokens/{}", token.id),
            used: used.map_or_else(|| "never".to_owned(), |used| ago(used.at, desk.now)),
            by: used.and_then(|used| used.agent.clone()).unwrap_or_default(),
        }
    };
    let mut working: Vec<&Token> =
        tokens.iter().filter(|token| token.state(desk.now) == TokenState::Works).collect();
    working.sort_by_key(|token| std::cmp::Reverse(token.last_used.as_ref().map(|used| used.at)));
    Answer::page(&Page {
        frame: desk.frame("Overview", "overview").at_the_command_line(vec![
            desk.command("token list"),
            desk.command("log tail --failed"),
        ]),
        numbers: numbers(desk)?,
        chart: drawn.svg,
        most: drawn.most,
        begins: drawn.begins,
        sums: drawn.sums,
        spans: drawn.spans,
        tokens: working.into_iter().take(8).map(used).collect(),
        notices: notices(desk, &tokens),
        refused: refused.iter().map(|logged| Line::of(logged, desk.now)).collect(),
        fresh: tokens.is_empty(),
    })
}
