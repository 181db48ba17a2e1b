//! Keys of the server's own: made once, shared by all replicas.

use headcount_core::clock::Timestamp;
use headcount_core::provider::ProviderError;

use crate::protection;
use crate::store::Store;

impl Store {
    /// Returns the key of a name. The `fresh` bytes of the first caller become the key; all others get it.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`] or [`ProviderError::Internal`].
    pub fn server_key(
        &self,
        name: &'static str,
        fresh: &[u8],
        at: Timestamp,
    ) -> Result<Vec<u8>, ProviderError> {
        self.write("a key of the server is read", |connection| {
            Ok(protection::own_key(connection, name, fresh, at)?.0)
        })
    }
}
