//! What can go wrong, by meaning, and the one table from meaning to status and `scimType`.

#![warn(clippy::wildcard_enum_match_arm)]

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use thiserror::Error as ThisError;

use crate::ids::ResourceId;
use crate::work::Halt;

/// A use case that did not happen. Nothing was changed.
///
/// `Display` is the `detail` of the SCIM error (RFC 7644 §3.12): one sentence for the client's
/// admin, naming the attribute or the limit and what to change.
#[derive(Debug, ThisError)]
pub enum Error {
    /// The filter does not parse, or names something that the kind does not have.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// A path does not parse, or names something that the kind does not have.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A value does not fit its attribute.
    #[error("{}{reason}", located(path))]
    Value {
        /// The attribute, as `emails[0].value`; empty for the body as a whole.
        path: String,
        /// Why it does not fit, and what would.
        reason: String,
    },
    /// The body is not of the message's shape.
    #[error("{0}")]
    Syntax(String),
    /// The attribute may not be changed by a client, or not any more.
    #[error("{path}: {reason}")]
    Mutability {
        /// The attribute.
        path: String,
        /// Which rule forbids the change.
        reason: Cow<'static, str>,
    },
    /// A PATCH operation has nothing to work on.
    #[error("{0}")]
    NoTarget(String),
    /// The question would cost more than the server is willing to pay.
    #[error("{0}")]
    TooMany(String),
    /// The request costs more than one may, or was stopped.
    #[error(transparent)]
    Halted(#[from] Halt),
    /// The value of a unique attribute belongs to another resource.
    #[error(
        "another resource already has this {path}, which must be unique; \
         change the value, or find the existing resource by a filter and update it"
    )]
    Uniqueness {
        /// The attribute.
        path: String,
    },
    /// There is no such resource here, or it belongs to another tenant: both look the same.
    #[error("there is no {what} here")]
    NotFound {
        /// The kind and id, or the endpoint, as asked for.
        what: String,
    },
    /// The resource is not in the version that the client wants to change.
    #[error(
        "the resource has changed since (its version is now {current}); read it again and repeat the change"
    )]
    PreconditionFailed {
        /// The entity tag of the stored version.
        current: String,
    },
    /// The token is good, but does not allow this.
    #[error("{0}")]
    Forbidden(String),
    /// The request conflicts with itself or with the state, other than by a unique value.
    #[error("{0}")]
    Conflict(String),
    /// The message is larger than a limit.
    #[error("{0}")]
    TooLarge(String),
    /// The server does not do this (RFC 7644 §3.11, §3.12).
    #[error("{0}")]
    NotImplemented(String),
    /// The `cursor` is not one of ours, or not for this query (RFC 9865 §2.1).
    #[error("the cursor does not belong to this query; start again without a cursor")]
    InvalidCursor,
    /// The `cursor` was given out too long ago (RFC 9865 §2.1).
    #[error("the cursor has expired; start again without a cursor")]
    ExpiredCursor,
    /// The `count` differs from what the cursor was made for (RFC 9865 §2.1).
    #[error("count is larger than the maximum page size; ask for fewer resources per page")]
    InvalidCount,
    /// The store refused or could not be reached.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}

fn located(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("{path}: ") }
}

/// A filter that the server does not understand (RFC 7644 §3.4.2.2).
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[error("{reason}{}", position(*.at))]
pub struct FilterError {
    /// What is wrong and what was expected.
    pub reason: String,
    /// Byte offset in the filter, where known.
    pub at: Option<usize>,
}

fn position(at: Option<usize>) -> String {
    at.map_or_else(String::new, |at| format!(" (at character {})", at + 1))
}

/// An attribute path that leads nowhere (RFC 7644 §3.10).
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[error("path \"{path}\": {reason}")]
pub struct PathError {
    /// The path as written, shortened when it is long.
    pub path: String,
    /// What is wrong.
    pub reason: String,
    /// What it begins with.
    pub lead: Lead,
}

/// What a path that leads nowhere begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lead {
    /// The URN of a schema of the kind, or none.
    Known,
    /// A URN of others, which is none of our business.
    Foreign,
    /// A URN that is nearly one of the kind's: a mistake.
    Mistaken,
}

impl PathError {
    pub(crate) fn new(path: &str, reason: impl Into<String>) -> Self {
        Self { path: excerpt(path), reason: reason.into(), lead: Lead::Known }
    }
}

/// Shortens a client's text for an error message.
pub(crate) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 100;
    match text.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("{}…", text.get(..cut).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn halted(halt: Halt) -> (u16, Option<&'static str>) {
    match halt {
        Halt::Spent => (400, Some("tooMany")),
        Halt::Deadline | Halt::Gone => (503, None),
    }
}

impl Error {
    /// Makes an `invalidValue` error for the attribute at `path`.
    pub fn value(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Value { path: path.into(), reason: reason.into() }
    }

    /// Makes an `invalidSyntax` error.
    pub fn syntax(reason: impl Into<String>) -> Self {
        Self::Syntax(reason.into())
    }

    /// Makes an `invalidFilter` error without a position.
    pub fn filter(reason: impl Into<String>) -> Self {
        Self::Filter(FilterError { reason: reason.into(), at: None })
    }

    /// Makes a `404` for a resource.
    pub fn not_found(kind: &crate::ids::Kind, id: &ResourceId) -> Self {
        Self::NotFound { what: format!("{kind} with the id \"{}\"", excerpt(id.as_str())) }
    }

    /// Makes an internal error that names the invariant which does not hold.
    pub fn internal(invariant: &'static str) -> Self {
        Self::Provider(ProviderError::Internal(Source::invariant(invariant)))
    }

    /// Returns the HTTP status and the `scimType` (RFC 7644 §3.12 Table 9; RFC 9865 §2.1).
    pub fn status_and_type(&self) -> (u16, Option<&'static str>) {
        match self {
            Self::Filter(_) => (400, Some("invalidFilter")),
            Self::Path(_) => (400, Some("invalidPath")),
            Self::Value { .. } => (400, Some("invalidValue")),
            Self::Syntax(_) => (400, Some("invalidSyntax")),
            Self::Mutability { .. } => (400, Some("mutability")),
            Self::NoTarget(_) => (400, Some("noTarget")),
            Self::TooMany(_) => (400, Some("tooMany")),
            Self::Halted(halt) => halted(*halt),
            Self::Uniqueness { .. } => (409, Some("uniqueness")),
            Self::InvalidCursor => (400, Some("invalidCursor")),
            Self::ExpiredCursor => (400, Some("expiredCursor")),
            Self::InvalidCount => (400, Some("invalidCount")),
            Self::Conflict(_) => (409, None),
            Self::NotFound { .. } => (404, None),
            Self::PreconditionFailed { .. } => (412, None),
            Self::Forbidden(_) => (403, None),
            Self::TooLarge(_) => (413, None),
            Self::NotImplemented(_) => (501, None),
            Self::Provider(error) => match error {
                ProviderError::NotFound => (404, None),
                ProviderError::VersionConflict => (503, None),
                ProviderError::Uniqueness(_) => (409, Some("uniqueness")),
                ProviderError::UnknownMember(_) => (400, Some("invalidValue")),
                ProviderError::TooMany(_) => (400, Some("tooMany")),
                ProviderError::InvalidKey => (400, Some("invalidCursor")),
                ProviderError::Halted(halt) => halted(*halt),
                ProviderError::Unavailable(_) => (503, None),
                ProviderError::Internal(_) => (500, None),
            },
        }
    }

    /// Returns the attribute that the error is about, for the provisioning log.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Value { path, .. }
            | Self::Mutability { path, .. }
            | Self::Uniqueness { path } => Some(path.as_str()).filter(|path| !path.is_empty()),
            Self::Path(error) => Some(&error.path),
            Self::Provider(ProviderError::Uniqueness(path)) => Some(path),
            Self::Provider(ProviderError::UnknownMember(_)) => Some("members"),
            Self::Provider(
                ProviderError::NotFound
                | ProviderError::VersionConflict
                | ProviderError::TooMany(_)
                | ProviderError::InvalidKey
                | ProviderError::Halted(_)
                | ProviderError::Unavailable(_)
                | ProviderError::Internal(_),
            )
            | Self::Filter(_)
            | Self::Syntax(_)
            | Self::NoTarget(_)
            | Self::TooMany(_)
            | Self::Halted(_)
            | Self::NotFound { .. }
            | Self::PreconditionFailed { .. }
            | Self::Forbidden(_)
            | Self::Conflict(_)
            | Self::TooLarge(_)
            | Self::NotImplemented(_)
            | Self::InvalidCursor
            | Self::ExpiredCursor
            | Self::InvalidCount => None,
        }
    }

    /// Puts a place in front of the reason, as `operation 2: …`; the meaning stays.
    #[must_use]
    pub fn within(self, place: &str) -> Self {
        let prefixed = |reason: String| format!("{place}: {reason}");
        match self {
            Self::Filter(error) => {
                Self::Filter(FilterError { reason: prefixed(error.reason), at: error.at })
            }
            Self::Path(error) => {
                Self::Path(PathError { reason: format!("{} ({place})", error.reason), ..error })
            }
            Self::Value { path, reason } => {
                Self::Value { path, reason: format!("{reason} ({place})") }
            }
            Self::Syntax(reason) => Self::Syntax(prefixed(reason)),
            Self::NoTarget(reason) => Self::NoTarget(prefixed(reason)),
            Self::Mutability { path, reason } => {
                Self::Mutability { path, reason: format!("{reason} ({place})").into() }
            }
            other @ (Self::TooMany(_)
            | Self::Halted(_)
            | Self::Uniqueness { .. }
            | Self::NotFound { .. }
            | Self::PreconditionFailed { .. }
            | Self::Forbidden(_)
            | Self::Conflict(_)
            | Self::TooLarge(_)
            | Self::NotImplemented(_)
            | Self::InvalidCursor
            | Self::ExpiredCursor
            | Self::InvalidCount
            | Self::Provider(_)) => other,
        }
    }
}

/// Why a provider did not do what it was asked. Nothing was changed.
#[derive(Debug, ThisError)]
pub enum ProviderError {
    /// There is no such resource in the tenant.
    #[error("there is no such resource here")]
    NotFound,
    /// Others changed the resource meanwhile, again and again.
    #[error("the resource is being changed by others; repeat the request")]
    VersionConflict,
    /// A unique key belongs to another resource: the path of the attribute.
    #[error(
        "another resource already has this {0}, which must be unique; \
         change the value, or find the existing resource by a filter and update it"
    )]
    Uniqueness(Arc<str>),
    /// A member is named that does not exist in the tenant.
    #[error(
        "members: there is no user or group with the id \"{0}\"; provision the member before adding it"
    )]
    UnknownMember(ResourceId),
    /// The query would visit more resources than allowed.
    #[error(
        "the filter would have to read more than {0} resources; use an indexed attribute or narrow the filter"
    )]
    TooMany(u64),
    /// The query costs more than its budget, or was stopped.
    #[error(transparent)]
    Halted(#[from] Halt),
    /// A key that this provider did not make.
    #[error("the cursor does not belong to this query; start again without a cursor")]
    InvalidKey,
    /// The store cannot be reached, is overloaded, or its disk is full. Transient; retry later.
    #[error("the storage is not available at the moment; repeat the request later")]
    Unavailable(#[source] Source),
    /// Something that cannot happen.
    #[error("an internal error")]
    Internal(#[source] Source),
}

impl ProviderError {
    /// Takes the error of a filter or sort key that a provider evaluates while it finds resources.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "no other error, of today or later, comes from evaluating what is resolved"
    )]
    pub fn evaluating(error: Error) -> Self {
        match error {
            Error::Halted(halt) => Self::Halted(halt),
            Error::Provider(error) => error,
            other => Self::Internal(Source::new("a filter is evaluated", other)),
        }
    }
}

/// The cause of a [`ProviderError`], for logs only: it may hold anything but values of attributes.
#[derive(Debug)]
pub struct Source {
    what: &'static str,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Source {
    /// Returns what was being done when `cause` happened.
    pub fn new(
        what: &'static str,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { what, cause: Some(cause.into()) }
    }

    /// Names an invariant that does not hold.
    pub fn invariant(what: &'static str) -> Self {
        Self { what, cause: None }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
}

impl std::error::Error for Source {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            Some(cause) => Some(&**cause),
            None => None,
        }
    }
}
