//! Which refused log-ins are recorded: some of each minute, with the number of the others. A guesser fills no audit.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use headcount_core::clock::Timestamp;

/// Refused log-ins that one server records in a minute.
const MAX_RECORDED: u32 = 5;
const MINUTE: Duration = Duration::from_secs(60);

/// Counts refused log-ins.
#[derive(Default)]
pub(super) struct Refusals(Mutex<State>);

#[derive(Default)]
struct State {
    since: Option<Timestamp>,
    recorded: u32,
    left_out: u64,
}

impl Refusals {
    /// Counts one. Returns how many earlier ones were left out if it is to be recorded, `None` if it is left out itself.
    pub(super) fn sample(&self, now: Timestamp) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.since.is_none_or(|since| now >= since.plus(MINUTE) || now < since) {
            (state.since, state.recorded) = (Some(now), 0);
        }
        if state.recorded >= MAX_RECORDED {
            state.left_out += 1;
            return None;
        }
        state.recorded += 1;
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n_of_a_thousand_guesses_five_a_minute_are_recorded_and_the_rest_counted() {
        let refusals = Refusals::default();
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let first = (0..1_000).filter_map(|_| refusals.sample(at(0))).collect::<Vec<_>>();
        assert_eq!(first, [0; 5]);
        assert_eq!(refusals.sample(at(59)), None);
        assert_eq!(refusals.sample(at(60)), Some(996));
        assert_eq!(refusals.sample(at(60)), Some(0));
    }
}
