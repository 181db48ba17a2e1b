//! A provider in front of another one: it counts the work which is done while others may wait for it, and
//! lets a test act before and after some calls.

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

/// What another writer does just after a resource was copied.
pub type Rival = dyn FnMut() + Send;

/// What happens before resources are searched; an error is the answer.
pub type BeforeFind = dyn Fn(TenantId, &Query<'_>) -> Result<(), ProviderError> + Send + Sync;

/// A provider in front of another one.
pub struct Watched {
    inner: Arc<dyn Provider>,
    work: Work,
    /// The most units that a single call of a change has taken.
    pub most: AtomicU64,
    /// The most members that a change has asked for.
    pub most_members: AtomicUsize,
    /// Copies that were read.
    pub copies: AtomicUsize,
    /// Changes that were brought.
    pub updates: AtomicUsize,
    /// Whether groups look larger than a change reads under the lock.
    crowded: bool,
    rival: Mutex<Option<Box<Rival>>>,
    before_find: Option<Box<BeforeFind>>,
    /// At which of the changes the request is stopped, before the change is run.
    stop_at: Option<(usize, Stop)>,
}

impl Watched {
    /// Watches a provider, on which requests spend this work.
    pub fn new(inner: Arc<dyn Provider>, work: &Work) -> Self {
        Self {
            inner,
            work: work.clone(),
            most: AtomicU64::new(0),
            most_members: AtomicUsize::new(0),
            copies: AtomicUsize::new(0),
            updates: AtomicUsize::new(0),
            crowded: false,
            rival: Mutex::new(None),
            before_find: None,
            stop_at: None,
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

    /// Stops the request after its first copy.
    #[must_use]
    pub fn stopping_after_copy(self, why: Stop) -> Self {
        let work = self.work.clone();
        self.with_rival(move || work.stop(why))
    }

    /// Stops the request when it brings its first, second, … change.
    #[must_use]
    pub fn stopping_at_update(self, number: usize, why: Stop) -> Self {
        Self { stop_at: Some((number, why)), ..self }
    }

    /// Has something happen before each search.
    #[must_use]
    pub fn before_find(
        self,
        act: impl Fn(TenantId, &Query<'_>) -> Result<(), ProviderError> + Send + Sync + 'static,
    ) -> Self {
        Self { before_find: Some(Box::new(act)), ..self }
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
            let member = |n: usize| Member { id: ResourceId::new(format!("m{n}")), ..one.clone() };
            crowd = (0..=headcount_core::service::MAX_LANE_MEMBERS).map(member).collect();
            seen.members = Some(&crowd);
        }
        let done = change(&seen);
        self.most.fetch_max(self.work.spent() - before, Ordering::SeqCst);
        if let Ok(Update::NeedMembers(most)) = &done {
            self.most_members.fetch_max(*most, Ordering::SeqCst);
        }
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
