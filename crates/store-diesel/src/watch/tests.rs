//! Each kind of read that may visit many rows ends when its time is over. Rows are counted, not time: the
//! limit is zero, so that the first look ends it.

use std::path::PathBuf;
use std::sync::Arc;

use diesel::connection::SimpleConnection as _;
use diesel::sql_types::BigInt;
use headcount_core::clock::Timestamp;
use headcount_core::error::Error;
use headcount_core::ids::{Kind, TenantId};
use headcount_core::message::SearchRequest;
use headcount_core::provider::ProviderError;
use headcount_core::schema::{Registry, ResourceType};
use headcount_core::work::Stop;
use headcount_provider_conformance::Subject;
use headcount_provider_conformance::bench::{Bench, GROUP, USER};
use headcount_records::activity::{Activity as _, ChangeQuery, Refusals as _, Slots};
use headcount_records::audit_list::AuditTrail as _;
use headcount_records::{LogQuery, RequestLog as _};
use headcount_token_admin::{StoreError, TokenStore as _};

use super::*;
use crate::error::WriteError;
use crate::pool::{Readers, View};
use crate::sql::Sql;
use crate::{DatabaseUrl, KindPlan, LogStore, OlderSchema, Settings, Store};

const TENANT: TenantId = TenantId::new(1);
/// Rows of each table.
const ROWS: i64 = 20_000;

/// A read by its name.
type Read<'r> = (&'r str, &'r dyn Fn() -> Result<(), Error>);

struct Filled {
    file: PathBuf,
    registry: Arc<Registry>,
}

impl Drop for Filled {
    fn drop(&mut self) {
        for end in
            [".db", ".db-wal", ".db-shm", ".db-lock", "-log.db", "-log.db-wal", "-log.db-shm"]
        {
            let name = self.file.display().to_string().replace(".db", end);
            drop(std::fs::remove_file(name));
        }
    }
}

impl Filled {
    fn new(name: &str) -> Self {
        let file = format!("headcount-watch-{}-{name}.db", std::process::id());
        let file = std::env::temp_dir().join(file);
        let filled = Self { file, registry: Arc::new(Registry::builtin().unwrap()) };
        let (store, log) = filled.open(Duration::from_secs(600));
        let bench = filled.bench(&store);
        let someone = bench.user("someone");
        bench.group("all", &[&someone]);
        drop(bench);
        log.quirk_counts(TENANT).unwrap();
        let fill = |sql: &str| sql.replace(":from", "1").replace(":to", &ROWS.to_string());
        let data = include_str!("../../tests/statements/fill.sql");
        let data = fill(&format!(
            "INSERT INTO admins (name, role, phc, created) VALUES ('a', 'owner', '', 0); \
             INSERT INTO tokens (id, tenant, purpose, name, scopes, cidrs, phc, tag, secret_version, created, \
             created_by) VALUES ('t', 1, '', '', '', '', '', x'00', 1, 0, ''); {data}"
        ));
        store.write("a test", |connection| Ok(connection.batch_execute(&data)?)).unwrap();
        let requests = fill(include_str!("../../tests/statements/fill-log.sql"));
        log.write("the log is filled", |connection| connection.batch_execute(&requests)).unwrap();
        filled
    }

    /// Opens it with one connection for reads.
    fn open(&self, limit: Duration) -> (Arc<Store>, LogStore) {
        let url = DatabaseUrl::Sqlite(self.file.clone());
        let settings = Settings { pool_size: 1, statement_limit: limit, ..Settings::serve(url) };
        let plan = |kind: &Arc<ResourceType>| {
            let indexed = kind.indexed.iter().map(|indexed| indexed.path.to_string());
            let unique = kind.unique.iter().map(ToString::to_string);
            let names = kind.name.iter().map(ToString::to_string);
            KindPlan {
                kind: kind.kind.clone(),
                paths: indexed.chain(unique).chain(names).collect(),
            }
        };
        let plans: Vec<_> = self.registry.kinds().iter().map(plan).collect();
        (Store::open(&settings, &plans, OlderSchema::Migrate).unwrap(), LogStore::new(&settings))
    }

    fn bench(&self, store: &Arc<Store>) -> Bench {
        let subject = Subject {
            provider: store.clone(),
            feed: store.clone(),
            tenants: [TENANT; 2],
            guard: Box::new(()),
        };
        Bench::over(subject, Arc::clone(&self.registry))
    }
}

/// Returns how many rows the last read on the only connection has counted.
fn counted_rows(readers: &Readers) -> u64 {
    readers.pool().get().unwrap().watch.rows()
}

fn ended(what: &str, done: Result<(), Error>, rows: u64) {
    let halt = match done {
        Err(Error::Provider(ProviderError::Halted(halt)) | Error::Halted(halt)) => halt,
        other => panic!("{what}: {other:?} after {rows} rows"),
    };
    assert_eq!((halt, rows), (Halt::Deadline, CHECK_INTERVAL), "{what}");
}

#[test]
fn p2_searches_end_when_their_time_is_over() {
    let filled = Filled::new("searches");
    let searches: [(&str, &str, &str, i64); 12] = [
        (USER, "title eq \"x\"", "", 10),
        (USER, "", "name.familyName", 10),
        (USER, "userName co \"x\"", "", 10),
        (USER, "userName co \"x\"", "", 0),
        (USER, "not (userName eq \"x\")", "", 0),
        (USER, "active eq false", "", 0),
        (USER, "meta.lastModified lt \"1960-01-01T00:00:00Z\"", "", 10),
        (USER, "emails.value co \"x\"", "", 10),
        (USER, "emails[type eq \"work\" and value co \"x\"]", "", 10),
        (USER, "groups.display eq \"x\"", "", 10),
        (USER, "", "meta.created", 10),
        (GROUP, "members.value sw \"x\"", "", 10),
    ];
    for (limit, ends) in [(Duration::from_secs(600), false), (Duration::ZERO, true)] {
        let (store, _log) = filled.open(limit);
        let bench = filled.bench(&store);
        for (kind, filter, sort, count) in searches {
            let request = SearchRequest {
                filter: (!filter.is_empty()).then(|| filter.to_owned()),
                sort_by: (!sort.is_empty()).then(|| sort.to_owned()),
                count: Some(count),
                ..SearchRequest::default()
            };
            let kinds = [bench.kind(kind)];
            let done = bench.service.search(&bench.caller(0), &kinds, &request).map(drop);
            let (what, rows) =
                (format!("{kind} {filter} {sort} {count}"), counted_rows(&store.readers));
            if ends {
                ended(&what, done, rows);
            } else {
                assert!(
                    done.is_ok() && rows > CHECK_INTERVAL,
                    "{what}: {done:?} after {rows} rows"
                );
            }
        }
        // The connection is as good as before.
        assert_eq!(bench.filter(USER, "userName eq \"someone\""), ["someone"]);
    }
}

#[test]
fn p2_questions_to_the_records_end_when_their_time_is_over() {
    let filled = Filled::new("records");
    let slots = Slots { from: Timestamp::from_micros(0), seconds: 1, count: 1 };
    let tenant = Some(TENANT);
    let people = ChangeQuery { tenant, by_people: true, before: None, limit: 5 };
    let other = ChangeQuery { tenant: Some(TenantId::new(2)), ..people.clone() };
    for (limit, ends) in [(Duration::from_secs(600), false), (Duration::ZERO, true)] {
        let (store, log) = filled.open(limit);
        let work = Work::unlimited();
        let by_people = "UPDATE changes SET actor_kind = 'cli', personal = NULL";
        store.write("a test", |connection| Ok(connection.batch_execute(by_people)?)).unwrap();
        let reads: [Read<'_>; 5] = [
            ("changes_by_slot", &|| Ok(store.changes_by_slot(TENANT, slots, &work).map(drop)?)),
            ("counted", &|| Ok(store.count_changes(TENANT, slots.from, &work).map(drop)?)),
            ("latest", &|| Ok(store.latest(&other, &work).map(drop)?)),
            ("recalled", &|| Ok(store.recall(TENANT, "x", &work).map(drop)?)),
            ("tokens", &|| match store.list(tenant) {
                Err(StoreError::Unavailable(error)) => {
                    Err(Error::Provider(*error.downcast::<ProviderError>().unwrap()))
                }
                other => {
                    drop(other.unwrap());
                    Ok(())
                }
            }),
        ];
        let check = |what: &str, done: Result<(), Error>, rows: u64| match ends {
            true => ended(what, done, rows),
            // A recall ends with the question of what still exists.
            false if what == "recalled" => assert!(done.is_ok(), "{done:?}"),
            false => {
                assert!(done.is_ok() && rows > CHECK_INTERVAL, "{what}: {done:?}, {rows} rows");
            }
        };
        for (what, read) in reads {
            check(what, read(), counted_rows(&store.readers));
        }
        let absent = LogQuery { kind: Some(Kind::new("none")), limit: 5, ..LogQuery::default() };
        let reads: [Read<'_>; 2] = [
            ("refusals_by_slot", &|| Ok(log.refusals_by_slot(TENANT, slots, &work).map(drop)?)),
            ("kind", &|| Ok(log.requests(&absent, &work).map(drop)?)),
        ];
        for (what, read) in reads {
            check(what, read(), counted_rows(log.readers().unwrap()));
        }
    }
}

#[test]
fn a_statement_ends_when_its_request_is_stopped() {
    let filled = Filled::new("stopped");
    let (store, _log) = filled.open(Duration::from_secs(600));
    let work = Work::unlimited();
    let count = || Sql::new("SELECT count(*) FROM changes WHERE ").watched().text("at >= 0");
    let done = store.readers.read_in(View::Snapshot, Some(&work), "a test", |connection| {
        work.stop(Stop::Gone);
        let all: i64 = count().query::<BigInt>().get_result(connection)?;
        Ok::<_, WriteError>(all)
    });
    assert!(matches!(done, Err(ProviderError::Halted(Halt::Gone))), "{done:?}");
    assert_eq!(counted_rows(&store.readers), CHECK_INTERVAL);
    // A read that no one waits for does not begin, and the connection serves the next.
    let done = store.readers.read_for(&work, "nothing", |_| Ok(()));
    assert!(matches!(done, Err(ProviderError::Halted(Halt::Gone))), "{done:?}");
    let all: i64 = store
        .readers
        .read("changes are counted", |connection| count().query::<BigInt>().get_result(connection))
        .unwrap();
    assert!(all >= ROWS);
}

#[test]
fn what_happened_long_ago_is_counted_once() {
    let filled = Filled::new("counted");
    let (store, _log) = filled.open(Duration::from_secs(600));
    let work = Work::unlimited();
    // Changes come a microsecond after the other: all are in the first slot of three, or in the last.
    let early = Slots { from: Timestamp::from_micros(0), seconds: 1, count: 3 };
    let late = Slots { from: Timestamp::from_micros(-2_000_000), ..early };
    for (slots, place) in [(early, 0), (late, 2)] {
        let first = store.changes_by_slot(TENANT, slots, &work).unwrap();
        let (counted, rows) = (first[place].changed, counted_rows(&store.readers));
        assert!(counted >= u64::try_from(ROWS).unwrap() && rows >= counted, "{counted} {rows}");
        assert_eq!(store.changes_by_slot(TENANT, slots, &work).unwrap(), first);
        let again = if place == 0 { 0 } else { rows };
        assert_eq!(counted_rows(&store.readers), again, "{slots:?}");
    }
}
