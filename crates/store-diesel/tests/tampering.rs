//! Every edit of the record of changes in the database is found, and nothing else is reported (AUD-03).
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

mod support;

use std::sync::Arc;

use diesel::connection::{Connection, SimpleConnection};
use headcount_core::change::ChangeFeed as _;
use headcount_core::clock::Timestamp;
use headcount_core::ids::{ChainPosition, ChangeSeq, Kind, ResourceId, TenantId};
use headcount_core::quirks::Quirks;
use headcount_core::work::Work;
use headcount_records::chain::{AuditRow, Checkpoint, Link, digest};
use headcount_records::verify::{FindingKind, Report, SequencedRow, Verifier};
use headcount_store_diesel::{Recalled, Store};
use headcount_token_admin::{TenantChange, TenantStore};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use support::{Database, Scratch, cli, postgres_store, sqlite_store};

const AT: Timestamp = Timestamp::from_micros(1_000_000);
const TENANT: TenantId = TenantId::new(1);
const COLUMNS: &str = "seq, tenant, at, actor_kind, actor, request, act, kind, resource, version, \
     paths, delta, switched, personal, personal_digest, place, hash";

/// A store, and the way past it into its database.
struct Bench {
    store: Arc<Store>,
    past: Box<dyn FnMut(&str)>,
    random: StdRng,
}

impl Bench {
    fn sqlite(scratch: &Scratch) -> Self {
        let store = sqlite_store(scratch);
        let path = scratch.0.join("test.db");
        let mut past = diesel::SqliteConnection::establish(&path.display().to_string()).unwrap();
        past.batch_execute("PRAGMA synchronous = OFF; PRAGMA busy_timeout = 5000").unwrap();
        let past = Box::new(move |sql: &str| past.batch_execute(sql).unwrap());
        Self { store, past, random: StdRng::seed_from_u64(7) }
    }

    fn postgres(database: &Database) -> Self {
        let store = postgres_store(database);
        let mut past = diesel::PgConnection::establish(&database.url).unwrap();
        let past = Box::new(move |sql: &str| past.batch_execute(sql).unwrap());
        Self { store, past, random: StdRng::seed_from_u64(8) }
    }

    fn run(&mut self, sql: &str) {
        (self.past)(sql);
    }

    fn below(&mut self, end: i64) -> i64 {
        self.random.random_range(0..end)
    }

    fn word(&mut self) -> String {
        let words = ["", "a", "name.givenName", "emails title", "Ünïcödé 😀", "x''y", "{\"a\":1}"];
        let at = self.random.random_range(0..words.len());
        words[at].to_owned()
    }

    /// Writes rows past the store, as any release with any content could have written them.
    fn append_random(&mut self, rows: i64) {
        for _ in 0..rows {
            let personal = match self.below(3) {
                0 => None,
                _ => {
                    Some(format!("{{\"salt\":\"{}\",\"name\":\"n\"}}", self.random.random::<u64>()))
                }
            };
            let digest = personal.as_deref().map(digest).unwrap_or_default();
            let personal = personal.map_or("NULL".to_owned(), |text| format!("'{text}'"));
            let switched = ["NULL", "0", "1"][self.random.random_range(0..3)];
            let words: Vec<String> = (0..5).map(|_| format!("'{}'", self.word())).collect();
            let [a, b, c, d, e] = words.try_into().unwrap();
            let (tenant, resource, version) = (1 + self.below(2), self.below(9), self.below(5));
            let at = self.random.random::<i64>();
            self.run(&format!(
                "INSERT INTO changes (tenant, at, actor_kind, actor, request, act, kind, resource, \
                 version, paths, delta, switched, personal, personal_digest) VALUES ({tenant}, {at}, \
                 {a}, {b}, {c}, 'patched', 'User', 'u{resource}', {version}, {d}, {e}, {switched}, \
                 {personal}, '{digest}')"
            ));
        }
    }

    fn chain(&self) -> Vec<SequencedRow> {
        self.store.audit(None, ChainPosition::MIN, 10_000).unwrap().rows
    }

    /// Verifies as the command does, in slices.
    fn verify(&self, checkpoints: &[Checkpoint]) -> Report {
        let (mut verifier, mut after) = (Verifier::new(checkpoints), ChainPosition::MIN);
        loop {
            let slice = self.store.audit(None, after, 7).unwrap();
            after = slice.rows.last().map_or(after, |row| row.position);
            slice.rows.iter().for_each(|row| verifier.take(row));
            if let Some(unsequenced) = slice.unsequenced {
                return verifier.finish(&unsequenced);
            }
        }
    }
}

fn checkpoint(rows: &[SequencedRow]) -> Checkpoint {
    let last = rows.last().unwrap();
    Checkpoint { position: last.position, hash: Link::parse(&last.hash).unwrap(), at: AT }
}

fn clean_runs(bench: &mut Bench, runs: usize) {
    for run in 0..runs {
        bench.run("DELETE FROM changes");
        let mut kept = Vec::new();
        for _ in 0..=bench.below(4) {
            let rows = bench.below(12);
            bench.append_random(rows);
            let quirks = if run % 2 == 0 { Quirks::ALL } else { Quirks::NONE };
            let enabled = bench.below(2) == 0;
            let change = TenantChange { enabled: Some(enabled), quirks: Some(quirks) };
            bench.store.set_tenant("default", change, AT, &cli()).unwrap();
            if bench.below(3) == 0 {
                let id = ResourceId::new(format!("u{}", bench.below(9)));
                let of = Recalled { kind: Kind::new("User"), id, exists: false };
                bench.store.erase_names(TENANT, &of, AT, &cli()).unwrap();
            }
            if bench.below(4) > 0 {
                bench.store.sequence().unwrap();
                let rows = bench.chain();
                if !rows.is_empty() {
                    kept.push(checkpoint(&rows));
                }
            }
        }
        let verdict = bench.verify(&kept);
        assert_eq!((verdict.findings.as_slice(), verdict.more), ([].as_slice(), 0), "run {run}");
        assert_eq!(verdict.checkpoints, kept.len(), "run {run}");
    }
}

/// Tampers in one random way; returns what it was, and whether only a checkpoint can tell.
fn tamper(bench: &mut Bench, rows: &[SequencedRow]) -> (String, bool) {
    let last = i64::try_from(rows.len()).unwrap();
    let place = 1 + bench.below(last);
    let inner = 1 + bench.below(last - 1);
    let row = |place: i64| &rows[usize::try_from(place - 1).unwrap()];
    match bench.below(9) {
        0..=2 => edit(bench, row(place)),
        3 => {
            let end = (inner + bench.below(3)).min(last - 1);
            let sql = format!("DELETE FROM changes WHERE place BETWEEN {inner} AND {end}");
            bench.run(&sql);
            (sql, false)
        }
        4 => {
            let at = place + bench.below(2);
            insert(bench, rows, at)
        }
        5 | 6 => {
            let other = 1 + (place + bench.below(last - 1)) % last;
            swap(bench, row(place), row(other))
        }
        7 => {
            // An edit of one row together with its hash.
            let edited = AuditRow { paths: "z".to_owned(), ..row(place).row.clone() };
            let before = before(rows, place);
            let hash = before.next(ChainPosition::new(place), &edited);
            let sql =
                format!("UPDATE changes SET paths = 'z', hash = '{hash}' WHERE place = {place}");
            bench.run(&sql);
            (sql, place == last)
        }
        _ => {
            bench.run(&format!("DELETE FROM changes WHERE place >= {place}"));
            let regrown = bench.below(2) == 0;
            if regrown {
                bench.append_random(last + 3 - place);
                bench.store.sequence().unwrap();
            }
            (format!("cut before {place}, regrown {regrown}"), true)
        }
    }
}

fn before(rows: &[SequencedRow], place: i64) -> Link {
    let index = usize::try_from(place - 2).ok();
    index.map_or(Link::GENESIS, |index| Link::parse(&rows[index].hash).unwrap())
}

fn edit(bench: &mut Bench, row: &SequencedRow) -> (String, bool) {
    let (column, value) = match bench.below(20) {
        0 => ("seq", "seq + 1000000"),
        1 => ("tenant", "tenant + 1"),
        2 => ("at", "at / 2 + 1"),
        3 => ("actor_kind", "actor_kind || 'x'"),
        4 => ("actor", "actor || 'x'"),
        5 => ("request", "request || 'x'"),
        6 => ("act", "'deleted'"),
        7 => ("kind", "'Group'"),
        8 => ("resource", "resource || '0'"),
        9 => ("version", "version + 1"),
        10 => ("paths", "paths || ' '"),
        11 => ("delta", "delta || ' '"),
        12 => ("switched", "CASE switched WHEN 0 THEN 1 WHEN 1 THEN NULL ELSE 0 END"),
        13 if row.row.personal.is_some() => ("personal", "NULL"),
        13 | 14 => ("personal", "'{\"name\":\"somebody\"}'"),
        15 => ("personal_digest", "personal_digest || '0'"),
        16 => ("place", "place + 1000"),
        17 => ("place", "NULL"),
        18 => ("hash", "NULL"),
        _ => ("hash", "'00' || substr(hash, 3, 62)"),
    };
    let place = row.position;
    let sql = format!("UPDATE changes SET {column} = {value} WHERE place = {place}");
    bench.run(&sql);
    (sql, false)
}

/// Puts a row in, with those behind it moved up, and a hash that is wrong, copied or its own.
fn insert(bench: &mut Bench, rows: &[SequencedRow], place: i64) -> (String, bool) {
    let model = &rows[usize::try_from(place - 2).unwrap_or(0)];
    let row =
        AuditRow { seq: ChangeSeq::new(5_000_000), act: "deleted".to_owned(), ..model.row.clone() };
    let last = i64::try_from(rows.len()).unwrap();
    // A row with the right hash at the end is what the server itself would have written.
    let own = bench.below(if place > last { 2 } else { 3 });
    let hash = match own {
        0 => "ab".repeat(32),
        1 => model.hash.clone(),
        _ => before(rows, place).next(ChainPosition::new(place), &row).to_string(),
    };
    bench.run(&format!(
        "UPDATE changes SET place = -(place + 1) WHERE place >= {place}; \
         UPDATE changes SET place = -place WHERE place < 0"
    ));
    let columns = COLUMNS.replace("seq", "5000000").replace(" act,", " 'deleted',");
    let columns = columns.replace("place, hash", &format!("{place}, '{hash}'"));
    bench.run(&format!(
        "INSERT INTO changes ({COLUMNS}) SELECT {columns} FROM changes WHERE seq = {}",
        model.row.seq
    ));
    (format!("insert at {place}, hash {own}"), false)
}

fn swap(bench: &mut Bench, one: &SequencedRow, other: &SequencedRow) -> (String, bool) {
    let ((a, b), hashes) = ((one.row.seq, other.row.seq), bench.below(2) == 0);
    let mut put = |seq: ChangeSeq, at: &SequencedRow| {
        let hash = if hashes { format!(", hash = '{}'", at.hash) } else { String::new() };
        let place = at.position;
        bench.run(&format!("UPDATE changes SET place = {place}{hash} WHERE seq = {seq}"));
    };
    put(a, &SequencedRow { position: ChainPosition::new(-1), ..one.clone() });
    put(b, one);
    put(a, other);
    (format!("swap {} and {}, hashes stay {hashes}", one.position, other.position), false)
}

fn tamperings(bench: &mut Bench, runs: usize) {
    bench.run("DELETE FROM changes");
    bench.append_random(24);
    bench.store.sequence().unwrap();
    let rows = bench.chain();
    let kept = checkpoint(&rows);
    bench.run(&format!("CREATE TABLE original AS SELECT {COLUMNS} FROM changes"));
    let mut needed = 0;
    for run in 0..runs {
        let (what, by_checkpoint) = tamper(bench, &rows);
        let (alone, with) = (bench.verify(&[]), bench.verify(&[kept]));
        assert!(!with.findings.is_empty(), "run {run}: {what} was not found");
        if by_checkpoint {
            needed += 1;
        } else {
            assert!(!alone.findings.is_empty(), "run {run}: {what} was not found alone");
        }
        bench.run(&format!(
            "DELETE FROM changes; INSERT INTO changes ({COLUMNS}) SELECT {COLUMNS} FROM original"
        ));
        assert_eq!(bench.verify(&[kept]).findings, [], "run {run}: {what} was undone");
    }
    assert!(needed > 0 && needed < runs / 3, "cuts are among the tamperings: {needed}");
}

#[test]
fn aud_03_a_thousand_clean_runs_on_sqlite_report_nothing() {
    clean_runs(&mut Bench::sqlite(&Scratch::new()), 1_000);
}

#[test]
fn aud_03_a_thousand_tamperings_on_sqlite_are_all_found() {
    tamperings(&mut Bench::sqlite(&Scratch::new()), 1_000);
}

#[test]
fn aud_03_tamperings_and_clean_runs_on_postgres() {
    let database = Database::new();
    let mut bench = Bench::postgres(&database);
    clean_runs(&mut bench, 100);
    tamperings(&mut bench, 100);
}

#[test]
fn erased_names_leave_the_chain_whole_and_nothing_readable() {
    let database = Database::new();
    let scratch = Scratch::new();
    for mut bench in [Bench::sqlite(&scratch), Bench::postgres(&database)] {
        bench.append_random(12);
        bench.store.create_tenant("jane", Quirks::ALL, AT, &cli()).unwrap();
        bench.store.delete_tenant("jane", AT, &cli()).unwrap();
        bench.store.sequence().unwrap();
        let jane = bench.chain().last().unwrap().row.tenant;
        let jane = TenantId::new(jane);
        let found = bench.store.recall(jane, "JANE", &Work::unlimited()).unwrap();
        assert_eq!(found.len(), 1);
        assert!(!found[0].exists);
        // What is left is the record of its deletion, which took the other names with it.
        assert_eq!(bench.store.erase_names(jane, &found[0], AT, &cli()).unwrap(), 1);
        assert_eq!(bench.store.erase_names(jane, &found[0], AT, &cli()).unwrap(), 0);
        assert_eq!(bench.store.recall(jane, "jane", &Work::unlimited()).unwrap(), []);
        // The record of the erasure counts before it has a place, too.
        let verdict = bench.verify(&[]);
        assert_eq!((verdict.findings.as_slice(), verdict.unsequenced), ([].as_slice(), 1));
        bench.store.sequence().unwrap();
        assert_eq!(bench.verify(&[]).findings, []);
        bench.run("DELETE FROM changes WHERE act = 'erased'");
        let found = bench.verify(&[]).findings;
        assert!(found.iter().any(|finding| finding.kind == FindingKind::NamesGone), "{found:?}");
    }
}

#[test]
fn one_among_many_is_read_and_erased_however_far_its_rows_lie_apart() {
    let database = Database::new();
    let scratch = Scratch::new();
    for mut bench in [Bench::sqlite(&scratch), Bench::postgres(&database)] {
        let personal = "{\"salt\":\"1\",\"name\":\"jane\"}";
        let digest = digest(personal);
        let numbers = [3, 8_191, 8_192, 30_000, 5_000_000];
        for seq in numbers {
            for resource in ["jane", "john"] {
                let seq = if resource == "jane" { seq } else { seq + 100_000 };
                bench.run(&format!(
                    "INSERT INTO changes (seq, tenant, at, actor_kind, actor, request, act, kind, \
                     resource, version, paths, delta, personal, personal_digest) VALUES ({seq}, 1, \
                     {seq}, 'cli', '', 'r', 'patched', 'User', '{resource}', 1, '', '', '{personal}', \
                     '{digest}')"
                ));
            }
        }
        let jane = ResourceId::new("jane");
        let moments = |limit| -> Vec<i64> {
            let rows = bench.store.history(TENANT, &jane, limit, &Work::unlimited()).unwrap();
            rows.iter().map(|row| row.change.at.micros()).collect()
        };
        assert_eq!(moments(100), numbers);
        assert_eq!(moments(2), numbers[3..]);
        let of = Recalled { kind: Kind::new("User"), id: jane.clone(), exists: false };
        assert_eq!(bench.store.erase_names(TENANT, &of, AT, &cli()).unwrap(), numbers.len());
        let named =
            |rows: Vec<SequencedRow>| rows.iter().filter(|row| row.row.personal.is_some()).count();
        assert_eq!(named(bench.chain()), numbers.len(), "John's names stay");
    }
}
