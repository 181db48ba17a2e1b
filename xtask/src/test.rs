//! `cargo xtask test`: every test, with the programs that tests need.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Instant;

use anyhow::bail;

use crate::outcome::Outcomes;
use crate::postgres::{Cluster, Durability};
use crate::repository::cargo;
use crate::{apt, python};

/// The whole workspace with everything that can be built into the server, so that everything is tested.
const WORKSPACE: [&str; 4] = ["--locked", "--workspace", "--features", "headcount-server/otel"];

/// Runs the tests and returns their outcomes; arguments are `--only sqlite` and a filter for names.
///
/// # Errors
///
/// Fails when a test failed.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<Outcomes> {
    let (outcomes, passed) = outcomes(arguments)?;
    if !passed {
        bail!("some tests failed");
    }
    Ok(outcomes)
}

/// Runs every test and returns the outcomes, also when some failed.
pub(crate) fn run_to_the_end() -> anyhow::Result<Outcomes> {
    Ok(outcomes(&[])?.0)
}

/// Runs the tests and returns their outcomes, and whether all passed.
fn outcomes(arguments: &[&str]) -> anyhow::Result<(Outcomes, bool)> {
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
    apt::ensure("chromium", "chromium")?;
    // Databases of earlier releases are kept compressed.
    apt::ensure("xz", "xz-utils")?;
    let environment = python::environment()?;
    if !only_sqlite {
        apt::ensure("pgbouncer", "pgbouncer")?;
    }
    let cluster = if only_sqlite { None } else { Some(Cluster::start(Durability::None)?) };
    // Tests over HTTP start the binary. Its libraries are built once, for it and for the tests: both commands
    // have the same targets and features.
    crate::repository::run(cargo(&["build", "--all-targets"]).args(WORKSPACE))?;
    let mut tests = cargo(&["test", "--no-fail-fast"]);
    tests.args(WORKSPACE).arg("--");
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
    let mut outcomes = Outcomes::default();
    for line in lines {
        println!("{line}");
        outcomes.line(&line);
    }
    let status = child.wait()?;
    outcomes.print();
    println!("{:.0} s", started.elapsed().as_secs_f64());
    if outcomes.all().is_empty() {
        bail!("no test ran");
    }
    if !outcomes.are_paired() {
        bail!("cannot assign tests to binaries: one did not start, or a line looks like Cargo's");
    }
    Ok((outcomes, status.success()))
}

fn forward(stream: impl std::io::Read, lines: &std::sync::mpsc::Sender<String>) {
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if lines.send(line).is_err() {
            return;
        }
    }
}
