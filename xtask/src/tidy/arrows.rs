//! Which crate may depend on which: the table in `docs/ARCHITECTURE.md` against what cargo says.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

use crate::repository::root;

const DOCUMENT: &str = "docs/ARCHITECTURE.md";

/// Crates that only one of ours may depend on.
const RESERVED: [(&str, &[&str]); 4] = [
    ("argon2", &["headcount-token-admin"]),
    ("diesel", &["headcount-store-diesel", "headcount-bench"]),
    (
        "actix-web",
        &["headcount-http-api", "headcount-console", "headcount-server", "headcount-bench"],
    ),
    ("clap", &["headcount-server"]),
];
/// Crates that must not appear anywhere in the tree.
const BANNED: [(&str, &str); 4] = [
    ("actix-governor", "its licence is GPL-3.0"),
    ("native-tls", "TLS is rustls"),
    ("aws-lc-rs", "rustls works with ring, and one cryptography library is enough"),
    ("rusqlite", "only one crate may link SQLite"),
];

pub(super) fn check() -> anyhow::Result<Vec<String>> {
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).exec()?;
    let allowed = table()?;
    let ours: Vec<&Package> = metadata.workspace_packages();
    let mut findings = Vec::new();
    for package in &ours {
        let name = short(&package.name);
        let Some(row) = allowed.get(name) else {
            findings.push(format!("{DOCUMENT} does not say what the crate {name} may depend on"));
            continue;
        };
        for dependency in &package.dependencies {
            let target = short(&dependency.name);
            let is_ours = ours.iter().any(|package| package.name.as_str() == dependency.name);
            // Tests may look at their neighbours; the product may not.
            let for_tests = dependency.kind == DependencyKind::Development;
            if is_ours && !for_tests && !row.contains(target) {
                findings
                    .push(format!("{name} depends on {target}, which {DOCUMENT} does not allow"));
            }
            let reserved = RESERVED.iter().find(|(crate_name, _)| *crate_name == dependency.name);
            if let Some((crate_name, owners)) = reserved
                && !for_tests
                && !owners.contains(&package.name.as_str())
            {
                findings.push(format!(
                    "{name} depends on {crate_name}, which only {} may",
                    owners.join(", ")
                ));
            }
        }
    }
    for name in allowed
        .keys()
        .filter(|name| !ours.iter().any(|package| short(&package.name) == name.as_str()))
    {
        findings.push(format!("{DOCUMENT} speaks of a crate {name} that does not exist"));
    }
    findings.extend(banned(&metadata));
    findings.extend(unrecorded(&ours));
    Ok(findings)
}

/// A feature of the store for benchmarks: no change is recorded. Only `cargo xtask bench` may name it.
const UNRECORDED: &str = "unrecorded";

/// Finds what would build it into a product: another feature, or a dependency.
fn unrecorded(ours: &[&Package]) -> Vec<String> {
    let mut findings = Vec::new();
    for package in ours {
        for (feature, enables) in &package.features {
            if enables.iter().any(|name| name.split('/').any(|part| part == UNRECORDED)) {
                findings.push(format!(
                    "the feature {feature} of {} enables {UNRECORDED}, which leaves no record of changes",
                    package.name
                ));
            }
        }
        for dependency in &package.dependencies {
            if dependency.features.iter().any(|name| name == UNRECORDED) {
                findings.push(format!(
                    "{} depends on {} with {UNRECORDED}, which leaves no record of changes",
                    package.name, dependency.name
                ));
            }
        }
    }
    findings
}

fn short(name: &str) -> &str {
    name.strip_prefix("headcount-").unwrap_or(name)
}

fn banned(metadata: &Metadata) -> Vec<String> {
    let present =
        |name: &str| metadata.packages.iter().any(|package| package.name.as_str() == name);
    let reasons = BANNED.iter().filter(|(name, _)| present(name));
    reasons.map(|(name, why)| format!("{name} is in the tree: {why}")).collect()
}

/// Reads the rows of the table between its two marks: crate, then the crates of ours it depends on.
fn table() -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
    let text = std::fs::read_to_string(root().join(DOCUMENT)).context(DOCUMENT)?;
    let (_, rest) = text
        .split_once("<!-- arrows -->")
        .with_context(|| format!("{DOCUMENT} has no <!-- arrows -->"))?;
    let (rows, _) = rest
        .split_once("<!-- /arrows -->")
        .with_context(|| format!("{DOCUMENT} has no <!-- /arrows -->"))?;
    let mut table = BTreeMap::new();
    for row in rows.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = row.trim_matches('|').split('|').map(str::trim);
        let name = cells.next().unwrap_or_default().trim_matches('`').to_owned();
        let targets = cells
            .next()
            .unwrap_or_default()
            .split(',')
            .map(|cell| cell.trim().trim_matches('`').to_owned());
        table.insert(name, targets.filter(|target| !target.is_empty() && target != "—").collect());
    }
    Ok(table)
}
