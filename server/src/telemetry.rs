//! Structured logs. A server logs to standard output. A command logs to standard error, because its standard output
//! carries its result.

use std::io;

use tracing_subscriber::{
    EnvFilter,
    fmt::{self, writer::BoxMakeWriter},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::config::{Config, LogFormat};

pub(crate) fn init(config: &Config, is_server: bool) {
    let filter = EnvFilter::try_new(&config.log_filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let output = if is_server { BoxMakeWriter::new(io::stdout) } else { BoxMakeWriter::new(io::stderr) };
    let registry = tracing_subscriber::registry().with(filter);
    match config.log_format {
        LogFormat::Json => registry.with(fmt::layer().with_writer(output).json().flatten_event(true)).init(),
        LogFormat::Pretty => registry.with(fmt::layer().with_writer(output)).init(),
    }
}
