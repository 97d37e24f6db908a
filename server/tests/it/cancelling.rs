//! DELETE tells the truth: 204 for what is gone, and for nothing else.

use std::os::unix::process::ExitStatusExt;

use http::Method;
use vwaza::domain::upload::{UploadState, UploadTarget};

use crate::support::{Gate, SIGABRT, a_cover, a_song, eventually, spawn_app};

/// Whichever of the two comes to the release first, and both are told what is true: in the end it is gone.
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
        // All bytes are counted by the time the last one of them waits.
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

/// Its bytes go while they are being judged: that is no loss, and nobody is alarmed.
#[tokio::test]
async fn an_upload_that_is_given_up_while_it_is_validated_is_not_called_lost() {
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
    // DELETE waits for whoever has the upload, but not for ever.
    ana.tus(Method::DELETE, &begun.url, &[]).await.expect_status(204);
    drop(held);
    eventually("the hash is done", async || app.open_spool_files().is_empty().then_some(())).await;
    app.janitor_runs_twice().await;
    assert_eq!(ana.upload_status(begun.id).await.state, UploadState::Cancelled);
    assert_eq!(app.log.events("acknowledged bytes are missing from the spool"), Vec::<serde_json::Value>::new());
    let figures = app.anonymous().get("/metrics").await.text();
    assert!(!figures.contains(r#"outcome="refused""#), "{figures}");
    app.expect_consistent().await;
}
