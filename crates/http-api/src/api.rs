//! What every handler works with.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use headcount_core::clock::IdSource;
use headcount_core::service::Service;
use headcount_records::{AddressBlock, Recorder};
use headcount_token_admin::Tokens;

use crate::administration::Administration;
use crate::error::{ApiError, Cause};
use crate::lanes::{Lanes, Snapshot};
use crate::settings::HttpSettings;

/// Addresses whose failures are remembered.
const ADDRESSES: usize = 10_000;

/// The use cases, the tokens and the limits of one server.
pub struct Api {
    /// The use cases of SCIM.
    pub service: Service,
    /// The tokens.
    pub tokens: Arc<Tokens>,
    /// What the admin API works with beside them; without it there is no admin API.
    pub administration: Option<Administration>,
    /// Ids of requests.
    pub request_ids: Arc<dyn IdSource>,
    /// What the operator has set.
    pub settings: HttpSettings,
    /// Where requests are written down; nowhere, when absent.
    pub recorder: Option<Recorder>,
    pub(crate) lanes: Lanes,
    failures: DefaultKeyedRateLimiter<AddressBlock>,
    /// How many addresses have to be remembered before those without recent failures are forgotten.
    crowd: AtomicUsize,
}

impl Api {
    /// Puts the parts together.
    pub fn new(
        service: Service,
        tokens: Arc<Tokens>,
        request_ids: Arc<dyn IdSource>,
        settings: HttpSettings,
    ) -> Self {
        let at_least_one = |number: u32| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(settings.failures_per_second))
            .allow_burst(at_least_one(settings.failures_burst));
        let lanes = Lanes::new(&settings.lanes, settings.buffered_bytes, settings.event_readers);
        Self {
            service,
            tokens,
            administration: None,
            request_ids,
            settings,
            recorder: None,
            lanes,
            failures: RateLimiter::keyed(quota),
            crowd: AtomicUsize::new(ADDRESSES),
        }
    }

    /// Returns how full the queues are, for metrics.
    pub fn snapshot(&self) -> Snapshot {
        self.lanes.snapshot()
    }

    /// Returns what the admin API works with. Its routes are there only when it is.
    pub(crate) fn administration(&self) -> Result<&Administration, ApiError> {
        self.administration.as_ref().ok_or_else(|| Cause::Internal.into())
    }

    /// Counts a failed authentication of an address; false when there have been too many lately.
    ///
    /// Only failures ask: a good token is served whatever its neighbours do (LIM-12).
    pub(crate) fn may_fail(&self, address: &AddressBlock) -> bool {
        if self.failures.len() > self.crowd.load(Ordering::Relaxed) {
            self.failures.retain_recent();
            // Walked through again only after it has doubled: each failure pays for a constant part.
            let crowd = self.failures.len().saturating_mul(2).max(ADDRESSES);
            self.crowd.store(crowd, Ordering::Relaxed);
        }
        self.failures.check_key(address).is_ok()
    }
}
