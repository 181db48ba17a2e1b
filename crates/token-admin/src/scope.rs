//! What a token allows.

use std::fmt;

use crate::format::Purpose;

/// A set of permissions.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u32);

impl Scopes {
    /// Reading resources: GET, lists, `.search`.
    pub const SCIM_READ: Self = Self(1);
    /// Creating, changing and deleting users and every other kind but groups.
    pub const USERS_WRITE: Self = Self(1 << 1);
    /// Creating, changing and deleting groups.
    pub const GROUPS_WRITE: Self = Self(1 << 2);
    /// Changing schemas.
    pub const SCHEMA_WRITE: Self = Self(1 << 3);
    /// Reading the event feed.
    pub const EVENTS_READ: Self = Self(1 << 4);
    /// Reading logs, counters, tokens and tenants through the admin API.
    pub const ADMIN_READ: Self = Self(1 << 5);
    /// Changing tokens and tenants through the admin API.
    pub const ADMIN_WRITE: Self = Self(1 << 6);
    /// Seeing and managing every tenant through the admin API, not only the token's own.
    pub const TENANTS_ALL: Self = Self(1 << 7);

    /// No scope.
    pub const NONE: Self = Self(0);
    /// Every scope.
    pub const ALL: Self = Self((1 << 8) - 1);
    /// What an identity provider needs: the default of a provisioning token.
    pub const PROVISIONING: Self =
        Self(Self::SCIM_READ.0 | Self::USERS_WRITE.0 | Self::GROUPS_WRITE.0);
    /// What an administrator's script needs.
    pub const ADMINISTRATION: Self =
        Self(Self::ADMIN_READ.0 | Self::ADMIN_WRITE.0 | Self::EVENTS_READ.0);

    /// What makes a token one of the admin API.
    const OF_ADMIN_API: Self = Self(Self::ADMINISTRATION.0 | Self::TENANTS_ALL.0);

    /// Every scope with its name.
    pub const NAMES: [(&'static str, Self); 8] = [
        ("scim:read", Self::SCIM_READ),
        ("users:write", Self::USERS_WRITE),
        ("groups:write", Self::GROUPS_WRITE),
        ("schema:write", Self::SCHEMA_WRITE),
        ("events:read", Self::EVENTS_READ),
        ("admin:read", Self::ADMIN_READ),
        ("admin:write", Self::ADMIN_WRITE),
        ("tenants:all", Self::TENANTS_ALL),
    ];
    /// Names for several scopes at once.
    pub const BUNDLES: [(&'static str, Self); 2] =
        [("provisioning", Self::PROVISIONING), ("administration", Self::ADMINISTRATION)];

    /// Tells whether everything in `needed` is allowed.
    pub const fn allow(self, needed: Self) -> bool {
        self.0 & needed.0 == needed.0
    }

    /// Returns both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns what is in both sets.
    #[must_use]
    pub const fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Returns what is not in the other set.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns those that open something of the admin API.
    #[must_use]
    pub const fn of_admin_api(self) -> Self {
        self.common(Self::OF_ADMIN_API)
    }

    /// Returns what a token with these scopes is for: one that opens anything of the admin API is a
    /// token of the admin API, whatever else it opens.
    pub const fn purpose(self) -> Purpose {
        if self.of_admin_api().is_empty() { Purpose::Provisioning } else { Purpose::Administration }
    }

    /// Tells whether nothing is allowed.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Reads the name of a scope or of a bundle.
    pub fn parse(word: &str) -> Option<Self> {
        let mut known = Self::NAMES.iter().chain(&Self::BUNDLES);
        known.find(|(name, _)| *name == word).map(|(_, scopes)| *scopes)
    }
}

impl fmt::Display for Scopes {
    /// Writes the names, separated by spaces, as RFC 6750 §3 writes scopes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names =
            Self::NAMES.iter().filter(|(_, scope)| self.allow(*scope)).map(|(name, _)| *name);
        f.write_str(&names.collect::<Vec<_>>().join(" "))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scopes({self})")
    }
}
