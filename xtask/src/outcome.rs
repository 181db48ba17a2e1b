//! What a run of the tests said, line by line.

use std::collections::BTreeMap;

/// Groups of tests by what they prove, told from the name of the test binary.
const GROUPS: [(&str, &str); 29] = [
    ("replay", "IdP replay"),
    ("third_party", "suites of others"),
    ("console", "browser and console"),
    ("protocol", "end to end"),
    ("command_line", "end to end"),
    ("replicas", "end to end"),
    ("readme", "end to end"),
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
        let words = self.name.split("::");
        let last = self.name.rsplit(['_', ':']).next();
        let mut words = words.chain(last);
        words.find_map(|word| {
            ["memory", "sqlite", "postgres"].into_iter().find(|store| *store == word)
        })
    }

    fn group(&self) -> String {
        let (_, group) =
            GROUPS.iter().find(|(part, _)| self.binary.contains(part)).unwrap_or(&("", "other"));
        self.store().map_or_else(|| (*group).to_owned(), |store| format!("{group}, {store}"))
    }
}

/// Collects outcomes from the lines that Cargo and the test binaries print.
#[derive(Default)]
pub(crate) struct Outcomes {
    binary: String,
    all: Vec<Outcome>,
}

impl Outcomes {
    /// Takes one line of either stream.
    pub(crate) fn line(&mut self, line: &str) {
        if let Some(running) = line.trim_start().strip_prefix("Running ") {
            let path = running.split(['(', ')']).nth(1).unwrap_or(running);
            let file = path.rsplit('/').next().unwrap_or_default();
            self.binary = file.rsplit_once('-').map_or(file, |(name, _)| name).to_owned();
        }
        let Some(test) = line.strip_prefix("test ") else { return };
        let ended = [("ok", true), ("FAILED", false)]
            .into_iter()
            .find_map(|(word, passed)| Some((test.strip_suffix(word)?, passed)));
        let Some((name, passed)) = ended else { return };
        let Some(name) = name.trim_end().strip_suffix("...") else { return };
        let (binary, name) = (self.binary.clone(), name.trim_end().to_owned());
        self.all.push(Outcome { binary, name, passed });
    }

    /// Every outcome, in the order of the run.
    pub(crate) fn all(&self) -> &[Outcome] {
        &self.all
    }

    /// Prints how many passed, per group.
    pub(crate) fn print(&self) {
        let mut groups: BTreeMap<String, usize> = BTreeMap::new();
        for outcome in self.all.iter().filter(|outcome| outcome.passed) {
            *groups.entry(outcome.group()).or_default() += 1;
        }
        println!("\ntests passed, by group:");
        for (group, count) in &groups {
            println!("  {count:5}  {group}");
        }
        println!("  {:5}  in all", groups.values().sum::<usize>());
    }
}
