//! The sealer: gives every committed change its place in the chain.
//!
//! Numbers of rows are given out before the commit, so that on PostgreSQL a smaller number may appear
//! after a larger one. Places are given out after it, by one sealer at a time: whoever reads up to a
//! place has everything before it. A change waits at most for the next pass.

use std::time::Duration;

use diesel::prelude::*;
use headcount_core::journal::chain::{AuditRow, Link};
use headcount_core::provider::ProviderError;

use crate::connection::{Backend, DbConnection, direct};
use crate::error::{WriteError, own_error};
use crate::schema::changes;
use crate::sql::Sql;
use crate::store::Store;
use crate::write::{Patience, Writer, one_sealer, sealed_before};

/// Rows that one pass seals.
const PASS: i64 = 1_000;
/// How often, and after what pause, a reader looks again that waits for another who seals.
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
    pub fn seal(&self) -> Result<usize, ProviderError> {
        self.seal_with(Patience::None)
    }

    /// Does what [`Store::seal`] does, and waits when another server is at it: afterwards every change
    /// that was committed before this call has its place.
    ///
    /// # Errors
    ///
    /// As [`Store::seal`]; [`ProviderError::Unavailable`] also when the other one does not end.
    pub fn seal_all(&self) -> Result<usize, ProviderError> {
        self.seal_with(Patience::Some)
    }

    /// Does what [`Store::seal_all`] does, for a reader: it keeps no connection while it waits, and
    /// after a second it is content with what is sealed.
    ///
    /// # Errors
    ///
    /// As [`Store::seal`].
    pub(crate) fn seal_soon(&self) -> Result<(), ProviderError> {
        let Some(newest) = self.newest_unsealed()? else {
            return Ok(());
        };
        for _ in 0..TRIES {
            self.seal()?;
            if !self.has_unsealed(newest)? {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn seal_with(&self, patience: Patience) -> Result<usize, ProviderError> {
        let Some(newest) = self.newest_unsealed()? else {
            return Ok(0);
        };
        let mut sealed = 0;
        while self.has_unsealed(newest)? {
            match self.pass(patience)? {
                Some(count) => sealed += count,
                None => break,
            }
        }
        Ok(sealed)
    }

    /// Seals some changes; none of them when another server is at it.
    fn pass(&self, patience: Patience) -> Result<Option<usize>, ProviderError> {
        // Whoever writes to SQLite waits for all others who do. What can be done beside them is.
        let prepared = match &self.writer {
            Writer::Lane(_) => Some(self.read("changes are hashed", Pass::prepare)?),
            Writer::Pool(_) => None,
        };
        let pass = self.writer.write(&mut |connection| {
            if !one_sealer(connection, patience)? {
                return Ok(None);
            }
            match &prepared {
                Some(pass) if pass.after == End::of(connection)? => {
                    pass.write(connection).map(Some)
                }
                // Another process has sealed meanwhile.
                _ => Pass::prepare(connection)?.write(connection).map(Some),
            }
        });
        pass.map_err(|error| own_error("changes are sealed", error))
    }

    /// Returns the number of the newest change without a place.
    fn newest_unsealed(&self) -> Result<Option<i64>, ProviderError> {
        self.read("unsealed changes are looked for", |connection| {
            let unsealed = changes::table
                .filter(changes::place.is_null())
                .filter(changes::seq.gt(sealed_before(connection)?));
            unsealed.order(changes::seq.desc()).select(changes::seq).first(connection).optional()
        })
    }

    /// Tells whether there are changes without a place up to a number. Those that come later are for
    /// later: whoever seals on a busy server must not seal for ever.
    fn has_unsealed(&self, newest: i64) -> Result<bool, ProviderError> {
        let first = self.read("unsealed changes are looked for", |connection| {
            let unsealed = changes::table
                .filter(changes::place.is_null())
                .filter(changes::seq.gt(sealed_before(connection)?))
                .filter(changes::seq.le(newest));
            unsealed.select(changes::seq).limit(1).first::<i64>(connection).optional()
        })?;
        Ok(first.is_some())
    }
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
        let sealed = sealed_before(connection)?;
        let after = End::of(connection)?;
        let rows = changes::table
            .filter(changes::place.is_null())
            .filter(changes::seq.gt(sealed))
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

    /// Writes the links to their rows; returns how many.
    fn write(&self, connection: &mut DbConnection) -> Result<usize, WriteError> {
        let places = self.after.place + 1..;
        let links = places.zip(&self.links).map(|(place, (seq, link))| (*seq, place, link));
        match connection.backend() {
            Backend::Sqlite => {
                for (seq, place, link) in links {
                    let update = Sql::new("UPDATE changes SET place = ").int(place);
                    let update = update.text(", hash = ").string(link.to_string());
                    let update = update.text(", room = NULL WHERE seq = ").int(seq);
                    update.query::<()>().execute(connection)?;
                }
            }
            // One round trip for all of them.
            Backend::Postgres if !self.links.is_empty() => {
                let mut sql = Sql::new("WITH sealed (seq, place, hash) AS (VALUES ");
                for (index, (seq, place, link)) in links.enumerate() {
                    sql = sql.text(if index == 0 { "(" } else { ", (" }).int(seq).text(", ");
                    sql = sql.int(place).text(", ").string(link.to_string()).text(")");
                }
                let update = sql.text(
                    ") UPDATE changes SET place = sealed.place, hash = sealed.hash \
                     FROM sealed WHERE changes.seq = sealed.seq",
                );
                update.uncached::<()>().execute(connection)?;
            }
            Backend::Postgres => {}
        }
        Ok(self.links.len())
    }
}
