//! A PostgreSQL server of its own for one run of the tests: private directory, unix socket, no network.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::apt;

/// Whether commits of a throw-away server reach the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// They do, as where data matters: for measurements.
    Synced,
    /// They do not: tests need a server that is quick.
    None,
}

/// A running server; stops and goes with this value.
pub(crate) struct Cluster {
    directory: PathBuf,
    binaries: PathBuf,
    user: Option<String>,
}

impl Cluster {
    /// Finds the binaries, installing them if need be, and starts a server.
    pub(crate) fn start(durability: Durability) -> anyhow::Result<Self> {
        let binaries = match binaries() {
            Some(found) => found,
            None => {
                apt::install(&["postgresql"], "PostgreSQL")?;
                binaries()
                    .context("PostgreSQL was installed, but initdb and postgres are not found")?
            }
        };
        let directory = std::env::temp_dir().join(format!("headcount-pg-{}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        // PostgreSQL refuses to run as root.
        let user = is_root()?.then(unprivileged_user).transpose()?;
        if let Some(user) = &user {
            crate::repository::run(Command::new("chown").arg(user).arg(&directory))?;
        }
        let cluster = Self { directory, binaries, user };
        let data = cluster.data();
        cluster.run(
            "initdb",
            &[
                "-D",
                &data,
                "-A",
                "trust",
                "-U",
                "postgres",
                "--no-sync",
                "-E",
                "UTF8",
                "--locale=C",
            ],
        )?;
        let socket = cluster.directory.display().to_string();
        let memory = match durability {
            Durability::Synced => "-c shared_buffers=512MB",
            Durability::None => "-c fsync=off -c shared_buffers=64MB",
        };
        let options = format!("-k {socket} -c listen_addresses='' -c max_connections=400 {memory}");
        let log = cluster.directory.join("log").display().to_string();
        cluster
            .run("pg_ctl", &["-D", &data, "-l", &log, "-w", "-t", "60", "-o", &options, "start"])?;
        Ok(cluster)
    }

    /// Returns the URL of the server's first database.
    pub(crate) fn url(&self) -> String {
        format!("postgres:///postgres?host={}&user=postgres", self.directory.display())
    }

    /// Returns where the programs are.
    pub(crate) fn binaries(&self) -> &Path {
        &self.binaries
    }

    fn data(&self) -> String {
        self.directory.join("data").display().to_string()
    }

    fn run(&self, program: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let program = self.binaries.join(program);
        let mut command = match &self.user {
            Some(user) => {
                let mut command = Command::new("setpriv");
                command
                    .args(["--reuid", user, "--regid", user, "--clear-groups", "--"])
                    .arg(&program);
                command
            }
            None => Command::new(&program),
        };
        let output =
            command.args(arguments).env("LC_ALL", "C").current_dir(&self.directory).output();
        let output = output.with_context(|| format!("{} cannot be run", program.display()))?;
        if !output.status.success() {
            let log = std::fs::read_to_string(self.directory.join("log")).unwrap_or_default();
            bail!("{} failed: {}{log}", program.display(), String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) =
            self.run("pg_ctl", &["-D", &self.data(), "-m", "immediate", "-w", "stop"])
        {
            eprintln!("the test server of PostgreSQL was not stopped: {error:#}");
        }
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

/// The directory with `initdb`, `pg_ctl` and `postgres`: on the path, or where Debian puts it.
fn binaries() -> Option<PathBuf> {
    let complete = |directory: &PathBuf| {
        ["initdb", "pg_ctl", "postgres", "psql"]
            .iter()
            .all(|program| directory.join(program).exists())
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<PathBuf> = std::env::split_paths(&path).filter(complete).collect();
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> =
        debian.map(|entry| entry.path().join("bin")).filter(complete).collect();
    versions.sort();
    found.extend(versions.into_iter().rev());
    found.into_iter().next()
}

fn is_root() -> anyhow::Result<bool> {
    let output = Command::new("id").arg("-u").output().context("id cannot be run")?;
    Ok(output.stdout.starts_with(b"0"))
}

/// The account that the server runs under: the one that Debian's package makes, else `nobody`.
fn unprivileged_user() -> anyhow::Result<String> {
    let passwd = std::fs::read_to_string("/etc/passwd")?;
    let exists = |name: &&str| passwd.lines().any(|line| line.starts_with(&format!("{name}:")));
    let user = ["postgres", "nobody"]
        .into_iter()
        .find(exists)
        .context("there is no account to run PostgreSQL under")?;
    let id = Command::new("id").args(["-u", user]).output().context("id cannot be run")?;
    Ok(String::from_utf8_lossy(&id.stdout).trim().to_owned())
}
