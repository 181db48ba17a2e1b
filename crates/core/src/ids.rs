//! Newtypes for ids and versions, so that two of them cannot be swapped.

use std::fmt;
use std::sync::Arc;

macro_rules! text_id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps the text form.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// Returns the text form.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// The `id` of a resource (RFC 7643 §3.1): chosen by the server, case-exact, never reused.
    ResourceId
}
text_id! {
    /// The public part of a token, by which it is listed, logged and revoked.
    TokenId
}
text_id! {
    /// The name of a resource type: `User`, `Group`, or one from an extension file.
    Kind
}
text_id! {
    /// The URN of a schema, in the spelling of its schema file.
    Urn
}
text_id! {
    /// The id of one HTTP request or one command, as in logs, errors and change rows.
    RequestId
}

/// The isolation unit, as the key that every stored row begins with.
///
/// Only the authentication of a token and the administration layer make one, never from anything that a
/// client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(i64);

impl TenantId {
    /// Wraps the key of a stored tenant.
    pub const fn new(key: i64) -> Self {
        Self(key)
    }

    /// Returns the key.
    pub const fn key(self) -> i64 {
        self.0
    }
}

/// The position of a change in the chain: given after its commit, without gaps, in the order in which
/// changes are read. The number of its row, in contrast, is given before the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChainPosition(i64);

impl ChainPosition {
    /// The position before the first change.
    pub const START: Self = Self(0);
    /// A position before any that a row can have, also by tampering.
    pub const MIN: Self = Self(i64::MIN);

    /// Wraps a stored position.
    pub const fn new(number: i64) -> Self {
        Self(number)
    }

    /// Returns the number.
    pub const fn number(self) -> i64 {
        self.0
    }

    /// Returns the position before this one.
    #[must_use]
    pub const fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// Returns the position after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for ChainPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The number of a change's row, given before its commit. Unlike its [position](ChainPosition), it has gaps, and
/// on PostgreSQL a smaller one may be committed after a larger one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ChangeSeq(i64);

impl ChangeSeq {
    /// A number before that of any row.
    pub const MIN: Self = Self(i64::MIN);

    /// Wraps a stored number.
    pub const fn new(number: i64) -> Self {
        Self(number)
    }

    /// Returns the number.
    pub const fn number(self) -> i64 {
        self.0
    }
}

impl fmt::Display for ChangeSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A counter that grows by one with each stored change of a resource; the `ETag` is `W/"7"` for seven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(i64);

impl Version {
    /// The version of a resource that was just created.
    pub const FIRST: Self = Self(1);

    /// Wraps a stored counter.
    pub const fn new(counter: i64) -> Self {
        Self(counter)
    }

    /// Returns the counter.
    pub const fn counter(self) -> i64 {
        self.0
    }

    /// Returns the version of the next stored change.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Version {
    /// Writes the entity tag, weak as RFC 7644 §3.14 shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "W/\"{}\"", self.0)
    }
}

/// The position at which a page ended, in a form that only the provider that made it understands.
///
/// It stays valid while resources are created and deleted: a resource that exists during a whole walk is
/// returned once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(pub String);
