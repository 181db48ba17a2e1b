//! What the admin API works with beside the use cases of SCIM.

use std::sync::Arc;

use headcount_core::journal::trail::AuditTrail;
use headcount_core::journal::{ChangeFeed, RequestLog};
use headcount_token_admin::Tenants;
use tokio::sync::watch;

/// The stores of the admin API, and those who wait for events.
pub struct Administration {
    /// The feed of changes.
    pub feed: Arc<dyn ChangeFeed>,
    /// The record of changes.
    pub trail: Arc<dyn AuditTrail>,
    /// The provisioning log.
    pub log: Arc<dyn RequestLog>,
    /// The tenants.
    pub tenants: Arc<Tenants>,
    /// Wakes those who wait.
    pub bell: Bell,
}

impl Administration {
    /// Puts the parts together.
    pub fn new(
        feed: Arc<dyn ChangeFeed>,
        trail: Arc<dyn AuditTrail>,
        log: Arc<dyn RequestLog>,
        tenants: Arc<Tenants>,
    ) -> Self {
        Self { feed, trail, log, tenants, bell: Bell::default() }
    }
}

/// Wakes those who wait for events.
#[derive(Debug, Clone)]
pub struct Bell(Arc<watch::Sender<bool>>);

impl Default for Bell {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Bell {
    /// Says that there may be new events.
    pub fn ring(&self) {
        self.0.send_modify(|_stops| {});
    }

    /// Says that the server stops: waiting readers are answered, streams end.
    pub fn stop(&self) {
        self.0.send_modify(|stops| *stops = true);
    }

    pub(crate) fn listen(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }
}
