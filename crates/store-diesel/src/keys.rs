//! Keys of the server's own: made once, shared by all replicas.

use diesel::prelude::*;
use diesel::sql_types::Text;
use headcount_core::clock::Timestamp;
use headcount_core::error::Error;
use headcount_core::provider::{ProviderError, Source};

use crate::error::{Meaning, WriteError, meaning, write_error};
use crate::schema::server_keys;
use crate::sql::Sql;
use crate::store::Store;

impl Store {
    /// Returns the key of a name. The first caller's `fresh` bytes become it, everybody else gets
    /// those.
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
        let done = self.writer.write(&mut |connection| {
            // Whoever comes second waits here and then reads what the first one wrote.
            let taken = Sql::new("UPDATE server_keys SET created = created WHERE name = ")
                .string(name)
                .text(" RETURNING name")
                .query::<Text>()
                .get_result::<String>(connection)
                .optional()?;
            if taken.is_none() {
                let values = (
                    server_keys::name.eq(name),
                    server_keys::secret.eq(fresh),
                    server_keys::created.eq(at.micros()),
                );
                let done =
                    diesel::insert_into(server_keys::table).values(values).execute(connection);
                match done {
                    Ok(_) => {}
                    // Another server was faster: the next try reads its key.
                    Err(error) if meaning(&error) == Meaning::Constraint => {
                        return Err(WriteError::Retry);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(server_keys::table.find(name).select(server_keys::secret).first(connection)?)
        });
        done.map_err(|error| match write_error("a key of the server is read", error) {
            Error::Provider(error) => error,
            other => {
                ProviderError::Internal(Source::new("a key is read without other code", other))
            }
        })
    }
}
