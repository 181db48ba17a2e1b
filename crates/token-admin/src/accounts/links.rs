//! Links that let somebody set a password: the first administrator, an invited one, one who is locked
//! out. Each works once and for an hour; only a digest of it is kept.

use headcount_core::clock::Timestamp;
use secrecy::SecretString;

use super::Role;
use super::store::Secret;

/// Seconds for which a link works.
pub(super) const LIFE: i64 = 60 * 60;

/// What a link is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkPurpose {
    /// Making the first administrator; only while there is none.
    First,
    /// A new password for an account, without its second factor.
    Recover(String),
    /// An account that does not exist yet, with its role.
    Invite(String, Role),
}

/// A link that was just made: the only place where its secret appears.
#[derive(Debug)]
pub struct Link {
    /// The last part of its path.
    pub secret: SecretString,
    /// When it stops working.
    pub expires: Timestamp,
}

impl Link {
    pub(super) fn generate(now: Timestamp) -> (Self, Secret) {
        let (secret, digest) = Secret::generate();
        (Self { secret, expires: now.plus_seconds(LIFE) }, digest)
    }
}
