//! Metrics for Prometheus: the counters of this process, and values from the database about tenants and tokens.
//!
//! Labels come from closed sets: routes, statuses, kinds. No id and no part of a resource is ever a label, and names
//! of tenants are only where the operator wants them (PII-04).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::web::Data;
use headcount_core::change::Actor;
use headcount_core::clock::{Clock as _, Timestamp};
use headcount_core::ids::TenantId;
use headcount_http_api::{Api, Snapshot};
use headcount_store_diesel::{LogStore, Store};
use headcount_token_admin::format::Purpose;
use headcount_token_admin::{Principal, TenantStore as _, Token, TokenState, Tokens};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::system::{self, SystemClock};
use crate::wiring::Parts;

/// How long the values from the database are kept: a scraper that asks more often gets the same.
const GAUGES_LIFE: Duration = Duration::from_secs(5);
/// Everything that is scraped.
pub(crate) struct Metrics {
    handle: PrometheusHandle,
    store: Arc<Store>,
    log: Arc<LogStore>,
    tokens: Arc<Tokens>,
    /// Whether series have the name of their tenant.
    tenant_label: bool,
    gauges: Mutex<Option<(Instant, String)>>,
}

impl Metrics {
    pub(crate) fn new(handle: PrometheusHandle, parts: &Parts, tenant_label: bool) -> Self {
        metrics::counter!("headcount_log_dropped_total").increment(0);
        metrics::counter!("headcount_log_refusals_untold_total").increment(0);
        metrics::counter!("headcount_broken_heads_total").increment(0);
        let (store, tokens) = (Arc::clone(&parts.store), Arc::clone(&parts.tokens));
        let (log, gauges) = (Arc::clone(&parts.log), Mutex::new(None));
        Self { handle, store, log, tokens, tenant_label, gauges }
    }

    /// Returns the values from the database. While the database does not answer, they are left out.
    fn gauges(&self) -> String {
        let mut known = self.gauges.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, text)) = &*known
            && at.elapsed() < GAUGES_LIFE
        {
            return text.clone();
        }
        let mut text = String::new();
        self.write_resources(&mut text);
        self.write_tokens(&mut text);
        for (pool, state) in [("data", self.store.pool_state()), ("log", self.log.pool_state())] {
            for (state, amount) in [("open", state.open), ("idle", state.idle)] {
                let labels = [("pool", pool), ("state", state)];
                line(&mut text, "headcount_pool_connections", &labels, amount);
            }
        }
        *known = Some((Instant::now(), text.clone()));
        text
    }

    fn write_resources(&self, text: &mut String) {
        let counts = match self.tenant_label {
            true => self.store.resource_counts(),
            false => self.store.resource_totals(),
        };
        head(text, "headcount_resources", "Resources by kind.");
        for count in counts.unwrap_or_default() {
            let labels = labels(count.tenant.as_deref(), &[("kind", &count.kind)]);
            line(text, "headcount_resources", &labels, count.amount);
        }
    }

    fn write_tokens(&self, text: &mut String) {
        let by = Principal::operator(system::author(Actor::System));
        let names: BTreeMap<TenantId, String> = if self.tenant_label {
            let tenants = self.store.tenants().unwrap_or_default();
            tenants.into_iter().map(|tenant| (tenant.id, tenant.name)).collect()
        } else {
            BTreeMap::new()
        };
        let mut sums = BTreeMap::<_, TokenSums>::new();
        for token in self.tokens.list(&by, None).unwrap_or_default() {
            let tenant = names.get(&token.tenant).map(String::as_str);
            let purpose = match token.purpose {
                Purpose::Provisioning => "provisioning",
                Purpose::Administration => "administration",
            };
            sums.entry((tenant, purpose)).or_default().add(&token);
        }
        let sums: Vec<(Vec<(&str, &str)>, TokenSums)> = sums
            .into_iter()
            .map(|((tenant, purpose), sum)| (labels(tenant, &[("purpose", purpose)]), sum))
            .collect();
        let name = "headcount_tokens";
        head(text, name, "Tokens that work, and tokens that have expired and were not revoked.");
        for (labels, sum) in &sums {
            for (state, amount) in [("works", sum.works), ("expired", sum.expired)] {
                line(text, name, &[labels.as_slice(), &[("state", state)]].concat(), amount);
            }
        }
        let name = "headcount_token_expires_timestamp_seconds";
        head(text, name, "When the next token stops working, in seconds since 1970.");
        write_times(text, name, sums.iter().map(|(labels, sum)| (labels, sum.ends)));
        let name = "headcount_token_last_request_timestamp_seconds";
        head(text, name, "When a token was last used, at most a minute behind.");
        write_times(text, name, sums.iter().map(|(labels, sum)| (labels, sum.used)));
    }
}

/// The tokens of one series.
#[derive(Default)]
struct TokenSums {
    works: usize,
    expired: usize,
    /// When the next one that works stops.
    ends: Option<Timestamp>,
    /// When one was used last.
    used: Option<Timestamp>,
}

impl TokenSums {
    fn add(&mut self, token: &Token) {
        match token.state(SystemClock.now()) {
            TokenState::Works => {
                self.works += 1;
                self.ends = self.ends.into_iter().chain(token.expires).min();
            }
            TokenState::Expired => self.expired += 1,
            TokenState::Revoked => return,
        }
        self.used = self.used.max(token.last_used.as_ref().map(|used| used.at));
    }
}

/// Returns labels, with that of the tenant before them where there is one.
fn labels<'l>(tenant: Option<&'l str>, others: &[(&'l str, &'l str)]) -> Vec<(&'l str, &'l str)> {
    tenant.map(|tenant| ("tenant", tenant)).into_iter().chain(others.iter().copied()).collect()
}

fn write_times<'l>(
    text: &mut String,
    name: &str,
    times: impl Iterator<Item = (&'l Vec<(&'l str, &'l str)>, Option<Timestamp>)>,
) {
    for (labels, at) in times {
        if let Some(at) = at {
            line(text, name, labels, at.micros() / 1_000_000);
        }
    }
}

fn head(text: &mut String, name: &str, help: &str) {
    text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n"));
}

fn line(text: &mut String, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
    let labels: Vec<String> =
        labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escape(value))).collect();
    let labels =
        if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    text.push_str(&format!("{name}{labels} {value}\n"));
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Writes how full the queues are.
fn write_queues(text: &mut String, snapshot: &Snapshot) {
    let (at_work, waiting) = ("headcount_lane_requests", "headcount_lane_waiting");
    head(text, at_work, "Requests at work, by lane.");
    for (lane, held, _) in &snapshot.lanes {
        line(text, at_work, &[("lane", lane)], held);
    }
    head(text, waiting, "Requests that wait for their turn, by lane.");
    for (lane, _, queued) in &snapshot.lanes {
        line(text, waiting, &[("lane", lane)], queued);
    }
    line(text, waiting, &[("lane", "body")], snapshot.bodies_waiting);
    let single = [
        ("headcount_body_bytes", "Bytes of bodies that are reserved.", snapshot.body_bytes),
        ("headcount_event_readers", "Readers that wait for events.", snapshot.event_readers),
        (
            "headcount_abandoned_threads",
            "Threads still at work for requests that were answered without them.",
            snapshot.abandoned,
        ),
    ];
    for (name, help, value) in single {
        head(text, name, help);
        line(text, name, &[], value);
    }
}

/// Answers a scrape, in the format of Prometheus.
pub(crate) async fn render(metrics: Data<Metrics>, api: Data<Api>) -> HttpResponse {
    let of_database = Data::clone(&metrics);
    let gauges =
        headcount_http_api::run_unqueued(move || of_database.gauges()).await.unwrap_or_default();
    let mut text = metrics.handle.render();
    text.push_str(&gauges);
    write_queues(&mut text, &api.snapshot());
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(text)
}
