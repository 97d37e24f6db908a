//! Runs one attempt at a job: its work beside its heartbeat, and the record of how it ended.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::FutureExt;
use rand::Rng;
use tokio::time::sleep;

use super::is_poison_job;
use crate::{
    backend::{
        Backend, Error, db,
        error::is_unreachable,
        queue::{self, ClaimedJob, FailureReport, jobs},
    },
    domain::{
        circuit::CircuitState,
        queue::{Failure, backoff, has_used_up_hand_backs},
    },
};

/// The pause between two tries to record how a job ended.
const RECORD_RETRY_DELAY: Duration = Duration::from_secs(1);

/// Runs an attempt, in the span of its job ([`ClaimedJob::run`]). With `is_exclusive`, nothing else is claimed meanwhile, as a poison job needs it.
pub(super) async fn run(backend: &Arc<Backend>, job: &ClaimedJob, is_exclusive: bool) -> AttemptOutcome {
    let (worker, claimed) = (&backend.worker, Instant::now());
    // A poison job waits only briefly for its neighbours: if one of them kills the process, that counts against the
    // poison job too.
    let wait_timeout = backend.settings.queue.lease / 3;
    let work = async {
        let _exclusive = match (is_poison_job(job), is_exclusive) {
            (false, _) => None,
            (true, true) => Some(worker.run_exclusively(wait_timeout).await?),
            // Another poison job was first.
            (true, false) => return None,
        };
        Some(jobs::perform(backend, job).await)
    };
    let outcome = tokio::select! {
        outcome = AssertUnwindSafe(work).catch_unwind() => match outcome {
            Ok(Some(outcome)) => AttemptEnd::Finished(outcome),
            Ok(None) => {
                hand_back(backend, job, wait_timeout).await;
                return AttemptOutcome::HandedBack;
            }
            Err(_) => AttemptEnd::Panicked,
        },
        () = sleep(backend.settings.queue.attempt_timeout) => AttemptEnd::TooLong,
        () = keep_alive(backend, job) => {
            tracing::warn!("job lease lost; attempt abandoned");
            return AttemptOutcome::Lost;
        }
        () = backend.tasks.wait_for_hand_back() => {
            hand_back(backend, job, Duration::ZERO).await;
            // Other workers claim the job at once.
            backend.events.job_added();
            return AttemptOutcome::HandedBack;
        }
    };
    let transient = |detail: String| FailureReport { failure: Failure::Transient, detail, lease_expired: false };
    let (report, for_artist) = match outcome {
        AttemptEnd::Finished(Ok(())) => return AttemptOutcome::Completed,
        AttemptEnd::Finished(Err(jobs::JobError::Fault(Error::LeaseLost(_)))) => {
            tracing::warn!("job lease lost; nothing was written");
            return AttemptOutcome::Lost;
        }
        AttemptEnd::Finished(Err(jobs::JobError::Fault(error)))
            if is_infrastructure_fault(backend, job, &error, claimed).await =>
        {
            tracing::warn!(error = ?error, "job postponed: database, storage or local resources unavailable");
            let delay = backoff(u32::try_from(job.attempt).unwrap_or(1), rand::rng().random());
            hand_back(backend, job, delay).await;
            return AttemptOutcome::HandedBack;
        }
        AttemptEnd::Finished(Err(jobs::JobError::Refused(message))) => (
            FailureReport { failure: Failure::Permanent, detail: message.clone(), lease_expired: false },
            Some(message),
        ),
        AttemptEnd::Finished(Err(jobs::JobError::OutOfTime)) => {
            tracing::error!("examination timed out");
            let limit = backend.settings.queue.examination_timeout;
            (
                transient(format!("its file was not examined within {} s", limit.as_secs())),
                Some(jobs::EXAMINED_TOO_LONG.to_owned()),
            )
        }
        AttemptEnd::Finished(Err(jobs::JobError::Fault(error))) => {
            tracing::error!(error = ?error, "job failed");
            (transient(error.to_string()), None)
        }
        AttemptEnd::TooLong => {
            tracing::error!("attempt timed out");
            (transient(format!("it did not end within {} s", backend.settings.queue.attempt_timeout.as_secs())), None)
        }
        AttemptEnd::Panicked => {
            metrics::counter!("vwaza_job_panics_total").increment(1);
            tracing::error!("job panicked");
            (transient("it panicked".into()), None)
        }
    };
    record_end(backend, job, &JobEnd::Failed(report, for_artist)).await;
    AttemptOutcome::Failed
}

/// How the work of an attempt ended.
enum AttemptEnd {
    Finished(Result<(), jobs::JobError>),
    TooLong,
    Panicked,
}

/// The outcome of an attempt.
#[derive(Clone, Copy)]
pub(super) enum AttemptOutcome {
    Completed,
    Failed,
    HandedBack,
    /// The lease is lost. Another worker may hold the job by now.
    Lost,
}

impl AttemptOutcome {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::HandedBack => "handed_back",
            Self::Lost => "lost",
        }
    }
}

/// Whether an error is a fault of the infrastructure, which counts as no failure of the job: a database or storage that is
/// away, a disk of ours that is full or broken, or a machine without descriptors or memory. A storage that has served
/// other jobs since then is no such fault. Neither is an error that fails this job again and again while the storage
/// seems to be well.
async fn is_infrastructure_fault(backend: &Backend, job: &ClaimedJob, error: &Error, claimed: Instant) -> bool {
    match error {
        error if error.is_disk_full() => true,
        error if error.is_of_this_machine() && !has_used_up_hand_backs(job.attempt, job.retry_count) => true,
        Error::CircuitOpen => true,
        Error::StorageDown { operation, .. } if backend.storage.has_worked_since(*operation, claimed, job.id) => false,
        Error::StorageDown { .. } => {
            !has_used_up_hand_backs(job.attempt, job.retry_count)
                || backend.storage.circuit() != CircuitState::Closed
                || !backend.storage.is_reachable().await
        }
        Error::Database(error) => is_unreachable(error) && !has_used_up_hand_backs(job.attempt, job.retry_count),
        _ => false,
    }
}

async fn hand_back(backend: &Backend, job: &ClaimedJob, delay: Duration) {
    record_end(backend, job, &JobEnd::HandedBack(delay)).await;
}

/// How a job that is not completed leaves this worker.
enum JobEnd {
    HandedBack(Duration),
    /// The failure, with a sentence for the artist if the file may be at fault.
    Failed(FailureReport, Option<String>),
}

/// Records how a job ended. While the database is away, the record is retried for as long as a lease lasts: a lease
/// that expires counts as a failure of the job.
async fn record_end(backend: &Backend, job: &ClaimedJob, end: &JobEnd) {
    let until = Instant::now() + backend.settings.queue.lease;
    loop {
        let write = async {
            match end {
                JobEnd::HandedBack(delay) => queue::hand_back(&backend.db, job, *delay).await,
                JobEnd::Failed(report, for_artist) => jobs::fail(backend, job, report, for_artist.as_deref()).await,
            }
        };
        match db::with_timeout(db::REPLY_TIMEOUT, write).await {
            Ok(()) => return,
            Err(error @ Error::LeaseLost(_)) => {
                tracing::warn!(error = ?error, "saving a job's outcome failed: its lease was lost");
                return;
            }
            Err(error) if Instant::now() + RECORD_RETRY_DELAY < until => {
                tracing::warn!(error = ?error, "saving a job's outcome failed; trying again");
                sleep(RECORD_RETRY_DELAY).await;
            }
            Err(error) => {
                tracing::error!(error = ?error, "saving a job's outcome failed; its lease expires");
                return;
            }
        }
    }
}

/// Sends heartbeats until the lease is lost.
async fn keep_alive(backend: &Backend, job: &ClaimedJob) {
    let lease = backend.settings.queue.lease;
    let mut held_until = Instant::now() + lease;
    loop {
        sleep(lease / 3).await;
        match db::with_timeout(lease / 3, queue::heartbeat(&backend.db, job, lease)).await {
            Ok(true) => held_until = Instant::now() + lease,
            Ok(false) => return,
            // The database may be away for a moment. The lease holds until it expires.
            Err(error) if Instant::now() < held_until => {
                tracing::warn!(error = ?error, "job heartbeat failed");
            }
            Err(_) => return,
        }
    }
}
