//! `headcount serve`

use std::io::IsTerminal as _;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;

use actix_web::dev::Server;
use actix_web::middleware::{NormalizePath, TrailingSlash, from_fn};
use actix_web::web::{self, Data};
use actix_web::{App, HttpResponse, HttpServer};
use anyhow::{Context, bail};
use futures_util::future::select;
use headcount_console::Console;
use headcount_core::change::Actor;
use headcount_core::clock::Clock as _;
use headcount_http_api::{Api, Connections};
use headcount_records::Recorder;
use headcount_store_diesel::{DatabaseUrl, Store};
use headcount_token_admin::{Principal, TokenState};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::admin;
use crate::background::{Background, SequencedTo};
use crate::checkpoint::CheckpointFile;
use crate::cli::Common;
use crate::config::{Config, Loaded};
use crate::listener::{self, Threads};
use crate::metrics::{self, Metrics};
use crate::system::{self, SystemClock};
use crate::wiring::{self, Parts};
use crate::{output, telemetry};

/// Threads for reads outside of the lanes, such as probes.
const PROBE_THREADS: usize = 4;

pub(super) fn run(loaded: &Loaded, common: &Common) -> anyhow::Result<()> {
    let config = &loaded.config;
    let (_exporter, heads) = telemetry::start(config)?;
    let samples = telemetry::metrics()?;
    check(config)?;
    let tls = tls(config)?;
    let parts = wiring::serve(config)?;
    let metrics = Data::new(Metrics::new(samples.clone(), &parts));
    let api = Data::new(wiring::api(config, &parts)?);
    let checkpoints = CheckpointFile::open(config, &parts.store)?;
    let listener = listen(&config.http.listen).context("http.listen")?;
    let address = listener.local_addr()?;
    let shown = loaded.origins.iter().map(|(key, value, _)| (key.clone(), value.clone())).collect();
    let console = wiring::console(config, shown, &parts, Data::clone(&api), same_program(common));
    let sites = Sites {
        api: Data::clone(&api),
        console: Data::new(console),
        store: Data::from(Arc::clone(&parts.store)),
        metrics: Data::clone(&metrics),
    };
    let broken_heads = heads.clone();
    let background = Background::start(&parts, checkpoints, config.audit.names_days, move || {
        samples.run_upkeep();
        broken_heads.report();
    })?;
    let sequenced = background.sequenced_to();
    let metrics_server = match &config.http.metrics_listen {
        Some(address) => Some(metrics_server(address, metrics, Data::clone(&api))?),
        None => None,
    };
    let server = server(config, sites, listener, tls)?;
    actix_web::rt::System::new().block_on(async {
        let served = actix_web::rt::spawn(server);
        let metrics_server = metrics_server.map(actix_web::rt::spawn);
        notify_readers(&api, sequenced);
        // Only a running server handles the signals that stop it, so that it is announced afterwards.
        tokio::task::yield_now().await;
        announce(config, common, &parts, address)?;
        served.await??;
        metrics_server.iter().for_each(tokio::task::JoinHandle::abort);
        anyhow::Ok(())
    })?;
    // The records of the last requests are written.
    api.recorder.iter().for_each(Recorder::close);
    // The last changes are sequenced.
    drop(background);
    heads.report_rest();
    tracing::info!("stopped; every accepted request has been answered");
    Ok(())
}

/// Refuses settings that would send tokens unencrypted, and addresses that are not valid.
pub(super) fn check(config: &Config) -> anyhow::Result<()> {
    let listen = &config.http.listen;
    let addresses: Vec<SocketAddr> = resolve(listen).context("http.listen")?;
    let protected = config.http.tls_cert.is_some() || config.http.behind_proxy;
    if !protected && !addresses.iter().all(|address| address.ip().is_loopback()) {
        bail!(
            "{listen} can be reached from other machines, and tokens would travel unencrypted; \
             add --tls-cert and --tls-key, or --behind-proxy when a proxy speaks TLS"
        );
    }
    if config.http.tls_cert.is_some() != config.http.tls_key.is_some() {
        bail!("http.tls_cert and http.tls_key belong together; set both");
    }
    Ok(())
}

fn resolve(listen: &str) -> anyhow::Result<Vec<SocketAddr>> {
    let resolved = listen
        .to_socket_addrs()
        .with_context(|| format!("\"{listen}\" is not an address such as 127.0.0.1:8080"))?;
    Ok(resolved.collect())
}

fn listen(text: &str) -> anyhow::Result<TcpListener> {
    let addresses = resolve(text)?;
    let listener = TcpListener::bind(addresses.as_slice());
    let listener = listener.with_context(|| {
        format!("cannot listen on {text}; stop what uses the port, or choose another --listen")
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Prints where the server is and, while no one can use it, how to change that.
fn announce(
    config: &Config,
    common: &Common,
    parts: &Parts,
    address: SocketAddr,
) -> anyhow::Result<()> {
    let scheme = if config.http.tls_cert.is_some() { "https" } else { "http" };
    let url = config.http.public_url.clone().unwrap_or_else(|| format!("{scheme}://{address}"));
    output::note(&format!("headcount listens on {scheme}://{address}"));
    output::note(&format!(
        "base URL for identity providers: {}/scim/v2",
        url.trim_end_matches('/')
    ));
    admin::invite_first(
        config,
        parts,
        &format!("{scheme}://{address}"),
        std::io::stderr().is_terminal(),
    )?;
    let by = Principal::operator(system::author(Actor::System));
    let now = SystemClock.now();
    if parts.tokens.list(&by, None)?.iter().all(|token| token.state(now) != TokenState::Works) {
        output::note("no token works yet; make one with:");
        output::note(&format!("    {} token create --name my-idp", same_program(common)));
    }
    Ok(())
}

/// Returns the command line of the same program with the same data.
fn same_program(common: &Common) -> String {
    let called = std::env::args().next().unwrap_or_else(|| "headcount".to_owned());
    // Cargo starts a program by a path that no one types.
    let mut command = match called.as_str() {
        "target/release/headcount" => "cargo run --release --".to_owned(),
        "target/debug/headcount" => "cargo run --".to_owned(),
        _ => called,
    };
    if let Some(file) = &common.config {
        command = format!("{command} --config {}", file.display());
    }
    if let Some(database) = common.database.as_deref().and_then(|url| DatabaseUrl::parse(url).ok())
    {
        command = format!("{command} --database {database}");
    }
    command
}

fn tls(config: &Config) -> anyhow::Result<Option<rustls::ServerConfig>> {
    let (Some(cert), Some(key)) = (&config.http.tls_cert, &config.http.tls_key) else {
        return Ok(None);
    };
    let chain =
        CertificateDer::pem_file_iter(cert).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.with_context(|| not_pem(cert))?;
    if chain.is_empty() {
        bail!("http.tls_cert: {} contains no certificate", cert.display());
    }
    let key = PrivateKeyDer::from_pem_file(key).with_context(|| not_pem(key))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?;
    let config = builder.with_no_client_auth().with_single_cert(chain, key);
    Ok(Some(config.context("the certificate and the key do not belong together")?))
}

fn not_pem(path: &Path) -> String {
    format!("{} cannot be read as PEM; check path, permissions and content", path.display())
}

/// What the server answers with.
struct Sites {
    api: Data<Api>,
    console: Data<Console>,
    store: Data<Store>,
    metrics: Data<Metrics>,
}

/// Makes the server; it runs when it is awaited.
fn server(
    config: &Config,
    sites: Sites,
    listener: TcpListener,
    tls: Option<rustls::ServerConfig>,
) -> anyhow::Result<Server> {
    let workers = config
        .http
        .workers
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(2, usize::from));
    let Sites { api, console, store, metrics } = sites;
    let together = config.http.metrics_listen.is_none();
    let threads = Threads {
        workers: workers.max(1),
        blocking: api.settings.lanes.threads() + PROBE_THREADS,
        shutdown_seconds: config.http.shutdown_seconds,
    };
    let connections = Connections::new(&api.settings);
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
                if together {
                    config.route("/metrics", web::get().to(metrics::render));
                }
            })
            .configure(headcount_http_api::routes(Data::clone(&api)))
            .configure(headcount_console::routes(Data::clone(&console)))
    })?)
}

/// Makes a server for the metrics alone, at an address of their own.
fn metrics_server(
    address: &str,
    metrics: Data<Metrics>,
    api: Data<Api>,
) -> anyhow::Result<actix_web::dev::Server> {
    let listener = listen(address).context("http.metrics_listen")?;
    output::note(&format!("metrics are at http://{}/metrics", listener.local_addr()?));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(Data::clone(&metrics))
            .app_data(Data::clone(&api))
            .route("/metrics", web::get().to(metrics::render))
    });
    Ok(server.workers(1).disable_signals().listen(listener)?.run())
}

/// Wakes readers that wait for events when changes were sequenced, and ends them when the server stops: it would
/// wait for them.
fn notify_readers(api: &Api, mut sequenced: SequencedTo) {
    let Some(administration) = &api.administration else { return };
    let (notifier, stops) = (administration.notifier.clone(), administration.notifier.clone());
    drop(actix_web::rt::spawn(async move {
        while sequenced.changed().await.is_ok() {
            notifier.notify();
        }
    }));
    drop(actix_web::rt::spawn(async move {
        stop_signal().await;
        stops.stop();
    }));
}

/// Waits for a signal that ends the process.
async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    let (terminate, interrupt) = (terminate.recv(), interrupt.recv());
    drop(select(Box::pin(terminate), Box::pin(interrupt)).await);
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
