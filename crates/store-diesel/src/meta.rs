//! Named values that all processes on a database share.

use diesel::OptionalExtension as _;
use diesel::sql_types::Text;
use headcount_token_admin::StoreError;

use crate::sql::Sql;
use crate::store::Store;

impl Store {
    /// Stores a value under a name, in place of an older one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    pub fn set_meta(&self, name: &str, value: &str) -> Result<(), StoreError> {
        self.write_admin(|connection| {
            Sql::new("INSERT INTO store_meta (name, value) VALUES (")
                .string(name)
                .text(", ")
                .string(value)
                .text(") ON CONFLICT (name) DO UPDATE SET value = excluded.value")
                .query::<()>()
                .execute(connection)?;
            Ok(())
        })
    }

    /// Returns the value of a name.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    pub fn meta(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.read_admin("a value of the server's own is read", |connection| {
            Sql::new("SELECT value FROM store_meta WHERE name = ")
                .string(name)
                .query::<Text>()
                .get_result::<String>(connection)
                .optional()
        })
    }
}
