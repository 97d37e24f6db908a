//! One job as the queue's statements see it, without a database. `backend::queue` carries each transition out as one guarded
//! statement, and no row there is a refusal here; `backend::queue::tests` holds the two against each other.

use std::time::Duration;

use time::OffsetDateTime;

use super::{AfterFailure, Failure, JobStatus, after_failure};
use crate::domain::ids::{JobId, UserId, WorkerId};

/// What decides about a job: columns of `upload_jobs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    pub status: JobStatus,
    /// Counts claims, so that it only grows: whoever writes for a job proves with it that nobody has claimed the job since.
    pub attempt: u32,
    /// Failures since it was enqueued or requeued.
    pub retry_count: u32,
    /// Those of them that were a lease running out.
    pub expired_leases: u32,
    /// There exactly while the job is `Uploading`.
    pub lease: Option<Lease>,
    pub run_after: OffsetDateTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub owner: WorkerId,
    /// From then on others may take the job back; until one does, its owner still holds it.
    pub expires_at: OffsetDateTime,
}

/// What a worker shows of a job that it holds, or has held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub attempt: u32,
    pub owner: WorkerId,
}

/// Why nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It waits for its time, or for nothing any more.
    NotDue,
    /// The claim does not hold the job (any more), or the lease that is said to have run out has not.
    LeaseLost,
    /// It is not in the dead letter queue.
    NotFailed,
}

impl Job {
    /// `queue::enqueue`. What is leased from the start is claimed in the same instant.
    pub fn enqueued(now: OffsetDateTime) -> Self {
        Self { status: JobStatus::Pending, attempt: 0, retry_count: 0, expired_leases: 0, lease: None, run_after: now }
    }

    pub fn is_due(&self, now: OffsetDateTime) -> bool {
        self.status == JobStatus::Pending && self.run_after <= now
    }

    /// The one claim that may write.
    pub fn holder(&self) -> Option<Claim> {
        self.lease.map(|lease| Claim { attempt: self.attempt, owner: lease.owner })
    }

    /// `queue::claim`, of the job that [`next_fair_job`] names.
    pub fn claim(self, owner: WorkerId, lease: Duration, now: OffsetDateTime) -> Result<Self, Refused> {
        if !self.is_due(now) {
            return Err(Refused::NotDue);
        }
        let lease = Some(Lease { owner, expires_at: now + lease });
        Ok(Self { status: JobStatus::Uploading, attempt: self.attempt + 1, lease, ..self })
    }

    /// `queue::heartbeat`. What an attempt has finished is not lost to it: it may still have something to say.
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

    /// `queue::hand_back`, on snoozing and on shutdown: counts nothing.
    pub fn hand_back(self, by: Claim, delay: Duration, now: OffsetDateTime) -> Result<Self, Refused> {
        Ok(Self { status: JobStatus::Pending, run_after: now + delay, ..self.release_lease(by)? })
    }

    /// `queue::fail`, told by the attempt itself.
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

    /// `queue::fail`, told by whoever finds the job in `queue::stuck`; `of` is the claim that was found there.
    pub fn expire(self, of: Claim, max_failures: u32, jitter: f64, now: OffsetDateTime) -> Result<Self, Refused> {
        if !self.is_stuck(now) {
            return Err(Refused::LeaseLost);
        }
        let failed = self.fail(of, Failure::Transient, max_failures, jitter, now)?;
        // The lease was its wait.
        Ok(Self { expired_leases: self.expired_leases + 1, run_after: now, ..failed })
    }

    /// `queue::stuck`: nobody has heard of its worker for the length of the lease.
    pub fn is_stuck(&self, now: OffsetDateTime) -> bool {
        self.lease.is_some_and(|lease| lease.expires_at < now)
    }

    /// `queue::requeue`, out of the dead letter queue: its failures are forgotten, its attempts are not.
    pub fn requeue(self, now: OffsetDateTime) -> Result<Self, Refused> {
        let dead = self.dead_letter()?;
        Ok(Self { status: JobStatus::Pending, retry_count: 0, expired_leases: 0, run_after: now, ..dead })
    }

    /// `queue::discard`, out of the dead letter queue.
    pub fn discard(self) -> Result<Self, Refused> {
        Ok(Self { status: JobStatus::Completed, ..self.dead_letter()? })
    }

    /// The guard of every statement that a worker makes: id, attempt and lease owner.
    fn release_lease(self, by: Claim) -> Result<Self, Refused> {
        if self.holder() == Some(by) { Ok(Self { lease: None, ..self }) } else { Err(Refused::LeaseLost) }
    }

    fn dead_letter(self) -> Result<Self, Refused> {
        if self.status == JobStatus::Failed { Ok(self) } else { Err(Refused::NotFailed) }
    }
}

/// What `queue::claim` takes: a job of the next artist after `last_artist`, going round, and of that artist's the one due
/// longest.
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
