//! A log that is long enough to have several buckets of names answers as a list in memory does.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

mod support;

use headcount_core::clock::Timestamp;
use headcount_core::ids::{Kind, RequestId, TenantId};
use headcount_core::quirks::Quirks;
use headcount_core::work::Work;
use headcount_records::{LogQuery, LogScope, RequestLog as _, RequestRecord, Retention, Traces};
use headcount_store_diesel::{DatabaseUrl, LogStore, Settings};
use support::{Database, Scratch, postgres_store};

const RECORDS: usize = 20_000;
const ONE: TenantId = TenantId::new(1);
const OTHER: TenantId = TenantId::new(2);

fn record(number: usize) -> RequestRecord {
    let mut names = vec![format!("user-{}", number % 7)];
    if number % 3_500 == 17 {
        names.extend(["rare".to_owned(), "rare@example.com".to_owned()]);
    }
    RequestRecord {
        at: Timestamp::from_micros(i64::try_from(number).unwrap()),
        micros: 1,
        request: RequestId::new(number.to_string()),
        tenant: Some(if number.is_multiple_of(5) { OTHER } else { ONE }),
        token: None,
        token_name: None,
        refused: None,
        address: None,
        agent: None,
        idp: None,
        method: "PATCH".to_owned(),
        path: "/Users".to_owned(),
        kind: Some(Kind::new("User")),
        resource: None,
        name: None,
        names,
        query: None,
        status: if number.is_multiple_of(11) { 409 } else { 200 },
        scim_type: None,
        field: None,
        reason: None,
        quirks: Quirks::NONE,
        changed: Some(true),
        proven: true,
        unkept: 0,
        body: None,
        reply: None,
    }
}

/// The numbers of requests that a question finds among records whose numbers begin at `first`.
fn expected(records: &[RequestRecord], first: i64, query: &LogQuery) -> Vec<String> {
    let numbered = (first..).zip(records);
    let is_asked_for = |(seq, record): &(i64, &RequestRecord)| {
        query.scope.has(record.tenant)
            && query.name.as_ref().is_none_or(|name| record.names.contains(name))
            && (!query.failed || record.status >= 400)
            && query.before.is_none_or(|before| *seq < before)
            && query.after.is_none_or(|after| *seq > after)
    };
    let mut found: Vec<_> = numbered.filter(is_asked_for).map(|(_, record)| record).collect();
    if query.after.is_none() || query.before.is_some() {
        found.reverse();
    }
    found.into_iter().take(query.limit).map(|record| record.request.to_string()).collect()
}

fn found(log: &LogStore, query: &LogQuery) -> Vec<String> {
    let rows = log.requests(query, &Work::unlimited()).unwrap();
    rows.into_iter().map(|row| row.record.request.to_string()).collect()
}

fn by(name: &str) -> LogQuery {
    LogQuery { name: Some(name.to_owned()), limit: RECORDS, ..LogQuery::default() }
}

fn check(log: &LogStore) {
    let records: Vec<_> = (0..RECORDS).map(record).collect();
    records.chunks(5_000).for_each(|chunk| log.append(chunk).unwrap());
    finds_what_is_asked_for(log, &records);
    let left = erases_names(log, &records);
    prunes_and_forgets(log, left);
}

fn finds_what_is_asked_for(log: &LogStore, records: &[RequestRecord]) {
    let all = LogQuery { limit: 1, ..LogQuery::default() };
    let first = log.requests(&all, &Work::unlimited()).unwrap()[0].seq
        - i64::try_from(RECORDS).unwrap()
        + 1;
    let places = [None, Some(first + 9_000), Some(first + 18_500), Some(first + 19_999)];
    let scopes =
        [(LogScope::Tenant(ONE), false), (LogScope::Tenant(OTHER), true), (LogScope::All, false)];
    for (name, (scope, failed)) in
        ["rare", "user-3", "no one"].into_iter().flat_map(|name| scopes.map(|one| (name, one)))
    {
        for (before, after) in places.into_iter().flat_map(|one| places.map(|other| (one, other))) {
            for limit in [1, 4, RECORDS] {
                let query = LogQuery { scope, failed, before, after, limit, ..by(name) };
                assert_eq!(found(log, &query), expected(records, first, &query), "{query:?}");
            }
        }
    }
    let third = &records[3];
    let of_third =
        LogQuery { request: Some(third.request.clone()), limit: 10, ..LogQuery::default() };
    for scope in [None, third.tenant].map(LogScope::of) {
        let query = LogQuery { scope, ..of_third.clone() };
        assert_eq!(found(log, &query), [third.request.to_string()]);
    }
    assert!(found(log, &LogQuery { failed: third.status < 400, ..of_third }).is_empty());
}

/// Erases one identity, which is found by none of its names any more; returns the other records.
fn erases_names(log: &LogStore, records: &[RequestRecord]) -> Vec<RequestRecord> {
    let (gone, left): (Vec<_>, Vec<_>) = records.iter().cloned().partition(|record| {
        record.tenant == Some(ONE) && record.names.iter().any(|name| name == "rare")
    });
    let names = ["rare".to_owned()];
    assert!(gone.len() > 2 && log.erase(ONE, &names, &Traces::default()).unwrap() == gone.len());
    for name in ["rare", "rare@example.com", "user-3"] {
        assert_eq!(found(log, &by(name)), expected(&left, 0, &by(name)));
    }
    left
}

fn prunes_and_forgets(log: &LogStore, mut records: Vec<RequestRecord>) {
    let before = Timestamp::from_micros(13_000);
    let retention = Retention { before, bytes: u64::MAX, strangers: 100 };
    log.prune(retention).unwrap();
    records.retain(|record| record.at >= retention.before);
    let all = LogQuery { limit: RECORDS, ..LogQuery::default() };
    let kept = found(log, &all).len();
    // A slice is pruned when all of it is old enough.
    assert!((records.len()..records.len() + 2_000).contains(&kept), "{kept}");
    let newest = LogQuery { limit: 900, ..by("user-3") };
    assert_eq!(found(log, &newest), expected(&records, 0, &newest));
    log.forget(ONE).unwrap();
    let of = |tenant| LogQuery { scope: LogScope::Tenant(tenant), ..by("user-3") };
    assert!(found(log, &of(ONE)).is_empty());
    assert!(!found(log, &of(OTHER)).is_empty());
}

#[test]
fn names_are_found_in_every_bucket_on_sqlite() {
    let scratch = Scratch::new();
    check(&LogStore::new(&Settings::serve(DatabaseUrl::Sqlite(scratch.0.join("test.db")))));
    // The header of a file says how large its pages are, in its 17th and 18th byte.
    let file = std::fs::read(scratch.0.join("test-log.db")).unwrap();
    assert_eq!(u16::from_be_bytes([file[16], file[17]]), 16 * 1024);
}

#[test]
fn names_are_found_in_every_bucket_on_postgres() {
    let database = Database::new();
    drop(postgres_store(&database));
    check(&LogStore::new(&Settings::serve(DatabaseUrl::parse(&database.url).unwrap())));
}
