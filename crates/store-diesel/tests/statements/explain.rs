//! How the databases answer a statement, as far as it matters: which rows they read by which index.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use diesel::connection::SimpleConnection;
use diesel::declare_sql_function;
use diesel::prelude::*;
use diesel::sql_types::Text;
use regex::Regex;

use crate::record::Statement;

#[derive(QueryableByName)]
struct Detail {
    #[diesel(sql_type = Text)]
    detail: String,
}

#[derive(QueryableByName)]
struct PlanLine {
    #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
    line: String,
}

#[derive(QueryableByName)]
struct Parameter {
    #[diesel(sql_type = Text)]
    name: String,
}

/// The plan of SQLite. It does not depend on data: nothing there is ever analyzed.
pub(crate) fn sqlite(connection: &mut SqliteConnection, sql: &str) -> String {
    let lines = diesel::sql_query(format!("EXPLAIN QUERY PLAN {sql}")).load::<Detail>(connection);
    let lines = lines.unwrap_or_else(|error| panic!("{sql}: {error}"));
    indented(lines.into_iter().map(|line| line.detail))
}

/// A connection that counts the rows that statements look at.
pub(crate) struct Counted {
    pub(crate) connection: SqliteConnection,
    rows: Arc<AtomicU64>,
}

#[declare_sql_function]
extern "SQL" {
    fn still_wanted() -> diesel::sql_types::Bool;
}

impl Counted {
    pub(crate) fn open(path: &Path) -> Self {
        let connection = SqliteConnection::establish(&path.display().to_string()).unwrap();
        let rows = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&rows);
        still_wanted_utils::register_nondeterministic_impl(&connection, move || {
            counted.fetch_add(1, Ordering::Relaxed);
            true
        })
        .unwrap();
        Self { connection, rows }
    }

    /// Rows that a statement looks at, in all of its parts that have a `WHERE`. The store has its reads ask a
    /// function for each row, and here all statements do. What is changed is taken back; what cannot be done
    /// twice is not counted.
    pub(crate) fn rows(&mut self, statement: &Statement) -> u64 {
        static WHERE: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r" WHERE (?:still_wanted\(\) AND )?").unwrap());
        let asking = WHERE.replace_all(&statement.sql, " WHERE still_wanted() AND ");
        let mut binds = values(&statement.binds).into_iter();
        let sql: String = asking
            .split('?')
            .enumerate()
            .map(|(index, text)| match index {
                0 => text.to_owned(),
                _ => binds.next().unwrap_or(Value::Null).plain() + text,
            })
            .collect();
        self.connection.batch_execute("BEGIN").unwrap();
        self.rows.store(0, Ordering::Relaxed);
        let _done = self.connection.batch_execute(&sql);
        let rows = self.rows.load(Ordering::Relaxed);
        self.connection.batch_execute("ROLLBACK").unwrap();
        rows
    }
}

fn indented(lines: impl Iterator<Item = String>) -> String {
    let text = lines.fold(String::new(), |mut text, line| {
        writeln!(text, "    {line}").unwrap();
        text
    });
    if text.is_empty() { "    (reads nothing)\n".to_owned() } else { text }
}

/// How PostgreSQL plans a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// For any values, as a statement that is kept prepared is planned after a while.
    Generic,
    /// For these values.
    Custom,
}

/// A statement that PostgreSQL has been given, and how it is run.
pub(crate) struct Prepared {
    execute: String,
}

impl Prepared {
    pub(crate) fn new(connection: &mut PgConnection, statement: &Statement) -> Self {
        let binds = values(&statement.binds);
        connection.batch_execute("DEALLOCATE ALL").unwrap();
        let plain = format!("PREPARE p AS {}", statement.sql);
        if connection.batch_execute(&plain).is_err() {
            // Where the types do not follow from the text, they are those that the store binds.
            let types: Vec<_> = binds.iter().map(|value| value.type_name()).collect();
            let typed = format!("PREPARE p ({}) AS {}", types.join(", "), statement.sql);
            let done = connection.batch_execute(&typed);
            done.unwrap_or_else(|error| panic!("{}: {error}", statement.sql));
        }
        let types: Vec<Parameter> = diesel::sql_query(
            "SELECT t.type::text AS name FROM pg_prepared_statements p, \
             unnest(p.parameter_types) WITH ORDINALITY AS t (type, place) WHERE p.name = 'p' ORDER BY place",
        )
        .load(connection)
        .unwrap();
        let list: Vec<String> =
            binds.iter().zip(&types).map(|(value, kind)| value.literal(&kind.name)).collect();
        let execute = if list.is_empty() {
            "EXECUTE p".to_owned()
        } else {
            format!("EXECUTE p ({})", list.join(", "))
        };
        Self { execute }
    }

    fn explain(
        &self,
        connection: &mut PgConnection,
        plan: Plan,
        options: &str,
    ) -> QueryResult<Vec<String>> {
        let mode = match plan {
            Plan::Generic => "force_generic_plan",
            Plan::Custom => "force_custom_plan",
        };
        connection.batch_execute(&format!("SET plan_cache_mode = {mode}")).unwrap();
        let sql = format!("EXPLAIN ({options}) {}", self.execute);
        let lines = diesel::sql_query(sql).load::<PlanLine>(connection)?;
        Ok(lines.into_iter().map(|line| line.line).collect())
    }

    /// The tables that are read, each with its index and the bounds in it.
    pub(crate) fn access(&self, connection: &mut PgConnection, plan: Plan) -> String {
        static SCAN: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r"((?:Bitmap )?(?:Seq|Index|Index Only|Heap) Scan.*)$").unwrap()
        });
        static VALUE: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r"'[^']*'(::\w+( \w+)?(\[\])?)?|\$\d+|\b\d+\b").unwrap());
        let mut found: Vec<String> = Vec::new();
        for line in self.explain(connection, plan, "COSTS OFF").unwrap() {
            if let Some(scan) = SCAN.captures(&line) {
                found.push(scan[1].replace(" using ", " by "));
            } else if let Some((_, bounds)) = line.split_once("Index Cond: ")
                && let Some(last) = found.last_mut()
            {
                *last = format!("{last}: {}", VALUE.replace_all(bounds, "?"));
            }
        }
        indented(found.into_iter())
    }

    /// Pages that are looked at when the statement is run. What it changes is taken back; what cannot be
    /// done twice, such as inserting a key, looks at a few and is not counted.
    pub(crate) fn pages(&self, connection: &mut PgConnection) -> u64 {
        static PAGES: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r"Buffers: shared(?: hit=(\d+))?(?: read=(\d+))?").unwrap()
        });
        connection.batch_execute("BEGIN").unwrap();
        let options = "ANALYZE, BUFFERS, TIMING OFF, COSTS OFF, SUMMARY OFF";
        let lines = self.explain(connection, Plan::Custom, options).unwrap_or_default();
        connection.batch_execute("ROLLBACK").unwrap();
        let number =
            |text: Option<regex::Match<'_>>| text.map_or(0, |n| n.as_str().parse().unwrap());
        // That of the topmost node holds those of all below it.
        let first = lines.iter().find_map(|line| PAGES.captures(line));
        first.map_or(0, |pages| number(pages.get(1)) + number(pages.get(2)))
    }
}

/// A value as the store has bound it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Null,
    Integer(String),
    Text(String),
    List(Vec<Value>),
}

impl Value {
    fn type_name(&self) -> &'static str {
        match self {
            Self::Integer(_) => "bigint",
            Self::Null | Self::Text(_) => "text",
            Self::List(items) => match items.first() {
                Some(Self::Text(_)) => "text[]",
                _ => "bigint[]",
            },
        }
    }

    /// The value as SQLite reads it: there a number in quotes is a text.
    fn plain(&self) -> String {
        match self {
            Self::Integer(text) => text.clone(),
            Self::List(items) => format!("x'{}'", "00".repeat(items.len())),
            Self::Null | Self::Text(_) => self.literal(""),
        }
    }

    fn literal(&self, kind: &str) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        match self {
            Self::Null => "NULL".to_owned(),
            Self::Integer(text) | Self::Text(text) => quoted(text),
            Self::List(items) if kind == "bytea" => {
                let byte = |item: &Self| match item {
                    Self::Integer(text) => format!("{:02x}", text.parse::<u8>().unwrap()),
                    _ => String::new(),
                };
                quoted(&format!("\\x{}", items.iter().map(byte).collect::<String>()))
            }
            Self::List(items) => {
                let item = |item: &Self| match item {
                    Self::Integer(text) | Self::Text(text) => format!("\"{text}\""),
                    Self::Null | Self::List(_) => "NULL".to_owned(),
                };
                let items: Vec<_> = items.iter().map(item).collect();
                quoted(&format!("{{{}}}", items.join(",")))
            }
        }
    }
}

/// Reads a list of values as Rust prints it.
fn values(text: &str) -> Vec<Value> {
    let mut rest = text;
    match value(&mut rest) {
        Value::List(items) => items,
        other => vec![other],
    }
}

fn value(rest: &mut &str) -> Value {
    *rest = rest.trim_start();
    if let Some(inner) = rest.strip_prefix("Some(") {
        *rest = inner;
        let value = value(rest);
        *rest = rest.trim_start().strip_prefix(')').unwrap_or(rest);
        return value;
    }
    if let Some(after) = rest.strip_prefix("None") {
        *rest = after;
        return Value::Null;
    }
    if let Some(mut inner) = rest.strip_prefix('[') {
        let mut items = Vec::new();
        while !inner.trim_start().starts_with(']') {
            items.push(value(&mut inner));
            inner = inner.trim_start().strip_prefix(',').unwrap_or(inner);
        }
        *rest = inner.trim_start().strip_prefix(']').unwrap_or(inner);
        return Value::List(items);
    }
    if let Some(inner) = rest.strip_prefix('"') {
        let (mut text, mut chars) = (String::new(), inner.char_indices());
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    *rest = &inner[at + 1..];
                    break;
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, other)) => text.push(other),
                    None => {}
                },
                other => text.push(other),
            }
        }
        return Value::Text(text);
    }
    let end = rest.find([',', ']', ')']).unwrap_or(rest.len());
    let number = rest[..end].trim().to_owned();
    *rest = &rest[end..];
    Value::Integer(number)
}

#[test]
fn values_are_read_as_rust_prints_them() {
    let text = format!("{:?}", (1, "a \"b\", ]", Some("c"), None::<i32>, [1, 2]));
    let text = format!("[{}]", &text[1..text.len() - 1]);
    let int = |text: &str| Value::Integer(text.to_owned());
    let string = |text: &str| Value::Text(text.to_owned());
    let list = Value::List(vec![int("1"), int("2")]);
    assert_eq!(values(&text), [int("1"), string("a \"b\", ]"), string("c"), Value::Null, list]);
}
