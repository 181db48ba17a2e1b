//! Around every request: an id, the headers that every response has, one line in the log, one count.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{HttpMessage, ResponseError};
use futures_util::FutureExt;
use headcount_core::ids::RequestId;

use crate::admin::Problem;
use crate::api::Api;
use crate::error::{ApiError, Cause};
use crate::reply::Notes;

/// The longest request target.
const LONGEST_URI: usize = 32 * 1024;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Headers of every response (security controls HDR-01, HTP-018).
const ALWAYS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The middleware. Whatever happens inside, even a panic, ends as a response.
///
/// # Errors
///
/// Only after a panic, which takes the request with it: the error becomes the response.
pub async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let started = Instant::now();
    let id = request_id(&request);
    request.extensions_mut().insert(id.clone());
    let method = known_method(request.method());
    let too_long =
        request.uri().path_and_query().is_some_and(|target| target.as_str().len() > LONGEST_URI);
    let mut response = if too_long {
        let error = ApiError::from(Cause::UriTooLong);
        request.into_response(error.error_response())
    } else {
        match AssertUnwindSafe(next.call(request)).catch_unwind().await {
            Ok(response) => response?.map_into_boxed_body(),
            Err(_panic) => {
                let error = ApiError { request: Some(id), ..Cause::Lost.into() };
                Line {
                    id: error.request.as_ref(),
                    method,
                    route: "unmatched",
                    status: 500,
                    started,
                }
                .write(&Notes::default(), Some(&error));
                return Err(error.into());
            }
        }
    };
    harden(response.headers_mut());
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let route = response.request().match_pattern();
    let line = Line {
        id: Some(&id),
        method,
        route: route.as_deref().unwrap_or("unmatched"),
        status: response.status().as_u16(),
        started,
    };
    let notes = response.response().extensions().get::<Notes>().cloned().unwrap_or_default();
    line.write(&notes, response.response().error().and_then(failure));
    Ok(response)
}

/// What went wrong, in SCIM or in the admin API.
fn failure(error: &actix_web::Error) -> Option<&ApiError> {
    let problem = || error.as_error::<Problem>().map(|problem| &problem.0);
    error.as_error::<ApiError>().or_else(problem)
}

/// Adds the headers that every response has.
pub(crate) fn harden(headers: &mut HeaderMap) {
    for (name, value) in ALWAYS {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}

/// Takes the client's id of the request when it is a plain one, else makes one.
fn request_id(request: &ServiceRequest) -> RequestId {
    let plain = |text: &&str| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let given =
        request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(plain);
    match given {
        Some(given) => RequestId::new(given),
        None => {
            let made = request.app_data::<Data<Api>>().map(|api| api.request_ids.next_id());
            RequestId::new(made.map_or_else(String::new, |id| id.to_string()))
        }
    }
}

/// What the log and the metrics say of a request.
///
/// The route is the template, never the path: no id, name or filter gets into either (PII-01, PII-04).
struct Line<'a> {
    id: Option<&'a RequestId>,
    method: &'static str,
    route: &'a str,
    status: u16,
    started: Instant,
}

impl Line<'_> {
    fn write(&self, notes: &Notes, error: Option<&ApiError>) {
        let Self { method, route, status, .. } = *self;
        let id = self.id.map_or("", RequestId::as_str);
        let elapsed = self.started.elapsed();
        let who = notes.who.as_ref().or_else(|| error.and_then(|error| error.who.as_ref()));
        tracing::info!(
            request.id = id,
            method,
            route,
            status,
            micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
            token.id = who.map(|who| who.token.as_str()),
            token.name = who.map(|who| who.name.as_str()),
            token.refused = error.and_then(ApiError::refusal),
            tenant.id = who.map(|who| who.tenant.key()),
            scim.kind = notes.kind,
            scim.quirks = ?notes.applied.quirks(),
            "request"
        );
        if let Some(chain) = error.and_then(ApiError::chain) {
            tracing::error!(
                request.id = id,
                error = chain,
                "a request failed on the server's side"
            );
        }
        let labels = [("method", method.to_owned()), ("route", route.to_owned())];
        metrics::histogram!("headcount_request_seconds", &labels).record(elapsed.as_secs_f64());
        let [method, route] = labels;
        let labels = [method, route, ("status", status.to_string())];
        metrics::counter!("headcount_requests_total", &labels).increment(1);
    }
}

/// The method, out of a closed set.
fn known_method(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.iter().find(|known| method.as_str() == **known).copied().unwrap_or("OTHER")
}
