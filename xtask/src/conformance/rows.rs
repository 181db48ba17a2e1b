//! The checklist and the list of what does not apply, as files.

use std::collections::BTreeMap;

use anyhow::{Context, bail};

/// A statement that Headcount is held to.
pub(super) struct Row {
    pub(super) id: String,
    /// `M` must, `S` should, `O` optional, `D` our decision, `I` what identity providers need.
    pub(super) level: String,
    /// The section of an RFC; empty for our own.
    pub(super) source: String,
    /// `P0` to `P3`.
    pub(super) priority: String,
    pub(super) statement: String,
}

impl Row {
    /// The letters of the id.
    pub(super) fn group(&self) -> &str {
        self.id.split('-').next().unwrap_or_default()
    }
}

/// Why a statement, or a part of it, is not held.
pub(super) struct Excused {
    pub(super) reason: String,
    /// The rest of the statement is proved.
    pub(super) partly: bool,
    /// It applies, and is not built: the statement counts as open.
    pub(super) later: bool,
}

pub(super) fn checklist() -> anyhow::Result<Vec<Row>> {
    let text = read("checklist.tsv")?;
    let mut rows = Vec::new();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [id, level, source, priority, statement] = fields.as_slice() else {
            bail!("checklist.tsv: five fields are expected: {line}")
        };
        let [id, level, source, priority, statement] =
            [id, level, source, priority, statement].map(|field| (*field).to_owned());
        rows.push(Row { id, level, source, priority, statement });
    }
    Ok(rows)
}

pub(super) fn excused() -> anyhow::Result<BTreeMap<String, Excused>> {
    let table: toml::Table =
        read("not-applicable.toml")?.parse().context("not-applicable.toml is no TOML")?;
    let mut excused = BTreeMap::new();
    for (id, entry) in table {
        let Some(reason) = entry.get("reason").and_then(toml::Value::as_str) else {
            bail!("not-applicable.toml: {id} has no reason")
        };
        let is = |name: &str| entry.get(name).and_then(toml::Value::as_bool).unwrap_or(false);
        let (partly, later) = (is("partly"), is("later"));
        excused.insert(id, Excused { reason: reason.to_owned(), partly, later });
    }
    Ok(excused)
}

fn read(name: &str) -> anyhow::Result<String> {
    let path = crate::repository::root().join("tests/conformance").join(name);
    std::fs::read_to_string(&path)
        .with_context(|| format!("tests/conformance/{name} cannot be read"))
}
