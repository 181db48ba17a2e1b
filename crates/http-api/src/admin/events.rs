//! The event feed: page by page, as a long poll, or as a stream.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{Either, HttpRequest};
use headcount_core::change::ChangeFeed;
use headcount_core::ids::TenantId;
use headcount_core::provider::ProviderError;
use headcount_records::events::EventId;
use headcount_records::feed::{Batch, Wanted, newest_events, read_events};
use headcount_records::security_event_token as set;
use headcount_records::{EventBody, EventStyle, EventWriter};
use headcount_token_admin::Scopes;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

use super::answer::Answer;
use super::params::{Params, bad};
use super::problem::{Problem, ProblemBody};
use super::session::{AdminAuth, ReadEvents, Session, run_again};
use super::sse::{EventListener, EventStream};
use crate::api::Api;
use crate::body::outside_quotes;
use crate::client;
use crate::error::ApiError;
use crate::paths::BASE_PATH;

/// The default size of a page.
const DEFAULT_PAGE: usize = 100;
/// The longest wait, in seconds.
const MAX_WAIT_SECONDS: u64 = 30;

/// The query.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only the documentation is generated from it")]
struct EventsQuery {
    /// The cursor: the id of the last event that was processed, or `next` of the page before. `0`, the
    /// default, is the beginning.
    #[param(pattern = r"^(0|[0-9]{1,18}\.[0-9]{1,9})$")]
    after: Option<String>,
    /// Only so many of the newest events behind the cursor, oldest first. With `0` there are none, and `next` is
    /// the end of the feed: the cursor to begin with when earlier events do not matter.
    #[param(minimum = 0, maximum = 1000)]
    newest: Option<u32>,
    /// The types of events; all, when absent. `user.*` means all types of users.
    #[param(style = Form, explode = false, min_items = 1)]
    types: Option<Vec<String>>,
    /// Events on a page.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `full` adds the resource in its current state; the token then also needs the scope `scim:read`.
    #[param(inline)]
    payload: Option<Payload>,
    /// `set` writes events as the claims of Security Event Tokens (RFC 9967).
    #[param(inline)]
    format: Option<Format>,
    /// Seconds to wait for an event when there is none yet.
    #[param(minimum = 0, maximum = 30)]
    wait: Option<u32>,
    /// Another tenant than the token's own; needs the scope `tenants:all`.
    #[param(pattern = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    tenant: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only the documentation is generated from it")]
enum Payload {
    Thin,
    Full,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only the documentation is generated from it")]
enum Format {
    Event,
    Set,
}

/// A page of the feed.
#[derive(Serialize, ToSchema)]
pub(super) struct EventPage {
    /// The events, oldest first; with `format=set` the claims of a Security Event Token each.
    #[schema(value_type = Vec<EventOrSet>)]
    events: Vec<Box<RawValue>>,
    /// The cursor of the next page.
    next: String,
    /// Whether there is another page now.
    more: bool,
}

/// An event in one of the two formats.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only the documentation is generated from it")]
pub(super) enum EventOrSet {
    /// `format=event`
    Event(Box<EventBody>),
    /// `format=set`
    Set(SetBody),
}

/// The claims of a Security Event Token (RFC 8417, RFC 9967), unsigned.
#[derive(Serialize, ToSchema)]
#[schema(as = SecurityEvent)]
pub(super) struct SetBody {
    /// The issuer.
    iss: String,
    /// When the change was made, in seconds since 1970.
    iat: i64,
    /// The id of the event.
    jti: String,
    /// The request; the same for all events of one.
    txn: String,
    /// `format` is `scim`; `uri`, below the base URL; `externalId`, when there is one.
    #[schema(value_type = Object)]
    sub_id: (),
    /// One event, by its URI.
    #[schema(value_type = Object)]
    events: (),
}

/// The parameters of a request for events.
#[derive(Debug, Clone)]
pub(super) struct FeedRequest {
    after: EventId,
    /// How many of the newest events the first page is limited to.
    newest: Option<usize>,
    wanted: Wanted,
    limit: usize,
    style: EventStyle,
    wait: Duration,
    tenant: Option<String>,
}

/// Events that were read and written as text.
pub(super) struct FeedPage {
    /// Id, type and text of each.
    pub(super) events: Vec<(EventId, String, Box<RawValue>)>,
    pub(super) next: EventId,
    pub(super) more: bool,
}

impl FeedRequest {
    fn read(request: &HttpRequest, api: &Api) -> Result<Self, ApiError> {
        let mut params = Params::of(request);
        let cursor = params.take("after")?;
        // A stream that was interrupted resumes at its last event, whatever its URL says.
        let last = request.headers().get("last-event-id").and_then(|id| id.to_str().ok());
        let last = last.filter(|id| !id.is_empty());
        let newest = params.number("newest", 0, 1_000)?.and_then(|newest| newest.try_into().ok());
        let after = match last.or(cursor.as_deref()) {
            None => EventId::START,
            Some(text) => EventId::parse(text).ok_or_else(|| {
                bad("after", "it must be the id of an event, the next of a page, or 0")
            })?,
        };
        let wanted = match params.take("types")? {
            None => Wanted::default(),
            Some(text) => Wanted::parse(&api.service.registry, &text)
                .map_err(|reason| bad("types", &reason))?,
        };
        let limit = params.number("limit", 1, 1_000)?.and_then(|limit| limit.try_into().ok());
        let payload = params
            .word("payload", &[("thin", set::Payload::Thin), ("full", set::Payload::Full)])?;
        let sets = params.word("format", &[("event", false), ("set", true)])?.unwrap_or_default();
        let wait = params.number("wait", 0, MAX_WAIT_SECONDS)?.unwrap_or_default();
        let tenant = params.take("tenant")?;
        params.end()?;
        Ok(Self {
            after,
            newest: newest.filter(|_| last.is_none()),
            wanted,
            limit: limit.unwrap_or(DEFAULT_PAGE),
            style: EventStyle {
                sets,
                payload: payload.unwrap_or_default(),
                origin: client::origin(request, &api.settings),
                base_path: BASE_PATH,
            },
            wait: Duration::from_secs(wait),
            tenant,
        })
    }

    /// Reads the first page.
    fn read_first(&self, session: &Session<'_>) -> Result<FeedPage, ApiError> {
        self.read_with(session, |feed, tenant| match self.newest {
            Some(newest) => {
                let mut batch = newest_events(feed, tenant, newest, &self.wanted)?;
                batch.events.retain(|event| event.id > self.after);
                batch.next = batch.next.max(self.after);
                Ok(batch)
            }
            None => read_events(feed, tenant, self.after, self.limit, &self.wanted),
        })
    }

    /// Reads the page behind a cursor.
    pub(super) fn read_after(
        &self,
        session: &Session<'_>,
        after: EventId,
    ) -> Result<FeedPage, ApiError> {
        self.read_with(session, |feed, tenant| {
            read_events(feed, tenant, after, self.limit, &self.wanted)
        })
    }

    fn read_with(
        &self,
        session: &Session<'_>,
        job: impl FnOnce(&dyn ChangeFeed, TenantId) -> Result<Batch, ProviderError>,
    ) -> Result<FeedPage, ApiError> {
        if self.style.payload == set::Payload::Full {
            session.need(Scopes::EVENTS_READ.with(Scopes::SCIM_READ))?;
        }
        let tenant: TenantId = session.tenant(self.tenant.as_deref())?;
        let api = session.api;
        let feed = &*api.administration()?.feed;
        let batch = job(feed, tenant).map_err(headcount_core::error::Error::from)?;
        let writer = EventWriter { service: &api.service, tenant, style: &self.style };
        let mut events = Vec::with_capacity(batch.events.len());
        for event in &batch.events {
            if let Some(text) = writer.write(event)? {
                events.push((event.id, event.event_type(), text));
            }
        }
        Ok(FeedPage { events, next: batch.next, more: batch.more })
    }
}

/// Read the feed of events
///
/// The events of the tenant, in the order of the chain of changes; those of one resource are in the order in which
/// they happened. No event is ever added before a cursor that was returned. With `Accept: text/event-stream`, the
/// response is a stream that continues until either side ends it; its cursor is `Last-Event-ID`.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "events", params(EventsQuery),
    responses(
        (status = 200, description = "A page, or a stream of events.", content(
            (EventPage = "application/json"), (String = "text/event-stream"),
        )),
        (status = 403, description = "The scope is missing.", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("token" = ["events:read"])),
)]
pub(super) async fn events(
    auth: AdminAuth<ReadEvents>,
    request: HttpRequest,
    api: Data<Api>,
) -> Result<Either<Answer, EventStream>, Problem> {
    let asked = FeedRequest::read(&request, &api);
    let streams = wants_stream(&request);
    let auth = Arc::new(auth);
    let notified = api.administration()?.notifier.subscribe();
    // A client without a token learns nothing, not even what is wrong with its query.
    let (first, asked, token) = run_again(&api, &auth, move |session| {
        let asked = asked?;
        Ok((asked.read_first(session)?, asked, Arc::clone(session.token)))
    })
    .await?;
    if streams {
        let listener = EventListener::begin(&api, notified, &token)?;
        let (page, opened) = (first, false);
        let stream = EventStream { api, auth, asked, token, listener, page, opened };
        return Ok(Either::Right(stream));
    }
    let page = if first.events.is_empty() && !asked.wait.is_zero() {
        let listener = EventListener::begin(&api, notified, &token)?;
        wait(&api, &auth, &asked, first, listener).await?
    } else {
        first
    };
    let body = EventPage {
        events: page.events.into_iter().map(|(_, _, text)| text).collect(),
        next: page.next.to_string(),
        more: page.more,
    };
    Ok(Either::Left(Answer::ok(&body)?.by(&token)))
}

/// Waits for the first event. In between, neither a thread nor a connection is held.
async fn wait(
    api: &Data<Api>,
    auth: &Arc<AdminAuth<ReadEvents>>,
    asked: &FeedRequest,
    mut page: FeedPage,
    mut listener: EventListener,
) -> Result<FeedPage, Problem> {
    let end = Instant::now() + asked.wait;
    while page.events.is_empty() && !listener.is_over() && Instant::now() < end {
        if !page.more {
            listener.wait_until(end).await;
        }
        let (asked, after) = (asked.clone(), page.next);
        page = run_again(api, auth, move |session| asked.read_after(session, after)).await?;
    }
    Ok(page)
}

fn wants_stream(request: &HttpRequest) -> bool {
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let mut kinds = accept
        .into_iter()
        .flat_map(|accept| outside_quotes(accept, ','))
        .filter_map(|range| outside_quotes(range, ';').next());
    kinds.any(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
}
