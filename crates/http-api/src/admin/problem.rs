//! Errors of the admin API: problem details (RFC 9457).

use std::borrow::Cow;
use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{HttpResponse, ResponseError};
use headcount_token_admin::error::Kind;
use headcount_token_admin::{AdminError, Field, Rule, TokenError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{ApiError, Cause, Entry, Fault};

/// The media type of problems.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";
/// The prefix of every problem's `type`.
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
            Kind::Invalid => Fault::Body(format!("{}: {text}", field_name(field))).into(),
            Kind::Missing => Fault::Missing(text).into(),
            Kind::Conflict => Fault::Conflict(text).into(),
            Kind::Forbidden => Fault::Grant(format!("{}: {text}", field_name(field))).into(),
        }
    }
}

/// Returns the name of a field in bodies.
fn field_name(field: Field) -> &'static str {
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

/// An error of the admin API.
#[derive(Debug)]
pub(crate) struct Problem(pub(crate) ApiError);

impl<E: Into<ApiError>> From<E> for Problem {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl Problem {
    /// Returns the sentence of the table of errors, or another one where that is about provisioning.
    fn detail(&self, entry: Entry) -> String {
        let detail = match self.0.cause {
            Cause::NoToken => Cow::Borrowed(
                "no token was sent; put a token of the admin API into the header \
                 Authorization: Bearer …",
            ),
            Cause::BadToken(_) => Cow::Borrowed(
                "the token is not accepted; create a new one with headcount token create \
                 --name NAME --scope administration",
            ),
            _ => entry.detail,
        };
        detail.into_owned()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The reason why a request failed (RFC 9457).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// The kind of problem, as a stable URN.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The reason in this case, and what to change.
    pub detail: String,
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.0.status_code()
    }

    fn error_response(&self) -> HttpResponse {
        let entry = self.0.entry();
        let (kind, title) = entry.problem;
        let body = ProblemBody {
            kind: format!("{TYPE}{kind}"),
            title: title.to_owned(),
            status: entry.status,
            detail: self.detail(entry),
        };
        let text = serde_json::to_string(&body).unwrap_or_default();
        // Status and headers are those of every other error.
        let mut response = self.0.error_response().set_body(text);
        let json = header::HeaderValue::from_static(PROBLEM_JSON);
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response.map_into_boxed_body()
    }
}
