//! Wakes readers of the feed.

use std::sync::Arc;

use tokio::sync::watch;

/// Wakes readers that wait for events.
#[derive(Debug, Clone)]
pub struct EventNotifier(Arc<watch::Sender<bool>>);

impl Default for EventNotifier {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl EventNotifier {
    /// Reports that there may be new events.
    pub fn notify(&self) {
        self.0.send_modify(|_stops| {});
    }

    /// Reports that the server stops: waiting readers get a response, streams end.
    pub fn stop(&self) {
        self.0.send_modify(|stops| *stops = true);
    }

    /// Returns a receiver that changes with each notification; its value is whether the server stops.
    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }
}
