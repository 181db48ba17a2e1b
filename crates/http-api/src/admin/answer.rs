//! Responses of the admin API.

use std::sync::Arc;

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, Responder};
use headcount_core::error::Error;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::body::ScimJson;
use crate::error::{ApiError, Fault};
use crate::identity::TokenIdentity;
use crate::reply::LogContext;

/// A response with a body of JSON, or none.
pub(super) struct Answer {
    status: StatusCode,
    body: Vec<u8>,
    location: Option<String>,
    token: Option<Arc<TokenIdentity>>,
}

impl Answer {
    /// Makes a 200 with a body.
    pub(super) fn ok(body: &impl Serialize) -> Result<Self, ApiError> {
        Self::with(StatusCode::OK, body)
    }

    /// Makes a 201 with a body and the path of the new resource.
    pub(super) fn created(body: &impl Serialize, location: String) -> Result<Self, ApiError> {
        Ok(Self { location: Some(location), ..Self::with(StatusCode::CREATED, body)? })
    }

    /// Makes a 204.
    pub(super) fn empty() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: Vec::new(), location: None, token: None }
    }

    fn with(status: StatusCode, body: &impl Serialize) -> Result<Self, ApiError> {
        let body = serde_json::to_vec(body)
            .map_err(|_error| Error::internal("a body of the admin API serializes"))?;
        Ok(Self { status, body, location: None, token: None })
    }

    /// Adds the token of the request, for the log.
    pub(super) fn by(mut self, token: &Arc<TokenIdentity>) -> Self {
        self.token = Some(Arc::clone(token));
        self
    }
}

impl Responder for Answer {
    type Body = BoxBody;

    fn respond_to(self, _request: &HttpRequest) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if let Some(location) = self.location {
            response.insert_header((header::LOCATION, location));
        }
        let mut response = match self.status {
            StatusCode::NO_CONTENT => response.finish(),
            _ => response.content_type("application/json").body(self.body),
        };
        response.extensions_mut().insert(LogContext { token: self.token, ..LogContext::default() });
        response
    }
}

/// Reads a body into a type, which refuses unknown names.
pub(super) fn read<T: DeserializeOwned>(body: ScimJson) -> Result<T, ApiError> {
    deserialize(body.parse()?)
}

/// Reads a body that may be left out, or be null.
pub(super) fn read_or_empty<T: DeserializeOwned>(body: ScimJson) -> Result<T, ApiError> {
    let value = if body.is_empty() { Value::Null } else { body.parse()? };
    deserialize(if value.is_null() { Value::Object(Map::new()) } else { value })
}

fn deserialize<T: DeserializeOwned>(value: Value) -> Result<T, ApiError> {
    if !value.is_object() {
        return Err(Fault::Body("the body must be a JSON object".to_owned()).into());
    }
    serde_json::from_value(value)
        .map_err(|error| Fault::Body(format!("the body is not valid: {error}")).into())
}
