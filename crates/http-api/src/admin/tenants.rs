//! Tenants: list, create, read, change, delete.

use actix_web::HttpRequest;
use actix_web::web::{Data, Path};
use headcount_core::quirks::Quirks;
use headcount_token_admin::{Action, Tenant, TenantChange, tenants};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{Answer, read};
use super::params::Params;
use super::problem::{Problem, ProblemBody};
use super::session::{AdminAuth, Manage, ReadAll, respond};
use crate::api::Api;
use crate::body::ScimJson;
use crate::error::ApiError;

/// A tenant.
#[derive(Serialize, ToSchema)]
#[schema(as = Tenant)]
struct TenantBody {
    /// Its name.
    name: String,
    /// Whether its tokens work.
    enabled: bool,
    /// The quirks that are switched on.
    quirks: Vec<String>,
    /// When it was created.
    #[schema(format = DateTime)]
    created: String,
}

/// Tenants by name.
#[derive(Serialize, ToSchema)]
#[schema(as = Tenants)]
struct TenantsBody {
    tenants: Vec<TenantBody>,
}

/// A tenant to be created.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewTenant)]
struct NewTenantBody {
    /// Its name: lower-case letters, digits and hyphens.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    name: String,
    /// The quirks to switch on; all, when absent.
    #[schema(value_type = Option<Vec<QuirkName>>)]
    quirks: Option<Vec<String>>,
}

/// A change of a tenant; absent fields stay as they are.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TenantChange)]
struct TenantChangeBody {
    /// Whether its tokens work.
    enabled: Option<bool>,
    /// The quirks to switch on; all others are switched off.
    #[schema(value_type = Option<Vec<QuirkName>>)]
    quirks: Option<Vec<String>>,
}

/// The name of a quirk.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only the documentation is generated from it")]
pub(super) struct QuirkName(String);

fn body(tenant: &Tenant) -> TenantBody {
    TenantBody {
        name: tenant.name.clone(),
        enabled: tenant.enabled,
        quirks: tenant.quirks.iter().map(|quirk| quirk.name.to_owned()).collect(),
        created: tenant.created.to_string(),
    }
}

fn quirks(names: Option<&[String]>) -> Result<Option<Quirks>, ApiError> {
    let Some(names) = names else { return Ok(None) };
    Ok(Some(tenants::quirks(names.iter().map(String::as_str))?))
}

fn no_parameters(request: &HttpRequest) -> Result<(), ApiError> {
    Ok(Params::of(request).end()?)
}

/// List tenants
///
/// All tenants, or the token's own when it lacks the scope `tenants:all`.
#[utoipa::path(
    get, path = "/api/v1/tenants", tag = "tenants",
    responses((status = 200, description = "The tenants.", body = TenantsBody)),
    security(("token" = ["admin:read"])),
)]
pub(super) async fn list(
    auth: AdminAuth<ReadAll>,
    request: HttpRequest,
    api: Data<Api>,
) -> Result<Answer, Problem> {
    let plain = no_parameters(&request);
    respond(&api, auth, move |session| {
        plain?;
        let tenants = session.api.administration()?.tenants.list(&session.by)?;
        Answer::ok(&TenantsBody { tenants: tenants.iter().map(body).collect() })
    })
    .await
}

/// Create a tenant
#[utoipa::path(
    post, path = "/api/v1/tenants", tag = "tenants",
    request_body(content = NewTenantBody, content_type = "application/json"),
    responses(
        (status = 201, description = "The tenant.", body = TenantBody,
            headers(("Location" = String, description = "Its path."))),
        (status = 400, description = "The body is not valid.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "There is one of this name.", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("token" = ["admin:write", "tenants:all"])),
)]
pub(super) async fn create(
    auth: AdminAuth<Manage>,
    request: HttpRequest,
    content: ScimJson,
    api: Data<Api>,
) -> Result<Answer, Problem> {
    let plain = no_parameters(&request);
    respond(&api, auth, move |session| {
        // The permission is checked before the body.
        session.by.may(Action::CreateTenant)?;
        plain?;
        let new: NewTenantBody = read(content)?;
        let quirks = quirks(new.quirks.as_deref())?.unwrap_or(Quirks::ALL);
        let tenants = &session.api.administration()?.tenants;
        let tenant = tenants.create(&session.by, &new.name, quirks)?;
        Answer::created(&body(&tenant), format!("{}/tenants/{}", super::ADMIN_PATH, tenant.name))
    })
    .await
}

/// Read a tenant
#[utoipa::path(
    get, path = "/api/v1/tenants/{name}", tag = "tenants",
    params(("name" = String, Path, description = "The tenant's name.", pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")),
    responses(
        (status = 200, description = "The tenant.", body = TenantBody),
        (status = 404, description = "There is no such tenant.", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("token" = ["admin:read"])),
)]
pub(super) async fn get(
    auth: AdminAuth<ReadAll>,
    name: Path<String>,
    request: HttpRequest,
    api: Data<Api>,
) -> Result<Answer, Problem> {
    let plain = no_parameters(&request);
    respond(&api, auth, move |session| {
        plain?;
        let tenants = &session.api.administration()?.tenants;
        Answer::ok(&body(&tenants.find(&session.by, &name)?))
    })
    .await
}

/// Change a tenant
///
/// The tokens of a tenant that is switched off are refused.
#[utoipa::path(
    patch, path = "/api/v1/tenants/{name}", tag = "tenants",
    params(("name" = String, Path, description = "The tenant's name.", pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")),
    request_body(content = TenantChangeBody, content_type = "application/json"),
    responses(
        (status = 200, description = "The tenant.", body = TenantBody),
        (status = 400, description = "The body is not valid.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such tenant.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The stored resources do not allow it.", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("token" = ["admin:write"])),
)]
pub(super) async fn change(
    auth: AdminAuth<Manage>,
    name: Path<String>,
    request: HttpRequest,
    content: ScimJson,
    api: Data<Api>,
) -> Result<Answer, Problem> {
    let plain = no_parameters(&request);
    respond(&api, auth, move |session| {
        plain?;
        let change: TenantChangeBody = read(content)?;
        let tenants = &session.api.administration()?.tenants;
        // That the tenant does not exist comes before an error of the body.
        tenants.find(&session.by, &name)?;
        let quirks = quirks(change.quirks.as_deref())?;
        let change = TenantChange { enabled: change.enabled, quirks };
        Answer::ok(&body(&tenants.change(&session.by, &name, change)?))
    })
    .await
}

/// Delete a tenant
///
/// Deletes every user, group and token in it for good. The tenant `default` cannot be deleted.
#[utoipa::path(
    delete, path = "/api/v1/tenants/{name}", tag = "tenants",
    params(("name" = String, Path, description = "The tenant's name.", pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")),
    responses(
        (status = 204, description = "It is deleted."),
        (status = 404, description = "There is no such tenant.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is the tenant `default`.", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("token" = ["admin:write", "tenants:all"])),
)]
pub(super) async fn delete(
    auth: AdminAuth<Manage>,
    name: Path<String>,
    request: HttpRequest,
    api: Data<Api>,
) -> Result<Answer, Problem> {
    let plain = no_parameters(&request);
    respond(&api, auth, move |session| {
        session.by.may(Action::DeleteTenant)?;
        plain?;
        session.api.administration()?.tenants.delete(&session.by, &name)?;
        Ok(Answer::empty())
    })
    .await
}
