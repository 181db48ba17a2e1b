//! The store: opened once, shared by everything that reads or writes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use diesel::QueryResult;
use diesel::sql_types::{Integer, Text};
use headcount_core::ids::Kind;
use headcount_core::provider::ProviderError;
use headcount_records::mac::MacKeys;
use headcount_token_admin::StoreError;
use thiserror::Error as ThisError;

use crate::connection::{Backend, DatabaseUrl, DbConnection, Durability, Manager, create_private};
use crate::count_cache::CountCache;
use crate::dictionary::Dictionary;
use crate::error::{WriteError, admin_error, own_error};
use crate::migrations::{self, SchemaState};
use crate::offset_cache::OffsetCache;
use crate::pool::Readers;
use crate::protection::Protection;
use crate::sql::Sql;
use crate::write::{GroupCommit, Writer};

/// Whether this was built with the feature `unrecorded`, for a benchmark: then no change is recorded.
pub const UNRECORDED: bool = cfg!(feature = "unrecorded");

/// How long a request waits for a connection of the pool.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(1);

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
    /// Writes that one commit carries at most (SQLite). Less than [`Settings::JOBS_PER_COMMIT`] only serves to
    /// measure what sharing a commit is worth.
    pub jobs_per_commit: usize,
    /// The keys that authenticate changes; without them, one in the database.
    pub mac_keys: Option<MacKeys>,
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
            mac_keys: None,
        }
    }

    /// Returns the settings of a command next to a running server.
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

/// What is done with the schema of an older release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OlderSchema {
    /// It is brought up to date.
    Migrate,
    /// It is refused.
    Refuse,
}

/// Why a store could not be opened, as one sentence that names what to change.
#[derive(Debug, ThisError)]
pub enum OpenError {
    /// The file cannot be created or opened.
    #[error(
        "{path}: the database file cannot be opened ({cause}); check that the directory exists and may be written"
    )]
    File {
        /// The file.
        path: String,
        /// The error of the system.
        cause: String,
    },
    /// There is no database, and this is not what makes one.
    #[error(
        "there is no database at {0}; run it where `headcount serve` runs, or give --database or --config"
    )]
    Missing(String),
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
        /// The error of libpq.
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
    pub(crate) readers: Readers,
    pub(crate) writer: Writer,
    pub(crate) dictionary: Dictionary,
    pub(crate) documents_visited: u64,
    pub(crate) offsets: OffsetCache,
    pub(crate) count_cache: CountCache,
    pub(crate) protection: Protection,
    url: DatabaseUrl,
    /// Held for as long as the process serves the file.
    _lock: Option<File>,
}

impl Store {
    /// Opens the database.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open(
        settings: &Settings,
        kinds: &[KindPlan],
        older: OlderSchema,
    ) -> Result<Arc<Self>, OpenError> {
        if UNRECORDED {
            tracing::error!(
                "built with `unrecorded`, for a benchmark: NO CHANGE IS RECORDED; use another binary"
            );
        }
        let lock = prepare_file(settings, older)?;
        let manager = manager(settings);
        let mut connection =
            manager.open().map_err(|error| connect_error(&settings.url, &error))?;
        if manager.backend() == Backend::Sqlite {
            check_library(&mut connection)?;
        }
        prepare_schema(&settings.url, &mut connection, older)?;
        drop(connection);
        let manager = Manager { limit: Some(settings.statement_limit), ..manager };
        let backend = manager.backend();
        let (readers, writer) = match backend {
            Backend::Sqlite => {
                let reading = Manager { read_only: true, ..manager.clone() };
                let readers = Readers::new(reading, settings.pool_size, CONNECTION_TIMEOUT);
                (
                    readers,
                    Writer::Group(Box::new(GroupCommit::new(manager, settings.jobs_per_commit))),
                )
            }
            Backend::Postgres => {
                let readers = Readers::new(manager, settings.pool_size, CONNECTION_TIMEOUT);
                let writer = Writer::Pool(readers.pool());
                (readers, writer)
            }
        };
        let all: Vec<Kind> = kinds.iter().map(|plan| plan.kind.clone()).collect();
        let paths: Vec<String> = kinds.iter().flat_map(|plan| plan.paths.clone()).collect();
        let dictionary = writer
            .write(&mut |connection| Dictionary::extend(connection, &all, &paths))
            .map_err(|error| OpenError::Prepare(format!("{error:?}")))?;
        let protection = writer
            .write(&mut |connection| Protection::prepare(connection, settings.mac_keys.as_ref()))
            .map_err(|error| OpenError::Prepare(format!("{error:?}")))?;
        Ok(Arc::new(Self {
            readers,
            writer,
            dictionary,
            documents_visited: settings.documents_visited,
            offsets: OffsetCache::new(backend),
            count_cache: CountCache::default(),
            protection,
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
        let mut connection =
            manager(settings).open().map_err(|error| connect_error(&settings.url, &error))?;
        migrations::state(&mut connection).map_err(|error| OpenError::Prepare(error.to_string()))
    }

    /// Returns the keys that authenticate changes.
    pub(crate) fn keys(&self) -> &MacKeys {
        &self.protection.keys
    }

    /// Returns where the data is.
    pub fn url(&self) -> &DatabaseUrl {
        &self.url
    }

    /// Returns how many connections read at once.
    pub fn connections(&self) -> u32 {
        self.readers.size()
    }

    /// Asks the database for an answer, for readiness.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`].
    pub fn ping(&self) -> Result<(), ProviderError> {
        self.readers.read("the database is pinged", |connection| {
            Sql::new("SELECT 1").query::<Integer>().get_result::<i32>(connection).map(drop)
        })
    }

    /// Runs a write of the store's own.
    pub(crate) fn write<T>(
        &self,
        what: &'static str,
        mut job: impl FnMut(&mut DbConnection) -> Result<T, WriteError>,
    ) -> Result<T, ProviderError> {
        self.writer.write(&mut job).map_err(|error| own_error(what, error))
    }

    /// Runs a write of administration.
    pub(crate) fn write_admin<T>(
        &self,
        mut job: impl FnMut(&mut DbConnection) -> Result<T, WriteError>,
    ) -> Result<T, StoreError> {
        self.writer.write(&mut job).map_err(admin_error)
    }

    /// Runs a read of administration.
    pub(crate) fn read_admin<T>(
        &self,
        what: &'static str,
        job: impl FnMut(&mut DbConnection) -> QueryResult<T>,
    ) -> Result<T, StoreError> {
        self.readers.read(what, job).map_err(|error| StoreError::Unavailable(error.into()))
    }
}

/// How the connection that writes is opened, without limits: migrations take as long as they need.
fn manager(settings: &Settings) -> Manager {
    Manager {
        url: settings.url.clone(),
        read_only: false,
        prepared_statements: settings.prepared_statements,
        durability: Durability::Full,
        busy: settings.busy,
        limit: None,
    }
}

/// Makes the error of a database that is not there.
fn missing(url: &DatabaseUrl) -> OpenError {
    match url {
        // A name alone does not show where it was looked for.
        DatabaseUrl::Sqlite(path) if path.parent() == Some(Path::new("")) => {
            OpenError::Missing(format!("./{}", path.display()))
        }
        DatabaseUrl::Sqlite(path) => OpenError::Missing(path.display().to_string()),
        DatabaseUrl::Postgres(_) => OpenError::Schema(format!(
            "{url}: there are no tables yet; start `headcount serve`, run `headcount migrate`, or give another --database"
        )),
    }
}

/// Creates the file of SQLite, if that is wanted, and takes its lock for a process that serves it.
fn prepare_file(settings: &Settings, older: OlderSchema) -> Result<Option<File>, OpenError> {
    let DatabaseUrl::Sqlite(path) = &settings.url else {
        return Ok(None);
    };
    if older == OlderSchema::Refuse && !path.exists() {
        return Err(missing(&settings.url));
    }
    let lock = if settings.exclusive { Some(lock(path)?) } else { None };
    create_private(path).map_err(|error| file_error(path, &error))?;
    Ok(lock)
}

fn file_error(path: &Path, cause: &std::io::Error) -> OpenError {
    OpenError::File { path: path.display().to_string(), cause: cause.to_string() }
}

/// Takes the lock that only the process that serves the file holds; the system releases it when that ends.
fn lock(path: &Path) -> Result<File, OpenError> {
    let lock_path = PathBuf::from(format!("{}-lock", path.display()));
    create_private(&lock_path).map_err(|error| file_error(path, &error))?;
    let file = File::options().write(true).open(&lock_path);
    let file = file.map_err(|error| file_error(path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(OpenError::Locked(path.display().to_string()))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(file_error(path, &error)),
    }
}

fn connect_error(url: &DatabaseUrl, error: &diesel::ConnectionError) -> OpenError {
    // The message may have several lines; the first one is enough.
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
        .query::<Text>()
        .get_result(connection)
        .map_err(|error| OpenError::Prepare(error.to_string()))?;
    let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
    let [major, minor, patch] = std::array::from_fn(|_| numbers.next().unwrap_or(0));
    let found = (major, minor, patch);
    // Two older release lines have the correction, too.
    let corrected = matches!(found, (3, 44, 6..) | (3, 50, 7..));
    if found < OLDEST_SQLITE && !corrected { Err(OpenError::OldSqlite(version)) } else { Ok(()) }
}

fn prepare_schema(
    url: &DatabaseUrl,
    connection: &mut DbConnection,
    older: OlderSchema,
) -> Result<(), OpenError> {
    let state = migrations::state(connection);
    match state.map_err(|error| OpenError::Prepare(error.to_string()))? {
        SchemaState::Current => Ok(()),
        SchemaState::Behind(missing) if older == OlderSchema::Refuse => {
            Err(OpenError::Schema(format!(
                "the database needs {} more migration(s); run `headcount migrate`, or start the server, which does it",
                missing.len()
            )))
        }
        SchemaState::Empty if older == OlderSchema::Refuse => Err(missing(url)),
        SchemaState::Empty | SchemaState::Behind(_) => {
            migrations::migrate(connection).map_err(|error| OpenError::Prepare(error.to_string()))
        }
        SchemaState::Ahead(unknown) => Err(OpenError::Schema(format!(
            "the database was made by a newer headcount (migration {}); use that release or a newer one",
            unknown.join(", ")
        ))),
    }
}
