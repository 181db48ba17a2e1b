//! Why a page cannot be shown.

use actix_web::http::StatusCode;
use headcount_core::error::Error;
use headcount_core::provider::ProviderError;
use headcount_core::work::Halt;
use headcount_token_admin::error::Kind;
use headcount_token_admin::{AdminError, StoreError};

/// Why a page cannot be shown.
#[derive(Debug)]
pub(crate) enum PageError {
    /// The request has no session.
    LoggedOut,
    /// The account's role does not allow it.
    Forbidden,
    /// The form was not sent by a page of this console.
    UntrustedForm,
    /// The page, or what it is about, does not exist.
    NotFound(String),
    /// The setup link was used already, or is too old.
    LinkExpired,
    /// The request is wrong; says why.
    BadRequest(String),
    /// The server or its database is busy.
    Busy,
    /// The server failed; says why, for its own log.
    Internal(String),
}

impl From<Error> for PageError {
    fn from(error: Error) -> Self {
        match error {
            Error::Provider(error) => error.into(),
            Error::NotFound { .. } => Self::NotFound("There is no such resource.".to_owned()),
            other => Self::BadRequest(other.to_string()),
        }
    }
}

impl From<ProviderError> for PageError {
    fn from(error: ProviderError) -> Self {
        match error {
            ProviderError::Unavailable(_) | ProviderError::Halted(Halt::Deadline | Halt::Gone) => {
                Self::Busy
            }
            ProviderError::Internal(source) => Self::Internal(source.to_string()),
            other => Self::BadRequest(other.to_string()),
        }
    }
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Taken | StoreError::Missing | StoreError::Refused(_) => {
                Self::BadRequest(error.to_string())
            }
            StoreError::Unavailable(_) => Self::Busy,
        }
    }
}

impl From<AdminError> for PageError {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Rule { field, rule } => match rule.kind() {
                Kind::Forbidden => Self::Forbidden,
                Kind::Missing => Self::NotFound(rule.sentence(field)),
                Kind::Invalid | Kind::Conflict => Self::BadRequest(rule.sentence(field)),
            },
            AdminError::Refused => Self::BadRequest(error.to_string()),
            AdminError::Busy => Self::Busy,
            AdminError::Hash => Self::Internal(error.to_string()),
            AdminError::Store(error) => error.into(),
        }
    }
}

impl PageError {
    /// Returns the status, a heading and a sentence that says what to do.
    pub(crate) fn message(&self) -> (StatusCode, &'static str, String) {
        let (status, heading, text) = match self {
            Self::LoggedOut => {
                (StatusCode::UNAUTHORIZED, "You are not logged in", "Log in, then try again.")
            }
            Self::Forbidden => (
                StatusCode::FORBIDDEN,
                "Your account may not do this",
                "An owner can give you another role under Settings.",
            ),
            Self::UntrustedForm => (
                StatusCode::FORBIDDEN,
                "This form did not come from this console, or is too old",
                "Go back, reload the page and send the form again.",
            ),
            Self::LinkExpired => (
                StatusCode::NOT_FOUND,
                "This link no longer works",
                "It was used already, or is more than an hour old. Create a new one on the server: with headcount admin setup-link for the first account, with headcount admin recover NAME for an existing one.",
            ),
            Self::NotFound(text) => (StatusCode::NOT_FOUND, "Not found", text.as_str()),
            Self::BadRequest(text) => {
                (StatusCode::BAD_REQUEST, "The request cannot be carried out", text.as_str())
            }
            Self::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The server is busy",
                "The server or its database is not responding. Try again in a few seconds.",
            ),
            Self::Internal(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Internal error",
                "The server failed. Its log has the cause, under the id of this request.",
            ),
        };
        (status, heading, text.to_owned())
    }
}
