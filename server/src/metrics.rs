//! `GET /metrics` for Prometheus. The table [`METRICS`] describes every metric; docs/metrics.md lists them for operators.

use std::{
    fs,
    net::SocketAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    extract::{ConnectInfo, State},
    response::IntoResponse,
};
use axum_extra::headers::{Authorization, HeaderMapExt, authorization::Bearer};
use http::{HeaderMap, StatusCode, header};
use metrics::{Label, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::sleep;
use vwaza::{
    backend::{Backend, PoolUsage, QueueStats},
    domain::{circuit::CircuitState, problem::Problem, queue_page::JOB_KINDS},
};

use crate::{client::FORWARDING, descriptors, errors::HandlerResult, state::AppState};

/// Bucket limits in seconds for answers: from a health check to a request that carries a file.
const ANSWER_BUCKETS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Bucket limits in seconds for calls to the storage, and for jobs: from a small cover to an hour of music.
const WORK_BUCKETS: &[f64] = &[0.01, 0.05, 0.2, 0.5, 1.0, 3.0, 10.0, 30.0, 120.0, 600.0];
/// Bucket limits in seconds for waits that should not be noticed.
const WAIT_BUCKETS: &[f64] = &[0.0005, 0.002, 0.01, 0.05, 0.2, 1.0, 5.0];
/// The interval at which recorded durations are folded into their histograms, even if nobody reads the metrics.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

struct Metric {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    labels: &'static [(&'static str, Values)],
}

enum Kind {
    Counter,
    /// A counter of bytes or seconds.
    CounterOf(Unit),
    Gauge,
    GaugeOf(Unit),
    /// A histogram of seconds, with the limits of its buckets.
    Seconds(&'static [f64]),
}

/// The values of a label. There are never many: each costs a time series.
enum Values {
    /// These values. Each is there from the start, so that rates are right from the first event on.
    These(&'static [&'static str]),
    /// Route templates, or statuses that the server sends.
    Few,
}

use Kind::{Counter, CounterOf, Gauge, GaugeOf, Seconds};
use Values::{Few, These};

const KINDS: Values = These(&["store", "examine"]);
const POOLS: Values = These(&["main", "queue", "uploads"]);

/// Every metric. To add one, add its row here and in docs/metrics.md, and record it where it happens.
const METRICS: &[Metric] = &[
    // Requests
    Metric {
        name: "vwaza_http_requests_total",
        kind: Counter,
        help: "Answers, by method, route template and status.",
        labels: &[("method", Few), ("route", Few), ("status", Few)],
    },
    Metric {
        name: "vwaza_http_request_duration_seconds",
        kind: Seconds(ANSWER_BUCKETS),
        help: "Time from the head of a request to the head of its answer.",
        labels: &[("route", Few)],
    },
    Metric {
        name: "vwaza_rate_limited_total",
        kind: Counter,
        help: "Requests that were refused with 429.",
        labels: &[(
            "rule",
            These(&[
                "api",
                "sign-up",
                "sign-in",
                "upload-creation",
                "failed-sign-in",
                "reset-mail",
                "code",
                "current-password",
                "reset-request",
                "verification-mail",
                "requests-of-address",
                "requests-of-user",
                "event-streams",
                "burst",
            ]),
        )],
    },
    Metric {
        name: "vwaza_connections_rejected_total",
        kind: Counter,
        help: "Connections that were closed at once.",
        labels: &[("reason", These(&["peer_limit", "all_taken"]))],
    },
    // Uploads
    Metric {
        name: "vwaza_uploads_total",
        kind: Counter,
        help: "Uploads that reached a state.",
        labels: &[("outcome", These(&["created", "received", "attached", "superseded", "refused", "failed"]))],
    },
    Metric {
        name: "vwaza_upload_refusals_total",
        kind: Counter,
        help: "Files that were refused, and uploads that were not begun.",
        labels: &[(
            "reason",
            These(&[
                "too_large",
                "wrong_kind",
                "empty",
                "incomplete",
                "damaged",
                "cannot_decode",
                "outside_limits",
                "checksum_mismatch",
                "lost",
                "quota",
                "too_many_open",
            ]),
        )],
    },
    Metric {
        name: "vwaza_upload_failures_total",
        kind: Counter,
        help: "Requests with bytes that failed, and uploads that could not be stored.",
        labels: &[(
            "reason",
            These(&["interrupted", "displaced", "checksum_mismatch", "too_long", "disk_full", "fault", "not_stored"]),
        )],
    },
    Metric {
        name: "vwaza_upload_bytes_total",
        kind: CounterOf(Unit::Bytes),
        help: "Bytes of uploads that were written to the spool.",
        labels: &[],
    },
    Metric {
        name: "vwaza_uploads_open",
        kind: Gauge,
        help: "Uploads that are not stored yet, of all processes.",
        labels: &[("state", These(&["receiving", "received"]))],
    },
    Metric {
        name: "vwaza_spooled_bytes",
        kind: GaugeOf(Unit::Bytes),
        help: "Bytes of uploads that only the spools hold, of all processes.",
        labels: &[],
    },
    // Jobs
    Metric {
        name: "vwaza_jobs",
        kind: Gauge,
        help: "Unfinished jobs of all processes.",
        labels: &[("kind", KINDS), ("state", These(&["due", "later", "running", "dead"]))],
    },
    Metric {
        name: "vwaza_oldest_due_job_seconds",
        kind: GaugeOf(Unit::Seconds),
        help: "Time that the job that has been due for longest has waited.",
        labels: &[],
    },
    Metric {
        name: "vwaza_jobs_total",
        kind: Counter,
        help: "Job attempts that ended.",
        labels: &[("kind", KINDS), ("outcome", These(&["completed", "failed", "handed_back", "lost"]))],
    },
    Metric {
        name: "vwaza_job_duration_seconds",
        kind: Seconds(WORK_BUCKETS),
        help: "Duration of job attempts.",
        labels: &[("kind", KINDS)],
    },
    Metric {
        name: "vwaza_job_retries_total",
        kind: Counter,
        help: "Failed attempts after which the job is tried again.",
        labels: &[("kind", KINDS)],
    },
    Metric {
        name: "vwaza_job_dead_letters_total",
        kind: Counter,
        help: "Jobs that became dead letters.",
        labels: &[("kind", KINDS)],
    },
    Metric { name: "vwaza_job_panics_total", kind: Counter, help: "Job attempts that ended in a panic.", labels: &[] },
    Metric { name: "vwaza_decoder_threads", kind: Gauge, help: "Threads that are decoding a file.", labels: &[] },
    // Storage
    Metric {
        name: "vwaza_storage_circuit",
        kind: Gauge,
        help: "Circuit breaker of the storage: 0 closed, 1 half open, 2 open.",
        labels: &[],
    },
    Metric {
        name: "vwaza_storage_probes_total",
        kind: Counter,
        help: "Probes of the storage.",
        labels: &[("outcome", These(&["answered", "failed"]))],
    },
    Metric {
        name: "vwaza_storage_duration_seconds",
        kind: Seconds(WORK_BUCKETS),
        help: "Duration of calls to the storage. A read lasts until the object is open.",
        labels: &[
            ("operation", These(&["read", "write", "delete", "check"])),
            ("outcome", These(&["answered", "failed"])),
        ],
    },
    Metric {
        name: "vwaza_stored_bytes",
        kind: GaugeOf(Unit::Bytes),
        help: "Bytes in the storage, updated once an hour.",
        labels: &[("kind", These(&["original", "derived"]))],
    },
    // Database
    Metric { name: "vwaza_database_up", kind: Gauge, help: "Whether the database answers: 1 or 0.", labels: &[] },
    Metric {
        name: "vwaza_db_connections",
        kind: Gauge,
        help: "Connections to the database.",
        labels: &[("pool", POOLS), ("state", These(&["in_use", "idle"]))],
    },
    Metric {
        name: "vwaza_db_connections_max",
        kind: Gauge,
        help: "The largest number of connections of a pool.",
        labels: &[("pool", POOLS)],
    },
    Metric {
        name: "vwaza_db_wait_seconds",
        kind: Seconds(WAIT_BUCKETS),
        help: "Time that a caller waited for a connection. In the main pool, only transactions are measured.",
        labels: &[("pool", POOLS)],
    },
    // Mail
    Metric {
        name: "vwaza_mails_total",
        kind: Counter,
        help: "Attempts to send a mail.",
        labels: &[("outcome", These(&["sent", "dropped", "refused", "failed"]))],
    },
    Metric {
        name: "vwaza_mails_waiting",
        kind: Gauge,
        help: "Mails that are due or wait for their next attempt, of all processes.",
        labels: &[],
    },
    Metric {
        name: "vwaza_oldest_due_mail_seconds",
        kind: GaugeOf(Unit::Seconds),
        help: "Time that the mail that has been due for longest has waited.",
        labels: &[],
    },
    // Backups
    Metric {
        name: "vwaza_backup_ended_timestamp_seconds",
        kind: GaugeOf(Unit::Seconds),
        help: "End of the latest backup, in seconds since 1970. Absent before the first one.",
        labels: &[],
    },
    Metric {
        name: "vwaza_backup_bytes",
        kind: GaugeOf(Unit::Bytes),
        help: "Bytes of all that the latest backup names.",
        labels: &[],
    },
    Metric {
        name: "vwaza_backup_missing_files",
        kind: Gauge,
        help: "Files that the latest backup lacks.",
        labels: &[],
    },
    // The integrity check
    Metric {
        name: "vwaza_integrity_damaged_objects",
        kind: Gauge,
        help: "Objects that the latest run of the integrity check found damaged or missing.",
        labels: &[],
    },
    Metric {
        name: "vwaza_integrity_objects",
        kind: Gauge,
        help: "Objects that the latest run of the integrity check read.",
        labels: &[],
    },
    Metric {
        name: "vwaza_integrity_ended_timestamp_seconds",
        kind: GaugeOf(Unit::Seconds),
        help: "End of the latest run of the integrity check, in seconds since 1970. Absent before the first one.",
        labels: &[],
    },
    // The process
    Metric { name: "vwaza_panics_total", kind: Counter, help: "Panics, of requests and jobs alike.", labels: &[] },
    Metric {
        name: "vwaza_log_lines_lost_total",
        kind: Counter,
        help: "Log lines that were lost because nobody read the log in time.",
        labels: &[],
    },
    Metric {
        name: "process_resident_memory_bytes",
        kind: GaugeOf(Unit::Bytes),
        help: "Memory of the process that is in use.",
        labels: &[],
    },
    Metric { name: "process_open_fds", kind: Gauge, help: "File descriptors that the process has open.", labels: &[] },
    Metric { name: "process_max_fds", kind: Gauge, help: "File descriptors that the process may open.", labels: &[] },
    Metric {
        name: "process_start_time_seconds",
        kind: GaugeOf(Unit::Seconds),
        help: "Start of the process, in seconds since 1970.",
        labels: &[],
    },
];

impl Metric {
    /// Describes the metric, and makes the time series that are there before the first event.
    fn register(&self) {
        let (name, help) = (self.name, self.help);
        match self.kind {
            Counter => describe_counter!(name, help),
            CounterOf(unit) => describe_counter!(name, unit, help),
            Gauge => describe_gauge!(name, help),
            GaugeOf(unit) => describe_gauge!(name, unit, help),
            Seconds(_) => describe_histogram!(name, Unit::Seconds, help),
        }
        for labels in self.series() {
            match self.kind {
                Counter | CounterOf(_) => counter!(name, labels).increment(0),
                Seconds(_) => drop(histogram!(name, labels)),
                // A gauge has no value before it is measured.
                Gauge | GaugeOf(_) => {}
            }
        }
    }

    /// Every combination of label values. Empty if the values of a label are not known in advance.
    fn series(&self) -> Vec<Vec<Label>> {
        self.labels.iter().fold(vec![Vec::new()], |series, (name, values)| {
            let values = match values {
                These(values) => *values,
                Few => &[],
            };
            let label = |value| Label::from_static_parts(name, value);
            let with = |labels: &Vec<Label>, value| labels.iter().cloned().chain([label(value)]).collect::<Vec<_>>();
            series.iter().flat_map(|labels| values.iter().map(move |value| with(labels, *value))).collect()
        })
    }
}

/// Installs the recorder and describes the metrics. Metrics are recorded from here on.
pub(crate) fn install() -> Result<PrometheusHandle, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for metric in METRICS {
        if let Seconds(buckets) = metric.kind {
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)?;
        }
    }
    let handle = builder.install_recorder()?;
    METRICS.iter().for_each(Metric::register);
    gauge!("vwaza_decoder_threads").set(0.0);
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    gauge!("process_start_time_seconds").set(started.as_secs_f64());
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            sleep(UPKEEP_EVERY).await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}

/// Counts an answer.
pub(crate) fn count_request(method: &'static str, route: &str, status: StatusCode, took: Duration) {
    let labels = vec![
        Label::from_static_parts("method", method),
        Label::new("route", route.to_owned()),
        Label::new("status", status.as_str().to_owned()),
    ];
    counter!("vwaza_http_requests_total", labels).increment(1);
    histogram!("vwaza_http_request_duration_seconds", "route" => route.to_owned()).record(took);
}

/// Answers requests from this machine and requests with the token. Everybody else gets 404. While the database is away,
/// the figures that it knows are not numbers, and the others are there.
pub(crate) async fn metrics(
    State(state): State<AppState>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> HandlerResult {
    let is_local = peer.ip().is_loopback() && !FORWARDING.iter().any(|name| headers.contains_key(name));
    if !is_local && !has_token(&headers, state.metrics_token.as_deref()) {
        return Err(Problem::NotFound.into());
    }
    let backend = &state.backend;
    let is_up = backend.database_is_up().await;
    let queue_stats = if is_up { backend.queue_stats().await.map_err(warn_of_unknown).ok() } else { None };
    gauge!("vwaza_database_up").set(if is_up { 1.0 } else { 0.0 });
    set_queue_gauges(queue_stats.as_ref());
    set_backend_gauges(backend);
    set_process_gauges();
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((content_type, state.metrics.render()).into_response())
}

fn warn_of_unknown(error: vwaza::backend::Error) {
    tracing::warn!(error = ?error, "the figures of the queue could not be read");
}

fn has_token(headers: &HeaderMap, token: Option<&str>) -> bool {
    let sent = headers.typed_get::<Authorization<Bearer>>();
    let (Some(sent), Some(token)) = (sent.as_ref().map(Authorization::token), token) else { return false };
    // The comparison takes as long for a wrong token as for a right one.
    sent.len() == token.len() && sent.bytes().zip(token.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

/// Sets the figures that the database knows. Without it they are not numbers: an old value would look like a new one.
#[expect(clippy::cast_precision_loss, reason = "an approximate figure is good enough for a gauge")]
fn set_queue_gauges(stats: Option<&QueueStats>) {
    let number = |count: Option<i64>| count.map_or(f64::NAN, |count| count as f64);
    for kind in JOB_KINDS {
        let counts = stats.and_then(|stats| stats.jobs.iter().find(|counts| counts.kind == kind));
        for (state, jobs) in [
            ("due", counts.map(|counts| counts.due)),
            ("later", counts.map(|counts| counts.later)),
            ("running", counts.map(|counts| counts.running)),
            ("dead", counts.map(|counts| counts.failed)),
        ] {
            gauge!("vwaza_jobs", "kind" => kind.as_str(), "state" => state).set(number(jobs));
        }
    }
    let oldest_due_seconds = stats.map(|stats| stats.oldest_due_seconds.unwrap_or(0));
    gauge!("vwaza_oldest_due_job_seconds").set(number(oldest_due_seconds));
    gauge!("vwaza_uploads_open", "state" => "receiving").set(number(stats.map(|stats| stats.receiving)));
    gauge!("vwaza_uploads_open", "state" => "received").set(number(stats.map(|stats| stats.received)));
    gauge!("vwaza_spooled_bytes").set(number(stats.map(|stats| stats.spooled_bytes)));
    gauge!("vwaza_mails_waiting").set(number(stats.map(|stats| stats.mails_waiting)));
    let oldest_due_seconds = stats.map(|stats| stats.oldest_due_mail_seconds.unwrap_or(0));
    gauge!("vwaza_oldest_due_mail_seconds").set(number(oldest_due_seconds));
    // Before the first backup and the first run of the integrity check, their gauges are absent.
    let backup = stats.and_then(|stats| stats.backup);
    if backup.is_some() || stats.is_none() {
        gauge!("vwaza_backup_ended_timestamp_seconds")
            .set(number(backup.map(|backup| backup.ended_at.unix_timestamp())));
        gauge!("vwaza_backup_bytes").set(number(backup.map(|backup| backup.bytes)));
        gauge!("vwaza_backup_missing_files").set(number(backup.map(|backup| backup.missing.into())));
    }
    let run = stats.and_then(|stats| stats.integrity.as_ref());
    if run.is_some() || stats.is_none() {
        gauge!("vwaza_integrity_damaged_objects").set(run.map_or(f64::NAN, |run| run.findings.len() as f64));
        gauge!("vwaza_integrity_objects").set(number(run.map(|run| run.objects)));
        let ended_at = run.and_then(|run| Some(run.ended_at?.unix_timestamp()));
        gauge!("vwaza_integrity_ended_timestamp_seconds").set(number(ended_at));
    }
}

#[expect(clippy::cast_precision_loss, reason = "an approximate figure is good enough for a gauge")]
fn set_backend_gauges(backend: &Backend) {
    gauge!("vwaza_storage_circuit").set(match backend.storage_circuit() {
        CircuitState::Closed => 0.0,
        CircuitState::HalfOpen => 1.0,
        CircuitState::Open => 2.0,
    });
    for PoolUsage { name, in_use, idle, max } in backend.pools() {
        gauge!("vwaza_db_connections", "pool" => name, "state" => "in_use").set(in_use as f64);
        gauge!("vwaza_db_connections", "pool" => name, "state" => "idle").set(idle as f64);
        gauge!("vwaza_db_connections_max", "pool" => name).set(max as f64);
    }
}

/// Sets the figures of the process, as far as this system tells them.
#[expect(clippy::cast_precision_loss, reason = "an approximate figure is good enough for a gauge")]
fn set_process_gauges() {
    if let Some(bytes) = resident_bytes() {
        gauge!("process_resident_memory_bytes").set(bytes as f64);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // The folder itself is open while it is read.
        gauge!("process_open_fds").set(open.count().saturating_sub(1) as f64);
    }
    gauge!("process_max_fds").set(descriptors::limit() as f64);
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}
