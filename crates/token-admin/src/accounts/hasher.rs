//! Hashes and compares passwords, one at a time: each run takes a lot of memory for a third of a second.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use argon2::Params;
use secrecy::{ExposeSecret, SecretString};

use super::password::{Password, normalize, stands_alone};
use crate::error::{AdminError, Field};
use crate::store::TokenHash;
use crate::verify;

/// Passwords of strangers that may wait for being checked.
const MAX_STRANGERS: usize = 12;
/// Passwords that may wait in all: the rest is for those who are known.
const MAX_WAITING: usize = 16;

/// What hashing a password costs.
///
/// People choose passwords that can be guessed, and tokens are random: a password costs more than a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordCost {
    kib: u32,
    passes: u32,
}

impl PasswordCost {
    /// What a server takes: 64 MiB and three passes.
    pub const SERVER: Self = Self { kib: 64 * 1024, passes: 3 };
    /// Next to nothing, for tests that log in often.
    pub const TESTS: Self = Self { kib: 64, passes: 1 };

    fn params(self) -> Params {
        // Both constants are within the limits of argon2.
        Params::new(self.kib, self.passes, 1, None).unwrap_or(Params::DEFAULT)
    }
}

/// Who waits for a password to be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// A client that a cookie, a second factor or its network shows to be the administrator's. It goes first.
    Known,
    /// Any other client.
    Stranger,
}

/// Those who wait, and whether a password is being checked.
#[derive(Default)]
struct Line {
    busy: bool,
    known: usize,
    strangers: usize,
}

pub(super) struct Hasher {
    params: Params,
    line: Mutex<Line>,
    moved: Condvar,
    /// Compared for names that have no account.
    decoy: Option<TokenHash>,
}

impl Hasher {
    pub(super) fn new(cost: PasswordCost) -> Self {
        let params = cost.params();
        let decoy = verify::decoy(&params).ok();
        Self { params, line: Mutex::default(), moved: Condvar::new(), decoy }
    }

    /// Hashes a new password.
    pub(super) fn hash(&self, password: &SecretString, name: &str) -> Result<Password, AdminError> {
        let prepared = normalize(password).map_err(|rule| Field::Password.breaks(rule))?;
        let turn = self.turn(Class::Known)?;
        let hash = verify::hash_with(&prepared, &self.params);
        drop(turn);
        Ok(Password {
            hash: hash.map_err(|_error| AdminError::Hash)?,
            stands_alone: Some(stands_alone(&prepared, name)),
        })
    }

    /// Compares a password with a hash. Without one it takes as long, and does not match.
    pub(super) fn matches(
        &self,
        password: &SecretString,
        hash: Option<&TokenHash>,
        class: Class,
    ) -> Result<bool, AdminError> {
        let turn = self.turn(class)?;
        // A text that cannot be a password takes as long as any other.
        let password = normalize(password).unwrap_or_else(|_rule| " ".into());
        // The memory is given back: log-ins are rare, and 64 MiB are much for a server to keep.
        let compared = hash
            .or(self.decoy.as_ref())
            .and_then(|hash| verify::matches(password.expose_secret(), hash, &mut Vec::new()));
        drop(turn);
        Ok(compared.unwrap_or(false) && hash.is_some())
    }

    /// Returns whether a password was hashed at a lower cost than a new one is.
    pub(super) fn is_outdated(&self, hash: &TokenHash) -> bool {
        verify::is_cheaper(hash, &self.params)
    }

    /// Waits for the turn of a password.
    fn turn(&self, class: Class) -> Result<Turn<'_>, AdminError> {
        let mut line = self.lock();
        let full = match class {
            Class::Known => line.known + line.strangers >= MAX_WAITING,
            Class::Stranger => line.strangers >= MAX_STRANGERS,
        };
        if full {
            return Err(AdminError::Busy);
        }
        match class {
            Class::Known => line.known += 1,
            Class::Stranger => line.strangers += 1,
        }
        while line.busy || (class == Class::Stranger && line.known > 0) {
            line = self.moved.wait(line).unwrap_or_else(PoisonError::into_inner);
        }
        match class {
            Class::Known => line.known -= 1,
            Class::Stranger => line.strangers -= 1,
        }
        line.busy = true;
        Ok(Turn(self))
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to check a password now.
struct Turn<'h>(&'h Hasher);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.lock().busy = false;
        self.0.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    use super::*;

    fn wait_until(hasher: &Hasher, ready: impl Fn(&Line) -> bool) {
        while !ready(&hasher.lock()) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn s12_who_is_known_goes_before_strangers_who_came_earlier() {
        let hasher = Arc::new(Hasher::new(PasswordCost::TESTS));
        let (sender, turns) = channel();
        let take = |class| {
            let (hasher, sender) = (Arc::clone(&hasher), sender.clone());
            std::thread::spawn(move || {
                let turn = hasher.turn(class).unwrap();
                sender.send(class).unwrap();
                drop(turn);
            })
        };
        let first = hasher.turn(Class::Stranger).unwrap();
        let mut threads: Vec<_> = (0..MAX_STRANGERS).map(|_| take(Class::Stranger)).collect();
        wait_until(&hasher, |line| line.strangers == MAX_STRANGERS);
        assert!(matches!(hasher.turn(Class::Stranger), Err(AdminError::Busy)));
        threads.push(take(Class::Known));
        wait_until(&hasher, |line| line.known == 1);
        drop(first);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let order: Vec<Class> = turns.try_iter().collect();
        assert_eq!(order.len(), MAX_STRANGERS + 1);
        assert_eq!(order.first(), Some(&Class::Known));
    }

    #[test]
    fn adm_01_a_password_costs_64_mib_and_three_passes_and_a_cheaper_hash_is_outdated() {
        let hasher = Hasher::new(PasswordCost::SERVER);
        let made = hasher.hash(&"velvet otter quarry".into(), "jane").unwrap();
        let text = made.hash.to_store();
        assert!(text.starts_with("$argon2id$v=19$m=65536,t=3,p=1$"), "{text}");
        let decoy = hasher.decoy.as_ref().unwrap().to_store();
        assert!(decoy.starts_with("$argon2id$v=19$m=65536,t=3,p=1$"), "{decoy}");
        assert!(!hasher.is_outdated(&made.hash));
        let token = verify::hash(&"velvet otter quarry".into()).unwrap();
        assert!(hasher.is_outdated(&token));
        let password = "velvet otter quarry".into();
        assert!(hasher.matches(&password, Some(&token), Class::Known).unwrap());
        assert!(hasher.matches(&password, Some(&made.hash), Class::Known).unwrap());
        assert!(!hasher.matches(&password, None, Class::Known).unwrap());
    }
}
