//! What the admin API answers when it does not do as asked: RFC 9457 problem details.

#![warn(clippy::wildcard_enum_match_arm)]

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{HttpResponse, ResponseError};
use headcount_core::error::Error;
use headcount_core::provider::ProviderError;
use headcount_token_admin::error::Kind;
use headcount_token_admin::{AdminError, Field, Rule, TokenError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{ApiError, Cause};
use crate::fault::Fault;

/// The media type of problems.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";
/// What the types of all problems begin with.
const TYPE: &str = "urn:headcount:problem:";

impl From<AdminError> for ApiError {
    fn from(error: AdminError) -> Self {
        let (field, rule) = match error {
            AdminError::Rule { rule: Rule::Scopes(scopes), .. } => {
                return Cause::Scope(scopes).into();
            }
            AdminError::Rule { field, rule } => (field, rule),
            // The admin API checks no passwords.
            AdminError::Refused | AdminError::Hash => {
                return Cause::Tokens(TokenError::Hash).into();
            }
            AdminError::Busy => return Cause::Tokens(TokenError::Busy).into(),
            AdminError::Store(error) => return Cause::Tokens(TokenError::Store(error)).into(),
        };
        let text = rule.sentence(field);
        match rule.kind() {
            Kind::Invalid => Fault::Body(format!("{}: {text}", name(field))).into(),
            Kind::Missing => Fault::Missing(text).into(),
            Kind::Conflict => Fault::Conflict(text).into(),
            Kind::Forbidden => Fault::Grant(format!("{}: {text}", name(field))).into(),
        }
    }
}

/// Returns the name of a field in bodies.
fn name(field: Field) -> &'static str {
    match field {
        Field::Principal | Field::Tenant => "tenant",
        Field::Token => "id",
        Field::TenantName | Field::TokenName => "name",
        Field::Quirks => "quirks",
        Field::Scopes => "scopes",
        Field::Expiry => "expiresIn",
        Field::Networks => "cidrs",
        Field::Overlap => "overlap",
        // The admin API has no accounts.
        Field::Account | Field::AccountName | Field::Role | Field::Link | Field::Password => {
            "account"
        }
    }
}

/// An error as the admin API tells it.
#[derive(Debug)]
pub(crate) struct Problem(pub(crate) ApiError);

impl<E: Into<ApiError>> From<E> for Problem {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl Problem {
    /// What SCIM tells, unless that is about provisioning.
    fn detail(&self) -> String {
        if matches!(self.0.cause, Cause::NoToken) {
            return "no token was sent; put a token of the admin API into the header \
                    Authorization: Bearer …"
                .to_owned();
        }
        if matches!(self.0.cause, Cause::BadToken(_)) {
            return "the token is not accepted; make a new one with headcount token create \
                    --name NAME --scope administration"
                .to_owned();
        }
        self.0.detail()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Why a request was not carried out (RFC 9457).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// What kind of problem, as a URN that stays the same.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same for people.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong here, and what to change.
    pub detail: String,
}

fn kind(cause: &Cause) -> (&'static str, &'static str) {
    match cause {
        Cause::Admin(fault) => fault.kind(),
        Cause::Refused(Error::NotFound { .. }) => ("not-found", "There is no such thing"),
        Cause::Refused(Error::Syntax(_) | Error::Value { .. }) => {
            ("invalid-body", "The body is not valid")
        }
        Cause::Refused(Error::TooLarge(_)) => ("too-large", "The body is too large"),
        Cause::Refused(Error::Provider(ProviderError::Unavailable(_))) | Cause::Tokens(_) => {
            ("unavailable", "The database is not available")
        }
        // The admin API has no use case that refuses in another way.
        Cause::Refused(_) | Cause::Internal => ("internal", "The server failed"),
        Cause::NoToken | Cause::BadToken(_) => ("unauthorized", "The token is not accepted"),
        Cause::AmbiguousToken => ("ambiguous-token", "There are several tokens"),
        Cause::Scope(_) => ("scope", "The token does not allow this"),
        Cause::Network => ("network", "The token may not be used from here"),
        Cause::Method(_) => ("method", "The method is not allowed here"),
        Cause::MediaType(_) => ("media-type", "The body is of another type"),
        Cause::UriTooLong => ("uri-too-long", "The URL is too long"),
        Cause::SlowBody => ("timeout", "The body came too slowly"),
        Cause::BrokenBody => ("broken-body", "The body broke off"),
        Cause::TooManyFailures => ("too-many-failures", "There were too many wrong tokens"),
        Cause::Overloaded | Cause::Overdue(_) => ("busy", "The server is busy"),
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.0.status_code()
    }

    fn error_response(&self) -> HttpResponse {
        let (kind, title) = kind(&self.0.cause);
        let body = ProblemBody {
            kind: format!("{TYPE}{kind}"),
            title: title.to_owned(),
            status: self.status_code().as_u16(),
            detail: self.detail(),
        };
        let text = serde_json::to_string(&body).unwrap_or_default();
        // Status and headers are those of every other error.
        let mut response = self.0.error_response().set_body(text);
        let json = header::HeaderValue::from_static(PROBLEM_JSON);
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response.map_into_boxed_body()
    }
}
