//! Who asks, once the token is proven.

use headcount_core::clock::Timestamp;
use headcount_core::ids::{TenantId, TokenId};
use headcount_token_admin::Scopes;
use ipnet::IpNet;

/// A caller whose token was proven, for the log.
#[derive(Debug, Clone)]
pub(crate) struct TokenIdentity {
    /// The token.
    pub token: TokenId,
    /// Its name.
    pub name: String,
    /// Its tenant.
    pub tenant: TenantId,
    /// What it allows.
    pub scopes: Scopes,
    /// Networks from which it may be used; all, when empty.
    pub cidrs: Vec<IpNet>,
    /// When it stops working.
    pub expires: Option<Timestamp>,
}
