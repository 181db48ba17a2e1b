//! Who changed what.

use askama::Template;
use headcount_core::change::{Actor, Recorded};
use headcount_core::ids::TenantId;
use headcount_records::activity::ChangeQuery;
use headcount_records::describe;
use headcount_token_admin::Token;
use headcount_token_admin::accounts::SERVER;

use crate::answer::{Answer, Fault};
use crate::desk::{Desk, Frame};
use crate::format::{query, time};

/// Changes of one page.
const PAGE: usize = 50;

#[derive(Template)]
#[template(path = "audit.html")]
struct Page {
    frame: Frame,
    rows: Vec<Row>,
    people: bool,
    everything: bool,
    older: Option<String>,
    newer: Option<String>,
}

struct Row {
    place: i64,
    time: String,
    who: String,
    what: String,
    kind: String,
    name: String,
    href: String,
    tenant: String,
}

/// What was done to something without versions, with the settings that it changed.
fn settings(recorded: &Recorded) -> String {
    let word = recorded.change.act.word();
    let paths = recorded.change.paths.iter().map(ToString::to_string);
    let paths: Vec<String> = paths.filter(|path| path != word).collect();
    if paths.is_empty() { word.to_owned() } else { format!("{word}: {}", paths.join(", ")) }
}

fn row(desk: &Desk<'_>, tokens: &[Token], tenant: TenantId, recorded: &Recorded) -> Row {
    let registry = &desk.console.api.service.registry;
    let href = match recorded.kind.as_str() {
        "Token" => format!("/console/tokens/{}", recorded.id),
        "Tenant" | "Admin" => "/console/settings".to_owned(),
        kind => registry.kind(kind).map_or_else(String::new, |kind| {
            format!("/console/resources{}/{}", kind.endpoint, recorded.id)
        }),
    };
    let names = &recorded.change.names;
    let what = match recorded.version.counter() {
        // What has no versions tells which settings were changed.
        0 => settings(recorded),
        _ => describe::change(recorded),
    };
    let who = match &recorded.change.actor {
        Actor::Admin(name) => format!("{name} (console)"),
        Actor::Token(id) => match tokens.iter().find(|token| token.id == *id) {
            Some(token) => format!("token {}", token.name),
            None => format!("token {id}"),
        },
        other => other.to_string(),
    };
    Row {
        place: recorded.position.number(),
        time: time(recorded.change.at),
        who,
        what,
        kind: recorded.kind.to_string(),
        name: names.name.clone().unwrap_or_else(|| recorded.id.to_string()),
        href,
        tenant: match tenant {
            SERVER => "server".to_owned(),
            tenant => desk.tenant_name(tenant),
        },
    }
}

/// The page.
pub(crate) fn list(desk: &Desk<'_>) -> Result<Answer, Fault> {
    let asked = &desk.visit.query;
    let (people, everything) = (asked.get("by") == "people", asked.get("of") == "everything");
    let before = asked.get("before").parse().ok();
    let tenant = if everything { None } else { Some(desk.tenant()?.id) };
    let wanted = ChangeQuery { tenant, by_people: people, before, limit: PAGE + 1 };
    let mut found = desk.console.activity.latest(&wanted, &desk.work)?;
    let more = found.len() > PAGE;
    found.truncate(PAGE);
    let tokens = desk.console.api.tokens.list(&desk.principal()?, None)?;
    let last = found.last().map_or(0, |(_, recorded)| recorded.position.number()).to_string();
    let at = |before: &str| {
        let filter = [("by", asked.get("by")), ("of", asked.get("of")), ("before", before)];
        format!("/console/audit{}", query(&filter))
    };
    Answer::page(&Page {
        frame: desk
            .frame("Audit", "audit")
            .at_the_command_line(vec![desk.command("audit export"), desk.command("audit verify")]),
        rows: found
            .iter()
            .map(|(tenant, recorded)| row(desk, &tokens, *tenant, recorded))
            .collect(),
        people,
        everything,
        older: more.then(|| at(&last)),
        newer: before.map(|_: i64| at("")),
    })
}
