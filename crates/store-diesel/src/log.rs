//! The provisioning log: on SQLite a file of its own, on PostgreSQL tables of its own.
//!
//! A failure of the log is never one of a request: the log is opened when it is first needed, and a full disk
//! loses records, not requests.

mod erase;
mod names;
mod prune;
mod read;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use headcount_core::ids::{RequestId, TokenId};
use headcount_core::provider::{ProviderError, Source};
use headcount_records::RequestRecord;

use crate::batch;
use crate::connection::{
    Backend, DatabaseUrl, DbConnection, Durability, Manager, begin_relaxed, create_private,
};
use crate::error::provider_error;
use crate::log_rows::{Request, clean, key};
use crate::migrations;
use crate::pool::{PoolState, Readers};
use crate::sql::Sql;
use crate::store::Settings;

/// Connections that read the log.
const MAX_READERS: u32 = 2;
/// How long a read waits for one of them.
const READ_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a write waits for another process that writes (SQLite).
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Keeps requests and their replies.
pub struct LogStore {
    manager: Manager,
    readers: Readers,
    /// The connection that writes, once it was needed.
    writer: Mutex<Option<DbConnection>>,
    /// Whether this process serves: a command that reads makes no file.
    serves: bool,
}

impl LogStore {
    /// Returns the log of a database; nothing is opened yet.
    pub fn new(settings: &Settings) -> Self {
        let url = match &settings.url {
            DatabaseUrl::Sqlite(path) => DatabaseUrl::Sqlite(log_file(path)),
            postgres @ DatabaseUrl::Postgres(_) => postgres.clone(),
        };
        let manager = Manager {
            url,
            read_only: false,
            prepared_statements: settings.prepared_statements,
            durability: Durability::Later,
            busy: BUSY_TIMEOUT,
            limit: Some(settings.statement_limit),
        };
        let reading = Manager { read_only: true, ..manager.clone() };
        let readers = Readers::new(reading, MAX_READERS, READ_TIMEOUT);
        Self { manager, readers, writer: Mutex::new(None), serves: settings.exclusive }
    }

    /// Returns whether there is no log yet, and this process must not make one.
    pub(crate) fn is_absent(&self) -> bool {
        match &self.manager.url {
            DatabaseUrl::Sqlite(path) => !self.serves && !path.exists(),
            DatabaseUrl::Postgres(_) => false,
        }
    }

    /// Returns the connection that writes, if it is open.
    fn writer(&self) -> MutexGuard<'_, Option<DbConnection>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a write in a transaction of its own.
    pub(crate) fn write<T>(
        &self,
        what: &'static str,
        job: impl FnOnce(&mut DbConnection) -> QueryResult<T>,
    ) -> Result<T, ProviderError> {
        let mut slot = self.writer();
        let mut connection = match slot.take() {
            Some(connection) => connection,
            None => self.open()?,
        };
        // After an error the connection may be in any state: it is dropped, and the next write opens another.
        let value = commit(&mut connection, &begin_relaxed(&self.manager), job)
            .map_err(|error| provider_error(what, error))?;
        *slot = Some(connection);
        Ok(value)
    }

    /// Opens the log, making its file when there is none.
    fn open(&self) -> Result<DbConnection, ProviderError> {
        if let DatabaseUrl::Sqlite(path) = &self.manager.url {
            create_private(path).map_err(unavailable)?;
        }
        let mut connection = self.manager.open().map_err(unavailable)?;
        migrations::migrate_log(&mut connection).map_err(unavailable)?;
        Ok(connection)
    }

    /// Returns the connections that read, after making sure that there is a log to read.
    pub(crate) fn readers(&self) -> Result<&Readers, ProviderError> {
        // On PostgreSQL the log is tables of the database, which are there since it was opened.
        if self.manager.backend() == Backend::Sqlite {
            let mut slot = self.writer();
            if slot.is_none() {
                *slot = Some(self.open()?);
            }
        }
        Ok(&self.readers)
    }

    /// Returns the state of the pool of connections that read.
    pub fn pool_state(&self) -> PoolState {
        self.readers.state()
    }

    fn append_all(&self, records: &[RequestRecord]) -> Result<(), ProviderError> {
        self.write("the provisioning log is written", |connection| {
            let numbers = batch::request_numbers(connection, records.len())?;
            let rows = records.iter().zip(&numbers).map(|(record, seq)| Request::of(*seq, record));
            batch::insert_requests(connection, rows.collect())?;
            names::insert(connection, records, &numbers)?;
            count_quirks(connection, records)
        })
    }

    fn add_all_unkept(&self, counts: &[(RequestId, u64)]) -> Result<(), ProviderError> {
        self.write("requests that are not kept are counted", |connection| {
            for (request, count) in counts {
                Sql::new("UPDATE requests SET unkept = unkept + ")
                    .int(i64::try_from(*count).unwrap_or(i64::MAX))
                    .text(" WHERE seq = (SELECT max(seq) FROM requests WHERE request = ")
                    .string(clean(request.as_str()))
                    .text(" AND stranger <> 0)")
                    .query::<()>()
                    .execute(connection)?;
            }
            Ok(())
        })
    }
}

/// Runs a job in a transaction.
fn commit<T>(
    connection: &mut DbConnection,
    begin: &str,
    job: impl FnOnce(&mut DbConnection) -> QueryResult<T>,
) -> QueryResult<T> {
    connection.batch_execute(begin)?;
    let value = job(connection)?;
    connection.batch_execute("COMMIT")?;
    Ok(value)
}

fn unavailable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ProviderError {
    let reason = error.into().to_string();
    ProviderError::Unavailable(Source::new("the provisioning log is opened", reason))
}

/// Returns the file of the log, next to the file of the data: `headcount-log.db` for `headcount.db`.
pub fn log_file(path: &Path) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = match path.extension() {
        Some(extension) => format!("{stem}-log.{}", extension.to_string_lossy()),
        None => format!("{stem}-log"),
    };
    path.with_file_name(name)
}

/// Adds the repairs of some records to the counters of their tokens.
fn count_quirks(connection: &mut DbConnection, records: &[RequestRecord]) -> QueryResult<()> {
    let mut counts: BTreeMap<(i64, &TokenId, &str), (i64, i64)> = BTreeMap::new();
    for record in records {
        let Some(token) = &record.token else { continue };
        for quirk in record.quirks.iter() {
            let count = counts.entry((key(record.tenant), token, quirk.name)).or_default();
            *count = (count.0 + 1, count.1.max(record.at.micros()));
        }
    }
    for ((tenant, token, quirk), (amount, last)) in counts {
        Sql::new("INSERT INTO quirk_counts (tenant, token, quirk, amount, last) VALUES (")
            .int(tenant)
            .text(", ")
            .string(token.as_str())
            .text(", ")
            .string(quirk)
            .text(", ")
            .int(amount)
            .text(", ")
            .int(last)
            .text(
                ") ON CONFLICT (tenant, token, quirk) DO UPDATE SET \
                 amount = quirk_counts.amount + excluded.amount, last = excluded.last",
            )
            .query::<()>()
            .execute(connection)?;
    }
    Ok(())
}
