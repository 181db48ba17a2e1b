//! Instruction counts of hot functions, compared with those that are recorded.
//!
//! Callgrind counts instructions, so that the result depends neither on the machine's speed nor on what
//! else it does. A function runs some times and then twice as often: the difference has no start in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::apt;
use crate::repository::root;

/// The functions that `headcount-bench hot` knows.
const NAMES: [&str; 6] = ["filter", "normalize", "patch", "splice", "project", "token"];
/// How often each runs, at least.
const TIMES: u64 = 200;
/// How much more than recorded is still the same: hash maps differ from run to run, compilers from
/// release to release.
const TOLERANCE: f64 = 0.02;

/// Fails when a function needs more instructions than recorded.
pub(super) fn check(binary: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file()).context("no counts are recorded")?;
    let recorded: BTreeMap<String, u64> = toml::from_str(&text)?;
    let mut worse = Vec::new();
    for (name, count) in counts(binary)? {
        let before = *recorded.get(&name).with_context(|| format!("{name} is not recorded"))?;
        let growth = percent(count, before);
        println!("{name:<10}{count:>9} instructions, recorded {before:>9}: {growth:+.1} %");
        if growth > TOLERANCE * 100.0 {
            worse.push(name);
        }
    }
    if worse.is_empty() {
        return Ok(());
    }
    bail!(
        "slower than recorded: {}; if that is the price of something, record it with `cargo xtask bench --record`",
        worse.join(", ")
    )
}

/// Writes down what the functions need now.
pub(super) fn record(binary: &Path) -> anyhow::Result<()> {
    let counts = counts(binary)?;
    let rustc = Command::new("rustc").arg("--version").output().context("rustc cannot be run")?;
    let mut text = format!(
        "# Instructions of one run of each hot function, as callgrind counts them.\n\
         # Recorded by `cargo xtask bench --record` with {}",
        String::from_utf8_lossy(&rustc.stdout)
    );
    for (name, count) in &counts {
        println!("{name:<10}{count:>9} instructions");
        text.push_str(&format!("{name} = {count}\n"));
    }
    std::fs::write(file(), text)?;
    Ok(())
}

fn file() -> PathBuf {
    root().join("crates/bench/instructions.toml")
}

fn percent(now: u64, before: u64) -> f64 {
    let exact = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    (exact(now) / exact(before.max(1)) - 1.0) * 100.0
}

fn counts(binary: &Path) -> anyhow::Result<BTreeMap<String, u64>> {
    apt::ensure("valgrind", "valgrind")?;
    let mut counts = BTreeMap::new();
    for name in NAMES {
        let once = instructions(binary, name, TIMES)?;
        let twice = instructions(binary, name, 2 * TIMES)?;
        let each = twice.checked_sub(once).context("twice as much took less")? / TIMES;
        counts.insert(name.to_owned(), each);
    }
    Ok(counts)
}

fn instructions(binary: &Path, name: &str, times: u64) -> anyhow::Result<u64> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(binary);
    let output = command.args(["hot", name, &times.to_string()]).output();
    let output = output.context("valgrind cannot be run")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{name}: {said}");
    }
    collected(&said).with_context(|| format!("callgrind said nothing about {name}: {said}"))
}

/// Finds `Collected : 123` in what callgrind says.
fn collected(said: &str) -> Option<u64> {
    let (_, rest) = said.split_once("Collected :")?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callgrind_is_understood() {
        assert_eq!(collected("==7== \n==7== Collected : 12345\n==7==\n"), Some(12_345));
        assert_eq!(collected("nothing"), None);
    }

    #[test]
    fn growth_is_in_percent() {
        assert!((percent(110, 100) - 10.0).abs() < 1e-9);
    }
}
