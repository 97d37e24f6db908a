//! Tests the checksum of a chunk, and the SHA-256 that a client announces for the whole file.

use base64::{Engine, prelude::BASE64_STANDARD};
use http::Method;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use vwaza::domain::upload::{BegunUpload, RawIntent, UploadState, UploadStatus, UploadTarget};

use super::{create_with, sha1_of};
use crate::support::{
    Client, LONG_SONG_HALF, RawRequest, TestResponse, a_long_song, a_song, metadata, sha256, spawn_app,
};

async fn patch_checked(client: &Client, url: &str, offset: usize, bytes: bytes::Bytes, checksum: &str) -> TestResponse {
    let request = client
        .request(Method::PATCH, url)
        .header("tus-resumable", "1.0.0")
        .header("upload-offset", offset)
        .header("content-type", "application/offset+octet-stream")
        .header("upload-checksum", checksum);
    client.send(request.body(bytes)).await
}

fn sha256_of(bytes: &[u8]) -> String {
    format!("sha256 {}", BASE64_STANDARD.encode(Sha256::digest(bytes)))
}

#[tokio::test]
async fn u4_a_chunk_with_a_checksum_is_kept_only_if_it_is_whole_and_right() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let (release, song) = (ana.create_release().await, a_long_song(1));
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", song.len()).await;
    let (first, second) = (song.slice(..LONG_SONG_HALF), song.slice(LONG_SONG_HALF..));
    for checksum in [sha1_of(&second), sha256_of(&second)] {
        patch_checked(&ana, &begun.url, 0, first.clone(), &checksum).await.expect_error(460, "checksum");
        assert_eq!(ana.offset(&begun.url).await, 0);
    }
    assert_eq!(std::fs::metadata(app.only_file_in("spool/uploads")).unwrap().len(), 0);
    let answer = patch_checked(&ana, &begun.url, 0, first.clone(), &sha1_of(&first)).await.expect_status(204);
    assert_eq!(answer.header("upload-offset"), Some(LONG_SONG_HALF.to_string().as_str()));

    // The connection drops in the middle of the chunk. Nothing of the chunk is kept, although its bytes were on the
    // disk.
    let checked = format!("Upload-Checksum: {}", sha256_of(&second));
    let mut request = RawRequest::patch_with(&app, &ana, &begun.url, LONG_SONG_HALF, second.len(), &[&checked]).await;
    request.send(&second[..second.len() / 2]).await;
    app.spooled_beyond(LONG_SONG_HALF).await;
    request.drop_connection().await;
    assert_eq!(ana.offset(&begun.url).await, LONG_SONG_HALF);
    patch_checked(&ana, &begun.url, LONG_SONG_HALF, second.clone(), &sha256_of(&second)).await.expect_status(204);
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&song)));

    app.expect_consistent().await;
}

#[tokio::test]
async fn a_checksum_is_refused_if_it_cannot_be_read_and_does_not_match_if_it_has_another_length() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let (release, song) = (ana.create_release().await, a_song(1));
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", song.len()).await;
    let first = song.slice(..1000);
    ana.patch(&begun.url, 0, first.clone()).await.expect_status(204);
    let second = song.slice(1000..);
    let long = format!("sha1 {}", BASE64_STANDARD.encode(Sha256::digest(&second)));
    let short = format!("sha256 {}", BASE64_STANDARD.encode(Sha1::digest(&second)));
    let cut = format!("sha1 {}", BASE64_STANDARD.encode(&Sha1::digest(&second)[..19]));
    for (checksum, status) in [
        ("md5 1B2M2Y8AsgTpgAmy7PhCfg==", 400),
        ("SHA1 2jmj7l5rSw0yVb/vlWAYkK/YBwk=", 400),
        ("sha1", 400),
        ("sha1 !!!", 400),
        ("sha1 2jmj7l5rSw0yVb_vlWAYkK_YBwk=", 400),
        ("sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk", 400),
        ("sha1 AA==", 460),
        (&long, 460),
        (&short, 460),
        (&cut, 460),
    ] {
        let answer = patch_checked(&ana, &begun.url, 1000, second.clone(), checksum).await;
        assert_eq!(answer.status, status, "{checksum}: {}", answer.text());
        assert_eq!(answer.header("upload-offset"), Some("1000"), "{checksum}");
        assert_eq!(std::fs::metadata(app.only_file_in("spool/uploads")).unwrap().len(), 1000, "{checksum}");
    }
    patch_checked(&ana, &begun.url, 1000, second.clone(), &sha1_of(&second)).await.expect_status(204);
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&song)));
    // The same holds for a creation with bytes.
    let target = format!("new-track:{release}");
    create_with(&ana, &target, song.len(), first.clone(), "sha1 !!!").await.expect_error(400, "sha1,sha256");
    let created = create_with(&ana, &target, song.len(), first, &short).await.expect_error(460, "checksum");
    assert_eq!(created.header("upload-offset"), Some("0"));
    assert_eq!(ana.offset(created.header("location").unwrap()).await, 0);
    app.expect_consistent().await;
}

#[tokio::test]
async fn a_file_that_is_not_what_was_announced_is_refused() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let announced = async |name: &str, hash: &str, bytes: &bytes::Bytes| -> (String, u16) {
        let target = format!("new-track:{release}");
        let metadata = metadata(&[("target", &target), ("filename", name), ("sha256", hash)]);
        let length = bytes.len().to_string();
        let headers = [("upload-length", length.as_str()), ("upload-metadata", &metadata)];
        let created = ana.tus(Method::POST, "/api/uploads", &headers).await.expect_status(201);
        let url = created.header("location").unwrap().to_owned();
        let status = ana.patch(&url, 0, bytes.clone()).await.status;
        (url, status)
    };
    let song = a_song(1);
    let (url, status) = announced("whole.wav", &sha256(&song).to_uppercase(), &song).await;
    assert_eq!(status, 204);
    let whole: UploadStatus = ana.get(&url).await.ok();
    assert_eq!(ana.attached(whole.id).await.sha256, Some(sha256(&song)));

    let (url, status) = announced("swapped.wav", &sha256(&song), &a_song(2)).await;
    assert_eq!(status, 422);
    let swapped: UploadStatus = ana.get(&url).await.ok();
    assert_eq!((swapped.state, swapped.status_code), (UploadState::Refused, 422));
    assert_eq!(app.files_in("objects/audio").len(), 1);

    for hash in ["", "abc", &"g".repeat(64), &"0".repeat(66), &"ä".repeat(32)] {
        let metadata =
            metadata(&[("target", &format!("new-track:{release}")), ("filename", "x.wav"), ("sha256", hash)]);
        let headers = [("upload-length", "1000"), ("upload-metadata", metadata.as_str())];
        ana.tus(Method::POST, "/api/uploads", &headers).await.expect_error(400, "64 hexadecimal digits");
    }
}

#[tokio::test]
async fn a_file_announced_with_another_hash_is_another_file() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let (song, other) = (a_song(1), a_song(2));
    assert_eq!(song.len(), other.len(), "only their hashes tell the files apart");
    let track = ana.begin(UploadTarget::NewTrack(release), "draft.wav", 1000).await.track.unwrap();
    let begin = async |hash: Option<&bytes::Bytes>| -> BegunUpload {
        let length = i64::try_from(song.len()).unwrap();
        let target = UploadTarget::Audio(track);
        let sha256 = hash.map(|bytes| sha256(bytes));
        let intent = RawIntent { target, file_name: "song.wav".into(), length, fingerprint: "1".into(), sha256 };
        ana.call_json("upload/begin", &serde_json::json!({ "intent": intent })).await.ok()
    };
    // The first upload is begun without a hash. The hash that comes later belongs to it, and the received bytes are
    // compared with it.
    let first = begin(None).await;
    assert_eq!(begin(Some(&song)).await.id, first.id);
    let second = begin(Some(&other)).await;
    assert_ne!(second.id, first.id);
    assert_eq!(begin(Some(&song)).await.id, first.id);
    ana.patch(&first.url, 0, other.clone()).await.expect_status(422);
    ana.patch(&second.url, 0, other.clone()).await.expect_status(204);
    assert_eq!(ana.attached(second.id).await.sha256, Some(sha256(&other)));
}
