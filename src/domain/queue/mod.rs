//! The queue's rules: what a job is, when it is tried again and when it is given up. The SQL in the backend carries them out.

#[cfg(test)]
mod machine;
#[cfg(test)]
pub(crate) mod model;

use std::time::Duration;

use serde::{Deserialize, Serialize};

#[cfg(test)]
pub(crate) use machine::{Claim, Job, Lease, Refused, next_fair_job};

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(sqlx::Type), sqlx(type_name = "job_kind", rename_all = "UPPERCASE"))]
pub enum JobKind {
    /// Takes received bytes from the spool to the storage and attaches them.
    Store,
    /// Decodes and measures a stored file, makes thumbnails and peaks.
    Examine,
}

impl JobKind {
    /// For logs and figures.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Examine => "examine",
        }
    }
}

/// ```text
/// PENDING ─claim▶ UPLOADING ─▶ COMPLETED
/// UPLOADING ─error or expired lease, failures left▶ PENDING (backed off) · ─third failure, or one no retry can mend▶ FAILED
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(sqlx::Type), sqlx(type_name = "job_status", rename_all = "UPPERCASE"))]
pub enum JobStatus {
    Pending,
    /// Claimed: a worker holds its lease.
    Uploading,
    Completed,
    /// The dead letter queue.
    Failed,
}

/// How an attempt ended badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Trying again may help.
    Transient,
    /// The same bytes will fail the same way.
    Permanent,
}

/// What becomes of a job after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterFailure {
    RetryIn(Duration),
    DeadLetter,
}

/// Before the first retry; doubled for each further one.
const BACKOFF_BASE: Duration = Duration::from_secs(2);
/// No retry waits for longer.
pub const BACKOFF_MAX: Duration = Duration::from_secs(10 * 60);

/// `failures` counts this one; `max_failures` is the one that ends in the dead letter queue; `jitter` lies in 0..1.
pub fn after_failure(failure: Failure, failures: u32, max_failures: u32, jitter: f64) -> AfterFailure {
    if failure == Failure::Permanent || failures >= max_failures {
        AfterFailure::DeadLetter
    } else {
        AfterFailure::RetryIn(backoff(failures, jitter))
    }
}

/// Between half and the whole of `2 s × 2^(failures − 1)`, at most ten minutes: jobs that failed together come back apart.
pub fn backoff(failures: u32, jitter: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let whole = (BACKOFF_BASE * 2_u32.pow(doublings)).min(BACKOFF_MAX);
    whole.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
}

/// Attempts that ended without counting, until a storage that says to be well is not believed any more: with the backoff between
/// them, more than half a day.
const HAND_BACKS_MAX: i32 = 160;

/// Whether a job has been handed back so often that it is to count.
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
        // What counted already is no hand-back.
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
