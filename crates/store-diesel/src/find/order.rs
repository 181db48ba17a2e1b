//! Orders of resources: how the database sorts by them, and where in them a page ended.

use std::cmp::Ordering;
use std::sync::Arc;

use headcount_core::path::AttrSource;
use headcount_core::provider::{Direction, Key, Query};

use crate::filter_sql::Scope;
use crate::sql::Sql;

/// How the database can order resources. Equal ones are in the order of their creation.
pub(super) enum Order {
    /// By creation.
    Created,
    /// By a column.
    Column(Column, Direction),
    /// By the rows of an indexed attribute that has one value.
    Indexed(Arc<str>, Direction),
    /// By a value that only the evaluator can compute.
    Evaluated,
}

/// A column that resources can be ordered by.
#[derive(Clone, Copy)]
pub(super) struct Column {
    name: &'static str,
    /// Whether it can be empty.
    nullable: bool,
    /// Whether it is a number.
    number: bool,
}

impl Column {
    /// Compares the column with a value; none when the value does not fit it.
    fn compare(self, operator: &'static str, value: &str) -> Option<Sql> {
        let sql = Sql::new(self.name).text(operator);
        Some(match self.number {
            true => sql.int(value.parse::<i64>().ok()?),
            false => sql.string(value),
        })
    }
}

const INDEXED: Column = Column { name: "o.value", nullable: true, number: false };

impl Order {
    pub(super) fn of(query: &Query<'_>) -> Self {
        let Some(sort) = &query.sort else {
            return Self::Created;
        };
        let (name, nullable, number) = match &sort.by.source {
            AttrSource::Created => ("r.created", false, true),
            AttrSource::Modified => ("r.modified", false, true),
            AttrSource::Id => ("r.id", false, false),
            AttrSource::Name => {
                let required = query.kind.name.as_ref().is_some_and(|name| name.attribute.required);
                ("r.name_key", !required, false)
            }
            AttrSource::ExternalId => ("r.external_id", true, false),
            AttrSource::Indexed(path) if !sort.by.is_plural() => {
                return Self::Indexed(Arc::clone(path), sort.direction);
            }
            _ => return Self::Evaluated,
        };
        Self::Column(Column { name, nullable, number }, sort.direction)
    }

    fn column(&self) -> Option<(Column, Direction)> {
        match self {
            Self::Created | Self::Evaluated => None,
            Self::Column(column, direction) => Some((*column, *direction)),
            Self::Indexed(_, direction) => Some((INDEXED, *direction)),
        }
    }

    /// Returns the join that the order needs.
    pub(super) fn join(&self, scope: &Scope<'_>) -> Sql {
        let Self::Indexed(path, _) = self else {
            return Sql::default();
        };
        Sql::new(" LEFT JOIN resource_index o ON o.pk = r.pk AND o.element = 0 AND o.path = ")
            .int(scope.dictionary.path(path).unwrap_or(-1))
    }

    /// Returns the terms of `ORDER BY`.
    pub(super) fn by(&self) -> Sql {
        let Some((column, direction)) = self.column() else {
            return Sql::new("r.pk");
        };
        // No value comes last ascending and first descending, on both databases (SRT-005).
        let empty = match (column.nullable, direction) {
            (false, _) => Sql::default(),
            (true, Direction::Ascending) => {
                Sql::new("CASE WHEN ").text(column.name).text(" IS NULL THEN 1 ELSE 0 END, ")
            }
            (true, Direction::Descending) => {
                Sql::new("CASE WHEN ").text(column.name).text(" IS NULL THEN 0 ELSE 1 END, ")
            }
        };
        empty.text(column.name).text(match direction {
            Direction::Ascending => ", r.pk",
            Direction::Descending => " DESC, r.pk",
        })
    }

    /// Returns the value that the order goes by, as text.
    pub(super) fn value(&self) -> Option<Sql> {
        let (column, _) = self.column()?;
        Some(Sql::new("CAST(").text(column.name).text(" AS text)"))
    }

    /// Returns the condition for everything behind a position; none when there is no such position.
    pub(super) fn behind(&self, position: &Position) -> Option<Sql> {
        let later = Sql::new("r.pk > ").int(position.pk);
        let Some((column, direction)) = self.column() else {
            return Some(later);
        };
        let name = column.name;
        let Some(value) = &position.value else {
            let empty = Sql::new("(").text(name).text(" IS NULL AND ").then(later).text(")");
            return Some(match direction {
                Direction::Ascending => empty,
                Direction::Descending => Sql::new(name).text(" IS NOT NULL OR ").then(empty),
            });
        };
        // The first comparison is one that an index serves.
        let (from, beyond) = match direction {
            Direction::Ascending => (" >= ", " > "),
            Direction::Descending => (" <= ", " < "),
        };
        let range = Sql::new("(")
            .then(column.compare(from, value)?)
            .text(" AND (")
            .then(column.compare(beyond, value)?)
            .text(" OR ")
            .then(later)
            .text("))");
        Some(if column.nullable && direction == Direction::Ascending {
            Sql::new(name).text(" IS NULL OR ").then(range)
        } else {
            range
        })
    }
}

/// The position of a resource in an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    /// The value that it is ordered by; none without one, and in the order of creation.
    pub(super) value: Option<String>,
    /// Its number, which orders equal ones.
    pub(super) pk: i64,
}

impl Position {
    pub(super) fn compare(&self, other: &Self, direction: Direction) -> Ordering {
        let by_value =
            (self.value.is_none(), &self.value).cmp(&(other.value.is_none(), &other.value));
        direction.apply(by_value).then(self.pk.cmp(&other.pk))
    }

    pub(super) fn write(&self) -> Key {
        Key(match &self.value {
            None => self.pk.to_string(),
            Some(value) => format!("{}:{value}", self.pk),
        })
    }

    pub(super) fn read(key: &Key) -> Option<Self> {
        let (pk, value) = match key.0.split_once(':') {
            None => (key.0.as_str(), None),
            Some((pk, value)) => (pk, Some(value.to_owned())),
        };
        Some(Self { value, pk: pk.parse().ok()? })
    }
}
