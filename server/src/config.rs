//! The only reader of the environment. README's table lists every variable.

use std::{env, fmt::Display, net::SocketAddr, ops::RangeInclusive, path::PathBuf, str::FromStr, time::Duration};

use thiserror::Error;
use tracing_subscriber::EnvFilter;
use vwaza::{
    backend::{
        KeepingSettings, QueueSettings, S3Settings, Settings, StorageSettings, SupabaseSettings, UploadSettings, days,
    },
    domain::media::MediaLimits,
};

/// The decoders tell of every frame that they do not like, at the level of information.
const DEFAULT_LOG_FILTER: &str = "info,symphonia=warn";

#[derive(Debug, Error)]
#[error("{name} is “{value}”, which is not {expected}")]
pub(crate) struct ConfigError {
    name: &'static str,
    value: String,
    expected: String,
}

impl ConfigError {
    fn new(name: &'static str, value: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { name, value: value.into(), expected: expected.into() }
    }
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
    pub(crate) storage: StorageSettings,
    pub(crate) media: MediaLimits,
    pub(crate) uploads: UploadSettings,
    pub(crate) queue: QueueSettings,
    pub(crate) keeping: KeepingSettings,
    /// For `/metrics`, where the peer is not on this machine.
    pub(crate) metrics_token: Option<String>,
    /// Only in builds for tests.
    pub(crate) fail_points: String,
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
            storage: storage()?,
            media: MediaLimits::of_mb(
                number("VWAZA_MAX_AUDIO_MB", 1..=1024 * 1024, 1024)?,
                number("VWAZA_MAX_COVER_MB", 1..=1024, 36)?,
            ),
            uploads: UploadSettings {
                expiry: Duration::from_secs(60 * 60 * number("VWAZA_UPLOAD_EXPIRY_HOURS", 1..=24 * 365, 24)?),
                max_open: number("VWAZA_MAX_OPEN_UPLOADS", 1..=100_000, uploads.max_open)?,
                quota_bytes: number::<i64>("VWAZA_ARTIST_QUOTA_GB", 0..=1024 * 1024, 50)? * 1024 * 1024 * 1024,
                reserve_bytes: number::<u64>("VWAZA_SPOOL_RESERVE_MB", 0..=1024 * 1024 * 1024 * 1024, 256)?
                    * 1024
                    * 1024,
            },
            queue: QueueSettings {
                poll: Duration::from_millis(number("VWAZA_JOB_POLL_MS", 10..=60_000, 5000)?),
                lease: Duration::from_secs(number("VWAZA_JOB_LEASE_SECONDS", 1..=24 * 60 * 60, 60)?),
                max_failures: number("VWAZA_JOB_MAX_RETRIES", 1..=100, queue.max_failures)?,
                attempt_max: Duration::from_secs(60 * number("VWAZA_JOB_ATTEMPT_MINUTES", 1..=7 * 24 * 60, 60)?),
                concurrency: number("VWAZA_WORKER_CONCURRENCY", 0..=64, queue.concurrency)?,
            },
            keeping: KeepingSettings {
                orphan_grace: Duration::from_secs(number("VWAZA_ORPHAN_GRACE_SECONDS", 1..=30 * 24 * 60 * 60, 900)?),
                replaced_object: days(number("VWAZA_REPLACED_OBJECT_DAYS", 0..=3650, 7)?),
                completed_job: days(number("VWAZA_COMPLETED_JOB_DAYS", 0..=3650, 30)?),
            },
            metrics_token: text("VWAZA_METRICS_TOKEN"),
            fail_points: text("VWAZA_FAIL_POINTS").unwrap_or_default(),
            shutdown: Duration::from_secs(number("VWAZA_SHUTDOWN_SECONDS", 1..=3600, 8)?),
            log_filter: match text("RUST_LOG").unwrap_or_else(|| DEFAULT_LOG_FILTER.into()) {
                filter if EnvFilter::try_new(&filter).is_ok() => filter,
                value => return Err(ConfigError::new("RUST_LOG", value, "a filter like info or warn,vwaza=debug")),
            },
            log_format: match text("VWAZA_LOG_FORMAT").as_deref() {
                None | Some("json") => LogFormat::Json,
                Some("pretty") => LogFormat::Pretty,
                Some(value) => {
                    return Err(ConfigError::new("VWAZA_LOG_FORMAT", value, "json or pretty"));
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
            storage: self.storage.clone(),
            media: self.media,
            uploads: self.uploads.clone(),
            queue: self.queue.clone(),
            keeping: self.keeping.clone(),
            fail_points: self.fail_points.clone(),
        }
    }
}

fn storage() -> Result<StorageSettings, ConfigError> {
    match text("VWAZA_STORAGE").as_deref() {
        None | Some("local") => Ok(StorageSettings::Local),
        Some("s3") => Ok(StorageSettings::S3(S3Settings {
            bucket: required("S3_BUCKET", "the name of a bucket; VWAZA_STORAGE=s3 needs it")?,
            options: aws_options(),
        })),
        Some("supabase") => Ok(StorageSettings::Supabase(SupabaseSettings {
            url: required("SUPABASE_URL", "the project's address; VWAZA_STORAGE=supabase needs it")?
                .trim_end_matches('/')
                .to_owned(),
            service_role_key: required("SUPABASE_SERVICE_ROLE_KEY", "a key; VWAZA_STORAGE=supabase needs it")?,
            bucket: required("SUPABASE_BUCKET", "the name of a bucket; VWAZA_STORAGE=supabase needs it")?,
        })),
        Some(value) => Err(ConfigError::new("VWAZA_STORAGE", value, "local, s3 or supabase")),
    }
}

fn aws_options() -> Vec<(String, String)> {
    let texts = env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    texts.filter(|(name, value)| name.starts_with("AWS_") && !value.is_empty()).collect()
}

fn required(name: &'static str, expected: &str) -> Result<String, ConfigError> {
    text(name).ok_or_else(|| ConfigError::new(name, "", expected))
}

fn text(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn parse<T: FromStr>(name: &'static str, expected: &'static str, unset: T) -> Result<T, ConfigError> {
    match text(name) {
        None => Ok(unset),
        Some(value) => value.parse().map_err(|_| ConfigError::new(name, value, expected)),
    }
}

/// Bounded, so that no sum or product of it overflows and nothing waits for ever.
fn number<T: FromStr + PartialOrd + Display>(
    name: &'static str,
    range: RangeInclusive<T>,
    unset: T,
) -> Result<T, ConfigError> {
    let Some(value) = text(name) else { return Ok(unset) };
    let number = value.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| ConfigError::new(name, value, format!("a number from {} to {}", range.start(), range.end())))
}
