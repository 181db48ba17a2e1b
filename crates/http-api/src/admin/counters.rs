//! Counts of resources and changes.

use actix_web::HttpRequest;
use actix_web::web::Data;
use headcount_core::clock::Timestamp;
use headcount_core::error::Error;
use headcount_core::ids::TenantId;
use headcount_core::provider::{Query, Start, With};
use headcount_core::schema::ResourceType;
use headcount_core::work::Work;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::answer::Answer;
use super::params::Params;
use super::problem::Problem;
use super::session::{AdminAuth, ReadAll, respond};
use crate::api::Api;
use crate::error::ApiError;

/// The query.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only the documentation is generated from it")]
struct CountersQuery {
    /// The time from which on changes are counted; the beginning, when absent.
    #[param(format = DateTime)]
    since: Option<String>,
    /// Another tenant than the token's own; needs the scope `tenants:all`.
    #[param(pattern = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    tenant: Option<String>,
}

/// The counts of a tenant.
#[derive(Serialize, ToSchema)]
#[schema(as = Counters)]
struct CountersBody {
    /// The time from which on changes were counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    since: Option<String>,
    /// One entry per resource type.
    kinds: Vec<KindBody>,
}

/// The counts of one resource type.
#[derive(Serialize, ToSchema)]
#[schema(as = KindCounters)]
struct KindBody {
    /// The resource type, such as `User`.
    kind: String,
    /// The number of resources.
    total: u64,
    /// The number of creations.
    created: u64,
    /// The number of changes by PUT and PATCH.
    changed: u64,
    /// The number of changes that switched a user off.
    deactivated: u64,
    /// The number of changes that switched a user on again.
    reactivated: u64,
    /// The number of deletions.
    deleted: u64,
}

fn read(request: &HttpRequest) -> Result<(Option<Timestamp>, Option<String>), ApiError> {
    let mut params = Params::of(request);
    let since = params.time("since")?;
    let tenant = params.take("tenant")?;
    params.end()?;
    Ok((since, tenant))
}

fn total(api: &Api, tenant: TenantId, kind: &ResourceType, work: &Work) -> Result<u64, ApiError> {
    let (start, with, work) = (Start::Offset(0), With::Nothing, work.clone());
    let query = Query { kind, filter: None, sort: None, start, limit: 0, with, work };
    Ok(api.service.provider.find(tenant, &query).map_err(Error::from)?.total)
}

/// Count resources and changes
///
/// The number of resources of each type, and of those that were created, changed and deleted since a time.
#[utoipa::path(
    get, path = "/api/v1/counters", tag = "counters", params(CountersQuery),
    responses((status = 200, description = "The counts.", body = CountersBody)),
    security(("token" = ["admin:read"])),
)]
pub(super) async fn counters(
    auth: AdminAuth<ReadAll>,
    request: HttpRequest,
    api: Data<Api>,
) -> Result<Answer, Problem> {
    let asked = read(&request);
    respond(&api, auth, move |session| {
        let (since, named) = asked?;
        let (api, tenant) = (session.api, session.tenant(named.as_deref())?);
        let work = &session.caller.work;
        let from = since.unwrap_or(Timestamp::from_micros(i64::MIN));
        let counts =
            api.administration()?.trail.count_changes(tenant, from, work).map_err(Error::from)?;
        let kinds = api.service.registry.kinds().iter().map(|kind| {
            let count = counts.iter().find(|count| count.kind == kind.kind);
            Ok(KindBody {
                kind: kind.kind.to_string(),
                total: total(api, tenant, kind, work)?,
                created: count.map_or(0, |count| count.created),
                changed: count.map_or(0, |count| count.changed),
                deactivated: count.map_or(0, |count| count.deactivated),
                reactivated: count.map_or(0, |count| count.reactivated),
                deleted: count.map_or(0, |count| count.deleted),
            })
        });
        let kinds = kinds.collect::<Result<_, ApiError>>()?;
        Answer::ok(&CountersBody { since: since.map(|since| since.to_string()), kinds })
    })
    .await
}
