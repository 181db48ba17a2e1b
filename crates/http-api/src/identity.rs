//! The token of a request, once it is proven.

use std::net::IpAddr;

use headcount_core::clock::Timestamp;
use headcount_core::ids::{TenantId, TokenId};
use headcount_token_admin::Scopes;
use ipnet::IpNet;

/// A token that was proven.
#[derive(Debug, Clone)]
pub(crate) struct TokenIdentity {
    /// Its public id.
    pub id: TokenId,
    /// Its name.
    pub name: String,
    /// Its tenant.
    pub tenant: TenantId,
    /// Its scopes.
    pub scopes: Scopes,
    /// Networks from which it may be used; any, when empty.
    pub cidrs: Vec<IpNet>,
    /// When it stops working.
    pub expires: Option<Timestamp>,
}

impl TokenIdentity {
    /// Returns whether the token may be used from an address.
    pub(crate) fn allows_address(&self, address: Option<&IpAddr>) -> bool {
        self.cidrs.is_empty()
            || address.is_some_and(|address| self.cidrs.iter().any(|net| net.contains(address)))
    }
}
