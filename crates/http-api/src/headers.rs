//! The headers that every response has.

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// The media type of every SCIM body.
pub(crate) const SCIM_JSON: &str = "application/scim+json";

/// Headers of every response (security controls HDR-01, HTP-018).
const ALWAYS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Lets browsers use nothing but TLS for a year (RFC 6797). It says nothing about other names below the host's.
const TLS_ONLY: &str = "max-age=31536000";

/// Adds the header of a response over TLS.
pub(crate) fn require_tls(headers: &mut HeaderMap) {
    headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(TLS_ONLY));
}

/// Adds the headers that every response has.
pub(crate) fn harden(headers: &mut HeaderMap) {
    for (name, value) in ALWAYS {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}
