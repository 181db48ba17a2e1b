//! The ring of administration: every act of an administrator is a command here that takes a
//! [`Principal`], and every rule about it is decided here. It is also the only crate that sees a
//! secret, and the only one that hashes.
//!
//! It must never know HTTP, SQL or SCIM resources. Start with [`Tenants`], [`Tokens`] and
//! [`accounts::Accounts`]; [`Principal`] is who acts, [`AdminError`] why an act is refused,
//! [`format`](mod@format) what a token looks like, [`verify`] how one is checked without spending
//! an argon2 run on every request, [`store`] what a database has to keep.

pub mod accounts;
pub mod error;
pub mod format;
pub mod memory;
mod networks;
pub mod principal;
pub mod role;
pub mod scope;
pub mod store;
pub mod tenant;
pub mod tenants;
mod tokens;
pub mod verify;

pub use error::{AdminError, Field, Rule};
pub use format::PresentedToken;
pub use networks::{canonical, networks};
pub use principal::{Action, Holding, Principal};
pub use scope::Scopes;
pub use store::{
    LastUsed, StoreError, TenantState, Token, TokenHash, TokenRow, TokenState, TokenStore,
};
pub use tenant::{Tenant, TenantChange, TenantStore};
pub use tenants::{TenantContents, Tenants};
pub use tokens::{
    Expiry, IssuedToken, NewToken, Policy, Rotated, TokenDraft, Tokens, VerifiedToken, scopes,
};
pub use verify::{Refusal, TokenError};

#[cfg(test)]
mod tests;
