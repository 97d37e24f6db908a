//! Tests the queue's model under random crashes: workers claim, write, die and go on as zombies. Each job has a history
//! beside it that records only claims and failures. After every step, the job and its history must agree.

use std::{collections::BTreeSet, mem, time::Duration};

use proptest::prelude::*;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{BACKOFF_MAX, Claim, Failure, Job, JobStatus, Refused, next_fair_job};
use crate::domain::ids::{JobId, UserId, WorkerId};

const JOBS: usize = 6;
const ARTISTS: usize = 3;
const WORKERS: usize = 3;
pub(crate) const LEASE: Duration = Duration::from_secs(60);
pub(crate) const MAX_FAILURES: u32 = 3;

/// A write to a job, made with a claim as its proof.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Write {
    Heartbeat,
    Finish,
    HandBack(Duration),
    Fail(Failure),
    /// Takes the job back from a worker whose lease has expired.
    Expire,
}

impl Write {
    pub(crate) fn apply(self, job: Job, by: Claim, jitter: f64, now: OffsetDateTime) -> Result<Job, Refused> {
        match self {
            Self::Heartbeat => job.heartbeat(by, LEASE, now),
            Self::Finish => job.finish(by),
            Self::HandBack(delay) => job.hand_back(by, delay, now),
            Self::Fail(failure) => job.fail(by, failure, MAX_FAILURES, jitter, now),
            Self::Expire => job.expire(by, MAX_FAILURES, jitter, now),
        }
    }
}

/// One step of the test. Workers and jobs are indices. The index of a claim wraps around.
#[derive(Clone, Copy, Debug)]
enum Step {
    Pass(Duration),
    Claim(usize),
    /// A worker writes to one of the jobs that it believes to hold.
    Write(usize, usize, Write),
    /// A process dies without writing, and another one starts in its place.
    Crash(usize),
    /// A process hands back all jobs that it holds.
    ShutDown(usize),
    /// A worker writes with any claim ever made: it was stopped and goes on, or it never learned that its job was over.
    Zombie(usize, Write),
    Recover,
    Requeue(usize),
    Discard(usize),
}

/// Generates durations that are mostly shorter than a lease, and sometimes longer.
pub(crate) fn any_duration() -> impl Strategy<Value = Duration> {
    (0u64..90).prop_map(Duration::from_secs)
}

pub(crate) fn any_write() -> impl Strategy<Value = Write> {
    prop_oneof![
        4 => Just(Write::Heartbeat),
        2 => Just(Write::Finish),
        2 => any_duration().prop_map(Write::HandBack),
        4 => Just(Write::Fail(Failure::Transient)),
        1 => Just(Write::Fail(Failure::Permanent)),
        1 => Just(Write::Expire),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => any_duration().prop_map(Step::Pass),
        8 => (0..WORKERS).prop_map(Step::Claim),
        8 => (0..WORKERS, 0..JOBS, any_write()).prop_map(|(worker, held, write)| Step::Write(worker, held, write)),
        2 => (0..WORKERS).prop_map(Step::Crash),
        1 => (0..WORKERS).prop_map(Step::ShutDown),
        4 => (0usize..1000, any_write()).prop_map(|(claim, write)| Step::Zombie(claim, write)),
        3 => Just(Step::Recover),
        1 => (0..JOBS).prop_map(Step::Requeue),
        1 => (0..JOBS).prop_map(Step::Discard),
    ]
}

struct Entry {
    artist: UserId,
    job: Job,
    history: History,
}

/// The history of a job, recorded without the state machine.
struct History {
    claims: u32,
    /// Failures since the job was enqueued or requeued. The next two fields count since then, too.
    failures: u32,
    expired: u32,
    failed_for_good: bool,
    holder: Option<Claim>,
    /// The time of the holder's claim or last heartbeat.
    heard_at: OffsetDateTime,
    is_over: bool,
}

struct Worker {
    id: WorkerId,
    held: Vec<(usize, Claim)>,
    last_artist: UserId,
}

impl Worker {
    fn new(number: usize) -> Self {
        let id = WorkerId(Uuid::from_u128(number as u128));
        Self { id, held: Vec::new(), last_artist: UserId(Uuid::nil()) }
    }
}

struct World {
    now: OffsetDateTime,
    jobs: Vec<Entry>,
    workers: Vec<Worker>,
    processes: usize,
    /// Every claim ever made.
    claims: Vec<(usize, Claim)>,
}

fn artist(index: usize) -> UserId {
    UserId(Uuid::from_u128(index as u128 + 1))
}

fn next_job(jobs: &[Entry], last_artist: UserId, now: OffsetDateTime) -> Option<usize> {
    let ids = (0u128..).map(|number| JobId(Uuid::from_u128(number)));
    let next = next_fair_job(ids.zip(jobs).map(|(id, entry)| (id, entry.artist, &entry.job)), last_artist, now)?;
    usize::try_from(next.0.as_u128()).ok()
}

impl World {
    fn new(artists: impl IntoIterator<Item = usize>) -> Self {
        let now = OffsetDateTime::UNIX_EPOCH;
        let jobs = artists.into_iter().map(|index| Entry {
            artist: artist(index),
            job: Job::enqueued(now),
            history: History {
                claims: 0,
                failures: 0,
                expired: 0,
                failed_for_good: false,
                holder: None,
                heard_at: now,
                is_over: false,
            },
        });
        let jobs = jobs.collect();
        Self { now, jobs, workers: (0..WORKERS).map(Worker::new).collect(), processes: WORKERS, claims: Vec::new() }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Pass(duration) => self.now += duration,
            Step::Claim(worker) => {
                self.claim(worker);
            }
            Step::Write(worker, held, write) => {
                if let Some((job, by)) = pick(&self.workers[worker].held, held) {
                    self.write(job, by, write);
                    if !matches!(write, Write::Heartbeat) {
                        self.workers[worker].held.retain(|other| *other != (job, by));
                    }
                }
            }
            Step::Crash(worker) => {
                self.workers[worker] = Worker::new(self.processes);
                self.processes += 1;
            }
            Step::ShutDown(worker) => {
                for (job, by) in mem::take(&mut self.workers[worker].held) {
                    self.write(job, by, Write::HandBack(Duration::ZERO));
                }
            }
            Step::Zombie(claim, write) => {
                if let Some((job, by)) = pick(&self.claims, claim) {
                    self.write(job, by, write);
                }
            }
            Step::Recover => self.recover(),
            Step::Requeue(job) => {
                let now = self.now;
                if self.rescue(job, |job| job.requeue(now)) {
                    let Entry { job, history, .. } = &mut self.jobs[job];
                    (history.failures, history.expired, history.failed_for_good) = (0, 0, false);
                    assert!(job.is_due(now));
                }
            }
            Step::Discard(job) => {
                if self.rescue(job, Job::discard) {
                    self.jobs[job].history.is_over = true;
                }
            }
        }
    }

    /// Applies a transition that only a dead letter allows, and checks that a second time is refused.
    fn rescue(&mut self, job: usize, transition: impl Fn(Job) -> Result<Job, Refused>) -> bool {
        let job = &mut self.jobs[job].job;
        let is_dead = job.status == JobStatus::Failed;
        if is_dead {
            *job = transition(*job).expect("the job is a dead letter");
        }
        assert_eq!(transition(*job), Err(Refused::NotFailed));
        is_dead
    }

    fn claim(&mut self, worker: usize) -> Option<(usize, Claim)> {
        let (now, worker) = (self.now, &mut self.workers[worker]);
        let Some(index) = next_job(&self.jobs, worker.last_artist, now) else {
            assert!(!self.jobs.iter().any(|entry| entry.job.is_due(now)), "no due job is overlooked");
            return None;
        };
        let Entry { artist, job, history } = &mut self.jobs[index];
        assert!(history.holder.is_none() && !history.is_over);
        *job = job.claim(worker.id, LEASE, now).expect("the job is due");
        assert_eq!(job.claim(worker.id, LEASE, now), Err(Refused::NotDue));
        history.claims += 1;
        let claim = Claim { attempt: history.claims, owner: worker.id };
        (history.holder, history.heard_at) = (Some(claim), now);
        worker.last_artist = *artist;
        worker.held.push((index, claim));
        self.claims.push((index, claim));
        Some((index, claim))
    }

    fn write(&mut self, job: usize, by: Claim, write: Write) {
        let (now, Entry { job, history, .. }) = (self.now, &mut self.jobs[job]);
        let before = *job;
        let may_write =
            history.holder == Some(by) && (!matches!(write, Write::Expire) || history.heard_at + LEASE < now);
        let written = write.apply(before, by, 1.0, now);
        if !may_write {
            // A zombie's heartbeat may still learn that its job is completed, whoever completed it, as long as no later
            // attempt began.
            let needs_refresh = matches!(write, Write::Heartbeat) && history.is_over && before.attempt == by.attempt;
            assert_eq!(written, if needs_refresh { Ok(before) } else { Err(Refused::LeaseLost) });
            return;
        }
        *job = written.expect("the holder of a job may write");
        match write {
            Write::Heartbeat => {
                history.heard_at = now;
                return;
            }
            Write::Finish => history.is_over = true,
            Write::HandBack(_) => {}
            Write::Fail(failure) => {
                history.failures += 1;
                history.failed_for_good = failure == Failure::Permanent;
            }
            Write::Expire => {
                history.failures += 1;
                history.expired += 1;
            }
        }
        history.holder = None;
    }

    fn recover(&mut self) {
        for index in 0..self.jobs.len() {
            let Entry { job, history, .. } = &self.jobs[index];
            let expired_holder = history.holder.filter(|_| history.heard_at + LEASE < self.now);
            assert_eq!(job.is_stuck(self.now), expired_holder.is_some());
            if let Some(holder) = expired_holder {
                self.write(index, holder, Write::Expire);
            }
        }
    }

    fn check(&self) {
        for (index, Entry { job, history, .. }) in self.jobs.iter().enumerate() {
            assert_eq!(job.holder(), history.holder);
            let may_finish = self.claims.iter().filter(|(of, by)| *of == index && job.finish(*by).is_ok()).count();
            assert_eq!(may_finish, usize::from(history.holder.is_some()), "a job has at most one lease");
            let is_dead = history.failed_for_good || history.failures >= MAX_FAILURES;
            let status = match (history.is_over, is_dead, history.holder) {
                (true, ..) => JobStatus::Completed,
                (_, true, _) => JobStatus::Failed,
                (_, _, Some(_)) => JobStatus::Uploading,
                (_, _, None) => JobStatus::Pending,
            };
            assert_eq!(
                (job.status, job.attempt, job.retry_count, job.expired_leases),
                (status, history.claims, history.failures, history.expired)
            );
        }
    }

    /// Runs the queue without further crashes. Each round is long enough for the longest backoff and for every lease,
    /// and each attempt ends as `endings` says.
    fn drain(&mut self, endings: &[Write]) {
        for _ in 0..MAX_FAILURES {
            self.now += BACKOFF_MAX + LEASE + Duration::from_secs(90);
            self.recover();
            for (next_job, ending) in endings.iter().cycle().enumerate() {
                let Some((job, by)) = self.claim(next_job % WORKERS) else { break };
                self.write(job, by, *ending);
            }
        }
    }
}

fn pick<T: Copy>(from: &[T], index: usize) -> Option<T> {
    from.get(index % from.len().max(1)).copied()
}

proptest! {
    #[test]
    fn whatever_crashes_no_job_is_lost_or_run_by_two(
        steps in prop::collection::vec(any_step(), 0..150),
        endings in prop::collection::vec(prop::sample::select(vec![Write::Finish, Write::Fail(Failure::Transient)]), 1..8),
    ) {
        let mut world = World::new((0..JOBS).map(|job| job % ARTISTS));
        for step in steps {
            world.take(step);
            world.check();
        }
        world.drain(&endings);
        world.check();
        for entry in &world.jobs {
            prop_assert!(matches!(entry.job.status, JobStatus::Completed | JobStatus::Failed));
        }
    }

    #[test]
    fn many_jobs_of_one_artist_delay_another_artist_by_one_job(
        backlog in 100usize..300, others in prop::collection::btree_set(1usize..20, 1..10), last in 0usize..20,
    ) {
        let mut jobs = World::new(std::iter::repeat_n(0, backlog).chain(others.iter().copied())).jobs;
        let (now, mut last_artist, mut served) = (OffsetDateTime::UNIX_EPOCH, artist(last), BTreeSet::new());
        for _ in 0..=others.len() {
            let next = next_job(&jobs, last_artist, now).expect("jobs are due");
            let entry = &mut jobs[next];
            entry.job = entry.job.claim(WorkerId(Uuid::nil()), LEASE, now).expect("the job is due");
            last_artist = entry.artist;
            served.insert(entry.artist);
        }
        prop_assert_eq!(served.len(), others.len() + 1);
    }
}
