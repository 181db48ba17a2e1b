//! SQLite: one statement inserts many rows, but links are written one by one, since an update of many rows is
//! parsed again each time and copies every page first.

use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Integer, Nullable, Text};
use diesel::sqlite::Sqlite;

use super::Links;
use crate::log_rows::{Name, Request};

/// Rows of one statement; few lengths make few statements.
const MANY: usize = 32;
/// Rows of a statement for what is left.
const SOME: usize = 8;

/// A row of a table.
pub(super) trait Row: QueryFragment<Sqlite> {
    /// The row for the whole life of the program, which names the statement.
    type Id: 'static;
    /// How a statement with such rows begins. One that fails ends the transaction: SQLite would otherwise copy
    /// each page before it is changed, to be able to undo the statement alone.
    const INTO: &'static str;
}

impl Row for Request<'_> {
    type Id = Request<'static>;
    const INTO: &'static str = "INSERT OR ROLLBACK INTO requests (seq, tenant, at, micros, quirks, unkept, status, \
         stranger, changed, method, route, request, token, token_name, refused, address, agent, idp, kind, resource, name, query, scim_type, \
         field, reason, body, reply) VALUES ";
}

impl Row for Name {
    type Id = Self;
    const INTO: &'static str =
        "INSERT OR ROLLBACK INTO request_names (bucket, name, tenant, seq) VALUES ";
}

/// Writes rows.
pub(super) fn insert<R: Row>(connection: &mut SqliteConnection, rows: &[R]) -> QueryResult<()> {
    let mut rest = rows;
    while !rest.is_empty() {
        let fits = [MANY, SOME].into_iter().find(|length| *length <= rest.len());
        let (rows, behind) = rest.split_at(fits.unwrap_or(1));
        match rows.len() {
            MANY => Insert::<_, MANY> { rows }.execute(connection)?,
            SOME => Insert::<_, SOME> { rows }.execute(connection)?,
            _ => Insert::<_, 1> { rows }.execute(connection)?,
        };
        rest = behind;
    }
    Ok(())
}

/// Writes links to their rows.
pub(super) fn sequence(connection: &mut SqliteConnection, links: Links<'_>) -> QueryResult<()> {
    let codes = links.hashes.into_iter().zip(links.macs);
    for ((row, position), (hash, mac)) in links.rows.iter().zip(links.positions).zip(codes) {
        Link { row: *row, position, hash, mac }.execute(connection)?;
    }
    Ok(())
}

/// A statement that writes `N` rows, under which number it is kept.
struct Insert<'a, R, const N: usize> {
    rows: &'a [R],
}

impl<R: Row, const N: usize> QueryFragment<Sqlite> for Insert<'_, R, N> {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        pass.push_sql(R::INTO);
        for (index, row) in self.rows.iter().enumerate() {
            pass.push_sql(if index == 0 { "(" } else { ", (" });
            row.walk_ast(pass.reborrow())?;
            pass.push_sql(")");
        }
        Ok(())
    }
}

impl<R: Row, const N: usize> QueryId for Insert<'_, R, N> {
    type QueryId = Insert<'static, R::Id, N>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<R, const N: usize> RunQueryDsl<SqliteConnection> for Insert<'_, R, N> {}

/// Writes one link to its row.
struct Link {
    row: i64,
    position: i64,
    hash: String,
    mac: String,
}

impl QueryFragment<Sqlite> for Link {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        pass.push_sql("UPDATE changes SET place = ");
        pass.push_bind_param::<BigInt, i64>(&self.position)?;
        pass.push_sql(", hash = ");
        pass.push_bind_param::<Text, String>(&self.hash)?;
        pass.push_sql(", place_mac = ");
        pass.push_bind_param::<Text, String>(&self.mac)?;
        pass.push_sql(", room = NULL WHERE seq = ");
        pass.push_bind_param::<BigInt, i64>(&self.row)
    }
}

impl QueryId for Link {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl RunQueryDsl<SqliteConnection> for Link {}

impl QueryFragment<Sqlite> for Request<'_> {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        for number in [&self.seq, &self.tenant, &self.at, &self.micros, &self.quirks, &self.unkept]
        {
            pass.push_bind_param::<BigInt, i64>(number)?;
            pass.push_sql(", ");
        }
        pass.push_bind_param::<Integer, i32>(&self.status)?;
        pass.push_sql(", ");
        pass.push_bind_param::<Integer, i32>(&self.stranger)?;
        pass.push_sql(", ");
        pass.push_bind_param::<Nullable<Integer>, _>(&self.changed)?;
        for text in [&self.method, &self.route, &self.request] {
            pass.push_sql(", ");
            pass.push_bind_param::<Text, _>(text)?;
        }
        let rest = [
            &self.token,
            &self.token_name,
            &self.refused,
            &self.address,
            &self.agent,
            &self.idp,
            &self.kind,
            &self.resource,
            &self.name,
            &self.query,
            &self.scim_type,
            &self.field,
            &self.reason,
            &self.body,
            &self.reply,
        ];
        for text in rest {
            pass.push_sql(", ");
            pass.push_bind_param::<Nullable<Text>, _>(text)?;
        }
        Ok(())
    }
}

impl QueryFragment<Sqlite> for Name {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        pass.push_bind_param::<BigInt, i64>(&self.bucket)?;
        for number in [&self.name, &self.tenant, &self.seq] {
            pass.push_sql(", ");
            pass.push_bind_param::<BigInt, i64>(number)?;
        }
        Ok(())
    }
}
