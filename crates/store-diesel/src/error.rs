//! From the errors of Diesel to meanings.

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use headcount_core::error::Error;
use headcount_core::provider::{ProviderError, Source};
use headcount_core::work::Halt;
use headcount_token_admin::StoreError;

/// Why a write did not happen, or a read that is done for a request.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// The database said no.
    Db(DieselError),
    /// The job itself refused.
    Refused(Error),
    /// Another write came between; the same job may succeed now.
    Retry,
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

/// What an error of the database means for the transaction that it happened in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The statement broke a constraint: the job is wrong, the connection is well.
    Constraint,
    /// Two transactions met; one of them may try again.
    Collision,
    /// The connection is gone.
    Disconnected,
    /// The database is busy, full, or refuses for another reason that may pass.
    Trouble,
}

pub(crate) fn meaning(error: &DieselError) -> Meaning {
    match error {
        DieselError::DatabaseError(kind, info) => match kind {
            DatabaseErrorKind::UniqueViolation
            | DatabaseErrorKind::ForeignKeyViolation
            | DatabaseErrorKind::NotNullViolation
            | DatabaseErrorKind::CheckViolation
            | DatabaseErrorKind::RestrictViolation => Meaning::Constraint,
            DatabaseErrorKind::SerializationFailure => Meaning::Collision,
            DatabaseErrorKind::ClosedConnection => Meaning::Disconnected,
            _ if info.message().contains("deadlock detected") => Meaning::Collision,
            _ if is_lost(info.message()) => Meaning::Disconnected,
            _ => Meaning::Trouble,
        },
        DieselError::BrokenTransactionManager => Meaning::Disconnected,
        _ => Meaning::Trouble,
    }
}

/// What libpq says when the server went away: it has no code of its own for it.
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

/// Whether PostgreSQL ended a statement because it took too long (SQLSTATE 57014) or waited too long for a lock
/// (55P03). Diesel gives out no SQLSTATE, and the message may be in any language: one that is not known here is
/// answered 503 as well, in other words.
fn is_overdue(message: &str) -> bool {
    [
        "canceling statement due to statement timeout",
        "canceling statement due to lock timeout",
        "could not obtain lock",
    ]
    .iter()
    .any(|known| message.contains(known))
}

/// Turns an error of a read into what the caller is told. The message of the database may name
/// values, so that only its kind is kept for the log.
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

/// Keeps what databases say about themselves and cuts what they say about data: both put values
/// behind a colon, in quotes or in parentheses.
fn safe(message: &str) -> &str {
    let end = message.find([':', '"', '(', '\'']).unwrap_or(message.len());
    message.get(..end).unwrap_or_default().trim_end()
}

pub(crate) fn token_error(error: WriteError) -> StoreError {
    match error {
        WriteError::Db(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => {
            StoreError::Taken
        }
        WriteError::Db(DieselError::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _)) => {
            StoreError::Missing
        }
        WriteError::Db(error) => {
            StoreError::Unavailable(provider_error("tokens are read or written", error).into())
        }
        WriteError::Refused(Error::Provider(error)) => StoreError::Unavailable(error.into()),
        WriteError::Refused(error) => StoreError::Unavailable(error.into()),
        WriteError::Retry => StoreError::Unavailable("the storage is busy".into()),
    }
}

/// The error of a write that runs nothing but the store's own code.
pub(crate) fn own_error(what: &'static str, error: WriteError) -> ProviderError {
    match write_error(what, error) {
        Error::Provider(error) => error,
        other => ProviderError::Internal(Source::new(what, other)),
    }
}

pub(crate) fn write_error(what: &'static str, error: WriteError) -> Error {
    match error {
        WriteError::Refused(error) => error,
        WriteError::Db(error) => provider_error(what, error).into(),
        WriteError::Retry => {
            ProviderError::Unavailable(Source::invariant("a write that was tried again and again"))
                .into()
        }
    }
}
