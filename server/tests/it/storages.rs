//! The whole product on S3 and on Supabase Storage: available, away, slow, or answering wrongly; with one process or
//! two.

use std::{
    os::unix::process::ExitStatusExt,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::future::join_all;
use serde_json::Value;
use testing::{
    fixtures,
    supabase_server::{StorageFault, SupabaseServer},
};
use vwaza::domain::{
    download::percent_encoded,
    files::FileState,
    ids::ReleaseId,
    upload::{UploadState, UploadTarget},
};

use crate::support::{
    App, Bucket, Client, SIGABRT, a_cover, a_song, app_on_supabase, eventually, idle_jobs, is_soak, sha256,
    unfinished_jobs,
};

/// A WAV that is larger than any storage takes in one request.
fn a_master(seed: u64) -> Bytes {
    fixtures::wav(60.0, 44_100, 24, seed).into()
}

/// A fraction of a second of sound, for tests with many files.
fn a_sound(seed: u64) -> Bytes {
    fixtures::wav(0.3, 44_100, 16, seed).into()
}

/// Checks that the player gets the song from the address that it is redirected to.
async fn plays(ana: &Client, release: ReleaseId, song: &Bytes) {
    let release =
        ana.release_once(release, "it is examined", |release| release.tracks[0].state() == FileState::Ready).await;
    let object = release.tracks[0].audio.as_ref().unwrap().object;
    let sent = ana.get(&format!("/media/original/{object}")).await.expect_status(307);
    assert_eq!(sent.header("cache-control"), Some("no-store"));
    let address = sent.header("location").unwrap();
    let page = ana.get("/").await;
    let policy = page.header("content-security-policy").unwrap();
    let origin = address.split('/').take(3).collect::<Vec<_>>().join("/");
    assert!(policy.contains(&format!("media-src 'self' blob: {origin};")), "{policy}");
    // The client sends no cookie, because the address alone gives access.
    let http = reqwest::Client::new();
    let whole = http.get(address).send().await.unwrap();
    assert_eq!((whole.status().as_u16(), whole.headers()["content-type"].to_str().unwrap()), (200, "audio/wav"));
    // The file is saved under its own name. Each storage writes the header in its own way.
    let name = percent_encoded(&release.tracks[0].audio.as_ref().unwrap().file_name);
    let disposition = whole.headers()["content-disposition"].to_str().unwrap();
    assert!(disposition.starts_with("attachment; filename="), "{disposition}");
    assert!(disposition.trim_end_matches(';').ends_with(&format!("; filename*=UTF-8''{name}")), "{disposition}");
    assert_eq!(sha256(&whole.bytes().await.unwrap()), sha256(song));
    let part = http.get(address).header("range", "bytes=100-199").send().await.unwrap();
    assert_eq!((part.status().as_u16(), part.bytes().await.unwrap()), (206, song.slice(100..200)));
}

async fn storage(client: &Client) -> (Value, Value) {
    let health: Value = client.get("/health").await.ok();
    (health["status"].clone(), health["storage"].clone())
}

async fn failures(app: &App) -> i64 {
    sqlx::query_scalar("select coalesce(sum(retry_count), 0) from upload_jobs").fetch_one(&app.sql).await.unwrap()
}

async fn running(app: &App) -> i64 {
    sqlx::query_scalar("select count(*) from upload_jobs where status = 'UPLOADING'").fetch_one(&app.sql).await.unwrap()
}

async fn attempts(app: &App) -> i64 {
    sqlx::query_scalar("select sum(attempt) from upload_jobs").fetch_one(&app.sql).await.unwrap()
}

/// Returns how many probes of the storage have failed.
async fn failed_probes(client: &Client) -> u32 {
    let figures = client.get("/metrics").await.text();
    let failed = figures.lines().find_map(|line| line.strip_prefix(r#"vwaza_storage_probes_total{outcome="failed"} "#));
    failed.map_or(0, |probes| probes.parse().unwrap())
}

#[tokio::test]
async fn a_release_lives_in_a_bucket_of_s3() {
    let bucket = Bucket::new().await;
    let app = bucket.app(&[]).await;
    let ana = app.artist("Ana").await;
    let (release, song) = (ana.create_release().await, a_master(1));
    let begun = ana.attach(UploadTarget::NewTrack(release), "song.wav", song.clone()).await;
    plays(&ana, release, &song).await;
    ana.attach(UploadTarget::Cover(release), "cover.png", a_cover(1)).await;
    let cover =
        ana.release_once(release, "the cover is ready", |release| release.cover.state() == FileState::Ready).await;
    let cover = cover.cover.current.unwrap().object;
    ana.get(&format!("/media/cover/{cover}/160")).await.expect_status(200);
    app.expect_consistent().await;
    let before = bucket.objects();
    let other = a_song(2);
    ana.attach(UploadTarget::Audio(begun.track.unwrap()), "größer & \"anders\".wav", other.clone()).await;
    plays(&ana, release, &other).await;
    eventually("what was replaced is deleted", async || (bucket.objects() == before).then_some(())).await;
    app.expect_consistent().await;
}

#[tokio::test]
async fn a_release_lives_in_supabase_storage() {
    let server = SupabaseServer::start().await;
    let app = app_on_supabase(&server, &[]).await;
    let ana = app.artist("Ana").await;
    let (release, song) = (ana.create_release().await, a_master(1));
    let begun = ana.attach(UploadTarget::NewTrack(release), "song.wav", song.clone()).await;
    plays(&ana, release, &song).await;
    app.expect_consistent().await;
    let other = a_song(2);
    ana.attach(UploadTarget::Audio(begun.track.unwrap()), "größer & \"anders\".wav", other.clone()).await;
    plays(&ana, release, &other).await;
    eventually("what was replaced is deleted", async || (server.objects().len() == 1).then_some(())).await;
    assert_eq!(server.open_uploads(), 0);
    app.expect_consistent().await;
}

/// The process is killed once after the bucket has opened a multipart upload and before its first part, and once in the
/// middle of it.
#[tokio::test]
async fn u11_a_multipart_upload_that_a_kill_left_open_is_aborted() {
    for point in ["multipart-begun=kill", "object-half-put=kill"] {
        let bucket = Bucket::new().await;
        let quick = [("VWAZA_JOB_LEASE_SECONDS", "2")];
        let mut app = bucket.app(&quick).await;
        let ana = app.artist("Ana").await;
        let (release, song) = (ana.create_release().await, a_master(1));
        app.restart_with(&[("VWAZA_FAIL_POINTS", point)]).await;
        let (_, answer) = ana.upload(UploadTarget::NewTrack(release), "song.wav", song.clone()).await;
        answer.expect_status(204);
        assert_eq!(app.ended().await.signal(), Some(SIGABRT), "{point} must kill the server");
        assert!(bucket.open_parts() > 0, "{point}");
        app.start_with(&[("VWAZA_FAIL_POINTS", "")]).await;
        plays(&ana, release, &song).await;
        eventually("nothing is left open", async || (bucket.open_parts() == 0 && bucket.objects() == 1).then_some(()))
            .await;
        app.expect_consistent().await;
    }
}

/// The process is killed in the middle of a resumable upload of Supabase.
#[tokio::test]
async fn u11_a_resumable_upload_that_a_kill_left_open_is_aborted() {
    for point in ["multipart-begun=kill", "object-half-put=kill"] {
        let server = SupabaseServer::start().await;
        let mut app = app_on_supabase(&server, &[("VWAZA_JOB_LEASE_SECONDS", "2")]).await;
        let ana = app.artist("Ana").await;
        let (release, song) = (ana.create_release().await, a_master(1));
        app.restart_with(&[("VWAZA_FAIL_POINTS", point)]).await;
        let (_, answer) = ana.upload(UploadTarget::NewTrack(release), "song.wav", song.clone()).await;
        answer.expect_status(204);
        assert_eq!(app.ended().await.signal(), Some(SIGABRT), "{point} must kill the server");
        assert_eq!(server.open_uploads(), 1, "{point}");
        app.start_with(&[("VWAZA_FAIL_POINTS", "")]).await;
        plays(&ana, release, &song).await;
        eventually("nothing is left open", async || {
            (server.open_uploads() == 0 && server.objects().len() == 1).then_some(())
        })
        .await;
        app.expect_consistent().await;
    }
}

/// The object is put in one request, then as a resumable upload.
#[tokio::test]
async fn u16_a_storage_that_keeps_other_bytes_is_detected() {
    let server = SupabaseServer::start().await;
    let app = app_on_supabase(&server, &[]).await;
    let ana = app.artist("Ana").await;
    let mut stored = 0;
    for song in [a_song(1), a_master(1)] {
        for how in [StorageFault::StoreTruncated, StorageFault::StoreCorrupted] {
            stored += 1;
            let release = ana.create_release().await;
            server.fail_next(how);
            ana.attach(UploadTarget::NewTrack(release), "song.wav", song.clone()).await;
            assert_eq!(failures(&app).await, stored);
            plays(&ana, release, &song).await;
            eventually("what was kept wrongly is deleted", async || {
                (server.objects().len() as i64 == stored).then_some(())
            })
            .await;
        }
    }
    app.expect_consistent().await;
}

/// It is unknown whether the object arrives, so the next attempt puts another one. The first one arrives after all.
#[tokio::test]
async fn u13_a_put_that_lands_after_the_next_one_is_deleted() {
    let server = SupabaseServer::start().await;
    let app = app_on_supabase(&server, &[("VWAZA_ORPHAN_GRACE_SECONDS", "20")]).await;
    let ana = app.artist("Ana").await;
    let (release, song) = (ana.create_release().await, a_song(1));
    server.fail_next(StorageFault::StoreLate);
    ana.attach(UploadTarget::NewTrack(release), "song.wav", song.clone()).await;
    assert_eq!(server.objects().len(), 1);
    server.finish_late_uploads();
    assert_eq!(server.objects().len(), 2);
    plays(&ana, release, &song).await;
    assert_eq!(failures(&app).await, 0);
    // Makes the grace time pass, since the put and since the delete.
    let age = async || {
        let age = "update objects set created_at = created_at - interval '1 hour', deleted_at = deleted_at - interval '1 hour'";
        sqlx::query(age).execute(&app.sql).await.unwrap();
    };
    age().await;
    eventually("the late one is deleted", async || (server.objects().len() == 1).then_some(())).await;
    eventually("its row is gone", async || {
        age().await;
        let rows: i64 = sqlx::query_scalar("select count(*) from objects").fetch_one(&app.sql).await.unwrap();
        (rows == 1).then_some(())
    })
    .await;
    app.expect_consistent().await;
    plays(&ana, release, &song).await;
}

/// The object is stored, but the reply is lost. The job finds the object and does not put it again.
#[tokio::test]
async fn u13_a_put_whose_answer_is_lost_is_not_repeated() {
    let server = SupabaseServer::start().await;
    let app = app_on_supabase(&server, &[]).await;
    let ana = app.artist("Ana").await;
    let (release, song) = (ana.create_release().await, a_song(1));
    server.fail_next(StorageFault::DropResponse);
    ana.attach(UploadTarget::NewTrack(release), "song.wav", song.clone()).await;
    plays(&ana, release, &song).await;
    assert_eq!((server.objects().len(), failures(&app).await), (1, 0));
    app.expect_consistent().await;
}

/// Dozens of jobs wait for the storage. If each of them held a database connection meanwhile, pages would wait.
#[tokio::test]
async fn u17_pages_answer_while_the_storage_does_not() {
    let bucket = Bucket::new().await;
    // One permit more, because one is never given to an artist who has all the others.
    let app = bucket.app(&[("VWAZA_WORKER_CONCURRENCY", "33")]).await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let mut begun = Vec::new();
    for number in 0..50 {
        let (target, name, sound) = (UploadTarget::NewTrack(release), format!("{number}.wav"), a_sound(number));
        begun.push((ana.begin(target, &name, sound.len()).await, sound));
    }
    bucket.proxy.hang().await;
    let uploads = join_all(begun.iter().map(async |(upload, sound)| {
        eventually("the server has its bytes", async || {
            let offset = ana.offset(&upload.url).await;
            // On a busy machine, some of fifty concurrent uploads wait too long for a database connection and get 503.
            // Their clients send again.
            let answer = ana.patch(&upload.url, offset, sound.slice(offset..)).await;
            if answer.status == 503 { None } else { Some(answer.expect_status(204)) }
        })
        .await;
    }));
    // The silence is longer than a transaction may be idle.
    let silence = Duration::from_secs(if is_soak() { 60 } else { 2 });
    let paths = ["/".to_owned(), format!("/releases/{release}")];
    let pages = async {
        eventually("32 jobs wait for the storage", async || (running(&app).await >= 32).then_some(())).await;
        let (mut took, waiting_since) = (Vec::new(), Instant::now());
        while took.len() < 100 || waiting_since.elapsed() < silence {
            for path in &paths {
                let asked = Instant::now();
                ana.get(path).await.expect_status(200);
                took.push(asked.elapsed());
            }
            let idle: i64 = sqlx::query_scalar(
                "select count(*) from pg_stat_activity
                 where datname = current_database() and state like 'idle in transaction%' and state_change < now() - interval '1 second'",
            )
            .fetch_one(&app.sql)
            .await
            .unwrap();
            assert_eq!(idle, 0, "a transaction waits for the storage");
        }
        took
    };
    let (_, mut took) = tokio::join!(uploads, pages);
    assert!(running(&app).await >= 32);
    took.sort_unstable();
    // The deadline is 500 ms; the test allows five times as long.
    assert!(took[took.len() * 99 / 100] < Duration::from_millis(2500), "{took:?}");
    let waiting = ana.release(release).await;
    assert!(waiting.tracks.iter().all(|track| track.state() == FileState::Storing));
    bucket.proxy.restore().await;
    for (upload, _) in begun {
        ana.attached(upload.id).await;
    }
    assert_eq!(failures(&app).await, 0);
    app.expect_consistent().await;
}

#[tokio::test]
async fn j11_a_storage_outage_costs_no_job_an_attempt() {
    let bucket = Bucket::new().await;
    let uploads = if is_soak() { 1000 } else { 30 };
    let app = bucket.app(&[("VWAZA_MAX_OPEN_UPLOADS", "2000")]).await;
    let mut artists = Vec::new();
    for _ in 0..uploads / 10 {
        // One after the other, because a hundred concurrent sign-ups would be refused as too many.
        artists.push(app.artist("Ana").await);
    }
    bucket.proxy.cut();
    let cut_at = Instant::now();
    let mut begun = Vec::new();
    for ana in &artists {
        let release = ana.create_release().await;
        for number in 0..10 {
            let (upload, answer) =
                ana.upload(UploadTarget::NewTrack(release), &format!("{number}.wav"), a_sound(number)).await;
            answer.expect_status(204);
            begun.push((ana, upload));
        }
    }
    eventually("the circuit opens", async || {
        (storage(&artists[0]).await == ("degraded".into(), "open".into())).then_some(())
    })
    .await;
    // The artist reads that the file is safe and not stored yet.
    let status = artists[0].upload_status(begun[0].1.id).await;
    assert_eq!((status.state, status.status_code), (UploadState::Received, 202));
    eventually("no job is held", async || (running(&app).await == 0).then_some(())).await;
    let tried = attempts(&app).await;
    // Probes fail, and all jobs wait until one succeeds.
    let away = Duration::from_secs(if is_soak() { 600 } else { 0 });
    let (before, mut probes) = (failed_probes(&artists[0]).await, 0);
    while probes < 3 || cut_at.elapsed() < away {
        probes = eventually("a probe fails", async || {
            Some(failed_probes(&artists[0]).await - before).filter(|now| *now > probes)
        })
        .await;
    }
    assert_eq!((failures(&app).await, attempts(&app).await), (0, tried));
    bucket.proxy.restore().await;
    for (ana, upload) in begun {
        ana.attached(upload.id).await;
    }
    eventually("it is well", async || (storage(&artists[0]).await == ("ok".into(), "ok".into())).then_some(())).await;
    assert_eq!(failures(&app).await, 0);
    app.expect_consistent().await;
}

/// Two processes share one database and one bucket, each with a spool of its own. One of them dies and comes back much
/// later.
#[tokio::test]
async fn j21_bytes_of_a_dead_process_wait_for_it_and_stored_files_are_whole() {
    let bucket = Bucket::new().await;
    let mut first = bucket.app(&[("VWAZA_JOB_LEASE_SECONDS", "2")]).await;
    let database = first.database_url();
    let second = bucket.app(&[("DATABASE_URL", &database), ("VWAZA_JOB_LEASE_SECONDS", "2")]).await;
    let ana = first.artist("Ana").await;
    let elsewhere = second.signed_in_here(&ana);
    let (stored, waiting) = (ana.create_release().await, ana.create_release().await);
    let song = a_song(1);
    ana.attach(UploadTarget::NewTrack(stored), "song.wav", song.clone()).await;
    plays(&elsewhere, stored, &song).await;

    first.restart_with(&[("VWAZA_FAIL_POINTS", "upload-received=kill")]).await;
    let begun = ana.begin(UploadTarget::NewTrack(waiting), "other.wav", song.len()).await;
    // The other process knows the upload and does not touch it.
    let refused = elsewhere.patch(&begun.url, 0, song.clone()).await.expect_status(503);
    assert!(refused.header("retry-after").is_some());
    let _cut_off = ana.try_patch(&begun.url, 0, song.clone()).await;
    first.ended().await;

    plays(&elsewhere, stored, &song).await;
    sqlx::query("update spools set seen_at = now() - interval '1 minute'").execute(&first.sql).await.unwrap();
    let view = elsewhere
        .release_once(waiting, "it is said to wait", |release| {
            release.tracks[0].pending.as_ref().is_some_and(|upload| upload.message.is_some())
        })
        .await;
    assert_eq!(view.tracks[0].state(), FileState::Storing);
    // The job is due again. The other process looks for jobs, but does not claim one whose bytes only the dead process
    // holds.
    eventually("the lost job is due", async || {
        let due: bool = sqlx::query_scalar(
            "select exists (select 1 from upload_jobs where upload_id = $1 and status = 'PENDING' and run_after <= now())",
        )
        .bind(begun.id.0)
        .fetch_one(&first.sql)
        .await
        .unwrap();
        due.then_some(())
    })
    .await;
    // These jobs are due later than the lost one, so a process that claims them would have claimed that one first if it
    // could.
    idle_jobs(&first.sql, &elsewhere, 3).await;
    eventually("the other process has looked", async || (unfinished_jobs(&first.sql).await == 1).then_some(())).await;
    let claims: i32 = sqlx::query_scalar("select attempt from upload_jobs where upload_id = $1")
        .bind(begun.id.0)
        .fetch_one(&first.sql)
        .await
        .unwrap();
    assert_eq!(claims, 1);

    first.start_with(&[("VWAZA_FAIL_POINTS", "")]).await;
    elsewhere.attached(begun.id).await;
    plays(&elsewhere, waiting, &song).await;
    first.expect_consistent().await;
}

/// A file that Supabase rejects is not an outage: its job ends, and its artist is told.
#[tokio::test]
async fn a_file_that_the_bucket_rejects_is_given_up() {
    let server = SupabaseServer::start().await;
    let app = app_on_supabase(&server, &[("VWAZA_JOB_MAX_RETRIES", "2")]).await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    server.limit_size(1000);
    for song in [a_song(1), a_master(1)] {
        let (begun, answer) = ana.upload(UploadTarget::NewTrack(release), "song.wav", song).await;
        answer.expect_status(204);
        eventually("it is given up", async || {
            (ana.upload_status(begun.id).await.state == UploadState::Failed).then_some(())
        })
        .await;
    }
    assert_eq!(storage(&ana).await, ("ok".into(), "ok".into()));
    app.expect_consistent().await;
}
