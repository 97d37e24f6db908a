//! `GET /metrics` for Prometheus: metrics of the queue, the storage, uploads, limits and mails.

use std::{net::SocketAddr, time::Duration};

use axum::{
    extract::{ConnectInfo, State},
    response::IntoResponse,
};
use axum_extra::headers::{Authorization, HeaderMapExt, authorization::Bearer};
use http::{HeaderMap, header};
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::time::sleep;
use vwaza::{
    backend::QueueStats,
    domain::{circuit::CircuitState, problem::Problem},
};

use crate::{client::FORWARDING, errors::HandlerResult, state::AppState};

/// Bucket limits in seconds, from a small cover to an hour of music.
const DURATION_BUCKETS: [f64; 8] = [0.05, 0.2, 0.5, 1.0, 3.0, 10.0, 30.0, 120.0];
/// The interval at which recorded durations are folded into their histograms, even if nobody reads the metrics.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Installs the recorder and describes the metrics. Metrics are recorded from here on.
pub(crate) fn install() -> Result<PrometheusHandle, metrics_exporter_prometheus::BuildError> {
    let handle = PrometheusBuilder::new().set_buckets(&DURATION_BUCKETS)?.install_recorder()?;
    describe_gauge!("vwaza_jobs", "Unfinished jobs, by kind and state (due, later, running, dead).");
    describe_gauge!(
        "vwaza_oldest_due_job_seconds",
        Unit::Seconds,
        "Time that the job that has been due for longest has waited."
    );
    describe_gauge!("vwaza_uploads_open", "Uploads that are receiving, or received and not stored yet.");
    describe_gauge!("vwaza_spooled_bytes", Unit::Bytes, "Bytes of uploads that only the spools hold: not stored yet.");
    describe_gauge!(
        "vwaza_stored_bytes",
        Unit::Bytes,
        "Bytes in the storage, by kind: original (counts in an artist's quota) or derived (thumbnails and listening \
         copies; counts in no quota). Updated once an hour."
    );
    describe_gauge!("vwaza_storage_circuit", "Circuit breaker of the storage: 0 closed, 1 half open, 2 open.");
    describe_gauge!(
        "vwaza_integrity_damaged_objects",
        "Objects that the latest run of the integrity check found damaged or missing."
    );
    describe_gauge!("vwaza_integrity_objects", "Objects that the latest run of the integrity check read.");
    describe_gauge!(
        "vwaza_integrity_ended_timestamp_seconds",
        Unit::Seconds,
        "When the latest run of the integrity check ended, as a Unix time. Absent before the first one."
    );
    describe_counter!(
        "vwaza_storage_probes_total",
        "Probes of the storage by this process, by outcome (answered, failed)."
    );
    describe_counter!("vwaza_rate_limited_total", "Requests that this process refused with 429, by rule.");
    describe_counter!("vwaza_mails_total", "Attempts of this process to send a mail, by outcome.");
    describe_gauge!("vwaza_decoder_threads", "Threads of this process that are decoding a file.");
    describe_counter!("vwaza_job_panics_total", "Job attempts of this process that panicked.");
    describe_counter!("vwaza_jobs_total", "Job attempts of this process that ended, by kind and outcome.");
    describe_counter!("vwaza_uploads_total", "Uploads that this process received whole, by outcome.");
    describe_counter!(
        "vwaza_upload_bytes_total",
        Unit::Bytes,
        "Bytes of uploads that this process wrote to its spool."
    );
    describe_histogram!("vwaza_job_duration_seconds", Unit::Seconds, "Duration of job attempts, by kind.");
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            sleep(UPKEEP_EVERY).await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}

/// Answers requests from this machine and requests with the token. Everybody else gets 404.
pub(crate) async fn metrics(
    State(state): State<AppState>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> HandlerResult {
    let is_local = peer.ip().is_loopback() && !FORWARDING.iter().any(|name| headers.contains_key(name));
    if !is_local && !has_token(&headers, state.metrics_token.as_deref()) {
        return Err(Problem::NotFound.into());
    }
    set_gauges(&state.backend.queue_stats().await?);
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((content_type, state.metrics.render()).into_response())
}

fn has_token(headers: &HeaderMap, token: Option<&str>) -> bool {
    let sent = headers.typed_get::<Authorization<Bearer>>();
    let (Some(sent), Some(token)) = (sent.as_ref().map(Authorization::token), token) else { return false };
    // The comparison takes as long for a wrong token as for a right one.
    sent.len() == token.len() && sent.bytes().zip(token.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

#[expect(clippy::cast_precision_loss, reason = "an approximate figure is good enough for a gauge")]
fn set_gauges(queue_stats: &QueueStats) {
    for counts in &queue_stats.jobs {
        let kind = counts.kind.as_str();
        let states =
            [("due", counts.due), ("later", counts.later), ("running", counts.running), ("dead", counts.failed)];
        for (state, jobs) in states {
            gauge!("vwaza_jobs", "kind" => kind, "state" => state).set(jobs as f64);
        }
    }
    gauge!("vwaza_oldest_due_job_seconds").set(queue_stats.oldest_due_seconds.unwrap_or(0) as f64);
    for (state, uploads) in [("receiving", queue_stats.receiving), ("received", queue_stats.received)] {
        gauge!("vwaza_uploads_open", "state" => state).set(uploads as f64);
    }
    gauge!("vwaza_spooled_bytes").set(queue_stats.spooled_bytes as f64);
    if let Some(run) = &queue_stats.integrity {
        gauge!("vwaza_integrity_damaged_objects").set(run.findings.len() as f64);
        gauge!("vwaza_integrity_objects").set(run.objects as f64);
        gauge!("vwaza_integrity_ended_timestamp_seconds")
            .set(run.ended_at.map_or(0.0, |ended_at| ended_at.unix_timestamp() as f64));
    }
    gauge!("vwaza_storage_circuit").set(match queue_stats.storage {
        CircuitState::Closed => 0.0,
        CircuitState::HalfOpen => 1.0,
        CircuitState::Open => 2.0,
    });
}
