//! Request bodies: their type, their size and the time they take. They are parsed later, on a thread that may
//! wait.
//!
//! Before the token is proven, at most [`MAX_UNPROVEN_BYTES`] of a body are read. Memory is reserved before it is
//! used, from a budget that all requests share, and for a whole body at once: bodies that held a part and waited
//! for the rest would block each other.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use headcount_core::error::Error;
use headcount_core::json;
use headcount_core::message::SearchRequest;
use headcount_core::quirks::Quirks;
use headcount_core::schema::ResourceType;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::api::Api;
use crate::auth::Bearer;
use crate::blocking;
use crate::deadline::Stopwatch;
use crate::error::{ApiError, Cause};
use crate::lanes::{Lane, Owner, Reserved};
use crate::settings::HttpSettings;

/// Bodies up to this size are read before the token is proven, so that an ordinary request enters the pool of
/// threads once.
pub const MAX_UNPROVEN_BYTES: usize = 16 * 1024;
/// A body may take this long before it has to keep up with [`HttpSettings::body_rate`].
const GRACE_PERIOD: Duration = Duration::from_secs(5);

/// The body of a request, read but not parsed. Its error is deferred until the token and the target are
/// checked (ETG-017).
pub(crate) struct ScimJson {
    bytes: Result<Bytes, ApiError>,
    /// The right to hold the bytes.
    _reserved: Option<Arc<Reserved>>,
}

/// The bytes of the body, for the provisioning log.
pub(crate) struct RawBody(pub(crate) Bytes);

impl ScimJson {
    /// Parses the body.
    pub(crate) fn parse(self) -> Result<Value, ApiError> {
        Ok(json::parse(&self.bytes?)?)
    }

    /// Returns whether there is no body.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.as_ref().is_ok_and(Bytes::is_empty)
    }

    /// Returns the lane of a search over kinds. A body that is too large to be parsed here counts as expensive.
    pub(crate) fn lane_of_search(&self, api: &Api, kinds: &[Arc<ResourceType>]) -> Lane {
        let Ok(bytes) = &self.bytes else { return Lane::Point };
        if bytes.len() > MAX_UNPROVEN_BYTES {
            return Lane::Scan;
        }
        let request = match bytes.is_empty() {
            true => Ok(SearchRequest::without_body()),
            false => {
                json::parse(bytes).and_then(|body| SearchRequest::from_body(body, Quirks::ALL))
            }
        };
        request.map_or(Lane::Point, |request| api.service.cost_of_search(kinds, &request).into())
    }

    fn failed(error: impl Into<ApiError>) -> Self {
        Self { bytes: Err(error.into()), _reserved: None }
    }
}

impl FromRequest for ScimJson {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let head = check_head(request.headers());
        let intake = Intake::of(request);
        let payload = payload.take();
        let request = request.clone();
        Box::pin(async move {
            let intake = intake?;
            if let Err(cause) = head {
                return Ok(Self::failed(cause));
            }
            let bearer = Arc::clone(&intake.bearer);
            let (body, reserved) = match intake.read(payload).await {
                Ok(read) => read,
                Err(Stop::Body(error)) => return Ok(Self::failed(error)),
                Err(Stop::Token(error)) => {
                    // The handler responds with it, in the form of its API.
                    bearer.refuse(error);
                    return Ok(Self::failed(Cause::BrokenBody));
                }
            };
            let reserved = reserved.map(Arc::new);
            let mut extensions = request.extensions_mut();
            extensions.insert(RawBody(body.clone()));
            // The log holds the bytes, too, until the request is answered.
            extensions.insert(reserved.clone());
            Ok(Self { bytes: Ok(body), _reserved: reserved })
        })
    }
}

/// Why a body was not read.
enum Stop {
    /// The error of the body.
    Body(ApiError),
    /// The error of the token.
    Token(ApiError),
}

/// A body that is about to be read.
struct Intake {
    api: Data<Api>,
    bearer: Arc<Bearer>,
    announced: Option<usize>,
    limit: usize,
}

impl Intake {
    fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        let api = request.app_data::<Data<Api>>().cloned().ok_or(Cause::Internal)?;
        // Every handler extracts the token before the body.
        let bearer = request.extensions().get::<Arc<Bearer>>().cloned().ok_or(Cause::NoToken)?;
        let is_bulk = request.path().ends_with("/Bulk");
        let limit = if is_bulk { api.settings.bulk_bytes } else { api.settings.body_bytes };
        Ok(Self { announced: content_length(request.headers()), api, bearer, limit })
    }

    /// Reads the body: a small one at once, a larger one after the token is proven.
    async fn read(self, payload: Payload) -> Result<(Bytes, Option<Reserved>), Stop> {
        if self.announced.is_some_and(|length| length > self.limit) {
            return Err(Stop::Body(too_large(self.limit)));
        }
        let expected = self.announced.unwrap_or(self.limit);
        let mut reader = Reader {
            payload,
            body: BytesMut::new(),
            began: Instant::now(),
            settings: &self.api.settings,
        };
        let mut reserved = None;
        let small = expected.min(MAX_UNPROVEN_BYTES);
        if self.announced.is_none_or(|length| length <= MAX_UNPROVEN_BYTES) {
            reserved = self.reserve(self.owner(), small).await?;
            if reader.read(&self.bearer.stopwatch, small).await.map_err(Stop::Body)? {
                return Ok((reader.body.freeze(), reserved));
            }
        }
        let tenant = blocking::prove(&self.api, &self.bearer).await.map_err(Stop::Token)?;
        // The reservation of the beginning is returned first: no body holds a part and waits for the rest.
        drop(reserved);
        let owner = Owner::token(tenant, self.bearer.presented.id());
        let reserved = self.reserve(owner, expected).await?;
        match reader.read(&self.bearer.stopwatch, self.limit).await {
            Ok(true) => Ok((reader.body.freeze(), reserved)),
            Ok(false) => Err(Stop::Body(too_large(self.limit))),
            Err(error) => Err(Stop::Body(error)),
        }
    }

    fn owner(&self) -> Owner {
        match self.api.tokens.recognize(&self.bearer.presented) {
            Some(tenant) => Owner::token(tenant, self.bearer.presented.id()),
            None => Owner::stranger(self.bearer.block()),
        }
    }

    async fn reserve(&self, owner: Owner, bytes: usize) -> Result<Option<Reserved>, Stop> {
        if bytes == 0 {
            return Ok(None);
        }
        let deadline = self.bearer.stopwatch.deadline(self.api.settings.request_time);
        let reserved = self.api.lanes.reserve(owner, bytes, deadline).await;
        reserved.map(Some).ok_or_else(|| Stop::Body(Cause::Overloaded.into()))
    }
}

/// Reads a form of the console within the same limits. Returns `None` when it is larger than `max_bytes`, too
/// slow, or broken.
pub async fn read_form(
    api: &Data<Api>,
    stopwatch: &Stopwatch,
    owner: Owner,
    payload: actix_web::web::Payload,
    max_bytes: usize,
) -> Option<Bytes> {
    let deadline = stopwatch.deadline(api.settings.request_time);
    let _reserved = api.lanes.reserve(owner, max_bytes, deadline).await?;
    let (body, began) = (BytesMut::new(), Instant::now());
    let mut reader = Reader { payload: payload.into_inner(), body, began, settings: &api.settings };
    let whole = reader.read(stopwatch, max_bytes).await.ok()?;
    whole.then(|| reader.body.freeze())
}

/// A body that is being read.
struct Reader<'a> {
    payload: Payload,
    body: BytesMut,
    began: Instant,
    settings: &'a HttpSettings,
}

impl Reader<'_> {
    /// Reads to the end, or until there are more than `max_bytes`; returns whether it read to the end.
    async fn read(&mut self, stopwatch: &Stopwatch, max_bytes: usize) -> Result<bool, ApiError> {
        let began = Instant::now();
        let is_whole = self.read_within(max_bytes).await;
        stopwatch.exclude(began.elapsed());
        is_whole
    }

    async fn read_within(&mut self, max_bytes: usize) -> Result<bool, ApiError> {
        while self.body.len() <= max_bytes {
            let chunk = timeout_at(self.deadline(), self.payload.next()).await;
            match chunk.map_err(|_elapsed| ApiError::from(Cause::SlowBody))? {
                Some(Ok(chunk)) => self.body.extend_from_slice(&chunk),
                Some(Err(_broken)) => return Err(Cause::BrokenBody.into()),
                None => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Returns when the next bytes must have arrived.
    fn deadline(&self) -> Instant {
        let HttpSettings { body_rate, body_time, .. } = *self.settings;
        let received = u32::try_from(self.body.len()).unwrap_or(u32::MAX);
        let at_rate = Duration::from_secs(1).saturating_mul(received).checked_div(body_rate);
        self.began + at_rate.map_or(body_time, |time| (GRACE_PERIOD + time).min(body_time))
    }
}

pub(crate) fn too_large(limit: usize) -> ApiError {
    let reason = format!(
        "the body is larger than {limit} bytes, the limit for this request; send less at once"
    );
    Error::TooLarge(reason).into()
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Accepts `application/scim+json`, `application/json` and a missing type (RFC 7644 §3.8; Okta's
/// test suite sends none); nothing compressed, and no other charset than UTF-8.
fn check_head(headers: &HeaderMap) -> Result<(), Cause> {
    let encoding =
        headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?").trim());
    if encoding
        .is_some_and(|encoding| !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity"))
    {
        return Err(Cause::MediaType(
            "compressed bodies are not read; send the body without Content-Encoding",
        ));
    }
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    let refusal = Cause::MediaType(
        "the body must be of the type application/scim+json or application/json, in UTF-8",
    );
    let Ok(text) = value.to_str() else { return Err(refusal) };
    let mut parts = outside_quotes(text, ';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let known = essence.is_empty()
        || ["application/scim+json", "application/json"]
            .iter()
            .any(|known| essence.eq_ignore_ascii_case(known));
    let utf8 = parts.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            let value = value.trim().trim_matches('"');
            value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("utf8")
        }
        _ => true,
    });
    if known && utf8 { Ok(()) } else { Err(refusal) }
}

/// Splits a header at a separator, but not within quotes (RFC 9110 §5.6.4).
pub(crate) fn outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c: char| {
        let literal = std::mem::take(&mut escaped);
        match c {
            '"' if !literal => quoted = !quoted,
            '\\' if quoted && !literal => escaped = true,
            _ => {}
        }
        c == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn accepts(name: header::HeaderName, value: &'static str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        check_head(&headers).is_ok()
    }

    #[test]
    fn htp_004_htp_005_htp_006_htp_007_htp_008_media_types() {
        for good in [
            "application/scim+json",
            "application/json",
            "Application/SCIM+JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
            "",
            "application/scim+json; x=y",
            "application/scim+json; x=\"a;charset=latin1\"",
        ] {
            assert!(accepts(header::CONTENT_TYPE, good), "{good}");
        }
        for bad in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/xml",
            "application/json; charset=iso-8859-1",
            "multipart/form-data; boundary=x",
        ] {
            assert!(!accepts(header::CONTENT_TYPE, bad), "{bad}");
        }
        assert!(check_head(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn htp_016_compressed_bodies_are_refused() {
        for bad in ["gzip", "deflate", "br", "x-unknown", "gzip, identity"] {
            assert!(!accepts(header::CONTENT_ENCODING, bad), "{bad}");
        }
        assert!(accepts(header::CONTENT_ENCODING, "identity"));
    }
}
