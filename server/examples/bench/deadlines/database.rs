//! Deadlines while the database is away and after it returns.

use std::{
    fs::{Permissions, set_permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use reqwest::{Client, StatusCode};
use sqlx::PgPool;
use tempfile::TempDir;
use testing::{Proxy, TestDatabase};
use tokio::time::sleep;
use vwaza::backend::{db::embedded_postgres::EmbeddedPostgres, migrate_database};

use super::poll_until;
use crate::{BenchResult, Size, server::Server};

/// Puts a proxy in front of the database.
async fn behind_a_proxy(database_url: &str) -> BenchResult<(Proxy, String)> {
    let host = host(database_url)?;
    let proxy = Proxy::to(host).await;
    let url = database_url.replace(&format!("@{host}/"), &format!("@{}/", proxy.address()));
    Ok((proxy, url))
}

fn host(database_url: &str) -> BenchResult<&str> {
    let (_, rest) = database_url.rsplit_once('@').ok_or("an address without a password")?;
    Ok(rest.split('/').next().unwrap_or_default())
}

/// N2: the database refuses connections, then accepts them and never answers.
pub(super) async fn health_without_database(postgres: &str) -> BenchResult<Duration> {
    let (database, folder, http) = (TestDatabase::create(postgres).await, TempDir::new()?, Client::new());
    let (proxy, url) = behind_a_proxy(&database.url()).await?;
    let server = Server::start(&url, folder.path(), &[])?;
    let ask = async |path: &str| -> BenchResult<StatusCode> {
        Ok(http.get(format!("{}{path}", server.url)).send().await?.status())
    };
    let mut slowest = Duration::ZERO;
    for hangs in [false, true] {
        if hangs {
            proxy.hang().await
        } else {
            proxy.cut()
        }
        // The last health check is at most 100 ms old.
        let gone = Instant::now();
        let is_told = async || Ok((ask("/health").await? == StatusCode::SERVICE_UNAVAILABLE).then_some(()));
        poll_until("/health says that the database is gone", is_told).await?;
        slowest = slowest.max(gone.elapsed());
        for _ in 0..5 {
            for (path, expected) in [("/health", StatusCode::SERVICE_UNAVAILABLE), ("/health/live", StatusCode::OK)] {
                let asked = Instant::now();
                let status = ask(path).await?;
                slowest = slowest.max(asked.elapsed());
                if status != expected {
                    return Err(format!("{path} says {status}").into());
                }
            }
        }
        proxy.restore().await;
        poll_until("it is well again", async || Ok((ask("/health").await? == StatusCode::OK).then_some(()))).await?;
    }
    Ok(slowest)
}

const JOBS: i32 = 40_000;
const BEFORE_SECONDS: f64 = 2.0;
/// The full rate is reached when one second (`WINDOW_SECONDS`) has this part of the earlier rate.
const FULL: f64 = 0.8;
/// A debug build on a busy machine only shows that the queue goes on, not how fast.
const SMOKE_FULL: f64 = 0.0;
const WINDOW_SECONDS: f64 = 1.0;
const WATCHED: Duration = Duration::from_secs(12);
const SMOKE_WATCHED: Duration = Duration::from_secs(3);

/// J9: an embedded PostgreSQL is stopped while the server works, and started again. Measures the time from when it
/// accepts connections until the first second with the full rate.
pub(super) async fn full_rate_after_a_restart(size: Size) -> BenchResult<Duration> {
    let (home, folder) = (TempDir::new()?, TempDir::new()?);
    // PostgreSQL runs as another user than root, so the folder must let others pass.
    set_permissions(home.path(), Permissions::from_mode(0o755))?;
    let postgres = EmbeddedPostgres::start_or_join(home.path()).await?;
    let working = at_work(&postgres, folder.path()).await;
    let stopped = now()?;
    postgres.stop().await?;
    let (mut proxy, _server) = working?;
    let postgres = EmbeddedPostgres::start_or_join(home.path()).await?;
    proxy.set_target(host(postgres.url())?);
    proxy.restore().await;
    let ready = now()?;
    sleep(size.pick(WATCHED, SMOKE_WATCHED)).await;
    let ends = ends(&postgres).await;
    postgres.stop().await?;

    let ends = ends?;
    let count = |from: f64, to: f64| ends.partition_point(|end| *end < to) - ends.partition_point(|end| *end < from);
    let full =
        size.pick(FULL, SMOKE_FULL) * count(stopped - BEFORE_SECONDS, stopped) as f64 / BEFORE_SECONDS * WINDOW_SECONDS;
    let mut since = ends.iter().filter(|end| **end >= ready);
    let again = since.find(|end| count(**end, **end + WINDOW_SECONDS) as f64 >= full);
    let again = again.ok_or("it never gets up to its rate again")?;
    Ok(Duration::from_secs_f64(again - ready))
}

/// Starts a server that has more jobs than it can finish, and the proxy to its database.
async fn at_work(postgres: &EmbeddedPostgres, folder: &Path) -> BenchResult<(Proxy, Server)> {
    let (proxy, url) = behind_a_proxy(postgres.url()).await?;
    migrate_database(&url).await?;
    let sql = PgPool::connect(postgres.url()).await?;
    let artists = "insert into users (id, email, artist_name, password_hash)
                   select gen_random_uuid(), n || '@example.com', 'Artist ' || n, '' from generate_series(1, 8) n";
    sqlx::query(artists).execute(&sql).await?;
    let jobs = "insert into upload_jobs (id, kind, artist_id)
                select gen_random_uuid(), 'EXAMINE'::job_kind, artist.id from users artist, generate_series(1, $1::int)";
    sqlx::query(jobs).bind(JOBS / 8).execute(&sql).await?;
    sql.close().await;
    let server = Server::start(&url, folder, &[])?;
    sleep(Duration::from_secs_f64(1.0 + BEFORE_SECONDS)).await;
    Ok((proxy, server))
}

/// Returns the end of each job, in seconds since 1970.
async fn ends(postgres: &EmbeddedPostgres) -> BenchResult<Vec<f64>> {
    let sql = PgPool::connect(postgres.url()).await?;
    let ends = "select extract(epoch from updated_at)::float8 from upload_jobs where status = 'COMPLETED' order by 1";
    let ends = sqlx::query_scalar(ends).fetch_all(&sql).await?;
    sql.close().await;
    Ok(ends)
}

/// The current time, in seconds since 1970. It is also the database's, as both run on this machine.
fn now() -> BenchResult<f64> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64())
}
