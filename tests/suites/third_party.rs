//! Suites that others wrote, on both databases: scim2-tester and scim-sanity, pinned, from `PyPI`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use headcount_e2e::{Database, Server, on_both};

/// The virtual environment that the test command made.
fn tool(name: &str) -> PathBuf {
    let environment = std::env::var_os("HEADCOUNT_TEST_VENV").expect(
        "the suites of others need their virtual environment: run `cargo xtask test`, which makes one and sets HEADCOUNT_TEST_VENV",
    );
    Path::new(&environment).join("bin").join(name)
}

fn succeeded(output: &Output) -> String {
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{text}");
    text
}

on_both!(scim2_tester_finds_no_error, |server: &Server| {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("third-party/run_scim2_tester.py");
    let output = Command::new(tool("python"))
        .arg(script)
        .env("BASE_URL", format!("http://{}/scim/v2", server.address))
        .env("TOKEN", server.token(&[]))
        .output();
    println!("{}", succeeded(&output.unwrap()));
});

/// Of a server that has the types of agents, too, so that it skips nothing.
fn scim_sanity(database: Database) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let schemas = root.join("deploy/examples/schemas/agents").display().to_string();
    let environment = [("HEADCOUNT__SCHEMAS__DIRECTORY", schemas.as_str())];
    let server = Server::start_with(Arc::new(database), &[], &environment);
    let url = format!("http://{}/scim/v2", server.address);
    let output = Command::new(tool("scim-sanity"))
        .args(["probe", &url, "--token", &server.token(&[]), "--strict", "--i-accept-side-effects"])
        .output();
    let text = succeeded(&output.unwrap());
    let bad = ["[FAIL]", "[ERROR]", "[SKIP]", "[WARN]"];
    assert!(text.contains("passed") && bad.iter().all(|word| !text.contains(word)), "{text}");
    assert!(text.contains("/AgenticApplications"), "{text}");
    println!("{text}");
}

#[test]
fn scim_sanity_finds_no_failure_and_skips_nothing_on_sqlite() {
    scim_sanity(Database::sqlite());
}

#[test]
fn scim_sanity_finds_no_failure_and_skips_nothing_on_postgres() {
    scim_sanity(Database::postgres());
}
