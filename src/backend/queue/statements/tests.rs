//! Compares the statements with the state machine that they implement: the same random steps run on both, and the rows
//! are compared after each step. The database's clock stands still until a step moves it.

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
    time::Duration,
};

use proptest::prelude::*;
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use testing::{TestDatabase, eventually, test_server_url};
use time::OffsetDateTime;
use tokio::runtime::Builder;
use uuid::Uuid;

use crate::{
    backend::{
        Error, QueueSettings, Result, db,
        queue::{self, Claimant, ClaimedJob, FailureReport, NewJob},
    },
    domain::{
        ids::{JobId, SpoolId, UserId, WorkerId},
        queue::{
            Claim, Failure, Job, JobKind, JobStatus, Lease,
            model::{LEASE, MAX_FAILURES, Write, any_duration, any_write},
            next_fair_job,
        },
    },
};

const CASES: u32 = 24;
const STEPS_MAX: usize = 40;
const JOBS: usize = 3;
const ARTISTS: usize = 2;
const WORKERS: usize = 2;

/// A `now` that PostgreSQL finds before its own, because of the search path below.
const CLOCK: &str = "create table clock (at timestamptz not null);
    insert into clock values ('epoch');
    create function now() returns timestamptz language sql stable as 'select at from clock'";
const SEARCH_PATH: (&str, &str) = ("search_path", "public,pg_catalog");

/// A step of the test. Workers go by their index.
#[derive(Clone, Copy, Debug)]
enum Step {
    Pass(Duration),
    Claim(usize),
    /// A write by the claim that this many claims are newer than. Most of these claims have lost their lease.
    Write(usize, Write),
    Recover,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any_duration().prop_map(Step::Pass),
        6 => (0..WORKERS).prop_map(Step::Claim),
        8 => (0usize..6, any_write()).prop_map(|(newer, write)| Step::Write(newer, write)),
        2 => Just(Step::Recover),
    ]
}

/// The table and the state machine, side by side.
struct Both<'a> {
    pool: &'a PgPool,
    now: OffsetDateTime,
    jobs: BTreeMap<JobId, (UserId, Job)>,
    /// The workers, each with the artist whose job it claimed last.
    workers: [(WorkerId, UserId); WORKERS],
    /// All claims so far.
    claims: Vec<ClaimedJob>,
}

impl<'a> Both<'a> {
    async fn begin(pool: &'a PgPool, artists: [UserId; ARTISTS]) -> Self {
        sqlx::query("truncate upload_jobs").execute(pool).await.unwrap();
        let now = OffsetDateTime::UNIX_EPOCH;
        let workers = [(); WORKERS].map(|()| (WorkerId(Uuid::now_v7()), UserId(Uuid::nil())));
        let mut both = Self { pool, now, jobs: BTreeMap::new(), workers, claims: Vec::new() };
        both.pass(Duration::ZERO).await;
        let mut db = pool.acquire().await.unwrap();
        for index in 0..JOBS {
            let artist = artists[index % ARTISTS];
            let new = NewJob { kind: JobKind::Store, artist, release: None, upload: None, object: None, spool: None };
            // The first job is leased from the start, like the job of an upload that has just arrived.
            let owner = (index == 0).then_some(workers[0].0);
            let claimed = queue::enqueue(&mut db, &new, owner, LEASE).await.unwrap();
            let mut job = Job::enqueued(now);
            if let Some(owner) = owner {
                job = job.claim(owner, LEASE, now).unwrap();
                both.claims.push(claimed.clone());
            }
            both.jobs.insert(claimed.id, (artist, job));
        }
        both
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Pass(duration) => self.pass(duration).await,
            Step::Claim(worker) => self.claim(worker).await,
            Step::Write(newer, write) => {
                let claimed = self.claims.iter().rev().cycle().nth(newer).unwrap().clone();
                self.write(&claimed, write).await;
            }
            Step::Recover => {
                let stuck = queue::with_expired_lease(self.pool).await.unwrap();
                let is_stuck = |(id, (_, job)): (&JobId, &(UserId, Job))| job.is_stuck(self.now).then_some(*id);
                let expected: BTreeSet<JobId> = self.jobs.iter().filter_map(is_stuck).collect();
                assert_eq!(stuck.iter().map(|claimed| claimed.id).collect::<BTreeSet<_>>(), expected);
                for claimed in stuck {
                    self.write(&claimed, Write::Expire).await;
                }
            }
        }
        let jobs: BTreeMap<JobId, Job> = self.jobs.iter().map(|(id, (_, job))| (*id, *job)).collect();
        assert_eq!(self.rows().await, jobs, "after {step:?}");
    }

    async fn pass(&mut self, duration: Duration) {
        self.now += duration;
        sqlx::query("update clock set at = $1").bind(self.now).execute(self.pool).await.unwrap();
    }

    async fn claim(&mut self, worker: usize) {
        let (owner, last_artist) = self.workers[worker];
        let by = Claimant { last_artist, ..claimant(owner) };
        let claimed = queue::claim(&mut self.pool.acquire().await.unwrap(), by).await.unwrap();
        let jobs = self.jobs.iter().map(|(id, (artist, job))| (*id, *artist, job));
        assert_eq!(claimed.as_ref().map(|claimed| claimed.id), next_fair_job(jobs, last_artist, self.now));
        if let Some(claimed) = claimed {
            let (artist, job) = self.jobs.get_mut(&claimed.id).unwrap();
            *job = job.claim(owner, LEASE, self.now).unwrap();
            assert_eq!(job.holder(), Some(claim_of(&claimed)));
            self.workers[worker].1 = *artist;
            self.claims.push(claimed);
        }
    }

    async fn write(&mut self, claimed: &ClaimedJob, write: Write) {
        let settings = QueueSettings { max_failures: MAX_FAILURES, ..QueueSettings::default() };
        let report =
            |failure, lease_expired| FailureReport { failure, detail: "two\nlines and a \0".into(), lease_expired };
        let mut db = self.pool.acquire().await.unwrap();
        let is_written = match write {
            Write::Heartbeat => queue::heartbeat(self.pool, claimed, LEASE).await.unwrap(),
            Write::Finish => is_held(queue::finish(&mut db, claimed, None).await),
            Write::HandBack(delay) => is_held(queue::hand_back(self.pool, claimed, delay).await),
            Write::Fail(failure) => is_held(queue::fail(&mut db, claimed, &report(failure, false), &settings).await),
            Write::Expire => is_held(queue::fail(&mut db, claimed, &report(Failure::Transient, true), &settings).await),
        };
        let (_, job) = self.jobs[&claimed.id];
        let bounds = [0.0, 1.0].map(|jitter| write.apply(job, claim_of(claimed), jitter, self.now));
        assert_eq!(is_written, bounds[0].is_ok(), "{write:?} by {claimed:?}");
        if let [Ok(earliest), Ok(latest)] = bounds {
            // The jitter decides where in between.
            let run_after = self.rows().await[&claimed.id].run_after;
            assert!(earliest.run_after <= run_after && run_after <= latest.run_after, "{write:?}: {run_after}");
            self.jobs.get_mut(&claimed.id).unwrap().1 = Job { run_after, ..latest };
        }
    }

    async fn rows(&self) -> BTreeMap<JobId, Job> {
        type Row = (JobId, JobStatus, i32, i32, i32, Option<WorkerId>, Option<OffsetDateTime>, OffsetDateTime);
        let rows: Vec<Row> = sqlx::query_as(
            "select id, status, attempt, retry_count, expired_leases, lease_owner, lease_expires_at, run_after from upload_jobs",
        )
        .fetch_all(self.pool)
        .await
        .unwrap();
        rows.into_iter()
            .map(|(id, status, attempt, retry_count, expired_leases, owner, expires_at, run_after)| {
                let lease = owner.zip(expires_at).map(|(owner, expires_at)| Lease { owner, expires_at });
                let [attempt, retry_count, expired_leases] = [attempt, retry_count, expired_leases].map(count);
                (id, Job { status, attempt, retry_count, expired_leases, lease, run_after })
            })
            .collect()
    }
}

/// A worker that may claim every job.
fn claimant(owner: WorkerId) -> Claimant {
    Claimant {
        owner,
        spool: SpoolId(Uuid::nil()),
        own_spool_only: false,
        lease: LEASE,
        last_artist: UserId(Uuid::nil()),
        artist_at_fair_share: None,
        may_decode_track: true,
    }
}

fn count(column: i32) -> u32 {
    u32::try_from(column).unwrap()
}

fn claim_of(claimed: &ClaimedJob) -> Claim {
    Claim { attempt: count(claimed.attempt), owner: claimed.owner }
}

fn is_held<T>(written: Result<T>) -> bool {
    match written {
        Ok(_) => true,
        Err(Error::LeaseLost(_)) => false,
        Err(error) => panic!("{error:?}"),
    }
}

async fn database() -> (TestDatabase, PgPool, [UserId; ARTISTS]) {
    let database = TestDatabase::create(&test_server_url()).await;
    let options = PgConnectOptions::from_str(&database.url()).unwrap().options([SEARCH_PATH]);
    let pool = PgPoolOptions::new().max_connections(3).connect_with(options).await.unwrap();
    sqlx::raw_sql(CLOCK).execute(&pool).await.unwrap();
    db::MIGRATIONS.run(&pool).await.unwrap();
    let artists = [(); ARTISTS].map(|()| UserId(Uuid::now_v7()));
    for artist in artists {
        sqlx::query("insert into users (id, email, artist_name, password_hash) values ($1, $2, 'An artist', '')")
            .bind(artist)
            .bind(artist.to_string())
            .execute(&pool)
            .await
            .unwrap();
    }
    (database, pool, artists)
}

#[test]
fn every_statement_does_what_the_machine_says() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let (_database, pool, artists) = runtime.block_on(database());
    proptest!(ProptestConfig::with_cases(CASES), |(steps in prop::collection::vec(any_step(), 1..=STEPS_MAX))| {
        runtime.block_on(async {
            let mut both = Both::begin(&pool, artists).await;
            for step in steps {
                both.take(step).await;
            }
        });
    });
    runtime.block_on(pool.close());
}

/// The claims of two processes overlap: the second one begins before the first one commits.
#[tokio::test]
async fn of_two_workers_that_claim_at_once_one_gets_a_background_job() {
    let (_database, pool, artists) = database().await;
    let (one, two) = (WorkerId(Uuid::now_v7()), WorkerId(Uuid::now_v7()));
    for artist in artists {
        let new = NewJob { kind: JobKind::Examine, artist, release: None, upload: None, object: None, spool: None };
        queue::enqueue(&mut pool.acquire().await.unwrap(), &new, None, LEASE).await.unwrap();
    }
    sqlx::query("update upload_jobs set is_background = true").execute(&pool).await.unwrap();

    let mut first = db::begin(&pool).await.unwrap();
    let claimed = queue::claim(&mut first, claimant(one)).await.unwrap().unwrap();
    let claims = pool.clone();
    let second =
        tokio::spawn(async move { queue::claim(&mut claims.acquire().await.unwrap(), claimant(two)).await.unwrap() });
    eventually("the second claim waits for the first one, or has ended", async || {
        let waiting = "select exists (select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')";
        let waiting = sqlx::query_scalar(waiting);
        let is_waiting: bool = waiting.fetch_one(&pool).await.unwrap();
        (is_waiting || second.is_finished()).then_some(())
    })
    .await;
    first.commit().await.unwrap();
    assert!(second.await.unwrap().is_none(), "both workers got a background job");

    let next = async || queue::claim(&mut pool.acquire().await.unwrap(), claimant(two)).await.unwrap();
    assert!(next().await.is_none());
    queue::finish(&mut pool.acquire().await.unwrap(), &claimed, None).await.unwrap();
    // PostgreSQL tells the client of an error before it gives up the locks of its transaction: the second claim may hold
    // the job a moment longer.
    eventually("the next claim finds a job when none runs", next).await;
}
