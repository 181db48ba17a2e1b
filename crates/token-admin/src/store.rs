//! What a database stores of a token: everything but the secret.

use std::net::IpAddr;

use headcount_core::change::{Act, Author, Change};
use headcount_core::clock::Timestamp;
use headcount_core::ids::{ResourceId, TenantId, TokenId};
use headcount_core::quirks::Quirks;
use headcount_core::text::is_disruptive;
use ipnet::IpNet;
use thiserror::Error as ThisError;

use crate::format::Purpose;
use crate::scope::Scopes;

/// A token as administrators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The public id.
    pub id: TokenId,
    /// What it is for.
    pub purpose: Purpose,
    /// The tenant whose data it opens.
    pub tenant: TenantId,
    /// The name that an admin gave it.
    pub name: String,
    /// What it allows.
    pub scopes: Scopes,
    /// Networks from which it may be used; all, when empty.
    pub cidrs: Vec<IpNet>,
    /// When it was created.
    pub created: Timestamp,
    /// By whom.
    pub created_by: String,
    /// When it stops working; never, when absent.
    pub expires: Option<Timestamp>,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
    /// The token that this one takes over from.
    pub replaces: Option<TokenId>,
    /// The last use that was written down; at most a minute behind.
    pub last_used: Option<LastUsed>,
    /// The user that `/Me` is.
    pub user: Option<ResourceId>,
}

/// Whether a token is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenState {
    /// It is accepted, unless its tenant is switched off.
    Works,
    /// Its life is over.
    Expired,
    /// It was revoked.
    Revoked,
}

impl Token {
    /// The longest name, in characters.
    pub const MAX_NAME: usize = 100;

    /// Returns whether a text can name a token.
    pub fn is_name(text: &str) -> bool {
        (1..=Self::MAX_NAME).contains(&text.chars().count())
            && !text.chars().any(is_disruptive)
            && text.trim() == text
    }

    /// Returns whether it is accepted at a moment.
    pub fn state(&self, now: Timestamp) -> TokenState {
        match (self.revoked, self.expires) {
            (Some(_), _) => TokenState::Revoked,
            (None, Some(expires)) if expires <= now => TokenState::Expired,
            (None, _) => TokenState::Works,
        }
    }

    /// Returns the record of making this token.
    pub fn creation(&self, by: &Author) -> Change {
        let paths: &[&str] = if self.replaces.is_some() { &["replaces"] } else { &[] };
        Change::of(Act::Created, &self.name, paths, self.created, by)
    }
}

/// When, from where and by what a token was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastUsed {
    /// When.
    pub at: Timestamp,
    /// The client's address.
    pub address: Option<IpAddr>,
    /// The client's `User-Agent`, shortened.
    pub agent: Option<String>,
}

/// A stored hash, as a PHC string. It cannot be printed or serialized by accident.
#[derive(Clone)]
pub struct TokenHash(String);

impl TokenHash {
    /// Takes a PHC string out of a store.
    pub fn from_store(phc: String) -> Self {
        Self(phc)
    }

    /// Gives the PHC string to a store.
    pub fn to_store(&self) -> &str {
        &self.0
    }
}

/// Everything that is stored of a token.
#[derive(Clone)]
pub struct TokenRow {
    /// The token.
    pub token: Token,
    /// The argon2id hash of the whole token.
    pub hash: TokenHash,
    /// A digest of the whole token by which a wrong secret is refused before argon2.
    pub tag: [u8; 8],
    /// Grows when the secret behind the id changes.
    pub secret_version: i64,
}

/// The state of a tenant that a request depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantState {
    /// Whether the tenant's tokens work at all.
    pub enabled: bool,
    /// The tenant's switches.
    pub quirks: Quirks,
}

/// A store that did not do what it was asked.
#[derive(Debug, ThisError)]
pub enum StoreError {
    /// The name or id is taken.
    #[error("it exists already")]
    Taken,
    /// What the new row refers to does not exist.
    #[error("what it belongs to does not exist")]
    Missing,
    /// What is stored does not allow it, and why.
    #[error("{0}")]
    Refused(String),
    /// The store cannot be reached or refused.
    #[error("the storage is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Durable storage for tokens.
///
/// Every method is atomic, and what is done to a token is recorded with it as a change of the token's
/// tenant (AUD-01); a use is no change. [`TokenStore::find`] always reads what was last committed, on every
/// replica: that is what makes a revocation count for the very next request.
pub trait TokenStore: Send + Sync + 'static {
    /// Keeps a new token; recorded as created.
    ///
    /// # Errors
    ///
    /// [`StoreError::Taken`] for an id that exists, [`StoreError::Missing`] for an unknown tenant.
    fn insert(&self, row: &TokenRow, by: &Author) -> Result<(), StoreError>;

    /// Reads a token by its id, and the state of its tenant, with one indexed read.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn find(&self, id: &TokenId) -> Result<Option<(TokenRow, TenantState)>, StoreError>;

    /// Returns the tokens of a tenant, or of all, newest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn list(&self, tenant: Option<TenantId>) -> Result<Vec<Token>, StoreError>;

    /// Marks a token as revoked, which is recorded; false when there is none or it was revoked before.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn revoke(&self, id: &TokenId, at: Timestamp, by: &Author) -> Result<bool, StoreError>;

    /// Keeps a new token and lets the one it replaces end at `until`, unless that ends earlier.
    /// The new one is recorded as created, the old one, when it ends earlier by it, as rotated.
    ///
    /// # Errors
    ///
    /// As [`TokenStore::insert`].
    fn replace(&self, row: &TokenRow, until: Timestamp, by: &Author) -> Result<(), StoreError>;

    /// Writes down a use.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn mark_used(&self, id: &TokenId, used: &LastUsed) -> Result<(), StoreError>;
}
