//! Small facts that all processes on a database share.

use diesel::OptionalExtension as _;
use diesel::sql_types::Text;
use headcount_token_admin::StoreError;

use crate::error::token_error;
use crate::sql::Sql;
use crate::store::Store;
use crate::tenants::unavailable;

impl Store {
    /// Keeps a fact, in place of an older one of the same name.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    pub fn remember(&self, name: &str, value: &str) -> Result<(), StoreError> {
        let done = self.writer.write(&mut |connection| {
            let kept = Sql::new("INSERT INTO store_meta (name, value) VALUES (").string(name);
            let kept = kept.text(", ").string(value);
            let kept = kept.text(") ON CONFLICT (name) DO UPDATE SET value = excluded.value");
            Ok(kept.query::<()>().execute(connection).map(drop)?)
        });
        done.map_err(token_error)
    }

    /// Returns a fact.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    pub fn recalled(&self, name: &str) -> Result<Option<String>, StoreError> {
        let asked = Sql::new("SELECT value FROM store_meta WHERE name = ").string(name);
        let value = self.read("a fact is read", |connection| {
            asked.clone().query::<Text>().get_result::<String>(connection).optional()
        });
        value.map_err(unavailable)
    }
}
