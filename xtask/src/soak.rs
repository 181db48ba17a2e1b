//! `cargo xtask soak`: the random tests of the test command for as long as one likes.

use std::time::Instant;

use anyhow::{Context, bail};

use crate::postgres::{Cluster, Durability};
use crate::repository::cargo;

/// What is compared when the command line does not say.
const PAIRS: u64 = 2_000_000;
/// How long each reader is fuzzed when the command line does not say.
const SECONDS: u64 = 30;
/// How many rows are forged, and how many people erased, when the command line does not say.
const ROWS: u64 = 10_000;
const PEOPLE: u64 = 1_000;

/// Compares answers over random deployments, and both stores with the reference model.
pub(crate) fn equivalence(arguments: &[&str]) -> anyhow::Result<()> {
    let [pairs, seed] = options(arguments, [("--pairs", PAIRS), ("--seed", clock_seed())])?;
    let cluster = Cluster::start(Durability::None)?;
    let started = Instant::now();
    println!(
        "seed {seed}; repeat with: cargo xtask soak equivalence --pairs {pairs} --seed {seed}"
    );
    let mut tests = named("headcount-store-diesel", &["--release", "--test", "equivalence"]);
    tests
        .env("HEADCOUNT_TEST_POSTGRES", cluster.url())
        .env("HEADCOUNT_SOAK_PAIRS", pairs.to_string())
        .env("HEADCOUNT_SOAK_SEED", seed.to_string());
    crate::repository::run(&mut tests)
        .context("answers differ; see above for the seed and the smallest case")?;
    println!(
        "soak equivalence: {pairs} pairs, 0 differences, {:.0} s",
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Gives mutations of the corpus to everything that reads what clients send.
pub(crate) fn fuzz(arguments: &[&str]) -> anyhow::Result<()> {
    let [seconds, seed] = options(arguments, [("--seconds", SECONDS), ("--seed", clock_seed())])?;
    let started = Instant::now();
    println!("seed {seed}; repeat with: cargo xtask soak fuzz --seconds {seconds} --seed {seed}");
    let core = named("headcount-core", &["--release", "--test", "fuzz"]);
    // A release of the server takes minutes to build and would unseal no faster.
    let server = named("headcount-server", &["--bin", "headcount"]);
    for mut tests in [core, server] {
        tests
            .env("HEADCOUNT_SOAK_SECONDS", seconds.to_string())
            .env("HEADCOUNT_SOAK_SEED", seed.to_string());
        crate::repository::run(&mut tests)
            .context("an input breaks a promise; see above for it")?;
    }
    println!(
        "soak fuzz: {seconds} s for each target, {:.0} s in all",
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Forges rows of the record of changes without its key, and erases people from it.
pub(crate) fn forging(arguments: &[&str]) -> anyhow::Result<()> {
    let [rows, people, seed] =
        options(arguments, [("--rows", ROWS), ("--people", PEOPLE), ("--seed", clock_seed())])?;
    let cluster = Cluster::start(Durability::None)?;
    let started = Instant::now();
    println!("seed {seed}; repeat with: cargo xtask soak forging --rows {rows} --seed {seed}");
    let mut tests = named("headcount-store-diesel", &["--release", "--test", "forging"]);
    tests
        .env("HEADCOUNT_TEST_POSTGRES", cluster.url())
        .env("HEADCOUNT_SOAK_FORGERIES", rows.to_string())
        .env("HEADCOUNT_SOAK_ERASED", people.to_string())
        .env("HEADCOUNT_SOAK_SEED", seed.to_string());
    crate::repository::run(&mut tests).context("a forged row was not found; see above for it")?;
    println!(
        "soak forging: {rows} rows, {people} people, {:.0} s",
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

/// The tests named `soak`, which the test command runs shortly.
fn named(package: &str, what: &[&str]) -> std::process::Command {
    let mut tests = cargo(&["test", "--locked", "--package", package]);
    tests.args(what).args(["--", "soak", "--nocapture", "--test-threads=1"]);
    tests
}

/// Reads `--name NUMBER` pairs.
fn options<const N: usize>(
    arguments: &[&str],
    known: [(&str, u64); N],
) -> anyhow::Result<[u64; N]> {
    let mut values = known.map(|(_, default)| default);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let Some(at) = known.iter().position(|(name, _)| name == word) else {
            bail!("{word} is no option; there are {}", known.map(|(name, _)| name).join(", "));
        };
        let number = words.next().with_context(|| format!("{word} needs a number"))?;
        if let Some(value) = values.get_mut(at) {
            *value = number
                .replace('_', "")
                .parse()
                .with_context(|| format!("{word} needs a number"))?;
        }
    }
    Ok(values)
}

/// A seed that differs from run to run; it is printed.
fn clock_seed() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
    since % 1_000_000 * 1_000
}
