//! What a database keeps of accounts.

use data_encoding::HEXLOWER;
use headcount_core::change::{Act, Author, Change};
use headcount_core::clock::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};

use super::{Admin, ClientNetwork, LinkPurpose, Password, Role, SealedTotp};
use crate::store::{StoreError, TokenHash};

/// The digest of a session's cookie or of a link: what is stored instead of it.
///
/// The text behind it has 256 random bits, so that a plain digest gives nothing away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret(String);

impl SessionRow {
    /// Returns the id and the record of the log-in. The id is random: it leads to no cookie.
    pub fn creation(&self, network: &ClientNetwork, by: &Author) -> (String, Change) {
        let mut change = Change::of(Act::Created, &self.admin, &[], self.created, by);
        change.names.address = network.address();
        (format!("{:032x}", rand::random::<u128>()), change)
    }
}

impl Secret {
    /// Makes a new random text, and its digest.
    pub(super) fn generate() -> (SecretString, Self) {
        let text: SecretString = HEXLOWER.encode(&rand::random::<[u8; 32]>()).into();
        let digest = Self::of(text.expose_secret());
        (text, digest)
    }

    /// Returns the digest of a text.
    pub fn of(text: &str) -> Self {
        Self(HEXLOWER.encode(&Sha256::digest(text.as_bytes())))
    }

    /// Returns the text that is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An account with what proves it.
#[derive(Clone)]
pub struct AdminRow {
    /// The account.
    pub admin: Admin,
    /// Its password.
    pub password: Password,
    /// What it shares with an authenticator.
    pub totp: Option<SealedTotp>,
}

/// A link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRow {
    /// Its digest.
    pub secret: Secret,
    /// What it is for.
    pub purpose: LinkPurpose,
    /// When it stops working.
    pub expires: Timestamp,
    /// The account that made it; none when the operator did.
    pub giver: Option<String>,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// The digest of its cookie.
    pub secret: Secret,
    /// The account's name.
    pub admin: String,
    /// When the log-in was.
    pub created: Timestamp,
    /// When it was last used, at most a minute behind.
    pub seen: Timestamp,
    /// When the password was last entered.
    pub proven: Timestamp,
}

/// Whether a client may try to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// Yes; it is counted.
    Allowed,
    /// Not before this time; it is not counted.
    Wait(Timestamp),
}

/// The outcome of a change that must leave an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleChange {
    /// It was made.
    Made,
    /// There is no such account.
    Missing,
    /// No owner would be left.
    LastOwner,
}

/// Durable storage for accounts.
///
/// Every method is atomic, reads what was last committed on every replica, and records what it does to
/// an account as a change under [`super::SERVER`]. A method that takes rights away or sets a password
/// ends the account's sessions with it. One that takes rights away also deletes the links that the account made.
pub trait AccountStore: Send + Sync + 'static {
    /// Tells whether there is an account.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`], here and in every other method.
    fn any_admin(&self) -> Result<bool, StoreError>;

    /// Returns all accounts by name.
    ///
    /// # Errors
    ///
    /// As [`AccountStore::any_admin`].
    fn admins(&self) -> Result<Vec<Admin>, StoreError>;

    /// Finds an account.
    ///
    /// # Errors
    ///
    /// As [`AccountStore::any_admin`].
    fn admin(&self, name: &str) -> Result<Option<AdminRow>, StoreError>;

    /// Keeps a link, records it, and forgets those whose time is over.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`] when its giver is gone, or may no longer give it.
    fn insert_link(&self, link: &LinkRow, at: Timestamp, by: &Author) -> Result<(), StoreError>;

    /// Finds a link that works at `now`. One for the first account works only while there is none, and one that
    /// an account made only while [it may](LinkRow::stands).
    ///
    /// # Errors
    ///
    /// As [`AccountStore::any_admin`].
    fn link(&self, secret: &Secret, now: Timestamp) -> Result<Option<LinkRow>, StoreError>;

    /// Uses a link up and makes its account, or gives an account that is there a new password and takes
    /// its second factor away. False when the link does not work: of many at once, one succeeds, and so
    /// does only one of several links for the first account.
    ///
    /// # Errors
    ///
    /// [`StoreError::Taken`] when an invited name was taken meanwhile.
    fn redeem(
        &self,
        secret: &Secret,
        row: &AdminRow,
        at: Timestamp,
        by: &Author,
    ) -> Result<bool, StoreError>;

    /// Sets a password; false when there is no such account, or it has no second factor and the password does not
    /// stand alone.
    ///
    /// # Errors
    ///
    /// As [`AccountStore::any_admin`].
    fn set_password(
        &self,
        name: &str,
        password: &Password,
        at: Timestamp,
        by: &Author,
    ) -> Result<bool, StoreError>;

    /// Stores the same password in another way, unless it is no longer the one with the hash `old`.
    ///
    /// # Errors
    ///
    /// As [`AccountStore::any_admin`].
    fn rehash(&self, name: &str, old: &TokenHash, password: &Password) -> Result<(), StoreError>;

    /// Sets the second factor; false when there is no such account.
    ///
    /// # Errors
    ///
    /// As [`AccountStore::any_admin`].
    fn set_totp(
        &self,
        name: &str,
        secret: &SealedTotp,
        at: Timestamp,
        by: &Author,
    ) -> Result<bool, StoreError>;

    /// Stores the same second factor in another way, unless it is no longer `old`.
    ///
    /// # Errors
    ///
    /// As [`AccountStore::any_admin`].
    fn reseal(&self, name: &str, old: &SealedTotp, new: &SealedTotp) -> Result<(), StoreError>;

    /// Removes the second factor, and sets a password if one is given. False when there is no such account, or the
    /// password that it is left with does not stand alone.
    ///
    /// # Errors
    ///
    /// As [`AccountStore::any_admin`].
    fn remove_totp(
        &self,
        name: &str,
        password: Option<&Password>,
        at: Timestamp,
        by: &Author,
    ) -> Result<bool, StoreError>;

    /// Notes that a step of the second factor was used; false when it or a later one was used before.
    ///
    /// # Errors
    ///
    /// As [`AccountStore::any_admin`].
    fn use_step(&self, name: &str, step: i64) -> Result<bool, StoreError>;

    /// Gives an account another role. Links that it made are deleted.
    ///
    /// # Errors
    ///
    /// As [`AccountStore::any_admin`].
    fn set_role(
        &self,
        name: &str,
        role: Role,
        at: Timestamp,
        by: &Author,
    ) -> Result<RoleChange, StoreError>;

    /// Removes an account, with the links that it made and those for it.
    ///
    /// # Errors
    ///
    /// As [`AccountStore::any_admin`].
    fn remove_admin(
        &self,
        name: &str,
        at: Timestamp,
        by: &Author,
    ) -> Result<RoleChange, StoreError>;

    /// Keeps a session, forgets those that are older than any may be, and records the log-in and the network
    /// that it came from.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`] when the account is gone.
    fn insert_session(
        &self,
        session: &SessionRow,
        network: &ClientNetwork,
        by: &Author,
    ) -> Result<(), StoreError>;

    /// Records what changed nothing that is stored: a refused log-in, an export.
    ///
    /// # Errors
    ///
    /// As [`AccountStore::any_admin`].
    fn record(&self, kind: &str, id: &str, change: &Change) -> Result<(), StoreError>;

    /// Finds a session with its account.
    ///
    /// # Errors
    ///
    /// As [`AccountStore::any_admin`].
    fn session(&self, secret: &Secret) -> Result<Option<(SessionRow, Admin)>, StoreError>;

    /// Notes that a session was used, and when the password was last entered.
    ///
    /// # Errors
    ///
    /// As [`AccountStore::any_admin`].
    fn touch_session(
        &self,
        secret: &Secret,
        seen: Timestamp,
        proven: Timestamp,
    ) -> Result<(), StoreError>;

    /// Ends a session.
    ///
    /// # Errors
    ///
    /// As [`AccountStore::any_admin`].
    fn end_session(&self, secret: &Secret) -> Result<(), StoreError>;

    /// Ends every session of an account, or of all, and records it.
    ///
    /// # Errors
    ///
    /// As [`AccountStore::any_admin`].
    fn end_sessions(
        &self,
        name: Option<&str>,
        at: Timestamp,
        by: &Author,
    ) -> Result<(), StoreError>;

    /// Returns whether an account was logged in to from a network since a time.
    ///
    /// # Errors
    ///
    /// As [`AccountStore::any_admin`].
    fn knows(&self, name: &str, network: &str, since: Timestamp) -> Result<bool, StoreError>;

    /// Counts an attempt for each subject, unless one of them has to wait: then for none.
    ///
    /// # Errors
    ///
    /// As [`AccountStore::any_admin`].
    fn attempt(&self, subjects: &[String], now: Timestamp) -> Result<Attempt, StoreError>;

    /// Takes back an attempt that succeeded: forgets the counts of `own`, lowers those of `shared` by one.
    ///
    /// # Errors
    ///
    /// As [`AccountStore::any_admin`].
    fn reset_attempts(&self, own: &[String], shared: &[String]) -> Result<(), StoreError>;
}
