//! The sequencer: gives every committed change its place in the chain.
//!
//! Numbers of rows are given out before the commit, so that on PostgreSQL a smaller number may appear
//! after a larger one. Places are given out after it, by one sequencer at a time: a reader that reads up to a
//! place has everything before it. A change waits at most for the next pass.

use std::time::Duration;

use diesel::prelude::*;
use headcount_core::provider::ProviderError;
use headcount_records::chain::{AuditRow, Link};

use crate::batch::{self, Links};
use crate::connection::{DbConnection, direct};
use crate::error::{WriteError, own_error};
use crate::schema::changes;
use crate::store::Store;
use crate::write::{Patience, Writer, one_sequencer, sequenced_before};

/// Rows that one pass sequences.
const PASS: i64 = 1_000;
/// How often, and after what pause, a reader looks again that waits for another who sequences.
const TRIES: u32 = 200;
const PAUSE: Duration = Duration::from_millis(5);

/// A row of the record, for hashing.
#[derive(Queryable, Selectable)]
#[diesel(table_name = changes)]
pub(crate) struct Row {
    seq: i64,
    tenant: i64,
    at: i64,
    actor_kind: String,
    actor: String,
    request: String,
    act: String,
    kind: String,
    resource: String,
    version: i64,
    paths: String,
    delta: String,
    switched: Option<i32>,
    personal: Option<String>,
    personal_digest: String,
}

impl From<Row> for AuditRow {
    fn from(row: Row) -> Self {
        Self {
            seq: row.seq,
            tenant: row.tenant,
            at: row.at,
            actor_kind: row.actor_kind,
            actor: row.actor,
            request: row.request,
            act: row.act,
            kind: row.kind,
            resource: row.resource,
            version: row.version,
            paths: row.paths,
            delta: row.delta,
            switched: row.switched,
            personal: row.personal,
            personal_digest: row.personal_digest,
        }
    }
}

impl Store {
    /// Gives every change that was committed before this call its place, and returns how many got one.
    ///
    /// When another server is at it, that one does the work.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`] or [`ProviderError::Internal`].
    pub fn sequence(&self) -> Result<usize, ProviderError> {
        self.sequence_with(Patience::None)
    }

    /// Does what [`Store::sequence`] does, and waits when another server is at it: afterwards every change
    /// that was committed before this call has its place.
    ///
    /// # Errors
    ///
    /// As [`Store::sequence`]; [`ProviderError::Unavailable`] also when the other one does not end.
    pub fn sequence_all(&self) -> Result<usize, ProviderError> {
        self.sequence_with(Patience::Some)
    }

    /// Does what [`Store::sequence_all`] does, for a reader: it keeps no connection while it waits, and
    /// after a second it is content with what is sequenced.
    ///
    /// # Errors
    ///
    /// As [`Store::sequence`].
    pub(crate) fn sequence_soon(&self) -> Result<(), ProviderError> {
        let Some(newest) = self.newest_unsequenced()? else {
            return Ok(());
        };
        for _ in 0..TRIES {
            let (_, end) = self.sequence_up_to(newest, Patience::None)?;
            if end == Ended::Done || !self.has_unsequenced(newest)? {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn sequence_with(&self, patience: Patience) -> Result<usize, ProviderError> {
        match self.newest_unsequenced()? {
            Some(newest) => Ok(self.sequence_up_to(newest, patience)?.0),
            None => Ok(0),
        }
    }

    /// Sequences what has no place up to a number, and returns how many changes got one. Those that come later
    /// are for later: on a busy server a caller must not sequence for ever.
    fn sequence_up_to(
        &self,
        newest: i64,
        patience: Patience,
    ) -> Result<(usize, Ended), ProviderError> {
        let mut sequenced = 0;
        while let Some(pass) = self.pass(patience)? {
            sequenced += pass.len();
            // They come by their numbers: a pass that is not full had all that there were.
            let full = i64::try_from(pass.len()).is_ok_and(|count| count >= PASS);
            if !full || pass.last().is_some_and(|last| *last >= newest) {
                return Ok((sequenced, Ended::Done));
            }
        }
        Ok((sequenced, Ended::Elsewhere))
    }

    /// Sequences some changes, and returns their numbers; nothing when another server is at it.
    fn pass(&self, patience: Patience) -> Result<Option<Vec<i64>>, ProviderError> {
        // Whoever writes to SQLite waits for all others who do. What can be done beside them is.
        let prepared = match &self.writer {
            Writer::Lane(_) => Some(self.read("changes are hashed", Pass::prepare)?),
            Writer::Pool(_) => None,
        };
        let pass = self.writer.write(&mut |connection| {
            if !one_sequencer(connection, patience)? {
                return Ok(None);
            }
            match &prepared {
                Some(pass) if pass.after == End::of(connection)? => {
                    pass.write(connection).map(Some)
                }
                // Another process has sequenced meanwhile.
                _ => Pass::prepare(connection)?.write(connection).map(Some),
            }
        });
        pass.map_err(|error| own_error("changes are sealed", error))
    }

    /// Returns the number of the newest change without a place.
    fn newest_unsequenced(&self) -> Result<Option<i64>, ProviderError> {
        self.read("unsealed changes are looked for", |connection| {
            let unsequenced = changes::table
                .filter(changes::place.is_null())
                .filter(changes::seq.gt(sequenced_before(connection)?));
            unsequenced.order(changes::seq.desc()).select(changes::seq).first(connection).optional()
        })
    }

    /// Tells whether there are changes without a place up to a number.
    fn has_unsequenced(&self, newest: i64) -> Result<bool, ProviderError> {
        let first = self.read("unsealed changes are looked for", |connection| {
            let unsequenced = changes::table
                .filter(changes::place.is_null())
                .filter(changes::seq.gt(sequenced_before(connection)?))
                .filter(changes::seq.le(newest));
            unsequenced.select(changes::seq).limit(1).first::<i64>(connection).optional()
        })?;
        Ok(first.is_some())
    }
}

/// How sequencing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// Everything up to the wanted number has its place.
    Done,
    /// Another server is at it.
    Elsewhere,
}

/// The end of the chain.
#[derive(Debug, PartialEq, Eq)]
struct End {
    place: i64,
    link: Link,
}

impl End {
    fn of(connection: &mut DbConnection) -> QueryResult<Self> {
        let last = changes::table
            .filter(changes::place.is_not_null())
            .order(changes::place.desc())
            .select((changes::place, changes::hash));
        let last: Option<(Option<i64>, Option<String>)> =
            direct!(connection, |one| last.first(one)).optional()?;
        Ok(match last {
            Some((Some(place), hash)) => {
                // A hash that cannot be read was tampered with: the chain goes on, and verifying tells.
                let link = hash.as_deref().and_then(Link::parse).unwrap_or(Link::GENESIS);
                Self { place, link }
            }
            _ => Self { place: 0, link: Link::GENESIS },
        })
    }
}

/// Links for the next changes, which go behind the end of the chain.
struct Pass {
    after: End,
    /// Which row, and its link.
    links: Vec<(i64, Link)>,
}

impl Pass {
    fn prepare(connection: &mut DbConnection) -> QueryResult<Self> {
        let sequenced = sequenced_before(connection)?;
        let after = End::of(connection)?;
        let rows = changes::table
            .filter(changes::place.is_null())
            .filter(changes::seq.gt(sequenced))
            .order(changes::seq)
            .limit(PASS);
        let rows: Vec<Row> = direct!(connection, |one| rows.select(Row::as_select()).load(one))?;
        let (mut place, mut link) = (after.place, after.link);
        let next = |row: Row| {
            place += 1;
            let row = AuditRow::from(row);
            link = link.next(place, &row);
            (row.seq, link)
        };
        let links = rows.into_iter().map(next).collect();
        Ok(Self { after, links })
    }

    /// Writes the links to their rows; returns which.
    fn write(&self, connection: &mut DbConnection) -> Result<Vec<i64>, WriteError> {
        let rows: Vec<i64> = self.links.iter().map(|(seq, _)| *seq).collect();
        let places = (self.after.place + 1..).take(rows.len()).collect();
        let hashes = self.links.iter().map(|(_, link)| link.to_string()).collect();
        batch::sequence(connection, Links { rows: &rows, places, hashes })?;
        Ok(rows)
    }
}
