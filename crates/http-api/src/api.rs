//! What every handler works with.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use headcount_core::clock::IdSource;
use headcount_core::service::Service;
use headcount_records::{AddressBlock, Recorder};
use headcount_token_admin::Tokens;
use ipnet::IpNet;

use crate::admin::Administration;
use crate::error::{ApiError, Cause};
use crate::lanes::{LaneSizes, Lanes, Snapshot};

/// What an operator can set about HTTP.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// The address under which clients reach the server, without a slash at its end; taken from each
    /// request when absent.
    pub public_url: Option<String>,
    /// Whether a proxy in front of the server tells the client's address, host and scheme.
    pub behind_proxy: bool,
    /// Proxies whose word counts, beside the one that connects.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether the server itself speaks TLS.
    pub tls: bool,
    /// The largest body of a request on one resource, in bytes.
    pub body_bytes: usize,
    /// The largest body of a bulk request, in bytes.
    pub bulk_bytes: usize,
    /// Operations of one bulk request; with 0 there is no bulk.
    pub bulk_operations: usize,
    /// Requests that may be at work at once.
    pub lanes: LaneSizes,
    /// How long a request may take, waiting included, without the time in which its body comes. Streams and
    /// long polls take it anew with each part.
    pub request_time: Duration,
    /// How long a body may take.
    pub body_time: Duration,
    /// How fast a body has to come, in bytes per second, after a first grace; 0 for any pace.
    pub body_rate: u32,
    /// Bytes of bodies that are held in memory at once.
    pub buffered_bytes: usize,
    /// Readers that may wait for events at once.
    pub event_readers: usize,
    /// How long a client may leave a part of an answer lying.
    pub reader_time: Duration,
    /// Connections that one address may have, unless it is that of a proxy; 0 for any number.
    pub connections_per_address: usize,
    /// Requests that may be at work at once on one connection.
    pub requests_per_connection: usize,
    /// Failed authentications per second and address, and how many at once.
    pub failures_per_second: u32,
    /// How many failed authentications an address may have in a burst.
    pub failures_burst: u32,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            public_url: None,
            behind_proxy: false,
            trusted_proxies: Vec::new(),
            tls: false,
            body_bytes: 1024 * 1024,
            bulk_bytes: 4 * 1024 * 1024,
            bulk_operations: 1_000,
            lanes: LaneSizes::of_pool(16, false),
            request_time: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            body_rate: 1024,
            buffered_bytes: 64 * 1024 * 1024,
            event_readers: 512,
            reader_time: Duration::from_secs(60),
            connections_per_address: 200,
            requests_per_connection: 100,
            failures_per_second: 10,
            failures_burst: 100,
        }
    }
}

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
        self.administration.as_ref().ok_or_else(|| Cause::Lost.into())
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
