//! Tests how clients resume an upload after a wrong checksum, a cut connection or a restart.

use bytes::Bytes;
use http::Method;
use vwaza::domain::upload::{UploadStatus, UploadTarget};

use super::{metadata, upload_is, url_of};
use crate::support::{Bucket, LONG_SONG_HALF, a_long_song, a_song, sha256, spawn_app, spawn_app_with};

#[tokio::test]
async fn first_bytes_with_a_wrong_checksum_leave_an_upload_to_resume() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let target = UploadTarget::NewTrack(ana.create_release().await);
    let song = a_song(1);
    let request = ana
        .request(Method::POST, "/api/uploads")
        .header("tus-resumable", "1.0.0")
        .header("upload-length", song.len())
        .header("upload-metadata", metadata(&target, ""))
        .header("content-type", "application/offset+octet-stream")
        .header("upload-checksum", "sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk=");
    let created = ana.send(request.body(song.slice(..1000))).await.expect_status(460);
    let url = url_of(&created);
    assert_eq!(created.header("upload-offset"), Some("0"));
    assert!(created.header("upload-expires").is_some());
    assert_eq!(ana.offset(&url).await, 0);
    ana.patch(&url, 0, song.clone()).await.expect_status(204);
    upload_is(&app, "ATTACHED").await;
}

/// The first bytes of a creation meet a disk that is full for a moment. The client ignores the headers of a failed
/// creation and would create another upload, with a track of its own. So the creation succeeds with the offset.
#[tokio::test]
async fn a_creation_whose_first_bytes_are_cut_short_is_resumed() {
    let app = spawn_app_with(&[("VWAZA_FAIL_POINTS", "disk-full=1*return->off")]).await;
    let ana = app.artist("Ana").await;
    let (release, song) = (ana.create_release().await, a_song(1));
    let request = ana
        .request(Method::POST, "/api/uploads")
        .header("tus-resumable", "1.0.0")
        .header("upload-length", song.len())
        .header("upload-metadata", metadata(&UploadTarget::NewTrack(release), ""))
        .header("content-type", "application/offset+octet-stream");
    let created = ana.send(request.body(song.clone())).await.expect_status(201);
    let (url, offset) = (url_of(&created), created.header("upload-offset").unwrap().parse::<usize>().unwrap());
    assert!(offset < song.len(), "{offset}");
    assert!(created.header("upload-expires").is_some());
    ana.patch(&url, offset, song.slice(offset..)).await.expect_status(204);
    upload_is(&app, "ATTACHED").await;
    assert_eq!(ana.release(release).await.tracks.len(), 1);
    app.expect_consistent().await;
}

/// A script has only its token.
#[tokio::test]
async fn a_script_resumes_with_a_token_alone() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let (release, song) = (ana.create_release().await, a_long_song(1));
    let token = ana.call_with("access-tokens/make", "name", "studio").await.ok::<serde_json::Value>();
    let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
    let script = app.anonymous();
    let ask = async |method: Method, url: &str, headers: &[(&str, &str)], body: Bytes| {
        let request = script.request(method, url).header("tus-resumable", "1.0.0").header("authorization", &bearer);
        script
            .send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(body))
            .await
    };
    let (length, given) = (song.len().to_string(), metadata(&UploadTarget::NewTrack(release), ""));
    let headers = [("upload-length", &*length), ("upload-metadata", &*given)];
    let created = ask(Method::POST, "/api/uploads", &headers, Bytes::new()).await.expect_status(201);
    let (url, none) = (url_of(&created), Bytes::new());
    let chunk = [("upload-offset", "0"), ("content-type", "application/offset+octet-stream")];
    ask(Method::PATCH, &url, &chunk, song.slice(..LONG_SONG_HALF)).await.expect_status(204);
    let head = ask(Method::HEAD, &url, &[], none.clone()).await.expect_status(200);
    let offset = LONG_SONG_HALF.to_string();
    assert_eq!(head.header("upload-offset"), Some(offset.as_str()));
    let rest = [("upload-offset", &*offset), ("content-type", "application/offset+octet-stream")];
    ask(Method::PATCH, &url, &rest, song.slice(LONG_SONG_HALF..)).await.expect_status(204);
    let status: UploadStatus = ask(Method::GET, &url, &[], none.clone()).await.ok();
    assert_eq!(status.sha256, Some(sha256(&song)));
    let other = ask(Method::POST, "/api/uploads", &headers, none.clone()).await.expect_status(201);
    ask(Method::DELETE, &url_of(&other), &[], none.clone()).await.expect_status(204);
    ask(Method::HEAD, &url_of(&other), &[], none).await.expect_status(410);
}

#[tokio::test]
async fn a_process_neither_receives_nor_cancels_an_upload_of_another_process() {
    let bucket = Bucket::new().await;
    let mut first = bucket.app(&[]).await;
    let ana = first.artist("Ana").await;
    let release = ana.create_release().await;
    let song = a_song(1);
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", song.len()).await;
    ana.patch(&begun.url, 0, song.slice(..1000)).await.expect_status(204);
    let second = bucket.app(&[("DATABASE_URL", &first.database_url())]).await;
    let there = second.signed_in_here(&ana);
    for answer in [
        there.tus(Method::HEAD, &begun.url, &[]).await,
        there.patch(&begun.url, 1000, song.slice(1000..)).await,
        there.tus(Method::DELETE, &begun.url, &[]).await,
    ] {
        assert!(answer.expect_status(503).header("retry-after").is_some());
    }
    // While the other process is alive, beginning again finds its upload.
    assert_eq!(there.begin(UploadTarget::NewTrack(release), "song.wav", song.len()).await.url, begun.url);
    assert_eq!(ana.offset(&begun.url).await, 1000);
    // Once that process is gone, the same file is begun anew, for the same track.
    first.kill();
    sqlx::query("update spools set seen_at = now() - interval '1 minute'").execute(&first.sql).await.unwrap();
    let anew = there.begin(UploadTarget::NewTrack(release), "song.wav", song.len()).await;
    assert_ne!(anew.url, begun.url);
    assert_eq!(anew.track, begun.track);
    there.tus(Method::HEAD, &begun.url, &[]).await.expect_status(410);
    there.patch(&anew.url, 0, song.clone()).await.expect_status(204);
    there.attached(anew.id).await;
    assert_eq!(there.release(release).await.tracks.len(), 1);
}
