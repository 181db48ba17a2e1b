//! Expensive requests: they end with their budget, and do not block others.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use headcount_core::error::Error;
use headcount_core::filter::parse_filter;
use headcount_core::ids::ResourceId;
use headcount_core::message::{BulkOperation, BulkRequest};
use headcount_core::path::AttrRef;
use headcount_core::provider::{Direction, ProviderError, Query, Sort, Start, Step, Update, With};
use headcount_core::quirks::{Applied, Quirks};
use headcount_core::service::{
    Caller, Edit, MAX_LANE_MEMBERS, MAX_LANE_UNITS, Service, Shape, WriteOutcome,
};
use headcount_core::work::{FOLDING, Halt, Stop, VISIT, Work, count};
use serde_json::{Value, json};

use crate::Subject;
use crate::bench::{Bench, GROUP, USER, status};
use crate::watched::Watched;

/// Values of the long attribute, and characters of each. Folding them costs thirty times what the lane
/// allows.
const VALUES: usize = 120;
const LETTERS: usize = 500;

/// A service over a watched provider, and the caller of one request.
struct Watching {
    service: Service,
    provider: Arc<Watched>,
    caller: Caller,
}

impl Watching {
    fn over(bench: &Bench, adjust: impl FnOnce(Watched) -> Watched) -> Self {
        let caller = Caller { work: Work::default(), ..bench.caller(0) };
        let watched = Watched::new(Arc::clone(&bench.subject.provider), &caller.work);
        let provider = Arc::new(adjust(watched));
        let service = Service { provider: provider.clone(), ..bench.service.clone() };
        Self { service, provider, caller }
    }

    fn patch(
        &self,
        bench: &Bench,
        kind: &str,
        id: &ResourceId,
        operation: Value,
    ) -> Result<WriteOutcome, Error> {
        let body = json!({"Operations": [operation]});
        let kind = bench.kind(kind);
        self.service.patch(Edit::unconditional(&self.caller, &kind), id, body, &Shape::default())
    }

    /// Returns whether each change under the lock cost at most what the lane allows.
    fn kept_to_the_lane(&self) -> bool {
        self.provider.max_units.load(Ordering::SeqCst) <= MAX_LANE_UNITS
    }
}

fn crowd(bench: &Bench, name: &str) -> ResourceId {
    let ims: Vec<Value> = (0..VALUES)
        .map(|n| json!({"value": format!("v{n}"), "display": "Ä".repeat(LETTERS)}))
        .collect();
    bench.create(USER, json!({"userName": name, "ims": ims}))
}

/// Removes all of them that have a display, after it has been compared with many texts.
fn expensive() -> Value {
    let terms: Vec<String> = (0..40).map(|n| format!("display co \"q{n}\"")).collect();
    json!({"op": "remove", "path": format!("ims[not ({})].display", terms.join(" or "))})
}

fn has_displays(bench: &Bench, id: &ResourceId) -> bool {
    let found = bench.get(0, USER, id).unwrap_or_else(|| panic!("{id} exists"));
    found.resource.document.text().contains("display")
}

/// S2: an expensive change is computed outside the lock, a cheap one under it without reading first.
pub fn expensive_changes_are_computed_outside_the_lock(subject: Subject) {
    let bench = Bench::new(subject);
    let user = bench.user("a");
    let watching = Watching::over(&bench, |watched| watched);
    let cheap = json!({"op": "replace", "path": "title", "value": "x"});
    assert!(watching.patch(&bench, USER, &user, cheap).is_ok_and(|written| written.changed));
    assert_eq!(watching.provider.calls(), (0, 1), "a cheap change is one update and no copy");
    let user = crowd(&bench, "b");
    let watching = Watching::over(&bench, |watched| watched);
    let written = watching.patch(&bench, USER, &user, expensive());
    assert!(written.is_ok_and(|written| written.changed));
    assert!(!has_displays(&bench, &user));
    assert!(watching.caller.work.units_spent() > 10 * MAX_LANE_UNITS);
    assert!(watching.kept_to_the_lane(), "{:?}", watching.provider.max_units);
    assert_eq!(watching.provider.calls(), (1, 2));
    let version = bench.get(0, USER, &user).map(|found| found.resource.version.counter());
    assert_eq!(version, Some(2));
}

/// S2: a PUT that derives much is computed outside the lock.
pub fn expensive_replacements_are_computed_outside_the_lock(subject: Subject) {
    let bench = Bench::new(subject);
    let user = bench.user("a");
    let emails: Vec<Value> =
        (0..100).map(|n| json!({"value": format!("{n}{}", "ä".repeat(200))})).collect();
    let watching = Watching::over(&bench, |watched| watched);
    let body = json!({"userName": "a", "emails": emails});
    let kind = bench.kind(USER);
    let edit = Edit::unconditional(&watching.caller, &kind);
    let written = watching.service.replace(edit, &user, body, &Shape::default());
    assert!(written.is_ok_and(|written| written.changed));
    assert!(watching.kept_to_the_lane(), "{:?}", watching.provider.max_units);
    assert_eq!(watching.provider.calls(), (1, 2));
    assert_eq!(bench.filter(USER, "emails.value sw \"99Ä\""), ["a"]);
}

/// A change that selects among more members than are read under the lock is computed outside it.
pub fn changes_over_many_members_are_computed_outside_the_lock(subject: Subject) {
    let bench = Bench::new(subject);
    let users = ["a", "b", "c"].map(|name| bench.user(name));
    let group = bench.group("g", &[&users[0], &users[1], &users[2]]);
    let select =
        |id: &ResourceId| json!({"op": "remove", "path": format!("members[value sw \"{id}\"]")});
    let watching = Watching::over(&bench, |watched| watched);
    assert!(watching.patch(&bench, GROUP, &group, select(&users[0])).is_ok());
    assert_eq!(watching.provider.calls(), (0, 1), "few members are read under the lock");
    let asked = watching.provider.max_members.load(Ordering::SeqCst);
    assert_eq!(asked, MAX_LANE_MEMBERS + 1, "no more are read than show that there are too many");
    let watching = Watching::over(&bench, Watched::with_crowds);
    assert!(watching.patch(&bench, GROUP, &group, select(&users[1])).is_ok());
    assert_eq!(watching.provider.calls(), (2, 2));
    let units = watching.provider.max_units.load(Ordering::SeqCst);
    assert!(
        units < VISIT * count(MAX_LANE_MEMBERS),
        "no member is visited under the lock: {units}"
    );
    assert_eq!(bench.members(&group), [users[2].to_string()]);
}

/// An expensive change is stored only over the version that it was computed from. After three attempts the
/// client has to repeat the request.
pub fn expensive_changes_give_way_to_others(subject: Subject) {
    let bench = Arc::new(Bench::new(subject));
    for (rivals, tries, expected) in [(0, 1, 200), (1, 2, 200), (2, 3, 200), (3, 3, 503)] {
        let user = crowd(&bench, &format!("u{rivals}"));
        let (rival, id, mut left) = (Arc::clone(&bench), user.clone(), rivals);
        let watching = Watching::over(&bench, |watched| {
            watched.with_rival(move || {
                if left > 0 {
                    left -= 1;
                    let title =
                        json!({"op": "replace", "path": "title", "value": left.to_string()});
                    rival.patch(USER, &id, title);
                }
            })
        });
        let result = watching.patch(&bench, USER, &user, expensive());
        assert_eq!(status(result), expected, "{rivals} others");
        assert_eq!(watching.provider.calls(), (tries, tries + 1), "{rivals} others");
        assert_eq!(has_displays(&bench, &user), expected != 200, "{rivals} others");
        let version = bench.get(0, USER, &user).map(|found| found.resource.version.counter());
        let own = if expected == 200 { 1 } else { 0 };
        assert_eq!(version, Some(1 + rivals + own), "no other change is lost");
    }
}

fn operation(method: &str, path: &str, data: Value) -> BulkOperation {
    BulkOperation {
        method: method.to_owned(),
        path: path.to_owned(),
        bulk_id: (method == "POST").then(|| "new".to_owned()),
        version: None,
        data: Some(data),
    }
}

fn bulk(watching: &Watching, operations: Vec<BulkOperation>, errors: Option<usize>) -> Vec<u16> {
    let request = BulkRequest { operations, fail_on_errors: errors };
    let outcome = watching.service.bulk(&watching.caller, request, &|_| Ok(()));
    let statuses = outcome.results.into_iter().map(|result| match result.outcome {
        Ok(status) => status,
        Err(error) => error.status_and_type().0,
    });
    statuses.collect()
}

/// S2: an expensive operation of a bulk request leaves the lane, and still runs before the operations after
/// it.
pub fn expensive_operations_of_a_bulk_keep_their_turn(subject: Subject) {
    let bench = Bench::new(subject);
    for (round, errors) in [None, Some(1)].into_iter().enumerate() {
        let (name, other) = (format!("name{round}"), format!("other{round}"));
        let user = crowd(&bench, &name);
        let rename = json!({"op": "replace", "path": "userName", "value": other});
        let patch = json!({"Operations": [expensive(), rename]});
        let watching = Watching::over(&bench, |watched| watched);
        let operations = vec![
            operation("PATCH", &format!("/Users/{user}"), patch),
            // The name is free after the operation before.
            operation("POST", "/Users", json!({"userName": name})),
        ];
        assert_eq!(bulk(&watching, operations, errors), [200, 201], "{errors:?}");
        assert!(!has_displays(&bench, &user));
        assert!(watching.kept_to_the_lane(), "{:?}", watching.provider.max_units);
    }
}

/// The operations of a bulk request share its budget; those beyond it change nothing.
pub fn a_bulk_ends_with_its_budget(subject: Subject) {
    let bench = Bench::new(subject);
    let users = ["a", "b", "c"].map(|name| crowd(&bench, name));
    let mut watching = Watching::over(&bench, |watched| watched);
    let [first, second, third] = users.each_ref().map(|user| {
        let path = format!("/Users/{user}");
        operation("PATCH", &path, json!({"Operations": [expensive()]}))
    });
    assert_eq!(bulk(&watching, vec![first], None), [200]);
    watching.caller.work = Work::new(watching.caller.work.units_spent() * 3 / 2);
    let create = operation("POST", "/Users", json!({"userName": "d"}));
    let operations = vec![second, third, create];
    assert_eq!(bulk(&watching, operations, None), [200, 400, 400]);
    assert_eq!(users.map(|user| has_displays(&bench, &user)), [false, false, true]);
    assert_eq!(bench.filter(USER, "userName eq \"d\""), Vec::<String>::new());
}

/// A request that is stopped at any time changes nothing afterwards, neither by itself nor in a bulk.
pub fn a_stopped_request_changes_nothing(subject: Subject) {
    let bench = Bench::new(subject);
    let (user, crowd) = (bench.user("a"), crowd(&bench, "b"));
    let before = bench.changes().len();
    let (all, kind) = (Shape::default(), bench.kind(USER));
    let title = json!({"op": "replace", "path": "title", "value": "x"});
    let Watching { service, caller, .. } = &stopped_service(&bench);
    assert_eq!(status(service.create(caller, &kind, json!({"userName": "c"}), &all)), 503);
    let edit = Edit::unconditional(caller, &kind);
    let replaced = service.replace(edit, &user, json!({"userName": "d"}), &all);
    assert_eq!(status(replaced), 503);
    assert_eq!(status(stopped_service(&bench).patch(&bench, USER, &user, title.clone())), 503);
    let deleted = service.delete(edit, &user);
    assert_eq!(deleted.map_err(|error| error.status_and_type().0), Err(503));
    let path = format!("/Users/{user}");
    for one in [
        operation("DELETE", &path, Value::Null),
        operation("POST", "/Users", json!({"userName": "c"})),
        operation("PUT", &path, json!({"userName": "d"})),
        operation("PATCH", &path, json!({"Operations": [title]})),
        // A stopped request does not read its body.
        operation("PATCH", &path, json!({"Operations": "none"})),
    ] {
        let method = one.method.clone();
        assert_eq!(bulk(&stopped_service(&bench), vec![one], None), [503], "{method}");
    }
    // Stopped while a change is computed outside the lock.
    let midway = Watching::over(&bench, |watched| watched.stopping_after_copy(Stop::Gone));
    assert_eq!(status(midway.patch(&bench, USER, &crowd, expensive())), 503);
    // Stopped when the change is computed, before it is stored.
    let late = Watching::over(&bench, |watched| watched.stopping_at_update(2, Stop::Gone));
    assert_eq!(status(late.patch(&bench, USER, &crowd, expensive())), 503);
    assert_eq!(late.provider.calls(), (1, 2));
    let expensive =
        operation("PATCH", &format!("/Users/{crowd}"), json!({"Operations": [expensive()]}));
    let create = operation("POST", "/Users", json!({"userName": "c"}));
    let delete = operation("DELETE", &path, Value::Null);
    let midway = Watching::over(&bench, |watched| watched.stopping_after_copy(Stop::Gone));
    assert_eq!(bulk(&midway, vec![expensive, create, delete], None), [503, 503, 503]);
    assert_eq!(bench.changes().len(), before);
    assert!(has_displays(&bench, &crowd));
}

/// Returns a watched service whose request has been stopped.
fn stopped_service(bench: &Bench) -> Watching {
    let watching = Watching::over(bench, |watched| watched);
    watching.caller.work.stop(Stop::Deadline);
    watching
}

/// A batch ends with the step that used up the budget.
pub fn a_batch_ends_where_the_work_ends(subject: Subject) {
    let bench = Bench::new(subject);
    let kind = bench.kind(USER);
    let (first, second) = (bench.user("a"), bench.user("b"));
    let mut steps = [
        Step::Update(&kind.kind, first.clone(), Box::new(|_| Ok(Update::Keep))),
        Step::Update(&kind.kind, first, Box::new(|_| Err(Halt::Spent.into()))),
        Step::Delete(
            &kind.kind,
            second.clone(),
            Box::new(|_| Err(Error::internal("never called"))),
        ),
    ];
    let results = bench.subject.provider.batch(bench.tenant(0), &mut steps, None);
    assert!(matches!(&results[..], [Ok(_), Err(Error::Halted(Halt::Spent))]), "{results:?}");
    assert!(bench.get(0, USER, &second).is_some());
}

/// S1: a search that no index serves ends with its budget, and when it is stopped.
pub fn searches_end_with_their_budget(subject: Subject) {
    let bench = Bench::new(subject);
    for n in 0..20 {
        let long = "Ä".repeat(500);
        bench.create(USER, json!({"userName": format!("u{n}"), "nickName": long}));
    }
    let kind = bench.kind(USER);
    let by: AttrRef = kind.resolve("nickName").unwrap_or_else(|error| panic!("{error}"));
    let text = "nickName co \"q\" or nickName co \"r\"";
    let filter = parse_filter(&kind, Quirks::ALL, &mut Applied::default(), text)
        .unwrap_or_else(|error| panic!("{error}"));
    let unbounded = Query {
        kind: &kind,
        filter: None,
        sort: None,
        start: Start::Offset(0),
        limit: 1,
        with: With::Nothing,
        work: Work::unlimited(),
    };
    let (provider, tenant) = (&bench.subject.provider, bench.tenant(0));
    let filtered = Query { filter: Some(filter), ..unbounded.clone() };
    let sorted = Query { sort: Some(Sort { by, direction: Direction::Ascending }), ..unbounded };
    let each = 1_000 * FOLDING;
    for (mut query, total) in [(filtered, 0), (sorted, 20)] {
        query.work = Work::new(30 * each);
        assert!(matches!(provider.find(tenant, &query), Ok(page) if page.total == total));
        assert!(query.work.units_spent() > 20 * each, "every value is folded once");
        query.work = Work::new(10 * each);
        let halted = provider.find(tenant, &query);
        assert!(matches!(halted, Err(ProviderError::Halted(Halt::Spent))));
        assert!(query.work.units_spent() < 12 * each, "work that is not paid for is not done");
        query.work = Work::unlimited();
        query.work.stop(Stop::Gone);
        let stopped = provider.find(tenant, &query);
        assert!(matches!(stopped, Err(ProviderError::Halted(Halt::Gone))));
    }
}
