//! Deadlines of the queue.

use std::{path::Path, time::Duration};

use sqlx::PgPool;
use tempfile::TempDir;
use testing::{OtherProcess, TestDatabase, fixtures};
use tokio::time::sleep;
use uuid::Uuid;
use vwaza::backend::migrate_database;

use super::poll_until;
use crate::{BenchResult, artist::Artist, server::Server};

/// A lease of a tenth of the default would do. With this one, lease and poll interval both matter in the limit.
pub(super) const LEASE: Duration = Duration::from_secs(10);
/// The default poll interval.
pub(super) const POLL: Duration = Duration::from_secs(5);

const UNFINISHED: &str = "select count(*) from upload_jobs where status <> 'COMPLETED'";
const CLAIMED: &str = "select id, attempt from upload_jobs where status = 'UPLOADING' and kind = 'EXAMINE'";
const CLAIMED_AGAIN: &str = "select attempt > $2 from upload_jobs where id = $1";

/// J2: the server is killed when it has just claimed three jobs.
pub(super) async fn killed_worker(postgres: &str) -> BenchResult<Duration> {
    let (database, folder) = (TestDatabase::create(postgres).await, TempDir::new()?);
    let (url, lease) = (database.url(), LEASE.as_secs().to_string());
    let start = |folder: &Path| Server::start(&url, folder, &[("VWAZA_JOB_LEASE_SECONDS", &lease)]);
    let server = start(folder.path())?;
    let artist = Artist::sign_up(&server.url).await?;
    let sql = PgPool::connect(&url).await?;
    poll_until("all is done", async || {
        let unfinished = sqlx::query_scalar::<_, i64>(UNFINISHED).fetch_one(&sql).await?;
        Ok((unfinished == 0).then_some(()))
    })
    .await?;

    // No job gets past this lock, so all are killed in the middle.
    let mut held = sql.begin().await?;
    sqlx::query("lock table audio_facts in share mode").execute(&mut *held).await?;
    for seed in 0..3 {
        artist.upload(&fixtures::wav(1.0, 44_100, 16, seed).into()).await?;
    }
    let jobs = poll_until("three jobs are claimed", async || {
        let claimed: Vec<(Uuid, i32)> = sqlx::query_as(CLAIMED).fetch_all(&sql).await?;
        Ok((claimed.len() == 3).then_some(claimed))
    });
    let jobs = jobs.await?;
    let killed = server.kill()?;
    drop(held);
    let _server = start(folder.path())?;
    for (id, attempt) in jobs {
        poll_until("all three are claimed again", async || {
            let again = sqlx::query_scalar::<_, bool>(CLAIMED_AGAIN).bind(id).bind(attempt).fetch_one(&sql).await?;
            Ok(again.then_some(()))
        })
        .await?;
    }
    Ok(killed.elapsed())
}

const BUSY_ARTIST_JOBS: i32 = 10_000;
const OTHER_ARTISTS: usize = 5;

/// J18: measures the time from a job's commit to its end, by the database's clock. No notification is sent.
pub(super) async fn job_behind_a_busy_artist(postgres: &str) -> BenchResult<Duration> {
    let (database, folder) = (TestDatabase::create(postgres).await, TempDir::new()?);
    migrate_database(&database.url()).await?;
    let sql = PgPool::connect(&database.url()).await?;
    let people = "insert into users (id, email, artist_name, password_hash)
                  select gen_random_uuid(), n || '@example.com', 'Artist ' || n, '' from generate_series(0, $1::int) n
                  returning id";
    let mut people = sqlx::query_scalar::<_, Uuid>(people).bind(OTHER_ARTISTS as i32).fetch_all(&sql).await?;
    let busy_artist = people.pop().ok_or("nobody")?;
    let jobs = "insert into upload_jobs (id, kind, artist_id)
                select gen_random_uuid(), 'EXAMINE', $1 from generate_series(1, $2::int)";
    sqlx::query(jobs).bind(busy_artist).bind(BUSY_ARTIST_JOBS).execute(&sql).await?;
    let _server = Server::start(&database.url(), folder.path(), &[])?;
    let left = "select count(*) from upload_jobs where artist_id = $1 and status <> 'COMPLETED'";
    let left =
        async |artist: Uuid| -> BenchResult<i64> { Ok(sqlx::query_scalar(left).bind(artist).fetch_one(&sql).await?) };
    poll_until("the queue is at it", async || {
        Ok((left(busy_artist).await? < i64::from(BUSY_ARTIST_JOBS)).then_some(()))
    })
    .await?;
    let other_process = OtherProcess::connect(&database.url()).await?;
    for artist in &people {
        other_process.add_idle_job(*artist).await?;
        sleep(Duration::from_millis(100)).await;
    }
    if left(busy_artist).await? == 0 {
        return Err("all were through before".into());
    }
    for artist in &people {
        poll_until("the others' jobs end", async || Ok((left(*artist).await? == 0).then_some(()))).await?;
    }
    let slowest =
        "select max(extract(epoch from updated_at - created_at))::float8 from upload_jobs where artist_id <> $1";
    let slowest = sqlx::query_scalar::<_, f64>(slowest).bind(busy_artist).fetch_one(&sql).await?;
    Ok(Duration::from_secs_f64(slowest))
}
