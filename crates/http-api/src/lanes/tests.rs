use std::time::Duration;

use futures_util::FutureExt;

use super::*;

/// More turns than any lane here has: who gets so many gets any number.
const MANY: usize = 1_000;

fn late() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn owner(tenant: i64, token: &str) -> Owner {
    Owner::token(TenantId::new(tenant), &TokenId::new(token))
}

/// Takes all turns of a lane that one owner can have.
fn fill(lanes: &Lanes, lane: Lane, owner: &Owner) -> Vec<LaneTurn> {
    std::iter::from_fn(|| lanes.turn(lane, owner.clone(), late()).now_or_never().flatten())
        .take(MANY)
        .collect()
}

#[test]
fn p2_whatever_is_expensive_or_misjudged_leaves_a_connection() {
    for connections in 2..=64 {
        for writes in [WriteConnections::Own, WriteConnections::Pooled] {
            let sizes = LaneSizes::of_pool(connections, writes);
            assert!(sizes.shared < connections, "{connections}: {sizes:?}");
            assert!(sizes.scans == 1 || sizes.scans < sizes.shared, "{connections}: {sizes:?}");
        }
    }
    assert_eq!(LaneSizes::of_pool(16, WriteConnections::Pooled).scans, 4);
    assert_eq!(LaneSizes::of_pool(4, WriteConnections::Own).shared, 3);
    // Nothing can be kept back of one; everything still has its turn.
    assert_eq!(LaneSizes::of_pool(1, WriteConnections::Pooled).shared, 1);
}

#[actix_web::test]
async fn f7_scans_and_pages_of_one_keep_no_point_read_and_no_check_waiting() {
    let lanes = Lanes::new(&LaneSizes::of_pool(4, WriteConnections::Pooled), 1024, 8);
    let scanning = owner(1, "a");
    let scans = fill(&lanes, Lane::Scan, &scanning);
    let pages = fill(&lanes, Lane::Page, &scanning);
    assert_eq!((scans.len(), pages.len()), (1, 2));
    for lane in [Lane::Point, Lane::Proof] {
        assert!(!fill(&lanes, lane, &owner(2, "b")).is_empty(), "{lane:?}");
        assert!(!fill(&lanes, lane, &owner(1, "b")).is_empty(), "{lane:?}");
    }
}

#[actix_web::test]
async fn the_next_page_is_of_an_owner_that_has_none() {
    let lanes = Lanes::new(&LaneSizes::of_pool(4, WriteConnections::Pooled), 1024, 8);
    let mut held = fill(&lanes, Lane::Page, &owner(1, "a"));
    let turn = |owner| Box::pin(lanes.turn(Lane::Page, owner, late()));
    let mut waits = [turn(owner(1, "a")), turn(owner(1, "b")), turn(owner(2, "c"))];
    assert!(waits.iter_mut().all(|one| one.now_or_never().is_none()));
    let mut served = Vec::new();
    for _ in 0..3 {
        held.pop();
        let next = waits.iter_mut().position(|one| {
            one.now_or_never().is_some_and(|turn| {
                served.extend(turn);
                true
            })
        });
        assert!(next.is_some());
        let expected = [2, 1, 0];
        assert_eq!(next, expected.get(served.len() - 1).copied());
        if let Some(one) = next.and_then(|at| waits.get_mut(at)) {
            *one = Box::pin(lanes.turn(Lane::Page, owner(9, "x"), Instant::now()));
        }
    }
}

#[actix_web::test]
async fn s4_bytes_of_bodies_have_a_limit_for_all_and_a_part_for_each() {
    let lanes = Lanes::new(&LaneSizes::of_pool(4, WriteConnections::Pooled), 8 * UNIT, 8);
    let take = |owner: Owner, bytes| lanes.reserve(owner, bytes, late()).now_or_never().flatten();
    let strangers = Owner::stranger(AddressBlock::of(None));
    let held: Vec<_> =
        std::iter::from_fn(|| take(strangers.clone(), 2 * UNIT)).take(MANY).collect();
    assert_eq!((held.len(), lanes.snapshot().body_bytes), (2, 4 * UNIT));
    // The other half is for those who are proven, and one of them may have it all.
    let proven: Vec<_> = std::iter::from_fn(|| take(owner(1, "a"), 2 * UNIT)).take(MANY).collect();
    assert_eq!((proven.len(), lanes.snapshot().body_bytes), (2, 8 * UNIT));
    let mut stranger = Box::pin(lanes.reserve(strangers.clone(), UNIT, late()));
    let mut next = Box::pin(lanes.reserve(owner(2, "b"), 2 * UNIT, late()));
    assert!((&mut stranger).now_or_never().is_none() && (&mut next).now_or_never().is_none());
    drop(proven);
    assert!(next.now_or_never().is_some_and(|turn| turn.is_some()));
    assert!((&mut stranger).now_or_never().is_none());
    drop((held, stranger));
    assert_eq!(lanes.snapshot().body_bytes, 0);
}

#[actix_web::test]
async fn a_refusal_leaves_the_queue_as_it_was() {
    let lanes = Lanes::new(&LaneSizes::of_pool(1, WriteConnections::Pooled), 1024, 8);
    let held = fill(&lanes, Lane::Scan, &owner(1, "a"));
    assert!(lanes.turn(Lane::Scan, owner(2, "b"), Instant::now()).await.is_none());
    let scans = |snapshot: Snapshot| snapshot.lanes.into_iter().find(|lane| lane.0 == "scan");
    assert_eq!(scans(lanes.snapshot()), Some(("scan", 1, 0)));
    drop(held);
    assert_eq!(scans(lanes.snapshot()), Some(("scan", 0, 0)));
}
