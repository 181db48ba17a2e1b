//! SQL made of constant pieces and bound values.
//!
//! A piece of text is `&'static str`, so that nothing a client sent can ever become part of a
//! statement (FLT-057).

use std::marker::PhantomData;

use diesel::backend::Backend;
use diesel::expression::SqlLiteral;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::query_dsl::LoadQuery;
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, Bool, HasSqlType, Nullable, Text};
use diesel::{QueryResult, RunQueryDsl};

use crate::connection::{DbConnection, with_backend};

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Text(&'static str),
    Integer(i64),
    String(String),
    Optional(Option<String>),
    Watched,
}

/// How a statement finds out, row by row, whether it may go on.
pub(crate) trait Watching {
    /// A term of a `WHERE` with its `AND`; empty where the database ends statements by itself.
    const TERM: &'static str;
}

#[cfg(feature = "sqlite")]
impl Watching for diesel::sqlite::Sqlite {
    const TERM: &'static str = "still_wanted() AND ";
}

#[cfg(feature = "postgres")]
impl Watching for diesel::pg::Pg {
    const TERM: &'static str = "";
}

/// Returns what [`Sql::watched`] appends, as the first filter of a query of Diesel's.
pub(crate) fn still_wanted(connection: &DbConnection) -> SqlLiteral<Bool> {
    diesel::dsl::sql(match connection.backend() {
        crate::connection::Backend::Sqlite => "still_wanted()",
        crate::connection::Backend::Postgres => "TRUE",
    })
}

/// A column for a comparison that no index serves, in a query of Diesel's ([`Sql::unindexed`]).
macro_rules! unindexed {
    ($column:path) => {
        ($column + 0)
    };
}
pub(crate) use unindexed;

/// A statement or a part of one.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Sql {
    pieces: Vec<Piece>,
}

impl Sql {
    pub(crate) fn new(text: &'static str) -> Self {
        Self { pieces: vec![Piece::Text(text)] }
    }

    /// Appends constant text.
    pub(crate) fn text(mut self, text: &'static str) -> Self {
        self.pieces.push(Piece::Text(text));
        self
    }

    /// Appends a term that ends the statement when its time is over ([`crate::watch`]). It has to be the first
    /// term of the `WHERE` of every statement that may visit many rows, so that it is evaluated for each row.
    pub(crate) fn watched(mut self) -> Self {
        self.pieces.push(Piece::Watched);
        self
    }

    /// Appends a bound number.
    pub(crate) fn int(mut self, value: impl Into<i64>) -> Self {
        self.pieces.push(Piece::Integer(value.into()));
        self
    }

    /// Appends a bound text.
    pub(crate) fn string(mut self, value: impl Into<String>) -> Self {
        self.pieces.push(Piece::String(value.into()));
        self
    }

    /// Appends a bound text or null.
    pub(crate) fn optional(mut self, value: Option<String>) -> Self {
        self.pieces.push(Piece::Optional(value));
        self
    }

    /// Appends a comparison that no index serves: `column + 0 = value`.
    ///
    /// Where an id leads to a row, tenant and kind are compared so: the planner would otherwise consider the
    /// indexes that begin with the tenant, and on a small table visit all of its resources (ADR 32).
    pub(crate) fn unindexed(self, column: &'static str, value: impl Into<i64>) -> Self {
        self.text(column).text(" + 0 = ").int(value)
    }

    /// Appends another part.
    pub(crate) fn then(mut self, other: Self) -> Self {
        self.pieces.extend(other.pieces);
        self
    }

    /// Appends a list of bound numbers, joined by commas, never empty.
    ///
    /// The list is filled up with its last value to one of four lengths, so that lists of all lengths
    /// make only four statements.
    pub(crate) fn ints(mut self, values: &[i64]) -> Self {
        let lengths = [1, 10, 100, 1_000];
        let length =
            lengths.into_iter().find(|length| *length >= values.len()).unwrap_or(values.len());
        let last = values.last().copied().unwrap_or(-1);
        for (index, value) in
            values.iter().copied().chain(std::iter::repeat(last)).take(length).enumerate()
        {
            if index > 0 {
                self.pieces.push(Piece::Text(", "));
            }
            self.pieces.push(Piece::Integer(value));
        }
        self
    }

    /// Makes a query whose rows have the types `T`. Its statement is kept prepared.
    pub(crate) fn query<T>(self) -> TypedQuery<T> {
        TypedQuery { sql: self, cached: true, types: PhantomData }
    }

    /// Makes a query whose statement is not kept, because a client chose its shape.
    pub(crate) fn uncached<T>(self) -> TypedQuery<T> {
        TypedQuery { sql: self, cached: false, types: PhantomData }
    }

    /// Returns the statement with a mark for each bound value, for tests.
    #[cfg(test)]
    pub(crate) fn shape(&self) -> String {
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => *text,
                Piece::Integer(_) | Piece::String(_) | Piece::Optional(_) => "?",
                Piece::Watched => "",
            })
            .collect()
    }
}

/// A whole statement.
#[derive(Debug, Clone)]
pub(crate) struct TypedQuery<T> {
    sql: Sql,
    cached: bool,
    types: PhantomData<T>,
}

impl<T, DB> QueryFragment<DB> for TypedQuery<T>
where
    DB: Backend + Watching + HasSqlType<Text> + HasSqlType<BigInt>,
    str: ToSql<Text, DB>,
    Option<String>: ToSql<Nullable<Text>, DB>,
    i64: ToSql<BigInt, DB>,
{
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        if !self.cached {
            pass.unsafe_to_cache_prepared();
        }
        for piece in &self.sql.pieces {
            match piece {
                Piece::Text(text) => pass.push_sql(text),
                Piece::Watched => pass.push_sql(DB::TERM),
                Piece::Integer(value) => pass.push_bind_param::<BigInt, i64>(value)?,
                Piece::String(value) => pass.push_bind_param::<Text, str>(value)?,
                Piece::Optional(value) => {
                    pass.push_bind_param::<Nullable<Text>, Option<String>>(value)?;
                }
            }
        }
        Ok(())
    }
}

impl<T> QueryId for TypedQuery<T> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<T> Query for TypedQuery<T> {
    type SqlType = T;
}

impl<T, C> RunQueryDsl<C> for TypedQuery<T> {}

/// A query that both databases answer with rows of `U`.
pub(crate) trait Answers<U>: OnPostgres<U> + OnSqlite<U> {}

impl<Q: OnPostgres<U> + OnSqlite<U>, U> Answers<U> for Q {}

macro_rules! on {
    ($name:ident, $feature:literal, $connection:ty) => {
        #[cfg(feature = $feature)]
        pub(crate) trait $name<U>: for<'q> LoadQuery<'q, $connection, U> {}

        #[cfg(feature = $feature)]
        impl<Q: for<'q> LoadQuery<'q, $connection, U>, U> $name<U> for Q {}

        #[cfg(not(feature = $feature))]
        pub(crate) trait $name<U> {}

        #[cfg(not(feature = $feature))]
        impl<Q, U> $name<U> for Q {}
    };
}

on!(OnPostgres, "postgres", diesel::PgConnection);
on!(OnSqlite, "sqlite", diesel::SqliteConnection);

/// A statement runs on the connection of its database: it is written out for one database instead of for
/// either, and its rows are that database's.
impl<T: 'static> TypedQuery<T> {
    pub(crate) fn load<U>(self, connection: &mut DbConnection) -> QueryResult<Vec<U>>
    where
        Self: Answers<U>,
    {
        with_backend!(connection, |one| RunQueryDsl::load(self, one))
    }

    pub(crate) fn get_result<U>(self, connection: &mut DbConnection) -> QueryResult<U>
    where
        Self: Answers<U>,
    {
        with_backend!(connection, |one| RunQueryDsl::get_result(self, one))
    }

    pub(crate) fn execute(self, connection: &mut DbConnection) -> QueryResult<usize> {
        with_backend!(connection, |one| RunQueryDsl::execute(self, one))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_all_lengths_make_few_statements() {
        let shape = |n: usize| Sql::new("").ints(&vec![7; n]).shape();
        assert_eq!(shape(1), "?");
        assert_eq!(shape(2), shape(10));
        assert_ne!(shape(10), shape(11));
        assert_eq!(shape(101), shape(1_000));
    }
}
