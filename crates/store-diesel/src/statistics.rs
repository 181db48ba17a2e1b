//! The statistics with which PostgreSQL plans.
//!
//! It has none of a new table, and then takes any index that fits for as good as the best. The autovacuum
//! daemon analyzes tables once a minute; by then a first sync has created thousands of users, each of whom was
//! looked for among all others (measured: a lookup by userName grows from 0.5 to 1.4 ms over 8,000 users, and
//! further). The server therefore analyzes a table when it has grown by half.

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::Text;
use headcount_core::provider::ProviderError;

use crate::connection::{DbConnection, lift_limits};
use crate::sql::Sql;
use crate::store::Store;
use crate::write::Writer;

/// The tables whose plans depend on their contents, and how each is analyzed. For the two records a sample of
/// 3,000 rows suffices in place of 30,000: their queries are few, and each has its index.
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
    /// Analyzes the tables that have grown by half since they were analyzed last; returns how many. SQLite plans
    /// by the form of its indexes and needs none of this.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`] or [`ProviderError::Internal`].
    pub fn keep_statistics(&self) -> Result<usize, ProviderError> {
        let grown = match &self.writer {
            Writer::Group(_) => return Ok(0),
            Writer::Pool(_) => self.readers.read("growth of the tables is read", grown_tables)?,
        };
        let mut analyzed = 0;
        for (table, statement) in TABLES {
            if grown.iter().any(|name| name == table) {
                self.write("a table is analyzed", |connection| {
                    lift_limits(connection)?;
                    Ok(connection.batch_execute(statement)?)
                })?;
                analyzed += 1;
            }
        }
        Ok(analyzed)
    }
}

/// Returns the tables of this schema that have more new rows than half of those that they had when they were
/// analyzed. Changed rows do not count: a small directory under load would be analyzed again and again.
fn grown_tables(connection: &mut DbConnection) -> QueryResult<Vec<String>> {
    Sql::new(
        "SELECT CAST(s.relname AS text) FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid \
         WHERE s.schemaname = current_schema() \
         AND s.n_live_tup > 100 + 1.5 * greatest(c.reltuples, 0)",
    )
    .query::<Text>()
    .load(connection)
}
