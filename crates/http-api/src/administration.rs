//! The parts of the admin API, in addition to the use cases of SCIM.

use std::sync::Arc;

use headcount_core::change::ChangeFeed;
use headcount_records::audit_list::AuditTrail;
use headcount_records::{EventNotifier, RequestLog};
use headcount_token_admin::Tenants;

/// The stores of the admin API, and the notifier of its events.
pub struct Administration {
    /// The feed of changes.
    pub feed: Arc<dyn ChangeFeed>,
    /// The record of changes.
    pub trail: Arc<dyn AuditTrail>,
    /// The provisioning log.
    pub log: Arc<dyn RequestLog>,
    /// The tenants.
    pub tenants: Arc<Tenants>,
    /// Wakes the readers that wait for events.
    pub notifier: EventNotifier,
}

impl Administration {
    /// Puts the parts together.
    pub fn new(
        feed: Arc<dyn ChangeFeed>,
        trail: Arc<dyn AuditTrail>,
        log: Arc<dyn RequestLog>,
        tenants: Arc<Tenants>,
    ) -> Self {
        Self { feed, trail, log, tenants, notifier: EventNotifier::default() }
    }
}
