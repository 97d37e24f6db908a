//! Structured logs. A server logs to standard output, through a queue. A command logs to standard error, because its
//! standard output carries its result.

use std::{
    fs::File,
    io,
    os::fd::AsFd,
    panic::{PanicHookInfo, set_hook},
    sync::Arc,
    time::Duration,
};

use tracing_subscriber::{
    EnvFilter,
    fmt::{self, writer::BoxMakeWriter},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};
use vwaza::backend::backtrace;

use crate::{
    config::{Config, LogFormat},
    log_queue::LogQueue,
};

/// The longest time for which the end of the process waits for its last log lines.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Writes the last log lines when it is dropped.
pub(crate) struct Telemetry {
    log: Option<Arc<LogQueue>>,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(log) = &self.log {
            log.close(FLUSH_TIMEOUT);
        }
    }
}

/// Installs the log. Keep the result until the process ends.
pub(crate) fn init(config: &Config, is_server: bool) -> io::Result<Telemetry> {
    let filter = EnvFilter::try_new(&config.log_filter).unwrap_or_else(|_| EnvFilter::new("info"));
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
    let registry = tracing_subscriber::registry().with(filter);
    match config.log_format {
        LogFormat::Json => {
            let lines = fmt::layer().with_writer(writer).json().flatten_event(true).with_span_list(false);
            registry.with(lines).init();
        }
        LogFormat::Pretty => registry.with(fmt::layer().with_writer(writer)).init(),
    }
    set_hook(Box::new(log_panic));
    Ok(Telemetry { log })
}

/// Logs a panic with its backtrace. It runs in the span of the work that panicked, so the line names its request or job.
fn log_panic(panic: &PanicHookInfo<'_>) {
    metrics::counter!("vwaza_panics_total").increment(1);
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(cause = panic.payload_as_str(), place, backtrace = backtrace(), "panicked");
}
