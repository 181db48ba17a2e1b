//! The most expensive filters that the limits allow: their cost is counted, and they fit a small stack.

#![expect(clippy::print_stdout, reason = "the milliseconds are printed, not asserted")]

use serde_json::{Value, json};

use super::tests::{NoRows, user};
use super::*;
use crate::error::Error;
use crate::quirks::{Applied, Quirks};
use crate::resource::{Document, Resource};
use crate::schema::Registry;
use crate::work::{DEFAULT_UNITS, FOLDING, Halt, Stop, VISIT, Work, bytes, folding};

/// A small stack: threads of the blocking pool have 2 MiB. Without optimization, frames are larger.
const STACK: usize = if cfg!(debug_assertions) { 512 * 1024 } else { 128 * 1024 };
/// Runs of each filter for the clock, whose resolution is coarser than one run.
const RUNS: u32 = 20;

/// The cost of a filter.
#[derive(Debug, Clone, Copy)]
struct Cost {
    /// Tokens that the parser took.
    tokens: usize,
    /// The deepest nesting that it entered.
    depth: usize,
    /// Units of work for one resource.
    units: u64,
}

/// Reads, resolves, evaluates and drops a filter on a small stack, and prints the CPU time.
fn cost(name: &str, text: &str) -> Result<Cost, String> {
    let (label, text) = (format!("{name} ({} bytes)", text.len()), text.to_owned());
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(move || {
        let registry = Registry::builtin().unwrap();
        let kind = registry.kind("User").unwrap();
        let resource =
            user(json!({"title": "x", "emails": [{"value": "a", "type": "work"}, {"value": "b"}]}));
        resource.document.attributes().unwrap();
        let before = cpu_nanoseconds();
        let mut result = run(kind, &resource, &text);
        for _ in 1..RUNS {
            result = run(kind, &resource, &text);
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

fn run(kind: &ResourceType, resource: &Resource, text: &str) -> Result<Cost, String> {
    let (parsed, notes) =
        ParsedFilter::parse_with(text, Syntax { bare_words: true, loose_forms: true })
            .map_err(|error| error.to_string())?;
    let mut applied = Applied::default();
    let mut context =
        Context { kind, quirks: Quirks::ALL, applied: &mut applied, unknown_is_absent: false };
    let resolved = context.resolve(&parsed).map_err(|error| error.to_string())?;
    let work = Work::default();
    let matches = resolved.matches(kind, resource, &NoRows, &work);
    matches.map_err(|error| error.to_string())?;
    Ok(Cost { tokens: notes.steps, depth: notes.deepest, units: work.units_spent() })
}

/// Returns the CPU time of this thread, where the system reports it.
fn cpu_nanoseconds() -> Option<f64> {
    // The account is brought up to date when the thread could be exchanged for another.
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok()
}

/// Pads a text with spaces to the maximum length.
fn pad(text: &str) -> String {
    assert!(text.len() <= MAX_BYTES, "{} bytes", text.len());
    format!("{text:<MAX_BYTES$}")
}

/// Returns a filter at the deepest nesting.
fn nested(open: &str, close: &str) -> String {
    format!("{}title pr{}", open.repeat(MAX_DEPTH), close.repeat(MAX_DEPTH))
}

#[test]
fn flt_051_the_dearest_filters_cost_what_their_length_says() {
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
        ("parentheses", pad(&nested("(", ")"))),
        ("not", pad(&nested("not(", ")"))),
        ("not with spaces", pad(&nested("not (  ", " )"))),
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
        ("blanks", pad("title pr")),
    ];
    for (name, text) in cases {
        let cost = cost(name, &text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(cost.tokens <= text.len() + 1, "{name}: {cost:?}");
        assert!(cost.depth <= MAX_DEPTH, "{name}: {cost:?}");
        // Each comparison once per value, each of the nodes above it once; the values are short.
        let nodes = 2 * (3 * MAX_TERMS + MAX_DEPTH);
        let most = u64::try_from(nodes).unwrap() * (2 * VISIT + 1);
        assert!(cost.units > 0 && cost.units <= most, "{name}: {cost:?}");
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

/// Returns a user as a store reads it: a text that has not been parsed.
fn as_stored(attributes: Value) -> Resource {
    unparsed(&user(attributes))
}

fn unparsed(resource: &Resource) -> Resource {
    let document = Document::from_store(resource.document.text());
    Resource { document, ..resource.clone() }
}

fn terms(path: &str, count: usize) -> String {
    (0..count).map(|n| format!("{path} co \"q{n}\"")).collect::<Vec<_>>().join(" or ")
}

/// Evaluates a filter over so many resources alike, which none of them satisfies.
fn spend(filter: &str, resource: &Resource, times: usize, work: &Work) -> Result<(), Error> {
    let registry = Registry::builtin().unwrap();
    let kind = registry.kind("User").unwrap();
    let filter = ParsedFilter::parse(filter)?.resolve(kind)?;
    for _ in 0..times {
        assert!(!filter.matches(kind, &unparsed(resource), &NoRows, work)?);
    }
    Ok(())
}

fn units(filter: &str, resource: &Resource) -> u64 {
    let work = Work::unlimited();
    spend(filter, resource, 1, &work).unwrap();
    work.units_spent()
}

#[test]
fn s1_a_value_is_folded_once_however_many_terms_ask_for_it() {
    let long = "Ä".repeat(30_000);
    let resource = as_stored(json!({"nickName": long}));
    let (one, all) =
        (units("nickName co \"q0\"", &resource), units(&terms("nickName", 250), &resource));
    assert_eq!(one, bytes(resource.document.text()) + 2 * VISIT + folding(&long) + bytes(&long));
    assert_eq!(all - one, VISIT + 249 * (2 * VISIT + bytes(&long)));
}

#[test]
fn s1_values_in_brackets_are_folded_once() {
    let long = "Ä".repeat(1_000);
    let resource = as_stored(json!({"emails": [{"value": "x", "display": long}]}));
    let [one, all] =
        [1, 200].map(|count| units(&format!("emails[{}]", terms("display", count)), &resource));
    assert_eq!(all - one, VISIT + 199 * (2 * VISIT + bytes(&long)));
}

#[test]
fn s1_many_terms_over_12_long_texts_end_within_the_budget() {
    let resource = as_stored(json!({"nickName": "Ä".repeat(30_000)}));
    let work = Work::default();
    assert!(spend(&terms("nickName", 250), &resource, 12, &work).is_ok());
    assert!(work.units_spent() < DEFAULT_UNITS / 4, "{}", work.units_spent());
}

#[test]
fn many_terms_over_20_000_ordinary_users_end_within_the_budget() {
    let resource = as_stored(json!({"name": {"familyName": "Müller", "givenName": "Änne"}}));
    let each = units(&terms("name.familyName", 200), &resource);
    assert!(each * 20_000 <= DEFAULT_UNITS, "{each}");
    assert!(each * 200_000 > DEFAULT_UNITS, "{each}");
}

#[test]
fn the_default_budget_reads_200_000_documents_of_2_kib_with_one_term() {
    let mut text = "N".repeat(2_048);
    let mut resource = as_stored(json!({"nickName": text}));
    text.truncate(2 * text.len() - resource.document.text().len());
    resource = as_stored(json!({"nickName": text}));
    assert_eq!(resource.document.text().len(), 2_048);
    let each = units("nickName co \"q\"", &resource);
    // It is read, and its value is folded and compared.
    assert_eq!(each, 2_048 + folding(&text) + bytes(&text) + 2 * VISIT);
    assert!((200_000..210_000).contains(&(DEFAULT_UNITS / each)), "{each}");
    // Of other texts, those of usual length.
    let text = "ж".repeat(40);
    let resource = as_stored(json!({"nickName": text, "title": "x".repeat(1_800)}));
    let each = units("nickName co \"q\"", &resource);
    let document = bytes(resource.document.text());
    assert_eq!(each, document + 80 * FOLDING + bytes(&text) + 2 * VISIT);
    assert!(each * 200_000 <= DEFAULT_UNITS);
}

#[test]
fn s1_evaluation_stops_where_the_budget_ends() {
    let long = "Ä".repeat(30_000);
    let resource = as_stored(json!({"nickName": long}));
    let filter = terms("nickName", 250);
    let document = bytes(resource.document.text());
    let each = document + folding(&long) + VISIT + 250 * (2 * VISIT + bytes(&long));
    let work = Work::new(3 * each);
    assert!(spend(&filter, &resource, 3, &work).is_ok());
    assert_eq!(work.units_spent(), 3 * each);
    let refused = spend(&filter, &resource, 1, &work).unwrap_err();
    assert_eq!(refused.status_and_type(), (400, Some("tooMany")));
    assert!(refused.to_string().contains("limits.work"), "{refused}");
    // The first step that could not be paid for was the last one.
    assert_eq!(work.units_spent(), 3 * each + VISIT);
}

/// Every step of an evaluation ends it: reading, folding, each comparison and each node of the tree.
#[test]
fn s1_evaluation_stops_at_any_step() {
    let resource = as_stored(json!({
        "nickName": "Änne", "emails": [{"value": "a", "type": "work"}, {"value": "b"}]
    }));
    let filter = "nickName eq \"x\" or not (nickName pr) or emails.value eq \"c\" \
        or emails[type eq \"home\" and value pr] or emails.display pr or schemas eq \"x\" \
        or meta.version eq \"x\"";
    let all = units(filter, &resource);
    for units in 0..all {
        let work = Work::new(units);
        let refused = spend(filter, &resource, 1, &work).expect_err("it is not paid for");
        assert!(matches!(refused, Error::Halted(Halt::Spent)), "{units} of {all}: {refused}");
    }
    assert!(spend(filter, &resource, 1, &Work::new(all)).is_ok());
}

/// Rows that stop the request when they are asked for.
struct Stopping<'a>(&'a Work, Stop);

impl Relations for Stopping<'_> {
    fn holds(&self, _predicate: &ResolvedFilter) -> Result<bool, Halt> {
        self.0.stop(self.1);
        Ok(false)
    }
}

#[test]
fn evaluation_stops_when_the_request_is_stopped() {
    let registry = Registry::builtin().unwrap();
    let kind = registry.kind("User").unwrap();
    let resource = as_stored(json!({"nickName": "x"}));
    for (why, halt) in [(Stop::Deadline, Halt::Deadline), (Stop::Gone, Halt::Gone)] {
        let work = Work::default();
        work.stop(why);
        let stopped = spend("nickName co \"q\"", &resource, 1, &work).unwrap_err();
        assert!(matches!(stopped, Error::Halted(found) if found == halt), "{stopped}");
        assert_eq!((stopped.status_and_type(), work.units_spent()), ((503, None), 0));
        // In its midst, too, whatever comes next.
        for next in [
            "nickName co \"q\"",
            "nickName pr",
            "not (nickName pr)",
            "emails[type eq \"work\"]",
            "emails.value eq \"a\"",
            "schemas eq \"x\"",
            "meta.version eq \"x\"",
        ] {
            let text = format!("groups.value eq \"x\" or {next}");
            let filter = ParsedFilter::parse(&text).unwrap().resolve(kind).unwrap();
            let work = Work::default();
            let stopped = filter.matches(kind, &resource, &Stopping(&work, why), &work);
            assert!(
                matches!(stopped, Err(Error::Halted(found)) if found == halt),
                "{next}: {stopped:?}"
            );
            assert_eq!(work.units_spent(), 2 * VISIT, "{next}: nothing more is done");
        }
    }
}

#[test]
fn sort_keys_are_paid_for() {
    let registry = Registry::builtin().unwrap();
    let kind = registry.kind("User").unwrap();
    let long = "Ä".repeat(30_000);
    let emails: Vec<Value> = (0..9).map(|n| json!({"value": format!("{n}@x")})).collect();
    let resource = as_stored(json!({"nickName": long, "emails": emails}));
    let text = bytes(resource.document.text());
    for (by, cost) in [
        ("nickName", text + VISIT + VISIT + folding(&long)),
        // The primary one is looked for among all of them.
        ("emails.value", text + VISIT + 9 * VISIT + bytes("0@x")),
        ("emails.type", text + VISIT + 9 * VISIT),
        ("title", text + VISIT),
        ("meta.created", VISIT),
    ] {
        let at = kind.resolve(by).unwrap();
        let work = Work::new(cost);
        assert!(sort_key(&at, &unparsed(&resource), &work).is_ok(), "{by}");
        assert_eq!(work.units_spent(), cost, "{by}");
        let stopped = sort_key(&at, &unparsed(&resource), &Work::new(cost - 1)).unwrap_err();
        assert!(matches!(stopped, Error::Halted(Halt::Spent)), "{by}: {stopped}");
    }
}
