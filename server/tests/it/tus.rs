//! The tus 1.0 endpoint, status by status.

use base64::{Engine, prelude::BASE64_STANDARD};
use http::Method;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use vwaza::domain::{
    release::ReleaseStatus,
    upload::{BegunUpload, RawIntent, UploadState, UploadStatus, UploadTarget},
};

use crate::support::{
    App, Client, LONG_SONG_HALF, RawRequest, TestResponse, a_cover, a_long_song, a_song, eventually, metadata, sha256,
    spawn_app, spawn_app_with,
};

/// Creates an upload for a new track of this length by the protocol.
async fn create(client: &Client, target: &str, length: &str) -> TestResponse {
    let metadata = metadata(&[("target", target), ("filename", "song.wav"), ("fingerprint", "1")]);
    client.tus(Method::POST, "/api/uploads", &[("upload-length", length), ("upload-metadata", &metadata)]).await
}

/// Sends every kind of request to an upload.
async fn ask_all(client: &Client, url: &str) -> Vec<TestResponse> {
    vec![
        client.get(url).await,
        client.tus(Method::HEAD, url, &[]).await,
        client.patch(url, 0, vec![0; 10]).await,
        client.tus(Method::DELETE, url, &[]).await,
    ]
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

#[tokio::test]
async fn a_client_of_another_tus_version_is_told_so() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let begun = ana.begin(UploadTarget::Cover(release), "cover.png", 1000).await;
    for (method, url) in [
        (Method::POST, "/api/uploads"),
        (Method::HEAD, &begun.url),
        (Method::PATCH, &begun.url),
        (Method::DELETE, &begun.url),
    ] {
        for version in [None, Some("0.2.2")] {
            let request = ana.request(method.clone(), url);
            let request = version.iter().fold(request, |request, version| request.header("tus-resumable", *version));
            let answer = ana.send(request).await.expect_status(412);
            assert_eq!(answer.header("tus-version"), Some("1.0.0"), "{method}");
        }
    }
    assert_eq!(ana.offset(&begun.url).await, 0);
}

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
async fn a_chunk_that_does_not_fit_leaves_everything_as_it_was() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", 1000).await;
    let url = &begun.url;
    ana.patch(url, 0, vec![1; 400]).await.expect_status(204);
    ana.patch(url, 0, vec![1; 400]).await.expect_error(409, "byte 400");
    ana.patch(url, 401, vec![1; 400]).await.expect_error(409, "byte 400");
    ana.patch(url, 400, vec![1; 601]).await.expect_error(413, "More bytes");
    let patch = |headers: &[(&str, &str)]| {
        let request = ana.request(Method::PATCH, url).header("tus-resumable", "1.0.0").body(vec![1; 10]);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    };
    let chunk = ("content-type", "application/offset+octet-stream");
    for (headers, status) in [
        (&[("upload-offset", "400"), ("content-type", "application/octet-stream")][..], 415),
        (&[("upload-offset", "400")][..], 415),
        (&[chunk][..], 400),
        (&[chunk, ("upload-offset", "-1")][..], 400),
        (&[chunk, ("upload-offset", "soon")][..], 400),
        (&[chunk, ("upload-offset", "18446744073709551616")][..], 400),
        (&[chunk, ("upload-offset", "9223372036854775807")][..], 409),
    ] {
        let answer = ana.send(patch(headers)).await;
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.text());
    }
    assert_eq!(ana.offset(url).await, 400);
}

#[tokio::test]
async fn an_empty_chunk_changes_nothing() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", 1000).await;
    ana.patch(&begun.url, 0, Vec::new()).await.expect_status(204);
    assert_eq!(ana.offset(&begun.url).await, 0);
}

#[tokio::test]
async fn a_cancelled_upload_is_gone() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    for through_tus in [true, false] {
        let begun = ana.begin(UploadTarget::Cover(release), "cover.png", 1000).await;
        ana.patch(&begun.url, 0, vec![1; 400]).await.expect_status(204);
        assert_eq!(app.files_in("spool/uploads").len(), 1);
        if through_tus {
            ana.tus(Method::DELETE, &begun.url, &[]).await.expect_status(204);
        } else {
            ana.call_with("upload/cancel", "id", begun.id).await.expect_status(200);
        }
        assert_eq!(app.files_in("spool/uploads").len(), 0);
        ana.tus(Method::HEAD, &begun.url, &[]).await.expect_status(410);
        ana.patch(&begun.url, 400, vec![1; 600]).await.expect_error(410, "has ended");
        ana.tus(Method::DELETE, &begun.url, &[]).await.expect_status(410);
        ana.call_with("upload/cancel", "id", begun.id).await.expect_status(200);
        assert_eq!(ana.release(release).await.cover.pending, None);
    }
    ana.attach(UploadTarget::Cover(release), "cover.png", a_cover(1)).await;
}

#[tokio::test]
async fn an_abandoned_upload_has_expired() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let target = UploadTarget::Cover(release);
    let old = ana.begin(target, "cover.png", 1000).await;
    ana.patch(&old.url, 0, vec![1; 400]).await.expect_status(204);
    sqlx::query("update uploads set expires_at = now() - interval '1 second'").execute(&app.sql).await.unwrap();
    ana.tus(Method::HEAD, &old.url, &[]).await.expect_status(410);
    ana.patch(&old.url, 400, vec![1; 600]).await.expect_error(410, "has ended");
    assert_eq!(ana.upload_status(old.id).await.status_code, 410);
    assert_eq!(ana.release(release).await.cover.pending, None);
    let new = ana.begin(target, "cover.png", 1000).await;
    assert_ne!(new.id, old.id);
    assert_eq!(ana.offset(&new.url).await, 0);
}

/// The file is terminated once while it waits to be stored, and once when it is stored.
#[tokio::test]
async fn a_received_file_can_be_terminated_while_its_release_is_a_draft() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let (target, cover) = (UploadTarget::Cover(release), a_cover(1));
    for is_stored in [false, true] {
        let held = app.hold_table("lock table objects in share mode").await;
        let (begun, answer) = ana.upload(target, "cover.png", cover.clone()).await;
        answer.expect_status(204);
        // Nothing can be added to a received upload.
        ana.patch(&begun.url, 0, vec![0; 10]).await.expect_error(409, "continues at byte");
        // The page's own functions replace and remove a received file.
        ana.call_with("upload/cancel", "id", begun.id).await.expect_error(409, "arrived already");
        if is_stored {
            drop(held);
            ana.attached(begun.id).await;
            ana.tus(Method::DELETE, &begun.url, &[]).await.expect_status(204);
        } else {
            // The job is about to put the object.
            app.waits_for_locks(1).await;
            let delete = ana.tus(Method::DELETE, &begun.url, &[]);
            let let_go = async {
                app.waits_for_locks(1).await;
                drop(held);
            };
            tokio::join!(delete, let_go).0.expect_status(204);
        }
        ana.tus(Method::HEAD, &begun.url, &[]).await.expect_status(410);
        ana.patch(&begun.url, cover.len(), Vec::new()).await.expect_status(410);
        ana.tus(Method::DELETE, &begun.url, &[]).await.expect_status(410);
        assert_eq!(ana.upload_status(begun.id).await.state, UploadState::Cancelled);
        let shown = ana.release(release).await.cover;
        assert_eq!((shown.current, shown.pending), (None, None));
        eventually("nothing of it is stored", async || app.files_in("objects/covers").is_empty().then_some(())).await;
        app.spool_is_empty().await;
        app.expect_consistent().await;
    }
    let dead: i64 = sqlx::query_scalar("select count(*) from upload_jobs where status = 'FAILED'")
        .fetch_one(&app.sql)
        .await
        .unwrap();
    assert_eq!(dead, 0);
    ana.attach(target, "cover.png", cover).await;
}

#[tokio::test]
async fn a_file_that_waits_to_be_stored_is_terminated_with_its_job() {
    // Nothing is stored, because the server does not poll for jobs.
    let app = spawn_app_with(&[("VWAZA_JOB_POLL_MS", "60000")]).await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let held = app.hold_table("lock table objects in share mode").await;
    let (begun, answer) = ana.upload(UploadTarget::NewTrack(release), "song.wav", a_song(1)).await;
    answer.expect_status(204);
    let postponed = sqlx::query(
        "update upload_jobs set status = 'PENDING', lease_owner = null, lease_expires_at = null, attempt = attempt + 1,
                run_after = now() + interval '1 hour'",
    );
    postponed.execute(&app.sql).await.unwrap();
    drop(held);
    ana.tus(Method::DELETE, &begun.url, &[]).await.expect_status(204);
    let job: (String, Option<String>) =
        sqlx::query_as("select status::text, outcome from upload_jobs").fetch_one(&app.sql).await.unwrap();
    assert_eq!(job, ("COMPLETED".into(), Some("superseded".into())));
    assert!(app.files_in("spool/uploads").is_empty());
    app.expect_consistent().await;
}

#[tokio::test]
async fn a_submitted_file_is_not_terminated() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.complete_release().await;
    let remaster = ana.attach(UploadTarget::Cover(release), "cover.png", a_cover(2)).await;
    ana.submit(release).await.expect_status(200);
    let before = ana.release_when(release, ReleaseStatus::PendingReview).await;
    let refused = ana.tus(Method::DELETE, &remaster.url, &[]).await.expect_error(409, "submitted");
    assert_eq!(refused.header("upload-offset"), Some(a_cover(2).len().to_string().as_str()));
    assert_eq!(ana.release(release).await, before);
    ana.tus(Method::HEAD, &remaster.url, &[]).await.expect_status(200);
    ana.call_with("releases/withdraw", "id", release).await.expect_status(200);
    ana.tus(Method::DELETE, &remaster.url, &[]).await.expect_status(204);
    assert_eq!(ana.release(release).await.cover.current, None);
    app.expect_consistent().await;
}

async fn begun_by(app: &App, name: &str) -> (Client, String) {
    let client = app.artist(name).await;
    let release = client.create_release().await;
    let begun = client.begin(UploadTarget::Cover(release), "cover.png", 1000).await;
    (client, begun.url)
}

#[tokio::test]
async fn another_artists_upload_does_not_exist() {
    let app = spawn_app().await;
    let ((ana, anas), (ben, bens)) = (begun_by(&app, "Ana").await, begun_by(&app, "Ben").await);
    let (spool, id) = bens.rsplit_once('/').unwrap();
    let missing = format!("{spool}/{}", uuid::Uuid::now_v7());
    for (anas_answer, none) in ask_all(&ben, &anas).await.into_iter().zip(ask_all(&ben, &missing).await) {
        let (anas_answer, none) = (anas_answer.expect_status(404), none.expect_status(404));
        // The response to a HEAD has no body.
        if !none.body.is_empty() {
            assert_eq!(anas_answer.anonymous_error(), none.anonymous_error());
        }
    }
    for url in ["/api/uploads/1/2".to_owned(), format!("/api/uploads/x/{id}"), format!("{spool}/..%2f..%2fspool.id")] {
        for answer in ask_all(&ben, &url).await {
            answer.expect_status(404);
        }
    }
    for answer in ask_all(&app.anonymous(), &anas).await {
        answer.expect_status(401);
    }
    assert_eq!(ana.offset(&anas).await, 0);
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

/// Returns the seconds until an upload expires, as the response says.
fn expires_in(answer: &TestResponse) -> i64 {
    let at = httpdate::parse_http_date(answer.header("upload-expires").unwrap()).unwrap();
    at.duration_since(std::time::SystemTime::now()).unwrap().as_secs().cast_signed()
}

#[tokio::test]
async fn an_upload_says_until_when_it_is_kept() {
    let app = spawn_app_with(&[("VWAZA_UPLOAD_EXPIRY_HOURS", "2")]).await;
    let ana = app.artist("Ana").await;
    let created = create(&ana, &format!("new-track:{}", ana.create_release().await), "1000").await.expect_status(201);
    let url = created.header("location").unwrap();
    // Makes the upload look as if it was created an hour earlier.
    sqlx::query("update uploads set expires_at = now() + interval '1 hour'").execute(&app.sql).await.unwrap();
    let head = ana.tus(Method::HEAD, url, &[]).await.expect_status(200);
    let patched = ana.patch(url, 0, vec![0; 10]).await.expect_status(204);
    for (answer, hours) in [(&created, 2), (&head, 1), (&patched, 2)] {
        let seconds = expires_in(answer);
        assert!((hours * 3600 - 120..=hours * 3600).contains(&seconds), "{hours}: {seconds}");
    }
    sqlx::query("update uploads set expires_at = now() - interval '1 second'").execute(&app.sql).await.unwrap();
    ana.tus(Method::HEAD, url, &[]).await.expect_status(410);
    ana.patch(url, 10, vec![0; 10]).await.expect_status(410);
}

async fn patch_checked(client: &Client, url: &str, offset: usize, bytes: bytes::Bytes, checksum: &str) -> TestResponse {
    let request = client
        .request(Method::PATCH, url)
        .header("tus-resumable", "1.0.0")
        .header("upload-offset", offset)
        .header("content-type", "application/offset+octet-stream")
        .header("upload-checksum", checksum);
    client.send(request.body(bytes)).await
}

fn sha1_of(bytes: &[u8]) -> String {
    format!("sha1 {}", BASE64_STANDARD.encode(Sha1::digest(bytes)))
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
    let mut line = RawRequest::patch_with(&app, &ana, &begun.url, LONG_SONG_HALF, second.len(), &[&checked]).await;
    line.send(&second[..second.len() / 2]).await;
    app.spooled_beyond(LONG_SONG_HALF).await;
    line.drop_connection().await;
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

#[tokio::test]
async fn a_patch_at_a_wrong_offset_is_told_the_right_one() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let (release, cover) = (ana.create_release().await, a_cover(1));
    let begun = ana.begin(UploadTarget::Cover(release), "cover.png", cover.len()).await;
    let url = &begun.url;
    for (true_offset, wrong) in [(0, 1), (400, 0), (400, 401), (cover.len(), 0), (cover.len(), cover.len() - 1)] {
        let offset = ana.offset(url).await;
        if offset < true_offset {
            ana.patch(url, offset, cover.slice(offset..true_offset)).await.expect_status(204);
        }
        let told = true_offset.to_string();
        let answer = ana.patch(url, wrong, vec![0; 3]).await.expect_error(409, &told);
        assert_eq!(answer.header("upload-offset"), Some(told.as_str()));
    }
    // The offset is not told for an upload that is over, nor for one of somebody else.
    ana.attached(begun.id).await;
    let ben = app.artist("Ben").await;
    assert_eq!(ben.patch(url, 0, vec![0; 3]).await.expect_status(404).header("upload-offset"), None);
    ana.tus(Method::DELETE, url, &[]).await.expect_status(204);
    assert_eq!(ana.patch(url, 0, vec![0; 3]).await.expect_status(410).header("upload-offset"), None);
}

#[tokio::test]
async fn unsupported_extensions_are_named() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let target = format!("new-track:{}", ana.create_release().await);
    let metadata = metadata(&[("target", &target), ("filename", "song.wav")]);
    let url = create(&ana, &target, "1000").await.expect_status(201).header("location").unwrap().to_owned();
    for (name, value, extension) in [
        ("upload-concat", "partial", "concatenation"),
        ("upload-concat", "final;/api/uploads/a /api/uploads/b", "concatenation"),
        ("upload-defer-length", "1", "creation-defer-length"),
        ("upload-defer-length", "0", "creation-defer-length"),
        ("trailer", "Upload-Checksum", "checksum-trailer"),
    ] {
        for length in [Some(("upload-length", "1000")), None] {
            let headers: Vec<_> = [("upload-metadata", &*metadata), (name, value)].into_iter().chain(length).collect();
            ana.tus(Method::POST, "/api/uploads", &headers).await.expect_error(400, extension);
        }
        let chunk = [("upload-offset", "0"), ("content-type", "application/offset+octet-stream"), (name, value)];
        ana.tus(Method::PATCH, &url, &chunk).await.expect_error(400, extension);
    }
    let uploads: i64 = sqlx::query_scalar("select count(*) from uploads").fetch_one(&app.sql).await.unwrap();
    assert_eq!(uploads, 1);
    let options =
        app.anonymous().send(app.anonymous().request(Method::OPTIONS, "/api/uploads")).await.expect_status(204);
    let spoken: Vec<_> = options.header("tus-extension").unwrap().split(',').collect();
    assert!(["concatenation", "creation-defer-length", "checksum-trailer"].iter().all(|name| !spoken.contains(name)));
}

/// If a header has two values, it is unclear which is meant.
#[tokio::test]
async fn a_header_that_comes_twice_is_refused() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let target = metadata(&[("target", &format!("new-track:{release}"))]);
    let url = create(&ana, &format!("new-track:{release}"), "1000").await.header("location").unwrap().to_owned();
    let chunk = ("content-type", "application/offset+octet-stream");
    let create = [("upload-length", "1000"), ("upload-metadata", &*target)];
    let patch = [chunk, ("upload-offset", "0"), ("upload-checksum", "sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk=")];
    for (method, path, headers, twice, status) in [
        (Method::POST, "/api/uploads", &create[..], ("upload-length", "1000"), 400),
        (Method::POST, "/api/uploads", &create[..], ("upload-length", "9"), 400),
        (Method::POST, "/api/uploads", &create[..], ("upload-metadata", &*target), 400),
        (Method::POST, "/api/uploads", &create[..], ("tus-resumable", "0.2.2"), 412),
        (Method::PATCH, &url, &patch[..], ("upload-offset", "7"), 400),
        (Method::PATCH, &url, &patch[..], ("upload-checksum", "md5 1B2M2Y8AsgTpgAmy7PhCfg=="), 400),
        (Method::PATCH, &url, &patch[..], ("content-type", "text/plain"), 415),
        (Method::PATCH, &url, &patch[..], ("tus-resumable", "0.2.2"), 412),
        (Method::HEAD, &url, &[], ("tus-resumable", "0.2.2"), 412),
        (Method::DELETE, &url, &[], ("tus-resumable", "0.2.2"), 412),
    ] {
        let headers = [headers, &[twice]].concat();
        let answer = ana.tus(method.clone(), path, &headers).await;
        assert_eq!(answer.status, status, "{method} {headers:?}: {}", answer.text());
    }
    assert_eq!((ana.offset(&url).await, ana.release(release).await.tracks.len()), (0, 1));
    // Upload-Metadata is a list, so several headers are allowed.
    let more = metadata(&[("filename", "in_lines.wav")]);
    let headers = [create[0], create[1], ("upload-metadata", &more)];
    ana.tus(Method::POST, "/api/uploads", &headers).await.expect_status(201);
    assert_eq!(ana.release(release).await.tracks[1].title, "in lines");
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

/// Tus and plain forms refuse such uploads as the application does.
#[tokio::test]
async fn releases_of_others_and_submitted_ones_take_no_uploads() {
    let app = spawn_app().await;
    let (ana, ben) = (app.artist("Ana").await, app.artist("Ben").await);
    let release = ana.release_in_review().await;
    let (id, track, none) = (release.id, release.tracks[0].id, uuid::Uuid::now_v7());
    let form = async |client: &Client, target: &str| {
        let part = reqwest::multipart::Part::bytes(a_song(1).to_vec()).file_name("song.wav");
        let form = reqwest::multipart::Form::new().text("target", target.to_owned()).part("file", part);
        client.send(client.request(Method::POST, "/api/uploads/form").multipart(form)).await
    };
    for (target, missing) in [
        (format!("cover:{id}"), format!("cover:{none}")),
        (format!("new-track:{id}"), format!("new-track:{none}")),
        (format!("audio:{track}"), format!("audio:{none}")),
    ] {
        for (anas, nobodys) in [
            (create(&ben, &target, "1000").await, create(&ben, &missing, "1000").await),
            (form(&ben, &target).await, form(&ben, &missing).await),
        ] {
            let (anas, nobodys) = (anas.expect_status(404), nobodys.expect_status(404));
            assert_eq!(anas.anonymous_error(), nobodys.anonymous_error(), "{target}");
        }
        create(&ana, &target, "1000").await.expect_error(409, "submitted");
        form(&ana, &target).await.expect_error(409, "submitted");
    }
    assert_eq!(ana.release(id).await, release);
    app.expect_consistent().await;
}

#[tokio::test]
async fn no_value_of_a_header_makes_the_server_fail() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let target = format!("new-track:{}", ana.create_release().await);
    let url = create(&ana, &target, "1000").await.header("location").unwrap().to_owned();
    let given = metadata(&[("target", &target), ("filename", "song.wav"), ("fingerprint", "1")]);
    let usual = [
        ("upload-length", "1000"),
        ("upload-offset", "0"),
        ("upload-metadata", &*given),
        ("upload-checksum", "sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk="),
        ("content-type", "application/offset+octet-stream"),
        ("x-http-method-override", "PATCH"),
        ("upload-concat", "partial"),
        ("upload-defer-length", "1"),
        ("trailer", "Upload-Checksum"),
        ("authorization", "Bearer x"),
        ("origin", "http://elsewhere.example"),
    ];
    let long = "9".repeat(7000);
    let nasty: [&[u8]; 13] = [
        b"",
        b"-1",
        b"+1",
        b"1e9",
        b"18446744073709551616",
        b"\xff\xfe",
        b"\t",
        b",,,",
        b"a a a,b",
        b"sha1 ====",
        b"sha256 \xc3\xa9",
        b"'; drop table uploads; --",
        long.as_bytes(),
    ];
    let methods = [Method::POST, Method::HEAD, Method::PATCH, Method::GET];
    for (name, _) in usual {
        for value in nasty {
            for (method, path) in methods.iter().flat_map(|method| [(method, "/api/uploads"), (method, url.as_str())]) {
                let request = ana.request(method.clone(), path).header("tus-resumable", "1.0.0");
                let others = usual.iter().take(5).filter(|(other, _)| *other != name);
                let request = others.fold(request, |request, (name, value)| request.header(*name, *value));
                let request = request.header(name, http::HeaderValue::from_bytes(value).unwrap()).body("RI");
                let answer = ana.send(request).await;
                assert!(answer.status < 500, "{method} {path}, {name}: {value:?}: {} {}", answer.status, answer.text());
            }
        }
    }
    app.expect_consistent().await;
}
