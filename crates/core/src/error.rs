//! Errors by meaning, and the one table from meaning to status and `scimType`.

#![warn(clippy::wildcard_enum_match_arm)]

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use thiserror::Error as ThisError;

use crate::ids::ResourceId;
use crate::work::Halt;

/// Why a use case failed. Nothing was changed.
///
/// `Display` is the `detail` of the SCIM error (RFC 7644 §3.12): one sentence for the client's
/// administrator that names the attribute or the limit, and what to change.
#[derive(Debug, ThisError)]
pub enum Error {
    /// The filter does not parse, or names something that the kind does not have.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// A path does not parse, or names something that the kind does not have.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A value does not fit its attribute.
    #[error("{}{reason}", path.as_ref().map_or_else(String::new, |path| format!("{path}: ")))]
    Value {
        /// The attribute, as `emails[0].value`; none when the error is about the message as a whole.
        path: Option<String>,
        /// Why it does not fit, and what would.
        reason: String,
    },
    /// The body does not have the form of its message.
    #[error("{0}")]
    Syntax(String),
    /// The client may not change the attribute, or no longer.
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
    /// A search would read or return more than one may.
    #[error("{0}")]
    TooMany(String),
    /// The request used up its budget, or was stopped.
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
    /// There is no such resource in the tenant. Other tenants' resources do not exist for a client.
    #[error("there is no {what} here")]
    NotFound {
        /// The kind and id, or the endpoint, as in the request.
        what: String,
    },
    /// The resource does not have the version that the client expects.
    #[error(
        "the resource has changed since (its version is now {current}); read it again and repeat the change"
    )]
    PreconditionFailed {
        /// The entity tag of the stored version.
        current: String,
    },
    /// The token is valid but does not allow this.
    #[error("{0}")]
    Forbidden(String),
    /// The request contradicts itself or the state of the resource, other than by a unique value.
    #[error("{0}")]
    Conflict(String),
    /// The message is larger than a limit.
    #[error("{0}")]
    TooLarge(String),
    /// The server does not do this (RFC 7644 §3.11, §3.12).
    #[error("{0}")]
    NotImplemented(String),
    /// The `cursor` was not made by this server for this query (RFC 9865 §2.1).
    #[error("the cursor does not belong to this query; start again without a cursor")]
    InvalidCursor,
    /// The `cursor` is too old (RFC 9865 §2.1).
    #[error("the cursor has expired; start again without a cursor")]
    ExpiredCursor,
    /// The `count` is larger than the maximum page size (RFC 9865 §2.1).
    #[error("count is larger than the maximum page size; ask for fewer resources per page")]
    InvalidCount,
    /// The store refused, or could not be reached.
    #[error(transparent)]
    Provider(#[from] ProviderError),
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

/// An attribute path that names nothing (RFC 7644 §3.10).
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[error("path \"{path}\": {reason}")]
pub struct PathError {
    /// The path as written, shortened when it is long.
    pub path: String,
    /// What is wrong.
    pub reason: String,
    /// What the path begins with.
    pub lead: Lead,
}

/// What a path that names nothing begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lead {
    /// The URN of a schema of the kind, or none.
    Known,
    /// A URN that belongs to another application.
    Foreign,
    /// A URN that differs from one of the kind's by a mistake.
    Mistaken,
}

impl PathError {
    pub(crate) fn new(path: &str, reason: impl Into<String>) -> Self {
        Self { path: excerpt(path), reason: reason.into(), lead: Lead::Known }
    }
}

/// Shortens a client's text for an error message.
pub(crate) fn excerpt(text: &str) -> String {
    const MAX_CHARS: usize = 100;
    match text.char_indices().nth(MAX_CHARS) {
        Some((cut, _)) => format!("{}…", text.get(..cut).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn status_of_halt(halt: Halt) -> (u16, Option<&'static str>) {
    match halt {
        Halt::Spent => (400, Some("tooMany")),
        Halt::Deadline | Halt::Gone => (503, None),
    }
}

impl Error {
    /// Makes an `invalidValue` error for the attribute at `path`; an empty one means the message as a whole.
    pub fn value(path: impl Into<String>, reason: impl Into<String>) -> Self {
        let path = Some(path.into()).filter(|path: &String| !path.is_empty());
        Self::Value { path, reason: reason.into() }
    }

    /// Makes an `invalidValue` error about the message as a whole.
    pub fn message_value(reason: impl Into<String>) -> Self {
        Self::Value { path: None, reason: reason.into() }
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
            Self::Halted(halt) => status_of_halt(*halt),
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
                ProviderError::Halted(halt) => status_of_halt(*halt),
                ProviderError::Unavailable(_) => (503, None),
                ProviderError::Internal(_) => (500, None),
            },
        }
    }

    /// Returns the attribute that the error is about, for the provisioning log.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Value { path, .. } => path.as_deref(),
            Self::Mutability { path, .. } | Self::Uniqueness { path } => Some(path),
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

    /// Adds a position such as `operation 2` to the reason. Status and type stay the same.
    #[must_use]
    pub fn within(self, position: &str) -> Self {
        match self {
            Self::Filter(FilterError { reason, at }) => {
                Self::Filter(FilterError { reason: format!("{position}: {reason}"), at })
            }
            Self::Path(error) => {
                Self::Path(PathError { reason: format!("{} ({position})", error.reason), ..error })
            }
            Self::Value { path, reason } => {
                Self::Value { path, reason: format!("{reason} ({position})") }
            }
            Self::Syntax(reason) => Self::Syntax(format!("{position}: {reason}")),
            Self::NoTarget(reason) => Self::NoTarget(format!("{position}: {reason}")),
            Self::Mutability { path, reason } => {
                Self::Mutability { path, reason: format!("{reason} ({position})").into() }
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

/// Why a method of a provider failed. Nothing was changed.
#[derive(Debug, ThisError)]
pub enum ProviderError {
    /// There is no such resource in the tenant.
    #[error("there is no such resource here")]
    NotFound,
    /// Other requests kept changing the resource in the meantime.
    #[error("the resource is being changed by others; repeat the request")]
    VersionConflict,
    /// A unique key belongs to another resource: the path of the attribute.
    #[error(
        "another resource already has this {0}, which must be unique; \
         change the value, or find the existing resource by a filter and update it"
    )]
    Uniqueness(Arc<str>),
    /// A named member does not exist in the tenant.
    #[error(
        "members: there is no user or group with the id \"{0}\"; provision the member before adding it"
    )]
    UnknownMember(ResourceId),
    /// The query would read more resources than one may.
    #[error(
        "the filter would have to read more than {0} resources; use an indexed attribute or narrow the filter"
    )]
    TooMany(u64),
    /// The query used up its budget, or was stopped.
    #[error(transparent)]
    Halted(#[from] Halt),
    /// This provider did not make the key.
    #[error("the cursor does not belong to this query; start again without a cursor")]
    InvalidKey,
    /// The store cannot be reached, is overloaded, or its disk is full. Transient; retry later.
    #[error("the storage is not available at the moment; repeat the request later")]
    Unavailable(#[source] Source),
    /// A broken invariant, or a fault of the store.
    #[error("an internal error")]
    Internal(#[source] Source),
}

impl ProviderError {
    /// Converts the error of a filter or sort key that a provider evaluates while it finds resources.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "evaluating what is resolved fails in no other way"
    )]
    pub fn evaluating(error: Error) -> Self {
        match error {
            Error::Halted(halt) => Self::Halted(halt),
            Error::Provider(error) => error,
            other => Self::Internal(Source::new("a filter is evaluated", other)),
        }
    }
}

/// The cause of a [`ProviderError`], for logs only. It never has values of attributes in it.
#[derive(Debug)]
pub struct Source {
    what: &'static str,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Source {
    /// Makes a source from a cause, and what was being done when it happened.
    pub fn new(
        what: &'static str,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { what, cause: Some(cause.into()) }
    }

    /// Makes a source from an invariant that does not hold.
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
