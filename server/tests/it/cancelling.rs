//! DELETE answers 204 only if the upload is gone.

use std::os::unix::process::ExitStatusExt;

use http::Method;
use vwaza::domain::upload::{UploadState, UploadTarget};

use crate::support::{Gate, SIGABRT, a_cover, a_song, eventually, spawn_app};

/// Either the DELETE or the last byte reaches the release first. Both get true answers, and in the end the upload is
/// gone.
#[tokio::test]
async fn a_delete_beside_the_last_byte_ends_the_upload() {
    for delete_first in [false, true] {
        let app = spawn_app().await;
        let ana = app.artist("Ana").await;
        let (release, song) = (ana.create_release().await, a_song(1));
        let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", song.len()).await;
        let held = app.hold_release(release).await;
        let patch = async || ana.patch(&begun.url, 0, song.clone()).await.status;
        let delete = async || ana.tus(Method::DELETE, &begun.url, &[]).await.status;
        // All bytes are counted by the time the PATCH waits.
        let (patched, deleted) = if delete_first {
            let patch = async {
                app.waits_for_locks(1).await;
                patch().await
            };
            let let_go = async {
                app.waits_for_locks(2).await;
                drop(held);
            };
            let (deleted, patched, ()) = tokio::join!(delete(), patch, let_go);
            (patched, deleted)
        } else {
            let delete = async {
                app.waits_for_locks(1).await;
                delete().await
            };
            let let_go = async {
                app.waits_for_locks(2).await;
                drop(held);
            };
            let (patched, deleted, ()) = tokio::join!(patch(), delete, let_go);
            (patched, deleted)
        };
        if delete_first {
            assert_eq!((patched, deleted), (410, 204));
            assert!(app.files_in("objects/audio").is_empty());
        } else {
            assert_eq!((patched, deleted), (204, 204));
            eventually("nothing of it is stored", async || app.files_in("objects/audio").is_empty().then_some(()))
                .await;
        }
        assert_eq!(ana.upload_status(begun.id).await.state, UploadState::Cancelled);
        ana.tus(Method::HEAD, &begun.url, &[]).await.expect_status(410);
        app.spool_is_empty().await;
        app.expect_consistent().await;
    }
}

/// The bytes of an upload are removed while the file is being validated. That is not a loss, and the log reports none.
#[tokio::test]
async fn an_upload_that_is_cancelled_during_validation_is_not_reported_as_lost() {
    let mut app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let (release, cover) = (ana.create_release().await, a_cover(1));
    let begun = ana.begin(UploadTarget::Cover(release), "cover.png", cover.len()).await;
    app.restart_with(&[("VWAZA_FAIL_POINTS", "last-byte-counted=kill")]).await;
    let _cut_off = ana.try_patch(&begun.url, 0, cover).await;
    assert_eq!(app.ended().await.signal(), Some(SIGABRT));
    let hashing = Gate::new();
    app.start_with(&[("VWAZA_FAIL_POINTS", &hashing.at("hashing-again"))]).await;
    let held = hashing.reached().await;
    // DELETE waits for the request that holds the upload, but only for a limited time.
    ana.tus(Method::DELETE, &begun.url, &[]).await.expect_status(204);
    drop(held);
    eventually("the hash is done", async || app.open_spool_files().is_empty().then_some(())).await;
    app.janitor_runs_twice().await;
    assert_eq!(ana.upload_status(begun.id).await.state, UploadState::Cancelled);
    assert_eq!(app.log.events("acknowledged bytes are missing from the spool"), Vec::<serde_json::Value>::new());
    let figures = app.anonymous().get("/metrics").await.text();
    assert!(figures.contains(r#"vwaza_uploads_total{outcome="refused"} 0"#), "{figures}");
    app.expect_consistent().await;
}
