//! Writing rows of the log, many with one statement.
//!
//! Each request costs one row and a handful of names, so that these statements are what the thread of the
//! log spends most of its time on. They borrow what they write, and are found again by their type: a
//! statement that Diesel knows only by its text is written out each time in order to be found.

use std::borrow::Cow;

use diesel::backend::Backend;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, HasSqlType, Nullable, Text};
use headcount_core::ids::{Kind, ResourceId, TokenId};
use headcount_core::journal::RequestRecord;

use super::key;
use crate::connection::{DbConnection, direct, or_roll_back};

/// Rows of one statement; few lengths make few statements.
const MANY: usize = 32;
/// Rows of a statement for what is left.
const SOME: usize = 8;

/// A row of `requests`.
struct Request<'a> {
    numbers: [i64; 5],
    texts: [Cow<'a, str>; 3],
    rest: [Option<Cow<'a, str>>; 15],
}

/// A row of `request_names`: bucket, name, tenant, number of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name(pub(super) [i64; 4]);

/// Writes records, and returns their numbers in their order.
pub(super) fn requests(
    connection: &mut DbConnection,
    records: &[RequestRecord],
) -> QueryResult<Vec<i64>> {
    let mut numbers = Vec::with_capacity(records.len());
    let mut rest = records;
    while !rest.is_empty() {
        let (chunk, behind) = rest.split_at(length(rest.len()));
        let rows: Vec<Request<'_>> = chunk.iter().map(Request::of).collect();
        let mut given: Vec<i64> = match chunk.len() {
            MANY => Insert::<_, MANY>::new(connection, &rows).load(connection)?,
            SOME => Insert::<_, SOME>::new(connection, &rows).load(connection)?,
            _ => Insert::<_, 1>::new(connection, &rows).load(connection)?,
        };
        // Numbers are given out in the order of the rows; the answer may come in any.
        given.sort_unstable();
        numbers.extend(given);
        rest = behind;
    }
    Ok(numbers)
}

/// Writes names; one that is there already stays.
pub(super) fn names(connection: &mut DbConnection, names: &[Name]) -> QueryResult<()> {
    let mut rest = names;
    while !rest.is_empty() {
        let (chunk, behind) = rest.split_at(length(rest.len()));
        match chunk.len() {
            MANY => Insert::<_, MANY>::new(connection, chunk).execute(connection)?,
            SOME => Insert::<_, SOME>::new(connection, chunk).execute(connection)?,
            _ => Insert::<_, 1>::new(connection, chunk).execute(connection)?,
        };
        rest = behind;
    }
    Ok(())
}

/// How many of the rows that are left the next statement writes.
fn length(left: usize) -> usize {
    [MANY, SOME].into_iter().find(|length| *length <= left).unwrap_or(1)
}

impl<'a> Request<'a> {
    fn of(record: &'a RequestRecord) -> Self {
        let text = |text: &'a Option<String>| text.as_deref().map(clean);
        let quirks = record.quirks.bits();
        Self {
            numbers: [
                key(record.tenant),
                record.at.micros(),
                record.micros,
                record.status.into(),
                quirks,
            ],
            texts: [&record.method, &record.path, record.request.as_str()].map(clean),
            rest: [
                record.token.as_ref().map(TokenId::as_str).map(clean),
                text(&record.token_name),
                text(&record.refused),
                text(&record.address),
                text(&record.agent),
                text(&record.idp),
                record.kind.as_ref().map(Kind::as_str).map(clean),
                record.resource.as_ref().map(ResourceId::as_str).map(clean),
                text(&record.name),
                text(&record.query),
                text(&record.scim_type),
                text(&record.field),
                text(&record.reason),
                text(&record.body),
                text(&record.reply),
            ],
        }
    }
}

/// PostgreSQL keeps no NUL in texts.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    match memchr::memchr(0, text.as_bytes()) {
        None => Cow::Borrowed(text),
        Some(_) => Cow::Owned(text.replace('\0', "\u{fffd}")),
    }
}

/// A statement that writes `N` rows.
struct Insert<'a, R, const N: usize> {
    or_roll_back: &'static str,
    rows: &'a [R],
}

impl<'a, R, const N: usize> Insert<'a, R, N> {
    fn new(connection: &DbConnection, rows: &'a [R]) -> Self {
        debug_assert_eq!(rows.len(), N, "the statement is kept under its number of rows");
        Self { or_roll_back: or_roll_back(connection), rows }
    }
}

impl<const N: usize> Insert<'_, Request<'_>, N> {
    fn load(self, connection: &mut DbConnection) -> QueryResult<Vec<i64>> {
        direct!(connection, |one| RunQueryDsl::load(self, one))
    }
}

impl<const N: usize> Insert<'_, Name, N> {
    fn execute(self, connection: &mut DbConnection) -> QueryResult<usize> {
        direct!(connection, |one| RunQueryDsl::execute(self, one))
    }
}

/// What a row says of its table.
trait Row {
    /// The row for the whole life of the program, which names the statement.
    type Id: 'static;
    /// The table and its columns.
    const INTO: &'static str;
    /// What stands behind the rows.
    const BEHIND: &'static str;
}

impl Row for Request<'_> {
    type Id = Request<'static>;
    const INTO: &'static str = " INTO requests (tenant, at, micros, status, quirks, method, route, request, token, \
         token_name, refused, address, agent, idp, kind, resource, name, query, scim_type, field, reason, body, \
         reply) VALUES ";
    const BEHIND: &'static str = " RETURNING seq";
}

impl Row for Name {
    type Id = Self;
    const INTO: &'static str = " INTO request_names (bucket, name, tenant, seq) VALUES ";
    const BEHIND: &'static str = " ON CONFLICT DO NOTHING";
}

impl<DB> QueryFragment<DB> for Request<'_>
where
    DB: Backend + HasSqlType<Text> + HasSqlType<BigInt>,
    i64: ToSql<BigInt, DB>,
    for<'t> Cow<'t, str>: ToSql<Text, DB>,
    for<'t> Option<Cow<'t, str>>: ToSql<Nullable<Text>, DB>,
{
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        for (index, number) in self.numbers.iter().enumerate() {
            pass.push_sql(if index == 0 { "" } else { ", " });
            pass.push_bind_param::<BigInt, i64>(number)?;
        }
        for text in &self.texts {
            pass.push_sql(", ");
            pass.push_bind_param::<Text, Cow<'_, str>>(text)?;
        }
        for text in &self.rest {
            pass.push_sql(", ");
            pass.push_bind_param::<Nullable<Text>, Option<Cow<'_, str>>>(text)?;
        }
        Ok(())
    }
}

impl<DB> QueryFragment<DB> for Name
where
    DB: Backend + HasSqlType<BigInt>,
    i64: ToSql<BigInt, DB>,
{
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        for (index, number) in self.0.iter().enumerate() {
            pass.push_sql(if index == 0 { "" } else { ", " });
            pass.push_bind_param::<BigInt, i64>(number)?;
        }
        Ok(())
    }
}

impl<DB, R, const N: usize> QueryFragment<DB> for Insert<'_, R, N>
where
    DB: Backend,
    R: Row + QueryFragment<DB>,
{
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        pass.push_sql("INSERT");
        pass.push_sql(self.or_roll_back);
        pass.push_sql(R::INTO);
        for (index, row) in self.rows.iter().enumerate() {
            pass.push_sql(if index == 0 { "(" } else { ", (" });
            row.walk_ast(pass.reborrow())?;
            pass.push_sql(")");
        }
        pass.push_sql(R::BEHIND);
        Ok(())
    }
}

impl<R: Row, const N: usize> QueryId for Insert<'_, R, N> {
    type QueryId = Insert<'static, R::Id, N>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<R, const N: usize> Query for Insert<'_, R, N> {
    type SqlType = BigInt;
}

impl<R, const N: usize, C> RunQueryDsl<C> for Insert<'_, R, N> {}
