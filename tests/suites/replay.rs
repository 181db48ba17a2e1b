//! Every recorded conversation succeeds, on both databases, step by step.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use headcount_e2e::{Database, Server, on_both, replay};

fn scenarios() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/idp");
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    files.sort();
    files
}

on_both!(every_scenario_succeeds, |server: &Server| {
    let client = server.client();
    let (mut passed, mut failures, mut slowest) = (0, Vec::new(), None);
    for file in scenarios() {
        let report = replay::run(&client, &file);
        passed += report.passed;
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        failures.extend(report.failures.into_iter().map(|failure| format!("{name}: {failure}")));
        slowest = slowest.max(report.slowest);
    }
    println!("{passed} steps passed; slowest with a limit (ms, limit): {slowest:?}");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(passed >= 414, "the corpus has 414 steps, {passed} were taken");
});

/// Okta's discovery, where there are roles and entitlements to discover.
fn entitlements_are_discovered(database: Database) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let schemas = root.join("deploy/examples/schemas/okta-entitlements").display().to_string();
    let environment = [("HEADCOUNT__SCHEMAS__DIRECTORY", schemas.as_str())];
    let server = Server::start_with(Arc::new(database), &[], &environment);
    let file = root.join("tests/fixtures/idp/okta-entitlements-discovery.jsonl");
    let report = replay::run(&server.client(), &file);
    assert!(report.failures.is_empty(), "{}", report.failures.join("\n"));
    assert!(report.passed >= 5, "{} steps were taken", report.passed);
}

#[test]
fn okta_discovers_a_server_with_roles_and_entitlements_on_sqlite() {
    entitlements_are_discovered(Database::sqlite());
}

#[test]
fn okta_discovers_a_server_with_roles_and_entitlements_on_postgres() {
    entitlements_are_discovered(Database::postgres());
}
