//! The time that the server has spent on a request.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Measures a request from its head on, without the time in which the client sends its body, which has
/// limits of its own.
#[derive(Debug)]
pub struct Stopwatch {
    started: Instant,
    paused: Mutex<Duration>,
}

impl Stopwatch {
    /// Starts at zero.
    pub fn start() -> Self {
        Self { started: Instant::now(), paused: Mutex::default() }
    }

    /// Subtracts time in which the server waited for the client.
    pub(crate) fn exclude(&self, time: Duration) {
        *self.paused.lock().unwrap_or_else(PoisonError::into_inner) += time;
    }

    /// Returns when the request will have taken `limit`.
    pub(crate) fn deadline(&self, limit: Duration) -> Instant {
        self.started + *self.paused.lock().unwrap_or_else(PoisonError::into_inner) + limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_time_is_not_the_servers() {
        let stopwatch = Stopwatch::start();
        let before = stopwatch.deadline(Duration::from_secs(10));
        stopwatch.exclude(Duration::from_secs(3));
        let after = stopwatch.deadline(Duration::from_secs(10));
        assert_eq!(after - before, Duration::from_secs(3));
    }
}
