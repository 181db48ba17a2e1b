use serde_json::{Value, json};

use super::*;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::ids::{ResourceId, Version};
use crate::quirks::{Applied, Quirks};
use crate::resource::{Document, Resource, body};
use crate::schema::{Registry, ResourceType};
use crate::work::{Halt, Work};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

pub(super) fn user(mut attributes: Value) -> Resource {
    let registry = Registry::builtin().unwrap();
    let kind = registry.kind("User").unwrap();
    attributes["schemas"] = json!([crate::schema::USER]);
    if attributes["userName"].is_null() {
        attributes["userName"] = json!("bjensen");
    }
    let attributes = body(kind, Quirks::SCHEMAS_REPAIRED, attributes).unwrap().attributes;
    Resource {
        kind: kind.kind.clone(),
        id: ResourceId::new("2819c223"),
        version: Version::new(3),
        created: Timestamp::parse("2026-01-01T00:00:00Z").unwrap(),
        modified: Timestamp::parse("2026-02-01T00:00:00Z").unwrap(),
        document: Document::from_attributes(kind, attributes),
    }
}

pub(super) struct NoRows;

impl Relations for NoRows {
    fn holds(&self, _predicate: &ResolvedFilter) -> Result<bool, Halt> {
        Ok(false)
    }
}

fn resolve(kind: &ResourceType, text: &str) -> Result<ResolvedFilter, Error> {
    ParsedFilter::parse(text)?.resolve(kind)
}

fn holds(text: &str, resource: &Resource) -> bool {
    let registry = Registry::builtin().unwrap();
    let kind = registry.kind("User").unwrap();
    let filter = resolve(kind, text).unwrap_or_else(|error| panic!("{text}: {error}"));
    filter.matches(kind, resource, &NoRows, &Work::default()).unwrap()
}

fn refusal(text: &str) -> String {
    let registry = Registry::builtin().unwrap();
    let error = resolve(registry.kind("User").unwrap(), text).expect_err(text);
    assert_eq!(error.status_and_type(), (400, Some("invalidFilter")), "{text}");
    error.to_string()
}

#[test]
fn flt_001_filters_select_by_every_operator() {
    let jane = user(json!({
        "userName": "bjensen@example.com", "title": "Vice President", "active": true,
        "name": {"familyName": "Jensen"},
        "emails": [{"value": "bj@example.com", "type": "work"}, {"value": "babs@jensen.org", "type": "home"}],
        ENTERPRISE: {"department": "Tour", "manager": {"value": "m1"}},
    }));
    for yes in [
        "userName eq \"BJENSEN@example.com\"",
        "userName sw \"bj\"",
        "userName ew \".com\"",
        "userName co \"sen@\"",
        "title pr",
        "name pr",
        "name.familyName eq \"jensen\"",
        "title gt \"v\"",
        "title le \"vice president\"",
        "active eq true",
        "active ne false",
        "emails pr",
        "emails.type eq \"home\"",
        "emails co \"jensen.org\"",
        "emails[type eq \"work\" and value co \"@example.com\"]",
        "emails[not (type eq \"work\")]",
        "id eq \"2819c223\"",
        "meta.created lt \"2026-01-01T01:00:00+00:30\"",
        "meta.version eq \"W/\\\"3\\\"\"",
        "meta.resourceType eq \"User\"",
        "schemas eq \"urn:ietf:params:scim:schemas:core:2.0:User\"",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq \"tour\"",
        "URN:ietf:params:scim:schemas:extension:enterprise:2.0:user:manager.value eq \"m1\"",
        "urn:ietf:params:scim:schemas:core:2.0:User:userName pr",
        "nickName ne \"x\"",
        "nickName eq null",
        "title ne null",
        "emails[primary eq false]",
        "emails.value ne \"bj@example.com\"",
        "title sw \"\"",
    ] {
        assert!(holds(yes, &jane), "{yes}");
    }
    for no in [
        "userName eq \"other\"",
        "nickName pr",
        "nickName sw \"\"",
        "title lt \"vice\"",
        "active eq false",
        "emails[type eq \"work\" and value co \"jensen.org\"]",
        "id eq \"2819C223\"",
        "emails.primary eq true",
        "meta.created gt \"2026-01-01T00:00:00Z\"",
        "meta.resourceType eq \"Group\"",
        "externalId pr",
    ] {
        assert!(!holds(no, &jane), "{no}");
    }
}

#[test]
fn flt_028_not_binds_before_and_binds_before_or() {
    let truth = [("title", true), ("nickName", false), ("userType", true)];
    let mut attributes = json!({});
    for (name, present) in truth {
        if present {
            attributes[name] = json!("x");
        }
    }
    let resource = user(attributes);
    let (t, n, u) = (true, false, true);
    for (text, expected) in [
        ("title pr or nickName pr and userType pr", t || (n && u)),
        ("nickName pr and userType pr or title pr", (n && u) || t),
        ("nickName pr and (userType pr or title pr)", n && (u || t)),
        ("not (title pr) and nickName pr or userType pr", (!t && n) || u),
        ("not(title pr and nickName pr) and userType pr", !(t && n) && u),
    ] {
        assert_eq!(holds(text, &resource), expected, "{text}");
    }
}

#[test]
fn flt_006_what_does_not_parse_says_where() {
    for (text, word) in [
        ("", "empty"),
        ("  ", "empty"),
        ("userName", "operator"),
        ("userName eq", "value"),
        ("userName regex \"a\"", "regex"),
        ("userName eq \"a\" and", "attribute"),
        ("userName eq \"a\" xx", "and"),
        ("(title pr", ")"),
        ("title pr)", "without"),
        ("not title pr", "parentheses"),
        ("userName eq \"a", "quote"),
        ("title pr title pr", "and"),
        ("eq eq", "value"),
        ("userName eq 'a'", "double quotes"),
        ("userName eq bob", "double quotes"),
        ("emails[type eq \"w\"", "]"),
        ("emails[]", "expected"),
        ("emails[emails[type pr]]", "another"),
        ("userName eq \"a\\x\"", "JSON"),
        ("a\u{a0}b pr", "not an attribute"),
    ] {
        let reason = refusal(text);
        assert!(reason.contains(word), "{text}: {reason}");
    }
    assert!(
        refusal("title pr and ( nickName xx 1)").contains("character 25"),
        "{}",
        refusal("title pr and ( nickName xx 1)")
    );
}

#[test]
fn flt_019_flt_021_flt_041_operators_and_literals_fit_the_attribute() {
    for text in [
        "active gt true",
        "active co \"t\"",
        "meta.created co \"2026\"",
        "userName eq 5",
        "userName eq true",
        "active eq \"true\"",
        "name eq \"x\"",
        "password eq \"x\"",
        "password pr",
        "foo eq 1",
        "emails[userName eq \"x\"]",
        "userName[value eq \"x\"]",
        "meta.location eq \"x\"",
        "x509Certificates.value gt \"aa\"",
        "meta.created gt \"yesterday\"",
        "title gt null",
        "urn:example:unknown:a eq \"x\"",
        "emails..value pr",
        "a.b.c pr",
        ".a pr",
    ] {
        refusal(text);
    }
}

#[test]
fn flt_026_loose_spellings_are_read_when_allowed() {
    let registry = Registry::builtin().unwrap();
    let kind = registry.kind("User").unwrap();
    for (text, quirk) in [
        ("userName eq bob", Quirks::BARE_WORDS),
        ("displayName Eq PRIMARY/system", Quirks::BARE_WORDS),
        ("meta.created gt 2015-01-01T00:00:00Z", Quirks::BARE_WORDS),
        ("active eq True", Quirks::FILTER_FORMS),
        ("active eq \"False\"", Quirks::BOOLEANS_AS_TEXT),
        ("emails[type eq \"work\"].value eq \"x\"", Quirks::FILTER_FORMS),
        ("manager eq \"m\"", Quirks::MANAGER_SHORT_FORMS),
    ] {
        let mut applied = Applied::default();
        crate::filter::parse_filter(kind, Quirks::ALL, &mut applied, text)
            .unwrap_or_else(|e| panic!("{text}: {e}"));
        assert!(applied.quirks().has(quirk), "{text}: {applied:?}");
        let mut applied = Applied::default();
        assert!(
            crate::filter::parse_filter(kind, Quirks::NONE, &mut applied, text).is_err(),
            "{text}"
        );
    }
}

#[test]
fn flt_050_flt_051_limits_stop_the_parser_before_the_stack_grows() {
    let deep = |n: usize| format!("{}title pr{}", "(".repeat(n), ")".repeat(n));
    assert!(ParsedFilter::parse(&deep(MAX_DEPTH)).is_ok());
    assert!(ParsedFilter::parse(&deep(MAX_DEPTH + 1)).is_err());
    let terms = |n: usize| vec!["title pr"; n].join(" or ");
    assert!(ParsedFilter::parse(&terms(MAX_TERMS)).is_ok());
    assert!(ParsedFilter::parse(&terms(MAX_TERMS + 1)).is_err());
    let long = |n: usize| format!("title eq \"{}\"", "x".repeat(n - 11));
    assert!(ParsedFilter::parse(&long(MAX_BYTES)).is_ok());
    assert!(ParsedFilter::parse(&long(MAX_BYTES + 1)).is_err());
    for flood in ["(", "not (", "not(", "emails[", "title pr or ", "\"", "[", "and "] {
        assert!(ParsedFilter::parse(&flood.repeat(200_000)).is_err(), "{flood}");
        assert!(ParsedFilter::parse(&flood.repeat(MAX_BYTES / flood.len())).is_err(), "{flood}");
    }
}

#[test]
fn flt_051_the_steps_of_a_parse_grow_with_its_length_only() {
    let syntax = Syntax::default();
    let worst = [
        format!("{}title pr{}", "(".repeat(MAX_DEPTH), ")".repeat(MAX_DEPTH)),
        format!("{}title pr{}", "not(".repeat(MAX_DEPTH), ")".repeat(MAX_DEPTH)),
        vec!["title pr"; MAX_TERMS].join(" or "),
        vec!["title eq \"x\" and nickName pr"; MAX_TERMS / 2].join(" or "),
    ];
    for text in worst {
        let (_, notes) = ParsedFilter::parse_with(&text, syntax).unwrap();
        assert!(notes.steps <= text.len(), "{} steps for {} bytes", notes.steps, text.len());
        assert!(notes.deepest <= MAX_DEPTH);
    }
}
