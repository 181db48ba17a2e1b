//! Attempts to log in, counted.

use diesel::prelude::*;
use headcount_core::clock::Timestamp;
use headcount_token_admin::StoreError;
use headcount_token_admin::accounts::{Attempt, throttle};

use super::{is_undone, undone};
use crate::connection::DbConnection;
use crate::error::token_error;
use crate::schema::login_failures;
use crate::sql::Sql;
use crate::store::Store;

/// Counts an attempt for one subject; a time when it has to wait.
fn count(
    connection: &mut DbConnection,
    subject: &str,
    now: Timestamp,
) -> QueryResult<Option<Timestamp>> {
    Sql::new("INSERT INTO login_failures (subject, amount, last, until) VALUES (")
        .string(subject)
        .text(", 0, ")
        .int(now.micros())
        .text(", 0) ON CONFLICT (subject) DO NOTHING")
        .query::<()>()
        .execute(connection)?;
    let row = || login_failures::table.filter(login_failures::subject.eq(subject));
    let forgotten = now.plus_seconds(-throttle::FORGET).micros();
    diesel::update(row().filter(login_failures::last.le(forgotten)))
        .set(login_failures::amount.eq(0))
        .execute(connection)?;
    // The row is locked from here on: parallel attempts are counted one after the other.
    let counted = diesel::update(row().filter(login_failures::until.le(now.micros())))
        .set((
            login_failures::amount.eq(login_failures::amount + 1),
            login_failures::last.eq(now.micros()),
        ))
        .returning(login_failures::amount)
        .get_result::<i64>(connection)
        .optional()?;
    let Some(counted) = counted else {
        let until = row().select(login_failures::until).first::<i64>(connection)?;
        return Ok(Some(Timestamp::from_micros(until)));
    };
    let until = now.plus_seconds(throttle::wait(counted)).micros();
    diesel::update(row()).set(login_failures::until.eq(until)).execute(connection)?;
    Ok(None)
}

/// Counts an attempt for each subject, or for none.
pub(super) fn attempt(
    store: &Store,
    subjects: &[String],
    now: Timestamp,
) -> Result<Attempt, StoreError> {
    // In one order, so that two attempts never wait for each other.
    let mut subjects: Vec<&String> = subjects.iter().collect();
    subjects.sort();
    let mut waits = None;
    let done = store.writer.write(&mut |connection| {
        for subject in &subjects {
            waits = count(connection, subject, now)?;
            if waits.is_some() {
                // What was counted for the others is taken back.
                return Err(undone());
            }
        }
        Ok(())
    });
    match (done, waits) {
        (Ok(()), _) => Ok(Attempt::Allowed),
        (Err(error), Some(until)) if is_undone(&error) => Ok(Attempt::Wait(until)),
        (Err(error), _) => Err(token_error(error)),
    }
}

/// Takes an attempt that succeeded back.
pub(super) fn forgive(store: &Store, own: &[String], shared: &[String]) -> Result<(), StoreError> {
    let done = store.writer.write(&mut |connection| {
        for subject in own {
            let row = login_failures::table.filter(login_failures::subject.eq(subject));
            diesel::delete(row).execute(connection)?;
        }
        for subject in shared {
            let row = login_failures::table
                .filter(login_failures::subject.eq(subject))
                .filter(login_failures::amount.gt(0));
            diesel::update(row)
                .set(login_failures::amount.eq(login_failures::amount - 1))
                .execute(connection)?;
        }
        Ok(())
    });
    done.map_err(token_error)
}
