//! The middleware around every request: request id, common headers, log line, metrics, provisioning log.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{HttpMessage, ResponseError};
use bytes::Bytes;
use futures_util::FutureExt;
use headcount_core::change::ResourceNames;
use headcount_core::clock::Timestamp;
use headcount_core::ids::RequestId;
use headcount_core::quirks::Quirks;
use headcount_records::{HttpExchange, holds_token};
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use crate::admin::Problem;
use crate::api::Api;
use crate::body::RawBody;
use crate::error::{ApiError, Cause};
use crate::headers::{harden, require_tls};
use crate::paths::BASE_PATH;
use crate::reply::LogContext;
use crate::{auth, client, target};

/// The longest request target, in bytes.
const MAX_URI_BYTES: usize = 32 * 1024;
/// The route of a path that has none.
const UNMATCHED: &str = "unmatched";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The middleware. Every request gets a response, even after a panic in a handler.
///
/// # Errors
///
/// Only after a panic, which drops the request: the error becomes the response.
pub async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let started = Instant::now();
    let id = request_id(&request);
    request.extensions_mut().insert(id.clone());
    let method = known_method(request.method());
    let record = LogRecord::of(&request, &id, method, started);
    let span = span(method, &id);
    let over_tls = request
        .app_data::<Data<Api>>()
        .is_some_and(|api| client::is_over_tls(request.request(), &api.settings));
    let too_long =
        request.uri().path_and_query().is_some_and(|target| target.as_str().len() > MAX_URI_BYTES);
    let mut response = if too_long {
        let error = ApiError::from(Cause::UriTooLong);
        request.into_response(error.error_response())
    } else {
        let work = AssertUnwindSafe(next.call(request)).catch_unwind();
        match work.instrument(span.clone()).await {
            Ok(response) => response?.map_into_boxed_body(),
            Err(_panic) => {
                let error = ApiError { request: Some(id.clone()), ..Cause::Internal.into() };
                let line = Line { id: &id, method, route: UNMATCHED, status: 500, started };
                line.write(&LogContext::default(), Some(&error));
                record.finish(&line, LogContext::default(), Some(&error), None);
                return Err(error.into());
            }
        }
    };
    harden(response.headers_mut());
    if over_tls {
        require_tls(response.headers_mut());
    }
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let route = response.request().match_pattern();
    let line = Line {
        id: &id,
        method,
        route: route.as_deref().unwrap_or(UNMATCHED),
        status: response.status().as_u16(),
        started,
    };
    let log = response.response_mut().extensions_mut().remove::<LogContext>().unwrap_or_default();
    let error = response.response().error().and_then(api_error);
    line.fill(&span, &log, error);
    line.write(&log, error);
    let body = response.request().extensions_mut().remove::<RawBody>();
    record.finish(&line, log, error, body.map(|RawBody(body)| body));
    Ok(response)
}

/// Returns the error of a handler of SCIM or of the admin API.
fn api_error(error: &actix_web::Error) -> Option<&ApiError> {
    error.as_error::<ApiError>().or_else(|| error.as_error::<Problem>().map(|problem| &problem.0))
}

/// Returns the client's id of the request when it is a plain text and no token, or a new id.
fn request_id(request: &ServiceRequest) -> RequestId {
    let sent = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    if let Some(id) = sent.filter(|id| is_plain(id) && !holds_token(id)) {
        return RequestId::new(id);
    }
    let id = request.app_data::<Data<Api>>().map(|api| api.request_ids.next_id());
    id.map_or_else(|| RequestId::new("unknown"), |id| RequestId::new(id.as_str()))
}

fn is_plain(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// What the log and the metrics record of a request.
///
/// The route is the template, never the path: no id, name or filter gets into either (PII-01, PII-04).
struct Line<'a> {
    id: &'a RequestId,
    method: &'static str,
    route: &'a str,
    status: u16,
    started: Instant,
}

/// Makes the span of a request. It costs nothing where traces are not collected.
fn span(method: &'static str, id: &RequestId) -> Span {
    tracing::debug_span!(
        target: "headcount::request",
        "request",
        // The route is not known yet; a name cannot be changed once work has begun.
        otel.name = method,
        otel.kind = "server",
        http.request.method = method,
        http.route = Empty,
        http.response.status_code = Empty,
        request.id = id.as_str(),
        token.id = Empty,
        tenant.id = Empty,
        scim.kind = Empty,
    )
}

impl Line<'_> {
    /// Adds the outcome to the span, but no path, name or value (PII-01).
    fn fill(&self, span: &Span, log: &LogContext, error: Option<&ApiError>) {
        if span.is_disabled() {
            return;
        }
        span.record("http.route", self.route);
        span.record("http.response.status_code", self.status);
        let token = log.token.as_ref().or_else(|| error.and_then(|error| error.token.as_ref()));
        if let Some(token) = token {
            span.record("token.id", token.id.as_str());
            span.record("tenant.id", token.tenant.key());
        }
        if let Some(kind) = &log.kind {
            span.record("scim.kind", kind.as_str());
        }
    }

    fn write(&self, log: &LogContext, error: Option<&ApiError>) {
        let Self { method, route, status, .. } = *self;
        let id = self.id.as_str();
        let elapsed = self.started.elapsed();
        let token = log.token.as_ref().or_else(|| error.and_then(|error| error.token.as_ref()));
        tracing::info!(
            request.id = id,
            method,
            route,
            status,
            micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
            token.id = token.map(|token| token.id.as_str()),
            token.name = token.map(|token| token.name.as_str()),
            token.refused = error.and_then(ApiError::token_refusal),
            tenant.id = token.map(|token| token.tenant.key()),
            scim.kind = log.kind,
            scim.quirks = ?log.applied.quirks(),
            "request"
        );
        if let Some(chain) = error.and_then(|error| error.entry().failure) {
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

/// The record of a request for the provisioning log, begun before the handler runs.
///
/// `None` when there is no log, or when the path has nothing to do with provisioning.
struct LogRecord(Option<(Data<Api>, HttpExchange<Bytes>)>);

impl LogRecord {
    fn of(
        request: &ServiceRequest,
        id: &RequestId,
        method: &'static str,
        started: Instant,
    ) -> Self {
        let api = request.app_data::<Data<Api>>().filter(|api| api.recorder.is_some());
        let Some((api, path)) = api.zip(below_base(request.path())) else {
            return Self(None);
        };
        let agent = request.headers().get(header::USER_AGENT);
        let address = client::address(request.request(), &api.settings);
        let elapsed = i64::try_from(started.elapsed().as_micros()).unwrap_or(0);
        let exchange = HttpExchange {
            at: Timestamp::from_micros(api.service.clock.now().micros() - elapsed),
            micros: 0,
            request: id.clone(),
            tenant: None,
            token: auth::presented_token(request.headers()),
            token_name: None,
            refused: None,
            address: address.map(|address| address.to_canonical().to_string()),
            agent: agent.map(|agent| sanitize(&String::from_utf8_lossy(agent.as_bytes()))),
            method,
            path: sanitize(path),
            filter: target::filter_of(request.query_string()),
            routed: true,
            status: 0,
            scim_type: None,
            field: None,
            reason: None,
            quirks: Quirks::NONE,
            body: None,
            reply: None,
            proven: false,
            changed: None,
            names: ResourceNames::default(),
            operations: Vec::new(),
        };
        Self(Some((Data::clone(api), exchange)))
    }

    fn finish(
        self,
        line: &Line<'_>,
        log: LogContext,
        error: Option<&ApiError>,
        body: Option<Bytes>,
    ) {
        let Some((api, exchange)) = self.0 else { return };
        let token = log.token.as_ref().or_else(|| error.and_then(|error| error.token.as_ref()));
        let entry = error.map(ApiError::entry);
        // A stolen token that is used from elsewhere must not fill the log.
        let is_abroad = error.is_some_and(|error| matches!(error.cause, Cause::Network));
        let exchange = HttpExchange {
            micros: i64::try_from(line.started.elapsed().as_micros()).unwrap_or(i64::MAX),
            tenant: token.map(|token| token.tenant),
            token: token.map(|token| token.id.clone()).or(exchange.token),
            token_name: token.map(|token| token.name.clone()),
            refused: error.and_then(ApiError::token_refusal).map(str::to_owned),
            status: line.status,
            routed: line.route != UNMATCHED
                && !error.is_some_and(|error| matches!(error.cause, Cause::Astray { .. })),
            scim_type: entry.as_ref().and_then(|entry| entry.scim_type),
            field: entry.as_ref().and_then(|entry| entry.field.clone()),
            reason: entry.map(|entry| entry.detail.into_owned()).or(log.slip),
            quirks: log.applied.quirks(),
            body,
            reply: log.reply,
            proven: token.is_some() && !is_abroad,
            changed: log.changed,
            names: log.names,
            operations: log.operations,
            ..exchange
        };
        if let Some(recorder) = &api.recorder {
            recorder.record(exchange);
        }
    }
}

/// Returns the path below the base of SCIM, or the whole path when it is elsewhere, since an identity provider may
/// have been given a wrong base URL. Returns `None` for the paths of the server's other parts.
fn below_base(path: &str) -> Option<&str> {
    const OTHER: [&str; 6] =
        ["/healthz", "/readyz", "/metrics", "/api/", "/console", "/favicon.ico"];
    for base in [BASE_PATH, "/scim"] {
        if let Some(rest) =
            path.strip_prefix(base).filter(|rest| rest.is_empty() || rest.starts_with('/'))
        {
            return Some(if rest.is_empty() { "/" } else { rest });
        }
    }
    (!OTHER.iter().any(|other| path.starts_with(other))).then_some(path)
}

/// Prepares a client's text for the log: at most 300 characters, without control characters.
fn sanitize(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

/// Returns the method as one of a closed set, for metrics.
fn known_method(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.iter().find(|known| method.as_str() == **known).copied().unwrap_or("OTHER")
}
