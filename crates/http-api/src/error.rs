//! Errors: the one table from a cause to everything that is visible of it outside.

#![warn(clippy::wildcard_enum_match_arm)]

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{HttpResponse, ResponseError};
use headcount_core::error::Error;
use headcount_core::ids::RequestId;
use headcount_core::message::error_body;
use headcount_core::provider::ProviderError;
use headcount_token_admin::{Refusal, Scopes, TokenError};

use crate::headers::{SCIM_JSON, harden};
use crate::identity::TokenIdentity;

/// A request that failed, with what the log records of it.
#[derive(Debug)]
pub(crate) struct ApiError {
    /// Why it failed.
    pub cause: Cause,
    /// The token, when it was proven.
    pub token: Option<Arc<TokenIdentity>>,
    /// The request, for the body of an internal error.
    pub request: Option<RequestId>,
}

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum Cause {
    /// A use case refused it.
    Refused(Error),
    /// There are no credentials, or they are of another scheme.
    NoToken,
    /// The token is not accepted; without a reason, it is malformed.
    BadToken(Option<Refusal>),
    /// There is more than one `Authorization` header.
    AmbiguousToken,
    /// The token lacks these scopes.
    Scope(Scopes),
    /// The token may not be used from this address.
    Network,
    /// No route has this path.
    Astray {
        /// The base URL of SCIM.
        base: String,
        /// Whether credentials were sent that are not a token of this server's form.
        malformed: bool,
    },
    /// The route does not have this method, but these.
    Method(&'static str),
    /// The body is of a type that is not read.
    MediaType(&'static str),
    /// The URL is too long.
    UriTooLong,
    /// The body arrived too slowly.
    SlowBody,
    /// The connection broke while the body was read.
    BrokenBody,
    /// Too many bad tokens came from one address.
    TooManyFailures,
    /// No thread or memory was free in time.
    Overloaded,
    /// The request took longer than this.
    Overdue(Duration),
    /// The tokens or other administrative data cannot be read at the moment.
    Tokens(TokenError),
    /// A handler panicked, or its thread was lost.
    Internal,
    /// The admin API refused it.
    Admin(Fault),
}

/// What only the admin API refuses.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The token is for provisioning.
    Purpose,
    /// A parameter of the query is not valid.
    Parameter {
        /// The parameter.
        name: String,
        /// What it must be.
        reason: String,
    },
    /// The body is not valid.
    Body(String),
    /// There is nothing of this name.
    Missing(String),
    /// The state of the named thing does not allow it.
    Conflict(String),
    /// A rule of administration forbids it to this token.
    Grant(String),
    /// Too many readers wait for events.
    Listeners,
}

impl From<Cause> for ApiError {
    fn from(cause: Cause) -> Self {
        Self { cause, token: None, request: None }
    }
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        Cause::Admin(fault).into()
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Cause::Refused(error).into()
    }
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Refused(refusal) => Cause::BadToken(Some(refusal)).into(),
            other @ (TokenError::Busy | TokenError::Store(_) | TokenError::Hash) => {
                Cause::Tokens(other).into()
            }
        }
    }
}

/// What is visible of a cause outside: to the client, in the log and in the provisioning log.
pub(crate) struct Entry {
    pub(crate) status: u16,
    /// The `scimType` (RFC 7644 §3.12).
    pub(crate) scim_type: Option<&'static str>,
    /// One sentence for the client's administrator that says what to change. For a defect, it has nothing but the
    /// request id.
    pub(crate) detail: Cow<'static, str>,
    /// What follows the realm in the challenge of a 401 or 403 (RFC 6750 §3).
    challenge: Option<Cow<'static, str>>,
    /// The attribute that was rejected.
    pub(crate) field: Option<String>,
    /// The chain of causes, where the server failed.
    pub(crate) failure: Option<String>,
    /// The `type` of a problem of the admin API, without its prefix, and its `title` (RFC 9457).
    pub(crate) problem: (&'static str, &'static str),
}

/// Seconds after which a client may repeat a request that was refused with 429 or 503.
const RETRY_AFTER: &str = "2";

const UNAUTHORIZED: (&str, &str) = ("unauthorized", "The token is not accepted");
const UNAVAILABLE: (&str, &str) = ("unavailable", "The database is not available");
const BUSY: (&str, &str) = ("busy", "The server is busy");

impl Entry {
    fn new(
        status: u16,
        problem: (&'static str, &'static str),
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            scim_type: None,
            detail: detail.into(),
            challenge: None,
            field: None,
            failure: None,
            problem,
        }
    }

    fn challenge(self, parameters: impl Into<Cow<'static, str>>) -> Self {
        Self { challenge: Some(parameters.into()), ..self }
    }

    fn failure(self, chain: String) -> Self {
        Self { failure: Some(chain), ..self }
    }

    /// The row of a defect. The client gets the request id, the log the cause.
    fn internal(request: Option<&RequestId>, failure: String) -> Self {
        let id = request.map_or("unknown", RequestId::as_str);
        let detail =
            format!("an internal error; the server's log has its cause under the request id {id}");
        Self::new(500, ("internal", "The server failed"), detail).failure(failure)
    }

    fn busy() -> Self {
        Self::new(503, BUSY, "the server is busy; repeat the request later")
    }

    /// The row of a token check that could not be made.
    fn tokens(error: &TokenError) -> Self {
        let detail = "tokens cannot be checked at the moment; repeat the request later";
        let entry = if matches!(error, TokenError::Busy) {
            Self::busy()
        } else {
            Self::new(503, UNAVAILABLE, detail)
        };
        Self { problem: UNAVAILABLE, ..entry }.failure(chain(error))
    }

    /// The row of an error of a use case, whose status and `scimType` are those of `headcount-core`.
    fn refused(error: &Error, request: Option<&RequestId>) -> Self {
        if let Error::Provider(ProviderError::Internal(_)) = error {
            return Self::internal(request, chain(error));
        }
        let (status, scim_type) = error.status_and_type();
        let problem = if matches!(error, Error::NotFound { .. }) {
            ("not-found", "It does not exist")
        } else if matches!(error, Error::Syntax(_) | Error::Value { .. }) {
            ("invalid-body", "The body is not valid")
        } else if matches!(error, Error::TooLarge(_)) {
            ("too-large", "The body is too large")
        } else if matches!(error, Error::Provider(ProviderError::Unavailable(_))) {
            UNAVAILABLE
        } else {
            // No use case of the admin API refuses in another way.
            ("internal", "The server failed")
        };
        Self {
            scim_type,
            field: error.field().map(str::to_owned),
            failure: failure_chain(error),
            ..Self::new(status, problem, error.to_string())
        }
    }
}

impl Fault {
    /// Returns the row of the table; see [`ApiError::entry`].
    fn entry(&self) -> Entry {
        match self {
            Self::Purpose => Entry::new(
                403,
                ("token-purpose", "The token has another purpose"),
                "this token is for provisioning; make one for the admin API, such as \
                 headcount token create --name NAME --scope administration",
            ),
            Self::Parameter { name, reason } => Entry::new(
                400,
                ("invalid-parameter", "A parameter is not valid"),
                format!("{name}: {reason}"),
            ),
            Self::Body(reason) => {
                Entry::new(400, ("invalid-body", "The body is not valid"), reason.clone())
            }
            Self::Missing(reason) => {
                Entry::new(404, ("not-found", "It does not exist"), reason.clone())
            }
            Self::Conflict(reason) => {
                Entry::new(409, ("conflict", "The state does not allow this"), reason.clone())
            }
            Self::Grant(reason) => {
                Entry::new(403, ("grant", "The token cannot grant this"), reason.clone())
            }
            Self::Listeners => Entry::new(
                503,
                BUSY,
                "too many readers wait for events; repeat the request later, or without wait",
            ),
        }
    }
}

impl ApiError {
    /// The table. The challenge is the same for every bad token, whatever the reason.
    pub(crate) fn entry(&self) -> Entry {
        match &self.cause {
            Cause::Refused(error) => Entry::refused(error, self.request.as_ref()),
            Cause::Admin(fault) => fault.entry(),
            Cause::Internal => {
                let failure = "a handler panicked or was cancelled".to_owned();
                Entry::internal(self.request.as_ref(), failure)
            }
            Cause::NoToken => Entry::new(
                401,
                UNAUTHORIZED,
                "no token was sent; put the provisioning token into the header Authorization: Bearer …",
            )
            .challenge(""),
            Cause::BadToken(_) => Entry::new(
                401,
                UNAUTHORIZED,
                "the token is not accepted; create a new one and enter it in the identity provider",
            )
            .challenge(", error=\"invalid_token\", error_description=\"the token is not accepted\""),
            Cause::AmbiguousToken => Entry::new(
                400,
                ("ambiguous-token", "There are several tokens"),
                "credentials were sent twice; send one Authorization header",
            )
            .challenge(", error=\"invalid_request\""),
            Cause::Scope(scopes) => Entry::new(
                403,
                ("scope", "The token does not allow this"),
                format!("the token does not allow this; it needs the scope {scopes}"),
            )
            .challenge(format!(", error=\"insufficient_scope\", scope=\"{scopes}\"")),
            Cause::Network => Entry::new(
                403,
                ("network", "The token may not be used from here"),
                "the token may not be used from this address",
            ),
            Cause::Astray { base, .. } => Entry::new(
                404,
                ("not-found", "It does not exist"),
                format!("there is nothing at this address; the base URL for SCIM is {base}"),
            ),
            Cause::Method(allowed) => Entry::new(
                405,
                ("method", "The method is not allowed here"),
                format!("this method is not allowed here; allowed: {allowed}"),
            ),
            Cause::MediaType(reason) => {
                Entry::new(415, ("media-type", "The body is of another type"), *reason)
            }
            Cause::UriTooLong => Entry::new(
                414,
                ("uri-too-long", "The URL is too long"),
                "the URL is too long; send the query as the body of a POST to .search",
            ),
            Cause::SlowBody => Entry::new(
                408,
                ("timeout", "The body arrived too slowly"),
                "the body did not arrive in time; repeat the request, or send less at once",
            ),
            Cause::BrokenBody => Entry::new(
                400,
                ("broken-body", "The body ended early"),
                "the body could not be read to its end; repeat the request",
            ),
            Cause::TooManyFailures => Entry::new(
                429,
                ("too-many-failures", "There were too many wrong tokens"),
                "too many requests with a token that is not accepted; correct the token",
            ),
            Cause::Overloaded => Entry::busy(),
            Cause::Overdue(limit) => Entry::new(
                503,
                BUSY,
                format!(
                    "the request was not finished within {} seconds; repeat it later, or ask for less at once",
                    limit.as_secs()
                ),
            ),
            Cause::Tokens(error) => Entry::tokens(error),
        }
    }

    /// Returns why a token was not accepted, for the log alone.
    pub(crate) fn token_refusal(&self) -> Option<&'static str> {
        // Of a request that went astray, nothing but the form of its token is looked at.
        if let Cause::Astray { malformed: true, .. } = &self.cause {
            return Some("malformed");
        }
        let Cause::BadToken(refusal) = &self.cause else { return None };
        Some(match refusal {
            None => "malformed",
            Some(Refusal::Unknown) => "unknown",
            Some(Refusal::WrongSecret) => "wrong secret",
            Some(Refusal::Revoked) => "revoked",
            Some(Refusal::Expired) => "expired",
            Some(Refusal::TenantDisabled) => "tenant disabled",
            Some(Refusal::WrongPurpose) => "wrong purpose",
        })
    }
}

/// Returns the chain of causes of a failure of the server, or `None` for an error that a client caused.
pub(crate) fn failure_chain(error: &Error) -> Option<String> {
    let expected = matches!(
        error,
        Error::NotImplemented(_)
            | Error::Halted(_)
            | Error::Provider(ProviderError::Halted(_) | ProviderError::VersionConflict)
    );
    let is_failure = error.status_and_type().0 >= 500 && !expected;
    is_failure.then(|| chain(error))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut chain = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        chain = format!("{chain}: {cause}");
        source = cause.source();
    }
    chain
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.entry().detail)
    }
}

impl std::error::Error for ApiError {}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.entry().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let entry = self.entry();
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((header::CONTENT_TYPE, SCIM_JSON));
        if let Some(parameters) = &entry.challenge {
            let challenge = format!("Bearer realm=\"scim\"{parameters}");
            response.insert_header((header::WWW_AUTHENTICATE, challenge));
        }
        if let Cause::Method(allowed) = &self.cause {
            response.insert_header((header::ALLOW, *allowed));
        }
        if matches!(entry.status, 429 | 503) {
            response.insert_header((header::RETRY_AFTER, RETRY_AFTER));
        }
        let body = error_body(entry.status, entry.scim_type, &entry.detail);
        let mut response = response.body(body);
        harden(response.headers_mut());
        response
    }
}
