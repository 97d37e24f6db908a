//! Uploads that nobody resumes: when they expire, and which of them never do.

use std::os::unix::process::ExitStatusExt;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::Method;
use sha2::{Digest, Sha256};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};
use vwaza::domain::upload::{UploadState, UploadTarget};

use crate::support::{
    App, Bucket, Client, LONG_SONG_HALF, RawRequest, SIGABRT, TestResponse, a_long_song, a_song, eventually, sha256,
    spawn_app,
};

fn expires(answer: &TestResponse) -> Option<OffsetDateTime> {
    let date = answer.header("upload-expires")?.replace("GMT", "+0000");
    Some(OffsetDateTime::parse(&date, &Rfc2822).unwrap())
}

#[tokio::test]
async fn every_response_to_a_chunk_says_when_its_upload_expires() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let song = a_song(1);
    let begun = ana.begin(UploadTarget::NewTrack(ana.create_release().await), "song.wav", song.len()).await;
    let url = &begun.url;
    let chunk = ("content-type", "application/offset+octet-stream");
    let wrong_sum = ("upload-checksum", "sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk=");
    let patch = async |headers: &[(&str, &str)], bytes: bytes::Bytes| {
        let request = ana.request(Method::PATCH, url).header("tus-resumable", "1.0.0").body(bytes);
        ana.send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    };
    for (answer, status) in [
        (ana.patch(url, 0, song.slice(..1000)).await, 204),
        (ana.patch(url, 7, song.slice(..1000)).await, 409),
        (patch(&[("upload-offset", "1000")], song.slice(..10)).await, 415),
        (patch(&[chunk, ("upload-offset", "soon")], song.slice(..10)).await, 400),
        (patch(&[chunk, ("upload-offset", "1000"), wrong_sum], song.slice(..10)).await, 460),
        (ana.send(ana.request(Method::PATCH, url)).await, 412),
        (ana.patch(url, 1000, vec![0; 64_000_000]).await, 413),
    ] {
        let answer = answer.expect_status(status);
        let left = expires(&answer).unwrap_or_else(|| panic!("{status} says nothing")) - OffsetDateTime::now_utc();
        assert!((23..=24).contains(&left.whole_hours()), "{status}: {left}");
    }
    let (ben, nobody) = (app.artist("Ben").await, app.anonymous());
    assert_eq!(expires(&ben.patch(url, 1000, vec![0]).await.expect_status(404)), None);
    assert_eq!(expires(&nobody.patch(url, 1000, vec![0]).await.expect_status(401)), None);
    // An upload that is whole, or over, does not expire.
    let offset = ana.offset(url).await;
    assert_eq!(expires(&ana.patch(url, offset, song.slice(offset..)).await.expect_status(204)), None);
    assert_eq!(expires(&ana.patch(url, 7, vec![0]).await.expect_status(409)), None);
    let other = ana.begin(UploadTarget::NewTrack(ana.create_release().await), "other.wav", 1000).await;
    ana.tus(Method::DELETE, &other.url, &[]).await.expect_status(204);
    assert_eq!(expires(&ana.patch(&other.url, 0, vec![0]).await.expect_status(410)), None);
}

/// Writing to an upload extends it. Another upload expires meanwhile.
#[tokio::test]
async fn u22_an_upload_that_is_being_written_does_not_expire() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let (release, song) = (ana.create_release().await, a_long_song(1));
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", song.len()).await;
    let marker = ana.begin(UploadTarget::NewTrack(release), "marker.wav", 1000).await;
    sqlx::query("update uploads set expires_at = now() + interval '1 minute'").execute(&app.sql).await.unwrap();
    let mut writing = RawRequest::patch(&app, &ana, &begun.url, 0, song.len()).await;
    let query = sqlx::query_scalar("select expires_at > now() + interval '1 hour' from uploads where id = $1");
    let is_prolonged: bool = query.bind(begun.id.0).fetch_one(&app.sql).await.unwrap();
    assert!(is_prolonged);
    writing.send(&song[..LONG_SONG_HALF]).await;
    let expire = sqlx::query("update uploads set expires_at = now() where id = $1").bind(marker.id.0);
    expire.execute(&app.sql).await.unwrap();
    eventually("the other one has expired", async || {
        (ana.upload_status(marker.id).await.state == UploadState::Expired).then_some(())
    })
    .await;
    writing.send(&song[LONG_SONG_HALF..]).await;
    assert_eq!(writing.status().await, 204);
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&song)));
    app.expect_consistent().await;
}

/// Nothing of the chunk counts before all of it has arrived, which takes longer than uploads are kept.
#[tokio::test]
async fn u22_a_chunk_with_a_checksum_that_takes_long_does_not_expire() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let song = a_song(1);
    let begun = ana.begin(UploadTarget::NewTrack(ana.create_release().await), "song.wav", song.len()).await;
    let checksum = format!("Upload-Checksum: sha256 {}", BASE64_STANDARD.encode(Sha256::digest(&song)));
    let mut writing = RawRequest::patch_with(&app, &ana, &begun.url, 0, song.len(), &[&checksum]).await;
    sqlx::query("update uploads set expires_at = now() + interval '1 minute'").execute(&app.sql).await.unwrap();
    let mut sent = 0;
    eventually("it is prolonged", async || {
        writing.send(&song[sent..sent + 1]).await;
        sent += 1;
        let prolonged: bool = sqlx::query_scalar("select expires_at > now() + interval '1 hour' from uploads")
            .fetch_one(&app.sql)
            .await
            .unwrap();
        prolonged.then_some(())
    })
    .await;
    writing.send(&song[sent..]).await;
    assert_eq!(writing.status().await, 204);
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&song)));
    app.expect_consistent().await;
}

async fn state_of(client: &Client, id: vwaza::domain::ids::UploadId) -> UploadState {
    client.upload_status(id).await.state
}

/// A process is away for longer than uploads are kept. Another process expires its unfinished uploads, and no whole
/// one.
#[tokio::test]
async fn whole_uploads_on_a_spool_that_is_away_wait_and_unfinished_ones_expire() {
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
    let there = second.signed_in_here(&ana);
    eventually("what was not whole has expired", async || {
        (state_of(&there, half.id).await == UploadState::Expired).then_some(())
    })
    .await;
    // One statement decides on both uploads.
    assert_eq!(state_of(&there, whole.id).await, UploadState::Receiving);
    // Beginning the upload again does not cancel it.
    let again = there.begin(UploadTarget::NewTrack(release), "whole.wav", song.len()).await;
    assert_eq!((again.id, again.offset), (whole.id, song.len() as i64));

    first.start_with(&[("VWAZA_FAIL_POINTS", "")]).await;
    assert_eq!(there.attached(whole.id).await.sha256, Some(sha256(&song)));
    eventually("no bytes are left", async || first.files_in("spool/uploads").is_empty().then_some(())).await;
    first.expect_consistent().await;
}
