//! `cargo xtask conformance`: every statement of the checklist and the tests that prove it.
//!
//! A test proves the ids its name begins with: `flt_014_…`, or a case `== FLT-014 …` in a data file,
//! whose test has such a name too. A test that names a store proves it on that store; one that names
//! none needs none, and counts on both.

pub(crate) mod exercised;
mod page;
mod rows;
mod sent;
mod sentence;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail};

use crate::outcome::Outcome;
use rows::{Excused, Row};

/// The generated page, below the root.
const PAGE: &str = "docs/reference/conformance.md";

/// Runs every test, prints the result per group and writes the page.
///
/// Fails when a statement of priority P0 or P1 has no proof on both databases and no reason, when
/// less than nine in ten of priority P2 have one, and when a proof failed.
pub(crate) fn run() -> anyhow::Result<()> {
    // A failed test still leaves a table worth reading.
    let report = Report::of(&crate::test::run_to_the_end()?.all())?;
    report.print();
    let path = crate::repository::root().join(PAGE);
    std::fs::create_dir_all(path.with_file_name(""))?;
    std::fs::write(&path, page::render(&report))
        .with_context(|| format!("{PAGE} is not written"))?;
    println!("\n{PAGE} is written");
    report.judge()
}

/// Judges a run of every test that another command made, and whether the page agrees.
pub(crate) fn compare(outcomes: &[Outcome]) -> anyhow::Result<()> {
    let report = Report::of(outcomes)?;
    report.print();
    report.judge()?;
    let written = std::fs::read_to_string(crate::repository::root().join(PAGE)).unwrap_or_default();
    if written != page::render(&report) {
        bail!("{PAGE} is out of date; run cargo xtask conformance and commit the page");
    }
    Ok(())
}

/// The proofs of one statement.
#[derive(Default)]
struct Proofs {
    passed: BTreeSet<String>,
    failed: BTreeSet<String>,
    sqlite: bool,
    postgres: bool,
}

/// What is known of one statement after a run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// A test passed on SQLite and on PostgreSQL.
    Proved,
    /// A test that carries the id failed.
    Failed,
    /// It is listed as not applicable, with its reason.
    Excused,
    /// Nothing proves it on both databases.
    Open,
}

struct Report {
    rows: Vec<Row>,
    excused: BTreeMap<String, Excused>,
    proofs: BTreeMap<String, Proofs>,
}

impl Report {
    fn of(outcomes: &[Outcome]) -> anyhow::Result<Self> {
        let rows = rows::checklist()?;
        let excused = rows::excused()?;
        let known: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let mut proofs: BTreeMap<String, Proofs> = BTreeMap::new();
        for outcome in outcomes {
            // A test that runs on both databases has its name before theirs.
            let parts = outcome.name.split("::").map(ids);
            let Some((ids, title)) = parts.into_iter().find(|(ids, _)| !ids.is_empty()) else {
                continue;
            };
            for id in ids {
                if !known.contains(id.as_str()) {
                    bail!(
                        "the test {} carries {id}, which the checklist does not have",
                        outcome.name
                    );
                }
                let proof = proofs.entry(id).or_default();
                let store = outcome.store();
                if outcome.passed {
                    // What holds in memory is no proof of a database.
                    proof.sqlite |= matches!(store, None | Some("sqlite"));
                    proof.postgres |= matches!(store, None | Some("postgres"));
                    proof.passed.insert(format!("{}: {}", outcome.binary, title.replace('_', " ")));
                } else {
                    proof.failed.insert(outcome.name.clone());
                }
            }
        }
        for (id, excused) in &excused {
            if !known.contains(id.as_str()) {
                bail!("not-applicable.toml lists {id}, which the checklist does not have");
            }
            if proofs.contains_key(id) && !excused.partly {
                bail!("not-applicable.toml lists {id}, which a test proves: take the entry out");
            }
        }
        Ok(Self { rows, excused, proofs })
    }

    fn standing(&self, row: &Row) -> Standing {
        match self.proofs.get(&row.id) {
            Some(proof) if !proof.failed.is_empty() => Standing::Failed,
            Some(proof) if proof.sqlite && proof.postgres => Standing::Proved,
            _ if self.excused.get(&row.id).is_some_and(|excused| !excused.later) => {
                Standing::Excused
            }
            _ => Standing::Open,
        }
    }

    fn count(&self, standing: Standing, of: impl Fn(&Row) -> bool) -> usize {
        self.rows.iter().filter(|row| of(row) && self.standing(row) == standing).count()
    }

    /// The groups in the order of the checklist.
    fn groups(&self) -> Vec<&str> {
        let mut groups: Vec<&str> = self.rows.iter().map(Row::group).collect();
        groups.dedup();
        groups
    }

    fn print(&self) {
        println!("\n  group   ids  proved  failed  not applicable  open");
        let line = |name: &str, of: &dyn Fn(&Row) -> bool| {
            let count = |standing| self.count(standing, of);
            println!(
                "  {name:5} {:5} {:7} {:7} {:15} {:5}",
                self.rows.iter().filter(|row| of(row)).count(),
                count(Standing::Proved),
                count(Standing::Failed),
                count(Standing::Excused),
                count(Standing::Open),
            );
        };
        for group in self.groups() {
            line(group, &|row| row.group() == group);
        }
        for priority in ["P0", "P1", "P2", "P3"] {
            line(priority, &|row| row.priority == priority);
        }
        line("all", &|_| true);
    }

    fn judge(&self) -> anyhow::Result<()> {
        let must = |row: &&Row| row.priority == "P0" || row.priority == "P1";
        let of = |standing| self.rows.iter().filter(move |row| self.standing(row) == standing);
        for row in of(Standing::Open) {
            println!("conformance: {} ({}) has no proof: {}", row.id, row.priority, row.statement);
        }
        for row in of(Standing::Failed) {
            println!("conformance: a proof of {} failed", row.id);
        }
        let open = of(Standing::Open).filter(must).count();
        if open > 0 {
            bail!("{open} statement(s) of priority P0 or P1 have no proof on both databases");
        }
        if of(Standing::Failed).next().is_some() {
            bail!("some proofs failed");
        }
        let unsent = exercised::check()?;
        unsent.iter().for_each(|finding| println!("conformance: {finding}"));
        if !unsent.is_empty() {
            bail!("{} statement(s) name what none of their proofs sends", unsent.len());
        }
        let second = self.rows.iter().filter(|row| row.priority == "P2").count();
        let proved = self.count(Standing::Proved, |row| row.priority == "P2");
        if proved * 10 < second * 9 {
            bail!("{proved} of {second} statements of priority P2 are proved; nine in ten must be");
        }
        Ok(())
    }
}

/// Splits the name of a test into the ids it begins with and the rest.
fn ids(name: &str) -> (Vec<String>, &str) {
    let mut ids = Vec::new();
    let mut rest = name;
    loop {
        let mut words = rest.splitn(3, '_');
        let (Some(group), Some(number)) = (words.next(), words.next()) else { break };
        let letters = (2..=3).contains(&group.len())
            && group.starts_with(|first: char| first.is_ascii_lowercase())
            && group.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if !letters || number.len() != 3 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            break;
        }
        ids.push(format!("{}-{number}", group.to_ascii_uppercase()));
        rest = words.next().unwrap_or_default();
    }
    (ids, rest.trim_start_matches('_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stand_at_the_beginning_of_a_name() {
        let strings = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        assert_eq!(ids("flt_014_i18_005_words"), (strings(&["FLT-014", "I18-005"]), "words"));
        assert_eq!(ids("an_answer_of_200_is_none"), (vec![], "an_answer_of_200_is_none"));
        assert_eq!(ids("me_001"), (strings(&["ME-001"]), ""));
    }
}
