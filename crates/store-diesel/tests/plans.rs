//! PostgreSQL finds one resource among many by one step through an index, from the first minute of a new
//! database on, when it has no statistics yet.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use headcount_core::ids::ResourceId;
use headcount_provider_conformance::Subject;
use headcount_provider_conformance::bench::{Bench, USER};
use headcount_token_admin::TenantStore as _;
use serde_json::json;
use support::{Database, postgres_store};

/// Users of the new database.
const USERS: usize = 600;
/// How many of them are looked for.
const ASKED: usize = 100;
/// Rows of indexes that one request may read, its foreign keys and its groups included. One that looks
/// through all users reads hundreds.
const ROWS_EACH: i64 = 20;
/// How long it may take until connections report what they have read.
const TOLD_WITHIN: Duration = Duration::from_secs(30);
/// A connection reports it when it is closed; nothing more is expected after so long without a report.
const QUIET: Duration = Duration::from_secs(1);

struct New {
    database: Arc<Database>,
    ids: Vec<ResourceId>,
}

impl New {
    fn database() -> Self {
        let database = Arc::new(Database::new());
        let mut new = Self { database, ids: Vec::new() };
        let bench = new.bench();
        new.ids = (0..USERS).map(|number| bench.user(&name(number))).collect();
        new
    }

    /// A service with connections of its own.
    fn bench(&self) -> Bench {
        let store = postgres_store(&self.database);
        let tenants = [store.tenant("default").unwrap().unwrap().id; 2];
        let guard = Box::new(Arc::clone(&self.database));
        Bench::new(Subject { provider: store.clone(), feed: store, tenants, guard })
    }

    /// Scans of the indexes over resources so far, and the rows that they read.
    fn read_so_far(&self) -> (i64, i64) {
        let mut connection = PgConnection::establish(&self.database.url).unwrap();
        let sums = diesel::dsl::sql::<(BigInt, BigInt)>(
            "SELECT CAST(sum(idx_scan) AS bigint), CAST(sum(idx_tup_read) AS bigint) \
             FROM pg_stat_user_indexes WHERE relname = 'resources'",
        );
        sums.get_result(&mut connection).unwrap()
    }

    /// What was read, once all connections that are closed have reported it.
    fn settled(&self) -> (i64, i64) {
        let (mut last, mut since) = (self.read_so_far(), Instant::now());
        while since.elapsed() < QUIET {
            std::thread::sleep(Duration::from_millis(100));
            let now = self.read_so_far();
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
        last
    }

    /// Asks for some users, and checks that nothing but them was read for it.
    fn few_rows_for(&self, ask: impl Fn(&Bench, usize, &ResourceId)) {
        let before = self.settled();
        let bench = self.bench();
        for (number, id) in self.ids.iter().enumerate().take(ASKED) {
            ask(&bench, number, id);
        }
        drop(bench);
        let (asked, begun) = (i64::try_from(ASKED).unwrap(), Instant::now());
        let (scans, rows) = loop {
            let after = self.settled();
            if after.0 - before.0 >= asked {
                break (after.0 - before.0, (after.1 - before.1) / asked);
            }
            assert!(begun.elapsed() < TOLD_WITHIN, "each request looks into an index");
        };
        assert!(
            rows <= ROWS_EACH,
            "a request reads {rows} rows of {USERS} in {scans} scans in all"
        );
    }
}

fn name(number: usize) -> String {
    format!("user-{number}@example.com")
}

#[test]
fn an_id_leads_to_its_row_although_nothing_is_known_of_the_table() {
    let new = New::database();
    new.few_rows_for(|bench, _, id| assert!(bench.get(0, USER, id).is_some()));
    new.few_rows_for(|bench, number, id| {
        let operation = json!({"op": "replace", "path": "title", "value": format!("t{number}")});
        drop(bench.patch(USER, id, operation));
    });
}

#[test]
fn a_name_leads_to_its_row_when_the_server_has_had_the_grown_table_analyzed() {
    let new = New::database();
    let (store, begun) = (postgres_store(&new.database), Instant::now());
    let mut analyzed = 0;
    loop {
        let now = store.keep_statistics().unwrap();
        analyzed += now;
        // Tables that did not grow again are not analyzed again.
        if analyzed > 0 && now == 0 {
            break;
        }
        assert!(begun.elapsed() < TOLD_WITHIN, "{analyzed} tables were analyzed");
        std::thread::sleep(Duration::from_millis(250));
    }
    drop(store);
    new.few_rows_for(|bench, number, _| {
        assert_eq!(
            bench.filter(USER, &format!("userName eq \"{}\"", name(number))),
            [name(number)]
        );
    });
}
