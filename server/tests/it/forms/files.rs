//! Tests plain forms that bring files.

use futures::{StreamExt, stream};
use http::Method;
use reqwest::{
    Body, RequestBuilder,
    multipart::{Form, Part},
};
use testing::fixtures;
use vwaza::domain::{files::FileState, ids::ReleaseId, upload::UploadState};

use crate::support::{Client, TestResponse, a_cover, a_song, eventually, sha256, spawn_app, spawn_app_with};

/// Starts a plain form with files.
fn form_of(client: &Client, target: String, files: impl IntoIterator<Item = Part>) -> RequestBuilder {
    let form = files.into_iter().fold(Form::new().text("target", target), |form, file| form.part("file", file));
    client.request(Method::POST, "/api/uploads/form").header("accept", "text/html").multipart(form)
}

fn file(name: &'static str, bytes: bytes::Bytes) -> Part {
    Part::stream_with_length(bytes.clone(), bytes.len() as u64).file_name(name)
}

async fn send_form(client: &Client, target: String, name: &'static str, bytes: bytes::Bytes) -> TestResponse {
    client.send(form_of(client, target, [file(name, bytes)])).await
}

#[tokio::test]
async fn files_are_uploaded_without_any_script() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let (cover, song) = (a_cover(1), a_song(1));
    let answer = send_form(&ana, format!("cover:{release}"), "cover.png", cover.clone()).await.expect_status(303);
    assert_eq!(answer.header("location"), Some(format!("/releases/{release}/cover").as_str()));
    let answer =
        send_form(&ana, format!("new-track:{release}"), "07 night_bus.wav", song.clone()).await.expect_status(303);
    assert_eq!(answer.header("location"), Some(format!("/releases/{release}/tracks").as_str()));
    let whole = ana
        .release_once(release, "both files are there", |release| {
            release.cover.current.is_some() && release.tracks.iter().all(|track| track.audio.is_some())
        })
        .await;
    assert_eq!(whole.cover.current.unwrap().sha256, sha256(&cover));
    assert_eq!(whole.tracks[0].title, "night bus");
    assert_eq!(whole.tracks[0].audio.clone().unwrap().sha256, sha256(&song));

    // The page with the form shows why a file was refused.
    send_form(&ana, format!("cover:{release}"), "drawing.png", fixtures::svg().into()).await.expect_status(303);
    let refused = ana.release(release).await.cover.pending.unwrap();
    assert_eq!(refused.state, UploadState::Refused);
    assert!(refused.message.unwrap().contains("SVG"));
    let cover_of = |release: ReleaseId| format!("cover:{release}");
    let missing = ReleaseId(uuid::Uuid::now_v7());
    // An error that this page cannot show gets a page of its own.
    for (target, status) in [(cover_of(missing), 404), ("attic:1".into(), 400)] {
        let page = send_form(&ana, target, "cover.png", cover.clone()).await.expect_status(status);
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        assert!(page.text().contains("That did not work"), "{}", page.text());
    }
    let nobody = send_form(&app.anonymous(), cover_of(release), "cover.png", cover).await.expect_status(303);
    assert_eq!(nobody.header("location"), Some("/sign-in"));
}

#[tokio::test]
async fn the_error_for_a_file_over_the_limit_names_the_limit() {
    let app = spawn_app_with(&[("VWAZA_MAX_COVER_MB", "1")]).await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let page = send_form(&ana, format!("cover:{release}"), "cover.png", vec![1; 3_000_000].into()).await;
    let page = page.expect_status(413);
    assert!(page.text().contains("too large. The limit is 1.0 MB"), "{}", page.text());
    assert_eq!(ana.release(release).await.cover.state(), FileState::Missing);
    app.expect_consistent().await;
}

#[tokio::test]
async fn one_form_uploads_several_tracks() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let songs = [a_song(1), a_song(2), a_song(3)];
    let files =
        songs.iter().zip(["1 one.wav", "2 two.wav", "3 three.wav"]).map(|(song, name)| file(name, song.clone()));
    ana.send(form_of(&ana, format!("new-track:{release}"), files)).await.expect_status(303);
    let whole = ana
        .release_once(release, "all tracks are there", |release| {
            release.tracks.iter().all(|track| track.audio.is_some())
        })
        .await;
    let tracks: Vec<_> =
        whole.tracks.iter().map(|track| (track.title.clone(), track.audio.clone().unwrap().sha256)).collect();
    let sent: Vec<_> =
        ["one", "two", "three"].into_iter().map(str::to_owned).zip(songs.iter().map(|song| sha256(song))).collect();
    assert_eq!(tracks, sent);
}

#[tokio::test]
async fn a_form_that_breaks_off_leaves_no_half_track() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let song = a_song(1);
    let half = stream::iter([Ok::<_, std::io::Error>(song.slice(..song.len() / 2))]).chain(stream::pending());
    let part = Part::stream_with_length(Body::wrap_stream(half), song.len() as u64).file_name("song.wav");
    let request = form_of(&ana, format!("new-track:{release}"), [part]);
    let sending = tokio::spawn({
        let ana = ana.clone();
        async move { ana.try_send(request).await }
    });
    let state = async || -> Option<String> {
        sqlx::query_scalar("select state::text from uploads").fetch_optional(&app.sql).await.unwrap()
    };
    eventually("the upload has begun", async || (state().await.as_deref() == Some("RECEIVING")).then_some(())).await;
    sending.abort();
    eventually("the upload is given up", async || (state().await.as_deref() == Some("CANCELLED")).then_some(())).await;
    ana.release_once(release, "no track is left", |release| release.tracks.is_empty()).await;
    app.spool_is_empty().await;
}
