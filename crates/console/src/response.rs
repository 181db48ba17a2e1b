//! The response of a page: status, headers, cookies and body.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName};
use askama::Template;
use cookie::Cookie;

use crate::error::PageError;

/// Allows only what this server serves, and no script or style inside a page (ADM-11).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'";

/// Headers of every response of the console.
const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // Not `no-referrer`: with it, browsers send `Origin: null` with the console's own forms.
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
];

/// A response of the console.
pub(crate) struct PageResponse {
    status: StatusCode,
    body: Body,
    cookies: Vec<Cookie<'static>>,
    clear_site_data: bool,
}

enum Body {
    Html(String),
    Json(String),
    Redirect(String),
    File { name: String, media: &'static str, bytes: Vec<u8> },
}

impl PageResponse {
    fn new(body: Body) -> Self {
        Self { status: StatusCode::OK, body, cookies: Vec::new(), clear_site_data: false }
    }

    /// Renders a template as HTML.
    pub(crate) fn render(page: &impl Template) -> Result<Self, PageError> {
        let html = page.render().map_err(|error| PageError::Internal(error.to_string()))?;
        Ok(Self::new(Body::Html(html)))
    }

    /// Redirects the browser to another page, which it requests with GET.
    pub(crate) fn redirect(path: impl Into<String>) -> Self {
        Self { status: StatusCode::SEE_OTHER, ..Self::new(Body::Redirect(path.into())) }
    }

    /// Returns JSON to the console's script.
    pub(crate) fn json(value: &serde_json::Value) -> Self {
        Self::new(Body::Json(value.to_string()))
    }

    /// Returns a file that the browser saves.
    pub(crate) fn download(name: impl Into<String>, media: &'static str, bytes: Vec<u8>) -> Self {
        Self::new(Body::File { name: name.into(), media, bytes })
    }

    /// Sets the status.
    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Adds a cookie.
    pub(crate) fn cookie(mut self, cookie: Cookie<'static>) -> Self {
        self.cookies.push(cookie);
        self
    }

    /// Makes the browser delete what it stores of the console's pages. Cookies end one by one: that of the device
    /// stays for the next log-in.
    pub(crate) fn clear_site_data(mut self) -> Self {
        self.clear_site_data = true;
        self
    }

    /// Converts it into a response of actix-web.
    pub(crate) fn into_http(self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        for header in HEADERS {
            response.insert_header(header);
        }
        for cookie in self.cookies {
            response.append_header((header::SET_COOKIE, cookie.to_string()));
        }
        if self.clear_site_data {
            response.insert_header(("clear-site-data", "\"cache\", \"storage\""));
        }
        match self.body {
            Body::Html(html) => response.content_type("text/html; charset=utf-8").body(html),
            Body::Json(json) => response.content_type("application/json").body(json),
            Body::Redirect(path) => response.insert_header((header::LOCATION, path)).finish(),
            Body::File { name, media, bytes } => response
                .content_type(media)
                .insert_header((
                    header::CONTENT_DISPOSITION,
                    format!("attachment; filename=\"{name}\""),
                ))
                .body(bytes),
        }
    }
}
