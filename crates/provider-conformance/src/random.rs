//! Random choices that can be repeated from their seed, and what they are made of: values, schemas,
//! resources, requests.

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

    /// Returns a number below `limit`, which is taken for at least one.
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

    /// Spells a name with some of its letters in another case, now and then.
    pub fn spelled(&mut self, name: &str) -> String {
        if !self.once_in(8) {
            return name.to_owned();
        }
        let flip = |c: char| {
            if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }
        };
        name.chars().map(|c| if self.once_in(2) { flip(c) } else { c }).collect()
    }
}
