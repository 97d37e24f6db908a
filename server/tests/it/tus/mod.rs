//! The tus 1.0 endpoint, status by status.

mod access;
mod checksums;
mod chunks;
mod creation;
mod endings;
mod headers;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::Method;
use sha1::Sha1;
use sha2::Digest;
use vwaza::domain::upload::{UploadStatus, UploadTarget};

use crate::support::{Client, TestResponse, a_song, metadata, sha256, spawn_app};

/// Creates an upload for a new track of this length by the protocol.
async fn create(client: &Client, target: &str, length: &str) -> TestResponse {
    let metadata = metadata(&[("target", target), ("filename", "song.wav"), ("fingerprint", "1")]);
    client.tus(Method::POST, "/api/uploads", &[("upload-length", length), ("upload-metadata", &metadata)]).await
}

#[tokio::test]
async fn options_lists_what_the_server_supports() {
    let app = spawn_app().await;
    let answer =
        app.anonymous().send(app.anonymous().request(Method::OPTIONS, "/api/uploads")).await.expect_status(204);
    assert_eq!(answer.header("tus-version"), Some("1.0.0"));
    assert_eq!(answer.header("tus-max-size"), Some("1073741824"));
    let extensions = answer.header("tus-extension").unwrap();
    assert_eq!(extensions, "creation,creation-with-upload,expiration,checksum,termination");
    assert_eq!(answer.header("tus-checksum-algorithm"), Some("sha1,sha256"));
}

#[tokio::test]
async fn an_upload_is_created_filled_in_pieces_and_read_back_whole() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let song = a_song(1);
    let created = create(&ana, &format!("new-track:{release}"), &song.len().to_string()).await.expect_status(201);
    assert_eq!(created.header("tus-resumable"), Some("1.0.0"));
    let url = created.header("location").unwrap().to_owned();
    assert!(url.starts_with("/api/uploads/"));

    let mut offset = 0;
    for piece in [1, 99_999, 7, 65_536, song.len()] {
        assert_eq!(ana.offset(&url).await, offset);
        let end = (offset + piece).min(song.len());
        let answer = ana.patch(&url, offset, song.slice(offset..end)).await.expect_status(204);
        assert_eq!(answer.header("upload-offset"), Some(end.to_string().as_str()));
        assert_eq!(answer.header("tus-resumable"), Some("1.0.0"));
        offset = end;
    }
    assert_eq!(ana.offset(&url).await, song.len());
    let status: UploadStatus = ana.get(&url).await.ok();
    assert_eq!(status.sha256, Some(sha256(&song)));
    ana.attached(status.id).await;
    let audio = ana.release(release).await.tracks.remove(0).audio.unwrap();
    assert_eq!((audio.size_bytes, audio.sha256), (song.len() as i64, sha256(&song)));
    assert_eq!(ana.get(&format!("/media/original/{}", audio.object)).await.body, song);
}

#[tokio::test]
async fn head_tells_offset_and_length_and_is_never_cached() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let begun = ana.begin(UploadTarget::Cover(release), "cover.png", 1000).await;
    ana.patch(&begun.url, 0, vec![1; 400]).await.expect_status(204);
    let head = ana.tus(Method::HEAD, &begun.url, &[]).await.expect_status(200);
    assert_eq!((head.header("upload-offset"), head.header("upload-length")), (Some("400"), Some("1000")));
    assert_eq!((head.header("tus-resumable"), head.header("cache-control")), (Some("1.0.0"), Some("no-store")));
}

/// Creates an upload with its first bytes.
async fn create_with(
    client: &Client,
    target: &str,
    length: usize,
    bytes: bytes::Bytes,
    checksum: &str,
) -> TestResponse {
    let metadata = metadata(&[("target", target), ("filename", "song.wav"), ("fingerprint", "1")]);
    let mut request = client
        .request(Method::POST, "/api/uploads")
        .header("tus-resumable", "1.0.0")
        .header("upload-length", length)
        .header("upload-metadata", metadata)
        .header("content-type", "application/offset+octet-stream")
        .body(bytes);
    if !checksum.is_empty() {
        request = request.header("upload-checksum", checksum);
    }
    client.send(request).await
}

fn sha1_of(bytes: &[u8]) -> String {
    format!("sha1 {}", BASE64_STANDARD.encode(Sha1::digest(bytes)))
}
