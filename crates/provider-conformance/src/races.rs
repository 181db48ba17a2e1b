//! Concurrent callers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use headcount_core::error::Error;
use headcount_core::ids::ResourceId;
use serde_json::json;

use crate::Subject;
use crate::bench::{Bench, GROUP, USER, member_list};

/// Runs `job` in `threads` threads that start together.
fn together(threads: usize, job: impl Fn(usize) + Sync) {
    let barrier = Barrier::new(threads);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (barrier, job) = (&barrier, &job);
            scope.spawn(move || {
                barrier.wait();
                job(thread);
            });
        }
    });
}

/// Five workers increment one resource ten times each: no update is lost.
pub fn fifty_increments_are_fifty(subject: Subject) {
    let bench = Bench::new(subject);
    let user = bench.create(USER, json!({"userName": "counter", "title": "0"}));
    let kind = bench.kind(USER);
    together(5, |_| {
        for _ in 0..10 {
            let caller = bench.caller(0);
            let updated = bench.service.provider.update(
                bench.tenant(0),
                &kind.kind,
                &user,
                headcount_core::provider::With::Nothing,
                &mut |current| {
                    let attributes = current.resource.document.attributes()?;
                    let title = attributes
                        .top("title")
                        .and_then(|title| title.as_str())
                        .unwrap_or_default();
                    let next = title.parse::<u32>().unwrap_or(0) + 1;
                    let body = json!({"userName": "counter", "title": next.to_string()});
                    bench.service.replacement(&caller, &kind, current.resource, body)
                },
            );
            assert!(updated.is_ok_and(|updated| updated.changed));
        }
    });
    let title = bench.get(0, USER, &user).map(|found| found.resource);
    let title = title
        .as_ref()
        .and_then(|resource| resource.document.attributes().ok())
        .and_then(|a| a.top("title"));
    assert_eq!(title.and_then(|title| title.as_str()), Some("50"));
    assert_eq!(bench.get(0, USER, &user).map(|found| found.resource.version.counter()), Some(51));
    assert_eq!(bench.changes().len(), 51);
}

/// Of many requests that create the same name, one succeeds and the others fail with `uniqueness`.
pub fn chr_018_one_of_many_creators_wins(subject: Subject) {
    let bench = Bench::new(subject);
    for round in 0..5 {
        let (created, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        together(16, |thread| {
            let name =
                if thread % 2 == 0 { format!("Round{round}") } else { format!("rOUND{round}") };
            match bench.try_create(0, USER, json!({"userName": name})) {
                Ok(_) => created.fetch_add(1, Ordering::SeqCst),
                Err(error) => {
                    assert_eq!(error.status_and_type(), (409, Some("uniqueness")), "{error:?}");
                    taken.fetch_add(1, Ordering::SeqCst)
                }
            };
        });
        assert_eq!((created.into_inner(), taken.into_inner()), (1, 15));
    }
}

/// Members that many callers add and remove at once are all there, and all gone.
pub fn no_member_is_lost(subject: Subject) {
    let bench = Bench::new(subject);
    let users: Vec<ResourceId> = (0..80).map(|n| bench.user(&format!("u{n}"))).collect();
    let group = bench.group("g", &[]);
    together(8, |thread| {
        for user in users.iter().skip(thread).step_by(8) {
            bench.patch(
                GROUP,
                &group,
                json!({"op": "add", "path": "members", "value": member_list(&[user])}),
            );
        }
        for user in users.iter().skip(thread).step_by(8).take(5) {
            bench.patch(
                GROUP,
                &group,
                json!({"op": "remove", "path": "members", "value": member_list(&[user])}),
            );
        }
    });
    assert_eq!(bench.members(&group).len(), 40);
    assert_eq!(
        bench.get(0, GROUP, &group).map(|found| found.resource.version.counter()),
        Some(121)
    );
}

/// Writes that fail or panic, between others that run at the same time, change nothing for those.
pub fn a_failing_neighbor_harms_no_other(subject: Subject) {
    let bench = Bench::new(subject);
    let taken = bench.user("taken");
    let kind = bench.kind(USER);
    together(12, |thread| {
        for round in 0..5 {
            match thread % 3 {
                0 => assert!(
                    bench
                        .try_create(0, USER, json!({"userName": format!("t{thread}-{round}")}))
                        .is_ok()
                ),
                1 => assert!(bench.try_create(0, USER, json!({"userName": "TAKEN"})).is_err()),
                _ => {
                    // The panic may be contained or passed on; either way it leaves no trace.
                    let panicked = catch_unwind(AssertUnwindSafe(|| {
                        bench.service.provider.update(
                            bench.tenant(0),
                            &kind.kind,
                            &taken,
                            headcount_core::provider::With::Nothing,
                            &mut |_| std::panic::resume_unwind(Box::new("a change that panics")),
                        )
                    }));
                    assert!(matches!(panicked, Err(_) | Ok(Err(Error::Provider(_)))));
                }
            }
        }
    });
    assert_eq!(bench.filter(USER, "userName sw \"t\"").len(), 21);
    assert_eq!(bench.get(0, USER, &taken).map(|found| found.resource.version.counter()), Some(1));
}

/// Deleting a user while others make it a member ends without a member that does not exist.
pub fn deleting_and_adding_meet_without_dangling(subject: Subject) {
    let bench = Bench::new(subject);
    let group = bench.group("g", &[]);
    for round in 0..15 {
        let user = bench.user(&format!("u{round}"));
        together(2, |thread| {
            if thread == 0 {
                assert!(bench.try_delete(0, USER, &user).is_ok());
            } else {
                let add = json!({"op": "add", "path": "members", "value": member_list(&[&user])});
                match bench.try_patch(0, GROUP, &group, add) {
                    Ok(_) => {}
                    Err(error) => assert_eq!(error.status_and_type().0, 400, "{error:?}"),
                }
            }
        });
        assert_eq!(bench.members(&group), Vec::<String>::new());
    }
}
