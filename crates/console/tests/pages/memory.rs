//! What the console reads, in memory.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use headcount_core::change::Recorded;
use headcount_core::clock::{Clock, IdSource, Timestamp};
use headcount_core::ids::{ResourceId, TenantId};
use headcount_core::provider::ProviderError;
use headcount_core::quirks::Quirks;
use headcount_core::work::Work;
use headcount_records::activity::{Activity, ChangeQuery, Happened, Slots};
use headcount_token_admin::{StoreError, TenantContents};

/// A clock that a test moves on; also a source of ids.
pub(crate) struct TestClock(AtomicI64);

impl TestClock {
    pub(crate) fn new() -> Self {
        Self(AtomicI64::new(1_767_225_600_000_000))
    }

    /// Moves the clock on.
    pub(crate) fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

impl IdSource for TestClock {
    fn next_id(&self) -> ResourceId {
        ResourceId::new(format!("id-{}", self.0.fetch_add(1, Ordering::SeqCst)))
    }
}

/// A tenant has nothing outside the store.
pub(crate) struct NoContents;

impl TenantContents for NoContents {
    fn derive(&self, _tenant: TenantId, _quirks: Quirks) -> Result<(), StoreError> {
        Ok(())
    }

    fn forget(&self, _tenant: TenantId) -> Result<(), StoreError> {
        Ok(())
    }
}

/// The record of changes, as far as pages list and count it.
#[derive(Default)]
pub(crate) struct MemoryActivity(Mutex<Vec<(TenantId, Recorded)>>);

impl MemoryActivity {
    /// Adds a change.
    pub(crate) fn add(&self, tenant: TenantId, recorded: Recorded) {
        lock(&self.0).push((tenant, recorded));
    }
}

impl Activity for MemoryActivity {
    fn changes_by_slot(
        &self,
        _tenant: TenantId,
        slots: Slots,
        _work: &Work,
    ) -> Result<Vec<Happened>, ProviderError> {
        Ok(vec![Happened::default(); slots.count])
    }

    fn latest(
        &self,
        query: &ChangeQuery,
        _work: &Work,
    ) -> Result<Vec<(TenantId, Recorded)>, ProviderError> {
        let mut changes = lock(&self.0).clone();
        changes.reverse();
        changes.retain(|(tenant, _)| query.tenant.is_none_or(|wanted| wanted == *tenant));
        changes.truncate(query.limit);
        Ok(changes)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
