//! No plan is a surprise: each statement of the store is kept in a list with the way it is answered.
//!
//! The statements are those that the store really prepares while a scenario asks it for everything. One
//! that is new, or that is answered in another way, fails here: look at its plan, and keep it with
//! `HEADCOUNT_KEEP_PLANS=1 cargo test --package headcount-store-diesel --test statements`.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

#[path = "statements/explain.rs"]
mod explain;
#[path = "statements/record.rs"]
mod record;
#[path = "statements/scenario.rs"]
mod scenario;
mod support;

use std::path::Path;
use std::sync::Mutex;

use diesel::connection::{Connection as _, SimpleConnection as _};
use diesel::{PgConnection, RunQueryDsl as _};
use explain::{Plan, Prepared};
use headcount_core::message::SearchRequest;
use headcount_core::schema::Registry;
use headcount_provider_conformance::bench::{Bench, GROUP, USER};
use headcount_store_diesel::{DatabaseUrl, LogStore, OlderSchema, Settings, Store};
use record::Statements;
use serde_json::json;
use support::{Database, Scratch, plan};

/// A recorder hears all connections of the process.
static ALONE: Mutex<()> = Mutex::new(());

/// The release of PostgreSQL whose plans are kept.
const POSTGRES: i32 = 15;

/// Parts of reads that grow with their table and that nothing ends on SQLite.
const UNWATCHED: [&str; 2] = [
    // Sealing and verifying are work of the server's own.
    "(changes.place IS NULL)",
    // So is looking for tokens that end soon.
    "(tokens.expiry_told IS NULL)",
];

/// Rows of each table that grows.
const SOME: i64 = 10_000;
const MANY: i64 = 100_000;

/// Compares what was found with what is kept.
fn compare(file: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/statements").join(file);
    if std::env::var_os("HEADCOUNT_KEEP_PLANS").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let blocks = |text: &str| text.split("\n\n").map(str::to_owned).collect::<Vec<_>>();
    let (kept, found) = (blocks(&kept), blocks(found));
    let new: Vec<_> = found.iter().filter(|block| !kept.contains(block)).cloned().collect();
    let gone: Vec<_> = kept.iter().filter(|block| !found.contains(block)).cloned().collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "{file}\n\nfound and not kept:\n\n{}\n\nkept and not found:\n\n{}",
        new.join("\n\n"),
        gone.join("\n\n")
    );
}

fn recorded(settings: &Settings) -> Statements {
    let mut opened = None;
    let statements = record::during(|| {
        let store =
            Store::open(settings, &plan(&Registry::builtin().unwrap()), OlderSchema::Migrate)
                .unwrap();
        let log = LogStore::new(settings);
        scenario::run(&store, &log);
        opened = Some((store, log));
    });
    drop(opened);
    statements
        .into_iter()
        .filter(|(shape, _)| !shape.contains("__diesel") && !shape.starts_with("CREATE"))
        .filter(|(shape, _)| !shape.starts_with("ALTER") && !shape.starts_with("--"))
        .collect()
}

#[cfg(feature = "sqlite")]
#[test]
fn p1_every_plan_of_sqlite_is_kept() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let scratch = Scratch::new();
    let file = scratch.0.join("test.db");
    let statements = recorded(&Settings::serve(DatabaseUrl::Sqlite(file.clone())));
    assert!(statements.len() > 100, "{}", statements.len());
    let mut data = explain::Counted::open(&file);
    let mut log = explain::Counted::open(&scratch.0.join("test-log.db"));
    let fill = |data: &mut explain::Counted, log: &mut explain::Counted, from, to| {
        let sql = include_str!("statements/fill.sql");
        data.connection.batch_execute(&between(sql, from, to)).unwrap();
        let sql = include_str!("statements/fill-log.sql");
        log.connection.batch_execute(&between(sql, from, to)).unwrap();
    };
    let is_of_log = |shape: &str| {
        let tables = ["requests", "request_names", "quirk_counts", "pragma_"];
        tables.iter().any(|table| shape.contains(table))
    };
    let mut rows = Vec::new();
    for (from, to) in [(1, SOME), (SOME + 1, MANY)] {
        fill(&mut data, &mut log, from, to);
        let count = |(shape, statement): (&String, &record::Statement)| {
            if is_of_log(shape) { log.rows(statement) } else { data.rows(statement) }
        };
        rows.push(statements.iter().map(count).collect::<Vec<u64>>());
    }
    let (mut found, mut unwatched) = (String::new(), Vec::<&str>::new());
    for ((shape, statement), (few, many)) in statements.iter().zip(rows[0].iter().zip(&rows[1])) {
        let connection = if is_of_log(shape) { &mut log } else { &mut data };
        let plan = explain::sqlite(&mut connection.connection, &statement.sql);
        let grows = if *many > few * 3 + 50 { "  (grows with its table)\n" } else { "" };
        let asks = shape.contains("still_wanted()");
        let known = UNWATCHED.iter().any(|part| shape.contains(part));
        let read = shape.starts_with("SELECT") && !grows.is_empty() && !asks && !known;
        if read {
            unwatched.push(shape.as_ref());
        }
        found.push_str(&format!("{shape}\n{grows}{plan}\n"));
    }
    compare("sqlite.txt", &found);
    assert!(unwatched.is_empty(), "{unwatched:#?} grow with their tables, and nothing ends them");
}

#[cfg(feature = "postgres")]
#[test]
fn p8_every_plan_of_postgres_is_kept_and_its_work_counted() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let database = Database::new();
    let url = DatabaseUrl::parse(&database.url).unwrap();
    let statements = recorded(&Settings::serve(url));
    assert!(statements.len() > 100, "{}", statements.len());
    let mut connection = PgConnection::establish(&database.url).unwrap();
    fill(&mut connection, 1, SOME);
    let mut plans = Vec::new();
    for (shape, statement) in &statements {
        let prepared = Prepared::new(&mut connection, statement);
        let generic = prepared.access(&mut connection, Plan::Generic);
        let custom = prepared.access(&mut connection, Plan::Custom);
        plans.push((shape, statement, generic, custom, prepared.pages(&mut connection)));
    }
    fill(&mut connection, SOME + 1, MANY);
    let mut found = String::new();
    for (shape, statement, generic, custom, few) in plans {
        let many = Prepared::new(&mut connection, statement).pages(&mut connection);
        // Ten times the rows are a level or two more of an index; what walks reads ten times the pages.
        let grows = if many > few * 3 + 50 { "  (grows with its table)\n" } else { "" };
        let other = if custom == generic {
            String::new()
        } else {
            format!("  for these values:\n{custom}")
        };
        found.push_str(&format!("{shape}\n{grows}{generic}{other}\n"));
    }
    if release(&mut connection) == POSTGRES {
        compare("postgres.txt", &found);
    }
}

#[derive(diesel::QueryableByName)]
struct Release {
    #[diesel(sql_type = diesel::sql_types::Integer)]
    number: i32,
}

fn release(connection: &mut PgConnection) -> i32 {
    let sql = "SELECT current_setting('server_version_num')::int / 10000 AS number";
    diesel::sql_query(sql).get_result::<Release>(connection).unwrap().number
}

fn fill(connection: &mut PgConnection, from: i64, to: i64) {
    for sql in [include_str!("statements/fill.sql"), include_str!("statements/fill-log.sql")] {
        connection.batch_execute(&between(sql, from, to)).unwrap();
    }
    connection.batch_execute("VACUUM ANALYZE").unwrap();
}

/// Writes down which rows a script makes.
fn between(sql: &str, from: i64, to: i64) -> String {
    sql.replace(":from", &from.to_string()).replace(":to", &to.to_string())
}

/// Searches with a limit of five documents, over ten.
#[cfg(feature = "sqlite")]
#[test]
fn p7_what_would_read_too_much_is_refused_before_it_reads() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let scratch = Scratch::new();
    let url = DatabaseUrl::Sqlite(scratch.0.join("test.db"));
    let settings = Settings { documents_visited: 5, ..Settings::serve(url) };
    let search = |filter: &str, sort: &str| {
        let mut outcome = None;
        let statements = record::during(|| {
            let store =
                Store::open(&settings, &plan(&Registry::builtin().unwrap()), OlderSchema::Migrate)
                    .unwrap();
            let bench = Bench::new(support::subject(store, Box::new(())));
            for n in 0..10 {
                bench.create(USER, json!({"userName": format!("u{n}"), "active": n % 5 == 0}));
            }
            record::forget();
            let request = SearchRequest {
                filter: (!filter.is_empty()).then(|| filter.to_owned()),
                sort_by: (!sort.is_empty()).then(|| sort.to_owned()),
                ..SearchRequest::default()
            };
            let kinds = [bench.kind(USER)];
            outcome = Some(bench.service.search(&bench.caller(0), &kinds, &request).is_ok());
        });
        std::fs::remove_file(scratch.0.join("test.db")).unwrap();
        let reads = statements.keys().any(|shape| shape.contains("documents"));
        (outcome.unwrap(), reads)
    };
    assert_eq!(search("title eq \"x\"", ""), (false, false));
    assert_eq!(search("displayName co \"x\"", ""), (false, false));
    assert_eq!(search("", "name.familyName"), (false, false));
    assert_eq!(search("active eq false and title eq \"x\"", ""), (false, false));
    // What an index leaves is little.
    assert_eq!(search("active eq true and title eq \"x\"", ""), (true, true));
    assert_eq!(search("userName eq \"u1\" and title eq \"x\"", ""), (true, true));
}

/// What a group or its member costs, in statements.
#[cfg(feature = "sqlite")]
#[test]
fn p6_members_take_no_statement_that_is_not_needed() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let scratch = Scratch::new();
    let settings = Settings::serve(DatabaseUrl::Sqlite(scratch.0.join("test.db")));
    let during = |job: &dyn Fn()| {
        record::forget();
        job();
        record::in_order()
    };
    let _statements = record::during(|| {
        let store =
            Store::open(&settings, &plan(&Registry::builtin().unwrap()), OlderSchema::Migrate)
                .unwrap();
        let bench = Bench::new(support::subject(store, Box::new(())));
        let users: Vec<_> = (0..3).map(|n| bench.user(&format!("u{n}"))).collect();
        let members: Vec<_> = users.iter().collect();
        let made = during(&|| {
            bench.group("first", &members);
            bench.group("second", &members);
            bench.group("empty", &[]);
        });
        let read = made.iter().find(|shape| shape.contains("FROM group_members"));
        assert_eq!(read, None, "members of a new group were just written");
        let group = bench.group("third", &members[..2]);
        let one = json!([{"value": users[2].as_str()}]);
        let added = json!({"op": "add", "path": "members", "value": one});
        let added = during(&|| drop(bench.patch(GROUP, &group, added.clone())));
        let of_members = |shape: &&String| shape.contains("group_members");
        assert_eq!(added.iter().filter(of_members).count(), 2, "written and shown: {added:#?}");
        let gone = during(&|| bench.try_delete(0, USER, &users[0]).unwrap());
        let groups = |shape: &&String| shape.starts_with("UPDATE resources");
        assert_eq!(gone.iter().filter(groups).count(), 1, "three groups: {gone:#?}");
    });
}
