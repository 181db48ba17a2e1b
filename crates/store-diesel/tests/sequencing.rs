//! However many servers write and sequence, and whichever of them is stopped: one chain, no gap (AUD-04).
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

mod support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use diesel::connection::{Connection, SimpleConnection};
use headcount_core::change::{Actor, Author};
use headcount_core::clock::Timestamp;
use headcount_core::ids::{ChainPosition, RequestId};
use headcount_core::quirks::Quirks;
use headcount_core::schema::Registry;
use headcount_records::verify::{SequencedRow, Verifier};
use headcount_store_diesel::{DatabaseUrl, OlderSchema, Settings, Store};
use headcount_token_admin::TenantStore;
use support::{Database, Scratch, plan, postgres_store, sqlite_store};

const WRITERS: usize = 3;
const WRITES: usize = 60;

/// Writes through all stores at once while each sequences; returns the requests that were acknowledged.
fn race(stores: &[Arc<Store>], disturb: impl FnOnce(&AtomicUsize) + Send) -> Vec<String> {
    let (acknowledged, done) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for store in stores {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    // A sequencer that is stopped in the middle is what this is about.
                    drop(store.sequence());
                }
            });
        }
        let writers: Vec<_> = (0..WRITERS * stores.len())
            .map(|writer| {
                let (store, acknowledged, done) =
                    (&stores[writer % stores.len()], &acknowledged, &done);
                scope.spawn(move || {
                    for write in 0..WRITES {
                        let name = format!("t{writer}-{write}");
                        let by =
                            Author { actor: Actor::Cli, request: RequestId::new(name.as_str()) };
                        let at = Timestamp::from_micros(0);
                        if store.create_tenant(&name, Quirks::ALL, at, &by).is_ok() {
                            acknowledged.lock().unwrap().push(name);
                        }
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        disturb(&done);
        for writer in writers {
            writer.join().unwrap();
        }
        stop.store(true, Ordering::SeqCst);
    });
    acknowledged.into_inner().unwrap()
}

/// Checks that the chain holds, that everything is in it, and each acknowledged write once.
fn check(store: &Store, acknowledged: &[String]) {
    while store.audit(None, ChainPosition::START, usize::MAX).unwrap().unsequenced.unwrap().count
        > 0
    {
        store.sequence().unwrap();
    }
    let slice = store.audit(None, ChainPosition::MIN, usize::MAX).unwrap();
    let mut verifier = Verifier::new(&[]);
    slice.rows.iter().for_each(|row| verifier.take(row));
    let verdict = verifier.finish(&slice.unsequenced.unwrap());
    assert_eq!(verdict.findings, []);
    let rows = i64::try_from(slice.rows.len()).unwrap();
    assert_eq!(verdict.last.unwrap().0.number(), rows, "places have no gap");
    let mut recorded: HashMap<&str, usize> = HashMap::new();
    for SequencedRow { row, .. } in &slice.rows {
        *recorded.entry(row.request.as_str()).or_default() += 1;
    }
    assert!(recorded.values().all(|times| *times == 1), "each write has one row");
    let missing: Vec<_> =
        acknowledged.iter().filter(|name| !recorded.contains_key(name.as_str())).collect();
    assert!(missing.is_empty(), "acknowledged, but not recorded: {missing:?}");
    let there = store.tenants().unwrap().len();
    assert_eq!(recorded.len() + 1, there, "no change without a row, no row without a change");
}

#[test]
fn a_server_and_a_command_sequence_one_file() {
    let scratch = Scratch::new();
    let server = sqlite_store(&scratch);
    let url = DatabaseUrl::Sqlite(scratch.0.join("test.db"));
    let kinds = plan(&Registry::builtin().unwrap());
    let command = Store::open(&Settings::command(url), &kinds, OlderSchema::Refuse).unwrap();
    let acknowledged = race(&[server.clone(), command], |_| {});
    assert!(!acknowledged.is_empty());
    check(&server, &acknowledged);
}

#[test]
fn aud_04_two_servers_are_cut_off_a_hundred_times_and_the_chain_is_whole() {
    let database = Database::new();
    let stores = [postgres_store(&database), postgres_store(&database)];
    let mut admin = diesel::PgConnection::establish(&database.url).unwrap();
    let acknowledged = race(&stores, |done| {
        let all = stores.len() * WRITERS * WRITES;
        let mut kills = 0;
        while kills < 100 || done.load(Ordering::SeqCst) < all {
            admin
                .batch_execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                     WHERE datname = current_database() AND pid <> pg_backend_pid() \
                     ORDER BY random() LIMIT 1",
                )
                .unwrap();
            kills += 1;
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    });
    assert!(!acknowledged.is_empty());
    check(&stores[0], &acknowledged);
}
