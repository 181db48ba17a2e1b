//! What happened to a resource, a token or a tenant: one record per change, written in the transaction
//! of the change.

use std::fmt;

use crate::clock::Timestamp;
use crate::error::ProviderError;
use crate::ids::{ChainPosition, Kind, RequestId, ResourceId, TenantId, TokenId, Version};
use crate::members::MemberDelta;
use crate::work::Work;

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

impl fmt::Display for Actor {
    /// Names the actor for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(id) => write!(f, "token {id}"),
            Self::Admin(name) => f.write_str(name),
            Self::Cli => f.write_str("command line"),
            Self::System => f.write_str("the server"),
        }
    }
}

/// Who changes something that is no resource, such as a token or a tenant, and in which request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// Who.
    pub actor: Actor,
    /// In which request or command.
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
    /// A tenant was given other settings.
    Changed,
    /// A token was revoked.
    Revoked,
    /// Another token took over from this one, which therefore ends earlier.
    Rotated,
    /// A token comes close to its end; nothing was done to it.
    Expiring,
    /// The names that older rows held about it were erased.
    Erased,
}

impl Act {
    /// Every act there is.
    pub const ALL: [Self; 9] = [
        Self::Created,
        Self::Replaced,
        Self::Patched,
        Self::Deleted,
        Self::Changed,
        Self::Revoked,
        Self::Rotated,
        Self::Expiring,
        Self::Erased,
    ];

    /// Reads the word that is stored.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.word() == word)
    }

    /// Returns the word that is stored.
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
        }
    }
}

/// Whether a change switched a user or a tenant on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switched {
    /// `active` of the user became true, or the tenant's tokens work again.
    On,
    /// `active` of the user became false, or the tenant's tokens stopped working.
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
    /// Whether the user or the tenant was switched on or off by it.
    pub switched: Option<Switched>,
    /// The names the resource goes by: personal data, kept apart so that it can be erased.
    pub names: Names,
}

impl Change {
    /// Returns the record of what was done to a token or a tenant that goes by `name`.
    pub fn of(act: Act, name: &str, paths: &[&str], at: Timestamp, by: &Author) -> Self {
        Self {
            at,
            actor: by.actor.clone(),
            request: by.request.clone(),
            act,
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            switched: None,
            names: Names { name: Some(name.to_owned()), external_id: None },
        }
    }
}

/// The names a resource goes by; of a token or a tenant, the name that an admin gave it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    /// The naming attribute.
    ///
    /// The name of a token is not personal by its nature, but nothing keeps an admin from naming one
    /// after a person. It is kept where it can be erased, too.
    pub name: Option<String>,
    /// The `externalId`.
    pub external_id: Option<String>,
}

/// A change as it was recorded, with what the provider added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its position in the chain, which grows in the order in which changes of one resource happened.
    pub position: ChainPosition,
    /// The kind of the resource, or [`TOKEN_KIND`] or [`TENANT_KIND`].
    pub kind: Kind,
    /// The id of the resource or the token; of a tenant, its key.
    pub id: ResourceId,
    /// The version that the change made; of a deletion, the last one; 0 of what has no versions.
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
    /// Returns changes of the tenant behind the position `after`, in order.
    ///
    /// A change is returned only when none before it can still appear.
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

    /// Returns the latest changes of one resource, oldest first, as long as `work` goes on.
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
