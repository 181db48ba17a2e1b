//! Verifies the chain of changes: a fold over its rows in the order of their positions.
//!
//! Rows prove each other. That the end of the chain was not cut, or the whole chain not rewritten, is proven
//! only by a [`Checkpoint`] that was kept where no one could change both.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use headcount_core::change::{Act, TENANT_KIND};
use headcount_core::ids::{ChainPosition, ChangeSeq};

use crate::chain::{AuditRow, Checkpoint, Link};
use crate::mac::{MacKeys, Proof, REFUSED};

/// Findings that are kept; a rewritten chain has one for each row.
const MAX_FINDINGS: usize = 1_000;
/// Rows that do not fit and are compared with each other.
const MAX_MISFITS: usize = 100;

/// A row with its position in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequencedRow {
    /// Its position, from 1.
    pub position: ChainPosition,
    /// Its link as stored; a text that is not a link was tampered with.
    pub hash: String,
    /// The code of position and link; absent where an earlier release gave the position.
    pub place_mac: Option<String>,
    /// What the link covers.
    pub row: AuditRow,
}

/// What a row is about: tenant and id.
pub type Subject = (i64, String);

/// What is known once the last row was read: the rows that have no position yet, and those that are there twice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unsequenced {
    /// How many there are.
    pub count: i64,
    /// The subjects of those that record an erasure.
    pub erased: Vec<Subject>,
    /// The tenants whose deletion is among them, which erases every name in the tenant.
    pub deleted_tenants: Vec<i64>,
    /// The numbers of those that have a hash: they had a position once.
    pub displaced: Vec<ChangeSeq>,
    /// The positions of rows whose id another row has, too.
    pub copied: Vec<ChainPosition>,
}

/// How rows are authenticated.
#[derive(Debug, Clone)]
pub struct Protection<'a> {
    /// The keys.
    pub keys: &'a MacKeys,
    /// Rows up to this position may lack a code, or have one by a key that is not known.
    pub accepted: ChainPosition,
}

/// What is wrong at a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FindingKind {
    /// No row has this position or one of those up to `last`.
    Missing {
        /// The last missing position.
        last: ChainPosition,
    },
    /// The row has a position that another row has, or one that is impossible.
    Repeated,
    /// The row does not fit its hash and the row before it.
    Altered,
    /// The row that belongs here is at another position.
    Moved {
        /// That position.
        to: ChainPosition,
    },
    /// The names are not those that were recorded.
    Names,
    /// The names are gone, and no later row records that they were erased.
    NamesGone,
    /// The row with this number has a hash but no position.
    Displaced,
    /// The rows up to `last` have no code.
    NoMac {
        /// The last of them.
        last: ChainPosition,
    },
    /// The rows up to `last` have a code by a key that is not known.
    UnknownKey {
        /// The last of them.
        last: ChainPosition,
    },
    /// The code of the row does not fit its content.
    Forged,
    /// Another row has the same id.
    Copied,
    /// The row is authentic, but its position or its hash was not given by a server.
    Misplaced,
    /// The chain ends before this position, for which there is a checkpoint.
    Cut,
    /// The chain has another hash here than the checkpoint.
    Rewritten,
}

impl FindingKind {
    /// Returns the word for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "missing",
            Self::Repeated => "repeated",
            Self::Altered => "altered",
            Self::Moved { .. } => "moved",
            Self::Names => "names",
            Self::NamesGone => "namesGone",
            Self::Displaced => "displaced",
            Self::NoMac { .. } => "noMac",
            Self::UnknownKey { .. } => "unknownKey",
            Self::Forged => "forged",
            Self::Copied => "copied",
            Self::Misplaced => "misplaced",
            Self::Cut => "cut",
            Self::Rewritten => "rewritten",
        }
    }
}

impl fmt::Display for FindingKind {
    /// Describes what is wrong and what it means.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { last } => write!(
                f,
                "no row has this place, and the next one is after place {last}: rows were deleted"
            ),
            Self::Repeated => f.write_str("another row has this place: a row was inserted"),
            Self::Altered => f.write_str(
                "the row does not fit its hash and the row before it: it was edited or inserted, \
                 or the row before it was, together with its hash",
            ),
            Self::Moved { to } => write!(
                f,
                "the row that belongs here is at place {to}: rows were exchanged"
            ),
            Self::Names => f.write_str("the names are not those that were recorded: they were edited"),
            Self::NamesGone => f.write_str(
                "the names are gone, and no later row records an erasure: something other than headcount deleted them",
            ),
            Self::Displaced => f.write_str(
                "the row with this number has a hash but no place: its place was removed",
            ),
            Self::NoMac { last } => write!(
                f,
                "the rows up to place {last} have no MAC: something other than headcount inserted them or removed \
                 it; if a release without MACs wrote them, `headcount audit accept {last}` says so"
            ),
            Self::UnknownKey { last } => write!(
                f,
                "the rows up to place {last} have a MAC by a key that is not in audit.mac_key_file: they were \
                 forged, or written before the key was changed or without the file; if you know that they are \
                 genuine, `headcount audit accept {last}` says so"
            ),
            Self::Forged => f.write_str("the MAC does not fit the row: it was edited or inserted"),
            Self::Copied => f.write_str("another row has the same id: one of them is a copy"),
            Self::Misplaced => f.write_str(
                "the row is genuine, but its place and hash were not given by headcount: rows were moved or \
                 deleted, and the chain was written again",
            ),
            Self::Cut => f.write_str(
                "there is a checkpoint of this place, and the chain ends before it: its end was cut off",
            ),
            Self::Rewritten => f.write_str(
                "a checkpoint of this place has another hash: the chain was rewritten up to here",
            ),
        }
    }
}

/// Where something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location {
    /// At a position of the chain.
    Position(ChainPosition),
    /// At the row with this number, which has no position.
    Row(ChangeSeq),
}

impl Location {
    /// Returns the number, of whichever it is.
    pub fn number(self) -> i64 {
        match self {
            Self::Position(position) => position.number(),
            Self::Row(seq) => seq.number(),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where it is wrong.
    pub at: Location,
    /// What is wrong.
    pub kind: FindingKind,
}

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What is wrong, by position; empty when the chain is intact.
    pub findings: Vec<Finding>,
    /// How many more findings there are.
    pub more: usize,
    /// Rows that have a position.
    pub sequenced: u64,
    /// Rows that have none yet; nothing is proven about them.
    pub unsequenced: i64,
    /// Position and link of the last row; `None` for an empty chain.
    pub last: Option<(ChainPosition, Link)>,
    /// Checkpoints that match the chain.
    pub checkpoints: usize,
    /// Rows without a code of their own that were accepted; later codes protect them.
    pub unprotected: u64,
}

/// A row that does not fit, kept until all of them are known.
struct Misfit {
    before: Link,
    sequenced: SequencedRow,
}

impl Misfit {
    /// Checks whether the row of another misfit belongs at the position of this one.
    fn is_position_of(&self, other: &Self) -> bool {
        let (here, there) = (&self.sequenced, &other.sequenced);
        let link = self.before.next(here.position, &there.row).to_string();
        there.position != here.position && (link == here.hash || link == there.hash)
    }
}

/// Takes the rows of a chain in the order of their places.
pub struct Verifier<'a> {
    protection: Option<Protection<'a>>,
    unprotected: u64,
    checkpoints: BTreeMap<ChainPosition, Vec<Link>>,
    agreed: usize,
    last: Option<ChainPosition>,
    link: Link,
    sequenced: u64,
    findings: Vec<Finding>,
    more: usize,
    misfits: Vec<Misfit>,
    /// The subjects of rows whose names are gone, with the first position of each.
    nameless: HashMap<Subject, ChainPosition>,
}

impl<'a> Verifier<'a> {
    /// Starts at the beginning of a chain whose rows are not authenticated.
    pub fn new(checkpoints: &[Checkpoint]) -> Self {
        let mut by_position: BTreeMap<ChainPosition, Vec<Link>> = BTreeMap::new();
        for checkpoint in checkpoints {
            by_position.entry(checkpoint.position).or_default().push(checkpoint.hash);
        }
        Self {
            protection: None,
            unprotected: 0,
            checkpoints: by_position,
            agreed: 0,
            last: None,
            link: Link::GENESIS,
            sequenced: 0,
            findings: Vec::new(),
            more: 0,
            misfits: Vec::new(),
            nameless: HashMap::new(),
        }
    }

    /// Lets each row be authenticated, too.
    #[must_use]
    pub fn with_macs(self, protection: Protection<'a>) -> Self {
        Self { protection: Some(protection), ..self }
    }

    /// Verifies the next row, in the order of positions.
    pub fn take(&mut self, sequenced: &SequencedRow) {
        self.sequenced += 1;
        self.authenticate(sequenced);
        self.names(sequenced);
        let position = sequenced.position;
        let expected = self.last.unwrap_or(ChainPosition::START).next();
        if position < expected {
            self.find(position, FindingKind::Repeated);
            return;
        }
        let stored = Link::parse(&sequenced.hash);
        if position > expected {
            // The row before is missing, so that this hash cannot be computed: it is taken as correct, and
            // the next row proves whether it is.
            self.find(expected, FindingKind::Missing { last: position.before() });
        } else if stored != Some(self.link.next(position, &sequenced.row)) {
            self.find(position, FindingKind::Altered);
            if self.misfits.len() < MAX_MISFITS {
                self.misfits.push(Misfit { before: self.link, sequenced: sequenced.clone() });
            }
        }
        self.link = stored.unwrap_or_else(|| self.link.next(position, &sequenced.row));
        self.last = Some(position);
        for hash in self.checkpoints.remove(&position).unwrap_or_default() {
            if Some(hash) == stored {
                self.agreed += 1;
            } else {
                self.find(position, FindingKind::Rewritten);
            }
        }
    }

    /// Ends the verification.
    ///
    /// `unsequenced` has to be read in the same snapshot as the last rows.
    pub fn finish(mut self, unsequenced: &Unsequenced) -> Report {
        for seq in &unsequenced.displaced {
            self.add(Finding { at: Location::Row(*seq), kind: FindingKind::Displaced });
        }
        for position in &unsequenced.copied {
            self.find(*position, FindingKind::Copied);
        }
        for subject in &unsequenced.erased {
            self.nameless.remove(subject);
        }
        self.nameless.retain(|(tenant, _), _| !unsequenced.deleted_tenants.contains(tenant));
        let end = self.last.unwrap_or(ChainPosition::START);
        for position in std::mem::take(&mut self.checkpoints).into_keys() {
            self.find(
                position,
                if position > end { FindingKind::Cut } else { FindingKind::Rewritten },
            );
        }
        for position in std::mem::take(&mut self.nameless).into_values() {
            self.find(position, FindingKind::NamesGone);
        }
        self.find_moved();
        self.findings.sort_by_key(|finding| finding.at.number());
        Report {
            findings: self.findings,
            more: self.more,
            sequenced: self.sequenced,
            unsequenced: unsequenced.count,
            last: self.last.map(|position| (position, self.link)),
            checkpoints: self.agreed,
            unprotected: self.unprotected,
        }
    }

    /// Checks the codes of a row and of its position.
    fn authenticate(&mut self, sequenced: &SequencedRow) {
        let Some(Protection { keys, accepted }) = self.protection else { return };
        let SequencedRow { position, hash, place_mac, row } = sequenced;
        let (position, is_accepted) = (*position, *position <= accepted);
        match keys.check_change(row) {
            Proof::Authentic => {}
            Proof::Missing | Proof::UnknownKey if is_accepted => self.unprotected += 1,
            Proof::Missing => {
                return self.find_run(position, FindingKind::NoMac { last: position });
            }
            Proof::UnknownKey => {
                return self.find_run(position, FindingKind::UnknownKey { last: position });
            }
            Proof::Wrong => return self.find(position, FindingKind::Forged),
        }
        match keys.check_place(position, hash, place_mac.as_deref()) {
            Proof::Authentic => {}
            Proof::Missing | Proof::UnknownKey if is_accepted => {}
            // The sequencer refused it, before its row was accepted.
            Proof::Wrong if is_accepted && place_mac.as_deref() == Some(REFUSED) => {}
            Proof::Missing | Proof::UnknownKey | Proof::Wrong => {
                self.find(position, FindingKind::Misplaced);
            }
        }
    }

    /// Adds a finding, or extends one of the same kind that ends right before it: a whole chain without codes is one
    /// finding.
    fn find_run(&mut self, position: ChainPosition, kind: FindingKind) {
        let earlier =
            self.findings.iter_mut().rev().find_map(|known| match (&mut known.kind, &kind) {
                (FindingKind::NoMac { last }, FindingKind::NoMac { .. })
                | (FindingKind::UnknownKey { last }, FindingKind::UnknownKey { .. }) => Some(last),
                _ => None,
            });
        match earlier.filter(|last| last.next() == position) {
            Some(last) => *last = position,
            None => self.find(position, kind),
        }
    }

    fn find(&mut self, position: ChainPosition, kind: FindingKind) {
        self.add(Finding { at: Location::Position(position), kind });
    }

    fn add(&mut self, finding: Finding) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        } else {
            self.more += 1;
        }
    }

    fn names(&mut self, sequenced: &SequencedRow) {
        let row = &sequenced.row;
        if !row.personal_holds() {
            self.find(sequenced.position, FindingKind::Names);
        }
        // The deletion of a tenant erases every name in it; its own name stays in this row.
        if row.act == Act::Deleted.word() && row.kind == TENANT_KIND {
            self.nameless.retain(|(tenant, _), _| *tenant != row.tenant);
        }
        if row.personal.is_none() && !row.personal_digest.is_empty() {
            let subject = (row.tenant, row.resource.clone());
            self.nameless.entry(subject).or_insert(sequenced.position);
        }
        if row.act == Act::Erased.word() {
            self.nameless.remove(&(row.tenant, row.resource.clone()));
        }
    }

    /// Finds, among the rows that do not fit, those that were moved to each other's places.
    fn find_moved(&mut self) {
        for here in &self.misfits {
            let position = here.sequenced.position;
            let Some(there) = self.misfits.iter().find(|there| here.is_position_of(there)) else {
                continue;
            };
            let altered = Finding { at: Location::Position(position), kind: FindingKind::Altered };
            if let Some(finding) = self.findings.iter_mut().find(|known| **known == altered) {
                finding.kind = FindingKind::Moved { to: there.sequenced.position };
            }
        }
    }
}

#[cfg(test)]
mod tests;
