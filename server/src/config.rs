//! The only reader of the environment. README's table lists every variable.

use std::{env, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use thiserror::Error;
use vwaza::{
    backend::{QueueSettings, Settings, UploadSettings},
    domain::media::MediaLimits,
};

#[derive(Debug, Error)]
#[error("{name} is “{value}”, which is not {expected}")]
pub(crate) struct ConfigError {
    name: &'static str,
    value: String,
    expected: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Json,
    Pretty,
}

#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    /// Unset: an embedded PostgreSQL under the data directory.
    pub(crate) database_url: Option<String>,
    pub(crate) data_dir: PathBuf,
    pub(crate) public_url: String,
    pub(crate) media: MediaLimits,
    pub(crate) uploads: UploadSettings,
    pub(crate) queue: QueueSettings,
    /// From the signal to the end of the process.
    pub(crate) shutdown: Duration,
    pub(crate) log_filter: String,
    pub(crate) log_format: LogFormat,
    /// Where `cargo leptos` has put the site, for builds that do not carry it inside.
    #[cfg_attr(feature = "embed-site", expect(dead_code, reason = "the site is in the binary"))]
    pub(crate) site_root: PathBuf,
}

impl Config {
    pub(crate) fn from_env() -> Result<Self, ConfigError> {
        let listen = parse(
            "VWAZA_LISTEN",
            "an address and port, like 127.0.0.1:3000",
            SocketAddr::from(([127, 0, 0, 1], 3000)),
        )?;
        let megabytes = "a number of megabytes";
        let seconds = "a number of seconds";
        let uploads = UploadSettings::default();
        let queue = QueueSettings::default();
        Ok(Self {
            listen,
            database_url: text("DATABASE_URL"),
            data_dir: text("VWAZA_DATA_DIR").unwrap_or_else(|| "./data".into()).into(),
            public_url: text("VWAZA_PUBLIC_URL")
                .unwrap_or_else(|| format!("http://{listen}"))
                .trim_end_matches('/')
                .to_owned(),
            media: MediaLimits::of_mb(
                parse("VWAZA_MAX_AUDIO_MB", megabytes, 1024)?,
                parse("VWAZA_MAX_COVER_MB", megabytes, 36)?,
            ),
            uploads: UploadSettings {
                expiry: Duration::from_secs(60 * 60 * parse("VWAZA_UPLOAD_EXPIRY_HOURS", "a number of hours", 24)?),
                max_open: parse("VWAZA_MAX_OPEN_UPLOADS", "a number", uploads.max_open)?,
                quota_bytes: parse::<i64>("VWAZA_ARTIST_QUOTA_GB", "a number of gigabytes", 50)? * 1024 * 1024 * 1024,
            },
            queue: QueueSettings {
                poll: Duration::from_millis(parse("VWAZA_JOB_POLL_MS", "a number of milliseconds", 5000)?),
                lease: Duration::from_secs(parse("VWAZA_JOB_LEASE_SECONDS", seconds, 60)?),
                max_failures: parse("VWAZA_JOB_MAX_RETRIES", "a number", queue.max_failures)?,
                concurrency: parse("VWAZA_WORKER_CONCURRENCY", "a number", queue.concurrency)?,
            },
            shutdown: Duration::from_secs(parse("VWAZA_SHUTDOWN_SECONDS", seconds, 8)?),
            log_filter: text("RUST_LOG").unwrap_or_else(|| "info".into()),
            log_format: match text("VWAZA_LOG_FORMAT").as_deref() {
                None | Some("json") => LogFormat::Json,
                Some("pretty") => LogFormat::Pretty,
                Some(value) => {
                    return Err(ConfigError {
                        name: "VWAZA_LOG_FORMAT",
                        value: value.into(),
                        expected: "json or pretty",
                    });
                }
            },
            site_root: text("LEPTOS_SITE_ROOT").unwrap_or_else(|| "target/site".into()).into(),
        })
    }

    pub(crate) fn settings(&self, database_url: String) -> Settings {
        Settings {
            database_url,
            data_dir: self.data_dir.clone(),
            public_url: self.public_url.clone(),
            media: self.media,
            uploads: self.uploads.clone(),
            queue: self.queue.clone(),
        }
    }
}

fn text(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn parse<T: FromStr>(name: &'static str, expected: &'static str, unset: T) -> Result<T, ConfigError> {
    match text(name) {
        None => Ok(unset),
        Some(value) => value.parse().map_err(|_| ConfigError { name, value, expected }),
    }
}
