//! Work that is repeated, and what happens when it fails.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Which run of a job it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// One of many.
    Regular,
    /// The last one: the server stops.
    Last,
}

/// Runs once; returns how soon to run again, if not after the usual time.
type Run = dyn FnMut(Turn) -> anyhow::Result<Option<Duration>> + Send;

/// A piece of work that is done every so often.
pub(super) struct Job {
    /// What it does, for the log: "cannot NAME".
    name: &'static str,
    /// How long after a run the next one begins.
    every: Duration,
    /// How long after a run that failed.
    retry: Duration,
    /// How long after the start the first one begins.
    first: Duration,
    /// Whether it also runs when the server stops.
    at_end: bool,
    run: Box<Run>,
}

impl Job {
    /// Makes a job that runs at once and then every so often.
    pub(super) fn new(
        name: &'static str,
        every: Duration,
        run: impl FnMut(Turn) -> anyhow::Result<Option<Duration>> + Send + 'static,
    ) -> Self {
        let run = Box::new(run);
        Self { name, every, retry: every, first: Duration::ZERO, at_end: false, run }
    }

    /// Lets it run again sooner when it failed.
    pub(super) fn retried_after(self, retry: Duration) -> Self {
        Self { retry, ..self }
    }

    /// Lets it run for the first time only after a while.
    pub(super) fn first_after(self, first: Duration) -> Self {
        Self { first, ..self }
    }

    /// Lets it run a last time when the server stops.
    pub(super) fn also_at_end(self) -> Self {
        Self { at_end: true, ..self }
    }
}

/// A job and its state.
struct Scheduled {
    job: Job,
    due: Instant,
    /// Whether the last run failed: each failure is logged once, and its end.
    is_failing: bool,
}

impl Scheduled {
    fn new(job: Job, now: Instant) -> Self {
        Self { due: now + job.first, job, is_failing: false }
    }

    fn run(&mut self, turn: Turn) {
        let outcome = (self.job.run)(turn);
        self.finish(outcome, Instant::now());
    }

    /// Logs what became of a run that ended now, and decides when the next one begins.
    fn finish(&mut self, outcome: anyhow::Result<Option<Duration>>, now: Instant) {
        let name = self.job.name;
        let was_failing = std::mem::replace(&mut self.is_failing, outcome.is_err());
        let pause = match outcome {
            Ok(pause) => {
                if was_failing {
                    tracing::info!("works again: {name}");
                }
                pause.unwrap_or(self.job.every)
            }
            Err(error) => {
                if !was_failing {
                    tracing::error!(
                        error = format!("{error:#}"),
                        "cannot {name}; it is tried again"
                    );
                }
                self.job.retry
            }
        };
        self.due = now + pause;
    }
}

/// Runs jobs when they are due, until something is received or the other end is gone.
pub(super) fn run_until(stopped: &Receiver<()>, jobs: Vec<Job>) {
    let now = Instant::now();
    let mut jobs: Vec<Scheduled> = jobs.into_iter().map(|job| Scheduled::new(job, now)).collect();
    loop {
        for job in &mut jobs {
            if job.due <= Instant::now() {
                job.run(Turn::Regular);
            }
        }
        let next = jobs.iter().map(|job| job.due).min().unwrap_or_else(Instant::now);
        let pause = next.saturating_duration_since(Instant::now());
        if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
            break;
        }
    }
    jobs.iter_mut().filter(|job| job.job.at_end).for_each(|job| job.run(Turn::Last));
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use anyhow::anyhow;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const SECOND: Duration = Duration::from_secs(1);

    fn idle() -> Job {
        Job::new("idle", MINUTE, |_| Ok(None)).retried_after(SECOND)
    }

    /// Returns how long after a run with this outcome the next one begins, and whether it counts as
    /// failing.
    fn finish(job: &mut Scheduled, outcome: anyhow::Result<Option<Duration>>) -> (Duration, bool) {
        let now = Instant::now();
        job.finish(outcome, now);
        (job.due - now, job.is_failing)
    }

    #[test]
    fn a_job_that_succeeds_runs_again_after_its_interval() {
        let mut job = Scheduled::new(idle(), Instant::now());
        assert_eq!(finish(&mut job, Ok(None)), (MINUTE, false));
    }

    #[test]
    fn a_job_that_failed_is_retried_sooner() {
        let mut job = Scheduled::new(idle(), Instant::now());
        assert_eq!(finish(&mut job, Err(anyhow!("busy"))), (SECOND, true));
    }

    #[test]
    fn a_job_that_works_again_is_not_failing() {
        let mut job = Scheduled::new(idle(), Instant::now());
        finish(&mut job, Err(anyhow!("busy")));
        assert_eq!(finish(&mut job, Ok(None)), (MINUTE, false));
    }

    #[test]
    fn a_job_can_choose_its_next_pause() {
        let mut job = Scheduled::new(idle(), Instant::now());
        assert_eq!(finish(&mut job, Ok(Some(SECOND * 2))).0, SECOND * 2);
    }

    #[test]
    fn a_job_can_wait_before_its_first_run() {
        let now = Instant::now();
        assert_eq!(Scheduled::new(idle().first_after(SECOND), now).due, now + SECOND);
    }

    /// A job that notes its runs, and with the first one ends the loop.
    fn noting(name: &'static str, notes: &Sender<(&'static str, Turn)>, stop: &Sender<()>) -> Job {
        let (notes, stop) = (notes.clone(), stop.clone());
        Job::new(name, MINUTE, move |turn| {
            notes.send((name, turn))?;
            stop.send(()).ok();
            Ok(None)
        })
    }

    #[test]
    fn jobs_run_in_their_order_and_at_the_end_only_those_that_ask_for_it() {
        let (stop, stopped) = channel();
        let (notes, noted) = channel();
        let jobs = vec![
            noting("a", &notes, &stop),
            noting("b", &notes, &stop).also_at_end(),
            noting("late", &notes, &stop).first_after(MINUTE),
        ];
        run_until(&stopped, jobs);
        drop(notes);
        let noted: Vec<_> = noted.try_iter().collect();
        assert_eq!(noted, [("a", Turn::Regular), ("b", Turn::Regular), ("b", Turn::Last)]);
    }
}
