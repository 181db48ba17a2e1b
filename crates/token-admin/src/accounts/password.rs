//! Rules for passwords.

use precis_core::profile::PrecisFastInvocation as _;
use precis_profiles::OpaqueString;
use secrecy::{ExposeSecret, SecretString};
use zxcvbn::feedback::Warning;
use zxcvbn::{Score, zxcvbn};

use crate::error::{Rule, Weakness};
use crate::store::TokenHash;

/// Characters of a password that is the only proof.
pub(super) const MIN_CHARS: usize = 15;
/// Characters of a password next to which a code is asked for.
const MIN_CHARS_WITH_CODE: usize = 8;
const MAX_CHARS: usize = 128;
/// How hard to guess a password that is the only proof has to be: more than 10^10 guesses.
const MIN_SCORE: Score = Score::Four;
/// The same next to a code: more than 10^6 guesses. Eight random characters have this much.
const MIN_SCORE_WITH_CODE: Score = Score::Two;

/// A password as it is stored.
#[derive(Clone)]
pub struct Password {
    /// Its argon2id hash.
    pub hash: TokenHash,
    /// Whether it is strong enough to be the only proof; unknown until the first log-in with it after an upgrade.
    pub stands_alone: Option<bool>,
}

/// Words of which thoughtless passwords consist, however long they are.
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
pub(super) fn normalize(password: &SecretString) -> Result<SecretString, Rule> {
    let text = password.expose_secret();
    if text.is_empty() {
        return Err(Rule::PasswordTooShort(MIN_CHARS));
    }
    let prepared = OpaqueString::enforce(text).map_err(|_error| Rule::PasswordCharacters)?;
    Ok(prepared.into_owned().into())
}

/// Returns whether a normalized password is strong enough to be the only proof.
pub(super) fn stands_alone(prepared: &SecretString, name: &str) -> bool {
    check_prepared(prepared.expose_secret(), name, false).is_ok()
}

/// Checks a new password of an account.
pub(super) fn check(password: &SecretString, name: &str, second_factor: bool) -> Result<(), Rule> {
    check_prepared(normalize(password)?.expose_secret(), name, second_factor)
}

fn check_prepared(text: &str, name: &str, second_factor: bool) -> Result<(), Rule> {
    let (shortest, score) = match second_factor {
        true => (MIN_CHARS_WITH_CODE, MIN_SCORE_WITH_CODE),
        false => (MIN_CHARS, MIN_SCORE),
    };
    match text.chars().count() {
        length if length < shortest => Err(Rule::PasswordTooShort(shortest)),
        length if length > MAX_CHARS => Err(Rule::PasswordTooLong(MAX_CHARS)),
        _ => match weakness(text, name, score) {
            Some(weakness) => Err(Rule::PasswordGuessable(weakness)),
            None => Ok(()),
        },
    }
}

/// Returns why a password is guessed early, if it is.
fn weakness(text: &str, name: &str, score: Score) -> Option<Weakness> {
    let own: Vec<&str> = name.split(|c: char| !c.is_alphanumeric()).collect();
    let known = [own.as_slice(), &[name, "headcount", "scim", "provisioning"]].concat();
    let guesses = zxcvbn(text, &known);
    let weak = guesses.score() < score;
    if !weak && !is_guessable(text, name) {
        return None;
    }
    let warning = guesses.feedback().and_then(|feedback| feedback.warning());
    Some(match warning.filter(|_| weak) {
        Some(
            Warning::ThisIsATop10Password
            | Warning::ThisIsATop100Password
            | Warning::ThisIsACommonPassword
            | Warning::ThisIsSimilarToACommonlyUsedPassword,
        ) => Weakness::Common,
        Some(
            Warning::StraightRowsOfKeysAreEasyToGuess
            | Warning::ShortKeyboardPatternsAreEasyToGuess,
        ) => Weakness::Keyboard,
        Some(
            Warning::RepeatsLikeAaaAreEasyToGuess
            | Warning::RepeatsLikeAbcAbcAreOnlySlightlyHarderToGuess,
        ) => Weakness::Repeats,
        Some(Warning::SequencesLikeAbcAreEasyToGuess) => Weakness::Sequence,
        Some(Warning::RecentYearsAreEasyToGuess | Warning::DatesAreOftenEasyToGuess) => {
            Weakness::Date
        }
        Some(
            Warning::AWordByItselfIsEasyToGuess
            | Warning::NamesAndSurnamesByThemselvesAreEasyToGuess
            | Warning::CommonNamesAndSurnamesAreEasyToGuess,
        ) => Weakness::Word,
        None => Weakness::FewWords,
    })
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
