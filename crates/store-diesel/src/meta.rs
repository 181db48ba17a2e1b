//! Named values that all processes on a database share.

use headcount_token_admin::StoreError;

use crate::protection;
use crate::store::Store;

impl Store {
    /// Stores a value under a name, in place of an older one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    pub fn set_meta(&self, name: &str, value: &str) -> Result<(), StoreError> {
        self.write_admin(|connection| Ok(protection::set_value(connection, name, value)?))
    }

    /// Returns the value of a name.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    pub fn meta(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.read_admin("a value of the server's own is read", |connection| {
            protection::value(connection, name)
        })
    }
}
