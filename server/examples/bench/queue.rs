//! The rate at which jobs are processed, compared with the least that a queue in the same database must do; and the
//! time until a job is claimed.
//!
//! The jobs have nothing to do, so each costs a claim and a finish, each with a commit. The bare loop claims and
//! finishes as many jobs with SKIP LOCKED, on as many connections, in a table with only what a claim needs. Rounds of
//! both alternate. An idle process gets all jobs of a round at once, and a rate is measured by the database's clock
//! from the first finish to the last.

use std::time::Duration;

use futures::future::try_join_all;
use sqlx::{AssertSqlSafe, PgPool, Postgres, pool::PoolConnection, postgres::PgPoolOptions};
use testing::{OtherProcess, TestDatabase};
use time::OffsetDateTime;
use tokio::time::{sleep, timeout};
use uuid::Uuid;
use vwaza::backend::migrate_database;

use crate::{
    BenchResult, Size,
    comparison::Comparison,
    figures::{Figures, Limit, percentile},
    server::Server,
};

const ARTISTS: i32 = 8;
/// Jobs of each artist in each round.
const JOBS: i32 = 250;
/// Jobs that wait while others run.
const WAITING: i32 = 100_000;
/// The server's default.
const WORKERS: usize = 4;

const HINTED: Pace = Pace { jobs: 300, every: Duration::from_millis(50) };
/// The interval makes jobs arrive at every phase of the poll.
const UNHINTED: Pace = Pace { jobs: 100, every: Duration::from_millis(37) };
const SMOKE: Pace = Pace { jobs: 5, every: Duration::from_millis(50) };
const POLL_MS: u32 = 200;
const PICK_UP_LIMIT_MS: f64 = 20.0;

/// Many times longer than any measured step takes.
const WAIT_TIMEOUT: Duration = Duration::from_secs(120);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A table with only what a claim needs.
const BARE_TABLE: &str = "
    create table bare_jobs (
        id uuid primary key,
        status job_status not null default 'PENDING',
        run_after timestamptz not null default now(),
        updated_at timestamptz not null default now()
    );
    create index on bare_jobs (status, updated_at);
    create index on bare_jobs (run_after, id) where status = 'PENDING'";
const BARE_CLAIM: &str = "
    update bare_jobs set status = 'UPLOADING', updated_at = now()
    where id = (select id from bare_jobs where status = 'PENDING' order by run_after, id limit 1 for update skip locked)
    returning id";
const BARE_FINISH: &str = "update bare_jobs set status = 'COMPLETED', updated_at = now() where id = $1";

/// The end of a job overwrites the time of its claim, so triggers record it in another table. Both times are of the
/// database's clock: `added_at` is taken when the enqueue's transaction begins to commit, `claimed_at` in the middle of
/// the claim.
const NOTE_PICK_UPS: &str = "
    create table pick_ups (job_id uuid primary key, added_at timestamptz not null, claimed_at timestamptz);
    create function note_added() returns trigger language plpgsql as $$ begin
        insert into pick_ups (job_id, added_at) values (new.id, clock_timestamp());
        return null;
    end $$;
    create function note_claimed() returns trigger language plpgsql as $$ begin
        update pick_ups set claimed_at = clock_timestamp() where job_id = new.id;
        return null;
    end $$;
    create constraint trigger note_added after insert on upload_jobs deferrable initially deferred
        for each row execute function note_added();
    create trigger note_claimed after update on upload_jobs
        for each row when (old.status = 'PENDING' and new.status = 'UPLOADING') execute function note_claimed()";
const TAKE_PICK_UPS_MS: &str =
    "delete from pick_ups returning (1000 * extract(epoch from claimed_at - added_at))::float8";

struct Pace {
    jobs: u32,
    every: Duration,
}

pub(crate) async fn measure(postgres: &str, size: Size, figures: &mut Figures) -> BenchResult<()> {
    let database = TestDatabase::create(postgres).await;
    let folder = tempfile::tempdir()?;
    migrate_database(&database.url()).await?;
    let sql = PgPool::connect(&database.url()).await?;
    sqlx::raw_sql(BARE_TABLE).execute(&sql).await?;
    add_artists(&sql).await?;
    let other_process = OtherProcess::connect(&database.url()).await?;
    let server = Server::start(&database.url(), folder.path(), &[("VWAZA_WORKER_CONCURRENCY", &WORKERS.to_string())])?;
    let connections = PgPoolOptions::new().max_connections(WORKERS as u32).connect(&database.url()).await?;
    let own = async || own_jobs_per_second(&sql, &other_process).await;
    let baseline = async || Ok([bare_jobs_per_second(&sql, &connections).await?]);
    let comparison = Comparison::measure(size.pick(9, 1), own, baseline).await?;
    let baseline = [("a bare loop", Limit::AtLeast(85.0))];
    comparison.report("queue", "the server's jobs, claimed and finished", "jobs/s", baseline, figures);

    let waiting = size.pick(WAITING, 4 * ARTISTS * JOBS);
    let own = async || waiting_jobs_per_second(&sql, &other_process, waiting).await;
    let baseline = async || Ok([own_jobs_per_second(&sql, &other_process).await?]);
    let comparison = Comparison::measure(size.pick(5, 1), own, baseline).await?;
    let baseline = [("its rate without them", Limit::AtLeast(90.0))];
    comparison.report("queue, 100,000 waiting", "jobs claimed and finished", "jobs/s", baseline, figures);

    sqlx::raw_sql(NOTE_PICK_UPS).execute(&sql).await?;
    let artist = sqlx::query_scalar::<_, Uuid>("select id from users limit 1").fetch_one(&sql).await?;
    let hinted = pick_ups_ms(&sql, size.pick(HINTED, SMOKE), async || {
        other_process.add_idle_job(artist).await?;
        Ok(other_process.notify().await?)
    });
    let hinted = hinted.await?;
    figures.add("pick-up after a notification, p50", percentile(&hinted, 50), "ms", Limit::None);
    figures.add("pick-up after a notification, p99", percentile(&hinted, 99), "ms", Limit::AtMost(PICK_UP_LIMIT_MS));
    drop(server);

    let _server = Server::start(&database.url(), folder.path(), &[("VWAZA_JOB_POLL_MS", &POLL_MS.to_string())])?;
    let polled =
        pick_ups_ms(&sql, size.pick(UNHINTED, SMOKE), async || Ok(other_process.add_idle_job(artist).await?)).await?;
    let limit = f64::from(POLL_MS) + PICK_UP_LIMIT_MS;
    figures.add(format!("pick-up by a poll of {POLL_MS} ms, p99"), percentile(&polled, 99), "ms", Limit::AtMost(limit));
    Ok(())
}

async fn add_artists(sql: &PgPool) -> BenchResult<()> {
    let artists = "insert into users (id, email, artist_name, password_hash)
                   select gen_random_uuid(), n || '@example.com', 'Artist ' || n, '' from generate_series(1, $1::int) n";
    sqlx::query(artists).bind(ARTISTS).execute(sql).await?;
    Ok(())
}

async fn own_jobs_per_second(sql: &PgPool, other_process: &OtherProcess) -> BenchResult<f64> {
    let jobs = add_jobs(sql, JOBS).await?;
    other_process.notify().await?;
    all_done(sql).await?;
    jobs_per_second(sql, "upload_jobs", &jobs).await
}

/// Adds many jobs, measures the first of them that end, and removes the rest.
async fn waiting_jobs_per_second(sql: &PgPool, other_process: &OtherProcess, waiting: i32) -> BenchResult<f64> {
    add_jobs(sql, waiting / ARTISTS).await?;
    sqlx::query("analyze upload_jobs").execute(sql).await?;
    let began = sqlx::query_scalar::<_, OffsetDateTime>("select clock_timestamp()").fetch_one(sql).await?;
    other_process.notify().await?;
    // The query uses an index, so that polling costs almost nothing.
    let ended = "select id from upload_jobs where status = 'COMPLETED' and updated_at >= $1";
    let measured = async {
        loop {
            let ended = sqlx::query_scalar::<_, Uuid>(ended).bind(began).fetch_all(sql).await?;
            if ended.len() >= (ARTISTS * JOBS) as usize {
                return Ok::<_, sqlx::Error>(ended);
            }
            sleep(POLL_INTERVAL).await;
        }
    };
    let ended = timeout(WAIT_TIMEOUT, measured).await.map_err(|_| "the jobs do not end")??;
    sqlx::query("delete from upload_jobs where status = 'PENDING'").execute(sql).await?;
    all_done(sql).await?;
    jobs_per_second(sql, "upload_jobs", &ended).await
}

/// Adds so many jobs of each artist.
async fn add_jobs(sql: &PgPool, of_each: i32) -> BenchResult<Vec<Uuid>> {
    let jobs = "insert into upload_jobs (id, kind, artist_id)
                select gen_random_uuid(), 'EXAMINE'::job_kind, artist.id from users artist, generate_series(1, $1::int)
                returning id";
    Ok(sqlx::query_scalar::<_, Uuid>(jobs).bind(of_each).fetch_all(sql).await?)
}

async fn all_done(sql: &PgPool) -> BenchResult<()> {
    // The query uses an index, so that polling costs almost nothing.
    let is_busy = "select exists (select 1 from upload_jobs where status in ('PENDING', 'UPLOADING', 'FAILED'))";
    let done = async {
        while sqlx::query_scalar::<_, bool>(is_busy).fetch_one(sql).await? {
            sleep(POLL_INTERVAL).await;
        }
        Ok::<_, sqlx::Error>(())
    };
    timeout(WAIT_TIMEOUT, done).await.map_err(|_| "some jobs do not end")??;
    Ok(())
}

/// Returns the rate from the first job's end to the last one's, by the database's clock.
async fn jobs_per_second(sql: &PgPool, table: &str, jobs: &[Uuid]) -> BenchResult<f64> {
    let rate = format!(
        "select ((count(*) - 1) / extract(epoch from max(updated_at) - min(updated_at)))::float8 from {table} where id = any($1)"
    );
    Ok(sqlx::query_scalar::<_, f64>(AssertSqlSafe(rate)).bind(jobs).fetch_one(sql).await?)
}

async fn bare_jobs_per_second(sql: &PgPool, connections: &PgPool) -> BenchResult<f64> {
    let jobs = "insert into bare_jobs (id) select gen_random_uuid() from generate_series(1, $1::int) returning id";
    let jobs = sqlx::query_scalar::<_, Uuid>(jobs).bind(ARTISTS * JOBS).fetch_all(sql).await?;
    let connections = try_join_all((0..WORKERS).map(|_| connections.acquire())).await?;
    for worker in try_join_all(connections.into_iter().map(|connection| tokio::spawn(bare_worker(connection)))).await? {
        worker?;
    }
    jobs_per_second(sql, "bare_jobs", &jobs).await
}

async fn bare_worker(mut connection: PoolConnection<Postgres>) -> sqlx::Result<()> {
    while let Some(id) = sqlx::query_scalar::<_, Uuid>(BARE_CLAIM).fetch_optional(&mut *connection).await? {
        sqlx::query(BARE_FINISH).bind(id).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn pick_ups_ms(sql: &PgPool, pace: Pace, add: impl AsyncFn() -> BenchResult<()>) -> BenchResult<Vec<f64>> {
    for _ in 0..pace.jobs {
        add().await?;
        sleep(pace.every).await;
    }
    all_done(sql).await?;
    Ok(sqlx::query_scalar::<_, f64>(TAKE_PICK_UPS_MS).fetch_all(sql).await?)
}
