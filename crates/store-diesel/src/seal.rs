//! The sealer: gives every committed change its place in the chain.
//!
//! Numbers of rows are given out before the commit, so that on PostgreSQL a smaller number may appear
//! after a larger one. Places are given out after it, by one sealer at a time: whoever reads up to a
//! place has everything before it. A change waits at most for the next pass.

use std::time::Duration;

use diesel::prelude::*;
use headcount_core::journal::chain::{AuditRow, Link};
use headcount_core::provider::{ProviderError, Source};

use crate::connection::{DbConnection, direct};
use crate::error::{WriteError, write_error};
use crate::schema::changes;
use crate::sql::Sql;
use crate::store::Store;
use crate::write::{Patience, one_sealer, sealed_before};

/// Rows that one pass seals.
const PASS: i64 = 500;
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
            let pass = self.writer.write(&mut |connection| {
                if one_sealer(connection, patience)? {
                    Ok(Some(seal_some(connection)?))
                } else {
                    Ok(None)
                }
            });
            let pass = pass.map_err(|error| match write_error("changes are sealed", error) {
                headcount_core::Error::Provider(error) => error,
                other => ProviderError::Internal(Source::new("changes are sealed", other)),
            })?;
            match pass {
                Some(count) => sealed += count,
                None => break,
            }
        }
        Ok(sealed)
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

fn seal_some(connection: &mut DbConnection) -> Result<usize, WriteError> {
    let after = sealed_before(connection)?;
    let last = changes::table
        .filter(changes::place.is_not_null())
        .order(changes::place.desc())
        .select((changes::place, changes::hash));
    let last: Option<(Option<i64>, Option<String>)> =
        direct!(connection, |one| last.first(one)).optional()?;
    let (mut place, mut link) = match last {
        Some((Some(place), hash)) => {
            // A hash that cannot be read was tampered with: the chain goes on, and verifying tells.
            (place, hash.as_deref().and_then(Link::parse).unwrap_or(Link::GENESIS))
        }
        _ => (0, Link::GENESIS),
    };
    let rows = changes::table
        .filter(changes::place.is_null())
        .filter(changes::seq.gt(after))
        .order(changes::seq)
        .limit(PASS);
    let rows: Vec<Row> = direct!(connection, |one| rows.select(Row::as_select()).load(one))?;
    let count = rows.len();
    let mut sql = Sql::new("WITH sealed (seq, place, hash) AS (VALUES ");
    for (index, row) in rows.into_iter().map(AuditRow::from).enumerate() {
        place += 1;
        link = link.next(place, &row);
        sql = sql.text(if index == 0 { "(" } else { ", (" }).int(row.seq).text(", ").int(place);
        sql = sql.text(", ").string(link.to_string()).text(")");
    }
    if count > 0 {
        let update = sql.text(
            ") UPDATE changes SET place = sealed.place, hash = sealed.hash \
             FROM sealed WHERE changes.seq = sealed.seq",
        );
        update.uncached::<()>().execute(connection)?;
    }
    Ok(count)
}
