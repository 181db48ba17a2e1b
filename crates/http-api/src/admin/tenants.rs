//! Tenants: list, make, change, delete.

use actix_web::HttpRequest;
use actix_web::web::{Data, Path};
use headcount_core::error::Error;
use headcount_core::quirks::{QUIRKS, Quirks};
use headcount_token_admin::{Scopes, Tenant};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{Answer, read};
use super::params::Params;
use super::problem::{Fault, Problem, ProblemBody, stored};
use super::session::{Admitted, Manage, ReadAll, run};
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
    /// The quirks of identity providers that are repaired.
    quirks: Vec<String>,
    /// When it was made.
    #[schema(format = DateTime)]
    created: String,
}

/// Tenants by name.
#[derive(Serialize, ToSchema)]
#[schema(as = Tenants)]
struct TenantsBody {
    tenants: Vec<TenantBody>,
}

/// A tenant to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewTenant)]
struct NewTenantBody {
    /// Its name: lower-case letters, digits and hyphens.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    name: String,
    /// The quirks to repair; all, when absent.
    #[schema(value_type = Option<Vec<QuirkName>>)]
    quirks: Option<Vec<String>>,
}

/// What to change; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TenantChange)]
struct TenantChangeBody {
    /// Whether its tokens work.
    enabled: Option<bool>,
    /// The quirks to repair.
    #[schema(value_type = Option<Vec<QuirkName>>)]
    quirks: Option<Vec<String>>,
}

/// The name of a quirk.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the documentation is made from it")]
pub(super) struct QuirkName(String);

fn body(tenant: &Tenant) -> TenantBody {
    TenantBody {
        name: tenant.name.clone(),
        enabled: tenant.enabled,
        quirks: tenant.quirks.iter().map(|quirk| quirk.name.to_owned()).collect(),
        created: tenant.created.to_string(),
    }
}

fn quirks(names: &[String]) -> Result<Quirks, ApiError> {
    names.iter().try_fold(Quirks::NONE, |set, name| {
        let known = QUIRKS.iter().find(|quirk| quirk.name == name);
        known.map(|quirk| set.with(quirk.flag)).ok_or_else(|| {
            let all: Vec<&str> = QUIRKS.iter().map(|quirk| quirk.name).collect();
            let all = all.join(", ");
            Fault::Body(format!("quirks: there is no quirk \"{name}\"; there are {all}")).into()
        })
    })
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
    auth: Admitted<ReadAll>,
    request: HttpRequest,
    api: Data<Api>,
) -> Result<Answer, Problem> {
    let plain = no_parameters(&request);
    let done = run(&api, auth, move |session| {
        plain?;
        Answer::ok(&TenantsBody { tenants: session.tenants()?.iter().map(body).collect() })
    });
    done.await.map(|(answer, who)| answer.by(who))
}

/// Make a tenant
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
    auth: Admitted<Manage>,
    request: HttpRequest,
    content: ScimJson,
    api: Data<Api>,
) -> Result<Answer, Problem> {
    let plain = no_parameters(&request);
    let done = run(&api, auth, move |session| {
        session.need(Scopes::TENANTS_ALL)?;
        plain?;
        let new: NewTenantBody = read(content)?;
        if !Tenant::is_name(&new.name) {
            let reason = "name: it must be lower-case letters, digits and hyphens, at most 63";
            return Err(Fault::Body(reason.to_owned()).into());
        }
        let quirks = new.quirks.as_deref().map_or(Ok(Quirks::ALL), quirks)?;
        let (api, now) = (session.api, session.api.service.clock.now());
        let tenants = &api.administration()?.tenants;
        let made = tenants.create_tenant(&new.name, quirks, now, &session.author());
        let made = made.map_err(|error| stored(error, "tenant"))?;
        Answer::created(&body(&made), format!("{}/tenants/{}", super::ADMIN_PATH, made.name))
    });
    done.await.map(|(answer, who)| answer.by(who))
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
    auth: Admitted<ReadAll>,
    name: Path<String>,
    request: HttpRequest,
    api: Data<Api>,
) -> Result<Answer, Problem> {
    let plain = no_parameters(&request);
    let done = run(&api, auth, move |session| {
        plain?;
        Answer::ok(&body(&session.named(&name)?))
    });
    done.await.map(|(answer, who)| answer.by(who))
}

/// Change a tenant
///
/// A tenant that is switched off refuses all of its tokens.
#[utoipa::path(
    patch, path = "/api/v1/tenants/{name}", tag = "tenants",
    params(("name" = String, Path, description = "The tenant's name.", pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")),
    request_body(content = TenantChangeBody, content_type = "application/json"),
    responses(
        (status = 200, description = "The tenant.", body = TenantBody),
        (status = 400, description = "The body is not valid.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such tenant.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "What is stored does not allow it.", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("token" = ["admin:write"])),
)]
pub(super) async fn change(
    auth: Admitted<Manage>,
    name: Path<String>,
    request: HttpRequest,
    content: ScimJson,
    api: Data<Api>,
) -> Result<Answer, Problem> {
    let plain = no_parameters(&request);
    let done = run(&api, auth, move |session| {
        plain?;
        let change: TenantChangeBody = read(content)?;
        let tenant = session.named(&name)?;
        let quirks = change.quirks.as_deref().map_or(Ok(tenant.quirks), quirks)?;
        let enabled = change.enabled.unwrap_or(tenant.enabled);
        let (api, now) = (session.api, session.api.service.clock.now());
        let tenants = &api.administration()?.tenants;
        let set = tenants.set_tenant(&tenant.name, enabled, quirks, now, &session.author());
        if !set.map_err(|error| stored(error, "tenant"))? {
            return Err(Fault::Missing(format!("tenant \"{}\"", tenant.name)).into());
        }
        Answer::ok(&body(&Tenant { enabled, quirks, ..tenant }))
    });
    done.await.map(|(answer, who)| answer.by(who))
}

/// Delete a tenant
///
/// Every user, group and token in it goes for good. The tenant `default` stays.
#[utoipa::path(
    delete, path = "/api/v1/tenants/{name}", tag = "tenants",
    params(("name" = String, Path, description = "The tenant's name.", pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")),
    responses(
        (status = 204, description = "It is gone."),
        (status = 404, description = "There is no such tenant.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is the tenant `default`.", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("token" = ["admin:write", "tenants:all"])),
)]
pub(super) async fn delete(
    auth: Admitted<Manage>,
    name: Path<String>,
    request: HttpRequest,
    api: Data<Api>,
) -> Result<Answer, Problem> {
    let plain = no_parameters(&request);
    let done = run(&api, auth, move |session| {
        session.need(Scopes::TENANTS_ALL)?;
        plain?;
        if *name == Tenant::DEFAULT {
            let reason = "the tenant \"default\" stays; switch it off with enabled: false";
            return Err(Fault::Conflict(reason.to_owned()).into());
        }
        let (api, now) = (session.api, session.api.service.clock.now());
        let administration = api.administration()?;
        let missing = || Fault::Missing(format!("tenant \"{name}\""));
        let tenant =
            administration.tenants.tenant(&name).map_err(|error| stored(error, "tenant"))?;
        let tenant = tenant.ok_or_else(missing)?;
        let gone = administration.tenants.delete_tenant(&name, now, &session.author());
        if !gone.map_err(|error| stored(error, "tenant"))? {
            return Err(missing().into());
        }
        administration.log.forget(tenant.id).map_err(Error::from)?;
        Ok(Answer::empty())
    });
    done.await.map(|(answer, who)| answer.by(who))
}
