//! `cargo xtask lint`: what no compiler looks at. Licenses, sources and advisories of dependencies,
//! dependencies that nothing uses, and spelling.

use std::process::{Command, Stdio};

use anyhow::bail;

use crate::repository::{cargo, root, run};

/// The programs, the crates that install them, and the versions that this repository is checked with.
const TOOLS: [(&str, &str, &str); 3] = [
    ("cargo-deny", "cargo-deny", "0.20.2"),
    ("cargo-machete", "cargo-machete", "0.9.2"),
    ("typos", "typos-cli", "1.52.0"),
];

/// Runs every check, also when an earlier one failed.
///
/// # Errors
///
/// Fails when a check fails, and when a tool is missing: the error names the command that installs it.
pub(crate) fn lint() -> anyhow::Result<()> {
    let missing: Vec<String> =
        TOOLS.into_iter().filter(|(program, ..)| !is_there(program)).map(install).collect();
    if !missing.is_empty() {
        bail!("a tool is missing; install it with: {}", missing.join(" && "));
    }
    let checks = [
        run(&mut cargo(&["deny", "check", "licenses", "bans", "sources"])),
        advisories(),
        run(&mut cargo(&["machete"])),
        run(&mut Command::new("typos")),
    ];
    let failed: Vec<String> =
        checks.into_iter().filter_map(Result::err).map(|error| error.to_string()).collect();
    if failed.is_empty() { Ok(()) } else { bail!("{}", failed.join("; ")) }
}

fn is_there(program: &str) -> bool {
    let version = Command::new(program).arg("--version").stdout(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

fn install((_, name, version): (&str, &str, &str)) -> String {
    format!("cargo install --locked {name}@{version}")
}

/// Compares dependencies with the advisory database, where that can be fetched.
fn advisories() -> anyhow::Result<()> {
    let fetched = cargo(&["deny", "fetch", "db"]).stderr(Stdio::null()).status();
    if !fetched.is_ok_and(|status| status.success()) {
        eprintln!("lint: advisories were NOT checked: the advisory database cannot be reached");
        return Ok(());
    }
    run(&mut cargo(&["deny", "check", "--disable-fetch", "advisories"]))
}

/// Builds the documentation of every crate; a link that leads nowhere is an error.
pub(crate) fn documentation() -> anyhow::Result<()> {
    let mut doc = cargo(&["doc", "--no-deps", "--workspace", "--all-features", "--locked"]);
    run(doc.env("RUSTDOCFLAGS", "-D warnings").current_dir(root()))
}
