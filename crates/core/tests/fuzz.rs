//! What clients send is read without a panic, without an internal error, and with the promises of
//! each reader kept. `cargo xtask soak fuzz` runs the same targets for longer.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "helpers of tests; the soak command says in the environment how long and from which seed"
)]

use std::time::Duration;

use headcount_core::error::Error;
use headcount_core::filter::{MAX_BYTES, MAX_DEPTH, ParsedFilter, Syntax};
use headcount_core::ids::ResourceId;
use headcount_core::index;
use headcount_core::json;
use headcount_core::message::SearchRequest;
use headcount_core::path::PathTarget;
use headcount_core::quirks::Quirks;
use headcount_core::resource::Reply;
use headcount_core::service::{Caller, Edit, Shape};
use headcount_provider_conformance::bench::{Bench, GROUP, USER};
use headcount_provider_conformance::fuzz::{self, Effort, FEW, Seen};
use headcount_provider_conformance::print::to_text;
use headcount_provider_conformance::world::memory;
use serde_json::{Value, json};

const FILTER_WORDS: [&str; 40] = [
    " and ",
    " or ",
    "not (",
    "(",
    ")",
    "[",
    "]",
    " eq ",
    " ne ",
    " co ",
    " sw ",
    " ew ",
    " pr",
    " gt ",
    " ge ",
    " lt ",
    " le ",
    "\"",
    "\\",
    "null",
    "true",
    "false",
    "-1",
    "1e9",
    "userName",
    "title",
    "emails",
    "emails.value",
    "members",
    "value",
    "type",
    "primary",
    "meta.created",
    "id",
    "name.familyName",
    "active",
    ".",
    ":",
    "$ref",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
];
const JSON_WORDS: [&str; 44] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "null",
    "true",
    "false",
    "0",
    "-1",
    "1.5",
    "1e99",
    "\"op\"",
    "\"path\"",
    "\"value\"",
    "\"add\"",
    "\"replace\"",
    "\"remove\"",
    "\"Operations\"",
    "\"schemas\"",
    "\"members\"",
    "\"emails\"",
    "\"name\"",
    "\"userName\"",
    "\"displayName\"",
    "\"active\"",
    "\"type\"",
    "\"primary\"",
    "\"title\"",
    "[]",
    "{}",
    "\"\"",
    "emails[type eq \\\"work\\\"]",
    ".value",
    "\\u0000",
    "\\ud800",
    "id",
    "meta",
    "externalId",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
    "{\"value\":\"9e37-1\"}",
];

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// What the ordinary tests spend.
fn little() -> Effort {
    Effort { seed: 1, inputs: FEW, time: Duration::ZERO }
}

/// What the soak spends.
fn much() -> Effort {
    let seconds = setting("HEADCOUNT_SOAK_SECONDS").unwrap_or(0);
    let seed = setting("HEADCOUNT_SOAK_SEED").unwrap_or(1_000);
    Effort { seed, inputs: FEW, time: Duration::from_secs(seconds) }
}

/// Some users and groups behind a service in memory.
fn bench() -> Bench {
    let bench = Bench::new(memory());
    let anna = bench.create(
        USER,
        json!({"userName": "anna@example.com", "title": "Boss", "externalId": "x-1",
        "emails": [{"value": "anna@example.com", "type": "work", "primary": true}, {"value": "a@example.org", "type": "home"}],
        "name": {"familyName": "Muster", "givenName": "Anna"}}),
    );
    bench.create(USER, json!({"userName": "bert", "active": false, "nickName": "Bärt",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "Tour", "manager": {"value": "m"}}}));
    bench.user("carl");
    bench.group("Everyone", &[&anna]);
    bench.group("Nobody", &[]);
    bench
}

/// A caller as lenient or as strict as the input decides.
fn caller(bench: &Bench, input: &[u8]) -> Caller {
    let strict = input.len().is_multiple_of(5);
    Caller { quirks: if strict { Quirks::NONE } else { Quirks::ALL }, ..bench.caller(0) }
}

/// A refusal has its reason in one line, and never blames the server.
fn client_error(error: &Error) {
    let (status, _) = error.status_and_type();
    let detail = error.to_string();
    assert!((400..500).contains(&status), "{status}: {detail}");
    assert!(!detail.is_empty() && detail.len() < 4_000, "{} bytes: {detail}", detail.len());
    for word in ["SELECT", "panicked", ".rs:"] {
        assert!(!detail.contains(word), "{detail}");
    }
}

fn filter(effort: Effort) -> Seen {
    let bench = bench();
    fuzz::run("filter", &FILTER_WORDS, effort, |input| {
        let text = String::from_utf8_lossy(input).into_owned();
        let loose = Syntax { bare_words: true, loose_forms: true };
        if let Ok((_, notes)) = ParsedFilter::parse_with(&text, loose) {
            assert!(notes.steps <= text.len() + 1, "{} steps", notes.steps);
            assert!(notes.deepest <= MAX_DEPTH);
        }
        if let Ok(parsed) = ParsedFilter::parse(&text) {
            let again = to_text(&parsed);
            if again.len() <= MAX_BYTES {
                assert_eq!(ParsedFilter::parse(&again).as_ref(), Ok(&parsed), "{again}");
            }
            assert!(
                ParsedFilter::parse_with(&text, loose).is_ok(),
                "what the grammar has is read by all"
            );
        }
        let mut accepted = false;
        for kind in [USER, GROUP] {
            let total = |filter: Option<String>| {
                let request = SearchRequest { filter, count: Some(0), ..SearchRequest::default() };
                let found =
                    bench.service.search(&caller(&bench, input), &[bench.kind(kind)], &request);
                found.map(|listing| listing.head.total)
            };
            match total(Some(text.clone())) {
                Ok(selected) => {
                    accepted = true;
                    // FLT-031: what a filter leaves out is what its negation selects.
                    if let Ok(others) = total(Some(format!("not ({text})"))) {
                        assert_eq!(selected + others, total(None).unwrap());
                    }
                }
                Err(error) => client_error(&error),
            }
        }
        accepted
    })
}

fn path(effort: Effort) -> Seen {
    let bench = bench();
    let id = ResourceId::new(bench.id_of("bert"));
    fuzz::run("path", &FILTER_WORDS, effort, |input| {
        let text = String::from_utf8_lossy(input).into_owned();
        let mut accepted = false;
        for kind in [USER, GROUP] {
            let kind = bench.kind(kind);
            match kind.resolve_target(&text) {
                Ok(PathTarget::Attribute(found)) => {
                    accepted = true;
                    assert_eq!(
                        kind.resolve(&found.to_string()).unwrap(),
                        found,
                        "the canonical path leads to the same"
                    );
                }
                Ok(PathTarget::Container(found)) => {
                    assert!(kind.extension(&text).is_some_and(|extension| *extension == found));
                }
                Err(error) => client_error(&Error::from(error)),
            }
            let request = SearchRequest {
                sort_by: Some(text.clone()),
                attributes: vec![text.clone()],
                ..SearchRequest::default()
            };
            let found = bench.service.search(&caller(&bench, input), &[kind], &request);
            drop(found.map_err(|error| client_error(&error)));
        }
        // A path of a PATCH: what it removes is gone, and removing it again changes nothing.
        let body = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "remove", "path": text}]});
        let patch = || {
            let (kind, caller) = (bench.kind(USER), caller(&bench, input));
            let edit = Edit::unconditional(&caller, &kind);
            bench.service.patch(edit, &id, body.clone(), &Shape::default())
        };
        match patch() {
            Ok(_) => assert!(patch().is_ok_and(|again| !again.changed)),
            Err(error) => client_error(&error),
        }
        accepted
    })
}

fn patch(effort: Effort) -> Seen {
    let mut bench = bench();
    let mut number = 0;
    fuzz::run("patch", &JSON_WORDS, effort, |input| {
        number += 1;
        if number % 500 == 0 {
            bench = self::bench();
        }
        let body = match json::parse(input) {
            Ok(body) => body,
            Err(error) => {
                client_error(&error);
                return false;
            }
        };
        let caller = caller(&bench, input);
        let mut accepted = false;
        for (kind, name) in [(USER, "userName sw \"anna\""), (GROUP, "id pr")] {
            let kind = bench.kind(kind);
            let request =
                SearchRequest { filter: Some(name.to_owned()), ..SearchRequest::default() };
            let found =
                bench.service.search(&caller, std::slice::from_ref(&kind), &request).unwrap();
            let Some(before) = found.resources.into_iter().next() else {
                // An earlier input has renamed her.
                continue;
            };
            let id = &before.resource.id;
            let edit = Edit::unconditional(&caller, &kind);
            let patched = bench.service.patch(edit, id, body.clone(), &Shape::default());
            let after = bench.get(0, kind.kind.as_str(), id).unwrap();
            match patched {
                Ok(written) => {
                    accepted = true;
                    let grown =
                        after.resource.version.counter() - before.resource.version.counter();
                    assert_eq!(grown, i64::from(written.changed), "a version is a change");
                    let derived = index::derive(&kind, Quirks::ALL, &after.resource.document);
                    assert!(derived.is_ok(), "{derived:?}: the result is canonical");
                }
                Err(error) => {
                    client_error(&error);
                    assert_eq!(after.resource, before.resource, "a refused PATCH changes nothing");
                }
            }
        }
        accepted
    })
}

fn body(effort: Effort) -> Seen {
    let mut bench = bench();
    let mut number = 0;
    fuzz::run("body", &JSON_WORDS, effort, |input| {
        number += 1;
        if number % 200 == 0 {
            // What was recorded of earlier inputs would only make it slow.
            bench = self::bench();
        }
        let raw = match json::parse(input) {
            Ok(raw) => raw,
            Err(error) => {
                client_error(&error);
                return false;
            }
        };
        let again = json::parse(json::to_text(&raw).as_bytes());
        assert_eq!(again.ok().as_ref(), Some(&raw), "what was read is written and read alike");
        let caller = caller(&bench, input);
        let mut accepted = false;
        for kind in [USER, GROUP] {
            let kind = bench.kind(kind);
            let (edit, shape) = (Edit::unconditional(&caller, &kind), Shape::default());
            match bench.service.create(&caller, &kind, raw.clone(), &shape) {
                Ok(written) => {
                    accepted = true;
                    let shown = reply(&bench, &kind, &written);
                    let id = &written.found.resource.id;
                    // The reply, sent back, is the same resource.
                    let put = bench.service.replace(edit, id, shown.clone(), &shape);
                    let put = put.unwrap_or_else(|error| panic!("{shown}: {error}"));
                    assert!(!put.changed, "{shown}\n{}", reply(&bench, &kind, &put));
                    assert_eq!(reply(&bench, &kind, &put), shown);
                    bench.service.delete(edit, id).unwrap();
                }
                Err(error) => client_error(&error),
            }
        }
        accepted
    })
}

fn reply(
    bench: &Bench,
    kind: &headcount_core::schema::ResourceType,
    written: &headcount_core::service::WriteOutcome,
) -> Value {
    let (registry, projection) = (&*bench.service.registry, &written.projection);
    let reply = Reply { registry, kind, projection, base: "https://scim.example.com" };
    let mut out = Vec::new();
    reply.write(&mut out, &written.found.resource, &written.found.computed).unwrap();
    json::parse(&out).unwrap_or_else(|error| panic!("{}: {error}", String::from_utf8_lossy(&out)))
}

/// Cursors in the clear, as if someone had broken the cipher: still no panic and no internal error.
fn cursor(effort: Effort) -> Seen {
    let bench = bench();
    let sorted = SearchRequest { sort_by: Some("userName".to_owned()), ..SearchRequest::default() };
    fuzz::run(
        "cursor",
        &["@", " ", "0", "1", "[", "]", "null", "\"anna\"", ",", ":", "-"],
        effort,
        |input| {
            let text = String::from_utf8_lossy(input).into_owned();
            let mut accepted = false;
            for query in [SearchRequest::default(), sorted.clone()] {
                let ask = |cursor: String| {
                    let request =
                        SearchRequest { cursor: Some(cursor), count: Some(1), ..query.clone() };
                    bench.service.search(&bench.caller(0), &[bench.kind(USER)], &request)
                };
                let foreign = ask(text.clone());
                assert!(
                    text.is_empty()
                        || foreign.is_err_and(|error| {
                            client_error(&error);
                            matches!(error, Error::InvalidCursor)
                        }),
                    "{text}: a text of no purpose is no cursor"
                );
                let first = ask(String::new()).unwrap().head.next_cursor.unwrap();
                let (purpose, _) = first.rsplit_once('|').unwrap();
                match ask(format!("{purpose}|{text}")) {
                    Ok(listing) => {
                        accepted = true;
                        assert!(listing.resources.len() <= 1 && listing.head.total == 3);
                    }
                    Err(error) => client_error(&error),
                }
            }
            accepted
        },
    )
}

/// Runs every target; of each, some inputs have to be accepted and some refused.
fn all(effort: Effort, targets: &[fn(Effort) -> Seen]) {
    for target in targets {
        let seen = target(effort);
        assert!(seen.accepted > 10 && seen.accepted < seen.inputs, "{seen:?}");
    }
}

#[test]
fn flt_055_flt_057_filters_keep_their_promises() {
    all(little(), &[filter]);
}

#[test]
fn paths_keep_their_promises() {
    all(little(), &[path]);
}

#[test]
fn patches_keep_their_promises() {
    all(little(), &[patch]);
}

#[test]
fn err_010_bodies_keep_their_promises() {
    all(little(), &[body]);
}

#[test]
fn cursors_keep_their_promises() {
    all(little(), &[cursor]);
}

#[test]
fn soak() {
    all(much(), &[filter, path, patch, body, cursor]);
}
