//! Evaluator, SQLite and PostgreSQL give the same answers over random deployments.
//!
//! `cargo xtask soak equivalence` runs the long form.

#![expect(clippy::print_stdout, reason = "a person who runs the tests reads how much was compared")]
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "helpers of tests; the soak command says in the environment how long and from which seed"
)]

mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use headcount_core::filter::{MAX_BYTES, MAX_DEPTH, MAX_TERMS};
use headcount_core::schema::Registry;
use headcount_core::schema::registry::IndexMarks;
use headcount_provider_conformance::bench::Bench;
use headcount_provider_conformance::world::{Setup, Tally, World, memory};
use headcount_provider_conformance::{Subject, stream};
use serde_json::json;

/// Pairs that one deployment is asked in the soak; enough to be worth its databases.
const PAIRS_OF_A_WORLD: usize = 10_000;

/// Compares the answers of worlds with seeds from `seed` on.
fn compare(stores: &[Setup<'_>], seed: u64, worlds: u64, pairs: usize, threads: usize) -> Tally {
    let (next, sum) = (AtomicU64::new(0), Mutex::new(Tally::default()));
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number >= worlds {
                        return;
                    }
                    let tally = World::new(seed + number, stores).run(pairs);
                    let mut sum = sum.lock().unwrap();
                    *sum += tally;
                    if number % 10 == 9 {
                        println!(
                            "{} pairs, {} differences, {} s",
                            sum.pairs,
                            sum.differences,
                            started.elapsed().as_secs()
                        );
                    }
                }
            });
        }
    });
    let tally = sum.into_inner().unwrap();
    println!(
        "equivalence from seed {seed}: {} pairs ({} of them found some and not all), {} changes ({} of them made), {} PATCH forms, {} differences, {} s",
        tally.pairs,
        tally.telling,
        tally.changes,
        tally.made,
        tally.forms,
        tally.differences,
        started.elapsed().as_secs()
    );
    tally
}

/// What the test command runs, for one store next to the evaluator.
fn short(store: Setup<'_>) {
    let tally = compare(&[store], 1, 4, 5_000, 1);
    assert_eq!((tally.pairs, tally.differences), (20_000, 0));
    assert!(tally.telling > 2_000 && tally.made > 800 && tally.forms > 500, "{tally:?}");
}

#[test]
fn flt_055_sqlite_answers_like_the_evaluator() {
    short(&support::sqlite_for);
}

#[test]
fn flt_055_postgres_answers_like_the_evaluator() {
    short(&support::postgres_for);
}

/// Sub-attributes that a deployment marks as indexed answer like any other.
fn marked(store: Setup<'_>) {
    let paths = [
        "emails.type",
        "emails.primary",
        "addresses.type",
        "addresses.region",
        "addresses.locality",
    ];
    let marks = IndexMarks::from([("User".to_owned(), paths.map(str::to_owned).to_vec())]);
    let registry = Arc::new(Registry::from_documents(&[], &marks).unwrap());
    let bench = Bench::over(store(&registry), Arc::clone(&registry));
    bench.create(
        "User",
        json!({"userName": "anna",
        "emails": [{"value": "anna@example.com", "type": "work"}],
        "addresses": [{"type": "work", "region": "North", "locality": "Here"}]}),
    );
    bench.create(
        "User",
        json!({"userName": "bert",
        "emails": [{"value": "work", "type": "home", "primary": true}],
        "addresses": [{"type": "North", "region": "Here", "locality": "work"}]}),
    );
    for (filter, expected) in [
        ("emails.primary eq false", "anna"),
        ("emails.primary ne true", "anna"),
        ("emails.primary eq true", "bert"),
        ("emails[primary eq false]", "anna"),
        ("emails[primary eq false or primary eq true]", "anna bert"),
        ("emails[type eq \"work\" and value sw \"anna\"]", "anna"),
        ("emails[type eq \"home\" and value eq \"work\"]", "bert"),
        ("emails[type eq \"work\" and primary eq true]", ""),
        ("addresses[region eq \"north\" and locality eq \"here\"]", "anna"),
        ("addresses[region eq \"here\" or locality eq \"here\"]", "anna bert"),
        ("addresses[type eq \"work\"]", "anna"),
        ("addresses[type eq \"north\" and region eq \"here\"]", "bert"),
    ] {
        assert_eq!(bench.filter("User", filter).join(" "), expected, "{filter}");
    }
}

#[test]
fn sqlite_answers_by_marked_sub_attributes() {
    marked(&support::sqlite_for);
}

#[test]
fn postgres_answers_by_marked_sub_attributes() {
    marked(&support::postgres_for);
}

/// The deepest and longest filters that are allowed become statements that the database can take.
fn largest(store: Setup<'_>) {
    let registry = Arc::new(Registry::builtin().unwrap());
    let benches =
        [store(&registry), memory()].map(|subject| Bench::over(subject, Arc::clone(&registry)));
    for bench in &benches {
        for (name, value) in [("anna", "a"), ("bert", "b"), ("carl", "c")] {
            let body = json!({"userName": name, "externalId": value,
                "emails": [{"type": "work", "value": value}], "title": value});
            bench.create("User", body);
        }
    }
    let depth = MAX_DEPTH;
    for term in [
        "externalId eq \"a\"",
        "emails.value ne \"b\"",
        "emails[type eq \"work\" and value eq \"c\"]",
        "title pr",
    ] {
        let terms = if term.starts_with("emails[") { MAX_TERMS / 3 } else { MAX_TERMS };
        // A bracket counts as a comparison and as a level.
        let levels = if term.starts_with("emails[") { depth - 1 } else { depth };
        let ladder = |word: &str| {
            (0..levels).fold(term.to_owned(), |inner, _| format!("{term} {word} not ({inner})"))
        };
        for filter in [
            vec![term; terms].join(" or "),
            vec![term; terms].join(" and "),
            vec![format!("not ({term})"); terms].join(" and "),
            format!("{}{term}{}", "not (".repeat(levels), ")".repeat(levels)),
            ladder("and"),
            ladder("or"),
            format!("externalId co \"{}\"", "\u{e4}".repeat(4_000)),
        ] {
            if filter.len() > MAX_BYTES {
                continue;
            }
            let [one, other] = benches.each_ref().map(|bench| bench.filter("User", &filter));
            assert_eq!(one, other, "{filter}");
        }
    }
}

#[test]
fn flt_050_sqlite_takes_the_largest_filters() {
    largest(&support::sqlite_for);
}

#[test]
fn flt_050_postgres_takes_the_largest_filters() {
    largest(&support::postgres_for);
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn soak() {
    let pairs = usize::try_from(setting("HEADCOUNT_SOAK_PAIRS", 2_000)).unwrap();
    let worlds = u64::try_from(pairs.div_ceil(PAIRS_OF_A_WORLD)).unwrap();
    // Each waits for its databases half of the time.
    let threads = 2 * std::thread::available_parallelism().map_or(2, usize::from);
    let seed = setting("HEADCOUNT_SOAK_SEED", 1_000);
    let stores: [Setup<'_>; 2] = [&support::sqlite_for, &support::postgres_for];
    let tally = compare(&stores, seed, worlds, pairs.min(PAIRS_OF_A_WORLD), threads);
    assert_eq!(tally.differences, 0);
    assert!(tally.pairs >= pairs);
}

/// Operations of one run of the model; then a new store begins, so that its state stays small.
const OPERATIONS: usize = 2_000;

/// Runs one operation on a store and on the model for every fifty pairs.
fn long_model(name: &str, store: fn() -> Subject) {
    let pairs = usize::try_from(setting("HEADCOUNT_SOAK_PAIRS", 2_000)).unwrap();
    let first = setting("HEADCOUNT_SOAK_SEED", 1_000);
    let runs = u64::try_from(pairs.div_ceil(50 * OPERATIONS)).unwrap();
    let (mut operations, mut refused) = (0, 0);
    for seed in first..first + runs {
        let run = stream::run(store(), seed, OPERATIONS);
        operations += run.operations;
        refused += run.refused;
    }
    println!("model on {name}: {operations} operations, {refused} refused by both, 0 differences");
}

#[test]
fn soak_model() {
    long_model("SQLite", support::sqlite);
    long_model("PostgreSQL", support::postgres);
}
