//! What the console reads, in memory.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use headcount_core::change::Recorded;
use headcount_core::clock::{Clock, IdSource, Timestamp};
use headcount_core::cursor::CursorCipher;
use headcount_core::ids::{RequestId, ResourceId, TenantId};
use headcount_core::provider::ProviderError;
use headcount_core::quirks::Quirks;
use headcount_core::work::Work;
use headcount_records::activity::{Activity, ChangeQuery, Happened, Refusals, Slots};
use headcount_records::{LogQuery, Logged, QuirkCount, RequestLog, RequestRecord, Retention};
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

/// Leaves cursors as they are.
pub(crate) struct PlainCursors;

impl CursorCipher for PlainCursors {
    fn encrypt(&self, text: &str, _purpose: &str) -> String {
        text.to_owned()
    }

    fn decrypt(&self, encrypted: &str, _purpose: &str) -> Option<String> {
        Some(encrypted.to_owned())
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

/// The provisioning log, as far as pages read it.
#[derive(Default)]
pub(crate) struct MemoryLog(Mutex<Vec<Logged>>);

impl MemoryLog {
    /// Adds a request and returns its number.
    pub(crate) fn add(&self, record: RequestRecord) -> i64 {
        let mut log = lock(&self.0);
        let seq = i64::try_from(log.len()).unwrap() + 1;
        log.push(Logged { seq, record });
        seq
    }
}

impl RequestLog for MemoryLog {
    fn append(&self, records: &[RequestRecord]) -> Result<(), ProviderError> {
        for record in records {
            self.add(record.clone());
        }
        Ok(())
    }

    fn add_unkept(&self, _counts: &[(RequestId, u64)]) -> Result<(), ProviderError> {
        Ok(())
    }

    fn requests(&self, query: &LogQuery, _work: &Work) -> Result<Vec<Logged>, ProviderError> {
        let mut found = lock(&self.0).clone();
        found.retain(|Logged { seq, record }| {
            query.scope.has(record.tenant)
                && query.before.is_none_or(|before| *seq < before)
                && query.after.is_none_or(|after| *seq > after)
                && (!query.failed || record.status >= 400)
                && query.name.as_ref().is_none_or(|name| record.names.contains(name))
        });
        if query.after.is_none() || query.before.is_some() {
            found.reverse();
        }
        found.truncate(query.limit);
        Ok(found)
    }

    fn quirk_counts(&self, _tenant: TenantId) -> Result<Vec<QuirkCount>, ProviderError> {
        Ok(Vec::new())
    }

    fn erase(&self, _tenant: TenantId, _names: &[String]) -> Result<usize, ProviderError> {
        Ok(0)
    }

    fn tenants(&self) -> Result<Vec<TenantId>, ProviderError> {
        Ok(Vec::new())
    }

    fn forget(&self, _tenant: TenantId) -> Result<(), ProviderError> {
        Ok(())
    }

    fn prune(&self, _retention: Retention) -> Result<usize, ProviderError> {
        Ok(0)
    }
}

impl Refusals for MemoryLog {
    fn refusals_by_slot(
        &self,
        _tenant: TenantId,
        slots: Slots,
        _work: &Work,
    ) -> Result<Vec<u64>, ProviderError> {
        Ok(vec![0; slots.count])
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
