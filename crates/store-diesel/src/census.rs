//! How many there are of what, for metrics.

use diesel::sql_types::{BigInt, Text};
use headcount_core::provider::ProviderError;

use crate::log::LogStore;
use crate::sql::Sql;
use crate::store::Store;

/// Rows of the census, at most.
const MOST: i64 = 2_000;

/// Resources of one kind in one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// The tenant's name.
    pub tenant: String,
    /// The kind.
    pub kind: String,
    /// How many.
    pub amount: i64,
}

/// The connections of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolState {
    /// Those that are open.
    pub open: u32,
    /// Those of them that nobody uses.
    pub idle: u32,
}

impl Store {
    /// Counts the resources of all tenants by kind, without reading them.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`].
    pub fn census(&self) -> Result<Vec<Counted>, ProviderError> {
        let rows: Vec<(String, String, i64)> =
            self.read("resources are counted", |connection| {
                Sql::new(
                    "SELECT t.name, n.name, CAST(sum(c.amount) AS bigint) FROM resource_counts c \
                 JOIN tenants t ON t.id = c.tenant JOIN names n ON n.id = c.kind \
                 GROUP BY t.name, n.name ORDER BY t.name, n.name LIMIT ",
                )
                .int(MOST)
                .query::<(Text, Text, BigInt)>()
                .load(connection)
            })?;
        // A slash before its name tells a kind from a path.
        let counted = |(tenant, kind, amount): (String, String, i64)| Counted {
            tenant,
            kind: kind.trim_start_matches('/').to_owned(),
            amount,
        };
        Ok(rows.into_iter().map(counted).collect())
    }

    /// Returns how the pool of connections stands; on SQLite, that of the readers.
    pub fn pool_state(&self) -> PoolState {
        let state = self.readers.state();
        PoolState { open: state.connections, idle: state.idle_connections }
    }
}

impl LogStore {
    /// Returns how the pool of connections that read the log stands.
    pub fn pool_state(&self) -> PoolState {
        let state = self.readers.state();
        PoolState { open: state.connections, idle: state.idle_connections }
    }
}
