//! Databases of earlier releases: kept compressed under `tests/fixtures/upgrade`, loaded for a test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Database;

/// Which of the two databases a fixture is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Two files: the data and the provisioning log.
    Sqlite,
    /// A plain dump.
    Postgres,
}

impl Engine {
    /// Makes an empty database.
    pub fn database(self) -> Database {
        match self {
            Self::Sqlite => Database::sqlite(),
            Self::Postgres => Database::postgres(),
        }
    }

    /// The word in the names of files.
    pub fn word(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// The files that a server keeps on SQLite, as a test lays them out.
pub const SQLITE_FILES: [&str; 2] = ["headcount.db", "headcount-log.db"];

/// The directory with one directory for each fixture, which is named after its newest migration.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/upgrade")
}

/// Returns the names of all fixtures, oldest first.
pub fn releases() -> Vec<String> {
    let entries = std::fs::read_dir(directory()).expect("the fixtures can be listed");
    let directories = entries.map(|entry| entry.expect("an entry can be read"));
    let mut names: Vec<String> = directories
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert!(!names.is_empty(), "there is no fixture under {}", directory().display());
    names
}

/// Loads a fixture, and what is known of it.
pub fn load(release: &str, engine: Engine) -> (Database, Value) {
    let from = directory().join(release);
    let known = from.join(format!("{}.json", engine.word()));
    let known = std::fs::read_to_string(&known)
        .unwrap_or_else(|error| panic!("{}: {error}", known.display()));
    let database = engine.database();
    match engine {
        Engine::Sqlite => {
            for file in SQLITE_FILES {
                unpack(&from.join(format!("{file}.xz")), &database.path().join(file));
            }
        }
        Engine::Postgres => {
            let dump = database.path().join("dump.sql");
            unpack(&from.join("postgres.sql.xz"), &dump);
            let mut psql = Command::new("psql");
            psql.args(["-qAt", "-v", "ON_ERROR_STOP=1", "-1", "-f"]).arg(&dump);
            run(psql.arg(&database.url).stdout(Stdio::null()));
        }
    }
    (database, serde_json::from_str(&known).expect("what is known of a fixture is JSON"))
}

/// Compresses a file.
pub fn pack(from: &Path, to: &Path) {
    let to = File::create(to).expect("the fixture can be written");
    run(Command::new("xz").args(["-9e", "-c"]).arg(from).stdout(to));
}

fn unpack(from: &Path, to: &Path) {
    let to = File::create(to).expect("the copy can be written");
    run(Command::new("xz").args(["-d", "-c"]).arg(from).stdout(to));
}

fn run(command: &mut Command) {
    let output = command.stderr(Stdio::piped()).spawn().and_then(|child| child.wait_with_output());
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
