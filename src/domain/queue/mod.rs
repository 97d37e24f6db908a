//! The queue's rules: what a job does, when it is retried and when it is given up. The backend implements them in SQL.

#[cfg(test)]
mod machine;
#[cfg(test)]
pub(crate) mod model;

use std::time::Duration;

use serde::{Deserialize, Serialize};

#[cfg(test)]
pub(crate) use machine::{Claim, Job, Lease, Refused, next_fair_job};

/// The kind of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(sqlx::Type), sqlx(type_name = "job_kind", rename_all = "UPPERCASE"))]
pub enum JobKind {
    /// Moves received bytes from the spool to the storage and attaches them.
    Store,
    /// Decodes and measures a stored file, and makes thumbnails, peaks and listening copies.
    Examine,
}

impl JobKind {
    /// The name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Examine => "examine",
        }
    }
}

/// The states of a job.
///
/// ```text
/// PENDING ─claim▶ UPLOADING ─▶ COMPLETED
/// UPLOADING ─error or expired lease, failures left▶ PENDING (with backoff)
///           └─last failure, or one that no retry can mend▶ FAILED
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(sqlx::Type), sqlx(type_name = "job_status", rename_all = "UPPERCASE"))]
pub enum JobStatus {
    Pending,
    /// A worker has claimed the job and holds its lease.
    Uploading,
    Completed,
    /// The job is in the dead letter queue.
    Failed,
}

/// The kind of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A retry may succeed.
    Transient,
    /// A retry would fail in the same way, because the bytes are the same.
    Permanent,
}

/// What happens to a job after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterFailure {
    RetryIn(Duration),
    DeadLetter,
}

/// The backoff before the first retry. Each further retry doubles it.
const BACKOFF_BASE: Duration = Duration::from_secs(2);
/// The longest backoff.
pub const BACKOFF_MAX: Duration = Duration::from_secs(10 * 60);

/// Decides what happens to a job after a failure. `failures` includes this failure. The failure number `max_failures`
/// sends the job to the dead letter queue. `jitter` lies in 0..1.
pub fn after_failure(failure: Failure, failures: u32, max_failures: u32, jitter: f64) -> AfterFailure {
    if failure == Failure::Permanent || failures >= max_failures {
        AfterFailure::DeadLetter
    } else {
        AfterFailure::RetryIn(backoff(failures, jitter))
    }
}

/// The backoff after `failures` failures: between half and the whole of `2 s × 2^(failures − 1)`, at most ten minutes.
/// `jitter` (0..1) spreads the retries of jobs that failed together.
pub fn backoff(failures: u32, jitter: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let whole = (BACKOFF_BASE * 2_u32.pow(doublings)).min(BACKOFF_MAX);
    whole.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
}

/// How many attempts may be handed back before failures count, even if the storage seems to work. With the backoff
/// between them, they take more than half a day.
const HAND_BACKS_MAX: i32 = 160;

/// Whether a job has been handed back so often that the next failure counts.
pub fn has_used_up_hand_backs(attempt: i32, failures: i32) -> bool {
    attempt - failures > HAND_BACKS_MAX
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_third_failure_is_the_last() {
        let next = |failures| after_failure(Failure::Transient, failures, 3, 1.0);
        assert_eq!(next(1), AfterFailure::RetryIn(Duration::from_secs(2)));
        assert_eq!(next(2), AfterFailure::RetryIn(Duration::from_secs(4)));
        assert_eq!(next(3), AfterFailure::DeadLetter);
        assert_eq!(after_failure(Failure::Permanent, 1, 3, 0.0), AfterFailure::DeadLetter);
    }

    #[test]
    fn a_job_that_is_handed_back_for_half_a_day_begins_to_count() {
        let mut waited = Duration::ZERO;
        for attempt in 1..=HAND_BACKS_MAX {
            assert!(!has_used_up_hand_backs(attempt, 0));
            waited += backoff(attempt.unsigned_abs(), 0.0);
        }
        assert!(waited > Duration::from_secs(12 * 60 * 60) && has_used_up_hand_backs(HAND_BACKS_MAX + 1, 0));
        // An attempt that counted as a failure is no hand-back.
        assert!(!has_used_up_hand_backs(HAND_BACKS_MAX + 2, 2));
    }

    proptest! {
        #[test]
        fn backoff_grows_and_stays_bounded(failures in 1u32..1000, jitter in 0.0f64..1.0) {
            let delay = backoff(failures, jitter);
            prop_assert!(delay >= BACKOFF_BASE / 2 && delay <= BACKOFF_MAX);
            prop_assert!(backoff(failures + 1, jitter) >= delay);
        }
    }
}
