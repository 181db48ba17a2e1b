//! The provisioning log: one record per request, reads and refusals included.
//!
//! A [`RequestRecord`] has the client, the request and its outcome, in words and without secrets. A
//! [`RecordBuilder`] makes it, on another thread than the request's; a [`RequestLog`] keeps it.

mod extract;
mod redact;

use headcount_core::clock::Timestamp;
use headcount_core::ids::{Kind, RequestId, ResourceId, TenantId, TokenId};
use headcount_core::provider::ProviderError;
use headcount_core::quirks::Quirks;
use headcount_core::work::Work;

use crate::traces::Traces;

pub use extract::{HttpExchange, Operated, RecordBuilder};
pub use redact::holds_token;

/// One request as the provisioning log keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRecord {
    /// When it arrived.
    pub at: Timestamp,
    /// How long it took, in microseconds.
    pub micros: i64,
    /// Its id, which is in the header `X-Request-Id` of the response.
    pub request: RequestId,
    /// The tenant; `None` without a known token.
    pub tenant: Option<TenantId>,
    /// The public id of the token that was presented.
    pub token: Option<TokenId>,
    /// The name that an admin gave the token.
    pub token_name: Option<String>,
    /// Why the token was refused.
    pub refused: Option<String>,
    /// The client's address.
    pub address: Option<String>,
    /// The client's `User-Agent`.
    pub agent: Option<String>,
    /// The identity provider, recognized by its dialect: `entra`, `okta`, …
    pub idp: Option<String>,
    /// The HTTP method.
    pub method: String,
    /// The path below the base, as `/Users/2819c223`, without its query.
    pub path: String,
    /// The kind of resource.
    pub kind: Option<Kind>,
    /// The resource.
    pub resource: Option<ResourceId>,
    /// The name of the resource, as people read it.
    pub name: Option<String>,
    /// Every name and id by which it can be found, in the form of [`headcount_core::index::fold`].
    pub names: Vec<String>,
    /// The filter of a search, as it was sent.
    pub query: Option<String>,
    /// The HTTP status.
    pub status: u16,
    /// The `scimType` of an error.
    pub scim_type: Option<String>,
    /// The attribute that was rejected.
    pub field: Option<String>,
    /// The `detail` of an error; of a request that succeeded, the unknown name that it was answered without.
    pub reason: Option<String>,
    /// The repairs that the request needed.
    pub quirks: Quirks,
    /// Whether it changed anything; `None` where that is not known, as for a read.
    pub changed: Option<bool>,
    /// Whether its token was proven, and used where it may be used. Records of strangers are sampled and have
    /// neither filter nor bodies nor names.
    pub proven: bool,
    /// How many alike requests of strangers were not kept.
    pub unkept: u64,
    /// The body of the request, without secrets, at most 4 KiB of it.
    pub body: Option<String>,
    /// The body of the response to a write, likewise.
    pub reply: Option<String>,
}

/// A record with its number in the log; later ones have larger numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// The number.
    pub seq: i64,
    /// The record. Its `names` are not read back.
    pub record: RequestRecord,
}

/// Whose requests a query is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogScope {
    /// All of them.
    #[default]
    All,
    /// Those of a tenant.
    Tenant(TenantId),
    /// Those without a known token, which are no tenant's.
    Unknown,
}

impl LogScope {
    /// The requests of a tenant, or all of them if none is given.
    pub fn of(tenant: Option<TenantId>) -> Self {
        tenant.map_or(Self::All, Self::Tenant)
    }

    /// Returns whether a record of this tenant, or of none, is among them.
    pub fn has(self, tenant: Option<TenantId>) -> bool {
        match self {
            Self::All => true,
            Self::Tenant(wanted) => tenant == Some(wanted),
            Self::Unknown => tenant.is_none(),
        }
    }
}

/// A query for records.
#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    /// Whose they are.
    pub scope: LogScope,
    /// Only those of a token.
    pub token: Option<TokenId>,
    /// Only those about a resource or an identity that went by this name or id.
    pub name: Option<String>,
    /// Only those of one request: more than one for a bulk request.
    pub request: Option<RequestId>,
    /// Only those that failed.
    pub failed: bool,
    /// Only those of a kind.
    pub kind: Option<Kind>,
    /// Only those that are older than this number.
    pub before: Option<i64>,
    /// Only those that are newer than this number.
    pub after: Option<i64>,
    /// How many at most; with `after` alone, those closest to it.
    pub limit: usize,
}

/// How often a quirk was applied to the requests of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuirkCount {
    /// The token.
    pub token: TokenId,
    /// The quirk's name.
    pub quirk: String,
    /// How often.
    pub amount: i64,
    /// When it was last applied.
    pub last: Timestamp,
}

/// How much of the log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Records older than this are removed.
    pub before: Timestamp,
    /// The oldest of those with a proven token are removed while the log has more than this many bytes, in
    /// addition to what the others take.
    pub bytes: u64,
    /// The oldest of the others are removed while there are more than this many.
    pub strangers: u32,
}

/// Durable storage for the provisioning log.
///
/// It may lose its last second in a crash, but must never delay a request.
pub trait RequestLog: Send + Sync + 'static {
    /// Keeps records, all or none, in their order.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`], also when the disk is full.
    fn append(&self, records: &[RequestRecord]) -> Result<(), ProviderError>;

    /// Adds to the newest record of a stranger with this request id how many more were not kept.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`].
    fn add_unkept(&self, counts: &[(RequestId, u64)]) -> Result<(), ProviderError>;

    /// Returns records, newest first, or oldest first when only `after` is given, until `work` ends it.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`] or [`ProviderError::Halted`].
    fn requests(&self, query: &LogQuery, work: &Work) -> Result<Vec<Logged>, ProviderError>;

    /// Returns how often which quirk was applied, per token.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`].
    fn quirk_counts(&self, tenant: TenantId) -> Result<Vec<QuirkCount>, ProviderError>;

    /// Removes the records that are found by any of the names or contain a trace, and returns how many there were.
    /// Once it returns, a crash does not bring them back, and their bytes are overwritten where the database can.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`].
    fn erase(
        &self,
        tenant: TenantId,
        names: &[String],
        traces: &Traces,
    ) -> Result<usize, ProviderError>;

    /// Returns the tenants that the log has records or counters of.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`].
    fn tenants(&self) -> Result<Vec<TenantId>, ProviderError>;

    /// Removes everything about a deleted tenant.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`].
    fn forget(&self, tenant: TenantId) -> Result<(), ProviderError>;

    /// Removes what is not retained, in batches, and returns the number of removed records.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`].
    fn prune(&self, retention: Retention) -> Result<usize, ProviderError>;
}
