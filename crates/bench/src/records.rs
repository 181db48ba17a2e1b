//! W11 and what the records cost: the provisioning log when it is long, and writes with and without
//! what is written down about them.

use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use headcount_core::clock::Timestamp;
use headcount_core::ids::{Kind, RequestId, ResourceId, TenantId, TokenId};
use headcount_core::quirks::Quirks;
use headcount_records::{RequestLog as _, RequestRecord};
use headcount_store_diesel::LogStore;
use tokio::runtime::Runtime;

use crate::client::{Endpoint, Request};
use crate::data::{self, Numbers};
use crate::database::Database;
use crate::load::{Http, Series, Side, in_turn, median, ratio};
use crate::report::Report;
use crate::report::Target::{AtLeast, AtMost};
use crate::server::{Installation, Server};
use crate::workload::{CONNECTIONS, Options};
use crate::{machine, output, seed, statements};

/// Requests in the log, and how many of them are about each identity.
const RECORDS: usize = 1_000_000;
const ABOUT_EACH: usize = 20;
/// Users that are members of one group.
const MEMBERS: usize = 500;
/// Records that are written at a time.
const BATCH: usize = 5_000;
/// Users of the servers whose writes are compared, and how often each is started.
const USERS: usize = 1_000;
const STARTS: usize = 3;

/// W11: the story of one identity out of a million requests and a million changes.
pub(crate) fn timeline(
    report: &mut Report,
    runtime: &Runtime,
    options: &Options,
) -> anyhow::Result<()> {
    let database = database(options, "story")?;
    let installation =
        Installation::new(&options.binary, &options.directory, database.url().to_owned())
            // What is measured must not be pruned away meanwhile.
            .with("HEADCOUNT__REQUESTS__KEEP_BYTES", "10737418240");
    let token = installation.token_for("admin:read")?;
    let started = Instant::now();
    let ids = grow(runtime, options, database.url())?;
    fill(database.url(), &ids)?;
    // A million requests come in weeks and not in seconds: PostgreSQL has long written them down.
    database.settle()?;
    output::note(&format!(
        "{RECORDS} records and changes in {:.0} s",
        started.elapsed().as_secs_f64()
    ));
    let mut told = Vec::new();
    for number in [7, 11, 13] {
        let started = Instant::now();
        let story = installation.run(&["log", "explain", &name(number * 1_009)])?;
        told.push(started.elapsed().as_secs_f64() * 1e3);
        anyhow::ensure!(story.contains(&name(number * 1_009)), "no story was told: {story}");
    }
    let server = installation.start(&token)?;
    let endpoint = server.endpoint.below("/api/v1");
    let mut numbers = Numbers(11);
    let ask = move || {
        let name = name(numbers.below(RECORDS / ABOUT_EACH));
        Some(Request::get(format!("/timeline?name={}", name.replace('@', "%40"))))
    };
    let mut load = Http::open(runtime, &endpoint, 1, (Some(&server.process), None), ask)?;
    let all = in_turn(options.rounds, options.seconds, &mut [&mut load])?;
    for series in &all {
        report.note("W11", "story of one identity", RECORDS, 1, series);
        let slowest = series.quantile(0.99);
        let what = "story of one identity in a million requests: p99";
        report.judge("W11", what, AtMost(50.0), slowest, "ms");
    }
    report.judge(
        "W11",
        "headcount log explain, from start to end",
        AtMost(50.0),
        median(told),
        "ms",
    );
    Ok(())
}

/// What is written down costs: creations and patches beside a server that keeps no provisioning log, and
/// beside one that was built to leave no record of changes.
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
        let writer = |name: &str, binary, setting| {
            Writer::start(runtime, options, &format!("{name}{start}"), binary, setting)
        };
        let usual = writer("usual", &options.binary, None)?;
        let off = Some(("HEADCOUNT__REQUESTS__KEEP", "false"));
        let unlogged = writer("unlogged", &options.binary, off)?;
        let plain = options.plain.as_ref().map(|binary| writer("plain", binary, None));
        let plain = plain.transpose()?;
        for ((workload, name), (log, changes)) in WORKLOADS.iter().zip(&mut reached) {
            let servers = [&usual, &unlogged].into_iter().chain(&plain);
            let loads = servers.map(|server| server.load(runtime, workload));
            let mut loads = loads.collect::<anyhow::Result<Vec<_>>>()?;
            let mut sides: Vec<&mut dyn Side> =
                loads.iter_mut().map(|side| -> &mut dyn Side { side }).collect();
            let all = in_turn(options.rounds, options.seconds, &mut sides)?;
            let [with, without, plain @ ..] = &all[..] else { continue };
            log.push(ratio(with, without));
            changes.extend(plain.iter().map(|plain| ratio(with, plain)));
            let cpu: Vec<f64> = all.iter().map(Series::cpu).collect();
            output::note(&format!(
                "{name}: CPU in µs with everything, without log, plain: {cpu:.0?}"
            ));
        }
    }
    for ((workload, name), (log, changes)) in WORKLOADS.iter().zip(reached) {
        let what = format!("{name}: with the provisioning log, of without");
        output::note(&format!("{what}, of each start: {log:.2?}"));
        report.judge(workload, &what, AtLeast(0.90), median(log), "×");
        if !changes.is_empty() {
            let what = format!("{name}: with the record of changes, of without");
            output::note(&format!("{what}, of each start: {changes:.2?}"));
            report.judge(workload, &what, AtLeast(0.85), median(changes), "×");
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
        setting: Option<(&str, &str)>,
    ) -> anyhow::Result<Self> {
        let database = database(options, name)?;
        let mut installation =
            Installation::new(binary, &options.directory, database.url().to_owned());
        if let Some((name, value)) = setting {
            installation = installation.with(name, value);
        }
        let token = installation.token()?;
        let server = installation.start(&token)?;
        let ids = seed::users(runtime, &server.endpoint, "u", USERS)?;
        Ok(Self { server, ids, _database: database })
    }

    fn load<'a>(&'a self, runtime: &'a Runtime, workload: &str) -> anyhow::Result<Http<'a>> {
        let (tag, mut number, mut numbers) = (machine::fresh_tag(), 0, Numbers(4));
        let create = workload == "W3";
        let generate = move || {
            number += 1;
            if create {
                let body = data::user(&tag, number).to_string();
                return Some(Request::with("POST", "/Users".to_owned(), body));
            }
            let path = format!("/Users/{}", numbers.of(&self.ids)?);
            Some(Request::with("PATCH", path, data::entra_patch(&mut numbers).to_string()))
        };
        let endpoint: &Endpoint = &self.server.endpoint;
        Http::open(runtime, endpoint, CONNECTIONS, (Some(&self.server.process), None), generate)
    }
}

fn database(options: &Options, name: &str) -> anyhow::Result<Database> {
    match &options.postgres {
        Some(server) => Database::postgres(server, name),
        None => Database::sqlite(&options.directory, name),
    }
}

fn name(identity: usize) -> String {
    data::user_name("story", identity)
}

/// Makes the users whom the log is about, in groups, and as many changes of them as there are requests: a story
/// is told from all of it. The server that does it keeps no log, which is filled by itself.
fn grow(runtime: &Runtime, options: &Options, url: &str) -> anyhow::Result<Vec<String>> {
    let quiet = Installation::new(&options.binary, &options.directory, url.to_owned())
        .with("HEADCOUNT__REQUESTS__KEEP", "false");
    let server = quiet.start(&quiet.token()?)?;
    let ids = seed::users(runtime, &server.endpoint, "story", RECORDS / ABOUT_EACH)?;
    for (number, members) in ids.chunks(MEMBERS).enumerate() {
        seed::group(runtime, &server.endpoint, &format!("story {number}"), members)?;
    }
    // The users take turns, as they do in a directory: what is about one lies far apart.
    for turn in 1..ABOUT_EACH {
        seed::change(runtime, &server.endpoint, &ids, &format!("Title {turn}"))?;
    }
    Ok(ids)
}

fn fill(url: &str, ids: &[String]) -> anyhow::Result<()> {
    let log = LogStore::new(&statements::settings(url)?);
    // The identities take turns, as they do in a directory: what is about one lies far apart.
    let mut records = Vec::with_capacity(BATCH);
    for number in 0..RECORDS {
        records.push(record(number, ids)?);
        if records.len() == BATCH || number + 1 == RECORDS {
            log.append(&records)?;
            records.clear();
        }
    }
    Ok(())
}

/// A request as Entra sends it: a creation first, changes later, now and then one that is refused.
fn record(number: usize, ids: &[String]) -> anyhow::Result<RequestRecord> {
    let (identity, turn) = (number % (RECORDS / ABOUT_EACH), number / (RECORDS / ABOUT_EACH));
    let id = ids.get(identity).cloned().context("each identity is a user")?;
    let refused = turn % 7 == 3;
    let at = Timestamp::from_micros(1_760_000_000_000_000 + i64::try_from(number)? * 1_000);
    let (method, path, status) = match (turn, refused) {
        (0, _) => ("POST", "/Users".to_owned(), 201),
        (_, true) => ("PATCH", format!("/Users/{id}"), 400),
        _ => ("PATCH", format!("/Users/{id}"), 200),
    };
    Ok(RequestRecord {
        at,
        micros: 900,
        request: RequestId::new(format!("r{number}")),
        tenant: Some(TenantId::new(1)),
        token: Some(TokenId::new("benchmark")),
        token_name: Some("benchmark".to_owned()),
        refused: None,
        address: Some("192.0.2.7".to_owned()),
        agent: Some("a benchmark".to_owned()),
        idp: Some("entra".to_owned()),
        method: method.to_owned(),
        path,
        kind: Some(Kind::new("User")),
        resource: Some(ResourceId::new(id.clone())),
        name: Some(name(identity)),
        names: vec![id, name(identity), format!("story-{identity:07}")],
        query: None,
        status,
        scim_type: refused.then(|| "invalidValue".to_owned()),
        field: refused.then(|| "emails".to_owned()),
        reason: refused.then(|| "emails must be a list of objects".to_owned()),
        quirks: Quirks::NONE,
        changed: Some(true),
        proven: true,
        unkept: 0,
        body: Some(data::entra_patch(&mut Numbers(7)).to_string()),
        reply: None,
    })
}
