//! The chores of the Headcount repository. Start with [`mod@test`], the command that runs every test.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a chore prints")]

mod apt;
mod bench;
mod conformance;
mod docs;
mod fixture;
mod lint;
mod outcome;
mod pictures;
mod postgres;
mod python;
mod repository;
mod soak;
mod test;
mod tidy;

use std::process::ExitCode;

use repository::{cargo, run};

const USAGE: &str = "usage: cargo xtask COMMAND

  test [--only sqlite] [FILTER]   run every test; starts a PostgreSQL of its own
  conformance                     run every test and write docs/reference/conformance.md
  bench [--users N] [--database postgres] [--only W1,W2]
                                  measure the release and write docs/reference/performance.md
  bench --against URL TOKEN       run the same on another SCIM server
  bench --check | --record        compare or record the instruction counts of hot functions
  tidy                            check what the architecture promises
  lint                            check licenses, sources, advisories, unused dependencies, spelling
  docs                            write the pages that are made from the code
  fixture BINARY NAME             keep a database of a release for the tests of upgrades
  screenshots                     take the pictures of the console that documents show
  ci                              format, clippy, documentation, tidy and tests, as CI does
  soak equivalence [--pairs N] [--seed S]
                                  evaluator, SQLite, PostgreSQL and the model give the same answers
  soak fuzz [--seconds 30] [--seed S]
                                  each reader of what clients send, on mutations of the corpus
  soak forging [--rows 10000] [--people 1000] [--seed S]
                                  whoever writes to the database without the key of the audit is found
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["test", rest @ ..] => test(rest),
        ["conformance"] => conformance::run(),
        ["bench", rest @ ..] => bench::bench(rest),
        ["tidy"] => tidy::run(),
        ["lint"] => lint::lint(),
        ["docs"] => docs::run(),
        ["fixture", rest @ ..] => fixture::run(rest),
        ["screenshots"] => pictures::run(),
        ["ci"] => ci(),
        ["soak", "equivalence", rest @ ..] => soak::equivalence(rest),
        ["soak", "fuzz", rest @ ..] => soak::fuzz(rest),
        ["soak", "forging", rest @ ..] => soak::forging(rest),
        _ => Err(anyhow::anyhow!("{USAGE}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs tests. A run of all of them also proves the checklist: see [`conformance`].
fn test(arguments: &[&str]) -> anyhow::Result<()> {
    let outcomes = test::run(arguments)?;
    if arguments.is_empty() { conformance::compare(&outcomes.all()) } else { Ok(()) }
}

fn ci() -> anyhow::Result<()> {
    run(&mut cargo(&["fmt", "--all", "--", "--check"]))?;
    run(&mut cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--locked",
        "--",
        "-D",
        "warnings",
    ]))?;
    lint::documentation()?;
    tidy::run()?;
    test(&[])
}
