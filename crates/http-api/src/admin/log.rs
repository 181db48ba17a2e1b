//! The provisioning log: requests, the timeline of an identity, and counts of repairs.

use actix_web::HttpRequest;
use actix_web::web::{Data, Path};
use headcount_core::error::Error;
use headcount_core::ids::{Kind, RequestId, TokenId};
use headcount_core::index::fold;
use headcount_records::timeline::TimelineReader;
use headcount_records::{LogQuery, LogScope, RecordBody, TimelineBody};
use headcount_token_admin::Scopes;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::answer::Answer;
use super::params::{Params, bad};
use super::problem::Problem;
use super::session::{AdminAuth, ReadAll, Session, respond};
use crate::api::Api;
use crate::error::{ApiError, Fault};

/// The default size of a page.
const DEFAULT_PAGE: u64 = 100;
/// The highest number that a client can ask for: 18 digits.
const MAX_NUMBER: u64 = 999_999_999_999_999_999;
/// The longest name in a query, in characters.
const MAX_NAME: usize = 200;
/// The longest id of a token or a request and the longest name of a kind, in characters.
const MAX_WORD: usize = 64;

/// The query.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only the documentation is generated from it")]
struct LogParams {
    /// Only requests before this number: the next page.
    #[param(minimum = 1, maximum = 999_999_999_999_999_999_i64)]
    before: Option<i64>,
    /// Only requests after this number, oldest first: those that have arrived since.
    #[param(minimum = 0, maximum = 999_999_999_999_999_999_i64)]
    after: Option<i64>,
    /// Requests on a page.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `failed` leaves out the requests that succeeded.
    #[param(pattern = "^(failed|all)$")]
    outcome: Option<String>,
    /// Only requests with this token, by its public id.
    #[param(min_length = 1, max_length = 64)]
    token: Option<String>,
    /// Only requests about this resource type.
    #[param(min_length = 1, max_length = 64)]
    kind: Option<String>,
    /// Only the request with this id, which its response had as `X-Request-Id`.
    #[param(rename = "requestId", min_length = 1, max_length = 64)]
    request_id: Option<String>,
    /// Only requests with this name: a userName, displayName, externalId, e-mail address or id.
    #[param(min_length = 1, max_length = 200)]
    name: Option<String>,
    /// Another tenant than the token's own; needs the scope `tenants:all`.
    #[param(pattern = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    tenant: Option<String>,
    /// `yes` for all tenants, and for refused tokens that belong to none; needs the scope `tenants:all`.
    #[param(pattern = "^(yes|no)$")]
    everywhere: Option<String>,
}

/// A page of the log.
#[derive(Serialize, ToSchema)]
#[schema(as = LogPage)]
struct LogPage {
    /// The requests, newest first; with `after`, oldest first.
    requests: Vec<RecordBody>,
}

/// The tenants of a query.
struct Reach {
    tenant: Option<String>,
    everywhere: bool,
}

impl Reach {
    fn read(params: &mut Params) -> Result<Self, Fault> {
        let tenant = params.take("tenant")?;
        let everywhere = params.word("everywhere", &[("yes", true), ("no", false)])?;
        Ok(Self { tenant, everywhere: everywhere.unwrap_or(false) })
    }

    /// Returns whose requests are read.
    fn scope(&self, session: &Session<'_>) -> Result<LogScope, ApiError> {
        if self.everywhere {
            session.need(Scopes::TENANTS_ALL)?;
        }
        let tenant = session.tenant(self.tenant.as_deref())?;
        Ok(if self.everywhere { LogScope::All } else { LogScope::Tenant(tenant) })
    }
}

fn read(request: &HttpRequest) -> Result<(LogQuery, Reach), ApiError> {
    let mut params = Params::of(request);
    let before = params.number("before", 1, MAX_NUMBER)?.and_then(|number| number.try_into().ok());
    let after = params.number("after", 0, MAX_NUMBER)?.and_then(|number| number.try_into().ok());
    let limit = params.number("limit", 1, 1_000)?.unwrap_or(DEFAULT_PAGE);
    let failed = params.word("outcome", &[("failed", true), ("all", false)])?.unwrap_or(false);
    let token = text(&mut params, "token", MAX_WORD)?.map(TokenId::new);
    let kind = text(&mut params, "kind", MAX_WORD)?.map(Kind::new);
    let request = text(&mut params, "requestId", MAX_WORD)?.map(RequestId::new);
    let name = text(&mut params, "name", MAX_NAME)?.map(|name| fold(name.trim()));
    let reach = Reach::read(&mut params)?;
    params.end()?;
    let limit = usize::try_from(limit).unwrap_or(1);
    let query =
        LogQuery { scope: LogScope::All, token, name, request, failed, kind, before, after, limit };
    Ok((query, reach))
}

fn text(params: &mut Params, name: &str, max: usize) -> Result<Option<String>, Fault> {
    let Some(text) = params.take(name)? else { return Ok(None) };
    if text.is_empty() || text.contains('\0') || text.chars().count() > max {
        return Err(bad(name, &format!("it must be a text of 1 to {max} characters")));
    }
    Ok(Some(text))
}

/// Read the provisioning log
///
/// The requests of identity providers and the responses to them, including reads, connection tests and refused
/// tokens.
#[utoipa::path(
    get, path = "/api/v1/log", tag = "log", params(LogParams),
    responses((status = 200, description = "A page.", body = LogPage)),
    security(("token" = ["admin:read"])),
)]
pub(super) async fn list(
    auth: AdminAuth<ReadAll>,
    request: HttpRequest,
    api: Data<Api>,
) -> Result<Answer, Problem> {
    let asked = read(&request);
    respond(&api, auth.scanning(), move |session| {
        let (query, reach) = asked?;
        let scope = reach.scope(session)?;
        let log = &session.api.administration()?.log;
        let found = log
            .requests(&LogQuery { scope, ..query }, &session.caller.work)
            .map_err(Error::from)?;
        let requests = found.iter().map(RecordBody::new).collect();
        Answer::ok(&LogPage { requests })
    })
    .await
}

/// Read one request
///
/// With the bodies of the request and of the response, without secrets.
#[utoipa::path(
    get, path = "/api/v1/log/{number}", tag = "log",
    params(
        ("number" = i64, Path, description = "Its number in the log.", minimum = 1),
        ("tenant" = Option<String>, Query, description = "Another tenant than the token's own; needs the scope `tenants:all`."),
        ("everywhere" = Option<String>, Query, pattern = "^(yes|no)$", description = "`yes` for a request of any tenant, or of none; needs the scope `tenants:all`."),
    ),
    responses((status = 200, description = "The request.", body = RecordBody)),
    security(("token" = ["admin:read"])),
)]
pub(super) async fn get(
    auth: AdminAuth<ReadAll>,
    request: HttpRequest,
    number: Path<String>,
    api: Data<Api>,
) -> Result<Answer, Problem> {
    let mut params = Params::of(&request);
    let reach = Reach::read(&mut params).and_then(|reach| params.end().map(|()| reach));
    respond(&api, auth, move |session| {
        let scope = reach?.scope(session)?;
        let mut found = Vec::new();
        if let Some(seq) = number.parse().ok().filter(|seq: &i64| *seq > 0) {
            let (after, before) = (Some(seq - 1), seq.checked_add(1));
            let query = LogQuery { scope, after, before, limit: 1, ..LogQuery::default() };
            let log = &session.api.administration()?.log;
            found = log.requests(&query, &session.caller.work).map_err(Error::from)?;
        }
        let record = found.first().ok_or_else(|| {
            Fault::Missing(format!("there is no request {number} in the log here"))
        })?;
        Answer::ok(&RecordBody::with_bodies(record))
    })
    .await
}

/// The query.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only the documentation is generated from it")]
struct TimelineParams {
    /// A userName, displayName, externalId, e-mail address or id, in any case.
    #[param(min_length = 1, max_length = 200)]
    name: String,
    /// Another tenant than the token's own; needs the scope `tenants:all`.
    #[param(pattern = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    tenant: Option<String>,
}

/// Read the timeline of an identity
///
/// Everything that happened to an identity, in order: attempts that succeeded and that were refused, repairs,
/// changes of groups. It does not matter whether an identity of that name was ever created.
#[utoipa::path(
    get, path = "/api/v1/timeline", tag = "log", params(TimelineParams),
    responses((status = 200, description = "The timeline.", body = TimelineBody)),
    security(("token" = ["admin:read"])),
)]
pub(super) async fn timeline(
    auth: AdminAuth<ReadAll>,
    request: HttpRequest,
    api: Data<Api>,
) -> Result<Answer, Problem> {
    let asked = read_timeline(&request);
    respond(&api, auth.scanning(), move |session| {
        let (name, named) = asked?;
        let tenant = session.tenant(named.as_deref())?;
        let administration = session.api.administration()?;
        let reader = TimelineReader {
            registry: &session.api.service.registry,
            provider: &*session.api.service.provider,
            changes: &*administration.feed,
            log: &*administration.log,
            work: &session.caller.work,
        };
        Answer::ok(&TimelineBody::new(&reader.read(tenant, &name)?))
    })
    .await
}

fn read_timeline(request: &HttpRequest) -> Result<(String, Option<String>), Fault> {
    let mut params = Params::of(request);
    let name = text(&mut params, "name", MAX_NAME)?;
    let tenant = params.take("tenant")?;
    params.end()?;
    Ok((name.ok_or_else(|| bad("name", "it is missing; add name=… with a userName, displayName, externalId, e-mail address or id"))?, tenant))
}

/// The count of a repair.
#[derive(Serialize, ToSchema)]
#[schema(as = QuirkCounter)]
struct QuirkBody {
    /// The token whose requests needed it, by its public id.
    token: String,
    /// The quirk's name.
    quirk: String,
    /// The number of requests that needed it.
    count: i64,
    /// The time of the last one.
    #[schema(format = DateTime)]
    last: String,
}

/// The counts of repairs.
#[derive(Serialize, ToSchema)]
#[schema(as = QuirkCounters)]
struct QuirksBody {
    quirks: Vec<QuirkBody>,
}

/// Count repairs
///
/// The deviations from the RFC that were repaired in the requests of each token, with their number and the time of
/// the last one.
#[utoipa::path(
    get, path = "/api/v1/quirks", tag = "log",
    params(("tenant" = Option<String>, Query, description = "Another tenant than the token's own; needs the scope `tenants:all`.")),
    responses((status = 200, description = "The counts.", body = QuirksBody)),
    security(("token" = ["admin:read"])),
)]
pub(super) async fn quirks(
    auth: AdminAuth<ReadAll>,
    request: HttpRequest,
    api: Data<Api>,
) -> Result<Answer, Problem> {
    let mut params = Params::of(&request);
    let named = params.take("tenant").and_then(|named| params.end().map(|()| named));
    respond(&api, auth, move |session| {
        let tenant = session.tenant(named?.as_deref())?;
        let counts = session.api.administration()?.log.quirk_counts(tenant).map_err(Error::from)?;
        let quirks = counts.into_iter().map(|count| QuirkBody {
            token: count.token.to_string(),
            quirk: count.quirk,
            count: count.amount,
            last: count.last.to_string(),
        });
        Answer::ok(&QuirksBody { quirks: quirks.collect() })
    })
    .await
}
