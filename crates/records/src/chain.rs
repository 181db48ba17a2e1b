//! The chain that makes tampering with the record of changes visible.
//!
//! Each row has a place, and a hash over its content and the hash of the row before it. Whoever edits,
//! removes, inserts or moves a row breaks the chain at that place; whoever cuts its end is found by a
//! checkpoint that was kept elsewhere. Names of people are not hashed themselves but by their digest,
//! which stays when they are erased.

use std::fmt;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use sha2::{Digest, Sha256};

use headcount_core::clock::Timestamp;

/// A link of the chain: 32 bytes of SHA-256.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Link([u8; 32]);

impl Link {
    /// What the first row is chained to.
    pub const GENESIS: Self = Self([0; 32]);

    /// Reads the stored form, 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// Returns the link of the row that stands at `place` after this one.
    #[must_use]
    pub fn next(&self, place: i64, row: &AuditRow) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.0);
        for number in [place, row.seq, row.tenant, row.at, row.version] {
            hash.update(number.to_be_bytes());
        }
        hash.update(row.switched.map_or(-1, i64::from).to_be_bytes());
        let texts = [
            &row.actor_kind,
            &row.actor,
            &row.request,
            &row.act,
            &row.kind,
            &row.resource,
            &row.paths,
            &row.delta,
            &row.personal_digest,
        ];
        // With its length in front, no text can borrow from its neighbour.
        for text in texts {
            hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(text.as_bytes());
        }
        Self(hash.finalize().into())
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A row of the record of changes, word for word as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditRow {
    /// The number that the database gave it.
    pub seq: i64,
    /// The key of the tenant.
    pub tenant: i64,
    /// When, in microseconds since 1970.
    pub at: i64,
    /// What kind of actor.
    pub actor_kind: String,
    /// Which one.
    pub actor: String,
    /// In which request.
    pub request: String,
    /// What was done.
    pub act: String,
    /// To what kind of thing.
    pub kind: String,
    /// To which one.
    pub resource: String,
    /// The version that it made.
    pub version: i64,
    /// The attributes that changed, separated by spaces.
    pub paths: String,
    /// Members that came and went, as JSON.
    pub delta: String,
    /// Whether a user was switched on (1) or off (0).
    pub switched: Option<i32>,
    /// The names it went by, as salted JSON; absent when it has none or they were erased.
    pub personal: Option<String>,
    /// The digest of `personal` when it was written; empty when there was none.
    pub personal_digest: String,
}

impl AuditRow {
    /// Tells whether the names are those that were written; erased ones are.
    pub fn personal_holds(&self) -> bool {
        self.personal.as_deref().is_none_or(|text| digest(text) == self.personal_digest)
    }
}

/// What the chain was at a place: kept elsewhere, it proves that nothing before it was cut off or
/// written anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The place.
    pub place: i64,
    /// The link of the row at it.
    pub hash: Link,
    /// When the checkpoint was made.
    pub at: Timestamp,
}

impl Checkpoint {
    /// Returns the text that is signed.
    pub fn signed_text(&self) -> String {
        let Self { place, hash, at } = self;
        format!("headcount checkpoint v1\nplace {place}\nhash {hash}\nat {at}\n")
    }
}

/// The digest of a text that may be erased later. The text holds a salt, so that a name cannot be
/// guessed from what stays.
pub fn digest(text: &str) -> String {
    Link(Sha256::digest(text.as_bytes()).into()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_read_as_it_is_written() {
        let link = Link::GENESIS.next(1, &AuditRow::default());
        assert_eq!(Link::parse(&link.to_string()), Some(link));
        assert_ne!(link, Link::GENESIS);
        for wrong in ["", "00", &"z".repeat(64), &"é".repeat(32)] {
            assert_eq!(Link::parse(wrong), None);
        }
    }

    #[test]
    fn every_part_of_a_row_counts() {
        let row =
            AuditRow { actor: "a".to_owned(), request: "bc".to_owned(), ..AuditRow::default() };
        let link = Link::GENESIS.next(1, &row);
        let text = |edit: fn(&mut AuditRow) -> &mut String| {
            let mut row = row.clone();
            edit(&mut row).push('x');
            row
        };
        let edited = [
            AuditRow { seq: 1, ..row.clone() },
            AuditRow { tenant: 1, ..row.clone() },
            AuditRow { at: 1, ..row.clone() },
            AuditRow { version: 1, ..row.clone() },
            AuditRow { switched: Some(0), ..row.clone() },
            // What moves from one text to the next is an edit, too.
            AuditRow { actor: "ab".to_owned(), request: "c".to_owned(), ..row.clone() },
            text(|row| &mut row.actor_kind),
            text(|row| &mut row.act),
            text(|row| &mut row.kind),
            text(|row| &mut row.resource),
            text(|row| &mut row.paths),
            text(|row| &mut row.delta),
            text(|row| &mut row.personal_digest),
        ];
        for edited in edited {
            assert_ne!(Link::GENESIS.next(1, &edited), link, "{edited:?}");
        }
        assert_ne!(Link::GENESIS.next(2, &row), link);
        assert_ne!(link.next(1, &row), link);
    }

    #[test]
    fn names_hold_until_they_are_changed_and_after_they_are_erased() {
        let personal = r#"{"salt":"1","name":"jane"}"#.to_owned();
        let row = AuditRow {
            personal_digest: digest(&personal),
            personal: Some(personal),
            ..AuditRow::default()
        };
        assert!(row.personal_holds());
        assert!(AuditRow { personal: None, ..row.clone() }.personal_holds());
        assert!(!AuditRow { personal: Some("{}".to_owned()), ..row }.personal_holds());
    }
}
