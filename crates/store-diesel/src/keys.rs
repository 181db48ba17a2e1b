//! Keys of the server's own: made once, shared by all replicas.

use diesel::prelude::*;
use diesel::sql_types::Text;
use headcount_core::clock::Timestamp;
use headcount_core::provider::ProviderError;

use crate::error::retry_on_constraint;
use crate::schema::server_keys;
use crate::sql::Sql;
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
            // The second of two callers waits here and then reads what the first one wrote.
            let known = Sql::new("UPDATE server_keys SET created = created WHERE name = ")
                .string(name)
                .text(" RETURNING name")
                .query::<Text>()
                .get_result::<String>(connection)
                .optional()?;
            if known.is_none() {
                let values = (
                    server_keys::name.eq(name),
                    server_keys::secret.eq(fresh),
                    server_keys::created.eq(at.micros()),
                );
                // When another server was faster, the next try reads its key.
                diesel::insert_into(server_keys::table)
                    .values(values)
                    .execute(connection)
                    .map_err(retry_on_constraint)?;
            }
            Ok(server_keys::table.find(name).select(server_keys::secret).first(connection)?)
        })
    }
}
