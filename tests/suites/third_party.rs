//! Suites that others wrote, on both databases: scim2-tester and scim-sanity, pinned, from `PyPI`.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use headcount_e2e::{Server, on_both};

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

on_both!(scim_sanity_finds_no_failure, |server: &Server| {
    let url = format!("http://{}/scim/v2", server.address);
    let output = Command::new(tool("scim-sanity"))
        .args(["probe", &url, "--token", &server.token(&[]), "--strict", "--i-accept-side-effects"])
        .output();
    let text = succeeded(&output.unwrap());
    assert!(
        text.contains("passed") && !text.contains("[FAIL]") && !text.contains("[ERROR]"),
        "{text}"
    );
    println!("{text}");
});
