//! What one request may cost, counted in units of work, and the flag that ends it early.
//!
//! Everything that a loop over a client's data does is paid for in units before it is done. The same
//! request over the same data costs the same on every machine, so that a request which is refused is
//! refused always. Time is no matter of this crate: the edge has the clock, and calls [`Work::stop`].
//!
//! One unit is reading, folding or comparing one byte of ASCII text, a few nanoseconds. Other text
//! takes [`FOLDING`] units a byte to fold.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use serde_json::Value;
use thiserror::Error as ThisError;

/// Units that a request may spend where nothing else is set.
///
/// A search without an index reads 200,000 documents at most, so that each may cost 6,250: to read
/// 2,048 bytes, and to fold and compare one ASCII value that is all of them, takes 3 × 2,048 and two
/// [`VISIT`]s, of the term and of the value, 6,176 in all.
pub const DEFAULT_UNITS: u64 = 1_250_000_000;

/// Units of looking at one node of a filter or at one value, whatever its length.
pub const VISIT: u64 = 16;

/// Units of folding one byte of a text that is not ASCII.
pub const FOLDING: u64 = 50;

/// Returns the units of reading or comparing a whole text.
pub fn bytes(text: &str) -> u64 {
    count(text.len())
}

/// Returns the units of folding a text.
pub fn folding(text: &str) -> u64 {
    if text.is_ascii() { bytes(text) } else { bytes(text).saturating_mul(FOLDING) }
}

/// Returns the units of going through a value of JSON.
pub fn weight(value: &Value) -> u64 {
    let inside = match value {
        Value::String(text) => bytes(text),
        Value::Array(values) => values.iter().map(weight).sum(),
        Value::Object(map) => map.iter().map(|(name, value)| bytes(name) + weight(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    VISIT + inside
}

/// Returns a number of things as units.
pub fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// The budget of one request. Clones share it.
#[derive(Debug, Clone)]
pub struct Work {
    whole: Arc<Whole>,
    /// A smaller budget within the whole.
    part: Option<Arc<Count>>,
}

#[derive(Debug)]
struct Whole {
    count: Count,
    /// 0 until it is stopped.
    stopped: AtomicU8,
}

#[derive(Debug)]
struct Count {
    spent: AtomicU64,
    most: u64,
}

impl Count {
    fn new(most: u64) -> Self {
        Self { spent: AtomicU64::new(0), most }
    }

    fn spend(&self, units: u64) -> bool {
        let before = self.spent.fetch_add(units, Ordering::Relaxed);
        before.saturating_add(units) <= self.most
    }

    fn spent(&self) -> u64 {
        self.spent.load(Ordering::Relaxed)
    }
}

/// Why a request ends although it has units left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Its time is over.
    Deadline,
    /// No one waits for the answer any more.
    Gone,
}

/// Why work does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ThisError)]
pub enum Halt {
    /// The budget is used up.
    #[error(
        "the request takes more work than one request may (limits.work); \
         filter or sort by an indexed attribute, use fewer terms, or send several smaller requests"
    )]
    Spent,
    /// The time of the request is over.
    #[error(
        "the request was not finished in time; repeat it later, or ask for less with one request"
    )]
    Deadline,
    /// The client has closed its connection.
    #[error("the client has closed the connection before the answer was ready")]
    Gone,
}

impl Work {
    /// Makes a budget of so many units.
    pub fn new(units: u64) -> Self {
        let whole = Whole { count: Count::new(units), stopped: AtomicU8::new(0) };
        Self { whole: Arc::new(whole), part: None }
    }

    /// Makes a budget that is never used up, but can be stopped: for jobs of the server's own.
    pub fn unlimited() -> Self {
        Self::new(u64::MAX)
    }

    /// Returns a smaller budget within this one: what it pays for, this one pays for, too, and both
    /// are stopped together.
    #[must_use]
    pub fn part(&self, units: u64) -> Self {
        Self { whole: Arc::clone(&self.whole), part: Some(Arc::new(Count::new(units))) }
    }

    /// Pays for work that is about to be done.
    ///
    /// # Errors
    ///
    /// [`Halt`] when the units do not suffice, or when the request has been stopped. What is used up
    /// stays so: whatever follows fails as well.
    pub fn spend(&self, units: u64) -> Result<(), Halt> {
        self.check()?;
        let part = self.part.as_ref().is_none_or(|part| part.spend(units));
        if part && self.whole.count.spend(units) { Ok(()) } else { Err(Halt::Spent) }
    }

    /// Ends the request: every later [`Work::spend`] and [`Work::check`] fails with the first reason.
    pub fn stop(&self, why: Stop) {
        let why = match why {
            Stop::Deadline => DEADLINE,
            Stop::Gone => GONE,
        };
        // Whether it had been stopped before makes no difference to the caller.
        let _first =
            self.whole.stopped.compare_exchange(0, why, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Checks whether the request may go on.
    ///
    /// # Errors
    ///
    /// [`Halt::Deadline`] or [`Halt::Gone`] once it has been stopped.
    pub fn check(&self) -> Result<(), Halt> {
        match self.whole.stopped.load(Ordering::Relaxed) {
            0 => Ok(()),
            GONE => Err(Halt::Gone),
            _ => Err(Halt::Deadline),
        }
    }

    /// Returns the units that were spent so far.
    pub fn spent(&self) -> u64 {
        self.part.as_ref().map_or_else(|| self.whole.count.spent(), |part| part.spent())
    }

    /// Returns whether a [`Work::part`] is used up.
    pub fn is_part_spent(&self) -> bool {
        self.part.as_ref().is_some_and(|part| part.spent() > part.most)
    }
}

const DEADLINE: u8 = 1;
const GONE: u8 = 2;

impl Default for Work {
    fn default() -> Self {
        Self::new(DEFAULT_UNITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_shared_by_its_clones_and_ends() {
        let work = Work::new(10);
        let other = work.clone();
        assert_eq!(work.spend(6), Ok(()));
        assert_eq!(other.spend(4), Ok(()));
        assert_eq!(work.spent(), 10);
        assert_eq!(work.spend(1), Err(Halt::Spent));
        assert_eq!(other.spend(0), Err(Halt::Spent), "what is used up stays so");
    }

    #[test]
    fn the_first_reason_to_stop_stays() {
        let work = Work::unlimited();
        assert_eq!(work.check(), Ok(()));
        work.clone().stop(Stop::Deadline);
        work.stop(Stop::Gone);
        assert_eq!(work.check(), Err(Halt::Deadline));
        assert_eq!(work.spend(1), Err(Halt::Deadline));
    }

    #[test]
    fn a_part_is_paid_by_the_whole() {
        let work = Work::new(10);
        let part = work.part(3);
        assert_eq!(part.spend(4), Err(Halt::Spent));
        assert!(part.is_part_spent() && !work.is_part_spent());
        assert_eq!(work.spent(), 0, "what a part refuses is not done");
        let part = work.part(100);
        assert_eq!(part.spend(4), Ok(()));
        assert_eq!(work.spent(), 4);
        assert_eq!(part.spend(7), Err(Halt::Spent));
        assert!(!part.is_part_spent(), "it is the whole that ended");
        work.stop(Stop::Gone);
        assert_eq!(part.check(), Err(Halt::Gone));
    }
}
