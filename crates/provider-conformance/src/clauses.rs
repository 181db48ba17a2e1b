//! The clauses that one caller can see.

use headcount_core::error::Error;
use headcount_core::ids::{ResourceId, Version};
use headcount_core::journal::{Act, Switched};
use headcount_core::message::SearchRequest;
use headcount_core::provider::{Key, ProviderError, Query, Start, Step, StepDone, Update, With};
use headcount_core::service::Precondition;
use serde_json::{Value, json};

use crate::Subject;
use crate::bench::{Bench, GROUP, USER, member_list};

/// What is inserted is read back as it was, and is gone after its deletion.
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

fn status<T>(result: Result<T, Error>) -> u16 {
    match result {
        Ok(_) => 200,
        Err(error) => error.status_and_type().0,
    }
}

/// An id that was never given out, or belongs to another kind, leads nowhere.
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

/// A unique name is taken in every spelling of case, moves with a rename, and is free again after.
pub fn uniqueness_holds_across_case_rename_and_delete(subject: Subject) {
    let bench = Bench::new(subject);
    let taken = |result: Result<_, Error>| match result {
        Err(error) => assert_eq!(error.status_and_type(), (409, Some("uniqueness")), "{error}"),
        Ok::<headcount_core::service::Written, _>(_) => panic!("the name is taken"),
    };
    let create = |name: &str| bench.try_create(0, USER, json!({"userName": name}));
    let first = bench.user("Åsa");
    taken(create("åsa"));
    taken(create("ÅSA"));
    let second = bench.user("other");
    let rename = |id: &ResourceId, name: &str| {
        bench.try_patch(0, USER, id, json!({"op": "replace", "path": "userName", "value": name}))
    };
    taken(rename(&second, "åSA"));
    let unchanged = bench.get(0, USER, &second).map(|found| found.resource.version);
    assert_eq!(unchanged, Some(Version::FIRST), "a refused rename leaves no trace");
    assert!(rename(&first, "åSA").is_ok(), "its own name in another case is no conflict");
    assert!(rename(&first, "moved").is_ok());
    taken(create("MOVED"));
    assert!(create("Åsa").is_ok(), "the old name is free");
    assert!(bench.try_delete(0, USER, &first).is_ok());
    assert!(create("moved").is_ok(), "a deleted resource takes no part in uniqueness");
}

/// The same name may be a user's and a group's.
pub fn unique_keys_belong_to_a_kind(subject: Subject) {
    let bench = Bench::new(subject);
    bench.user("sales");
    bench.group("sales", &[]);
    assert_eq!(status(bench.try_create(0, GROUP, json!({"displayName": "SALES"}))), 409);
}

/// No method shows, counts, changes or deletes what belongs to another tenant.
pub fn tenants_are_isolated_in_every_method(subject: Subject) {
    let bench = Bench::new(subject);
    let (user, group) = (bench.user("same"), bench.group("g", &[]));
    bench.patch(
        GROUP,
        &group,
        json!({"op": "add", "path": "members", "value": member_list(&[&user])}),
    );
    let there = bench.try_create(1, USER, json!({"userName": "same", "externalId": "x"}));
    assert!(there.is_ok(), "names of other tenants are free");
    let before = (bench.get(0, USER, &user), bench.get(0, GROUP, &group), bench.changes());
    assert!(bench.get(1, USER, &user).is_none());
    assert_eq!(status(bench.try_delete(1, USER, &user)), 404);
    assert_eq!(
        status(bench.try_patch(
            1,
            USER,
            &user,
            json!({"op": "replace", "path": "title", "value": "x"})
        )),
        404
    );
    let foreign_member = json!({"displayName": "h", "members": member_list(&[&user])});
    assert_eq!(status(bench.try_create(1, GROUP, foreign_member)), 400);
    let provider = &bench.subject.provider;
    let tenant = bench.tenant(1);
    assert!(
        provider.members(tenant, &group, None, 10).is_ok_and(|members| members.members.is_empty())
    );
    assert!(
        provider
            .memberships(tenant, std::slice::from_ref(&user))
            .is_ok_and(|entries| entries.is_empty())
    );
    let search = |filter: Option<String>| {
        let request = SearchRequest { filter, ..SearchRequest::default() };
        let listing = bench.service.search(&bench.caller(1), &[bench.kind(USER)], &request);
        listing.unwrap_or_else(|error| panic!("{error}")).head.total
    };
    assert_eq!(search(None), 1);
    assert_eq!(search(Some(format!("id eq \"{user}\""))), 0);
    assert_eq!(search(Some(format!("not (id eq \"{user}\")"))), 1);
    assert_eq!(search(Some("externalId pr".to_owned())), 1);
    assert_eq!(search(Some(format!("groups.value eq \"{group}\""))), 0);
    let mut steps = [
        Step::Update(&bench.kind(USER).kind, user.clone(), Box::new(|_| Ok(Update::Keep))),
        Step::Delete(
            &bench.kind(GROUP).kind,
            group.clone(),
            Box::new(|_| Err(Error::internal("never asked"))),
        ),
    ];
    for result in provider.batch(tenant, &mut steps) {
        assert_eq!(status(result), 404);
    }
    drop(steps);
    assert_eq!(before, (bench.get(0, USER, &user), bench.get(0, GROUP, &group), bench.changes()));
}

/// An update that keeps or fails writes nothing; one that stores is seen by the next read.
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

/// Each stored change is one version; `lastModified` grows with it.
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
    let precondition = Precondition { if_match: Some(tags), if_none_match: None };
    let refused = bench.service.delete(&bench.caller(0), &bench.kind(USER), &user, &precondition);
    assert_eq!(status(refused), 412);
    assert_eq!(before, (bench.get(0, USER, &user), bench.get(0, GROUP, &group), bench.changes()));
}

/// There is a record for each change and none for anything else, with what really happened in it.
pub fn changes_are_recorded_if_and_only_if_they_happen(subject: Subject) {
    let bench = Bench::new(subject);
    let user = bench.create(USER, json!({"userName": "a", "externalId": "e"}));
    let group = bench.group("g", &[&user]);
    bench.patch(USER, &user, json!({"op": "replace", "path": "active", "value": false}));
    bench.patch(USER, &user, json!({"op": "replace", "path": "active", "value": false}));
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
    let acts: Vec<_> =
        changes.iter().map(|c| (c.change.act, c.id.clone(), c.version.counter())).collect();
    assert_eq!(
        acts,
        [
            (Act::Created, user.clone(), 1),
            (Act::Created, group.clone(), 1),
            (Act::Patched, user.clone(), 2),
            (Act::Deleted, user.clone(), 2),
        ]
    );
    let at = |index: usize| changes.get(index).unwrap_or_else(|| panic!("four changes"));
    assert_eq!(at(0).change.names.name.as_deref(), Some("a"));
    assert_eq!(at(0).change.names.external_id.as_deref(), Some("e"));
    assert_eq!(at(1).members.added, [user]);
    assert_eq!(
        (at(2).change.paths.join(" "), at(2).change.switched),
        ("active".to_owned(), Some(Switched::Off))
    );
    assert_eq!(at(3).left, [group]);
    assert!(changes.is_sorted_by_key(|recorded| recorded.seq));
}

/// Pages neither overlap nor miss, in the order of creation; the total is what there is.
pub fn pages_are_stable_and_total_is_exact(subject: Subject) {
    let bench = Bench::new(subject);
    let names: Vec<String> = (0..25).map(|n| format!("u{:02}", (n * 7) % 25)).collect();
    for name in &names {
        bench.user(name);
    }
    let page = |start: i64, count: i64| {
        bench.search(
            USER,
            &SearchRequest {
                start_index: Some(start),
                count: Some(count),
                ..SearchRequest::default()
            },
        )
    };
    let mut seen = Vec::new();
    for start in (1..=25).step_by(10) {
        let (some, total) = page(start, 10);
        assert_eq!(total, 25);
        seen.extend(some);
    }
    assert_eq!(seen, names);
    assert_eq!(page(26, 10), (Vec::new(), 25));
    assert_eq!(page(1, 0), (Vec::new(), 25));
    assert_eq!(page(0, -5), (Vec::new(), 25));
    assert_eq!(page(1, 25).0.len(), 25);
    let filtered = SearchRequest {
        filter: Some("userName sw \"u1\"".to_owned()),
        count: Some(3),
        ..SearchRequest::default()
    };
    assert_eq!(bench.search(USER, &filtered).1, 10);
}

/// A walk by keys sees everything that was there throughout, once, whatever is deleted meanwhile.
pub fn keys_walk_over_deletions(subject: Subject) {
    let bench = Bench::new(subject);
    let ids: Vec<_> = (0..30).map(|n| bench.user(&format!("u{n:02}"))).collect();
    let kind = bench.kind(USER);
    let (mut start, mut seen, mut victims) =
        (Start::Offset(0), Vec::new(), ids.iter().skip(2).step_by(5));
    loop {
        let query = Query {
            kind: &kind,
            filter: None,
            sort: None,
            start: start.clone(),
            limit: 7,
            with: With::Nothing,
        };
        let page = bench
            .subject
            .provider
            .find(bench.tenant(0), &query)
            .unwrap_or_else(|error| panic!("{error}"));
        seen.extend(page.resources.into_iter().map(|found| found.resource.id));
        if let Some(victim) = victims.next() {
            assert!(bench.try_delete(0, USER, victim).is_ok());
        }
        match page.next {
            Some(key) => start = Start::After(key),
            None => break,
        }
    }
    let stayed: Vec<_> = ids.iter().filter(|id| bench.get(0, USER, id).is_some()).collect();
    for id in stayed {
        assert_eq!(seen.iter().filter(|seen| *seen == id).count(), 1, "{id}");
    }
    let foreign = Query {
        kind: &kind,
        filter: None,
        sort: None,
        start: Start::After(Key("nonsense".to_owned())),
        limit: 7,
        with: With::Nothing,
    };
    assert!(matches!(
        bench.subject.provider.find(bench.tenant(0), &foreign),
        Err(ProviderError::InvalidKey)
    ));
}

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

/// For every filter, it and its negation share nobody and leave nobody out.
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
    let sorted = |by: &str, order: &str| {
        let request = SearchRequest {
            sort_by: Some(by.to_owned()),
            sort_order: Some(order.to_owned()),
            ..SearchRequest::default()
        };
        bench.search(USER, &request).0.join(" ")
    };
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
        assert_eq!(sorted(by, "ascending"), ascending, "{by}");
        assert_eq!(sorted(by, "descending"), descending, "{by} descending");
    }
    let id_order = {
        let all = bench.filter(USER, "userName pr");
        let mut ids: Vec<_> =
            all.iter().map(|name| (bench.subject_id(name), name.clone())).collect();
        ids.sort();
        ids.into_iter().map(|(_, name)| name).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(sorted("id", "ascending"), id_order);
}

impl Bench {
    fn subject_id(&self, name: &str) -> String {
        let request = SearchRequest {
            filter: Some(format!("userName eq \"{name}\"")),
            ..SearchRequest::default()
        };
        let listing = self.service.search(&self.caller(0), &[self.kind(USER)], &request);
        let listing = listing.unwrap_or_else(|error| panic!("{error}"));
        listing.resources.first().map(|found| found.resource.id.to_string()).unwrap_or_default()
    }
}

/// Members come and go by name; naming one that is there, or is not, is no error.
pub fn members_change_by_rows(subject: Subject) {
    let bench = Bench::new(subject);
    let ids: Vec<_> = (0..5).map(|n| bench.user(&format!("u{n}"))).collect();
    let [a, b, c, d, e] =
        ids.iter().collect::<Vec<_>>().try_into().unwrap_or_else(|_| panic!("five users"));
    let sorted = |list: &[&ResourceId]| {
        let mut ids: Vec<_> = list.iter().map(ToString::to_string).collect();
        ids.sort();
        ids
    };
    let group = bench.group("g", &[a, b, a]);
    assert_eq!(bench.members(&group), sorted(&[a, b]));
    bench.patch(
        GROUP,
        &group,
        json!({"op": "add", "path": "members", "value": member_list(&[b, c])}),
    );
    assert_eq!(bench.members(&group), sorted(&[a, b, c]));
    bench.patch(
        GROUP,
        &group,
        json!({"op": "remove", "path": format!("members[value eq \"{a}\"]")}),
    );
    bench.patch(
        GROUP,
        &group,
        json!({"op": "remove", "path": format!("members[value eq \"{a}\"]")}),
    );
    assert_eq!(bench.members(&group), sorted(&[b, c]));
    let replaced = bench.patch(
        GROUP,
        &group,
        json!({"op": "replace", "path": "members", "value": member_list(&[c, d, e])}),
    );
    assert!(replaced.changed);
    assert_eq!(bench.members(&group), sorted(&[c, d, e]));
    let last = bench.changes().pop().unwrap_or_else(|| panic!("a change"));
    assert_eq!(
        (last.members.removed, sorted(&last.members.added.iter().collect::<Vec<_>>())),
        (vec![b.clone()], sorted(&[d, e]))
    );
    assert!(
        !bench
            .patch(
                GROUP,
                &group,
                json!({"op": "replace", "path": "members", "value": member_list(&[e, d, c])})
            )
            .changed
    );
    let nested = bench.group("outer", &[&group, a]);
    let kinds: Vec<_> = bench
        .get(0, GROUP, &nested)
        .into_iter()
        .flat_map(|f| f.computed.members)
        .map(|m| m.kind.to_string())
        .collect();
    assert_eq!(kinds.iter().filter(|kind| *kind == GROUP).count(), 1);
    bench.patch(GROUP, &group, json!({"op": "remove", "path": "members"}));
    assert_eq!(bench.members(&group), Vec::<String>::new());
}

/// A member that does not exist is refused, and with it the whole request.
pub fn unknown_members_are_refused(subject: Subject) {
    let bench = Bench::new(subject);
    let user = bench.user("a");
    let group = bench.group("g", &[]);
    let missing = ResourceId::new("nobody");
    let add = json!({"op": "add", "path": "members", "value": member_list(&[&user, &missing])});
    let refused = bench.try_patch(0, GROUP, &group, add);
    match refused {
        Err(error) => {
            assert_eq!(error.status_and_type(), (400, Some("invalidValue")));
            assert!(error.to_string().contains("nobody"), "{error}");
        }
        Ok(_) => panic!("an unknown member is refused"),
    }
    assert_eq!(bench.members(&group), Vec::<String>::new());
    assert_eq!(
        status(bench.try_create(
            0,
            GROUP,
            json!({"displayName": "h", "members": member_list(&[&missing])})
        )),
        400
    );
    assert_eq!(bench.filter(GROUP, "displayName eq \"h\""), Vec::<String>::new());
    assert_eq!(
        bench.get(0, GROUP, &group).map(|found| found.resource.version),
        Some(Version::FIRST)
    );
}

/// A deleted resource leaves every group, and those groups get their next version.
pub fn members_leave_with_their_user(subject: Subject) {
    let bench = Bench::new(subject);
    let (a, b) = (bench.user("a"), bench.user("b"));
    let groups = [bench.group("g", &[&a, &b]), bench.group("h", &[&a]), bench.group("i", &[&b])];
    let before: Vec<_> = groups
        .iter()
        .map(|id| bench.get(0, GROUP, id).map(|f| f.resource.version.counter()))
        .collect();
    assert!(bench.try_delete(0, USER, &a).is_ok());
    let after: Vec<_> = groups
        .iter()
        .map(|id| bench.get(0, GROUP, id).map(|f| f.resource.version.counter()))
        .collect();
    assert_eq!((before, after), (vec![Some(1); 3], vec![Some(2), Some(2), Some(1)]));
    let [g, h, _] = &groups;
    assert_eq!(bench.members(g), [b.to_string()]);
    assert_eq!(bench.members(h), Vec::<String>::new());
    assert!(bench.try_delete(0, GROUP, g).is_ok(), "deleting a group keeps its members");
    assert!(bench.get(0, USER, &b).is_some_and(|found| found.computed.groups.len() == 1));
}

/// The groups of a user are computed, with their names as they are now.
pub fn groups_are_computed(subject: Subject) {
    let bench = Bench::new(subject);
    let user = bench.user("a");
    let group = bench.group("First Name", &[&user]);
    let shown = || bench.get(0, USER, &user).map(|found| found.computed.groups).unwrap_or_default();
    assert_eq!(
        shown().first().map(|entry| (entry.group.clone(), entry.display.clone())),
        Some((group.clone(), "First Name".to_owned()))
    );
    bench.patch(GROUP, &group, json!({"op": "replace", "path": "displayName", "value": "Second"}));
    assert_eq!(shown().first().map(|entry| entry.display.clone()).as_deref(), Some("Second"));
    let listed =
        bench.service.search(&bench.caller(0), &[bench.kind(USER)], &SearchRequest::default());
    let listed = listed.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(listed.resources.first().map(|found| found.computed.groups.len()), Some(1));
    bench.patch(GROUP, &group, json!({"op": "remove", "path": "members"}));
    assert!(shown().is_empty());
}

/// Filters over members and groups are answered from the rows of membership.
pub fn member_filters_use_rows(subject: Subject) {
    let bench = Bench::new(subject);
    let (a, b) = (bench.user("a"), bench.user("b"));
    let inner = bench.group("inner", &[&a]);
    bench.group("outer", &[&inner, &b]);
    bench.group("empty", &[]);
    for (filter, expected) in [
        (format!("members.value eq \"{a}\""), "inner"),
        (format!("members eq \"{b}\""), "outer"),
        (format!("members[value eq \"{inner}\"]"), "outer"),
        (format!("members[value eq \"{inner}\" and type eq \"group\"]"), "outer"),
        (format!("members[value eq \"{a}\" and type eq \"Group\"]"), ""),
        ("members.type eq \"Group\"".to_owned(), "outer"),
        ("members.type ne \"User\"".to_owned(), "outer empty"),
        ("members pr".to_owned(), "inner outer"),
        ("not (members pr)".to_owned(), "empty"),
        (format!("members.value ne \"{a}\""), "outer empty"),
        (format!("id eq \"{inner}\" and members eq \"{a}\""), "inner"),
        (format!("members eq \"{a}\" or displayName co \"mpt\""), "inner empty"),
    ] {
        assert_eq!(bench.filter(GROUP, &filter).join(" "), expected, "{filter}");
    }
    for (filter, expected) in [
        (format!("groups.value eq \"{inner}\""), "a"),
        ("groups.display eq \"OUTER\"".to_owned(), "b"),
        ("groups[display sw \"in\" and type eq \"direct\"]".to_owned(), "a"),
        ("groups pr".to_owned(), "a b"),
        ("groups pr and nickName pr or groups.display eq \"inner\"".to_owned(), "a"),
    ] {
        assert_eq!(bench.filter(USER, &filter).join(" "), expected, "{filter}");
    }
}

/// Members beyond what a read asks for are read behind a key, each once.
pub fn large_groups_are_read_in_parts(subject: Subject) {
    let bench = Bench::new(subject);
    let users: Vec<_> = (0..120).map(|n| bench.user(&format!("u{n}"))).collect();
    let group = bench.group("g", &users.iter().collect::<Vec<_>>());
    let small = bench.group("s", &users.iter().take(3).collect::<Vec<_>>());
    let provider = &bench.subject.provider;
    let kind = bench.kind(GROUP);
    let found = provider.get(bench.tenant(0), &kind.kind, &group, With::Members(50)).ok().flatten();
    let mut computed = found.map(|found| found.computed).unwrap_or_default();
    assert_eq!(computed.members.len(), 50);
    while let Some(key) = computed.more_members.take() {
        let more = provider
            .members(bench.tenant(0), &group, Some(&key), 33)
            .unwrap_or_else(|error| panic!("{error}"));
        computed.members.extend(more.members);
        computed.more_members = more.next;
    }
    let mut ids: Vec<_> = computed.members.iter().map(|member| member.id.clone()).collect();
    assert_eq!(ids.len(), 120);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 120);
    let exact = provider.get(bench.tenant(0), &kind.kind, &small, With::Members(3)).ok().flatten();
    assert!(exact.is_some_and(|found| found.computed.more_members.is_none()));
    let query = Query {
        kind: &kind,
        filter: None,
        sort: None,
        start: Start::Offset(0),
        limit: 10,
        with: With::Members(60),
    };
    let page = provider.find(bench.tenant(0), &query).unwrap_or_else(|error| panic!("{error}"));
    let mut counts = Vec::new();
    for found in page.resources {
        let (mut members, mut next) = (found.computed.members.len(), found.computed.more_members);
        while let Some(key) = next {
            let more = provider
                .members(bench.tenant(0), &found.resource.id, Some(&key), 50)
                .unwrap_or_else(|error| panic!("{error}"));
            members += more.members.len();
            next = more.next;
        }
        counts.push(members);
    }
    assert_eq!(counts, [120, 3], "groups of a page say where their other members begin");
}

/// A PATCH may select members by more than their ids.
pub fn members_are_selected_by_what_they_are(subject: Subject) {
    let bench = Bench::new(subject);
    let (a, b) = (bench.user("a"), bench.user("b"));
    let inner = bench.group("inner", &[]);
    let group = bench.group("g", &[&a, &b, &inner]);
    bench.patch(GROUP, &group, json!({"op": "remove", "path": "members[type eq \"Group\"]"}));
    assert_eq!(bench.members(&group).len(), 2);
    bench.patch(
        GROUP,
        &group,
        json!({"op": "remove", "path": format!("members[not (value eq \"{a}\")]")}),
    );
    assert_eq!(bench.members(&group), [a.to_string()]);
}

/// In a batch, each step is atomic, a failing one leaves no trace and stops nobody.
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
        Step::Delete(&kind.kind, gone, Box::new(|_| Err(Error::internal("never asked")))),
        Step::Delete(
            &kind.kind,
            second.clone(),
            Box::new(|_| Err(Error::PreconditionFailed { current: String::new() })),
        ),
    ];
    let results: Vec<_> = bench
        .subject
        .provider
        .batch(bench.tenant(0), &mut steps)
        .into_iter()
        .map(|result| match result {
            Ok(StepDone::Stored(resource)) => resource.version.to_string(),
            Ok(StepDone::Deleted) => "deleted".to_owned(),
            Err(error) => error.status_and_type().0.to_string(),
        })
        .collect();
    assert_eq!(results, ["W/\"1\"", "400", "404", "412"]);
    assert!(bench.get(0, USER, &second).is_some());
    assert_eq!(bench.changes().len(), 2);
}

/// Index rows say what the document says, after every kind of change.
pub fn index_rows_follow_the_document(subject: Subject) {
    let bench = Bench::new(subject);
    let user = bench.create(USER, json!({"userName": "a", "emails": [{"value": "one@x", "type": "work"}, {"value": "two@x"}]}));
    let found =
        |value: &str| !bench.filter(USER, &format!("emails.value eq \"{value}\"")).is_empty();
    assert!(found("one@x") && found("two@x"));
    bench.patch(USER, &user, json!({"op": "remove", "path": "emails[value eq \"one@x\"]"}));
    assert!(!found("one@x") && found("two@x"));
    bench.patch(
        USER,
        &user,
        json!({"op": "replace", "path": "emails", "value": [{"value": "THREE@x", "type": "home"}]}),
    );
    assert!(!found("two@x") && found("three@x"));
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
    assert!(!found("three@x"));
}

/// Attributes of extensions are found like all others.
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

/// Deleting leaves nothing behind by which the resource could be found again.
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
