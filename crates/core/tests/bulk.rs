//! Bulk requests over the memory provider: order, references, circles, errors.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

use std::sync::Arc;

use headcount_core::error::Error;
use headcount_core::ids::{ResourceId, TenantId};
use headcount_core::memory::MemoryProvider;
use headcount_core::message::{BULK_REQUEST, BulkRequest, BulkResult};
use headcount_core::quirks::{Applied, Quirks};
use headcount_core::schema::ResourceType;
use headcount_provider_conformance::Subject;
use headcount_provider_conformance::bench::{Bench, GROUP, USER};
use serde_json::{Value, json};

const MANAGER: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

fn bench() -> Bench {
    let provider = Arc::new(MemoryProvider::default());
    Bench::new(Subject {
        provider: provider.clone(),
        feed: provider,
        tenants: [TenantId::new(1), TenantId::new(2)],
        guard: Box::new(()),
    })
}

fn request(fail_on_errors: Option<u64>, operations: &Value) -> BulkRequest {
    let mut body = json!({"schemas": [BULK_REQUEST], "Operations": operations});
    if let Some(count) = fail_on_errors {
        body["failOnErrors"] = count.into();
    }
    BulkRequest::from_body(body, 1_000, Quirks::ALL, &mut Applied::default()).unwrap()
}

fn run(bench: &Bench, fail_on_errors: Option<u64>, operations: &Value) -> Vec<BulkResult> {
    let request = request(fail_on_errors, operations);
    bench.service.bulk(&bench.caller(0), request, &|_| Ok(())).results
}

fn statuses(results: &[BulkResult]) -> Vec<u16> {
    let status = |result: &BulkResult| match &result.outcome {
        Ok(status) => *status,
        Err(error) => error.status_and_type().0,
    };
    results.iter().map(status).collect()
}

fn user(bulk_id: &str) -> Value {
    json!({"method": "POST", "path": "/Users", "bulkId": bulk_id, "data": {"userName": bulk_id}})
}

fn group(bulk_id: &str, members: &[&str]) -> Value {
    let members: Vec<_> =
        members.iter().map(|id| json!({"value": format!("bulkId:{id}")})).collect();
    json!({"method": "POST", "path": "/Groups", "bulkId": bulk_id, "data": {"displayName": bulk_id, "members": members}})
}

fn patch(path: &str, operation: &Value) -> Value {
    json!({"method": "PATCH", "path": path, "data": {"Operations": [operation]}})
}

/// Returns the id in the location of a result.
fn id(result: &BulkResult) -> ResourceId {
    ResourceId::new(result.location.as_deref().unwrap().rsplit('/').next().unwrap())
}

fn document(bench: &Bench, kind: &str, id: &ResourceId) -> Value {
    serde_json::from_str(bench.get(0, kind, id).unwrap().resource.document.text()).unwrap()
}

#[test]
fn a_circle_is_cut_and_closed_again() {
    let bench = bench();
    let results = run(
        &bench,
        None,
        &json!([group("a", &["b", "u"]), group("b", &["c"]), group("c", &["a"]), user("u")]),
    );
    assert_eq!(statuses(&results), [201, 201, 201, 201]);
    let ids: Vec<String> = results.iter().map(|result| id(result).to_string()).collect();
    let of = |group: usize| bench.members(&id(&results[group]));
    let mut both = vec![ids[1].clone(), ids[3].clone()];
    both.sort();
    assert_eq!((of(0), of(1), of(2)), (both, vec![ids[2].clone()], vec![ids[0].clone()]));
    let own = run(&bench, None, &json!([group("own", &["own"])]));
    assert_eq!(statuses(&own), [400], "no group is its own member");
    assert_eq!(bench.filter(GROUP, "displayName eq \"own\""), Vec::<String>::new());
}

#[test]
fn managers_in_a_circle_know_each_other() {
    let bench = bench();
    let managed = |name: &str, by: &str| {
        json!({"method": "POST", "path": "/Users", "bulkId": name, "data": {
            "userName": name, "title": "t", MANAGER: {"department": "d", "manager": {"value": format!("bulkId:{by}")}}}})
    };
    let results = run(&bench, None, &json!([managed("a", "b"), managed("b", "a")]));
    assert_eq!(statuses(&results), [201, 201]);
    for (own, other) in [(0, 1), (1, 0)] {
        let user = document(&bench, USER, &id(&results[own]));
        assert_eq!(user[MANAGER]["manager"]["value"], id(&results[other]).as_str());
        assert_eq!((&user["title"], &user[MANAGER]["department"]), (&json!("t"), &json!("d")));
    }
}

#[test]
fn what_a_circle_began_is_taken_back_when_it_cannot_be_closed() {
    let bench = bench();
    bench.group("taken", &[]);
    let mut second = group("b", &["a"]);
    second["data"]["displayName"] = "taken".into();
    let results = run(&bench, None, &json!([group("a", &["b"]), second, group("c", &["a"])]));
    assert_eq!(statuses(&results), [409, 409, 409]);
    assert_eq!(results[0].location, None);
    assert_eq!(bench.filter(GROUP, "displayName pr"), ["taken"]);
}

#[test]
fn what_was_begun_is_of_no_one_else_before_it_is_complete() {
    let bench = bench();
    let title = json!({"op": "replace", "path": "externalId", "value": "patched"});
    let operations =
        json!([patch("/Groups/bulkId:a", &title), group("a", &["b"]), group("b", &["a"])]);
    let results = run(&bench, None, &operations);
    assert_eq!(statuses(&results), [200, 201, 201]);
    let a = id(&results[1]);
    assert_eq!(document(&bench, GROUP, &a)["externalId"], "patched");
    assert_eq!(bench.members(&a), [id(&results[2]).to_string()]);
}

#[test]
fn references_go_forward_and_backward_in_data_paths_and_filters() {
    let bench = bench();
    let results = run(
        &bench,
        None,
        &json!([
            patch("/Groups/bulkId:g", &json!({"op": "add", "path": "members", "value": [{"value": "bulkId:late"}]})),
            group("g", &["early", "late"]),
            user("early"),
            patch("/Groups/bulkId:g", &json!({"op": "remove", "path": "members[value eq \"bulkId:early\"]"})),
            user("late"),
            {"method": "PUT", "path": "/Users/bulkId:late", "data": {"userName": "bulkId:early", "title": "bulkId:early"}},
            {"method": "DELETE", "path": "/Users/bulkId:early"},
        ]),
    );
    assert_eq!(statuses(&results), [200, 201, 201, 200, 201, 200, 204]);
    assert_eq!(bench.members(&id(&results[1])), [id(&results[4]).to_string()]);
    let late = document(&bench, USER, &id(&results[4]));
    assert_eq!(
        (&late["userName"], &late["title"]),
        (&json!("bulkId:early"), &json!("bulkId:early"))
    );
    assert_eq!(bench.get(0, USER, &id(&results[2])), None);
    let locations: Vec<_> = results.iter().map(|result| result.location.clone()).collect();
    assert_eq!((&locations[0], &locations[3]), (&locations[1], &locations[1]));
}

#[test]
fn operations_on_one_resource_keep_their_order() {
    let bench = bench();
    let path = format!("/Users/{}", bench.user("u"));
    let title =
        |text: &str| patch(&path, &json!({"op": "replace", "path": "title", "value": text}));
    let operations: Vec<Value> = (0..200).map(|n| title(&n.to_string())).collect();
    let results = run(&bench, None, &Value::Array(operations));
    assert!(statuses(&results).iter().all(|status| *status == 200));
    let versions: Vec<i64> =
        results.iter().map(|result| result.version.unwrap().counter()).collect();
    assert!(versions.windows(2).all(|pair| pair[0] < pair[1]), "{versions:?}");
    assert_eq!(document(&bench, USER, &id(&results[0]))["title"], "199");
}

#[test]
fn fail_on_errors_leaves_undone_whatever_is_behind_the_last_error() {
    let broken = json!({"method": "GET", "path": "/Users"});
    let late = patch("/Users/bulkId:a", &json!({"op": "replace", "path": "nope", "value": 1}));
    for (limit, operations, wanted, names) in [
        (1, json!([user("a"), broken, user("b")]), vec![201, 400], vec!["a"]),
        (2, json!([user("a"), broken, user("b")]), vec![201, 400, 201], vec!["a", "b"]),
        (1, json!([user("a"), user("b"), late, user("c")]), vec![201, 201, 400], vec!["a", "b"]),
        (1, json!([late, user("a"), user("b")]), vec![400, 201], vec!["a"]),
        (2, json!([broken, user("a"), late, broken, user("b")]), vec![400, 201, 400], vec!["a"]),
        (1, json!([group("g", &["nobody"]), user("a")]), vec![400], vec![]),
    ] {
        let bench = bench();
        let results = run(&bench, Some(limit), &operations);
        assert_eq!(statuses(&results), wanted, "{limit}: {operations}");
        assert_eq!(bench.filter(USER, "userName pr"), names, "{limit}: {operations}");
    }
    let bench = bench();
    let many: Vec<Value> = (0..150).map(|n| user(&format!("u{n}"))).collect();
    let all = [many.as_slice(), &[user("u0"), user("last")]].concat();
    assert_eq!(run(&bench, Some(1), &Value::Array(all)).len(), 151);
    assert_eq!(bench.filter(USER, "userName eq \"last\""), Vec::<String>::new());
}

#[test]
fn a_circle_with_fail_on_errors_is_all_there_or_gone() {
    let bench = bench();
    let circle = json!([group("a", &["b"]), group("b", &["a"]), user("u")]);
    assert_eq!(statuses(&run(&bench, Some(1), &circle)), [201, 201, 201]);
    let mut second = group("d", &["c"]);
    second["data"]["displayName"] = "a".into();
    let results = run(&bench, Some(1), &json!([group("c", &["d"]), second, user("v")]));
    assert!(statuses(&results).contains(&409), "{results:?}");
    assert_eq!(bench.filter(GROUP, "displayName pr"), ["a", "b"]);
    assert_eq!(bench.filter(USER, "userName eq \"v\""), Vec::<String>::new());
}

#[test]
fn what_no_operation_creates_is_named_and_so_is_what_failed() {
    let bench = bench();
    let mut nameless = user("bad");
    nameless["data"] = json!({"title": "t"});
    let results = run(
        &bench,
        None,
        &json!([
            group("g", &["nobody"]),
            group("h", &["bad"]),
            group("i", &["h"]),
            nameless,
            {"method": "DELETE", "path": "/Users/bulkId:nobody"},
            user("good"),
        ]),
    );
    assert_eq!(statuses(&results), [400, 409, 409, 400, 400, 201]);
    for (result, name) in results.iter().zip(["nobody", "bad", "h", "userName", "nobody"]) {
        let error = result.outcome.as_ref().unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
    assert_eq!(bench.filter(GROUP, "displayName pr"), Vec::<String>::new());
}

#[test]
fn a_version_must_be_the_stored_one() {
    let bench = bench();
    let user = bench.user("u");
    let path = format!("/Users/{user}");
    let with = |mut operation: Value, version: &str| {
        operation["version"] = version.into();
        operation
    };
    let title =
        |text: &str| patch(&path, &json!({"op": "replace", "path": "title", "value": text}));
    let put = json!({"method": "PUT", "path": path, "data": {"userName": "v"}});
    let delete = json!({"method": "DELETE", "path": path});
    let results = run(
        &bench,
        None,
        &json!([
            with(title("a"), "W/\"2\""),
            with(title("b"), "W/\"1\""),
            with(title("c"), "W/\"1\""),
            with(put.clone(), "\"1\""),
            with(put, "\"2\""),
            with(delete.clone(), "W/\"2\""),
            with(delete.clone(), "\""),
        ]),
    );
    assert_eq!(statuses(&results), [412, 200, 412, 412, 200, 412, 400]);
    assert_eq!(document(&bench, USER, &user)["userName"], "v");
    assert_eq!(statuses(&run(&bench, None, &json!([with(delete, "W/\"3\"")]))), [204]);
    assert_eq!(bench.get(0, USER, &user), None);
}

#[test]
fn nothing_is_done_without_permission() {
    let bench = bench();
    let operations = json!([user("u"), group("g", &["u"]), group("h", &[])]);
    let permit = |kind: &ResourceType| match kind.kind.as_str() {
        USER => Err(Error::Forbidden("no users".to_owned())),
        _ => Ok(()),
    };
    let done = bench.service.bulk(&bench.caller(0), request(None, &operations), &permit);
    assert_eq!(statuses(&done.results), [403, 409, 201]);
    assert_eq!(bench.filter(USER, "userName pr"), Vec::<String>::new());
}
