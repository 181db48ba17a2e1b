//! The clock and the ids of this machine, and what class of machine it is.

use headcount_core::clock::{Clock, IdSource, Timestamp};
use headcount_core::ids::ResourceId;

/// The clock of the machine.
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let micros = now().unix_timestamp_nanos() / 1_000;
        Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }
}

/// The same ids as the server's.
pub(crate) struct UuidSource;

impl IdSource for UuidSource {
    #[expect(clippy::disallowed_methods, reason = "the floor makes ids as the server does")]
    fn next_id(&self) -> ResourceId {
        ResourceId::new(uuid::Uuid::now_v7().to_string())
    }

    fn could_be(&self, text: &str) -> bool {
        text.len() == 36
    }
}

#[expect(clippy::disallowed_methods, reason = "a run says when it was")]
fn now() -> time::OffsetDateTime {
    time::OffsetDateTime::now_utc()
}

/// Today, as a report says it.
pub(crate) fn today() -> String {
    now().date().to_string()
}

/// A text that no earlier run on the same server has used.
pub(crate) fn fresh_tag() -> String {
    format!("b{:x}-", now().unix_timestamp())
}

/// Processor, cores and memory, without anything that names the machine.
pub(crate) fn class() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let model = value("/proc/cpuinfo", "model name").unwrap_or_else(|| "processor".to_owned());
    let kib = value("/proc/meminfo", "MemTotal").unwrap_or_default();
    let kib: u64 = kib.trim_end_matches(" kB").parse().unwrap_or(0);
    format!("{cores} cores of {model}, {} GiB, {}", kib.div_ceil(1024 * 1024), std::env::consts::OS)
}

/// The value of a `name: value` line in a file of the kernel.
pub(crate) fn value(file: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}
