//! Provisioning tokens and the accounts of the console: the only crate that sees a secret and the only
//! one that hashes.
//!
//! It must never know HTTP, SQL or SCIM resources. Start with [`Tokens`] and [`accounts::Accounts`];
//! [`format`](mod@format) is what a token looks like, [`verify`] how one is checked without spending
//! an argon2 run on every request, [`store`] what a database has to keep.

pub mod accounts;
pub mod format;
pub mod memory;
pub mod scope;
pub mod store;
pub mod tenant;
mod tokens;
pub mod verify;

pub use format::Presented;
pub use scope::Scopes;
pub use store::{LastUsed, StoreError, TenantState, Token, TokenHash, TokenRow, TokenStore};
pub use tenant::{Tenant, TenantStore};
pub use tokens::{Accepted, Expiry, IssuedToken, NewToken, Policy, Rotated, Tokens};
pub use verify::{Refusal, TokenError};

#[cfg(test)]
mod tests;
