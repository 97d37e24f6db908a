//! Every job ends: it runs again after a crash, is given up after its attempts, and blocks no other job.

use std::time::{Duration, Instant};

use sqlx::PgPool;
use time::OffsetDateTime;
use vwaza::domain::{
    files::FileState,
    release::{ReleaseEventKind, ReleaseStatus, ReleaseView},
    upload::{UploadState, UploadTarget},
};

use crate::support::{a_cover, a_song, all_jobs_end, assert_in_time, eventually, idle_jobs, spawn_app_with};

/// Status, attempt, retry count and expired leases of the only job of a kind.
async fn job(sql: &PgPool, kind: &str) -> (String, i32, i32, i32) {
    sqlx::query_as(
        "select status::text, attempt, retry_count, expired_leases from upload_jobs where kind = $1::job_kind",
    )
    .bind(kind)
    .fetch_one(sql)
    .await
    .unwrap()
}

#[tokio::test]
async fn j2_a_job_whose_process_is_killed_runs_again_and_loses_one_attempt() {
    let mut app = spawn_app_with(&[("VWAZA_JOB_LEASE_SECONDS", "2")]).await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let held = app.hold_table("lock table audio_facts in share mode").await;
    ana.attach(UploadTarget::NewTrack(release), "song.wav", a_song(1)).await;
    eventually("it is claimed", async || (job(&app.sql, "EXAMINE").await.0 == "UPLOADING").then_some(())).await;
    app.kill();
    let killed = Instant::now();
    drop(held);
    app.start().await;
    eventually("it is claimed again", async || (job(&app.sql, "EXAMINE").await.1 == 2).then_some(())).await;
    // The limit is the lease, the poll interval and the first backoff.
    assert_in_time(killed, Duration::from_millis(2000 + 200 + 2000));
    eventually("the log says so", async || app.log.events("stuck job taken back").pop()).await;
    ana.release_once(release, "it is examined", |release| release.tracks[0].state() == FileState::Ready).await;
    assert_eq!(job(&app.sql, "EXAMINE").await, ("COMPLETED".into(), 2, 1, 1));
    app.expect_consistent().await;
}

#[tokio::test]
async fn j8_a_job_that_kills_its_process_every_time_is_given_up_and_blocks_nobody() {
    let mut app = spawn_app_with(&[("VWAZA_JOB_LEASE_SECONDS", "3")]).await;
    let (ana, ben) = (app.artist("Ana").await, app.artist("Ben").await);
    let release = ana.create_release().await;
    // The job never gets past its first statement, and its process is killed each time.
    let held = app.hold_table("lock table objects in share mode").await;
    let (begun, answer) = ana.upload(UploadTarget::Cover(release), "cover.png", a_cover(1)).await;
    answer.expect_status(204);
    for attempt in 1..=3 {
        eventually("it is claimed", async || {
            let (status, at, ..) = job(&app.sql, "STORE").await;
            (status == "UPLOADING" && at == attempt).then_some(())
        })
        .await;
        // Jobs of another artist are in the queue meanwhile.
        idle_jobs(&app.sql, &ben, 1).await;
        app.restart().await;
    }
    eventually("it is given up", async || (job(&app.sql, "STORE").await == ("FAILED".into(), 3, 3, 3)).then_some(()))
        .await;
    drop(held);
    let ahead: i64 = sqlx::query_scalar(
        "select count(*) from upload_jobs other, upload_jobs poison
         where other.kind = 'EXAMINE' and other.status = 'COMPLETED' and poison.kind = 'STORE' and other.updated_at < poison.updated_at",
    )
    .fetch_one(&app.sql)
    .await
    .unwrap();
    assert!(ahead >= 2, "{ahead}: the other jobs waited until the poison job was given up");
    assert_eq!(ana.upload_status(begun.id).await.state, UploadState::Failed);
    assert_eq!(ana.release(release).await.cover.state(), FileState::Failed);
    ana.attach(UploadTarget::NewTrack(release), "song.wav", a_song(1)).await;
    app.expect_consistent().await;
}

#[tokio::test]
async fn j3_a_job_that_lives_longer_than_its_lease_runs_once() {
    const LEASE: Duration = Duration::from_secs(3);
    let app = spawn_app_with(&[("VWAZA_JOB_LEASE_SECONDS", "3")]).await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let held = app.hold_table("lock table objects in share mode").await;
    let (begun, answer) = ana.upload(UploadTarget::Cover(release), "cover.png", a_cover(1)).await;
    answer.expect_status(204);
    let first: OffsetDateTime =
        sqlx::query_scalar("select lease_expires_at from upload_jobs").fetch_one(&app.sql).await.unwrap();
    app.clock_passes(first + LEASE).await;
    drop(held);
    ana.attached(begun.id).await;
    assert_eq!(job(&app.sql, "STORE").await, ("COMPLETED".into(), 1, 0, 0));
    app.expect_consistent().await;
}

#[tokio::test]
async fn a_file_that_can_never_be_examined_returns_its_release_to_the_artist() {
    // Without job permits, a process stores the files that it received and examines nothing.
    let mut app = spawn_app_with(&[("VWAZA_WORKER_CONCURRENCY", "0")]).await;
    let ana = app.artist("Ana").await;
    let id = ana.complete_release().await;
    assert_eq!(ana.submit(id).await.ok::<ReleaseView>().status, ReleaseStatus::Processing);
    std::fs::remove_file(app.only_file_in("objects/audio")).unwrap();
    app.restart_with(&[("VWAZA_WORKER_CONCURRENCY", "4")]).await;

    let release = ana.release_when(id, ReleaseStatus::Draft).await;
    assert_eq!((release.cover.state(), release.tracks[0].state()), (FileState::Ready, FileState::Failed));
    assert_eq!(release.timeline[0].kind, ReleaseEventKind::FileFailed);
    assert!(release.timeline[0].note.as_ref().unwrap().contains("could not examine"));
    let failures: (String, i32, i32) = sqlx::query_as(
        "select status::text, retry_count, regexp_count(error_log, 'attempt') from upload_jobs j join objects o on o.id = j.object_id
         where j.kind = 'EXAMINE' and o.role = 'AUDIO'",
    )
    .fetch_one(&app.sql)
    .await
    .unwrap();
    assert_eq!(failures, ("FAILED".into(), 3, 3));
    ana.submit(id).await.expect_field_error(&format!("track-{}", release.tracks[0].id));
    ana.attach(UploadTarget::Audio(release.tracks[0].id), "again.wav", a_song(2)).await;
    ana.submit(id).await.expect_status(200);
    ana.release_when(id, ReleaseStatus::PendingReview).await;
}

#[tokio::test]
async fn the_artist_is_asked_for_bytes_that_vanish_from_the_spool() {
    let mut app = spawn_app_with(&[("VWAZA_JOB_LEASE_SECONDS", "2")]).await;
    let ana = app.artist("Ana").await;
    let id = ana.complete_release().await;
    ana.release_once(id, "it is examined", |release| release.tracks[0].state() == FileState::Ready).await;
    let held = app.hold_table("lock table objects in share mode").await;
    let (begun, answer) =
        ana.upload(UploadTarget::Audio(ana.release(id).await.tracks[0].id), "new.wav", a_song(2)).await;
    answer.expect_status(204);
    ana.submit(id).await.expect_status(200);
    app.kill();
    std::fs::remove_file(app.data_dir().join(format!("spool/uploads/{}", begun.id))).unwrap();
    drop(held);
    app.start().await;
    let release = ana.release_when(id, ReleaseStatus::Draft).await;
    assert_eq!(release.tracks[0].state(), FileState::Failed);
    let status = ana.upload_status(begun.id).await;
    assert_eq!(status.state, UploadState::Failed);
    assert!(status.message.contains("Upload it again"), "{}", status.message);
}

#[tokio::test]
async fn other_jobs_do_not_wait_for_a_job_that_hangs() {
    let app = spawn_app_with(&[("VWAZA_WORKER_CONCURRENCY", "2")]).await;
    let (ana, ben) = (app.artist("Ana").await, app.artist("Ben").await);
    let anas = ana.create_release().await;
    let held = app.hold_table("lock table audio_facts in share mode").await;
    ana.attach(UploadTarget::NewTrack(anas), "song.wav", a_song(1)).await;
    // Ana's job hangs.
    app.waits_for_locks(1).await;
    let bens = ben.create_release().await;
    ben.attach(UploadTarget::Cover(bens), "cover.png", a_cover(1)).await;
    ben.release_once(bens, "it is examined", |release| release.cover.state() == FileState::Ready).await;
    drop(held);
    ana.release_once(anas, "it is examined", |release| release.tracks[0].state() == FileState::Ready).await;
}

/// A poison job runs exclusively. While it runs, no other job of its process is claimed, so none loses an attempt when
/// the process is killed again.
#[tokio::test]
async fn j8_a_poison_job_costs_no_neighbour_an_attempt() {
    let mut app = spawn_app_with(&[("VWAZA_JOB_LEASE_SECONDS", "2")]).await;
    let (ana, ben) = (app.artist("Ana").await, app.artist("Ben").await);
    let release = ana.create_release().await;
    let held = app.hold_table("lock table objects in share mode").await;
    let (begun, answer) = ana.upload(UploadTarget::Cover(release), "cover.png", a_cover(1)).await;
    answer.expect_status(204);
    app.kill();
    sqlx::query(
        "update upload_jobs set status = 'PENDING', lease_owner = null, lease_expires_at = null, run_after = now(), expired_leases = 2",
    )
    .execute(&app.sql)
    .await
    .unwrap();
    app.start().await;
    let lease = async || -> Option<String> {
        let query = sqlx::query_scalar("select lease_expires_at::text from upload_jobs where kind = 'STORE'");
        query.fetch_one(&app.sql).await.unwrap()
    };
    // The job hangs again.
    let mut leased = eventually("it is claimed", lease).await;
    idle_jobs(&app.sql, &ben, 3).await;
    sqlx::query("select pg_notify('vwaza_jobs', '')").execute(&app.sql).await.unwrap();
    // Polls and the notification go by.
    for _ in 0..2 {
        let later = async || lease().await.filter(|lease| *lease != leased);
        leased = eventually("the lease is prolonged", later).await;
    }
    let claimed: i64 = sqlx::query_scalar("select sum(attempt) from upload_jobs where kind = 'EXAMINE'")
        .fetch_one(&app.sql)
        .await
        .unwrap();
    assert_eq!(claimed, 0);
    app.kill();
    drop(held);
    app.start().await;
    all_jobs_end(&app.sql).await;
    let burnt: (i64, i64) = sqlx::query_as(
        "select sum(retry_count), sum(expired_leases) from upload_jobs where kind = 'EXAMINE' and upload_id is null",
    )
    .fetch_one(&app.sql)
    .await
    .unwrap();
    assert_eq!(burnt, (0, 0));
    ana.attached(begun.id).await;
    app.expect_consistent().await;
}
