//! The feed as a stream of server-sent events, and waiting for what comes.

use std::sync::Arc;
use std::time::Duration;

use actix_web::body::BoxBody;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, Responder};
use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::{Stream, stream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::events::{FeedPage, FeedRequest};
use super::session::{AdminAuth, ReadEvents, run_again};
use crate::api::Api;
use crate::error::{ApiError, Cause, Fault};
use crate::identity::TokenIdentity;
use crate::lanes::{Place, REFUSALS};
use crate::reply::LogContext;

/// A silent stream says something after this time, so that no proxy takes it for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// After this time a reader looks by itself, should nobody have rung.
const LOOK: Duration = Duration::from_secs(5);
/// A client that lost the stream comes back after so many milliseconds.
const RETRY: u32 = 2_000;

/// A reader that waits for events: it holds a place among the readers, and nothing else.
pub(super) struct EventListener {
    notified: watch::Receiver<bool>,
    _place: Place,
}

impl EventListener {
    /// Takes a place for a reader that has listened since before it looked: what happens between its
    /// look and its wait rings as well.
    pub(super) fn begin(
        api: &Api,
        notified: watch::Receiver<bool>,
        token: &TokenIdentity,
    ) -> Result<Self, ApiError> {
        let Some(place) = api.lanes.places.take(token.tenant, &token.id) else {
            metrics::counter!(REFUSALS, "lane" => "events").increment(1);
            return Err(Fault::Listeners.into());
        };
        Ok(Self { notified, _place: place })
    }

    /// Tells whether the server stops.
    pub(super) fn is_over(&self) -> bool {
        *self.notified.borrow()
    }

    /// Waits until something may have happened, at most until `end`.
    pub(super) async fn wait_until(&mut self, end: Instant) {
        let end = end.min(Instant::now() + LOOK);
        let (rung, late) = (self.notified.changed(), sleep_until(end));
        if let Either::Left((Err(_gone), late)) = select(Box::pin(rung), Box::pin(late)).await {
            late.await;
        }
    }
}

/// A response that goes on until either side ends it.
pub(super) struct EventStream {
    api: Data<Api>,
    auth: Arc<AdminAuth<ReadEvents>>,
    asked: FeedRequest,
    token: Arc<TokenIdentity>,
    listener: EventListener,
    /// What was read and is not sent yet.
    page: FeedPage,
    opened: bool,
}

impl EventStream {
    pub(super) fn new(
        api: Data<Api>,
        auth: Arc<AdminAuth<ReadEvents>>,
        asked: FeedRequest,
        page: FeedPage,
        token: Arc<TokenIdentity>,
        listener: EventListener,
    ) -> Self {
        Self { api, auth, asked, token, listener, page, opened: false }
    }

    /// Returns the next piece; none when the server stops or the token is not accepted any more.
    async fn next(&mut self) -> Option<Bytes> {
        let mut out = String::new();
        if !std::mem::replace(&mut self.opened, true) {
            out.push_str(&format!("retry: {RETRY}\n\n"));
        }
        let beat = Instant::now() + HEARTBEAT;
        loop {
            for (id, kind, text) in self.page.events.drain(..) {
                out.push_str(&format!("id: {id}\nevent: {kind}\ndata: {text}\n\n"));
            }
            if !out.is_empty() {
                return Some(out.into());
            }
            if self.listener.is_over() {
                return None;
            }
            if Instant::now() >= beat {
                // An id without data moves the client's cursor past what it did not want.
                return Some(format!(":\nid: {}\n\n", self.page.next).into());
            }
            if !self.page.more {
                self.listener.wait_until(beat).await;
            }
            self.look().await?;
        }
    }

    /// Reads on; none when the stream has to end.
    async fn look(&mut self) -> Option<()> {
        let (asked, after) = (self.asked.clone(), self.page.next);
        match run_again(&self.api, &self.auth, move |session| asked.read_after(session, after))
            .await
        {
            Ok(page) => self.page = page,
            // What is busy now may be free later; everything else ends the stream.
            Err(error) if matches!(error.0.cause, Cause::Overloaded | Cause::Overdue(_)) => {}
            Err(_) => return None,
        }
        Some(())
    }

    fn into_chunks(self) -> impl Stream<Item = Result<Bytes, ApiError>> + 'static {
        stream::unfold(self, |mut stream| async move {
            stream.next().await.map(|chunk| (Ok(chunk), stream))
        })
    }
}

impl Responder for EventStream {
    type Body = BoxBody;

    fn respond_to(self, _request: &HttpRequest) -> HttpResponse {
        let token = Some(Arc::clone(&self.token));
        let mut response = HttpResponse::Ok()
            .content_type("text/event-stream")
            // nginx would hold the stream back until its buffer is full.
            .insert_header(("x-accel-buffering", "no"))
            .streaming(self.into_chunks());
        response.extensions_mut().insert(LogContext { token, ..LogContext::default() });
        response
    }
}
