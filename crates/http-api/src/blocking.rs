//! The one way into the pool of threads that may wait.
//!
//! Everything below HTTP is synchronous. A request enters the pool once, with its whole use case, and its token is
//! checked there first. Only a token that this process has not accepted before enters separately, on the lane of
//! proofs: unproven requests and proven ones do not wait for each other.
//!
//! Each wait ends with the request's deadline. A thread that is still at work then is asked to stop, and keeps its
//! turn until it does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use actix_web::web::Data;
use headcount_core::ids::TenantId;
use headcount_core::schema::ResourceType;
use headcount_core::service::Caller;
use headcount_core::work::{Stop, Work};
use tokio::time::{Instant, timeout_at};

use crate::api::Api;
use crate::auth::{Authenticated, Bearer, Permission};
use crate::deadline::Stopwatch;
use crate::error::{ApiError, Cause};
use crate::identity::TokenIdentity;
use crate::lanes::{Lane, LaneTurn, Owner};

/// Proves the caller's token and runs a use case on a thread that may wait.
///
/// `kind` is the resource type that the request is about, where the permission depends on it. An error names the
/// token and the request, for the log.
///
/// # Errors
///
/// Those of the token's check, of the permission and of the use case; 503 when the request's deadline passes.
pub(crate) async fn run<P: Permission, T: Send + 'static>(
    api: &Data<Api>,
    auth: Authenticated<P>,
    kind: Option<Arc<ResourceType>>,
    job: impl FnOnce(&Data<Api>, &Caller, &Arc<TokenIdentity>) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let request = auth.bearer.request.clone();
    let answer = async {
        let owner = owner(api, &auth.bearer).await?;
        let deadline = auth.bearer.stopwatch.deadline(api.settings.request_time);
        let inner = Data::clone(api);
        run_queued(api, auth.lane, owner, deadline, move |work| {
            let (caller, token) = auth.caller(&inner, kind.as_deref(), work)?;
            job(&inner, &caller, &token).map_err(|error| ApiError { token: Some(token), ..error })
        })
        .await?
    };
    answer.await.map_err(|error| ApiError { request: Some(request), ..error })
}

/// Returns the owner of a request's turn. A token that is not known yet is proven first.
async fn owner(api: &Data<Api>, bearer: &Arc<Bearer>) -> Result<Owner, ApiError> {
    if let Some(error) = bearer.take_refusal() {
        return Err(error);
    }
    let tenant = match api.tokens.recognize(&bearer.presented) {
        Some(tenant) => tenant,
        None => prove(api, bearer).await?,
    };
    Ok(Owner::token(tenant, bearer.presented.id()))
}

/// Proves a token and does nothing else, on the lane of proofs.
///
/// # Errors
///
/// Those of the token's check; 503 when the request's deadline passes before.
pub(crate) async fn prove(api: &Data<Api>, bearer: &Arc<Bearer>) -> Result<TenantId, ApiError> {
    let owner = match api.tokens.recognize(&bearer.presented) {
        Some(tenant) => Owner::token(tenant, bearer.presented.id()),
        None => Owner::stranger(bearer.block()),
    };
    let deadline = bearer.stopwatch.deadline(api.settings.request_time);
    let (inner, bearer) = (Data::clone(api), Arc::clone(bearer));
    let accepted = run_queued(api, Lane::Proof, owner, deadline, move |_| bearer.accept(&inner));
    Ok(accepted.await??.token.tenant)
}

/// Runs the next part of a response that is being sent. Its time begins again.
///
/// # Errors
///
/// 503 when its deadline passes.
pub(crate) async fn run_part<T: Send + 'static>(
    api: &Data<Api>,
    owner: Owner,
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    let deadline = Instant::now() + api.settings.request_time;
    run_queued(api, Lane::Page, owner, deadline, |_| job()).await
}

/// Runs work when its turn on a lane comes.
async fn run_queued<T: Send + 'static>(
    api: &Data<Api>,
    lane: Lane,
    owner: Owner,
    deadline: Instant,
    job: impl FnOnce(Work) -> T + Send + 'static,
) -> Result<T, ApiError> {
    let turn = api.lanes.turn(lane, owner, deadline).await.ok_or(Cause::Overloaded)?;
    let task = Task::new(api);
    // Dropped with this future when the client disconnects.
    let awaited = Awaited(task.clone());
    #[expect(clippy::disallowed_methods, reason = "only this file enters the pool")]
    let answer = actix_web::web::block(move || task.run(turn, job));
    match timeout_at(deadline, answer).await {
        Ok(Ok(Some(value))) => Ok(value),
        Ok(Ok(None) | Err(_)) => Err(Cause::Internal.into()),
        Err(_elapsed) => {
            awaited.0.work.stop(Stop::Deadline);
            metrics::counter!(OVERDUE, "lane" => lane.name()).increment(1);
            Err(Cause::Overdue(api.settings.request_time).into())
        }
    }
}

/// The counter of requests whose deadline passed while they were at work.
pub(crate) const OVERDUE: &str = "headcount_requests_overdue_total";

/// The work of a thread for a request, shared by the two.
#[derive(Clone)]
struct Task {
    api: Data<Api>,
    work: Work,
    state: Arc<AtomicU8>,
}

/// The request waits for it.
const AWAITED: u8 = 0;
/// The request was answered without it, or its client has disconnected.
const ABANDONED: u8 = 1;
/// The thread has finished.
const FINISHED: u8 = 2;

impl Task {
    fn new(api: &Data<Api>) -> Self {
        let work = Work::new(api.service.limits.work);
        Self { api: Data::clone(api), work, state: Arc::new(AtomicU8::new(AWAITED)) }
    }

    /// Does the work, unless its request no longer waits. The turn lasts as long as the work, even when the
    /// request ends earlier.
    fn run<T>(self, turn: LaneTurn, job: impl FnOnce(Work) -> T) -> Option<T> {
        let _finished = Finished(&self);
        let awaited = self.state.load(Ordering::Acquire) == AWAITED;
        let value = awaited.then(|| job(self.work.clone()));
        drop(turn);
        value
    }
}

/// Records that the thread has finished, even after a panic.
struct Finished<'a>(&'a Task);

impl Drop for Finished<'_> {
    fn drop(&mut self) {
        if self.0.state.swap(FINISHED, Ordering::AcqRel) == ABANDONED {
            self.0.api.lanes.abandoned.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Stops the thread when its request no longer waits.
struct Awaited(Task);

impl Drop for Awaited {
    fn drop(&mut self) {
        let Task { api, work, state } = &self.0;
        // Counted before the state changes, since the thread subtracts it once it sees the change.
        api.lanes.abandoned.fetch_add(1, Ordering::Relaxed);
        match state.compare_exchange(AWAITED, ABANDONED, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => work.stop(Stop::Gone),
            Err(_finished) => {
                api.lanes.abandoned.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

/// Runs work outside the queues of requests, such as a probe. Returns `None` when its thread is lost.
pub async fn run_unqueued<T: Send + 'static>(
    job: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    #[expect(clippy::disallowed_methods, reason = "only this file enters the pool")]
    let answer = actix_web::web::block(job);
    answer.await.ok()
}

/// Runs a page of the console, which authenticates by a session, on the lanes of requests. Returns `None` when the
/// server is too busy.
pub async fn run_page<T: Send + 'static>(
    api: &Data<Api>,
    stopwatch: &Stopwatch,
    lane: Lane,
    owner: Owner,
    job: impl FnOnce(Work) -> T + Send + 'static,
) -> Option<T> {
    let deadline = stopwatch.deadline(api.settings.request_time);
    run_queued(api, lane, owner, deadline, job).await.ok()
}
