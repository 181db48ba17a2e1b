//! The provisioning log in memory, in its shortest form: for tests of what reads and writes it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use headcount_core::ids::{RequestId, TenantId, TokenId};
use headcount_core::provider::ProviderError;
use headcount_core::work::Work;

use crate::activity::{Refusals, Slots};
use crate::request_log::{LogQuery, Logged, QuirkCount, RequestLog, RequestRecord, Retention};
use crate::traces::Traces;

/// A provisioning log in memory.
#[derive(Debug, Default)]
pub struct MemoryLog(Mutex<Vec<Logged>>);

impl MemoryLog {
    /// Adds a record and returns its number.
    pub fn add(&self, record: RequestRecord) -> i64 {
        let mut log = self.lock();
        let seq = log.last().map_or(1, |logged| logged.seq + 1);
        log.push(Logged { seq, record });
        seq
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Logged>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the records that satisfy a condition, and returns how many others there were.
    fn retain(&self, keep: impl Fn(&RequestRecord) -> bool) -> usize {
        let mut log = self.lock();
        let before = log.len();
        log.retain(|logged| keep(&logged.record));
        before - log.len()
    }
}

impl RequestLog for MemoryLog {
    fn append(&self, records: &[RequestRecord]) -> Result<(), ProviderError> {
        for record in records {
            self.add(record.clone());
        }
        Ok(())
    }

    fn add_unkept(&self, counts: &[(RequestId, u64)]) -> Result<(), ProviderError> {
        let mut log = self.lock();
        for (request, count) in counts {
            let mut newest = log.iter_mut().rev().map(|logged| &mut logged.record);
            if let Some(record) = newest.find(|one| !one.proven && one.request == *request) {
                record.unkept += count;
            }
        }
        Ok(())
    }

    fn requests(&self, query: &LogQuery, _work: &Work) -> Result<Vec<Logged>, ProviderError> {
        let mut found = self.lock().clone();
        found.retain(|Logged { seq, record }| {
            query.scope.has(record.tenant)
                && query.token.as_ref().is_none_or(|token| record.token.as_ref() == Some(token))
                && query.name.as_ref().is_none_or(|name| record.names.contains(name))
                && query.request.as_ref().is_none_or(|request| record.request == *request)
                && query.kind.as_ref().is_none_or(|kind| record.kind.as_ref() == Some(kind))
                && (!query.failed || record.status >= 400)
                && query.before.is_none_or(|before| *seq < before)
                && query.after.is_none_or(|after| *seq > after)
        });
        if query.after.is_none() || query.before.is_some() {
            found.reverse();
        }
        found.truncate(query.limit);
        Ok(found)
    }

    fn quirk_counts(&self, tenant: TenantId) -> Result<Vec<QuirkCount>, ProviderError> {
        let mut counts: BTreeMap<(String, &str), QuirkCount> = BTreeMap::new();
        for Logged { record, .. } in self.lock().iter() {
            let Some(token) = record.token.as_ref().filter(|_| record.tenant == Some(tenant))
            else {
                continue;
            };
            for quirk in record.quirks.iter() {
                let count = counts.entry((token.to_string(), quirk.name));
                let count = count.or_insert_with(|| QuirkCount {
                    token: TokenId::clone(token),
                    quirk: quirk.name.to_owned(),
                    amount: 0,
                    last: record.at,
                });
                count.amount += 1;
                count.last = count.last.max(record.at);
            }
        }
        Ok(counts.into_values().collect())
    }

    fn erase(
        &self,
        tenant: TenantId,
        names: &[String],
        _traces: &Traces,
    ) -> Result<usize, ProviderError> {
        Ok(self.retain(|record| {
            record.tenant != Some(tenant) || !record.names.iter().any(|name| names.contains(name))
        }))
    }

    fn tenants(&self) -> Result<Vec<TenantId>, ProviderError> {
        let mut tenants: Vec<_> =
            self.lock().iter().filter_map(|logged| logged.record.tenant).collect();
        tenants.sort_unstable();
        tenants.dedup();
        Ok(tenants)
    }

    fn forget(&self, tenant: TenantId) -> Result<(), ProviderError> {
        self.retain(|record| record.tenant != Some(tenant));
        Ok(())
    }

    fn prune(&self, retention: Retention) -> Result<usize, ProviderError> {
        Ok(self.retain(|record| record.at >= retention.before))
    }
}

impl Refusals for MemoryLog {
    fn refusals_by_slot(
        &self,
        tenant: TenantId,
        slots: Slots,
        _work: &Work,
    ) -> Result<Vec<u64>, ProviderError> {
        let mut refused = vec![0; slots.count];
        for Logged { record, .. } in self.lock().iter() {
            let counts =
                record.tenant == Some(tenant) && record.status >= 400 && record.status != 404;
            let slot = slots.of(record.at).and_then(|slot| refused.get_mut(slot));
            if let Some(count) = slot.filter(|_| counts) {
                *count += 1;
            }
        }
        Ok(refused)
    }
}
