//! Logging in: who may try, and what proves an account.

use headcount_core::change::{Act, Actor, Author, Change};
use headcount_core::clock::Timestamp;
use headcount_core::ids::RequestId;
use secrecy::SecretString;

use super::hasher::Class;
use super::service::{Accounts, known_subject};
use super::store::{AdminRow, Attempt};
use super::{ClientNetwork, SESSION_KIND, SignedIn, account_name, throttle};
use crate::error::AdminError;

/// What a client sends to log in.
#[derive(Debug)]
pub struct LogIn<'a> {
    /// The name of the account.
    pub name: &'a str,
    /// Its password.
    pub password: &'a SecretString,
    /// The code of an authenticator; empty without one.
    pub code: &'a str,
    /// The cookie of a device that has logged in before.
    pub device: Option<&'a str>,
    /// Where the client is.
    pub network: &'a ClientNetwork,
    /// The request.
    pub request: &'a RequestId,
}

/// How an attempt is counted.
struct Way {
    /// Subjects of this client alone: forgotten after a success.
    own: Vec<String>,
    /// Subjects that it shares with others.
    shared: Vec<String>,
    class: Class,
    /// Whether the code was checked, and used up.
    coded: bool,
}

impl Accounts {
    /// Logs in.
    ///
    /// # Errors
    ///
    /// [`AdminError::Refused`], with the same words whatever is wrong; [`AdminError::Busy`].
    pub fn log_in(&self, attempt: &LogIn<'_>) -> Result<SignedIn, AdminError> {
        // All names that no account can have are counted as one.
        let name = account_name(attempt.name).unwrap_or_default();
        let outcome = self.check_log_in(&name, attempt);
        if matches!(outcome, Err(AdminError::Refused)) {
            self.record_refusal(&name, attempt)?;
        }
        outcome
    }

    fn check_log_in(&self, name: &str, attempt: &LogIn<'_>) -> Result<SignedIn, AdminError> {
        let now = self.clock.now();
        let way = self.admit(name, attempt, now)?;
        let row = self.store.admin(name)?;
        let hash = row.as_ref().map(|row| &row.password.hash);
        let matches = self.hasher.matches(attempt.password, hash, way.class)?;
        let row = row.filter(|_| matches).ok_or(AdminError::Refused)?;
        if row.totp.is_some() && !way.coded {
            self.use_code(&row, attempt.code, now)?;
        }
        self.store.reset_attempts(&way.own, &way.shared)?;
        self.renew(&row, attempt.password)?;
        self.sign_in(name, attempt.network, attempt.request)
    }

    /// Counts an attempt, or finds that it has to wait. One that has to wait still passes with a valid code: whoever
    /// guesses passwords, from however many addresses, does not keep out an administrator with a second factor.
    fn admit(&self, name: &str, attempt: &LogIn<'_>, now: Timestamp) -> Result<Way, AdminError> {
        let way = self.way(name, attempt, now)?;
        let subjects = [way.own.clone(), way.shared.clone()].concat();
        match self.store.attempt(&subjects, now)? {
            Attempt::Allowed => Ok(way),
            Attempt::Wait(_) => self.admit_with_code(name, attempt, now),
        }
    }

    /// Returns how an attempt is counted. A device and a network from which the account was logged in to before are
    /// not held up by what others try on the account.
    fn way(&self, name: &str, attempt: &LogIn<'_>, now: Timestamp) -> Result<Way, AdminError> {
        let device = attempt.device.and_then(|cookie| self.keys.device(name, cookie, now));
        if let Some(number) = device {
            let own = vec![format!("device {number}")];
            return Ok(Way { own, shared: Vec::new(), class: Class::Known, coded: false });
        }
        let from = format!("from {}", attempt.network.as_str());
        let since = now.minus(throttle::NETWORK_LIFE);
        Ok(if self.store.knows(name, attempt.network.as_str(), since)? {
            let own = vec![from, known_subject(name, attempt.network)];
            Way { own, shared: Vec::new(), class: Class::Known, coded: false }
        } else {
            let shared = vec![format!("to {name}")];
            Way { own: vec![from], shared, class: Class::Stranger, coded: false }
        })
    }

    /// Admits an attempt with a valid code. The code is used up first, so that each is good for one password, and
    /// these attempts are counted by themselves: wrong codes count against the network that they come from, and not
    /// against the account.
    fn admit_with_code(
        &self,
        name: &str,
        attempt: &LogIn<'_>,
        now: Timestamp,
    ) -> Result<Way, AdminError> {
        let code = attempt.code;
        if code.is_empty() {
            return Err(AdminError::Refused);
        }
        let tries = format!("codes from {}", attempt.network.as_str());
        self.count(std::slice::from_ref(&tries), now)?;
        let row = self.store.admin(name)?.ok_or(AdminError::Refused)?;
        let step = self.step_of(&row, code, now)?;
        let coded = format!("coded {name}");
        self.count(std::slice::from_ref(&coded), now)?;
        self.use_step(&row, step)?;
        let own = vec![tries, coded];
        Ok(Way { own, shared: Vec::new(), class: Class::Known, coded: true })
    }

    /// Checks a code and uses it up: one that was watched while it was typed is worthless.
    pub(super) fn use_code(
        &self,
        row: &AdminRow,
        code: &str,
        now: Timestamp,
    ) -> Result<(), AdminError> {
        let step = self.step_of(row, code, now)?;
        self.use_step(row, step)
    }

    fn step_of(&self, row: &AdminRow, code: &str, now: Timestamp) -> Result<i64, AdminError> {
        let name = &row.admin.name;
        let stored = row.totp.as_ref().ok_or(AdminError::Refused)?;
        let Some(opened) = self.keys.open(name, stored) else {
            tracing::error!(
                admin = %name,
                "no key opens the second factor of an account; check accounts.key_file, or run `headcount admin recover`"
            );
            return Err(AdminError::Refused);
        };
        let step = opened.secret.step_of(code, now).ok_or(AdminError::Refused)?;
        if !opened.current {
            self.store.reseal(name, stored, &self.keys.seal(name, &opened.secret))?;
        }
        Ok(step)
    }

    fn use_step(&self, row: &AdminRow, step: i64) -> Result<(), AdminError> {
        match self.store.use_step(&row.admin.name, step)? {
            true => Ok(()),
            false => Err(AdminError::Refused),
        }
    }

    pub(super) fn count(&self, subjects: &[String], now: Timestamp) -> Result<(), AdminError> {
        match self.store.attempt(subjects, now)? {
            Attempt::Allowed => Ok(()),
            Attempt::Wait(_) => Err(AdminError::Refused),
        }
    }

    /// Records a refused log-in, if it is one of those that are.
    fn record_refusal(&self, name: &str, attempt: &LogIn<'_>) -> Result<(), AdminError> {
        let now = self.clock.now();
        let Some(left_out) = self.refusals.sample(now) else { return Ok(()) };
        // People type passwords into the field for the name: only names that exist are written.
        let known = self.store.admin(name)?.is_some();
        let by = Author { actor: Actor::System, request: attempt.request.clone() };
        let others = format!("others:{left_out}");
        let paths: &[&str] = if left_out > 0 { &[&others] } else { &[] };
        let mut change =
            Change::of(Act::Refused, if known { name } else { "unknown" }, paths, now, &by);
        change.names.address = attempt.network.address();
        let id = format!("{:032x}", rand::random::<u128>());
        Ok(self.store.record(SESSION_KIND, &id, &change)?)
    }
}
