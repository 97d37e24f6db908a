//! One holder for each upload: who comes while it is held hears the truth, and nobody else touches it.

use std::time::{Duration, Instant};

use http::Method;
use reqwest::multipart::{Form, Part};
use uuid::Uuid;
use vwaza::domain::upload::UploadTarget;

use crate::support::{LONG_SONG_HALF, RawRequest, a_long_song, a_song, eventually, sha256, spawn_app};

/// After a restart the hash of what is there is made anew, which takes long for a large file; its client's line drops meanwhile.
#[tokio::test]
async fn u6_what_is_being_hashed_again_is_told_at_once_and_gone_on_with() {
    const HASHING: Duration = Duration::from_secs(6);
    let mut app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let song = a_long_song(1);
    let begun = ana.begin(UploadTarget::NewTrack(ana.create_release().await), "song.wav", song.len()).await;
    ana.patch(&begun.url, 0, song.slice(..LONG_SONG_HALF)).await.expect_status(204);
    let point = format!("hashing-again=1*sleep({})->off", HASHING.as_millis());
    app.restart_with(&[("VWAZA_FAIL_POINTS", &point)]).await;
    let began = Instant::now();
    let rest = song.len() - LONG_SONG_HALF;
    RawRequest::patch(&app, &ana, &begun.url, LONG_SONG_HALF, rest).await.reset();
    // Nothing has been told to go yet: whoever sends beside it is one too many.
    ana.patch(&begun.url, LONG_SONG_HALF, song.slice(LONG_SONG_HALF..)).await.expect_error(423, "right now");
    let asked = Instant::now();
    let offset = ana.offset(&begun.url).await;
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    assert!(began.elapsed() < HASHING, "it was hashed before anybody asked: {:?}", began.elapsed());
    assert_eq!(offset, LONG_SONG_HALF);
    ana.patch(&begun.url, offset, song.slice(offset..)).await.expect_status(204);
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&song)));
    app.agrees().await;
}

/// Between the last byte of a form's file and the ledger's word for it, somebody sends bytes to the same upload.
#[tokio::test]
async fn nothing_is_added_to_a_forms_file_while_it_is_completed() {
    let mut app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let (release, song) = (ana.create_release().await, a_song(1));
    app.restart_with(&[("VWAZA_FAIL_POINTS", "form-received=1*sleep(3000)->off")]).await;
    let send = async || {
        let file = Part::stream_with_length(song.clone(), song.len() as u64).file_name("song.wav");
        let form = Form::new().text("target", format!("new-track:{release}")).part("file", file);
        ana.send(ana.request(Method::POST, "/api/uploads/form").multipart(form)).await
    };
    let intrude = async {
        let (spool, id): (Uuid, Uuid) = eventually("all bytes of the form are counted", async || {
            let query = sqlx::query_as("select spool_id, id from uploads where offset_bytes = $1");
            query.bind(song.len() as i64).fetch_optional(&app.sql).await.unwrap()
        })
        .await;
        let url = format!("/api/uploads/{spool}/{id}");
        let mut patch = RawRequest::patch(&app, &ana, &url, song.len(), 100).await;
        patch.send(&[0; 10]).await;
        patch.status().await
    };
    let (form, intruder) = tokio::join!(send(), intrude);
    form.expect_error(409, "Somebody else has sent bytes");
    assert_eq!(intruder, 423);
    // Nothing half is left behind, and the same form goes through by itself.
    assert!(ana.release(release).await.tracks.is_empty());
    app.agrees().await;
    send().await.expect_status(303);
    ana.release_once(release, "it is there", |release| release.tracks.iter().all(|track| track.audio.is_some())).await;
    eventually("the spool is empty", async || app.files_in("spool/uploads").is_empty().then_some(())).await;
    app.agrees().await;
}
