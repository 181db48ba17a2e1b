//! Reads the database, next to a running server or without one.

use anyhow::Context;
use headcount_core::ids::{RequestId, TenantId};
use headcount_core::work::Work;
use headcount_records::events::EventId;
use headcount_records::feed::{Wanted, newest_events, read_events};
use headcount_records::timeline::TimelineReader;
use headcount_records::{EventBody, RecordBody, TimelineBody};
use headcount_records::{LogQuery, LogScope, Logged, RequestLog as _};
use headcount_token_admin::TenantStore as _;

use super::{Begin, Events, Page, Requests, Source};
use crate::config::Config;
use crate::wiring::{self, Parts};

/// The tenant that is meant when none is named.
const DEFAULT: &str = "default";
/// Requests that are read at once: more than a bulk request has.
const MAX_REQUESTS: usize = 10_000;

/// The database that the configuration names.
pub(super) struct Database(Parts);

impl Database {
    pub(super) fn open(config: &Config) -> anyhow::Result<Self> {
        Ok(Self(wiring::command(config)?))
    }

    fn tenant(&self, name: &str) -> anyhow::Result<TenantId> {
        let tenant = self.0.store.tenant(name)?;
        let tenant = tenant.with_context(|| {
            format!("there is no tenant \"{name}\"; `headcount tenant list` shows all")
        })?;
        Ok(tenant.id)
    }

    fn query(&self, wanted: &Requests) -> anyhow::Result<LogQuery> {
        let tenant = wanted.tenant.as_deref().map(|name| self.tenant(name)).transpose()?;
        let scope = LogScope::of(tenant);
        Ok(LogQuery { scope, failed: wanted.failed, limit: MAX_REQUESTS, ..LogQuery::default() })
    }

    fn read(&self, query: &LogQuery) -> anyhow::Result<Vec<Logged>> {
        Ok(self.0.log.requests(query, &Work::unlimited())?)
    }
}

impl Source for Database {
    fn latest(&self, wanted: &Requests, limit: usize) -> anyhow::Result<Vec<RecordBody>> {
        let found = self.read(&LogQuery { limit, ..self.query(wanted)? })?;
        Ok(found.iter().rev().map(RecordBody::new).collect())
    }

    fn since(&self, wanted: &Requests, number: i64) -> anyhow::Result<Vec<RecordBody>> {
        let found = self.read(&LogQuery { after: Some(number), ..self.query(wanted)? })?;
        Ok(found.iter().map(RecordBody::new).collect())
    }

    fn request(&self, id: &str) -> anyhow::Result<Vec<RecordBody>> {
        let all = LogQuery { limit: MAX_REQUESTS, ..LogQuery::default() };
        let query = match id.parse::<i64>() {
            Ok(number) => LogQuery {
                after: Some(number.saturating_sub(1)),
                before: Some(number.saturating_add(1)),
                ..all
            },
            Err(_) => LogQuery { request: Some(RequestId::new(id)), after: Some(0), ..all },
        };
        Ok(self.read(&query)?.iter().map(RecordBody::with_bodies).collect())
    }

    fn timeline(&self, tenant: Option<&str>, name: &str) -> anyhow::Result<TimelineBody> {
        let tenant = self.tenant(tenant.unwrap_or(DEFAULT))?;
        let reader = TimelineReader {
            registry: &self.0.registry,
            provider: &*self.0.store,
            changes: &*self.0.store,
            log: &*self.0.log,
            work: &Work::unlimited(),
        };
        Ok(TimelineBody::new(&reader.read(tenant, name)?))
    }

    fn events(&self, wanted: &Events, begin: Begin<'_>, limit: usize) -> anyhow::Result<Page> {
        let tenant = self.tenant(wanted.tenant.as_deref().unwrap_or(DEFAULT))?;
        let types = match &wanted.types {
            None => Wanted::default(),
            Some(text) => Wanted::parse(&self.0.registry, text)
                .map_err(|reason| anyhow::anyhow!("types: {reason}"))?,
        };
        let store = &*self.0.store;
        let batch = match begin {
            Begin::Newest => newest_events(store, tenant, limit, &types)?,
            Begin::After(cursor) | Begin::Following(cursor) => {
                let after = EventId::parse(cursor).with_context(|| {
                    format!(
                        "--after: \"{cursor}\" is not the id of an event; 0 begins with the first"
                    )
                })?;
                read_events(store, tenant, after, limit, &types)?
            }
        };
        let events = batch.events.iter().map(|event| EventBody::new(&self.0.registry, event));
        Ok(Page { events: events.collect(), next: batch.next.to_string(), more: batch.more })
    }
}
