//! The databases of a run: made for it, and gone after it.

use std::path::{Path, PathBuf};

use anyhow::Context;
use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, RunQueryDsl as _};

use crate::process::{Process, parent};

/// A database of its own.
pub(crate) struct Database {
    url: String,
    place: Place,
}

enum Place {
    File(PathBuf),
    /// The URL of the server's first database, and the name of this one.
    Server(String, String),
}

impl Database {
    /// A new SQLite file in a directory.
    pub(crate) fn sqlite(directory: &Path, name: &str) -> anyhow::Result<Self> {
        let file = directory.join(format!("{name}.db"));
        remove(&file);
        Ok(Self { url: format!("sqlite:{}", file.display()), place: Place::File(file) })
    }

    /// A new database on a PostgreSQL server, given by the URL of its database `postgres`.
    pub(crate) fn postgres(server: &str, name: &str) -> anyhow::Result<Self> {
        Self::on(server, name, "template1")
    }

    fn on(server: &str, name: &str, template: &str) -> anyhow::Result<Self> {
        let name = format!("bench_{name}");
        execute(server, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))?;
        execute(server, &format!("CREATE DATABASE {name} TEMPLATE {template}"))?;
        let url = server.replacen("/postgres?", &format!("/{name}?"), 1);
        Ok(Self { url, place: Place::Server(server.to_owned(), name) })
    }

    /// The URL as the server takes it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Copies the database while no server works on it.
    pub(crate) fn copy(&self, name: &str) -> anyhow::Result<Self> {
        match &self.place {
            Place::File(file) => {
                let copy = Self::sqlite(file.parent().context("a file is in a directory")?, name)?;
                std::fs::copy(file, copy.url.trim_start_matches("sqlite:"))
                    .context("cannot copy the database file")?;
                Ok(copy)
            }
            Place::Server(server, original) => {
                let copy = Self::on(server, name, original)?;
                copy.settle()?;
                Ok(copy)
            }
        }
    }

    /// Brings a database that was just filled into the state of one that has long been in use.
    pub(crate) fn settle(&self) -> anyhow::Result<()> {
        match &self.place {
            Place::File(file) => {
                let mut connection = diesel::SqliteConnection::establish(&file.to_string_lossy())?;
                Ok(connection.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)")?)
            }
            Place::Server(..) => {
                execute(&self.url, "VACUUM ANALYZE")?;
                execute(&self.url, "CHECKPOINT")
            }
        }
    }

    /// The processes of the database server, where there is one.
    pub(crate) fn process(&self) -> anyhow::Result<Option<Process>> {
        let Place::Server(server, _) = &self.place else { return Ok(None) };
        let mut connection = diesel::PgConnection::establish(server)?;
        let pid = diesel::dsl::sql::<diesel::sql_types::Integer>("SELECT pg_backend_pid()");
        let pid: i32 = pid.get_result(&mut connection)?;
        Ok(parent(u32::try_from(pid)?).map(Process::family))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        match &self.place {
            Place::File(file) => remove(file),
            Place::Server(server, name) => {
                drop(execute(server, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")));
            }
        }
    }
}

/// Removes a database file with all files that belong to it.
fn remove(file: &Path) {
    let (Some(directory), Some(stem)) = (file.parent(), file.file_stem()) else { return };
    let stem = stem.to_string_lossy().into_owned();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let rest = name.strip_prefix(&stem);
        if rest.is_some_and(|rest| rest.starts_with(".db") || rest.starts_with("-log.db")) {
            drop(std::fs::remove_file(entry.path()));
        }
    }
}

fn execute(url: &str, statement: &str) -> anyhow::Result<()> {
    let mut connection = diesel::PgConnection::establish(url)?;
    connection.batch_execute(statement).with_context(|| statement.to_owned())
}
