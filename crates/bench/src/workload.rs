//! What a workload works with.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use headcount_store_diesel::Store;
use tokio::runtime::Runtime;

use crate::client::{Endpoint, Request};
use crate::database::Database;
use crate::load::{Http, Load, Series, in_turn};
use crate::process::Process;
use crate::report::{Report, What};
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
    /// The workloads to run; all, when empty.
    pub(crate) only: Vec<String>,
    pub(crate) commit: String,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
}

impl Options {
    pub(crate) fn wants(&self, workload: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only.eq_ignore_ascii_case(workload))
    }

    /// Makes a database on the server that was asked for.
    pub(crate) fn database(&self, name: &str) -> anyhow::Result<Database> {
        match &self.postgres {
            Some(server) => Database::postgres(server, name),
            None => Database::sqlite(&self.directory, name),
        }
    }
}

/// A server with users in it.
#[derive(Clone)]
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
    pub(crate) report: Report,
    /// The highest memory of the subject before its peak was last forgotten.
    pub(crate) peak: f64,
}

impl<'a> Bench<'a> {
    /// Load on the subject.
    pub(crate) fn load(
        &self,
        connections: usize,
        generate: impl FnMut() -> Option<Request> + 'a,
    ) -> anyhow::Result<Box<dyn Load + 'a>> {
        self.load_on(self.subject, connections, generate)
    }

    /// Load on one of the servers.
    pub(crate) fn load_on(
        &self,
        subject: &'a Subject,
        connections: usize,
        generate: impl FnMut() -> Option<Request> + 'a,
    ) -> anyhow::Result<Box<dyn Load + 'a>> {
        let processes = (subject.process.as_ref(), self.database);
        let http = Http::open(self.runtime, &subject.endpoint, connections, processes, generate)?;
        Ok(Box::new(http))
    }

    /// Load on floor (a), whose answers are as long as those that `like` gets from the subject.
    pub(crate) fn constant(
        &self,
        like: &mut dyn Load,
        mut generate: impl FnMut() -> Option<Request> + 'a,
    ) -> anyhow::Result<Box<dyn Load + 'a>> {
        let path = format!("/bytes/{:.0}", Series(vec![like.slice(0.05)?]).bytes_each());
        let generate = move || generate().map(|request| Request { path: path.clone(), ..request });
        let processes = (Some(&self.floor.process), None);
        let endpoint = &self.floor.endpoint;
        Ok(Box::new(Http::open(self.runtime, endpoint, CONNECTIONS, processes, generate)?))
    }

    pub(crate) fn in_turn<const N: usize>(
        &self,
        mut loads: [Box<dyn Load + 'a>; N],
    ) -> anyhow::Result<[Series; N]> {
        let all = in_turn(self.options.rounds, self.options.seconds, &mut loads)?;
        all.try_into().ok().context("each load has a series")
    }

    /// Adds what a series of the subject cost.
    pub(crate) fn measure(
        &mut self,
        (workload, name, connections): (&str, &str, usize),
        series: &Series,
        floor: Option<(&str, &Series)>,
    ) {
        let size = self.options.users;
        self.report.measure(What { workload, name, size, connections }, series, floor);
    }

    /// Lets the memory peak of the subject begin again, and returns what is in use now, in MiB.
    pub(crate) fn forget_peak(&mut self) -> f64 {
        let Some(process) = self.subject.process else { return 0.0 };
        self.peak = self.peak.max(process.peak());
        drop(process.forget_peak());
        process.resident()
    }
}
