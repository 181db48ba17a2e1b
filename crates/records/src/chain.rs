//! The chain that makes tampering with the record of changes visible.
//!
//! Each row has a position, and a hash over its content and the hash of the row before it. A row that is
//! edited, deleted, inserted or moved breaks the chain at its position; a cut end is found by a checkpoint
//! that was kept elsewhere. Instead of the names of people, the hash covers a digest of them, which stays
//! when they are erased.

use std::fmt;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use sha2::{Digest, Sha256};

use headcount_core::clock::Timestamp;
use headcount_core::ids::{ChainPosition, ChangeSeq};

/// A link of the chain: 32 bytes of SHA-256.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Link([u8; 32]);

impl Link {
    /// The link before the first row.
    pub const GENESIS: Self = Self([0; 32]);

    /// Parses the stored form, 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// Returns the link of `row`, which follows this one at `position`.
    #[must_use]
    pub fn next(&self, position: ChainPosition, row: &AuditRow) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.0);
        for number in [position.number(), row.seq.number(), row.tenant, row.at, row.version] {
            hash.update(number.to_be_bytes());
        }
        hash.update(row.switched.map_or(-1, i64::from).to_be_bytes());
        // The length in front of each text keeps characters from moving to the next one.
        for text in row.texts() {
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

/// A row of the record of changes, exactly as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditRow {
    /// The number that the database gave it.
    pub seq: ChangeSeq,
    /// The key of the tenant.
    pub tenant: i64,
    /// When, in microseconds since 1970.
    pub at: i64,
    /// The kind of actor.
    pub actor_kind: String,
    /// The actor.
    pub actor: String,
    /// The id of the request.
    pub request: String,
    /// What was done.
    pub act: String,
    /// The kind of what it was done to.
    pub kind: String,
    /// The id of what it was done to.
    pub resource: String,
    /// The version after it.
    pub version: i64,
    /// The attributes that changed, separated by spaces.
    pub paths: String,
    /// Added and removed members, as JSON.
    pub delta: String,
    /// Whether a user was activated (1) or deactivated (0).
    pub switched: Option<i32>,
    /// Its names, as salted JSON; absent when it has none or they were erased.
    pub personal: Option<String>,
    /// The digest of `personal` when it was written; empty when there was none.
    pub personal_digest: String,
    /// A random id that no other row has; absent from rows of earlier releases.
    pub uid: Option<String>,
    /// The code that authenticates the row; absent from rows of earlier releases.
    pub mac: Option<String>,
}

impl AuditRow {
    /// Returns the texts of a row, in the order in which they are hashed.
    fn texts(&self) -> [&str; 9] {
        [
            &self.actor_kind,
            &self.actor,
            &self.request,
            &self.act,
            &self.kind,
            &self.resource,
            &self.paths,
            &self.delta,
            &self.personal_digest,
        ]
    }

    /// Returns what its code covers.
    pub fn content(&self) -> Content<'_> {
        Content {
            numbers: [self.tenant, self.at, self.version],
            switched: self.switched,
            texts: self.texts(),
            uid: self.uid.as_deref().unwrap_or_default(),
        }
    }

    /// Checks whether the names are those that were recorded, or were erased.
    pub fn personal_holds(&self) -> bool {
        self.personal.as_deref().is_none_or(|text| digest(text) == self.personal_digest)
    }
}

/// The content of a change that its code covers, wherever it comes from.
#[derive(Debug)]
pub struct Content<'a> {
    /// Tenant, time and version.
    pub numbers: [i64; 3],
    /// Whether a user was activated (1) or deactivated (0).
    pub switched: Option<i32>,
    /// Kind of actor, actor, request, act, kind, resource, paths, delta and digest of the names.
    pub texts: [&'a str; 9],
    /// The id of the row.
    pub uid: &'a str,
}

/// The state of the chain at a position. Kept elsewhere, it proves that the chain up to there was neither
/// cut nor rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The position.
    pub position: ChainPosition,
    /// The link of the row at it.
    pub hash: Link,
    /// When the checkpoint was made.
    pub at: Timestamp,
}

impl Checkpoint {
    /// Returns the text that is signed.
    pub fn signed_text(&self) -> String {
        let Self { position, hash, at } = self;
        format!("headcount checkpoint v1\nplace {position}\nhash {hash}\nat {at}\n")
    }
}

/// Returns the digest of a text that may be erased later. The text contains a salt, so that no name can be
/// guessed from its digest.
pub fn digest(text: &str) -> String {
    Link(Sha256::digest(text.as_bytes()).into()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: ChainPosition = ChainPosition::new(1);

    #[test]
    fn a_link_is_read_as_it_is_written() {
        let link = Link::GENESIS.next(FIRST, &AuditRow::default());
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
        let link = Link::GENESIS.next(FIRST, &row);
        let text = |edit: fn(&mut AuditRow) -> &mut String| {
            let mut row = row.clone();
            edit(&mut row).push('x');
            row
        };
        let edited = [
            AuditRow { seq: ChangeSeq::new(1), ..row.clone() },
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
            assert_ne!(Link::GENESIS.next(FIRST, &edited), link, "{edited:?}");
        }
        assert_ne!(Link::GENESIS.next(FIRST.next(), &row), link);
        assert_ne!(link.next(FIRST, &row), link);
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
