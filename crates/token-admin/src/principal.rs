//! Who administers, and what this allows: the one table of acts, roles and scopes.

use headcount_core::change::Author;
use headcount_core::clock::Timestamp;
use headcount_core::ids::TenantId;
use ipnet::IpNet;

use crate::error::{AdminError, Field, Rule};
use crate::role::Role;
use crate::scope::Scopes;

/// Who performs an act of administration, and with which powers.
#[derive(Debug, Clone)]
pub struct Principal {
    /// Who is recorded as the author of the change.
    pub author: Author,
    powers: Powers,
}

#[derive(Debug, Clone)]
enum Powers {
    Operator,
    Account(Role),
    Token(Holding),
}

/// What an admin token holds, and can therefore hand on.
#[derive(Debug, Clone)]
pub struct Holding {
    /// The tenant it was made for.
    pub tenant: TenantId,
    /// What it allows.
    pub scopes: Scopes,
    /// Networks from which it may be used; all, when empty.
    pub cidrs: Vec<IpNet>,
    /// When it stops working; never, when absent.
    pub expires: Option<Timestamp>,
}

/// An act of administration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Reading tenants.
    ReadTenants,
    /// Creating a tenant.
    CreateTenant,
    /// Changing a tenant's settings.
    ChangeTenant,
    /// Deleting a tenant with everything in it.
    DeleteTenant,
    /// Reading tokens.
    ReadTokens,
    /// Making a token.
    IssueToken,
    /// Making a token that takes over from another.
    RotateToken,
    /// Revoking a token.
    RevokeToken,
}

impl Action {
    /// Returns the weakest role and the scopes that suffice.
    const fn needs(self) -> (Role, Scopes) {
        let everywhere = Scopes::ADMIN_WRITE.with(Scopes::TENANTS_ALL);
        match self {
            Self::ReadTenants | Self::ReadTokens => (Role::Auditor, Scopes::ADMIN_READ),
            Self::CreateTenant => (Role::Admin, everywhere),
            Self::ChangeTenant | Self::IssueToken | Self::RotateToken | Self::RevokeToken => {
                (Role::Admin, Scopes::ADMIN_WRITE)
            }
            Self::DeleteTenant => (Role::Owner, everywhere),
        }
    }
}

impl Principal {
    /// The operator of the machine: may do everything.
    pub const fn operator(author: Author) -> Self {
        Self { author, powers: Powers::Operator }
    }

    /// An account of the console: reaches every tenant, and may do what its role allows.
    pub const fn account(author: Author, role: Role) -> Self {
        Self { author, powers: Powers::Account(role) }
    }

    /// An admin token: may do what its scopes allow, in its tenant or in all.
    pub const fn token(author: Author, holding: Holding) -> Self {
        Self { author, powers: Powers::Token(holding) }
    }

    /// Checks that role or scopes allow an act.
    ///
    /// # Errors
    ///
    /// [`Rule::Role`] or [`Rule::Scopes`] with what is missing.
    pub fn may(&self, action: Action) -> Result<(), AdminError> {
        let (least, scopes) = action.needs();
        match &self.powers {
            Powers::Operator => Ok(()),
            Powers::Account(role) if *role >= least => Ok(()),
            Powers::Account(_) => Err(Field::Principal.breaks(Rule::Role(least))),
            Powers::Token(own) if own.scopes.allow(scopes) => Ok(()),
            Powers::Token(own) => {
                Err(Field::Principal.breaks(Rule::Scopes(scopes.without(own.scopes))))
            }
        }
    }

    /// Checks that a token with these scopes and networks allows no more than its maker has.
    ///
    /// Scopes of SCIM are not compared: whoever manages the tokens of a tenant gives access to its
    /// resources. Whoever rotates a token holds it afterwards, so that the same holds for that.
    ///
    /// # Errors
    ///
    /// [`Rule::GrantsScopes`], [`Rule::GrantsNetworks`].
    pub(crate) fn may_grant(&self, scopes: Scopes, cidrs: &[IpNet]) -> Result<(), AdminError> {
        let own = match &self.powers {
            Powers::Operator => return Ok(()),
            Powers::Account(role) => role.scopes(),
            Powers::Token(own) => own.scopes,
        };
        let beyond = scopes.of_admin_api().without(own);
        if !beyond.is_empty() {
            return Err(Field::Scopes.breaks(Rule::GrantsScopes(beyond)));
        }
        match &self.powers {
            Powers::Token(own) if !own.cidrs.is_empty() => {
                let inside = |net: &IpNet| own.cidrs.iter().any(|own| own.contains(net));
                match !cidrs.is_empty() && cidrs.iter().all(inside) {
                    true => Ok(()),
                    false => Err(Field::Networks.breaks(Rule::GrantsNetworks(own.cidrs.clone()))),
                }
            }
            _ => Ok(()),
        }
    }

    /// Returns when a token that this one makes has to end at the latest.
    pub(crate) fn ends(&self) -> Option<Timestamp> {
        match &self.powers {
            Powers::Token(own) => own.expires,
            Powers::Operator | Powers::Account(_) => None,
        }
    }

    /// Tells whether a tenant is within reach.
    pub fn reaches(&self, tenant: TenantId) -> bool {
        match &self.powers {
            Powers::Token(own) => own.scopes.allow(Scopes::TENANTS_ALL) || own.tenant == tenant,
            Powers::Operator | Powers::Account(_) => true,
        }
    }

    /// Checks that every tenant is within reach.
    ///
    /// # Errors
    ///
    /// [`Rule::Scopes`].
    pub fn reaches_all(&self) -> Result<(), AdminError> {
        match &self.powers {
            Powers::Token(own) if !own.scopes.allow(Scopes::TENANTS_ALL) => {
                Err(Field::Principal.breaks(Rule::Scopes(Scopes::TENANTS_ALL)))
            }
            _ => Ok(()),
        }
    }
}
