//! W11 and what the records cost: the provisioning log when it is long, and writes with and without
//! what is recorded about them.

use std::path::Path;
use std::time::Instant;

use tokio::runtime::Runtime;

use crate::client::{Connection, Request};
use crate::data::{self, Numbers};
use crate::database::Database;
use crate::load::{Http, Load, Series, in_turn, median, ratio};
use crate::report::Target::{AtLeast, AtMost};
use crate::report::{Report, What};
use crate::server::{Installation, Server};
use crate::sync::creates;
use crate::workload::{CONNECTIONS, Options};
use crate::{machine, output, seed};

/// Requests in the log, and how many of them are about each identity.
const RECORDS: usize = 1_000_000;
const ABOUT_EACH: usize = 20;
/// Users that are members of one group.
const MEMBERS: usize = 500;
/// Users of the servers whose writes are compared, and how often each is started.
const USERS: usize = 1_000;
const STARTS: usize = 3;

/// W11: the timeline of one identity out of a million requests and a million changes.
pub(crate) fn timeline(
    report: &mut Report,
    runtime: &Runtime,
    options: &Options,
) -> anyhow::Result<()> {
    let users = RECORDS.min(options.users * 1_000) / ABOUT_EACH;
    let database = options.database("story")?;
    let installation =
        Installation::new(&options.binary, &options.directory, database.url().to_owned())
            // What is measured must not be pruned away meanwhile.
            .with("HEADCOUNT__PROVISIONING_LOG__KEEP_BYTES", "10737418240");
    let started = Instant::now();
    grow(runtime, &installation, users)?;
    // A million requests come in weeks and not in seconds: PostgreSQL has long written them to the disk.
    database.settle()?;
    let seconds = started.elapsed().as_secs_f64();
    output::note(&format!("{} records and changes in {seconds:.0} s", users * ABOUT_EACH));
    let mut explained = Vec::new();
    for number in [7, 11, 13] {
        let name = name(number * 1_009 % users);
        let started = Instant::now();
        let text = installation.run(&["log", "explain", &name])?;
        explained.push(started.elapsed().as_secs_f64() * 1e3);
        anyhow::ensure!(text.contains(&name), "nothing was explained: {text}");
    }
    let server = installation.start(&installation.token(&["--scope", "admin:read"])?)?;
    let endpoint = server.endpoint.below("/api/v1");
    let mut numbers = Numbers(11);
    let ask = move || {
        let name = name(numbers.below(users));
        Some(Request::get(format!("/timeline?name={}", name.replace('@', "%40"))))
    };
    let load = Http::open(runtime, &endpoint, 1, (Some(&server.process), None), ask)?;
    let size = users * ABOUT_EACH;
    for series in in_turn(options.rounds, options.seconds, &mut [Box::new(load)])? {
        let what = What { workload: "W11", name: "story of one identity", size, connections: 1 };
        report.measure(what, &series, None);
        let what = "story of one identity in a million requests: p99";
        report.judge("W11", what, AtMost(50.0), (series.quantile(0.99), "ms"));
    }
    let what = "headcount log explain, from start to end";
    report.judge("W11", what, AtMost(50.0), (median(explained), "ms"));
    Ok(())
}

fn name(identity: usize) -> String {
    data::user_name("story", identity)
}

/// Creates users in groups and changes each of them again and again: each operation is a record and a
/// change, and what is about one user lies far apart.
fn grow(runtime: &Runtime, installation: &Installation, users: usize) -> anyhow::Result<()> {
    let server = installation.start(&installation.token(&[])?)?;
    let ids = seed::users(runtime, &server.endpoint, "story", users)?;
    for (number, members) in ids.chunks(MEMBERS).enumerate() {
        seed::group(runtime, &server.endpoint, &format!("story {number}"), members)?;
    }
    for turn in 1..ABOUT_EACH {
        seed::change(runtime, &server.endpoint, &ids, &format!("Title {turn}"))?;
    }
    let metrics = runtime.block_on(async {
        let mut connection = Connection::open(&server.endpoint.below("")).await?;
        let answer = connection.call(&Request::get("/metrics".to_owned())).await?;
        anyhow::Ok(String::from_utf8_lossy(answer.body).into_owned())
    })?;
    let none_dropped = metrics.lines().any(|line| line == "headcount_log_dropped_total 0");
    anyhow::ensure!(none_dropped, "the log dropped records");
    Ok(())
}

/// What is recorded costs: creations and patches next to a server that keeps no provisioning log, and
/// next to one that was built to leave no record of changes.
///
/// One start of a server is a twentieth faster or slower than the next, for as long as it runs. So each is
/// started several times, with data of its own, and the ratio in the middle counts.
pub(crate) fn cost(
    report: &mut Report,
    runtime: &Runtime,
    options: &Options,
) -> anyhow::Result<()> {
    const WORKLOADS: [(&str, &str); 2] = [("W3", "create a user"), ("W4", "patch a user")];
    let mut reached: [(Vec<f64>, Vec<f64>); 2] = Default::default();
    for start in 1..=STARTS {
        let mut writers = vec![
            Writer::start(runtime, options, &format!("usual{start}"), &options.binary, true)?,
            Writer::start(runtime, options, &format!("unlogged{start}"), &options.binary, false)?,
        ];
        if let Some(plain) = &options.plain {
            writers.push(Writer::start(runtime, options, &format!("plain{start}"), plain, true)?);
        }
        for ((workload, name), (log, changes)) in WORKLOADS.iter().zip(&mut reached) {
            let loads = writers.iter().map(|writer| writer.load(runtime, workload));
            let mut loads = loads.collect::<anyhow::Result<Vec<_>>>()?;
            let all = in_turn(options.rounds, options.seconds, &mut loads)?;
            let [with, without, plain @ ..] = &all[..] else { continue };
            log.push(ratio(with, without));
            changes.extend(plain.iter().map(|plain| ratio(with, plain)));
            let cpu: Vec<f64> = all.iter().map(Series::cpu).collect();
            output::note(&format!("{name}: CPU in µs with both, without log, plain: {cpu:.0?}"));
        }
    }
    for ((workload, name), (log, changes)) in WORKLOADS.iter().zip(reached) {
        let what = format!("{name}: with the provisioning log, of without");
        output::note(&format!("{what}, of each start: {log:.2?}"));
        report.judge(workload, &what, AtLeast(0.90), (median(log), "×"));
        if !changes.is_empty() {
            let what = format!("{name}: with the record of changes, of without");
            output::note(&format!("{what}, of each start: {changes:.2?}"));
            report.judge(workload, &what, AtLeast(0.85), (median(changes), "×"));
        }
    }
    Ok(())
}

/// A server of its own that is written to.
struct Writer {
    server: Server,
    ids: Vec<String>,
    _database: Database,
}

impl Writer {
    fn start(
        runtime: &Runtime,
        options: &Options,
        name: &str,
        binary: &Path,
        keeps_log: bool,
    ) -> anyhow::Result<Self> {
        let database = options.database(name)?;
        let installation = Installation::new(binary, &options.directory, database.url().to_owned())
            .with("HEADCOUNT__PROVISIONING_LOG__KEEP", if keeps_log { "true" } else { "false" });
        let server = installation.start(&installation.token(&[])?)?;
        let ids = seed::users(runtime, &server.endpoint, "u", USERS)?;
        Ok(Self { server, ids, _database: database })
    }

    fn load<'a>(
        &'a self,
        runtime: &'a Runtime,
        workload: &str,
    ) -> anyhow::Result<Box<dyn Load + 'a>> {
        let requests: Box<dyn FnMut() -> Option<Request> + 'a> = match workload {
            "W3" => Box::new(creates(machine::fresh_tag())),
            _ => Box::new(data::patches(&self.ids, Numbers(4))),
        };
        let (endpoint, processes) = (&self.server.endpoint, (Some(&self.server.process), None));
        Ok(Box::new(Http::open(runtime, endpoint, CONNECTIONS, processes, requests)?))
    }
}
