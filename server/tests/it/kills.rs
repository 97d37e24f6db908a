//! Kills the server at each step of an upload. The artist's browser tries again, and in the end everything is there
//! once and `fsck` agrees.

use std::{os::unix::process::ExitStatusExt, path::PathBuf};

use bytes::Bytes;
use futures::future::{LocalBoxFuture, maybe_done, pending};
use http::Method;
use testing::fixtures;
use vwaza::domain::{
    files::FileState,
    ids::{ReleaseId, TrackId},
    upload::{BegunUpload, RawIntent, UploadState, UploadStatus, UploadTarget},
};

use crate::support::{App, Client, SIGABRT, a_cover, a_long_song, ends, eventually, sha256, spawn_app_with};

const SETTINGS: [(&str, &str); 1] = [("VWAZA_JOB_LEASE_SECONDS", "2")];

/// Uploads like a browser: begins, asks for the offset, sends the rest, and starts again after any error.
async fn upload_stubbornly(ana: &Client, release: ReleaseId, song: &Bytes) {
    let url = eventually("the upload begins", async || begin(ana, release, song).await).await;
    eventually("the upload is attached", async || send(ana, &url, song).await).await;
}

async fn begin(ana: &Client, release: ReleaseId, song: &Bytes) -> Option<String> {
    let (target, length) = (UploadTarget::NewTrack(release), i64::try_from(song.len()).unwrap());
    let intent = RawIntent { target, file_name: "song.wav".into(), length, fingerprint: "1".into(), sha256: None };
    let begin = ana.request(Method::POST, "/api/upload/begin").header("accept", "application/json");
    let begun = ana.try_send(begin.json(&serde_json::json!({ "intent": intent }))).await.ok()?;
    Some(serde_json::from_slice::<BegunUpload>(&begun.body).ok()?.url)
}

/// Sends the upload to its end, or to the next error.
async fn send(ana: &Client, url: &str, song: &Bytes) -> Option<()> {
    let tus = |method| ana.request(method, url).header("tus-resumable", "1.0.0");
    loop {
        let status = ana.try_send(ana.request(Method::GET, url)).await.ok()?;
        match status.json::<UploadStatus>().state {
            UploadState::Attached => return Some(()),
            UploadState::Receiving => {}
            UploadState::Received => return None,
            over => panic!("the upload is {over:?}"),
        }
        let head = ana.try_send(tus(Method::HEAD)).await.ok()?;
        let offset: usize = head.header("upload-offset")?.parse().ok()?;
        let patch = tus(Method::PATCH)
            .header("upload-offset", offset)
            .header("content-type", "application/offset+octet-stream")
            .body(song.slice(offset..(offset + 1_300_000).min(song.len())));
        ana.try_send(patch).await.ok()?;
    }
}

/// A server that a fail point has killed in the middle of an upload, and a client that keeps trying.
struct KillPoint {
    app: App,
    ana: Client,
    release: ReleaseId,
    song: Bytes,
    uploading: LocalBoxFuture<'static, ()>,
    /// The complete files in the storage at that time.
    put: Vec<PathBuf>,
}

impl KillPoint {
    async fn at(point: &str) -> Self {
        let armed = format!("{point}=kill");
        let mut app = spawn_app_with(&SETTINGS).await;
        let ana = app.artist("Ana").await;
        let (release, song) = (ana.create_release().await, a_long_song(1));
        app.restart_with(&[("VWAZA_FAIL_POINTS", &armed)]).await;
        let (client, file) = (ana.clone(), song.clone());
        let mut uploading = Box::pin(maybe_done(async move { upload_stubbornly(&client, release, &file).await }));
        let status = tokio::select! {
            status = app.ended() => status,
            // The file may be attached before the server is killed.
            status = async { (&mut uploading).await; pending().await } => status,
        };
        assert_eq!(status.signal(), Some(SIGABRT), "{point} must kill the server");
        app.expect_nothing_damaged().await;
        let mut put = app.files_in("objects/audio");
        // An incomplete file has a `#` in its name.
        put.retain(|path| !path.to_string_lossy().contains('#'));
        Self { app, ana, release, song, uploading, put }
    }

    /// Starts the server again, without the fail point.
    async fn survives(mut self) {
        self.app.start_with(&[("VWAZA_FAIL_POINTS", "")]).await;
        ends("the client brings its upload to an end", self.uploading).await;
        all_is_there_once(&self.app, &self.ana, self.release, &self.song).await;
        assert!(self.put.is_empty() || self.app.files_in("objects/audio") == self.put, "an object was put twice");
    }
}

async fn all_is_there_once(app: &App, ana: &Client, release: ReleaseId, song: &Bytes) {
    let release = ana
        .release_once(release, "it is examined", |release| {
            release.tracks.iter().any(|track| track.audio.as_ref().is_some_and(|audio| audio.facts.is_some()))
        })
        .await;
    assert_eq!(release.tracks.len(), 1);
    let audio = release.tracks[0].audio.clone().unwrap();
    assert_eq!(audio.sha256, sha256(song));
    assert_eq!(ana.get(&format!("/media/original/{}", audio.object)).await.body, *song);
    // After the grace time, nothing of other attempts is left.
    eventually("only what is attached is stored", async || {
        app.expect_nothing_damaged().await;
        let rows: i64 = sqlx::query_scalar("select count(*) from objects").fetch_one(&app.sql).await.unwrap();
        (rows == 1 && app.files_in("objects/audio").len() == 1 && app.files_in("spool/uploads").is_empty())
            .then_some(())
    })
    .await;
    app.expect_consistent().await;
}

/// The thumbnails of a cover are put before anything is recorded.
#[tokio::test]
async fn j12_a_cover_whose_examination_is_killed_has_each_thumbnail_once() {
    for point in ["file-examined", "examination-recorded"] {
        let mut app = spawn_app_with(&SETTINGS).await;
        let ana = app.artist("Ana").await;
        let release = ana.create_release().await;
        app.restart_with(&[("VWAZA_FAIL_POINTS", &format!("{point}=kill"))]).await;
        let (_, answer) = ana.upload(UploadTarget::Cover(release), "cover.png", a_cover(1)).await;
        answer.expect_status(204);
        assert_eq!(app.ended().await.signal(), Some(SIGABRT), "{point} must kill the server");
        app.expect_nothing_damaged().await;
        let put = app.files_in("objects/thumbnails").len();
        assert!(put > 0);
        app.start_with(&[("VWAZA_FAIL_POINTS", "")]).await;
        ana.release_once(release, "it is examined", |release| release.cover.state() == FileState::Ready).await;
        eventually("each is there once", async || {
            app.expect_nothing_damaged().await;
            let edges: Vec<(i32, String)> =
                sqlx::query_as("select edge_px, state::text from objects where role = 'THUMBNAIL' order by edge_px")
                    .fetch_all(&app.sql)
                    .await
                    .unwrap();
            let is_so = edges.len() == put
                && edges.is_sorted_by(|one, next| one.0 < next.0)
                && edges.iter().all(|(_, state)| state == "ATTACHED");
            (is_so && app.files_in("objects/thumbnails").len() == put).then_some(())
        })
        .await;
        app.expect_consistent().await;
    }
}

/// The copy to listen to is put before anything is recorded, too.
#[tokio::test]
async fn j12_a_track_whose_examination_is_killed_has_one_copy_to_listen_to() {
    for point in ["file-examined", "examination-recorded"] {
        let mut app = spawn_app_with(&SETTINGS).await;
        let ana = app.artist("Ana").await;
        let release = ana.create_release().await;
        app.restart_with(&[("VWAZA_FAIL_POINTS", &format!("{point}=kill"))]).await;
        let song = fixtures::aiff(2.0, 44_100, 16, 1);
        let (_, answer) = ana.upload(UploadTarget::NewTrack(release), "song.aiff", song.into()).await;
        answer.expect_status(204);
        assert_eq!(app.ended().await.signal(), Some(SIGABRT), "{point} must kill the server");
        app.expect_nothing_damaged().await;
        assert_eq!(app.files_in("objects/listening").len(), 1);
        app.start_with(&[("VWAZA_FAIL_POINTS", "")]).await;
        ana.release_once(release, "it is examined", |release| release.tracks[0].state() == FileState::Ready).await;
        eventually("one is there", async || {
            app.expect_nothing_damaged().await;
            let states: Vec<String> = sqlx::query_scalar("select state::text from objects where role = 'LISTENING'")
                .fetch_all(&app.sql)
                .await
                .unwrap();
            (states == ["ATTACHED"] && app.files_in("objects/listening").len() == 1).then_some(())
        })
        .await;
        app.expect_consistent().await;
    }
}

#[tokio::test]
async fn j1_a_kill_before_the_commit_neither_receives_the_file_nor_adds_its_job() {
    let killed = KillPoint::at("job-added").await;
    let sql = &killed.app.sql;
    let state: String = sqlx::query_scalar("select state::text from uploads").fetch_one(sql).await.unwrap();
    let jobs: i64 = sqlx::query_scalar("select count(*) from upload_jobs").fetch_one(sql).await.unwrap();
    assert_eq!((state.as_str(), jobs), ("RECEIVING", 0));
    killed.survives().await;
}

macro_rules! survives {
    ($($name:ident: $point:literal, $put:literal put)*) => { $(
        #[tokio::test]
        async fn $name() {
            let killed = KillPoint::at($point).await;
            assert_eq!(killed.put.len(), $put);
            killed.survives().await;
        }
    )* };
}

survives! {
    u1_after_the_intent_before_its_reply: "upload-begun", 0 put
    u2_after_bytes_are_flushed_before_they_are_counted: "bytes-flushed", 0 put
    u10_after_the_last_byte_before_its_completion: "last-byte-counted", 0 put
    u28_after_the_commit_that_receives_it: "upload-received", 0 put
    j12_before_the_object_is_put: "object-intended", 0 put
    j12_while_the_object_is_put: "object-half-put", 0 put
    u11_after_the_object_is_put_before_it_is_attached: "object-put", 1 put
    u12_after_the_commit_that_attaches_it: "object-attached", 1 put
    j2_right_after_a_claim: "job-claimed", 1 put
    j12_before_an_examination_is_recorded: "file-examined", 1 put
    j12_after_an_examination_is_recorded: "examination-recorded", 1 put
}

/// Files are uploaded, replaced, removed, examined and reaped, and the server is killed again and again. Whenever
/// `fsck` runs, nothing that a release shows is missing.
#[tokio::test]
async fn r6_fsck_finds_nothing_beside_uploads_examinations_kills_and_the_reaper() {
    let mut app = spawn_app_with(&SETTINGS).await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    for _ in 0..4 {
        let working = async {
            // The kill may break off any of these requests.
            for seed in 0_u64.. {
                let cover = fixtures::cover_png(640, seed).into();
                let _cut_off = put(&ana, UploadTarget::Cover(release), "cover.png", cover).await;
                let song = fixtures::aiff(1.0, 44_100, 16, seed).into();
                if let Some(track) = put(&ana, UploadTarget::NewTrack(release), "song.aiff", song).await
                    && seed.is_multiple_of(2)
                {
                    let remove = ana.request(Method::POST, "/api/tracks/remove").header("accept", "application/json");
                    let _cut_off = ana.try_send(remove.form(&[("id", track)])).await;
                }
            }
        };
        let looking = async {
            for _ in 0..5 {
                app.expect_nothing_damaged().await;
            }
        };
        tokio::select! {
            () = working => {}
            () = looking => {}
        }
        app.kill();
        app.expect_nothing_damaged().await;
        app.start().await;
    }
    app.expect_consistent().await;
}

/// Begins and sends a file as far as the server lives. Returns the track that it is for.
async fn put(ana: &Client, target: UploadTarget, name: &str, bytes: Bytes) -> Option<TrackId> {
    let length = i64::try_from(bytes.len()).unwrap();
    let intent = RawIntent { target, file_name: name.into(), length, fingerprint: String::new(), sha256: None };
    let begin = ana.request(Method::POST, "/api/upload/begin").header("accept", "application/json");
    let begun = ana.try_send(begin.json(&serde_json::json!({ "intent": intent }))).await.ok()?;
    let begun: BegunUpload = serde_json::from_slice(&begun.body).ok()?;
    let _cut_off = ana.try_patch(&begun.url, 0, bytes).await;
    begun.track
}
