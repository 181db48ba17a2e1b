//! `cargo xtask screenshots`: pictures of the console for the documents, out of the browser tests.

use anyhow::Context;

use crate::repository::{cargo, root, target};
use crate::{apt, python};

/// The pages that documents show.
const SHOWN: [&str; 8] =
    ["overview", "overview-dark", "connect", "tokens", "users", "log", "explain", "log-dark"];

/// Takes a picture of every page and keeps those that documents show.
pub(crate) fn run() -> anyhow::Result<()> {
    apt::ensure("chromium", "chromium")?;
    let (environment, all) = (python::environment()?, target().join("xtask/pictures"));
    crate::repository::run(&mut cargo(&["build", "--locked", "--package", "headcount-server"]))?;
    let mut test = cargo(&[
        "test",
        "--locked",
        "--package",
        "headcount-e2e",
        "--test",
        "console",
        "--",
        "every_page",
    ]);
    crate::repository::run(
        test.env("HEADCOUNT_TEST_VENV", environment).env("HEADCOUNT_PICTURES", &all),
    )?;
    let folder = root().join("docs/pictures");
    std::fs::create_dir_all(&folder)?;
    for name in SHOWN {
        let file = format!("{name}.png");
        std::fs::copy(all.join(&file), folder.join(&file)).with_context(|| file.clone())?;
        println!("docs/pictures/{file}");
    }
    Ok(())
}
