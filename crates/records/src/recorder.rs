//! Writes requests to the provisioning log: on a thread of its own, in batches, from a bounded queue. When the
//! log cannot keep up or its disk is full, records are dropped and counted; a request never waits for it.

mod strangers;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use headcount_core::clock::Clock;
use headcount_core::error::ProviderError;
use headcount_core::ids::{TenantId, TokenId};

use self::strangers::Strangers;
use crate::request_log::{HttpExchange, RecordBuilder, RequestLog, RequestRecord, Retention};

/// Requests that may wait to be recorded.
const MAX_WAITING: usize = 10_000;
/// Bytes of bodies that may wait with them.
const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;
/// How long the writer gathers before it writes: the more it writes at once, the fewer pages it writes.
const GATHER_TIMEOUT: Duration = Duration::from_millis(200);
/// How often it checks whether it has gathered enough.
const GATHER_INTERVAL: Duration = Duration::from_millis(50);
/// Requests, and bytes of bodies, that are enough.
const WRITE_BATCH: usize = MAX_WAITING / 4;
const WRITE_BATCH_BYTES: usize = MAX_WAITING_BYTES / 4;
/// The niceness of the writer, from 0 to 19.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 5;
/// How often the log is pruned.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);
/// How often the number of unkept requests of strangers is written.
const COUNT_INTERVAL: Duration = Duration::from_secs(2);
/// Requests of strangers in the log, which take at most 2 MiB.
const MAX_STRANGERS: u32 = 1_000;

/// How much of the log is kept.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// For how many days.
    pub days: u32,
    /// How many bytes at most, without the little room of strangers.
    pub bytes: u64,
}

/// Looks up tokens and tenants, for records that do not contain them.
pub trait Directory: Send + Sync + 'static {
    /// Returns the tenant and the name of a token, by its public id; `None` when it is unknown or cannot be
    /// read.
    fn token(&self, id: &TokenId) -> Option<(TenantId, String)>;

    /// Returns all tenants.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`].
    fn tenants(&self) -> Result<Vec<TenantId>, ProviderError>;
}

/// Writes the provisioning log on a thread of its own.
pub struct Recorder {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<HttpExchange<Bytes>>,
    bytes: usize,
    strangers: Strangers,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state of the thread that writes.
struct Writer {
    log: Arc<dyn RequestLog>,
    builder: RecordBuilder,
    directory: Arc<dyn Directory>,
    clock: Arc<dyn Clock>,
    keep: Keep,
}

impl Recorder {
    /// Starts the thread that writes to `log`.
    pub fn start(
        log: Arc<dyn RequestLog>,
        builder: RecordBuilder,
        directory: Arc<dyn Directory>,
        clock: Arc<dyn Clock>,
        keep: Keep,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { state: Mutex::default(), wake: Condvar::new() });
        let writer = Writer { log, builder, directory, clock, keep };
        let inner = Arc::clone(&shared);
        let thread =
            std::thread::Builder::new().name("provisioning-log".to_owned()).spawn(move || {
                lower_priority();
                writer.run(&inner);
            })?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Records a request that was answered. Never waits.
    pub fn record(&self, mut exchange: HttpExchange<Bytes>) {
        let mut state = self.shared.lock();
        if !exchange.proven && !state.strangers.keep(Instant::now(), &mut exchange) {
            metrics::counter!("headcount_log_refusals_untold_total").increment(1);
            return;
        }
        let bytes = exchange.bytes();
        if state.waiting.len() >= MAX_WAITING || state.bytes + bytes > MAX_WAITING_BYTES {
            metrics::counter!("headcount_log_dropped_total").increment(1);
            return;
        }
        state.bytes += bytes;
        state.waiting.push(exchange);
        if state.waiting.len() == 1 {
            self.shared.wake.notify_one();
        }
    }

    /// Writes what waits and ends the thread.
    pub fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A panic of the thread was logged when it happened; there is nothing left to write.
        drop(thread.map(JoinHandle::join));
    }
}

/// Gives the threads that serve requests precedence over this one: no request waits because another one is
/// recorded. The share that is left suffices for every request that can be served (ADR 24).
fn lower_priority() {
    #[cfg(target_os = "linux")]
    // On Linux this is about the calling thread; without the permission, it works as it is.
    rustix::process::setpriority_process(None, NICENESS).ok();
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.close();
    }
}

impl Writer {
    fn run(&self, shared: &Shared) {
        let (mut pruned, mut counted) = (None::<Instant>, Instant::now());
        let mut failing = false;
        loop {
            let (exchanges, closed) = next(shared);
            let mut records: Vec<RequestRecord> =
                exchanges.into_iter().flat_map(|exchange| self.records(exchange)).collect();
            self.remove_deleted(&mut records);
            if !records.is_empty() {
                self.append(&records, &mut failing);
            }
            // After the records at which the requests were counted.
            if closed || counted.elapsed() >= COUNT_INTERVAL {
                counted = Instant::now();
                let unkept = shared.lock().strangers.take_unkept();
                if !unkept.is_empty()
                    && let Err(error) = self.log.add_unkept(&unkept)
                {
                    tracing::debug!(%error, "the number of unkept requests was not written");
                }
            }
            if closed {
                return;
            }
            if pruned.is_none_or(|at| at.elapsed() >= PRUNE_INTERVAL) {
                pruned = Some(Instant::now());
                self.prune();
            }
        }
    }

    /// Builds the records of a request. A refused token is recorded with its name and its tenant, if its public id
    /// is known. The id proves nothing, which is why so few of these records are kept.
    fn records(&self, exchange: HttpExchange<Bytes>) -> Vec<RequestRecord> {
        let unproven = if exchange.tenant.is_none() { exchange.token.clone() } else { None };
        let mut records = self.builder.build(exchange);
        if let Some(id) = unproven
            && let Some((tenant, name)) = self.directory.token(&id)
        {
            for record in &mut records {
                record.tenant = Some(tenant);
                record.token_name = Some(name.clone());
            }
        }
        records
    }

    /// Removes records of deleted tenants: what a tenant requested just before its deletion must not outlive it
    /// (TEN-008).
    fn remove_deleted(&self, records: &mut Vec<RequestRecord>) {
        if records.iter().all(|record| record.tenant.is_none()) {
            return;
        }
        // When the tenants cannot be read, the log can hardly be written either.
        if let Ok(tenants) = self.directory.tenants() {
            records.retain(|record| record.tenant.is_none_or(|id| tenants.contains(&id)));
        }
    }

    fn forget_deleted(&self) -> Result<(), ProviderError> {
        // In this order, a tenant that is created in between is among those that exist.
        let logged = self.log.tenants()?;
        let exist = self.directory.tenants()?;
        let mut deleted = logged.into_iter().filter(|id| !exist.contains(id));
        deleted.try_for_each(|id| self.log.forget(id))
    }

    fn append(&self, records: &[RequestRecord], failing: &mut bool) {
        match self.log.append(records) {
            Ok(()) => *failing = false,
            Err(error) => {
                let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
                metrics::counter!("headcount_log_dropped_total").increment(count);
                // Once, until it works again: the log of the server may be on the same full disk.
                if !std::mem::replace(failing, true) {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(
                        %error,
                        cause,
                        "the provisioning log cannot be written; provisioning goes on without it"
                    );
                }
            }
        }
    }

    /// Removes what an interrupted deletion of a tenant left, and then what is too old or too much.
    fn prune(&self) {
        const DAY: i64 = 24 * 60 * 60;
        if let Err(error) = self.forget_deleted() {
            tracing::warn!(%error, "the log of deleted tenants was not cleared");
        }
        let before = self.clock.now().plus_seconds(-DAY * i64::from(self.keep.days));
        let retention = Retention { before, bytes: self.keep.bytes, strangers: MAX_STRANGERS };
        if let Err(error) = self.log.prune(retention) {
            tracing::warn!(%error, "the provisioning log was not pruned");
        }
    }
}

/// Waits for exchanges, gathers for a moment, and takes them. Also returns whether they are the last.
fn next(shared: &Shared) -> (Vec<HttpExchange<Bytes>>, bool) {
    let (mut state, _) = shared
        .wake
        .wait_timeout_while(shared.lock(), COUNT_INTERVAL, |state| {
            state.waiting.is_empty() && !state.closed
        })
        .unwrap_or_else(PoisonError::into_inner);
    let since = Instant::now();
    while !state.waiting.is_empty()
        && !state.closed
        && state.waiting.len() < WRITE_BATCH
        && state.bytes < WRITE_BATCH_BYTES
        && since.elapsed() < GATHER_TIMEOUT
    {
        drop(state);
        std::thread::sleep(GATHER_INTERVAL);
        state = shared.lock();
    }
    take(&mut state)
}

fn take(state: &mut State) -> (Vec<HttpExchange<Bytes>>, bool) {
    state.bytes = 0;
    (std::mem::take(&mut state.waiting), state.closed)
}
