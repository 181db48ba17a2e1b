//! Sentences of `docs/ARCHITECTURE.md` about where something is done, against the sources: where the two
//! databases are distinguished, and where a quirk is asked for.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;

use super::modules::named_under;
use crate::repository::root;

const DOCUMENT: &str = "docs/ARCHITECTURE.md";
/// What distinguishes the databases: a variant of one of these types.
const BACKENDS: [&str; 2] = ["Backend", "DbConnection"];
/// The crates of the product that a request passes.
const CRATES: [&str; 7] =
    ["core", "records", "token-admin", "store-diesel", "http-api", "console", "server"];
/// The sets of all quirks and of none, which ask for none in particular.
const SETS: [&str; 2] = ["ALL", "NONE"];

/// What a document and the sources say: a file, and names in it.
type Named = BTreeMap<String, BTreeSet<String>>;

pub(super) fn check() -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(root().join(DOCUMENT)).context(DOCUMENT)?;
    let mut findings = backends(&text)?;
    findings.extend(quirks(&text)?);
    Ok(findings)
}

/// The files of the store that match the backend are those that the document lists.
fn backends(text: &str) -> anyhow::Result<Vec<String>> {
    let mut found = BTreeSet::new();
    for type_name in BACKENDS {
        let named = named_under(&root().join("crates/store-diesel"), type_name)?;
        let variants = named.into_iter().filter(|(_, names)| {
            names.iter().any(|name| matches!(name.as_str(), "Sqlite" | "Postgres"))
        });
        found.extend(variants.map(|(file, _)| file));
    }
    let listed: BTreeSet<String> = code_spans(section(text, "backends")?).collect();
    let unlisted = found.difference(&listed).map(|file| {
        format!(
            "store-diesel/src/{file} distinguishes the databases, which {DOCUMENT} does not say"
        )
    });
    let unneeded = listed.difference(&found).map(|file| {
        format!(
            "{DOCUMENT} says that store-diesel/src/{file} distinguishes the databases; it does not"
        )
    });
    Ok(unlisted.chain(unneeded).collect())
}

/// The files that ask for a quirk, other than `lenient`, are those of the table.
fn quirks(text: &str) -> anyhow::Result<Vec<String>> {
    let mut found = Named::new();
    for name in CRATES {
        let of_crate = named_under(&root().join("crates").join(name), "Quirks")?;
        for (file, mut names) in of_crate {
            names.retain(|name| is_constant(name) && !SETS.contains(&name.as_str()));
            let repairs = name == "core" && file.starts_with("lenient");
            if !repairs && !names.is_empty() {
                found.insert(format!("{name}/src/{file}"), names);
            }
        }
    }
    let mut table = Named::new();
    for row in section(text, "quirks")?.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = row.trim_matches('|').split('|').map(code_spans);
        if let (Some(mut file), Some(names)) = (cells.next(), cells.next()) {
            let constants = names.map(|name| name.to_uppercase().replace('-', "_"));
            table.insert(file.next().unwrap_or_default(), constants.collect());
        }
    }
    Ok(compare(&found, &table))
}

fn compare(found: &Named, table: &Named) -> Vec<String> {
    let pairs = |named: &Named| -> BTreeSet<(String, String)> {
        let pair = |(file, names): (&String, &BTreeSet<String>)| {
            names.iter().map(|name| (file.clone(), name.clone())).collect::<Vec<_>>()
        };
        named.iter().flat_map(pair).collect()
    };
    let (found, listed) = (pairs(found), pairs(table));
    let unlisted = found.difference(&listed).map(|(file, name)| {
        format!("{file} asks for Quirks::{name}, which the table in {DOCUMENT} does not say")
    });
    let unneeded = listed.difference(&found).map(|(file, name)| {
        format!("{DOCUMENT} says that {file} asks for Quirks::{name}; it does not")
    });
    unlisted.chain(unneeded).collect()
}

fn is_constant(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// Returns the text between two marks of the document.
fn section<'t>(text: &'t str, name: &str) -> anyhow::Result<&'t str> {
    let between =
        || text.split_once(&format!("<!-- {name} -->"))?.1.split_once(&format!("<!-- /{name} -->"));
    between()
        .map(|(section, _)| section)
        .with_context(|| format!("{DOCUMENT} has no <!-- {name} --> with its end"))
}

/// Returns what is written as code.
fn code_spans(text: &str) -> impl Iterator<Item = String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(pairs: &[(&str, &str)]) -> Named {
        let mut named = Named::new();
        for (file, name) in pairs {
            named.entry((*file).to_owned()).or_default().insert((*name).to_owned());
        }
        named
    }

    #[test]
    fn what_is_listed_and_done_is_no_finding() {
        let same = named(&[("a.rs", "ONE"), ("b.rs", "TWO")]);
        assert_eq!(compare(&same, &same), [""; 0]);
    }

    #[test]
    fn what_is_done_and_not_listed_is_a_finding() {
        let findings = compare(&named(&[("a.rs", "ONE")]), &named(&[]));
        assert_eq!(
            findings,
            ["a.rs asks for Quirks::ONE, which the table in docs/ARCHITECTURE.md does not say"]
        );
    }

    #[test]
    fn what_is_listed_and_not_done_is_a_finding() {
        let findings = compare(&named(&[]), &named(&[("a.rs", "ONE")]));
        assert_eq!(
            findings,
            ["docs/ARCHITECTURE.md says that a.rs asks for Quirks::ONE; it does not"]
        );
    }

    #[test]
    fn a_list_is_what_is_written_as_code_between_its_marks() {
        let text = "`x` <!-- l --> in `a.rs` and `b/c.rs`. <!-- /l --> `y`";
        let spans: Vec<String> = code_spans(section(text, "l").unwrap()).collect();
        assert_eq!(spans, ["a.rs", "b/c.rs"]);
    }
}
