//! What a page comes to, and what went wrong instead.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName};
use askama::Template;
use headcount_core::error::Error;
use headcount_core::provider::ProviderError;
use headcount_core::work::Halt;
use headcount_token_admin::error::Kind;
use headcount_token_admin::{AdminError, StoreError};

/// Nothing but what comes from here, and no script or style inside a page (ADM-11).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'";

/// Headers of everything the console answers.
const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // Not `no-referrer`, which would take the origin out of our own forms.
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
];

/// What a page comes to.
pub(crate) struct Answer {
    status: StatusCode,
    body: Body,
    cookies: Vec<String>,
    clear: bool,
}

enum Body {
    Html(String),
    Json(String),
    Elsewhere(String),
    File { name: String, media: &'static str, bytes: Vec<u8> },
}

impl Answer {
    fn with(body: Body) -> Self {
        Self { status: StatusCode::OK, body, cookies: Vec::new(), clear: false }
    }

    /// Renders a page.
    pub(crate) fn page(page: &impl Template) -> Result<Self, Fault> {
        let html = page.render().map_err(|error| Fault::Internal(error.to_string()))?;
        Ok(Self::with(Body::Html(html)))
    }

    /// Sends the browser to another page, with GET.
    pub(crate) fn see(path: impl Into<String>) -> Self {
        Self { status: StatusCode::SEE_OTHER, ..Self::with(Body::Elsewhere(path.into())) }
    }

    /// Answers a script.
    pub(crate) fn json(value: &serde_json::Value) -> Self {
        Self::with(Body::Json(value.to_string()))
    }

    /// Hands out a file to be kept.
    pub(crate) fn file(name: impl Into<String>, media: &'static str, bytes: Vec<u8>) -> Self {
        Self::with(Body::File { name: name.into(), media, bytes })
    }

    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn cookie(mut self, cookie: String) -> Self {
        self.cookies.push(cookie);
        self
    }

    /// Makes the browser forget what it keeps of us.
    pub(crate) fn clear(mut self) -> Self {
        self.clear = true;
        self
    }

    pub(crate) fn response(self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        for header in HEADERS {
            response.insert_header(header);
        }
        for cookie in self.cookies {
            response.append_header((header::SET_COOKIE, cookie));
        }
        if self.clear {
            response.insert_header(("clear-site-data", "\"cache\", \"cookies\", \"storage\""));
        }
        match self.body {
            Body::Html(html) => response.content_type("text/html; charset=utf-8").body(html),
            Body::Json(json) => response.content_type("application/json").body(json),
            Body::Elsewhere(path) => response.insert_header((header::LOCATION, path)).finish(),
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

/// Why there is no page.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Nobody is logged in.
    LoggedOut,
    /// The account's role does not allow it.
    Forbidden,
    /// The request was not sent by a page of ours.
    Foreign,
    /// There is no such page or thing.
    NotFound(String),
    /// A link that was used, or is too old.
    Gone,
    /// What was asked for is wrong, and why.
    Wrong(String),
    /// The server or its database is busy.
    Busy,
    /// Something broke.
    Internal(String),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::Provider(error) => error.into(),
            Error::NotFound { .. } => Self::NotFound("There is no such resource here.".to_owned()),
            other => Self::Wrong(other.to_string()),
        }
    }
}

impl From<ProviderError> for Fault {
    fn from(error: ProviderError) -> Self {
        match error {
            ProviderError::Unavailable(_) | ProviderError::Halted(Halt::Deadline | Halt::Gone) => {
                Self::Busy
            }
            ProviderError::Internal(source) => Self::Internal(source.to_string()),
            other => Self::Wrong(other.to_string()),
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Taken | StoreError::Missing | StoreError::Refused(_) => {
                Self::Wrong(error.to_string())
            }
            StoreError::Unavailable(_) => Self::Busy,
        }
    }
}

impl From<AdminError> for Fault {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Rule { field, rule } => match rule.kind() {
                Kind::Forbidden => Self::Forbidden,
                Kind::Missing => Self::NotFound(rule.sentence(field)),
                Kind::Invalid | Kind::Conflict => Self::Wrong(rule.sentence(field)),
            },
            AdminError::Refused => Self::Wrong(error.to_string()),
            AdminError::Busy => Self::Busy,
            AdminError::Hash => Self::Internal(error.to_string()),
            AdminError::Store(error) => error.into(),
        }
    }
}

impl Fault {
    /// Returns the status, a heading and a sentence that says what to do.
    pub(crate) fn told(&self) -> (StatusCode, &'static str, String) {
        let (status, heading, text) = match self {
            Self::LoggedOut => (
                StatusCode::UNAUTHORIZED,
                "You are not logged in",
                "Log in, then repeat what you did.",
            ),
            Self::Forbidden => (
                StatusCode::FORBIDDEN,
                "Your account may not do this",
                "An owner can give you another role under Settings.",
            ),
            Self::Foreign => (
                StatusCode::FORBIDDEN,
                "This form is not from here, or too old",
                "Go back, reload the page and send the form again.",
            ),
            Self::Gone => (
                StatusCode::NOT_FOUND,
                "This link does not work any more",
                "It was used already, or is more than an hour old. Whoever runs the server makes a new one: with headcount admin setup-link for the first account, with headcount admin recover NAME for one that exists.",
            ),
            Self::NotFound(text) => (StatusCode::NOT_FOUND, "Not found", text.as_str()),
            Self::Wrong(text) => (StatusCode::BAD_REQUEST, "That did not work", text.as_str()),
            Self::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The server is busy",
                "The server or its database does not answer at the moment. Try again in a few seconds.",
            ),
            Self::Internal(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something broke",
                "This is a fault of the server. Its log tells more under the id of this request.",
            ),
        };
        (status, heading, text.to_owned())
    }
}
