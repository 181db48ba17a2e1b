//! The accounts of the console: who may administer, and how they log in.
//!
//! Start with [`Accounts`]. Everything that has to hold on every replica and after a restart, such as sessions
//! and the log-in throttle, is a row of an [`AccountStore`], read or written with each request.

mod flash;
mod hasher;
mod keys;
mod links;
mod login;
pub mod memory;
mod password;
mod refusals;
mod service;
mod store;
pub mod throttle;
mod totp;

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use headcount_core::clock::Timestamp;
use headcount_core::ids::TenantId;
use secrecy::SecretString;

pub use crate::role::Role;
pub use flash::{FlashRow, FlashStore, Flashes};
pub use hasher::PasswordCost;
pub use keys::{AccountKeys, DEVICE_LIFE, SealedTotp};
pub use links::{Link, LinkPurpose};
pub use login::LogIn;
pub use password::Password;
pub use service::Accounts;
pub use store::{AccountStore, AdminRow, Attempt, LinkRow, RoleChange, Secret, SessionRow};
pub use totp::TotpSecret;

use crate::error::{AdminError, Field, Rule};

/// The kind under which changes of accounts are recorded.
pub const ADMIN_KIND: &str = "Admin";
/// The kind under which links to accounts are recorded.
pub const LINK_KIND: &str = "Link";
/// The kind under which log-ins are recorded, good ones and refused ones.
pub const SESSION_KIND: &str = "Session";
/// The kind under which exports of resources are recorded.
pub const EXPORT_KIND: &str = "Export";
/// What is done to accounts belongs to no tenant; it is recorded under this key.
pub const SERVER: TenantId = TenantId::new(0);
/// How long a session lives without a request: long enough to enter values in an identity provider's pages.
pub const SESSION_IDLE: Duration = Duration::from_secs(30 * 60);
/// How long a session lives at most.
pub const SESSION_MAX_AGE: Duration = Duration::from_secs(8 * 60 * 60);
/// How long after the password was entered dangerous acts do not ask for it.
pub const REAUTH_WINDOW: Duration = Duration::from_secs(5 * 60);

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// The name, in lower case.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Whether log-in asks for a code in addition to the password.
    pub second_factor: bool,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last logged in to.
    pub last_login: Option<Timestamp>,
}

/// Who sent a request with a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SentBy {
    /// A person, which keeps the session alive.
    Person,
    /// A page that reloads itself, which does not.
    Page,
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

/// A session that was just made, with its secret, which appears nowhere else.
#[derive(Debug)]
pub struct SignedIn {
    /// The account's name.
    pub name: String,
    /// The text of the session's cookie.
    pub cookie: SecretString,
    /// The text of the cookie by which the next log-in knows the device.
    pub device: SecretString,
}

/// The network that a client is in, as far as one party controls it: an IPv4 address or a /64 of IPv6.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientNetwork {
    text: String,
    address: Option<IpAddr>,
}

impl ClientNetwork {
    /// Returns the network of an address; all unknown addresses are one network.
    pub fn of(address: Option<IpAddr>) -> Self {
        let address = address.map(|address| address.to_canonical());
        let text = match address {
            Some(IpAddr::V6(address)) => {
                Ipv6Addr::from(u128::from(address) >> 64 << 64).to_string()
            }
            Some(address) => address.to_string(),
            None => "unknown".to_owned(),
        };
        Self { text, address }
    }

    /// Returns the text that is stored.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the address itself, as the audit records it.
    pub fn address(&self) -> Option<String> {
        self.address.map(|address| address.to_string())
    }
}

/// Reads a name as accounts have it: in lower case.
pub(crate) fn account_name(text: &str) -> Result<String, AdminError> {
    let name = text.trim().to_ascii_lowercase();
    if (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_@".contains(&byte))
    {
        Ok(name)
    } else {
        Err(Field::AccountName.breaks(Rule::AccountName))
    }
}

#[cfg(test)]
mod tests;
