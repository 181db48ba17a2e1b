//! Responses: one resource, a list, or nothing.

use std::sync::Arc;

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, Responder};
use bytes::Bytes;
use headcount_core::change::ResourceNames;
use headcount_core::error::Error;
use headcount_core::quirks::Applied;
use headcount_core::schema::ResourceType;
use headcount_core::service::Caller;
use headcount_records::Operated;

use crate::api::Api;
use crate::auth::{Authenticated, Permission};
use crate::blocking;
use crate::error::ApiError;
use crate::gzip::{self, Gzip};
use crate::headers::SCIM_JSON;
use crate::identity::TokenIdentity;
use crate::stream::MemberStream;

/// Proves the caller's token and makes the reply on a thread that may wait; see [`blocking::run`].
///
/// # Errors
///
/// As [`blocking::run`].
pub(crate) async fn respond<P: Permission>(
    api: &Data<Api>,
    auth: Authenticated<P>,
    kind: Option<Arc<ResourceType>>,
    job: impl FnOnce(&Data<Api>, &Caller) -> Result<Reply, ApiError> + Send + 'static,
) -> Result<Reply, ApiError> {
    respond_to(api, auth, kind, |api, caller, _| job(api, caller)).await
}

/// Does what [`respond`] does, for a reply that depends on what the token allows.
///
/// # Errors
///
/// As [`blocking::run`].
pub(crate) async fn respond_to<P: Permission>(
    api: &Data<Api>,
    auth: Authenticated<P>,
    kind: Option<Arc<ResourceType>>,
    job: impl FnOnce(&Data<Api>, &Caller, &TokenIdentity) -> Result<Reply, ApiError> + Send + 'static,
) -> Result<Reply, ApiError> {
    blocking::run(api, auth, kind, |api, caller, token| Ok(job(api, caller, token)?.by(token)))
        .await
}

/// A response, with what the log records of it.
pub(crate) struct Reply {
    status: StatusCode,
    body: Body,
    etag: Option<String>,
    location: Option<String>,
    is_cacheable: bool,
    is_compressed: bool,
    log: LogContext,
}

enum Body {
    None,
    Whole(Vec<u8>),
    Stream(Box<MemberStream>),
}

/// What the log records of a request that was answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogContext {
    pub(crate) token: Option<Arc<TokenIdentity>>,
    pub(crate) kind: Option<String>,
    /// The names of the resource, where neither the request nor the response has them.
    pub(crate) names: ResourceNames,
    pub(crate) applied: Applied,
    /// The body of the response to a write.
    pub(crate) reply: Option<Bytes>,
    /// Whether the request changed anything; `None` for a read.
    pub(crate) changed: Option<bool>,
    /// A name in the request that was ignored although it is nearly a known one.
    pub(crate) slip: Option<String>,
    /// The outcome of each operation of a bulk request.
    pub(crate) operations: Vec<Operated>,
}

impl Reply {
    /// Makes a response without a body.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self {
            status,
            body: Body::None,
            etag: None,
            location: None,
            is_cacheable: false,
            is_compressed: false,
            log: LogContext::default(),
        }
    }

    /// Makes a response with a whole body.
    pub(crate) fn whole(status: StatusCode, body: Vec<u8>) -> Self {
        Self { body: Body::Whole(body), ..Self::empty(status) }
    }

    /// Makes a response with a body that is read while it is sent.
    pub(crate) fn stream(status: StatusCode, stream: MemberStream) -> Self {
        let is_compressed = stream.is_compressed();
        Self { body: Body::Stream(Box::new(stream)), is_compressed, ..Self::empty(status) }
    }

    /// Compresses a large whole body, where the client wants it. Runs on a thread that may wait.
    pub(crate) fn compress(mut self, wanted: bool) -> Result<Self, ApiError> {
        if let Body::Whole(body) = &mut self.body
            && wanted
            && body.len() >= gzip::MIN_BYTES
        {
            let packed = Gzip::new().end(body);
            *body = packed.map_err(|_error| Error::internal("writing to memory does not fail"))?;
            self.is_compressed = true;
        }
        Ok(self)
    }

    /// Adds the version and the URL of the resource.
    pub(crate) fn about(mut self, etag: String, location: String) -> Self {
        self.etag = Some(etag);
        self.location = Some(location);
        self
    }

    /// Lets the client cache the response, and revalidate it on each use.
    pub(crate) fn cache_as(mut self, etag: String) -> Self {
        self.etag = Some(etag);
        self.is_cacheable = true;
        self
    }

    /// Adds what the log records.
    pub(crate) fn with_log(mut self, log: LogContext) -> Self {
        self.log = log;
        self
    }

    /// Adds the token of the request, for the log.
    fn by(mut self, token: &Arc<TokenIdentity>) -> Self {
        self.log.token = Some(Arc::clone(token));
        self
    }
}

impl Responder for Reply {
    type Body = BoxBody;

    fn respond_to(mut self, request: &HttpRequest) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if let Some(etag) = self.etag {
            response.insert_header((header::ETAG, etag));
        }
        if let Some(location) = self.location {
            response.insert_header((header::LOCATION, location));
        }
        if !is_write(request) {
            // Also on small responses and those without a body: the next one may be compressed.
            response.insert_header((header::VARY, "Accept-Encoding"));
        }
        if self.is_compressed {
            response.insert_header((header::CONTENT_ENCODING, "gzip"));
        }
        if self.is_cacheable {
            response.insert_header((header::CACHE_CONTROL, "private, no-cache"));
        }
        let mut response = match self.body {
            Body::None => response.finish(),
            Body::Whole(body) => {
                let body = Bytes::from(body);
                self.log.reply = is_write(request).then(|| body.clone());
                response.content_type(SCIM_JSON).body(body)
            }
            Body::Stream(stream) => {
                response.content_type(SCIM_JSON).streaming(stream.into_chunks())
            }
        };
        response.extensions_mut().insert(self.log);
        response
    }
}

/// Returns whether a request changes something. The log does not record the responses to reads.
fn is_write(request: &HttpRequest) -> bool {
    let method = request.method();
    !method.is_safe() && !request.path().ends_with("/.search")
}
