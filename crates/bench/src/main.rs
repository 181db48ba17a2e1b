//! The benchmark of Headcount: servers, load, floors and the page with the results.
//!
//! `cargo xtask bench` builds and calls it. It depends on the store, because floor (b) is the store
//! without a server around it; nothing depends on it. Start with [`run`], then a workload such as
//! [`reads`].

#![allow(
    clippy::indexing_slicing,
    reason = "JSON of an answer is read by name: what is missing is null, which no check takes for right"
)]

mod by_hand;
mod client;
mod data;
mod database;
mod floor;
mod groups;
mod hot;
mod life;
mod load;
mod machine;
mod output;
mod page;
mod process;
mod reads;
mod records;
mod report;
mod run;
mod seed;
mod server;
mod statements;
mod sync;
mod workload;
mod writes;

use std::path::{Path, PathBuf, absolute};
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::workload::Options;

const USAGE: &str = "usage: headcount-bench COMMAND

  run --binary FILE --directory DIRECTORY [--plain FILE] [--users N] [--postgres URL]
      [--only W1,W2] [--commit TEXT] [--json FILE] [--rounds N] [--seconds S]
  run --against URL TOKEN [--users N] [--only W1,W2] [--json FILE]
  floor                     serve constants, as floor (a)
  hot NAME TIMES            run one of the functions whose instructions are counted
  page DIRECTORY            write performance.md from the reports in DIRECTORY/performance
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["run", rest @ ..] => run_all(rest),
        ["floor"] => floor::serve(),
        ["hot", name, times] => hot::run(name, times.parse().unwrap_or(1)),
        ["page", directory] => page::write(Path::new(directory)),
        _ => Err(anyhow::anyhow!("{USAGE}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(&format!("headcount-bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run_all(words: &[&str]) -> anyhow::Result<()> {
    let (options, json) = options(words)?;
    let report = run::run(&options)?;
    output::line(&report.tables());
    if let Some(file) = json {
        std::fs::write(&file, serde_json::to_string_pretty(&report)? + "\n")
            .with_context(|| file.display().to_string())?;
    }
    Ok(())
}

fn options(words: &[&str]) -> anyhow::Result<(Options, Option<PathBuf>)> {
    let mut options = Options {
        users: 1_000,
        against: None,
        binary: PathBuf::new(),
        plain: None,
        postgres: None,
        directory: PathBuf::new(),
        only: Vec::new(),
        commit: "unknown".to_owned(),
        rounds: 5,
        seconds: 0.5,
    };
    let mut json = None;
    let mut words = words.iter().copied();
    while let Some(flag) = words.next() {
        let mut value = || words.next().with_context(|| format!("{flag} wants a value\n{USAGE}"));
        match flag {
            "--users" => options.users = value()?.parse().context("--users")?,
            "--against" => options.against = Some((value()?.to_owned(), value()?.to_owned())),
            "--binary" => options.binary = absolute(value()?)?,
            "--directory" => options.directory = absolute(value()?)?,
            "--plain" => options.plain = Some(absolute(value()?)?),
            "--postgres" => options.postgres = Some(value()?.to_owned()),
            "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
            "--commit" => value()?.clone_into(&mut options.commit),
            "--json" => json = Some(PathBuf::from(value()?)),
            "--rounds" => options.rounds = value()?.parse().context("--rounds")?,
            "--seconds" => options.seconds = value()?.parse().context("--seconds")?,
            _ => bail!("{USAGE}"),
        }
    }
    let complete = !options.binary.as_os_str().is_empty() && options.directory.is_absolute();
    if options.against.is_none() && !complete {
        bail!("{USAGE}");
    }
    Ok((options, json))
}
