//! Creations with bytes whose reply is lost. The client does not know the upload's address and tries again.

use http::Method;
use vwaza::domain::{ids::ReleaseId, upload::UploadTarget};

use crate::support::{Client, TestResponse, a_cover, a_song, metadata, sha256, spawn_app};

/// Creates an upload with all of its bytes.
async fn create(
    client: &Client,
    target: UploadTarget,
    fingerprint: Option<&str>,
    bytes: &bytes::Bytes,
) -> TestResponse {
    let target = target.to_string();
    let mut pairs = vec![("target", target.as_str()), ("filename", "song.wav")];
    pairs.extend(fingerprint.map(|fingerprint| ("fingerprint", fingerprint)));
    let request = client
        .request(Method::POST, "/api/uploads")
        .header("tus-resumable", "1.0.0")
        .header("upload-length", bytes.len())
        .header("upload-metadata", metadata(&pairs))
        .header("content-type", "application/offset+octet-stream")
        .body(bytes.clone());
    client.send(request).await.expect_status(201)
}

fn url_of(created: &TestResponse) -> String {
    created.header("location").unwrap().to_owned()
}

async fn tracks(client: &Client, release: ReleaseId) -> usize {
    client.release(release).await.tracks.len()
}

#[tokio::test]
async fn u1_a_creation_with_all_bytes_whose_reply_was_lost_finds_its_upload() {
    let mut app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let (release, song) = (ana.create_release().await, a_song(1));
    let target = UploadTarget::NewTrack(release);
    let first = create(&ana, target, Some("take 7"), &song).await;
    let again = create(&ana, target, Some("take 7"), &song).await;
    assert_eq!(url_of(&again), url_of(&first));
    let all = song.len().to_string();
    assert_eq!((again.header("upload-offset"), again.header("upload-expires")), (Some(all.as_str()), None));
    // The upload is found however far it has come meanwhile, and by any process.
    ana.release_once(release, "it is stored", |release| release.tracks[0].audio.is_some()).await;
    app.restart().await;
    assert_eq!(url_of(&create(&ana, target, Some("take 7"), &song).await), url_of(&first));
    assert_eq!(tracks(&ana, release).await, 1);
    let audio = ana.release(release).await.tracks.remove(0).audio.unwrap();
    assert_eq!(audio.sha256, sha256(&song));
    app.expect_consistent().await;
}

#[tokio::test]
async fn the_same_file_can_be_uploaded_twice_on_purpose() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let (release, song) = (ana.create_release().await, a_song(1));
    let target = UploadTarget::NewTrack(release);
    // Each of these creations makes a track of its own: without a fingerprint, with another one, for another release,
    // by the application.
    create(&ana, target, Some("take 7"), &song).await;
    create(&ana, target, Some("take 7, again"), &song).await;
    create(&ana, target, None, &song).await;
    create(&ana, target, None, &song).await;
    ana.attach(target, "song.wav", song.clone()).await;
    ana.attach(target, "song.wav", song.clone()).await;
    assert_eq!(tracks(&ana, release).await, 6);
    let other = ana.create_release().await;
    create(&ana, UploadTarget::NewTrack(other), Some("take 7"), &song).await;
    assert_eq!(tracks(&ana, other).await, 1);
    // After an hour, a creation no longer counts as a retry. A creation for a track that was removed does not either.
    sqlx::query("update uploads set received_at = now() - interval '1 hour'").execute(&app.sql).await.unwrap();
    create(&ana, target, Some("take 7"), &song).await;
    assert_eq!(tracks(&ana, release).await, 7);
    let newest = ana.release(release).await.tracks.pop().unwrap().id;
    ana.call_with("tracks/remove", "id", newest).await.expect_status(200);
    create(&ana, target, Some("take 7"), &song).await;
    assert_eq!(tracks(&ana, release).await, 7);
    app.expect_consistent().await;
}

/// The first cover, the second, and the first again: the last one is not a retry.
#[tokio::test]
async fn a_replaced_file_can_be_uploaded_again() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let target = UploadTarget::Cover(release);
    let shows = async |seed: u64| {
        ana.release_once(release, "the cover is shown", |release| {
            release.cover.current.as_ref().is_some_and(|cover| cover.sha256 == sha256(&a_cover(seed)))
        })
        .await
    };
    for (fingerprint, seed) in [("first", 1), ("second", 2), ("first", 1)] {
        create(&ana, target, Some(fingerprint), &a_cover(seed)).await;
        shows(seed).await;
    }
    app.expect_consistent().await;
}
