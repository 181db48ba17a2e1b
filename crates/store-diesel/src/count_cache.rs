//! Counts of what happened that need not be computed again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use headcount_core::ids::TenantId;
use headcount_records::activity::{Happened, Slots};

/// The counts of past slots.
///
/// Counting visits each change of a slot. Changes are appended to the record and never removed, so that a slot that
/// ended long ago is counted once; the last two of a query may still grow.
#[derive(Debug, Default)]
pub(crate) struct CountCache(Mutex<HashMap<(TenantId, i64, i64), Happened>>);

/// Slots whose counts are kept: 2 MB. When there are more, all are dropped.
const MAX_COUNTS: usize = 20_000;
/// Slots at the end of a query that are counted each time.
pub(crate) const OPEN_SLOTS: usize = 2;

impl CountCache {
    fn lock(&self) -> MutexGuard<'_, HashMap<(TenantId, i64, i64), Happened>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the counts of a slot.
    pub(crate) fn find(&self, tenant: TenantId, slot: Slots) -> Option<Happened> {
        self.lock().get(&(tenant, slot.from.micros(), slot.seconds)).copied()
    }

    /// Remembers the counts of a slot.
    pub(crate) fn keep(&self, tenant: TenantId, slot: Slots, happened: Happened) {
        let mut counts = self.lock();
        if counts.len() >= MAX_COUNTS {
            counts.clear();
        }
        counts.insert((tenant, slot.from.micros(), slot.seconds), happened);
    }
}
