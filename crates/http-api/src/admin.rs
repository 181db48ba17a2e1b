//! The admin API under `/api/v1`: events for applications; tokens, tenants, the record of changes and
//! counters for administrators. One file per resource.
//!
//! It has tokens of its own (`hca_…`); a token sees its own tenant unless it has the scope `tenants:all`.
//! Checks, limits and headers are those of SCIM. Errors are problem details (RFC 9457).

mod answer;
mod audit;
mod counters;
mod events;
mod log;
mod openapi;
mod params;
mod problem;
mod session;
mod sse;
mod tenants;
mod tokens;

use actix_web::http::{Method, header};
use actix_web::web::{self, Data};
use actix_web::{HttpResponse, Resource, Scope};

pub use openapi::openapi;
pub(crate) use problem::Problem;
pub use problem::ProblemBody;

use crate::api::Api;
use crate::auth::AnyToken;
use crate::error::{Cause, Fault};
use crate::paths::ADMIN_PATH;

/// Makes the routes of the admin API.
pub(crate) fn scope() -> Scope {
    web::scope(ADMIN_PATH)
        .service(only("/events", "GET").route(web::get().to(events::events)))
        .service(
            only("/tokens", "GET, POST")
                .route(web::get().to(tokens::list))
                .route(web::post().to(tokens::create)),
        )
        .service(
            only("/tokens/{id}", "GET, DELETE")
                .route(web::get().to(tokens::get))
                .route(web::delete().to(tokens::revoke)),
        )
        .service(only("/tokens/{id}/rotate", "POST").route(web::post().to(tokens::rotate)))
        .service(
            only("/tenants", "GET, POST")
                .route(web::get().to(tenants::list))
                .route(web::post().to(tenants::create)),
        )
        .service(
            only("/tenants/{name}", "GET, PATCH, DELETE")
                .route(web::get().to(tenants::get))
                .route(web::patch().to(tenants::change))
                .route(web::delete().to(tenants::delete)),
        )
        .service(only("/audit", "GET").route(web::get().to(audit::audit)))
        .service(only("/log", "GET").route(web::get().to(log::list)))
        .service(only("/log/{number}", "GET").route(web::get().to(log::get)))
        .service(only("/timeline", "GET").route(web::get().to(log::timeline)))
        .service(only("/quirks", "GET").route(web::get().to(log::quirks)))
        .service(only("/counters", "GET").route(web::get().to(counters::counters)))
        .service(only("/openapi.json", "GET").route(web::get().to(openapi::document)))
        .default_service(web::to(unknown))
}

/// Makes a path that answers the methods it does not have with 204 (OPTIONS) or 405.
fn only(path: &str, allowed: &'static str) -> Resource {
    web::resource(path).default_service(web::to(move |method: Method| async move {
        if method == Method::OPTIONS {
            // No CORS headers: pages of other origins must not call the API.
            return Ok(HttpResponse::NoContent().insert_header((header::ALLOW, allowed)).finish());
        }
        Err(Problem(Cause::Method(allowed).into()))
    }))
}

/// Answers unknown paths with 404, and with 401 without a token: a stranger learns nothing about paths.
async fn unknown(
    auth: session::AdminAuth<AnyToken>,
    api: Data<Api>,
) -> Result<answer::Answer, Problem> {
    session::respond(&api, auth, |_| {
        Err(Fault::Missing("there is no such path here".to_owned()).into())
    })
    .await
}
