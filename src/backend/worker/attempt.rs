//! One attempt at a job: its work beside its heartbeat, and what becomes of it.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::FutureExt;
use rand::Rng;
use tokio::time::sleep;

use super::is_suspect;
use crate::{
    backend::{
        Backend, Error, db,
        error::is_unreachable,
        jobs,
        queue::{self, Claimed, FailureReport},
    },
    domain::{
        circuit::CircuitState,
        queue::{Failure, backoff, is_tried_enough},
    },
};

/// Between two tries to write down what became of a job.
const WRITE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// `is_undisturbed`: nothing else is claimed meanwhile, as a suspect needs it.
pub(super) async fn run(backend: &Arc<Backend>, job: &Claimed, is_undisturbed: bool) -> Outcome {
    let (worker, claimed) = (&backend.worker, Instant::now());
    // Its neighbours' deaths must not be counted as its own, so it does not wait for them for long.
    let patience = backend.settings.queue.lease / 3;
    let work = async {
        let _alone = match (is_suspect(job), is_undisturbed) {
            (false, _) => None,
            (true, true) => Some(worker.alone(patience).await?),
            // Another suspect was first.
            (true, false) => return None,
        };
        Some(jobs::perform(backend, job).await)
    };
    let outcome = tokio::select! {
        outcome = AssertUnwindSafe(work).catch_unwind() => match outcome {
            Ok(Some(outcome)) => Ended::Through(outcome),
            Ok(None) => {
                hand_back(backend, job, patience).await;
                return Outcome::HandedBack;
            }
            Err(_) => Ended::Panicked,
        },
        () = sleep(backend.settings.queue.attempt_max) => Ended::TooLong,
        () = keep_alive(backend, job) => {
            tracing::warn!(job.id = %job.id, attempt = job.attempt, "the lease was lost; the job is left to whoever holds it");
            return Outcome::Lost;
        }
        () = worker.hand_back.cancelled() => {
            hand_back(backend, job, Duration::ZERO).await;
            // Others take it up at once.
            backend.events.job_added();
            return Outcome::HandedBack;
        }
    };
    let transient = |detail: String| FailureReport { failure: Failure::Transient, detail, lease_expired: false };
    let (report, for_artist) = match outcome {
        Ended::Through(Ok(())) => return Outcome::Completed,
        Ended::Through(Err(jobs::JobError::Fault(Error::LeaseLost(_)))) => {
            tracing::warn!(job.id = %job.id, attempt = job.attempt, "another worker holds this job by now; nothing was written");
            return Outcome::Lost;
        }
        Ended::Through(Err(jobs::JobError::Fault(error)))
            if is_no_fault_of_the_file(backend, job, &error, claimed).await =>
        {
            tracing::warn!(job.id = %job.id, attempt = job.attempt, error = ?error, "database, storage or our disk is not well; the job waits");
            let delay = backoff(u32::try_from(job.attempt).unwrap_or(1), rand::rng().random());
            hand_back(backend, job, delay).await;
            return Outcome::HandedBack;
        }
        Ended::Through(Err(jobs::JobError::Refused(message))) => (
            FailureReport { failure: Failure::Permanent, detail: message.clone(), lease_expired: false },
            Some(message),
        ),
        Ended::Through(Err(jobs::JobError::OutOfTime)) => {
            tracing::error!(job.id = %job.id, job.kind = ?job.kind, attempt = job.attempt, "an examination ran out of time");
            let limit = backend.settings.queue.examination_max;
            (
                transient(format!("its file was not examined within {} s", limit.as_secs())),
                Some(jobs::EXAMINED_TOO_LONG.to_owned()),
            )
        }
        Ended::Through(Err(jobs::JobError::Fault(error))) => {
            tracing::error!(job.id = %job.id, job.kind = ?job.kind, attempt = job.attempt, retry_count = job.retry_count, error = ?error, "a job failed");
            (transient(error.to_string()), None)
        }
        Ended::TooLong => {
            tracing::error!(job.id = %job.id, job.kind = ?job.kind, attempt = job.attempt, "an attempt did not end and was given up");
            (transient(format!("it did not end within {} s", backend.settings.queue.attempt_max.as_secs())), None)
        }
        Ended::Panicked => {
            metrics::counter!("vwaza_job_panics_total").increment(1);
            tracing::error!(job.id = %job.id, job.kind = ?job.kind, attempt = job.attempt, "a job panicked");
            (transient("it panicked".into()), None)
        }
    };
    write_down(backend, job, &End::Failed(report, for_artist)).await;
    Outcome::Failed
}

/// How the work of an attempt came to its end.
enum Ended {
    Through(Result<(), jobs::JobError>),
    TooLong,
    Panicked,
}

/// What an attempt came to.
#[derive(Clone, Copy)]
pub(super) enum Outcome {
    Completed,
    Failed,
    HandedBack,
    /// Somebody else holds the job by now.
    Lost,
}

impl Outcome {
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
async fn is_no_fault_of_the_file(backend: &Backend, job: &Claimed, error: &Error, claimed: Instant) -> bool {
    match error {
        error if error.is_disk_full() => true,
        error if error.is_of_this_machine() && !is_tried_enough(job.attempt, job.retry_count) => true,
        Error::CircuitOpen => true,
        Error::StorageDown { verb, .. } if backend.storage.has_worked_since(*verb, claimed, job.id) => false,
        Error::StorageDown { .. } => {
            !is_tried_enough(job.attempt, job.retry_count)
                || backend.storage.circuit() != CircuitState::Closed
                || !backend.storage.answers().await
        }
        Error::Database(error) => is_unreachable(error) && !is_tried_enough(job.attempt, job.retry_count),
        _ => false,
    }
}

async fn hand_back(backend: &Backend, job: &Claimed, delay: Duration) {
    write_down(backend, job, &End::HandedBack(delay)).await;
}

/// How a job leaves this worker when it is not through.
enum End {
    HandedBack(Duration),
    /// With a sentence for the artist, where the file is to blame.
    Failed(FailureReport, Option<String>),
}

/// Writes down what became of a job. While the database is away it tries again and again: a lease that runs out would count as a
/// failure of the job.
async fn write_down(backend: &Backend, job: &Claimed, end: &End) {
    let until = Instant::now() + backend.settings.queue.lease;
    loop {
        let write = async {
            match end {
                End::HandedBack(delay) => queue::hand_back(&backend.db, job, *delay).await,
                End::Failed(report, for_artist) => jobs::fail(backend, job, report, for_artist.as_deref()).await,
            }
        };
        match db::answered(db::PATIENCE, write).await {
            Ok(()) => return,
            Err(error @ Error::LeaseLost(_)) => {
                tracing::warn!(job.id = %job.id, error = ?error, "what became of a job is not written down");
                return;
            }
            Err(error) if Instant::now() + WRITE_AGAIN_AFTER < until => {
                tracing::warn!(job.id = %job.id, error = ?error, "what became of a job cannot be written down yet");
                sleep(WRITE_AGAIN_AFTER).await;
            }
            Err(error) => {
                tracing::error!(job.id = %job.id, error = ?error, "what became of a job could not be written down; its lease runs out");
                return;
            }
        }
    }
}

/// Ends when the lease is lost.
async fn keep_alive(backend: &Backend, job: &Claimed) {
    let lease = backend.settings.queue.lease;
    let mut held_until = Instant::now() + lease;
    loop {
        sleep(lease / 3).await;
        match db::answered(lease / 3, queue::heartbeat(&backend.db, job, lease)).await {
            Ok(true) => held_until = Instant::now() + lease,
            Ok(false) => return,
            // The database may be away for a moment; the lease stands until it runs out.
            Err(error) if Instant::now() < held_until => {
                tracing::warn!(job.id = %job.id, error = ?error, "a heartbeat failed");
            }
            Err(_) => return,
        }
    }
}
