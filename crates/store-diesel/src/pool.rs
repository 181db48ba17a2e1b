//! The pool of connections, and reads on them.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use diesel::QueryResult;
use diesel::connection::SimpleConnection as _;
use diesel::r2d2::{ManageConnection, Pool, R2D2Connection};
use headcount_core::provider::{ProviderError, Source};
use headcount_core::work::Work;

use crate::connection::{Backend, DbConnection, Manager};
use crate::error::{DbErrorKind, WriteError, classify, own_error};
use crate::watch::Watch;

/// The connections of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolState {
    /// Open connections.
    pub open: u32,
    /// Open connections that are not in use.
    pub idle: u32,
}

/// The connections that read.
pub(crate) struct Readers(Pool<Manager>);

impl Readers {
    /// Makes a pool of at most `size` connections, for one of which a read waits no longer than `wait`.
    ///
    /// Connections are not tested when they are taken out: the test would cost as much as the query. A read
    /// that gets a dead one takes the next ([`checkout`]).
    pub(crate) fn new(manager: Manager, size: u32, wait: Duration) -> Self {
        let pool = Pool::builder()
            .max_size(size)
            .min_idle(Some(0))
            .test_on_check_out(false)
            .connection_timeout(wait)
            .error_handler(Box::new(Quiet));
        Self(pool.build_unchecked(manager))
    }

    /// Returns the pool itself, for writers that share its connections (PostgreSQL).
    pub(crate) fn pool(&self) -> Pool<Manager> {
        self.0.clone()
    }

    /// Returns how many connections there can be.
    pub(crate) fn size(&self) -> u32 {
        self.0.max_size()
    }

    /// Returns how many connections there are, and how many of them are idle.
    pub(crate) fn state(&self) -> PoolState {
        let state = self.0.state();
        PoolState { open: state.connections, idle: state.idle_connections }
    }

    /// Runs a read that belongs to no request.
    pub(crate) fn read<T>(
        &self,
        what: &'static str,
        mut job: impl FnMut(&mut DbConnection) -> QueryResult<T>,
    ) -> Result<T, ProviderError> {
        self.read_in(View::Statement, None, what, |connection| Ok(job(connection)?))
    }

    /// Runs a read for a request, which ends with its work.
    pub(crate) fn read_for<T>(
        &self,
        work: &Work,
        what: &'static str,
        job: impl FnMut(&mut DbConnection) -> Result<T, WriteError>,
    ) -> Result<T, ProviderError> {
        self.read_in(View::Statement, Some(work), what, job)
    }

    /// Runs a read in a view of the data, for a request if there is one.
    pub(crate) fn read_in<T>(
        &self,
        view: View,
        work: Option<&Work>,
        what: &'static str,
        mut job: impl FnMut(&mut DbConnection) -> Result<T, WriteError>,
    ) -> Result<T, ProviderError> {
        work.map_or(Ok(()), Work::check)?;
        // `checkout` runs its job again on another connection; the value is that of the last run.
        let mut value = None;
        checkout(&self.0, |pooled| {
            value = Some(pooled.read(view, work, &mut job)?);
            Ok(())
        })
        .map_err(|error| own_error(what, error))?;
        value.ok_or_else(|| ProviderError::Internal(Source::invariant(what)))
    }
}

/// A connection of the pool. Diesel notices a server that has hung up only inside a transaction of
/// its own making, so code that notices it otherwise sets `dead`.
pub(crate) struct Pooled {
    connection: DbConnection,
    manager: Manager,
    pub(crate) watch: Watch,
    pub(crate) dead: bool,
}

/// How a read sees what others write meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// Each statement sees what was committed before it.
    Statement,
    /// All statements see one state of the data.
    Snapshot,
}

impl Pooled {
    /// Begins a transaction, with the limits of its statements.
    pub(crate) fn begin(&mut self, text: &str) -> QueryResult<()> {
        let Self { connection, manager, .. } = self;
        connection.batch_execute(&manager.begin(text))
    }

    /// Runs a read; on SQLite, it ends when the request's work is stopped.
    pub(crate) fn read<T>(
        &mut self,
        view: View,
        work: Option<&Work>,
        job: impl FnOnce(&mut DbConnection) -> Result<T, WriteError>,
    ) -> Result<T, WriteError> {
        self.watch.begin(work);
        let outcome = self.read_in(view, job);
        match (outcome, self.watch.end()) {
            (Err(_ended), Some(halt)) => Err(halt.into()),
            (outcome, _) => outcome,
        }
    }

    fn read_in<T>(
        &mut self,
        view: View,
        job: impl FnOnce(&mut DbConnection) -> Result<T, WriteError>,
    ) -> Result<T, WriteError> {
        let (backend, sessions) = (self.backend(), self.manager.prepared_statements);
        let begin = match (backend, view) {
            (Backend::Sqlite, View::Statement) => None,
            (Backend::Sqlite, View::Snapshot) => Some("BEGIN"),
            // Where the session may be another each time, only a transaction has limits.
            (Backend::Postgres, View::Statement) => (!sessions).then_some("BEGIN READ ONLY"),
            (Backend::Postgres, View::Snapshot) => {
                Some("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            }
        };
        let Some(begin) = begin else { return job(self) };
        if let Err(error) = self.begin(begin) {
            // The transaction may have begun although its limits could not be set.
            self.dead = true;
            return Err(WriteError::Db(error));
        }
        let outcome = job(self);
        // A read has nothing to keep, whichever way it ended.
        let ended = self.batch_execute("ROLLBACK");
        let value = outcome?;
        ended?;
        Ok(value)
    }
}

impl Deref for Pooled {
    type Target = DbConnection;

    fn deref(&self) -> &DbConnection {
        &self.connection
    }
}

impl DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut DbConnection {
        &mut self.connection
    }
}

impl ManageConnection for Manager {
    type Connection = Pooled;
    type Error = diesel::r2d2::Error;

    fn connect(&self) -> Result<Pooled, Self::Error> {
        let watch = Watch::new(self.limit.filter(|_| self.read_only));
        let opened = self.open_watched(&watch);
        let connection = opened.map_err(diesel::r2d2::Error::ConnectionError)?;
        Ok(Pooled { connection, manager: self.clone(), watch, dead: false })
    }

    fn is_valid(&self, pooled: &mut Pooled) -> Result<(), Self::Error> {
        pooled.connection.ping().map_err(diesel::r2d2::Error::QueryError)
    }

    fn has_broken(&self, pooled: &mut Pooled) -> bool {
        // A read that panics leaves its transaction open, and Diesel does not know of it.
        std::thread::panicking() || pooled.dead || pooled.connection.is_broken()
    }
}

/// Connection errors reach the request that waits for the connection; the pool need not print them.
#[derive(Debug)]
struct Quiet;

impl diesel::r2d2::HandleError<diesel::r2d2::Error> for Quiet {
    fn handle_error(&self, error: diesel::r2d2::Error) {
        tracing::debug!(%error, "a database connection could not be opened");
    }
}

/// Takes a connection out of the pool and runs its first statement. A connection that has died in the pool,
/// as all do when the database restarts, is dropped for the next one.
pub(crate) fn checkout(
    pool: &Pool<Manager>,
    mut first: impl FnMut(&mut Pooled) -> Result<(), WriteError>,
) -> Result<diesel::r2d2::PooledConnection<Manager>, WriteError> {
    let attempts = pool.max_size() + 1;
    for _ in 0..attempts {
        let mut connection = pool.get().map_err(|error| {
            let source = Source::new("a database connection is taken from the pool", error);
            WriteError::Refused(ProviderError::Unavailable(source).into())
        })?;
        match first(&mut connection) {
            Ok(()) => return Ok(connection),
            Err(WriteError::Db(error)) if classify(&error) == DbErrorKind::Disconnected => {
                connection.dead = true;
            }
            Err(error) => return Err(error),
        }
    }
    Err(WriteError::Refused(
        ProviderError::Unavailable(Source::invariant("every pooled connection is dead")).into(),
    ))
}
