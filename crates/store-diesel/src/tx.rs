//! A transaction that writes resources of one kind in one tenant.

use headcount_core::error::Error;
use headcount_core::ids::{Kind, TenantId};
use headcount_records::mac::MacKeys;

use crate::connection::DbConnection;
use crate::dictionary::Dictionary;
use crate::error::WriteError;

/// What every write of a resource needs. The transaction was opened by [`crate::write`].
pub(crate) struct Tx<'a> {
    pub(crate) connection: &'a mut DbConnection,
    pub(crate) dictionary: &'a Dictionary,
    /// The keys that authenticate changes.
    pub(crate) keys: &'a MacKeys,
    pub(crate) tenant: TenantId,
    pub(crate) kind: &'a Kind,
    /// The number of the kind.
    pub(crate) number: i32,
}

impl Tx<'_> {
    pub(crate) fn path_number(&self, path: &str) -> Result<i32, WriteError> {
        let number = self.dictionary.path(path);
        number.ok_or_else(|| Error::internal("the store knows the paths it is given").into())
    }
}
