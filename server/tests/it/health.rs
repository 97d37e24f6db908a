//! `/health` while the database is up, gone, or silent.

use std::{
    task::Poll,
    time::{Duration, Instant},
};

use futures::future::join_all;
use http::Method;
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use vwaza::domain::upload::UploadTarget;

use crate::support::{
    App, Client, LONG_SONG_HALF, RawRequest, a_long_song, a_song, all_jobs_end, assert_in_time, complete_details,
    end_all_connections, eventually, form, is_soak, sha256, spawn_app, spawn_app_with,
};

#[tokio::test]
async fn a_healthy_server_says_so() {
    let app = spawn_app().await;
    let health: Value = app.anonymous().get("/health").await.ok();
    let keys: Vec<&String> = health.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["database", "server", "status", "storage", "timestamp", "worker"]);
    for (part, state) in [("status", "ok"), ("server", "ok"), ("database", "ok"), ("storage", "ok"), ("worker", "ok")] {
        assert_eq!(health[part], state, "{health}");
    }
    let at = OffsetDateTime::parse(health["timestamp"].as_str().unwrap(), &Rfc3339).unwrap();
    assert!((OffsetDateTime::now_utc() - at).abs() < Duration::from_secs(60));
    app.anonymous().get("/health/live").await.expect_status(200);
}

#[tokio::test]
async fn a_server_without_permits_for_jobs_says_so() {
    let app = spawn_app_with(&[("VWAZA_WORKER_CONCURRENCY", "0")]).await;
    let health: Value = app.anonymous().get("/health").await.ok();
    assert_eq!((&health["worker"], &health["status"]), (&Value::from("off"), &Value::from("ok")));
}

async fn expect_down(client: &Client) {
    let asked = Instant::now();
    let health = client.get("/health").await;
    assert_in_time(asked, Duration::from_secs(2));
    let health: Value = health.expect_status(503).json();
    assert_eq!(
        (&health["status"], &health["database"], &health["server"]),
        (&"down".into(), &"down".into(), &"ok".into())
    );
    client.get("/health/live").await.expect_status(200);
}

async fn expect_recovery(client: &Client) {
    eventually("it is healthy again", async || (client.get("/health").await.status == 200).then_some(())).await;
    client.create_release().await;
}

#[tokio::test]
async fn n2_a_database_that_is_gone_is_reported_and_recovers_by_itself() {
    let (app, proxy) = App::behind_a_proxy().await;
    let ana = app.artist("Ana").await;
    proxy.cut();
    eventually("the loss is noticed", async || (ana.get("/health").await.status == 503).then_some(())).await;
    expect_down(&ana).await;
    let answer = ana.call("releases/create", &form(&[])).await.expect_error(503, "database is not answering");
    assert!(answer.header("retry-after").is_some());
    proxy.restore().await;
    expect_recovery(&ana).await;
    app.expect_consistent().await;
}

#[tokio::test]
async fn n2_a_database_that_does_not_answer_is_reported_in_time() {
    let (app, proxy) = App::behind_a_proxy().await;
    let ana = app.artist("Ana").await;
    proxy.hang().await;
    expect_down(&ana).await;
    expect_down(&ana).await;
    proxy.restore().await;
    expect_recovery(&ana).await;
    app.expect_consistent().await;
}

/// Connections die without a sign while statements are running on them. Each statement times out, and the background
/// work of the process goes on over new connections.
#[tokio::test]
async fn n2_connections_that_die_in_the_middle_of_a_statement_are_given_up() {
    let (mut app, proxy) = App::behind_a_proxy().await;
    app.restart_with(&[("VWAZA_JOB_LEASE_SECONDS", "2")]).await;
    let artist = app.artist("Ana").await.actor().await.unwrap().id;
    let mut held = app.hold_table("lock table spools, upload_jobs in access exclusive mode").await;
    // The heartbeat of the spool, the claim of jobs, and the recovery of stuck jobs wait.
    app.waits_for_locks(3).await;
    proxy.freeze();
    let froze: OffsetDateTime = sqlx::query_scalar("select clock_timestamp()").fetch_one(&mut *held).await.unwrap();
    // A job of a worker that is gone.
    sqlx::query(
        "insert into upload_jobs (id, kind, artist_id, status, attempt, lease_owner, lease_expires_at)
         values (gen_random_uuid(), 'EXAMINE', $1, 'UPLOADING', 1, gen_random_uuid(), now())",
    )
    .bind(artist.0)
    .execute(&mut *held)
    .await
    .unwrap();
    held.commit().await.unwrap();
    eventually("this process says that it is here", async || {
        let seen: OffsetDateTime =
            sqlx::query_scalar("select max(seen_at) from spools").fetch_one(&app.sql).await.unwrap();
        (seen > froze).then_some(())
    })
    .await;
    eventually("the stuck job is taken back", async || {
        let stuck: i64 = sqlx::query_scalar("select count(*) from upload_jobs where status = 'UPLOADING'")
            .fetch_one(&app.sql)
            .await
            .unwrap();
        (stuck == 0).then_some(())
    })
    .await;
    eventually("the listener listens anew", async || {
        app.log.events("listening for notifications failed; reconnecting").pop().map(drop)
    })
    .await;
    // The claim times out last, after more time than this test takes.
    if !is_soak() {
        app.restart().await;
    }
    all_jobs_end(&app.sql).await;
    app.expect_consistent().await;
}

#[tokio::test]
async fn u18_an_upload_goes_on_after_the_database_was_away() {
    let (app, proxy) = App::behind_a_proxy().await;
    let ana = app.artist("Ana").await;
    let song = a_song(1);
    let target = UploadTarget::NewTrack(ana.create_release().await);
    let begun = ana.begin(target, "song.wav", song.len()).await;
    ana.patch(&begun.url, 0, song.slice(..100_000)).await.expect_status(204);
    proxy.cut();
    ana.patch(&begun.url, 100_000, song.slice(100_000..)).await.expect_status(503);
    proxy.restore().await;
    expect_recovery(&ana).await;
    let offset = ana.offset(&begun.url).await;
    ana.patch(&begun.url, offset, song.slice(offset..)).await.expect_status(204);
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&song)));
    app.expect_consistent().await;
}

/// The connections are cut while bytes arrive. Some bytes are on the disk and not counted.
#[tokio::test]
async fn u18_a_chunk_in_whose_middle_the_database_went_away_is_sent_again() {
    let (app, proxy) = App::behind_a_proxy().await;
    let ana = app.artist("Ana").await;
    let song = a_long_song(1);
    let begun = ana.begin(UploadTarget::NewTrack(ana.create_release().await), "song.wav", song.len()).await;
    let mut patch = RawRequest::patch(&app, &ana, &begun.url, 0, song.len()).await;
    patch.send(&song[..LONG_SONG_HALF]).await;
    app.spooled_beyond(0).await;
    proxy.cut();
    patch.send(&song[LONG_SONG_HALF..]).await;
    assert_eq!(patch.status().await, 503);
    proxy.restore().await;
    expect_recovery(&ana).await;
    let offset = ana.offset(&begun.url).await;
    assert_eq!(offset, app.offset_reaches(0).await);
    ana.patch(&begun.url, offset, song.slice(offset..)).await.expect_status(204);
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&song)));
    app.expect_consistent().await;
}

/// PostgreSQL reports its shutdown (57P01) in the middle of a statement.
#[tokio::test]
async fn u18_a_chunk_whose_statement_the_database_ended_is_sent_again() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let song = a_song(1);
    let begun = ana.begin(UploadTarget::NewTrack(ana.create_release().await), "song.wav", song.len()).await;
    ana.patch(&begun.url, 0, song.slice(..100_000)).await.expect_status(204);
    let mut held = app.hold_table("lock table uploads in exclusive mode").await;
    let patch = ana.patch(&begun.url, 100_000, song.slice(100_000..));
    let (answer, ()) = tokio::join!(patch, async {
        app.waits_for_locks(1).await;
        end_all_connections(&mut held).await;
    });
    answer.expect_status(503);
    drop(held);
    expect_recovery(&ana).await;
    let offset = ana.offset(&begun.url).await;
    ana.patch(&begun.url, offset, song.slice(offset..)).await.expect_status(204);
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&song)));
    app.expect_consistent().await;
}

/// Many requests wait for the pool, for rows and for whole tables.
#[tokio::test]
async fn r5_a_database_that_is_busy_is_up() {
    let app = spawn_app().await;
    let people = join_all(["Ana", "Ben", "Cleo", "Dora"].map(|name| app.artist(name))).await;
    let held = app.hold_table("lock table releases in access exclusive mode").await;
    let creations =
        people.iter().flat_map(|person| (0..12).map(async |_| person.call("releases/create", &form(&[])).await.status));
    let mut creations = Box::pin(join_all(creations));
    let is_told = eventually("somebody finds no connection to the database", async || {
        assert!(futures::poll!(&mut creations).is_pending(), "the creations are not blocked");
        app.anonymous().get("/health").await.expect_status(200);
        app.log.events("database unreachable").pop()
    });
    is_told.await;
    for _ in 0..20 {
        let asked = Instant::now();
        let health: Value = app.anonymous().get("/health").await.ok();
        assert_in_time(asked, Duration::from_secs(2));
        assert_eq!((&health["status"], &health["database"]), (&"ok".into(), &"ok".into()));
    }
    drop(held);
    creations.await;
    app.expect_consistent().await;
}

/// A firewall has dropped the connection, for example.
#[tokio::test]
async fn a_dead_connection_of_the_health_check_is_replaced() {
    let (app, proxy) = App::behind_a_proxy().await;
    let client = app.anonymous();
    let is_up = async || (client.get("/health").await.status == 200).then_some(());
    eventually("it is healthy", is_up).await;
    proxy.cut();
    proxy.restore().await;
    eventually("it is healthy again", is_up).await;
}

/// All concurrent requests share one check and one connection.
#[tokio::test]
async fn many_health_checks_at_once_share_one_check() {
    let app = spawn_app().await;
    let anonymous = app.anonymous();
    let checks = join_all((0..200).map(|_| async { anonymous.get("/health").await.status })).await;
    assert_eq!(checks, [200; 200]);
    let open: i64 = sqlx::query_scalar(
        "select count(*) from pg_stat_activity where datname = current_database() and query = 'select 1'",
    )
    .fetch_one(&app.sql)
    .await
    .unwrap();
    assert_eq!(open, 1, "connections whose last statement was a check");
}

/// A regression test for a fault that occurred in use.
#[tokio::test]
async fn r5_many_saves_of_one_draft_leave_the_server_healthy() {
    let app = spawn_app().await;
    let (ana, ben) = (app.artist("Ana").await, app.artist("Ben").await);
    let release = ana.create_release().await;
    let details = complete_details();
    let mut saves = Box::pin(join_all((0..200).map(|_| ana.save_details(release, &details))));
    let answers = loop {
        if let Poll::Ready(answers) = futures::poll!(&mut saves) {
            break answers;
        }
        app.anonymous().get("/health").await.expect_status(200);
        ben.call("account/current", &Vec::new()).await.expect_status(200);
    };
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert!(statuses.contains(&200), "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 409 | 429 | 503)), "{statuses:?}");
    app.expect_consistent().await;
}

#[tokio::test]
async fn n2_a_page_says_in_words_that_the_database_is_away() {
    let (app, proxy) = App::behind_a_proxy().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    for is_silent in [false, true] {
        if is_silent {
            proxy.hang().await;
        } else {
            proxy.cut();
        }
        for path in ["/".to_owned(), format!("/releases/{release}")] {
            let page = ana.send(ana.request(Method::GET, &path).header("accept", "text/html")).await.expect_status(503);
            assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
            assert!(page.text().contains("database is not answering"), "{path}: {}", page.text());
        }
        proxy.restore().await;
        expect_recovery(&ana).await;
    }
    app.expect_consistent().await;
}
