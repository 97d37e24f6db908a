//! Uploads that nobody goes on with: until when they are kept, and which of them are never given up.

use std::os::unix::process::ExitStatusExt;

use vwaza::domain::upload::{UploadState, UploadTarget};

use crate::support::{
    App, Bucket, Client, LONG_SONG_HALF, RawRequest, SIGABRT, a_long_song, a_song, eventually, sha256, spawn_app,
};

/// Two of two rounds of the janitor: one upload expires beside the other, which is being written.
#[tokio::test]
async fn u22_an_upload_that_is_being_written_does_not_expire() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let (release, song) = (ana.create_release().await, a_long_song(1));
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", song.len()).await;
    let marker = ana.begin(UploadTarget::NewTrack(release), "marker.wav", 1000).await;
    sqlx::query("update uploads set expires_at = now() + interval '2 seconds'").execute(&app.sql).await.unwrap();
    let mut writing = RawRequest::patch(&app, &ana, &begun.url, 0, song.len()).await;
    writing.send(&song[..LONG_SONG_HALF]).await;
    eventually("the other one has expired", async || {
        (ana.upload_status(marker.id).await.state == UploadState::Expired).then_some(())
    })
    .await;
    writing.send(&song[LONG_SONG_HALF..]).await;
    assert_eq!(writing.status().await, 204);
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&song)));
    app.agrees().await;
}

async fn state_of(client: &Client, id: vwaza::domain::ids::UploadId) -> UploadState {
    client.upload_status(id).await.state
}

/// A process is gone for longer than uploads are kept. Another one puts away what was not whole, and nothing that was.
#[tokio::test]
async fn what_is_whole_on_a_spool_that_is_away_waits_for_it_and_what_is_not_expires() {
    let bucket = Bucket::new().await;
    let mut first = bucket.app(&[]).await;
    let ana = first.artist("Ana").await;
    let (release, song) = (ana.create_release().await, a_song(1));
    let half = ana.begin(UploadTarget::NewTrack(release), "half.wav", song.len()).await;
    ana.patch(&half.url, 0, song.slice(..100_000)).await.expect_status(204);
    first.restart_with(&[("VWAZA_FAIL_POINTS", "last-byte-counted=kill")]).await;
    let whole = ana.begin(UploadTarget::NewTrack(release), "whole.wav", song.len()).await;
    let _cut_off = ana.try_patch(&whole.url, 0, song.clone()).await;
    assert_eq!(first.ended().await.signal(), Some(SIGABRT));
    sqlx::raw_sql(
        "update uploads set expires_at = now() - interval '1 hour';
         update spools set seen_at = now() - interval '1 day'",
    )
    .execute(&first.sql)
    .await
    .unwrap();

    let second: App = bucket.app(&[("DATABASE_URL", &first.database_url())]).await;
    let there = second.same_person(&ana);
    eventually("what was not whole has expired", async || {
        (state_of(&there, half.id).await == UploadState::Expired).then_some(())
    })
    .await;
    // One statement judges both.
    assert_eq!(state_of(&there, whole.id).await, UploadState::Receiving);

    first.start_with(&[("VWAZA_FAIL_POINTS", "")]).await;
    assert_eq!(there.attached(whole.id).await.sha256, Some(sha256(&song)));
    eventually("no bytes are left", async || first.files_in("spool/uploads").is_empty().then_some(())).await;
    first.agrees().await;
}
