//! W3, W4 and W9: what is written, one user at a time.

use anyhow::Context;
use serde_json::Value;

use crate::client::Request;
use crate::data::{self, Numbers};
use crate::load::ratio;
use crate::machine;
use crate::report::Target::AtLeast;
use crate::statements::{Preparation, Ready, Statements};
use crate::sync::creates;
use crate::workload::{Bench, CONNECTIONS};

/// W3: create a user.
pub(crate) fn create(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let mut next = 0;
    let requests = creates(machine::fresh_tag());
    next_to_statements(bench, "W3", "create a user", requests, move |preparation, _| {
        next += 1;
        preparation.create(data::user("floor-", next))
    })
}

/// W4: switch a user on or off and rename them, as Entra does.
pub(crate) fn patch(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let ids = &bench.subject.ids;
    let requests = data::patches(ids, Numbers(4));
    next_to_statements(bench, "W4", "patch a user", requests, move |preparation, numbers| {
        let id = numbers.of(ids).context("there are users")?;
        preparation.patch(id, data::entra_patch(numbers))
    })
}

/// W9: replace a user.
pub(crate) fn replace(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let (ids, tag) = (&bench.subject.ids, &bench.subject.tag);
    let mut numbers = Numbers(9);
    let requests = move || {
        let number = numbers.below(ids.len());
        let path = format!("/Users/{}", ids.get(number)?);
        Some(Request::with("PUT", path, with_title(tag, number, &mut numbers).to_string()))
    };
    next_to_statements(bench, "W9", "replace a user", requests, move |preparation, numbers| {
        let number = numbers.below(ids.len());
        let id = ids.get(number).context("there are users")?;
        preparation.replace(id, with_title(tag, number, numbers))
    })
}

fn with_title(tag: &str, number: usize, numbers: &mut Numbers) -> Value {
    let mut user = data::user(tag, number);
    if let Some(user) = user.as_object_mut() {
        user.insert("title".to_owned(), format!("Title {}", numbers.next()).into());
    }
    user
}

/// Runs writes over HTTP next to the same writes on a store alone.
fn next_to_statements<'a>(
    bench: &mut Bench<'a>,
    workload: &str,
    name: &str,
    requests: impl FnMut() -> Option<Request> + 'a,
    mut prepare: impl FnMut(&Preparation, &mut Numbers) -> anyhow::Result<Ready> + 'a,
) -> anyhow::Result<()> {
    let what = (workload, name, CONNECTIONS);
    let subject = bench.load(CONNECTIONS, requests)?;
    let Some((store, _)) = bench.store else {
        let [subject] = bench.in_turn([subject])?;
        bench.measure(what, &subject, None);
        return Ok(());
    };
    let preparation = Preparation::over(store.clone())?;
    let mut numbers = Numbers(7);
    let prepare =
        move |count: usize| (0..count).map(|_| prepare(&preparation, &mut numbers)).collect();
    let floor = Box::new(Statements::new(store, CONNECTIONS, prepare));
    let [subject, floor] = bench.in_turn([subject, floor])?;
    bench.measure(what, &subject, Some(("floor (b)", &floor)));
    let target = if bench.database.is_some() { 0.50 } else { 0.40 };
    let what = format!("{name}: of floor (b)");
    bench.report.judge(workload, &what, AtLeast(target), (ratio(&subject, &floor), "×"));
    Ok(())
}
