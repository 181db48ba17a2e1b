//! The routes of SCIM (RFC 7644 §3.2 Table 2).

mod bulk;
mod discovery;
mod resources;

use actix_web::guard::{GuardContext, fn_guard};
use actix_web::http::{Method, StatusCode, header};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Route};
use headcount_core::error::Error;

use crate::api::Api;
use crate::auth::{self, AnyToken, Authenticated};
use crate::error::{ApiError, Cause};
use crate::paths::{self, BASE_PATH};
use crate::reply::{Reply, respond};
use crate::{client, target};

/// Versions that are not supported. The paths of the supported one are matched before.
const OTHER_VERSIONS: &str = "/scim/v{version:[0-9][^/]*}{rest:(/.*)?}";

/// Adds the routes of SCIM and of the admin API to an application.
///
/// The application has to be wrapped in [`crate::observe`] and in actix-web's path normalization.
pub fn routes(api: Data<Api>) -> impl FnOnce(&mut ServiceConfig) {
    move |config| {
        config.configure(admin_routes(Data::clone(&api))).configure(scim_routes(api));
    }
}

/// Adds the routes of the admin API alone; see [`routes`].
pub fn admin_routes(api: Data<Api>) -> impl FnOnce(&mut ServiceConfig) {
    move |config| {
        if api.administration.is_some() {
            config.service(crate::admin::scope());
        }
        config.app_data(api);
    }
}

/// Adds the routes of SCIM alone; see [`routes`].
pub fn scim_routes(api: Data<Api>) -> impl FnOnce(&mut ServiceConfig) {
    move |config| {
        config.app_data(api);
        config.default_service(web::to(astray));
        // RFC 7644 §3.13: a path without a version is the newest version's.
        for base in [BASE_PATH, "/scim"] {
            config.service(
                web::scope(base)
                    .service(only(web::resource(""), "GET, HEAD", &|| {
                        let mut routes =
                            read(web::to(resources::list_all).guard(fn_guard(is_search)));
                        routes.extend(read(web::to(discovery::config)));
                        routes
                    }))
                    .service(only(web::resource("/ServiceProviderConfig"), "GET, HEAD", &|| {
                        read(web::to(discovery::config))
                    }))
                    .service(only(web::resource("/ResourceTypes"), "GET, HEAD", &|| {
                        read(web::to(discovery::resource_types))
                    }))
                    .service(only(web::resource("/ResourceTypes/{id}"), "GET, HEAD", &|| {
                        read(web::to(discovery::resource_type))
                    }))
                    .service(only(web::resource("/Schemas"), "GET, HEAD", &|| {
                        read(web::to(discovery::schemas))
                    }))
                    .service(only(web::resource("/Schemas/{id}"), "GET, HEAD", &|| {
                        read(web::to(discovery::schema))
                    }))
                    .service(only(web::resource("/Me"), "GET, HEAD, PUT, PATCH, DELETE", &|| {
                        let mut routes = one_resource();
                        routes.push(web::post().to(refuse_me));
                        routes
                    }))
                    .service(only(web::resource("/Bulk"), "POST", &|| {
                        vec![web::post().to(bulk::bulk)]
                    }))
                    .service(only(web::resource("/.search"), "POST", &|| {
                        vec![web::post().to(resources::search_all)]
                    }))
                    .service(only(web::resource("/{endpoint}/.search"), "POST", &|| {
                        vec![web::post().to(resources::search)]
                    }))
                    .service(only(web::resource("/{endpoint}"), "GET, HEAD, POST", &|| {
                        let mut routes = read(web::to(resources::list));
                        routes.push(web::post().to(resources::create));
                        routes
                    }))
                    .service(only(
                        web::resource("/{endpoint}/{id}"),
                        "GET, HEAD, PUT, PATCH, DELETE",
                        &one_resource,
                    ))
                    .default_service(web::to(unknown)),
            );
            if base == BASE_PATH {
                config.service(web::resource(OTHER_VERSIONS).default_service(web::to(unknown)));
            }
        }
    }
}

/// Distinguishes a search over all resources from a request for the ServiceProviderConfig.
fn is_search(context: &GuardContext<'_>) -> bool {
    target::is_search(context.head().uri.query().unwrap_or_default())
}

/// Makes the route of a handler for GET and for HEAD, which is GET without its body.
fn read(handler: Route) -> Vec<Route> {
    vec![handler.guard(actix_web::guard::Any(actix_web::guard::Get()).or(actix_web::guard::Head()))]
}

/// Makes the routes of one resource.
fn one_resource() -> Vec<Route> {
    let mut routes = read(web::to(resources::get));
    routes.push(web::put().to(resources::update));
    routes.push(web::patch().to(resources::update));
    routes.push(web::delete().to(resources::delete));
    routes
}

/// Adds routes to a path, which answers every other method with 204 (OPTIONS) or 405.
fn only(
    resource: actix_web::Resource,
    allowed: &'static str,
    routes: &dyn Fn() -> Vec<Route>,
) -> actix_web::Resource {
    routes()
        .into_iter()
        .fold(resource, |resource, route| resource.route(route))
        .default_service(web::to(move |method: Method| async move { refuse(&method, allowed) }))
}

fn refuse(method: &Method, allowed: &'static str) -> Result<HttpResponse, ApiError> {
    if method == Method::OPTIONS {
        // No CORS headers: pages of other origins must not call the API.
        return Ok(HttpResponse::build(StatusCode::NO_CONTENT)
            .insert_header((header::ALLOW, allowed))
            .insert_header(("accept-patch", crate::headers::SCIM_JSON))
            .finish());
    }
    Err(Cause::Method(allowed).into())
}

/// Refuses to create the caller's own user (RFC 7644 §3.11): provisioning tokens do not register users for themselves.
async fn refuse_me(auth: Authenticated<AnyToken>, api: Data<Api>) -> Result<Reply, ApiError> {
    respond(&api, auth, None, |_, _| {
        let reason = "POST on /Me is not supported; create users at /Users";
        Err(Error::NotImplemented(reason.to_owned()).into())
    })
    .await
}

/// Answers unknown paths with 404, and with 401 without a token: a stranger learns nothing about paths (AUT-015).
async fn unknown(
    auth: Authenticated<AnyToken>,
    request: HttpRequest,
    api: Data<Api>,
) -> Result<Reply, ApiError> {
    let error = off_base(&request, &api);
    respond(&api, auth, None, |_, _| Err(error.into())).await
}

/// Answers paths outside of SCIM and of every other part of the server. The client of a base URL that lacks its
/// path gets an error that it can show, without a token: the base URL is no secret.
async fn astray(request: HttpRequest, api: Data<Api>) -> Result<HttpResponse, ApiError> {
    match paths::ends_like_scim(&api.service.registry, request.path()) {
        true => Err(off_base(&request, &api).into()),
        false => Ok(HttpResponse::NotFound().finish()),
    }
}

/// Makes the error of a path below which there is no SCIM.
fn off_base(request: &HttpRequest, api: &Api) -> Cause {
    let base = format!("{}{BASE_PATH}", client::origin(request, &api.settings));
    Cause::Astray { base, malformed: auth::is_malformed(request.headers()) }
}
