//! Uploads as artists experience them.

mod changes;
mod limits;
mod titles;

use vwaza::domain::upload::{UploadState, UploadTarget};

use crate::support::{a_cover, a_song, sha256, spawn_app};

#[tokio::test]
async fn beginning_the_same_upload_again_finds_it() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let target = UploadTarget::NewTrack(release);
    let begin = async || ana.begin(target, "song.wav", 1000).await;
    let (one, two) = app.at_once(release, begin(), begin()).await;
    assert_eq!((one.id, one.track, &one.url), (two.id, two.track, &two.url));
    ana.patch(&one.url, 0, vec![1; 300]).await.expect_status(204);
    let again = ana.begin(target, "song.wav", 1000).await;
    assert_eq!((again.id, again.offset), (one.id, 300));
    assert_ne!(ana.begin(target, "song.wav", 1001).await.id, one.id);
    assert_ne!(ana.begin(target, "other.wav", 1000).await.id, one.id);
    assert_eq!(ana.release(release).await.tracks.len(), 3);
    app.expect_consistent().await;
}

#[tokio::test]
async fn upload_complete_returns_how_far_an_upload_is() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let song = a_song(1);
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", song.len()).await;
    let status = ana.upload_status(begun.id).await;
    assert_eq!((status.state, status.status_code), (UploadState::Receiving, 202));
    ana.patch(&begun.url, 0, song.clone()).await.expect_status(204);
    let status = ana.attached(begun.id).await;
    assert_eq!((status.state, status.sha256), (UploadState::Attached, Some(sha256(&song))));
    app.spool_is_empty().await;
}

#[tokio::test]
async fn a_file_whose_storing_takes_long_is_shown_as_safe() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let held = app.hold_table("lock table objects in share mode").await;
    let (begun, answer) = ana.upload(UploadTarget::Cover(release), "cover.png", a_cover(1)).await;
    answer.expect_status(204);
    let status = ana.upload_status(begun.id).await;
    assert_eq!((status.state, status.status_code), (UploadState::Received, 202));
    assert!(status.message.contains("Safe with us"), "{}", status.message);
    drop(held);
    ana.attached(begun.id).await;
}
