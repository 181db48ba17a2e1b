//! W7 and W10: what an identity provider does when it begins, and bulk requests.

use crate::client::{Connection, Request};
use crate::data::{self, Numbers};
use crate::load::{Http, Load as _, Series, Slice, count, ratio};
use crate::machine;
use crate::report::Target::{AtLeast, AtMost};
use crate::seed;
use crate::workload::{Bench, CONNECTIONS, Subject};

/// Operations of a bulk request.
const OPERATIONS: usize = 1_000;

/// Creates users with names of their own.
pub(crate) fn creates(tag: String) -> impl FnMut() -> Option<Request> {
    let mut number = 0;
    move || {
        number += 1;
        Some(Request::with("POST", "/Users".to_owned(), data::user(&tag, number).to_string()))
    }
}

/// Looks for each user before it is created.
fn lookups_and_creates(tag: String) -> impl FnMut() -> Option<Request> {
    let mut create = creates(tag.clone());
    let (mut number, mut looked_up) = (0, false);
    move || {
        looked_up = !looked_up;
        if !looked_up {
            return create();
        }
        number += 1;
        let filter = format!("userName eq \"{}\"", data::user_name(&tag, number));
        Some(Request::get(data::by_filter(&filter)))
    }
}

/// W7: each user is looked for and created.
pub(crate) fn initial(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let tag = machine::fresh_tag();
    let sync = bench.load(CONNECTIONS, lookups_and_creates(format!("{tag}s-")))?;
    let alone = bench.load(CONNECTIONS, creates(format!("{tag}c-")))?;
    let [sync, alone] = bench.in_turn([sync, alone])?;
    bench.measure(("W7", "initial sync, a request", CONNECTIONS), &sync, None);
    let what = "requests a second of an initial sync, of W3's";
    bench.report.judge("W7", what, AtLeast(0.7), (ratio(&sync, &alone), "×"));
    Ok(())
}

fn bulks(tag: String) -> impl FnMut() -> Option<Request> {
    let mut begin = 0;
    move || {
        begin += OPERATIONS;
        let body = data::bulk(&tag, begin..begin + OPERATIONS);
        Some(Request::with("POST", "/Bulk".to_owned(), body))
    }
}

/// W10: a thousand creates in one request, and what other writers see of it.
pub(crate) fn bulk(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let tag = machine::fresh_tag();
    let has_bulk = bench.runtime.block_on(async {
        let mut connection = Connection::open(&bench.subject.endpoint).await?;
        seed::has_bulk(&mut connection).await
    })?;
    if !has_bulk {
        crate::output::note("W10: this server has no bulk requests");
        return Ok(());
    }
    let bulk = bench.load(1, bulks(format!("{tag}b-")))?;
    let single = bench.load(1, creates(format!("{tag}s-")))?;
    let [bulk, single] = bench.in_turn([bulk, single])?;
    bench.measure(("W10", "bulk of 1000 creates", 1), &bulk, None);
    bench.measure(("W10", "create, one connection", 1), &single, None);
    let operations = count(u64::try_from(OPERATIONS)?);
    let times = ratio(&bulk, &single) * operations;
    let what = "creates a second, of single ones on one connection";
    bench.report.judge("W10", what, AtLeast(4.0), (times, "×"));
    during_bulk(bench, bulks(format!("{tag}m-")))
}

/// Other writers while bulk requests run.
fn during_bulk<'a>(
    bench: &mut Bench<'a>,
    bulks: impl FnMut() -> Option<Request> + 'a,
) -> anyhow::Result<()> {
    let mut bulk = bench.load(1, bulks)?;
    let subject: &Subject = bench.subject;
    let (slice, seconds) = std::thread::scope(|scope| -> anyhow::Result<_> {
        let others = scope.spawn(|| -> anyhow::Result<Slice> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let patches = data::patches(&subject.ids, Numbers(10));
            Http::open(&runtime, &subject.endpoint, 2, (None, None), patches)?.slice(3.0)
        });
        let bulk = bulk.slice(3.2)?;
        let others = others.join().map_err(|_panic| anyhow::anyhow!("a writer panicked"))??;
        Ok((others, bulk.seconds))
    })?;
    anyhow::ensure!(seconds >= slice.seconds, "the bulk requests ended before the other writers");
    let others = Series(vec![slice]);
    bench.measure(("W10", "patch during bulk", 2), &others, None);
    let what = "other writers during bulk requests: p99";
    bench.report.judge("W10", what, AtMost(50.0), (others.quantile(0.99), "ms"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn creates_never_repeat_a_name() {
        let mut next = creates("t-".to_owned());
        let names: Vec<_> = (0..3).filter_map(|_| next()?.body).collect();
        assert_eq!(names.len(), 3);
        assert!(names[0] != names[1] && names[1] != names[2]);
    }

    #[test]
    fn each_user_is_looked_for_first() {
        let mut next = lookups_and_creates("t-".to_owned());
        for number in [1, 2] {
            assert!(next().unwrap().path.contains(&format!("t-000000{number}%40")));
            assert!(next().unwrap().body.unwrap().contains(&format!("t-000000{number}@")));
        }
    }
}
