//! How writes reach the disk: on SQLite through one connection that commits for many, on PostgreSQL in a
//! transaction each. Nothing else begins a transaction that writes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::Pool;
use diesel::result::Error as DieselError;
use headcount_core::error::Error;
use headcount_core::ids::ChangeSeq;
use headcount_core::provider::{ProviderError, Source};

use crate::connection::{Backend, DbConnection, Manager};
use crate::error::{DbErrorKind, WriteError, classify};
use crate::pool::checkout;
use crate::sql::Sql;

/// A write: it may be run more than once, and only the last run counts.
pub(crate) type Job<'a, T> = dyn FnMut(&mut DbConnection) -> Result<T, WriteError> + 'a;

/// How often a write that collides with others is tried.
const MAX_TRIES: usize = 6;

/// Runs writes.
pub(crate) enum Writer {
    /// One connection, one commit for all who wait (SQLite).
    Group(Box<GroupCommit>),
    /// A transaction on a pooled connection (PostgreSQL).
    Pool(Pool<Manager>),
}

impl Writer {
    /// Runs a job as one atomic unit that survives a crash once this returns `Ok`.
    pub(crate) fn write<T>(&self, job: &mut Job<'_, T>) -> Result<T, WriteError> {
        let mut outcome = Err(WriteError::Retry);
        for _ in 0..MAX_TRIES {
            outcome = match self {
                Self::Group(commits) => commits.run(|connection| savepoint(connection, job)),
                Self::Pool(pool) => transaction(pool, |connection| run_job(connection, job)),
            };
            if !may_retry(&outcome) {
                break;
            }
        }
        outcome
    }

    /// Runs jobs in order in one commit, each as one atomic unit, until as many have failed as may fail, or one
    /// was halted.
    pub(crate) fn write_each<T>(
        &self,
        jobs: &mut [&mut Job<'_, T>],
        failures: Option<usize>,
    ) -> Vec<Result<T, WriteError>> {
        let outcome = match self {
            Self::Group(commits) => commits.run(|connection| run_each(connection, jobs, failures)),
            Self::Pool(pool) => {
                transaction(pool, |connection| run_each(connection, jobs, failures))
            }
        };
        outcome.unwrap_or_else(|error| {
            let reason = format!("{error:?}");
            jobs.iter()
                .map(|_| {
                    let source = Source::new("operations are committed together", reason.clone());
                    Err(WriteError::Refused(ProviderError::Unavailable(source).into()))
                })
                .collect()
        })
    }
}

/// Runs jobs in order, each in a savepoint, as [`Writer::write_each`] describes.
fn run_each<T>(
    connection: &mut DbConnection,
    jobs: &mut [&mut Job<'_, T>],
    failures: Option<usize>,
) -> Ran<Vec<Result<T, WriteError>>> {
    let (mut results, mut failed) = (Vec::with_capacity(jobs.len()), 0);
    for job in jobs {
        let mut result = savepoint(connection, *job)?;
        for _ in 1..MAX_TRIES {
            if !may_retry(&result) {
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
}

fn may_retry<T>(outcome: &Result<T, WriteError>) -> bool {
    match outcome {
        Err(WriteError::Retry) => true,
        Err(WriteError::Db(error)) => classify(error) == DbErrorKind::Collision,
        Ok(_) | Err(WriteError::Refused(_) | WriteError::RolledBack) => false,
    }
}

/// The outcome of a job, or an error that spoils the whole transaction.
type Ran<T> = Result<Result<T, WriteError>, DieselError>;

/// Runs a job so that a panic in it is an error of this job only.
fn run_job<T>(connection: &mut DbConnection, job: &mut Job<'_, T>) -> Ran<T> {
    let caught = catch_unwind(AssertUnwindSafe(|| job(connection)));
    match caught.unwrap_or_else(|_panic| Err(Error::internal("a write panicked").into())) {
        Err(WriteError::Db(error))
            if !matches!(classify(&error), DbErrorKind::Constraint | DbErrorKind::Collision) =>
        {
            Err(error)
        }
        other => Ok(other),
    }
}

/// Runs a job inside a savepoint, so that a failing one leaves no trace in the transaction.
fn savepoint<T>(connection: &mut DbConnection, job: &mut Job<'_, T>) -> Ran<T> {
    connection.batch_execute("SAVEPOINT job")?;
    let result = run_job(connection, job)?;
    let end = match &result {
        Ok(_) => "RELEASE SAVEPOINT job",
        Err(_) => "ROLLBACK TO SAVEPOINT job; RELEASE SAVEPOINT job",
    };
    connection.batch_execute(end)?;
    Ok(result)
}

/// Runs a job in a transaction of its own. The setting makes an acknowledged write durable, whatever the
/// configuration of PostgreSQL is.
fn transaction<T>(
    pool: &Pool<Manager>,
    mut job: impl FnMut(&mut DbConnection) -> Ran<T>,
) -> Result<T, WriteError> {
    let mut connection =
        checkout(pool, |pooled| Ok(pooled.begin("BEGIN; SET LOCAL synchronous_commit = on")?))?;
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
    // On a broken connection there is nothing to roll back.
    if let Err(error) = connection.batch_execute("ROLLBACK") {
        tracing::debug!(kind = ?classify(&error), "a transaction could not be rolled back");
    }
}

/// Returns in which row resources are counted: writers that run at once count in different ones.
pub(crate) fn count_slot(connection: &DbConnection) -> Sql {
    match connection {
        #[cfg(feature = "sqlite")]
        DbConnection::Sqlite(_) => Sql::new("0"),
        #[cfg(feature = "postgres")]
        DbConnection::Postgres(_) => Sql::new("pg_backend_pid() % 32"),
    }
}

/// Returns the clause that locks the rows of a SELECT against other writers until the end of the transaction.
/// Members that refer to them may still be added.
pub(crate) fn row_lock(connection: &DbConnection) -> Sql {
    match connection {
        // SQLite has one writer at a time.
        #[cfg(feature = "sqlite")]
        DbConnection::Sqlite(_) => Sql::new(""),
        #[cfg(feature = "postgres")]
        DbConnection::Postgres(_) => Sql::new(" FOR NO KEY UPDATE"),
    }
}

/// What a sequencer does while another one holds the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockWait {
    /// Leaves the work to the other one.
    Skip,
    /// Waits for it, at most ten seconds.
    Wait,
}

/// Makes this transaction the only one that sequences; false when another one has the lock.
pub(crate) fn lock_sequencer(
    connection: &mut DbConnection,
    wait: LockWait,
) -> Result<bool, DieselError> {
    match connection {
        // SQLite has one writer at a time.
        #[cfg(feature = "sqlite")]
        DbConnection::Sqlite(_) => Ok(true),
        // The number is arbitrary and never changes: it is the name of the lock.
        #[cfg(feature = "postgres")]
        DbConnection::Postgres(connection) if wait == LockWait::Wait => connection
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

/// Returns the number up to which every row is sequenced.
///
/// SQLite numbers rows in the order of their commits, in which they are sequenced, so that those that wait are
/// the last ones. PostgreSQL guarantees no order, and an index leads to those that wait.
pub(crate) fn sequenced_before(connection: &mut DbConnection) -> QueryResult<ChangeSeq> {
    match connection {
        #[cfg(feature = "sqlite")]
        DbConnection::Sqlite(connection) => {
            use crate::schema::changes;
            let sequenced = changes::table.filter(changes::place.is_not_null());
            let last = sequenced.order(changes::place.desc()).select(changes::seq);
            Ok(last.first(connection).optional()?.map_or(ChangeSeq::MIN, ChangeSeq::new))
        }
        #[cfg(feature = "postgres")]
        DbConnection::Postgres(_) => Ok(ChangeSeq::MIN),
    }
}

/// The only writing connection of SQLite, which commits for all writers that wait (group commit).
///
/// A job runs on the thread that brings it. The thread behind which no other waits, or whose job is the last
/// that fits, commits for all; the others wait for that commit before they return. A lone writer commits at
/// once: it never waits for others to join.
pub(crate) struct GroupCommit {
    manager: Manager,
    /// Jobs that one commit carries.
    max_jobs: usize,
    waiting: AtomicUsize,
    state: Mutex<CommitState>,
}

struct CommitState {
    connection: Option<DbConnection>,
    /// The transaction that is open, and how many jobs it carries.
    open: Option<(Arc<Batch>, usize)>,
    /// A commit failed on its way to the disk: the contents of the file are no longer known, and a later sync
    /// may wrongly succeed.
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

impl GroupCommit {
    pub(crate) fn new(manager: Manager, max_jobs: usize) -> Self {
        debug_assert_eq!(manager.backend(), Backend::Sqlite);
        let state = CommitState { connection: None, open: None, broken: false };
        Self { manager, max_jobs, waiting: AtomicUsize::new(0), state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, CommitState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run<T>(&self, mut job: impl FnMut(&mut DbConnection) -> Ran<T>) -> Result<T, WriteError> {
        // Invariant: a thread is counted from before it asks for the lock until it has it. A thread that
        // sees another counted may therefore leave the commit to that one.
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
                *jobs >= self.max_jobs
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
    fn begin(&self, state: &mut CommitState) -> Result<Arc<Batch>, WriteError> {
        if let Some((batch, _)) = &state.open {
            return Ok(Arc::clone(batch));
        }
        if state.broken {
            return Err(ProviderError::Unavailable(Source::invariant(
                "a commit did not reach the disk; writing has stopped",
            ))
            .into());
        }
        let connection = match &mut state.connection {
            Some(connection) => connection,
            closed => closed.insert(self.manager.open().map_err(|error| {
                ProviderError::Unavailable(Source::new("the database file is opened", error))
            })?),
        };
        connection.batch_execute("BEGIN IMMEDIATE")?;
        let batch = Arc::new(Batch::default());
        state.open = Some((Arc::clone(&batch), 0));
        Ok(batch)
    }

    fn commit(&self, state: &mut CommitState) {
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

    /// Gives up the open transaction and its connection. All jobs in it fail.
    fn abandon(&self, state: &mut CommitState, error: &DieselError) {
        let Some((batch, _)) = state.open.take() else {
            return;
        };
        if let Some(connection) = &mut state.connection {
            roll_back(connection);
        }
        state.connection = None;
        if classify(error) == DbErrorKind::DiskIo {
            tracing::error!(
                "the database file could not be synced to disk; writing stops until the server is restarted"
            );
            state.broken = true;
        }
        batch.finish(false);
    }
}
