//! How writes reach the disk: on SQLite through one lane that commits for many, on PostgreSQL in a
//! transaction each. Nothing else begins a transaction that writes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::Pool;
use diesel::result::Error as DieselError;
use headcount_core::error::Error;
use headcount_core::provider::{ProviderError, Source};

use crate::connection::{Backend, DbConnection, Manager};
use crate::error::{Meaning, WriteError, meaning};
use crate::pool::{Pooled, checkout};
use crate::sql::Sql;

/// A write: it may be run more than once, and only the last run counts.
pub(crate) type Job<'a, T> = dyn FnMut(&mut DbConnection) -> Result<T, WriteError> + 'a;

/// How often a write that met another one is tried.
const TRIES: usize = 6;

/// Runs writes.
pub(crate) enum Writer {
    /// One connection, one commit for all who are waiting (SQLite).
    Lane(Box<Lane>),
    /// A transaction on a pooled connection (PostgreSQL).
    Pool(Pool<Manager>),
}

impl Writer {
    /// Runs a job as one atomic unit that survives a crash once this returns `Ok`.
    pub(crate) fn write<T>(&self, job: &mut Job<'_, T>) -> Result<T, WriteError> {
        let mut outcome = Err(WriteError::Retry);
        for _ in 0..TRIES {
            outcome = match self {
                Self::Lane(lane) => lane.run(|connection| savepoint(connection, job)),
                Self::Pool(pool) => transaction(pool, |connection| guarded(connection, job)),
            };
            if !again(&outcome) {
                break;
            }
        }
        outcome
    }

    /// Runs jobs in order in one commit, each as one atomic unit, until as many have failed as may, or
    /// one for want of work.
    pub(crate) fn write_each<T>(
        &self,
        jobs: &mut [&mut Job<'_, T>],
        failures: Option<usize>,
    ) -> Vec<Result<T, WriteError>> {
        let mut each = |connection: &mut DbConnection| {
            let (mut results, mut failed) = (Vec::with_capacity(jobs.len()), 0);
            for job in jobs.iter_mut() {
                let mut result = savepoint(connection, *job)?;
                for _ in 1..TRIES {
                    if !again(&result) {
                        break;
                    }
                    result = savepoint(connection, *job)?;
                }
                failed += usize::from(result.is_err());
                let halted = matches!(result, Err(WriteError::Refused(Error::Halted(_))));
                results.push(result);
                if halted || failures.is_some_and(|most| failed >= most) {
                    break;
                }
            }
            Ok(Ok(results))
        };
        let done = match self {
            Self::Lane(lane) => lane.run(&mut each),
            Self::Pool(pool) => transaction(pool, &mut each),
        };
        match done {
            Ok(results) => results,
            Err(error) => {
                let reason = format!("{error:?}");
                let failed = || {
                    let source = Source::new("operations are committed together", reason.clone());
                    Err(WriteError::Refused(ProviderError::Unavailable(source).into()))
                };
                jobs.iter().map(|_| failed()).collect()
            }
        }
    }
}

fn again<T>(outcome: &Result<T, WriteError>) -> bool {
    match outcome {
        Err(WriteError::Retry) => true,
        Err(WriteError::Db(error)) => meaning(error) == Meaning::Collision,
        Ok(_) | Err(WriteError::Refused(_)) => false,
    }
}

/// What a job came to, or an error that spoils the whole transaction.
type Ran<T> = Result<Result<T, WriteError>, DieselError>;

/// Runs a job so that a panic in it is an error of this job and of nothing else.
fn guarded<T>(connection: &mut DbConnection, job: &mut Job<'_, T>) -> Ran<T> {
    let done = catch_unwind(AssertUnwindSafe(|| job(connection)));
    let result = done.unwrap_or_else(|_panic| Err(Error::internal("a write panicked").into()));
    match result {
        Err(WriteError::Db(error))
            if !matches!(meaning(&error), Meaning::Constraint | Meaning::Collision) =>
        {
            Err(error)
        }
        other => Ok(other),
    }
}

/// Runs a job inside a savepoint, so that a failing one leaves no trace in the transaction.
fn savepoint<T>(connection: &mut DbConnection, job: &mut Job<'_, T>) -> Ran<T> {
    connection.batch_execute("SAVEPOINT job")?;
    let result = guarded(connection, job)?;
    let end = match &result {
        Ok(_) => "RELEASE SAVEPOINT job",
        Err(_) => "ROLLBACK TO SAVEPOINT job; RELEASE SAVEPOINT job",
    };
    connection.batch_execute(end)?;
    Ok(result)
}

/// Runs a job in a transaction of its own. The setting makes an acknowledged write durable whatever
/// the server's configuration says.
fn transaction<T>(
    pool: &Pool<Manager>,
    mut job: impl FnMut(&mut DbConnection) -> Ran<T>,
) -> Result<T, WriteError> {
    let begin = |pooled: &mut Pooled| {
        let begun = pooled.begin("BEGIN; SET LOCAL synchronous_commit = on");
        begun.map_err(WriteError::Db)
    };
    let mut connection = checkout(pool, begin)?;
    match job(&mut connection) {
        Ok(Ok(value)) => {
            connection.batch_execute("COMMIT").map_err(WriteError::Db)?;
            Ok(value)
        }
        Ok(Err(error)) => {
            roll_back(&mut connection);
            Err(error)
        }
        Err(error) => {
            roll_back(&mut connection);
            Err(WriteError::Db(error))
        }
    }
}

fn roll_back(connection: &mut DbConnection) {
    // On a broken connection there is nothing left to roll back.
    if let Err(error) = connection.batch_execute("ROLLBACK") {
        tracing::debug!(meaning = ?meaning(&error), "a transaction could not be rolled back");
    }
}

/// Where a count of resources is kept: writers that run at once count in different rows.
pub(crate) fn count_slot(connection: &DbConnection) -> Sql {
    match connection {
        #[cfg(feature = "sqlite")]
        DbConnection::Sqlite(_) => Sql::new("0"),
        #[cfg(feature = "postgres")]
        DbConnection::Postgres(_) => Sql::new("pg_backend_pid() % 32"),
    }
}

/// What makes a SELECT lock its rows against other writers until the end of the transaction. Members may
/// still be added that refer to them.
pub(crate) fn row_lock(connection: &DbConnection) -> Sql {
    match connection {
        // Whoever writes is alone.
        #[cfg(feature = "sqlite")]
        DbConnection::Sqlite(_) => Sql::new(""),
        #[cfg(feature = "postgres")]
        DbConnection::Postgres(_) => Sql::new(" FOR NO KEY UPDATE"),
    }
}

/// Whether a sequencer waits for another one that is at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// The other one does the work.
    None,
    /// Until it has ended, within bounds.
    Some,
}

/// Makes this transaction the only one that sequences; false when another one is at it.
pub(crate) fn one_sequencer(
    connection: &mut DbConnection,
    patience: Patience,
) -> Result<bool, DieselError> {
    match connection {
        // Whoever writes is alone.
        #[cfg(feature = "sqlite")]
        DbConnection::Sqlite(_) => Ok(true),
        // The number is arbitrary and never changes: it is the name of the lock.
        #[cfg(feature = "postgres")]
        DbConnection::Postgres(connection) if patience == Patience::Some => connection
            .batch_execute(
                // Waiting counts as the statement's time.
                "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 10000; \
                 SELECT pg_advisory_xact_lock(4836102347752)",
            )
            .map(|()| true),
        #[cfg(feature = "postgres")]
        DbConnection::Postgres(connection) => {
            let lock = diesel::dsl::sql::<diesel::sql_types::Bool>(
                "SELECT pg_try_advisory_xact_lock(4836102347752)",
            );
            lock.get_result(connection)
        }
    }
}

/// Returns the number up to which no row waits to be sequenced.
///
/// Rows of SQLite come in the order of their commits and are sequenced in it, so that those that wait are the
/// last ones. On PostgreSQL nothing is known of the order, and an index leads to them.
pub(crate) fn sequenced_before(connection: &mut DbConnection) -> QueryResult<i64> {
    match connection {
        #[cfg(feature = "sqlite")]
        DbConnection::Sqlite(connection) => {
            use crate::schema::changes;
            let sequenced = changes::table.filter(changes::place.is_not_null());
            let last = sequenced.order(changes::place.desc()).select(changes::seq);
            Ok(last.first(connection).optional()?.unwrap_or(i64::MIN))
        }
        #[cfg(feature = "postgres")]
        DbConnection::Postgres(_) => Ok(i64::MIN),
    }
}

/// The one writing connection of SQLite, and those who wait for its next commit.
///
/// A job runs on the thread that brings it. Whoever leaves with nobody waiting behind, or as the last
/// that fits, commits for all; the others wait for that commit before they answer. A lone writer
/// commits at once, and nobody waits for company.
pub(crate) struct Lane {
    manager: Manager,
    /// Jobs that one commit carries at most.
    most: usize,
    waiting: AtomicUsize,
    state: Mutex<LaneState>,
}

struct LaneState {
    connection: Option<DbConnection>,
    /// The transaction that is open, and how many jobs it carries.
    open: Option<(Arc<Batch>, usize)>,
    /// A commit failed on its way to the disk: what the file holds is no longer known, and a later
    /// sync may lie about it.
    broken: bool,
}

/// The jobs of one commit.
#[derive(Default)]
struct Batch {
    committed: Mutex<Option<bool>>,
    signal: Condvar,
}

impl Batch {
    fn finish(&self, committed: bool) {
        *self.committed.lock().unwrap_or_else(PoisonError::into_inner) = Some(committed);
        self.signal.notify_all();
    }

    fn wait(&self) -> bool {
        let committed = self.committed.lock().unwrap_or_else(PoisonError::into_inner);
        let finished = self.signal.wait_while(committed, |committed| committed.is_none());
        finished.unwrap_or_else(PoisonError::into_inner).unwrap_or(false)
    }
}

impl Lane {
    pub(crate) fn new(manager: Manager, most: usize) -> Self {
        debug_assert_eq!(manager.backend(), Backend::Sqlite);
        let state = LaneState { connection: None, open: None, broken: false };
        Self { manager, most, waiting: AtomicUsize::new(0), state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run<T>(&self, mut job: impl FnMut(&mut DbConnection) -> Ran<T>) -> Result<T, WriteError> {
        // Counted before the lock is taken: who sees a count above zero may leave the commit to the
        // one who is counted, since that one will surely get the lock.
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let arrived = std::time::Instant::now();
        let mut state = self.lock();
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        metrics::histogram!("headcount_writer_wait_seconds")
            .record(arrived.elapsed().as_secs_f64());
        let batch = self.begin(&mut state)?;
        let ran = match &mut state.connection {
            Some(connection) => job(connection),
            None => Err(DieselError::BrokenTransactionManager),
        };
        let result = match ran {
            Ok(result) => result,
            Err(error) => {
                self.abandon(&mut state, &error);
                return Err(WriteError::Db(error));
            }
        };
        let full = match &mut state.open {
            Some((_, jobs)) => {
                *jobs += 1;
                *jobs >= self.most
            }
            None => true,
        };
        if full || self.waiting.load(Ordering::SeqCst) == 0 {
            self.commit(&mut state);
        }
        drop(state);
        if batch.wait() {
            return result;
        }
        let source = Source::invariant("a commit for several writes failed");
        Err(WriteError::Refused(ProviderError::Unavailable(source).into()))
    }

    /// Joins the open transaction or opens one.
    fn begin(&self, state: &mut LaneState) -> Result<Arc<Batch>, WriteError> {
        if let Some((batch, _)) = &state.open {
            return Ok(Arc::clone(batch));
        }
        let unavailable = |source| WriteError::Refused(ProviderError::Unavailable(source).into());
        if state.broken {
            return Err(unavailable(Source::invariant(
                "a commit could not be brought to the disk; writing has stopped",
            )));
        }
        if state.connection.is_none() {
            let opened = self.manager.open();
            state.connection =
                Some(opened.map_err(|error| {
                    unavailable(Source::new("the database file is opened", error))
                })?);
        }
        if let Some(connection) = &mut state.connection {
            connection.batch_execute("BEGIN IMMEDIATE").map_err(WriteError::Db)?;
        }
        let batch = Arc::new(Batch::default());
        state.open = Some((Arc::clone(&batch), 0));
        Ok(batch)
    }

    fn commit(&self, state: &mut LaneState) {
        let Some((batch, jobs)) = state.open.take() else {
            return;
        };
        let committed = match &mut state.connection {
            Some(connection) => connection.batch_execute("COMMIT"),
            None => Err(DieselError::BrokenTransactionManager),
        };
        metrics::histogram!("headcount_writer_batch_size")
            .record(f64::from(u32::try_from(jobs).unwrap_or(u32::MAX)));
        if let Err(error) = &committed {
            state.open = Some((Arc::clone(&batch), jobs));
            self.abandon(state, error);
        }
        batch.finish(committed.is_ok());
    }

    /// Gives up the open transaction and its connection; everybody in it is told that it failed.
    fn abandon(&self, state: &mut LaneState, error: &DieselError) {
        let Some((batch, _)) = state.open.take() else {
            return;
        };
        if let Some(connection) = &mut state.connection {
            roll_back(connection);
        }
        state.connection = None;
        if error.to_string().contains("disk I/O error") {
            tracing::error!(
                "the database file could not be synced to disk; writing stops until the server is restarted"
            );
            state.broken = true;
        }
        batch.finish(false);
    }
}
