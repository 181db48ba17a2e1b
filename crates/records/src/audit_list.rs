//! The record of changes as administrators read it: row by row, and counted.

use crate::chain::AuditRow;
use headcount_core::clock::Timestamp;
use headcount_core::ids::{ChainPosition, Kind, TenantId};
use headcount_core::provider::ProviderError;
use headcount_core::work::Work;

/// A row of the record with its position in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its position.
    pub position: ChainPosition,
    /// Its hash, 64 hexadecimal digits.
    pub hash: String,
    /// The row.
    pub row: AuditRow,
}

/// The number of changes of a kind since some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeCount {
    /// The kind.
    pub kind: Kind,
    /// Resources that were created.
    pub created: u64,
    /// Changes by PUT and PATCH.
    pub changed: u64,
    /// Changes that activated a user; they are among the changes.
    pub reactivated: u64,
    /// Changes that deactivated a user; they are among the changes.
    pub deactivated: u64,
    /// Resources that were deleted.
    pub deleted: u64,
}

/// Reads the record of changes of one tenant.
pub trait AuditTrail: Send + Sync + 'static {
    /// Returns the rows after the position `after`, in order.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`] or [`ProviderError::Internal`].
    fn audit(
        &self,
        tenant: TenantId,
        after: ChainPosition,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, ProviderError>;

    /// Counts changes at or after a moment, by kind in the order of names, until `work` ends it.
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
