//! Floor (b): the statements of a write through Diesel, in a loop without HTTP.
//!
//! The store is given drafts that were made beforehand. What is left is what the database costs: the
//! same statements, the same group commit, and none of what a server does around them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use headcount_core::change::Actor;
use headcount_core::cursor::PlainCursors;
use headcount_core::error::Error;
use headcount_core::ids::{Kind, RequestId, ResourceId, TenantId};
use headcount_core::members::{MemberNames, MembershipEntry};
use headcount_core::provider::{
    ChangeFn, CheckFn, Current, Draft, Found, Key, Members, Page, Provider, ProviderError, Query,
    Source, Step, StepDone, Update, Updated, With,
};
use headcount_core::quirks::Quirks;
use headcount_core::resource::{Computed, Resource};
use headcount_core::schema::{Registry, ResourceType};
use headcount_core::service::{Caller, Edit, Limits, Service, Shape};
use headcount_core::work::Work;
use headcount_store_diesel::{DatabaseUrl, KindPlan, OlderSchema, Settings, Store};
use serde_json::Value;

use crate::load::{Load, Slice, micros};
use crate::machine::{SystemClock, UuidSource};

/// The tenant that every database begins with.
const TENANT: i64 = 1;

/// Opens a database as a server does.
pub(crate) fn open(url: &str) -> anyhow::Result<Arc<Store>> {
    let settings = Settings::serve(DatabaseUrl::parse(url)?);
    let registry = Registry::builtin()?;
    let plan: Vec<KindPlan> = registry.kinds().iter().map(|kind| plan(kind)).collect();
    Ok(Store::open(&settings, &plan, OlderSchema::Migrate)?)
}

fn plan(kind: &ResourceType) -> KindPlan {
    let indexed = kind.indexed.iter().map(|indexed| indexed.path.to_string());
    let keys = kind.unique.iter().chain(&kind.name).map(ToString::to_string);
    KindPlan { kind: kind.kind.clone(), paths: indexed.chain(keys).collect() }
}

/// The use cases over a provider.
pub(crate) fn service(provider: Arc<dyn Provider>) -> anyhow::Result<Service> {
    Ok(Service {
        registry: Arc::new(Registry::builtin()?),
        provider,
        clock: Arc::new(SystemClock),
        ids: Arc::new(UuidSource),
        cursor_cipher: Arc::new(PlainCursors),
        limits: Limits::default(),
    })
}

/// Someone at the command line, whose requests cost what they will.
pub(crate) fn caller() -> Caller {
    Caller {
        tenant: TenantId::new(TENANT),
        actor: Actor::Cli,
        user: None,
        quirks: Quirks::default(),
        request: RequestId::new("00000000-0000-7000-8000-000000000000"),
        work: Work::unlimited(),
    }
}

/// The kind that is measured.
pub(crate) fn users(service: &Service) -> anyhow::Result<&ResourceType> {
    service.registry.kind("User").map(|kind| &**kind).context("users are built in")
}

/// A write with everything derived from it, ready for the database.
pub(crate) struct Ready {
    draft: Draft,
    with: With,
    new: bool,
}

/// Makes drafts out of requests, as the server does, without writing any.
pub(crate) struct Preparation {
    service: Service,
    recorder: Arc<Recorder>,
    caller: Caller,
}

impl Preparation {
    /// Prepares writes to resources that the provider has.
    pub(crate) fn over(provider: Arc<dyn Provider>) -> anyhow::Result<Self> {
        let recorder =
            Arc::new(Recorder { provider, made: Mutex::default(), states: Mutex::default() });
        let service = service(recorder.clone())?;
        Ok(Self { service, recorder, caller: caller() })
    }

    pub(crate) fn create(&self, body: Value) -> anyhow::Result<Ready> {
        let kind = users(&self.service)?;
        self.service.create(&self.caller, kind, body, &Shape::default())?;
        self.made()
    }

    pub(crate) fn patch(&self, id: &str, body: Value) -> anyhow::Result<Ready> {
        let edit = Edit::unconditional(&self.caller, users(&self.service)?);
        self.service.patch(edit, &ResourceId::new(id), body, &Shape::default())?;
        self.made()
    }

    pub(crate) fn replace(&self, id: &str, body: Value) -> anyhow::Result<Ready> {
        let edit = Edit::unconditional(&self.caller, users(&self.service)?);
        self.service.replace(edit, &ResourceId::new(id), body, &Shape::default())?;
        self.made()
    }

    fn made(&self) -> anyhow::Result<Ready> {
        let made = self.recorder.made.lock().unwrap_or_else(PoisonError::into_inner).pop();
        made.context("the request changed nothing")
    }
}

/// A provider that keeps writes instead of making them, and gives each update the state after the one
/// before.
struct Recorder {
    provider: Arc<dyn Provider>,
    made: Mutex<Vec<Ready>>,
    states: Mutex<HashMap<ResourceId, Resource>>,
}

impl Recorder {
    fn keep(&self, ready: Ready) {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).push(ready);
    }
}

fn foreign() -> ProviderError {
    ProviderError::Internal(Source::invariant("only users are prepared"))
}

impl Provider for Recorder {
    fn get(
        &self,
        tenant: TenantId,
        kind: &Kind,
        id: &ResourceId,
        with: With,
    ) -> Result<Option<Found>, ProviderError> {
        self.provider.get(tenant, kind, id, with)
    }

    fn find(&self, tenant: TenantId, query: &Query<'_>) -> Result<Page, ProviderError> {
        self.provider.find(tenant, query)
    }

    fn insert(&self, _: TenantId, draft: &Draft, with: With) -> Result<Found, ProviderError> {
        let resource = Resource {
            kind: draft.kind.clone(),
            id: draft.id.clone(),
            version: headcount_core::ids::Version::new(1),
            created: draft.at,
            modified: draft.at,
            document: draft.document.clone(),
        };
        self.keep(Ready { draft: draft.clone(), with, new: true });
        Ok(Found { resource, computed: Computed::default() })
    }

    fn update(
        &self,
        tenant: TenantId,
        kind: &Kind,
        id: &ResourceId,
        with: With,
        change: &mut ChangeFn<'_>,
    ) -> Result<Updated, Error> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match states.get(id) {
            Some(state) => state.clone(),
            None => {
                self.provider.get(tenant, kind, id, With::Nothing)?.ok_or_else(foreign)?.resource
            }
        };
        let update = change(&Current { resource: &before, members: None })?;
        let Update::Store(draft) = update else {
            return Err(foreign().into());
        };
        let after = Resource {
            version: before.version.next(),
            modified: draft.at,
            document: draft.document.clone(),
            ..before
        };
        states.insert(id.clone(), after.clone());
        self.keep(Ready { draft: *draft, with, new: false });
        let found = Found { resource: after, computed: Computed::default() };
        Ok(Updated { found, changed: true })
    }

    fn delete(
        &self,
        _: TenantId,
        _: &Kind,
        _: &ResourceId,
        _: &mut CheckFn<'_>,
    ) -> Result<(), Error> {
        Err(foreign().into())
    }

    fn members(
        &self,
        _: TenantId,
        _: &ResourceId,
        _: Option<&Key>,
        _: usize,
    ) -> Result<Members, ProviderError> {
        Err(foreign())
    }

    fn memberships(
        &self,
        _: TenantId,
        _: &[ResourceId],
    ) -> Result<Vec<MembershipEntry>, ProviderError> {
        Err(foreign())
    }

    fn names(&self, _: TenantId, _: &[ResourceId]) -> Result<MemberNames, ProviderError> {
        Err(foreign())
    }

    fn batch(
        &self,
        _: TenantId,
        _: &mut [Step<'_>],
        _: Option<usize>,
    ) -> Vec<Result<StepDone, Error>> {
        Vec::new()
    }
}

/// A store that is written to by several threads at once.
pub(crate) struct Statements<'a> {
    store: &'a Store,
    threads: usize,
    /// Makes so many writes before the clock starts.
    prepare: Box<dyn FnMut(usize) -> anyhow::Result<Vec<Ready>> + 'a>,
    /// Writes per second of the last slice, for the size of the next.
    rate: f64,
}

impl<'a> Statements<'a> {
    pub(crate) fn new(
        store: &'a Store,
        threads: usize,
        prepare: impl FnMut(usize) -> anyhow::Result<Vec<Ready>> + 'a,
    ) -> Self {
        Self { store, threads, prepare: Box::new(prepare), rate: 4_000.0 }
    }
}

impl Load for Statements<'_> {
    fn slice(&mut self, seconds: f64) -> anyhow::Result<Slice> {
        let mut ready =
            (self.prepare)(crate::load::whole(self.rate * seconds * 1.5) + self.threads)?;
        // They are taken from the end, in the order in which they were prepared.
        ready.reverse();
        let ready = Mutex::new(ready);
        let started = Instant::now();
        let end = started + Duration::from_secs_f64(seconds);
        let store = self.store;
        let results: Vec<anyhow::Result<Vec<u32>>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads)
                .map(|_| scope.spawn(|| write_until(store, &ready, end)))
                .collect();
            threads.into_iter().map(|thread| thread.join().map_err(|_panic| panicked())?).collect()
        });
        let mut slice = Slice { seconds: started.elapsed().as_secs_f64(), ..Slice::default() };
        for latencies in results {
            slice.latencies.extend(latencies?);
        }
        slice.done = u64::try_from(slice.latencies.len())?;
        self.rate = slice.rate().max(100.0);
        Ok(slice)
    }
}

fn panicked() -> anyhow::Error {
    anyhow::anyhow!("a writing thread panicked")
}

/// Writes what is prepared until the time is over or nothing is left; returns the microseconds of each.
fn write_until(store: &Store, ready: &Mutex<Vec<Ready>>, end: Instant) -> anyhow::Result<Vec<u32>> {
    let mut latencies = Vec::new();
    loop {
        let started = Instant::now();
        if started >= end {
            return Ok(latencies);
        }
        let next = ready.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Some(one) = next else { return Ok(latencies) };
        let tenant = TenantId::new(TENANT);
        if one.new {
            store.insert(tenant, &one.draft, one.with)?;
        } else {
            let (kind, id) = (one.draft.kind.clone(), one.draft.id.clone());
            let mut draft = Some(Box::new(one.draft));
            let mut change = |_: &Current<'_>| -> Result<Update, Error> {
                draft.take().map(Update::Store).ok_or_else(|| foreign().into())
            };
            store.update(tenant, &kind, &id, one.with, &mut change)?;
        }
        latencies.push(micros(started.elapsed()));
    }
}
