//! W7 and W10: what an identity provider does when it begins, and bulk requests.

use std::cell::{Cell, RefCell};
use std::time::Instant;

use anyhow::bail;
use futures_util::future::try_join_all;

use crate::client::{Connection, Request};
use crate::data::{self, Numbers};
use crate::load::{Http, Series, Side, Slice, count, median, micros};
use crate::machine;
use crate::report::Target::{AtLeast, AtMost};
use crate::workload::{Bench, CONNECTIONS, Subject};

/// Users and groups of an initial sync.
const USERS: usize = 10_000;
const GROUPS: usize = 100;
/// Operations of a bulk request.
const OPERATIONS: usize = 1_000;

fn creates(tag: String) -> impl FnMut() -> Option<Request> {
    let mut number = 0;
    move || {
        number += 1;
        Some(Request::with("POST", "/Users".to_owned(), data::user(&tag, number).to_string()))
    }
}

/// W7: each user is looked for and created, then each group is created and filled.
pub(crate) fn initial(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let mut alone = bench.load(CONNECTIONS, creates(format!("{}c-", machine::fresh_tag())))?;
    let mut rates = Vec::new();
    let mut slices = Vec::new();
    for part in 0..4 {
        rates.push(alone.slice(1.0)?.rate());
        slices.push(synchronize(bench, part)?);
    }
    rates.push(alone.slice(1.0)?.rate());
    let series = Series(slices);
    let seconds: f64 = series.0.iter().map(|slice| slice.seconds).sum();
    crate::output::note(&format!("W7: {USERS} users and {GROUPS} groups in {seconds:.2} s"));
    bench.note(("W7", "initial sync, a request", bench.options.users), CONNECTIONS, &series, None);
    let what = "requests a second of an initial sync, of W3's";
    bench.report.judge("W7", what, AtLeast(0.7), series.rate() / median(rates), "×");
    Ok(())
}

/// A quarter of an initial sync, so that the comparison can be made in turn.
fn synchronize(bench: &Bench<'_>, part: usize) -> anyhow::Result<Slice> {
    let (users, groups) = (USERS / 4, GROUPS / 4);
    let tag = format!("{}s{part}-", machine::fresh_tag());
    let process = bench.subject.process;
    let cpu = || process.map_or(0.0, |process| process.cpu_seconds());
    let database = || bench.database.map_or(0.0, crate::process::Process::cpu_seconds);
    let (cpu_before, database_before, started) = (cpu(), database(), Instant::now());
    let latencies = RefCell::new(Vec::new());
    let (next, ids) = (Cell::new(0), RefCell::new(Vec::new()));
    let each_user = async |_| {
        let mut connection = Connection::open(&bench.subject.endpoint).await?;
        while next.get() < users {
            let number = next.replace(next.get() + 1);
            let filter = format!("userName eq \"{}\"", data::user_name(&tag, number));
            let found = timed(&latencies, &mut connection, Request::get(data::by_filter(&filter)));
            if found.await?["totalResults"] != 0 {
                bail!("a user was there before it was created");
            }
            let body = data::user(&tag, number).to_string();
            let request = Request::with("POST", "/Users".to_owned(), body);
            let made = timed(&latencies, &mut connection, request).await?;
            ids.borrow_mut().push(made["id"].as_str().unwrap_or_default().to_owned());
        }
        anyhow::Ok(())
    };
    bench.runtime.block_on(try_join_all((0..CONNECTIONS).map(each_user)))?;
    let (ids, next) = (ids.into_inner(), Cell::new(0));
    let members: Vec<&[String]> = ids.chunks(users / groups).collect();
    let each_group = async |_| {
        let mut connection = Connection::open(&bench.subject.endpoint).await?;
        while let Some(members) = members.get(next.get()) {
            let number = next.replace(next.get() + 1);
            let body = data::group(&format!("{tag}{number}"));
            let request = Request::with("POST", "/Groups".to_owned(), body);
            let made = timed(&latencies, &mut connection, request).await?;
            let path = format!("/Groups/{}", made["id"].as_str().unwrap_or_default());
            let request = Request::with("PATCH", path, data::add_members(members));
            drop(timed(&latencies, &mut connection, request).await?);
        }
        anyhow::Ok(())
    };
    bench.runtime.block_on(try_join_all((0..CONNECTIONS).map(each_group)))?;
    let latencies = latencies.into_inner();
    Ok(Slice {
        done: u64::try_from(latencies.len())?,
        seconds: started.elapsed().as_secs_f64(),
        cpu: cpu() - cpu_before,
        database_cpu: database() - database_before,
        latencies,
        bytes: 0,
    })
}

async fn timed(
    latencies: &RefCell<Vec<u32>>,
    connection: &mut Connection,
    request: Request,
) -> anyhow::Result<serde_json::Value> {
    let started = Instant::now();
    let answer = connection.call(&request).await?;
    if !answer.succeeded() {
        bail!("{} {}: {}", request.method, request.path, answer.shown());
    }
    let json = answer.json();
    latencies.borrow_mut().push(micros(started.elapsed()));
    Ok(json)
}

/// W10: a thousand creates in one request, and what other writers see of it.
pub(crate) fn bulk(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let tag = machine::fresh_tag();
    let bulks = |tag: String| {
        let mut begin = 0;
        move || {
            begin += OPERATIONS;
            let body = data::bulk(&tag, begin..begin + OPERATIONS);
            Some(Request::with("POST", "/Bulk".to_owned(), body))
        }
    };
    let probe = Request::with("POST", "/Bulk".to_owned(), data::bulk(&tag, 0..0));
    let has_bulk = bench.runtime.block_on(async {
        let mut connection = Connection::open(&bench.subject.endpoint).await?;
        anyhow::Ok(connection.call(&probe).await?.succeeded())
    })?;
    if !has_bulk {
        crate::output::note("W10: this server has no bulk requests");
        return Ok(());
    }
    let mut bulk = bench.load(1, bulks(format!("{tag}b-")))?;
    let mut single = bench.load(1, creates(format!("{tag}s-")))?;
    let all = bench.in_turn(&mut [&mut bulk, &mut single])?;
    let [bulk, single] = &all[..] else { return Ok(()) };
    bench.note(("W10", "bulk of 1000 creates", bench.options.users), 1, bulk, None);
    bench.note(("W10", "create, one connection", bench.options.users), 1, single, None);
    let ratios = bulk.0.iter().zip(&single.0);
    let operations = count(u64::try_from(OPERATIONS)?);
    let ratios = ratios.map(|(bulk, single)| bulk.rate() * operations / single.rate().max(1e-9));
    let what = "creates a second, of single ones on one connection";
    bench.report.judge("W10", what, AtLeast(4.0), median(ratios.collect()), "×");
    meanwhile(bench, bulks(format!("{tag}m-")))
}

/// Other writers while bulk requests run.
fn meanwhile<'a>(
    bench: &mut Bench<'a>,
    bulks: impl FnMut() -> Option<Request> + 'a,
) -> anyhow::Result<()> {
    let mut bulk = bench.load(1, bulks)?;
    let subject: &Subject = bench.subject;
    let (slice, seconds) = std::thread::scope(|scope| -> anyhow::Result<_> {
        let others = scope.spawn(|| -> anyhow::Result<Slice> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let mut numbers = Numbers(10);
            let generate = || {
                let path = format!("/Users/{}", numbers.of(&subject.ids)?);
                Some(Request::with("PATCH", path, data::entra_patch(&mut numbers).to_string()))
            };
            Http::open(&runtime, &subject.endpoint, 2, (None, None), generate)?.slice(3.0)
        });
        let bulk = bulk.slice(3.2)?;
        let others = others.join().map_err(|_panic| anyhow::anyhow!("a writer panicked"))??;
        Ok((others, bulk.seconds))
    })?;
    anyhow::ensure!(seconds >= slice.seconds, "the bulk requests ended before the other writers");
    let others = Series(vec![slice]);
    bench.note(("W10", "patch during bulk", bench.options.users), 2, &others, None);
    let what = "other writers during bulk requests: p99";
    bench.report.judge("W10", what, AtMost(50.0), others.quantile(0.99), "ms");
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
}
