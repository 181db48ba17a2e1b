//! The use cases of accounts.

use std::sync::Arc;

use headcount_core::change::{Actor, Author};
use headcount_core::clock::{Clock, Timestamp};
use headcount_core::ids::RequestId;
use secrecy::SecretString;

use super::password::{self, Hasher};
use super::store::{AccountStore, AdminRow, Attempt, Guarded, LinkRow, Secret, SessionRow};
use super::{
    AccountError, Admin, IDLE, LONGEST, Link, LinkPurpose, PROVEN, Place, Role, Session, SignedIn,
    TotpSecret, account_name, throttle,
};
use crate::store::TokenHash;

/// How often the last use of a session is written down, in seconds.
const SEEN_INTERVAL: i64 = 60;

/// Makes, proves and ends accounts, sessions and links over a store.
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

    /// Tells whether there is an account.
    ///
    /// # Errors
    ///
    /// [`AccountError::Store`], here and in every other method.
    pub fn any_admin(&self) -> Result<bool, AccountError> {
        Ok(self.store.any_admin()?)
    }

    /// Returns all accounts by name.
    ///
    /// # Errors
    ///
    /// [`AccountError::Store`].
    pub fn admins(&self) -> Result<Vec<Admin>, AccountError> {
        Ok(self.store.admins()?)
    }

    /// Makes a link for the first account.
    ///
    /// # Errors
    ///
    /// [`AccountError::NotFirst`] when there is an account.
    pub fn setup_link(&self) -> Result<Link, AccountError> {
        if self.store.any_admin()? {
            return Err(AccountError::NotFirst);
        }
        self.link(LinkPurpose::First)
    }

    /// Makes a link for an account whose owner cannot log in.
    ///
    /// # Errors
    ///
    /// [`AccountError::Missing`], [`AccountError::BadName`].
    pub fn recovery_link(&self, name: &str) -> Result<Link, AccountError> {
        let name = account_name(name)?;
        if self.store.admin(&name)?.is_none() {
            return Err(AccountError::Missing);
        }
        self.link(LinkPurpose::Recover(name))
    }

    /// Makes a link with which somebody gets an account.
    ///
    /// # Errors
    ///
    /// [`AccountError::Taken`], [`AccountError::BadName`].
    pub fn invitation(&self, name: &str, role: Role) -> Result<Link, AccountError> {
        let name = account_name(name)?;
        if self.store.admin(&name)?.is_some() {
            return Err(AccountError::Taken);
        }
        self.link(LinkPurpose::Invite(name, role))
    }

    fn link(&self, purpose: LinkPurpose) -> Result<Link, AccountError> {
        let now = self.clock.now();
        let (link, secret) = Link::generate(now);
        self.store.insert_link(&LinkRow { secret, purpose, expires: link.expires }, now)?;
        Ok(link)
    }

    /// Tells what a link is for, when it works.
    ///
    /// # Errors
    ///
    /// [`AccountError::BadLink`].
    pub fn purpose(&self, link: &str) -> Result<LinkPurpose, AccountError> {
        let found = self.store.link(&Secret::of(link), self.clock.now())?;
        Ok(found.ok_or(AccountError::BadLink)?.purpose)
    }

    /// Uses a link up: makes its account, or gives it a new password, and logs in. `name` counts only
    /// for the first account; the others have theirs.
    ///
    /// # Errors
    ///
    /// [`AccountError::BadLink`] also for all but one of those who use it at the same time;
    /// [`AccountError::Password`], [`AccountError::BadName`], [`AccountError::Taken`].
    pub fn redeem(
        &self,
        link: &str,
        name: &str,
        password: &SecretString,
        place: &Place,
        request: &RequestId,
    ) -> Result<SignedIn, AccountError> {
        let (name, role) = match self.purpose(link)? {
            LinkPurpose::First => (account_name(name)?, Role::Owner),
            LinkPurpose::Invite(name, role) => (name, role),
            LinkPurpose::Recover(name) => (name, Role::Auditor),
        };
        password::check(password, &name, false)?;
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
            Ok(true) => self.sign_in(&name, place),
            Ok(false) => Err(AccountError::BadLink),
            Err(crate::StoreError::Taken) => Err(AccountError::Taken),
            Err(error) => Err(error.into()),
        }
    }

    /// Logs in.
    ///
    /// # Errors
    ///
    /// [`AccountError::Refused`] for everything that is wrong, in the same words; [`AccountError::Busy`].
    pub fn log_in(
        &self,
        name: &str,
        password: &SecretString,
        code: &str,
        place: &Place,
    ) -> Result<SignedIn, AccountError> {
        // A name that nobody can have is counted as one name.
        let name = account_name(name).unwrap_or_default();
        let now = self.clock.now();
        let since = now.plus_seconds(-throttle::KNOWN);
        let own = vec![format!("from {}", place.as_str())];
        let (own, shared) = if self.store.knows(&name, place.as_str(), since)? {
            ([own, vec![at_home(&name, place)]].concat(), Vec::new())
        } else {
            (own, vec![format!("to {name}")])
        };
        self.count(&[own.clone(), shared.clone()].concat(), now)?;
        let row = self.store.admin(&name)?;
        let matches = self.hasher.matches(password, row.as_ref().map(|row| &row.hash))?;
        let row = row.filter(|_| matches).ok_or(AccountError::Refused)?;
        self.second_factor(&row, code, now)?;
        self.store.forgive(&own, &shared)?;
        self.sign_in(&name, place)
    }

    fn second_factor(
        &self,
        row: &AdminRow,
        code: &str,
        now: Timestamp,
    ) -> Result<(), AccountError> {
        let Some(secret) = &row.totp else { return Ok(()) };
        let step = secret.step_of(code, now).ok_or(AccountError::Refused)?;
        // A code that somebody has seen being typed is worth nothing any more.
        let fresh = self.store.use_step(&row.admin.name, step)?;
        if fresh { Ok(()) } else { Err(AccountError::Refused) }
    }

    fn count(&self, subjects: &[String], now: Timestamp) -> Result<(), AccountError> {
        match self.store.attempt(subjects, now)? {
            Attempt::Allowed => Ok(()),
            Attempt::Wait(_) => Err(AccountError::Refused),
        }
    }

    /// Makes a session. Its id is new whatever the browser sent (ADM-08).
    fn sign_in(&self, name: &str, place: &Place) -> Result<SignedIn, AccountError> {
        let now = self.clock.now();
        let (cookie, secret) = Secret::generate();
        let session =
            SessionRow { secret, admin: name.to_owned(), created: now, seen: now, proven: now };
        self.store.insert_session(&session, place.as_str())?;
        Ok(SignedIn { name: name.to_owned(), cookie })
    }

    /// Returns the session of a cookie, when it is alive. Reads the store each time: that is what makes
    /// its end count for the next request on every replica.
    ///
    /// `active` says whether a person does something, or a page asks by itself, which keeps no session
    /// alive.
    ///
    /// # Errors
    ///
    /// [`AccountError::Store`].
    pub fn session(&self, cookie: &str, active: bool) -> Result<Option<Session>, AccountError> {
        let secret = Secret::of(cookie);
        let Some((row, admin)) = self.store.session(&secret)? else { return Ok(None) };
        let now = self.clock.now();
        if now >= row.seen.plus_seconds(IDLE) || now >= row.created.plus_seconds(LONGEST) {
            return Ok(None);
        }
        if active && now >= row.seen.plus_seconds(SEEN_INTERVAL) {
            self.store.touch_session(&secret, now, row.proven)?;
        }
        let form_token = Secret::of(&format!("form {cookie}")).as_str().to_owned();
        Ok(Some(Session { admin, created: row.created, proven: row.proven, form_token }))
    }

    /// Tells whether the password was entered lately enough for a dangerous act.
    pub fn is_proven(&self, session: &Session) -> bool {
        self.clock.now() < session.proven.plus_seconds(PROVEN)
    }

    /// Proves that whoever uses a session knows its password.
    ///
    /// # Errors
    ///
    /// [`AccountError::Refused`], [`AccountError::Busy`].
    pub fn prove(
        &self,
        session: &Session,
        cookie: &str,
        password: &SecretString,
        place: &Place,
    ) -> Result<(), AccountError> {
        self.check_own(&session.admin.name, password, place)?;
        let now = self.clock.now();
        Ok(self.store.touch_session(&Secret::of(cookie), now, now)?)
    }

    fn check_own(
        &self,
        name: &str,
        password: &SecretString,
        place: &Place,
    ) -> Result<AdminRow, AccountError> {
        let own = vec![at_home(name, place)];
        self.count(&own, self.clock.now())?;
        let row = self.store.admin(name)?.ok_or(AccountError::Missing)?;
        if !self.hasher.matches(password, Some(&row.hash))? {
            return Err(AccountError::Refused);
        }
        self.store.forgive(&own, &[])?;
        Ok(row)
    }

    /// Ends a session.
    ///
    /// # Errors
    ///
    /// [`AccountError::Store`].
    pub fn log_out(&self, cookie: &str) -> Result<(), AccountError> {
        Ok(self.store.end_session(&Secret::of(cookie))?)
    }

    /// Ends every session of an account, or of all.
    ///
    /// # Errors
    ///
    /// [`AccountError::Store`].
    pub fn log_out_everywhere(&self, name: Option<&str>, by: &Author) -> Result<(), AccountError> {
        Ok(self.store.end_sessions(name, self.clock.now(), by)?)
    }

    /// Sets a new password, ends all sessions of the account and makes a new one.
    ///
    /// # Errors
    ///
    /// [`AccountError::Refused`] when the old password is wrong; [`AccountError::Password`].
    pub fn change_password(
        &self,
        name: &str,
        old: &SecretString,
        new: &SecretString,
        place: &Place,
        by: &Author,
    ) -> Result<SignedIn, AccountError> {
        let row = self.check_own(name, old, place)?;
        password::check(new, name, row.totp.is_some())?;
        let hash: TokenHash = self.hasher.hash(new)?;
        if !self.store.set_password(name, &hash, self.clock.now(), by)? {
            return Err(AccountError::Missing);
        }
        self.sign_in(name, place)
    }

    /// Begins to ask for codes at log-in, once one of them shows that the secret arrived.
    ///
    /// # Errors
    ///
    /// [`AccountError::Refused`] for a code that is not of this secret.
    pub fn enable_codes(
        &self,
        name: &str,
        secret: &TotpSecret,
        code: &str,
        by: &Author,
    ) -> Result<(), AccountError> {
        let now = self.clock.now();
        let step = secret.step_of(code, now).ok_or(AccountError::Refused)?;
        if !self.store.set_totp(name, Some(secret), now, by)? {
            return Err(AccountError::Missing);
        }
        self.store.use_step(name, step)?;
        Ok(())
    }

    /// Stops asking for codes.
    ///
    /// # Errors
    ///
    /// [`AccountError::Missing`].
    pub fn disable_codes(&self, name: &str, by: &Author) -> Result<(), AccountError> {
        let done = self.store.set_totp(name, None, self.clock.now(), by)?;
        if done { Ok(()) } else { Err(AccountError::Missing) }
    }

    /// Gives an account another role and ends its sessions.
    ///
    /// # Errors
    ///
    /// [`AccountError::LastOwner`], [`AccountError::Missing`].
    pub fn set_role(&self, name: &str, role: Role, by: &Author) -> Result<(), AccountError> {
        guarded(self.store.set_role(name, role, self.clock.now(), by)?)
    }

    /// Removes an account with its sessions.
    ///
    /// # Errors
    ///
    /// [`AccountError::LastOwner`], [`AccountError::Missing`].
    pub fn remove(&self, name: &str, by: &Author) -> Result<(), AccountError> {
        guarded(self.store.remove_admin(name, self.clock.now(), by)?)
    }
}

fn guarded(outcome: Guarded) -> Result<(), AccountError> {
    match outcome {
        Guarded::Done => Ok(()),
        Guarded::Missing => Err(AccountError::Missing),
        Guarded::LastOwner => Err(AccountError::LastOwner),
    }
}

/// The subject of attempts by somebody who was let in from this place before.
fn at_home(name: &str, place: &Place) -> String {
    format!("known {name} {}", place.as_str())
}

fn author(name: &str, request: &RequestId) -> Author {
    Author { actor: Actor::Admin(name.to_owned()), request: request.clone() }
}
