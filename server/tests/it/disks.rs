//! Disks that are full, or as full as they may get.

use vwaza::domain::upload::UploadTarget;

use crate::support::{LONG_SONG_HALF, RawRequest, a_long_song, a_song, sha256, spawn_app, spawn_app_with};

/// More than any disk has free.
const EVERYTHING: (&str, &str) = ("VWAZA_SPOOL_RESERVE_MB", "1000000000000");

/// In the middle of a write, of which a half is taken; and when what was written is flushed.
#[tokio::test]
async fn u8_a_full_disk_is_told_and_keeps_what_it_has() {
    for point in ["disk-full=1*return->off", "sync-fails=1*return->off"] {
        let mut app = spawn_app().await;
        let ana = app.artist("Ana").await;
        let (release, song, other_song) = (ana.create_release().await, a_long_song(1), a_long_song(2));
        let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", song.len()).await;
        ana.patch(&begun.url, 0, song.slice(..LONG_SONG_HALF)).await.expect_status(204);
        app.restart_with(&[("VWAZA_FAIL_POINTS", point)]).await;
        // Another one is in its middle when it happens. It is not written yet: what is gathered is less than is written at once.
        let other = ana.begin(UploadTarget::NewTrack(release), "other.wav", other_song.len()).await;
        let mut writing = RawRequest::patch(&app, &ana, &other.url, 0, other_song.len()).await;
        writing.send(&other_song[..100_000]).await;
        ana.patch(&begun.url, LONG_SONG_HALF, song.slice(LONG_SONG_HALF..)).await.expect_error(507, "disk is full");
        let offset = ana.offset(&begun.url).await;
        assert!((LONG_SONG_HALF..song.len()).contains(&offset), "{offset}");
        writing.send(&other_song[100_000..]).await;
        assert_eq!(writing.status().await, 204);
        assert_eq!(ana.attached(other.id).await.sha256, Some(sha256(&other_song)));
        ana.patch(&begun.url, offset, song.slice(offset..)).await.expect_status(204);
        assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&song)));
        app.agrees().await;
    }
}

#[tokio::test]
async fn u8_a_disk_that_others_need_is_full_before_nothing_is_left() {
    let mut app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let (release, song) = (ana.create_release().await, a_long_song(1));
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", song.len()).await;
    ana.patch(&begun.url, 0, song.slice(..LONG_SONG_HALF)).await.expect_status(204);
    app.restart_with(&[EVERYTHING]).await;
    ana.patch(&begun.url, LONG_SONG_HALF, song.slice(LONG_SONG_HALF..)).await.expect_error(507, "disk is full");
    assert_eq!(ana.offset(&begun.url).await, LONG_SONG_HALF);
    let spooled = std::fs::metadata(app.only_file_in("spool/uploads")).unwrap().len();
    assert_eq!(usize::try_from(spooled).unwrap(), LONG_SONG_HALF);
    // Nothing else of the product stands still for it.
    ana.create_release().await;
    app.restart_with(&[("VWAZA_SPOOL_RESERVE_MB", "0")]).await;
    ana.patch(&begun.url, LONG_SONG_HALF, song.slice(LONG_SONG_HALF..)).await.expect_status(204);
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&song)));
    app.agrees().await;
}

/// What is less than is written at once, and what a form brings.
#[tokio::test]
async fn u8_a_disk_that_others_need_takes_no_small_file_either() {
    let mut app = spawn_app_with(&[EVERYTHING]).await;
    let ana = app.artist("Ana").await;
    let (release, song) = (ana.create_release().await, a_song(1));
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", song.len()).await;
    ana.patch(&begun.url, 0, song.slice(..1000)).await.expect_error(507, "disk is full");
    assert_eq!(ana.offset(&begun.url).await, 0);
    app.restart_with(&[("VWAZA_SPOOL_RESERVE_MB", "0")]).await;
    ana.patch(&begun.url, 0, song.clone()).await.expect_status(204);
    ana.attached(begun.id).await;
    app.agrees().await;
}
