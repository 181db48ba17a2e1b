//! Attempts to log in, counted.

use diesel::prelude::*;
use headcount_core::clock::Timestamp;
use headcount_token_admin::StoreError;
use headcount_token_admin::accounts::{Attempt, throttle};

use crate::connection::DbConnection;
use crate::error::{WriteError, admin_error};
use crate::schema::login_failures;
use crate::sql::Sql;
use crate::store::Store;

/// Counts an attempt for one subject, or returns until when the subject has to wait.
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
    let row = login_failures::table.filter(login_failures::subject.eq(subject));
    let forgotten = now.minus(throttle::COUNT_LIFE).micros();
    diesel::update(row.filter(login_failures::last.le(forgotten)))
        .set(login_failures::amount.eq(0))
        .execute(connection)?;
    // From here on the row is locked: parallel attempts are counted one after the other.
    let counted = diesel::update(row.filter(login_failures::until.le(now.micros())))
        .set((
            login_failures::amount.eq(login_failures::amount + 1),
            login_failures::last.eq(now.micros()),
        ))
        .returning(login_failures::amount)
        .get_result::<i64>(connection)
        .optional()?;
    let Some(counted) = counted else {
        let until = row.select(login_failures::until).first::<i64>(connection)?;
        return Ok(Some(Timestamp::from_micros(until)));
    };
    let until = now.plus(throttle::wait(counted)).micros();
    diesel::update(row).set(login_failures::until.eq(until)).execute(connection)?;
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
    let outcome = store.writer.write(&mut |connection| {
        for subject in &subjects {
            waits = count(connection, subject, now)?;
            if waits.is_some() {
                // The others are not counted, either.
                return Err(WriteError::RolledBack);
            }
        }
        Ok(())
    });
    match (outcome, waits) {
        (Ok(()), _) => Ok(Attempt::Allowed),
        (Err(WriteError::RolledBack), Some(until)) => Ok(Attempt::Wait(until)),
        (Err(error), _) => Err(admin_error(error)),
    }
}

/// Takes back an attempt that succeeded.
pub(super) fn reset_attempts(
    store: &Store,
    own: &[String],
    shared: &[String],
) -> Result<(), StoreError> {
    store.write_admin(|connection| {
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
    })
}
