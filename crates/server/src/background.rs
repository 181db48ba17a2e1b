//! The jobs of the server: a list of [`Job`]s on one thread, which no error ends. Each replica has its own, and
//! the database lets one at a time sequence changes.

mod job;

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use headcount_core::change::Actor;
use headcount_core::clock::Clock as _;
use headcount_core::ids::ChainPosition;
use headcount_store_diesel::{LogStore, Store};
use tokio::sync::watch;

use self::job::{Job, Turn, run_until};
use crate::checkpoint::CheckpointFile;
use crate::erasing::{self, Search};
use crate::system::{self, SystemClock};
use crate::wiring::Parts;

/// How often changes are sequenced, and so how long a change waits for its position.
const SEQUENCE_INTERVAL: Duration = Duration::from_millis(250);
/// How often they are while [`BUSY_SEQUENCE`] or more come in that time: sequencing four times as many at once
/// writes half as many pages.
const BUSY_SEQUENCE_INTERVAL: Duration = Duration::from_secs(1);
const BUSY_SEQUENCE: usize = 250;
/// How often measured samples are summed up.
const SUM_UP_INTERVAL: Duration = Duration::from_millis(250);
/// How often tokens that end soon and names to erase are looked for.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(60);
/// How soon that is retried after a failure, so that a database that is busy for a moment does not cost a minute.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How often a checkpoint is written while the chain grows.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(600);
/// How often the growth of tables is checked.
const ANALYZE_INTERVAL: Duration = Duration::from_secs(2);
/// How long before its end a token is announced.
const EXPIRY_NOTICE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// The position up to which changes are sequenced, by this server or by another. Readers that wait for changes
/// are woken when it grows.
pub(crate) type SequencedTo = watch::Receiver<ChainPosition>;

/// The thread of the jobs. When this is dropped, jobs that have to run at the end do, and the thread ends.
pub(crate) struct Background {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    sequenced: SequencedTo,
}

impl Background {
    /// Starts the thread.
    ///
    /// Names of what was deleted more than `names_days` ago are erased. `sum_up` adds the samples that were
    /// measured since its last run to their sums: until then each sample is kept, and without a scraper they
    /// would take more and more memory.
    pub(crate) fn start(
        parts: &Parts,
        file: Option<CheckpointFile>,
        names_days: u32,
        sum_up: impl Fn() + Send + 'static,
    ) -> anyhow::Result<Self> {
        let (stop, stopped) = channel();
        let (wake, sequenced) = watch::channel(ChainPosition::START);
        let jobs = jobs(parts, file, names_days, wake, sum_up);
        let thread = std::thread::Builder::new()
            .name("background".to_owned())
            .spawn(move || run_until(&stopped, jobs))
            .context("the background thread cannot start")?;
        Ok(Self { stop: Some(stop), thread: Some(thread), sequenced })
    }

    /// Returns the position up to which changes are sequenced, as it grows.
    pub(crate) fn sequenced_to(&self) -> SequencedTo {
        self.sequenced.clone()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!(
                "the background thread panicked; the next server sequences the last changes"
            );
        }
    }
}

/// Returns the jobs. Those that are due together, or run at the end, run in the order of the list.
fn jobs(
    parts: &Parts,
    mut file: Option<CheckpointFile>,
    names_days: u32,
    wake: watch::Sender<ChainPosition>,
    sum_up: impl Fn() + Send + 'static,
) -> Vec<Job> {
    let [announce, erase, sequence, analyze, checkpoint] =
        std::array::from_fn(|_| Arc::clone(&parts.store));
    let log = Arc::clone(&parts.log);
    vec![
        Job::new("sum up samples", SUM_UP_INTERVAL, move |_| {
            sum_up();
            Ok(None)
        }),
        Job::new("announce tokens that end soon", UPKEEP_INTERVAL, move |_| {
            announce_expiring(&announce).map(|()| None)
        })
        .retried_after(RETRY_INTERVAL),
        Job::new("erase names of what was deleted", UPKEEP_INTERVAL, move |_| {
            erase_names(&erase, &log, names_days).map(|()| None)
        })
        .retried_after(RETRY_INTERVAL),
        Job::new("sequence changes", SEQUENCE_INTERVAL, move |turn| {
            sequence_changes(&sequence, &wake, turn)
        })
        .also_at_end(),
        Job::new("analyze tables that have grown", ANALYZE_INTERVAL, move |_| {
            analyze.keep_statistics()?;
            Ok(None)
        })
        .first_after(ANALYZE_INTERVAL),
        Job::new("write a checkpoint", CHECKPOINT_INTERVAL, move |_| {
            if let Some(file) = &mut file {
                file.append_new(&checkpoint)?;
            }
            Ok(None)
        })
        .first_after(CHECKPOINT_INTERVAL)
        .also_at_end(),
    ]
}

fn announce_expiring(store: &Store) -> anyhow::Result<()> {
    let now = SystemClock.now();
    let by = system::author(Actor::System);
    let count = store.announce_expiring(now, now.plus(EXPIRY_NOTICE), &by)?;
    if count > 0 {
        tracing::warn!(count, "tokens end within 14 days; `headcount token list` shows them");
    }
    Ok(())
}

/// Erases the names of what was deleted long ago (DEL-009).
fn erase_names(store: &Store, log: &LogStore, names_days: u32) -> anyhow::Result<()> {
    let before = SystemClock.now().minus(DAY * names_days);
    let by = system::author(Actor::System);
    let (mut count, mut failure) = (0, None);
    loop {
        let erased_before = count;
        for (tenant, recalled) in &store.long_gone(before)? {
            match erasing::erase(store, log, *tenant, recalled, &by, Search::Names) {
                // What is found but has nothing to erase would be found for ever.
                Ok(erased) => count += usize::from(erased.changes > 0),
                // The names of others are erased all the same.
                Err(error) => failure = Some(error),
            }
        }
        // What fails is found again.
        if count == erased_before {
            break;
        }
    }
    if count > 0 {
        tracing::info!(count, "erased names of what was deleted long ago");
    }
    failure.map_or(Ok(()), Err)
}

/// Sequences changes and wakes the readers that wait for them. Returns after what pause to do so again when many
/// came.
fn sequence_changes(
    store: &Store,
    wake: &watch::Sender<ChainPosition>,
    turn: Turn,
) -> anyhow::Result<Option<Duration>> {
    if turn == Turn::Last {
        store.sequence_all()?;
        return Ok(None);
    }
    let sequenced = store.sequence()?;
    let last = store.last_sequenced()?;
    let position = last.map_or(ChainPosition::START, |(position, _)| position);
    wake.send_if_modified(|known| std::mem::replace(known, position) != position);
    Ok((sequenced >= BUSY_SEQUENCE).then_some(BUSY_SEQUENCE_INTERVAL))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Instant;

    use super::*;
    use crate::cli::{Common, Format};
    use crate::{config, wiring};

    #[test]
    fn samples_are_summed_up_again_and_again_without_a_scraper() {
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
