//! Removes records when the log is full or they are too old.
//!
//! Two kinds of records have limits of their own: those whose token was proven, and those of strangers, who
//! could otherwise send so many requests that no other record is left.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};
use headcount_core::provider::ProviderError;
use headcount_records::Retention;

use super::{LogStore, names};
use crate::connection::{DbConnection, give_back, lift_limits, log_bytes};
use crate::error::provider_error;
use crate::sql::Sql;

/// Records that are removed at once.
const SLICE: i64 = 2_000;
/// Bytes that the record of a stranger takes at most, its index entries included: its texts are cut when they are
/// written.
const STRANGER_BYTES: i64 = 2_048;
const WHAT: &str = "the provisioning log is pruned";

impl LogStore {
    pub(super) fn prune_all(&self, retention: Retention) -> Result<usize, ProviderError> {
        let mut pruned = 0;
        let steps: [Step; 2] = [strangers, proven];
        for step in steps {
            loop {
                let removed = self.write(WHAT, |connection| {
                    lift_limits(connection)?;
                    step(connection, retention)
                })?;
                if removed == 0 {
                    break;
                }
                pruned += removed;
            }
        }
        if pruned > 0 {
            self.give_back()?;
        }
        Ok(pruned)
    }

    fn give_back(&self) -> Result<(), ProviderError> {
        let mut slot = self.writer();
        match slot.as_mut() {
            Some(connection) => give_back(connection).map_err(|error| provider_error(WHAT, error)),
            None => Ok(()),
        }
    }
}

/// Removes a slice, and returns how many records it had.
type Step = fn(&mut DbConnection, Retention) -> QueryResult<usize>;

/// Removes strangers that are too old or too many. They have no names.
fn strangers(connection: &mut DbConnection, retention: Retention) -> QueryResult<usize> {
    Sql::new(
        "DELETE FROM requests WHERE seq IN (SELECT seq FROM requests WHERE stranger <> 0 AND (at < ",
    )
    .int(retention.before.micros())
    .text(" OR seq <= (SELECT seq FROM requests WHERE stranger <> 0 ORDER BY seq DESC LIMIT 1 OFFSET ")
    .int(retention.strangers)
    .text(")) ORDER BY seq LIMIT ")
    .int(SLICE)
    .text(")")
    .query::<()>()
    .execute(connection)
}

/// Removes requests whose token was proven, when they are too old or take too much room.
fn proven(connection: &mut DbConnection, retention: Retention) -> QueryResult<usize> {
    let most = i64::try_from(retention.bytes).unwrap_or(i64::MAX);
    let strangers = Sql::new("SELECT count(*) FROM requests WHERE stranger <> 0");
    let strangers: i64 = strangers.query::<BigInt>().get_result(connection)?;
    let oldest = Sql::new(
        "SELECT max(seq) FROM (SELECT seq, at FROM requests WHERE stranger = 0 ORDER BY seq LIMIT ",
    );
    let oldest = oldest.int(SLICE).text(") oldest");
    let bytes: i64 = Sql::new(log_bytes(connection)).query::<BigInt>().get_result(connection)?;
    let oldest = if bytes - strangers * STRANGER_BYTES > most {
        oldest
    } else {
        oldest.text(" WHERE at < ").int(retention.before.micros())
    };
    let last: Option<i64> = oldest.query::<Nullable<BigInt>>().get_result(connection)?;
    let Some(last) = last else { return Ok(0) };
    let found = Sql::new("DELETE FROM request_names WHERE bucket <= ").int(names::bucket(last));
    found.text(" AND seq <= ").int(last).query::<()>().execute(connection)?;
    let requests = Sql::new("DELETE FROM requests WHERE stranger = 0 AND seq <= ").int(last);
    requests.query::<()>().execute(connection)
}
