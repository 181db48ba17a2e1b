//! Logs and metrics.

use std::io::IsTerminal as _;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Sends log lines to standard error.
///
/// # Errors
///
/// A filter that cannot be read, named with what is wrong.
pub(crate) fn logs(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.filter)
        .map_err(|error| anyhow::anyhow!("log.filter \"{}\" is not valid: {error}", log.filter))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    match log.format {
        LogFormat::Pretty => builder.init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
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
