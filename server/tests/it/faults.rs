//! Rows of the fault matrix that need a fault of their own: stopped processes, deaf lines, clocks.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use futures::future::join_all;
use sqlx::PgPool;
use tokio::time::sleep;
use uuid::Uuid;
use vwaza::{
    backend::testing::{TestDatabase, test_server_url},
    domain::{
        files::FileState,
        release::{ReleaseEventKind, ReleaseStatus},
        upload::{UploadState, UploadTarget},
    },
};

use crate::support::{
    App, Bucket, a_cover, a_song, all_jobs_end, end_all_connections, eventually, idle_jobs, sha256, soak, spawn_app,
    spawn_app_with, unfinished_jobs,
};

/// SIGSTOP and SIGCONT.
fn signal(app: &App, signal: &str) {
    assert!(Command::new("kill").args([signal, &app.id().to_string()]).status().unwrap().success());
}

#[tokio::test]
async fn u21_what_a_disabled_owner_sent_is_not_attached() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let held = app.hold_table("lock table objects in share mode").await;
    let (_, answer) = ana.upload(UploadTarget::Cover(release), "cover.png", a_cover(1)).await;
    answer.expect_status(204);
    sqlx::query("update users set disabled_at = now()").execute(&app.sql).await.unwrap();
    drop(held);
    all_jobs_end(&app.sql).await;
    let state: (String, Option<Uuid>) =
        sqlx::query_as("select u.state::text, r.cover_id from uploads u join releases r on r.id = u.release_id")
            .fetch_one(&app.sql)
            .await
            .unwrap();
    assert_eq!(state, ("SUPERSEDED".into(), None));
    app.agrees().await;
    eventually("its bytes are gone", async || app.files_in("objects/covers").is_empty().then_some(())).await;
}

/// Cover A waits for its turn while B, begun later, is stored.
#[tokio::test]
async fn u29_a_file_that_waited_does_not_replace_a_newer_one() {
    let mut app = spawn_app_with(&[("VWAZA_FAIL_POINTS", "upload-received=kill")]).await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let a = ana.begin(UploadTarget::Cover(release), "a.png", a_cover(1).len()).await;
    // Received, and then the process is gone: its job waits.
    let _cut_off = ana.try_patch(&a.url, 0, a_cover(1)).await;
    app.ended().await;
    sqlx::query(
        "update upload_jobs set status = 'PENDING', lease_owner = null, lease_expires_at = null, run_after = now() + interval '1 hour'",
    )
    .execute(&app.sql)
    .await
    .unwrap();
    app.start_with(&[("VWAZA_FAIL_POINTS", "")]).await;
    ana.attach(UploadTarget::Cover(release), "b.png", a_cover(2)).await;
    sqlx::query("update upload_jobs set run_after = now() where status = 'PENDING'").execute(&app.sql).await.unwrap();
    all_jobs_end(&app.sql).await;
    let cover = ana.release(release).await.cover.current.unwrap();
    assert_eq!(cover.sha256, sha256(&a_cover(2)));
    assert_eq!(ana.upload_status(a.id).await.state, UploadState::Superseded);
    app.agrees().await;
    assert!(app.files_in("spool/uploads").is_empty());
}

/// The transaction that attaches is committed, and its process is told that the line broke.
#[tokio::test]
async fn u12_a_commit_whose_reply_is_lost_attaches_once() {
    let (app, proxy) = App::behind_a_proxy().await;
    let ana = app.artist("Ana").await;
    let (release, song) = (ana.create_release().await, a_song(1));
    proxy.lose_reply_to_commit_of("state = 'ATTACHED', attached_at");
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", song.len()).await;
    ana.patch(&begun.url, 0, song.clone()).await.expect_status(204);
    ana.attached(begun.id).await;
    eventually("the reply was lost", async || proxy.has_lost_a_reply().then_some(())).await;
    all_jobs_end(&app.sql).await;
    // Nothing is young enough to be spared for that.
    sqlx::query("update objects set created_at = now() - interval '1 hour'").execute(&app.sql).await.unwrap();
    app.janitors_rounds().await;
    let rows: i64 = sqlx::query_scalar("select count(*) from objects").fetch_one(&app.sql).await.unwrap();
    assert_eq!((rows, app.files_in("objects/audio").len()), (1, 1));
    let object = ana.release(release).await.tracks[0].audio.clone().unwrap().object;
    assert_eq!(ana.get(&format!("/media/original/{object}")).await.body, song);
    app.agrees().await;
}

/// The transaction that receives it is committed, and neither the client nor the worker hears of it.
#[tokio::test]
async fn u12_an_upload_whose_receipt_is_lost_is_stored() {
    let (mut app, proxy) = App::behind_a_proxy().await;
    app.restart_with(&[("VWAZA_JOB_LEASE_SECONDS", "1")]).await;
    let ana = app.artist("Ana").await;
    let (release, song) = (ana.create_release().await, a_song(1));
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", song.len()).await;
    ana.patch(&begun.url, 0, song.slice(..100_000)).await.expect_status(204);
    proxy.lose_reply_to_commit_of("update uploads set state = 'RECEIVED'");
    ana.patch(&begun.url, 100_000, song.slice(100_000..)).await.expect_status(503);
    assert!(proxy.has_lost_a_reply());
    assert_eq!(ana.offset(&begun.url).await, song.len());
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&song)));
    all_jobs_end(&app.sql).await;
    app.janitors_rounds().await;
    let stored: i64 =
        sqlx::query_scalar("select count(*) from upload_jobs where kind = 'STORE'").fetch_one(&app.sql).await.unwrap();
    assert_eq!((stored, app.files_in("objects/audio").len()), (1, 1));
    app.agrees().await;
}

/// A process is stopped in the middle of a job for longer than two leases, and goes on when another one has done the job.
#[tokio::test]
async fn j4_a_zombie_writes_nothing() {
    let lease = ("VWAZA_JOB_LEASE_SECONDS", "1");
    let bucket = Bucket::new().await;
    let mut zombie = bucket.app(&[lease]).await;
    let ana = zombie.artist("Ana").await;
    let release = ana.create_release().await;
    // Just before it would write. The thread sleeps, so that its heartbeats do not go on, either.
    zombie.restart_with(&[("VWAZA_FAIL_POINTS", "file-examined=1*sleep(1000)->off")]).await;
    ana.attach(UploadTarget::NewTrack(release), "song.wav", a_song(1)).await;
    eventually("it examines", async || {
        let claimed: bool = sqlx::query_scalar(
            "select exists (select 1 from upload_jobs where kind = 'EXAMINE' and status = 'UPLOADING')",
        )
        .fetch_one(&zombie.sql)
        .await
        .unwrap();
        claimed.then_some(())
    })
    .await;
    signal(&zombie, "-STOP");
    let database = zombie.database_url();
    let _other = bucket.app(&[lease, ("DATABASE_URL", &database)]).await;
    all_jobs_end(&zombie.sql).await;
    let job = async || -> (i32, i32, String) {
        sqlx::query_as("select attempt, retry_count, updated_at::text from upload_jobs where kind = 'EXAMINE'")
            .fetch_one(&zombie.sql)
            .await
            .unwrap()
    };
    let done = job().await;
    assert_eq!((done.0, done.1), (2, 1));
    signal(&zombie, "-CONT");
    eventually("the zombie notices", async || {
        let told = [
            "another worker holds this job by now; nothing was written",
            "the lease was lost; the job is left to whoever holds it",
        ];
        told.iter().any(|message| !zombie.log.events(message).is_empty()).then_some(())
    })
    .await;
    assert_eq!(job().await, done);
    let release = ana.release(release).await;
    assert_eq!(release.tracks[0].state(), FileState::Ready);
    zombie.agrees().await;
}

/// Its lease is long: no heartbeat warns it. What stops it is the transaction in which it would write.
#[tokio::test]
async fn j4_the_transaction_of_a_zombie_is_not_committed() {
    let lease = ("VWAZA_JOB_LEASE_SECONDS", "600");
    let bucket = Bucket::new().await;
    let mut zombie = bucket.app(&[lease]).await;
    let ana = zombie.artist("Ana").await;
    let release = ana.create_release().await;
    zombie.restart_with(&[("VWAZA_FAIL_POINTS", "file-examined=1*sleep(1000)->off")]).await;
    ana.attach(UploadTarget::NewTrack(release), "song.wav", a_song(1)).await;
    eventually("it examines", async || {
        let claimed: Option<i32> =
            sqlx::query_scalar("select attempt from upload_jobs where kind = 'EXAMINE' and status = 'UPLOADING'")
                .fetch_optional(&zombie.sql)
                .await
                .unwrap();
        claimed
    })
    .await;
    signal(&zombie, "-STOP");
    sqlx::query("update upload_jobs set lease_expires_at = now() - interval '1 second' where status = 'UPLOADING'")
        .execute(&zombie.sql)
        .await
        .unwrap();
    let database = zombie.database_url();
    let _other = bucket.app(&[lease, ("DATABASE_URL", &database)]).await;
    all_jobs_end(&zombie.sql).await;
    // Every row, and the transaction that wrote it.
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
    eventually("the zombie finds out", async || {
        let told = "another worker holds this job by now; nothing was written";
        (!zombie.log.events(told).is_empty()).then_some(())
    })
    .await;
    assert_eq!(rows().await, done);
    zombie.agrees().await;
}

#[tokio::test]
async fn j5_of_several_processes_one_claims_a_job() {
    let jobs = if soak() { 10_000 } else { 1000 };
    let first = spawn_app().await;
    let database = first.database_url();
    let second = spawn_app_with(&[("DATABASE_URL", &database)]).await;
    let ana = first.artist("Ana").await;
    idle_jobs(&first.sql, &ana, jobs).await;
    all_jobs_end(&first.sql).await;
    let (claims, most): (i64, i32) =
        sqlx::query_as("select sum(attempt), max(attempt) from upload_jobs").fetch_one(&first.sql).await.unwrap();
    assert_eq!((claims, most), (jobs, 1));
    for app in [&first, &second] {
        let figures = String::from_utf8(app.anyone().get("/metrics").await.body.to_vec()).unwrap();
        assert!(figures.contains(r#"vwaza_jobs_total{kind="examine",outcome="completed"}"#), "{figures}");
    }
    first.agrees().await;
}

#[tokio::test]
async fn j7_a_panic_costs_one_attempt_and_nobody_else_anything() {
    let app = spawn_app_with(&[("VWAZA_FAIL_POINTS", "object-intended=1*panic(a bug)->off")]).await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let (cover, answer) = ana.upload(UploadTarget::Cover(release), "cover.png", a_cover(1)).await;
    answer.expect_status(204);
    eventually("it panics", async || (app.log.events("a job panicked").len() == 1).then_some(())).await;
    // While it waits for its next attempt.
    ana.attach(UploadTarget::NewTrack(release), "song.wav", a_song(1)).await;
    ana.attached(cover.id).await;
    let failures: Vec<(String, i32)> = sqlx::query_as(
        "select u.kind::text, j.retry_count from upload_jobs j join uploads u on u.id = j.upload_id
         where j.kind = 'STORE' order by j.updated_at",
    )
    .fetch_all(&app.sql)
    .await
    .unwrap();
    assert_eq!(failures, [("AUDIO".to_owned(), 0), ("COVER".to_owned(), 1)]);
    assert_eq!(app.log.events("a job panicked").len(), 1);
    let figures = app.anyone().get("/metrics").await.text();
    assert!(figures.lines().any(|line| line == "vwaza_job_panics_total 1"), "{figures}");
    app.agrees().await;
}

/// Jobs go on by themselves once the database is back.
#[tokio::test]
async fn j9_the_queue_goes_on_when_the_database_is_back() {
    let (app, proxy) = App::behind_a_proxy().await;
    let ana = app.artist("Ana").await;
    idle_jobs(&app.sql, &ana, 2000).await;
    proxy.cut();
    eventually("the loss is noticed", async || (ana.get("/health").await.status == 503).then_some(())).await;
    assert!(unfinished_jobs(&app.sql).await > 0, "all were through before the line was cut");
    proxy.mend().await;
    all_jobs_end(&app.sql).await;
    app.agrees().await;
}

/// And when it ended every connection, and what was said on it, as a restart does.
#[tokio::test]
async fn j9_the_queue_goes_on_when_the_database_was_restarted() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    idle_jobs(&app.sql, &ana, 2000).await;
    eventually("the queue is at it", async || (unfinished_jobs(&app.sql).await < 1990).then_some(())).await;
    let mut own = app.sql.acquire().await.unwrap();
    end_all_connections(&mut own).await;
    drop(own);
    let (left, ended) = (unfinished_jobs(&app.sql).await, Instant::now());
    assert!(left > 0, "all were through before");
    let some = left - left.min(100);
    eventually("it is at it again", async || (unfinished_jobs(&app.sql).await <= some).then_some(())).await;
    // 10 s, with fivefold slack.
    assert!(ended.elapsed() < Duration::from_secs(50), "{:?}", ended.elapsed());
    all_jobs_end(&app.sql).await;
    app.agrees().await;
}

/// The line that hints come on says nothing any more, and does not end: the next poll finds the job.
#[tokio::test]
async fn j10_a_listener_that_hears_nothing_finds_jobs_by_polling() {
    let (mut app, proxy) = App::behind_a_proxy().await;
    app.restart_with(&[("VWAZA_JOB_POLL_MS", "1000")]).await;
    let ana = app.artist("Ana").await;
    proxy.deafen_listeners();
    idle_jobs(&app.sql, &ana, 10).await;
    let queued = Instant::now();
    sqlx::query("select pg_notify('vwaza_jobs', '')").execute(&app.sql).await.unwrap();
    eventually("the hint was said and not heard", async || (proxy.swallowed() > 0).then_some(())).await;
    all_jobs_end(&app.sql).await;
    // A poll, with fivefold slack.
    assert!(queued.elapsed() < Duration::from_secs(5), "{:?}", queued.elapsed());
    app.agrees().await;
}

#[tokio::test]
async fn j18_ten_thousand_jobs_of_one_artist_keep_no_other_waiting() {
    let app = spawn_app().await;
    let (ana, ben) = (app.artist("Ana").await, app.artist("Ben").await);
    idle_jobs(&app.sql, &ana, 10_000).await;
    eventually("the queue is at it", async || (unfinished_jobs(&app.sql).await < 9990).then_some(())).await;
    idle_jobs(&app.sql, &ben, 1).await;
    let bens = ben.actor().await.unwrap().id;
    let (ahead, waited): (i64, f64) = eventually("the other artist's job is through", async || {
        sqlx::query_as(
            "select count(j.id), extract(epoch from b.updated_at - b.created_at)::float8 from upload_jobs b
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
    // It takes the next turn but one of each worker, not the ten-thousandth.
    assert!(ahead < 100, "{ahead} jobs of the other artist went first");
    // 5 s, with fivefold slack.
    assert!(waited <= 25.0, "{waited} s");
    app.agrees().await;
}

/// The last two jobs of a release finish at once, while it is being submitted.
#[tokio::test]
async fn j22_the_last_jobs_and_the_submit_leave_no_release_behind() {
    // Nothing is examined before the submit.
    let mut app = spawn_app_with(&[("VWAZA_WORKER_CONCURRENCY", "0")]).await;
    let ana = app.artist("Ana").await;
    let releases = join_all((0..3).map(|_| ana.complete_release())).await;
    let held = app.hold_table("lock table audio_facts, cover_facts in share mode").await;
    // One turn is not for an artist who has all the others.
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
    drop(held);
    for submit in submits {
        submit.await.unwrap();
    }
    for id in releases {
        ana.release_when(id, ReleaseStatus::PendingReview).await;
    }
    app.agrees().await;
}

/// The release is in PROCESSING; both of its jobs are done, and neither gets at it before the other one is there.
#[tokio::test]
async fn j22_two_last_jobs_that_finish_at_once_bring_their_release_to_review() {
    let mut app = spawn_app_with(&[("VWAZA_WORKER_CONCURRENCY", "0")]).await;
    let ana = app.artist("Ana").await;
    let id = ana.complete_release().await;
    ana.submit(id).await.expect_status(200);
    assert_eq!(ana.release(id).await.status, ReleaseStatus::Processing);
    let held = app.hold_release(id).await;
    app.restart_with(&[("VWAZA_WORKER_CONCURRENCY", "4")]).await;
    app.lock_waits(2).await;
    drop(held);
    let release = ana.release_when(id, ReleaseStatus::PendingReview).await;
    let examined = release.timeline.iter().filter(|event| event.kind == ReleaseEventKind::Examined).count();
    assert_eq!(examined, 1);
    app.agrees().await;
}

#[tokio::test]
async fn a5_what_is_still_on_its_way_is_not_approved() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let release = ana.release_in_review().await;
    // No way leads here; if one is ever made, this is what stands at its end.
    sqlx::query("update uploads set state = 'RECEIVED' where kind = 'AUDIO'").execute(&app.sql).await.unwrap();
    admin.approve(release.id, release.version).await.expect_error(409, "still on its way");
    assert_eq!(ana.release(release.id).await.status, ReleaseStatus::PendingReview);
    sqlx::query("update uploads set state = 'ATTACHED' where kind = 'AUDIO'").execute(&app.sql).await.unwrap();
    app.agrees().await;
}

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
