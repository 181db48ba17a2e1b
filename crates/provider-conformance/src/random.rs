//! Random values, schemas, resources and requests, repeatable from their seed.

pub mod patches;
pub mod questions;
pub mod schemas;
pub mod values;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Random choices that can be repeated from their seed.
pub struct Random(StdRng);

impl Random {
    /// Begins a sequence of choices.
    pub fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// Returns a number below `limit`, or below 1 if `limit` is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0.random_range(0..limit.max(1))
    }

    /// Returns a number for a page or a position.
    pub fn number(&mut self, limit: usize) -> i64 {
        i64::try_from(self.below(limit)).unwrap_or(0)
    }

    /// Returns true once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// Returns one of several.
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let index = self.below(of.len());
        of.get(index).unwrap_or_else(|| panic!("a choice of nothing"))
    }

    /// Changes the case of some letters of a name, once in eight times.
    pub fn respell(&mut self, name: &str) -> String {
        if !self.once_in(8) {
            return name.to_owned();
        }
        let letters = name.chars().map(|c| match self.once_in(2) {
            true if c.is_ascii_lowercase() => c.to_ascii_uppercase(),
            true => c.to_ascii_lowercase(),
            false => c,
        });
        letters.collect()
    }
}
