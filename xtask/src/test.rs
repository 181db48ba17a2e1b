//! `cargo xtask test`: every test there is, with what they need.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Instant;

use anyhow::bail;

use crate::postgres::Cluster;
use crate::{apt, cargo, python};

/// Groups of tests by what they prove, told from the name of the test binary or of the test.
const GROUPS: [(&str, &str); 9] = [
    ("replay", "IdP replay"),
    ("third_party", "suites of others"),
    ("protocol", "end to end"),
    ("command_line", "end to end"),
    ("replicas", "end to end"),
    ("readme", "end to end"),
    ("conformance", "provider contract"),
    ("schema", "store"),
    ("", "unit and data"),
];

/// Runs the tests; arguments are `--only sqlite` and a filter for names.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let started = Instant::now();
    let (only_sqlite, filter) = match arguments {
        ["--only", "sqlite", rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    if filter.len() > 1 || filter.iter().any(|word| word.starts_with('-')) {
        bail!("cargo xtask test [--only sqlite] [FILTER]");
    }
    // The README's first steps are tested as they are written.
    apt::ensure("curl", "curl")?;
    let environment = python::environment()?;
    let cluster = if only_sqlite { None } else { Some(Cluster::start()?) };
    crate::run(&mut cargo(&["build", "--locked", "--package", "headcount-server"]))?;
    let mut tests = cargo(&["test", "--locked", "--workspace", "--no-fail-fast", "--"]);
    tests.args(filter).env("HEADCOUNT_TEST_VENV", environment);
    if let Some(cluster) = &cluster {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths =
            std::iter::once(cluster.binaries().to_owned()).chain(std::env::split_paths(&path));
        tests
            .env("HEADCOUNT_TEST_POSTGRES", cluster.url())
            .env("PATH", std::env::join_paths(paths)?);
    }
    if only_sqlite {
        tests.args(["--skip", "postgres"]);
    }
    // Cargo says on standard error which binary runs; both streams have to be read as one.
    let mut child = tests.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        bail!("cargo test has no output")
    };
    let (sender, lines) = std::sync::mpsc::channel();
    let other = sender.clone();
    std::thread::spawn(move || forward(stderr, &other));
    std::thread::spawn(move || forward(stdout, &sender));
    let mut count = Count::default();
    for line in lines {
        println!("{line}");
        count.line(&line);
    }
    let status = child.wait()?;
    count.print();
    println!("{:.0} s", started.elapsed().as_secs_f64());
    if !status.success() {
        bail!("some tests failed");
    }
    if count.total() == 0 {
        bail!("no test ran");
    }
    Ok(())
}

fn forward(stream: impl std::io::Read, lines: &std::sync::mpsc::Sender<String>) {
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if lines.send(line).is_err() {
            return;
        }
    }
}

/// Counts passed tests per group.
#[derive(Default)]
struct Count {
    binary: String,
    passed: Vec<(String, usize)>,
}

impl Count {
    fn line(&mut self, line: &str) {
        if let Some(running) = line.trim_start().strip_prefix("Running ") {
            let path = running.split(['(', ')']).nth(1).unwrap_or(running);
            let file = path.rsplit('/').next().unwrap_or_default();
            self.binary = file.rsplit_once('-').map_or(file, |(name, _)| name).to_owned();
        }
        let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... ok"))
        else {
            return;
        };
        let (_, group) =
            GROUPS.iter().find(|(part, _)| self.binary.contains(part)).unwrap_or(&("", "other"));
        let store = ["memory", "sqlite", "postgres"]
            .into_iter()
            .find(|store| name.split("::").any(|part| part == *store));
        let group = store.map_or_else(|| (*group).to_owned(), |store| format!("{group}, {store}"));
        match self.passed.iter_mut().find(|(known, _)| *known == group) {
            Some((_, count)) => *count += 1,
            None => self.passed.push((group, 1)),
        }
    }

    fn total(&self) -> usize {
        self.passed.iter().map(|(_, count)| count).sum()
    }

    fn print(&self) {
        println!("\ntests passed, by group:");
        let mut groups = self.passed.clone();
        groups.sort();
        for (group, count) in groups {
            println!("  {count:5}  {group}");
        }
        println!("  {:5}  in all", self.total());
    }
}
