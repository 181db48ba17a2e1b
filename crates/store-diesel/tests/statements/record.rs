//! What the store really prepares: its connections tell every statement that they run.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex};

use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};
use regex::Regex;

/// A statement as it was run, by its shape.
pub(crate) type Statements = BTreeMap<String, Statement>;

/// One statement.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    /// The text with its marks for values.
    pub(crate) sql: String,
    /// The values, as Rust prints them.
    pub(crate) binds: String,
}

static RECORDED: Mutex<Option<Statements>> = Mutex::new(None);
/// The shapes in their order, repeated ones too.
static ORDER: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// What has no plan: settings, transactions, locks, statistics, streams of rows.
const OTHERS: [&str; 11] = [
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT",
    "RELEASE",
    "PRAGMA",
    "SET ",
    "ANALYZE",
    "LOCK",
    "SELECT 1",
    "COPY",
];

fn listener() -> Option<Box<dyn Instrumentation>> {
    Some(Box::new(|event: InstrumentationEvent<'_>| {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            take(&query.to_string());
        }
    }))
}

fn take(text: &str) {
    let mut recorded = RECORDED.lock().unwrap();
    let Some(statements) = recorded.as_mut() else { return };
    let (sql, binds) = text.split_once(" -- binds: ").unwrap_or((text, "[]"));
    let sql = sql.trim().trim_end_matches(';').trim();
    if OTHERS.iter().any(|other| sql.starts_with(other)) {
        return;
    }
    let statement = Statement { sql: sql.to_owned(), binds: binds.to_owned() };
    ORDER.lock().unwrap().push(shape(sql));
    statements.entry(shape(sql)).or_insert(statement);
}

/// A statement without what differs from one use to the next: numbers of marks, lengths of lists.
fn shape(sql: &str) -> String {
    static MARK: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\$\d+").unwrap());
    static LIST: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\?(, (\?|NULL))+").unwrap());
    static ROWS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\(\?…\)(, \(\?…\))+").unwrap());
    static SPACE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\s+").unwrap());
    let sql = MARK.replace_all(sql, "?").replace(['`', '"'], "");
    let sql = LIST.replace_all(&sql, "?…");
    let sql = ROWS.replace_all(&sql, "(?…)…");
    SPACE.replace_all(&sql, " ").into_owned()
}

/// Runs something on stores that were opened by it, and returns the statements that it took.
pub(crate) fn during(job: impl FnOnce()) -> Statements {
    set_default_instrumentation(listener).unwrap();
    *RECORDED.lock().unwrap() = Some(Statements::new());
    job();
    RECORDED.lock().unwrap().take().unwrap()
}

/// Returns the shapes of all statements since they were forgotten.
pub(crate) fn in_order() -> Vec<String> {
    ORDER.lock().unwrap().clone()
}

/// Forgets what was taken so far.
pub(crate) fn forget() {
    ORDER.lock().unwrap().clear();
    if let Some(statements) = RECORDED.lock().unwrap().as_mut() {
        statements.clear();
    }
}
