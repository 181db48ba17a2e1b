//! The record of changes as administrators read it: word for word, and counted.

use crate::chain::AuditRow;
use headcount_core::clock::Timestamp;
use headcount_core::ids::{Kind, TenantId};
use headcount_core::provider::ProviderError;
use headcount_core::work::Work;

/// A row of the record with its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its place.
    pub place: i64,
    /// Its hash, 64 hexadecimal digits.
    pub hash: String,
    /// The row.
    pub row: AuditRow,
}

/// How many changes of a kind there were since some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeCount {
    /// The kind.
    pub kind: Kind,
    /// Resources that were created.
    pub created: u64,
    /// Changes by PUT and PATCH.
    pub changed: u64,
    /// Changes that switched a user on, which count as changes, too.
    pub reactivated: u64,
    /// Changes that switched a user off, which count as changes, too.
    pub deactivated: u64,
    /// Resources that were deleted.
    pub deleted: u64,
}

/// Reads the record of changes of one tenant.
pub trait AuditTrail: Send + Sync + 'static {
    /// Returns rows behind the place `after`, in order.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`] or [`ProviderError::Internal`].
    fn audit(
        &self,
        tenant: TenantId,
        after: i64,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, ProviderError>;

    /// Counts changes at or after a moment, by kind in the order of names, as long as `work` goes on.
    ///
    /// # Errors
    ///
    /// As [`AuditTrail::audit`], and [`ProviderError::Halted`].
    fn count_changes(
        &self,
        tenant: TenantId,
        since: Timestamp,
        work: &Work,
    ) -> Result<Vec<ChangeCount>, ProviderError>;
}
