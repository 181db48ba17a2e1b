//! Links with which an administrator sets a password: the first one, an invited one, one who is locked out.
//! Each works once and for an hour; only a digest of it is stored.

use std::time::Duration;

use headcount_core::change::{Act, Actor, Author, Change};
use headcount_core::clock::Timestamp;
use secrecy::SecretString;

use super::Role;
use super::store::{LinkRow, Secret};
use crate::principal::Action;

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

impl LinkRow {
    /// Returns whether the account that made the link may still make it, by the role that it has now; `None` when
    /// there is no such account any more. A link that the operator made stands.
    pub fn stands(&self, giver: Option<Role>) -> bool {
        let least = match &self.purpose {
            LinkPurpose::Invite(_, role) => *role,
            LinkPurpose::First | LinkPurpose::Recover(_) => Role::Owner,
        };
        self.giver.is_none()
            || giver.is_some_and(|role| Action::InviteAccount.is_open_to(role) && role >= least)
    }

    /// Returns the account that the link is for.
    pub fn account(&self) -> Option<&str> {
        match &self.purpose {
            LinkPurpose::First => None,
            LinkPurpose::Recover(name) | LinkPurpose::Invite(name, _) => Some(name),
        }
    }

    /// Returns the id and the record of its making: for which account, for what, and by whom. `None` for the link
    /// that a server without accounts makes at each start: no one has asked for it, and its use is recorded.
    pub fn creation(&self, at: Timestamp, by: &Author) -> Option<(&str, Change)> {
        if by.actor == Actor::System {
            return None;
        }
        let name = self.account().unwrap_or("first");
        let paths = match &self.purpose {
            LinkPurpose::First => vec!["first"],
            LinkPurpose::Recover(_) => vec!["recover"],
            LinkPurpose::Invite(_, role) => vec!["invite", role.word()],
        };
        Some((name, Change::of(Act::Created, name, &paths, at, by)))
    }
}
