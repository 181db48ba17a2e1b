//! Rules for passwords, and their hashing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use argon2::Block;
use precis_core::profile::PrecisFastInvocation as _;
use precis_profiles::OpaqueString;
use secrecy::{ExposeSecret, SecretString};

use crate::error::{AdminError, Field, Rule};
use crate::store::TokenHash;
use crate::verify;

/// Characters of a password that is the only proof.
pub(super) const MIN_CHARS: usize = 15;
/// Characters of a password next to which a code is asked for.
pub(super) const MIN_CHARS_WITH_CODE: usize = 8;
const MAX_CHARS: usize = 128;
/// Passwords that may wait for being checked.
const MAX_WAITING: usize = 16;

/// Words of which thoughtless passwords consist.
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

/// Makes a password the same whatever keyboard it was typed on (RFC 8265 §4.2, `OpaqueString`): NFC, every space
/// a plain one, no control characters. Both setting a password and logging in do this, and a password in ASCII
/// stays as it is.
fn normalize(password: &SecretString) -> Result<SecretString, Rule> {
    let text = password.expose_secret();
    if text.is_empty() {
        return Err(Rule::PasswordTooShort(MIN_CHARS));
    }
    let prepared = OpaqueString::enforce(text).map_err(|_error| Rule::PasswordCharacters)?;
    Ok(prepared.into_owned().into())
}

/// Checks a new password of an account, which needs so many characters at least.
pub(super) fn check(password: &SecretString, name: &str, shortest: usize) -> Result<(), Rule> {
    let prepared = normalize(password)?;
    let text = prepared.expose_secret();
    match text.chars().count() {
        length if length < shortest => Err(Rule::PasswordTooShort(shortest)),
        length if length > MAX_CHARS => Err(Rule::PasswordTooLong(MAX_CHARS)),
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
    /// The hash of a random password, for names that have no account.
    decoy: OnceLock<Option<TokenHash>>,
}

impl Hasher {
    pub(super) fn hash(&self, password: &SecretString) -> Result<TokenHash, AdminError> {
        verify::hash(&normalize(password).map_err(|rule| Field::Password.breaks(rule))?)
            .map_err(|_error| AdminError::Hash)
    }

    /// Compares a password with a hash. Without one it takes as long, and does not match.
    pub(super) fn matches(
        &self,
        password: &SecretString,
        hash: Option<&TokenHash>,
    ) -> Result<bool, AdminError> {
        if self.waiting.fetch_add(1, Ordering::SeqCst) >= MAX_WAITING {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            return Err(AdminError::Busy);
        }
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        // A text that cannot be a password takes as long as any other.
        let password = normalize(password).unwrap_or_else(|_rule| " ".into());
        let compared = hash
            .or_else(|| self.decoy())
            .and_then(|hash| verify::matches(password.expose_secret(), hash, &mut memory));
        drop(memory);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        Ok(compared.unwrap_or(false) && hash.is_some())
    }

    fn decoy(&self) -> Option<&TokenHash> {
        self.decoy
            .get_or_init(|| verify::hash(&format!("{:032x}", rand::random::<u128>()).into()).ok())
            .as_ref()
    }
}
