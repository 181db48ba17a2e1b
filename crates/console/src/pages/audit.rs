//! Who changed what.

use askama::Template;
use headcount_core::change::{Act, Actor, Recorded, TENANT_KIND, TOKEN_KIND};
use headcount_core::ids::{ChainPosition, TenantId};
use headcount_records::activity::ChangeQuery;
use headcount_records::describe;
use headcount_token_admin::Token;
use headcount_token_admin::accounts::{ADMIN_KIND, EXPORT_KIND, LINK_KIND, SERVER, SESSION_KIND};

use crate::context::{Layout, PageContext};
use crate::error::PageError;
use crate::format::{query, time};
use crate::response::PageResponse;

/// Changes on one page.
const PAGE_SIZE: usize = 50;

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    layout: Layout,
    rows: Vec<AuditRow>,
    /// Whether only changes by people are shown, without those by tokens.
    people: bool,
    /// Whether all tenants are shown, and the accounts.
    everything: bool,
    older: Option<String>,
    newest: Option<String>,
}

struct AuditRow {
    position: i64,
    time: String,
    who: String,
    what: String,
    kind: String,
    name: String,
    href: String,
    tenant: String,
}

/// Describes a change of something without versions, with the settings that it changed and the address from which
/// someone acted.
fn describe_settings(recorded: &Recorded) -> String {
    let change = &recorded.change;
    let word = match (recorded.kind.as_str(), change.act) {
        (SESSION_KIND, Act::Created) => "logged in",
        (SESSION_KIND, Act::Refused) => "was refused to log in",
        (EXPORT_KIND, Act::Created) => "exported",
        (_, act) => act.word(),
    };
    let paths = change.paths.iter().map(ToString::to_string);
    let paths: Vec<String> = paths.filter(|path| path != word).collect();
    let mut text = word.to_owned();
    if !paths.is_empty() {
        text.push_str(&format!(": {}", paths.join(", ")));
    }
    if let Some(address) = &change.names.address {
        text.push_str(&format!(" (from {address})"));
    }
    text
}

fn row(ctx: &PageContext<'_>, tokens: &[Token], tenant: TenantId, recorded: &Recorded) -> AuditRow {
    let registry = &ctx.console.api.service.registry;
    let href = match recorded.kind.as_str() {
        TOKEN_KIND => format!("/console/tokens/{}", recorded.id),
        TENANT_KIND | ADMIN_KIND | LINK_KIND | SESSION_KIND | EXPORT_KIND => {
            "/console/settings".to_owned()
        }
        kind => registry.kind(kind).map_or_else(String::new, |kind| {
            format!("/console/resources{}/{}", kind.endpoint, recorded.id)
        }),
    };
    let what = match recorded.version {
        None => describe_settings(recorded),
        Some(_) => describe::change(recorded),
    };
    let who = match &recorded.change.actor {
        Actor::Admin(name) => format!("{name} (console)"),
        Actor::Token(id) => match tokens.iter().find(|token| token.id == *id) {
            Some(token) => format!("token {}", token.name),
            None => format!("token {id}"),
        },
        other => other.to_string(),
    };
    let name = recorded.change.names.name.clone();
    AuditRow {
        position: recorded.position.number(),
        time: time(recorded.change.at),
        who,
        what,
        kind: recorded.kind.to_string(),
        name: name.unwrap_or_else(|| recorded.id.to_string()),
        href,
        tenant: match tenant {
            SERVER => "server".to_owned(),
            tenant => ctx.tenant_name(tenant),
        },
    }
}

/// Returns the address of the page with the same filter, from this position back.
fn page_before(ctx: &PageContext<'_>, before: &str) -> String {
    let asked = &ctx.request.query;
    let filter = [("by", asked.get("by")), ("of", asked.get("of")), ("before", before)];
    format!("/console/audit{}", query(&filter))
}

/// Shows the page.
pub(crate) fn list(ctx: &PageContext<'_>) -> Result<PageResponse, PageError> {
    let asked = &ctx.request.query;
    let (people, everything) = (asked.get("by") == "people", asked.get("of") == "everything");
    let before = asked.get("before").parse().ok().map(ChainPosition::new);
    let tenant = if everything { None } else { Some(ctx.tenant()?.id) };
    let query = ChangeQuery { tenant, by_people: people, before, limit: PAGE_SIZE + 1 };
    let mut changes = ctx.console.activity.latest(&query, &ctx.work)?;
    let more = changes.len() > PAGE_SIZE;
    changes.truncate(PAGE_SIZE);
    let tokens = ctx.console.api.tokens.list(&ctx.principal()?, None)?;
    let last = changes.last().map_or(0, |(_, recorded)| recorded.position.number());
    PageResponse::render(&AuditPage {
        layout: ctx
            .layout("Audit", "audit")
            .with_commands(vec![ctx.command("audit export"), ctx.command("audit verify")]),
        rows: changes
            .iter()
            .map(|(tenant, recorded)| row(ctx, &tokens, *tenant, recorded))
            .collect(),
        people,
        everything,
        older: more.then(|| page_before(ctx, &last.to_string())),
        newest: before.is_some().then(|| page_before(ctx, "")),
    })
}
