//! A provider that counts the work which is done while others may wait for it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use headcount_core::error::Error;
use headcount_core::ids::{Kind, ResourceId, TenantId};
use headcount_core::members::{Member, MemberNames, MembershipEntry};
use headcount_core::provider::{
    ChangeFn, CheckFn, Current, Draft, Found, Key, Members, Page, Provider, ProviderError, Query,
    Step, StepDone, Update, Updated, With,
};
use headcount_core::work::Work;

/// What another writer does just after a resource was copied.
pub type Rival = dyn FnMut() + Send;

/// A provider in front of another one.
pub struct Watched {
    inner: Arc<dyn Provider>,
    work: Work,
    /// The most units that a single call of a change has taken.
    pub most: AtomicU64,
    /// Copies that were read.
    pub copies: AtomicUsize,
    /// Changes that were brought.
    pub updates: AtomicUsize,
    /// Whether groups look larger than a change reads under the lock.
    crowded: bool,
    rival: Mutex<Option<Box<Rival>>>,
}

impl Watched {
    /// Watches a provider, on which requests spend this work.
    pub fn new(inner: Arc<dyn Provider>, work: &Work) -> Self {
        Self {
            inner,
            work: work.clone(),
            most: AtomicU64::new(0),
            copies: AtomicUsize::new(0),
            updates: AtomicUsize::new(0),
            crowded: false,
            rival: Mutex::new(None),
        }
    }

    /// Makes groups look larger than a change reads under the lock.
    #[must_use]
    pub fn crowded(self) -> Self {
        Self { crowded: true, ..self }
    }

    /// Lets another writer act after each copy.
    #[must_use]
    pub fn with_rival(self, rival: impl FnMut() + Send + 'static) -> Self {
        Self { rival: Mutex::new(Some(Box::new(rival))), ..self }
    }

    /// Returns how many copies were read and how many changes were brought.
    pub fn calls(&self) -> (usize, usize) {
        (self.copies.load(Ordering::SeqCst), self.updates.load(Ordering::SeqCst))
    }

    fn watch(&self, change: &mut ChangeFn<'_>, current: &Current<'_>) -> Result<Update, Error> {
        let before = self.work.spent();
        let crowd: Vec<Member>;
        let mut seen = *current;
        if let (true, Some([one, ..])) = (self.crowded, current.members) {
            crowd = vec![one.clone(); headcount_core::service::MAX_LANE_MEMBERS + 1];
            seen.members = Some(&crowd);
        }
        let done = change(&seen);
        self.most.fetch_max(self.work.spent() - before, Ordering::SeqCst);
        done
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
        self.updates.fetch_add(1, Ordering::SeqCst);
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
