//! Ends the work on a file when its time is over, or when nobody waits for its outcome any more.

use std::{
    io,
    time::{Duration, Instant},
};

use thiserror::Error;
use tokio::task::{JoinError, spawn_blocking};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Span;

/// The end of the work on a file. It is checked at every read of the file and for every decoded packet, so the working
/// thread ends soon after it.
#[derive(Clone, Debug)]
pub struct Deadline {
    at: Option<Instant>,
    given_up: CancellationToken,
}

/// Marks the end of the time. It is wrapped in an I/O error, because decoders pass on no other errors.
#[derive(Debug, Error)]
#[error("the time for this file is over")]
struct OutOfTime;

impl Deadline {
    /// Ends the work `limit` from now.
    pub fn after(limit: Duration) -> Self {
        Self { at: Instant::now().checked_add(limit), given_up: CancellationToken::new() }
    }

    /// Returns the deadline of the next step of the same work, which ends `limit` from now. Cancelling the work ends
    /// both steps.
    pub fn within(&self, limit: Duration) -> Self {
        Self { at: Instant::now().checked_add(limit), given_up: self.given_up.clone() }
    }

    /// Sets no time limit. The work ends only if it is cancelled.
    pub fn never() -> Self {
        Self { at: None, given_up: CancellationToken::new() }
    }

    /// Runs the work on a blocking thread. The work ends at the deadline, or as soon as the returned future is dropped,
    /// so no thread works without a caller that waits.
    ///
    /// # Errors
    /// Fails if the work panicked.
    pub async fn run_on_thread<T: Send + 'static>(
        self,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let _waiting = self.end_on_drop();
        let span = Span::current();
        spawn_blocking(move || span.in_scope(|| work(&self))).await
    }

    /// Returns a guard that cancels the work when it is dropped, whatever time is left. The caller that waits for the
    /// outcome holds it.
    pub fn end_on_drop(&self) -> DropGuard {
        self.given_up.clone().drop_guard()
    }

    /// Checks whether the work may go on.
    ///
    /// # Errors
    /// Fails after the deadline, and after the work was cancelled. Callers pass the error on, and it becomes
    /// `MediaError::OutOfTime`.
    pub fn check(&self) -> io::Result<()> {
        if self.given_up.is_cancelled() || self.at.is_some_and(|at| Instant::now() >= at) {
            return Err(io::Error::new(io::ErrorKind::TimedOut, OutOfTime));
        }
        Ok(())
    }
}

pub(super) fn is_out_of_time(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<OutOfTime>())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use testing::ends;
    use tokio::{sync::oneshot, task::yield_now};

    use super::*;

    #[tokio::test]
    async fn a_thread_ends_when_nobody_waits_for_it_any_more() {
        let (ended, end) = oneshot::channel();
        let (begun, beginning) = oneshot::channel();
        let work = Deadline::never().run_on_thread(move |deadline| {
            let _ = begun.send(());
            // The loop also ends if this test has failed.
            while deadline.check().is_ok() && !ended.is_closed() {
                thread::yield_now();
            }
            let _ = ended.send(());
        });
        tokio::select! {
            _ = work => panic!("nothing ends it"),
            _ = beginning => yield_now().await,
        }
        ends("the thread ends by itself", end).await.expect("the thread reports its end");
    }

    #[test]
    fn work_ends_after_its_time_or_when_it_is_given_up() {
        assert!(Deadline::never().check().is_ok());
        assert!(Deadline::after(Duration::MAX).check().is_ok());
        assert!(Deadline::after(Duration::ZERO).check().is_err_and(|error| is_out_of_time(&error)));
        let deadline = Deadline::never();
        let thread = deadline.clone();
        let waiting = deadline.end_on_drop();
        assert!(thread.check().is_ok());
        drop(waiting);
        assert!(thread.check().is_err_and(|error| is_out_of_time(&error)));
        assert!(deadline.within(Duration::MAX).check().is_err(), "a cancelled deadline stays cancelled");
        assert!(!is_out_of_time(&io::ErrorKind::TimedOut.into()), "a timeout of the disk is not an expired deadline");
    }
}
