//! No job or release waits for ever for something that never comes, and fsck reports what does.

use testing::supabase_server::SupabaseServer;
use vwaza::domain::{
    files::FileState,
    release::ReleaseStatus,
    upload::{UploadState, UploadTarget},
};

use crate::support::{App, a_cover, a_song, app_on_supabase, eventually, spawn_app, spawn_app_with};

/// Runs fsck. Returns its output, and whether it succeeded.
fn fsck(app: &App, options: &[&str]) -> (String, bool) {
    let output = app.run(&[&["fsck"], options].concat(), "");
    (String::from_utf8(output.stdout).unwrap(), output.status.success())
}

#[tokio::test]
async fn a_cover_that_was_begun_and_superseded_does_not_keep_its_release_from_being_approved() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let id = ana.create_release().await;
    let begun = ana.begin(UploadTarget::Cover(id), "first.png", 1000).await;
    ana.patch(&begun.url, 0, vec![0; 400]).await.expect_status(204);
    ana.save_details(id, &crate::support::complete_details()).await.expect_status(200);
    ana.attach(UploadTarget::Cover(id), "second.png", a_cover(1)).await;
    ana.attach(UploadTarget::NewTrack(id), "song.wav", a_song(1)).await;
    ana.submit(id).await.expect_status(200);
    let release = ana.release_when(id, ReleaseStatus::PendingReview).await;
    admin.approve(id, release.version).await.expect_status(200);
}

#[tokio::test]
async fn a_superseded_upload_on_a_spool_that_is_away_is_given_up() {
    let mut app = spawn_app_with(&[("VWAZA_JOB_LEASE_SECONDS", "3"), ("VWAZA_ORPHAN_GRACE_SECONDS", "2")]).await;
    let ana = app.artist("Ana").await;
    let id = ana.create_release().await;
    let held = app.hold_table("lock table objects in share mode").await;
    let (first, answer) = ana.upload(UploadTarget::Cover(id), "first.png", a_cover(1)).await;
    answer.expect_status(204);
    app.kill();
    // The process is gone for good, as other processes see it.
    sqlx::raw_sql(
        "update uploads set spool_id = gen_random_uuid();
         update upload_jobs set spool_id = gen_random_uuid(), status = 'PENDING', lease_owner = null, lease_expires_at = null",
    )
    .execute(&app.sql)
    .await
    .unwrap();
    drop(held);
    app.start().await;
    ana.attach(UploadTarget::Cover(id), "second.png", a_cover(2)).await;
    eventually("it is given up", async || {
        let outcome: (String, Option<String>) =
            sqlx::query_as("select status::text, outcome from upload_jobs where upload_id = $1")
                .bind(first.id)
                .fetch_one(&app.sql)
                .await
                .unwrap();
        (outcome == ("COMPLETED".into(), Some("superseded".into()))).then_some(())
    })
    .await;
    assert_eq!(ana.upload_status(first.id).await.state, UploadState::Superseded);
}

/// The bucket has the row of an object but not its file. While no other object is read, that may be the bucket's fault,
/// and no failure is counted. Once another job has read its own object meanwhile, it is this object's fault.
#[tokio::test]
async fn an_unreadable_object_fails_its_own_job_and_no_other() {
    let server = SupabaseServer::start().await;
    // Nothing is examined before the restart.
    let settings = [("VWAZA_WORKER_CONCURRENCY", "0"), ("VWAZA_JOB_MAX_RETRIES", "1")];
    let mut app = app_on_supabase(&server, &settings).await;
    let (ana, ben) = (app.artist("Ana").await, app.artist("Ben").await);
    let (anas, bens) = (ana.create_release().await, ben.create_release().await);
    ana.attach(UploadTarget::Cover(anas), "cover.png", a_cover(1)).await;
    server.lose_file(&server.objects()[0]);
    app.restart_with(&[("VWAZA_WORKER_CONCURRENCY", "4")]).await;
    eventually("it is tried in vain, and put off", async || {
        let put_off = sqlx::query(
            "update upload_jobs set run_after = now() + interval '1 hour'
             where kind = 'EXAMINE' and status = 'PENDING' and attempt > 0 and retry_count = 0",
        );
        (put_off.execute(&app.sql).await.unwrap().rows_affected() == 1).then_some(())
    })
    .await;

    // Ben's job is about to put its object and to read it back. Ana's job waits until it ends, as a poison job must run
    // alone.
    let held = app.hold_table("lock table objects in share mode").await;
    let (begun, answer) = ben.upload(UploadTarget::Cover(bens), "cover.png", a_cover(2)).await;
    answer.expect_status(204);
    app.waits_for_locks_of("insert into objects%", 1).await;
    sqlx::query("update upload_jobs set expired_leases = 2, run_after = now() where status = 'PENDING'")
        .execute(&app.sql)
        .await
        .unwrap();
    let anas_job = async || -> (String, i32) {
        let query = sqlx::query_as(
            "select status::text, retry_count from upload_jobs where kind = 'EXAMINE' and release_id = $1",
        );
        query.bind(anas.0).fetch_one(&app.sql).await.unwrap()
    };
    eventually("Ana's job is claimed", async || (anas_job().await == ("UPLOADING".into(), 0)).then_some(())).await;
    drop(held);
    eventually("it is given up", async || (anas_job().await == ("FAILED".into(), 1)).then_some(())).await;
    ben.attached(begun.id).await;
    ben.release_once(bens, "it is examined", |release| release.cover.state() == FileState::Ready).await;
    assert_eq!(ana.release(anas).await.cover.state(), FileState::Failed);
    let query = sqlx::query_scalar("select sum(retry_count) from upload_jobs where release_id = $1");
    let failures: i64 = query.bind(bens.0).fetch_one(&app.sql).await.unwrap();
    assert_eq!(failures, 0);
    let health: serde_json::Value = app.anonymous().get("/health").await.ok();
    assert_eq!(health["storage"], "ok");
}

#[tokio::test]
async fn a_stored_file_that_no_job_examines_is_found_and_queued_again() {
    let mut app = spawn_app_with(&[("VWAZA_WORKER_CONCURRENCY", "0")]).await;
    let ana = app.artist("Ana").await;
    let id = ana.complete_release().await;
    ana.submit(id).await.expect_status(200);
    sqlx::query("delete from upload_jobs where kind = 'EXAMINE'").execute(&app.sql).await.unwrap();
    let (report, expect_consistent) = fsck(&app, &[]);
    assert!(!expect_consistent && report.matches("no job examines it").count() == 2, "{report}");
    let (report, expect_consistent) = fsck(&app, &["--repair"]);
    assert!(expect_consistent, "{report}");
    app.restart_with(&[("VWAZA_WORKER_CONCURRENCY", "4")]).await;
    ana.release_when(id, ReleaseStatus::PendingReview).await;
}

#[tokio::test]
async fn an_unknown_object_with_an_odd_name_is_reported_as_removed_only_if_it_is() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    ana.attach(UploadTarget::Cover(ana.create_release().await), "cover.png", a_cover(1)).await;
    let odd = app.data_dir().join("objects/covers/a#b");
    std::fs::write(&odd, "whose?").unwrap();
    let (report, expect_consistent) = fsck(&app, &["--repair"]);
    assert!(expect_consistent && report.contains("repaired: unknown object covers/a#b"), "{report}");
    assert!(!odd.exists());
    app.expect_consistent().await;
}

#[tokio::test]
async fn acknowledged_bytes_that_changed_in_the_spool_are_found() {
    let mut app = spawn_app_with(&[("VWAZA_JOB_LEASE_SECONDS", "60")]).await;
    let ana = app.artist("Ana").await;
    let id = ana.create_release().await;
    let held = app.hold_table("lock table objects in share mode").await;
    let (begun, answer) = ana.upload(UploadTarget::Cover(id), "cover.png", a_cover(1)).await;
    answer.expect_status(204);
    app.kill();
    drop(held);
    let path = app.data_dir().join(format!("spool/uploads/{}", begun.id));
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (report, expect_consistent) = fsck(&app, &[]);
    assert!(!expect_consistent && report.contains(&format!("missing bytes of upload {}", begun.id)), "{report}");
}

#[tokio::test]
async fn an_intent_without_an_object_in_the_storage_is_not_damage() {
    let app = spawn_app_with(&[("VWAZA_ORPHAN_GRACE_SECONDS", "600")]).await;
    let ana = app.artist("Ana").await;
    ana.attach(UploadTarget::Cover(ana.create_release().await), "cover.png", a_cover(1)).await;
    sqlx::query(
        "insert into objects (id, key, role, upload_id, size_bytes, sha256, content_type, created_at)
         select gen_random_uuid(), 'covers/never-put', 'COVER', id, 1, '', '', 'epoch' from uploads",
    )
    .execute(&app.sql)
    .await
    .unwrap();
    let (report, expect_consistent) = fsck(&app, &[]);
    assert!(expect_consistent, "{report}");
}
