//! `cargo xtask tidy`: what the architecture promises, checked.

mod arrows;
mod claims;
mod layers;
mod modules;
mod sources;

use anyhow::bail;

/// Runs every check and prints all findings, not only the first.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut findings = Vec::new();
    findings.extend(arrows::check()?);
    findings.extend(layers::check()?);
    findings.extend(claims::check()?);
    findings.extend(sources::check()?);
    findings.extend(crate::docs::check()?);
    findings.extend(crate::conformance::exercised::check()?);
    if findings.is_empty() {
        println!("tidy: nothing to say");
        return Ok(());
    }
    for finding in &findings {
        println!("tidy: {finding}");
    }
    bail!("{} finding(s)", findings.len())
}
