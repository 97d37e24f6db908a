//! Tests how an upload ends before its file is attached: it is cancelled, expires or is terminated.

use http::Method;
use vwaza::domain::{
    release::ReleaseStatus,
    upload::{UploadState, UploadTarget},
};

use super::create;
use crate::support::{TestResponse, a_cover, a_song, eventually, spawn_app, spawn_app_with};

#[tokio::test]
async fn a_cancelled_upload_is_gone() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    for through_tus in [true, false] {
        let begun = ana.begin(UploadTarget::Cover(release), "cover.png", 1000).await;
        ana.patch(&begun.url, 0, vec![1; 400]).await.expect_status(204);
        assert_eq!(app.files_in("spool/uploads").len(), 1);
        if through_tus {
            ana.tus(Method::DELETE, &begun.url, &[]).await.expect_status(204);
        } else {
            ana.call_with("upload/cancel", "id", begun.id).await.expect_status(200);
        }
        assert_eq!(app.files_in("spool/uploads").len(), 0);
        ana.tus(Method::HEAD, &begun.url, &[]).await.expect_status(410);
        ana.patch(&begun.url, 400, vec![1; 600]).await.expect_error(410, "has ended");
        ana.tus(Method::DELETE, &begun.url, &[]).await.expect_status(410);
        ana.call_with("upload/cancel", "id", begun.id).await.expect_status(200);
        assert_eq!(ana.release(release).await.cover.pending, None);
    }
    ana.attach(UploadTarget::Cover(release), "cover.png", a_cover(1)).await;
}

#[tokio::test]
async fn an_abandoned_upload_has_expired() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let target = UploadTarget::Cover(release);
    let old = ana.begin(target, "cover.png", 1000).await;
    ana.patch(&old.url, 0, vec![1; 400]).await.expect_status(204);
    sqlx::query("update uploads set expires_at = now() - interval '1 second'").execute(&app.sql).await.unwrap();
    ana.tus(Method::HEAD, &old.url, &[]).await.expect_status(410);
    ana.patch(&old.url, 400, vec![1; 600]).await.expect_error(410, "has ended");
    assert_eq!(ana.upload_status(old.id).await.status_code, 410);
    assert_eq!(ana.release(release).await.cover.pending, None);
    let new = ana.begin(target, "cover.png", 1000).await;
    assert_ne!(new.id, old.id);
    assert_eq!(ana.offset(&new.url).await, 0);
}

/// The file is terminated once while it waits to be stored, and once when it is stored.
#[tokio::test]
async fn a_received_file_can_be_terminated_while_its_release_is_a_draft() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let (target, cover) = (UploadTarget::Cover(release), a_cover(1));
    for is_stored in [false, true] {
        let held = app.hold_table("lock table objects in share mode").await;
        let (begun, answer) = ana.upload(target, "cover.png", cover.clone()).await;
        answer.expect_status(204);
        // Nothing can be added to a received upload.
        ana.patch(&begun.url, 0, vec![0; 10]).await.expect_error(409, "continues at byte");
        // The page's own functions replace and remove a received file.
        ana.call_with("upload/cancel", "id", begun.id).await.expect_error(409, "arrived already");
        if is_stored {
            drop(held);
            ana.attached(begun.id).await;
            ana.tus(Method::DELETE, &begun.url, &[]).await.expect_status(204);
        } else {
            // The job is about to put the object.
            app.waits_for_locks(1).await;
            let delete = ana.tus(Method::DELETE, &begun.url, &[]);
            let let_go = async {
                app.waits_for_locks(1).await;
                drop(held);
            };
            tokio::join!(delete, let_go).0.expect_status(204);
        }
        ana.tus(Method::HEAD, &begun.url, &[]).await.expect_status(410);
        ana.patch(&begun.url, cover.len(), Vec::new()).await.expect_status(410);
        ana.tus(Method::DELETE, &begun.url, &[]).await.expect_status(410);
        assert_eq!(ana.upload_status(begun.id).await.state, UploadState::Cancelled);
        let shown = ana.release(release).await.cover;
        assert_eq!((shown.current, shown.pending), (None, None));
        eventually("nothing of it is stored", async || app.files_in("objects/covers").is_empty().then_some(())).await;
        app.spool_is_empty().await;
        app.expect_consistent().await;
    }
    let dead: i64 = sqlx::query_scalar("select count(*) from upload_jobs where status = 'FAILED'")
        .fetch_one(&app.sql)
        .await
        .unwrap();
    assert_eq!(dead, 0);
    ana.attach(target, "cover.png", cover).await;
}

#[tokio::test]
async fn a_file_that_waits_to_be_stored_is_terminated_with_its_job() {
    // Nothing is stored, because the server does not poll for jobs.
    let app = spawn_app_with(&[("VWAZA_JOB_POLL_MS", "60000")]).await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let held = app.hold_table("lock table objects in share mode").await;
    let (begun, answer) = ana.upload(UploadTarget::NewTrack(release), "song.wav", a_song(1)).await;
    answer.expect_status(204);
    let postponed = sqlx::query(
        "update upload_jobs set status = 'PENDING', lease_owner = null, lease_expires_at = null, attempt = attempt + 1,
                run_after = now() + interval '1 hour'",
    );
    postponed.execute(&app.sql).await.unwrap();
    drop(held);
    ana.tus(Method::DELETE, &begun.url, &[]).await.expect_status(204);
    let job: (String, Option<String>) =
        sqlx::query_as("select status::text, outcome from upload_jobs").fetch_one(&app.sql).await.unwrap();
    assert_eq!(job, ("COMPLETED".into(), Some("superseded".into())));
    assert!(app.files_in("spool/uploads").is_empty());
    app.expect_consistent().await;
}

#[tokio::test]
async fn a_submitted_file_is_not_terminated() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.complete_release().await;
    let remaster = ana.attach(UploadTarget::Cover(release), "cover.png", a_cover(2)).await;
    ana.submit(release).await.expect_status(200);
    let before = ana.release_when(release, ReleaseStatus::PendingReview).await;
    let refused = ana.tus(Method::DELETE, &remaster.url, &[]).await.expect_error(409, "submitted");
    assert_eq!(refused.header("upload-offset"), Some(a_cover(2).len().to_string().as_str()));
    assert_eq!(ana.release(release).await, before);
    ana.tus(Method::HEAD, &remaster.url, &[]).await.expect_status(200);
    ana.call_with("releases/withdraw", "id", release).await.expect_status(200);
    ana.tus(Method::DELETE, &remaster.url, &[]).await.expect_status(204);
    assert_eq!(ana.release(release).await.cover.current, None);
    app.expect_consistent().await;
}

/// Returns the seconds until an upload expires, as the response says.
fn expires_in(answer: &TestResponse) -> i64 {
    let at = httpdate::parse_http_date(answer.header("upload-expires").unwrap()).unwrap();
    at.duration_since(std::time::SystemTime::now()).unwrap().as_secs().cast_signed()
}

#[tokio::test]
async fn an_upload_says_until_when_it_is_kept() {
    let app = spawn_app_with(&[("VWAZA_UPLOAD_EXPIRY_HOURS", "2")]).await;
    let ana = app.artist("Ana").await;
    let created = create(&ana, &format!("new-track:{}", ana.create_release().await), "1000").await.expect_status(201);
    let url = created.header("location").unwrap();
    // Makes the upload look as if it was created an hour earlier.
    sqlx::query("update uploads set expires_at = now() + interval '1 hour'").execute(&app.sql).await.unwrap();
    let head = ana.tus(Method::HEAD, url, &[]).await.expect_status(200);
    let patched = ana.patch(url, 0, vec![0; 10]).await.expect_status(204);
    for (answer, hours) in [(&created, 2), (&head, 1), (&patched, 2)] {
        let seconds = expires_in(answer);
        assert!((hours * 3600 - 120..=hours * 3600).contains(&seconds), "{hours}: {seconds}");
    }
    sqlx::query("update uploads set expires_at = now() - interval '1 second'").execute(&app.sql).await.unwrap();
    ana.tus(Method::HEAD, url, &[]).await.expect_status(410);
    ana.patch(url, 10, vec![0; 10]).await.expect_status(410);
}
