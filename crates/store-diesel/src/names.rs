//! Small numbers for kinds and paths: they stand in every index instead of texts.

use std::collections::{BTreeSet, HashMap};

use diesel::prelude::*;
use headcount_core::ids::Kind;

use crate::connection::DbConnection;
use crate::error::WriteError;
use crate::schema::names;

/// The numbers of one database, complete for what this process can ask for.
#[derive(Debug, Default, Clone)]
pub(crate) struct Names {
    numbers: HashMap<String, i32>,
    kinds: Vec<(i32, Kind)>,
}

impl Names {
    /// Reads all numbers.
    pub(crate) fn load(connection: &mut DbConnection, kinds: &[Kind]) -> QueryResult<Self> {
        let rows: Vec<(i32, String)> =
            names::table.select((names::id, names::name)).load(connection)?;
        let numbers: HashMap<_, _> = rows.into_iter().map(|(id, name)| (name, id)).collect();
        let number = |kind: &Kind| numbers.get(&kind_name(kind)).map(|id| (*id, kind.clone()));
        let kinds = kinds.iter().filter_map(number).collect();
        Ok(Self { numbers, kinds })
    }

    /// Gives numbers to what has none yet.
    pub(crate) fn extend(
        connection: &mut DbConnection,
        kinds: &[Kind],
        paths: &[String],
    ) -> Result<Self, WriteError> {
        let known = Self::load(connection, kinds)?;
        let wanted = kinds.iter().map(kind_name).chain(paths.iter().map(|path| path_name(path)));
        let missing: BTreeSet<String> =
            wanted.filter(|name| !known.numbers.contains_key(name)).collect();
        let mut next = known.numbers.values().max().copied().unwrap_or(0) + 1;
        for name in missing {
            let done = diesel::insert_into(names::table)
                .values((names::id.eq(next), names::name.eq(name)))
                .execute(connection);
            match done {
                Ok(_) => next += 1,
                // Another server starts at the same time: the next try sees its numbers.
                Err(error)
                    if crate::error::meaning(&error) == crate::error::Meaning::Constraint =>
                {
                    return Err(WriteError::Retry);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Self::load(connection, kinds)?)
    }

    /// Numbers without a database.
    #[cfg(test)]
    pub(crate) fn fixed(kinds: &[Kind], paths: impl Iterator<Item = String>) -> Self {
        let kinds: Vec<_> = (1..).zip(kinds.iter().cloned()).collect();
        let numbers = paths.map(|path| path_name(&path)).zip(100..).collect();
        Self { numbers, kinds }
    }

    /// The number of a kind; resources of a kind without one do not exist.
    pub(crate) fn kind(&self, kind: &Kind) -> Option<i32> {
        self.kinds.iter().find(|(_, known)| known == kind).map(|(id, _)| *id)
    }

    /// The kind with a number.
    pub(crate) fn kind_of(&self, number: i32) -> Option<&Kind> {
        self.kinds.iter().find(|(id, _)| *id == number).map(|(_, kind)| kind)
    }

    /// All kinds with their numbers.
    pub(crate) fn kinds(&self) -> &[(i32, Kind)] {
        &self.kinds
    }

    /// The number of a path; values of a path without one are not indexed.
    pub(crate) fn path(&self, path: &str) -> Option<i32> {
        self.numbers.get(&path_name(path)).copied()
    }
}

// Kinds and paths share the table and must not share names: no path begins with a slash.
fn kind_name(kind: &Kind) -> String {
    format!("/{kind}")
}

fn path_name(path: &str) -> String {
    path.to_owned()
}
