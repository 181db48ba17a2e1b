//! What the server does beside requests: it seals changes, tells which tokens end soon, keeps
//! checkpoints, has grown tables analyzed, and sums up what was measured. One thread, which no error ends;
//! of several replicas each has its own, and the database lets one at a time seal.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use headcount_core::change::Actor;
use headcount_core::clock::Clock as _;
use headcount_store_diesel::{LogStore, Store};
use tokio::sync::watch;

use crate::checkpoint::CheckpointFile;
use crate::erasing;
use crate::machine::{self, SystemClock};
use crate::wiring::Parts;

/// How long a change waits for its place at most, when the server has nothing else to do.
const SEAL_EVERY: Duration = Duration::from_millis(250);
/// How long it waits when many come, and how many those are: sealing four times as many at once writes half
/// as many pages.
const SEAL_MANY_EVERY: Duration = Duration::from_secs(1);
const MANY: usize = 250;
/// How often tokens that end soon are looked for.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// How soon that is tried again when it failed: a database that was busy for a moment costs no minute.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// How often a checkpoint is kept while the chain grows.
const KEEP_EVERY: Duration = Duration::from_secs(600);
/// How often it is looked whether tables have grown.
const WEIGH_EVERY: Duration = Duration::from_secs(2);
/// How long before its end a token is told, in seconds.
const SOON: i64 = 14 * 24 * 60 * 60;

/// The place up to which changes are sealed, by this server or by another; who waits for changes is
/// woken when it grows.
pub(crate) type SealedTo = watch::Receiver<i64>;

/// The thread; it does its work a last time and ends when this is dropped.
pub(crate) struct Background {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    sealed: SealedTo,
}

impl Background {
    /// Starts the thread.
    ///
    /// Names of what was deleted more than `names_days` ago are erased. `sum_up` adds what was measured
    /// since it ran last to its sums: until then each sample is kept, and on a server whose metrics nobody
    /// scrapes they would take more and more memory.
    pub(crate) fn start(
        parts: &Parts,
        file: Option<CheckpointFile>,
        names_days: u32,
        sum_up: impl Fn() + Send + 'static,
    ) -> anyhow::Result<Self> {
        let (store, log) = (Arc::clone(&parts.store), Arc::clone(&parts.log));
        let (stop, stopped) = channel();
        let (wake, sealed) = watch::channel(0);
        let sum_up = Box::new(sum_up);
        let mut work = Work { store, log, names_days, file, wake, sum_up, failing: [false; 5] };
        let thread = std::thread::Builder::new().name("sealer".to_owned());
        let thread = thread.spawn(move || work.run(&stopped)).context("the sealer cannot start")?;
        Ok(Self { stop: Some(stop), thread: Some(thread), sealed })
    }

    /// Returns what is told when something was sealed.
    pub(crate) fn sealed(&self) -> SealedTo {
        self.sealed.clone()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the sealer panicked; changes wait for the next server to be sealed");
        }
    }
}

struct Work {
    store: Arc<Store>,
    log: Arc<LogStore>,
    names_days: u32,
    file: Option<CheckpointFile>,
    wake: watch::Sender<i64>,
    sum_up: Box<dyn Fn() + Send>,
    /// Which of the jobs failed the last time: each failure is logged once.
    failing: [bool; 5],
}

impl Work {
    fn run(&mut self, stopped: &Receiver<()>) {
        let (mut told, mut wait) = (None::<Instant>, TELL_EVERY);
        let (mut kept, mut weighed) = (Instant::now(), Instant::now());
        loop {
            (self.sum_up)();
            if told.is_none_or(|at| at.elapsed() >= wait) {
                let done = self.tell();
                let mut fine = self.note(0, "tokens that end soon are not told", &done);
                let done = self.erase();
                fine &= self.note(3, "names of what was deleted are not erased", &done);
                told = Some(Instant::now());
                wait = if fine { TELL_EVERY } else { TRY_AGAIN };
            }
            let (done, pause) = match self.seal() {
                Ok(sealed) if sealed >= MANY => (Ok(()), SEAL_MANY_EVERY),
                done => (done.map(drop), SEAL_EVERY),
            };
            self.note(1, "changes are not sealed", &done);
            let ended = stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout);
            if ended {
                let done = self.store.seal_all().map(drop).map_err(Into::into);
                self.note(1, "changes are not sealed", &done);
            }
            if !ended && weighed.elapsed() >= WEIGH_EVERY {
                weighed = Instant::now();
                let done = self.store.keep_statistics().map(drop).map_err(Into::into);
                self.note(4, "tables are not analyzed; plans may be slow", &done);
            }
            if ended || kept.elapsed() >= KEEP_EVERY {
                kept = Instant::now();
                let done = self.keep();
                self.note(2, "no checkpoint is kept", &done);
            }
            if ended {
                return;
            }
        }
    }

    fn tell(&self) -> anyhow::Result<()> {
        let now = SystemClock.now();
        let by = machine::author(Actor::System);
        let count = self.store.tell_expiring(now, now.plus_seconds(SOON), &by)?;
        if count > 0 {
            tracing::warn!(count, "tokens end within 14 days; `headcount token list` shows them");
        }
        Ok(())
    }

    /// Erases the names of what is long gone (DEL-009).
    fn erase(&self) -> anyhow::Result<()> {
        const DAY: i64 = 24 * 60 * 60;
        let before = SystemClock.now().plus_seconds(-DAY * i64::from(self.names_days));
        let by = machine::author(Actor::System);
        let mut count = 0;
        loop {
            let gone = self.store.long_gone(before)?;
            for (tenant, recalled) in &gone {
                erasing::erase(&self.store, &self.log, *tenant, recalled, &by)?;
            }
            count += gone.len();
            if gone.is_empty() {
                break;
            }
        }
        if count > 0 {
            tracing::info!(count, "names of what was deleted long ago are erased");
        }
        Ok(())
    }

    fn seal(&self) -> anyhow::Result<usize> {
        let sealed = self.store.seal()?;
        let place = self.store.last_sealed()?.map_or(0, |(place, _)| place);
        self.wake.send_if_modified(|known| std::mem::replace(known, place) != place);
        Ok(sealed)
    }

    fn keep(&mut self) -> anyhow::Result<()> {
        self.file.as_mut().map_or(Ok(()), |file| file.keep(&self.store))
    }

    /// Logs a failure once, and its end; returns whether there was none.
    fn note(&mut self, job: usize, what: &'static str, done: &anyhow::Result<()>) -> bool {
        let Some(failing) = self.failing.get_mut(job) else { return done.is_ok() };
        match done {
            Ok(()) if *failing => tracing::info!("over: {what}"),
            Err(error) if !*failing => {
                tracing::error!(error = format!("{error:#}"), "{what}; it is tried again");
            }
            _ => {}
        }
        *failing = done.is_err();
        !*failing
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::cli::{Common, Format};
    use crate::{config, wiring};

    #[test]
    fn samples_are_summed_up_again_and_again_although_nobody_scrapes() {
        let name = format!("headcount-background-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let file = directory.join("config.toml");
        std::fs::write(&file, "").unwrap();
        let database = format!("sqlite:{}", directory.join("headcount.db").display());
        let common = Common { config: Some(file), database: Some(database), output: Format::Text };
        let loaded = config::load(&common, None).unwrap();
        let parts = wiring::serve(&loaded.config).unwrap();
        let runs = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&runs);
        let sum_up = move || {
            counted.fetch_add(1, Ordering::SeqCst);
        };
        let background = Background::start(&parts, None, 30, sum_up).unwrap();
        let begun = Instant::now();
        while runs.load(Ordering::SeqCst) < 3 {
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing sums up");
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(background);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
