//! W1, W2, W5 and W8: what is read.

use crate::client::{Connection, Request};
use crate::data::{self, Numbers};
use crate::load::{Series, Side, ratio};
use crate::report::Target::{AtLeast, AtMost};
use crate::workload::{Bench, CONNECTIONS, Subject};

/// A page of a list.
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
    target: f64,
    generate: impl Fn(&'a Subject) -> G,
) -> anyhow::Result<()> {
    let users = bench.options.users;
    let mut subject = bench.load(CONNECTIONS, generate(bench.subject))?;
    let mut floor = bench.constant(&mut subject, CONNECTIONS, generate(bench.subject))?;
    let load_on = |other: Option<&'a Subject>| {
        other.map(|other| bench.load_on(other, CONNECTIONS, generate(other))).transpose()
    };
    let (mut few, mut sqlite) = (load_on(bench.few)?, load_on(bench.sqlite)?);
    let mut sides: Vec<&mut dyn Side> = vec![&mut subject, &mut floor];
    sides.extend(few.as_mut().map(|side| -> &mut dyn Side { side }));
    sides.extend(sqlite.as_mut().map(|side| -> &mut dyn Side { side }));
    let mut all = bench.in_turn(&mut sides)?.into_iter();
    let mut next = || all.next().unwrap_or_default();
    let (subject, floor) = (next(), next());
    let few = bench.few.map(|_| next());
    let sqlite = bench.sqlite.map(|_| next());
    bench.note((workload, name, users), CONNECTIONS, &subject, Some(("floor (a)", &floor)));
    let of_floor = ratio(&subject, &floor);
    let report = &mut bench.report;
    match &sqlite {
        None => {
            let what = format!("{name}: of floor (a)");
            report.judge(workload, &what, AtLeast(target), of_floor, "×");
        }
        Some(sqlite) => {
            let what = format!("{name}: server CPU, of that on SQLite");
            report.judge(workload, &what, AtMost(2.5), subject.cpu() / sqlite.cpu().max(1.0), "×");
        }
    }
    if bench.subject.process.is_some() && sqlite.is_none() {
        let what = format!("{name}: server CPU per request");
        bench.report.judge(workload, &what, AtMost(60.0), subject.cpu(), "µs");
    }
    if let Some(few) = few.filter(|_| users > 1_000) {
        let what = format!("{name}: time at {users} users, of that at 1000");
        bench.report.judge(workload, &what, AtMost(1.3), ratio(&few, &subject), "×");
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
    // Pages that nobody has asked for before, in the last tenth.
    let cold = move || Some(page(last - numbers.below(users / 10)));
    let mut start = bench.load(CONNECTIONS, fixed(1))?;
    let mut middle = bench.load(CONNECTIONS, fixed(users / 2))?;
    let mut end = bench.load(CONNECTIONS, fixed(last))?;
    let mut cold = bench.load(CONNECTIONS, cold)?;
    let mut floor = bench.constant(&mut start, CONNECTIONS, fixed(1))?;
    let all = bench.in_turn(&mut [&mut start, &mut middle, &mut end, &mut cold, &mut floor])?;
    let names = ["page at the start", "page in the middle", "page at the end", "deep page, cold"];
    let [start, middle, end, cold, floor] = &all[..] else { return Ok(()) };
    for (name, series) in names.iter().zip([start, middle, end, cold]) {
        bench.note(("W5", name, users), CONNECTIONS, series, Some(("floor (a)", floor)));
    }
    let deep = |a: &Series, b: &Series| ratio(a, b);
    bench.report.judge(
        "W5",
        "time of a page at the end, of one at the start",
        AtMost(2.0),
        deep(start, end),
        "×",
    );
    bench.report.judge(
        "W5",
        "time of a cold deep page, of a warm one",
        AtMost(3.0),
        deep(end, cold),
        "×",
    );
    if bench.subject.process.is_some() && bench.sqlite.is_none() {
        let worst = [start, middle, end].into_iter().map(Series::cpu).fold(0.0, f64::max) / 1e3;
        bench.report.judge(
            "W5",
            "server CPU of a page of 100, the worst of three",
            AtMost(0.4),
            worst,
            "ms",
        );
    }
    by_cursor(bench)
}

fn by_cursor(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let users = bench.options.users;
    let count = users / PAGE;
    let Some(cursors) = bench.runtime.block_on(walk(bench.subject, count))? else {
        crate::output::note("W5: this server has no cursors");
        return Ok(());
    };
    let path = |cursor: &str| format!("/Users?cursor={cursor}&count={PAGE}");
    let at = |place: usize| path(cursors.get(place).map_or("", String::as_str));
    let places = [at(0), at(cursors.len() / 2), at(cursors.len().saturating_sub(2))];
    let fixed = |path: &String| {
        let path = path.clone();
        move || Some(Request::get(path.clone()))
    };
    let mut sides = Vec::new();
    for place in &places {
        sides.push(bench.load(CONNECTIONS, fixed(place))?);
    }
    let mut sides: Vec<&mut dyn Side> =
        sides.iter_mut().map(|side| -> &mut dyn Side { side }).collect();
    let all = bench.in_turn(&mut sides)?;
    let names = ["cursor at the start", "cursor in the middle", "cursor at the end"];
    for (name, series) in names.iter().zip(&all) {
        bench.note(("W5", name, users), CONNECTIONS, series, None);
    }
    if let [start, rest @ ..] = &all[..] {
        let worst = rest.iter().map(|series| ratio(start, series)).fold(0.0, f64::max);
        bench.report.judge(
            "W5",
            "time of a page by cursor anywhere, of one at the start",
            AtMost(1.2),
            worst,
            "×",
        );
    }
    Ok(())
}

/// Walks over all pages by cursor; none when the server does not know them.
async fn walk(subject: &Subject, pages: usize) -> anyhow::Result<Option<Vec<String>>> {
    let mut connection = Connection::open(&subject.endpoint).await?;
    let mut cursors = vec![String::new()];
    for _ in 1..pages {
        let last = cursors.last().cloned().unwrap_or_default();
        let request = Request::get(format!("/Users?cursor={last}&count={PAGE}"));
        match connection.call(&request).await?.json()["nextCursor"].as_str() {
            Some(next) => cursors.push(next.to_owned()),
            None => break,
        }
    }
    Ok((cursors.len() > 1).then_some(cursors))
}

/// W8: a filter of two parts, one of them inside an element.
pub(crate) fn complex_filter(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let filter = "emails[type eq \"work\" and value co \"@example.com\"] and active eq true";
    let path = data::by_filter(filter);
    let users = bench.options.users;
    let mut ours = bench.load(1, move || Some(Request::get(path.clone())))?;
    let Some((_, copy)) = bench.store else {
        let all = bench.in_turn(&mut [&mut ours])?;
        for series in &all {
            bench.note(("W8", "complex filter", users), 1, series, None);
        }
        return Ok(());
    };
    let mut by_hand = crate::by_hand::Complex::open(copy.url())?;
    let all = bench.in_turn(&mut [&mut ours, &mut by_hand])?;
    if let [ours, by_hand] = &all[..] {
        bench.note(("W8", "complex filter", users), 1, ours, Some(("SQL by hand", by_hand)));
        bench.report.judge(
            "W8",
            "time, of that of SQL by hand",
            AtMost(2.0),
            ratio(by_hand, ours),
            "×",
        );
    }
    Ok(())
}
