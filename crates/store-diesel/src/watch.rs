//! Ends a statement of SQLite whose time is over, or whose client has gone.
//!
//! PostgreSQL has `statement_timeout`. SQLite has a progress handler, which Diesel has no safe way to set.
//! Diesel can add functions of SQL, however: a statement that may visit many rows calls `still_wanted()` first
//! in its `WHERE` ([`Sql::watched`](crate::sql::Sql::watched)), once for each row. The function returns true,
//! and on every [`CHECK_INTERVAL`]th call checks whether the statement may go on. If not, the function fails,
//! and the statement with it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use headcount_core::work::{Halt, Work};

/// Rows between two checks of the time and the flag: some tens of microseconds.
pub(crate) const CHECK_INTERVAL: u64 = 1_024;

/// The watch over one connection. Clones are the same watch.
#[derive(Debug, Clone)]
pub(crate) struct Watch(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// How long a statement may take.
    limit: Option<Duration>,
    /// Rows that were counted since the read began.
    rows: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The request that the read is for.
    work: Option<Work>,
    /// When the statement began.
    begun: Instant,
    /// Why it was ended.
    halt: Option<Halt>,
}

impl Watch {
    /// Makes a watch that ends statements after `limit`; without one, none.
    pub(crate) fn new(limit: Option<Duration>) -> Self {
        let state = Mutex::new(State { work: None, begun: Instant::now(), halt: None });
        Self(Arc::new(Shared { limit, rows: AtomicU64::new(0), state }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to watch the statements of one read.
    pub(crate) fn begin(&self, work: Option<&Work>) {
        *self.state() = State { work: work.cloned(), begun: Instant::now(), halt: None };
        self.0.rows.store(0, Ordering::Relaxed);
    }

    /// Stops watching, and returns why a statement was ended, if one was.
    pub(crate) fn end(&self) -> Option<Halt> {
        let mut state = self.state();
        state.work = None;
        state.halt.take()
    }

    /// Returns how many rows were counted since the read began.
    #[cfg(test)]
    pub(crate) fn rows(&self) -> u64 {
        self.0.rows.load(Ordering::Relaxed)
    }
}

#[cfg(feature = "sqlite")]
pub(crate) use sqlite::install;

#[cfg(feature = "sqlite")]
mod sqlite {
    use diesel::connection::{
        Connection as _, Instrumentation, InstrumentationEvent, get_default_instrumentation,
    };
    use diesel::serialize::{IsNull, Output, Result as Written, ToSql};
    use diesel::sql_types::Bool;
    use diesel::sqlite::{Sqlite, SqliteConnection};
    use diesel::{QueryResult, declare_sql_function};

    use super::*;

    #[declare_sql_function]
    extern "SQL" {
        fn still_wanted() -> Bool;
    }

    /// Puts a connection under a watch.
    pub(crate) fn install(connection: &mut SqliteConnection, watch: &Watch) -> QueryResult<()> {
        let counting = watch.clone();
        still_wanted_utils::register_nondeterministic_impl(connection, move || {
            Answer(counting.count_row())
        })?;
        let next = get_default_instrumentation();
        connection.set_instrumentation(StatementStart { watch: watch.clone(), next });
        Ok(())
    }

    impl Watch {
        /// Counts a row, and now and then checks whether the statement may go on.
        fn count_row(&self) -> Result<(), Halt> {
            let rows = self.0.rows.fetch_add(1, Ordering::Relaxed) + 1;
            if rows.is_multiple_of(CHECK_INTERVAL) { self.check() } else { Ok(()) }
        }

        fn check(&self) -> Result<(), Halt> {
            let mut state = self.state();
            let late = self.0.limit.is_some_and(|limit| state.begun.elapsed() >= limit);
            state.halt = match &state.work {
                Some(work) => work.check().err(),
                None => None,
            }
            .or(late.then_some(Halt::Deadline));
            state.halt.map_or(Ok(()), Err)
        }

        fn restart(&self) {
            self.state().begun = Instant::now();
        }
    }

    /// Restarts the clock when a statement begins: each has its time, as on PostgreSQL.
    struct StatementStart {
        watch: Watch,
        next: Option<Box<dyn Instrumentation>>,
    }

    impl Instrumentation for StatementStart {
        fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
            if matches!(event, InstrumentationEvent::StartQuery { .. }) {
                self.watch.restart();
            }
            if let Some(next) = &mut self.next {
                next.on_connection_event(event);
            }
        }
    }

    /// What the function returns: true, or an error that ends the statement.
    #[derive(Debug)]
    struct Answer(Result<(), Halt>);

    impl ToSql<Bool, Sqlite> for Answer {
        fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> Written {
            self.0?;
            out.set_value(1_i32);
            Ok(IsNull::No)
        }
    }
}

#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests;
