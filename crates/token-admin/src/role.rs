//! What an account of the console may do.

use std::fmt;

use crate::scope::Scopes;

/// What an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads everything but secrets, changes nothing.
    Auditor,
    /// Works with tokens, tenants and resources.
    Admin,
    /// Does everything, accounts included.
    Owner,
}

impl Role {
    /// Every role, the strongest first.
    pub const ALL: [Self; 3] = [Self::Owner, Self::Admin, Self::Auditor];

    /// Returns what a token that this role makes may allow. A token for all tenants can delete them,
    /// which only an owner may.
    pub(crate) const fn scopes(self) -> Scopes {
        match self {
            Self::Owner => Scopes::ALL,
            Self::Admin => Scopes::ALL.without(Scopes::TENANTS_ALL),
            Self::Auditor => Scopes::NONE,
        }
    }

    /// Returns the word that is stored and shown.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Auditor => "auditor",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.word() == word)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
