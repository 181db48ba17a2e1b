//! A stream of random operations, run against a store and against the [model](crate::model).

use std::collections::BTreeSet;

use headcount_core::error::Error;
use headcount_core::ids::{ChainPosition, ResourceId};
use headcount_core::message::SearchRequest;
use headcount_core::provider::{Found, With};
use headcount_core::service::{Edit, Precondition, Shape, Tags};
use serde_json::{Map, Value, json};

use crate::Subject;
use crate::bench::{Bench, GROUP, USER};
use crate::model::{Action, Change, Data, Entry, Kind, Model, Operation, Outcome, Question};
use crate::random::Random;

/// Few names, so that they collide. Some differ only in case.
const NAMES: [&str; 12] =
    ["anna", "Anna", "ANNA", "bert", "Bert", "ann", "carl", "ärger", "Ärger", "dora", "100%", "z"];
const TITLES: [&str; 4] = ["boss", "Boss", "ärgerlich", "x"];
/// The number of operations per comparison of the whole state.
const COMPARE_INTERVAL: usize = 40;

/// The counts of a run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Run {
    /// Operations that were compared.
    pub operations: usize,
    /// Operations that both refused.
    pub refused: usize,
}

/// Runs random operations. Compares every outcome, and the whole state at intervals.
///
/// # Panics
///
/// When the store and the model differ, with the seed and the operations before.
pub fn run(subject: Subject, seed: u64, operations: usize) -> Run {
    let bench = Bench::new(subject);
    let mut random = Random::new(seed);
    let mut model = Model::default();
    let mut counts = Run::default();
    let mut last: Vec<String> = Vec::new();
    for number in 0..operations {
        let operation = operation(&mut random, &model);
        let outcome = perform(&bench, &operation);
        let new_id = match &outcome {
            Outcome::Stored(entry) => entry.id.clone(),
            _ => String::new(),
        };
        let expected = model.run(&operation, &new_id);
        last.push(format!("{operation:?}\n    {expected:?}"));
        if last.len() > 12 {
            last.remove(0);
        }
        assert_eq!(
            outcome,
            expected,
            "seed {seed}, operation {number}: the store differs from the model after\n{}",
            last.join("\n")
        );
        counts.operations += 1;
        counts.refused += usize::from(matches!(outcome, Outcome::Refused(..)));
        if number % COMPARE_INTERVAL == COMPARE_INTERVAL - 1 || number + 1 == operations {
            let context = format!("seed {seed}, operation {number}\n{}", last.join("\n"));
            compare_state(&bench, &model, &context);
        }
    }
    counts
}

/// Compares the whole state.
fn compare_state(bench: &Bench, model: &Model, context: &str) {
    for (index, tenant) in model.tenants.iter().enumerate() {
        for kind in [Kind::User, Kind::Group] {
            let request = SearchRequest { count: Some(1_000), ..SearchRequest::default() };
            let listing =
                bench.service.search(&bench.caller(index), &[bench.kind(name(kind))], &request);
            let listing = listing.unwrap_or_else(|error| panic!("{context}: {error}"));
            let stored: Vec<_> = listing.resources.iter().map(|found| entry(kind, found)).collect();
            let expected: Vec<_> =
                tenant.entries.iter().filter(|entry| entry.kind == kind).cloned().collect();
            assert_eq!(stored, expected, "{context}: the state differs in tenant {index}");
            for found in &listing.resources {
                let id = found.resource.id.as_str();
                let shown: BTreeSet<&str> =
                    found.computed.groups.iter().map(|group| group.group.as_str()).collect();
                let groups = tenant.entries.iter().filter(|group| group.data.members.contains(id));
                let groups = groups.map(|group| &*group.id);
                let expected: BTreeSet<&str> = groups.filter(|_| kind == Kind::User).collect();
                assert_eq!(shown, expected, "{context}: the groups of {id}");
            }
        }
        let changes =
            bench.subject.feed.changes(bench.tenant(index), ChainPosition::START, 1_000_000);
        let changes = changes.unwrap_or_else(|error| panic!("{context}: {error}"));
        // The model has no tenants and other things without versions.
        let count = changes.iter().filter(|change| change.version.is_some()).count();
        assert_eq!(count, tenant.changes, "{context}: recorded changes of tenant {index}");
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::User => USER,
        Kind::Group => GROUP,
    }
}

fn name_attribute(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "userName",
        Kind::Group => "displayName",
    }
}

/// Runs an operation against the store.
fn perform(bench: &Bench, operation: &Operation) -> Outcome {
    let kind = operation.kind;
    let (caller, resource_type) = (bench.caller(operation.tenant), bench.kind(name(kind)));
    let edit = Edit::unconditional(&caller, &resource_type);
    let shape = Shape::default();
    let service = &bench.service;
    let outcome: Result<Outcome, Error> = match &operation.action {
        Action::Create(data) => service
            .create(&caller, &resource_type, body(kind, data), &shape)
            .and_then(|written| read_stored(bench, operation, &written.found.resource.id)),
        Action::Replace(id, seen, data) => {
            let id = ResourceId::new(id.as_str());
            let edit = Edit { precondition: &precondition(*seen), ..edit };
            service
                .replace(edit, &id, body(kind, data), &shape)
                .and_then(|_| read_stored(bench, operation, &id))
        }
        Action::Patch(id, seen, changes) => {
            let id = ResourceId::new(id.as_str());
            let operations: Vec<_> = changes.iter().map(|change| patch(kind, change)).collect();
            let body = json!({"Operations": operations});
            let edit = Edit { precondition: &precondition(*seen), ..edit };
            service.patch(edit, &id, body, &shape).and_then(|_| read_stored(bench, operation, &id))
        }
        Action::Delete(id, seen) => {
            let id = ResourceId::new(id.as_str());
            let edit = Edit { precondition: &precondition(*seen), ..edit };
            service.delete(edit, &id).map(|_names| Outcome::Deleted)
        }
        Action::Find(question, order, skip, count) => {
            let request = SearchRequest {
                filter: Some(filter(kind, question)),
                sort_by: order.map(|_| name_attribute(kind).to_owned()),
                sort_order: order.filter(|descending| *descending).map(|_| "descending".to_owned()),
                start_index: i64::try_from(skip + 1).ok(),
                count: i64::try_from(*count).ok(),
                ..SearchRequest::default()
            };
            service.search(&caller, &[resource_type], &request).map(|listing| {
                let ids = listing.resources.iter().map(|found| found.resource.id.to_string());
                let total = usize::try_from(listing.head.total).unwrap_or(usize::MAX);
                Outcome::Found(total, ids.collect())
            })
        }
    };
    outcome.unwrap_or_else(|error| {
        let (status, scim_type) = error.status_and_type();
        Outcome::Refused(status, scim_type)
    })
}

/// Returns the outcome of a write. The resource is read again, since a reply may leave out members.
fn read_stored(bench: &Bench, operation: &Operation, id: &ResourceId) -> Result<Outcome, Error> {
    let kind = operation.kind;
    let with = if kind == Kind::Group { With::Members(1_000) } else { With::Nothing };
    let (tenant, resource_type) = (bench.tenant(operation.tenant), bench.kind(name(kind)));
    let found = bench.service.provider.get(tenant, &resource_type.kind, id, with)?;
    let found = found.ok_or_else(|| Error::internal("a resource exists after a write"))?;
    Ok(Outcome::Stored(entry(kind, &found)))
}

fn precondition(seen: Option<i64>) -> Precondition {
    let if_match = seen.map(|version| Tags::List(vec![version.to_string()]));
    Precondition { if_match, if_none_match: None }
}

fn entry(kind: Kind, found: &Found) -> Entry {
    let attributes = found.resource.document.attributes();
    let attributes = attributes.unwrap_or_else(|error| panic!("{error}"));
    let [name, external_id, title] = [name_attribute(kind), "externalId", "title"]
        .map(|name| attributes.top(name).and_then(Value::as_str).map(str::to_owned));
    Entry {
        id: found.resource.id.to_string(),
        kind,
        version: found.resource.version.counter(),
        data: Data {
            name: name.unwrap_or_default(),
            external_id,
            title,
            active: attributes.top("active").and_then(Value::as_bool),
            members: found.computed.members.iter().map(|member| member.id.to_string()).collect(),
        },
    }
}

fn list(members: &BTreeSet<String>) -> Value {
    members.iter().map(|id| json!({"value": id})).collect()
}

fn body(kind: Kind, data: &Data) -> Value {
    let mut map = Map::new();
    map.insert(name_attribute(kind).to_owned(), data.name.clone().into());
    if let Some(id) = &data.external_id {
        map.insert("externalId".to_owned(), id.clone().into());
    }
    if let Some(title) = &data.title {
        map.insert("title".to_owned(), title.clone().into());
    }
    if let Some(active) = data.active {
        map.insert("active".to_owned(), active.into());
    }
    if kind == Kind::Group && !data.members.is_empty() {
        map.insert("members".to_owned(), list(&data.members));
    }
    Value::Object(map)
}

fn patch(kind: Kind, change: &Change) -> Value {
    match change {
        Change::Name(name) => {
            json!({"op": "replace", "path": name_attribute(kind), "value": name})
        }
        Change::Title(Some(title)) => json!({"op": "replace", "path": "title", "value": title}),
        Change::Title(None) => json!({"op": "remove", "path": "title"}),
        Change::Active(active) => json!({"op": "replace", "value": {"active": active}}),
        Change::Add(members) => json!({"op": "add", "path": "members", "value": list(members)}),
        Change::Remove(id) => {
            json!({"op": "remove", "path": format!("members[value eq \"{id}\"]")})
        }
        Change::Members(members) => {
            json!({"op": "replace", "path": "members", "value": list(members)})
        }
    }
}

fn filter(kind: Kind, question: &Question) -> String {
    let name = name_attribute(kind);
    match question {
        Question::All => "id pr".to_owned(),
        Question::NameIs(text) => format!("{name} eq \"{text}\""),
        Question::NameBegins(text) => format!("{name} sw \"{text}\""),
        Question::TitleIs(text) => format!("title eq \"{text}\""),
        Question::NoTitle => "not (title pr)".to_owned(),
        Question::ActiveIs(active) => format!("active eq {active}"),
        Question::ExternalIdIs(id) => format!("externalId eq \"{id}\""),
        Question::HasMember(id) => format!("members.value eq \"{id}\""),
        Question::InGroup(id) => format!("groups[value eq \"{id}\"]"),
        Question::Neither(two) => {
            format!("not ({} or {})", filter(kind, &two.0), filter(kind, &two.1))
        }
    }
}

/// Makes a random operation, mostly on resources that exist.
fn operation(random: &mut Random, model: &Model) -> Operation {
    let tenant = usize::from(random.once_in(4));
    let kind = if random.once_in(2) { Kind::Group } else { Kind::User };
    let all: Vec<&Entry> = model.tenants.iter().flat_map(|tenant| &tenant.entries).collect();
    let own: Vec<&Entry> =
        model.tenants.get(tenant).into_iter().flat_map(|tenant| &tenant.entries).collect();
    let fitting: Vec<&Entry> = own.iter().copied().filter(|entry| entry.kind == kind).collect();
    let target = match random.once_in(12) {
        true => any_id(random, &all),
        false => any_id(random, &fitting),
    };
    let seen = random.once_in(4).then(|| {
        let version = own.iter().find(|entry| entry.id == target).map_or(1, |entry| entry.version);
        if random.once_in(3) { version + 1 } else { version }
    });
    let full = own.len() > 40;
    let action = match random.below(12) {
        0 | 1 if !full => {
            let members = any_members(random, &own, &all);
            Action::Create(data(random, kind, members))
        }
        2 => {
            let members = any_members(random, &own, &all);
            Action::Replace(target, seen, data(random, kind, members))
        }
        3 => Action::Delete(target, seen),
        4 if full => Action::Delete(target, seen),
        4..=8 => {
            let changes = (0..1 + random.below(3)).map(|_| match (kind, random.below(4)) {
                (_, 0) => Change::Name(any_name(random)),
                (Kind::User, 1) => Change::Title(None),
                (Kind::User, 2) => Change::Title(Some((*random.one(&TITLES)).to_owned())),
                (Kind::User, _) => Change::Active(random.once_in(2)),
                (Kind::Group, 1) => Change::Add(any_members(random, &own, &all)),
                (Kind::Group, 2) => Change::Remove(any_id(random, &own)),
                (Kind::Group, _) => Change::Members(any_members(random, &own, &all)),
            });
            Action::Patch(target, seen, changes.collect())
        }
        _ => {
            let question = question(random, kind, &own, 2);
            let order = random.once_in(2).then(|| random.once_in(2));
            Action::Find(question, order, random.below(6), random.below(20))
        }
    };
    Operation { tenant, kind, action }
}

/// Returns the id of one of the resources, once in 25 times one that does not exist.
fn any_id(random: &mut Random, of: &[&Entry]) -> String {
    match of.is_empty() || random.once_in(25) {
        true => "nobody".to_owned(),
        false => random.one(of).id.clone(),
    }
}

fn any_members(random: &mut Random, own: &[&Entry], all: &[&Entry]) -> BTreeSet<String> {
    let of = if random.once_in(12) { all } else { own };
    (0..random.below(4)).map(|_| any_id(random, of)).collect()
}

fn any_name(random: &mut Random) -> String {
    let name = *random.one(&NAMES);
    if random.once_in(3) { name.to_owned() } else { format!("{name}{}", random.below(30)) }
}

fn data(random: &mut Random, kind: Kind, members: BTreeSet<String>) -> Data {
    let user = kind == Kind::User;
    Data {
        name: any_name(random),
        external_id: random.once_in(3).then(|| any_name(random)),
        title: (user && random.once_in(2)).then(|| (*random.one(&TITLES)).to_owned()),
        active: (user && random.once_in(3)).then(|| random.once_in(2)),
        members: if user { BTreeSet::new() } else { members },
    }
}

fn question(random: &mut Random, kind: Kind, own: &[&Entry], depth: usize) -> Question {
    match (random.below(9), kind) {
        (0, _) => Question::NameIs(any_name(random)),
        (1 | 2, _) => Question::NameBegins((*random.one(&NAMES)).to_owned()),
        (3, _) => Question::ExternalIdIs(any_name(random)),
        (4, _) if depth > 0 => Question::Neither(Box::new((
            question(random, kind, own, depth - 1),
            question(random, kind, own, depth - 1),
        ))),
        (5, Kind::User) => Question::TitleIs((*random.one(&TITLES)).to_owned()),
        (6, Kind::User) => Question::NoTitle,
        (7, Kind::User) => Question::ActiveIs(random.once_in(2)),
        (8, Kind::User) => Question::InGroup(any_id(random, own)),
        (5..=8, Kind::Group) => Question::HasMember(any_id(random, own)),
        _ => Question::All,
    }
}

/// A thousand random operations do to the provider what they do to the model.
pub fn random_operations_do_what_the_model_does(subject: Subject) {
    let done = run(subject, 3, 1_000);
    assert!(done.refused > 50 && done.refused < 700, "{done:?}");
}
