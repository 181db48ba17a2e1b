//! What a request says, taken out of it before the work begins.

use std::net::IpAddr;

use actix_web::HttpMessage as _;
use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::Query;
use headcount_core::ids::RequestId;
use headcount_http_api::Api;
use headcount_token_admin::accounts::Place;

/// The fields of a query or a form, in their order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields(pub(crate) Vec<(String, String)>);

impl Fields {
    /// Returns the first value of a field, trimmed; empty when there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.trim())
    }

    /// Returns the first value of a field as it was typed.
    pub(crate) fn raw(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Returns every value of a field.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Whether a request was made by a page of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sender {
    /// The browser says that it was.
    Ours,
    /// The browser says that it was not.
    Foreign,
    /// The browser says nothing.
    Unknown,
}

/// One request.
pub(crate) struct Visit {
    pub(crate) path: String,
    pub(crate) parts: Vec<(String, String)>,
    pub(crate) query: Fields,
    pub(crate) form: Fields,
    pub(crate) cookie: Option<String>,
    pub(crate) tenant_cookie: Option<String>,
    pub(crate) sender: Sender,
    pub(crate) secure: bool,
    pub(crate) place: Place,
    pub(crate) address: Option<IpAddr>,
    /// The address under which identity providers reach the server.
    pub(crate) origin: String,
    pub(crate) request: RequestId,
}

/// The cookie that holds a session. Browsers keep one with this prefix from being set by anybody else,
/// but only over TLS.
const SESSION: &str = "__Host-headcount";
const PLAIN_SESSION: &str = "headcount";
/// The cookie that holds the tenant that was chosen last.
const TENANT: &str = "headcount-tenant";

impl Visit {
    pub(crate) fn of(request: &HttpRequest, api: &Api, form: Fields) -> Self {
        let settings = &api.settings;
        let reached = headcount_http_api::reached(request, settings);
        let origin = headcount_http_api::origin(request, settings);
        let secure = reached.starts_with("https://");
        let address = headcount_http_api::address(request, settings);
        let session = if secure { SESSION } else { PLAIN_SESSION };
        let query = Query::<Vec<(String, String)>>::from_query(request.query_string());
        // No id holds a NUL, which PostgreSQL would refuse to look for.
        let plain = |value: &str| value.replace('\0', "\u{fffd}");
        let parts = request.match_info().iter();
        Self {
            path: request.path().to_owned(),
            parts: parts.map(|(name, value)| (name.to_owned(), plain(value))).collect(),
            query: Fields(query.map(Query::into_inner).unwrap_or_default()),
            form,
            cookie: cookie(request.headers(), session),
            tenant_cookie: cookie(request.headers(), TENANT),
            sender: sender(request.headers(), &[&reached, &origin]),
            secure,
            place: Place::of(address),
            address,
            origin,
            request: request
                .extensions()
                .get::<RequestId>()
                .cloned()
                .unwrap_or_else(|| RequestId::new("")),
        }
    }

    /// Returns a part of the path by its name.
    pub(crate) fn part(&self, name: &str) -> &str {
        self.parts.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Writes the cookie of a session; an empty text ends it.
    pub(crate) fn session_cookie(&self, value: &str) -> String {
        let (name, secure) = if self.secure { (SESSION, "; Secure") } else { (PLAIN_SESSION, "") };
        let life = if value.is_empty() { "; Max-Age=0" } else { "" };
        format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{life}")
    }

    /// Writes the cookie of the chosen tenant.
    pub(crate) fn tenant_cookie(&self, tenant: &str) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        format!("{TENANT}={tenant}; Path=/console; HttpOnly; SameSite=Strict{secure}")
    }
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let values = headers.get_all(header::COOKIE).filter_map(|value| value.to_str().ok());
    let mut pairs =
        values.flat_map(|value| value.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.find(|(known, _)| known.trim() == name).map(|(_, value)| value.trim().to_owned())
}

/// Reads Fetch Metadata, and `Origin` where a browser is too old for it or the address too plain.
fn sender(headers: &HeaderMap, own: &[&str]) -> Sender {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match (text("sec-fetch-site"), text("origin")) {
        (Some("same-origin"), _) => Sender::Ours,
        (Some(_), _) => Sender::Foreign,
        (None, Some(origin)) if own.contains(&origin) => Sender::Ours,
        (None, Some(_)) => Sender::Foreign,
        (None, None) => Sender::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn of(headers: &[(&'static str, &'static str)]) -> Sender {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        sender(&map, &["http://localhost:8080", "https://scim.example.com"])
    }

    #[test]
    fn adm_10_only_pages_of_ours_may_send_forms() {
        assert_eq!(of(&[("sec-fetch-site", "same-origin")]), Sender::Ours);
        for foreign in ["cross-site", "same-site", "none", ""] {
            assert_eq!(of(&[("sec-fetch-site", foreign)]), Sender::Foreign, "{foreign}");
        }
        assert_eq!(of(&[("origin", "http://localhost:8080")]), Sender::Ours);
        assert_eq!(of(&[("origin", "https://scim.example.com")]), Sender::Ours);
        for foreign in ["null", "https://localhost:8080", "http://localhost:8080.evil.example"] {
            assert_eq!(of(&[("origin", foreign)]), Sender::Foreign, "{foreign}");
        }
        let both = [("sec-fetch-site", "cross-site"), ("origin", "http://localhost:8080")];
        assert_eq!(of(&both), Sender::Foreign);
        assert_eq!(of(&[]), Sender::Unknown);
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let mut map = HeaderMap::new();
        map.append(header::COOKIE, HeaderValue::from_static("xheadcount=1; headcount=2; a=b=c"));
        assert_eq!(cookie(&map, "headcount").as_deref(), Some("2"));
        assert_eq!(cookie(&map, "a").as_deref(), Some("b=c"));
        assert_eq!(cookie(&map, "count"), None);
    }
}
