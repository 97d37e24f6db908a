//! The queue, behind the scenes.

use sqlx::{PgConnection, PgPool};

use super::{client::Client, wait::eventually};

/// Jobs that have nothing to do: what is measured is the queue.
pub(crate) async fn idle_jobs(sql: &PgPool, artist: &Client, count: i64) {
    let artist = artist.actor().await.unwrap().id;
    sqlx::query(
        "insert into upload_jobs (id, kind, artist_id) select gen_random_uuid(), 'EXAMINE', $1 from generate_series(1, $2)",
    )
    .bind(artist.0)
    .bind(count)
    .execute(sql)
    .await
    .unwrap();
}

pub(crate) async fn unfinished_jobs(sql: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from upload_jobs where status <> 'COMPLETED'").fetch_one(sql).await.unwrap()
}

pub(crate) async fn all_jobs_end(sql: &PgPool) {
    eventually("all jobs are through", async || (unfinished_jobs(sql).await == 0).then_some(())).await;
}

/// But this one: what a database does that is restarted.
pub(crate) async fn end_all_connections(own: &mut PgConnection) {
    sqlx::query(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
    )
    .execute(own)
    .await
    .unwrap();
}
