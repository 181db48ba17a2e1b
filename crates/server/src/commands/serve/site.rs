//! What each listener serves.

use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::dev::Server;
use actix_web::guard::{GuardContext, fn_guard};
use actix_web::middleware::{NormalizePath, TrailingSlash, from_fn};
use actix_web::web::{self, Data};
use actix_web::{App, HttpResponse, HttpServer};
use anyhow::Context as _;
use headcount_console::Console;
use headcount_http_api::{Api, Connections};
use headcount_store_diesel::Store;

use super::listen;
use crate::config::Config;
use crate::listener::{self, Threads};
use crate::metrics::{self, Metrics};
use crate::output;
use crate::tls::Certificate;

/// Threads for reads outside of the lanes, such as probes.
const PROBE_THREADS: usize = 4;

/// What all listeners share.
pub(super) struct Parts {
    pub(super) api: Data<Api>,
    pub(super) console: Data<Console>,
    pub(super) store: Data<Store>,
    pub(super) metrics: Data<Metrics>,
}

/// What is served on one listener.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site {
    scim: bool,
    /// The console and the admin API.
    admin: bool,
    metrics: bool,
}

impl Site {
    /// What has a listener of its own with `http.admin_listen`.
    pub(super) const ADMIN: Self = Self { scim: false, admin: true, metrics: false };

    /// Returns what is served on `http.listen`, which is at this address.
    pub(super) fn main(config: &Config, address: SocketAddr) -> Self {
        Self {
            scim: true,
            admin: config.http.admin_listen.is_none(),
            metrics: config.http.metrics_listen.is_none() && may_show_metrics(config, address),
        }
    }
}

/// Returns whether every client of an address may see the metrics, which need no credentials.
fn may_show_metrics(config: &Config, address: SocketAddr) -> bool {
    config.http.metrics_public || address.ip().is_loopback()
}

/// Returns why there are no metrics.
pub(super) fn missing_metrics(config: &Config, address: SocketAddr) -> Option<String> {
    let is_missing = config.http.metrics_listen.is_none() && !may_show_metrics(config, address);
    is_missing.then(|| {
        format!(
            "/metrics is not served, because {address} can be reached from other machines and metrics need no \
             credentials; set http.metrics_listen, or http.metrics_public = true to serve them there"
        )
    })
}

/// Makes a server; it runs when it is awaited.
pub(super) fn server(
    config: &Config,
    parts: &Parts,
    site: Site,
    listener: std::net::TcpListener,
    certificate: Option<&Arc<Certificate>>,
) -> anyhow::Result<Server> {
    let workers = config
        .http
        .workers
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(2, usize::from));
    let Parts { api, console, store, metrics } = parts;
    let (api, console) = (Data::clone(api), Data::clone(console));
    let (store, metrics) = (Data::clone(store), Data::clone(metrics));
    let threads = Threads {
        // Administrators are few.
        workers: if site.scim { workers.max(1) } else { 1 },
        blocking: api.settings.lanes.threads() + PROBE_THREADS,
        shutdown_seconds: config.http.shutdown_seconds,
    };
    let tls = certificate.map(Certificate::server_config).transpose()?;
    let connections = Connections::new(&api.settings);
    let is_public = config.http.metrics_public;
    Ok(listener::serve(listener, tls, &threads, connections, move || {
        App::new()
            .wrap(NormalizePath::new(TrailingSlash::Trim))
            .wrap(from_fn(headcount_http_api::pace))
            .wrap(from_fn(headcount_http_api::limit_requests))
            .wrap(from_fn(headcount_http_api::observe))
            .app_data(Data::clone(&store))
            .app_data(Data::clone(&metrics))
            .route("/healthz", web::get().to(health))
            .route("/readyz", web::get().to(ready))
            .configure(|config| {
                if site.metrics {
                    let is_near = fn_guard(move |context| is_public || is_direct(context));
                    config.route("/metrics", web::get().guard(is_near).to(metrics::render));
                }
                if site.admin {
                    config.configure(headcount_http_api::admin_routes(Data::clone(&api)));
                    config.configure(headcount_console::routes(Data::clone(&console)));
                }
                if site.scim {
                    config.configure(headcount_http_api::scim_routes(Data::clone(&api)));
                }
            })
    })?)
}

/// Returns whether no proxy says that it forwards a request: one on this machine reaches loopback for everyone.
fn is_direct(context: &GuardContext<'_>) -> bool {
    !["x-forwarded-for", "forwarded"]
        .iter()
        .any(|name| context.head().headers().contains_key(*name))
}

/// Makes a server for the metrics alone, at an address of their own.
pub(super) fn metrics_alone(address: &str, parts: &Parts) -> anyhow::Result<Server> {
    let listener = listen(address).context("http.metrics_listen")?;
    output::note(&format!("metrics are at http://{}/metrics", listener.local_addr()?));
    let (metrics, api) = (Data::clone(&parts.metrics), Data::clone(&parts.api));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(Data::clone(&metrics))
            .app_data(Data::clone(&api))
            .route("/metrics", web::get().to(metrics::render))
    });
    Ok(server.workers(1).disable_signals().listen(listener)?.run())
}

/// Reports that the process is alive.
async fn health() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("ok\n")
}

/// Reports whether the database answers.
async fn ready(store: Data<Store>) -> HttpResponse {
    let probe = headcount_http_api::run_unqueued(move || store.ping().is_ok());
    match probe.await {
        Some(true) => HttpResponse::Ok().content_type("text/plain").body("ready\n"),
        Some(false) | None => HttpResponse::ServiceUnavailable()
            .content_type("text/plain")
            .body("the database does not answer\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Common, Format};
    use crate::config;

    #[test]
    fn s9_metrics_are_not_where_other_machines_are_unless_someone_says_so() {
        let file = std::env::temp_dir().join(format!("headcount-{:032x}", rand::random::<u128>()));
        for (settings, address, served, said) in [
            ("", "127.0.0.1:8080", true, false),
            ("", "[::1]:8080", true, false),
            ("", "0.0.0.0:8080", false, true),
            ("", "10.0.0.7:8080", false, true),
            ("metrics_public = true", "0.0.0.0:8080", true, false),
            ("metrics_listen = \"127.0.0.1:9090\"", "0.0.0.0:8080", false, false),
            ("metrics_listen = \"127.0.0.1:9090\"", "127.0.0.1:8080", false, false),
        ] {
            std::fs::write(&file, format!("[http]\n{settings}\n")).unwrap();
            let common =
                Common { config: Some(file.clone()), database: None, output: Format::Text };
            let config = config::load(&common, None).unwrap().config;
            let address = address.parse().unwrap();
            assert_eq!(Site::main(&config, address).metrics, served, "{settings} {address}");
            assert_eq!(missing_metrics(&config, address).is_some(), said, "{settings} {address}");
        }
        std::fs::remove_file(file).unwrap();
    }
}
