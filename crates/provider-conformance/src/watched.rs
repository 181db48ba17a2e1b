//! A provider in front of another one. It counts the work that is done under the lock, and lets a test act
//! before and after some calls.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use headcount_core::error::Error;
use headcount_core::ids::{Kind, ResourceId, TenantId};
use headcount_core::members::{Member, MemberNames, MembershipEntry};
use headcount_core::provider::{
    ChangeFn, CheckFn, Current, Draft, Found, Key, Members, Page, Provider, ProviderError, Query,
    Step, StepDone, Update, Updated, With,
};
use headcount_core::work::{Stop, Work};

/// A writer that acts just after a resource was copied.
pub type Rival = dyn FnMut() + Send;

/// A function that is called before each search. Its error is the reply.
pub type BeforeFind = dyn Fn(TenantId, &Query<'_>) -> Result<(), ProviderError> + Send + Sync;

/// A provider in front of another one.
pub struct Watched {
    inner: Arc<dyn Provider>,
    work: Work,
    /// The maximum number of units that a call of a change function has spent.
    pub max_units: AtomicU64,
    /// The maximum number of members that a change function has asked for.
    pub max_members: AtomicUsize,
    /// The number of copies that were read.
    pub copies: AtomicUsize,
    /// The number of updates.
    pub updates: AtomicUsize,
    /// Whether groups seem larger than a change reads under the lock.
    crowded: bool,
    rival: Mutex<Option<Box<Rival>>>,
    before_find: Option<Box<BeforeFind>>,
    /// The number of the update before which the request is stopped.
    stop_at: Option<(usize, Stop)>,
}

impl Watched {
    /// Watches a provider and the budget of its requests.
    pub fn new(inner: Arc<dyn Provider>, work: &Work) -> Self {
        Self {
            inner,
            work: work.clone(),
            max_units: AtomicU64::new(0),
            max_members: AtomicUsize::new(0),
            copies: AtomicUsize::new(0),
            updates: AtomicUsize::new(0),
            crowded: false,
            rival: Mutex::new(None),
            before_find: None,
            stop_at: None,
        }
    }

    /// Makes groups seem larger than a change reads under the lock.
    #[must_use]
    pub fn with_crowds(self) -> Self {
        Self { crowded: true, ..self }
    }

    /// Lets another writer act after each copy.
    #[must_use]
    pub fn with_rival(self, rival: impl FnMut() + Send + 'static) -> Self {
        Self { rival: Mutex::new(Some(Box::new(rival))), ..self }
    }

    /// Stops the request after its first copy.
    #[must_use]
    pub fn stopping_after_copy(self, why: Stop) -> Self {
        let work = self.work.clone();
        self.with_rival(move || work.stop(why))
    }

    /// Stops the request before its first, second, … update.
    #[must_use]
    pub fn stopping_at_update(self, number: usize, why: Stop) -> Self {
        Self { stop_at: Some((number, why)), ..self }
    }

    /// Calls a function before each search.
    #[must_use]
    pub fn before_find(
        self,
        act: impl Fn(TenantId, &Query<'_>) -> Result<(), ProviderError> + Send + Sync + 'static,
    ) -> Self {
        Self { before_find: Some(Box::new(act)), ..self }
    }

    /// Returns the number of copies and of updates.
    pub fn calls(&self) -> (usize, usize) {
        (self.copies.load(Ordering::SeqCst), self.updates.load(Ordering::SeqCst))
    }

    fn watch(&self, change: &mut ChangeFn<'_>, current: &Current<'_>) -> Result<Update, Error> {
        let before = self.work.units_spent();
        let crowd: Vec<Member>;
        let mut seen = *current;
        if let (true, Some([one, ..])) = (self.crowded, current.members) {
            crowd = (0..=headcount_core::service::MAX_LANE_MEMBERS)
                .map(|n| Member { id: ResourceId::new(format!("m{n}")), ..one.clone() })
                .collect();
            seen.members = Some(&crowd);
        }
        let update = change(&seen);
        self.max_units.fetch_max(self.work.units_spent() - before, Ordering::SeqCst);
        if let Ok(Update::NeedMembers(max)) = &update {
            self.max_members.fetch_max(*max, Ordering::SeqCst);
        }
        update
    }
}

impl Provider for Watched {
    fn get(
        &self,
        tenant: TenantId,
        kind: &Kind,
        id: &ResourceId,
        with: With,
    ) -> Result<Option<Found>, ProviderError> {
        self.copies.fetch_add(1, Ordering::SeqCst);
        let found = self.inner.get(tenant, kind, id, with);
        let mut rival = self.rival.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rival) = rival.as_mut() {
            rival();
        }
        found
    }

    fn find(&self, tenant: TenantId, query: &Query<'_>) -> Result<Page, ProviderError> {
        if let Some(act) = &self.before_find {
            act(tenant, query)?;
        }
        self.inner.find(tenant, query)
    }

    fn insert(&self, tenant: TenantId, draft: &Draft, with: With) -> Result<Found, ProviderError> {
        self.inner.insert(tenant, draft, with)
    }

    fn update(
        &self,
        tenant: TenantId,
        kind: &Kind,
        id: &ResourceId,
        with: With,
        change: &mut ChangeFn<'_>,
    ) -> Result<Updated, Error> {
        let number = self.updates.fetch_add(1, Ordering::SeqCst) + 1;
        if let Some((_, why)) = self.stop_at.filter(|(at, _)| *at == number) {
            self.work.stop(why);
        }
        self.inner.update(tenant, kind, id, with, &mut |current| self.watch(change, current))
    }

    fn delete(
        &self,
        tenant: TenantId,
        kind: &Kind,
        id: &ResourceId,
        check: &mut CheckFn<'_>,
    ) -> Result<(), Error> {
        self.inner.delete(tenant, kind, id, check)
    }

    fn members(
        &self,
        tenant: TenantId,
        group: &ResourceId,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Members, ProviderError> {
        self.inner.members(tenant, group, after, limit)
    }

    fn memberships(
        &self,
        tenant: TenantId,
        members: &[ResourceId],
    ) -> Result<Vec<MembershipEntry>, ProviderError> {
        self.inner.memberships(tenant, members)
    }

    fn names(&self, tenant: TenantId, ids: &[ResourceId]) -> Result<MemberNames, ProviderError> {
        self.inner.names(tenant, ids)
    }

    fn batch(
        &self,
        tenant: TenantId,
        steps: &mut [Step<'_>],
        failures: Option<usize>,
    ) -> Vec<Result<StepDone, Error>> {
        let mut watched: Vec<Step<'_>> = steps
            .iter_mut()
            .map(|step| match step {
                Step::Insert(draft) => Step::Insert(draft),
                Step::Update(kind, id, change) => Step::Update(
                    kind,
                    id.clone(),
                    Box::new(move |current| self.watch(&mut **change, current)),
                ),
                Step::Delete(kind, id, check) => {
                    Step::Delete(kind, id.clone(), Box::new(move |resource| check(resource)))
                }
            })
            .collect();
        self.inner.batch(tenant, &mut watched, failures)
    }
}
