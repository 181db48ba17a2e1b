//! A virtual environment with the test suites that others wrote, at pinned versions.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use crate::apt;
use crate::repository::{root, run, target};

/// Makes the environment, or finds the one of an earlier run with the same requirements.
pub(crate) fn environment() -> anyhow::Result<PathBuf> {
    let requirements = root().join("tests/third-party/requirements.txt");
    let wanted =
        std::fs::read_to_string(&requirements).context("tests/third-party/requirements.txt")?;
    let directory = target().join("xtask/python");
    let stamp = directory.join("requirements.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|made| made == wanted)
        && directory.join("bin/python").exists()
    {
        return Ok(directory);
    }
    drop(std::fs::remove_dir_all(&directory));
    std::fs::create_dir_all(target().join("xtask"))?;
    let make = || run(Command::new("python3").args(["-m", "venv"]).arg(&directory));
    if make().is_err() {
        drop(std::fs::remove_dir_all(&directory));
        apt::install(&["python3", "python3-venv"], "Python's venv module")?;
        make()?;
    }
    let pip = directory.join("bin/pip");
    run(Command::new(pip)
        .args(["install", "--quiet", "--disable-pip-version-check", "-r"])
        .arg(&requirements))?;
    std::fs::write(stamp, wanted)?;
    Ok(directory)
}
