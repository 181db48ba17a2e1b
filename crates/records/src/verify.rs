//! Checks the chain of changes: a fold over its rows in the order of their places.
//!
//! The chain proves its rows to each other. That its end was not cut, or all of it not written anew,
//! only a [`Checkpoint`] proves that was kept where nobody could change both.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use headcount_core::change::{Act, TENANT_KIND};

use crate::chain::{AuditRow, Checkpoint, Link};

/// Findings that are kept; a chain that was rewritten has one for each row.
const MAX_FINDINGS: usize = 1_000;
/// Rows out of order that are held against each other.
const MAX_MISFITS: usize = 100;

/// A row with its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequencedRow {
    /// Its place, from 1.
    pub place: i64,
    /// Its link as stored; something else than a link was tampered with.
    pub hash: String,
    /// What is chained.
    pub row: AuditRow,
}

/// What a row is about: tenant and id.
pub type Subject = (i64, String);

/// Rows that have no place yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unsequenced {
    /// How many there are.
    pub count: i64,
    /// Whom those among them are about that record an erasure.
    pub erased: Vec<Subject>,
    /// Tenants whose deletion is among them: it erases every name of theirs.
    pub deleted_tenants: Vec<i64>,
    /// Numbers of those that have a hash: they had a place once.
    pub displaced: Vec<i64>,
}

/// What was found at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FindingKind {
    /// The rows of this place and those up to `last` are not there.
    Missing {
        /// The last of the places that are missing.
        last: i64,
    },
    /// A row stands at a place that another one has, or at one that there cannot be.
    Repeated,
    /// The row does not fit its hash and the row before it.
    Altered,
    /// The row that belongs here stands elsewhere.
    Moved {
        /// Where it stands.
        to: i64,
    },
    /// The names are not those that were recorded.
    Names,
    /// The names are gone, and no later row records that they were erased.
    NamesGone,
    /// The row, told by its number, has a hash but no place.
    Displaced,
    /// The chain ends before this place, of which there is a checkpoint.
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
            Self::Cut => "cut",
            Self::Rewritten => "rewritten",
        }
    }
}

impl fmt::Display for FindingKind {
    /// Says what was found and what it means.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { last } => write!(
                f,
                "no row has this place, and the next one is after place {last}: rows were deleted"
            ),
            Self::Repeated => f.write_str("another row has this place: a row was put in"),
            Self::Altered => f.write_str(
                "the row does not fit its hash and the row before it: it was edited or put in, \
                 or the row before it was, together with its hash",
            ),
            Self::Moved { to } => write!(
                f,
                "the row that belongs here stands at place {to}: rows were exchanged"
            ),
            Self::Names => f.write_str("the names are not those that were recorded: they were edited"),
            Self::NamesGone => f.write_str(
                "the names are gone, and no later row records an erasure: they were deleted past headcount",
            ),
            Self::Displaced => f.write_str(
                "the row with this number has a hash but no place: its place was taken away",
            ),
            Self::Cut => f.write_str(
                "a checkpoint was made of this place, and the chain ends before it: its end was cut off",
            ),
            Self::Rewritten => f.write_str(
                "a checkpoint of this place has another hash: the chain was written anew up to here",
            ),
        }
    }
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where: a place, of [`FindingKind::Displaced`] the number of the row.
    pub place: i64,
    /// What.
    pub what: FindingKind,
}

/// What came out of checking a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What is wrong, by place; empty when the chain holds.
    pub findings: Vec<Finding>,
    /// Findings beyond those.
    pub more: usize,
    /// Rows that have a place.
    pub sequenced: u64,
    /// Rows that have none yet; nothing is proven about them.
    pub unsequenced: i64,
    /// The last row's place and link; none of an empty chain.
    pub last: Option<(i64, Link)>,
    /// Checkpoints that the chain agrees with.
    pub checkpoints: usize,
}

/// A row that does not fit, kept until all of them are known.
struct Misfit {
    before: Link,
    sequenced: SequencedRow,
}

impl Misfit {
    /// Checks whether the row of another misfit belongs at the place of this one.
    fn is_place_of(&self, other: &Self) -> bool {
        let (here, there) = (&self.sequenced, &other.sequenced);
        let link = self.before.next(here.place, &there.row).to_string();
        there.place != here.place && (link == here.hash || link == there.hash)
    }
}

/// Takes the rows of a chain in the order of their places.
pub struct Verifier {
    checkpoints: BTreeMap<i64, Vec<Link>>,
    agreed: usize,
    last: Option<i64>,
    link: Link,
    sequenced: u64,
    findings: Vec<Finding>,
    more: usize,
    misfits: Vec<Misfit>,
    /// Rows without their names, by whom they are about; the first place of each.
    nameless: HashMap<Subject, i64>,
}

impl Verifier {
    /// Starts at the beginning of a chain, of which there may be checkpoints.
    pub fn new(checkpoints: &[Checkpoint]) -> Self {
        let mut by_place: BTreeMap<i64, Vec<Link>> = BTreeMap::new();
        for checkpoint in checkpoints {
            by_place.entry(checkpoint.place).or_default().push(checkpoint.hash);
        }
        Self {
            checkpoints: by_place,
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

    /// Takes the next row.
    pub fn take(&mut self, sequenced: &SequencedRow) {
        self.sequenced += 1;
        self.names(sequenced);
        let place = sequenced.place;
        let expected = self.last.unwrap_or(0) + 1;
        if place < expected {
            self.find(place, FindingKind::Repeated);
            return;
        }
        let stored = Link::parse(&sequenced.hash);
        if place > expected {
            // What the row was chained to is gone with the rows before it: its hash is taken for true,
            // and the row after it tells whether it is.
            self.find(expected, FindingKind::Missing { last: place - 1 });
        } else if stored != Some(self.link.next(place, &sequenced.row)) {
            self.find(place, FindingKind::Altered);
            if self.misfits.len() < MAX_MISFITS {
                self.misfits.push(Misfit { before: self.link, sequenced: sequenced.clone() });
            }
        }
        self.link = stored.unwrap_or_else(|| self.link.next(place, &sequenced.row));
        self.last = Some(place);
        for hash in self.checkpoints.remove(&place).unwrap_or_default() {
            if Some(hash) == stored {
                self.agreed += 1;
            } else {
                self.find(place, FindingKind::Rewritten);
            }
        }
    }

    /// Ends the check with what has no place yet, read in one state of the data with the last rows.
    pub fn finish(mut self, unsequenced: &Unsequenced) -> Verdict {
        for seq in &unsequenced.displaced {
            self.find(*seq, FindingKind::Displaced);
        }
        for subject in &unsequenced.erased {
            self.nameless.remove(subject);
        }
        self.nameless.retain(|(tenant, _), _| !unsequenced.deleted_tenants.contains(tenant));
        let end = self.last.unwrap_or(0);
        for place in std::mem::take(&mut self.checkpoints).into_keys() {
            self.find(place, if place > end { FindingKind::Cut } else { FindingKind::Rewritten });
        }
        for place in std::mem::take(&mut self.nameless).into_values() {
            self.find(place, FindingKind::NamesGone);
        }
        self.find_moved();
        self.findings.sort_by_key(|finding| finding.place);
        Verdict {
            findings: self.findings,
            more: self.more,
            sequenced: self.sequenced,
            unsequenced: unsequenced.count,
            last: self.last.map(|place| (place, self.link)),
            checkpoints: self.agreed,
        }
    }

    fn find(&mut self, place: i64, what: FindingKind) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding { place, what });
        } else {
            self.more += 1;
        }
    }

    fn names(&mut self, sequenced: &SequencedRow) {
        let row = &sequenced.row;
        if !row.personal_holds() {
            self.find(sequenced.place, FindingKind::Names);
        }
        // With a tenant, every name in it goes; its own stays in this row.
        if row.act == Act::Deleted.word() && row.kind == TENANT_KIND {
            self.nameless.retain(|(tenant, _), _| *tenant != row.tenant);
        }
        if row.personal.is_none() && !row.personal_digest.is_empty() {
            let subject = (row.tenant, row.resource.clone());
            self.nameless.entry(subject).or_insert(sequenced.place);
        }
        if row.act == Act::Erased.word() {
            self.nameless.remove(&(row.tenant, row.resource.clone()));
        }
    }

    /// Finds, among the rows that do not fit, those that were moved to each other's places.
    fn find_moved(&mut self) {
        for here in &self.misfits {
            let place = here.sequenced.place;
            let Some(there) = self.misfits.iter().find(|there| here.is_place_of(there)) else {
                continue;
            };
            let altered = Finding { place, what: FindingKind::Altered };
            if let Some(finding) = self.findings.iter_mut().find(|known| **known == altered) {
                finding.what = FindingKind::Moved { to: there.sequenced.place };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::digest;

    fn row(seq: i64) -> AuditRow {
        let personal = format!("{{\"salt\":\"{seq}\"}}");
        AuditRow {
            seq,
            tenant: 1,
            act: "created".to_owned(),
            resource: format!("r{seq}"),
            personal_digest: digest(&personal),
            personal: Some(personal),
            ..AuditRow::default()
        }
    }

    fn chain(length: i64) -> Vec<SequencedRow> {
        let mut link = Link::GENESIS;
        let sequenced = |place| {
            let row = row(place + 10);
            link = link.next(place, &row);
            SequencedRow { place, hash: link.to_string(), row }
        };
        (1..=length).map(sequenced).collect()
    }

    fn check(rows: &[SequencedRow], checkpoints: &[Checkpoint]) -> Vec<(i64, FindingKind)> {
        let mut verifier = Verifier::new(checkpoints);
        rows.iter().for_each(|row| verifier.take(row));
        let verdict = verifier.finish(&Unsequenced::default());
        verdict.findings.into_iter().map(|finding| (finding.place, finding.what)).collect()
    }

    fn checkpoint(rows: &[SequencedRow]) -> Checkpoint {
        let last = rows.last().unwrap();
        let hash = Link::parse(&last.hash).unwrap();
        Checkpoint { place: last.place, hash, at: headcount_core::clock::Timestamp::from_micros(0) }
    }

    #[test]
    fn a_whole_chain_holds_and_tells_its_end() {
        let rows = chain(5);
        let mut verifier = Verifier::new(&[checkpoint(&rows), checkpoint(&rows[..2])]);
        rows.iter().for_each(|row| verifier.take(row));
        let verdict = verifier.finish(&Unsequenced { count: 3, ..Unsequenced::default() });
        assert_eq!(verdict.findings, []);
        assert_eq!((verdict.sequenced, verdict.unsequenced, verdict.checkpoints), (5, 3, 2));
        assert_eq!(verdict.last.unwrap().1.to_string(), rows[4].hash);
        assert_eq!(check(&[], &[]), []);
    }

    #[test]
    fn each_kind_of_tampering_is_told_where_it_is() {
        let rows = chain(6);
        let mut edited = rows.clone();
        edited[2].row.version = 9;
        assert_eq!(check(&edited, &[]), [(3, FindingKind::Altered)]);
        // Whoever mends the hash of the edited row breaks the next one.
        edited[2].hash = Link::parse(&rows[1].hash).unwrap().next(3, &edited[2].row).to_string();
        assert_eq!(check(&edited, &[]), [(4, FindingKind::Altered)]);
        let deleted = [&rows[..2], &rows[4..]].concat();
        assert_eq!(check(&deleted, &[]), [(3, FindingKind::Missing { last: 4 })]);
        assert_eq!(check(&rows[1..], &[]), [(1, FindingKind::Missing { last: 1 })]);
        let mut repeated = rows.clone();
        repeated.insert(3, rows[2].clone());
        assert_eq!(check(&repeated, &[]), [(3, FindingKind::Repeated)]);
        let mut swapped = rows.clone();
        (swapped[1].row, swapped[4].row) = (rows[4].row.clone(), rows[1].row.clone());
        assert_eq!(
            check(&swapped, &[]),
            [(2, FindingKind::Moved { to: 5 }), (5, FindingKind::Moved { to: 2 })]
        );
        let mut exchanged = rows.clone();
        exchanged.swap(1, 4);
        (exchanged[1].place, exchanged[4].place) = (2, 5);
        assert!(check(&exchanged, &[]).contains(&(2, FindingKind::Moved { to: 5 })));
        for bad in ["", "0", &"g".repeat(64)] {
            let mut unreadable = rows.clone();
            bad.clone_into(&mut unreadable[5].hash);
            assert_eq!(check(&unreadable, &[]), [(6, FindingKind::Altered)]);
        }
    }

    #[test]
    fn a_checkpoint_finds_what_the_chain_cannot() {
        let rows = chain(6);
        let kept = checkpoint(&rows);
        assert_eq!(check(&rows[..4], &[]), []);
        assert_eq!(check(&rows[..4], &[kept]), [(6, FindingKind::Cut)]);
        assert_eq!(check(&[], &[kept]), [(6, FindingKind::Cut)]);
        let mut link = Link::GENESIS;
        let mut anew = rows.clone();
        anew[0].row.version = 9;
        for row in &mut anew {
            link = link.next(row.place, &row.row);
            row.hash = link.to_string();
        }
        assert_eq!(check(&anew, &[]), []);
        assert_eq!(check(&anew, &[kept]), [(6, FindingKind::Rewritten)]);
        let gone = [&rows[..2], &rows[3..]].concat();
        let at_gone = checkpoint(&rows[..3]);
        let found = [(3, FindingKind::Missing { last: 3 }), (3, FindingKind::Rewritten)];
        assert_eq!(check(&gone, &[at_gone]), found);
    }

    #[test]
    fn names_may_go_only_with_a_record_of_it() {
        let mut rows = chain(4);
        rows[1].row.personal = Some("{}".to_owned());
        assert_eq!(check(&rows, &[]), [(2, FindingKind::Names)]);
        rows[1].row.personal = None;
        assert_eq!(check(&rows, &[]), [(2, FindingKind::NamesGone)]);
        let erased = AuditRow {
            tenant: 1,
            act: "erased".to_owned(),
            resource: "r12".to_owned(),
            ..AuditRow::default()
        };
        let link = Link::parse(&rows[3].hash).unwrap().next(5, &erased);
        let erasure = SequencedRow { place: 5, hash: link.to_string(), row: erased };
        assert_eq!(check(&[&rows[..], std::slice::from_ref(&erasure)].concat(), &[]), []);
        // It covers what was before it, of the same tenant.
        let mut later = vec![erasure];
        later[0].place = 1;
        later[0].hash = Link::GENESIS.next(1, &later[0].row).to_string();
        let mut nameless = row(12);
        nameless.personal = None;
        let link = Link::parse(&later[0].hash).unwrap().next(2, &nameless);
        later.push(SequencedRow { place: 2, hash: link.to_string(), row: nameless });
        assert_eq!(check(&later, &[]), [(2, FindingKind::NamesGone)]);
        let mut verifier = Verifier::new(&[]);
        later.iter().for_each(|row| verifier.take(row));
        let unsequenced = Unsequenced {
            count: 2,
            erased: vec![(1, "r12".to_owned())],
            displaced: vec![7],
            ..Unsequenced::default()
        };
        let found = verifier.finish(&unsequenced).findings;
        assert_eq!(found, [Finding { place: 7, what: FindingKind::Displaced }]);
    }

    #[test]
    fn a_chain_that_is_wrong_everywhere_does_not_fill_the_memory() {
        let rows: Vec<_> = (1..=2_000)
            .map(|place| SequencedRow { place, hash: String::new(), row: AuditRow::default() })
            .collect();
        let mut verifier = Verifier::new(&[]);
        rows.iter().for_each(|row| verifier.take(row));
        let verdict = verifier.finish(&Unsequenced::default());
        assert_eq!((verdict.findings.len(), verdict.more), (1_000, 1_000));
    }
}
