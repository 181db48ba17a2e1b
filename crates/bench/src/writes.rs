//! W3, W4 and W9: what is written, one user at a time.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::client::Request;
use crate::data::{self, Numbers};
use crate::database::Database;
use crate::load::{Http, Side, ratio};
use crate::report::Report;
use crate::report::Target::AtLeast;
use crate::server::Installation;
use crate::statements::{Preparation, Ready, Statements};
use crate::workload::{Bench, CONNECTIONS, Options};
use crate::{commits, machine};

/// Clients of the comparison with a slow disk.
const CLIENTS: usize = 32;

/// W3: create a user.
pub(crate) fn create(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let tag = machine::fresh_tag();
    let mut number = 0;
    let generate = move || {
        number += 1;
        Some(Request::with("POST", "/Users".to_owned(), data::user(&tag, number).to_string()))
    };
    let mut next = 0;
    beside_statements(bench, "W3", "create a user", generate, |preparation, _| {
        next += 1;
        preparation.create(data::user("floor-", next))
    })
}

/// W4: switch a user on or off and rename them, as Entra does.
pub(crate) fn patch(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let ids = &bench.subject.ids;
    let mut numbers = Numbers(4);
    let generate = move || {
        let path = format!("/Users/{}", numbers.of(ids)?);
        Some(Request::with("PATCH", path, data::entra_patch(&mut numbers).to_string()))
    };
    beside_statements(bench, "W4", "patch a user", generate, |preparation, numbers| {
        let id = numbers.of(ids).context("there are users")?;
        preparation.patch(id, data::entra_patch(numbers))
    })
}

/// W9: replace a user.
pub(crate) fn replace(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let (ids, tag) = (&bench.subject.ids, &bench.subject.tag);
    let mut numbers = Numbers(9);
    let generate = move || {
        let number = numbers.below(ids.len());
        let path = format!("/Users/{}", ids.get(number)?);
        Some(Request::with("PUT", path, changed(tag, number, &mut numbers).to_string()))
    };
    beside_statements(bench, "W9", "replace a user", generate, |preparation, numbers| {
        let number = numbers.below(ids.len());
        let id = ids.get(number).context("there are users")?;
        preparation.replace(id, changed(tag, number, numbers))
    })
}

fn changed(tag: &str, number: usize, numbers: &mut Numbers) -> Value {
    let mut user = data::user(tag, number);
    if let Some(user) = user.as_object_mut() {
        user.insert("title".to_owned(), format!("Title {}", numbers.next()).into());
    }
    user
}

/// Runs writes over HTTP beside the same writes on a store alone.
fn beside_statements<'a>(
    bench: &mut Bench<'a>,
    workload: &str,
    name: &str,
    generate: impl FnMut() -> Option<Request> + 'a,
    mut prepare: impl FnMut(&Preparation, &mut Numbers) -> anyhow::Result<Ready>,
) -> anyhow::Result<()> {
    let what = (workload, name, bench.options.users);
    let mut subject = bench.load(CONNECTIONS, generate)?;
    let Some((store, _)) = bench.store else {
        for series in &bench.in_turn(&mut [&mut subject])? {
            bench.note(what, CONNECTIONS, series, None);
        }
        return Ok(());
    };
    let preparation = Preparation::over(store.clone())?;
    let mut numbers = Numbers(7);
    let mut many = |count: usize| (0..count).map(|_| prepare(&preparation, &mut numbers)).collect();
    let mut floor = Statements::new(vec![store.clone()], CONNECTIONS, &mut many);
    let all = bench.in_turn(&mut [&mut subject, &mut floor])?;
    if let [subject, floor] = &all[..] {
        bench.note(what, CONNECTIONS, subject, Some(("floor (b)", floor)));
        let target = if bench.database.is_some() { 0.50 } else { 0.40 };
        let what = format!("{name}: of floor (b)");
        bench.report.judge(workload, &what, AtLeast(target), ratio(subject, floor), "×");
    }
    Ok(())
}

/// W3 with a disk that needs 4 ms for each sync: the server beside stores that share no commits.
pub(crate) fn group_commit(
    report: &mut Report,
    runtime: &Runtime,
    options: &Options,
    binary: &Path,
) -> anyhow::Result<()> {
    let Some(shim) = &options.shim else {
        return Ok(());
    };
    let delay = (commits::DELAY.to_owned(), commits::MICROSECONDS.to_owned());
    let database = Database::sqlite(&options.directory, "slow")?;
    let installation = Installation::new(binary, &options.directory, database.url().to_owned());
    let token = installation.token()?;
    let installation =
        installation.with("LD_PRELOAD", &shim.to_string_lossy()).with(&delay.0, &delay.1);
    let server = installation.start(&token)?;
    let (tag, mut number) = (machine::fresh_tag(), 0);
    let generate = move || {
        number += 1;
        Some(Request::with("POST", "/Users".to_owned(), data::user(&tag, number).to_string()))
    };
    let processes = (Some(&server.process), None);
    let mut http = Http::open(runtime, &server.endpoint, CLIENTS, processes, generate)?;
    drop(http.slice(1.0)?);
    // The stores need the slow disk too, so they live in a process of their own.
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("commits").arg(&options.directory).env("LD_PRELOAD", shim).env(delay.0, delay.1);
    let output = command.output()?;
    if !output.status.success() {
        bail!("the stores failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let rates: commits::Rates = serde_json::from_slice(&output.stdout)?;
    let ours = http.slice(3.0)?.rate();
    crate::output::note(&format!(
        "4 ms a sync, 32 clients: server {ours:.0}/s, lane {:.0}/s, lane of one {:.1}/s, pool {:.1}/s",
        rates.lane, rates.one_each, rates.pool
    ));
    let per = |rate: f64| ours / rate.max(1e-9);
    let over_lane = "slow disk, 32 clients: of the same lane with a commit each";
    report.judge("W3", over_lane, AtLeast(10.0), per(rates.one_each), "×");
    let over_pool = "slow disk, 32 clients: of a commit each through a pool of 32";
    report.judge("W3", over_pool, AtLeast(30.0), per(rates.pool), "×");
    Ok(())
}
