//! `headcount serve`

mod site;

use std::io::IsTerminal as _;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Data;
use anyhow::{Context, bail};
use futures_util::future::{Either, select};
use headcount_core::change::Actor;
use headcount_core::clock::Clock as _;
use headcount_http_api::Api;
use headcount_records::{MaskedUrl, Recorder};
use headcount_store_diesel::DatabaseUrl;
use headcount_token_admin::{Principal, TokenState};
use tokio::signal::unix::{SignalKind, signal};

use self::site::{Parts as SiteParts, Site};
use super::admin;
use crate::background::{Background, SequencedTo};
use crate::checkpoint::CheckpointFile;
use crate::cli::Common;
use crate::config::{Config, Loaded};
use crate::metrics::Metrics;
use crate::system::{self, SystemClock};
use crate::tls::{self, Certificate};
use crate::wiring::{self, Parts};
use crate::{output, process, secret_files, telemetry};

pub(super) fn run(loaded: &Loaded, common: &Common) -> anyhow::Result<()> {
    let config = &loaded.config;
    let (_exporter, heads) = telemetry::start(config)?;
    process::hide_memory();
    let samples = telemetry::metrics()?;
    check(config)?;
    warn(loaded);
    let certificate = Certificate::open(config)?;
    let parts = wiring::serve(config)?;
    let metrics = Metrics::new(samples.clone(), &parts, config.telemetry.tenant_label);
    let api = Data::new(wiring::api(config, &parts)?);
    let checkpoints = CheckpointFile::open(config, &parts.store)?;
    let listener = listen(&config.http.listen).context("http.listen")?;
    let address = listener.local_addr()?;
    let shown = loaded.origins.iter().map(|(key, value, _)| (key.clone(), value.clone())).collect();
    let console = wiring::console(config, shown, &parts, Data::clone(&api), same_program(common));
    let broken_heads = heads.clone();
    let background = Background::start(&parts, checkpoints, config.audit.names_days, move || {
        samples.run_upkeep();
        broken_heads.report();
    })?;
    let sequenced = background.sequenced_to();
    let shared = SiteParts {
        api: Data::clone(&api),
        console: Data::new(console),
        store: Data::from(Arc::clone(&parts.store)),
        metrics: Data::new(metrics),
    };
    let metrics_server = match &config.http.metrics_listen {
        Some(address) => Some(site::metrics_alone(address, &shared)?),
        None => None,
    };
    let site = Site::main(config, address);
    let server = site::server(config, &shared, site, listener, certificate.as_ref())?;
    let (admin_address, admin_server) = match &config.http.admin_listen {
        Some(text) => {
            let listener = listen(text).context("http.admin_listen")?;
            let address = listener.local_addr()?;
            let site = Site::ADMIN;
            let server = site::server(config, &shared, site, listener, certificate.as_ref())?;
            (address, Some(server))
        }
        None => (address, None),
    };
    actix_web::rt::System::new().block_on(async {
        let served = actix_web::rt::spawn(server);
        let admin_server = admin_server.map(actix_web::rt::spawn);
        let metrics_server = metrics_server.map(actix_web::rt::spawn);
        notify_readers(&api, sequenced);
        drop(actix_web::rt::spawn(keep_certificate(certificate)));
        // Only a running server handles the signals that stop it, so that it is announced afterwards.
        tokio::task::yield_now().await;
        announce(config, common, &parts, (address, admin_address))?;
        served.await??;
        if let Some(admin_server) = admin_server {
            admin_server.await??;
        }
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
    let protected = config.http.tls_cert.is_some() || config.http.behind_proxy;
    let own = config.http.admin_listen.iter().map(|listen| ("http.admin_listen", listen));
    for (key, listen) in [("http.listen", &config.http.listen)].into_iter().chain(own) {
        let addresses: Vec<SocketAddr> = resolve(listen).context(key)?;
        if !protected && !addresses.iter().all(|address| address.ip().is_loopback()) {
            bail!(
                "{listen} can be reached from other machines, and tokens would travel unencrypted; \
                 add --tls-cert and --tls-key, or --behind-proxy when a proxy speaks TLS"
            );
        }
    }
    if config.http.admin_listen.is_some() && config.http.public_url.is_none() {
        bail!(
            "http.admin_listen: set http.public_url, too; the console shows it as the address for identity providers"
        );
    }
    if config.http.tls_cert.is_some() != config.http.tls_key.is_some() {
        bail!("http.tls_cert and http.tls_key belong together; set both");
    }
    Ok(())
}

/// Logs what works but should not stay as it is.
fn warn(loaded: &Loaded) {
    for finding in secret_files::findings(loaded) {
        tracing::warn!("{finding}");
    }
    if let Some(host) = unencrypted(&loaded.config.database.url) {
        tracing::warn!(
            host,
            "database.url: the connection to PostgreSQL may be unencrypted, and it carries personal data; \
             add sslmode=verify-full"
        );
    }
}

/// Returns the host of a database that is reached over a network and may be reached without encryption (TLS-04).
fn unencrypted(url: &str) -> Option<String> {
    const ENCRYPTED: [&str; 3] = ["require", "verify-ca", "verify-full"];
    let url = MaskedUrl::parse(url)?;
    if url.parameter("sslmode").is_some_and(|mode| ENCRYPTED.contains(&mode)) {
        return None;
    }
    let named = url.parameter("hostaddr").or(url.parameter("host"));
    let hosts: Vec<&str> = match named {
        Some(hosts) => hosts.split(',').collect(),
        None => url.hosts().collect(),
    };
    hosts.into_iter().find(|host| !is_on_this_machine(host)).map(str::to_owned)
}

/// Returns whether a host of libpq is a socket or loopback.
fn is_on_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, _port)) => name,
        None if host.parse::<std::net::Ipv6Addr>().is_ok() => host,
        None => host.split(':').next().unwrap_or_default(),
    };
    let address = name.parse::<std::net::IpAddr>();
    name.is_empty()
        || name == "localhost"
        || name.starts_with(['/', '@'])
        || name.get(..3).is_some_and(|begin| begin.eq_ignore_ascii_case("%2f"))
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
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
    (address, admin_address): (SocketAddr, SocketAddr),
) -> anyhow::Result<()> {
    let scheme = if config.http.tls_cert.is_some() { "https" } else { "http" };
    let url = config.http.public_url.clone().unwrap_or_else(|| format!("{scheme}://{address}"));
    let url = url.trim_end_matches('/');
    output::note(&format!("headcount listens on {scheme}://{address}"));
    output::note(&format!("base URL for identity providers: {url}/scim/v2"));
    let own_console = format!("{scheme}://{admin_address}");
    let console = if admin_address == address { url } else { &own_console };
    if admin_address != address {
        output::note(&format!("console and admin API listen on {own_console}"));
    }
    if let Some(reason) = site::missing_metrics(config, address) {
        output::note(&reason);
    }
    admin::invite_first(config, parts, console, std::io::stderr().is_terminal())?;
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
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    let (terminate, interrupt) = (terminate.recv(), interrupt.recv());
    drop(select(Box::pin(terminate), Box::pin(interrupt)).await);
}

/// Reads the certificate again when its files change and on SIGHUP, which ends nothing, with or without TLS.
async fn keep_certificate(certificate: Option<Arc<Certificate>>) {
    let Ok(mut hang_up) = signal(SignalKind::hangup()) else { return };
    loop {
        let pause = match certificate {
            Some(_) => tls::LOOK_INTERVAL,
            None => Duration::from_secs(3600),
        };
        let asked = select(Box::pin(hang_up.recv()), Box::pin(tokio::time::sleep(pause))).await;
        match (&certificate, asked) {
            (Some(certificate), Either::Left(_)) => certificate.reload(),
            (Some(certificate), Either::Right(_)) => certificate.look(),
            (None, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_04_a_database_over_a_network_without_encryption_is_named() {
        for (url, expected) in [
            ("postgres://u@db.example/d", Some("db.example")),
            ("postgres://u@db.example:5433/d?sslmode=prefer", Some("db.example:5433")),
            ("postgres://u@db.example/d?sslmode=require", None),
            ("postgres://u@db.example/d?sslmode=verify-full", None),
            ("postgres://localhost,db.example/d", Some("db.example")),
            ("postgres:///d?host=10.0.0.7", Some("10.0.0.7")),
            ("postgres:///d?host=/run/postgresql", None),
            ("postgres://%2Frun%2Fpostgresql/d", None),
            ("postgres://u@127.0.0.1:5432/d", None),
            ("postgres://u@[::1]:5432/d", None),
            ("postgres:///d", None),
            ("sqlite:headcount.db", None),
        ] {
            assert_eq!(unencrypted(url).as_deref(), expected, "{url}");
        }
    }
}
