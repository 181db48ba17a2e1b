//! W1, W2, W5 and W8: what is read.

use crate::by_hand::ByHand;
use crate::client::{Connection, Request};
use crate::data::{self, Numbers};
use crate::load::{Series, ratio};
use crate::report::Target::{AtLeast, AtMost};
use crate::workload::{Bench, CONNECTIONS, Subject};

/// Users of a page of a list.
const PAGE: usize = 100;

fn get_by_id(subject: &Subject) -> impl FnMut() -> Option<Request> + '_ {
    let mut numbers = Numbers(1);
    move || Some(Request::get(format!("/Users/{}", numbers.of(&subject.ids)?)))
}

fn get_by_name(subject: &Subject, hit: bool) -> impl FnMut() -> Option<Request> + '_ {
    let mut numbers = Numbers(2);
    move || {
        let number = numbers.below(subject.ids.len());
        let tag = if hit { subject.tag.clone() } else { format!("{}-nobody-", subject.tag) };
        let name = data::user_name(&tag, number);
        Some(Request::get(data::by_filter(&format!("userName eq \"{name}\""))))
    }
}

/// W1: one user by id.
pub(crate) fn by_id(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    lookup(bench, "W1", "get a user by id", 0.30, get_by_id)
}

/// W2: one user by name, who is there or not.
pub(crate) fn by_name(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    lookup(bench, "W2", "userName eq, hit", 0.35, |subject| get_by_name(subject, true))?;
    lookup(bench, "W2", "userName eq, miss", 0.40, |subject| get_by_name(subject, false))
}

fn lookup<'a, G: FnMut() -> Option<Request> + 'a>(
    bench: &mut Bench<'a>,
    workload: &str,
    name: &str,
    of_floor: f64,
    generate: impl Fn(&'a Subject) -> G,
) -> anyhow::Result<()> {
    let users = bench.options.users;
    let mut subject = bench.load(CONNECTIONS, generate(bench.subject))?;
    let floor = bench.constant(&mut *subject, generate(bench.subject))?;
    let few = bench.few.unwrap_or(bench.subject);
    let few = bench.load_on(few, CONNECTIONS, generate(few))?;
    let [subject, floor, few] = bench.in_turn([subject, floor, few])?;
    bench.measure((workload, name, CONNECTIONS), &subject, Some(("floor (a)", &floor)));
    let report = &mut bench.report;
    let what = format!("{name}: server CPU per request");
    if bench.database.is_some() {
        report.judge(workload, &what, AtMost(150.0), (subject.cpu(), "µs"));
    } else {
        let what_of_floor = format!("{name}: of floor (a)");
        report.judge(workload, &what_of_floor, AtLeast(of_floor), (ratio(&subject, &floor), "×"));
        if bench.subject.process.is_some() {
            report.judge(workload, &what, AtMost(60.0), (subject.cpu(), "µs"));
        }
    }
    if bench.few.is_some() && users > 1_000 {
        let what = format!("{name}: time at {users} users, of that at 1000");
        report.judge(workload, &what, AtMost(1.3), (ratio(&few, &subject), "×"));
    }
    Ok(())
}

/// W5: pages of a hundred, by index and by cursor.
pub(crate) fn pages(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let users = bench.options.users;
    let last = (users + 1).saturating_sub(PAGE).max(1);
    let page = |start: usize| Request::get(format!("/Users?startIndex={start}&count={PAGE}"));
    let fixed = |start: usize| move || Some(page(start));
    let mut numbers = Numbers(5);
    // Pages that were not asked for before, in the last tenth.
    let cold = move || Some(page(last - numbers.below(users / 10)));
    let mut start = bench.load(CONNECTIONS, fixed(1))?;
    let middle = bench.load(CONNECTIONS, fixed(users / 2))?;
    let end = bench.load(CONNECTIONS, fixed(last))?;
    let cold = bench.load(CONNECTIONS, cold)?;
    let floor = bench.constant(&mut *start, fixed(1))?;
    let [start, middle, end, cold, floor] = bench.in_turn([start, middle, end, cold, floor])?;
    let names = ["page at the start", "page in the middle", "page at the end", "deep page, cold"];
    for (name, series) in names.into_iter().zip([&start, &middle, &end, &cold]) {
        bench.measure(("W5", name, CONNECTIONS), series, Some(("floor (a)", &floor)));
    }
    let report = &mut bench.report;
    let what = "time of a page at the end, of one at the start";
    report.judge("W5", what, AtMost(2.0), (ratio(&start, &end), "×"));
    let what = "time of a cold deep page, of a warm one";
    report.judge("W5", what, AtMost(3.0), (ratio(&end, &cold), "×"));
    if bench.subject.process.is_some() && bench.database.is_none() {
        let worst = [start, middle, end].iter().map(Series::cpu).fold(0.0, f64::max) / 1e3;
        let what = "server CPU of a page of 100, the worst of three";
        report.judge("W5", what, AtMost(0.4), (worst, "ms"));
    }
    by_cursor(bench)
}

fn by_cursor(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let cursors = bench.runtime.block_on(walk(bench.subject, bench.options.users / PAGE))?;
    let [_, .., _] = &cursors[..] else {
        crate::output::note("W5: this server has no cursors");
        return Ok(());
    };
    let page_at = |position: usize| {
        let cursor = cursors.get(position).map_or("", String::as_str);
        let path = format!("/Users?cursor={cursor}&count={PAGE}");
        bench.load(CONNECTIONS, move || Some(Request::get(path.clone())))
    };
    let (middle, end) = (cursors.len() / 2, cursors.len() - 2);
    let all = bench.in_turn([page_at(0)?, page_at(middle)?, page_at(end)?])?;
    let names = ["cursor at the start", "cursor in the middle", "cursor at the end"];
    for (name, series) in names.into_iter().zip(&all) {
        bench.measure(("W5", name, CONNECTIONS), series, None);
    }
    let [start, middle, end] = &all;
    let worst = ratio(start, middle).max(ratio(start, end));
    let what = "time of a page by cursor anywhere, of one at the start";
    bench.report.judge("W5", what, AtMost(1.2), (worst, "×"));
    Ok(())
}

/// Walks over pages by cursor and returns the cursors; one when the server does not know them.
async fn walk(subject: &Subject, pages: usize) -> anyhow::Result<Vec<String>> {
    let mut connection = Connection::open(&subject.endpoint).await?;
    let mut cursors = vec![String::new()];
    for _ in 1..pages {
        let last = cursors.last().cloned().unwrap_or_default();
        let request = Request::get(format!("/Users?cursor={last}&count={PAGE}"));
        let Some(next) =
            connection.call(&request).await?.json()["nextCursor"].as_str().map(str::to_owned)
        else {
            break;
        };
        cursors.push(next);
    }
    Ok(cursors)
}

/// W8: a filter of two parts, one of them inside an element.
pub(crate) fn complex_filter(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let what = ("W8", "complex filter", 1);
    let filter = "emails[type eq \"work\" and value co \"@example.com\"] and active eq true";
    let path = data::by_filter(filter);
    let ours = bench.load(1, move || Some(Request::get(path.clone())))?;
    let Some((_, copy)) = bench.store else {
        let [ours] = bench.in_turn([ours])?;
        bench.measure(what, &ours, None);
        return Ok(());
    };
    let by_hand = Box::new(ByHand::open(copy.url())?);
    let [ours, by_hand] = bench.in_turn([ours, by_hand])?;
    bench.measure(what, &ours, Some(("SQL by hand", &by_hand)));
    let reached = ratio(&by_hand, &ours);
    bench.report.judge("W8", "time, of that of SQL by hand", AtMost(2.0), (reached, "×"));
    Ok(())
}
