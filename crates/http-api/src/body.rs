//! Bodies: their type, their size and the time they take. They are parsed later, on a thread that
//! may wait.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderMap};
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use headcount_core::error::Error;
use headcount_core::json;
use serde_json::Value;

use crate::api::Api;
use crate::error::{ApiError, Cause};

/// The body of a request, read but not parsed; what is wrong with it is told in its turn, after what
/// is wrong with the token and the target (ETG-017).
pub(crate) struct ScimJson(Result<Bytes, ApiError>);

/// The body as it came, for the provisioning log.
pub(crate) struct Sent(pub(crate) Bytes);

impl ScimJson {
    /// Parses the body.
    pub(crate) fn parse(self) -> Result<Value, ApiError> {
        Ok(json::parse(&self.0?)?)
    }

    /// Tells whether there is no body at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.as_ref().is_ok_and(Bytes::is_empty)
    }
}

impl FromRequest for ScimJson {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_bulk = request.path().ends_with("/Bulk");
        let limits = request.app_data::<actix_web::web::Data<Api>>().map(|api| {
            let settings = &api.settings;
            let bytes = if is_bulk { settings.bulk_bytes } else { settings.body_bytes };
            (bytes, settings.body_time)
        });
        let head = check_head(request.headers());
        let announced = content_length(request.headers());
        let payload = payload.take();
        let request = request.clone();
        Box::pin(async move {
            let Some((limit, time)) = limits else {
                return Err(Cause::Lost.into());
            };
            if let Err(cause) = head {
                return Ok(Self(Err(cause.into())));
            }
            let body = read(payload, announced, limit, time).await;
            if let Ok(bytes) = &body {
                request.extensions_mut().insert(Sent(bytes.clone()));
            }
            Ok(Self(body))
        })
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

async fn read(
    mut payload: Payload,
    announced: Option<usize>,
    limit: usize,
    time: Duration,
) -> Result<Bytes, ApiError> {
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    let mut body = BytesMut::with_capacity(announced.unwrap_or(0).min(limit));
    let whole = async {
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_broken| ApiError::from(Cause::BrokenBody))?;
            if body.len() + chunk.len() > limit {
                return Err(too_large(limit));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(())
    };
    match tokio::time::timeout(time, whole).await {
        Ok(done) => done.map(|()| body.freeze()),
        Err(_elapsed) => Err(Cause::SlowBody.into()),
    }
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
            "compressed bodies are not read; send the body without Content-Encoding".to_owned(),
        ));
    }
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    let refuse = || {
        Cause::MediaType(
            "the body must be of the type application/scim+json or application/json, in UTF-8"
                .to_owned(),
        )
    };
    let text = value.to_str().map_err(|_bad| refuse())?;
    let mut parts = text.split(';').map(str::trim);
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
    if known && utf8 { Ok(()) } else { Err(refuse()) }
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
