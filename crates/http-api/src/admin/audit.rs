//! The record of changes, row by row, in the order of the chain.

use actix_web::HttpRequest;
use actix_web::web::Data;
use headcount_core::clock::Timestamp;
use headcount_core::error::Error;
use headcount_core::ids::ChainPosition;
use headcount_records::ActorBody;
use headcount_records::audit_list::AuditEntry;
use serde::Serialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::answer::Answer;
use super::params::Params;
use super::problem::Problem;
use super::session::{AdminAuth, ReadAll, respond};
use crate::api::Api;
use crate::error::ApiError;

/// The default size of a page.
const DEFAULT_PAGE: u64 = 100;
/// The highest position that a client can ask for: 18 digits.
const MAX_POSITION: u64 = 999_999_999_999_999_999;

/// The query.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only the documentation is generated from it")]
struct AuditQuery {
    /// The position of the last row that was read; 0, the default, is the beginning.
    #[param(minimum = 0, maximum = 999_999_999_999_999_999_i64)]
    after: Option<i64>,
    /// Rows on a page.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// Another tenant than the token's own; needs the scope `tenants:all`.
    #[param(pattern = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    tenant: Option<String>,
}

/// A page of the record.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditPage)]
struct AuditPage {
    rows: Vec<RowBody>,
    /// The position to send as `after` for the next page.
    next: i64,
    /// Whether there may be another page now.
    more: bool,
}

/// One change.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditRow)]
struct RowBody {
    /// Its position in the chain, which all tenants share.
    place: i64,
    /// The hash over the row and the hash before it.
    hash: String,
    /// The time of the change.
    #[schema(format = DateTime)]
    at: String,
    /// Who made the change.
    actor: ActorBody,
    /// The id of the request.
    request: String,
    /// What was done: `created`, `replaced`, `patched`, `deleted`; of tokens and tenants also
    /// `changed`, `revoked`, `rotated`, `expiring`; `erased`; of log-ins `refused`.
    act: String,
    /// The kind of the changed thing.
    kind: String,
    /// Its id.
    id: String,
    /// The version after the change; 0 where there are no versions.
    version: i64,
    /// The attributes that changed, by name.
    paths: Vec<String>,
    /// Added members.
    added: Vec<String>,
    /// Removed members.
    removed: Vec<String>,
    /// Groups that a deleted resource was a member of.
    left: Vec<String>,
    /// Whether it switched a user or a tenant on or off.
    #[serde(skip_serializing_if = "Option::is_none")]
    active: Option<bool>,
    /// The name; absent when it was erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The `externalId`; absent when it was erased.
    #[serde(rename = "externalId", skip_serializing_if = "Option::is_none")]
    external_id: Option<String>,
    /// The address from which someone acted at the console; absent when it was erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
}

fn body(entry: AuditEntry) -> RowBody {
    let AuditEntry { position, hash, row } = entry;
    let delta = parse(&row.delta);
    let personal = parse(row.personal.as_deref().unwrap_or_default());
    RowBody {
        place: position.number(),
        hash,
        at: Timestamp::from_micros(row.at).to_string(),
        actor: ActorBody::new(&row.actor_kind, &row.actor),
        request: row.request,
        act: row.act,
        kind: row.kind,
        id: row.resource,
        version: row.version,
        paths: row.paths.split_whitespace().map(str::to_owned).collect(),
        added: ids(&delta, "added"),
        removed: ids(&delta, "removed"),
        left: ids(&delta, "left"),
        active: row.switched.map(|on| on != 0),
        name: text(&personal, "name"),
        external_id: text(&personal, "externalId"),
        address: text(&personal, "address"),
    }
}

fn parse(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_default()
}

/// Returns the ids in a list. A group that a resource left is listed as a pair of id and version.
fn ids(delta: &Value, list: &str) -> Vec<String> {
    let entries = delta.get(list).and_then(Value::as_array).into_iter().flatten();
    let ids = entries.filter_map(|entry| entry.as_str().or_else(|| entry.get(0)?.as_str()));
    ids.map(str::to_owned).collect()
}

fn text(object: &Value, name: &str) -> Option<String> {
    object.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn read(request: &HttpRequest) -> Result<(ChainPosition, usize, Option<String>), ApiError> {
    let mut params = Params::of(request);
    let after = params.number("after", 0, MAX_POSITION)?.unwrap_or_default();
    let limit = params.number("limit", 1, 1_000)?.unwrap_or(DEFAULT_PAGE);
    let tenant = params.take("tenant")?;
    params.end()?;
    let after = ChainPosition::new(i64::try_from(after).unwrap_or(i64::MAX));
    Ok((after, usize::try_from(limit).unwrap_or(1), tenant))
}

/// Read the record of changes
///
/// Who changed what and when, of resources, tokens and tenants, without values. Each row has the hash that
/// chains it to the row before; `headcount audit verify` checks the chain.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "audit", params(AuditQuery),
    responses((status = 200, description = "A page.", body = AuditPage)),
    security(("token" = ["admin:read"])),
)]
pub(super) async fn audit(
    auth: AdminAuth<ReadAll>,
    request: HttpRequest,
    api: Data<Api>,
) -> Result<Answer, Problem> {
    let asked = read(&request);
    respond(&api, auth, move |session| {
        let (after, limit, named) = asked?;
        let tenant = session.tenant(named.as_deref())?;
        let rows = session.api.administration()?.trail.audit(tenant, after, limit);
        let rows = rows.map_err(Error::from)?;
        Answer::ok(&AuditPage {
            next: rows.last().map_or(after, |row| row.position).number(),
            more: rows.len() >= limit,
            rows: rows.into_iter().map(body).collect(),
        })
    })
    .await
}
