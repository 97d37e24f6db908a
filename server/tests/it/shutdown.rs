//! SIGTERM: the server ends in time, and nothing is lost.

use std::{
    net::TcpStream,
    time::{Duration, Instant},
};

use http::Method;
use vwaza::domain::upload::UploadTarget;

use crate::support::{
    App, Bucket, LONG_SONG_HALF, RawRequest, a_cover, a_long_song, assert_in_time, eventually, sha256, spawn_app,
    spawn_app_with,
};

/// The longest time from the signal to the end.
const DEADLINE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn u24_open_connections_do_not_delay_the_end() {
    let mut app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let mut events = ana.request(Method::GET, "/api/events").send().await.unwrap();
    assert!(events.chunk().await.unwrap().is_some());
    let told = Instant::now();
    app.terminate();
    assert!(app.ended().await.success());
    assert_in_time(told, DEADLINE);
    eventually("the end is logged", async || app.log.events("stopped").pop()).await;
    assert_eq!(app.log.events("stopped").len(), 1);
    assert!(app.log.events("requests cut off at shutdown; uploaded bytes that arrived are kept").is_empty());
    app.expect_consistent().await;
}

#[tokio::test]
async fn u24_an_idle_upload_does_not_delay_the_end_and_loses_nothing() {
    let mut app = spawn_app_with(&[("VWAZA_SHUTDOWN_SECONDS", "2")]).await;
    let ana = app.artist("Ana").await;
    let song = a_long_song(1);
    let begun = ana.begin(UploadTarget::NewTrack(ana.create_release().await), "song.wav", song.len()).await;
    let mut silent = RawRequest::patch(&app, &ana, &begun.url, 0, song.len()).await;
    silent.send(&song[..LONG_SONG_HALF]).await;
    let arrived = app.spooled_beyond(0).await;
    let told = Instant::now();
    app.terminate();
    assert!(app.ended().await.success());
    assert_in_time(told, DEADLINE);
    app.start().await;
    let offset = ana.offset(&begun.url).await;
    assert!(offset >= arrived, "{offset} of {arrived}");
    ana.patch(&begun.url, offset, song.slice(offset..)).await.expect_status(204);
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&song)));
    app.expect_consistent().await;
}

#[tokio::test]
async fn j13_a_job_that_hangs_is_handed_back_without_a_counted_failure() {
    let mut app = spawn_app_with(&[("VWAZA_SHUTDOWN_SECONDS", "8")]).await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let held = app.hold_table("lock table objects in share mode").await;
    let (_, answer) = ana.upload(UploadTarget::Cover(release), "cover.png", a_cover(1)).await;
    answer.expect_status(204);
    let told = Instant::now();
    app.terminate();
    // The server accepts no new connections, so it has received the signal.
    eventually("it ends", async || TcpStream::connect(ana.listen()).is_err().then_some(())).await;
    sqlx::query(
        "insert into upload_jobs (id, kind, artist_id)
         select gen_random_uuid(), 'EXAMINE', artist_id from upload_jobs, generate_series(1, 3)",
    )
    .execute(&app.sql)
    .await
    .unwrap();
    sqlx::query("select pg_notify('vwaza_jobs', '')").execute(&app.sql).await.unwrap();
    // The server still waits for the job when the other jobs are added.
    let query = sqlx::query_scalar("select status::text from upload_jobs where kind = 'STORE'");
    let status: String = query.fetch_one(&app.sql).await.unwrap();
    assert_eq!(status, "UPLOADING");
    assert!(app.ended().await.success());
    assert_in_time(told, DEADLINE);
    let job: Vec<(String, i32, i32)> =
        sqlx::query_as("select status::text, attempt, retry_count from upload_jobs order by created_at")
            .fetch_all(&app.sql)
            .await
            .unwrap();
    let later = ("PENDING".to_owned(), 0, 0);
    assert_eq!(job, [("PENDING".into(), 1, 0), later.clone(), later.clone(), later]);
    drop(held);
    app.start().await;
    ana.release_once(release, "the cover is there", |release| release.cover.current.is_some()).await;
    app.expect_consistent().await;
}

#[tokio::test]
async fn two_servers_do_not_share_a_spool() {
    let app = spawn_app().await;
    let said = app.refuses_to_start().await;
    assert!(said.contains("another vwaza process uses the spool"), "{said}");
    app.anonymous().get("/health").await.expect_status(200);
}

/// In the default configuration, all at once: the storage does not answer, a file waits for it, a client is silent, and
/// a page listens for events.
#[tokio::test]
async fn u24_a_server_whose_storage_is_dead_ends_in_time_and_loses_nothing() {
    let bucket = Bucket::new().await;
    let mut app = bucket.app(&[]).await;
    let ana = app.artist("Ana").await;
    let (release, song) = (ana.create_release().await, a_long_song(1));
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", song.len()).await;
    let mut silent = RawRequest::patch(&app, &ana, &begun.url, 0, song.len()).await;
    silent.send(&song[..LONG_SONG_HALF]).await;
    let arrived = app.spooled_beyond(0).await;
    let mut events = ana.request(Method::GET, "/api/events").send().await.unwrap();
    assert!(events.chunk().await.unwrap().is_some());
    bucket.proxy.hang().await;
    let (waiting, answer) = ana.upload(UploadTarget::Cover(release), "cover.png", a_cover(1)).await;
    answer.expect_status(204);
    let told = Instant::now();
    app.terminate();
    assert!(app.ended().await.success());
    assert_in_time(told, DEADLINE);
    bucket.proxy.restore().await;
    app.start().await;
    assert_eq!(ana.attached(waiting.id).await.sha256, Some(sha256(&a_cover(1))));
    let offset = ana.offset(&begun.url).await;
    assert!(offset >= arrived, "{offset} of {arrived}");
    ana.patch(&begun.url, offset, song.slice(offset..)).await.expect_status(204);
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&song)));
    app.expect_consistent().await;
}

/// Not even the received bytes can be counted.
#[tokio::test]
async fn u24_a_server_whose_database_does_not_reply_ends_in_time() {
    let (mut app, proxy) = App::behind_a_proxy().await;
    let ana = app.artist("Ana").await;
    let song = a_long_song(1);
    let begun = ana.begin(UploadTarget::NewTrack(ana.create_release().await), "song.wav", song.len()).await;
    ana.patch(&begun.url, 0, song.slice(..100_000)).await.expect_status(204);
    let mut silent = RawRequest::patch(&app, &ana, &begun.url, 100_000, song.len() - 100_000).await;
    silent.send(&song[100_000..LONG_SONG_HALF]).await;
    app.spooled_beyond(100_000).await;
    proxy.hang().await;
    let told = Instant::now();
    app.terminate();
    app.ended().await;
    assert_in_time(told, DEADLINE);
    proxy.restore().await;
    app.start().await;
    let offset = ana.offset(&begun.url).await;
    assert!(offset >= 100_000, "{offset}");
    ana.patch(&begun.url, offset, song.slice(offset..)).await.expect_status(204);
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&song)));
    app.expect_consistent().await;
}
