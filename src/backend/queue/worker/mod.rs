//! The worker claims jobs, keeps their leases alive, and makes sure that each job ends.

mod attempt;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, SemaphorePermit},
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Claimant, ClaimedJob, FailureReport, jobs};
use crate::{
    backend::{Backend, Error, QueueSettings, Result, db, queue, tasks},
    domain::{
        circuit::CircuitState,
        health::WorkerHealth,
        ids::{UserId, WorkerId},
        queue::Failure,
    },
};

/// The number of expired leases from which on a job counts as a poison job: it may kill its process, so it runs
/// exclusively.
const POISON_EXPIRED_LEASES: i32 = 2;
/// The longest time between two searches for jobs whose worker is gone.
const RECOVER_INTERVAL_MAX: Duration = Duration::from_secs(5);
/// The longest time between two checks whether the storage needs a probe.
const STORAGE_CHECK_INTERVAL_MAX: Duration = Duration::from_secs(1);
/// A worker that has not looked at the queue for this many polls, and five more seconds, is stalled.
const STALLED_POLLS: u32 = 6;

pub(in crate::backend) struct Worker {
    pub(in crate::backend) id: WorkerId,
    job_permits: Arc<Semaphore>,
    concurrency: u32,
    /// Permits to decode a track: one fewer than job permits, but at least one. Otherwise a cover, or a file that is
    /// only stored, would wait as long as the longest decoding of any artist.
    decoder_permits: Arc<Semaphore>,
    /// Whether a claim had no permit to decode a track. The next such permit that is returned causes another claim.
    has_skipped_decoding: AtomicBool,
    /// Taken while a poison job runs, or waits to run, exclusively. Nothing else is claimed meanwhile.
    poison_permit: Arc<Semaphore>,
    /// Cancelled when the process is about to end. Nothing is claimed after that.
    shutdown: CancellationToken,
    last_polled_at: Mutex<Instant>,
    /// The artist whose job was claimed last. The next claim begins with the artist after this one.
    last_artist: Mutex<UserId>,
    /// The number of running jobs of each artist.
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

    /// Takes a job permit, if one is free for this artist. The request that receives an upload runs the upload's job
    /// with it at once.
    pub(in crate::backend) fn try_job_permit(&self, artist: UserId) -> Option<JobPermit> {
        if self.shutdown.is_cancelled() {
            return None;
        }
        let permit = Arc::clone(&self.job_permits).try_acquire_owned().ok()?;
        let mut running = self.running();
        // The job is counted under the same lock, because many uploads may end in the same moment.
        let is_free = !self.has_fair_share(&running, artist);
        is_free.then(|| JobPermit {
            permit,
            running_job: self.count_running(&mut running, artist),
            decoder_permit: None,
        })
    }

    /// The artist whose jobs hold all permits but one. The last permit is for other artists, who would wait as long as
    /// the longest of these jobs. Claims that cross may still give it to this artist, for one job.
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
        // Nothing panics while it holds the lock.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes all job permits but the one that the poison job has. `None` if its neighbours run for longer than
    /// `within`.
    async fn run_exclusively(&self, within: Duration) -> Option<SemaphorePermit<'_>> {
        timeout(within, self.job_permits.acquire_many(self.concurrency - 1)).await.ok()?.ok()
    }

    /// Reserves the worker for a poison job: nothing else is claimed until the permit is dropped. `None` if the job is
    /// no poison job, or if another poison job was first.
    fn try_claim_exclusivity(&self, job: &ClaimedJob) -> Option<OwnedSemaphorePermit> {
        if is_poison_job(job) { Arc::clone(&self.poison_permit).try_acquire_owned().ok() } else { None }
    }

    fn has_poison_job(&self) -> bool {
        self.poison_permit.available_permits() == 0
    }

    fn last_artist(&self) -> MutexGuard<'_, UserId> {
        // Nothing panics while it holds the lock.
        self.last_artist.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record_poll(&self) {
        *self.last_polled_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

/// The right to run one job of one artist.
pub(in crate::backend) struct JobPermit {
    permit: OwnedSemaphorePermit,
    running_job: RunningJob,
    /// Set for a job that decodes a track.
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
    tasks::supervise(backend, "claim jobs", claim_loop);
    tasks::supervise(backend, "recover stuck jobs", recover_loop);
    tasks::supervise(backend, "watch storage", watch_storage);
}

async fn claim_loop(backend: Arc<Backend>) {
    let (worker, shutdown, hint) = (&backend.worker, backend.shutdown(), backend.events.jobs());
    loop {
        worker.record_poll();
        let permit = tokio::select! {
            () = shutdown.cancelled() => return,
            permit = Arc::clone(&worker.job_permits).acquire_owned() => permit,
            // Long jobs hold all permits, which is not a stall.
            () = sleep(worker.poll_interval) => continue,
        };
        let Ok(permit) = permit else { return };
        match claim_next(&backend, permit).await {
            Some((job, permit)) => run_in_background(&backend, job, permit),
            None => wait_for_hint(&backend, &hint).await,
        }
    }
}

/// Claims the next due job, unless the process is about to end. Every kind of job needs the storage, so nothing is
/// claimed while the storage is away. A hint follows when it is back.
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

/// Returns a decoder permit, and causes another claim if one had none meanwhile. The result is always `None`.
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

/// Waits until there may be a job to claim.
async fn wait_for_hint(backend: &Backend, hint: &Notify) {
    tokio::select! {
        () = backend.shutdown.cancelled() => {}
        () = hint.notified() => {}
        () = sleep(backend.worker.poll_interval) => {}
    }
}

/// Notices a storage that goes away while nobody uses it, and one that is back. Also sends the heartbeat of the spool
/// and checks the free disk space.
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

/// Takes jobs back from workers that are gone. The loop is separate from the claims, so that no long job delays it.
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
        job.run(take_back(backend, &job)).await;
    }
    Ok(())
}

async fn take_back(backend: &Backend, job: &ClaimedJob) {
    tracing::warn!(worker.id = %job.owner, "stuck job taken back");
    let report = FailureReport {
        failure: Failure::Transient,
        detail: format!("its worker was not heard of for {} s", backend.settings.queue.lease.as_secs()),
        lease_expired: true,
    };
    match db::with_timeout(db::REPLY_TIMEOUT, jobs::fail(backend, job, &report, None)).await {
        // The job is due at once.
        Ok(()) => backend.events.job_added(),
        // Meanwhile the lease was prolonged, or the job was finished or taken back by another process.
        Err(Error::LeaseLost(_)) => {}
        // The other jobs are taken back all the same.
        Err(error) => tracing::warn!(error = ?error, "taking back a stuck job failed"),
    }
}

/// Runs a job that this worker holds, on a task that ends when the job ends, even if the caller goes away. The permit
/// then goes to the next due job, so as many claims run side by side as there are permits.
pub(in crate::backend) fn run_in_background(backend: &Arc<Backend>, mut job: ClaimedJob, mut job_permit: JobPermit) {
    // The reservation comes before the next claim.
    let mut exclusivity = backend.worker.try_claim_exclusivity(&job);
    let running = Arc::clone(backend);
    backend.tasks.spawn(async move {
        let backend = running;
        loop {
            let (kind, began) = (job.kind.as_str(), Instant::now());
            let attempt = async {
                let outcome = attempt::run(&backend, &job, exclusivity.is_some()).await;
                let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                tracing::info!(outcome = outcome.as_str(), duration_ms, "attempt ended");
                outcome
            };
            let outcome = job.run(attempt).await;
            drop(exclusivity);
            if is_poison_job(&job) {
                // Claims found nothing while the poison job ran, or waited to run, exclusively.
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
