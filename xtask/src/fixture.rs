//! `cargo xtask fixture`: a database of a release, kept for the tests of upgrades.

use anyhow::bail;

use crate::postgres::{Cluster, Durability};
use crate::repository::cargo;

/// Makes a fixture with the binary of a release; arguments are the binary and the fixture's name.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let [binary, name] = arguments else {
        bail!("cargo xtask fixture BINARY NAME; see tests/fixtures/upgrade/README.md");
    };
    let binary = std::fs::canonicalize(binary)?;
    let cluster = Cluster::start(Durability::None)?;
    let make = ["run", "--package", "headcount-e2e", "--example", "upgrade_fixture", "--", name];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(cluster.binaries().to_owned()).chain(std::env::split_paths(&path));
    let mut make = cargo(&make);
    make.env("HEADCOUNT_BIN", binary)
        .env("HEADCOUNT_TEST_POSTGRES", cluster.url())
        .env("PATH", std::env::join_paths(paths)?);
    crate::repository::run(&mut make)
}
