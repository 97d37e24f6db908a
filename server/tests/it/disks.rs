//! Disks that are full, that have only the reserve left, or that are not mounted.

use std::path::PathBuf;

use serde_json::Value;
use vwaza::domain::{
    files::FileState,
    release::ReleaseView,
    upload::{UploadState, UploadTarget},
};

use crate::support::{
    App, Client, LONG_SONG_HALF, RawRequest, a_cover, a_long_song, a_song, all_jobs_end, eventually, sha256, spawn_app,
    spawn_app_with,
};

/// A reserve that no disk has free.
const EVERYTHING: (&str, &str) = ("VWAZA_SPOOL_RESERVE_MB", "1000000000000");

/// The disk is full once in the middle of a write, half of which succeeds, and once when written bytes are flushed.
#[tokio::test]
async fn u8_a_full_disk_is_reported_and_keeps_the_bytes_it_has() {
    for point in ["disk-full=1*return->off", "sync-fails=1*return->off"] {
        let mut app = spawn_app().await;
        let ana = app.artist("Ana").await;
        let (release, song, other_song) = (ana.create_release().await, a_long_song(1), a_long_song(2));
        let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", song.len()).await;
        ana.patch(&begun.url, 0, song.slice(..LONG_SONG_HALF)).await.expect_status(204);
        app.restart_with(&[("VWAZA_FAIL_POINTS", point)]).await;
        // Another upload is in its middle when the disk is full. Its bytes are still in the buffer, because they are
        // fewer than the server writes at once.
        let other = ana.begin(UploadTarget::NewTrack(release), "other.wav", other_song.len()).await;
        let mut writing = RawRequest::patch(&app, &ana, &other.url, 0, other_song.len()).await;
        writing.send(&other_song[..100_000]).await;
        let full = ana.patch(&begun.url, LONG_SONG_HALF, song.slice(LONG_SONG_HALF..)).await;
        assert_eq!(full.expect_error(507, "disk is full").header("retry-after"), Some("2"));
        let offset = ana.offset(&begun.url).await;
        assert!((LONG_SONG_HALF..song.len()).contains(&offset), "{offset}");
        writing.send(&other_song[100_000..]).await;
        assert_eq!(writing.status().await, 204);
        assert_eq!(ana.attached(other.id).await.sha256, Some(sha256(&other_song)));
        ana.patch(&begun.url, offset, song.slice(offset..)).await.expect_status(204);
        assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&song)));
        app.expect_consistent().await;
    }
}

#[tokio::test]
async fn u8_a_disk_counts_as_full_while_its_reserve_is_free() {
    let mut app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let (release, song) = (ana.create_release().await, a_long_song(1));
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", song.len()).await;
    ana.patch(&begun.url, 0, song.slice(..LONG_SONG_HALF)).await.expect_status(204);
    app.restart_with(&[EVERYTHING]).await;
    ana.patch(&begun.url, LONG_SONG_HALF, song.slice(LONG_SONG_HALF..)).await.expect_error(507, "disk is full");
    assert_eq!(ana.offset(&begun.url).await, LONG_SONG_HALF);
    let spooled = std::fs::metadata(app.only_file_in("spool/uploads")).unwrap().len();
    assert_eq!(usize::try_from(spooled).unwrap(), LONG_SONG_HALF);
    // The rest of the product goes on.
    ana.create_release().await;
    app.restart_with(&[("VWAZA_SPOOL_RESERVE_MB", "0")]).await;
    ana.patch(&begun.url, LONG_SONG_HALF, song.slice(LONG_SONG_HALF..)).await.expect_status(204);
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&song)));
    app.expect_consistent().await;
}

/// The file is smaller than the server writes at once, and it comes by tus and by a form.
#[tokio::test]
async fn u8_a_disk_with_only_its_reserve_takes_no_small_file_either() {
    let mut app = spawn_app_with(&[EVERYTHING]).await;
    let ana = app.artist("Ana").await;
    let (release, song) = (ana.create_release().await, a_song(1));
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", song.len()).await;
    ana.patch(&begun.url, 0, song.slice(..1000)).await.expect_error(507, "disk is full");
    assert_eq!(ana.offset(&begun.url).await, 0);
    app.restart_with(&[("VWAZA_SPOOL_RESERVE_MB", "0")]).await;
    ana.patch(&begun.url, 0, song.clone()).await.expect_status(204);
    ana.attached(begun.id).await;
    app.expect_consistent().await;
}

/// The disk is full once by its free space, and once because a write fails.
#[tokio::test]
async fn a_full_disk_under_local_storage_is_reported_and_fails_no_file() {
    let state = async |client: &Client| -> (Value, Value) {
        let health: Value = client.get("/health").await.json();
        (health["status"].clone(), health["storage"].clone())
    };
    let mut app = spawn_app_with(&[EVERYTHING]).await;
    let anonymous = app.anonymous();
    let full = ("degraded".into(), "full".into());
    eventually("it is full", async || (state(&anonymous).await == full).then_some(())).await;
    let settings = [
        ("VWAZA_SPOOL_RESERVE_MB", "0"),
        ("VWAZA_JOB_MAX_RETRIES", "1"),
        ("VWAZA_FAIL_POINTS", "storage-full=2*return->off"),
    ];
    app.restart_with(&settings).await;
    let well = ("ok".into(), "ok".into());
    eventually("it is not any more", async || (state(&anonymous).await == well).then_some(())).await;
    let ana = app.artist("Ana").await;
    let (begun, answer) = ana.upload(UploadTarget::Cover(ana.create_release().await), "cover.png", a_cover(1)).await;
    answer.expect_status(204);
    eventually("it is full", async || (state(&anonymous).await == full).then_some(())).await;
    ana.attached(begun.id).await;
    eventually("it is not any more", async || (state(&anonymous).await == well).then_some(())).await;
    let failures: i64 =
        sqlx::query_scalar("select sum(retry_count) from upload_jobs").fetch_one(&app.sql).await.unwrap();
    assert_eq!(failures, 0);
    app.expect_consistent().await;
}

/// The folder of local storage, and the place to which a simulated unmount moves its contents.
struct Mount {
    folder: PathBuf,
    disk: PathBuf,
}

impl Mount {
    fn of(app: &App) -> Self {
        Self { folder: app.data_dir().join("objects"), disk: app.data_dir().join("disk") }
    }

    /// Leaves an empty folder, as unmounting a disk does.
    fn unmount(&self) {
        std::fs::rename(&self.folder, &self.disk).unwrap();
        std::fs::create_dir(&self.folder).unwrap();
    }

    /// Mounting would hide files that were put into the folder meanwhile.
    fn mount(&self) {
        std::fs::remove_dir(&self.folder).expect("the folder is empty");
        std::fs::rename(&self.disk, &self.folder).unwrap();
    }
}

#[tokio::test]
async fn a_disk_that_is_unmounted_loses_no_file_that_arrives_meanwhile() {
    let mut app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let (release, song, other) = (ana.create_release().await, a_song(1), a_song(2));
    ana.attach(UploadTarget::NewTrack(release), "song.wav", song.clone()).await;
    let view = ana.release_once(release, "it is examined", |view| view.tracks[0].state() == FileState::Ready).await;
    let address = format!("/media/original/{}", view.tracks[0].audio.as_ref().unwrap().object);
    let mount = Mount::of(&app);

    mount.unmount();
    ana.get(&address).await.expect_status(503);
    let (begun, answer) = ana.upload(UploadTarget::NewTrack(release), "other.wav", other.clone()).await;
    answer.expect_status(204);
    eventually("the circuit opens", async || {
        let health: Value = ana.get("/health").await.ok();
        (health["storage"] == "open").then_some(())
    })
    .await;
    assert_eq!(ana.upload_status(begun.id).await.state, UploadState::Received);
    mount.mount();
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&other)));
    let all_ready = |view: &ReleaseView| view.tracks.iter().all(|track| track.state() == FileState::Ready);
    ana.release_once(release, "all of it is examined", all_ready).await;
    assert_eq!(sha256(&ana.get(&address).await.expect_status(200).body), sha256(&song));

    app.kill();
    mount.unmount();
    // The folder holds something from another time.
    let left = mount.folder.join("audio");
    std::fs::create_dir(&left).unwrap();
    let fsck = app.run(&["fsck"], "");
    assert!(!fsck.status.success());
    for said in [app.refuses_to_start().await, String::from_utf8(fsck.stderr).unwrap()] {
        assert!(said.contains("Mount its disk, or restore it, and start again"), "{said}");
    }
    std::fs::remove_dir(&left).unwrap();
    mount.mount();
    app.start().await;
    app.expect_consistent().await;
}

/// The operator follows the way that the error names.
#[tokio::test]
async fn an_operator_who_has_lost_all_objects_may_begin_anew() {
    let mut app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let (release, song) = (ana.create_release().await, a_song(1));
    let lost = ana.attach(UploadTarget::NewTrack(release), "song.wav", song.clone()).await;
    ana.release_once(release, "it is examined", |view| view.tracks[0].state() == FileState::Ready).await;
    app.kill();
    let folder = app.data_dir().join("objects");
    std::fs::remove_dir_all(&folder).unwrap();
    let said = app.refuses_to_start().await;
    let (_, remedy) = said.trim().rsplit_once("begin anew with: ").unwrap();
    assert!(std::process::Command::new("sh").args(["-c", remedy]).status().unwrap().success(), "{remedy}");
    app.start().await;
    let report = String::from_utf8_lossy(&app.run(&["fsck"], "").stdout).into_owned();
    assert!(report.contains("missing object audio/"), "{report}");
    ana.attach(UploadTarget::Audio(lost.track.unwrap()), "song.wav", song).await;
    app.expect_consistent().await;
}

/// An earlier version has left a folder without an id.
#[tokio::test]
async fn a_folder_that_has_no_id_yet_is_given_one() {
    let mut app = spawn_app().await;
    let ana = app.artist("Ana").await;
    ana.attach(UploadTarget::Cover(ana.create_release().await), "cover.png", a_cover(1)).await;
    all_jobs_end(&app.sql).await;
    app.kill();
    sqlx::query("delete from storage_folder").execute(&app.sql).await.unwrap();
    let id_file = app.data_dir().join("objects/storage.id");
    std::fs::remove_file(&id_file).unwrap();
    app.expect_consistent().await;
    assert!(!id_file.exists(), "fsck must not create the id");
    app.start().await;
    assert!(id_file.exists());
    app.expect_consistent().await;
}
