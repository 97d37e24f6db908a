//! Each upload has one writer. A client that asks meanwhile gets the true offset, and nobody else can write.

use std::time::{Duration, Instant};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::Method;
use reqwest::multipart::{Form, Part};
use sha2::{Digest, Sha256};
use uuid::Uuid;
use vwaza::domain::upload::UploadTarget;

use crate::support::{App, Gate, LONG_SONG_HALF, RawRequest, a_long_song, a_song, assert_in_time, sha256, spawn_app};

#[tokio::test]
async fn u4_a_dropped_connection_keeps_what_has_arrived() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let song = a_song(1);
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", song.len()).await;
    let mut patch = RawRequest::patch(&app, &ana, &begun.url, 0, song.len()).await;
    patch.send(&song[..200_000]).await;
    patch.drop_connection().await;
    assert_eq!(app.offset_reaches(200_000).await, 200_000);
    let asked = Instant::now();
    assert_eq!(ana.offset(&begun.url).await, 200_000);
    assert_in_time(asked, Duration::from_secs(2));
    ana.patch(&begun.url, 200_000, song.slice(200_000..)).await.expect_status(204);
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&song)));
    app.expect_consistent().await;
}

/// A reset loses what the server has not read yet. The bytes on its disk are counted.
#[tokio::test]
async fn u4_a_connection_that_is_reset_keeps_what_has_arrived() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let (release, song) = (ana.create_release().await, a_long_song(1));
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", song.len()).await;
    let mut patch = RawRequest::patch(&app, &ana, &begun.url, 0, song.len()).await;
    patch.send(&song[..LONG_SONG_HALF]).await;
    let arrived = app.spooled_beyond(0).await;
    patch.reset();
    let offset = app.offset_reaches(arrived).await;
    assert!(offset <= LONG_SONG_HALF, "{offset}");
    // The upload is free without another request.
    ana.patch(&begun.url, offset, song.slice(offset..)).await.expect_status(204);
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&song)));
    app.expect_consistent().await;
}

/// The connection is dead without a sign, and nobody else asks for the upload. The server notices by itself.
#[tokio::test]
async fn u4_a_client_that_stops_sending_is_told_and_its_upload_is_freed() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let (release, song) = (ana.create_release().await, a_long_song(1));
    let checksum = format!("Upload-Checksum: sha256 {}", BASE64_STANDARD.encode(Sha256::digest(&song)));
    let checked = [checksum.as_str()];
    let silence = async |name: &str, headers: &[&str], kept: usize| {
        let begun = ana.begin(UploadTarget::NewTrack(release), name, song.len()).await;
        let mut silent = RawRequest::patch_with(&app, &ana, &begun.url, 0, song.len(), headers).await;
        silent.send(&song[..LONG_SONG_HALF]).await;
        let sent = Instant::now();
        assert_eq!(silent.status().await, 503);
        assert_in_time(sent, Duration::from_secs(60));
        let query = sqlx::query_scalar("select offset_bytes from uploads where id = $1").bind(begun.id.0);
        let counted: i64 = query.fetch_one(&app.sql).await.unwrap();
        let spooled = app.data_dir().join(format!("spool/uploads/{}", begun.id)).metadata().unwrap().len();
        assert_eq!((counted as usize, spooled as usize), (kept, kept), "{name}");
        ana.patch(&begun.url, kept, song.slice(kept..)).await.expect_status(204);
        assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&song)));
    };
    // Nothing is kept of a chunk whose checksum can no longer be checked.
    tokio::join!(silence("plain.wav", &[], LONG_SONG_HALF), silence("checked.wav", &checked, 0));
    app.expect_consistent().await;
}

#[tokio::test]
async fn u6_an_idle_connection_does_not_block_its_upload() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let song = a_long_song(1);
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", song.len()).await;
    let mut silent = RawRequest::patch(&app, &ana, &begun.url, 0, song.len()).await;
    silent.send(&song[..LONG_SONG_HALF]).await;
    let arrived = app.spooled_beyond(0).await;
    // The client has moved to another network. It asks for the offset and goes on from there.
    let asked = Instant::now();
    let offset = ana.offset(&begun.url).await;
    assert_in_time(asked, Duration::from_secs(2));
    assert!((arrived..=LONG_SONG_HALF).contains(&offset), "{offset}");
    ana.patch(&begun.url, offset, song.slice(offset..)).await.expect_status(204);
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&song)));
    app.expect_consistent().await;
}

#[tokio::test]
async fn u5_one_of_two_writers_at_one_offset_wins() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let songs = [a_song(1), a_song(2)];
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", songs[0].len()).await;
    // Neither request can read the upload before both wait for it.
    let held = app.hold_table("lock table uploads in access exclusive mode").await;
    let let_go = async {
        app.waits_for_locks_of("%from uploads where id = $1 and owner_id = $2%", 2).await;
        drop(held);
    };
    let write = async |song: &bytes::Bytes| ana.patch(&begun.url, 0, song.slice(..100_000)).await.status;
    let (one, two, ()) = tokio::join!(write(&songs[0]), write(&songs[1]), let_go);
    let song = match (one, two) {
        (204, 409 | 423) => &songs[0],
        (409 | 423, 204) => &songs[1],
        statuses => panic!("{statuses:?}"),
    };
    assert_eq!(std::fs::read(app.only_file_in("spool/uploads")).unwrap(), song[..100_000], "the winner's bytes");

    // While one request is writing, no other may write.
    let mut writer = RawRequest::patch(&app, &ana, &begun.url, 100_000, song.len() - 100_000).await;
    writer.send(&song[100_000..200_000]).await;
    ana.patch(&begun.url, 100_000, Vec::new()).await.expect_error(423, "right now");
    writer.send(&song[200_000..]).await;
    assert_eq!(writer.status().await, 204);
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(song)));
    app.expect_consistent().await;
}

/// After a restart, the server hashes the received bytes again, which takes long for a large file. The client's
/// connection drops meanwhile.
#[tokio::test]
async fn u6_an_upload_that_is_being_hashed_again_tells_its_offset_and_goes_on() {
    let mut app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let song = a_long_song(1);
    let begun = ana.begin(UploadTarget::NewTrack(ana.create_release().await), "song.wav", song.len()).await;
    ana.patch(&begun.url, 0, song.slice(..LONG_SONG_HALF)).await.expect_status(204);
    let hashing = Gate::new();
    app.restart_with(&[("VWAZA_FAIL_POINTS", &hashing.at("hashing-again"))]).await;
    let rest = song.len() - LONG_SONG_HALF;
    RawRequest::patch(&app, &ana, &begun.url, LONG_SONG_HALF, rest).await.reset();
    let held = hashing.reached().await;
    // The hashing request still holds the upload, so another PATCH is refused.
    ana.patch(&begun.url, LONG_SONG_HALF, song.slice(LONG_SONG_HALF..)).await.expect_error(423, "right now");
    let asked = Instant::now();
    let offset = ana.offset(&begun.url).await;
    assert_in_time(asked, Duration::from_secs(2));
    assert_eq!(offset, LONG_SONG_HALF);
    // The rest is being sent when the hashing goes on.
    let (rest, ()) = tokio::join!(ana.patch(&begun.url, offset, song.slice(offset..)), async { drop(held) });
    rest.expect_status(204);
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&song)));
    app.expect_consistent().await;
}

async fn counted(app: &App) -> i64 {
    sqlx::query_scalar("select offset_bytes from uploads").fetch_one(&app.sql).await.unwrap()
}

/// The connection of a writer that lost the upload comes back to life. Its late write must not change what a later
/// writer has recorded.
#[tokio::test]
async fn u18_an_offset_of_an_earlier_writer_is_not_recorded() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let song = a_long_song(1);
    let begun = ana.begin(UploadTarget::NewTrack(ana.create_release().await), "song.wav", song.len()).await;
    let mut patch = RawRequest::patch(&app, &ana, &begun.url, 0, song.len()).await;
    patch.send(&song[..LONG_SONG_HALF]).await;
    app.spooled_beyond(0).await;
    // Makes the ledger look as if another writer has opened the upload.
    sqlx::query("update uploads set writer_epoch = writer_epoch + 1").execute(&app.sql).await.unwrap();
    let before = counted(&app).await;
    patch.send(&song[LONG_SONG_HALF..]).await;
    assert_eq!(patch.status().await, 503);
    assert_eq!(counted(&app).await, before);
    let offset = ana.offset(&begun.url).await;
    ana.patch(&begun.url, offset, song.slice(offset..)).await.expect_status(204);
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&song)));
    app.expect_consistent().await;
}

/// A form's file has arrived and is not recorded yet. A client sends bytes to the same upload.
#[tokio::test]
async fn nothing_is_added_to_a_forms_file_while_it_is_completed() {
    let mut app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let (release, song) = (ana.create_release().await, a_song(1));
    let received = Gate::new();
    app.restart_with(&[("VWAZA_FAIL_POINTS", &received.at("form-received"))]).await;
    let send = async || {
        let file = Part::stream_with_length(song.clone(), song.len() as u64).file_name("song.wav");
        let form = Form::new().text("target", format!("new-track:{release}")).part("file", file);
        ana.send(ana.request(Method::POST, "/api/uploads/form").multipart(form)).await
    };
    let intrude = async {
        let held = received.reached().await;
        let query = sqlx::query_as("select spool_id, id from uploads where offset_bytes = $1").bind(song.len() as i64);
        let (spool, id): (Uuid, Uuid) = query.fetch_one(&app.sql).await.unwrap();
        let url = format!("/api/uploads/{spool}/{id}");
        ana.patch(&url, song.len(), vec![0; 10]).await.expect_status(204);
        let mut patch = RawRequest::patch(&app, &ana, &url, song.len() + 10, 90).await;
        patch.send(&[0; 10]).await;
        drop(held);
        patch.status().await
    };
    let (form, intruder) = tokio::join!(send(), intrude);
    form.expect_error(409, "Another connection has sent a part");
    assert_eq!(intruder, 423);
    // Nothing is left behind, and the form succeeds when it is sent again.
    assert!(ana.release(release).await.tracks.is_empty());
    app.expect_consistent().await;
    send().await.expect_status(303);
    ana.release_once(release, "it is there", |release| release.tracks.iter().all(|track| track.audio.is_some())).await;
    app.spool_is_empty().await;
    app.expect_consistent().await;
}
