//! Reads the configuration. No other module reads the environment. docs/operating.md lists every variable.

use std::{
    borrow::Cow,
    env,
    ffi::OsString,
    fmt::Display,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use ipnet::IpNet;
use thiserror::Error;
use tracing_subscriber::EnvFilter;
use vwaza::{
    backend::{
        BackupTarget, LimitSettings, MailSettings, QueueSettings, RetentionSettings, S3Settings, Settings,
        StorageSettings, SupabaseSettings, UploadSettings, days,
    },
    domain::media::MediaLimits,
};

use crate::{
    client::{ClientResolver, is_loopback_host},
    descriptors::CONNECTIONS_DEFAULT,
};

/// The highest count of a limit. Each counted request takes 8 bytes.
const LIMIT_MAX: u32 = 100_000;
/// The decoders log every frame that they reject at the level info.
const DEFAULT_LOG_FILTER: &str = "info,symphonia=warn";

#[derive(Debug, Error)]
#[error("{name} is {found}: it must be {expected}")]
pub(crate) struct ConfigError {
    name: Cow<'static, str>,
    found: String,
    expected: String,
}

impl ConfigError {
    fn new(name: impl Into<Cow<'static, str>>, value: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { name: name.into(), found: format!("“{}”", value.into()), expected: expected.into() }
    }

    fn unset(name: &'static str, expected: impl Into<String>) -> Self {
        Self { name: name.into(), found: "not set".into(), expected: expected.into() }
    }

    /// Whether the error is about one of these variables. A name that ends with `_` means all that begin with it.
    pub(crate) fn is_about(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.name == *name || (name.ends_with('_') && self.name.starts_with(name)))
    }

    /// An error without the value, which may hold a password.
    fn hidden(name: impl Into<Cow<'static, str>>, expected: impl Into<String>) -> Self {
        Self { name: name.into(), found: "not valid".into(), expected: expected.into() }
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
    /// `None`: use an embedded PostgreSQL in the data directory.
    pub(crate) database_url: Option<String>,
    pub(crate) data_dir: PathBuf,
    pub(crate) public_url: String,
    /// The public URL if the operator set it.
    pub(crate) advertised_url: Option<String>,
    pub(crate) storage: StorageSettings,
    pub(crate) media: MediaLimits,
    pub(crate) uploads: UploadSettings,
    pub(crate) queue: QueueSettings,
    pub(crate) retention: RetentionSettings,
    pub(crate) limits: LimitSettings,
    pub(crate) mail: MailSettings,
    /// The bytes that the integrity check reads in a day.
    integrity_bytes_per_day: u64,
    requires_verified_email: bool,
    requires_admin_two_factor: bool,
    /// The most connections, even if file descriptors allow more.
    pub(crate) max_connections: usize,
    /// Limit for one peer that is not a trusted proxy.
    connections_per_peer: usize,
    /// Proxies whose forwarding headers are believed. `None`: see `ClientResolver::new`.
    trusted_proxies: Option<Vec<IpNet>>,
    /// Bearer token for `/metrics`, for requests from other machines.
    pub(crate) metrics_token: Option<String>,
    /// Read only by builds for tests.
    pub(crate) fail_points: String,
    /// Time from the signal to the end of the process.
    pub(crate) shutdown_timeout: Duration,
    pub(crate) log_filter: String,
    pub(crate) log_format: LogFormat,
    /// The collector of traces, without the path of OTLP. `None`: no traces.
    pub(crate) traces_endpoint: Option<String>,
    /// The folder to which `cargo leptos` writes the site, for builds that do not embed it.
    #[cfg_attr(feature = "embed-site", expect(dead_code, reason = "the site is in the binary"))]
    pub(crate) site_root: PathBuf,
}

impl Config {
    /// Reads all settings, and lists those that are wrong. A default stands in for each of them.
    pub(crate) fn read() -> (Self, Vec<ConfigError>) {
        let mut env = Environment::default();
        let listen = env.parsed(
            "VWAZA_LISTEN",
            "an address and port, like 127.0.0.1:3000",
            SocketAddr::from(([127, 0, 0, 1], 3000)),
        );
        let uploads = UploadSettings::default();
        let queue = QueueSettings::default();
        let limits = LimitSettings::default();
        let mail = mail(&mut env);
        let advertised_url = env.text("VWAZA_PUBLIC_URL").map(|url| normalize_origin(url.trim().trim_end_matches('/')));
        let config = Self {
            listen,
            database_url: env.text("DATABASE_URL"),
            data_dir: env.text("VWAZA_DATA_DIR").unwrap_or_else(|| "./data".into()).into(),
            public_url: advertised_url.clone().unwrap_or_else(|| format!("http://{listen}")),
            advertised_url,
            storage: storage(&mut env),
            media: MediaLimits::of_mb(
                env.number("VWAZA_MAX_AUDIO_MB", 1..=1024 * 1024, 1024),
                env.number("VWAZA_MAX_COVER_MB", 1..=1024, 36),
            ),
            uploads: UploadSettings {
                expiry: Duration::from_secs(60 * 60 * env.number("VWAZA_UPLOAD_EXPIRY_HOURS", 1..=24 * 365, 24)),
                max_open: env.number("VWAZA_MAX_OPEN_UPLOADS", 1..=100_000, uploads.max_open),
                quota_bytes: env.number::<i64>("VWAZA_ARTIST_QUOTA_GB", 0..=1024 * 1024, 50) * 1024 * 1024 * 1024,
                reserve_bytes: env.number::<u64>("VWAZA_SPOOL_RESERVE_MB", 0..=1024 * 1024 * 1024 * 1024, 256)
                    * 1024
                    * 1024,
            },
            queue: QueueSettings {
                poll_interval: Duration::from_millis(env.number("VWAZA_JOB_POLL_MS", 10..=60_000, 5000)),
                lease: Duration::from_secs(env.number("VWAZA_JOB_LEASE_SECONDS", 1..=24 * 60 * 60, 60)),
                max_failures: env.number("VWAZA_JOB_MAX_RETRIES", 1..=100, queue.max_failures),
                attempt_timeout: Duration::from_secs(60 * env.number("VWAZA_JOB_ATTEMPT_MINUTES", 1..=7 * 24 * 60, 60)),
                examination_timeout: Duration::from_secs(env.number(
                    "VWAZA_EXAMINATION_SECONDS",
                    1..=7 * 24 * 60 * 60,
                    600,
                )),
                concurrency: env.number("VWAZA_WORKER_CONCURRENCY", 0..=64, queue.concurrency),
            },
            retention: RetentionSettings {
                orphan_grace: Duration::from_secs(env.number("VWAZA_ORPHAN_GRACE_SECONDS", 1..=30 * 24 * 60 * 60, 900)),
                replaced_object: days(env.number("VWAZA_REPLACED_OBJECT_DAYS", 0..=3650, 7)),
                completed_job: days(env.number("VWAZA_COMPLETED_JOB_DAYS", 0..=3650, 30)),
                audit_entry: days(env.number("VWAZA_AUDIT_DAYS", 30..=36_500, 1095)),
            },
            limits: LimitSettings {
                is_on: env.switch("VWAZA_RATE_LIMITS", limits.is_on),
                redis_url: env.text("REDIS_URL"),
                redis_timeout: Duration::from_millis(env.number("VWAZA_REDIS_TIMEOUT_MS", 1..=10_000, 50)),
                burst: env.number("VWAZA_LIMIT_BURST", 5..=LIMIT_MAX, limits.burst),
                api_per_minute: env.number("VWAZA_LIMIT_API_PER_MINUTE", 1..=LIMIT_MAX, limits.api_per_minute),
                sign_ups: env.number("VWAZA_LIMIT_SIGN_UPS", 1..=LIMIT_MAX, limits.sign_ups),
                sign_ins: env.number("VWAZA_LIMIT_SIGN_INS", 1..=LIMIT_MAX, limits.sign_ins),
                upload_creations: env.number("VWAZA_LIMIT_UPLOAD_CREATIONS", 1..=LIMIT_MAX, limits.upload_creations),
                upload_bytes_per_minute: env.number::<u64>(
                    "VWAZA_LIMIT_UPLOAD_MB_PER_MINUTE",
                    60..=1_000_000_000,
                    12_000,
                ) * 1_000_000,
                streams_per_user: env.number("VWAZA_LIMIT_STREAMS_PER_USER", 1..=LIMIT_MAX, limits.streams_per_user),
                streams_per_address: env.number(
                    "VWAZA_LIMIT_STREAMS_PER_ADDRESS",
                    1..=LIMIT_MAX,
                    limits.streams_per_address,
                ),
                failed_sign_ins: env.number("VWAZA_LIMIT_FAILED_SIGN_INS", 1..=LIMIT_MAX, limits.failed_sign_ins),
                reset_mails: env.number("VWAZA_LIMIT_RESET_MAILS", 1..=LIMIT_MAX, limits.reset_mails),
                requests_per_address: env.number(
                    "VWAZA_LIMIT_REQUESTS_PER_ADDRESS",
                    1..=LIMIT_MAX,
                    limits.requests_per_address,
                ),
                requests_per_user: env.number("VWAZA_LIMIT_REQUESTS_PER_USER", 1..=LIMIT_MAX, limits.requests_per_user),
            },
            integrity_bytes_per_day: env.number::<u64>("VWAZA_INTEGRITY_GB_PER_DAY", 0..=1024 * 1024, 100)
                * 1024
                * 1024
                * 1024,
            requires_admin_two_factor: env.switch("VWAZA_REQUIRE_ADMIN_TWO_FACTOR", false),
            requires_verified_email: env.switch("VWAZA_REQUIRE_VERIFIED_EMAIL", mail.smtp_url.is_some()),
            mail,
            max_connections: env.number("VWAZA_MAX_CONNECTIONS", 16..=1_000_000, CONNECTIONS_DEFAULT),
            connections_per_peer: env.number("VWAZA_LIMIT_CONNECTIONS_PER_PEER", 1..=100_000, 256),
            trusted_proxies: trusted_proxies(&mut env),
            metrics_token: env.text("VWAZA_METRICS_TOKEN"),
            fail_points: env.text("VWAZA_FAIL_POINTS").unwrap_or_default(),
            shutdown_timeout: Duration::from_secs(env.number("VWAZA_SHUTDOWN_SECONDS", 1..=3600, 8)),
            log_filter: match env.text("RUST_LOG").unwrap_or_else(|| DEFAULT_LOG_FILTER.into()) {
                filter if EnvFilter::try_new(&filter).is_ok() => filter,
                value => {
                    env.refuse(ConfigError::new("RUST_LOG", value, "a filter like info or warn,vwaza=debug"));
                    DEFAULT_LOG_FILTER.into()
                }
            },
            log_format: match env.text("VWAZA_LOG_FORMAT").as_deref() {
                None | Some("json") => LogFormat::Json,
                Some("pretty") => LogFormat::Pretty,
                Some(value) => {
                    env.refuse(ConfigError::new("VWAZA_LOG_FORMAT", value, "json or pretty"));
                    LogFormat::Json
                }
            },
            traces_endpoint: traces_endpoint(&mut env),
            site_root: env.text("LEPTOS_SITE_ROOT").unwrap_or_else(|| "target/site".into()).into(),
        };
        (config, env.problems)
    }

    /// Limit of open connections for one peer that is not a trusted proxy. `None`: no limit.
    pub(crate) fn connections_per_peer(&self) -> Option<usize> {
        self.limits.is_on.then_some(self.connections_per_peer)
    }

    pub(crate) fn client_resolver(&self) -> ClientResolver {
        ClientResolver::new(self.trusted_proxies.clone(), self.listen.ip(), &self.public_url)
    }

    /// Returns the secrets that no output may show: keys, and the passwords in addresses.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let urls = [&self.database_url, &self.limits.redis_url, &self.mail.smtp_url, &self.traces_endpoint];
        let passwords = urls.into_iter().flatten().filter_map(|url| password_in(url));
        let keys = match &self.storage {
            StorageSettings::Local => vec![],
            StorageSettings::S3(s3) => s3.options.clone(),
            StorageSettings::Supabase(supabase) => vec![(String::new(), supabase.service_role_key.clone())],
        };
        let is_secret = |name: &str| !["REGION", "ENDPOINT", "BUCKET", "HTTP"].iter().any(|word| name.contains(word));
        let keys = keys.into_iter().filter(|(name, _)| is_secret(name)).map(|(_, key)| key);
        let secrets = passwords.map(str::to_owned).chain(keys).chain(self.metrics_token.clone());
        secrets.filter(|secret| secret.len() > 3).collect()
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
            retention: self.retention.clone(),
            limits: self.limits.clone(),
            mail: self.mail.clone(),
            integrity_bytes_per_day: self.integrity_bytes_per_day,
            requires_verified_email: self.requires_verified_email,
            requires_admin_two_factor: self.requires_admin_two_factor,
            fail_points: self.fail_points.clone(),
        }
    }
}

/// The password of an address, as it is written there.
fn password_in(url: &str) -> Option<&str> {
    let authority = url.split_once("://")?.1.split(['/', '?']).next()?;
    Some(authority.rsplit_once('@')?.0.split_once(':')?.1)
}

/// Writes scheme and host in lower case and drops the scheme's default port, as browsers do in `Origin`.
fn normalize_origin(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (scheme, authority) = (scheme.to_ascii_lowercase(), authority.to_ascii_lowercase());
    let own_port = match scheme.as_str() {
        "https" => ":443",
        _ => ":80",
    };
    format!("{scheme}://{}{path}", authority.strip_suffix(own_port).unwrap_or(&authority))
}

/// Reads addresses and networks separated by commas or spaces. An empty value trusts no proxy.
fn trusted_proxies(env: &mut Environment) -> Option<Vec<IpNet>> {
    const NAME: &str = "VWAZA_TRUSTED_PROXIES";
    let value = env.utf8(NAME, env::var_os(NAME))?;
    let networks = value.split([',', ' ']).filter(|network| !network.is_empty()).filter_map(|network| {
        let parsed = network.parse::<IpNet>().or_else(|_| network.parse::<IpAddr>().map(IpNet::from)).ok();
        // A server that trusts every peer would believe whatever a client writes in the header.
        let parsed = parsed.filter(|network| network.prefix_len() > 0);
        if parsed.is_none() {
            let expected = "an address or a network smaller than /0, like 10.0.0.7 or 10.0.0.0/8";
            env.refuse(ConfigError::new(NAME, network, expected));
        }
        parsed
    });
    Some(networks.collect())
}

fn traces_endpoint(env: &mut Environment) -> Option<String> {
    const NAME: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let url = env.text(NAME)?;
    let uri = url.parse::<http::Uri>().ok();
    let is_http = uri.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
    if !is_http {
        // The address may hold a password.
        env.refuse(ConfigError::hidden(NAME, "an address like http://127.0.0.1:4318"));
    }
    is_http.then(|| url.trim_end_matches('/').to_owned())
}

/// Reads the mail settings. If mails leave this machine, a public URL is required, because their links lead back to it.
fn mail(env: &mut Environment) -> MailSettings {
    let timeout = Duration::from_secs(env.number("VWAZA_SMTP_TIMEOUT_SECONDS", 1..=600, 60));
    let files = MailSettings { timeout, ..MailSettings::default() };
    let Some(url) = env.text("SMTP_URL") else { return files };
    let uri = url.parse::<http::Uri>().ok();
    let host = uri.as_ref().filter(|uri| matches!(uri.scheme_str(), Some("smtp" | "smtps"))).and_then(http::Uri::host);
    let Some(host) = host else {
        env.refuse(ConfigError::hidden("SMTP_URL", "an address like smtps://user:password@mail.example"));
        return files;
    };
    let is_elsewhere = !is_loopback_host(host);
    if is_elsewhere && env.text("VWAZA_PUBLIC_URL").is_none() {
        env.refuse(ConfigError::unset(
            "VWAZA_PUBLIC_URL",
            "the address that links in mails lead to, because SMTP_URL is set",
        ));
    }
    let from = env.required("MAIL_FROM", "a sender like Vwaza <noreply@music.example>, because SMTP_URL is set");
    // Passwords and links never cross a network unencrypted, unless the operator allows it with `tls=opportunistic`.
    let url = match uri.as_ref().and_then(http::Uri::query) {
        None if is_elsewhere && url.starts_with("smtp://") => format!("{}?tls=required", url.trim_end_matches('?')),
        None | Some("tls=required" | "tls=opportunistic") => url,
        Some(_) => {
            let expected = "an address without a query, or with ?tls=required or ?tls=opportunistic";
            env.refuse(ConfigError::hidden("SMTP_URL", expected));
            return files;
        }
    };
    MailSettings { smtp_url: Some(url), from, timeout }
}

fn storage(env: &mut Environment) -> StorageSettings {
    match env.text("VWAZA_STORAGE").as_deref() {
        None | Some("local") => StorageSettings::Local,
        Some("s3") => StorageSettings::S3(S3Settings {
            bucket: env.required("S3_BUCKET", "the name of a bucket, because VWAZA_STORAGE is s3"),
            options: aws_options(env, ""),
        }),
        Some("supabase") => StorageSettings::Supabase(SupabaseSettings {
            url: env
                .required("SUPABASE_URL", "the project's address, because VWAZA_STORAGE is supabase")
                .trim_end_matches('/')
                .to_owned(),
            service_role_key: env.required(
                "SUPABASE_SERVICE_ROLE_KEY",
                "the project's service role key, because VWAZA_STORAGE is supabase",
            ),
            bucket: env.required("SUPABASE_BUCKET", "the name of a bucket, because VWAZA_STORAGE is supabase"),
        }),
        Some(value) => {
            env.refuse(ConfigError::new("VWAZA_STORAGE", value, "local, s3 or supabase"));
            StorageSettings::Local
        }
    }
}

/// Reads the settings of an S3 client: the variables whose names begin with `prefix` and `AWS_`, by the rest of their
/// names.
fn aws_options(env: &mut Environment, prefix: &str) -> Vec<(String, String)> {
    let named = env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    let options = named.filter_map(|(name, value)| {
        let option = name.strip_prefix(prefix).filter(|option| option.starts_with("AWS_") && !value.is_empty())?;
        Some((option.to_owned(), name.clone(), value))
    });
    options.map(|(option, name, value)| (option, env.utf8(name, Some(value)).unwrap_or_default())).collect()
}

/// Reads where a backup goes: a folder, or `s3://bucket/path` with settings of its own.
pub(crate) fn backup_target(target: &str) -> Result<BackupTarget, ConfigError> {
    let Some(place) = target.strip_prefix("s3://") else { return Ok(BackupTarget::Folder(target.into())) };
    let (bucket, path) = place.split_once('/').unwrap_or((place, ""));
    let path = path.trim_matches('/');
    if bucket.is_empty() {
        return Err(ConfigError::new("TARGET", target, "a folder, or an address like s3://bucket/path"));
    }
    let mut env = Environment::default();
    let options = aws_options(&mut env, "VWAZA_BACKUP_");
    if let Some(problem) = env.problems.into_iter().next() {
        return Err(problem);
    }
    Ok(BackupTarget::S3 {
        bucket: S3Settings { bucket: bucket.to_owned(), options },
        prefix: if path.is_empty() { String::new() } else { format!("{path}/") },
    })
}

/// Reads variables, and collects those that are wrong. A default stands in for each of them.
#[derive(Default)]
struct Environment {
    problems: Vec<ConfigError>,
}

impl Environment {
    fn refuse(&mut self, problem: ConfigError) {
        self.problems.push(problem);
    }

    fn required(&mut self, name: &'static str, expected: &str) -> String {
        self.text(name).unwrap_or_else(|| {
            self.refuse(ConfigError::unset(name, expected));
            String::new()
        })
    }

    /// Reads a variable. An empty value counts as unset. A value that is not UTF-8 is an error, because a default would
    /// mean another folder or another database.
    fn text(&mut self, name: &'static str) -> Option<String> {
        self.utf8(name, env::var_os(name)).filter(|value| !value.is_empty())
    }

    fn utf8(&mut self, name: impl Into<Cow<'static, str>>, value: Option<OsString>) -> Option<String> {
        value?.into_string().map_err(|_| self.refuse(ConfigError::hidden(name, "text in UTF-8"))).ok()
    }

    fn parsed<T: FromStr>(&mut self, name: &'static str, expected: &'static str, unset: T) -> T {
        let Some(value) = self.text(name) else { return unset };
        value.parse().unwrap_or_else(|_| {
            self.refuse(ConfigError::new(name, value, expected));
            unset
        })
    }

    fn switch(&mut self, name: &'static str, unset: bool) -> bool {
        match self.text(name).as_deref() {
            None => unset,
            Some("on") => true,
            Some("off") => false,
            Some(value) => {
                self.refuse(ConfigError::new(name, value, "on or off"));
                unset
            }
        }
    }

    /// Reads a number. The range ensures that no sum or product of it overflows and that no timeout is endless.
    fn number<T: FromStr + PartialOrd + Display>(
        &mut self,
        name: &'static str,
        range: RangeInclusive<T>,
        unset: T,
    ) -> T {
        let Some(value) = self.text(name) else { return unset };
        value.parse().ok().filter(|number| range.contains(number)).unwrap_or_else(|| {
            let expected = format!("a number from {} to {}", range.start(), range.end());
            self.refuse(ConfigError::new(name, value, expected));
            unset
        })
    }
}
