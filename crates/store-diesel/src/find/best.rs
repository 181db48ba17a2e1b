//! The positions that a page of a sorted scan needs, out of all that the scan visits.

use std::cmp::Ordering;

use headcount_core::provider::Direction;
use headcount_core::work::{self, Halt, VISIT, Work};

use super::order::Position;

/// The first positions of an order, as many as a page reaches and one more; the others are only counted.
///
/// Holds at most twice as many, however many are offered.
pub(super) struct Best<'a> {
    work: &'a Work,
    direction: Direction,
    /// The page begins behind this position.
    behind: Option<&'a Position>,
    /// How many are before the page.
    skip: usize,
    limit: usize,
    kept: Vec<Position>,
    /// No position behind this one is needed.
    last: Option<Position>,
    total: u64,
}

impl<'a> Best<'a> {
    /// Begins with none. A page that begins behind a position skips nothing.
    pub(super) fn new(
        work: &'a Work,
        direction: Direction,
        behind: Option<&'a Position>,
        skip: u64,
        limit: usize,
    ) -> Self {
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        Self { work, direction, behind, skip, limit, kept: Vec::new(), last: None, total: 0 }
    }

    /// Returns how many are needed; the last one shows that another page follows.
    fn max_needed(&self) -> usize {
        match self.limit {
            0 => 0,
            limit => self.skip.saturating_add(limit).saturating_add(1),
        }
    }

    /// Counts a position, keeps it while it may be needed, and pays for both.
    pub(super) fn offer(&mut self, position: Position) -> Result<(), Halt> {
        self.total += 1;
        self.work.spend(VISIT)?;
        let is_seen = self.behind.is_some_and(|behind| !self.is_behind(&position, behind));
        let is_beyond = self.last.as_ref().is_some_and(|last| self.is_behind(&position, last));
        if self.limit == 0 || is_seen || is_beyond {
            return Ok(());
        }
        // It is held, and compared with others as long as it is.
        self.work.spend(VISIT + position.value.as_deref().map_or(0, work::bytes))?;
        self.kept.push(position);
        if self.kept.len() >= self.max_needed().saturating_mul(2) {
            self.drop_surplus();
        }
        Ok(())
    }

    fn is_behind(&self, position: &Position, other: &Position) -> bool {
        position.compare(other, self.direction) == Ordering::Greater
    }

    /// Drops what is behind the last one needed.
    fn drop_surplus(&mut self) {
        let (needed, direction) = (self.max_needed(), self.direction);
        if self.kept.len() <= needed {
            return;
        }
        let (_, last, _) =
            self.kept.select_nth_unstable_by(needed - 1, |a, b| a.compare(b, direction));
        self.last = Some(last.clone());
        self.kept.truncate(needed);
    }

    /// Returns how many there were, the positions of the page in order, and whether others follow.
    pub(super) fn page(mut self) -> (u64, Vec<Position>, bool) {
        self.drop_surplus();
        let direction = self.direction;
        self.kept.sort_by(|a, b| a.compare(b, direction));
        let more = self.limit > 0 && self.kept.len() >= self.max_needed();
        let page = self.kept.into_iter().skip(self.skip).take(self.limit).collect();
        (self.total, page, more)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(value: Option<u8>, pk: i64) -> Position {
        Position { value: value.map(|value| value.to_string()), pk }
    }

    #[test]
    fn a_page_of_200_000_holds_twice_its_size_at_most() {
        for direction in [Direction::Ascending, Direction::Descending] {
            let work = Work::unlimited();
            let mut best = Best::new(&work, direction, None, 20, 100);
            let mut most = 0;
            for pk in 0..200_000 {
                let value = Some(format!("{:0>100}", pk * 7_919 % 200_003));
                best.offer(Position { value, pk }).unwrap();
                most = most.max(best.kept.len());
            }
            assert!(most <= 2 * 121, "{most}");
            let (total, page, more) = best.page();
            assert_eq!((total, page.len(), more), (200_000, 100, true));
        }
    }

    #[test]
    fn what_is_held_is_paid_for() {
        let work = Work::unlimited();
        let mut best = Best::new(&work, Direction::Ascending, None, 0, 1);
        for (pk, value) in [(1, "aaaa"), (2, "bb"), (3, "cc"), (4, "d")] {
            best.offer(Position { value: Some(value.to_owned()), pk }).unwrap();
        }
        // Of the fourth and every later one it is known that the page does not reach it.
        for pk in 5..10 {
            best.offer(Position { value: Some("e".repeat(1_000)), pk }).unwrap();
        }
        assert_eq!(work.units_spent(), 9 * VISIT + 4 * VISIT + 9);
        let work = Work::new(2 * VISIT + 3);
        let mut best = Best::new(&work, Direction::Ascending, None, 0, 1);
        let refused = best.offer(Position { value: Some("aaaa".to_owned()), pk: 1 });
        assert_eq!((refused, best.kept.len()), (Err(Halt::Spent), 0));
    }

    proptest! {
        /// The same as sorting all of them.
        #[test]
        fn the_best_are_the_first_of_all_sorted(
            values in proptest::collection::vec(proptest::option::of(0..20_u8), 0..60),
            behind in proptest::option::of((proptest::option::of(0..20_u8), 0..60_i64)),
            descending: bool,
            skip in 0..8_u64,
            limit in 0..8_usize,
        ) {
            let direction = match descending {
                true => Direction::Descending,
                false => Direction::Ascending,
            };
            let behind = behind.map(|(value, pk)| place(value, pk));
            let skip = if behind.is_some() { 0 } else { skip };
            let work = Work::unlimited();
            let mut best = Best::new(&work, direction, behind.as_ref(), skip, limit);
            let mut all: Vec<_> = (0..).zip(&values).map(|(pk, value)| place(*value, pk)).collect();
            for one in &all {
                best.offer(one.clone()).unwrap();
            }
            all.sort_by(|a, b| a.compare(b, direction));
            all.retain(|one| {
                behind.as_ref().is_none_or(|place| one.compare(place, direction) == Ordering::Greater)
            });
            let skip = usize::try_from(skip).unwrap();
            let expected: Vec<_> = all.iter().skip(skip).take(limit).cloned().collect();
            let (total, page, more) = best.page();
            prop_assert_eq!(total, u64::try_from(values.len()).unwrap());
            prop_assert_eq!(page, expected);
            prop_assert_eq!(more, limit > 0 && all.len() > skip + limit);
        }
    }
}
