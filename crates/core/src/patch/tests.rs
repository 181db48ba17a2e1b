//! Every file under `fixtures/patch` is a list of cases: a resource, operations, and what comes of it.

use serde_json::{Value, json};

use super::*;
use crate::error::Error;
use crate::ids::{Kind, ResourceId};
use crate::lenient::Repairs;
use crate::members::Member;
use crate::quirks::{Applied, Quirks};
use crate::resource::body;
use crate::schema::{Registry, ResourceType};
use crate::work::Work;

pub(super) fn run(kind: &ResourceType, case: &Value) -> Result<Value, Error> {
    let quirks = case["quirks"].as_str().map_or(Quirks::ALL, |words| Quirks::parse(words).unwrap());
    let mut before = case["before"].clone();
    before["schemas"] = json!([kind.schema.id.as_str()]);
    let before = body(kind, Quirks::ALL, before).unwrap().attributes;
    let members: Vec<Member> = case["members"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|id| Member { id: ResourceId::new(id.as_str().unwrap()), kind: Kind::new("User") })
        .collect();
    let mut applied = Applied::default();
    let mut repairs = Repairs { quirks, applied: &mut applied };
    let envelope = match case.get("request") {
        Some(request) => request.clone(),
        None => {
            json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": case["operations"]})
        }
    };
    let request = PatchRequest::parse(kind, &mut repairs, &ResourceId::new("me"), envelope)?;
    let work = Work::default();
    let state = Before { attributes: &before, members: None };
    let outcome = match apply(kind, &mut repairs, state, &request.operations, &work)? {
        Outcome::NeedMembers => {
            let state = Before { members: Some(&members), ..state };
            apply(kind, &mut repairs, state, &request.operations, &work)?
        }
        patched @ Outcome::Patched(_) => patched,
    };
    let Outcome::Patched(patched) = outcome else { panic!("members were given") };
    let again = crate::resource::canonical(kind, quirks, patched.attributes.map().clone()).unwrap();
    assert_eq!(again.attributes, patched.attributes, "canonical attributes stay as they are");
    let mut after = Value::Object(patched.attributes.into_map());
    if case.get("members").is_some() {
        let ids = patched.members.preview(&members);
        after["members"] = ids.keys().map(|id| Value::from(id.as_str())).collect();
    }
    Ok(after)
}

fn check(file: &str, cases: &str) {
    let registry = Registry::builtin().unwrap();
    let cases: Vec<Value> =
        serde_json::from_str(cases).unwrap_or_else(|error| panic!("{file}: {error}"));
    assert!(!cases.is_empty());
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let kind = registry.kind(case["kind"].as_str().unwrap_or("User")).unwrap();
        match (run(kind, &case), case.get("error")) {
            (Ok(after), None) => assert_eq!(after, case["after"], "{file}: {name}"),
            (Ok(after), Some(error)) => panic!("{file}: {name}: wanted {error}, got {after}"),
            (Err(error), Some(wanted)) => {
                let (_, scim_type) = error.status_and_type();
                assert_eq!(scim_type, wanted.as_str(), "{file}: {name}: {error}");
            }
            (Err(error), None) => panic!("{file}: {name}: {error}"),
        }
    }
}

macro_rules! fixtures {
    ($($name:ident),*) => {
        $(#[test] fn $name() {
            check(stringify!($name), include_str!(concat!("../../fixtures/patch/", stringify!($name), ".json")));
        })*
    };
}

fixtures!(add, remove, replace, paths, members, quirks, husks, wrapped, unknown);

/// Returns a case with so many operations, each of which adds ten addresses.
fn additions(operations: usize) -> Value {
    let operations = (0..operations).map(|operation| {
        let emails = (operation * 10..operation * 10 + 10)
            .map(|number| json!({"value": format!("{number}@example.com")}));
        json!({"op": "add", "path": "emails", "value": emails.collect::<Vec<_>>()})
    });
    json!({"before": {"userName": "bj"}, "operations": operations.collect::<Vec<_>>()})
}

/// The second way of S2: many small additions to a long list.
#[test]
fn s2_additions_end_with_the_first_value_beyond_the_limit() {
    let registry = Registry::builtin().unwrap();
    let kind = registry.kind("User").unwrap();
    let full = run(kind, &additions(100)).unwrap();
    assert_eq!(full["emails"].as_array().unwrap().len(), 1_000);
    let error = run(kind, &additions(500)).unwrap_err().to_string();
    assert!(error.contains("operation 101") && error.contains("1000 values"), "{error}");
}
