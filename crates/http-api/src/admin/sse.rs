//! The feed as a stream of server-sent events, and waiting for new events.

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
use crate::lanes::{REFUSALS, Slot};
use crate::reply::LogContext;

/// A stream without events sends a comment at this interval, so that no proxy closes it.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);
/// A reader looks for events at this interval even when it is not notified.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// A client that lost the stream reconnects after this time, in milliseconds.
const RETRY_MILLIS: u32 = 2_000;

/// A reader that waits for events. It holds one of the slots for readers, and no thread or connection.
pub(super) struct EventListener {
    notified: watch::Receiver<bool>,
    _slot: Slot,
}

impl EventListener {
    /// Takes a slot for a reader. It must have subscribed before it read, so that it misses no notification between
    /// its read and its wait.
    pub(super) fn begin(
        api: &Api,
        notified: watch::Receiver<bool>,
        token: &TokenIdentity,
    ) -> Result<Self, ApiError> {
        let Some(slot) = api.lanes.reader_slots.take(token.tenant, &token.id) else {
            metrics::counter!(REFUSALS, "lane" => "events").increment(1);
            return Err(Fault::Listeners.into());
        };
        Ok(Self { notified, _slot: slot })
    }

    /// Returns whether the server is stopping.
    pub(super) fn is_over(&self) -> bool {
        *self.notified.borrow()
    }

    /// Waits for a notification, at most until `end` or for [`POLL_INTERVAL`].
    pub(super) async fn wait_until(&mut self, end: Instant) {
        let end = end.min(Instant::now() + POLL_INTERVAL);
        let (notified, timeout) = (self.notified.changed(), sleep_until(end));
        let first = select(Box::pin(notified), Box::pin(timeout)).await;
        // Without a notifier, only the time is left to wait for.
        if let Either::Left((Err(_gone), timeout)) = first {
            timeout.await;
        }
    }
}

/// A response that continues until either side ends it.
pub(super) struct EventStream {
    pub(super) api: Data<Api>,
    pub(super) auth: Arc<AdminAuth<ReadEvents>>,
    pub(super) asked: FeedRequest,
    pub(super) token: Arc<TokenIdentity>,
    pub(super) listener: EventListener,
    /// The events that were read and are not sent yet.
    pub(super) page: FeedPage,
    /// Whether anything was sent.
    pub(super) opened: bool,
}

impl EventStream {
    /// Returns the next piece, or `None` when the server stops or the token is no longer accepted.
    async fn next(&mut self) -> Option<Bytes> {
        let mut out = String::new();
        if !std::mem::replace(&mut self.opened, true) {
            out.push_str(&format!("retry: {RETRY_MILLIS}\n\n"));
        }
        let beat = Instant::now() + HEARTBEAT_INTERVAL;
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
                // An id without data moves the client's cursor past events that it did not ask for.
                return Some(format!(":\nid: {}\n\n", self.page.next).into());
            }
            if !self.page.more {
                self.listener.wait_until(beat).await;
            }
            self.read_on().await?;
        }
    }

    /// Reads the next page. Returns `None` when the stream has to end.
    async fn read_on(&mut self) -> Option<()> {
        let (asked, after) = (self.asked.clone(), self.page.next);
        match run_again(&self.api, &self.auth, move |session| asked.read_after(session, after))
            .await
        {
            Ok(page) => self.page = page,
            // A busy server may be free later; every other error ends the stream.
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
