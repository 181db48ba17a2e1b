//! The embedded sets of migrations: of both databases, and of the log on SQLite, applied under a lock.

use std::collections::BTreeSet;

use diesel::migration::MigrationSource;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::connection::DbConnection;
use crate::sql::Sql;

#[cfg(feature = "sqlite")]
const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
#[cfg(feature = "sqlite")]
const SQLITE_LOG: EmbeddedMigrations = embed_migrations!("migrations/sqlite-log");
#[cfg(feature = "postgres")]
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// How the schema of a database relates to this release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaState {
    /// There is nothing yet.
    Empty,
    /// It is this release's.
    Current,
    /// Migrations are missing: the names of those that would be applied.
    Behind(Vec<String>),
    /// Migrations were applied that this release does not know: their names.
    Ahead(Vec<String>),
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Compares the database with this release. It only reads, so that a role without the right to make
/// tables can do it.
pub(crate) fn state(connection: &mut DbConnection) -> Result<SchemaState, Failure> {
    let noted = match connection {
        #[cfg(feature = "sqlite")]
        DbConnection::Sqlite(_) => {
            "SELECT name FROM sqlite_master WHERE name = '__diesel_schema_migrations'"
        }
        #[cfg(feature = "postgres")]
        DbConnection::Postgres(_) => {
            "SELECT name::text FROM to_regclass('__diesel_schema_migrations') AS name \
             WHERE name IS NOT NULL"
        }
    };
    let noted = Sql::new(noted).query::<Text>().get_result::<String>(connection).optional()?;
    if noted.is_none() {
        return Ok(SchemaState::Empty);
    }
    let applied = Sql::new("SELECT version FROM __diesel_schema_migrations");
    let applied = applied.query::<Text>().load::<String>(connection)?.into_iter().collect();
    match connection {
        #[cfg(feature = "sqlite")]
        DbConnection::Sqlite(_) => compare::<diesel::sqlite::Sqlite>(&applied, &SQLITE),
        #[cfg(feature = "postgres")]
        DbConnection::Postgres(_) => compare::<diesel::pg::Pg>(&applied, &POSTGRES),
    }
}

fn compare<B>(
    applied: &BTreeSet<String>,
    source: &EmbeddedMigrations,
) -> Result<SchemaState, Failure>
where
    B: diesel::backend::Backend,
    EmbeddedMigrations: MigrationSource<B>,
{
    let known: BTreeSet<String> = MigrationSource::<B>::migrations(source)?
        .iter()
        .map(|migration| migration.name().version().to_string())
        .collect();
    if applied.is_empty() {
        return Ok(SchemaState::Empty);
    }
    let ahead: Vec<_> = applied.difference(&known).cloned().collect();
    let behind: Vec<_> = known.difference(applied).cloned().collect();
    Ok(match (ahead.is_empty(), behind.is_empty()) {
        (false, _) => SchemaState::Ahead(ahead),
        (true, false) => SchemaState::Behind(behind),
        (true, true) => SchemaState::Current,
    })
}

/// Applies what is missing. Several servers that start at once wait for one another.
pub(crate) fn migrate(connection: &mut DbConnection) -> Result<(), Failure> {
    match connection {
        #[cfg(feature = "sqlite")]
        DbConnection::Sqlite(connection) => connection.immediate_transaction(|connection| {
            run::<diesel::sqlite::Sqlite, _>(connection, SQLITE).map_err(Wrapped)
        }),
        #[cfg(feature = "postgres")]
        DbConnection::Postgres(connection) => {
            use diesel::connection::SimpleConnection;
            connection.build_transaction().run(|connection| {
                // A migration takes as long as it takes, also on a session that a pooler has set up. The
                // number is arbitrary and never changes: it is the name of the lock.
                connection.batch_execute(
                    "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; \
                     SELECT pg_advisory_xact_lock(4836102347751)",
                )?;
                run::<diesel::pg::Pg, _>(connection, POSTGRES).map_err(Wrapped)
            })
        }
    }
    .map_err(|Wrapped(failure)| failure)
}

/// Brings the file of the provisioning log up to date; PostgreSQL keeps the log with everything else.
pub(crate) fn migrate_log(connection: &mut DbConnection) -> Result<(), Failure> {
    match connection {
        #[cfg(feature = "sqlite")]
        DbConnection::Sqlite(connection) => connection
            .immediate_transaction(|connection| {
                run::<diesel::sqlite::Sqlite, _>(connection, SQLITE_LOG).map_err(Wrapped)
            })
            .map_err(|Wrapped(failure)| failure),
        #[cfg(feature = "postgres")]
        DbConnection::Postgres(_) => Ok(()),
    }
}

fn run<B, C>(connection: &mut C, source: EmbeddedMigrations) -> Result<(), Failure>
where
    B: diesel::backend::Backend,
    C: MigrationHarness<B>,
    EmbeddedMigrations: MigrationSource<B>,
{
    connection.run_pending_migrations(source).map(drop)
}

/// Carries any failure through a transaction.
struct Wrapped(Failure);

impl From<diesel::result::Error> for Wrapped {
    fn from(error: diesel::result::Error) -> Self {
        Self(Box::new(error))
    }
}
