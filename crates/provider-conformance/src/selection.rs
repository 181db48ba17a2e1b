//! Filters and sorting.

use headcount_core::message::SearchRequest;
use serde_json::{Value, json};

use crate::Subject;
use crate::bench::{Bench, USER};

fn people(bench: &Bench) {
    for (name, rest) in [
        (
            "ann",
            json!({"displayName": "Ann %_\\", "title": "CEO", "externalId": "X1", "emails": [{"value": "Ann@Work.example", "type": "work", "primary": true}, {"value": "ann@home.example", "type": "home"}]}),
        ),
        (
            "bob",
            json!({"active": false, "title": "ceo", "externalId": "x1", "emails": [{"value": "bob@work.example", "type": "Work"}], "phoneNumbers": [{"value": "+1 555"}]}),
        ),
        (
            "cid",
            json!({"nickName": "C", "name": {"familyName": "Ö"}, "emails": [{"value": "cid@other.example"}]}),
        ),
        (
            "dan",
            json!({"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "R&D", "manager": {"value": "m1"}}}),
        ),
    ] {
        let mut body: Value = rest;
        if let Some(body) = body.as_object_mut() {
            body.insert("userName".to_owned(), name.into());
        }
        bench.create(USER, body);
    }
}

fn check(bench: &Bench, cases: &[(&str, &str)]) {
    for (filter, expected) in cases {
        assert_eq!(bench.filter(USER, filter).join(" "), *expected, "{filter}");
    }
}

/// Every operator on every type of value selects what RFC 7644 Table 3 says, whatever is indexed.
pub fn operators_and_types_select_alike(subject: Subject) {
    let bench = Bench::new(subject);
    people(&bench);
    check(
        &bench,
        &[
            ("userName eq \"ANN\"", "ann"),
            ("userName ne \"ann\"", "bob cid dan"),
            ("userName co \"N\"", "ann dan"),
            ("userName sw \"b\"", "bob"),
            ("userName ew \"D\"", "cid"),
            ("userName ew \"toolongforthis\"", ""),
            ("userName gt \"bob\"", "cid dan"),
            ("userName ge \"bob\"", "bob cid dan"),
            ("userName lt \"bob\"", "ann"),
            ("userName le \"bob\"", "ann bob"),
            ("userName co \"\"", "ann bob cid dan"),
            ("externalId eq \"x1\"", "bob"),
            ("externalId sw \"X\"", "ann"),
            ("externalId ne \"x1\"", "ann cid dan"),
            ("externalId pr", "ann bob"),
            ("active eq true", "ann cid dan"),
            ("active ne true", "bob"),
            ("displayName co \"%_\\\\\"", "ann"),
            ("displayName co \"%\"", "ann"),
            ("displayName sw \"Ann _\"", ""),
            ("title eq \"ceo\"", "ann bob"),
            ("title pr", "ann bob"),
            ("name.familyName eq \"ö\"", "cid"),
            ("name.familyName ew \"ö\"", "cid"),
            ("nickName le \"c\"", "cid"),
            ("emails.value co \"WORK\"", "ann bob"),
            ("emails.value sw \"bob@\"", "bob"),
            ("emails.value ew \".example\"", "ann bob cid"),
            ("emails.value pr", "ann bob cid"),
            ("emails pr", "ann bob cid"),
            ("emails co \"home\"", "ann"),
            ("phoneNumbers.value eq \"+1 555\"", "bob"),
            ("meta.resourceType eq \"User\"", "ann bob cid dan"),
            ("meta.resourceType eq \"Group\"", ""),
            ("meta.created gt \"2026-01-01T00:00:00Z\"", "bob cid dan"),
            ("meta.created ge \"2026-01-01T01:00:00.0000000+01:00\"", "ann bob cid dan"),
            ("meta.created lt \"2026-01-01T00:00:00.0000005Z\"", "ann"),
            ("meta.created eq \"2026-01-01T00:00:00.000000Z\"", "ann"),
            ("meta.lastModified ne \"2026-01-01T00:00:00.0000001Z\"", "ann bob cid dan"),
            ("meta.version eq \"W/\\\"1\\\"\"", "ann bob cid dan"),
            ("meta.version eq \"1\"", ""),
            ("schemas eq \"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User\"", "dan"),
            ("userName eq \"ann\" or userName eq \"cid\" and active eq false", "ann"),
            ("title eq \"ceo\" and (active eq false or nickName pr)", "bob"),
            ("id pr and meta pr and schemas pr", "ann bob cid dan"),
        ],
    );
}

/// Inside brackets, one value has to satisfy everything; with dots, any value each condition.
pub fn element_filters_match_one_value(subject: Subject) {
    let bench = Bench::new(subject);
    people(&bench);
    check(
        &bench,
        &[
            ("emails[type eq \"work\" and value co \"@home\"]", ""),
            ("emails.type eq \"work\" and emails.value co \"@home\"", "ann"),
            ("emails[type eq \"WORK\" and value co \"@work\"]", "ann bob"),
            ("emails[value co \"@work\"]", "ann bob"),
            ("emails[type eq \"home\" or value sw \"cid\"]", "ann cid"),
            ("emails[type ne \"work\" and value pr]", "ann cid"),
            ("emails[not (type eq \"work\") and value pr]", "ann cid"),
            ("emails[not (value co \"@work\")]", "ann cid"),
            ("emails[primary eq true]", "ann"),
            ("emails[primary eq false]", "ann bob cid"),
            ("emails[type pr and value ew \"e\"]", "ann bob"),
            ("emails[type eq \"work\" and value co \"@work\"] and active eq true", "ann"),
            ("name[familyName eq \"ö\"]", "cid"),
        ],
    );
}

/// Every resource satisfies either a filter or its negation.
pub fn negation_is_the_exact_complement(subject: Subject) {
    let bench = Bench::new(subject);
    people(&bench);
    for filter in [
        "externalId eq \"x1\"",
        "externalId pr",
        "title eq \"ceo\"",
        "nickName pr",
        "active eq true",
        "emails.value eq \"cid@other.example\"",
        "emails.value ne \"cid@other.example\"",
        "emails[type eq \"work\" and value pr]",
        "phoneNumbers pr",
        "displayName sw \"a\"",
        "displayName co \"x\"",
        "groups pr",
        "groups.value eq \"x\"",
        "name.familyName gt \"a\"",
        "meta.created gt \"2026-01-01T00:00:00Z\"",
        "externalId eq \"x1\" or nickName pr",
        "externalId eq \"x1\" and title pr",
        "not (title pr)",
    ] {
        let mut all = bench.filter(USER, filter);
        all.extend(bench.filter(USER, &format!("not ({filter})")));
        all.sort();
        assert_eq!(all, ["ann", "bob", "cid", "dan"], "{filter}");
    }
}

/// Resources without a value come last ascending and first descending; equal ones by creation.
pub fn sorting_puts_missing_values_where_the_rfc_says(subject: Subject) {
    let bench = Bench::new(subject);
    people(&bench);
    for (by, ascending, descending) in [
        ("userName", "ann bob cid dan", "dan cid bob ann"),
        ("externalId", "ann bob cid dan", "cid dan bob ann"),
        ("title", "ann bob cid dan", "cid dan ann bob"),
        ("nickName", "cid ann bob dan", "ann bob dan cid"),
        ("emails.value", "ann bob cid dan", "dan cid bob ann"),
        ("name.familyName", "cid ann bob dan", "ann bob dan cid"),
        ("active", "bob ann cid dan", "ann cid dan bob"),
        ("meta.created", "ann bob cid dan", "dan cid bob ann"),
        (
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value",
            "dan ann bob cid",
            "ann bob cid dan",
        ),
    ] {
        assert_eq!(names_in_order(&bench, by, "ascending"), ascending, "{by}");
        assert_eq!(names_in_order(&bench, by, "descending"), descending, "{by} descending");
    }
    let id_order = {
        let all = bench.filter(USER, "userName pr");
        let mut ids: Vec<_> = all.iter().map(|name| (bench.id_of(name), name.clone())).collect();
        ids.sort();
        ids.into_iter().map(|(_, name)| name).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names_in_order(&bench, "id", "ascending"), id_order);
}

fn names_in_order(bench: &Bench, by: &str, order: &str) -> String {
    let request = SearchRequest {
        sort_by: Some(by.to_owned()),
        sort_order: Some(order.to_owned()),
        ..SearchRequest::default()
    };
    bench.search(USER, &request).0.join(" ")
}

/// Attributes of extensions are searched like all others.
pub fn extensions_are_searched(subject: Subject) {
    let bench = Bench::new(subject);
    people(&bench);
    let urn = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    check(
        &bench,
        &[
            (&format!("{urn}:department eq \"r&d\""), "dan"),
            (&format!("{urn}:manager.value eq \"m1\""), "dan"),
            (&format!("{urn}:manager.value eq \"M1\""), ""),
            (&format!("{urn}:manager eq \"m1\""), "dan"),
            (&format!("not ({urn}:department pr)"), "ann bob cid"),
            (&format!("{urn}:manager.value pr and userName sw \"d\""), "dan"),
        ],
    );
}

/// Index rows agree with the document after every kind of change.
pub fn index_rows_follow_the_document(subject: Subject) {
    let bench = Bench::new(subject);
    let user = bench.create(USER, json!({"userName": "a", "emails": [{"value": "one@x", "type": "work"}, {"value": "two@x"}]}));
    assert!(has_email(&bench, "one@x") && has_email(&bench, "two@x"));
    bench.patch(USER, &user, json!({"op": "remove", "path": "emails[value eq \"one@x\"]"}));
    assert!(!has_email(&bench, "one@x") && has_email(&bench, "two@x"));
    bench.patch(
        USER,
        &user,
        json!({"op": "replace", "path": "emails", "value": [{"value": "THREE@x", "type": "home"}]}),
    );
    assert!(!has_email(&bench, "two@x") && has_email(&bench, "three@x"));
    assert_eq!(bench.filter(USER, "emails[type eq \"home\" and value eq \"three@x\"]"), ["a"]);
    bench.patch(
        USER,
        &user,
        json!({"op": "replace", "path": "emails[value eq \"three@x\"].type", "value": "other"}),
    );
    assert_eq!(
        bench.filter(USER, "emails[type eq \"home\" and value eq \"three@x\"]"),
        Vec::<String>::new()
    );
    bench.patch(USER, &user, json!({"op": "remove", "path": "emails"}));
    assert!(!has_email(&bench, "three@x"));
}

/// Returns whether a user is found by an address.
fn has_email(bench: &Bench, value: &str) -> bool {
    !bench.filter(USER, &format!("emails.value eq \"{value}\"")).is_empty()
}

/// An alternative that an index serves stays one term next to another that no index serves.
pub fn alternatives_stay_together(subject: Subject) {
    let bench = Bench::new(subject);
    for (name, active) in [("anna", true), ("bert", true), ("carl", false), ("dora", true)] {
        let body = json!({"userName": name, "active": active, "title": "Boss"});
        bench.create(USER, body);
    }
    let filter =
        "title eq \"boss\" and active eq true and (userName eq \"anna\" or userName eq \"carl\")";
    assert_eq!(bench.filter(USER, filter), ["anna"]);
}
