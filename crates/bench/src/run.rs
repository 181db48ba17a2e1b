//! A run: servers, databases and users, then one workload after the other.

use anyhow::Context;
use tokio::runtime::Runtime;

use crate::client::Endpoint;
use crate::database::Database;
use crate::report::Report;
use crate::server::{Installation, Server};
use crate::workload::{Bench, Options, Subject};
use crate::{
    groups, life, machine, output, reads, records, seed, server, statements, sync, writes,
};

/// Users that are created in addition, to join groups and to leave them.
const SPARE: usize = 300;
/// Users of the servers that a run compares itself with.
const FEW: usize = 1_000;

/// Runs every workload that was asked for.
pub(crate) fn run(options: &Options) -> anyhow::Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let floor = server::floor()?;
    let mut report = Report {
        date: machine::today(),
        commit: options.commit.clone(),
        machine: machine::class(),
        database: if options.postgres.is_some() { "PostgreSQL" } else { "SQLite" }.to_owned(),
        users: options.users,
        measured: Vec::new(),
        verdicts: Vec::new(),
    };
    if let Some((url, token)) = &options.against {
        report.database.clone_from(url);
        let endpoint = Endpoint::parse(url, token)?;
        let subject = fill(&runtime, endpoint, &machine::fresh_tag(), options.users)?;
        return run_workloads(Bench {
            runtime: &runtime,
            options,
            subject: &subject,
            database: None,
            floor: &floor,
            store: None,
            few: None,
            report,
            peak: 0.0,
        });
    }
    std::fs::create_dir_all(&options.directory)?;
    let many = Seeded::new(&runtime, options, "many", options.users)?;
    let few = Seeded::new(&runtime, options, "few", FEW)?;
    let copy = many.database.copy("floor")?;
    let store = (statements::open(copy.url())?, copy);
    life::start(&mut report, &many.installation, &many.token)?;
    let (server, subject) = many.start()?;
    let (few_server, few) = few.start()?;
    let mut report = run_workloads(Bench {
        runtime: &runtime,
        options,
        subject: &subject,
        database: many.database.process()?.as_ref(),
        floor: &floor,
        store: Some(&store),
        few: Some(&few),
        report,
        peak: 0.0,
    })?;
    drop((server, few_server));
    if options.wants("W11") {
        records::timeline(&mut report, &runtime, options)?;
    }
    if options.wants("records") {
        records::cost(&mut report, &runtime, options)?;
    }
    Ok(report)
}

/// A database with users and the server that goes with it, which is stopped.
struct Seeded {
    installation: Installation,
    token: String,
    database: Database,
    filled: Subject,
}

impl Seeded {
    fn new(runtime: &Runtime, options: &Options, name: &str, users: usize) -> anyhow::Result<Self> {
        let database = options.database(name)?;
        let installation =
            Installation::new(&options.binary, &options.directory, database.url().to_owned());
        let token = installation.token(&[])?;
        let server = installation.start(&token)?;
        let started = std::time::Instant::now();
        let filled = fill(runtime, server.endpoint.clone(), "u", users)?;
        let seconds = started.elapsed().as_secs_f64();
        output::note(&format!("{name}: {users} users in {seconds:.1} s"));
        drop(server);
        database.settle()?;
        Ok(Self { installation, token, database, filled })
    }

    fn start(&self) -> anyhow::Result<(Server, Subject)> {
        let server = self.installation.start(&self.token)?;
        let subject = Subject {
            endpoint: server.endpoint.clone(),
            process: Some(server.process),
            ..self.filled.clone()
        };
        Ok((server, subject))
    }
}

fn fill(runtime: &Runtime, endpoint: Endpoint, tag: &str, users: usize) -> anyhow::Result<Subject> {
    let ids = seed::users(runtime, &endpoint, tag, users)?;
    let spare = seed::users(runtime, &endpoint, &format!("{tag}-spare-"), SPARE)?;
    Ok(Subject { endpoint, process: None, ids, spare, tag: tag.to_owned() })
}

/// Runs the workloads that were asked for on the subject.
fn run_workloads(mut bench: Bench<'_>) -> anyhow::Result<Report> {
    type Workload = fn(&mut Bench<'_>) -> anyhow::Result<()>;
    let workloads: [(&str, Workload); 11] = [
        ("W1", reads::by_id),
        ("W2", reads::by_name),
        ("W5", reads::pages),
        ("W8", reads::complex_filter),
        ("W6", groups::run),
        ("W4", writes::patch),
        ("W9", writes::replace),
        ("W3", writes::create),
        ("W10", sync::bulk),
        ("W7", sync::initial),
        ("memory", life::memory),
    ];
    for (name, workload) in workloads {
        if bench.options.wants(name) {
            workload(&mut bench).with_context(|| format!("in {name}"))?;
        }
    }
    Ok(bench.report)
}
