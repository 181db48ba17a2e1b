//! The accounts of the console: who may administer, and how they prove it.
//!
//! [`Accounts`] is the entrance. Whatever has to hold on every replica and after a restart, sessions and
//! the log-in throttle above all, is a row of an [`AccountStore`], read or written with each request.

mod entrance;
mod links;
pub mod memory;
mod password;
mod store;
pub mod throttle;
mod totp;

use std::net::{IpAddr, Ipv6Addr};

use headcount_core::clock::Timestamp;
use headcount_core::ids::TenantId;
use secrecy::SecretString;

pub use crate::role::Role;
pub use entrance::Accounts;
pub use links::{Link, LinkPurpose};
pub use store::{AccountStore, AdminRow, Attempt, Guarded, LinkRow, Secret, SessionRow};
pub use totp::TotpSecret;

use crate::error::{AdminError, Field, Rule};

/// The kind under which changes of accounts are recorded.
pub const ADMIN_KIND: &str = "Admin";
/// What is done to accounts belongs to no tenant; it is recorded under this key.
pub const SERVER: TenantId = TenantId::new(0);
/// How long a session lives without a request, in seconds.
///
/// Long enough to enter values in an identity provider's pages in between.
pub const IDLE: i64 = 30 * 60;
/// How long a session lives at most, in seconds.
pub const LONGEST: i64 = 8 * 60 * 60;
/// How long a password that was entered covers dangerous acts, in seconds.
pub const PROVEN: i64 = 5 * 60;

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// The name, in lower case.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Whether log-in asks for a code beside the password.
    pub second_factor: bool,
    /// When it was made.
    pub created: Timestamp,
    /// When somebody last logged in with it.
    pub last_login: Option<Timestamp>,
}

/// A session that is alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The account, as it is now.
    pub admin: Admin,
    /// When the log-in was.
    pub created: Timestamp,
    /// When the password was last entered.
    pub proven: Timestamp,
    /// A text that forms of this session carry and no other session knows.
    pub form_token: String,
}

/// A session that was just made: the only place where its secret appears.
#[derive(Debug)]
pub struct SignedIn {
    /// The account's name.
    pub name: String,
    /// The text of the cookie.
    pub cookie: SecretString,
}

/// From where somebody comes, as far as one party holds it: an IPv4 address, a /64 of IPv6.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(String);

impl Place {
    /// Takes an address; all unknown ones are one place.
    pub fn of(address: Option<IpAddr>) -> Self {
        Self(match address.map(|address| address.to_canonical()) {
            Some(IpAddr::V6(address)) => {
                Ipv6Addr::from(u128::from(address) >> 64 << 64).to_string()
            }
            Some(address) => address.to_string(),
            None => "unknown".to_owned(),
        })
    }

    /// Returns the text that is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Reads a name as accounts have it: in lower case.
pub(crate) fn account_name(text: &str) -> Result<String, AdminError> {
    let name = text.trim().to_ascii_lowercase();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '@');
    if (1..=64).contains(&name.len()) && name.chars().all(plain) {
        Ok(name)
    } else {
        Err(Field::AccountName.breaks(Rule::AccountName))
    }
}

#[cfg(test)]
mod tests;
