//! Who administers, and what this allows: the one table of acts, roles and scopes.

use headcount_core::change::{Actor, Author};
use headcount_core::clock::Timestamp;
use headcount_core::ids::TenantId;
use ipnet::IpNet;

use crate::error::{AdminError, Field, Rule};
use crate::format::Purpose;
use crate::role::Role;
use crate::scope::Scopes;
use crate::store::Token;

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

/// What an admin token may do, and can therefore grant.
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

impl Holding {
    /// Returns whether a token that works from `cidrs` works only from where this one does.
    fn covers(&self, cidrs: &[IpNet]) -> bool {
        let mut nets = cidrs.iter();
        self.cidrs.is_empty()
            || (!cidrs.is_empty() && nets.all(|net| self.cidrs.iter().any(|own| own.contains(net))))
    }
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
    /// Reading accounts.
    ReadAccounts,
    /// Inviting a person to an account.
    InviteAccount,
    /// Giving an account another role.
    ChangeRole,
    /// Removing an account.
    RemoveAccount,
    /// Ending the sessions of others.
    EndSessions,
    /// Making a link for an account whose owner cannot log in.
    RecoverAccount,
    /// Making a link for the first account.
    MakeFirstAccount,
    /// Taking a file with resources out of the console.
    ExportResources,
}

impl Action {
    /// Returns the weakest role and the scopes that suffice; none where no account or no token does it.
    const fn needs(self) -> (Option<Role>, Option<Scopes>) {
        let everywhere = Scopes::ADMIN_WRITE.with(Scopes::TENANTS_ALL);
        match self {
            Self::ReadTenants | Self::ReadTokens => (Some(Role::Auditor), Some(Scopes::ADMIN_READ)),
            Self::CreateTenant => (Some(Role::Admin), Some(everywhere)),
            Self::ChangeTenant | Self::IssueToken | Self::RotateToken | Self::RevokeToken => {
                (Some(Role::Admin), Some(Scopes::ADMIN_WRITE))
            }
            Self::DeleteTenant => (Some(Role::Owner), Some(everywhere)),
            Self::ReadAccounts => (Some(Role::Auditor), None),
            Self::InviteAccount | Self::ChangeRole | Self::RemoveAccount | Self::EndSessions => {
                (Some(Role::Owner), None)
            }
            Self::ExportResources => (Some(Role::Admin), None),
            Self::RecoverAccount | Self::MakeFirstAccount => (None, None),
        }
    }

    /// Returns whether a role allows it.
    pub(crate) fn is_open_to(self, role: Role) -> bool {
        self.needs().0.is_some_and(|least| role >= least)
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
    /// [`Rule::Role`] or [`Rule::Scopes`] with what is missing, [`Rule::Operator`], [`Rule::NoToken`].
    pub fn may(&self, action: Action) -> Result<(), AdminError> {
        let rule = match (&self.powers, action.needs()) {
            (Powers::Operator, _) => return Ok(()),
            (Powers::Account(role), (Some(least), _)) if *role >= least => return Ok(()),
            (Powers::Account(_), (Some(least), _)) => Rule::Role(least),
            (Powers::Account(_), (None, _)) => Rule::Operator,
            (Powers::Token(own), (_, Some(scopes))) if own.scopes.allow(scopes) => return Ok(()),
            (Powers::Token(own), (_, Some(scopes))) => Rule::Scopes(scopes.without(own.scopes)),
            (Powers::Token(_), (_, None)) => Rule::NoToken,
        };
        Err(Field::Principal.breaks(rule))
    }

    /// Checks that an account is given no stronger role than its giver has.
    ///
    /// # Errors
    ///
    /// [`Rule::Role`].
    pub(crate) fn may_give(&self, role: Role) -> Result<(), AdminError> {
        match self.powers {
            Powers::Account(own) if role > own => Err(Field::Role.breaks(Rule::Role(role))),
            _ => Ok(()),
        }
    }

    /// Returns the account that acts, if one does: what it hands out ends with it.
    pub(crate) fn giver(&self) -> Option<&str> {
        match (&self.powers, &self.author.actor) {
            (Powers::Account(_), Actor::Admin(name)) => Some(name),
            _ => None,
        }
    }

    /// Returns the name of the account that acts, for acts on one's own account.
    ///
    /// # Errors
    ///
    /// [`Rule::Missing`] when no account acts.
    pub(crate) fn account_name(&self) -> Result<&str, AdminError> {
        match &self.author.actor {
            Actor::Admin(name) => Ok(name),
            other => Err(Field::Account.breaks(Rule::Missing(other.to_string()))),
        }
    }

    /// Checks that a token with these scopes and networks allows no more than its maker has.
    ///
    /// Scopes of SCIM are not compared: managing the tokens of a tenant is giving access to its
    /// resources. The principal that rotates a token has the new one afterwards, so the same applies to rotating.
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
            Powers::Token(own) if !own.covers(cidrs) => {
                Err(Field::Networks.breaks(Rule::GrantsNetworks(own.cidrs.clone())))
            }
            _ => Ok(()),
        }
    }

    /// Returns the networks of a token that names none: those of its maker.
    pub(crate) fn networks(&self, named: Vec<IpNet>) -> Vec<IpNet> {
        match &self.powers {
            Powers::Token(own) if named.is_empty() => own.cidrs.clone(),
            _ => named,
        }
    }

    /// Checks that a token may be revoked.
    ///
    /// One of the admin API that allows more than the principal has stays: a stolen token would otherwise take away
    /// those that could end it. A provisioning token gives way to every principal that manages tokens, so that a
    /// leaked one ends at once.
    ///
    /// # Errors
    ///
    /// As [`Self::may_grant`].
    pub(crate) fn may_revoke(&self, token: &Token) -> Result<(), AdminError> {
        match token.scopes.purpose() {
            Purpose::Provisioning => Ok(()),
            Purpose::Administration => {
                self.may_grant(token.scopes, &token.cidrs).map_err(|error| match error {
                    AdminError::Rule { rule: Rule::GrantsScopes(beyond), .. } => {
                        Field::Token.breaks(Rule::BeyondScopes(beyond))
                    }
                    AdminError::Rule { rule: Rule::GrantsNetworks(own), .. } => {
                        Field::Token.breaks(Rule::BeyondNetworks(own))
                    }
                    other => other,
                })
            }
        }
    }

    /// Returns when a token that this one makes has to end at the latest.
    pub(crate) fn ends(&self) -> Option<Timestamp> {
        match &self.powers {
            Powers::Token(own) => own.expires,
            Powers::Operator | Powers::Account(_) => None,
        }
    }

    /// Checks whether a tenant is within reach.
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
