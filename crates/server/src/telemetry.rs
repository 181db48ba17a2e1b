//! Logs, traces and metrics.

use std::io::IsTerminal as _;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::filter::FilterExt as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt, registry};

use crate::config::{Config, LogFormat};

mod heads;
#[cfg(feature = "otel")]
mod traces;

#[cfg(not(feature = "otel"))]
mod traces {
    //! The replacement for traces in a build without them.

    use tracing_subscriber::layer::Identity;

    /// Nothing to flush.
    pub(crate) struct Exporter;

    /// Refuses to promise what this build cannot do.
    pub(super) fn layer(url: Option<&str>) -> anyhow::Result<(Identity, Exporter)> {
        if url.is_some() {
            anyhow::bail!(
                "telemetry.otlp_url is set, but this headcount was built without OpenTelemetry; \
                 build it with --features otel, or leave the setting out"
            );
        }
        Ok((Identity::new(), Exporter))
    }
}

pub(crate) use heads::BrokenHeads;
pub(crate) use traces::Exporter;

/// Sends log lines to standard error, and traces to the configured address. The exporter sends the last traces when
/// it is dropped; the other value counts requests whose head cannot be read.
///
/// # Errors
///
/// A filter that cannot be read, named with what is wrong; traces that cannot be sent.
pub(crate) fn start(config: &Config) -> anyhow::Result<(Exporter, BrokenHeads)> {
    let logging = &config.logging;
    let filter = EnvFilter::try_new(&logging.filter).map_err(|error| {
        anyhow::anyhow!("logging.filter \"{}\" is not valid: {error}", logging.filter)
    })?;
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let lines = match logging.format {
        LogFormat::Pretty => lines.boxed(),
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
        }
    };
    let (traces, exporter) = traces::layer(config.telemetry.otlp_url.as_deref())?;
    let heads = BrokenHeads::default();
    registry().with(traces).with(lines.with_filter(filter.and(heads.clone()))).init();
    Ok((exporter, heads))
}

/// Collects metrics of this process; the handle renders them in the format of Prometheus.
///
/// # Errors
///
/// When a recorder is installed already.
pub(crate) fn metrics() -> anyhow::Result<PrometheusHandle> {
    let seconds = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
    let sizes = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &seconds)?
        .set_buckets_for_metric(Matcher::Suffix("_batch_size".to_owned()), &sizes)?
        .install_recorder()?;
    metrics::describe_counter!(
        "headcount_requests_total",
        "Requests by method, route template and status."
    );
    metrics::describe_histogram!(
        "headcount_request_seconds",
        "Time from the head of a request to the head of its response."
    );
    metrics::describe_histogram!(
        "headcount_writer_batch_size",
        "Writes that one commit of the SQLite writer carried."
    );
    metrics::describe_histogram!(
        "headcount_writer_wait_seconds",
        "Time that a write waited for the SQLite writer."
    );
    Ok(handle)
}
