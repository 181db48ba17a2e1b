//! Bodies: their type, their size and the time they take. They are parsed later, on a thread that
//! may wait.
//!
//! A stranger's body is read up to [`UNPROVEN_BYTES`] and no further. Bytes are reserved before they are
//! read, out of a budget that all requests share, and a whole body at once: a body that held a part and
//! waited for the rest would keep others from ending, and they it.

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

/// Bodies up to this size are read before the token is proven, so that an ordinary request needs one hop.
pub const UNPROVEN_BYTES: usize = 16 * 1024;
/// A body may take this long before it has to keep up with [`HttpSettings::body_rate`].
const GRACE: Duration = Duration::from_secs(5);

/// The body of a request, read but not parsed; what is wrong with it is told in its turn, after what
/// is wrong with the token and the target (ETG-017).
pub(crate) struct ScimJson {
    bytes: Result<Bytes, ApiError>,
    /// The right to hold the bytes.
    _reserved: Option<Arc<Reserved>>,
}

/// The body as it came, for the provisioning log.
pub(crate) struct Sent(pub(crate) Bytes);

impl ScimJson {
    /// Parses the body.
    pub(crate) fn parse(self) -> Result<Value, ApiError> {
        Ok(json::parse(&self.bytes?)?)
    }

    /// Tells whether there is no body at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.as_ref().is_ok_and(Bytes::is_empty)
    }

    /// Returns the lane of a search over kinds. A body that is too large to be looked into here counts as
    /// dear.
    pub(crate) fn lane_of_search(&self, api: &Api, kinds: &[Arc<ResourceType>]) -> Lane {
        let Ok(bytes) = &self.bytes else { return Lane::Point };
        if bytes.len() > UNPROVEN_BYTES {
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

    fn refused(error: impl Into<ApiError>) -> Self {
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
                return Ok(Self::refused(cause));
            }
            let bearer = Arc::clone(&intake.bearer);
            let (body, reserved) = match intake.read(payload).await {
                Ok(read) => read,
                Err(Stop::Body(error)) => return Ok(Self::refused(error)),
                Err(Stop::Token(error)) => {
                    // The handler says it, in its own form.
                    bearer.refuse(error);
                    return Ok(Self::refused(Cause::BrokenBody));
                }
            };
            let reserved = reserved.map(Arc::new);
            let mut extensions = request.extensions_mut();
            extensions.insert(Sent(body.clone()));
            // The log holds the bytes until the request is answered.
            extensions.insert(reserved.clone());
            Ok(Self { bytes: Ok(body), _reserved: reserved })
        })
    }
}

/// Why a body was not read.
enum Stop {
    /// Something is wrong with it.
    Body(ApiError),
    /// Something is wrong with the token.
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
        // Every handler takes the token first.
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
        let small = expected.min(UNPROVEN_BYTES);
        if self.announced.is_none_or(|length| length <= UNPROVEN_BYTES) {
            reserved = self.reserve(self.owner(), small).await?;
            if reader.read(&self.bearer.stopwatch, small).await.map_err(Stop::Body)? {
                return Ok((reader.body.freeze(), reserved));
            }
        }
        let tenant = blocking::prove(&self.api, &self.bearer).await.map_err(Stop::Token)?;
        // What was reserved for the beginning goes back first: nobody holds a part and waits for the rest.
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

/// Reads a form of the console within the same limits; none when it is larger than `longest`, too slow, or
/// broken.
pub async fn read_form(
    api: &Data<Api>,
    stopwatch: &Stopwatch,
    owner: Owner,
    payload: actix_web::web::Payload,
    longest: usize,
) -> Option<Bytes> {
    let deadline = stopwatch.deadline(api.settings.request_time);
    let _reserved = api.lanes.reserve(owner, longest, deadline).await?;
    let (body, began) = (BytesMut::new(), Instant::now());
    let mut reader = Reader { payload: payload.into_inner(), body, began, settings: &api.settings };
    let whole = reader.read(stopwatch, longest).await.ok()?;
    whole.then(|| reader.body.freeze())
}

/// What has come of a body so far.
struct Reader<'a> {
    payload: Payload,
    body: BytesMut,
    began: Instant,
    settings: &'a HttpSettings,
}

impl Reader<'_> {
    /// Reads on to the end, or until there are more bytes than `most`: then false.
    async fn read(&mut self, stopwatch: &Stopwatch, most: usize) -> Result<bool, ApiError> {
        let waits = Instant::now();
        let read = self.read_within(most).await;
        stopwatch.leave_out(waits.elapsed());
        read
    }

    async fn read_within(&mut self, most: usize) -> Result<bool, ApiError> {
        while self.body.len() <= most {
            let chunk = timeout_at(self.patience(), self.payload.next()).await;
            match chunk.map_err(|_elapsed| ApiError::from(Cause::SlowBody))? {
                Some(Ok(chunk)) => self.body.extend_from_slice(&chunk),
                Some(Err(_broken)) => return Err(Cause::BrokenBody.into()),
                None => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Until when the next bytes have to be here: a body that comes too slowly is not waited for.
    fn patience(&self) -> Instant {
        let HttpSettings { body_rate: rate, body_time: most, .. } = *self.settings;
        let came = u32::try_from(self.body.len()).unwrap_or(u32::MAX);
        let due = Duration::from_secs(1).saturating_mul(came).checked_div(rate);
        self.began + due.map_or(most, |due| (GRACE + due).min(most))
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

/// Splits a header at a separator, but for those between quotes (RFC 9110 §5.6.4).
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
