//! The provisioning log: on SQLite a file of its own, on PostgreSQL tables of its own.
//!
//! Whatever goes wrong here stays here: the log is opened when it is first needed, and a full disk
//! loses records, never a request.

mod names;
mod prune;
mod read;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::Pool;
use headcount_core::ids::{RequestId, TenantId, TokenId};
use headcount_core::provider::{ProviderError, Source};
use headcount_records::RequestRecord;

use crate::batch;
use crate::connection::{
    Backend, DatabaseUrl, DbConnection, Durability, Manager, begin_relaxed, create_private,
    unlimited,
};
use crate::error::provider_error;
use crate::log_rows::{Request, clean, key};
use crate::migrations;
use crate::pool;
use crate::sql::Sql;
use crate::store::Settings;

/// Connections that read the log.
const READERS: u32 = 2;

/// Keeps what was asked and answered.
pub struct LogStore {
    manager: Manager,
    pub(crate) readers: Pool<Manager>,
    /// The connection that writes, once it was needed.
    writer: Mutex<Option<DbConnection>>,
}

impl LogStore {
    /// Says where the log is; nothing is opened yet.
    pub fn new(settings: &Settings) -> Self {
        let url = match &settings.url {
            DatabaseUrl::Sqlite(path) => DatabaseUrl::Sqlite(beside(path)),
            postgres @ DatabaseUrl::Postgres(_) => postgres.clone(),
        };
        let manager = Manager {
            url,
            read_only: false,
            prepared_statements: settings.prepared_statements,
            durability: Durability::Later,
            busy: Duration::from_secs(2),
            limit: Some(settings.statement_limit),
        };
        let reading = Manager { read_only: true, ..manager.clone() };
        let readers = pool::make(reading, READERS, Duration::from_secs(1));
        Self { manager, readers, writer: Mutex::new(None) }
    }

    /// The connection that writes, as far as there is one.
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
        let begun = connection.batch_execute(&begin_relaxed(&self.manager));
        let done = begun.and_then(|()| {
            let value = job(&mut connection)?;
            connection.batch_execute("COMMIT")?;
            Ok(value)
        });
        match done {
            Ok(value) => {
                *slot = Some(connection);
                Ok(value)
            }
            // The next write opens a connection of its own: this one may be in any state.
            Err(error) => Err(provider_error(what, error)),
        }
    }

    /// Opens the log, making its file when there is none.
    fn open(&self) -> Result<DbConnection, ProviderError> {
        const WHAT: &str = "the provisioning log is opened";
        let unavailable = |error: String| ProviderError::Unavailable(Source::new(WHAT, error));
        if let DatabaseUrl::Sqlite(path) = &self.manager.url {
            create_private(path).map_err(|error| unavailable(error.to_string()))?;
        }
        let mut connection = self.manager.open().map_err(|error| unavailable(error.to_string()))?;
        migrations::migrate_log(&mut connection).map_err(|error| unavailable(error.to_string()))?;
        Ok(connection)
    }

    /// Makes sure that there is a log to read.
    fn prepare(&self) -> Result<(), ProviderError> {
        if self.manager.backend() == Backend::Postgres {
            return Ok(());
        }
        let mut slot = self.writer();
        if slot.is_none() {
            *slot = Some(self.open()?);
        }
        Ok(())
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

    fn erase_all(&self, tenant: TenantId, names: &[String]) -> Result<usize, ProviderError> {
        self.write("somebody is erased from the provisioning log", |connection| {
            unlimited(connection)?;
            let mut count = 0;
            for (bucket, rows) in names::find(connection, tenant, names)? {
                let requests = Sql::new("DELETE FROM requests WHERE seq IN (").ints(&rows);
                count += requests.text(")").query::<()>().execute(connection)?;
                let found = Sql::new("DELETE FROM request_names WHERE bucket = ").int(bucket);
                let found = found.text(" AND seq IN (").ints(&rows).text(")");
                found.query::<()>().execute(connection)?;
            }
            Ok(count)
        })
    }

    fn forget_all(&self, tenant: TenantId) -> Result<(), ProviderError> {
        self.write("a tenant is taken out of the provisioning log", |connection| {
            unlimited(connection)?;
            for sql in [
                "DELETE FROM request_names WHERE tenant = ",
                "DELETE FROM requests WHERE tenant = ",
                "DELETE FROM quirk_counts WHERE tenant = ",
            ] {
                Sql::new(sql).int(tenant.key()).query::<()>().execute(connection)?;
            }
            Ok(())
        })
    }
}

/// The file of the log beside the file of the data: `headcount-log.db` beside `headcount.db`.
fn beside(path: &Path) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = match path.extension() {
        Some(extension) => format!("{stem}-log.{}", extension.to_string_lossy()),
        None => format!("{stem}-log"),
    };
    path.with_file_name(name)
}

/// Adds the repairs of some records to the counters of their tokens.
fn count_quirks(connection: &mut DbConnection, records: &[RequestRecord]) -> QueryResult<()> {
    let mut counts: std::collections::BTreeMap<(i64, &TokenId, &str), (i64, i64)> =
        std::collections::BTreeMap::new();
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
