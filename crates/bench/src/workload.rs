//! What a workload works with.

use std::path::PathBuf;
use std::sync::Arc;

use headcount_store_diesel::Store;
use tokio::runtime::Runtime;

use crate::client::{Endpoint, Request};
use crate::database::Database;
use crate::load::{Http, Series, Side, in_turn};
use crate::process::Process;
use crate::report::{Measured, Report};
use crate::server::Server;

/// Connections of a workload, unless it says otherwise.
pub(crate) const CONNECTIONS: usize = 8;

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

impl Options {
    pub(crate) fn wants(&self, workload: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only.eq_ignore_ascii_case(workload))
    }
}

impl<'a> Bench<'a> {
    pub(crate) fn new(
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
