//! Connections: which database a URL means, how one is opened, and what is set on it.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::{Connection as _, QueryResult};
use headcount_records::MaskedUrl;
use thiserror::Error as ThisError;

use crate::watch::Watch;
#[cfg(feature = "sqlite")]
use crate::watch::install;

/// A connection to either database.
#[derive(diesel::MultiConnection)]
pub(crate) enum DbConnection {
    #[cfg(feature = "postgres")]
    Postgres(diesel::PgConnection),
    #[cfg(feature = "sqlite")]
    Sqlite(diesel::SqliteConnection),
}

/// Runs a query on the database itself.
///
/// A query that goes through [`DbConnection`] is written out as text each time to find its prepared statement; on
/// the connection of one database the statement is found by its type. For queries that every request runs.
macro_rules! with_backend {
    ($connection:expr, |$one:ident| $query:expr) => {
        match $connection {
            #[cfg(feature = "postgres")]
            $crate::connection::DbConnection::Postgres($one) => $query,
            #[cfg(feature = "sqlite")]
            $crate::connection::DbConnection::Sqlite($one) => $query,
        }
    };
}
pub(crate) use with_backend;

/// Which of the two databases a connection or a store works with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

impl DbConnection {
    pub(crate) fn backend(&self) -> Backend {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => Backend::Postgres,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => Backend::Sqlite,
        }
    }
}

/// Where the data is.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A file of an embedded SQLite.
    Sqlite(PathBuf),
    /// A PostgreSQL server, by a libpq URL. Printed without anything that could be secret.
    Postgres(String),
}

/// A text that is not the URL of a database. It is not repeated: it may contain a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ThisError)]
#[error(
    "the database must be sqlite:FILE or postgres://USER@HOST/NAME; write a password's special characters in \
     percent-encoding, such as %2F for a slash"
)]
pub struct UrlError;

impl DatabaseUrl {
    /// Reads `sqlite:FILE` or a `postgres://` URL. Anything else is an error, never a new file.
    ///
    /// # Errors
    ///
    /// [`UrlError`].
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if !path.is_empty() && !path.starts_with(':') {
                return Ok(Self::Sqlite(PathBuf::from(path)));
            }
        }
        // What is not certain does not get to libpq either, whose errors repeat what it cannot read.
        let is_postgres =
            ["postgres://", "postgresql://"].iter().any(|begin| text.starts_with(begin));
        if is_postgres && MaskedUrl::parse(text).is_some() {
            return Ok(Self::Postgres(text.to_owned()));
        }
        Err(UrlError)
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => {
                let path = path.to_string_lossy();
                // Not a path, but a URL behind the wrong prefix.
                if path.contains("://") || (path.contains('@') && path.contains(':')) {
                    return f.write_str("sqlite:(not shown)");
                }
                write!(f, "sqlite:{path}")
            }
            Self::Postgres(url) => match MaskedUrl::parse(url) {
                Some(url) => fmt::Display::fmt(&url, f),
                None => f.write_str("postgres:(not shown)"),
            },
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How connections are opened.
#[derive(Debug, Clone)]
pub(crate) struct Manager {
    pub(crate) url: DatabaseUrl,
    /// SQLite readers cannot write, whatever a query is.
    pub(crate) read_only: bool,
    pub(crate) prepared_statements: bool,
    /// What of SQLite's durability is needed.
    pub(crate) durability: Durability,
    /// How long SQLite waits for another process that writes.
    pub(crate) busy: Duration,
    /// How long a statement may take, and wait for a lock on PostgreSQL. None for migrations.
    pub(crate) limit: Option<Duration>,
}

/// When a commit of SQLite is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Before it is acknowledged.
    Full,
    /// A moment later; a crash may lose the last ones, never more.
    Later,
}

impl Manager {
    pub(crate) fn backend(&self) -> Backend {
        match self.url {
            DatabaseUrl::Sqlite(_) => Backend::Sqlite,
            DatabaseUrl::Postgres(_) => Backend::Postgres,
        }
    }

    /// Opens one connection.
    pub(crate) fn open(&self) -> Result<DbConnection, diesel::ConnectionError> {
        // Nothing ends a write of SQLite.
        self.open_watched(&Watch::new(None))
    }

    /// Opens one connection; on SQLite, the watch ends its statements.
    pub(crate) fn open_watched(
        &self,
        watch: &Watch,
    ) -> Result<DbConnection, diesel::ConnectionError> {
        let wrong = diesel::ConnectionError::CouldntSetupConfiguration;
        match &self.url {
            #[cfg(feature = "sqlite")]
            DatabaseUrl::Sqlite(path) => {
                let mode = if self.read_only { "ro" } else { "rw" };
                let uri = format!("file:{}?mode={mode}", escape_uri(path));
                let mut connection = diesel::SqliteConnection::establish(&uri)?;
                let pragmas = match (self.read_only, self.durability) {
                    (true, _) => READER,
                    (false, Durability::Full) => WRITER,
                    (false, Durability::Later) => LOG_WRITER,
                };
                let pragmas = format!("PRAGMA busy_timeout = {}; {pragmas}", self.busy.as_millis());
                connection.batch_execute(&pragmas).map_err(wrong)?;
                install(&mut connection, watch).map_err(wrong)?;
                Ok(DbConnection::Sqlite(connection))
            }
            #[cfg(feature = "postgres")]
            DatabaseUrl::Postgres(url) => {
                let mut connection = diesel::PgConnection::establish(url)?;
                if !self.prepared_statements {
                    connection
                        .set_prepared_statement_cache_size(diesel::connection::CacheSize::Disabled);
                } else if let Some(limit) = self.limit {
                    connection.batch_execute(&limits("SET", limit)).map_err(wrong)?;
                }
                Ok(DbConnection::Postgres(connection))
            }
            #[cfg(not(all(feature = "sqlite", feature = "postgres")))]
            other => Err(diesel::ConnectionError::BadConnection(format!(
                "this headcount was built without support for {other}"
            ))),
        }
    }

    /// Returns the statement that begins a transaction with the limits of its statements.
    ///
    /// A session of one's own has them already, but a pooler may give each transaction another session.
    pub(crate) fn begin<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.limit {
            Some(limit) if self.backend() == Backend::Postgres => {
                Cow::Owned(format!("{text}; {}", limits("SET LOCAL", limit)))
            }
            Some(_) | None => Cow::Borrowed(text),
        }
    }
}

/// Sets how long a statement of PostgreSQL may take, how long it may wait for a lock, and how long a transaction
/// may hold its locks while nothing comes from this process.
fn limits(set: &'static str, limit: Duration) -> String {
    // Zero would mean no limit, and PostgreSQL takes no more than 31 bits.
    let limit = limit.as_millis().clamp(1, MAX_TIMEOUT_MILLIS);
    format!(
        "{set} statement_timeout = {limit}; {set} lock_timeout = {limit}; \
         {set} idle_in_transaction_session_timeout = {}",
        IDLE_TIMEOUT.as_millis()
    )
}

/// The longest timeout of PostgreSQL, in milliseconds: 24 days.
const MAX_TIMEOUT_MILLIS: u128 = 2_147_483_647;

/// How long a transaction of PostgreSQL may be idle: none is on purpose, and one whose process is stuck or cut off
/// must not hold its locks forever.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Lets the statements of the open transaction take as long as they need, for the server's own work that grows with
/// the data. They still wait for locks no longer than others.
pub(crate) fn lift_limits(connection: &mut DbConnection) -> QueryResult<()> {
    match connection {
        #[cfg(feature = "sqlite")]
        DbConnection::Sqlite(_) => Ok(()),
        #[cfg(feature = "postgres")]
        DbConnection::Postgres(connection) => {
            connection.batch_execute("SET LOCAL statement_timeout = 0")
        }
    }
}

/// The settings of the connection that writes. FULL: a commit is on disk before it is acknowledged. No memory map:
/// every connection would map the whole file. What is deleted is overwritten: erased people must not stay in the file.
const WRITER: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; \
    PRAGMA foreign_keys = ON; PRAGMA mmap_size = 0; PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY; \
    PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 67108864; PRAGMA trusted_schema = OFF;";
/// The log gives space back when it is pruned. A row of it is as long as the bodies of a request: a large page
/// fits several, and wastes less space between them.
const LOG_WRITER: &str = "PRAGMA page_size = 16384; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; \
    PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON; PRAGMA mmap_size = 0; PRAGMA cache_size = -8192; \
    PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 1000; PRAGMA journal_size_limit = 16777216; PRAGMA trusted_schema = OFF;";
const READER: &str = "PRAGMA mmap_size = 0; PRAGMA cache_size = -8192; \
    PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;";

/// Escapes the characters that have a meaning in a file URI.
#[cfg(feature = "sqlite")]
fn escape_uri(path: &Path) -> String {
    path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23")
}

/// Returns the statement for how many bytes the provisioning log takes.
pub(crate) fn log_bytes(connection: &DbConnection) -> &'static str {
    match connection {
        #[cfg(feature = "sqlite")]
        DbConnection::Sqlite(_) => {
            "SELECT (p.page_count - f.freelist_count) * s.page_size FROM pragma_page_count() p, \
             pragma_freelist_count() f, pragma_page_size() s"
        }
        // Deleted rows are still in the files; their space is reused.
        #[cfg(feature = "postgres")]
        DbConnection::Postgres(_) => {
            "SELECT coalesce(sum(pg_total_relation_size(relid) * n_live_tup / \
             greatest(n_live_tup + n_dead_tup, 1)), 0)::bigint FROM pg_stat_user_tables \
             WHERE relname IN ('requests', 'request_names')"
        }
    }
}

/// Returns space that the log no longer needs to the file system; PostgreSQL does so by itself.
pub(crate) fn give_back(connection: &mut DbConnection) -> QueryResult<()> {
    match connection {
        #[cfg(feature = "sqlite")]
        DbConnection::Sqlite(connection) => {
            connection.batch_execute("PRAGMA incremental_vacuum(2000)")
        }
        #[cfg(feature = "postgres")]
        DbConnection::Postgres(_) => Ok(()),
    }
}

/// Returns the statement that begins a transaction that a crash may lose.
pub(crate) fn begin_relaxed(manager: &Manager) -> Cow<'static, str> {
    match manager.backend() {
        Backend::Sqlite => Cow::Borrowed("BEGIN IMMEDIATE"),
        Backend::Postgres => manager.begin("BEGIN; SET LOCAL synchronous_commit = off"),
    }
}

/// Returns the statement that begins a transaction of the log that a crash does not lose.
pub(crate) fn begin_durable(manager: &Manager) -> Cow<'static, str> {
    match manager.backend() {
        Backend::Sqlite => Cow::Borrowed("PRAGMA synchronous = FULL; BEGIN IMMEDIATE"),
        Backend::Postgres => manager.begin("BEGIN; SET LOCAL synchronous_commit = on"),
    }
}

/// Returns what follows such a transaction: SQLite also empties the log of its writes, where removed rows still are.
pub(crate) fn end_durable(manager: &Manager) -> &'static str {
    match manager.backend() {
        Backend::Sqlite => "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA synchronous = NORMAL",
        Backend::Postgres => "SELECT 1",
    }
}

/// Creates the file with access for its owner only; SQLite gives its side files the same mode.
pub(crate) fn create_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::metadata(parent)?;
    }
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(_) => adopt_owner(path),
    }
}

/// Gives a new file to the owner of its directory.
///
/// A command that root runs next to a server of another user would otherwise leave files that the server cannot
/// open. Nobody but root can give files away, so that for every other user this does nothing.
///
/// # Errors
///
/// Those of the system.
pub fn adopt_owner(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = std::fs::metadata(parent.unwrap_or(Path::new(".")))?;
    if std::fs::metadata(path)?.uid() == 0 && directory.uid() != 0 {
        std::os::unix::fs::chown(path, Some(directory.uid()), Some(directory.gid()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ux_4_a_new_file_belongs_to_the_owner_of_its_directory() {
        use std::os::unix::fs::{MetadataExt as _, chown};
        let name = format!("headcount-owner-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir(&directory).unwrap();
        // Only root can give files away; for every other user both owners are the same anyway.
        drop(chown(&directory, Some(12_345), Some(12_345)));
        let file = directory.join("test.db");
        create_private(&file).unwrap();
        let owner = |path: &Path| std::fs::metadata(path).map(|found| (found.uid(), found.gid()));
        let (of_file, of_directory) = (owner(&file).unwrap(), owner(&directory).unwrap());
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(of_file, of_directory);
    }

    #[test]
    fn a_url_says_which_database_or_nothing() {
        assert_eq!(DatabaseUrl::parse("sqlite:a b.db"), Ok(DatabaseUrl::Sqlite("a b.db".into())));
        assert_eq!(
            DatabaseUrl::parse("sqlite:///var/x.db"),
            Ok(DatabaseUrl::Sqlite("/var/x.db".into()))
        );
        assert!(matches!(DatabaseUrl::parse("postgres://u@h/d"), Ok(DatabaseUrl::Postgres(_))));
        for wrong in ["headcount.db", "sqlite:", "sqlite::memory:", "mysql://x", ""] {
            assert!(DatabaseUrl::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn sqlite_is_built_for_many_readers_and_stable_plans() {
        use diesel::{Connection as _, RunQueryDsl as _};
        #[derive(diesel::QueryableByName)]
        struct Built {
            #[diesel(sql_type = diesel::sql_types::Text)]
            compile_options: String,
        }
        let mut connection = diesel::SqliteConnection::establish(":memory:").unwrap();
        let built: Vec<Built> =
            diesel::sql_query("SELECT compile_options FROM pragma_compile_options")
                .load(&mut connection)
                .unwrap();
        let has = |option: &str| built.iter().any(|built| built.compile_options == option);
        assert!(has("THREADSAFE=2"), "each call would lock its connection");
        assert!(has("ENABLE_QPSG"), "a bound LIMIT would have statements planned again and again");
        assert!(!has("ENABLE_MEMORY_MANAGEMENT"), "readers would wait for each other's caches");
    }

    #[test]
    fn cfg_03_a_password_is_not_printed() {
        for url in [
            "postgres://u:secret@h:5432/d?sslmode=require",
            "postgres://h/d?user=u&password=secret",
        ] {
            let shown = DatabaseUrl::parse(url).unwrap().to_string();
            assert!(!shown.contains("secret"), "{shown}");
        }
        assert!(
            !DatabaseUrl::parse("mysql://u:secret@h/d").unwrap_err().to_string().contains("secret")
        );
    }
}
