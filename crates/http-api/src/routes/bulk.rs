//! Bulk requests (RFC 7644 §3.7).

use actix_web::http::StatusCode;
use actix_web::web::Data;
use headcount_core::error::Error;
use headcount_core::message::{BulkRequest, BulkResult, bulk_response};
use headcount_core::quirks::Applied;
use headcount_records::Operated;

use crate::api::Api;
use crate::auth::{AnyToken, Authenticated, Permission, Provision};
use crate::blocking;
use crate::body::ScimJson;
use crate::error::ApiError;
use crate::lanes::Lane;
use crate::reply::{LogContext, Reply};
use crate::target::Target;

/// POST on `/Bulk`. Whether the token allows an operation is decided for each.
pub(super) async fn bulk(
    auth: Authenticated<AnyToken>,
    target: Target,
    body: ScimJson,
    api: Data<Api>,
) -> Result<Reply, ApiError> {
    let done =
        blocking::run_with_token(&api, auth.on(Lane::Write), None, move |api, caller, who| {
            if api.settings.bulk_operations == 0 {
                let reason = "bulk requests are not supported here; send the operations one by one";
                return Err(Error::NotImplemented(reason.to_owned()).into());
            }
            let mut applied = Applied::default();
            let limit = api.settings.bulk_operations;
            let request =
                BulkRequest::from_body(body.parse()?, limit, caller.quirks, &mut applied)?;
            let done = api.service.bulk(caller, request, &|kind| {
                let needed = Provision::needed(Some(kind));
                if who.scopes.allow(needed) {
                    return Ok(());
                }
                Err(Error::Forbidden(format!(
                    "the token does not allow this; it needs the scope {needed}"
                )))
            });
            for error in done.results.iter().filter_map(|result| result.outcome.as_ref().err()) {
                log_failure(caller.request.as_str(), error);
            }
            let operations: Vec<Operated> = done.results.iter().map(operated).collect();
            let changed = Some(operations.iter().any(|operated| operated.changed));
            applied.merge(done.applied);
            let notes = LogContext { applied, changed, operations, ..LogContext::default() };
            Ok(Reply::whole(StatusCode::OK, bulk_response(&done.results, &target.form.base))
                .noted(notes))
        });
    done.await.map(|(reply, who)| reply.by(who))
}

/// What the log wants to know of an operation.
fn operated(result: &BulkResult) -> Operated {
    let rejected = result.outcome.as_ref().err().and_then(Error::field).map(str::to_owned);
    Operated { rejected, changed: result.changed }
}

/// An operation that failed on our side is answered inside a success; the log tells it.
fn log_failure(request: &str, error: &Error) {
    if let Some(chain) = crate::error::chain_of(error) {
        tracing::error!(
            request.id = request,
            error = chain,
            "an operation of a bulk request failed on the server's side"
        );
    }
}
