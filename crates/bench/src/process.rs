//! What the system reports of a process: `/proc`, on Linux.

use crate::machine::value;

/// A process that something else waits for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process {
    id: u32,
    /// Whether its children count with it, as those of PostgreSQL do.
    children: bool,
}

/// Clock ticks per second that Linux reports on every architecture.
const TICKS: f64 = 100.0;

impl Process {
    pub(crate) fn one(id: u32) -> Self {
        Self { id, children: false }
    }

    pub(crate) fn family(id: u32) -> Self {
        Self { id, children: true }
    }

    /// Processor time in user and kernel mode so far, in seconds.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let own = cpu_ticks(self.id, self.children);
        let children = if self.children { children(self.id) } else { Vec::new() };
        children.into_iter().fold(own, |sum, child| sum + cpu_ticks(child, false)) / TICKS
    }

    /// Memory in use now, in MiB.
    pub(crate) fn resident(&self) -> f64 {
        self.mib("VmRSS")
    }

    /// The most memory that was in use, in MiB.
    pub(crate) fn peak(&self) -> f64 {
        self.mib("VmHWM")
    }

    /// Lets the peak begin at what is in use now.
    pub(crate) fn forget_peak(&self) -> std::io::Result<()> {
        std::fs::write(format!("/proc/{}/clear_refs", self.id), "5")
    }

    fn mib(&self, name: &str) -> f64 {
        let kib = value(&format!("/proc/{}/status", self.id), name).unwrap_or_default();
        kib.trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / 1024.0
    }
}

/// The parent of a process.
pub(crate) fn parent(id: u32) -> Option<u32> {
    field(&std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?, 4)
}

/// Reads a field of `/proc/PID/stat` by its number in proc(5); the name of the program may contain blanks.
fn field<T: std::str::FromStr>(stat: &str, number: usize) -> Option<T> {
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(number.checked_sub(3)?)?.parse().ok()
}

fn cpu_ticks(id: u32, with_reaped: bool) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let numbers = if with_reaped { 14..=17 } else { 14..=15 };
    numbers.filter_map(|number| field::<f64>(&stat, number)).sum()
}

fn children(id: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    let list = list.unwrap_or_default();
    list.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_read() {
        let me = Process::one(std::process::id());
        assert!(me.resident() > 0.0 && me.peak() >= me.resident() * 0.9);
        assert!(parent(std::process::id()).is_some());
        assert_eq!(field::<u32>("7 (a b) c) S 42 7", 4), Some(42));
    }
}
