//! Tasks that a shutdown waits for: loops in the background, jobs, and work that goes on when its caller goes away.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Backend, Result, cause};

const LOOP_RESTART_DELAY: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Tasks {
    tracker: TaskTracker,
    /// Cancelled when the deadline of a shutdown is near. What still runs then is handed back.
    hand_back: CancellationToken,
}

impl Tasks {
    /// Runs a task that only a shutdown waits for.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.tracker.spawn(task)
    }

    /// Runs a task to its end, even if the caller goes away. A shutdown waits for the task. Its log lines, jobs and mails
    /// are those of the caller's request.
    pub(super) async fn run_to_completion<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Result<T> {
        Ok(self.tracker.spawn(cause::inherit(task)).await?)
    }

    /// Waits until the deadline of a shutdown is near. What still runs then is given up.
    pub(super) async fn wait_for_hand_back(&self) {
        self.hand_back.cancelled().await;
    }

    /// Waits for running tasks. Jobs that do not end in time are handed back, so that other workers claim them at once.
    pub(super) async fn drain(&self, deadline: Duration) {
        self.tracker.close();
        if timeout(deadline / 2, self.tracker.wait()).await.is_err() {
            self.hand_back.cancel();
            if timeout(deadline / 2, self.tracker.wait()).await.is_err() {
                tracing::warn!("jobs did not stop in time; their leases will expire");
            }
        }
    }
}

/// Runs a loop to its end, and restarts it after a panic. Without the restart, the process would look alive and do
/// nothing.
pub(super) fn supervise<F>(backend: &Arc<Backend>, what: &'static str, run: fn(Arc<Backend>) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let supervised = Arc::clone(backend);
    backend.tasks.spawn(async move {
        while AssertUnwindSafe(run(Arc::clone(&supervised))).catch_unwind().await.is_err() {
            tracing::error!(task = what, "background task panicked; restarting it");
            sleep(LOOP_RESTART_DELAY).await;
        }
    });
}
