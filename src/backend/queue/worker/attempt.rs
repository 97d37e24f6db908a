//! One attempt at a job: its work beside its heartbeat, and what becomes of it.

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

/// Between two tries to write down what became of a job.
const RECORD_RETRY_DELAY: Duration = Duration::from_secs(1);

/// `is_exclusive`: nothing else is claimed meanwhile, as a suspect needs it.
pub(super) async fn run(backend: &Arc<Backend>, job: &ClaimedJob, is_exclusive: bool) -> AttemptOutcome {
    let (worker, claimed) = (&backend.worker, Instant::now());
    // Its neighbours' deaths must not be counted as its own, so it does not wait for them for long.
    let wait_timeout = backend.settings.queue.lease / 3;
    let work = async {
        let _exclusive = match (is_poison_job(job), is_exclusive) {
            (false, _) => None,
            (true, true) => Some(worker.run_exclusively(wait_timeout).await?),
            // Another suspect was first.
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
            tracing::warn!(job.id = %job.id, attempt = job.attempt, "job lease lost; attempt abandoned");
            return AttemptOutcome::Lost;
        }
        () = worker.hand_back.cancelled() => {
            hand_back(backend, job, Duration::ZERO).await;
            // Others take it up at once.
            backend.events.job_added();
            return AttemptOutcome::HandedBack;
        }
    };
    let transient = |detail: String| FailureReport { failure: Failure::Transient, detail, lease_expired: false };
    let (report, for_artist) = match outcome {
        AttemptEnd::Finished(Ok(())) => return AttemptOutcome::Completed,
        AttemptEnd::Finished(Err(jobs::JobError::Fault(Error::LeaseLost(_)))) => {
            tracing::warn!(job.id = %job.id, attempt = job.attempt, "job lease lost; nothing was written");
            return AttemptOutcome::Lost;
        }
        AttemptEnd::Finished(Err(jobs::JobError::Fault(error)))
            if is_infrastructure_fault(backend, job, &error, claimed).await =>
        {
            tracing::warn!(
                job.id = %job.id,
                attempt = job.attempt,
                error = ?error,
                "job postponed: database, storage or local resources unavailable"
            );
            let delay = backoff(u32::try_from(job.attempt).unwrap_or(1), rand::rng().random());
            hand_back(backend, job, delay).await;
            return AttemptOutcome::HandedBack;
        }
        AttemptEnd::Finished(Err(jobs::JobError::Refused(message))) => (
            FailureReport { failure: Failure::Permanent, detail: message.clone(), lease_expired: false },
            Some(message),
        ),
        AttemptEnd::Finished(Err(jobs::JobError::OutOfTime)) => {
            tracing::error!(job.id = %job.id, job.kind = ?job.kind, attempt = job.attempt, "examination timed out");
            let limit = backend.settings.queue.examination_timeout;
            (
                transient(format!("its file was not examined within {} s", limit.as_secs())),
                Some(jobs::EXAMINED_TOO_LONG.to_owned()),
            )
        }
        AttemptEnd::Finished(Err(jobs::JobError::Fault(error))) => {
            tracing::error!(
                job.id = %job.id,
                job.kind = ?job.kind,
                attempt = job.attempt,
                retry_count = job.retry_count,
                error = ?error,
                "job failed"
            );
            (transient(error.to_string()), None)
        }
        AttemptEnd::TooLong => {
            tracing::error!(job.id = %job.id, job.kind = ?job.kind, attempt = job.attempt, "attempt timed out");
            (transient(format!("it did not end within {} s", backend.settings.queue.attempt_timeout.as_secs())), None)
        }
        AttemptEnd::Panicked => {
            metrics::counter!("vwaza_job_panics_total").increment(1);
            tracing::error!(job.id = %job.id, job.kind = ?job.kind, attempt = job.attempt, "job panicked");
            (transient("it panicked".into()), None)
        }
    };
    record_end(backend, job, &JobEnd::Failed(report, for_artist)).await;
    AttemptOutcome::Failed
}

/// How the work of an attempt came to its end.
enum AttemptEnd {
    Finished(Result<(), jobs::JobError>),
    TooLong,
    Panicked,
}

/// What an attempt came to.
#[derive(Clone, Copy)]
pub(super) enum AttemptOutcome {
    Completed,
    Failed,
    HandedBack,
    /// Somebody else holds the job by now.
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

/// A database or a storage that is away, a disk of ours that is full or broken, or a machine without descriptors or memory costs no job an
/// attempt; a storage that serves other jobs does, and so does what fails this job again and again while it seems to be well.
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

/// How a job leaves this worker when it is not through.
enum JobEnd {
    HandedBack(Duration),
    /// With a sentence for the artist, where the file is to blame.
    Failed(FailureReport, Option<String>),
}

/// Writes down what became of a job. While the database is away it tries again and again: a lease that runs out would count as a
/// failure of the job.
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
                tracing::warn!(job.id = %job.id, error = ?error, "saving a job's outcome failed: its lease was lost");
                return;
            }
            Err(error) if Instant::now() + RECORD_RETRY_DELAY < until => {
                tracing::warn!(job.id = %job.id, error = ?error, "saving a job's outcome failed; trying again");
                sleep(RECORD_RETRY_DELAY).await;
            }
            Err(error) => {
                tracing::error!(job.id = %job.id, error = ?error, "saving a job's outcome failed; its lease expires");
                return;
            }
        }
    }
}

/// Ends when the lease is lost.
async fn keep_alive(backend: &Backend, job: &ClaimedJob) {
    let lease = backend.settings.queue.lease;
    let mut held_until = Instant::now() + lease;
    loop {
        sleep(lease / 3).await;
        match db::with_timeout(lease / 3, queue::heartbeat(&backend.db, job, lease)).await {
            Ok(true) => held_until = Instant::now() + lease,
            Ok(false) => return,
            // The database may be away for a moment; the lease stands until it runs out.
            Err(error) if Instant::now() < held_until => {
                tracing::warn!(job.id = %job.id, error = ?error, "job heartbeat failed");
            }
            Err(_) => return,
        }
    }
}
