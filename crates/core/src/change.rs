//! Changes of resources, tokens and tenants: one record each, written in the transaction of the change.

use std::fmt;

use crate::clock::Timestamp;
use crate::error::ProviderError;
use crate::ids::{ChainPosition, Kind, RequestId, ResourceId, TenantId, TokenId, Version};
use crate::members::MemberDelta;
use crate::work::Work;

/// Who made a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The holder of a provisioning token.
    Token(TokenId),
    /// An administrator, by account name.
    Admin(String),
    /// The command line.
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

impl fmt::Display for Actor {
    /// Writes the name that people read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(id) => write!(f, "token {id}"),
            Self::Admin(name) => f.write_str(name),
            Self::Cli => f.write_str("command line"),
            Self::System => f.write_str("the server"),
        }
    }
}

/// Who changes a token, a tenant or anything else that is not a resource, and in which request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// The actor.
    pub actor: Actor,
    /// The request or command.
    pub request: RequestId,
}

/// The kind under which changes of provisioning tokens are recorded.
pub const TOKEN_KIND: &str = "Token";
/// The kind under which changes of tenants are recorded.
pub const TENANT_KIND: &str = "Tenant";

/// What was done to a resource, a token or a tenant.
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
    /// The settings of a tenant changed.
    Changed,
    /// A token was revoked.
    Revoked,
    /// Another token replaces this one, which therefore expires earlier.
    Rotated,
    /// A token is about to expire; it did not change.
    Expiring,
    /// The names in older records about it were erased.
    Erased,
    /// Someone was not let in.
    Refused,
}

impl Act {
    /// Every act.
    pub const ALL: [Self; 10] = [
        Self::Created,
        Self::Replaced,
        Self::Patched,
        Self::Deleted,
        Self::Changed,
        Self::Revoked,
        Self::Rotated,
        Self::Expiring,
        Self::Erased,
        Self::Refused,
    ];

    /// Reads the stored word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.word() == word)
    }

    /// Returns the stored word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Replaced => "replaced",
            Self::Patched => "patched",
            Self::Deleted => "deleted",
            Self::Changed => "changed",
            Self::Revoked => "revoked",
            Self::Rotated => "rotated",
            Self::Expiring => "expiring",
            Self::Erased => "erased",
            Self::Refused => "refused",
        }
    }
}

/// A change of the state of a user or a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `active` of the user became true, or the tenant's tokens work again.
    On,
    /// `active` of the user became false, or the tenant's tokens stopped working.
    Off,
}

/// The record of one change, as audit row and event.
///
/// The provider adds what only it knows: sequence, version and the effect on members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// When it happened.
    pub at: Timestamp,
    /// Who made it.
    pub actor: Actor,
    /// The request that made it.
    pub request: RequestId,
    /// What was done.
    pub act: Act,
    /// The paths of the attributes that changed, without their values.
    pub paths: Vec<String>,
    /// Whether it activated or deactivated the user or the tenant.
    pub switched: Option<Activation>,
    /// The names of the resource: personal data, stored separately so that it can be erased.
    pub names: ResourceNames,
}

impl Change {
    /// Returns the record of a change of the token or tenant called `name`.
    pub fn of(act: Act, name: &str, paths: &[&str], at: Timestamp, by: &Author) -> Self {
        Self {
            at,
            actor: by.actor.clone(),
            request: by.request.clone(),
            act,
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            switched: None,
            names: ResourceNames { name: Some(name.to_owned()), ..ResourceNames::default() },
        }
    }
}

/// The names of a resource; of a token or a tenant, the name that an administrator gave it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResourceNames {
    /// The naming attribute.
    ///
    /// The name of a token may contain that of a person, and is therefore stored where it can be erased.
    pub name: Option<String>,
    /// The `externalId`.
    pub external_id: Option<String>,
    /// The address from which someone acted at the console.
    pub address: Option<String>,
}

/// A recorded change, with what the provider added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its position in the chain, which grows in the order in which changes of one resource happened.
    pub position: ChainPosition,
    /// The kind of the resource, or [`TOKEN_KIND`] or [`TENANT_KIND`].
    pub kind: Kind,
    /// The id of the resource or the token; of a tenant, its key.
    pub id: ResourceId,
    /// The version after the change; of a deletion, the last one. `None` for what has no versions, as a token.
    pub version: Option<Version>,
    /// What happened.
    pub change: Change,
    /// The members that were added and removed.
    pub members: MemberDelta,
    /// The groups that a deleted resource was a member of.
    pub left: Vec<LeftGroup>,
}

/// A group that a deleted resource was a member of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftGroup {
    /// The group.
    pub group: ResourceId,
    /// Its version after the member was removed.
    pub version: Version,
}

/// Reads recorded changes.
pub trait ChangeFeed: Send + Sync + 'static {
    /// Returns changes of the tenant after a position, in order.
    ///
    /// A change is returned only when no earlier one can still appear.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`] or [`ProviderError::Internal`].
    fn changes(
        &self,
        tenant: TenantId,
        after: ChainPosition,
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

    /// Returns the latest changes of one resource, oldest first. Stops when `work` does.
    ///
    /// # Errors
    ///
    /// As [`ChangeFeed::changes`], and [`ProviderError::Halted`].
    fn history(
        &self,
        tenant: TenantId,
        id: &ResourceId,
        limit: usize,
        work: &Work,
    ) -> Result<Vec<Recorded>, ProviderError>;
}
