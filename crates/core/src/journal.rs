//! What happened: one record per change, written in the transaction of the change; one per request,
//! written beside it.

pub mod chain;
pub mod events;
pub mod set;

use crate::clock::Timestamp;
use crate::ids::{Kind, RequestId, ResourceId, TenantId, TokenId, Version};
use crate::members::MemberDelta;
use crate::provider::ProviderError;

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The holder of a provisioning token.
    Token(TokenId),
    /// An admin, by account name.
    Admin(String),
    /// Somebody at the command line.
    Cli,
    /// The server itself.
    System,
}

impl Actor {
    /// Returns the kind of actor and its name, as they are stored.
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Token(id) => ("token", id.as_str()),
            Self::Admin(name) => ("admin", name),
            Self::Cli => ("cli", ""),
            Self::System => ("system", ""),
        }
    }
}

/// What was done to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// It was created.
    Created,
    /// It was replaced by PUT.
    Replaced,
    /// It was changed by PATCH.
    Patched,
    /// It was deleted.
    Deleted,
}

impl Act {
    /// Returns the word that is stored.
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Replaced => "replaced",
            Self::Patched => "patched",
            Self::Deleted => "deleted",
        }
    }
}

/// Whether a change switched a user on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switched {
    /// `active` became true.
    On,
    /// `active` became false.
    Off,
}

/// The record of one change: audit row and event in one.
///
/// The provider adds what only it knows: sequence, version, the members that really came and went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// In which request.
    pub request: RequestId,
    /// What.
    pub act: Act,
    /// The paths of the attributes that changed, without their values.
    pub paths: Vec<String>,
    /// Whether the user was switched on or off by it.
    pub switched: Option<Switched>,
    /// The names the resource goes by: personal data, kept apart so that it can be erased.
    pub names: Names,
}

/// The names a resource goes by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    /// The naming attribute.
    pub name: Option<String>,
    /// The `externalId`.
    pub external_id: Option<String>,
}

/// A change as it was recorded, with what the provider added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its number; grows in the order in which changes of one resource happened.
    pub seq: i64,
    /// The kind of the resource.
    pub kind: Kind,
    /// The id of the resource.
    pub id: ResourceId,
    /// The version that the change made; of a deletion, the last one.
    pub version: Version,
    /// What happened.
    pub change: Change,
    /// The members that really came and went.
    pub members: MemberDelta,
    /// The groups that a deleted resource was a member of.
    pub left: Vec<Left>,
}

/// A group that a deleted resource was a member of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The group.
    pub group: ResourceId,
    /// Its version after the member was gone.
    pub version: Version,
}

/// Reads recorded changes.
pub trait ChangeFeed: Send + Sync + 'static {
    /// Returns changes of the tenant with a number above `after`, in order.
    ///
    /// A number is returned only when no change with a smaller one can still appear.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`] or [`ProviderError::Internal`].
    fn changes(
        &self,
        tenant: TenantId,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Recorded>, ProviderError>;

    /// Returns the newest `limit` changes of the tenant, in order.
    ///
    /// # Errors
    ///
    /// As [`ChangeFeed::changes`].
    fn newest_changes(
        &self,
        tenant: TenantId,
        limit: usize,
    ) -> Result<Vec<Recorded>, ProviderError>;
}
