//! A machine that has few file descriptors, or none left.

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use vwaza::domain::upload::UploadTarget;

use crate::support::{App, a_cover, ends, eventually, sha256, spawn_app, spawn_app_with};

/// Limits the number of files that the running server may open. Returns the earlier limit.
fn limit_descriptors(app: &App, current: Option<u64>) -> Rlimit {
    let pid = Pid::from_raw(i32::try_from(app.id()).unwrap());
    // The server has raised its own limit to this test's hard limit.
    let maximum = getrlimit(Resource::Nofile).maximum;
    prlimit(pid, Resource::Nofile, Rlimit { current, maximum }).unwrap()
}

/// The job may fail only once, so a counted failure would end it.
#[tokio::test]
async fn a_job_that_finds_no_descriptor_is_tried_again_without_a_counted_failure() {
    let app = spawn_app_with(&[("VWAZA_JOB_MAX_RETRIES", "1")]).await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let held = app.hold_table("lock table objects in share mode").await;
    let (begun, answer) = ana.upload(UploadTarget::Cover(release), "cover.png", a_cover(1)).await;
    answer.expect_status(204);
    app.waits_for_locks_of("insert into objects%", 1).await;
    let before = limit_descriptors(&app, Some(3));
    drop(held);
    let line = "job postponed: database, storage or local resources unavailable";
    eventually("the job is put off", async || app.log.events(line).pop()).await;

    // No client can connect meanwhile. The log says so once, not with every attempt.
    let waiting = TcpStream::connect(ana.listen()).await.unwrap();
    let line = "accepting a connection failed";
    eventually("it is told", async || app.log.events(line).pop()).await;
    eventually("the job is tried again", async || {
        let attempts: i32 = sqlx::query_scalar("select attempt from upload_jobs where kind = 'STORE'")
            .fetch_one(&app.sql)
            .await
            .unwrap();
        (attempts > 1).then_some(())
    })
    .await;
    assert_eq!(app.log.events(line).len(), 1);

    limit_descriptors(&app, before.current);
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&a_cover(1))));
    let failures: i64 =
        sqlx::query_scalar("select sum(retry_count) from upload_jobs").fetch_one(&app.sql).await.unwrap();
    assert_eq!(failures, 0);
    drop(waiting);
    app.expect_consistent().await;
}

/// A connection that waits for its client holds a descriptor that another connection could use.
#[tokio::test]
async fn without_a_free_descriptor_a_connection_that_waits_for_its_client_is_closed() {
    let app = spawn_app_with(&[("RUST_LOG", "info,vwaza::listen=debug")]).await;
    let client = app.anonymous();
    let mut silent = TcpStream::connect(client.listen()).await.unwrap();
    silent.write_all(b"GET /health/live HTTP/1.1\r\nHost: vwaza.example\r\n\r\n").await.unwrap();
    let mut bytes = [0; 4096];
    assert!(silent.read(&mut bytes).await.unwrap() > 0, "the connection is served and sends nothing more");
    let before = limit_descriptors(&app, Some(3));
    let next = tokio::spawn({
        let client = client.clone();
        async move { client.get("/health/live").await }
    });
    let line = "connection waiting for its client closed to make room";
    eventually("it gives way", async || app.log.events(line).pop()).await;
    // The rest of the response may come before the connection ends.
    while ends("it is closed", silent.read(&mut bytes)).await.is_ok_and(|read| read > 0) {}
    limit_descriptors(&app, before.current);
    next.await.unwrap().expect_status(200);
}

#[tokio::test]
async fn the_soft_limit_is_raised_and_determines_the_connection_limit() {
    let mut app = spawn_app().await;
    let (mut few, mut some) = (0, 0);
    for (limit, connections) in [("-n 128", &mut few), ("-n 400", &mut some)] {
        app.restart_with_descriptors(limit).await;
        let said = app.log.events("connection limit set").pop().unwrap();
        *connections = said["connections"].as_u64().unwrap();
    }
    assert!(0 < few && few < some && some < 400, "{few} {some}");
    app.restart_with_descriptors("-S -n 128").await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", app.id())).unwrap();
    let limits = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let limits: Vec<&str> = limits.split_whitespace().take(2).collect();
    assert_eq!(limits[0], limits[1], "soft and hard limit");
    assert_ne!(limits[0], "128", "the hard limit is above the soft one");
}
