//! Tokens: list, create, read, revoke, rotate.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::web::{Data, Path};
use headcount_core::ids::{ResourceId, TokenId};
use headcount_token_admin::format::Purpose;
use headcount_token_admin::{Expiry, IssuedToken, NewToken, Scopes, Token, networks, scopes};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::answer::{Answer, read, read_or_empty};
use super::params::Params;
use super::problem::{Problem, ProblemBody};
use super::session::{AdminAuth, Manage, ReadAll, respond};
use crate::api::Api;
use crate::body::ScimJson;
use crate::error::ApiError;

/// The default overlap of a rotation: a day.
const DEFAULT_OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);

/// The query.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only the documentation is generated from it")]
struct TokensQuery {
    /// Another tenant than the token's own; needs the scope `tenants:all`.
    #[param(pattern = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    tenant: Option<String>,
}

/// A token, without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
struct TokenBody {
    /// Its public id.
    id: String,
    /// `provisioning` or `administration`.
    purpose: String,
    /// Its name.
    name: String,
    /// Its scopes.
    scopes: Vec<String>,
    /// Networks from which it may be used; any, when empty.
    cidrs: Vec<String>,
    /// When it was created.
    #[schema(format = DateTime)]
    created: String,
    /// Who created it.
    #[serde(rename = "createdBy")]
    created_by: String,
    /// When it stops working; never, when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    expires: Option<String>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    revoked: Option<String>,
    /// The id of the token that it replaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<String>,
    /// The id of the user that is its `/Me`.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// The last recorded use; at most a minute behind.
    #[serde(rename = "lastUsed", skip_serializing_if = "Option::is_none")]
    last_used: Option<LastUsedBody>,
}

/// The time, address and client of a use.
#[derive(Serialize, ToSchema)]
#[schema(as = LastUsed)]
struct LastUsedBody {
    /// The time.
    #[schema(format = DateTime)]
    at: String,
    /// The client's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// The client's `User-Agent`, shortened.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
}

/// The tokens of a tenant, newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = Tokens)]
struct TokensBody {
    tokens: Vec<TokenBody>,
}

/// A new token.
#[derive(Serialize, ToSchema)]
#[schema(as = IssuedToken)]
struct IssuedBody {
    #[serde(flatten)]
    about: TokenBody,
    /// The secret, which is only returned here.
    token: String,
    /// After a rotation: when the old token stops working.
    #[serde(rename = "oldTokenUntil", skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    old_until: Option<String>,
}

/// A token to be created.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewToken)]
struct NewTokenBody {
    /// Its name.
    #[schema(
        min_length = 1,
        max_length = 100,
        pattern = r"^[^\s\u0000-\u001f\u007f-\u009f]([^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f])?$"
    )]
    name: String,
    /// Its scopes; those that an identity provider needs, when absent.
    #[schema(min_items = 1, value_type = Option<Vec<ScopeName>>)]
    scopes: Option<Vec<String>>,
    /// Seconds until it stops working; the server's default, when absent.
    #[schema(minimum = 1, maximum = 31_536_000)]
    #[serde(rename = "expiresIn")]
    expires_in: Option<u64>,
    /// Networks from which it may be used; any, when absent.
    #[schema(value_type = Option<Vec<Network>>)]
    cidrs: Option<Vec<String>>,
}

/// A scope of a token.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only the documentation is generated from it")]
enum ScopeName {
    #[schema(rename = "provisioning")]
    Provisioning,
    #[schema(rename = "administration")]
    Administration,
    #[schema(rename = "scim:read")]
    ScimRead,
    #[schema(rename = "users:write")]
    UsersWrite,
    #[schema(rename = "groups:write")]
    GroupsWrite,
    #[schema(rename = "schema:write")]
    SchemaWrite,
    #[schema(rename = "events:read")]
    EventsRead,
    #[schema(rename = "admin:read")]
    AdminRead,
    #[schema(rename = "admin:write")]
    AdminWrite,
    #[schema(rename = "tenants:all")]
    TenantsAll,
}

/// An address, or a network in CIDR notation.
#[derive(ToSchema)]
#[schema(
    pattern = r"^((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(/(3[0-2]|[12]?[0-9]))?$|^([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}(/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))?$|^([0-9a-f]{1,4}:){1,6}:(/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))?$"
)]
#[expect(dead_code, reason = "only the documentation is generated from it")]
struct Network(String);

/// The parameters of a rotation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Rotation)]
struct RotationBody {
    /// Seconds for which the old token keeps working; a day, when absent.
    #[schema(minimum = 0, maximum = 2_592_000)]
    overlap: Option<u64>,
}

fn body(token: &Token) -> TokenBody {
    TokenBody {
        id: token.id.to_string(),
        purpose: match token.purpose {
            Purpose::Provisioning => "provisioning".to_owned(),
            Purpose::Administration => "administration".to_owned(),
        },
        name: token.name.clone(),
        scopes: token.scopes.to_string().split_whitespace().map(str::to_owned).collect(),
        cidrs: token.cidrs.iter().map(ToString::to_string).collect(),
        created: token.created.to_string(),
        created_by: token.created_by.clone(),
        expires: token.expires.map(|at| at.to_string()),
        revoked: token.revoked.map(|at| at.to_string()),
        replaces: token.replaces.as_ref().map(ToString::to_string),
        user: token.user.as_ref().map(ResourceId::to_string),
        last_used: token.last_used.as_ref().map(|used| LastUsedBody {
            at: used.at.to_string(),
            address: used.address.map(|address| address.to_string()),
            agent: used.agent.clone(),
        }),
    }
}

fn render_issued(issued: &IssuedToken, old_until: Option<String>) -> Result<Answer, ApiError> {
    let about = body(&issued.token);
    let location = format!("{}/tokens/{}", super::ADMIN_PATH, about.id);
    let token = issued.secret.expose_secret().to_owned();
    Answer::created(&IssuedBody { about, token, old_until }, location)
}

fn read_tenant(request: &HttpRequest) -> Result<Option<String>, ApiError> {
    let mut params = Params::of(request);
    let tenant = params.take("tenant")?;
    params.end()?;
    Ok(tenant)
}

/// List tokens
///
/// The tokens of a tenant, newest first, including revoked and expired ones. Their secrets are never returned
/// again.
#[utoipa::path(
    get, path = "/api/v1/tokens", tag = "tokens", params(TokensQuery),
    responses((status = 200, description = "The tokens.", body = TokensBody)),
    security(("token" = ["admin:read"])),
)]
pub(super) async fn list(
    auth: AdminAuth<ReadAll>,
    request: HttpRequest,
    api: Data<Api>,
) -> Result<Answer, Problem> {
    let named = read_tenant(&request);
    respond(&api, auth, move |session| {
        let tenant = session.tenant(named?.as_deref())?;
        let tokens = session.api.tokens.list(&session.by, Some(tenant))?;
        Answer::ok(&TokensBody { tokens: tokens.iter().map(body).collect() })
    })
    .await
}

/// Create a token
///
/// The secret is only in the response. A token of the admin API creates none that allows more than itself: no
/// scopes of the admin API that it lacks, no networks outside its own, no longer life.
#[utoipa::path(
    post, path = "/api/v1/tokens", tag = "tokens", params(TokensQuery),
    request_body(content = NewTokenBody, content_type = "application/json"),
    responses(
        (status = 201, description = "The token, with its secret.", body = IssuedBody,
            headers(("Location" = String, description = "Its path."))),
        (status = 400, description = "The body is not valid.", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("token" = ["admin:write"])),
)]
pub(super) async fn create(
    auth: AdminAuth<Manage>,
    request: HttpRequest,
    content: ScimJson,
    api: Data<Api>,
) -> Result<Answer, Problem> {
    let named = read_tenant(&request);
    respond(&api, auth, move |session| {
        let tenant = session.tenant(named?.as_deref())?;
        let new = new_token(read(content)?)?;
        render_issued(&session.api.tokens.issue(&session.by, tenant, new)?, None)
    })
    .await
}

fn new_token(body: NewTokenBody) -> Result<NewToken, ApiError> {
    let cidrs = body.cidrs.unwrap_or_default();
    Ok(NewToken {
        name: body.name,
        scopes: match body.scopes {
            None => Scopes::PROVISIONING,
            Some(names) => scopes(names.iter().map(String::as_str))?,
        },
        expiry: body
            .expires_in
            .map_or(Expiry::Default, |seconds| Expiry::After(Duration::from_secs(seconds))),
        cidrs: networks(cidrs.iter().map(String::as_str))?,
        user: None,
    })
}

/// Read a token
#[utoipa::path(
    get, path = "/api/v1/tokens/{id}", tag = "tokens",
    params(("id" = String, Path, description = "The token's public id.", pattern = "^[0-9A-Za-z]{16}$"), TokensQuery),
    responses(
        (status = 200, description = "The token.", body = TokenBody),
        (status = 404, description = "There is no such token.", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("token" = ["admin:read"])),
)]
pub(super) async fn get(
    auth: AdminAuth<ReadAll>,
    id: Path<String>,
    request: HttpRequest,
    api: Data<Api>,
) -> Result<Answer, Problem> {
    let named = read_tenant(&request);
    respond(&api, auth, move |session| {
        let tenant = session.tenant(named?.as_deref())?;
        let id = TokenId::new(id.into_inner());
        Answer::ok(&body(&session.api.tokens.get(&session.by, Some(tenant), &id)?))
    })
    .await
}

/// Revoke a token
///
/// The next request with it is refused. Revoking a token again changes nothing.
#[utoipa::path(
    delete, path = "/api/v1/tokens/{id}", tag = "tokens",
    params(("id" = String, Path, description = "The token's public id.", pattern = "^[0-9A-Za-z]{16}$"), TokensQuery),
    responses(
        (status = 204, description = "It is revoked."),
        (status = 404, description = "There is no such token.", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("token" = ["admin:write"])),
)]
pub(super) async fn revoke(
    auth: AdminAuth<Manage>,
    id: Path<String>,
    request: HttpRequest,
    api: Data<Api>,
) -> Result<Answer, Problem> {
    let named = read_tenant(&request);
    respond(&api, auth, move |session| {
        let tenant = session.tenant(named?.as_deref())?;
        let id = TokenId::new(id.into_inner());
        session.api.tokens.revoke(&session.by, Some(tenant), &id)?;
        Ok(Answer::empty())
    })
    .await
}

/// Rotate a token
///
/// Creates a token with the same name, scopes, networks and life, and lets the old one expire after the overlap. The
/// new one expires with the token that creates it, if that is sooner.
#[utoipa::path(
    post, path = "/api/v1/tokens/{id}/rotate", tag = "tokens",
    params(("id" = String, Path, description = "The token's public id.", pattern = "^[0-9A-Za-z]{16}$"), TokensQuery),
    request_body(content = Option<RotationBody>, content_type = "application/json"),
    responses(
        (status = 201, description = "The new token, with its secret.", body = IssuedBody,
            headers(("Location" = String, description = "Its path."))),
        (status = 404, description = "There is no such token.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The token no longer works.", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("token" = ["admin:write"])),
)]
pub(super) async fn rotate(
    auth: AdminAuth<Manage>,
    id: Path<String>,
    request: HttpRequest,
    content: ScimJson,
    api: Data<Api>,
) -> Result<Answer, Problem> {
    let named = read_tenant(&request);
    respond(&api, auth, move |session| {
        let tenant = session.tenant(named?.as_deref())?;
        let rotation: RotationBody = read_or_empty(content)?;
        let overlap = rotation.overlap.map_or(DEFAULT_OVERLAP, Duration::from_secs);
        let id = TokenId::new(id.into_inner());
        let rotated = session.api.tokens.rotate(&session.by, Some(tenant), &id, overlap)?;
        render_issued(&rotated.issued, Some(rotated.old_until.to_string()))
    })
    .await
}
