//! Traces for OpenTelemetry: a span per request, sent in batches over OTLP.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracerProvider, Tracer};
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{Filtered, Targets};
use tracing_subscriber::registry::LookupSpan;

/// The target of the spans that are sent; nothing else ever leaves.
const TARGET: &str = "headcount::request";

/// Sends the last traces when it is dropped.
pub(crate) struct Exporter(Option<SdkTracerProvider>);

impl Drop for Exporter {
    fn drop(&mut self) {
        let Some(provider) = &self.0 else { return };
        if let Err(error) = provider.shutdown() {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

type Traces<S> = Filtered<OpenTelemetryLayer<S, Tracer>, Targets, S>;

/// Makes the layer that turns spans into traces; none without an address.
pub(super) fn layer<S>(url: Option<&str>) -> anyhow::Result<(Option<Traces<S>>, Exporter)>
where
    S: Subscriber + for<'s> LookupSpan<'s> + Send + Sync,
{
    let Some(url) = url else { return Ok((None, Exporter(None))) };
    let exporter = SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary);
    let exporter = exporter.with_endpoint(url).build();
    // Neither the setting nor the library's error is repeated: they may contain a key.
    let exporter = exporter.map_err(|_error| {
        anyhow::anyhow!(
            "telemetry.otlp_url: must be an address such as http://127.0.0.1:4318/v1/traces"
        )
    })?;
    let service = Resource::builder().with_service_name("headcount").build();
    let provider =
        SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(service).build();
    let tracer = provider.tracer("headcount");
    let spans = Targets::new().with_target(TARGET, tracing::Level::DEBUG);
    let layer = tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_filter(spans);
    Ok((Some(layer), Exporter(Some(provider))))
}
