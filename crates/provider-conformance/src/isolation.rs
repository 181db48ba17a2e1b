//! The isolation of tenants.

use headcount_core::error::Error;
use headcount_core::message::SearchRequest;
use headcount_core::provider::{Step, Update};
use serde_json::json;

use crate::Subject;
use crate::bench::{Bench, GROUP, USER, member_list, status};

/// No method returns, counts, changes or deletes resources of another tenant.
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
    for (filter, total) in [
        (None, 1),
        (Some(format!("id eq \"{user}\"")), 0),
        (Some(format!("not (id eq \"{user}\")")), 1),
        (Some("externalId pr".to_owned()), 1),
        (Some(format!("groups.value eq \"{group}\"")), 0),
    ] {
        let request = SearchRequest { filter, ..SearchRequest::default() };
        let listing = bench.service.search(&bench.caller(1), &[bench.kind(USER)], &request);
        let listing = listing.unwrap_or_else(|error| panic!("{request:?}: {error}"));
        assert_eq!(listing.head.total, total, "{request:?}");
    }
    let mut steps = [
        Step::Update(&bench.kind(USER).kind, user.clone(), Box::new(|_| Ok(Update::Keep))),
        Step::Delete(
            &bench.kind(GROUP).kind,
            group.clone(),
            Box::new(|_| Err(Error::internal("never called"))),
        ),
    ];
    for result in provider.batch(tenant, &mut steps, None) {
        assert_eq!(status(result), 404);
    }
    drop(steps);
    assert_eq!(before, (bench.get(0, USER, &user), bench.get(0, GROUP, &group), bench.changes()));
}
