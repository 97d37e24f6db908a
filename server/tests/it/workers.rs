//! Several workers: stopped, cut off from their database, or without notifications. Each job is done once, and none is
//! left behind.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use futures::future::join_all;
use time::OffsetDateTime;
use vwaza::domain::{
    files::FileState,
    release::{ReleaseEventKind, ReleaseStatus},
    upload::UploadTarget,
};

use crate::support::{
    App, Bucket, Gate, a_cover, a_song, all_jobs_end, assert_in_time, end_all_connections, eventually, idle_jobs,
    is_soak, make_due, postponed_jobs, spawn_app_with, unfinished_jobs,
};

/// Sends a signal like SIGSTOP or SIGCONT.
fn signal(app: &App, signal: &str) {
    assert!(Command::new("kill").args([signal, &app.id().to_string()]).status().unwrap().success());
}

/// A process is stopped in the middle of a job for longer than two leases. It goes on after another process has done
/// the job.
#[tokio::test]
async fn j4_a_zombie_writes_nothing() {
    const LEASE: Duration = Duration::from_secs(2);
    let lease = ("VWAZA_JOB_LEASE_SECONDS", "2");
    let bucket = Bucket::new().await;
    let mut zombie = bucket.app(&[lease]).await;
    let ana = zombie.artist("Ana").await;
    let release = ana.create_release().await;
    let examined = Gate::new();
    zombie.restart_with(&[("VWAZA_FAIL_POINTS", &examined.at("file-examined"))]).await;
    let (_, answer) = ana.upload(UploadTarget::NewTrack(release), "song.wav", a_song(1)).await;
    answer.expect_status(204);
    // The process is stopped just before it writes. The job's heartbeats are on the same thread and stop as well.
    let held = examined.reached().await;
    signal(&zombie, "-STOP");
    let leased_until: OffsetDateTime =
        sqlx::query_scalar("select lease_expires_at from upload_jobs where kind = 'EXAMINE' and status = 'UPLOADING'")
            .fetch_one(&zombie.sql)
            .await
            .unwrap();
    let database = zombie.database_url();
    let _other = bucket.app(&[lease, ("DATABASE_URL", &database)]).await;
    all_jobs_end(&zombie.sql).await;
    zombie.clock_passes(leased_until + LEASE).await;
    let job = async || -> (i32, i32, String) {
        sqlx::query_as("select attempt, retry_count, updated_at::text from upload_jobs where kind = 'EXAMINE'")
            .fetch_one(&zombie.sql)
            .await
            .unwrap()
    };
    let done = job().await;
    assert_eq!((done.0, done.1), (2, 1));
    signal(&zombie, "-CONT");
    drop(held);
    eventually("the zombie notices", async || {
        let told = ["job lease lost; nothing was written", "job lease lost; attempt abandoned"];
        told.iter().any(|message| !zombie.log.events(message).is_empty()).then_some(())
    })
    .await;
    assert_eq!(job().await, done);
    let release = ana.release(release).await;
    assert_eq!(release.tracks[0].state(), FileState::Ready);
    zombie.expect_consistent().await;
}

/// The lease is long, so no heartbeat warns the process. The transaction in which it would write stops it.
#[tokio::test]
async fn j4_the_transaction_of_a_zombie_is_not_committed() {
    let lease = ("VWAZA_JOB_LEASE_SECONDS", "600");
    let bucket = Bucket::new().await;
    let mut zombie = bucket.app(&[lease]).await;
    let ana = zombie.artist("Ana").await;
    let release = ana.create_release().await;
    let examined = Gate::new();
    zombie.restart_with(&[("VWAZA_FAIL_POINTS", &examined.at("file-examined"))]).await;
    let (_, answer) = ana.upload(UploadTarget::NewTrack(release), "song.wav", a_song(1)).await;
    answer.expect_status(204);
    let held = examined.reached().await;
    signal(&zombie, "-STOP");
    sqlx::query("update upload_jobs set lease_expires_at = now() - interval '1 second' where status = 'UPLOADING'")
        .execute(&zombie.sql)
        .await
        .unwrap();
    let database = zombie.database_url();
    let _other = bucket.app(&[lease, ("DATABASE_URL", &database)]).await;
    all_jobs_end(&zombie.sql).await;
    // Each row, with the transaction that wrote it.
    let rows = async || -> Vec<String> {
        sqlx::query_scalar(
            "select format('release %s %s', x.xmin, x) from releases x
             union all select format('track %s %s', x.xmin, x) from tracks x
             union all select format('upload %s %s', x.xmin, x) from uploads x
             union all select format('object %s %s', x.xmin, x) from objects x
             union all select format('job %s %s', x.xmin, x) from upload_jobs x
             union all select format('facts %s %s', x.xmin, x) from audio_facts x
             union all select format('event %s %s', x.xmin, x) from release_events x
             order by 1",
        )
        .fetch_all(&zombie.sql)
        .await
        .unwrap()
    };
    let done = rows().await;
    signal(&zombie, "-CONT");
    drop(held);
    eventually("the zombie finds out", async || {
        let told = "job lease lost; nothing was written";
        (!zombie.log.events(told).is_empty()).then_some(())
    })
    .await;
    assert_eq!(rows().await, done);
    zombie.expect_consistent().await;
}

#[tokio::test]
async fn j5_of_several_processes_one_claims_a_job() {
    let jobs = if is_soak() { 10_000 } else { 1000 };
    let bucket = Bucket::new().await;
    let first = bucket.app(&[]).await;
    let database = first.database_url();
    let second = bucket.app(&[("DATABASE_URL", &database)]).await;
    let ana = first.artist("Ana").await;
    // Both processes wait for the queue's lock when the jobs are added, so both take part.
    let mut adding = first.hold_table("lock table upload_jobs in share mode").await;
    first.waits_for_locks_of("%set status = 'UPLOADING'%", 2).await;
    idle_jobs(&mut *adding, &ana, jobs).await;
    adding.commit().await.unwrap();
    all_jobs_end(&first.sql).await;
    let (claims, most): (i64, i32) =
        sqlx::query_as("select sum(attempt), max(attempt) from upload_jobs").fetch_one(&first.sql).await.unwrap();
    assert_eq!((claims, most), (jobs, 1));
    for app in [&first, &second] {
        let figures = String::from_utf8(app.anonymous().get("/metrics").await.body.to_vec()).unwrap();
        assert!(!figures.contains(r#"vwaza_jobs_total{kind="examine",outcome="completed"} 0"#), "{figures}");
    }
    first.expect_consistent().await;
}

#[tokio::test]
async fn j7_a_panic_costs_one_attempt_and_nobody_else_anything() {
    let app = spawn_app_with(&[("VWAZA_FAIL_POINTS", "object-intended=1*panic(a bug)->off")]).await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let (cover, answer) = ana.upload(UploadTarget::Cover(release), "cover.png", a_cover(1)).await;
    answer.expect_status(204);
    eventually("it panics", async || (app.log.events("job panicked").len() == 1).then_some(())).await;
    eventually("its next attempt is put off", async || {
        let put_off = "update upload_jobs set run_after = now() + interval '1 hour' where status = 'PENDING'";
        let put_off = sqlx::query(put_off).execute(&app.sql).await.unwrap();
        (put_off.rows_affected() == 1).then_some(())
    })
    .await;
    ana.attach(UploadTarget::NewTrack(release), "song.wav", a_song(1)).await;
    make_due(&app.sql).await;
    ana.attached(cover.id).await;
    let failures: Vec<(String, i32)> = sqlx::query_as(
        "select u.kind::text, j.retry_count from upload_jobs j join uploads u on u.id = j.upload_id
         where j.kind = 'STORE' order by j.updated_at",
    )
    .fetch_all(&app.sql)
    .await
    .unwrap();
    assert_eq!(failures, [("AUDIO".to_owned(), 0), ("COVER".to_owned(), 1)]);
    assert_eq!(app.log.events("job panicked").len(), 1);
    let figures = app.anonymous().get("/metrics").await.text();
    assert!(figures.lines().any(|line| line == "vwaza_job_panics_total 1"), "{figures}");
    app.expect_consistent().await;
}

/// A claim that is committed but whose reply is lost waits until its lease ends.
const A_CLAIM_MAY_BE_LOST: (&str, &str) = ("VWAZA_JOB_LEASE_SECONDS", "3");

/// The queue goes on once the database is back.
#[tokio::test]
async fn j9_the_queue_goes_on_when_the_database_is_back() {
    let (mut app, proxy) = App::behind_a_proxy().await;
    app.restart_with(&[A_CLAIM_MAY_BE_LOST]).await;
    let ana = app.artist("Ana").await;
    // Some jobs must be left when the connections are cut, however fast the queue is.
    postponed_jobs(&app.sql, &ana, 100).await;
    idle_jobs(&app.sql, &ana, 2000).await;
    eventually("the queue is at it", async || (unfinished_jobs(&app.sql).await < 2090).then_some(())).await;
    proxy.cut();
    eventually("the loss is noticed", async || (ana.get("/health").await.status == 503).then_some(())).await;
    make_due(&app.sql).await;
    assert!(unfinished_jobs(&app.sql).await >= 100);
    proxy.restore().await;
    all_jobs_end(&app.sql).await;
    app.expect_consistent().await;
}

/// A restart of the database ends all connections and rolls back their transactions.
#[tokio::test]
async fn j9_the_queue_goes_on_when_the_database_was_restarted() {
    let app = spawn_app_with(&[A_CLAIM_MAY_BE_LOST]).await;
    let ana = app.artist("Ana").await;
    postponed_jobs(&app.sql, &ana, 100).await;
    idle_jobs(&app.sql, &ana, 2000).await;
    eventually("the queue is at it", async || (unfinished_jobs(&app.sql).await < 2090).then_some(())).await;
    let mut own = app.sql.acquire().await.unwrap();
    end_all_connections(&mut own).await;
    let ended = Instant::now();
    drop(own);
    let left = unfinished_jobs(&app.sql).await;
    assert!(left >= 100, "{left}");
    make_due(&app.sql).await;
    eventually("it is at it again", async || (unfinished_jobs(&app.sql).await <= left - 100).then_some(())).await;
    assert_in_time(ended, Duration::from_secs(10));
    all_jobs_end(&app.sql).await;
    app.expect_consistent().await;
}

/// The connection that notifications come on is dead without a sign. The next poll finds the job.
#[tokio::test]
async fn j10_a_worker_without_notifications_finds_jobs_by_polling() {
    let (mut app, proxy) = App::behind_a_proxy().await;
    app.restart_with(&[("VWAZA_JOB_POLL_MS", "1000")]).await;
    let ana = app.artist("Ana").await;
    app.listens_for_hints().await;
    proxy.deafen_listeners();
    idle_jobs(&app.sql, &ana, 10).await;
    let queued = Instant::now();
    sqlx::query("select pg_notify('vwaza_jobs', '')").execute(&app.sql).await.unwrap();
    eventually("the hint was said and not heard", async || (proxy.swallowed() > 0).then_some(())).await;
    all_jobs_end(&app.sql).await;
    // The job ends at the next poll.
    assert_in_time(queued, Duration::from_secs(1));
    app.expect_consistent().await;
}

#[tokio::test]
async fn j18_ten_thousand_jobs_of_one_artist_delay_no_other_artist() {
    let claimed = Gate::new();
    let app = spawn_app_with(&[("VWAZA_FAIL_POINTS", &claimed.at("job-claimed"))]).await;
    let (ana, ben) = (app.artist("Ana").await, app.artist("Ben").await);
    let mut adding = app.sql.begin().await.unwrap();
    idle_jobs(&mut *adding, &ben, 1).await;
    idle_jobs(&app.sql, &ana, 10_000).await;
    // The first of Ana's jobs is claimed, and no other is, when Ben's is added.
    let held = claimed.reached().await;
    adding.commit().await.unwrap();
    let added = Instant::now();
    drop(held);
    let bens = ben.actor().await.unwrap().id;
    let ahead: i64 = eventually("the other artist's job is through", async || {
        sqlx::query_scalar(
            "select count(j.id) from upload_jobs b
             left join upload_jobs j on j.artist_id <> b.artist_id and j.status = 'COMPLETED'
                  and j.updated_at between b.created_at and b.updated_at
             where b.artist_id = $1 and b.status = 'COMPLETED' group by b.id",
        )
        .bind(bens.0)
        .fetch_optional(&app.sql)
        .await
        .unwrap()
    })
    .await;
    // Ben's job waits for a few claims of each worker, not for ten thousand.
    assert!(ahead < 100, "{ahead} jobs of the other artist went first");
    assert_in_time(added, Duration::from_secs(5));
    app.expect_consistent().await;
}

/// The last two jobs of a release finish at once, while it is being submitted.
#[tokio::test]
async fn j22_the_last_jobs_and_the_submit_leave_no_release_behind() {
    // Nothing is examined before the submit.
    let mut app = spawn_app_with(&[("VWAZA_WORKER_CONCURRENCY", "0")]).await;
    let ana = app.artist("Ana").await;
    let releases = join_all((0..3).map(|_| ana.complete_release())).await;
    let held = app.hold_table("lock table audio_facts, cover_facts in share mode").await;
    // One permit more, because one is never given to an artist who has all the others.
    app.restart_with(&[("VWAZA_WORKER_CONCURRENCY", "7")]).await;
    eventually("all files are being examined", async || {
        let claimed: i64 = sqlx::query_scalar("select count(*) from upload_jobs where status = 'UPLOADING'")
            .fetch_one(&app.sql)
            .await
            .unwrap();
        (claimed == 6).then_some(())
    })
    .await;
    let submits = releases.iter().map(|id| {
        let (ana, id) = (ana.clone(), *id);
        tokio::spawn(async move { ana.submit(id).await.expect_status(200) })
    });
    let submits: Vec<_> = submits.collect();
    // For each release, a job holds its row and waits for the facts, and another transaction waits for the row.
    app.waits_for_locks(6).await;
    drop(held);
    for submit in submits {
        submit.await.unwrap();
    }
    for id in releases {
        ana.release_when(id, ReleaseStatus::PendingReview).await;
    }
    app.expect_consistent().await;
}

/// The release is in PROCESSING. Both of its jobs are done, and neither can lock it before both wait for it.
#[tokio::test]
async fn j22_two_last_jobs_that_finish_at_once_bring_their_release_to_review() {
    let mut app = spawn_app_with(&[("VWAZA_WORKER_CONCURRENCY", "0")]).await;
    let ana = app.artist("Ana").await;
    let id = ana.complete_release().await;
    ana.submit(id).await.expect_status(200);
    assert_eq!(ana.release(id).await.status, ReleaseStatus::Processing);
    let held = app.hold_release(id).await;
    app.restart_with(&[("VWAZA_WORKER_CONCURRENCY", "4")]).await;
    app.waits_for_locks(2).await;
    drop(held);
    let release = ana.release_when(id, ReleaseStatus::PendingReview).await;
    let examined = release.timeline.iter().filter(|event| event.kind == ReleaseEventKind::Examined).count();
    assert_eq!(examined, 1);
    app.expect_consistent().await;
}
