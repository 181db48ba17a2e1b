//! The sequencer: gives every committed change its position in the chain.
//!
//! The number of a row ([`ChangeSeq`]) is given out before the commit, so that on PostgreSQL a smaller number
//! may appear after a larger one. Positions are given out after the commit, by one sequencer at a time: a reader
//! that has read up to a position has everything before it. A change waits for the next pass at most.

use std::time::Duration;

use diesel::prelude::*;
use headcount_core::ids::{ChainPosition, ChangeSeq};
use headcount_core::provider::ProviderError;
use headcount_records::chain::{AuditRow, Link};
use headcount_records::mac::REFUSED;

use crate::batch::{self, Links};
use crate::change_rows::HashedRow;
use crate::connection::{DbConnection, with_backend};
use crate::error::WriteError;
use crate::protection::Protection;
use crate::schema::changes;
use crate::store::Store;
use crate::write::{LockWait, Writer, lock_sequencer, sequenced_before};

/// Rows that one pass sequences.
const PASS_BATCH: i64 = 1_000;
/// How often, and after what pause, a reader checks again that waits for another sequencer.
const MAX_TRIES: u32 = 200;
const RETRY_INTERVAL: Duration = Duration::from_millis(5);

impl Store {
    /// Gives every change that was committed before this call its position, and returns how many got one.
    ///
    /// While another server sequences, this one leaves the work to it.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`] or [`ProviderError::Internal`].
    pub fn sequence(&self) -> Result<usize, ProviderError> {
        self.sequence_with(LockWait::Skip)
    }

    /// Does what [`Store::sequence`] does, and waits while another server sequences: afterwards every change
    /// that was committed before this call has its position.
    ///
    /// # Errors
    ///
    /// As [`Store::sequence`]; [`ProviderError::Unavailable`] also when the other server does not end.
    pub fn sequence_all(&self) -> Result<usize, ProviderError> {
        self.sequence_with(LockWait::Wait)
    }

    /// Does what [`Store::sequence_all`] does, for a reader: it holds no connection while it waits, and
    /// returns after a second, whatever is sequenced by then.
    ///
    /// # Errors
    ///
    /// As [`Store::sequence`].
    pub(crate) fn sequence_soon(&self) -> Result<(), ProviderError> {
        let Some(newest) = self.newest_unsequenced()? else {
            return Ok(());
        };
        for _ in 0..MAX_TRIES {
            let (_, end) = self.sequence_up_to(newest, LockWait::Skip)?;
            if end == Ended::Done || !self.has_unsequenced(newest)? {
                return Ok(());
            }
            std::thread::sleep(RETRY_INTERVAL);
        }
        Ok(())
    }

    fn sequence_with(&self, wait: LockWait) -> Result<usize, ProviderError> {
        match self.newest_unsequenced()? {
            Some(newest) => Ok(self.sequence_up_to(newest, wait)?.0),
            None => Ok(0),
        }
    }

    /// Sequences the changes up to a number, and returns how many. Later ones are left for later: on a busy
    /// server a caller would sequence for ever.
    fn sequence_up_to(
        &self,
        newest: ChangeSeq,
        wait: LockWait,
    ) -> Result<(usize, Ended), ProviderError> {
        let mut sequenced = 0;
        while let Some(pass) = self.pass(wait)? {
            sequenced += pass.len();
            // A pass goes by numbers: one that is not full had all that there were.
            let full = i64::try_from(pass.len()).is_ok_and(|count| count >= PASS_BATCH);
            if !full || pass.last().is_some_and(|last| *last >= newest) {
                return Ok((sequenced, Ended::Done));
            }
        }
        Ok((sequenced, Ended::Elsewhere))
    }

    /// Sequences some changes, and returns their numbers; none while another server sequences.
    fn pass(&self, wait: LockWait) -> Result<Option<Vec<ChangeSeq>>, ProviderError> {
        // Writers of SQLite wait for each other: the hashes are computed before it is this one's turn.
        let prepared = match &self.writer {
            Writer::Group(_) => Some(self.readers.read("changes are hashed", |connection| {
                Pass::prepare(connection, &self.protection)
            })?),
            Writer::Pool(_) => None,
        };
        self.write("changes are sequenced", |connection| {
            if !lock_sequencer(connection, wait)? {
                return Ok(None);
            }
            match &prepared {
                Some(pass) if pass.after == End::of(connection)? => {
                    pass.write(connection).map(Some)
                }
                // Another process has sequenced meanwhile.
                _ => Pass::prepare(connection, &self.protection)?.write(connection).map(Some),
            }
        })
    }

    /// Returns the number of the newest change without a position.
    fn newest_unsequenced(&self) -> Result<Option<ChangeSeq>, ProviderError> {
        let newest = self.readers.read("new changes are looked for", |connection| {
            let unsequenced = changes::table
                .filter(changes::place.is_null())
                .filter(changes::seq.gt(sequenced_before(connection)?.number()));
            unsequenced.order(changes::seq.desc()).select(changes::seq).first(connection).optional()
        })?;
        Ok(newest.map(ChangeSeq::new))
    }

    /// Returns whether there are changes without a position up to a number.
    fn has_unsequenced(&self, newest: ChangeSeq) -> Result<bool, ProviderError> {
        let first = self.readers.read("new changes are looked for", |connection| {
            let unsequenced = changes::table
                .filter(changes::place.is_null())
                .filter(changes::seq.gt(sequenced_before(connection)?.number()))
                .filter(changes::seq.le(newest.number()));
            unsequenced.select(changes::seq).limit(1).first::<i64>(connection).optional()
        })?;
        Ok(first.is_some())
    }
}

/// How sequencing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// Everything up to the wanted number has its position.
    Done,
    /// Another server sequences.
    Elsewhere,
}

/// The end of the chain.
#[derive(Debug, PartialEq, Eq)]
struct End {
    position: i64,
    link: Link,
}

impl End {
    fn of(connection: &mut DbConnection) -> QueryResult<Self> {
        let last = changes::table
            .filter(changes::place.is_not_null())
            .order(changes::place.desc())
            .select((changes::place, changes::hash));
        let last: Option<(Option<i64>, Option<String>)> =
            with_backend!(connection, |one| last.first(one)).optional()?;
        Ok(match last {
            Some((Some(place), hash)) => {
                // A hash that cannot be read was tampered with: the chain goes on, and verifying it reports that.
                let link = hash.as_deref().and_then(Link::parse).unwrap_or(Link::GENESIS);
                Self { position: place, link }
            }
            _ => Self { position: 0, link: Link::GENESIS },
        })
    }
}

/// Links for the next changes, which continue the chain.
struct Pass {
    after: End,
    /// What each row gets.
    links: Vec<Sequenced>,
}

/// What a row gets.
struct Sequenced {
    seq: ChangeSeq,
    hash: String,
    /// The code of position and hash.
    mac: String,
}

impl Pass {
    fn prepare(connection: &mut DbConnection, protection: &Protection) -> QueryResult<Self> {
        let sequenced = sequenced_before(connection)?;
        let after = End::of(connection)?;
        let rows = changes::table
            .filter(changes::place.is_null())
            .filter(changes::seq.gt(sequenced.number()))
            .order(changes::seq)
            .limit(PASS_BATCH);
        let rows: Vec<HashedRow> =
            with_backend!(connection, |one| rows.select(HashedRow::as_select()).load(one))?;
        let mut link = after.link;
        let mut links = Vec::with_capacity(rows.len());
        for (row, position) in rows.into_iter().zip(after.position + 1..) {
            let (position, seq) = (ChainPosition::new(position), row.seq());
            let row = AuditRow::from(row);
            link = link.next(position, &row);
            let hash = link.to_string();
            // A row that someone put past the server is a change that the chain has to show: it gets its position,
            // and never a code that would make it look genuine.
            let mac = if protection.vouches_for(position, &row) {
                protection.keys.place(position, &hash)
            } else {
                REFUSED.to_owned()
            };
            links.push(Sequenced { seq, hash, mac });
        }
        Ok(Self { after, links })
    }

    /// Writes the links to their rows, and returns the rows.
    fn write(&self, connection: &mut DbConnection) -> Result<Vec<ChangeSeq>, WriteError> {
        let rows: Vec<i64> = self.links.iter().map(|link| link.seq.number()).collect();
        let positions = (self.after.position + 1..).take(rows.len()).collect();
        let hashes = self.links.iter().map(|link| link.hash.clone()).collect();
        let macs = self.links.iter().map(|link| link.mac.clone()).collect();
        batch::sequence(connection, Links { rows: &rows, positions, hashes, macs })?;
        for (link, position) in self.links.iter().zip(self.after.position + 1..) {
            if link.mac == REFUSED {
                tracing::error!(
                    position,
                    "a change was not written by a server that has the key of the audit; `headcount audit verify` \
                     says more"
                );
            }
        }
        Ok(self.links.iter().map(|link| link.seq).collect())
    }
}
