//! W6: groups of growing size.

use std::cell::Cell;
use std::rc::Rc;

use crate::client::Request;
use crate::data;
use crate::load::{Series, Side, ratio};
use crate::report::Target::AtMost;
use crate::seed;
use crate::workload::Bench;

/// Members of the groups that are compared; the first is what the others are compared with.
const SIZES: [usize; 4] = [1_000, 10_000, 50_000, 100_000];

struct Group {
    path: String,
    size: usize,
    /// How many of the spare users are in it.
    added: Rc<Cell<usize>>,
}

impl Group {
    fn make(bench: &Bench<'_>, name: &str, size: usize) -> anyhow::Result<Self> {
        let subject = bench.subject;
        let members = subject.ids.get(..size).unwrap_or(&subject.ids);
        let name = format!("{}{name}", crate::machine::fresh_tag());
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

    /// Takes them out again.
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
    let sizes: Vec<usize> =
        SIZES.into_iter().filter(|size| *size <= bench.subject.ids.len()).collect();
    let Some((smallest, larger)) = sizes.split_first() else { return Ok(()) };
    let small = Group::make(bench, "small", *smallest)?;
    if larger.is_empty() {
        compare(bench, &small, &small)?;
        return whole(bench, &small);
    }
    whole(bench, &small)?;
    for size in larger {
        let large = Group::make(bench, "large", *size)?;
        compare(bench, &small, &large)?;
        whole(bench, &large)?;
    }
    Ok(())
}

/// What must not depend on the size: adding one, removing one, reading without members.
fn compare(bench: &mut Bench<'_>, small: &Group, large: &Group) -> anyhow::Result<()> {
    let spare = &bench.subject.spare;
    let without = "?excludedAttributes=members";
    let before = bench.forget_peak();
    let mut sides = [
        bench.load(1, small.add(spare))?,
        bench.load(1, large.add(spare))?,
        bench.load(1, small.remove(spare))?,
        bench.load(1, large.remove(spare))?,
        bench.load(1, small.get(without))?,
        bench.load(1, large.get(without))?,
    ];
    let mut sides: Vec<&mut dyn Side> =
        sides.iter_mut().map(|side| -> &mut dyn Side { side }).collect();
    let all = if std::ptr::eq(small, large) {
        let mut halves: Vec<&mut dyn Side> = sides.into_iter().step_by(2).collect();
        bench.in_turn(&mut halves)?
    } else {
        bench.in_turn(&mut sides)?
    };
    let size = large.size;
    let names = ["add one member", "remove one member", "get without members"];
    if let [add, remove, get] = &all[..] {
        for (name, series) in names.into_iter().zip([add, remove, get]) {
            bench.note(("W6", name, size), 1, series, None);
        }
        return Ok(());
    }
    for (name, pair) in names.into_iter().zip(all.chunks(2)) {
        let [small, large] = pair else { continue };
        bench.note(("W6", name, size), 1, large, None);
        if size == 100_000 {
            let what = format!("{name}: time at 100000 members, of that at 1000");
            bench.report.judge("W6", &what, AtMost(1.5), ratio(small, large), "×");
        }
    }
    if let Some(process) = bench.subject.process.filter(|_| size == 100_000) {
        let what = "memory that adding, removing and reading without members take";
        bench.report.judge("W6", what, AtMost(4.0), process.peak() - before, "MiB");
    }
    Ok(())
}

/// Reading all of a group.
fn whole(bench: &mut Bench<'_>, group: &Group) -> anyhow::Result<()> {
    let before = bench.forget_peak();
    let mut side = bench.load(1, group.get(""))?;
    let all = bench.in_turn(&mut [&mut side])?;
    let Some(series) = all.first() else { return Ok(()) };
    bench.note(("W6", "get with members", group.size), 1, series, None);
    let Some(process) = bench.subject.process.filter(|_| group.size >= 10_000) else {
        return Ok(());
    };
    let each = Series::cpu(series) / crate::load::count(u64::try_from(group.size)?);
    let what = format!("get with {} members: server CPU a member", group.size);
    bench.report.judge("W6", &what, AtMost(0.4), each, "µs");
    if group.size == 100_000 {
        let what = "get with 100000 members: peak memory above that before";
        bench.report.judge("W6", what, AtMost(32.0), process.peak() - before, "MiB");
    }
    Ok(())
}
