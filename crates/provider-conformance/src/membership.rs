//! Members of groups and groups of users.

use headcount_core::ids::{ResourceId, Version};
use headcount_core::members::MembershipEntry;
use headcount_core::message::SearchRequest;
use headcount_core::provider::{Key, Query, Start, With};
use headcount_core::work::Work;
use serde_json::json;

use crate::Subject;
use crate::bench::{Bench, GROUP, USER, member_list, status};

/// Members are added and removed by id. Adding a present one, or removing an absent one, is no error.
pub fn members_change_by_rows(subject: Subject) {
    let bench = Bench::new(subject);
    let ids: Vec<_> = (0..5).map(|n| bench.user(&format!("u{n}"))).collect();
    let [a, b, c, d, e] =
        ids.iter().collect::<Vec<_>>().try_into().unwrap_or_else(|_| panic!("five users"));
    let group = bench.group("g", &[a, b, a]);
    assert_eq!(bench.members(&group), ids_in_order(&[a, b]));
    bench.patch(
        GROUP,
        &group,
        json!({"op": "add", "path": "members", "value": member_list(&[b, c])}),
    );
    assert_eq!(bench.members(&group), ids_in_order(&[a, b, c]));
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
    assert_eq!(bench.members(&group), ids_in_order(&[b, c]));
    let replaced = bench.patch(
        GROUP,
        &group,
        json!({"op": "replace", "path": "members", "value": member_list(&[c, d, e])}),
    );
    assert!(replaced.changed);
    assert_eq!(bench.members(&group), ids_in_order(&[c, d, e]));
    let last = bench.changes().pop().unwrap_or_else(|| panic!("a change"));
    assert_eq!(
        (last.members.removed, ids_in_order(&last.members.added.iter().collect::<Vec<_>>())),
        (vec![b.clone()], ids_in_order(&[d, e]))
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

fn ids_in_order(list: &[&ResourceId]) -> Vec<String> {
    let mut ids: Vec<_> = list.iter().map(ToString::to_string).collect();
    ids.sort();
    ids
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
    assert_eq!(
        groups_of(&bench, &user).first().map(|entry| (entry.group.clone(), entry.display.clone())),
        Some((group.clone(), "First Name".to_owned()))
    );
    bench.patch(GROUP, &group, json!({"op": "replace", "path": "displayName", "value": "Second"}));
    let groups = groups_of(&bench, &user);
    assert_eq!(groups.first().map(|entry| &*entry.display), Some("Second"));
    let listed =
        bench.service.search(&bench.caller(0), &[bench.kind(USER)], &SearchRequest::default());
    let listed = listed.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(listed.resources.first().map(|found| found.computed.groups.len()), Some(1));
    bench.patch(GROUP, &group, json!({"op": "remove", "path": "members"}));
    assert!(groups_of(&bench, &user).is_empty());
}

fn groups_of(bench: &Bench, user: &ResourceId) -> Vec<MembershipEntry> {
    bench.get(0, USER, user).map(|found| found.computed.groups).unwrap_or_default()
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

/// Members beyond the limit of a read are read after a key, each once.
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
    assert_eq!(all_members(&bench, &group, 120), (120, None));
    assert_eq!(all_members(&bench, &small, 3), (3, None));
    assert_eq!(all_members(&bench, &bench.group("none", &[]), 0), (0, None));
    let (none, more) = all_members(&bench, &group, 119);
    let rest = provider.members(bench.tenant(0), &group, more.as_ref(), 200);
    let rest = rest.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        (none, rest.members.len()),
        (0, 120),
        "too many members are none, with the position of the first"
    );
    let query = Query {
        kind: &kind,
        filter: None,
        sort: None,
        start: Start::Offset(0),
        limit: 10,
        with: With::Members(60),
        work: Work::default(),
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
    assert_eq!(counts, [120, 3, 0], "groups of a page have the position of further members");
}

/// Reads all members of a group if there are at most `max`: their number, and the position of others.
fn all_members(bench: &Bench, group: &ResourceId, max: usize) -> (usize, Option<Key>) {
    let kind = bench.kind(GROUP);
    let found =
        bench.subject.provider.get(bench.tenant(0), &kind.kind, group, With::AllMembers(max));
    let computed = found.ok().flatten().map(|found| found.computed).unwrap_or_default();
    (computed.members.len(), computed.more_members)
}

/// Names of members are their present names, in the spelling of the client.
pub fn members_have_the_names_of_now(subject: Subject) {
    let bench = Bench::new(subject);
    let (user, inner) = (bench.user("Jane"), bench.group("Inner", &[]));
    let unknown = ResourceId::new("00000000-0000-7000-8000-000000000001");
    let mut expected = vec![(user.clone(), "Jane".to_owned()), (inner.clone(), "Inner".to_owned())];
    expected.sort();
    assert_eq!(names(&bench, 0, &[&user, &inner, &unknown, &user]), expected);
    assert_eq!(names(&bench, 0, &[]), []);
    assert_eq!(names(&bench, 1, &[&user, &inner]), [], "another tenant has no such members");
    bench.patch(USER, &user, json!({"op": "replace", "path": "userName", "value": "JANET"}));
    assert_eq!(names(&bench, 0, &[&user]), [(user.clone(), "JANET".to_owned())]);
    let many: Vec<_> = (0..1_050).map(|n| bench.user(&format!("u{n}"))).collect();
    let found = names(&bench, 0, &many.iter().collect::<Vec<_>>());
    assert_eq!(found.len(), many.len(), "more than one statement can have as parameters");
}

fn names(bench: &Bench, tenant: usize, ids: &[&ResourceId]) -> Vec<(ResourceId, String)> {
    let ids: Vec<ResourceId> = ids.iter().map(|id| (*id).clone()).collect();
    let names = bench.subject.provider.names(bench.tenant(tenant), &ids);
    let mut names: Vec<_> = names.unwrap_or_else(|error| panic!("{error}")).into_iter().collect();
    names.sort();
    names
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
