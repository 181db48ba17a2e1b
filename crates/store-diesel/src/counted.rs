//! Counts of what happened that need not be made again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use headcount_core::ids::TenantId;
use headcount_records::activity::{Happened, Slots};

/// What was counted in slots that are over.
///
/// A count walks over each change of its slot. Changes come at the end of the record and none is taken out, so
/// that a slot that ended long ago is counted once; the last two of a question may still grow.
#[derive(Debug, Default)]
pub(crate) struct Counted(Mutex<HashMap<(TenantId, i64, i64), Happened>>);

/// Slots whose counts are kept; 2 MB. When there are more, all are forgotten.
const MOST_COUNTED: usize = 20_000;
/// Slots at the end of a question that are counted anew.
pub(crate) const OPEN: usize = 2;

impl Counted {
    fn kept(&self) -> MutexGuard<'_, HashMap<(TenantId, i64, i64), Happened>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what was counted in a slot.
    pub(crate) fn find(&self, tenant: TenantId, slot: Slots) -> Option<Happened> {
        self.kept().get(&(tenant, slot.from.micros(), slot.seconds)).copied()
    }

    /// Remembers what was counted in a slot.
    pub(crate) fn keep(&self, tenant: TenantId, slot: Slots, happened: Happened) {
        let mut kept = self.kept();
        if kept.len() >= MOST_COUNTED {
            kept.clear();
        }
        kept.insert((tenant, slot.from.micros(), slot.seconds), happened);
    }
}
