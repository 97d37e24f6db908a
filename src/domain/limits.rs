//! Rate limits with a sliding window: at most N requests in any window of a given length. The count is exact for every
//! window, wherever it begins.

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};

/// The quota that was used up, for the message to the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LimitedBy {
    /// The requests from one network.
    Network,
    /// The failed sign-ins to one account.
    Account,
    /// The wrong two-factor codes for one account.
    Code,
    /// The wrong passwords on an account's page.
    CurrentPassword,
    /// The mails to one address.
    Mail,
}

/// At most `max` requests in any `window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub max: u32,
    pub window: Duration,
}

/// Whether a request is admitted, and what its client may expect next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub is_admitted: bool,
    /// Requests that would be admitted now, after this one.
    pub remaining: u32,
    /// How long until the oldest request in the window leaves it. A refused client has to wait for this long.
    pub reset_after: Duration,
}

impl Decision {
    /// The wait in whole seconds, rounded up and at least 1. A client that waits for this long is admitted.
    pub fn retry_after_seconds(&self) -> u32 {
        let rounded_up = self.reset_after.as_secs() + u64::from(self.reset_after.subsec_nanos() > 0);
        u32::try_from(rounded_up).unwrap_or(u32::MAX).max(1)
    }
}

/// The times of one client's admitted requests, in µs since any fixed moment. Refused requests don't count.
///
/// A window holds at most `max` times of 8 bytes each.
#[derive(Clone, Debug, Default)]
pub struct SlidingWindow(VecDeque<u64>);

impl SlidingWindow {
    /// Counts a request at `now` and admits it, unless the quota is used up. A clock that stands still is fine; a clock
    /// that steps back counts as standing still.
    pub fn admit(&mut self, quota: Quota, now: Duration) -> Decision {
        let now = micros(now).max(self.0.back().copied().unwrap_or(0));
        self.evict_before(quota, now);
        let is_admitted = self.0.len() < quota.max as usize;
        if is_admitted {
            self.0.push_back(now);
        }
        self.decision(quota, now, is_admitted)
    }

    /// Removes the latest request, because it turned out not to count.
    pub fn take_back(&mut self) {
        self.0.pop_back();
    }

    /// How many requests would be admitted now.
    pub fn remaining(&self, quota: Quota, now: Duration) -> u32 {
        let counted = self.0.iter().rev().take_while(|at| **at + micros(quota.window) > micros(now)).count();
        quota.max.saturating_sub(u32::try_from(counted).unwrap_or(u32::MAX))
    }

    fn evict_before(&mut self, quota: Quota, now: u64) {
        while self.0.front().is_some_and(|first| first + micros(quota.window) <= now) {
            self.0.pop_front();
        }
    }

    fn decision(&self, quota: Quota, now: u64, is_admitted: bool) -> Decision {
        let reset = self.0.front().map_or(0, |first| first + micros(quota.window) - now);
        Decision {
            is_admitted,
            remaining: quota.max.saturating_sub(u32::try_from(self.0.len()).unwrap_or(u32::MAX)),
            reset_after: Duration::from_micros(reset),
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const QUOTA: Quota = Quota { max: 3, window: Duration::from_secs(60) };

    #[test]
    fn a_client_that_is_refused_is_told_how_long_to_wait() {
        let mut window = SlidingWindow::default();
        let at = Duration::from_secs;
        assert_eq!(window.admit(QUOTA, at(0)).remaining, 2);
        window.admit(QUOTA, at(10));
        window.admit(QUOTA, at(20));
        let refused = window.admit(QUOTA, at(30));
        assert_eq!(refused, Decision { is_admitted: false, remaining: 0, reset_after: at(30) });
        // A refused request doesn't prolong the wait.
        assert!(window.admit(QUOTA, at(60)).is_admitted);
        assert!(!window.admit(QUOTA, at(69)).is_admitted);
        assert!(window.admit(QUOTA, at(70)).is_admitted);
        assert_eq!((window.remaining(QUOTA, at(129)), window.remaining(QUOTA, at(130))), (2, 3));
    }

    #[test]
    fn a_wait_is_rounded_up_to_whole_seconds() {
        let seconds = |millis| {
            let reset_after = Duration::from_millis(millis);
            Decision { is_admitted: false, remaining: 0, reset_after }.retry_after_seconds()
        };
        assert_eq!((seconds(0), seconds(1001), seconds(60_000)), (1, 2, 60));
    }

    #[test]
    fn what_is_taken_back_does_not_count() {
        let (mut window, at) = (SlidingWindow::default(), Duration::from_secs);
        for now in 0..3 {
            window.admit(QUOTA, at(now));
        }
        window.take_back();
        assert!(window.admit(QUOTA, at(3)).is_admitted);
        assert!(!window.admit(QUOTA, at(4)).is_admitted);
    }

    proptest! {
        /// Each window admits `max` requests, never more and never fewer.
        #[test]
        fn any_window_admits_exactly_its_quota(
            steps in prop::collection::vec(0_u64..30_000, 1..200), max in 1_u32..8, window in 1_u64..60_000,
        ) {
            let quota = Quota { max, window: Duration::from_millis(window) };
            let (mut limited, mut admitted, mut now) = (SlidingWindow::default(), Vec::new(), 0);
            for step in steps {
                now += step;
                let counted = admitted.iter().filter(|at| **at + window > now).count();
                let decision = limited.admit(quota, Duration::from_millis(now));
                prop_assert_eq!(decision.is_admitted, counted < max as usize);
                if decision.is_admitted {
                    admitted.push(now);
                }
                let counted = admitted.iter().filter(|at| **at + window > now).count();
                prop_assert_eq!(decision.remaining as usize, max as usize - counted);
                let oldest = admitted.iter().find(|at| **at + window > now);
                prop_assert_eq!(decision.reset_after, Duration::from_millis(oldest.map_or(0, |at| at + window - now)));
            }
        }
    }
}
