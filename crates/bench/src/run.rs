//! A run: servers, databases and users, then one workload after the other.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use headcount_store_diesel::Store;
use tokio::runtime::Runtime;

use crate::client::{Endpoint, Request};
use crate::database::Database;
use crate::load::{Http, Series, Side, in_turn};
use crate::process::Process;
use crate::report::{Measured, Report};
use crate::server::{Installation, Server};
use crate::{
    groups, life, machine, output, reads, records, seed, server, statements, sync, writes,
};

/// Connections of a workload, unless it says otherwise.
pub(crate) const CONNECTIONS: usize = 8;
/// Users that are created beside the others, to come into groups and to go.
const SPARE: usize = 300;
/// Users of the servers that a run compares itself with.
const FEW: usize = 1_000;

/// What a run is asked to do.
pub(crate) struct Options {
    pub(crate) users: usize,
    /// A server that runs already, and its token.
    pub(crate) against: Option<(String, String)>,
    /// The binary to start.
    pub(crate) binary: PathBuf,
    /// The same binary, but built to leave no record of changes.
    pub(crate) plain: Option<PathBuf>,
    /// An empty PostgreSQL server to use instead of SQLite.
    pub(crate) postgres: Option<String>,
    /// Where databases and results go.
    pub(crate) directory: PathBuf,
    /// The library that makes each sync slower.
    pub(crate) shim: Option<PathBuf>,
    /// The workloads to run; all, when empty.
    pub(crate) only: Vec<String>,
    pub(crate) commit: String,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
}

/// A server with users in it.
pub(crate) struct Subject {
    pub(crate) endpoint: Endpoint,
    pub(crate) process: Option<Process>,
    /// The ids of its users by number.
    pub(crate) ids: Vec<String>,
    /// The ids of those who are in no group.
    pub(crate) spare: Vec<String>,
    /// The beginning of the names of its users.
    pub(crate) tag: String,
}

/// Everything that a workload may use.
pub(crate) struct Bench<'a> {
    pub(crate) runtime: &'a Runtime,
    pub(crate) options: &'a Options,
    pub(crate) subject: &'a Subject,
    pub(crate) database: Option<&'a Process>,
    /// Floor (a).
    pub(crate) floor: &'a Server,
    /// Floor (b): a copy of the subject's database.
    pub(crate) store: Option<&'a (Arc<Store>, Database)>,
    /// The same server with few users.
    pub(crate) few: Option<&'a Subject>,
    /// The same binary on SQLite, when the subject is on another database.
    pub(crate) sqlite: Option<&'a Subject>,
    pub(crate) report: Report,
    /// The highest memory of the subject before its peak was last forgotten.
    pub(crate) peak: f64,
}

/// Runs everything that was asked for.
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
        let bench = Bench::new(&runtime, options, &subject, &floor, report);
        return bench.all();
    }
    std::fs::create_dir_all(&options.directory)?;
    let many = seeded(&runtime, options, "many", options.users, options.postgres.as_deref())?;
    let few = seeded(&runtime, options, "few", FEW, options.postgres.as_deref())?;
    let sqlite = match options.postgres {
        Some(_) => Some(seeded(&runtime, options, "sqlite", FEW, None)?),
        None => None,
    };
    let copy = many.database.copy("floor")?;
    let store = statements::open(&statements::settings(copy.url())?)?;
    life::start(&mut report, options, &many.installation, &many.token)?;
    let server = many.installation.start(&many.token)?;
    let subject = many.subject_of(&server);
    let few_server = few.installation.start(&few.token)?;
    let few_subject = few.subject_of(&few_server);
    let other = match &sqlite {
        Some(seeded) => Some((seeded.installation.start(&seeded.token)?, seeded)),
        None => None,
    };
    let other = other.as_ref().map(|(server, seeded)| seeded.subject_of(server));
    let postmaster = many.database.process()?;
    let store = (store, copy);
    let bench = Bench {
        database: postmaster.as_ref(),
        store: Some(&store),
        few: Some(&few_subject),
        sqlite: other.as_ref(),
        ..Bench::new(&runtime, options, &subject, &floor, report)
    };
    let mut report = bench.all()?;
    drop((server, few_server));
    if options.wants("W3") && options.postgres.is_none() {
        writes::group_commit(&mut report, &runtime, options, &many.installation.binary)?;
    }
    if options.wants("W11") {
        records::timeline(&mut report, &runtime, options)?;
    }
    if options.wants("records") {
        records::cost(&mut report, &runtime, options)?;
    }
    Ok(report)
}

impl Options {
    pub(crate) fn wants(&self, workload: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only.eq_ignore_ascii_case(workload))
    }
}

/// A database with users and the server that goes with it, which is stopped.
struct Seeded {
    installation: Installation,
    token: String,
    database: Database,
    ids: Vec<String>,
    spare: Vec<String>,
}

impl Seeded {
    fn subject_of(&self, server: &Server) -> Subject {
        Subject {
            endpoint: server.endpoint.clone(),
            process: Some(server.process),
            ids: self.ids.clone(),
            spare: self.spare.clone(),
            tag: "u".to_owned(),
        }
    }
}

fn seeded(
    runtime: &Runtime,
    options: &Options,
    name: &str,
    users: usize,
    postgres: Option<&str>,
) -> anyhow::Result<Seeded> {
    let database = match postgres {
        Some(server) => Database::postgres(server, name)?,
        None => Database::sqlite(&options.directory, name)?,
    };
    let installation =
        Installation::new(&options.binary, &options.directory, database.url().to_owned());
    let token = installation.token()?;
    let server = installation.start(&token)?;
    let started = std::time::Instant::now();
    let filled = fill(runtime, server.endpoint.clone(), "u", users)?;
    let seconds = started.elapsed().as_secs_f64();
    output::note(&format!("{name}: {users} users in {seconds:.1} s"));
    drop(server);
    database.settle()?;
    Ok(Seeded { installation, token, database, ids: filled.ids, spare: filled.spare })
}

fn fill(runtime: &Runtime, endpoint: Endpoint, tag: &str, users: usize) -> anyhow::Result<Subject> {
    let ids = seed::users(runtime, &endpoint, tag, users)?;
    let spare = seed::users(runtime, &endpoint, &format!("{tag}-spare-"), SPARE)?;
    Ok(Subject { endpoint, process: None, ids, spare, tag: tag.to_owned() })
}

impl<'a> Bench<'a> {
    fn new(
        runtime: &'a Runtime,
        options: &'a Options,
        subject: &'a Subject,
        floor: &'a Server,
        report: Report,
    ) -> Self {
        Self {
            runtime,
            options,
            subject,
            floor,
            report,
            database: None,
            store: None,
            few: None,
            sqlite: None,
            peak: 0.0,
        }
    }

    fn all(mut self) -> anyhow::Result<Report> {
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
            if self.options.wants(name) {
                workload(&mut self).with_context(|| format!("in {name}"))?;
            }
        }
        Ok(self.report)
    }

    /// Load on the subject.
    pub(crate) fn load(
        &self,
        connections: usize,
        generate: impl FnMut() -> Option<Request> + 'a,
    ) -> anyhow::Result<Http<'a>> {
        self.load_on(self.subject, connections, generate)
    }

    /// Load on one of the servers.
    pub(crate) fn load_on(
        &self,
        subject: &'a Subject,
        connections: usize,
        generate: impl FnMut() -> Option<Request> + 'a,
    ) -> anyhow::Result<Http<'a>> {
        let processes = (subject.process.as_ref(), self.database);
        Http::open(self.runtime, &subject.endpoint, connections, processes, generate)
    }

    /// Load on floor (a), whose answers are as long as those that `like` gets from the subject.
    pub(crate) fn constant(
        &self,
        like: &mut Http<'_>,
        connections: usize,
        mut generate: impl FnMut() -> Option<Request> + 'a,
    ) -> anyhow::Result<Http<'a>> {
        let sample = Series(vec![like.slice(0.05)?]);
        let path = format!("/bytes/{:.0}", sample.bytes_each());
        let generate = move || generate().map(|request| Request { path: path.clone(), ..request });
        let processes = (Some(&self.floor.process), None);
        Http::open(self.runtime, &self.floor.endpoint, connections, processes, generate)
    }

    pub(crate) fn in_turn(&self, sides: &mut [&mut dyn Side]) -> anyhow::Result<Vec<Series>> {
        in_turn(self.options.rounds, self.options.seconds, sides)
    }

    /// Notes what a series cost.
    pub(crate) fn note(
        &mut self,
        (workload, name, size): (&str, &str, usize),
        connections: usize,
        series: &Series,
        floor: Option<(&str, &Series)>,
    ) {
        let measured = Measured::of((workload, name, size), connections, floor);
        self.report.add(measured, series, self.subject.process.is_some());
    }

    /// Lets the memory peak of the subject begin anew, and returns what is in use now.
    pub(crate) fn forget_peak(&mut self) -> f64 {
        let Some(process) = self.subject.process else { return 0.0 };
        self.peak = self.peak.max(process.peak());
        drop(process.forget_peak());
        process.resident()
    }
}
