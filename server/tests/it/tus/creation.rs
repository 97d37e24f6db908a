//! Tests how an upload is created: its length, its metadata, its first bytes and its address.

use base64::{Engine, prelude::BASE64_STANDARD};
use http::Method;
use vwaza::domain::upload::{UploadStatus, UploadTarget};

use super::{create, create_with, sha1_of};
use crate::support::{a_cover, a_song, metadata, sha256, spawn_app, spawn_app_with};

#[tokio::test]
async fn a_length_is_checked_before_any_byte_moves() {
    let app = spawn_app_with(&[("VWAZA_MAX_AUDIO_MB", "2"), ("VWAZA_MAX_COVER_MB", "1")]).await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let (track, cover) = (format!("new-track:{release}"), format!("cover:{release}"));
    for (target, length, status) in [
        (&track, "-1", 400),
        (&track, "many", 400),
        (&track, "", 400),
        (&track, "1.5", 400),
        (&track, "99999999999999999999", 400),
        (&track, "0", 422),
        (&track, "2097153", 413),
        (&track, "9223372036854775807", 413),
        (&cover, "1048577", 413),
        (&track, "2097152", 201),
        (&cover, "1048576", 201),
    ] {
        let answer = create(&ana, target, length).await;
        assert_eq!(answer.status, status, "{target} of {length}: {}", answer.text());
    }
    let absent = ana.tus(Method::POST, "/api/uploads", &[("upload-metadata", &metadata(&[("target", &track)]))]).await;
    absent.expect_error(400, "upload-length");
    ana.try_begin(UploadTarget::Cover(release), "cover.png", 2_000_000).await.expect_error(413, "The limit is 1.0 MB");
    assert_eq!(ana.release(release).await.tracks.len(), 1);
}

#[tokio::test]
async fn metadata_that_makes_no_sense_is_refused() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let track = metadata(&[("target", &format!("new-track:{release}"))]);
    assert!(track.ends_with('='));
    let nowhere = metadata(&[("target", "attic:1")]);
    let nobody = metadata(&[("target", "cover:nonsense")]);
    let twice = format!("target {0},target {0}", BASE64_STANDARD.encode(format!("cover:{release}")));
    let (tab, unpadded) = (track.replace(' ', "\t"), track.trim_end_matches('='));
    for text in ["", "target", "target !!!", "target //8=", &nowhere, &nobody, &twice, &tab, unpadded] {
        ana.tus(Method::POST, "/api/uploads", &[("upload-length", "10"), ("upload-metadata", text)])
            .await
            .expect_error(400, "");
    }
    ana.tus(Method::POST, "/api/uploads", &[("upload-length", "10")]).await.expect_status(400);
}

#[tokio::test]
async fn the_first_bytes_may_come_with_the_creation() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let (release, song) = (ana.create_release().await, a_song(1));
    let target = format!("new-track:{release}");
    let created = create_with(&ana, &target, song.len(), song.slice(..100_000), "").await.expect_status(201);
    assert_eq!(created.header("upload-offset"), Some("100000"));
    let url = created.header("location").unwrap().to_owned();
    assert_eq!(ana.offset(&url).await, 100_000);
    // The reply was lost, so the client creates the upload again. Bytes that have arrived are not taken twice.
    let again = create_with(&ana, &target, song.len(), song.slice(..100_000), "").await.expect_status(201);
    assert_eq!((again.header("upload-offset"), again.header("location")), (Some("100000"), Some(url.as_str())));
    ana.patch(&url, 100_000, song.slice(100_000..)).await.expect_status(204);
    let status: UploadStatus = ana.get(&url).await.ok();
    assert_eq!(ana.attached(status.id).await.sha256, Some(sha256(&song)));

    // A small file comes whole with its creation.
    let cover = a_cover(1);
    let whole = create_with(&ana, &format!("cover:{release}"), cover.len(), cover.clone(), "").await.expect_status(201);
    assert_eq!(whole.header("upload-offset"), Some(cover.len().to_string().as_str()));
    assert_eq!(whole.header("upload-expires"), None);
    ana.release_once(release, "the cover is there", |release| release.cover.current.is_some()).await;
}

#[tokio::test]
async fn a_creation_brings_bytes_as_chunks_or_not_at_all() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let create = async |kind: Option<&str>, body: reqwest::Body| {
        let target = format!("new-track:{release}");
        let request = ana
            .request(Method::POST, "/api/uploads")
            .header("tus-resumable", "1.0.0")
            .header("upload-length", "1000")
            .header("upload-metadata", metadata(&[("target", &target), ("filename", "song.wav")]));
        let request = kind.iter().fold(request, |request, kind| request.header("content-type", *kind));
        ana.send(request.body(body)).await
    };
    let streamed = |pieces: &'static [&'static str]| {
        let pieces = pieces.iter().map(|piece| Ok::<_, std::io::Error>(bytes::Bytes::from_static(piece.as_bytes())));
        reqwest::Body::wrap_stream(futures::stream::iter(pieces))
    };
    let kinds = [
        None,
        Some("application/octet-stream"),
        Some("application/json"),
        Some("text/plain"),
        Some("audio/wav"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data; boundary=b"),
        Some("application/offset+octet-stream2"),
    ];
    for kind in kinds {
        create(kind, "RIFF".into()).await.expect_error(415, "application/offset+octet-stream");
        create(kind, streamed(&["", "RI", "FF"])).await.expect_error(415, "application/offset+octet-stream");
    }
    let uploads: i64 = sqlx::query_scalar("select count(*) from uploads").fetch_one(&app.sql).await.unwrap();
    assert_eq!((uploads, ana.release(release).await.tracks.len()), (0, 0));
    // A creation without bytes may have any content type.
    for kind in kinds {
        create(kind, "".into()).await.expect_status(201);
        create(kind, streamed(&[])).await.expect_status(201);
    }
    let chunk = create(Some("application/offset+octet-stream"), streamed(&["RI", "FF"])).await.expect_status(201);
    assert_eq!(chunk.header("upload-offset"), Some("4"));
}

/// Not every client resolves a path in `Location`.
#[tokio::test]
async fn a_creation_leads_to_the_public_address_where_there_is_one() {
    for (public, base) in [("http://music.example/", "http://music.example"), ("", "")] {
        let app = spawn_app_with(&[("VWAZA_PUBLIC_URL", public)]).await;
        let ana = app.artist("Ana").await;
        let (release, song) = (ana.create_release().await, a_song(1));
        let target = format!("new-track:{release}");
        let plain = create(&ana, &target, "1000").await.expect_status(201);
        let bringing = create_with(&ana, &target, song.len(), song.slice(..1000), "").await.expect_status(201);
        let again = create_with(&ana, &target, song.len(), song.slice(..1000), "").await.expect_status(201);
        assert_eq!(again.header("location"), bringing.header("location"));
        let wrong = create_with(&ana, &target, 900, song.slice(..100), &sha1_of(b"other")).await.expect_status(460);
        for created in [&plain, &bringing, &wrong] {
            let path = created.header("location").unwrap().strip_prefix(base).unwrap();
            assert!(path.starts_with("/api/uploads/"), "{path}");
            ana.tus(Method::HEAD, path, &[]).await.expect_status(200);
        }
        // The application uses the address of its page, so it gets a path.
        assert!(ana.begin(UploadTarget::Cover(release), "cover.png", 1000).await.url.starts_with("/api/uploads/"));
    }
}
