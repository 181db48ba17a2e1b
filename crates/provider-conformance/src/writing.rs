//! Writes and their effects.

use headcount_core::change::{Act, Activation, LeftGroup};
use headcount_core::error::Error;
use headcount_core::ids::{ResourceId, Version};
use headcount_core::message::SearchRequest;
use headcount_core::provider::{Step, StepDone, Update, With};
use headcount_core::service::{Edit, Precondition, Shape, WriteOutcome};
use serde_json::json;

use crate::Subject;
use crate::bench::{Bench, GROUP, USER, member_list, status};

/// A resource is read as it was inserted, and not found after its deletion.
pub fn insert_get_delete_round_trip(subject: Subject) {
    let bench = Bench::new(subject);
    let body = json!({"userName": "Zoë \"Z\" 😀", "externalId": "E-1", "active": false, "name": {"familyName": "Ñ\\"}});
    let created =
        bench.try_create(0, USER, body).unwrap_or_else(|error| panic!("{error}")).found.resource;
    assert_eq!(created.version, Version::FIRST);
    assert_eq!(created.created, created.modified);
    let read = bench.get(0, USER, &created.id).map(|found| found.resource);
    assert_eq!(read.as_ref(), Some(&created));
    assert_eq!(
        read.map(|read| read.document.text().to_owned()).as_deref(),
        Some(created.document.text())
    );
    assert!(bench.try_delete(0, USER, &created.id).is_ok());
    assert!(bench.get(0, USER, &created.id).is_none());
    assert_eq!(status(bench.try_delete(0, USER, &created.id)), 404);
}

/// An unknown id, and one of another kind, is not found.
pub fn unknown_ids_are_absent(subject: Subject) {
    let bench = Bench::new(subject);
    let user = bench.user("a");
    for (kind, id) in
        [(USER, ResourceId::new("nobody")), (USER, ResourceId::new("")), (GROUP, user.clone())]
    {
        assert!(bench.get(0, kind, &id).is_none());
        assert_eq!(status(bench.try_delete(0, kind, &id)), 404);
        assert_eq!(
            status(bench.try_patch(
                0,
                kind,
                &id,
                json!({"op": "replace", "path": "displayName", "value": "x"})
            )),
            404
        );
    }
    assert_eq!(
        bench.filter(USER, &format!("id eq \"{}\"", user.as_str().to_uppercase())),
        Vec::<String>::new()
    );
    assert!(bench.get(0, USER, &user).is_some());
}

/// A unique name is taken in any case, moves with a rename, and is free afterwards.
pub fn uniqueness_holds_across_case_rename_and_delete(subject: Subject) {
    let bench = Bench::new(subject);
    let first = bench.user("Åsa");
    assert_taken(create(&bench, "åsa"));
    assert_taken(create(&bench, "ÅSA"));
    let second = bench.user("other");
    assert_taken(rename(&bench, &second, "åSA"));
    let unchanged = bench.get(0, USER, &second).map(|found| found.resource.version);
    assert_eq!(unchanged, Some(Version::FIRST), "a refused rename leaves no trace");
    assert!(rename(&bench, &first, "åSA").is_ok(), "its own name in another case is no conflict");
    assert!(rename(&bench, &first, "moved").is_ok());
    assert_taken(create(&bench, "MOVED"));
    assert!(create(&bench, "Åsa").is_ok(), "the old name is free");
    assert!(bench.try_delete(0, USER, &first).is_ok());
    assert!(create(&bench, "moved").is_ok(), "a deleted resource holds no name");
}

fn create(bench: &Bench, name: &str) -> Result<WriteOutcome, Error> {
    bench.try_create(0, USER, json!({"userName": name}))
}

fn rename(bench: &Bench, id: &ResourceId, name: &str) -> Result<WriteOutcome, Error> {
    bench.try_patch(0, USER, id, json!({"op": "replace", "path": "userName", "value": name}))
}

fn assert_taken(result: Result<WriteOutcome, Error>) {
    match result {
        Err(error) => assert_eq!(error.status_and_type(), (409, Some("uniqueness")), "{error}"),
        Ok(_) => panic!("the name is taken"),
    }
}

/// A user and a group may have the same name.
pub fn unique_keys_belong_to_a_kind(subject: Subject) {
    let bench = Bench::new(subject);
    bench.user("sales");
    bench.group("sales", &[]);
    assert_eq!(status(bench.try_create(0, GROUP, json!({"displayName": "SALES"}))), 409);
}

/// An update that keeps or fails writes nothing; the next read returns what one stores.
pub fn update_keeps_stores_and_fails_without_trace(subject: Subject) {
    let bench = Bench::new(subject);
    let user =
        bench.create(USER, json!({"userName": "a", "title": "t", "emails": [{"value": "a@x"}]}));
    let before = bench.get(0, USER, &user);
    let kept = bench.patch(USER, &user, json!({"op": "replace", "path": "title", "value": "t"}));
    assert!(!kept.changed);
    assert_eq!(bench.get(0, USER, &user), before);
    let failed = bench.service.provider.update(
        bench.tenant(0),
        &bench.kind(USER).kind,
        &user,
        With::Nothing,
        &mut |current| {
            assert_eq!(Some(current.resource), before.as_ref().map(|found| &found.resource));
            Err(Error::NoTarget("refused".to_owned()))
        },
    );
    assert!(matches!(failed, Err(Error::NoTarget(reason)) if reason == "refused"));
    assert_eq!(bench.get(0, USER, &user), before);
    let stored = bench.patch(USER, &user, json!({"op": "replace", "path": "title", "value": "u"}));
    assert!(stored.changed);
    assert_eq!(bench.get(0, USER, &user).map(|found| found.resource), Some(stored.found.resource));
}

/// Each stored change makes one version; `lastModified` grows with it.
pub fn versions_grow_by_exactly_one(subject: Subject) {
    let bench = Bench::new(subject);
    let (user, group) = (bench.user("a"), bench.group("g", &[]));
    let mut last = bench.get(0, USER, &user).map(|found| found.resource.modified);
    for round in 1..=5 {
        let title = json!({"op": "replace", "path": "title", "value": format!("t{round}")});
        let resource = bench.patch(USER, &user, title).found.resource;
        assert_eq!(resource.version, Version::new(round + 1));
        assert!(Some(resource.modified) > last);
        last = Some(resource.modified);
    }
    let add = json!({"op": "add", "path": "members", "value": member_list(&[&user])});
    assert_eq!(bench.patch(GROUP, &group, add.clone()).found.resource.version, Version::new(2));
    assert_eq!(
        bench.patch(GROUP, &group, add).found.resource.version,
        Version::new(2),
        "a member that is there"
    );
    assert_eq!(
        bench.get(0, USER, &user).map(|f| f.resource.version),
        Some(Version::new(6)),
        "computed groups do not count"
    );
}

/// A deletion whose check refuses changes nothing.
pub fn a_refused_delete_leaves_everything(subject: Subject) {
    let bench = Bench::new(subject);
    let user = bench.user("a");
    let group = bench.group("g", &[&user]);
    let before = (bench.get(0, USER, &user), bench.get(0, GROUP, &group), bench.changes());
    let tags =
        headcount_core::service::Tags::parse("W/\"99\"").unwrap_or_else(|error| panic!("{error}"));
    let precondition = &Precondition { if_match: Some(tags), if_none_match: None };
    let (caller, kind) = (&bench.caller(0), &*bench.kind(USER));
    let refused = bench.service.delete(Edit { caller, kind, precondition }, &user);
    assert_eq!(status(refused), 412);
    assert_eq!(before, (bench.get(0, USER, &user), bench.get(0, GROUP, &group), bench.changes()));
}

/// Each change has a record of its effect, and nothing else has one.
pub fn evt_011_evt_012_changes_are_recorded_if_and_only_if_they_happen(subject: Subject) {
    let bench = Bench::new(subject);
    let user = bench.create(USER, json!({"userName": "a", "externalId": "e"}));
    let group = bench.group("g", &[&user]);
    let off = json!({"op": "replace", "path": "active", "value": false});
    bench.patch(USER, &user, off.clone());
    for nothing_new in [
        off,
        json!({"op": "remove", "path": "title"}),
        json!({"op": "replace", "path": "userName", "value": "a"}),
        json!({"op": "replace", "path": "password", "value": "a-Secret-1"}),
    ] {
        assert!(!bench.patch(USER, &user, nothing_new).changed);
    }
    let stranger = format!("members[value eq \"{}\"]", bench.caller(0).request);
    assert!(!bench.patch(GROUP, &group, json!({"op": "remove", "path": stranger})).changed);
    let same = json!({"userName": "a", "externalId": "e", "active": false});
    let (caller, kind) = (bench.caller(0), bench.kind(USER));
    let edit = Edit::unconditional(&caller, &kind);
    let put = bench.service.replace(edit, &user, same, &Shape::default());
    assert!(put.is_ok_and(|written| !written.changed));
    assert!(bench.try_create(0, USER, json!({"userName": "A"})).is_err());
    let missing = ResourceId::new("nobody");
    assert!(
        bench
            .try_patch(
                0,
                GROUP,
                &group,
                json!({"op": "add", "path": "members", "value": member_list(&[&missing])})
            )
            .is_err()
    );
    bench.patch(
        GROUP,
        &group,
        json!({"op": "add", "path": "members", "value": member_list(&[&user])}),
    );
    assert!(bench.try_delete(0, USER, &user).is_ok());
    let changes = bench.changes();
    let acts: Vec<_> = changes.iter().map(|c| (c.change.act, c.id.clone(), c.version)).collect();
    assert_eq!(
        acts,
        [
            (Act::Created, user.clone(), Some(Version::FIRST)),
            (Act::Created, group.clone(), Some(Version::FIRST)),
            (Act::Patched, user.clone(), Some(Version::new(2))),
            (Act::Deleted, user.clone(), Some(Version::new(2))),
        ]
    );
    let [created, grouped, deactivated, deleted] = &*changes else { panic!("four changes") };
    assert_eq!(created.change.names.name.as_deref(), Some("a"));
    assert_eq!(created.change.names.external_id.as_deref(), Some("e"));
    assert_eq!(grouped.members.added, [user]);
    assert_eq!(
        (deactivated.change.paths.join(" "), deactivated.change.switched),
        ("active".to_owned(), Some(Activation::Off))
    );
    assert_eq!(deleted.left, [LeftGroup { group, version: Version::new(2) }]);
    assert!(changes.is_sorted_by_key(|recorded| recorded.position));
}

/// In a batch, each step is atomic; a failing one changes nothing and does not stop the others.
pub fn batches_are_single_steps(subject: Subject) {
    let bench = Bench::new(subject);
    let kind = bench.kind(USER);
    let (first, second) = (bench.user("a"), bench.user("b"));
    let gone = ResourceId::new("nobody");
    let mut steps = [
        Step::Update(&kind.kind, first.clone(), Box::new(|_| Ok(Update::Keep))),
        Step::Update(
            &kind.kind,
            second.clone(),
            Box::new(|_| Err(Error::NoTarget("no".to_owned()))),
        ),
        Step::Delete(&kind.kind, gone, Box::new(|_| Err(Error::internal("never called")))),
        Step::Delete(
            &kind.kind,
            second.clone(),
            Box::new(|_| Err(Error::PreconditionFailed { current: String::new() })),
        ),
    ];
    let results: Vec<_> = bench
        .subject
        .provider
        .batch(bench.tenant(0), &mut steps, None)
        .into_iter()
        .map(|result| match result {
            Ok(StepDone::Stored(resource) | StepDone::Kept(resource)) => {
                resource.version.to_string()
            }
            Ok(StepDone::Deleted) => "deleted".to_owned(),
            Err(error) => error.status_and_type().0.to_string(),
        })
        .collect();
    assert_eq!(results, ["W/\"1\"", "400", "404", "412"]);
    drop(steps);
    for id in [&first, &second] {
        let version = bench.get(0, USER, id).map(|found| found.resource.version);
        assert_eq!(version, Some(Version::FIRST), "a step that changes nothing makes no version");
    }
    assert_eq!(bench.changes().len(), 2);
    let mut steps = [
        Step::Update(
            &kind.kind,
            first.clone(),
            Box::new(|_| Err(Error::NoTarget("no".to_owned()))),
        ),
        Step::Update(&kind.kind, first.clone(), Box::new(|_| Ok(Update::Keep))),
        Step::Update(
            &kind.kind,
            first.clone(),
            Box::new(|_| Err(Error::NoTarget("no".to_owned()))),
        ),
        Step::Delete(
            &kind.kind,
            second.clone(),
            Box::new(|_| Err(Error::internal("never called"))),
        ),
    ];
    let results = bench.subject.provider.batch(bench.tenant(0), &mut steps, Some(2));
    assert_eq!(results.len(), 3, "after the second failure nothing more is run");
}

/// After a deletion nothing finds the resource.
pub fn nothing_is_left_of_a_deleted_resource(subject: Subject) {
    let bench = Bench::new(subject);
    let user = bench
        .create(USER, json!({"userName": "a", "externalId": "e", "emails": [{"value": "a@x"}]}));
    let group = bench.group("g", &[&user]);
    assert!(bench.try_delete(0, USER, &user).is_ok());
    for filter in [
        "userName eq \"a\"",
        "externalId eq \"e\"",
        "emails.value eq \"a@x\"",
        "active eq true",
        "userName pr",
    ] {
        assert_eq!(bench.filter(USER, filter), Vec::<String>::new(), "{filter}");
    }
    assert_eq!(bench.filter(GROUP, &format!("members.value eq \"{user}\"")), Vec::<String>::new());
    assert_eq!(bench.members(&group), Vec::<String>::new());
    assert_eq!(bench.search(USER, &SearchRequest::default()).1, 0);
    let again = bench.user("a");
    assert_ne!(again, user);
    assert!(
        bench.get(0, USER, &again).is_some_and(|found| found.computed.groups.is_empty()),
        "no inherited membership"
    );
}
