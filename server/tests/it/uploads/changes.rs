//! Tests uploads whose session, owner, track or cover changes in the middle.

use vwaza::domain::{
    files::FileState,
    upload::{UploadState, UploadTarget},
};

use crate::support::{
    LONG_SONG_HALF, PASSWORD, RawRequest, a_cover, a_long_song, a_song, eventually, form, sha256, spawn_app,
};

#[tokio::test]
async fn u21_an_upload_goes_on_after_signing_in_again() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let email = ana.actor().await.unwrap().email;
    let song = a_song(1);
    let begun = ana.begin(UploadTarget::NewTrack(ana.create_release().await), "song.wav", song.len()).await;
    ana.patch(&begun.url, 0, song.slice(..1000)).await.expect_status(204);
    ana.call("account/sign-out", &form(&[])).await.expect_status(200);
    ana.patch(&begun.url, 1000, song.slice(1000..)).await.expect_error(401, "Sign in");
    ana.sign_in(&email, PASSWORD).await.expect_status(200);
    assert_eq!(ana.offset(&begun.url).await, 1000);
    ana.patch(&begun.url, 1000, song.slice(1000..)).await.expect_status(204);
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&song)));
    app.expect_consistent().await;
}

/// Once all bytes are received, no session is needed.
#[tokio::test]
async fn u21_a_received_file_is_attached_after_signing_out() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let email = ana.actor().await.unwrap().email;
    let release = ana.create_release().await;
    let held = app.hold_table("lock table objects in share mode").await;
    let (begun, answer) = ana.upload(UploadTarget::Cover(release), "cover.png", a_cover(1)).await;
    answer.expect_status(204);
    ana.call("account/sign-out", &form(&[])).await.expect_status(200);
    drop(held);
    eventually("it is attached", async || {
        let cover: Option<uuid::Uuid> =
            sqlx::query_scalar("select cover_id from releases").fetch_one(&app.sql).await.unwrap();
        cover
    })
    .await;
    ana.sign_in(&email, PASSWORD).await.expect_status(200);
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&a_cover(1))));
    app.expect_consistent().await;
}

#[tokio::test]
async fn u21_an_owner_disabled_in_the_middle_goes_on_once_enabled_again() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let email = ana.actor().await.unwrap().email;
    let song = a_long_song(1);
    let begun = ana.begin(UploadTarget::NewTrack(ana.create_release().await), "song.wav", song.len()).await;
    let mut patch = RawRequest::patch(&app, &ana, &begun.url, 0, LONG_SONG_HALF).await;
    patch.send(&song[..1_000_000]).await;
    sqlx::query("update users set disabled_at = now()").execute(&app.sql).await.unwrap();
    // A request that is already running may end. The next one is refused.
    patch.send(&song[1_000_000..LONG_SONG_HALF]).await;
    assert_eq!(patch.status().await, 204);
    ana.patch(&begun.url, LONG_SONG_HALF, song.slice(LONG_SONG_HALF..)).await.expect_status(401);
    assert_eq!(app.offset_reaches(0).await, LONG_SONG_HALF);
    assert_eq!(app.only_file_in("spool/uploads").metadata().unwrap().len() as usize, LONG_SONG_HALF);
    sqlx::query("update users set disabled_at = null").execute(&app.sql).await.unwrap();
    ana.sign_in(&email, PASSWORD).await.expect_status(200);
    ana.patch(&begun.url, LONG_SONG_HALF, song.slice(LONG_SONG_HALF..)).await.expect_status(204);
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&song)));
    app.expect_consistent().await;
}

#[tokio::test]
async fn u20_a_track_removed_in_the_middle_ends_its_upload() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let song = a_song(1);
    let begun = ana.begin(UploadTarget::NewTrack(ana.create_release().await), "song.wav", song.len()).await;
    ana.patch(&begun.url, 0, song.slice(..1000)).await.expect_status(204);
    ana.call_with("tracks/remove", "id", begun.track.unwrap()).await.expect_status(200);
    ana.patch(&begun.url, 1000, song.slice(1000..)).await.expect_status(410);
    assert_eq!(app.files_in("spool/uploads").len(), 0);

    // The track is removed while bytes arrive.
    let begun = ana.begin(UploadTarget::NewTrack(ana.create_release().await), "song.wav", song.len()).await;
    let mut writer = RawRequest::patch(&app, &ana, &begun.url, 0, song.len()).await;
    writer.send(&song[..1000]).await;
    ana.call_with("tracks/remove", "id", begun.track.unwrap()).await.expect_status(200);
    assert_eq!(writer.status().await, 410);
    assert_eq!(app.files_in("spool/uploads").len(), 0);
    app.expect_consistent().await;
}

#[tokio::test]
async fn u19_of_two_covers_the_newer_one_stays() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let target = UploadTarget::Cover(release);
    let (old, new) = (a_cover(1), a_cover(2));
    let first = ana.begin(target, "old.png", old.len()).await;
    ana.attach(target, "new.png", new.clone()).await;
    // The older upload ends after the newer one is attached.
    ana.patch(&first.url, 0, old).await.expect_status(204);
    let superseded = eventually("the older one is superseded", async || {
        Some(ana.upload_status(first.id).await).filter(|status| status.state != UploadState::Received)
    })
    .await;
    assert_eq!((superseded.state, superseded.status_code), (UploadState::Superseded, 409));
    assert_eq!(ana.release(release).await.cover.current.unwrap().sha256, sha256(&new));
    app.expect_consistent().await;
}

/// Both covers are received and reach their release at the same time.
#[tokio::test]
async fn u19_of_two_covers_at_once_the_newer_one_stays_and_the_other_is_reaped() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let target = UploadTarget::Cover(release);
    let (old, new) = (a_cover(1), a_cover(2));
    let (first, second) =
        (ana.begin(target, "old.png", old.len()).await, ana.begin(target, "new.png", new.len()).await);
    // Both objects are being put, and neither is attached yet.
    let held = app.hold_table("lock table objects in share mode").await;
    for (begun, cover) in [(&first, &old), (&second, &new)] {
        ana.patch(&begun.url, 0, cover.clone()).await.expect_status(204);
    }
    app.waits_for_locks(2).await;
    let release_held = app.hold_release(release).await;
    drop(held);
    eventually("both are put", async || (app.files_in("objects/covers").len() == 2).then_some(())).await;
    app.waits_for_locks(2).await;
    drop(release_held);
    assert_eq!(ana.attached(second.id).await.sha256, Some(sha256(&new)));
    // The older cover came first and was replaced, or came second and was superseded.
    eventually("the older one is through", async || {
        let state = ana.upload_status(first.id).await.state;
        matches!(state, UploadState::Attached | UploadState::Superseded).then_some(())
    })
    .await;
    let shown = ana.release_once(release, "it is examined", |release| release.cover.state() == FileState::Ready).await;
    assert_eq!(shown.cover.current.unwrap().sha256, sha256(&new));
    eventually("the other one is reaped", async || (app.files_in("objects/covers").len() == 1).then_some(())).await;
    app.expect_consistent().await;
}

/// The track is removed while its file is being stored, so the file reaches the release second.
#[tokio::test]
async fn u20_a_track_removed_while_its_file_is_stored_leaves_nothing() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", a_song(1).len()).await;
    let storing = app.hold_table("lock table objects in share mode").await;
    ana.patch(&begun.url, 0, a_song(1)).await.expect_status(204);
    app.waits_for_locks(1).await;
    let release_held = app.hold_release(release).await;
    let removing = ana.call_with("tracks/remove", "id", begun.track.unwrap());
    let (removed, ()) = tokio::join!(removing, async {
        // The job and the removal of the track both wait.
        app.waits_for_locks(2).await;
        drop(storing);
        eventually("it is put", async || (app.files_in("objects/audio").len() == 1).then_some(())).await;
        app.waits_for_locks(2).await;
        drop(release_held);
    });
    removed.expect_status(200);
    assert!(ana.release(release).await.tracks.is_empty());
    eventually("nothing of it is stored", async || app.files_in("objects/audio").is_empty().then_some(())).await;
    app.spool_is_empty().await;
    app.expect_consistent().await;
}
