//! The two embedded sets of migrations, applied under a lock.

use std::collections::BTreeSet;

use diesel::migration::{MigrationSource, MigrationVersion};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::connection::DbConnection;

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

/// Compares the database with this release.
pub(crate) fn state(connection: &mut DbConnection) -> Result<SchemaState, Failure> {
    match connection {
        #[cfg(feature = "sqlite")]
        DbConnection::Sqlite(connection) => {
            compare::<diesel::sqlite::Sqlite, _>(connection, &SQLITE)
        }
        #[cfg(feature = "postgres")]
        DbConnection::Postgres(connection) => compare::<diesel::pg::Pg, _>(connection, &POSTGRES),
    }
}

fn compare<B, C>(connection: &mut C, source: &EmbeddedMigrations) -> Result<SchemaState, Failure>
where
    B: diesel::backend::Backend,
    C: MigrationHarness<B>,
    EmbeddedMigrations: MigrationSource<B>,
{
    let applied: BTreeSet<String> =
        connection.applied_migrations()?.iter().map(MigrationVersion::to_string).collect();
    let known: BTreeSet<String> = MigrationSource::<B>::migrations(source)?
        .iter()
        .map(|migration| migration.name().version().to_string())
        .collect();
    if applied.is_empty() {
        return Ok(SchemaState::Empty);
    }
    let ahead: Vec<_> = applied.difference(&known).cloned().collect();
    let behind: Vec<_> = known.difference(&applied).cloned().collect();
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
                // The number is arbitrary and never changes: it is the name of the lock.
                connection.batch_execute("SELECT pg_advisory_xact_lock(4836102347751)")?;
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
