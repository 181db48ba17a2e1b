//! What one request may cost, counted in units of work, and the flag that ends it early.
//!
//! A loop over a client's data pays for each step in units before it takes it. The same request over the
//! same data costs the same on every machine, so that a request that is refused once is always refused.
//! This crate has no clock: the edge has one, and calls [`Work::stop`].
//!
//! One unit is reading, folding or comparing one byte of ASCII text, a few nanoseconds. Other text
//! costs [`FOLDING`] units per byte to fold.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use serde_json::Value;
use thiserror::Error as ThisError;

/// The budget of a request by default, in units.
///
/// A search without an index reads at most 200,000 documents, so that each may cost 6,250 units. Reading
/// 2,048 bytes, and folding and comparing one ASCII value of that length, costs 3 × 2,048 units and two
/// [`VISIT`]s, for the term and the value: 6,176 in all.
pub const DEFAULT_UNITS: u64 = 1_250_000_000;

/// The cost of visiting one node of a filter or one value of any length, in units.
pub const VISIT: u64 = 16;

/// The cost of folding one byte of a text that is not ASCII, in units.
pub const FOLDING: u64 = 50;

/// Returns the cost of reading or comparing a whole text, in units.
pub fn bytes(text: &str) -> u64 {
    count(text.len())
}

/// Returns the cost of folding a text, in units.
pub fn folding(text: &str) -> u64 {
    if text.is_ascii() { bytes(text) } else { bytes(text).saturating_mul(FOLDING) }
}

/// Returns the cost of walking through a JSON value, in units.
pub fn weight(value: &Value) -> u64 {
    let inside = match value {
        Value::String(text) => bytes(text),
        Value::Array(values) => values.iter().map(weight).sum(),
        Value::Object(map) => map.iter().map(|(name, value)| bytes(name) + weight(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    VISIT + inside
}

/// Converts a length to units.
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
    /// 0 while it runs, then [`DEADLINE`] or [`GONE`].
    stopped: AtomicU8,
}

#[derive(Debug)]
struct Count {
    spent: AtomicU64,
    max: u64,
}

impl Count {
    fn new(max: u64) -> Self {
        Self { spent: AtomicU64::new(0), max }
    }

    fn spend(&self, units: u64) -> bool {
        let before = self.spent.fetch_add(units, Ordering::Relaxed);
        before.saturating_add(units) <= self.max
    }

    fn units_spent(&self) -> u64 {
        self.spent.load(Ordering::Relaxed)
    }
}

/// Why a request ends although it has units left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Its deadline has passed.
    Deadline,
    /// The client has closed its connection.
    Gone,
}

/// Why work ends before it is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ThisError)]
pub enum Halt {
    /// The budget is used up.
    #[error(
        "the request takes more work than one request may (limits.work); \
         filter or sort by an indexed attribute, use fewer terms, or send several smaller requests"
    )]
    Spent,
    /// The deadline of the request has passed.
    #[error(
        "the request was not finished in time; repeat it later, or ask for less with one request"
    )]
    Deadline,
    /// The client has closed its connection.
    #[error("the client has closed the connection before the answer was ready")]
    Gone,
}

impl Work {
    /// Makes a budget of `units`.
    pub fn new(units: u64) -> Self {
        let whole = Whole { count: Count::new(units), stopped: AtomicU8::new(0) };
        Self { whole: Arc::new(whole), part: None }
    }

    /// Makes a budget that is never used up but can be stopped, for jobs of the server itself.
    pub fn unlimited() -> Self {
        Self::new(u64::MAX)
    }

    /// Returns a smaller budget within this one. Both pay for the same work, and both are stopped
    /// together.
    #[must_use]
    pub fn part(&self, units: u64) -> Self {
        Self { whole: Arc::clone(&self.whole), part: Some(Arc::new(Count::new(units))) }
    }

    /// Pays for work that is about to be done.
    ///
    /// # Errors
    ///
    /// [`Halt`] when the units do not suffice, or when the request has been stopped. Once the budget is
    /// used up, every later call fails.
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
        // The first reason stays: an exchange that fails is not an error.
        let _ = self.whole.stopped.compare_exchange(0, why, Ordering::Relaxed, Ordering::Relaxed);
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
    pub fn units_spent(&self) -> u64 {
        self.part.as_ref().map_or_else(|| self.whole.count.units_spent(), |part| part.units_spent())
    }

    /// Returns whether a [`Work::part`] is used up.
    pub fn is_part_spent(&self) -> bool {
        self.part.as_ref().is_some_and(|part| part.units_spent() > part.max)
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
        assert_eq!(work.units_spent(), 10);
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
        assert_eq!(work.units_spent(), 0, "what a part refuses is not done");
        let part = work.part(100);
        assert_eq!(part.spend(4), Ok(()));
        assert_eq!(work.units_spent(), 4);
        assert_eq!(part.spend(7), Err(Halt::Spent));
        assert!(!part.is_part_spent(), "it is the whole that ended");
        work.stop(Stop::Gone);
        assert_eq!(part.check(), Err(Halt::Gone));
    }
}
