//! What a request says, read from it before the work begins.

use std::net::IpAddr;

use actix_web::HttpMessage as _;
use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap, HeaderName};
use actix_web::web::Query;
use cookie::time::Duration;
use cookie::{Cookie, SameSite};
use headcount_core::ids::RequestId;
use headcount_http_api::Api;
use headcount_token_admin::accounts::{ClientNetwork, DEVICE_LIFE};

/// The fields of a query or a form, in their order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields(pub(crate) Vec<(String, String)>);

impl Fields {
    /// Returns the first value of a field without surrounding whitespace; empty when there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// Returns the first value of a field as it was typed; empty when there is none.
    pub(crate) fn raw(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Returns every value of a field.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Whether a page of this console sent a request, by what the browser says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FetchOrigin {
    /// A page of this console.
    SameOrigin,
    /// Anything else.
    CrossOrigin,
    /// The browser says nothing.
    Unknown,
}

/// One request to the console.
#[derive(Clone)]
pub(crate) struct PageRequest {
    pub(crate) id: RequestId,
    pub(crate) path: String,
    /// The parameters in the path: name and value.
    pub(crate) parameters: Vec<(String, String)>,
    pub(crate) query: Fields,
    pub(crate) form: Fields,
    /// The value of the cookie of the session.
    pub(crate) session_cookie: Option<String>,
    /// The value of the cookie of the chosen tenant.
    pub(crate) tenant_cookie: Option<String>,
    /// The value of the cookie of a device that has logged in before.
    pub(crate) device_cookie: Option<String>,
    pub(crate) fetch_origin: FetchOrigin,
    /// Whether the browser uses TLS.
    pub(crate) secure: bool,
    pub(crate) network: ClientNetwork,
    pub(crate) address: Option<IpAddr>,
    /// The origin under which identity providers reach the server.
    pub(crate) public_origin: String,
    /// The origin under which administrators reach the console.
    pub(crate) console_origin: String,
}

/// The cookie of a session over TLS. Because of its prefix, browsers accept it only from this host.
const SESSION_COOKIE: &str = "__Host-headcount";
/// The cookie of a session without TLS.
const PLAIN_SESSION_COOKIE: &str = "headcount";
/// The cookie of a device over TLS, and without it.
const DEVICE_COOKIES: [&str; 2] = ["__Host-headcount-device", "headcount-device"];
/// The cookie of the tenant that was chosen last.
const TENANT_COOKIE: &str = "headcount-tenant";

impl PageRequest {
    /// Reads everything but the form.
    pub(crate) fn read(request: &HttpRequest, api: &Api) -> Self {
        let settings = &api.settings;
        let reached = headcount_http_api::request_origin(request, settings);
        let public_origin = headcount_http_api::origin(request, settings);
        let secure = reached.starts_with("https://");
        let address = headcount_http_api::address(request, settings);
        let query = Query::<Vec<(String, String)>>::from_query(request.query_string());
        Self {
            id: request
                .extensions()
                .get::<RequestId>()
                .cloned()
                .unwrap_or_else(|| RequestId::new(api.request_ids.next_id().as_str())),
            path: request.path().to_owned(),
            parameters: request
                .match_info()
                .iter()
                // No id has a NUL, and PostgreSQL refuses to search for one.
                .map(|(name, value)| (name.to_owned(), value.replace('\0', "\u{fffd}")))
                .collect(),
            query: Fields(query.map(Query::into_inner).unwrap_or_default()),
            form: Fields::default(),
            session_cookie: cookie(request.headers(), session_cookie_name(secure)),
            tenant_cookie: cookie(request.headers(), TENANT_COOKIE),
            device_cookie: cookie(request.headers(), device_cookie_name(secure)),
            fetch_origin: fetch_origin(request.headers(), &[&reached, &public_origin]),
            secure,
            network: ClientNetwork::of(address),
            address,
            public_origin,
            console_origin: headcount_http_api::console_origin(request, settings),
        }
    }

    /// Returns a parameter of the path by its name; empty when there is none.
    pub(crate) fn parameter(&self, name: &str) -> &str {
        self.parameters.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Returns the cookie that starts a session.
    pub(crate) fn new_session_cookie(&self, value: &str) -> Cookie<'static> {
        self.new_cookie(session_cookie_name(self.secure), value, "/")
    }

    /// Returns the cookie that ends a session.
    pub(crate) fn end_session_cookie(&self) -> Cookie<'static> {
        let mut cookie = self.new_session_cookie("");
        cookie.set_max_age(Duration::ZERO);
        cookie
    }

    /// Returns the cookie by which the next log-in knows the device. It opens nothing: it says in which line an
    /// attempt to log in waits.
    pub(crate) fn new_device_cookie(&self, value: &str) -> Cookie<'static> {
        let mut cookie = self.new_cookie(device_cookie_name(self.secure), value, "/");
        cookie.set_max_age(Duration::try_from(DEVICE_LIFE).ok());
        cookie
    }

    /// Returns the cookie that remembers the chosen tenant.
    pub(crate) fn new_tenant_cookie(&self, tenant: &str) -> Cookie<'static> {
        self.new_cookie(TENANT_COOKIE, tenant, "/console")
    }

    /// Returns a cookie that no script can read and that only the console's own pages send (ADM-09).
    fn new_cookie(&self, name: &'static str, value: &str, path: &'static str) -> Cookie<'static> {
        Cookie::build((name, value.to_owned()))
            .path(path)
            .http_only(true)
            .same_site(SameSite::Strict)
            .secure(self.secure)
            .build()
    }
}

fn session_cookie_name(secure: bool) -> &'static str {
    if secure { SESSION_COOKIE } else { PLAIN_SESSION_COOKIE }
}

fn device_cookie_name(secure: bool) -> &'static str {
    let [over_tls, plain] = DEVICE_COOKIES;
    if secure { over_tls } else { plain }
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .filter_map(|value| value.to_str().ok())
        .flat_map(Cookie::split_parse)
        .flatten()
        .find(|cookie| cookie.name() == name)
        .map(|cookie| cookie.value().to_owned())
}

/// Reads Fetch Metadata; `Origin` where the browser does not send it, which is the case for old ones
/// and for plain HTTP.
fn fetch_origin(headers: &HeaderMap, own: &[&str]) -> FetchOrigin {
    let site = text(headers, HeaderName::from_static("sec-fetch-site"));
    match (site, text(headers, header::ORIGIN)) {
        (Some("same-origin"), _) => FetchOrigin::SameOrigin,
        (Some(_), _) => FetchOrigin::CrossOrigin,
        (None, Some(origin)) if own.contains(&origin) => FetchOrigin::SameOrigin,
        (None, Some(_)) => FetchOrigin::CrossOrigin,
        (None, None) => FetchOrigin::Unknown,
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn of(headers: &[(&'static str, &'static str)]) -> FetchOrigin {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        fetch_origin(&map, &["http://localhost:8080", "https://scim.example.com"])
    }

    #[test]
    fn adm_10_only_pages_of_ours_may_send_forms() {
        assert_eq!(of(&[("sec-fetch-site", "same-origin")]), FetchOrigin::SameOrigin);
        for foreign in ["cross-site", "same-site", "none", ""] {
            assert_eq!(of(&[("sec-fetch-site", foreign)]), FetchOrigin::CrossOrigin, "{foreign}");
        }
        assert_eq!(of(&[("origin", "http://localhost:8080")]), FetchOrigin::SameOrigin);
        assert_eq!(of(&[("origin", "https://scim.example.com")]), FetchOrigin::SameOrigin);
        for foreign in ["null", "https://localhost:8080", "http://localhost:8080.evil.example"] {
            assert_eq!(of(&[("origin", foreign)]), FetchOrigin::CrossOrigin, "{foreign}");
        }
        let both = [("sec-fetch-site", "cross-site"), ("origin", "http://localhost:8080")];
        assert_eq!(of(&both), FetchOrigin::CrossOrigin);
        assert_eq!(of(&[]), FetchOrigin::Unknown);
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
