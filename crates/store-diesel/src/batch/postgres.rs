//! PostgreSQL: rows are a stream (`COPY`), links are arrays: one trip to the server, however many there are.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Text};

use super::Links;
use crate::log_rows::{Name, Request};
use crate::schema::{request_names, requests};

pub(super) fn requests(connection: &mut PgConnection, rows: Vec<Request<'_>>) -> QueryResult<()> {
    let copy = diesel::copy_from(requests::table).from_insertable(rows);
    copy.execute(connection).map(drop)
}

pub(super) fn names(connection: &mut PgConnection, rows: Vec<Name>) -> QueryResult<()> {
    let copy = diesel::copy_from(request_names::table).from_insertable(rows);
    copy.execute(connection).map(drop)
}

/// Writes links to their rows, which come by their numbers.
pub(super) fn sequence(connection: &mut PgConnection, links: Links<'_>) -> QueryResult<()> {
    match (links.rows.first(), links.rows.last()) {
        (Some(&first), Some(&last)) => Update { links, first, last }.execute(connection).map(drop),
        _ => Ok(()),
    }
}

struct Update<'a> {
    links: Links<'a>,
    first: i64,
    last: i64,
}

impl QueryFragment<Pg> for Update<'_> {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        pass.push_sql(
            "UPDATE changes SET place = sealed.place, hash = sealed.hash, place_mac = sealed.mac FROM unnest(",
        );
        pass.push_bind_param::<Array<BigInt>, _>(&self.links.rows)?;
        pass.push_sql(", ");
        pass.push_bind_param::<Array<BigInt>, _>(&self.links.positions)?;
        pass.push_sql(", ");
        pass.push_bind_param::<Array<Text>, _>(&self.links.hashes)?;
        pass.push_sql(", ");
        pass.push_bind_param::<Array<Text>, _>(&self.links.macs)?;
        pass.push_sql(") AS sealed (seq, place, hash, mac) WHERE changes.seq = sealed.seq");
        // Without bounds the whole table is read, as long as it has less than some ten thousand rows.
        pass.push_sql(" AND changes.seq >= ");
        pass.push_bind_param::<BigInt, i64>(&self.first)?;
        pass.push_sql(" AND changes.seq <= ");
        pass.push_bind_param::<BigInt, i64>(&self.last)
    }
}

impl QueryId for Update<'_> {
    type QueryId = Update<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl RunQueryDsl<PgConnection> for Update<'_> {}
