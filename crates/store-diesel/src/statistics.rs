//! What PostgreSQL knows of the tables when it plans.
//!
//! Of a new table it knows nothing, and takes any index that fits for as good as the best. The daemon that
//! would tell it comes by once a minute; a first sync has created thousands of users by then, each of whom
//! was looked for among all others (measured: a lookup by userName grows from 0.5 to 1.4 ms over 8,000 users,
//! and on). So the server has a table analyzed when it has grown by half.

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::Text;
use headcount_core::provider::ProviderError;

use crate::connection::{DbConnection, unlimited};
use crate::error::{WriteError, own_error};
use crate::sql::Sql;
use crate::store::Store;
use crate::write::Writer;

/// The tables whose plans depend on what is in them, and how each is analyzed. Of the two records little has to
/// be known, since their queries are few and each has its index: 3,000 rows tell it instead of 30,000.
const TABLES: [(&str, &str); 7] = [
    ("changes", "SET LOCAL default_statistics_target = 10; ANALYZE changes"),
    ("documents", "ANALYZE documents"),
    ("group_members", "ANALYZE group_members"),
    ("requests", "SET LOCAL default_statistics_target = 10; ANALYZE requests"),
    ("resource_index", "ANALYZE resource_index"),
    ("resource_keys", "ANALYZE resource_keys"),
    ("resources", "ANALYZE resources"),
];

impl Store {
    /// Has the tables analyzed that have grown by half since that was done last; returns how many. SQLite
    /// plans by the form of its indexes and needs none of this.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`] or [`ProviderError::Internal`].
    pub fn keep_statistics(&self) -> Result<usize, ProviderError> {
        let grown = match &self.writer {
            Writer::Lane(_) => return Ok(0),
            Writer::Pool(_) => self.read("growth of the tables is read", grown)?,
        };
        let analyze =
            TABLES.into_iter().filter(|(table, _)| grown.iter().any(|name| name == table));
        let mut analyzed = 0;
        for (_, statement) in analyze {
            let done = self.writer.write(&mut |connection| {
                unlimited(connection)?;
                connection.batch_execute(statement).map_err(WriteError::Db)
            });
            done.map_err(|error| own_error("a table is analyzed", error))?;
            analyzed += 1;
        }
        Ok(analyzed)
    }
}

/// The tables of this schema with more new rows than half of those that were there when it was analyzed. Rows
/// that were only changed do not count: a small directory under load would be analyzed again and again.
fn grown(connection: &mut DbConnection) -> QueryResult<Vec<String>> {
    Sql::new(
        "SELECT CAST(s.relname AS text) FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid \
         WHERE s.schemaname = current_schema() \
         AND s.n_live_tup > 100 + 1.5 * greatest(c.reltuples, 0)",
    )
    .query::<Text>()
    .load(connection)
}
