//! The worker: claims jobs, keeps their leases alive, and sees to it that each ends.

mod attempt;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, hash_map::Entry},
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures::FutureExt;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, SemaphorePermit},
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use super::{Claimant, ClaimedJob, FailureReport, jobs};
use crate::{
    backend::{Backend, Error, QueueSettings, Result, db, mail::sender, operations::janitor, queue},
    domain::{
        circuit::CircuitState,
        ids::{UserId, WorkerId},
        queue::Failure,
    },
};

/// From this many expired leases on, a job is suspected of killing its process and runs without neighbours.
const POISON_EXPIRED_LEASES: i32 = 2;
/// Between two looks for jobs whose worker is gone.
const RECOVER_INTERVAL_MAX: Duration = Duration::from_secs(5);
/// Between two looks at whether the storage is to be probed.
const STORAGE_CHECK_INTERVAL_MAX: Duration = Duration::from_secs(1);
const LOOP_RESTART_DELAY: Duration = Duration::from_secs(1);
/// A worker that has not looked at the queue for this many polls is stalled.
const STALLED_POLLS: u32 = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerHealth {
    Ok,
    /// Configured to run no jobs of its own accord.
    Off,
    Stalled,
}

pub(in crate::backend) struct Worker {
    pub(in crate::backend) id: WorkerId,
    job_permits: Arc<Semaphore>,
    concurrency: u32,
    /// Turns that may decode a track: all but one. A cover, and a file that is only stored, would wait as long as the longest of
    /// these, whoever's they are.
    decoder_permits: Arc<Semaphore>,
    /// Whether somebody has looked for jobs without being allowed to decode a track: who gives such a turn back has them look again.
    has_skipped_decoding: AtomicBool,
    /// Taken while a job under suspicion runs, or waits to run, alone: nothing else is claimed meanwhile.
    poison_permit: Arc<Semaphore>,
    tasks: TaskTracker,
    /// Cancelled when the deadline of a shutdown is near: what still runs is handed back.
    hand_back: CancellationToken,
    /// Cancelled when the process is about to end: nothing new is taken up.
    shutdown: CancellationToken,
    last_polled_at: Mutex<Instant>,
    /// Whose job was claimed last: the next in turn comes after them.
    last_artist: Mutex<UserId>,
    /// Jobs that run, by artist.
    running: Arc<Mutex<HashMap<UserId, u32>>>,
    poll_interval: Duration,
    is_off: bool,
}

impl Worker {
    pub(in crate::backend) fn new(id: WorkerId, settings: &QueueSettings, shutdown: CancellationToken) -> Self {
        let concurrency = settings.concurrency.max(1);
        Self {
            id,
            job_permits: Arc::new(Semaphore::new(concurrency as usize)),
            concurrency,
            decoder_permits: Arc::new(Semaphore::new((concurrency as usize - 1).max(1))),
            has_skipped_decoding: AtomicBool::new(false),
            poison_permit: Arc::new(Semaphore::new(1)),
            tasks: TaskTracker::new(),
            hand_back: CancellationToken::new(),
            shutdown,
            last_polled_at: Mutex::new(Instant::now()),
            last_artist: Mutex::new(UserId(Uuid::nil())),
            running: Arc::default(),
            poll_interval: settings.poll_interval,
            is_off: settings.concurrency == 0,
        }
    }

    pub(in crate::backend) fn health(&self) -> WorkerHealth {
        let last_polled_at = *self.last_polled_at.lock().unwrap_or_else(PoisonError::into_inner);
        if last_polled_at.elapsed() > self.poll_interval * STALLED_POLLS + Duration::from_secs(5) {
            WorkerHealth::Stalled
        } else if self.is_off {
            WorkerHealth::Off
        } else {
            WorkerHealth::Ok
        }
    }

    /// A turn, if one is free for this artist: whoever receives an upload takes it to run the upload's job at once.
    pub(in crate::backend) fn try_job_permit(&self, artist: UserId) -> Option<JobPermit> {
        if self.shutdown.is_cancelled() {
            return None;
        }
        let permit = Arc::clone(&self.job_permits).try_acquire_owned().ok()?;
        let mut running = self.running();
        // Counted at once: many uploads may end in the same moment.
        let is_free = !self.has_fair_share(&running, artist);
        is_free.then(|| JobPermit {
            permit,
            running_job: self.count_running(&mut running, artist),
            decoder_permit: None,
        })
    }

    /// The artist whose jobs have all turns but one: that one is for the others, who would wait as long as the longest of these.
    /// Claims that cross may take it all the same, for one job.
    fn artist_at_fair_share(&self) -> Option<UserId> {
        let running = self.running();
        running.keys().copied().find(|artist| self.has_fair_share(&running, *artist))
    }

    fn has_fair_share(&self, running: &HashMap<UserId, u32>, artist: UserId) -> bool {
        self.concurrency > 1 && running.get(&artist).is_some_and(|jobs| *jobs >= self.concurrency - 1)
    }

    /// Counts a job as this artist's, until the returned value is dropped.
    fn count_running(&self, running: &mut HashMap<UserId, u32>, artist: UserId) -> RunningJob {
        *running.entry(artist).or_default() += 1;
        RunningJob { running: Arc::clone(&self.running), artist }
    }

    fn try_decoder_permit(&self) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.decoder_permits).try_acquire_owned().ok();
        if permit.is_none() {
            self.has_skipped_decoding.store(true, Ordering::Release);
        }
        permit
    }

    fn running(&self) -> MutexGuard<'_, HashMap<UserId, u32>> {
        // Nothing panics while it is held.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs something that nobody waits for; a shutdown does.
    pub(in crate::backend) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Ends when the deadline of a shutdown is near: what still runs is given up.
    pub(in crate::backend) async fn wait_for_hand_back(&self) {
        self.hand_back.cancelled().await;
    }

    /// Runs on a task of its own, to its end, even when nobody waits for it any more; a shutdown waits for it.
    pub(in crate::backend) async fn run_to_completion<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Result<T> {
        Ok(self.tasks.spawn(task).await?)
    }

    /// All turns but the one that a suspect has. `None`: its neighbours take longer than `within`.
    async fn run_exclusively(&self, within: Duration) -> Option<SemaphorePermit<'_>> {
        timeout(within, self.job_permits.acquire_many(self.concurrency - 1)).await.ok()?.ok()
    }

    /// For a suspect: nothing else is claimed until it is dropped. `None`: it is none, or another suspect was first.
    fn try_claim_exclusivity(&self, job: &ClaimedJob) -> Option<OwnedSemaphorePermit> {
        if is_poison_job(job) { Arc::clone(&self.poison_permit).try_acquire_owned().ok() } else { None }
    }

    fn has_poison_job(&self) -> bool {
        self.poison_permit.available_permits() == 0
    }

    fn last_artist(&self) -> MutexGuard<'_, UserId> {
        // Nothing panics while it is held.
        self.last_artist.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record_poll(&self) {
        *self.last_polled_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

/// The right to run one job, of one artist.
pub(in crate::backend) struct JobPermit {
    permit: OwnedSemaphorePermit,
    running_job: RunningJob,
    /// For a job that decodes a track.
    decoder_permit: Option<OwnedSemaphorePermit>,
}

struct RunningJob {
    running: Arc<Mutex<HashMap<UserId, u32>>>,
    artist: UserId,
}

impl Drop for RunningJob {
    fn drop(&mut self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut jobs) = running.entry(self.artist) {
            *jobs.get_mut() -= 1;
            if *jobs.get() == 0 {
                jobs.remove();
            }
        }
    }
}

pub(in crate::backend) fn start(backend: &Arc<Backend>) {
    supervise(backend, "claim jobs", claim_loop);
    supervise(backend, "recover stuck jobs", recover_loop);
    supervise(backend, "watch storage", watch_storage);
    supervise(backend, "janitor", janitor::run);
    for _ in 0..sender::SENDERS {
        supervise(backend, "send mail", sender::run);
    }
}

/// Runs a loop to its end, and anew when it panics: without it the process would look alive and do nothing.
fn supervise<F>(backend: &Arc<Backend>, what: &'static str, run: fn(Arc<Backend>) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let backend = Arc::clone(backend);
    backend.worker.tasks.clone().spawn(async move {
        while AssertUnwindSafe(run(Arc::clone(&backend))).catch_unwind().await.is_err() {
            tracing::error!(task = what, "background task panicked; restarting it");
            sleep(LOOP_RESTART_DELAY).await;
        }
    });
}

/// Waits for running jobs; those that are not through in time are handed back, so that others take them up at once.
pub(in crate::backend) async fn drain(backend: &Backend, deadline: Duration) {
    let worker = &backend.worker;
    worker.tasks.close();
    if timeout(deadline / 2, worker.tasks.wait()).await.is_err() {
        worker.hand_back.cancel();
        if timeout(deadline / 2, worker.tasks.wait()).await.is_err() {
            tracing::warn!("jobs did not stop in time; their leases will expire");
        }
    }
}

async fn claim_loop(backend: Arc<Backend>) {
    let (worker, shutdown, hint) = (&backend.worker, backend.shutdown(), backend.events.jobs());
    loop {
        worker.record_poll();
        let permit = tokio::select! {
            () = shutdown.cancelled() => return,
            permit = Arc::clone(&worker.job_permits).acquire_owned() => permit,
            // All turns are taken by long jobs, which is not a stall.
            () = sleep(worker.poll_interval) => continue,
        };
        let Ok(permit) = permit else { return };
        match claim_next(&backend, permit).await {
            Some((job, permit)) => run_in_background(&backend, job, permit),
            None => wait_for_hint(&backend, &hint).await,
        }
    }
}

/// The next job that is due, unless the process is about to end. Every kind of job needs the storage: while it is away nothing is
/// claimed, and its return is a hint.
async fn claim_next(backend: &Backend, permit: OwnedSemaphorePermit) -> Option<(ClaimedJob, JobPermit)> {
    let worker = &backend.worker;
    if backend.shutdown.is_cancelled() || worker.has_poison_job() || backend.storage.circuit() != CircuitState::Closed {
        return None;
    }
    let decoder_permit = worker.try_decoder_permit();
    let claimant = Claimant {
        owner: worker.id,
        spool: backend.spool.id,
        own_spool_only: worker.is_off,
        lease: backend.settings.queue.lease,
        last_artist: *worker.last_artist(),
        artist_at_fair_share: worker.artist_at_fair_share(),
        may_decode_track: decoder_permit.is_some(),
    };
    match backend.queue_connections.run(async |connection| queue::claim(connection, claimant).await).await {
        Ok(job) => {
            let job = job?;
            fail::fail_point!("job-claimed");
            *worker.last_artist() = job.artist;
            let running_job = worker.count_running(&mut worker.running(), job.artist);
            let decoder_permit =
                if job.decodes_track { decoder_permit } else { return_decoder_permit(backend, decoder_permit) };
            Some((job, JobPermit { permit, running_job, decoder_permit }))
        }
        Err(error) => {
            tracing::warn!(error = ?error, "reading the queue failed; trying again at the next poll");
            None
        }
    }
}

/// Leaves the turn to whoever was passed over meanwhile. None is left.
fn return_decoder_permit(
    backend: &Backend,
    decoder_permit: Option<OwnedSemaphorePermit>,
) -> Option<OwnedSemaphorePermit> {
    if decoder_permit.is_some() {
        drop(decoder_permit);
        if backend.worker.has_skipped_decoding.swap(false, Ordering::AcqRel) {
            backend.events.jobs().notify_one();
        }
    }
    None
}

/// Until there may be a job to claim.
async fn wait_for_hint(backend: &Backend, hint: &Notify) {
    tokio::select! {
        () = backend.shutdown.cancelled() => {}
        () = hint.notified() => {}
        () = sleep(backend.worker.poll_interval) => {}
    }
}

/// Notices a storage that is away while nobody asks for it, and one that is back; and tells that this process is here.
async fn watch_storage(backend: Arc<Backend>) {
    let shutdown = backend.shutdown();
    let mut ticks = interval(backend.worker.poll_interval.min(STORAGE_CHECK_INTERVAL_MAX));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = db::with_timeout(db::REPLY_TIMEOUT, backend.spool.heartbeat(&backend.db)).await {
            tracing::warn!(spool.id = %backend.spool.id, error = ?error, "spool heartbeat failed");
        }
        backend.storage.check_disk_space(backend.settings.uploads.reserve_bytes).await;
        if backend.storage.probe().await {
            tracing::info!("storage reachable again");
            backend.events.jobs().notify_one();
        }
    }
}

/// Takes jobs back from workers that are gone. On its own, so that no long job delays it.
async fn recover_loop(backend: Arc<Backend>) {
    let shutdown = backend.shutdown();
    let mut ticks = interval(backend.worker.poll_interval.min(RECOVER_INTERVAL_MAX));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = recover(&backend).await {
            tracing::warn!(error = ?error, "looking for stuck jobs failed; trying again at the next poll");
        }
    }
}

async fn recover(backend: &Arc<Backend>) -> Result<()> {
    for job in db::with_timeout(db::REPLY_TIMEOUT, queue::with_expired_lease(&backend.db)).await? {
        tracing::warn!(job.id = %job.id, job.kind = ?job.kind, attempt = job.attempt, worker.id = %job.owner, "stuck job taken back");
        let report = FailureReport {
            failure: Failure::Transient,
            detail: format!("its worker was not heard of for {} s", backend.settings.queue.lease.as_secs()),
            lease_expired: true,
        };
        match db::with_timeout(db::REPLY_TIMEOUT, jobs::fail(backend, &job, &report, None)).await {
            // It is due at once.
            Ok(()) => backend.events.job_added(),
            // It was prolonged, finished or taken back by somebody else in between.
            Err(Error::LeaseLost(_)) => {}
            // The others do not wait for it.
            Err(error) => tracing::warn!(job.id = %job.id, error = ?error, "taking back a stuck job failed"),
        }
    }
    Ok(())
}

/// Runs a job that this worker holds, on a task of its own: it ends when the job ends, whoever has gone away. Then its turn goes
/// on with what is due next: as many claims are under way side by side as there are turns.
pub(in crate::backend) fn run_in_background(backend: &Arc<Backend>, mut job: ClaimedJob, mut job_permit: JobPermit) {
    let backend = Arc::clone(backend);
    // Before anybody claims the next one.
    let mut exclusivity = backend.worker.try_claim_exclusivity(&job);
    backend.worker.tasks.clone().spawn(async move {
        loop {
            let (kind, began) = (job.kind.as_str(), Instant::now());
            let outcome = attempt::run(&backend, &job, exclusivity.is_some()).await;
            drop(exclusivity);
            if is_poison_job(&job) {
                // Whoever looked while it wanted to be alone has found nothing.
                backend.events.jobs().notify_one();
            }
            metrics::histogram!("vwaza_job_duration_seconds", "kind" => kind).record(began.elapsed());
            metrics::counter!("vwaza_jobs_total", "kind" => kind, "outcome" => outcome.as_str()).increment(1);
            let JobPermit { permit, running_job, decoder_permit } = job_permit;
            drop(running_job);
            return_decoder_permit(&backend, decoder_permit);
            let Some(next) = claim_next(&backend, permit).await else { return };
            (job, job_permit) = next;
            exclusivity = backend.worker.try_claim_exclusivity(&job);
        }
    });
}

fn is_poison_job(job: &ClaimedJob) -> bool {
    job.expired_leases >= POISON_EXPIRED_LEASES
}
