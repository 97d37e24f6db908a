//! Structured logs, and traces if the operator wants them. A server logs to standard output, through a queue. A command
//! logs to standard error, because its standard output carries its result.

use std::{
    error::Error,
    fs::File,
    io,
    os::fd::AsFd,
    panic::{PanicHookInfo, set_hook},
    sync::Arc,
    time::Duration,
};

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    trace::{SdkTracerProvider, SpanData, SpanExporter},
};
use tokio::runtime::Handle;
use tracing::{Level, Metadata, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt, dynamic_filter_fn, filter_fn},
    fmt::{self, writer::BoxMakeWriter},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};
use vwaza::backend::{backtrace, cause::TRACE_ONLY, install_tls};

use crate::{
    config::{Config, LogFormat},
    log_queue::LogQueue,
};

/// The longest time for which the end of the process waits for its last log lines.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest time for which the end of the process waits for its last spans.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(1);

/// Sends the last spans and writes the last log lines when it is dropped. The runtime must still run then.
pub(crate) struct Telemetry {
    log: Option<Arc<LogQueue>>,
    traces: Option<SdkTracerProvider>,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(traces) = &self.traces
            && let Err(error) = traces.shutdown_with_timeout(EXPORT_TIMEOUT)
        {
            tracing::warn!(error = ?error, "the last spans were not sent");
        }
        if let Some(log) = &self.log {
            log.close(FLUSH_TIMEOUT);
        }
    }
}

/// Installs the log, and the export of traces. Keep the result until the process ends.
pub(crate) fn init(
    config: &Config,
    is_server: bool,
    runtime: &Handle,
) -> Result<Telemetry, Box<dyn Error + Send + Sync>> {
    let log = if is_server {
        // Writing to the descriptor itself takes no lock of the standard library, which would wait with a full pipe.
        Some(LogQueue::start(File::from(io::stdout().as_fd().try_clone_to_owned()?))?)
    } else {
        None
    };
    let writer = match &log {
        Some(log) => BoxMakeWriter::new(Arc::clone(log)),
        None => BoxMakeWriter::new(io::stderr),
    };
    let filter = EnvFilter::try_new(&config.log_filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let filter = filter.and(filter_fn(|metadata| metadata.target() != TRACE_ONLY));
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match config.log_format {
        LogFormat::Json => {
            let lines = fmt::layer().with_writer(writer).json().flatten_event(true).with_span_list(false);
            lines.with_filter(filter).boxed()
        }
        LogFormat::Pretty => fmt::layer().with_writer(writer).with_filter(filter).boxed(),
    };
    let traces = match &config.traces_endpoint {
        Some(endpoint) if is_server => Some(export_to(endpoint, runtime)?),
        _ => None,
    };
    let spans = traces.as_ref().map(|traces| {
        // The filter is asked for each span, although it always gives the same answer. Otherwise a span gets the answer
        // of the last event that somebody asked about and did not log, as sqlx does after each query.
        let ours = dynamic_filter_fn(|metadata, _| is_ours(metadata)).with_max_level_hint(LevelFilter::INFO);
        tracing_opentelemetry::layer().with_tracer(traces.tracer("vwaza")).with_filter(ours)
    });
    tracing_subscriber::registry().with(lines).with(spans).init();
    set_hook(Box::new(log_panic));
    Ok(Telemetry { log, traces })
}

/// Whether spans and events are of the product, and not of a library.
fn is_ours(metadata: &Metadata<'_>) -> bool {
    let name = metadata.target().split("::").next();
    matches!(name, Some("vwaza" | "app")) && *metadata.level() <= Level::INFO
}

/// Logs a panic with its backtrace. It runs in the span of the work that panicked, so the line names its request or job.
fn log_panic(panic: &PanicHookInfo<'_>) {
    metrics::counter!("vwaza_panics_total").increment(1);
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(cause = panic.payload_as_str(), place, backtrace = backtrace(), "panicked");
}

/// Exports spans in batches, by OTLP over HTTP. If they are not taken in time, spans are lost and nobody waits.
fn export_to(endpoint: &str, runtime: &Handle) -> Result<SdkTracerProvider, Box<dyn Error + Send + Sync>> {
    install_tls();
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{endpoint}/v1/traces"))
        .build()?;
    let exporter = OnRuntime { exporter: Arc::new(exporter), runtime: runtime.clone() };
    let resource = Resource::builder().with_service_name("vwaza").build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// Exports on the server's runtime: the thread that makes the batches has none, and an HTTP client needs one.
#[derive(Debug)]
struct OnRuntime {
    exporter: Arc<opentelemetry_otlp::SpanExporter>,
    runtime: Handle,
}

impl SpanExporter for OnRuntime {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let exporter = Arc::clone(&self.exporter);
        let exported = self.runtime.spawn(async move { exporter.export(batch).await });
        exported.await.unwrap_or_else(|error| Err(OTelSdkError::InternalFailure(error.to_string())))
    }

    fn set_resource(&mut self, resource: &Resource) {
        if let Some(exporter) = Arc::get_mut(&mut self.exporter) {
            exporter.set_resource(resource);
        }
    }
}
