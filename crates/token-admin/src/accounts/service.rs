//! The use cases of accounts.

use std::sync::Arc;
use std::time::Duration;

use headcount_core::change::{Actor, Author};
use headcount_core::clock::{Clock, Timestamp};
use headcount_core::ids::RequestId;
use secrecy::SecretString;

use super::password::{self, Hasher, MIN_CHARS, MIN_CHARS_WITH_CODE};
use super::store::{AccountStore, AdminRow, Attempt, LinkRow, RoleChange, Secret, SessionRow};
use super::{
    Admin, ClientNetwork, Link, LinkPurpose, REAUTH_WINDOW, Role, SESSION_IDLE, SESSION_MAX_AGE,
    SentBy, Session, SignedIn, TotpSecret, account_name, throttle,
};
use crate::error::{AdminError, Field, Rule};
use crate::principal::{Action, Principal};
use crate::store::TokenHash;

/// How often the last use of a session is written.
const SEEN_INTERVAL: Duration = Duration::from_secs(60);

/// Manages accounts, sessions and links over a store.
pub struct Accounts {
    store: Arc<dyn AccountStore>,
    clock: Arc<dyn Clock>,
    hasher: Hasher,
}

impl Accounts {
    /// Puts the parts together.
    pub fn new(store: Arc<dyn AccountStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, hasher: Hasher::default() }
    }

    /// Returns whether there is an account.
    ///
    /// # Errors
    ///
    /// [`AdminError::Store`], here and in every other method.
    pub fn any_admin(&self) -> Result<bool, AdminError> {
        Ok(self.store.any_admin()?)
    }

    /// Returns all accounts by name.
    ///
    /// # Errors
    ///
    /// [`AdminError::Store`].
    pub fn admins(&self, by: &Principal) -> Result<Vec<Admin>, AdminError> {
        by.may(Action::ReadAccounts)?;
        Ok(self.store.admins()?)
    }

    /// Makes a link for the first account.
    ///
    /// # Errors
    ///
    /// [`Rule::NotFirst`] when there is an account.
    pub fn setup_link(&self, by: &Principal) -> Result<Link, AdminError> {
        by.may(Action::MakeFirstAccount)?;
        if self.store.any_admin()? {
            return Err(Field::Account.breaks(Rule::NotFirst));
        }
        self.link(LinkPurpose::First)
    }

    /// Makes a link for an account whose owner cannot log in.
    ///
    /// # Errors
    ///
    /// [`Rule::Missing`], [`Rule::AccountName`].
    pub fn recovery_link(&self, by: &Principal, name: &str) -> Result<Link, AdminError> {
        by.may(Action::RecoverAccount)?;
        let name = known_name(name)?;
        if self.store.admin(&name)?.is_none() {
            return Err(missing(&name));
        }
        self.link(LinkPurpose::Recover(name))
    }

    /// Makes a link with which a new administrator creates an account.
    ///
    /// # Errors
    ///
    /// [`Rule::Taken`], [`Rule::AccountName`].
    pub fn invitation(&self, by: &Principal, name: &str, role: Role) -> Result<Link, AdminError> {
        by.may(Action::InviteAccount)?;
        by.may_give(role)?;
        let name = account_name(name)?;
        if self.store.admin(&name)?.is_some() {
            return Err(Field::AccountName.breaks(Rule::Taken));
        }
        self.link(LinkPurpose::Invite(name, role))
    }

    fn link(&self, purpose: LinkPurpose) -> Result<Link, AdminError> {
        let now = self.clock.now();
        let (link, secret) = Link::generate(now);
        self.store.insert_link(&LinkRow { secret, purpose, expires: link.expires }, now)?;
        Ok(link)
    }

    /// Returns what a link is for, if it works.
    ///
    /// # Errors
    ///
    /// [`Rule::LinkOver`].
    pub fn purpose(&self, link: &str) -> Result<LinkPurpose, AdminError> {
        let found = self.store.link(&Secret::of(link), self.clock.now())?;
        Ok(found.ok_or_else(link_over)?.purpose)
    }

    /// Uses a link up: creates its account, or sets a new password, and logs in. `name` counts only for the
    /// first account; other links contain the name.
    ///
    /// # Errors
    ///
    /// [`Rule::LinkOver`], also for all but one of several clients that use it at the same time;
    /// a rule about [`Field::Password`], [`Rule::AccountName`], [`Rule::Taken`].
    pub fn redeem(
        &self,
        link: &str,
        name: &str,
        password: &SecretString,
        network: &ClientNetwork,
        request: &RequestId,
    ) -> Result<SignedIn, AdminError> {
        let (name, role) = match self.purpose(link)? {
            LinkPurpose::First => (account_name(name)?, Role::Owner),
            LinkPurpose::Invite(name, role) => (name, role),
            LinkPurpose::Recover(name) => (name, Role::Auditor),
        };
        password::check(password, &name, MIN_CHARS).map_err(|rule| Field::Password.breaks(rule))?;
        let now = self.clock.now();
        let admin = Admin {
            name: name.clone(),
            role,
            second_factor: false,
            created: now,
            last_login: None,
        };
        let row = AdminRow { admin, hash: self.hasher.hash(password)?, totp: None };
        let by = author(&name, request);
        match self.store.redeem(&Secret::of(link), &row, now, &by) {
            Ok(true) => self.sign_in(&name, network),
            Ok(false) => Err(link_over()),
            Err(error) => Err(Field::AccountName.admin_error(error)),
        }
    }

    /// Logs in.
    ///
    /// # Errors
    ///
    /// [`AdminError::Refused`], with the same words whatever is wrong; [`AdminError::Busy`].
    pub fn log_in(
        &self,
        name: &str,
        password: &SecretString,
        code: &str,
        network: &ClientNetwork,
    ) -> Result<SignedIn, AdminError> {
        // All names that no account can have are counted as one.
        let name = account_name(name).unwrap_or_default();
        let now = self.clock.now();
        let since = now.minus(throttle::NETWORK_LIFE);
        let own = vec![format!("from {}", network.as_str())];
        let (own, shared) = if self.store.knows(&name, network.as_str(), since)? {
            ([own, vec![known_subject(&name, network)]].concat(), Vec::new())
        } else {
            (own, vec![format!("to {name}")])
        };
        self.count(&[own.clone(), shared.clone()].concat(), now)?;
        let row = self.store.admin(&name)?;
        let matches = self.hasher.matches(password, row.as_ref().map(|row| &row.hash))?;
        let row = row.filter(|_| matches).ok_or(AdminError::Refused)?;
        self.second_factor(&row, code, now)?;
        self.store.reset_attempts(&own, &shared)?;
        self.sign_in(&name, network)
    }

    fn second_factor(&self, row: &AdminRow, code: &str, now: Timestamp) -> Result<(), AdminError> {
        let Some(secret) = &row.totp else { return Ok(()) };
        let step = secret.step_of(code, now).ok_or(AdminError::Refused)?;
        // A code works once: one that was watched while it was typed is worthless.
        match self.store.use_step(&row.admin.name, step)? {
            true => Ok(()),
            false => Err(AdminError::Refused),
        }
    }

    fn count(&self, subjects: &[String], now: Timestamp) -> Result<(), AdminError> {
        match self.store.attempt(subjects, now)? {
            Attempt::Allowed => Ok(()),
            Attempt::Wait(_) => Err(AdminError::Refused),
        }
    }

    /// Makes a session, with a new id whatever the browser sent (ADM-08).
    fn sign_in(&self, name: &str, network: &ClientNetwork) -> Result<SignedIn, AdminError> {
        let now = self.clock.now();
        let (cookie, secret) = Secret::generate();
        let session =
            SessionRow { secret, admin: name.to_owned(), created: now, seen: now, proven: now };
        self.store.insert_session(&session, network.as_str())?;
        Ok(SignedIn { name: name.to_owned(), cookie })
    }

    /// Returns the session of a cookie, if it is alive. Reads the store each time, so that the end of a session
    /// counts from the next request on, on every replica.
    ///
    /// # Errors
    ///
    /// [`AdminError::Store`].
    pub fn session(&self, cookie: &str, by: SentBy) -> Result<Option<Session>, AdminError> {
        let secret = Secret::of(cookie);
        let Some((row, admin)) = self.store.session(&secret)? else { return Ok(None) };
        let now = self.clock.now();
        if now >= row.seen.plus(SESSION_IDLE) || now >= row.created.plus(SESSION_MAX_AGE) {
            return Ok(None);
        }
        if by == SentBy::Person && now >= row.seen.plus(SEEN_INTERVAL) {
            self.store.touch_session(&secret, now, row.proven)?;
        }
        let form_token = Secret::of(&format!("form {cookie}")).as_str().to_owned();
        Ok(Some(Session { admin, created: row.created, proven: row.proven, form_token }))
    }

    /// Returns whether the password was entered recently enough for a dangerous act.
    pub fn recently_authenticated(&self, session: &Session) -> bool {
        self.clock.now() < session.proven.plus(REAUTH_WINDOW)
    }

    /// Checks the password of a session's account again, for dangerous acts.
    ///
    /// # Errors
    ///
    /// [`AdminError::Refused`], [`AdminError::Busy`].
    pub fn reauthenticate(
        &self,
        session: &Session,
        cookie: &str,
        password: &SecretString,
        network: &ClientNetwork,
    ) -> Result<(), AdminError> {
        self.check_own(&session.admin.name, password, network)?;
        let now = self.clock.now();
        Ok(self.store.touch_session(&Secret::of(cookie), now, now)?)
    }

    fn check_own(
        &self,
        name: &str,
        password: &SecretString,
        network: &ClientNetwork,
    ) -> Result<AdminRow, AdminError> {
        let own = vec![known_subject(name, network)];
        self.count(&own, self.clock.now())?;
        let row = self.store.admin(name)?.ok_or_else(|| missing(name))?;
        if !self.hasher.matches(password, Some(&row.hash))? {
            return Err(AdminError::Refused);
        }
        self.store.reset_attempts(&own, &[])?;
        Ok(row)
    }

    /// Ends a session.
    ///
    /// # Errors
    ///
    /// [`AdminError::Store`].
    pub fn log_out(&self, cookie: &str) -> Result<(), AdminError> {
        Ok(self.store.end_session(&Secret::of(cookie))?)
    }

    /// Ends every session of an account, or of all. Administrators may always end their own.
    ///
    /// # Errors
    ///
    /// [`Rule::Role`], [`Rule::NoToken`], [`Rule::Missing`].
    pub fn log_out_everywhere(&self, by: &Principal, name: Option<&str>) -> Result<(), AdminError> {
        let own = by.account_name().ok();
        if name.is_none() || name != own {
            by.may(Action::EndSessions)?;
        }
        let name = name.map(known_name).transpose()?;
        // Ending the sessions of an account that does not exist would look like success.
        if let Some(name) = &name
            && self.store.admin(name)?.is_none()
        {
            return Err(missing(name));
        }
        Ok(self.store.end_sessions(name.as_deref(), self.clock.now(), &by.author)?)
    }

    /// Sets a new password for one's own account, ends all its sessions and makes a new one.
    ///
    /// # Errors
    ///
    /// [`AdminError::Refused`] when the old password is wrong; a rule about [`Field::Password`].
    pub fn change_password(
        &self,
        by: &Principal,
        old: &SecretString,
        new: &SecretString,
        network: &ClientNetwork,
    ) -> Result<SignedIn, AdminError> {
        let name = by.account_name()?;
        let row = self.check_own(name, old, network)?;
        let shortest = if row.totp.is_some() { MIN_CHARS_WITH_CODE } else { MIN_CHARS };
        password::check(new, name, shortest).map_err(|rule| Field::Password.breaks(rule))?;
        let hash: TokenHash = self.hasher.hash(new)?;
        if !self.store.set_password(name, &hash, self.clock.now(), &by.author)? {
            return Err(missing(name));
        }
        self.sign_in(name, network)
    }

    /// Lets log-in to one's own account ask for codes, once a first code shows that the secret arrived.
    ///
    /// # Errors
    ///
    /// [`AdminError::Refused`] for a code that is not of this secret.
    pub fn enable_codes(
        &self,
        by: &Principal,
        secret: &TotpSecret,
        code: &str,
    ) -> Result<(), AdminError> {
        let (name, now) = (by.account_name()?, self.clock.now());
        let step = secret.step_of(code, now).ok_or(AdminError::Refused)?;
        if !self.store.set_totp(name, Some(secret), now, &by.author)? {
            return Err(missing(name));
        }
        self.store.use_step(name, step)?;
        Ok(())
    }

    /// Stops asking for codes at log-in to one's own account.
    ///
    /// # Errors
    ///
    /// [`Rule::Missing`].
    pub fn disable_codes(&self, by: &Principal) -> Result<(), AdminError> {
        let name = by.account_name()?;
        match self.store.set_totp(name, None, self.clock.now(), &by.author)? {
            true => Ok(()),
            false => Err(missing(name)),
        }
    }

    /// Gives an account another role and ends its sessions.
    ///
    /// # Errors
    ///
    /// [`Rule::Role`], [`Rule::NoToken`], [`Rule::LastOwner`], [`Rule::Missing`].
    pub fn set_role(&self, by: &Principal, name: &str, role: Role) -> Result<(), AdminError> {
        by.may(Action::ChangeRole)?;
        by.may_give(role)?;
        let name = &known_name(name)?;
        check(name, self.store.set_role(name, role, self.clock.now(), &by.author)?)
    }

    /// Removes an account with its sessions.
    ///
    /// # Errors
    ///
    /// [`Rule::Role`], [`Rule::NoToken`], [`Rule::LastOwner`], [`Rule::Missing`].
    pub fn remove(&self, by: &Principal, name: &str) -> Result<(), AdminError> {
        by.may(Action::RemoveAccount)?;
        let name = &known_name(name)?;
        check(name, self.store.remove_admin(name, self.clock.now(), &by.author)?)
    }
}

fn check(name: &str, outcome: RoleChange) -> Result<(), AdminError> {
    match outcome {
        RoleChange::Made => Ok(()),
        RoleChange::Missing => Err(missing(name)),
        RoleChange::LastOwner => Err(Field::Account.breaks(Rule::LastOwner)),
    }
}

/// Reads the name of an account that has to exist; a name that no account can have is missing, too.
fn known_name(text: &str) -> Result<String, AdminError> {
    account_name(text).map_err(|_bad| missing(text))
}

fn missing(name: &str) -> AdminError {
    Field::Account.breaks(Rule::Missing(name.to_owned()))
}

fn link_over() -> AdminError {
    Field::Link.breaks(Rule::LinkOver)
}

/// Returns the subject of attempts on an account from a network that it was logged in from before.
fn known_subject(name: &str, network: &ClientNetwork) -> String {
    format!("known {name} {}", network.as_str())
}

fn author(name: &str, request: &RequestId) -> Author {
    Author { actor: Actor::Admin(name.to_owned()), request: request.clone() }
}
