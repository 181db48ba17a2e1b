//! W6: groups of growing size.

use std::cell::Cell;
use std::rc::Rc;

use crate::client::Request;
use crate::data;
use crate::load::{count, ratio};
use crate::report::Target::AtMost;
use crate::report::What;
use crate::seed;
use crate::workload::Bench;

/// Members of the groups that are compared; the first is what the others are compared with.
const SIZES: [usize; 4] = [1_000, 10_000, 50_000, 100_000];
const LARGEST: usize = 100_000;

struct Group {
    path: String,
    size: usize,
    /// How many of the spare users are in it.
    added: Rc<Cell<usize>>,
}

impl Group {
    fn create(bench: &Bench<'_>, name: &str, size: usize) -> anyhow::Result<Self> {
        let subject = bench.subject;
        let members = subject.ids.get(..size).unwrap_or(&subject.ids);
        let name = format!("{}{name}{size}", crate::machine::fresh_tag());
        let id = seed::group(bench.runtime, &subject.endpoint, &name, members)?;
        Ok(Self { path: format!("/Groups/{id}"), size, added: Rc::default() })
    }

    /// Adds spare users one by one, until all are in.
    fn add<'a>(&self, spare: &'a [String]) -> impl FnMut() -> Option<Request> + use<'a> {
        let (path, added) = (self.path.clone(), Rc::clone(&self.added));
        move || {
            let id = spare.get(added.get())?;
            added.set(added.get() + 1);
            Some(Request::with("PATCH", path.clone(), data::add_members(std::slice::from_ref(id))))
        }
    }

    /// Removes them again.
    fn remove<'a>(&self, spare: &'a [String]) -> impl FnMut() -> Option<Request> + use<'a> {
        let (path, added) = (self.path.clone(), Rc::clone(&self.added));
        move || {
            let id = spare.get(added.get().checked_sub(1)?)?;
            added.set(added.get() - 1);
            Some(Request::with("PATCH", path.clone(), data::remove_member(id)))
        }
    }

    fn get(&self, query: &str) -> impl FnMut() -> Option<Request> + use<> {
        let path = format!("{}{query}", self.path);
        move || Some(Request::get(path.clone()))
    }
}

pub(crate) fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let sizes = SIZES.into_iter().filter(|size| *size <= bench.subject.ids.len());
    let sizes: Vec<usize> = sizes.collect();
    let Some(smallest) = sizes.first() else { return Ok(()) };
    let small = Group::create(bench, "small", *smallest)?;
    for size in sizes {
        let large = Group::create(bench, "large", size)?;
        compare(bench, &small, &large)?;
        read_whole(bench, &large)?;
    }
    Ok(())
}

/// What must not depend on the size: adding one, removing one, reading without members.
fn compare(bench: &mut Bench<'_>, small: &Group, large: &Group) -> anyhow::Result<()> {
    let (spare, size) = (&bench.subject.spare, large.size);
    let without = "?excludedAttributes=members";
    let before = bench.forget_peak();
    let [small_add, add, small_remove, remove, small_get, get] = bench.in_turn([
        bench.load(1, small.add(spare))?,
        bench.load(1, large.add(spare))?,
        bench.load(1, small.remove(spare))?,
        bench.load(1, large.remove(spare))?,
        bench.load(1, small.get(without))?,
        bench.load(1, large.get(without))?,
    ])?;
    let report = &mut bench.report;
    for (name, small, large) in [
        ("add one member", small_add, add),
        ("remove one member", small_remove, remove),
        ("get without members", small_get, get),
    ] {
        report.measure(What { workload: "W6", name, size, connections: 1 }, &large, None);
        if size == LARGEST {
            let what = format!("{name}: time at {LARGEST} members, of that at 1000");
            report.judge("W6", &what, AtMost(1.5), (ratio(&small, &large), "×"));
        }
    }
    if let Some(process) = bench.subject.process.filter(|_| size == LARGEST) {
        let what = "memory that adding, removing and reading without members take";
        report.judge("W6", what, AtMost(4.0), (process.peak() - before, "MiB"));
    }
    Ok(())
}

fn read_whole(bench: &mut Bench<'_>, group: &Group) -> anyhow::Result<()> {
    let (before, size) = (bench.forget_peak(), group.size);
    let [series] = bench.in_turn([bench.load(1, group.get(""))?])?;
    let what = What { workload: "W6", name: "get with members", size, connections: 1 };
    bench.report.measure(what, &series, None);
    let Some(process) = bench.subject.process.filter(|_| size >= 10_000) else { return Ok(()) };
    let each = series.cpu() / count(u64::try_from(size)?);
    let what = format!("get with {size} members: server CPU a member");
    bench.report.judge("W6", &what, AtMost(0.4), (each, "µs"));
    if size == LARGEST {
        let what = format!("get with {LARGEST} members: peak memory above that before");
        bench.report.judge("W6", &what, AtMost(32.0), (process.peak() - before, "MiB"));
    }
    Ok(())
}
