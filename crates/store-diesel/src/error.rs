//! What errors of Diesel mean for a transaction, for a caller and for administration.

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use headcount_core::error::Error;
use headcount_core::provider::{ProviderError, Source};
use headcount_core::work::Halt;
use headcount_token_admin::StoreError;

/// Why a write did not happen, or a read for a request.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// The database refused a statement.
    Db(DieselError),
    /// The job refused by itself.
    Refused(Error),
    /// Another write came in between; the same job may succeed now.
    Retry,
    /// The job wants its changes undone. Its caller knows why, and never passes this on.
    RolledBack,
}

impl From<DieselError> for WriteError {
    fn from(error: DieselError) -> Self {
        Self::Db(error)
    }
}

impl From<Error> for WriteError {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<Halt> for WriteError {
    fn from(halt: Halt) -> Self {
        ProviderError::Halted(halt).into()
    }
}

impl From<ProviderError> for WriteError {
    fn from(error: ProviderError) -> Self {
        Self::Refused(error.into())
    }
}

/// What an error of the database means for its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DbErrorKind {
    /// The statement broke a constraint: the job is wrong, the connection is healthy.
    Constraint,
    /// Two transactions collided; one of them may try again.
    Collision,
    /// The connection is gone.
    Disconnected,
    /// The disk failed. The contents of the file are no longer known.
    DiskIo,
    /// The database is busy, full, or refuses for another reason that may pass.
    Trouble,
}

/// Returns what an error means. Diesel has no code for some of them; those are known by their messages.
pub(crate) fn classify(error: &DieselError) -> DbErrorKind {
    match error {
        DieselError::DatabaseError(kind, info) => match kind {
            DatabaseErrorKind::UniqueViolation
            | DatabaseErrorKind::ForeignKeyViolation
            | DatabaseErrorKind::NotNullViolation
            | DatabaseErrorKind::CheckViolation
            | DatabaseErrorKind::RestrictViolation => DbErrorKind::Constraint,
            DatabaseErrorKind::SerializationFailure => DbErrorKind::Collision,
            DatabaseErrorKind::ClosedConnection => DbErrorKind::Disconnected,
            _ if info.message().contains("deadlock detected") => DbErrorKind::Collision,
            _ if is_lost(info.message()) => DbErrorKind::Disconnected,
            _ if info.message().contains("disk I/O error") => DbErrorKind::DiskIo,
            _ => DbErrorKind::Trouble,
        },
        DieselError::BrokenTransactionManager => DbErrorKind::Disconnected,
        _ => DbErrorKind::Trouble,
    }
}

/// Lets a job that met a constraint be tried again: another writer inserted the row first.
pub(crate) fn retry_on_constraint(error: DieselError) -> WriteError {
    match classify(&error) {
        DbErrorKind::Constraint => WriteError::Retry,
        _ => WriteError::Db(error),
    }
}

/// Returns whether libpq reports that the server went away.
fn is_lost(message: &str) -> bool {
    [
        "terminating connection",
        "server closed the connection",
        "no connection to the server",
        "connection not open",
    ]
    .iter()
    .any(|known| message.contains(known))
}

/// Returns whether PostgreSQL ended a statement that took too long (SQLSTATE 57014) or waited too long for a
/// lock (55P03). Diesel hides the SQLSTATE, and the message may be in any language: one that is not known here
/// is answered 503 as well, with other words.
fn is_overdue(message: &str) -> bool {
    [
        "canceling statement due to statement timeout",
        "canceling statement due to lock timeout",
        "could not obtain lock",
    ]
    .iter()
    .any(|known| message.contains(known))
}

/// Returns the error that the caller gets. The message of the database may contain values, so that only its
/// kind is kept for the log.
pub(crate) fn provider_error(what: &'static str, error: DieselError) -> ProviderError {
    match error {
        DieselError::DatabaseError(_, info) if is_overdue(info.message()) => {
            tracing::warn!(
                reading = what,
                reason = safe(info.message()),
                "a statement took too long"
            );
            ProviderError::Halted(Halt::Deadline)
        }
        DieselError::DatabaseError(kind, info) => ProviderError::Unavailable(Source::new(
            what,
            format!("{kind:?}: {}", safe(info.message())),
        )),
        DieselError::BrokenTransactionManager => {
            ProviderError::Unavailable(Source::new(what, DieselError::BrokenTransactionManager))
        }
        other => ProviderError::Internal(Source::new(what, other)),
    }
}

/// Cuts a message of a database before the first value in it: both databases put values behind a colon, in
/// quotes or in parentheses.
fn safe(message: &str) -> &str {
    let end = message.find([':', '"', '(', '\'']).unwrap_or(message.len());
    message.get(..end).unwrap_or_default().trim_end()
}

/// Returns the error of a write of administration.
pub(crate) fn admin_error(error: WriteError) -> StoreError {
    match error {
        WriteError::Db(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => {
            StoreError::Taken
        }
        WriteError::Db(DieselError::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _)) => {
            StoreError::Missing
        }
        WriteError::Db(error) => {
            StoreError::Unavailable(provider_error("administration is written", error).into())
        }
        WriteError::Refused(Error::Provider(error)) => StoreError::Unavailable(error.into()),
        WriteError::Refused(error) => StoreError::Unavailable(error.into()),
        WriteError::Retry => StoreError::Unavailable("the storage is busy".into()),
        WriteError::RolledBack => StoreError::Unavailable(ROLLED_BACK.into()),
    }
}

/// Returns the error of a write that runs only the store's own code.
pub(crate) fn own_error(what: &'static str, error: WriteError) -> ProviderError {
    match write_error(what, error) {
        Error::Provider(error) => error,
        other => ProviderError::Internal(Source::new(what, other)),
    }
}

/// Returns the error of a write that runs a caller's code.
pub(crate) fn write_error(what: &'static str, error: WriteError) -> Error {
    match error {
        WriteError::Refused(error) => error,
        WriteError::Db(error) => provider_error(what, error).into(),
        WriteError::Retry => {
            ProviderError::Unavailable(Source::invariant("a write that was tried several times"))
                .into()
        }
        WriteError::RolledBack => Error::internal(ROLLED_BACK),
    }
}

const ROLLED_BACK: &str = "a write was undone, and its caller does not expect it";

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(message: &str) -> DieselError {
        let info: Box<dyn diesel::result::DatabaseErrorInformation + Send + Sync> =
            Box::new(message.to_owned());
        DieselError::DatabaseError(DatabaseErrorKind::Unknown, info)
    }

    #[test]
    fn errors_without_a_code_are_known_by_their_messages() {
        for (message, kind) in [
            ("deadlock detected", DbErrorKind::Collision),
            ("terminating connection due to administrator command", DbErrorKind::Disconnected),
            ("disk I/O error", DbErrorKind::DiskIo),
            ("database is locked", DbErrorKind::Trouble),
        ] {
            assert_eq!(classify(&unknown(message)), kind, "{message}");
        }
    }

    #[test]
    fn a_message_is_cut_before_its_values() {
        assert_eq!(safe("duplicate key: jane@example.com"), "duplicate key");
        assert_eq!(safe("no such column \"x\""), "no such column");
    }
}
