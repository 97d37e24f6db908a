//! A model of one job's state machine, without a database. `backend::queue` implements each transition as one guarded
//! SQL statement. Where a statement changes no row, the model returns [`Refused`]. `backend::queue::statements::tests`
//! compares the two.

use std::time::Duration;

use time::OffsetDateTime;

use super::{AfterFailure, Failure, JobStatus, after_failure};
use crate::domain::ids::{JobId, UserId, WorkerId};

/// The columns of `upload_jobs` that decide which transitions a job may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    pub status: JobStatus,
    /// Counts claims and never decreases. A write that names the current attempt proves that nobody has claimed the job
    /// since.
    pub attempt: u32,
    /// Failures since the job was enqueued or requeued.
    pub retry_count: u32,
    /// How many of these failures were expired leases.
    pub expired_leases: u32,
    /// `Some` exactly while the job is `Uploading`.
    pub lease: Option<Lease>,
    pub run_after: OffsetDateTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub owner: WorkerId,
    /// From this time on, others may take the job back. Until one of them does, the owner still holds it.
    pub expires_at: OffsetDateTime,
}

/// The proof with which a worker writes for a job: the attempt and the owner of the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub attempt: u32,
    pub owner: WorkerId,
}

/// Why a transition was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The job isn't due yet, or doesn't wait to be claimed.
    NotDue,
    /// The claim doesn't hold the job, or no longer; or the lease that is said to have expired hasn't.
    LeaseLost,
    /// The job isn't in the dead letter queue.
    NotFailed,
}

impl Job {
    /// `queue::enqueue`. A job that is enqueued with a lease is enqueued and claimed at the same time.
    pub fn enqueued(now: OffsetDateTime) -> Self {
        Self { status: JobStatus::Pending, attempt: 0, retry_count: 0, expired_leases: 0, lease: None, run_after: now }
    }

    pub fn is_due(&self, now: OffsetDateTime) -> bool {
        self.status == JobStatus::Pending && self.run_after <= now
    }

    /// The only claim that may write.
    pub fn holder(&self) -> Option<Claim> {
        self.lease.map(|lease| Claim { attempt: self.attempt, owner: lease.owner })
    }

    /// `queue::claim`, for the job that [`next_fair_job`] names.
    pub fn claim(self, owner: WorkerId, lease: Duration, now: OffsetDateTime) -> Result<Self, Refused> {
        if !self.is_due(now) {
            return Err(Refused::NotDue);
        }
        let lease = Some(Lease { owner, expires_at: now + lease });
        Ok(Self { status: JobStatus::Uploading, attempt: self.attempt + 1, lease, ..self })
    }

    /// `queue::heartbeat`. Also succeeds once the job is completed and no later attempt was claimed, because the
    /// attempt may still have work to do.
    pub fn heartbeat(self, by: Claim, lease: Duration, now: OffsetDateTime) -> Result<Self, Refused> {
        if self.status == JobStatus::Completed && self.attempt == by.attempt {
            return Ok(self);
        }
        self.release_lease(by)?;
        Ok(Self { lease: Some(Lease { owner: by.owner, expires_at: now + lease }), ..self })
    }

    /// `queue::finish`.
    pub fn finish(self, by: Claim) -> Result<Self, Refused> {
        Ok(Self { status: JobStatus::Completed, ..self.release_lease(by)? })
    }

    /// `queue::hand_back`, when a job is postponed or the process shuts down. Counts no failure.
    pub fn hand_back(self, by: Claim, delay: Duration, now: OffsetDateTime) -> Result<Self, Refused> {
        Ok(Self { status: JobStatus::Pending, run_after: now + delay, ..self.release_lease(by)? })
    }

    /// `queue::fail`, called by the attempt itself.
    pub fn fail(
        self,
        by: Claim,
        failure: Failure,
        max_failures: u32,
        jitter: f64,
        now: OffsetDateTime,
    ) -> Result<Self, Refused> {
        let failed = Self { retry_count: self.retry_count + 1, ..self.release_lease(by)? };
        Ok(match after_failure(failure, failed.retry_count, max_failures, jitter) {
            AfterFailure::DeadLetter => Self { status: JobStatus::Failed, run_after: now, ..failed },
            AfterFailure::RetryIn(delay) => Self { status: JobStatus::Pending, run_after: now + delay, ..failed },
        })
    }

    /// `queue::fail`, called for a job that `queue::with_expired_lease` returns. `of` is the claim that it names.
    pub fn expire(self, of: Claim, max_failures: u32, jitter: f64, now: OffsetDateTime) -> Result<Self, Refused> {
        if !self.is_stuck(now) {
            return Err(Refused::LeaseLost);
        }
        let failed = self.fail(of, Failure::Transient, max_failures, jitter, now)?;
        // The job has waited for its lease to expire already, so it gets no backoff.
        Ok(Self { expired_leases: self.expired_leases + 1, run_after: now, ..failed })
    }

    /// `queue::with_expired_lease`: the worker sent no heartbeat for the length of its lease.
    pub fn is_stuck(&self, now: OffsetDateTime) -> bool {
        self.lease.is_some_and(|lease| lease.expires_at < now)
    }

    /// `queue::requeue`, from the dead letter queue. Resets the failures, and keeps the attempts.
    pub fn requeue(self, now: OffsetDateTime) -> Result<Self, Refused> {
        let dead = self.dead_letter()?;
        Ok(Self { status: JobStatus::Pending, retry_count: 0, expired_leases: 0, run_after: now, ..dead })
    }

    /// `queue::discard`, from the dead letter queue.
    pub fn discard(self) -> Result<Self, Refused> {
        Ok(Self { status: JobStatus::Completed, ..self.dead_letter()? })
    }

    /// Checks the guard of every statement that a worker runs: id, attempt and lease owner.
    fn release_lease(self, by: Claim) -> Result<Self, Refused> {
        if self.holder() == Some(by) { Ok(Self { lease: None, ..self }) } else { Err(Refused::LeaseLost) }
    }

    fn dead_letter(self) -> Result<Self, Refused> {
        if self.status == JobStatus::Failed { Ok(self) } else { Err(Refused::NotFailed) }
    }
}

/// The job that `queue::claim` takes: round robin over the artists, starting after `last_artist`, and the job of that
/// artist that has been due longest.
pub fn next_fair_job<'a>(
    jobs: impl IntoIterator<Item = (JobId, UserId, &'a Job)>,
    last_artist: UserId,
    now: OffsetDateTime,
) -> Option<JobId> {
    jobs.into_iter()
        .filter(|(_, _, job)| job.is_due(now))
        .min_by_key(|(id, artist, job)| (*artist <= last_artist, *artist, job.run_after, *id))
        .map(|(id, _, _)| id)
}
