//! Small numbers for kinds and paths, which indexes contain instead of texts.

use std::collections::{BTreeSet, HashMap};

use diesel::prelude::*;
use headcount_core::ids::Kind;

use crate::connection::DbConnection;
use crate::error::{WriteError, retry_on_constraint};
use crate::schema::names;

/// The numbers of one database: of every kind and path that this process can ask for.
#[derive(Debug, Default, Clone)]
pub(crate) struct Dictionary {
    numbers: HashMap<String, i32>,
    kinds: Vec<(i32, Kind)>,
}

impl Dictionary {
    /// Reads all numbers.
    pub(crate) fn load(connection: &mut DbConnection, kinds: &[Kind]) -> QueryResult<Self> {
        let rows: Vec<(i32, String)> =
            names::table.select((names::id, names::name)).load(connection)?;
        let numbers: HashMap<_, _> = rows.into_iter().map(|(id, name)| (name, id)).collect();
        let kinds = kinds
            .iter()
            .filter_map(|kind| Some((*numbers.get(&kind_name(kind))?, kind.clone())))
            .collect();
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
        let first = known.numbers.values().max().copied().unwrap_or(0) + 1;
        for (number, name) in (first..).zip(missing) {
            // When another server starts at the same time, the next try sees its numbers.
            diesel::insert_into(names::table)
                .values((names::id.eq(number), names::name.eq(name)))
                .execute(connection)
                .map_err(retry_on_constraint)?;
        }
        Ok(Self::load(connection, kinds)?)
    }

    /// Returns numbers without a database.
    #[cfg(test)]
    pub(crate) fn fixed(kinds: &[Kind], paths: impl Iterator<Item = String>) -> Self {
        let kinds: Vec<_> = (1..).zip(kinds.iter().cloned()).collect();
        let numbers = paths.map(|path| path_name(&path)).zip(100..).collect();
        Self { numbers, kinds }
    }

    /// Returns the number of a kind; resources of a kind without one do not exist.
    pub(crate) fn kind(&self, kind: &Kind) -> Option<i32> {
        self.kinds.iter().find(|(_, known)| known == kind).map(|(id, _)| *id)
    }

    /// Returns the kind with a number.
    pub(crate) fn kind_of(&self, number: i32) -> Option<&Kind> {
        self.kinds.iter().find(|(id, _)| *id == number).map(|(_, kind)| kind)
    }

    /// Returns all kinds with their numbers.
    pub(crate) fn kinds(&self) -> &[(i32, Kind)] {
        &self.kinds
    }

    /// Returns the number of a path; values of a path without one are not indexed.
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
