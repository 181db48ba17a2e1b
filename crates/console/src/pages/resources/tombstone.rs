//! What is left of a deleted resource: when it was deleted, by whom, and under which name.

use askama::Template;
use headcount_core::change::{Act, Actor};
use headcount_core::ids::ResourceId;
use headcount_core::schema::ResourceType;

use super::endpoint;
use crate::context::{Layout, PageContext};
use crate::error::PageError;
use crate::format::{query, quote, time};
use crate::pages::explain::{self, Event};
use crate::response::PageResponse;

/// Entries of the timeline that are shown.
const MAX_EVENTS: usize = 30;

#[derive(Template)]
#[template(path = "tombstone.html")]
struct TombstonePage {
    layout: Layout,
    name: String,
    kind: String,
    back: String,
    at: String,
    by: String,
    /// The last externalId.
    external_id: String,
    id: String,
    explain: String,
    events: Vec<Event>,
}

/// Returns the page of a resource that was deleted; `None` when it never was here.
pub(super) fn render(
    ctx: &PageContext<'_>,
    kind: &ResourceType,
    id: &ResourceId,
) -> Result<Option<PageResponse>, PageError> {
    let tenant = ctx.tenant()?;
    let reader = explain::reader(ctx);
    let history = reader.changes.history(tenant.id, id, MAX_EVENTS, &ctx.work)?;
    let of_kind = history.iter().filter(|recorded| recorded.kind == kind.kind);
    let Some(deleted) = of_kind.clone().rfind(|recorded| recorded.change.act == Act::Deleted)
    else {
        return Ok(None);
    };
    // Names are erased from all changes, or from none.
    let names = &deleted.change.names;
    let name = names.name.clone().unwrap_or_else(|| id.to_string());
    let entries = reader.read_resource(tenant.id, id, MAX_EVENTS)?;
    let tokens = ctx.console.api.tokens.list(&ctx.principal()?, Some(tenant.id))?;
    let by = match &deleted.change.actor {
        Actor::Token(token) => {
            let known = tokens.iter().find(|known| known.id == *token);
            known.map_or_else(|| format!("token {token}"), |known| format!("token {}", known.name))
        }
        other => other.to_string(),
    };
    let command = format!("log explain {} --tenant {}", quote(id.as_str()), quote(&tenant.name));
    PageResponse::render(&TombstonePage {
        layout: ctx.layout(&name, &endpoint(kind)).with_commands(vec![ctx.command(&command)]),
        explain: format!("/console/explain{}", query(&[("name", &name)])),
        kind: kind.kind.to_string(),
        back: format!("/console/resources{}", kind.endpoint),
        at: time(deleted.change.at),
        by,
        external_id: names.external_id.clone().unwrap_or_default(),
        id: id.to_string(),
        events: explain::events(ctx, &entries),
        name,
    })
    .map(Some)
}
