//! Metrics for Prometheus: the counters of this process, and values from the database about tenants and tokens.
//!
//! Labels come from closed sets: routes, statuses, names of tenants, public ids of tokens. No part of a resource
//! is ever a label.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::web::Data;
use headcount_core::change::Actor;
use headcount_http_api::{Api, Snapshot};
use headcount_store_diesel::{LogStore, Store};
use headcount_token_admin::{Principal, Tokens};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::system;
use crate::wiring::Parts;

/// How long the values from the database are kept: a scraper that asks more often gets the same.
const GAUGES_LIFE: Duration = Duration::from_secs(5);
/// Tokens with series of their own, newest first.
const MAX_TOKENS: usize = 1_000;

/// Everything that is scraped.
pub(crate) struct Metrics {
    handle: PrometheusHandle,
    store: Arc<Store>,
    log: Arc<LogStore>,
    tokens: Arc<Tokens>,
    gauges: Mutex<Option<(Instant, String)>>,
}

impl Metrics {
    pub(crate) fn new(handle: PrometheusHandle, parts: &Parts) -> Self {
        metrics::counter!("headcount_log_dropped_total").increment(0);
        metrics::counter!("headcount_log_refusals_untold_total").increment(0);
        metrics::counter!("headcount_broken_heads_total").increment(0);
        let (store, tokens) = (Arc::clone(&parts.store), Arc::clone(&parts.tokens));
        Self { handle, store, log: Arc::clone(&parts.log), tokens, gauges: Mutex::new(None) }
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
        let counts = self.store.resource_counts().unwrap_or_default();
        head(text, "headcount_resources", "Resources by tenant and kind.");
        for count in counts {
            let labels = [("tenant", count.tenant.as_str()), ("kind", count.kind.as_str())];
            line(text, "headcount_resources", &labels, count.amount);
        }
    }

    fn write_tokens(&self, text: &mut String) {
        let by = Principal::operator(system::author(Actor::System));
        let tokens = self.tokens.list(&by, None).unwrap_or_default();
        // Expired tokens are included: that is when an alert has to fire.
        let works = tokens.iter().filter(|token| token.revoked.is_none()).take(MAX_TOKENS);
        let works: Vec<_> = works.collect();
        let expires = "headcount_token_expires_timestamp_seconds";
        head(text, expires, "When a token stops working, in seconds since 1970.");
        for token in &works {
            if let Some(at) = token.expires {
                line(text, expires, &[("token", token.id.as_str())], at.micros() / 1_000_000);
            }
        }
        let used = "headcount_token_last_request_timestamp_seconds";
        head(text, used, "When a token was last used, at most a minute behind.");
        for token in &works {
            if let Some(last) = &token.last_used {
                line(text, used, &[("token", token.id.as_str())], last.at.micros() / 1_000_000);
            }
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
