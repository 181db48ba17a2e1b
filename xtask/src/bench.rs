//! `cargo xtask bench`: builds the release, measures it, and writes the page with the results.

mod guard;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail};

use crate::postgres::{Cluster, Durability};
use crate::repository::{cargo, root, run, target};

const USAGE: &str = "cargo xtask bench [--users N] [--database postgres] [--only W1,W2]
                  [--against URL TOKEN] [--check | --record]";
/// Where reports are kept.
const DIRECTORY: &str = "docs/reference";

#[derive(Default)]
struct Options<'a> {
    users: Option<&'a str>,
    postgres: bool,
    only: Option<&'a str>,
    against: Option<(&'a str, &'a str)>,
}

/// Measures, or with `--check` compares the instruction counts of hot functions with the recorded ones.
pub(crate) fn bench(arguments: &[&str]) -> anyhow::Result<()> {
    match arguments {
        ["--check"] => return guard::check(&build()?),
        ["--record"] => return guard::record(&build()?),
        _ => {}
    }
    let options = options(arguments)?;
    // Only `records` measures what the record of changes costs, and needs a server without one.
    let plain = match options.only {
        Some(only) if !only.split(',').any(|only| only == "records") => None,
        _ if options.against.is_some() => None,
        _ => Some(build_plain()?),
    };
    let binary = build()?;
    let mut measure = Command::new(&binary);
    measure.arg("run");
    if let Some(users) = options.users {
        measure.args(["--users", users]);
    }
    if let Some(only) = options.only {
        measure.args(["--only", only]);
    }
    let scratch = target().join("bench");
    std::fs::create_dir_all(&scratch)?;
    if let Some((url, token)) = options.against {
        let json = scratch.join("against.json");
        return run(measure.args(["--against", url, token]).arg("--json").arg(json));
    }
    let directory = std::env::temp_dir().join(format!("headcount-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let cluster = options.postgres.then(|| Cluster::start(Durability::Synced)).transpose()?;
    if let Some(cluster) = &cluster {
        measure.args(["--postgres", &cluster.url()]);
    }
    let name = if options.postgres { "postgres" } else { "sqlite" };
    let report = match options.only {
        // A part of a run is no report to publish.
        Some(_) => scratch.join("part.json"),
        None => {
            let users = options.users.unwrap_or("1000");
            root().join(DIRECTORY).join("performance").join(format!("{name}-{users}.json"))
        }
    };
    if let Some(parent) = report.parent() {
        std::fs::create_dir_all(parent)?;
    }
    measure.arg("--binary").arg(target().join("release/headcount"));
    if let Some(plain) = plain {
        measure.arg("--plain").arg(plain);
    }
    measure.arg("--directory").arg(&directory);
    measure.args(["--commit", &commit()?]).arg("--json").arg(report);
    let result = run(&mut measure);
    drop(std::fs::remove_dir_all(&directory));
    result?;
    match options.only {
        Some(_) => Ok(()),
        None => run(Command::new(&binary).arg("page").arg(DIRECTORY)),
    }
}

fn options<'a>(arguments: &[&'a str]) -> anyhow::Result<Options<'a>> {
    let mut options = Options::default();
    let mut words = arguments.iter().copied();
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} wants a value: {USAGE}"));
        match word {
            "--users" => options.users = Some(value()?),
            "--database" => match value()? {
                "postgres" => options.postgres = true,
                "sqlite" => options.postgres = false,
                other => bail!("--database {other}: there are sqlite and postgres"),
            },
            "--only" => options.only = Some(value()?),
            "--against" => options.against = Some((value()?, value()?)),
            _ => bail!("{USAGE}"),
        }
    }
    Ok(options)
}

/// Builds the server and the benchmark, and returns the path of the latter.
fn build() -> anyhow::Result<PathBuf> {
    let packages = ["--package", "headcount-server", "--package", "headcount-bench"];
    run(cargo(&["build", "--release", "--locked"]).args(packages))?;
    Ok(target().join("release/headcount-bench"))
}

/// Builds a server that leaves no record of changes, puts it aside, and returns its path.
fn build_plain() -> anyhow::Result<PathBuf> {
    run(&mut cargo(&[
        "build",
        "--release",
        "--locked",
        "--package",
        "headcount-server",
        "--features",
        "headcount-store-diesel/unrecorded",
    ]))?;
    let plain = target().join("bench/headcount-plain");
    std::fs::create_dir_all(target().join("bench"))?;
    std::fs::copy(target().join("release/headcount"), &plain).context("the binary is put aside")?;
    Ok(plain)
}

/// What was measured: the commit, and whether more than that was.
fn commit() -> anyhow::Result<String> {
    let git = |arguments: &[&str]| -> anyhow::Result<String> {
        let output = Command::new("git").args(arguments).current_dir(root()).output();
        let output = output.context("git cannot be run")?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=10", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--", "crates", "Cargo.lock"])?;
    Ok(if changed.is_empty() { commit } else { format!("{commit} with changes") })
}
