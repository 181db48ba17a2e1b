//! The outcomes of a run of the tests, read line by line.

use std::collections::BTreeMap;

/// Groups of tests by what they prove, by a part of the name of the test binary.
const GROUPS: [(&str, &str); 30] = [
    ("replay", "IdP replay"),
    ("third_party", "suites of others"),
    ("console", "browser and console"),
    ("protocol", "end to end"),
    ("command_line", "end to end"),
    ("replicas", "end to end"),
    ("readme", "end to end"),
    ("upgrade", "end to end"),
    ("statements", "end to end"),
    ("pooler", "end to end"),
    ("provisioning_log", "end to end"),
    ("canary", "end to end"),
    ("traces", "end to end"),
    ("paging", "end to end"),
    ("groups", "end to end"),
    ("filters", "end to end"),
    ("privacy", "end to end"),
    ("schemas", "end to end"),
    ("wire", "end to end"),
    ("access", "end to end"),
    ("discovery", "end to end"),
    ("audit", "end to end"),
    ("events", "end to end"),
    ("admin", "end to end"),
    ("checklist", "conformance"),
    ("equivalence", "equivalence"),
    ("fuzz", "fuzz"),
    ("conformance", "provider contract"),
    ("schema", "store"),
    ("", "unit and data"),
];

/// One test and how it ended.
pub(crate) struct Outcome {
    /// The test binary, without its hash.
    pub(crate) binary: String,
    /// The test as the binary names it.
    pub(crate) name: String,
    /// Whether it passed.
    pub(crate) passed: bool,
}

impl Outcome {
    /// The store a test speaks of; `None` when it needs none.
    pub(crate) fn store(&self) -> Option<&'static str> {
        let store =
            |word: &str| ["memory", "sqlite", "postgres"].into_iter().find(|store| *store == word);
        // A module or the last word names it; else a word in the middle, as in `evt_018_postgres_…`.
        let last = self.name.rsplit(['_', ':']).next();
        let modules = self.name.split("::").chain(last).find_map(store);
        modules.or_else(|| self.name.split(['_', ':']).find_map(store))
    }

    fn group(&self) -> String {
        let (_, group) =
            GROUPS.iter().find(|(part, _)| self.binary.contains(part)).unwrap_or(&("", "other"));
        self.store().map_or_else(|| (*group).to_owned(), |store| format!("{group}, {store}"))
    }
}

/// Collects outcomes from the lines that Cargo and the test binaries print.
///
/// Cargo names each binary on standard error, and the binary reports its tests on standard output. Either
/// line may be read first, so the first binary that is named belongs to the first report, and so on.
#[derive(Default)]
pub(crate) struct Outcomes {
    binaries: Vec<String>,
    reports: Vec<Vec<(String, bool)>>,
}

impl Outcomes {
    /// Takes one line of either stream.
    pub(crate) fn line(&mut self, line: &str) {
        let line = line.trim_end();
        if let Some(running) = line.trim_start().strip_prefix("Running ") {
            let path = running.split(['(', ')']).nth(1).unwrap_or(running);
            let file = path.rsplit('/').next().unwrap_or_default();
            self.binaries.push(file.rsplit_once('-').map_or(file, |(name, _)| name).to_owned());
        } else if let Some(of) = line.trim_start().strip_prefix("Doc-tests ") {
            self.binaries.push(of.to_owned());
        } else if line.starts_with("running ")
            && (line.ends_with(" tests") || line.ends_with(" test"))
        {
            self.reports.push(Vec::new());
        }
        let Some(test) = line.strip_prefix("test ") else { return };
        let ended = [("ok", true), ("FAILED", false)]
            .into_iter()
            .find_map(|(word, passed)| Some((test.strip_suffix(word)?, passed)));
        let Some((name, passed)) = ended else { return };
        let Some(name) = name.trim_end().strip_suffix("...") else { return };
        if let Some(report) = self.reports.last_mut() {
            report.push((name.trim_end().to_owned(), passed));
        }
    }

    /// Returns whether there is one report for each binary that was named.
    pub(crate) fn are_paired(&self) -> bool {
        self.binaries.len() == self.reports.len()
    }

    /// Every outcome, in the order of the run.
    pub(crate) fn all(&self) -> Vec<Outcome> {
        let outcomes = self.binaries.iter().zip(&self.reports).flat_map(|(binary, report)| {
            report.iter().map(|(name, passed)| Outcome {
                binary: binary.clone(),
                name: name.clone(),
                passed: *passed,
            })
        });
        outcomes.collect()
    }

    /// Prints how many passed, per group.
    pub(crate) fn print(&self) {
        let mut groups: BTreeMap<String, usize> = BTreeMap::new();
        for outcome in self.all().iter().filter(|outcome| outcome.passed) {
            *groups.entry(outcome.group()).or_default() += 1;
        }
        println!("\ntests passed, by group:");
        for (group, count) in &groups {
            println!("  {count:5}  {group}");
        }
        println!("  {:5}  in all", groups.values().sum::<usize>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_names_its_store_anywhere() {
        for (name, store) in [
            ("sqlite::flt_001_by_postgres_rules", Some("sqlite")),
            ("evt_012_nothing::postgres", Some("postgres")),
            ("ext_018_schemas_change_on_sqlite", Some("sqlite")),
            ("evt_018_postgres_no_change_is_lost", Some("postgres")),
            ("memory::names", Some("memory")),
            ("aut_008_tokens_have_256_bits", None),
        ] {
            let outcome = Outcome { binary: String::new(), name: name.to_owned(), passed: true };
            assert_eq!(outcome.store(), store, "{name}");
        }
    }

    #[test]
    fn a_test_belongs_to_its_binary_whichever_stream_is_read_first() {
        let errors = [
            "     Running unittests src/lib.rs (target/debug/deps/core-1a2b)",
            "   Doc-tests other",
        ];
        let output = [
            "running 2 tests",
            "test a_01 ... ok",
            "test b ... FAILED",
            "",
            "running 1 test",
            "test c   ... ok",
        ];
        let late: Vec<&str> = output.into_iter().chain(errors).collect();
        let early: Vec<&str> = errors.into_iter().chain(output).collect();
        for lines in [late, early] {
            let mut outcomes = Outcomes::default();
            lines.iter().for_each(|line| outcomes.line(line));
            assert!(outcomes.are_paired());
            let all = outcomes.all();
            let found = all.iter().map(|one| (one.binary.as_str(), one.name.as_str(), one.passed));
            let expected = [("core", "a_01", true), ("core", "b", false), ("other", "c", true)];
            assert_eq!(found.collect::<Vec<_>>(), expected);
        }
    }
}
