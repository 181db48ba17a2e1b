//! Links with which an administrator sets a password: the first one, an invited one, one who is locked out.
//! Each works once and for an hour; only a digest of it is stored.

use std::time::Duration;

use headcount_core::clock::Timestamp;
use secrecy::SecretString;

use super::Role;
use super::store::Secret;

/// How long a link works.
const LINK_LIFE: Duration = Duration::from_secs(60 * 60);

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

/// A link that was just made, with its secret, which appears nowhere else.
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
        (Self { secret, expires: now.plus(LINK_LIFE) }, digest)
    }
}
