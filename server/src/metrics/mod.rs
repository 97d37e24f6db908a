//! `GET /metrics` for Prometheus. The table [`METRICS`] describes every metric; docs/metrics.md lists them for operators.

mod table;

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
use metrics::{Label, counter, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use table::{Kind, METRICS, Metric};
use tokio::time::sleep;
use vwaza::{
    backend::{Backend, PoolUsage, QueueStats, resident_bytes},
    domain::{circuit::CircuitState, problem::Problem, queue_page::JOB_KINDS},
};

use crate::{client::FORWARDING, descriptors, errors::HandlerResult, state::AppState};

/// The interval at which recorded durations are folded into their histograms, even if nobody reads the metrics.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Installs the recorder and describes the metrics. Metrics are recorded from here on.
pub(crate) fn install() -> Result<PrometheusHandle, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for metric in METRICS {
        if let Kind::Seconds(buckets) = metric.kind {
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
