//! Installs Debian packages, when that is possible.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// Installs the package of a program that is not on the path.
pub(crate) fn ensure(program: &str, package: &str) -> anyhow::Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps servers where only the administrator's path leads.
    let mut places = std::env::split_paths(&path).chain([Path::new("/usr/sbin").to_owned()]);
    if places.any(|directory| directory.join(program).exists()) {
        return Ok(());
    }
    install(&[package], program)
}

/// Installs packages that tests need.
///
/// # Errors
///
/// Names the packages when they cannot be installed: a missing tool fails the tests, never skips them.
pub(crate) fn install(packages: &[&str], why: &str) -> anyhow::Result<()> {
    let list = packages.join(" ");
    let by_hand = format!("{why} is missing; install it with: apt-get install {list}");
    let root =
        Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0"));
    if !root || !Path::new("/usr/bin/apt-get").exists() {
        bail!("{by_hand}");
    }
    println!("{why} is missing: installing {list}");
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null());
        crate::repository::run(&mut command)
    };
    apt(&["update", "-q"]).with_context(|| by_hand.clone())?;
    apt(&[&["install", "-y", "-q", "--no-install-recommends"], packages].concat()).context(by_hand)
}
