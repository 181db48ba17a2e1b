//! The record of changes, row by row, as it is chained.

use actix_web::HttpRequest;
use actix_web::web::Data;
use headcount_core::clock::Timestamp;
use headcount_core::error::Error;
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

/// Rows of a page when the client does not say.
const PAGE: u64 = 100;
/// The highest place that can be asked for: 18 digits.
const LAST: u64 = 999_999_999_999_999_999;

/// Which rows.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the documentation is made from it; it is read by hand")]
struct AuditQuery {
    /// The place of the last row that was read; 0, the default, is the beginning.
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
struct PageBody {
    rows: Vec<RowBody>,
    /// The place to ask for the next page with.
    next: i64,
    /// Whether there may be a next page already.
    more: bool,
}

/// One change.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditRow)]
struct RowBody {
    /// Its place in the chain, which all tenants share.
    place: i64,
    /// The hash over the row and the hash before it.
    hash: String,
    /// When.
    #[schema(format = DateTime)]
    at: String,
    /// Who.
    actor: ActorBody,
    /// In which request.
    request: String,
    /// What was done: `created`, `replaced`, `patched`, `deleted`; of tokens and tenants also
    /// `changed`, `revoked`, `rotated`, `expiring`; `erased`.
    act: String,
    /// To what kind of thing.
    kind: String,
    /// To which one.
    id: String,
    /// The version that it made; 0 of what has no versions.
    version: i64,
    /// The attributes that changed, by name.
    paths: Vec<String>,
    /// Members that came.
    added: Vec<String>,
    /// Members that went.
    removed: Vec<String>,
    /// Groups that a deleted resource was a member of.
    left: Vec<String>,
    /// Whether a user or a tenant was switched on or off by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    active: Option<bool>,
    /// The name it went by; absent when it was erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The `externalId` it had; absent when it was erased.
    #[serde(rename = "externalId", skip_serializing_if = "Option::is_none")]
    external_id: Option<String>,
}

fn body(audited: AuditEntry) -> RowBody {
    let AuditEntry { position, hash, row } = audited;
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let (delta, personal) = (parse(&row.delta), parse(row.personal.as_deref().unwrap_or("null")));
    let ids = |name: &str| {
        let list = delta.get(name).and_then(Value::as_array).into_iter().flatten();
        // A group that was left stands there with its version.
        let id =
            |entry: &Value| entry.as_str().or_else(|| entry.get(0)?.as_str()).map(str::to_owned);
        list.filter_map(id).collect::<Vec<_>>()
    };
    let name = |name: &str| personal.get(name).and_then(Value::as_str).map(str::to_owned);
    RowBody {
        place: position,
        hash,
        at: Timestamp::from_micros(row.at).to_string(),
        actor: ActorBody::new(&row.actor_kind, &row.actor),
        request: row.request,
        act: row.act,
        kind: row.kind,
        id: row.resource,
        version: row.version,
        paths: row.paths.split_whitespace().map(str::to_owned).collect(),
        added: ids("added"),
        removed: ids("removed"),
        left: ids("left"),
        active: row.switched.map(|on| on != 0),
        name: name("name"),
        external_id: name("externalId"),
    }
}

fn read(request: &HttpRequest) -> Result<(i64, usize, Option<String>), ApiError> {
    let mut params = Params::of(request);
    let after = params.number("after", 0, LAST)?.unwrap_or_default();
    let limit = params.number("limit", 1, 1_000)?.unwrap_or(PAGE);
    let tenant = params.take("tenant")?;
    params.end()?;
    Ok((i64::try_from(after).unwrap_or(i64::MAX), usize::try_from(limit).unwrap_or(1), tenant))
}

/// Read the record of changes
///
/// Who changed what and when, of resources, tokens and tenants, without values. Each row carries the
/// hash that chains it to the row before; `headcount audit verify` checks the chain.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "audit", params(AuditQuery),
    responses((status = 200, description = "A page.", body = PageBody)),
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
        Answer::ok(&PageBody {
            next: rows.last().map_or(after, |row| row.position),
            more: rows.len() >= limit,
            rows: rows.into_iter().map(body).collect(),
        })
    })
    .await
}
