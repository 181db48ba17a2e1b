//! The one table from what went wrong to a response: status, SCIM error body, headers.

#![warn(clippy::wildcard_enum_match_arm)]

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use headcount_core::error::Error;
use headcount_core::ids::RequestId;
use headcount_core::message::error_body;
use headcount_core::provider::ProviderError;
use headcount_token_admin::{Refusal, Scopes, TokenError};

use crate::fault::Fault;
use crate::headers::{SCIM_JSON, harden};
use crate::identity::TokenIdentity;

/// A request that is not answered as asked, with what is known of it for the log.
#[derive(Debug)]
pub(crate) struct ApiError {
    /// What went wrong.
    pub cause: Cause,
    /// The token, when it was proven.
    pub token: Option<Arc<TokenIdentity>>,
    /// The request, for the body of an internal error.
    pub request: Option<RequestId>,
}

/// What went wrong.
#[derive(Debug)]
pub(crate) enum Cause {
    /// A use case refused.
    Refused(Error),
    /// There are no credentials, or they are not ours to check.
    NoToken,
    /// The token is not accepted.
    BadToken(Option<Refusal>),
    /// Credentials stand in more than one place.
    AmbiguousToken,
    /// The token does not allow this.
    Scope(Scopes),
    /// The token may not be used from this address.
    Network,
    /// The resource does not have this method; those it has.
    Method(&'static str),
    /// The body is of a type that is not read.
    MediaType(String),
    /// The URL is too long.
    UriTooLong,
    /// The body came too slowly.
    SlowBody,
    /// The connection broke while the body was read.
    BrokenBody,
    /// Too many wrong tokens from one address.
    TooManyFailures,
    /// Everything is busy.
    Overloaded,
    /// The request took longer than this.
    Overdue(Duration),
    /// Tokens cannot be checked at the moment.
    Tokens(TokenError),
    /// A handler panicked or was lost.
    Internal,
    /// What only the admin API refuses.
    Admin(Fault),
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

/// Seconds after which an overloaded server may be asked again.
const RETRY_AFTER: &str = "2";

impl ApiError {
    /// Returns the HTTP status and the `scimType`.
    pub(crate) fn status_and_type(&self) -> (u16, Option<&'static str>) {
        match &self.cause {
            Cause::Refused(error) => error.status_and_type(),
            Cause::NoToken | Cause::BadToken(_) => (401, None),
            Cause::AmbiguousToken | Cause::BrokenBody => (400, None),
            Cause::Scope(_) | Cause::Network => (403, None),
            Cause::Method(_) => (405, None),
            Cause::MediaType(_) => (415, None),
            Cause::UriTooLong => (414, None),
            Cause::SlowBody => (408, None),
            Cause::TooManyFailures => (429, None),
            Cause::Overloaded | Cause::Overdue(_) | Cause::Tokens(_) => (503, None),
            Cause::Internal => (500, None),
            Cause::Admin(fault) => (fault.status(), None),
        }
    }

    /// Returns the `detail` of the response: for the client's admin, and for 5xx nothing but the id.
    pub(crate) fn detail(&self) -> String {
        match &self.cause {
            Cause::Refused(Error::Provider(ProviderError::Internal(_))) | Cause::Internal => {
                let id = self.request.as_ref().map_or("unknown", RequestId::as_str);
                format!("an internal error; the server's log tells more under the request id {id}")
            }
            Cause::Refused(error) => error.to_string(),
            Cause::NoToken => "no token was sent; put the provisioning token into the header Authorization: Bearer …".to_owned(),
            Cause::BadToken(_) => "the token is not accepted; create a new one and enter it in the identity provider".to_owned(),
            Cause::AmbiguousToken => "credentials were sent twice; send one Authorization header".to_owned(),
            Cause::Scope(needed) => format!("the token does not allow this; it needs the scope {needed}"),
            Cause::Network => "the token may not be used from this address".to_owned(),
            Cause::Method(allowed) => format!("this method is not allowed here; allowed: {allowed}"),
            Cause::MediaType(reason) => reason.clone(),
            Cause::UriTooLong => "the URL is too long; send the query as the body of a POST to .search".to_owned(),
            Cause::SlowBody => "the body did not arrive in time".to_owned(),
            Cause::BrokenBody => "the body could not be read to its end".to_owned(),
            Cause::TooManyFailures => "too many requests with a token that is not accepted; correct the token".to_owned(),
            Cause::Overloaded | Cause::Tokens(TokenError::Busy) => "the server is busy; repeat the request later".to_owned(),
            Cause::Overdue(limit) => format!(
                "the request was not done within {} seconds; repeat it later, or ask for less at once",
                limit.as_secs()
            ),
            Cause::Admin(fault) => fault.detail(),
            Cause::Tokens(_) => "tokens cannot be checked at the moment; repeat the request later".to_owned(),
        }
    }

    /// Returns the challenge of a 401 or 403 (RFC 6750 §3). It says the same for every bad token.
    fn challenge(&self) -> Option<String> {
        match &self.cause {
            Cause::NoToken => Some("Bearer realm=\"scim\"".to_owned()),
            Cause::BadToken(_) => {
                Some("Bearer realm=\"scim\", error=\"invalid_token\", error_description=\"the token is not accepted\"".to_owned())
            }
            Cause::AmbiguousToken => Some("Bearer realm=\"scim\", error=\"invalid_request\"".to_owned()),
            Cause::Scope(needed) => Some(format!("Bearer realm=\"scim\", error=\"insufficient_scope\", scope=\"{needed}\"")),
            Cause::Refused(_)
            | Cause::Network
            | Cause::Method(_)
            | Cause::MediaType(_)
            | Cause::UriTooLong
            | Cause::SlowBody
            | Cause::BrokenBody
            | Cause::TooManyFailures
            | Cause::Overloaded
            | Cause::Overdue(_)
            | Cause::Tokens(_)
            | Cause::Internal
            | Cause::Admin(_) => None,
        }
    }

    /// Returns the attribute that was rejected, for the log.
    pub(crate) fn field(&self) -> Option<String> {
        match &self.cause {
            Cause::Refused(error) => error.field().map(str::to_owned),
            Cause::NoToken
            | Cause::BadToken(_)
            | Cause::AmbiguousToken
            | Cause::Scope(_)
            | Cause::Network
            | Cause::Method(_)
            | Cause::MediaType(_)
            | Cause::UriTooLong
            | Cause::SlowBody
            | Cause::BrokenBody
            | Cause::TooManyFailures
            | Cause::Overloaded
            | Cause::Overdue(_)
            | Cause::Tokens(_)
            | Cause::Internal
            | Cause::Admin(_) => None,
        }
    }

    /// Tells whether the token is good, but not where it was used: one that was stolen must not fill the log.
    pub(crate) fn is_of_stranger(&self) -> bool {
        matches!(self.cause, Cause::Network)
    }

    /// Returns why a token was not accepted, for the log alone.
    pub(crate) fn refusal(&self) -> Option<&'static str> {
        let Cause::BadToken(refusal) = &self.cause else {
            return None;
        };
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

    /// Returns what the log shall say of a failure of the server itself, with all its causes.
    pub(crate) fn chain(&self) -> Option<String> {
        match &self.cause {
            Cause::Refused(error) => chain_of(error),
            Cause::Tokens(error) => Some(whole_chain(error)),
            Cause::Internal => Some("a handler panicked or was cancelled".to_owned()),
            Cause::NoToken
            | Cause::BadToken(_)
            | Cause::AmbiguousToken
            | Cause::Scope(_)
            | Cause::Network
            | Cause::Method(_)
            | Cause::MediaType(_)
            | Cause::UriTooLong
            | Cause::SlowBody
            | Cause::BrokenBody
            | Cause::TooManyFailures
            | Cause::Overloaded
            | Cause::Overdue(_)
            | Cause::Admin(_) => None,
        }
    }
}

/// Returns the causes of an error of the server's own; none of an error of the client's.
pub(crate) fn chain_of(error: &Error) -> Option<String> {
    let expected = matches!(
        error,
        Error::NotImplemented(_)
            | Error::Halted(_)
            | Error::Provider(ProviderError::Halted(_) | ProviderError::VersionConflict)
    );
    let ours = error.status_and_type().0 >= 500 && !expected;
    ours.then(|| whole_chain(error))
}

fn whole_chain(error: &dyn std::error::Error) -> String {
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
        f.write_str(&self.detail())
    }
}

impl std::error::Error for ApiError {}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status_and_type().0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let (status, scim_type) = self.status_and_type();
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((header::CONTENT_TYPE, SCIM_JSON));
        if let Some(challenge) = self.challenge().and_then(|text| HeaderValue::from_str(&text).ok())
        {
            response.insert_header((header::WWW_AUTHENTICATE, challenge));
        }
        if let Cause::Method(allowed) = &self.cause {
            response.insert_header((header::ALLOW, *allowed));
        }
        if matches!(status, 429 | 503) {
            response.insert_header((header::RETRY_AFTER, RETRY_AFTER));
        }
        let mut response = response.body(error_body(status, scim_type, &self.detail()));
        harden(response.headers_mut());
        response
    }
}
