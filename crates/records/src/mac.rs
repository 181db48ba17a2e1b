//! Codes that only the holder of a key can make: who writes to the database without the key is found.
//!
//! A change has a code over its content, made in the transaction that writes it, and a random id that makes a
//! copied row visible. Its position and hash get another one when the sequencer gives them. Since each hash covers
//! the one before it, the code of a position protects everything up to it, older rows without codes included.

use std::fmt;

use data_encoding::{BASE32_DNSSEC, BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use headcount_core::clock::Timestamp;
use headcount_core::ids::ChainPosition;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::chain::{AuditRow, Content};

/// What stands in front of everything that is authenticated, so that no code fits anything else.
const CHANGE: &[u8] = b"headcount change v1\n";
const PLACE: &[u8] = b"headcount place v1\n";
const ACCEPTED: &[u8] = b"headcount accepted v1\n";

/// Bytes of a key, at least.
const MIN_KEY_BYTES: usize = 32;
/// Characters of the id of a key, at most.
const MAX_ID: usize = 16;
/// The id of the key in the database.
const DATABASE: &str = "database";
/// Characters of a code in base64url.
const CODE: usize = 43;

/// What the sequencer writes as the code of a position whose row it did not find authentic. It fits no key.
pub const REFUSED: &str = "refused";

/// A key with its id.
#[derive(Clone)]
struct MacKey {
    id: String,
    /// HMAC that has taken in the key.
    keyed: Hmac<Sha256>,
}

/// Keys that authenticate changes: the first one makes codes, all of them verify.
#[derive(Clone)]
pub struct MacKeys {
    first: MacKey,
    others: Vec<MacKey>,
    in_database: bool,
}

impl fmt::Debug for MacKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MacKeys").field(&self.first.id).finish_non_exhaustive()
    }
}

/// Whether a code proves what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A key of ours made it, of exactly this.
    Authentic,
    /// There is no code.
    Missing,
    /// It names a key that is not known.
    UnknownKey,
    /// It does not fit.
    Wrong,
}

impl MacKey {
    fn new(id: &str, secret: &[u8]) -> Self {
        // HMAC takes keys of any length.
        let keyed = <Hmac<Sha256> as KeyInit>::new_from_slice(secret)
            .unwrap_or_else(|_| Hmac::new(&Default::default()));
        Self { id: id.to_owned(), keyed }
    }

    fn change(&self, content: &Content<'_>) -> Hmac<Sha256> {
        let mut mac = self.keyed.clone();
        mac.update(CHANGE);
        for number in content.numbers {
            mac.update(&number.to_be_bytes());
        }
        mac.update(&content.switched.map_or(-1, i64::from).to_be_bytes());
        // The length in front of each text keeps characters from moving to the next one.
        for text in content.texts.iter().chain([&content.uid]) {
            mac.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(text.as_bytes());
        }
        mac
    }

    fn place(&self, position: ChainPosition, hash: &str) -> Hmac<Sha256> {
        let mut mac = self.keyed.clone();
        mac.update(PLACE);
        mac.update(&position.number().to_be_bytes());
        mac.update(hash.as_bytes());
        mac
    }

    fn accepted(&self, position: ChainPosition) -> Hmac<Sha256> {
        let mut mac = self.keyed.clone();
        mac.update(ACCEPTED);
        mac.update(&position.number().to_be_bytes());
        mac
    }

    fn code(&self, mac: Hmac<Sha256>) -> String {
        format!("{}:{}", self.id, BASE64URL_NOPAD.encode(&mac.finalize().into_bytes()))
    }
}

impl MacKeys {
    /// Returns the key that is stored in the database itself.
    pub fn in_database(secret: &[u8]) -> Self {
        Self { first: MacKey::new(DATABASE, secret), others: Vec::new(), in_database: true }
    }

    /// Reads a file: a key a line, an id and at least 64 hexadecimal digits. The first one makes codes.
    ///
    /// # Errors
    ///
    /// A sentence that says which line to change.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut keys: Vec<MacKey> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key = parse_line(line).map_err(|what| format!("line {}: {what}", index + 1))?;
            if keys.iter().any(|known| known.id == key.id) {
                return Err(format!(
                    "line {}: another key has the id {} already",
                    index + 1,
                    key.id
                ));
            }
            keys.push(key);
        }
        let mut keys = keys.into_iter();
        let first = keys.next().ok_or_else(|| {
            "it contains no key; make one with `echo \"k1 $(openssl rand -hex 32)\"`".to_owned()
        })?;
        Ok(Self { first, others: keys.collect(), in_database: false })
    }

    /// Returns whether the key is in the database, where anyone who can write there may find it.
    pub fn is_in_database(&self) -> bool {
        self.in_database
    }

    /// Returns how many characters a code has.
    pub fn code_length(&self) -> usize {
        self.first.id.len() + 1 + CODE
    }

    /// Makes the code of a change.
    pub fn change(&self, content: &Content<'_>) -> String {
        self.first.code(self.first.change(content))
    }

    /// Makes the code of a position and its hash.
    pub fn place(&self, position: ChainPosition, hash: &str) -> String {
        self.first.code(self.first.place(position, hash))
    }

    /// Makes the code that accepts rows without one, up to a position.
    pub fn accepted(&self, position: ChainPosition) -> String {
        self.first.code(self.first.accepted(position))
    }

    /// Checks the code of a row.
    pub fn check_change(&self, row: &AuditRow) -> Proof {
        let content = row.content();
        self.check(row.mac.as_deref(), |key| key.change(&content))
    }

    /// Checks the code of a position.
    pub fn check_place(&self, position: ChainPosition, hash: &str, code: Option<&str>) -> Proof {
        self.check(code, |key| key.place(position, hash))
    }

    /// Checks the code that accepts rows up to a position.
    pub fn check_accepted(&self, position: ChainPosition, code: &str) -> Proof {
        self.check(Some(code), |key| key.accepted(position))
    }

    fn check(&self, code: Option<&str>, mac: impl Fn(&MacKey) -> Hmac<Sha256>) -> Proof {
        let Some(code) = code else { return Proof::Missing };
        let Some((id, code)) = code.split_once(':') else { return Proof::Wrong };
        let key = std::iter::once(&self.first).chain(&self.others).find(|key| key.id == id);
        let Some(key) = key else { return Proof::UnknownKey };
        let bytes = BASE64URL_NOPAD.decode(code.as_bytes()).unwrap_or_default();
        match mac(key).verify_slice(&bytes) {
            Ok(()) => Proof::Authentic,
            Err(_) => Proof::Wrong,
        }
    }
}

fn parse_line(line: &str) -> Result<MacKey, String> {
    let mut words = line.split_whitespace();
    let (Some(id), Some(secret), None) = (words.next(), words.next(), words.next()) else {
        return Err("a key is an id and hexadecimal digits, with a space between them".to_owned());
    };
    let is_plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !is_plain || id.len() > MAX_ID || id == DATABASE {
        return Err(format!(
            "the id of a key has at most {MAX_ID} letters, digits, hyphens and periods, and is not \"{DATABASE}\""
        ));
    }
    let bytes = HEXLOWER_PERMISSIVE.decode(secret.as_bytes()).unwrap_or_default();
    if bytes.len() < MIN_KEY_BYTES {
        return Err(format!(
            "the key {id} must have at least {} hexadecimal digits; `openssl rand -hex {MIN_KEY_BYTES}` makes them",
            2 * MIN_KEY_BYTES
        ));
    }
    Ok(MacKey::new(id, &bytes))
}

/// Returns the id of a new row: its time, so that the index over ids grows at its end, and random bytes.
pub fn uid(at: Timestamp, random: [u8; 10]) -> String {
    let [_, _, time @ ..] = (at.micros() / 1_000).to_be_bytes();
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(time.into_iter().chain(random)).for_each(|(to, from)| *to = from);
    BASE32_DNSSEC.encode(&bytes)
}

#[cfg(test)]
mod tests {
    use headcount_core::ids::ChangeSeq;

    use super::*;

    fn keys(text: &str) -> MacKeys {
        MacKeys::parse(text).unwrap()
    }

    fn line(id: &str, digit: &str) -> String {
        format!("{id} {}\n", digit.repeat(64))
    }

    fn row() -> AuditRow {
        let mut row = AuditRow {
            actor: "a".to_owned(),
            request: "bc".to_owned(),
            uid: Some("u".to_owned()),
            ..AuditRow::default()
        };
        row.mac = Some(keys(&line("k1", "a")).change(&row.content()));
        row
    }

    #[test]
    fn aud_03_every_part_of_a_row_but_number_and_names_is_authenticated() {
        let (keys, row) = (keys(&line("k1", "a")), row());
        assert_eq!(keys.check_change(&row), Proof::Authentic);
        // What it is about is proven wherever the row is, and after its names were erased.
        let elsewhere =
            AuditRow { seq: ChangeSeq::new(9), personal: Some("x".to_owned()), ..row.clone() };
        assert_eq!(keys.check_change(&elsewhere), Proof::Authentic);
        let text = |edit: fn(&mut AuditRow) -> &mut String| {
            let mut row = row.clone();
            edit(&mut row).push('x');
            row
        };
        let edited = [
            AuditRow { tenant: 1, ..row.clone() },
            AuditRow { at: 1, ..row.clone() },
            AuditRow { version: 1, ..row.clone() },
            AuditRow { switched: Some(0), ..row.clone() },
            AuditRow { actor: "ab".to_owned(), request: "c".to_owned(), ..row.clone() },
            AuditRow { uid: Some("v".to_owned()), ..row.clone() },
            AuditRow { uid: None, ..row.clone() },
            text(|row| &mut row.actor_kind),
            text(|row| &mut row.act),
            text(|row| &mut row.kind),
            text(|row| &mut row.resource),
            text(|row| &mut row.paths),
            text(|row| &mut row.delta),
            text(|row| &mut row.personal_digest),
            AuditRow { mac: Some("k1:".to_owned()), ..row.clone() },
            AuditRow { mac: Some(REFUSED.to_owned()), ..row.clone() },
        ];
        for edited in edited {
            assert_eq!(keys.check_change(&edited), Proof::Wrong, "{edited:?}");
        }
        assert_eq!(keys.check_change(&AuditRow { mac: None, ..row }), Proof::Missing);
    }

    #[test]
    fn an_old_key_verifies_until_it_is_removed_and_never_makes_a_code() {
        let row = row();
        let rotated = keys(&(line("k2", "b") + &line("k1", "a")));
        assert_eq!(rotated.check_change(&row), Proof::Authentic);
        assert!(rotated.change(&row.content()).starts_with("k2:"));
        assert_eq!(keys(&line("k2", "b")).check_change(&row), Proof::UnknownKey);
        assert_eq!(keys(&line("k1", "b")).check_change(&row), Proof::Wrong);
        let code = rotated.place(ChainPosition::new(7), "h");
        assert_eq!(code.len(), rotated.code_length());
        assert_eq!(rotated.check_place(ChainPosition::new(7), "h", Some(&code)), Proof::Authentic);
        assert_eq!(rotated.check_place(ChainPosition::new(8), "h", Some(&code)), Proof::Wrong);
        assert_eq!(rotated.check_place(ChainPosition::new(7), "i", Some(&code)), Proof::Wrong);
        assert_eq!(rotated.check_accepted(ChainPosition::new(7), &code), Proof::Wrong);
        assert_eq!(
            rotated.check_accepted(ChainPosition::new(7), &rotated.accepted(ChainPosition::new(7))),
            Proof::Authentic
        );
    }

    #[test]
    fn a_file_of_keys_says_what_is_wrong_with_it() {
        assert!(!format!("{:?}", keys(&line("k1", "a"))).contains("aaaa"));
        assert!(keys(&format!("# ours\n\n{}", line("k1", "A"))).first.id == "k1");
        for (text, told) in [
            (String::new(), "contains no key"),
            ("k1".to_owned(), "line 1: a key is an id and"),
            ("k1 abcd".to_owned(), "at least 64 hexadecimal digits"),
            (line("k1", "g"), "at least 64 hexadecimal digits"),
            (line("database", "a"), "is not \"database\""),
            (line("k:1", "a"), "the id of a key"),
            (line("k1", "a") + &line("k1", "b"), "line 2: another key has the id k1"),
        ] {
            let error = MacKeys::parse(&text).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn ids_of_rows_grow_with_time_and_differ() {
        let id = |micros, random| uid(Timestamp::from_micros(micros), [random; 10]);
        assert!(id(1_000_000, 9) < id(2_000_000, 0));
        assert_ne!(id(0, 1), id(0, 2));
        assert_eq!(id(0, 1).len(), 26);
    }
}
