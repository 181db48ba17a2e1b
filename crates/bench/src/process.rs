//! What the system says about a process: `/proc`, on Linux.

use std::path::{Path, PathBuf};

/// A process that somebody else waits for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process {
    id: u32,
    /// Whether its children count with it, as those of PostgreSQL do.
    children: bool,
}

/// Clock ticks a second: what Linux has on every architecture that it shows to programs.
const TICKS: f64 = 100.0;

impl Process {
    pub(crate) fn one(id: u32) -> Self {
        Self { id, children: false }
    }

    pub(crate) fn family(id: u32) -> Self {
        Self { id, children: true }
    }

    /// Processor time in user and kernel mode so far.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let own = cpu_ticks(self.id, self.children);
        let children = if self.children { children(self.id) } else { Vec::new() };
        children.into_iter().fold(own, |sum, child| sum + cpu_ticks(child, false)) / TICKS
    }

    /// Memory in use now, in MiB.
    pub(crate) fn resident(&self) -> f64 {
        self.status("VmRSS:")
    }

    /// The most memory that was in use, in MiB.
    pub(crate) fn peak(&self) -> f64 {
        self.status("VmHWM:")
    }

    /// Lets the peak begin at what is in use now.
    pub(crate) fn forget_peak(&self) -> std::io::Result<()> {
        std::fs::write(self.file("clear_refs"), "5")
    }

    fn status(&self, name: &str) -> f64 {
        let text = std::fs::read_to_string(self.file("status")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
        kib.unwrap_or(0.0) / 1024.0
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::new("/proc").join(self.id.to_string()).join(name)
    }
}

/// The parent of a process.
pub(crate) fn parent(id: u32) -> Option<u32> {
    field(&std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?, 4)
}

/// Reads a field of `/proc/PID/stat` by its number in proc(5); the name of the program may hold blanks.
fn field<T: std::str::FromStr>(stat: &str, number: usize) -> Option<T> {
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(number.checked_sub(3)?)?.parse().ok()
}

fn cpu_ticks(id: u32, with_reaped: bool) -> f64 {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{id}/stat")) else {
        return 0.0;
    };
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
    }

    #[test]
    fn fields_are_found_behind_a_name_with_blanks() {
        assert_eq!(field::<u32>("7 (a b) c) S 42 7", 4), Some(42));
    }
}
