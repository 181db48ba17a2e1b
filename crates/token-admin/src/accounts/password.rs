//! Rules for passwords, and their hashing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use argon2::Block;
use precis_core::profile::PrecisFastInvocation as _;
use precis_profiles::OpaqueString;
use secrecy::{ExposeSecret, SecretString};

use crate::error::{AdminError, Field, Rule};
use crate::store::TokenHash;
use crate::verify;

/// Characters of a password that is the only proof.
const SHORTEST: usize = 15;
/// Characters of a password beside which a code is asked for.
const SHORTEST_WITH_CODE: usize = 8;
const LONGEST: usize = 128;
/// Passwords that may wait for being checked.
const QUEUE: usize = 16;

/// Words that a password is made of when nobody thought about it.
const COMMON: [&str; 48] = [
    "password",
    "passwort",
    "passphrase",
    "letmein",
    "welcome",
    "qwerty",
    "qwertz",
    "azerty",
    "asdfgh",
    "zxcvbn",
    "admin",
    "administrator",
    "root",
    "superuser",
    "owner",
    "login",
    "secret",
    "changeme",
    "default",
    "test",
    "testing",
    "iloveyou",
    "monkey",
    "dragon",
    "master",
    "sunshine",
    "princess",
    "football",
    "baseball",
    "shadow",
    "superman",
    "batman",
    "trustno",
    "access",
    "hello",
    "summer",
    "winter",
    "spring",
    "autumn",
    "monday",
    "friday",
    "company",
    "correcthorsebatterystaple",
    "headcount",
    "scim",
    "provisioning",
    "abc",
    "aaa",
];

/// Makes a password the same whatever keyboard it was typed on (RFC 8265, `OpaqueString`).
fn prepared(password: &SecretString) -> Result<SecretString, Rule> {
    let text = password.expose_secret();
    if text.is_empty() {
        return Err(Rule::PasswordTooShort(SHORTEST));
    }
    let prepared = OpaqueString::enforce(text).map_err(|_error| Rule::PasswordCharacters)?;
    Ok(prepared.into_owned().into())
}

/// Checks a new password of an account.
pub(super) fn check(password: &SecretString, name: &str, second_factor: bool) -> Result<(), Rule> {
    let shortest = if second_factor { SHORTEST_WITH_CODE } else { SHORTEST };
    let prepared = prepared(password)?;
    let text = prepared.expose_secret();
    match text.chars().count() {
        length if length < shortest => Err(Rule::PasswordTooShort(shortest)),
        length if length > LONGEST => Err(Rule::PasswordTooLong(LONGEST)),
        _ if is_guessable(text, name) => Err(Rule::PasswordGuessable),
        _ => Ok(()),
    }
}

/// Tells whether little is left of a password without common words, its owner's name, runs and digits.
fn is_guessable(text: &str, name: &str) -> bool {
    let mut rest = text.to_lowercase();
    let own = name.split(|c: char| !c.is_alphanumeric());
    let mut words: Vec<&str> = own.chain(COMMON).filter(|word| word.len() >= 3).collect();
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    for word in words {
        rest = rest.replace(word, "");
    }
    let mut kept: Vec<char> = Vec::new();
    let mut last: Option<char> = None;
    for c in rest.chars() {
        // The second of two that are equal or neighbours in the alphabet adds nothing.
        let run = last.is_some_and(|last| u32::from(c).abs_diff(u32::from(last)) <= 1);
        if c.is_alphabetic() && !run && !kept.contains(&c) {
            kept.push(c);
        }
        last = Some(c);
    }
    kept.len() < 4
}

/// Hashes and compares passwords, one at a time, in memory that is allocated once.
#[derive(Default)]
pub(super) struct Hasher {
    memory: Mutex<Vec<Block>>,
    waiting: AtomicUsize,
    /// A hash that nobody's password has, for names that nobody has.
    nobody: std::sync::OnceLock<Option<TokenHash>>,
}

impl Hasher {
    pub(super) fn hash(&self, password: &SecretString) -> Result<TokenHash, AdminError> {
        verify::hash(&prepared(password).map_err(|rule| Field::Password.breaks(rule))?)
            .map_err(|_error| AdminError::Hash)
    }

    /// Compares a password with a hash; without one, takes as long and says no.
    pub(super) fn matches(
        &self,
        password: &SecretString,
        hash: Option<&TokenHash>,
    ) -> Result<bool, AdminError> {
        if self.waiting.fetch_add(1, Ordering::SeqCst) >= QUEUE {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            return Err(AdminError::Busy);
        }
        let nobody = || {
            let made = || verify::hash(&format!("{:032x}", rand::random::<u128>()).into()).ok();
            self.nobody.get_or_init(made).as_ref()
        };
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let password = prepared(password).unwrap_or_else(|_| " ".into());
        let compared = hash
            .or_else(nobody)
            .and_then(|hash| verify::matches(password.expose_secret(), hash, &mut memory));
        drop(memory);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        Ok(compared.unwrap_or(false) && hash.is_some())
    }
}
