//! What empty and unknown values do: every verb, by every way to name an attribute, with every value,
//! for every kind of attribute, with all quirks and with none (B-F1, A-1).
//!
//! `fixtures/empty-values.tsv` states the outcome of each cell; `cargo xtask docs` makes
//! `docs/reference/empty-values.md` from it.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

#[path = "empty_values/subject.rs"]
mod subject;

use std::collections::BTreeMap;

use subject::{KINDS, Kind, Quirky, Way, World};

const TABLE: &str = include_str!("../fixtures/empty-values.tsv");

/// Ways to name what a PATCH works on, and those of a body.
const PATHS: &[Way] = &[
    Way::Pathless,
    Way::Path,
    Way::Sub,
    Way::Filter,
    Way::FilterSub,
    Way::NoMatch,
    Way::NoMatchSub,
];
const BODY: &[Way] = &[Way::Path, Way::Sub];

/// Verb, way, kind of attribute, quirks, value.
type Cell = (String, String, String, String, String);

/// Reads the table: each cell and its outcome.
fn stated() -> BTreeMap<Cell, String> {
    let mut lines = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let header: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let values = &header[4..];
    let mut cells = BTreeMap::new();
    for line in lines {
        let fields: Vec<&str> = line.split('\t').collect();
        let outcomes: Vec<String> = match &fields[4..] {
            ["-", reason] => {
                assert!(reason.ends_with('.'), "a reason is a sentence: {line}");
                vec!["-".to_owned(); values.len()]
            }
            [all] => vec![(*all).to_owned(); values.len()],
            each => each.iter().map(|outcome| (*outcome).to_owned()).collect(),
        };
        assert_eq!(outcomes.len(), values.len(), "a line states each value: {line}");
        for verb in fields[0].split(", ") {
            for way in fields[1].split(", ") {
                for kind in fields[2].split(", ") {
                    for quirks in fields[3].split(", ") {
                        for (value, outcome) in values.iter().zip(&outcomes) {
                            let cell = [verb, way, kind, quirks, value].map(str::to_owned);
                            let cell: Cell = cell.into();
                            let twice = cells.insert(cell.clone(), outcome.clone());
                            assert_eq!(twice, None, "{cell:?} is stated twice");
                        }
                    }
                }
            }
        }
    }
    cells
}

/// Every cell that there is, with what comes of it; none where it makes no sense.
fn found() -> BTreeMap<Cell, Option<String>> {
    let world = World::new();
    let mut cells = BTreeMap::new();
    for verb in ["add", "replace", "remove", "POST", "PUT"] {
        let ways = if verb.starts_with('P') { BODY } else { PATHS };
        for way in ways {
            for kind in KINDS {
                for quirks in [Quirky::All, Quirky::None] {
                    for (value, given) in kind.values(verb, *way) {
                        let cell = (
                            verb.to_owned(),
                            way.name(verb).to_owned(),
                            kind.name.to_owned(),
                            quirks.name().to_owned(),
                            value.to_owned(),
                        );
                        cells.insert(cell, world.outcome(verb, *way, kind, quirks, &given));
                    }
                }
            }
        }
    }
    cells
}

#[test]
fn b_f1_a_1_every_cell_of_the_table_is_as_stated() {
    let (stated, found) = (stated(), found());
    let mut wrong = Vec::new();
    for (cell, outcome) in &found {
        let is = outcome.as_deref().unwrap_or("-");
        match stated.get(cell) {
            Some(said) if said == is => {}
            Some(said) => wrong.push(format!("{cell:?}: stated \"{said}\", is \"{is}\"")),
            None => wrong.push(format!("{cell:?}: not stated, is \"{is}\"")),
        }
    }
    let unknown = stated.keys().filter(|cell| !found.contains_key(*cell));
    wrong.extend(unknown.map(|cell| format!("{cell:?}: stated, but there is no such cell")));
    assert!(wrong.is_empty(), "{} cells:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn b_f1_adding_nothing_never_changes_anything() {
    let nothing = ["null", "[]", "\"\"", "{}", "[null]", "[{}]"];
    let nothing = nothing.into_iter().chain(["[{\"value\":\"\"}]", "[{\"value\":null}]"]);
    let nothing: Vec<&str> = nothing.collect();
    for ((verb, way, kind, quirks, value), outcome) in stated() {
        if verb != "add" || !nothing.contains(&value.as_str()) || outcome == "-" {
            continue;
        }
        let cell = format!("{way}, {kind}, {quirks}, {value}: {outcome}");
        assert!(outcome == "unchanged" || outcome.starts_with("400"), "{cell}");
        let whole = matches!(way.as_str(), "no path" | "path");
        assert!(!whole || quirks == "none" || outcome == "unchanged", "{cell}");
    }
}

#[test]
fn a_1_what_is_not_understood_never_clears() {
    for ((verb, way, kind, quirks, value), outcome) in stated() {
        if value == "unknown" && verb != "remove" && outcome != "-" {
            assert!(outcome.starts_with("400"), "{verb}, {way}, {kind}, {quirks}: {outcome}");
        }
    }
}

#[test]
fn decision_46_only_null_and_the_empty_array_empty_a_group() {
    for ((verb, way, kind, quirks, value), outcome) in stated() {
        let whole = matches!(way.as_str(), "no path" | "path" | "body");
        if kind == "members" && whole && outcome == "cleared" {
            let cell = format!("{verb}, {way}, {quirks}, {value}");
            assert!(matches!(value.as_str(), "null" | "[]"), "{cell}");
        }
    }
}

/// The kinds of attributes differ from each other, so that no line of the table is said for nothing.
#[test]
fn every_kind_of_attribute_is_there_once() {
    let mut names: Vec<&str> = KINDS.iter().map(|kind: &Kind| kind.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), KINDS.len());
}
