//! The one way into the pool of threads that may wait.
//!
//! Everything below HTTP is synchronous. A request enters here once, with its whole use case; the
//! first thing that happens there is that its token is checked.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Data;
use headcount_core::schema::ResourceType;
use headcount_core::service::Caller;
use tokio::sync::Semaphore;

use crate::api::Api;
use crate::auth::{Authenticated, Permission, Who};
use crate::error::{ApiError, Cause};

/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(1);

/// Proves the caller's token and runs a use case on a thread that may wait.
///
/// `kind` is what the request is about, as far as the permission depends on it.
///
/// # Errors
///
/// What the token's check, the permission or the use case says; overload, when no thread is free
/// within a second.
pub(crate) async fn run<P: Permission, T: Send + 'static>(
    api: &Data<Api>,
    auth: Authenticated<P>,
    kind: Option<Arc<ResourceType>>,
    job: impl FnOnce(&Api, &Caller) -> Result<T, ApiError> + Send + 'static,
) -> Result<(T, Arc<Who>), ApiError> {
    run_knowing(api, auth, kind, |api, caller, _| job(api, caller)).await
}

/// As [`run`], for a use case that depends on what exactly the token allows.
///
/// # Errors
///
/// As [`run`].
pub(crate) async fn run_knowing<P: Permission, T: Send + 'static>(
    api: &Data<Api>,
    auth: Authenticated<P>,
    kind: Option<Arc<ResourceType>>,
    job: impl FnOnce(&Api, &Caller, &Who) -> Result<T, ApiError> + Send + 'static,
) -> Result<(T, Arc<Who>), ApiError> {
    let inner = Data::clone(api);
    let request = auth.request.clone();
    let turns = if P::WRITES { &api.permits } else { &api.reads };
    let done = hop_in(turns, move || {
        let (caller, who) = auth.caller(&inner, kind.as_deref())?;
        match job(&inner, &caller, &who) {
            Ok(value) => Ok((value, who)),
            Err(error) => Err(ApiError { who: Some(who), ..error }),
        }
    });
    done.await
        .and_then(|result| result)
        .map_err(|error| ApiError { request: Some(request), ..error })
}

/// Runs work that belongs to a request which has been let in before.
pub(crate) async fn hop<T: Send + 'static>(
    api: &Data<Api>,
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    hop_in(&api.permits, job).await
}

/// Runs work when it is its turn in one of the two queues.
///
/// Readers have a queue of their own: threads that wait for a connection wake each other all the time,
/// and a queue of tasks costs next to nothing.
async fn hop_in<T: Send + 'static>(
    turns: &Arc<Semaphore>,
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    // The pool's own queue is unbounded and never gives up; these do both.
    let turn = Arc::clone(turns).acquire_owned();
    let permit = match tokio::time::timeout(PATIENCE, turn).await {
        Ok(Ok(permit)) => permit,
        Ok(Err(_closed)) => return Err(Cause::Lost.into()),
        Err(_elapsed) => return Err(Cause::Overloaded.into()),
    };
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    let done = actix_web::web::block(move || {
        let value = job();
        drop(permit);
        value
    });
    done.await.map_err(|_lost| Cause::Lost.into())
}

/// Asks something of the store beside the queue of requests, as for a probe; nothing when it was lost.
pub async fn aside<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    let done = actix_web::web::block(job);
    done.await.ok()
}

/// Runs a page of the console, whose caller is proven by other means, in the same queue as requests;
/// none when the server is too busy.
pub async fn work<T: Send + 'static>(
    api: &Data<Api>,
    job: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    hop(api, job).await.ok()
}
