//! Processes that are killed while they migrate.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use sqlx::PgPool;
use tokio::time::sleep;
use vwaza::backend::testing::{TestDatabase, test_server_url};

use crate::support::{eventually, spawn_app_with};

/// The process that migrates is killed, each time a little later, until one kill comes between two migrations.
#[tokio::test]
async fn n3_a_migration_that_was_killed_is_completed_by_the_next_start() {
    let all = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations")).unwrap().count();
    let mut hit = None;
    for milliseconds in (10..600).step_by(5) {
        let database = TestDatabase::create(&test_server_url()).await;
        let mut migrate = Command::new(env!("CARGO_BIN_EXE_vwaza"))
            .arg("migrate")
            .env("DATABASE_URL", database.url())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // When is what is tried here.
        sleep(Duration::from_millis(milliseconds)).await;
        migrate.kill().unwrap();
        migrate.wait().unwrap();
        let pool = PgPool::connect(&database.url()).await.unwrap();
        let done: i64 = sqlx::query_scalar("select count(*) from _sqlx_migrations").fetch_one(&pool).await.unwrap_or(0);
        pool.close().await;
        if (1..all).contains(&usize::try_from(done).unwrap()) {
            hit = Some(database);
            break;
        }
    }
    let database = hit.expect("one kill came between two migrations");
    let app = spawn_app_with(&[("DATABASE_URL", &database.url())]).await;
    let ana = app.artist("Ana").await;
    ana.release_in_review().await;
    app.agrees().await;
}

/// The process is killed while a statement in the middle of a migration runs: nothing of that migration stays.
#[tokio::test]
async fn n3_a_migration_that_was_killed_in_its_middle_is_done_again() {
    let database = TestDatabase::create(&test_server_url()).await;
    let pool = PgPool::connect(&database.url()).await.unwrap();
    sqlx::raw_sql(
        "create function gate() returns event_trigger language plpgsql as $$
         begin
             if to_regclass('upload_jobs') is not null then perform pg_advisory_xact_lock_shared(4711); end if;
         end $$;
         create event trigger gate on ddl_command_end execute function gate();",
    )
    .execute(&pool)
    .await
    .unwrap();
    let mut gate = pool.acquire().await.unwrap();
    sqlx::query("select pg_advisory_lock(4711)").execute(&mut *gate).await.unwrap();
    let mut migrate = Command::new(env!("CARGO_BIN_EXE_vwaza"))
        .arg("migrate")
        .env("DATABASE_URL", database.url())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stands_at_the_gate = "select exists (select 1 from pg_stat_activity
                              where datname = current_database() and wait_event = 'advisory' and pid <> pg_backend_pid())";
    eventually("it stands in the middle of a migration", async || {
        let stands: bool = sqlx::query_scalar(stands_at_the_gate).fetch_one(&pool).await.unwrap();
        stands.then_some(())
    })
    .await;
    migrate.kill().unwrap();
    migrate.wait().unwrap();
    // What it began is not there for anybody else.
    let (done, begun): (i64, bool) =
        sqlx::query_as("select count(*), to_regclass('upload_jobs') is not null from _sqlx_migrations")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert!(done > 0 && !begun, "{done} {begun}");
    sqlx::query("select pg_advisory_unlock(4711)").execute(&mut *gate).await.unwrap();
    drop(gate);
    sqlx::raw_sql("drop event trigger gate; drop function gate").execute(&pool).await.unwrap();
    pool.close().await;
    let app = spawn_app_with(&[("DATABASE_URL", &database.url())]).await;
    let ana = app.artist("Ana").await;
    ana.release_in_review().await;
    app.agrees().await;
}
