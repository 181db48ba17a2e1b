//! Who writes to the database without the key of the audit is found, whatever hashes he writes with it (AUD-03).
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that cannot go on says so by panicking; a soak is configured by the environment"
)]

mod support;

use std::sync::Arc;

use diesel::connection::{Connection, SimpleConnection};
use headcount_core::clock::Timestamp;
use headcount_core::ids::{ChainPosition, ResourceId};
use headcount_core::quirks::Quirks;
use headcount_core::schema::Registry;
use headcount_core::work::Work;
use headcount_provider_conformance::bench::{Bench, USER};
use headcount_records::chain::{AuditRow, Link};
use headcount_records::mac::{MacKeys, Proof, REFUSED};
use headcount_records::verify::{FindingKind, Report, SequencedRow, Verifier};
use headcount_store_diesel::{DatabaseUrl, OlderSchema, Settings, Store};
use headcount_token_admin::{TenantChange, TenantStore};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use support::{Database, Scratch, cli, plan, subject};

const AT: Timestamp = Timestamp::from_micros(1_000_000);
const COLUMNS: &str = "seq, tenant, at, actor_kind, actor, request, act, kind, resource, version, \
     paths, delta, switched, personal, personal_digest, uid, mac, place, hash, place_mac";

/// A store whose key is in a file, and someone who writes to its database.
struct Forger {
    url: DatabaseUrl,
    store: Arc<Store>,
    past: Box<dyn FnMut(&str)>,
    random: StdRng,
}

fn keys(lines: &[(&str, &str)]) -> MacKeys {
    let lines: Vec<String> =
        lines.iter().map(|(id, digit)| format!("{id} {}", digit.repeat(64))).collect();
    MacKeys::parse(&lines.join("\n")).unwrap()
}

fn open(url: &DatabaseUrl, keys: Option<MacKeys>) -> Arc<Store> {
    let settings = Settings { mac_keys: keys, exclusive: false, ..Settings::serve(url.clone()) };
    Store::open(&settings, &plan(&Registry::builtin().unwrap()), OlderSchema::Migrate).unwrap()
}

impl Forger {
    fn sqlite(scratch: &Scratch, keys: Option<MacKeys>) -> Self {
        let path = scratch.0.join("test.db");
        let url = DatabaseUrl::Sqlite(path.clone());
        let store = open(&url, keys);
        let mut past = diesel::SqliteConnection::establish(&path.display().to_string()).unwrap();
        past.batch_execute("PRAGMA synchronous = OFF; PRAGMA busy_timeout = 5000").unwrap();
        let past = Box::new(move |sql: &str| past.batch_execute(sql).unwrap());
        Self { url, store, past, random: StdRng::seed_from_u64(seed()) }
    }

    fn postgres(database: &Database, keys: Option<MacKeys>) -> Self {
        let url = DatabaseUrl::parse(&database.url).unwrap();
        let store = open(&url, keys);
        let mut past = diesel::PgConnection::establish(&database.url).unwrap();
        let past = Box::new(move |sql: &str| past.batch_execute(sql).unwrap());
        Self { url, store, past, random: StdRng::seed_from_u64(seed()) }
    }

    fn run(&mut self, sql: &str) {
        (self.past)(sql);
    }

    fn below(&mut self, end: i64) -> i64 {
        self.random.random_range(0..end)
    }

    /// Makes genuine changes: tenants that come, change and go.
    fn changes(&self, names: &str, count: i64) {
        for number in 0..count {
            let name = format!("{names}-{number}");
            self.store.create_tenant(&name, Quirks::ALL, AT, &cli()).unwrap();
            let off = TenantChange { enabled: Some(false), quirks: None };
            self.store.set_tenant(&name, off, AT, &cli()).unwrap();
            if number % 3 == 0 {
                self.store.delete_tenant(&name, AT, &cli()).unwrap();
            }
        }
        self.store.sequence_all().unwrap();
    }

    fn chain(&self) -> Vec<SequencedRow> {
        self.store.audit(None, ChainPosition::MIN, 100_000).unwrap().rows
    }

    /// Verifies as the command does.
    fn verify(&self) -> Report {
        verify(&self.store)
    }

    /// Writes the positions and hashes of all rows again, as only the code that nobody has the key for could prevent.
    fn rechain(&mut self, rows: &[AuditRow]) {
        let mut link = Link::GENESIS;
        let mut sql = "UPDATE changes SET place = NULL;".to_owned();
        for (row, place) in rows.iter().zip(1..) {
            link = link.next(ChainPosition::new(place), row);
            sql += &format!(
                "UPDATE changes SET place = {place}, hash = '{link}' WHERE seq = {};",
                row.seq
            );
        }
        self.run(&sql);
    }
}

fn verify(store: &Store) -> Report {
    let mut verifier = Verifier::new(&[]).with_macs(store.protection().unwrap());
    let mut after = ChainPosition::START;
    loop {
        let slice = store.audit(None, after, 500).unwrap();
        after = slice.rows.last().map_or(after, |row| row.position);
        slice.rows.iter().for_each(|row| verifier.take(row));
        if let Some(unsequenced) = slice.unsequenced {
            return verifier.finish(&unsequenced);
        }
    }
}

fn kinds(report: &Report) -> Vec<(i64, FindingKind)> {
    report.findings.iter().map(|finding| (finding.at.number(), finding.kind.clone())).collect()
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

fn seed() -> u64 {
    number("HEADCOUNT_SOAK_SEED", 11)
}

/// Edits, inserts, copies or moves a row, and writes the chain again or leaves the new row to the sequencer.
fn forge(forger: &mut Forger, rows: &[SequencedRow]) -> String {
    let last = rows.len();
    let at = forger.random.random_range(0..last);
    let row = &rows[at].row;
    let (seq, fresh) = (row.seq, 1_000_000 + forger.below(1_000_000));
    let mut chain: Vec<AuditRow> = rows.iter().map(|row| row.row.clone()).collect();
    match forger.below(4) {
        0 => {
            let edits = [
                "tenant = tenant + 1",
                "at = at + 1",
                "actor_kind = 'admin'",
                "actor = 'innocent'",
                "request = request || 'x'",
                "act = 'revoked'",
                "kind = 'User'",
                "resource = resource || '0'",
                "version = version + 1",
                "paths = paths || ' x'",
                "delta = '{}'",
                "switched = CASE switched WHEN 0 THEN 1 ELSE 0 END",
                "personal_digest = 'x'",
                "uid = uid || 'x'",
                "mac = NULL",
                "uid = NULL, mac = NULL, place_mac = NULL",
                "mac = 'database:' || substr(mac, 4)",
                "place_mac = NULL",
                "place_mac = 'k9:x'",
            ];
            let edit = edits[forger.random.random_range(0..edits.len())];
            forger.run(&format!("UPDATE changes SET {edit} WHERE seq = {seq}"));
            let rows: Vec<AuditRow> = forger.chain().into_iter().map(|row| row.row).collect();
            forger.rechain(&rows);
            format!("{edit} of {seq}")
        }
        1 => {
            // A change that never was, with or without what another one has.
            let columns = ["uid, mac", "'x', mac", "'x', 'k1:x'", "NULL, NULL"];
            let columns = columns[forger.random.random_range(1..columns.len())];
            forger.run(&format!(
                "INSERT INTO changes (seq, tenant, at, actor_kind, actor, request, act, kind, resource, \
                 version, paths, delta, personal_digest, uid, mac) SELECT {fresh}, tenant, at, 'admin', \
                 'innocent', request, 'deleted', kind, resource, version, paths, delta, '', {columns} \
                 FROM changes WHERE seq = {seq}"
            ));
            forger.store.sequence_all().unwrap();
            format!("inserted after the model of {seq} with {columns}")
        }
        2 => {
            let all = COLUMNS.replacen("seq", &fresh.to_string(), 1);
            let all = all.replace("place, hash, place_mac", "NULL, NULL, NULL");
            forger.run(&format!(
                "DROP INDEX changes_uid; \
                 INSERT INTO changes ({COLUMNS}) SELECT {all} FROM changes WHERE seq = {seq}"
            ));
            forger.store.sequence_all().unwrap();
            format!("copied {seq}")
        }
        _ => {
            let to = (at + forger.random.random_range(1..last)) % last;
            let moved = chain.remove(at);
            chain.insert(to, moved);
            forger.rechain(&chain);
            format!("moved {at} to {to}")
        }
    }
}

fn forgeries(mut forger: Forger, runs: u64) {
    forger.changes("t", 12);
    let rows = forger.chain();
    assert_eq!(kinds(&forger.verify()), []);
    forger.run(&format!("CREATE TABLE original AS SELECT {COLUMNS} FROM changes"));
    for run in 0..runs {
        let what = forge(&mut forger, &rows);
        assert_ne!(kinds(&forger.verify()), [], "run {run}: {what} was not found");
        forger.run(&format!(
            "DELETE FROM changes; INSERT INTO changes ({COLUMNS}) SELECT {COLUMNS} FROM original; \
             DROP INDEX IF EXISTS changes_uid; CREATE UNIQUE INDEX changes_uid ON changes (uid)"
        ));
        assert_eq!(kinds(&forger.verify()), [], "run {run}: {what} was undone");
    }
}

#[test]
fn aud_03_s14_soak_whoever_lacks_the_key_is_found_on_sqlite() {
    let scratch = Scratch::new();
    let forger = Forger::sqlite(&scratch, Some(keys(&[("k1", "a")])));
    forgeries(forger, number("HEADCOUNT_SOAK_FORGERIES", 500));
}

#[test]
fn aud_03_s14_soak_whoever_lacks_the_key_is_found_on_postgres() {
    let database = Database::new();
    let forger = Forger::postgres(&database, Some(keys(&[("k1", "a")])));
    forgeries(forger, number("HEADCOUNT_SOAK_FORGERIES", 500) / 5);
}

/// Runs a test on both databases.
fn on_both(keys: Option<&MacKeys>, test: fn(Forger)) {
    let (scratch, database) = (Scratch::new(), Database::new());
    test(Forger::sqlite(&scratch, keys.cloned()));
    test(Forger::postgres(&database, keys.cloned()));
}

#[test]
fn s14_each_kind_of_forgery_is_named_with_its_place_on_both_with_postgres() {
    on_both(Some(&keys(&[("k1", "a")])), |mut forger| {
        forger.changes("t", 2);
        let rows: Vec<AuditRow> = forger.chain().into_iter().map(|row| row.row).collect();
        assert_eq!(rows.len(), 5);
        // The sequencer gives it its position and goes on; no code makes it look genuine.
        forger.run(
            "INSERT INTO changes (tenant, at, actor_kind, actor, request, act, kind, resource, version, \
             paths, delta, personal_digest) VALUES (1, 1, 'admin', 'innocent', 'r', 'deleted', 'User', \
             'u1', 1, '', '', '')",
        );
        forger.changes("u", 1);
        assert_eq!(
            kinds(&forger.verify()),
            [(6, FindingKind::NoMac { last: ChainPosition::new(6) })]
        );
        let marked: Vec<bool> =
            forger.chain().iter().map(|row| row.place_mac.as_deref() == Some(REFUSED)).collect();
        assert_eq!(marked, [false, false, false, false, false, true, false, false, false]);
        forger.run("DELETE FROM changes WHERE place > 5");
        assert_eq!(kinds(&forger.verify()), []);
        // An edit with all hashes written again: what follows has a hash that no server gave it.
        forger.run(&format!("UPDATE changes SET actor = 'innocent' WHERE seq = {}", rows[3].seq));
        let mut edited = rows.clone();
        edited[3].actor = "innocent".to_owned();
        forger.rechain(&edited);
        assert_eq!(
            kinds(&forger.verify()),
            [(4, FindingKind::Forged), (5, FindingKind::Misplaced)]
        );
        forger.run(&format!("DELETE FROM changes WHERE seq = {}", rows[3].seq));
        edited.remove(3);
        forger.rechain(&edited);
        assert_eq!(kinds(&forger.verify()), [(4, FindingKind::Misplaced)]);
    });
}

#[test]
fn s14_rows_from_before_are_accepted_up_to_a_place_that_only_the_key_can_move_with_postgres() {
    on_both(None, |mut forger| {
        forger.changes("old", 2);
        // As an earlier release left them, the last one without a position.
        forger.run(
            "UPDATE changes SET uid = NULL, mac = NULL, place_mac = NULL; \
             UPDATE changes SET place = NULL, hash = NULL WHERE place = 5; \
             DELETE FROM server_keys WHERE name = 'audit-mac'; \
             DELETE FROM store_meta WHERE name = 'audit-accepted'",
        );
        forger.store = open(&forger.url, None);
        forger.changes("new", 1);
        let report = forger.verify();
        assert_eq!((kinds(&report).as_slice(), report.unprotected), ([].as_slice(), 5));
        // Who edits one of them changes the hash that the first code covers.
        forger.run("UPDATE changes SET version = 7 WHERE place = 2");
        let rows: Vec<AuditRow> = forger.chain().into_iter().map(|row| row.row).collect();
        forger.rechain(&rows);
        assert!(kinds(&forger.verify()).contains(&(6, FindingKind::Misplaced)));
        forger.run("UPDATE changes SET version = 0 WHERE place = 2");
        let rows: Vec<AuditRow> = forger.chain().into_iter().map(|row| row.row).collect();
        forger.rechain(&rows);
        assert_eq!(kinds(&forger.verify()), []);
        // A later row that pretends to be old is none.
        forger.run("UPDATE changes SET uid = NULL, mac = NULL, place_mac = NULL WHERE place = 7");
        assert_eq!(
            kinds(&forger.verify()),
            [(7, FindingKind::NoMac { last: ChainPosition::new(7) })]
        );
        forger.run(
            "UPDATE store_meta SET value = '9' || substr(value, 2) WHERE name = 'audit-accepted'",
        );
        assert_eq!(
            kinds(&forger.verify()),
            [
                (1, FindingKind::NoMac { last: ChainPosition::new(5) }),
                (7, FindingKind::NoMac { last: ChainPosition::new(7) }),
            ]
        );
        // Nor is the record made again, for those who open the store.
        forger.run("DELETE FROM store_meta WHERE name = 'audit-accepted'");
        forger.store = open(&forger.url, None);
        assert_eq!(forger.store.protection().unwrap().accepted, ChainPosition::START);
        forger.store.accept_changes(ChainPosition::new(7)).unwrap();
        assert_eq!(kinds(&forger.verify()), []);
    });
}

#[test]
fn s14_a_key_in_a_file_takes_over_and_is_rotated_with_postgres() {
    on_both(None, |mut forger| {
        forger.changes("t", 1);
        let first = keys(&[("k1", "a")]);
        forger.store = open(&forger.url, Some(first.clone()));
        forger.changes("u", 1);
        // What the key of the database vouches for counts only where the owner of the file says so.
        assert_eq!(
            kinds(&forger.verify()),
            [(1, FindingKind::UnknownKey { last: ChainPosition::new(3) })]
        );
        forger.store.accept_changes(ChainPosition::new(3)).unwrap();
        assert_eq!(kinds(&forger.verify()), []);
        forger.store = open(&forger.url, None);
        forger.changes("v", 1);
        forger.store = open(&forger.url, Some(first));
        let found = [(7, FindingKind::UnknownKey { last: ChainPosition::new(9) })];
        assert_eq!(kinds(&forger.verify()), found);
        let rotated = keys(&[("k2", "b"), ("k1", "a")]);
        forger.store = open(&forger.url, Some(rotated));
        forger.changes("w", 1);
        assert_eq!(kinds(&forger.verify()), found);
        assert!(forger.chain()[9].row.mac.as_deref().unwrap().starts_with("k2:"));
        forger.store = open(&forger.url, Some(keys(&[("k2", "b")])));
        assert_eq!(
            kinds(&forger.verify()),
            [(1, FindingKind::UnknownKey { last: ChainPosition::new(9) })]
        );
    });
}

#[test]
fn s14_soak_erasing_many_people_leaves_every_code_valid_with_postgres() {
    on_both(Some(&keys(&[("k1", "a")])), |forger| {
        let count = number("HEADCOUNT_SOAK_ERASED", 60);
        let bench = Bench::new(subject(Arc::clone(&forger.store), Box::new(())));
        let ids: Vec<ResourceId> =
            (0..count).map(|number| bench.user(&format!("person-{number}"))).collect();
        for id in &ids {
            bench.try_delete(0, USER, id).unwrap();
        }
        let tenant = bench.tenant(0);
        for number in 0..count {
            let name = format!("PERSON-{number}");
            let found = forger.store.recall(tenant, &name, &Work::unlimited()).unwrap();
            assert_eq!(found.len(), 1, "{name}");
            assert_eq!(forger.store.erase_names(tenant, &found[0], AT, &cli()).unwrap(), 2);
        }
        forger.store.sequence_all().unwrap();
        assert_eq!(kinds(&forger.verify()), []);
        let protection = forger.store.protection().unwrap();
        for row in forger.chain() {
            assert_eq!(protection.keys.check_change(&row.row), Proof::Authentic);
            assert!(row.row.kind != USER || row.row.personal.is_none());
        }
    });
}
