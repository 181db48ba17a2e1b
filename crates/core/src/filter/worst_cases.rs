//! The dearest filters that the limits allow: what they cost is counted, and they fit a small stack.

#![expect(clippy::print_stdout, reason = "the milliseconds are told, not asserted")]

use std::cell::Cell;

use serde_json::json;

use super::tests::{NoRows, user};
use super::*;
use crate::schema::Registry;

thread_local! {
    static STEPS: Cell<usize> = const { Cell::new(0) };
}

/// Counts one visit of a node by the evaluator; only tests are built with it.
pub(super) fn step() {
    STEPS.with(|steps| steps.set(steps.get() + 1));
}

/// A small stack: threads of the blocking pool have 2 MiB. Without optimization, frames are larger.
const STACK: usize = if cfg!(debug_assertions) { 512 * 1024 } else { 128 * 1024 };
/// How often a filter is run for the clock, which does not tell single microseconds.
const RUNS: u32 = 20;

/// What a filter has cost.
#[derive(Debug, Clone, Copy)]
struct Cost {
    /// Tokens that the parser took.
    tokens: usize,
    /// The deepest nesting that it entered.
    depth: usize,
    /// Nodes that the evaluator visited for one resource.
    visits: usize,
}

/// Reads, resolves, evaluates and drops a filter on a small stack; prints what the CPU says.
fn cost(name: &str, text: &str) -> Result<Cost, String> {
    let (label, text) = (format!("{name} ({} bytes)", text.len()), text.to_owned());
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(move || {
        let registry = Registry::builtin().unwrap();
        let kind = registry.kind("User").unwrap();
        let resource =
            user(json!({"title": "x", "emails": [{"value": "a", "type": "work"}, {"value": "b"}]}));
        resource.document.attributes().unwrap();
        let run = || {
            let parsed =
                ParsedFilter::parse_with(&text, Syntax { bare_words: true, loose_forms: true });
            parsed.map_err(|error| error.to_string()).and_then(|(parsed, notes)| {
                let resolved = parsed.resolve(kind).map_err(|error| error.to_string())?;
                STEPS.with(|steps| steps.set(0));
                resolved.matches(kind, &resource, &NoRows).map_err(|error| error.to_string())?;
                let visits = STEPS.with(Cell::get);
                Ok(Cost { tokens: notes.steps, depth: notes.deepest, visits })
            })
        };
        let before = cpu_nanoseconds();
        let mut result = run();
        for _ in 1..RUNS {
            result = run();
        }
        let after = cpu_nanoseconds();
        if let (Some(before), Some(after)) = (before, after) {
            println!(
                "{label}: {:.3} ms of CPU, {result:?}",
                (after - before) / 1e6 / f64::from(RUNS)
            );
        }
        result
    });
    thread.unwrap().join().unwrap()
}

/// What this thread has used of the CPU, where the system tells.
fn cpu_nanoseconds() -> Option<f64> {
    // The account is brought up to date when the thread could be exchanged for another.
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok()
}

/// Cuts a text at the limit and fills it up with spaces, so that it has exactly the longest length.
fn filled(text: &str) -> String {
    assert!(text.len() <= MAX_BYTES, "{} bytes", text.len());
    format!("{text:<MAX_BYTES$}")
}

#[test]
fn flt_051_the_dearest_filters_cost_what_their_length_says() {
    let nested = |open: &str, close: &str| {
        format!("{}title pr{}", open.repeat(MAX_DEPTH), close.repeat(MAX_DEPTH))
    };
    // At every level both sides: the whole depth, all the terms.
    let ladder = (0..MAX_DEPTH).fold("title pr".to_owned(), |inner, level| {
        let word = if level % 2 == 0 { "and" } else { "or" };
        format!("title eq \"x\" and not (nickName pr {word} {inner})")
    });
    let brackets = format!(
        "emails[{}]",
        vec!["type ne \"zz\" and value ne \"zz\""; MAX_TERMS / 2 - 1].join(" and ")
    );
    let cases = [
        ("parentheses", filled(&nested("(", ")"))),
        ("not", filled(&nested("not(", ")"))),
        ("not with spaces", filled(&nested("not (  ", " )"))),
        ("256 or terms, none holds", vec!["title eq \"no\""; MAX_TERMS].join(" or ")),
        ("256 and terms, all hold", vec!["title pr"; MAX_TERMS].join(" and ")),
        (
            "256 terms mixed",
            vec!["nickName pr or title pr and nickName pr or userType pr"; MAX_TERMS / 4]
                .join(" or "),
        ),
        ("a ladder of and, or and not", ladder),
        ("one value, 255 comparisons", brackets),
        ("one long text", format!("title co \"{}\"", "x".repeat(MAX_BYTES - 11))),
        (
            "one long escaped text",
            format!("title co \"{}\"", "\\u00e4".repeat((MAX_BYTES - 11) / 6)),
        ),
        ("a long bare word", format!("title eq {}", "x".repeat(MAX_BYTES - 9))),
        ("blanks", filled("title pr")),
    ];
    for (name, text) in cases {
        let cost = cost(name, &text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(cost.tokens <= text.len() + 1, "{name}: {cost:?}");
        assert!(cost.depth <= MAX_DEPTH, "{name}: {cost:?}");
        // Each comparison once per value, each of the nodes above it once.
        let nodes = 2 * (3 * MAX_TERMS + MAX_DEPTH);
        assert!(cost.visits > 0 && cost.visits <= nodes, "{name}: {cost:?}");
    }
}

#[test]
fn flt_050_flt_051_filters_beyond_the_limits_are_refused_on_a_small_stack() {
    let floods = [
        "(",
        "((",
        "not(",
        "not (",
        "emails[",
        "emails[(",
        "title pr or ",
        "title pr and not(",
        "[",
        ")",
        "]",
        "\"",
        "\\",
        "title eq \"",
        "not not ",
        "emails[type eq \"x\" and (",
        "(title pr or ",
    ];
    for flood in floods {
        for text in [flood.repeat(MAX_BYTES / flood.len()), flood.repeat(20_000)] {
            let refused = cost(&format!("flood of {flood:?}"), &text);
            assert!(refused.is_err(), "{flood}");
        }
    }
    let terms = vec!["title pr"; MAX_TERMS + 1].join(" or ");
    assert!(cost("257 terms", &terms).is_err());
    let deep = format!("{}title pr{}", "(".repeat(MAX_DEPTH + 1), ")".repeat(MAX_DEPTH + 1));
    assert!(cost("33 levels", &deep).is_err());
}
