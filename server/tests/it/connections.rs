//! Connections to the database: how many a process opens, and what happens when an idle one dies.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

use futures::future::join_all;
use sqlx::PgPool;
use vwaza::domain::upload::UploadTarget;

use crate::support::{all_jobs_end, eventually, form, idle_jobs, spawn_app, spawn_app_with};

/// Counts the connections with the application name that `DATABASE_URL` sets.
async fn open_connections(sql: &PgPool) -> i64 {
    let query =
        "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'served'";
    sqlx::query_scalar(query).fetch_one(sql).await.unwrap()
}

/// Counts the waits for a connection of a pool that took no longer than a number of seconds.
fn bucket(metrics: &str, pool: &str, seconds: &str) -> u64 {
    let series = format!("vwaza_db_wait_seconds_bucket{{pool=\"{pool}\",le=\"{seconds}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&series)).expect("the pool is measured").parse().unwrap()
}

#[tokio::test]
async fn a_process_opens_no_more_connections_than_documented() {
    // The numbers are those of docs/operating.md.
    const CONCURRENCY: i64 = 4;
    let (at_most, pool) = (CONCURRENCY + 40, CONCURRENCY + 16);
    let mut app = spawn_app().await;
    let url = format!("{}?application_name=served", app.database_url());
    app.restart_with(&[("DATABASE_URL", &url), ("VWAZA_WORKER_CONCURRENCY", &CONCURRENCY.to_string())]).await;
    // One user alone may not send so many requests at once.
    let people = join_all(["Ana", "Ben", "Cleo", "Dora", "Elif"].map(|name| app.artist(name))).await;
    let ana = &people[0];
    idle_jobs(&app.sql, ana, 3000).await;
    // Each of these requests holds a connection while the lock is held.
    let uploads = join_all(people.iter().map(async |person| {
        person.begin(UploadTarget::NewTrack(person.create_release().await), "song.wav", 1000).await.url
    }))
    .await;
    let held = app.hold_table("lock table releases, uploads in access exclusive mode").await;
    let is_enough = Arc::new(AtomicBool::new(false));
    let requests = (0..40).map(|number| {
        let who = number % people.len();
        let (person, is_enough, upload) = (people[who].clone(), Arc::clone(&is_enough), uploads[who].clone());
        tokio::spawn(async move {
            let mut statuses = Vec::new();
            while !is_enough.load(Ordering::Relaxed) {
                let answer = match number % 8 / 4 {
                    0 => person.call("releases/create", &form(&[])).await,
                    _ => person.get(&upload).await,
                };
                statuses.push(answer.status);
            }
            statuses
        })
    });
    let mut requests = join_all(requests);
    let mut most = 0;
    eventually("as many are open as the pool has", async || {
        most = open_connections(&app.sql).await.max(most);
        (most >= pool).then_some(())
    })
    .await;
    is_enough.store(true, Ordering::Relaxed);
    let statuses = eventually("all requests are answered", async || {
        most = open_connections(&app.sql).await.max(most);
        match futures::poll!(&mut requests) {
            Poll::Ready(statuses) => Some(statuses),
            Poll::Pending => None,
        }
    })
    .await;
    drop(held);
    all_jobs_end(&app.sql).await;
    most = open_connections(&app.sql).await.max(most);
    assert!((pool..=at_most).contains(&most), "{most} connections, {at_most} at most");
    // A wait in vain counts, too: it lasts the 5 s after which a caller gives up.
    let metrics = app.anonymous().get("/metrics").await.text();
    for pool in ["main", "uploads"] {
        let in_five_seconds = bucket(&metrics, pool, "5");
        assert!(bucket(&metrics, pool, "+Inf") > in_five_seconds, "{pool}: {in_five_seconds}");
    }
    // A request that gets no connection is answered with 503, and opens none of its own.
    let statuses: Vec<u16> = statuses.into_iter().flat_map(Result::unwrap).collect();
    assert!(!statuses.is_empty() && statuses.iter().all(|status| *status == 503), "{statuses:?}");
    ana.create_release().await;
    app.expect_consistent().await;
}

/// A firewall has dropped the connection, for example. Its next user would get an error if the connection were not
/// tested first.
#[tokio::test]
async fn a_connection_of_the_queue_that_died_while_it_was_idle_is_not_used() {
    let app = spawn_app_with(&[("VWAZA_JOB_POLL_MS", "4000")]).await;
    let ana = app.artist("Ana").await;
    idle_jobs(&app.sql, &ana, 1).await;
    all_jobs_end(&app.sql).await;
    eventually("the queue's connections are idle and end", async || {
        let ended: i64 = sqlx::query_scalar(
            "with connections as (select * from pg_stat_activity
                                  where datname = current_database() and query like 'update upload_jobs%UPLOADING%')
             select count(pg_terminate_backend(pid)) from connections
             where (select bool_and(state = 'idle' and state_change < now() - interval '1500 milliseconds')
                    from connections)",
        )
        .fetch_one(&app.sql)
        .await
        .unwrap();
        (ended > 0).then_some(())
    })
    .await;
    idle_jobs(&app.sql, &ana, 1).await;
    all_jobs_end(&app.sql).await;
    let failed = app.log.events("reading the queue failed; trying again at the next poll");
    assert_eq!(failed, Vec::<serde_json::Value>::new());
    app.expect_consistent().await;
}
