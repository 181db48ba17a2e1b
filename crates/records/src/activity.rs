//! Changes and refusals, counted for charts and listed.

use headcount_core::change::Recorded;
use headcount_core::clock::Timestamp;
use headcount_core::ids::{ChainPosition, TenantId};
use headcount_core::provider::ProviderError;
use headcount_core::work::Work;

/// Consecutive slots of equal length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    /// When the first slot begins.
    pub from: Timestamp,
    /// Length of each slot, in seconds; at least 1.
    pub seconds: i64,
    /// Number of slots.
    pub count: usize,
}

impl Slots {
    /// Returns the length of a slot in microseconds.
    pub fn width(self) -> i64 {
        self.seconds.max(1).saturating_mul(1_000_000)
    }

    /// Returns when a slot begins, which is when the one before it ends.
    pub fn begin(self, index: usize) -> Timestamp {
        let before = self.width().saturating_mul(i64::try_from(index).unwrap_or(i64::MAX));
        Timestamp::from_micros(self.from.micros().saturating_add(before))
    }

    /// Returns the slot of a moment.
    pub fn of(self, at: Timestamp) -> Option<usize> {
        let micros = at.micros().checked_sub(self.from.micros()).filter(|micros| *micros >= 0)?;
        let slot = micros / self.width();
        usize::try_from(slot).ok().filter(|slot| *slot < self.count)
    }
}

/// What happened to resources in one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Happened {
    /// Resources that were created.
    pub created: u64,
    /// Resources that were replaced or patched.
    pub changed: u64,
    /// Resources that were deleted.
    pub deleted: u64,
}

/// A query for changes, newest first.
#[derive(Debug, Clone, Default)]
pub struct ChangeQuery {
    /// Only those of a tenant; those of all tenants when absent.
    pub tenant: Option<TenantId>,
    /// Only those by administrators, the command line and the server, not by provisioning tokens.
    pub by_people: bool,
    /// Only those before this position.
    pub before: Option<ChainPosition>,
    /// How many at most.
    pub limit: usize,
}

/// Counts and lists changes, newest first.
pub trait Activity: Send + Sync + 'static {
    /// Counts what happened to the resources of a tenant, one entry per slot, until `work` ends it. The last two
    /// slots are current; earlier ones may be cached from the first time that they were earlier ones.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`], [`ProviderError::Halted`] or [`ProviderError::Internal`].
    fn changes_by_slot(
        &self,
        tenant: TenantId,
        slots: Slots,
        work: &Work,
    ) -> Result<Vec<Happened>, ProviderError>;

    /// Returns recorded changes with their tenants, newest first.
    ///
    /// # Errors
    ///
    /// As [`Activity::changes_by_slot`].
    fn latest(
        &self,
        query: &ChangeQuery,
        work: &Work,
    ) -> Result<Vec<(TenantId, Recorded)>, ProviderError>;
}

/// Counts refused requests.
pub trait Refusals: Send + Sync + 'static {
    /// Counts the requests of a tenant that were refused, one entry per slot, until `work` ends it.
    ///
    /// # Errors
    ///
    /// As [`Activity::changes_by_slot`].
    fn refusals_by_slot(
        &self,
        tenant: TenantId,
        slots: Slots,
        work: &Work,
    ) -> Result<Vec<u64>, ProviderError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_lies_in_one_slot_or_in_none() {
        let slots = Slots { from: Timestamp::from_micros(1_000_000), seconds: 10, count: 3 };
        let of = |micros| slots.of(Timestamp::from_micros(micros));
        assert_eq!([of(999_999), of(1_000_000), of(10_999_999)], [None, Some(0), Some(0)]);
        assert_eq!([of(11_000_000), of(30_999_999), of(31_000_000)], [Some(1), Some(2), None]);
    }
}
