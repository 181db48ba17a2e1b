//! Lengths of files, names of migrations, and settings and errors that have to be documented.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::repository::root;

/// The most lines of a Rust file, without the module of its tests.
const MAX_LINES: usize = 500;

pub(super) fn check() -> anyhow::Result<Vec<String>> {
    let mut findings = Vec::new();
    for folder in ["crates", "tests", "xtask"] {
        for path in rust_files(&root().join(folder))? {
            let text = std::fs::read_to_string(&path)?;
            findings.extend(length(&path, &text));
            findings.extend(todo(&path, &text));
        }
    }
    findings.extend(migrations()?);
    findings.extend(settings()?);
    findings.extend(errors()?);
    findings.extend(folders()?);
    Ok(findings)
}

fn rust_files(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn length(path: &Path, text: &str) -> Option<String> {
    let product = text.split("\n#[cfg(test)]").next().unwrap_or_default();
    let lines = product.lines().count();
    (lines > MAX_LINES)
        .then(|| format!("{} has {lines} lines; split it at {MAX_LINES}", relative(path)))
}

fn todo(path: &Path, text: &str) -> Vec<String> {
    let is_open = |line: &str| {
        let (_, comment) = line.split_once("//").unwrap_or_default();
        let comment = comment.trim_start_matches(['/', '!', ' ']);
        comment.starts_with("FIXME")
            || (comment.starts_with("TODO") && !comment.starts_with("TODO(#"))
    };
    let marks = text.lines().enumerate().filter(|(_, line)| is_open(line));
    marks
        .map(|(number, _)| {
            format!("{}:{} has a TODO without its issue: TODO(#123)", relative(path), number + 1)
        })
        .collect()
}

/// Both databases have the same migrations.
fn migrations() -> std::io::Result<Vec<String>> {
    let names = |backend: &str| -> std::io::Result<BTreeSet<String>> {
        let directory = root().join("crates/store-diesel/migrations").join(backend);
        std::fs::read_dir(directory)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    };
    let (sqlite, postgres) = (names("sqlite")?, names("postgres")?);
    let different = sqlite.symmetric_difference(&postgres);
    Ok(different.map(|name| format!("the migration {name} exists for one database only")).collect())
}

/// Every setting is explained to operators.
fn settings() -> std::io::Result<Vec<String>> {
    let source = std::fs::read_to_string(root().join("crates/server/src/config.rs"))?;
    let document = std::fs::read_to_string(root().join("docs/OPERATING.md"))?;
    let table = source
        .split("const KEYS")
        .nth(1)
        .and_then(|rest| rest.split("];").next())
        .unwrap_or_default();
    let keys = table.lines().filter_map(|line| line.trim().strip_prefix("(\"")?.split('"').next());
    let missing = keys.filter(|key| !document.contains(&format!("`{key}`")));
    Ok(missing.map(|key| format!("docs/OPERATING.md does not explain the setting {key}")).collect())
}

/// Every way in which a use case can refuse is explained.
fn errors() -> std::io::Result<Vec<String>> {
    let source = std::fs::read_to_string(root().join("crates/core/src/error.rs"))?;
    let document = std::fs::read_to_string(root().join("docs/ERRORS.md"))?;
    let body = source
        .split("pub enum Error {")
        .nth(1)
        .and_then(|rest| rest.split("\n}").next())
        .unwrap_or_default();
    let variants = body.lines().filter_map(|line| {
        let name = line.strip_prefix("    ")?;
        let name = name.split(['(', ' ', ',']).next()?;
        name.starts_with(|c: char| c.is_ascii_uppercase()).then_some(name)
    });
    let missing = variants.filter(|name| !document.contains(&format!("`{name}`")));
    Ok(missing.map(|name| format!("docs/ERRORS.md does not explain the error {name}")).collect())
}

/// The top level holds what the architecture says and nothing else.
fn folders() -> std::io::Result<Vec<String>> {
    const KNOWN: [&str; 6] = ["crates", "deploy", "docs", "xtask", "tests", "target"];
    const FILES: [&str; 13] = [
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "README.md",
        "SECURITY.md",
        "_typos.toml",
        "clippy.toml",
        "deny.toml",
        "rust-toolchain.toml",
        "rustfmt.toml",
    ];
    let mut findings = Vec::new();
    for entry in std::fs::read_dir(root())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let known = if entry.path().is_dir() { &KNOWN[..] } else { &FILES[..] };
        // Git ignores what a server leaves where it is started.
        let ignored =
            name.starts_with('.') || name.starts_with("headcount") || name == "config.toml";
        if !ignored && !known.contains(&name.as_str()) {
            findings
                .push(format!("the top level holds {name}, which the architecture does not know"));
        }
    }
    Ok(findings)
}
