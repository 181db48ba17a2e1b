//! Bulk requests (RFC 7644 §3.7).

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::web::Data;
use headcount_core::error::Error;
use headcount_core::message::{BulkRequest, BulkResult, bulk_response};
use headcount_core::quirks::Applied;
use headcount_core::schema::ResourceType;
use headcount_records::Operated;
use headcount_token_admin::Scopes;

use crate::api::Api;
use crate::auth::{AnyToken, Authenticated, Permission, Provision};
use crate::blocking;
use crate::body::ScimJson;
use crate::error::{ApiError, failure_chain};
use crate::lanes::Lane;
use crate::reply::{LogContext, Reply};
use crate::target::Target;

/// POST on `/Bulk`. The permission is checked for each operation.
pub(super) async fn bulk(
    auth: Authenticated<AnyToken>,
    target: Target,
    body: ScimJson,
    api: Data<Api>,
) -> Result<Reply, ApiError> {
    blocking::run(&api, auth.on(Lane::Write), None, move |api, caller, token| {
        let limit = api.settings.bulk_operations;
        if limit == 0 {
            let reason = "bulk requests are not supported here; send the operations one by one";
            return Err(Error::NotImplemented(reason.to_owned()).into());
        }
        let mut applied = Applied::default();
        let request = BulkRequest::from_body(body.parse()?, limit, caller.quirks, &mut applied)?;
        let bulk = api.service.bulk(caller, request, &|kind| permit(token.scopes, kind));
        for error in bulk.results.iter().filter_map(|result| result.outcome.as_ref().err()) {
            log_failure(caller.request.as_str(), error);
        }
        applied.merge(bulk.applied);
        let operations: Vec<Operated> = bulk.results.iter().map(log_entry).collect();
        let changed = Some(operations.iter().any(|operation| operation.changed));
        let token = Some(Arc::clone(token));
        let log = LogContext { token, applied, changed, operations, ..LogContext::default() };
        let body = bulk_response(&bulk.results, &target.form.base);
        Ok(Reply::whole(StatusCode::OK, body).with_log(log))
    })
    .await
}

/// Refuses an operation on a resource type that the token may not write.
fn permit(scopes: Scopes, kind: &ResourceType) -> Result<(), Error> {
    let required = Provision::required_scopes(Some(kind));
    if scopes.allow(required) {
        return Ok(());
    }
    Err(Error::Forbidden(format!("the token does not allow this; it needs the scope {required}")))
}

/// Returns what the log records of an operation.
fn log_entry(result: &BulkResult) -> Operated {
    let rejected = result.outcome.as_ref().err().and_then(Error::field).map(str::to_owned);
    Operated { rejected, changed: result.changed }
}

/// Logs an operation that failed on the server's side: the response to the whole request is a success.
fn log_failure(request: &str, error: &Error) {
    if let Some(chain) = failure_chain(error) {
        tracing::error!(
            request.id = request,
            error = chain,
            "an operation of a bulk request failed on the server's side"
        );
    }
}
