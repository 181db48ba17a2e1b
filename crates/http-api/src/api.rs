//! The parts that every handler works with.

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

/// Addresses whose failures are remembered before old ones are forgotten.
const MAX_ADDRESSES: usize = 10_000;

/// The use cases, the tokens and the limits of one server.
pub struct Api {
    /// The use cases of SCIM.
    pub service: Service,
    /// The tokens.
    pub tokens: Arc<Tokens>,
    /// The parts of the admin API; without them, its routes do not exist.
    pub administration: Option<Administration>,
    /// The source of request ids.
    pub request_ids: Arc<dyn IdSource>,
    /// The settings.
    pub settings: HttpSettings,
    /// The recorder of the provisioning log; without it, nothing is recorded.
    pub recorder: Option<Recorder>,
    pub(crate) lanes: Lanes,
    failures: DefaultKeyedRateLimiter<AddressBlock>,
    /// The number of remembered addresses above which those without recent failures are forgotten.
    forget_above: AtomicUsize,
}

impl Api {
    /// Puts the parts together.
    pub fn new(
        service: Service,
        tokens: Arc<Tokens>,
        request_ids: Arc<dyn IdSource>,
        settings: HttpSettings,
    ) -> Self {
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
            forget_above: AtomicUsize::new(MAX_ADDRESSES),
        }
    }

    /// Returns how full the queues are, for metrics.
    pub fn snapshot(&self) -> Snapshot {
        self.lanes.snapshot()
    }

    /// Returns the parts of the admin API, which exist wherever its routes do.
    pub(crate) fn administration(&self) -> Result<&Administration, ApiError> {
        self.administration.as_ref().ok_or_else(|| Cause::Internal.into())
    }

    /// Counts a failed authentication of an address, and returns whether it is within the limit.
    ///
    /// Only failures are counted, so that a good token is served whatever others send from its address (LIM-12).
    pub(crate) fn may_fail(&self, address: &AddressBlock) -> bool {
        if self.failures.len() > self.forget_above.load(Ordering::Relaxed) {
            self.failures.retain_recent();
            // The next pass waits until the map has doubled, so that its cost per failure stays constant.
            let limit = self.failures.len().saturating_mul(2).max(MAX_ADDRESSES);
            self.forget_above.store(limit, Ordering::Relaxed);
        }
        self.failures.check_key(address).is_ok()
    }
}

fn at_least_one(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}
