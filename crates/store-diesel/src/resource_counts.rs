//! Counts of resources and connections, for metrics.

use diesel::sql_types::{BigInt, Text};
use headcount_core::provider::ProviderError;

use crate::pool::PoolState;
use crate::sql::Sql;
use crate::store::Store;

/// Rows of an answer: metrics of more would be of no use.
const MAX_ROWS: i64 = 2_000;

/// Resources of one kind, in one tenant or in all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceCount {
    /// The tenant's name; `None` for all tenants.
    pub tenant: Option<String>,
    /// The kind.
    pub kind: String,
    /// How many.
    pub amount: i64,
}

impl Store {
    /// Counts the resources of all tenants together by kind, without reading them.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`].
    pub fn resource_totals(&self) -> Result<Vec<ResourceCount>, ProviderError> {
        let rows: Vec<(String, i64)> =
            self.readers.read("resources are counted", |connection| {
                Sql::new(
                    "SELECT n.name, CAST(sum(c.amount) AS bigint) FROM resource_counts c \
                 JOIN names n ON n.id = c.kind GROUP BY n.name ORDER BY n.name",
                )
                .query::<(Text, BigInt)>()
                .load(connection)
            })?;
        let counts = rows.into_iter().map(|(kind, amount)| ResourceCount {
            tenant: None,
            kind: kind.trim_start_matches('/').to_owned(),
            amount,
        });
        Ok(counts.collect())
    }

    /// Counts the resources of each tenant by kind, without reading them.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`].
    pub fn resource_counts(&self) -> Result<Vec<ResourceCount>, ProviderError> {
        let rows: Vec<(String, String, i64)> =
            self.readers.read("resources are counted", |connection| {
                Sql::new(
                    "SELECT t.name, n.name, CAST(sum(c.amount) AS bigint) FROM resource_counts c \
                 JOIN tenants t ON t.id = c.tenant JOIN names n ON n.id = c.kind \
                 GROUP BY t.name, n.name ORDER BY t.name, n.name LIMIT ",
                )
                .int(MAX_ROWS)
                .query::<(Text, Text, BigInt)>()
                .load(connection)
            })?;
        let counts = rows.into_iter().map(|(tenant, kind, amount)| ResourceCount {
            tenant: Some(tenant),
            // The dictionary puts a slash before kinds, to distinguish them from paths.
            kind: kind.trim_start_matches('/').to_owned(),
            amount,
        });
        Ok(counts.collect())
    }

    /// Returns the state of the pool of connections; on SQLite, of the pool that reads.
    pub fn pool_state(&self) -> PoolState {
        self.readers.state()
    }
}
