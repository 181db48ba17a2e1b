//! The provisioning log: requests, the story of an identity, and how often what was repaired.

use actix_web::HttpRequest;
use actix_web::web::{Data, Path};
use headcount_core::error::Error;
use headcount_core::ids::{Kind, RequestId, TenantId, TokenId};
use headcount_core::index::fold;
use headcount_records::timeline::TimelineReader;
use headcount_records::{LogQuery, RecordBody, TimelineBody};
use headcount_token_admin::Scopes;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::answer::Answer;
use super::params::{Params, bad};
use super::problem::Problem;
use super::session::{AdminAuth, ReadAll, Session, respond};
use crate::api::Api;
use crate::error::{ApiError, Fault};

/// Records of a page when the client does not say.
const PAGE: u64 = 100;
/// The highest number that can be asked for: 18 digits.
const LAST: u64 = 999_999_999_999_999_999;
/// The longest name that is looked for, in characters.
const LONGEST_NAME: usize = 200;
/// The longest id of a token or a request and the longest name of a kind, in characters.
const LONGEST_WORD: usize = 64;

/// Which requests.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the documentation is made from it; it is read by hand")]
struct LogParams {
    /// Only those older than this number: the next page.
    #[param(minimum = 1, maximum = 999_999_999_999_999_999_i64)]
    before: Option<i64>,
    /// Only those newer than this number, oldest first: what has arrived since.
    #[param(minimum = 0, maximum = 999_999_999_999_999_999_i64)]
    after: Option<i64>,
    /// Requests on a page.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `failed` leaves out those that succeeded.
    #[param(pattern = "^(failed|all)$")]
    outcome: Option<String>,
    /// Only those with this token, by its public id.
    #[param(min_length = 1, max_length = 64)]
    token: Option<String>,
    /// Only those about this resource type.
    #[param(min_length = 1, max_length = 64)]
    kind: Option<String>,
    /// Only those of this request, by the id that its answer carried as `X-Request-Id`.
    #[param(rename = "requestId", min_length = 1, max_length = 64)]
    request_id: Option<String>,
    /// Only those that name somebody so: a userName, displayName, externalId, e-mail address or id.
    #[param(min_length = 1, max_length = 200)]
    name: Option<String>,
    /// Another tenant than the token's own; needs the scope `tenants:all`.
    #[param(pattern = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    tenant: Option<String>,
    /// `yes` for all tenants, and for refused tokens that are nobody's; needs the scope `tenants:all`.
    #[param(pattern = "^(yes|no)$")]
    everywhere: Option<String>,
}

/// A page of the log.
#[derive(Serialize, ToSchema)]
#[schema(as = LogPage)]
struct PageBody {
    /// The requests, newest first; with `after`, oldest first.
    requests: Vec<RecordBody>,
}

/// Whose requests are asked for.
struct Whose {
    named: Option<String>,
    everywhere: bool,
}

impl Whose {
    fn read(params: &mut Params) -> Result<Self, Fault> {
        let named = params.take("tenant")?;
        let everywhere = params.word("everywhere", &[("yes", true), ("no", false)])?;
        Ok(Self { named, everywhere: everywhere.unwrap_or(false) })
    }

    /// Returns the tenant, none for all of them.
    fn tenant(&self, session: &Session<'_>) -> Result<Option<TenantId>, ApiError> {
        if self.everywhere {
            session.need(Scopes::TENANTS_ALL)?;
        }
        let tenant = session.tenant(self.named.as_deref())?;
        Ok((!self.everywhere).then_some(tenant))
    }
}

fn read(request: &HttpRequest) -> Result<(LogQuery, Whose), ApiError> {
    let mut params = Params::of(request);
    let number =
        |number: Option<u64>| number.map(|number| i64::try_from(number).unwrap_or(i64::MAX));
    let before = number(params.number("before", 1, LAST)?);
    let after = number(params.number("after", 0, LAST)?);
    let limit = params.number("limit", 1, 1_000)?.unwrap_or(PAGE);
    let failed = params.word("outcome", &[("failed", true), ("all", false)])?.unwrap_or(false);
    let token = text(&mut params, "token", LONGEST_WORD)?.map(TokenId::new);
    let kind = text(&mut params, "kind", LONGEST_WORD)?.map(Kind::new);
    let request = text(&mut params, "requestId", LONGEST_WORD)?.map(RequestId::new);
    let name = text(&mut params, "name", LONGEST_NAME)?.map(|name| fold(name.trim()));
    let whose = Whose::read(&mut params)?;
    params.end()?;
    let limit = usize::try_from(limit).unwrap_or(1);
    let query = LogQuery { tenant: None, token, name, request, failed, kind, before, after, limit };
    Ok((query, whose))
}

fn text(params: &mut Params, name: &str, longest: usize) -> Result<Option<String>, Fault> {
    let text = params.take(name)?;
    let fits =
        |text: &String| !text.is_empty() && !text.contains('\0') && text.chars().count() <= longest;
    match text {
        Some(text) if !fits(&text) => {
            Err(bad(name, &format!("it must be a text of 1 to {longest} characters")))
        }
        text => Ok(text),
    }
}

/// Read the provisioning log
///
/// What identity providers asked and what they were answered, reads, connection tests and refused
/// tokens included.
#[utoipa::path(
    get, path = "/api/v1/log", tag = "log", params(LogParams),
    responses((status = 200, description = "A page.", body = PageBody)),
    security(("token" = ["admin:read"])),
)]
pub(super) async fn list(
    auth: AdminAuth<ReadAll>,
    request: HttpRequest,
    api: Data<Api>,
) -> Result<Answer, Problem> {
    let asked = read(&request);
    respond(&api, auth.scanning(), move |session| {
        let (query, whose) = asked?;
        let tenant = whose.tenant(session)?;
        let log = &session.api.administration()?.log;
        let found = log
            .requests(&LogQuery { tenant, ..query }, &session.caller.work)
            .map_err(Error::from)?;
        let requests = found.iter().map(|logged| RecordBody::new(logged, false)).collect();
        Answer::ok(&PageBody { requests })
    })
    .await
}

/// Read one request
///
/// With the bodies of the request and of the answer, without secrets.
#[utoipa::path(
    get, path = "/api/v1/log/{number}", tag = "log",
    params(
        ("number" = i64, Path, description = "Its number in the log.", minimum = 1),
        ("tenant" = Option<String>, Query, description = "Another tenant than the token's own; needs the scope `tenants:all`."),
        ("everywhere" = Option<String>, Query, pattern = "^(yes|no)$", description = "`yes` for one of whatever tenant, or of none; needs the scope `tenants:all`."),
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
    let whose = Whose::read(&mut params).and_then(|whose| params.end().map(|()| whose));
    respond(&api, auth, move |session| {
        let tenant = whose?.tenant(session)?;
        let missing = || Fault::Missing(format!("there is no request {number} in the log here"));
        let seq: i64 = number.parse().ok().filter(|seq| *seq > 0).ok_or_else(missing)?;
        let (after, before) = (Some(seq - 1), seq.checked_add(1));
        let query = LogQuery { tenant, after, before, limit: 1, ..LogQuery::default() };
        let log = &session.api.administration()?.log;
        let found = log.requests(&query, &session.caller.work).map_err(Error::from)?;
        Answer::ok(&RecordBody::new(found.first().ok_or_else(missing)?, true))
    })
    .await
}

/// Who, and where.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the documentation is made from it; it is read by hand")]
struct TimelineParams {
    /// A userName, displayName, externalId, e-mail address or id, in any case.
    #[param(min_length = 1, max_length = 200)]
    name: String,
    /// Another tenant than the token's own; needs the scope `tenants:all`.
    #[param(pattern = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    tenant: Option<String>,
}

/// Tell the story of an identity
///
/// Everything that happened to somebody, in order: attempts that succeeded and that were refused,
/// repairs, changes of groups; also when nobody of that name was ever created.
#[utoipa::path(
    get, path = "/api/v1/timeline", tag = "log", params(TimelineParams),
    responses((status = 200, description = "The story.", body = TimelineBody)),
    security(("token" = ["admin:read"])),
)]
pub(super) async fn timeline(
    auth: AdminAuth<ReadAll>,
    request: HttpRequest,
    api: Data<Api>,
) -> Result<Answer, Problem> {
    let mut params = Params::of(&request);
    let asked = (|| -> Result<(String, Option<String>), Fault> {
        let name = text(&mut params, "name", LONGEST_NAME)?;
        let tenant = params.take("tenant")?;
        params.end()?;
        Ok((name.ok_or_else(|| bad("name", "it says of whom; add name=…"))?, tenant))
    })();
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

/// How often something was repaired.
#[derive(Serialize, ToSchema)]
#[schema(as = QuirkCounter)]
struct QuirkBody {
    /// The token whose requests needed it, by its public id.
    token: String,
    /// The quirk's name.
    quirk: String,
    /// How many requests needed it.
    count: i64,
    /// When last.
    #[schema(format = DateTime)]
    last: String,
}

/// What was repaired.
#[derive(Serialize, ToSchema)]
#[schema(as = QuirkCounters)]
struct QuirksBody {
    quirks: Vec<QuirkBody>,
}

/// Count repairs
///
/// Which deviations from the RFC were repaired in the requests of which token, how often, and when
/// last.
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
        let body = |count: headcount_records::QuirkCount| QuirkBody {
            token: count.token.to_string(),
            quirk: count.quirk,
            count: count.amount,
            last: count.last.to_string(),
        };
        Answer::ok(&QuirksBody { quirks: counts.into_iter().map(body).collect() })
    })
    .await
}
