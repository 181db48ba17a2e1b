//! Writes of many rows at once, for which each database has its own way. Diesel finds the prepared statements by
//! their type; a statement that it knows by its text is written out each time.

#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::connection::DbConnection;
use crate::log_rows::{Name, Request};
use crate::sql::Sql;

/// Links for rows, in the order of the rows' numbers.
pub(crate) struct Links<'a> {
    pub(crate) rows: &'a [i64],
    pub(crate) positions: Vec<i64>,
    pub(crate) hashes: Vec<String>,
    /// The code of each position and its hash.
    pub(crate) macs: Vec<String>,
}

/// Writes rows of the log.
pub(crate) fn insert_requests(
    connection: &mut DbConnection,
    rows: Vec<Request<'_>>,
) -> QueryResult<()> {
    match connection {
        #[cfg(feature = "postgres")]
        DbConnection::Postgres(one) => postgres::requests(one, rows),
        #[cfg(feature = "sqlite")]
        DbConnection::Sqlite(one) => sqlite::insert(one, &rows),
    }
}

/// Writes the names by which requests are found; none of the rows may exist.
pub(crate) fn insert_names(connection: &mut DbConnection, rows: Vec<Name>) -> QueryResult<()> {
    match connection {
        #[cfg(feature = "postgres")]
        DbConnection::Postgres(one) => postgres::names(one, rows),
        #[cfg(feature = "sqlite")]
        DbConnection::Sqlite(one) => sqlite::insert(one, &rows),
    }
}

/// Returns the next numbers of requests. No other writer gets them, and they are never used again.
pub(crate) fn request_numbers(
    connection: &mut DbConnection,
    count: usize,
) -> QueryResult<Vec<i64>> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    match connection {
        #[cfg(feature = "postgres")]
        DbConnection::Postgres(_) => {
            let next = "SELECT nextval(pg_get_serial_sequence('requests', 'seq')) FROM generate_series(1, ";
            Sql::new(next).int(count).text(")").query::<BigInt>().load(connection)
        }
        // SQLite has one writer at a time.
        #[cfg(feature = "sqlite")]
        DbConnection::Sqlite(_) => {
            let last = Sql::new("SELECT seq FROM sqlite_sequence WHERE name = 'requests'");
            let last: Vec<i64> = last.query::<BigInt>().load(connection)?;
            let last = last.first().copied().unwrap_or(0);
            Ok((last + 1..=last + count).collect())
        }
    }
}

/// Writes links of the chain to their rows.
pub(crate) fn sequence(connection: &mut DbConnection, links: Links<'_>) -> QueryResult<()> {
    match connection {
        #[cfg(feature = "postgres")]
        DbConnection::Postgres(one) => postgres::sequence(one, links),
        #[cfg(feature = "sqlite")]
        DbConnection::Sqlite(one) => sqlite::sequence(one, links),
    }
}
