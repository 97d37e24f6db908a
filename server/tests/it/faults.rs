//! Rows of the fault matrix that need a special setup: lost replies, files that wait, owners that are disabled.

use uuid::Uuid;
use vwaza::domain::{
    queue_page::QueueOverview,
    release::ReleaseStatus,
    upload::{UploadState, UploadTarget},
};

use crate::support::{App, a_cover, a_song, all_jobs_end, eventually, sha256, spawn_app, spawn_app_with};

#[tokio::test]
async fn u21_a_file_of_a_disabled_owner_is_kept_and_attached_once_they_are_enabled() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let release = ana.create_release().await;
    let held = app.hold_table("lock table objects in share mode").await;
    let (begun, answer) = ana.upload(UploadTarget::Cover(release), "cover.png", a_cover(1)).await;
    answer.expect_status(204);
    // The job has found its owner enabled and puts the file. The owner is disabled before the job attaches it.
    app.waits_for_locks_of("insert into objects%", 1).await;
    let release_held = app.hold_release(release).await;
    drop(held);
    eventually("the file is put", async || (app.files_in("objects/covers").len() == 1).then_some(())).await;
    sqlx::query("update users set disabled_at = now() where role = 'ARTIST'").execute(&app.sql).await.unwrap();
    drop(release_held);
    let letter = eventually("its job is given up", async || {
        admin.call_with("queue/view", "letters", "").await.ok::<QueueOverview>().dead_letters.rows.pop()
    })
    .await;
    let state: (String, Option<Uuid>) =
        sqlx::query_as("select u.state::text, r.cover_id from uploads u join releases r on r.id = u.release_id")
            .fetch_one(&app.sql)
            .await
            .unwrap();
    assert_eq!(state, ("FAILED".into(), None));
    app.expect_consistent().await;
    eventually("what was put is gone", async || app.files_in("objects/covers").is_empty().then_some(())).await;
    sqlx::query("update users set disabled_at = null").execute(&app.sql).await.unwrap();
    admin.call_with("queue/retry", "id", letter.id).await.expect_status(200);
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&a_cover(1))));
    app.expect_consistent().await;
}

/// Cover A waits in the queue while cover B, begun later, is stored. The janitor would cancel A, but runs only once a
/// minute.
#[tokio::test]
async fn u29_a_file_that_waited_does_not_replace_a_newer_one() {
    let settings = [("VWAZA_FAIL_POINTS", "upload-received=kill"), ("VWAZA_ORPHAN_GRACE_SECONDS", "900")];
    let mut app = spawn_app_with(&settings).await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let a = ana.begin(UploadTarget::Cover(release), "a.png", a_cover(1).len()).await;
    // The process is killed right after A is received. A's job waits for a lease that does not end.
    let _cut_off = ana.try_patch(&a.url, 0, a_cover(1)).await;
    app.ended().await;
    let of_a = "update upload_jobs set lease_expires_at = now() + interval '1 hour'";
    sqlx::query(of_a).execute(&app.sql).await.unwrap();
    app.start_with(&[("VWAZA_FAIL_POINTS", "")]).await;
    ana.attach(UploadTarget::Cover(release), "b.png", a_cover(2)).await;
    sqlx::query(
        "update upload_jobs set status = 'PENDING', lease_owner = null, lease_expires_at = null where upload_id = $1",
    )
    .bind(a.id.0)
    .execute(&app.sql)
    .await
    .unwrap();
    all_jobs_end(&app.sql).await;
    // The second attempt of the job found A superseded; nobody else did.
    let query = sqlx::query_as("select attempt, status::text, outcome from upload_jobs where upload_id = $1");
    let ended: (i32, String, Option<String>) = query.bind(a.id.0).fetch_one(&app.sql).await.unwrap();
    assert_eq!(ended, (2, "COMPLETED".into(), Some("superseded".into())));
    let cover = ana.release(release).await.cover.current.unwrap();
    assert_eq!(cover.sha256, sha256(&a_cover(2)));
    assert_eq!(ana.upload_status(a.id).await.state, UploadState::Superseded);
    app.spool_is_empty().await;
    app.restart_with(&[("VWAZA_ORPHAN_GRACE_SECONDS", "1")]).await;
    app.expect_consistent().await;
}

/// The transaction that attaches the file is committed, but the process's connection breaks before the reply.
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
    // No object is young enough to be spared for its age.
    sqlx::query("update objects set created_at = now() - interval '1 hour'").execute(&app.sql).await.unwrap();
    app.janitor_runs_twice().await;
    let rows: i64 = sqlx::query_scalar("select count(*) from objects").fetch_one(&app.sql).await.unwrap();
    assert_eq!((rows, app.files_in("objects/audio").len()), (1, 1));
    let object = ana.release(release).await.tracks[0].audio.clone().unwrap().object;
    assert_eq!(ana.get(&format!("/media/original/{object}")).await.body, song);
    app.expect_consistent().await;
}

/// The transaction that receives the file is committed, but neither the client nor the worker is told.
#[tokio::test]
async fn u12_an_upload_whose_receipt_is_lost_is_stored() {
    let (mut app, proxy) = App::behind_a_proxy().await;
    app.restart_with(&[("VWAZA_JOB_LEASE_SECONDS", "2")]).await;
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
    app.janitor_runs_twice().await;
    let stored: i64 =
        sqlx::query_scalar("select count(*) from upload_jobs where kind = 'STORE'").fetch_one(&app.sql).await.unwrap();
    assert_eq!((stored, app.files_in("objects/audio").len()), (1, 1));
    app.expect_consistent().await;
}

#[tokio::test]
async fn a5_a_release_with_a_file_on_its_way_is_not_approved() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let release = ana.release_in_review().await;
    // The product has no way to reach this state. The test makes it by hand: the verdict waits for the release while a
    // file becomes unfinished.
    let mut held = app.hold_release(release.id).await;
    let (verdict, ()) = tokio::join!(admin.approve(release.id, release.version), async {
        app.waits_for_locks(1).await;
        let received = sqlx::query("update uploads set state = 'RECEIVED' where kind = 'AUDIO'");
        received.execute(&mut *held).await.unwrap();
        held.commit().await.unwrap();
    });
    verdict.expect_error(409, "not ready yet");
    assert_eq!(ana.release(release.id).await.status, ReleaseStatus::PendingReview);
    sqlx::query("update uploads set state = 'ATTACHED' where kind = 'AUDIO'").execute(&app.sql).await.unwrap();
    app.expect_consistent().await;
}
