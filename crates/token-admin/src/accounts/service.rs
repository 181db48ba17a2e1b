//! The use cases of accounts.

use std::sync::Arc;
use std::time::Duration;

use headcount_core::change::{Act, Actor, Author, Change};
use headcount_core::clock::Clock;
use headcount_core::ids::RequestId;
use secrecy::SecretString;

use super::hasher::{Class, Hasher, PasswordCost};
use super::keys::AccountKeys;
use super::password;
use super::refusals::Refusals;
use super::store::{AccountStore, AdminRow, LinkRow, RoleChange, Secret, SessionRow};
use super::{
    Admin, ClientNetwork, EXPORT_KIND, Link, LinkPurpose, REAUTH_WINDOW, Role, SESSION_IDLE,
    SESSION_MAX_AGE, SentBy, Session, SignedIn, TotpSecret, account_name,
};
use crate::error::{AdminError, Field, Rule};
use crate::principal::{Action, Principal};
use crate::store::StoreError;
use crate::tenant::Tenant;

/// How often the last use of a session is written.
const SEEN_INTERVAL: Duration = Duration::from_secs(60);

/// Manages accounts, sessions and links over a store.
pub struct Accounts {
    pub(super) store: Arc<dyn AccountStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) hasher: Hasher,
    pub(super) keys: AccountKeys,
    pub(super) refusals: Refusals,
}

impl Accounts {
    /// Puts the parts together, with a key that no other process has: for commands, which neither log in nor open
    /// the secrets of second factors.
    pub fn new(store: Arc<dyn AccountStore>, clock: Arc<dyn Clock>) -> Self {
        Self::with_keys(store, clock, AccountKeys::random(), PasswordCost::SERVER)
    }

    /// Puts the parts together, with the keys that all replicas share.
    pub fn with_keys(
        store: Arc<dyn AccountStore>,
        clock: Arc<dyn Clock>,
        keys: AccountKeys,
        cost: PasswordCost,
    ) -> Self {
        Self { store, clock, hasher: Hasher::new(cost), keys, refusals: Refusals::default() }
    }

    /// Seals with the present key each second factor that an earlier release stored as it was, or that an older key
    /// sealed. Returns the accounts whose second factor no key opens.
    ///
    /// # Errors
    ///
    /// [`AdminError::Store`].
    pub fn seal_second_factors(&self) -> Result<Vec<String>, AdminError> {
        let mut closed = Vec::new();
        for admin in self.store.admins()?.into_iter().filter(|admin| admin.second_factor) {
            let row = self.store.admin(&admin.name)?;
            let Some(stored) = row.and_then(|row| row.totp) else { continue };
            match self.keys.open(&admin.name, &stored) {
                Some(opened) if opened.current => {}
                Some(opened) => {
                    let sealed = self.keys.seal(&admin.name, &opened.secret);
                    self.store.reseal(&admin.name, &stored, &sealed)?;
                }
                None => closed.push(admin.name),
            }
        }
        Ok(closed)
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
        self.link(by, LinkPurpose::First)
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
        self.link(by, LinkPurpose::Recover(name))
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
        self.link(by, LinkPurpose::Invite(name, role))
    }

    fn link(&self, by: &Principal, purpose: LinkPurpose) -> Result<Link, AdminError> {
        let (now, giver) = (self.clock.now(), by.giver().map(str::to_owned));
        let (link, secret) = Link::generate(now);
        let row = LinkRow { secret, purpose, expires: link.expires, giver };
        match self.store.insert_link(&row, now, &by.author) {
            // The rights of the account ended while it made the link.
            Err(StoreError::Missing) => Err(Field::Principal.breaks(Rule::Role(Role::Owner))),
            done => Ok(done.map(|()| link)?),
        }
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
        password::check(password, &name, false).map_err(|rule| Field::Password.breaks(rule))?;
        let now = self.clock.now();
        let admin = Admin {
            name: name.clone(),
            role,
            second_factor: false,
            created: now,
            last_login: None,
        };
        let row = AdminRow { admin, password: self.hasher.hash(password, &name)?, totp: None };
        let by = author(&name, request);
        match self.store.redeem(&Secret::of(link), &row, now, &by) {
            Ok(true) => self.sign_in(&name, network, request),
            Ok(false) => Err(link_over()),
            Err(error) => Err(Field::AccountName.admin_error(error)),
        }
    }

    /// Makes a session, with a new id whatever the browser sent (ADM-08).
    pub(super) fn sign_in(
        &self,
        name: &str,
        network: &ClientNetwork,
        request: &RequestId,
    ) -> Result<SignedIn, AdminError> {
        let now = self.clock.now();
        let (cookie, secret) = Secret::generate();
        let session =
            SessionRow { secret, admin: name.to_owned(), created: now, seen: now, proven: now };
        self.store.insert_session(&session, network, &author(name, request))?;
        Ok(SignedIn { name: name.to_owned(), cookie, device: self.keys.new_device(name, now) })
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
        if !self.hasher.matches(password, Some(&row.password.hash), Class::Known)? {
            return Err(AdminError::Refused);
        }
        self.store.reset_attempts(&own, &[])?;
        self.renew(&row, password)?;
        Ok(row)
    }

    /// Hashes a password again that was just proven, if its hash is cheaper than those of today, or if it is not
    /// known yet whether it stands alone.
    pub(super) fn renew(&self, row: &AdminRow, password: &SecretString) -> Result<(), AdminError> {
        let (name, stored) = (&row.admin.name, &row.password);
        if stored.stands_alone.is_some() && !self.hasher.is_outdated(&stored.hash) {
            return Ok(());
        }
        match self.hasher.hash(password, name) {
            Ok(renewed) => Ok(self.store.rehash(name, &stored.hash, &renewed)?),
            // The next log-in does it.
            Err(AdminError::Busy) => Ok(()),
            Err(other) => Err(other),
        }
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
        let second_factor = row.totp.is_some();
        password::check(new, name, second_factor).map_err(|rule| Field::Password.breaks(rule))?;
        let password = self.hasher.hash(new, name)?;
        if !self.store.set_password(name, &password, self.clock.now(), &by.author)? {
            return Err(missing(name));
        }
        self.sign_in(name, network, &by.author.request)
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
        let row = self.store.admin(name)?.ok_or_else(|| missing(name))?;
        // Another authenticator takes the place of one only after it was ended with a code of its own.
        if row.totp.is_some() {
            return Err(AdminError::Refused);
        }
        let step = secret.step_of(code, now).ok_or(AdminError::Refused)?;
        if !self.store.set_totp(name, &self.keys.seal(name, secret), now, &by.author)? {
            return Err(missing(name));
        }
        self.store.use_step(name, step)?;
        Ok(())
    }

    /// Returns whether the password of one's own account is strong enough to be the only proof.
    ///
    /// # Errors
    ///
    /// [`Rule::Missing`].
    pub fn password_stands_alone(&self, by: &Principal) -> Result<bool, AdminError> {
        let name = by.account_name()?;
        let row = self.store.admin(name)?.ok_or_else(|| missing(name))?;
        Ok(row.password.stands_alone == Some(true))
    }

    /// Stops asking for codes at log-in to one's own account, with a last code. If the password is not strong enough
    /// to be the only proof, `new` replaces it: all sessions end, and a new one is made.
    ///
    /// # Errors
    ///
    /// [`AdminError::Refused`] for a code that is not valid now; [`Rule::PasswordAlone`] or another rule about
    /// [`Field::Password`]; [`Rule::Missing`].
    pub fn disable_codes(
        &self,
        by: &Principal,
        code: &str,
        new: Option<&SecretString>,
        network: &ClientNetwork,
    ) -> Result<Option<SignedIn>, AdminError> {
        let (name, now) = (by.account_name()?, self.clock.now());
        // Not the subject of passwords: a right one, in the same form, would forget the codes that were tried.
        let own = vec![format!("codes {name}")];
        self.count(&own, now)?;
        let row = self.store.admin(name)?.ok_or_else(|| missing(name))?;
        let refused = |rule| Field::Password.breaks(rule);
        let new = new.filter(|_| row.password.stands_alone != Some(true));
        match new {
            Some(new) => password::check(new, name, false).map_err(refused)?,
            None if row.password.stands_alone == Some(true) => {}
            None => return Err(refused(Rule::PasswordAlone(password::MIN_CHARS))),
        }
        // The code comes last: an error about the password does not use it up.
        self.use_code(&row, code, now)?;
        self.store.reset_attempts(&own, &[])?;
        let password = new.map(|new| self.hasher.hash(new, name)).transpose()?;
        if !self.store.remove_totp(name, password.as_ref(), now, &by.author)? {
            return Err(missing(name));
        }
        let ended = password.is_some();
        ended.then(|| self.sign_in(name, network, &by.author.request)).transpose()
    }

    /// Records that resources of a tenant leave the console as a file, before they do.
    ///
    /// # Errors
    ///
    /// [`Rule::Role`].
    pub fn record_export(
        &self,
        by: &Principal,
        tenant: &Tenant,
        what: &[&str],
        network: &ClientNetwork,
    ) -> Result<(), AdminError> {
        by.may(Action::ExportResources)?;
        let mut change = Change::of(Act::Created, &tenant.name, what, self.clock.now(), &by.author);
        change.names.address = network.address();
        Ok(self.store.record(EXPORT_KIND, &tenant.id.key().to_string(), &change)?)
    }

    /// Gives an account another role and ends its sessions. The links that it made stop working.
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

    /// Removes an account with its sessions. The links that it made stop working.
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
pub(super) fn known_subject(name: &str, network: &ClientNetwork) -> String {
    format!("known {name} {}", network.as_str())
}

fn author(name: &str, request: &RequestId) -> Author {
    Author { actor: Actor::Admin(name.to_owned()), request: request.clone() }
}
