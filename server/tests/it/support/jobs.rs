//! Adds and changes jobs in the database, behind the server's back.

use sqlx::{PgConnection, PgExecutor, PgPool};
use testing::eventually;

use super::client::Client;

/// Adds jobs that have nothing to do, so that a test sees only the queue.
pub(crate) async fn idle_jobs(sql: impl PgExecutor<'_>, artist: &Client, count: i64) {
    idle_jobs_in(sql, artist, count, 0.0).await;
}

/// Adds such jobs, but nobody claims them before `make_due`.
pub(crate) async fn postponed_jobs(sql: impl PgExecutor<'_>, artist: &Client, count: i64) {
    idle_jobs_in(sql, artist, count, 3600.0).await;
}

async fn idle_jobs_in(sql: impl PgExecutor<'_>, artist: &Client, count: i64, seconds: f64) {
    let artist = artist.actor().await.unwrap().id;
    sqlx::query(
        "insert into upload_jobs (id, kind, artist_id, run_after)
         select gen_random_uuid(), 'EXAMINE', $1, now() + make_interval(secs => $3) from generate_series(1, $2)",
    )
    .bind(artist.0)
    .bind(count)
    .bind(seconds)
    .execute(sql)
    .await
    .unwrap();
}

/// Makes all pending jobs due.
pub(crate) async fn make_due(sql: &PgPool) {
    sqlx::query("update upload_jobs set run_after = now() where status = 'PENDING'").execute(sql).await.unwrap();
}

pub(crate) async fn unfinished_jobs(sql: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from upload_jobs where status <> 'COMPLETED'").fetch_one(sql).await.unwrap()
}

pub(crate) async fn all_jobs_end(sql: &PgPool) {
    eventually("all jobs are through", async || (unfinished_jobs(sql).await == 0).then_some(())).await;
}

/// Ends all connections except this one, as a restart of the database does.
pub(crate) async fn end_all_connections(own: &mut PgConnection) {
    sqlx::query(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
    )
    .execute(own)
    .await
    .unwrap();
}
