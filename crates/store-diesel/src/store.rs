//! The store: opened once, shared by everything that reads or writes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use diesel::prelude::*;
use diesel::r2d2::Pool;
use headcount_core::ids::Kind;
use headcount_core::provider::ProviderError;
use headcount_core::work::Work;
use thiserror::Error as ThisError;

use crate::anchors::Anchors;
use crate::connection::{Backend, DatabaseUrl, DbConnection, Durability, Manager, create_private};
use crate::counted::Counted;
use crate::error::WriteError;
use crate::migrations::{self, SchemaState};
use crate::names::Names;
use crate::pool::{self, View};
use crate::sql::Sql;
use crate::write::{Lane, Writer};

/// Whether this was built to leave no record of changes, so that a benchmark can tell what the record
/// costs. No released binary is: the variable is read when the crate is compiled, and `serve` says so.
pub(crate) const UNRECORDED: bool = option_env!("HEADCOUNT_BENCH_UNRECORDED").is_some();

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the data is.
    pub url: DatabaseUrl,
    /// Connections of the pool; of SQLite, those that read.
    pub pool_size: u32,
    /// Whether statements are kept prepared. Off behind a pooler that does not know them.
    pub prepared_statements: bool,
    /// Whether this process is the one that serves the file: no second one may (SQLite).
    pub exclusive: bool,
    /// How long to wait for another process that writes (SQLite).
    pub busy: Duration,
    /// Documents that one query may visit.
    pub documents_visited: u64,
    /// How long one statement of a read may take; on PostgreSQL, any statement, and any wait for a lock.
    pub statement_limit: Duration,
    /// Writes that one commit carries at most (SQLite). Less than [`Settings::JOBS_PER_COMMIT`] is
    /// of use only to those who want to know what sharing a commit is worth.
    pub jobs_per_commit: usize,
}

impl Settings {
    /// Writes that one commit of a server carries at most (SQLite).
    pub const JOBS_PER_COMMIT: usize = 64;

    /// Returns the settings of a server for the database.
    pub fn serve(url: DatabaseUrl) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let pool_size = match url {
            DatabaseUrl::Sqlite(_) => u32::try_from(cores.max(2)).unwrap_or(2),
            DatabaseUrl::Postgres(_) => 16,
        };
        Self {
            url,
            pool_size,
            prepared_statements: true,
            exclusive: true,
            busy: Duration::from_secs(1),
            documents_visited: 200_000,
            statement_limit: Duration::from_secs(5),
            jobs_per_commit: Self::JOBS_PER_COMMIT,
        }
    }

    /// Returns the settings of a command beside a running server.
    pub fn command(url: DatabaseUrl) -> Self {
        Self { pool_size: 1, exclusive: false, busy: Duration::from_secs(5), ..Self::serve(url) }
    }
}

/// A kind whose resources the store keeps, and the paths it keeps rows for.
#[derive(Debug, Clone)]
pub struct KindPlan {
    /// The kind.
    pub kind: Kind,
    /// Paths of index rows and unique keys.
    pub paths: Vec<String>,
}

/// A store that could not be opened: one sentence for whoever started it.
#[derive(Debug, ThisError)]
pub enum OpenError {
    /// The file cannot be created or opened.
    #[error(
        "{path}: the database file cannot be opened ({cause}); check that the directory exists and may be written"
    )]
    File {
        /// The file.
        path: String,
        /// What the system said.
        cause: String,
    },
    /// Another server has the file.
    #[error(
        "{0}: another headcount serves this database file; stop it first, or choose another --database"
    )]
    Locked(String),
    /// The linked SQLite is too old.
    #[error(
        "SQLite {0} can lose commits in WAL mode; headcount needs 3.51.3 or newer (build with the bundled one)"
    )]
    OldSqlite(String),
    /// The server cannot be reached.
    #[error(
        "{url}: the database cannot be reached ({cause}); check address, user, password and sslmode"
    )]
    Connect {
        /// The database, without its password.
        url: String,
        /// What libpq said.
        cause: String,
    },
    /// The schema is not this release's.
    #[error("{0}")]
    Schema(String),
    /// Something else went wrong.
    #[error("the database could not be prepared: {0}")]
    Prepare(String),
}

/// Resources, tokens, tenants and changes on SQLite or PostgreSQL.
pub struct Store {
    pub(crate) readers: Pool<Manager>,
    pub(crate) writer: Writer,
    pub(crate) names: Names,
    pub(crate) documents_visited: u64,
    pub(crate) anchors: Anchors,
    pub(crate) counted: Counted,
    url: DatabaseUrl,
    /// Held for as long as the process serves the file.
    _lock: Option<File>,
}

impl Store {
    /// Opens the database, creating the file and the schema when there is nothing yet.
    ///
    /// `migrate` says what to do with the schema of an older release: bring it up to date, or refuse.
    ///
    /// # Errors
    ///
    /// [`OpenError`], as one sentence that says what to do.
    pub fn open(
        settings: &Settings,
        kinds: &[KindPlan],
        migrate: bool,
    ) -> Result<Arc<Self>, OpenError> {
        if UNRECORDED {
            tracing::error!("built for a benchmark: NO CHANGE IS RECORDED; use another binary");
        }
        let lock = prepare_file(settings)?;
        let manager = Manager {
            url: settings.url.clone(),
            read_only: false,
            prepared_statements: settings.prepared_statements,
            durability: Durability::Full,
            busy: settings.busy,
            limit: None,
        };
        let mut connection =
            manager.open().map_err(|error| connect_error(&settings.url, &error))?;
        if manager.backend() == Backend::Sqlite {
            check_library(&mut connection)?;
        }
        prepare_schema(&mut connection, migrate)?;
        drop(connection);
        let manager = Manager { limit: Some(settings.statement_limit), ..manager };
        let wait = Duration::from_secs(1);
        let backend = manager.backend();
        let (readers, writer) = match backend {
            Backend::Sqlite => {
                let readers = pool::make(
                    Manager { read_only: true, ..manager.clone() },
                    settings.pool_size,
                    wait,
                );
                (readers, Writer::Lane(Box::new(Lane::new(manager, settings.jobs_per_commit))))
            }
            Backend::Postgres => {
                let readers = pool::make(manager, settings.pool_size, wait);
                (readers.clone(), Writer::Pool(readers))
            }
        };
        let all: Vec<Kind> = kinds.iter().map(|plan| plan.kind.clone()).collect();
        let paths: Vec<String> = kinds.iter().flat_map(|plan| plan.paths.clone()).collect();
        let names = writer
            .write(&mut |connection| Names::extend(connection, &all, &paths))
            .map_err(|error| OpenError::Prepare(format!("{error:?}")))?;
        Ok(Arc::new(Self {
            readers,
            writer,
            names,
            documents_visited: settings.documents_visited,
            anchors: Anchors::new(backend),
            counted: Counted::default(),
            url: settings.url.clone(),
            _lock: lock,
        }))
    }

    /// Compares the schema of a database with this release, changing nothing.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn schema_state(settings: &Settings) -> Result<SchemaState, OpenError> {
        if let DatabaseUrl::Sqlite(path) = &settings.url
            && !path.exists()
        {
            return Ok(SchemaState::Empty);
        }
        let manager = Manager {
            url: settings.url.clone(),
            read_only: false,
            prepared_statements: settings.prepared_statements,
            durability: Durability::Full,
            busy: settings.busy,
            limit: None,
        };
        let mut connection =
            manager.open().map_err(|error| connect_error(&settings.url, &error))?;
        migrations::state(&mut connection).map_err(|error| OpenError::Prepare(error.to_string()))
    }

    /// Returns where the data is.
    pub fn url(&self) -> &DatabaseUrl {
        &self.url
    }

    /// Returns how many connections read at once.
    pub fn connections(&self) -> u32 {
        self.readers.max_size()
    }

    /// Tells whether the database answers, for readiness.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`].
    pub fn ping(&self) -> Result<(), ProviderError> {
        let probe = |connection: &mut DbConnection| {
            Sql::new("SELECT 1").query::<diesel::sql_types::Integer>().get_result(connection)
        };
        self.read("the database is asked whether it is there", probe).map(|_: i32| ())
    }

    /// Runs a read on a connection of the pool.
    pub(crate) fn read<T>(
        &self,
        what: &'static str,
        mut job: impl FnMut(&mut DbConnection) -> QueryResult<T>,
    ) -> Result<T, ProviderError> {
        let job = |connection: &mut DbConnection| job(connection).map_err(WriteError::Db);
        pool::read(&self.readers, (View::Statement, None), what, job)
    }

    /// Runs a read for a request, which ends with its work.
    pub(crate) fn read_for<T>(
        &self,
        work: &Work,
        what: &'static str,
        job: impl FnMut(&mut DbConnection) -> Result<T, WriteError>,
    ) -> Result<T, ProviderError> {
        pool::read(&self.readers, (View::Statement, Some(work)), what, job)
    }
}

fn prepare_file(settings: &Settings) -> Result<Option<File>, OpenError> {
    let DatabaseUrl::Sqlite(path) = &settings.url else {
        return Ok(None);
    };
    let file_error = |cause: std::io::Error| OpenError::File {
        path: path.display().to_string(),
        cause: cause.to_string(),
    };
    let lock = if settings.exclusive { Some(lock(path)?) } else { None };
    create_private(path).map_err(file_error)?;
    Ok(lock)
}

/// Takes the lock that says who serves the file; the system releases it when the process ends.
fn lock(path: &Path) -> Result<File, OpenError> {
    let lock_path = PathBuf::from(format!("{}-lock", path.display()));
    let file_error = |cause: std::io::Error| OpenError::File {
        path: path.display().to_string(),
        cause: cause.to_string(),
    };
    create_private(&lock_path).map_err(file_error)?;
    let file = File::options().write(true).open(&lock_path).map_err(file_error)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(OpenError::Locked(path.display().to_string()))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(file_error(error)),
    }
}

fn connect_error(url: &DatabaseUrl, error: &diesel::ConnectionError) -> OpenError {
    // The message may span lines; the first says what matters.
    let cause = error.to_string().lines().next().unwrap_or_default().trim().to_owned();
    match url {
        DatabaseUrl::Sqlite(path) => OpenError::File { path: path.display().to_string(), cause },
        DatabaseUrl::Postgres(_) => OpenError::Connect { url: url.to_string(), cause },
    }
}

/// The WAL of SQLite before 3.51.3 could lose a commit when a checkpoint met a reset.
const OLDEST_SQLITE: (u32, u32, u32) = (3, 51, 3);

fn check_library(connection: &mut DbConnection) -> Result<(), OpenError> {
    let version: String = Sql::new("SELECT sqlite_version()")
        .query::<diesel::sql_types::Text>()
        .get_result(connection)
        .map_err(|error| OpenError::Prepare(error.to_string()))?;
    let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    let found = (next(), next(), next());
    // Two older lines carry the correction.
    let corrected = matches!(found, (3, 44, 6..) | (3, 50, 7..));
    if found < OLDEST_SQLITE && !corrected { Err(OpenError::OldSqlite(version)) } else { Ok(()) }
}

fn prepare_schema(connection: &mut DbConnection, migrate: bool) -> Result<(), OpenError> {
    let failed =
        |error: Box<dyn std::error::Error + Send + Sync>| OpenError::Prepare(error.to_string());
    match migrations::state(connection).map_err(failed)? {
        SchemaState::Current => Ok(()),
        SchemaState::Empty => migrations::migrate(connection).map_err(failed),
        SchemaState::Behind(_) if migrate => migrations::migrate(connection).map_err(failed),
        SchemaState::Behind(missing) => Err(OpenError::Schema(format!(
            "the database needs {} more migration(s); run `headcount migrate`, or start the server, which does it",
            missing.len()
        ))),
        SchemaState::Ahead(unknown) => Err(OpenError::Schema(format!(
            "the database was made by a newer headcount (migration {}); use that release or a newer one",
            unknown.join(", ")
        ))),
    }
}
