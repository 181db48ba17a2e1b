//! Pages, by offset and by key.

use headcount_core::message::SearchRequest;
use headcount_core::provider::{Key, ProviderError, Query, Start, With};
use headcount_core::work::Work;

use crate::Subject;
use crate::bench::{Bench, USER};
use crate::random::Random;

/// Pages neither overlap nor leave gaps, in the order of creation; the total is exact.
pub fn pages_are_stable_and_total_is_exact(subject: Subject) {
    let bench = Bench::new(subject);
    let names: Vec<String> = (0..25).map(|n| format!("u{:02}", (n * 7) % 25)).collect();
    for name in &names {
        bench.user(name);
    }
    let mut seen = Vec::new();
    for start in (1..=25).step_by(10) {
        let (some, total) = page(&bench, start, 10);
        assert_eq!(total, 25);
        seen.extend(some);
    }
    assert_eq!(seen, names);
    assert_eq!(page(&bench, 26, 10), (Vec::new(), 25));
    assert_eq!(page(&bench, 1, 0), (Vec::new(), 25));
    assert_eq!(page(&bench, 0, -5), (Vec::new(), 25));
    assert_eq!(page(&bench, 1, 25).0.len(), 25);
    let filtered = SearchRequest {
        filter: Some("userName sw \"u1\"".to_owned()),
        count: Some(3),
        ..SearchRequest::default()
    };
    assert_eq!(bench.search(USER, &filtered).1, 10);
}

fn page(bench: &Bench, start: i64, count: i64) -> (Vec<String>, u64) {
    let request =
        SearchRequest { start_index: Some(start), count: Some(count), ..SearchRequest::default() };
    bench.search(USER, &request)
}

/// Pages at any offset are right, also just after resources before them were created and deleted.
pub fn pages_are_right_while_resources_come_and_go(subject: Subject) {
    const MAX: usize = 60;
    let bench = Bench::new(subject);
    let mut present: Vec<_> =
        (0..MAX).map(|n| (format!("u{n:03}"), bench.user(&format!("u{n:03}")))).collect();
    let mut random = Random::new(7);
    for round in 0..200 {
        let (start, count) = (random.below(MAX + 10), 1 + random.below(9));
        let request = SearchRequest {
            start_index: i64::try_from(start + 1).ok(),
            count: i64::try_from(count).ok(),
            ..SearchRequest::default()
        };
        let names = present.iter().map(|(name, _)| name.clone());
        let expected: Vec<String> = names.skip(start).take(count).collect();
        let found = bench.search(USER, &request);
        let total = u64::try_from(present.len()).unwrap_or_default();
        assert_eq!(found, (expected, total), "round {round}: {count} after {start}");
        match round % 5 {
            1 => {
                let (_, id) = present.remove(random.below(present.len()));
                assert!(bench.try_delete(0, USER, &id).is_ok());
            }
            // The last one, so that the next one may get its position and key.
            2 => {
                let (_, id) = present.remove(present.len() - 1);
                assert!(bench.try_delete(0, USER, &id).is_ok());
            }
            3 | 4 => {
                let name = format!("v{round:03}");
                present.push((name.clone(), bench.user(&name)));
            }
            _ => {}
        }
    }
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
            work: Work::default(),
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
        work: Work::default(),
    };
    assert!(matches!(
        bench.subject.provider.find(bench.tenant(0), &foreign),
        Err(ProviderError::InvalidKey)
    ));
}
