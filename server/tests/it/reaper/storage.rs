//! Tests deletions that fail, come late or are interrupted.

use std::os::unix::process::ExitStatusExt;

use vwaza::domain::{files::FileState, upload::UploadTarget};

use super::objects;
use crate::support::{App, SIGABRT, a_song, eventually, spawn_app, spawn_app_with};

/// Returns the number of failed runs of the reaper.
fn failed_rounds(app: &App) -> usize {
    let failed = app.log.events("janitor chore failed; trying again in the next round");
    failed.iter().filter(|event| event["chore"] == "reaper").count()
}

#[tokio::test]
async fn u13_a_put_that_lands_after_its_object_was_deleted_is_deleted_too() {
    let app = spawn_app_with(&[("VWAZA_ORPHAN_GRACE_SECONDS", "20")]).await;
    let ana = app.artist("Ana").await;
    // Makes the grace time since the delete pass.
    let age = async || {
        let age = "update objects set deleted_at = now() - interval '1 hour' where deleted_at is not null";
        sqlx::query(age).execute(&app.sql).await.unwrap();
    };
    for has_landed_before in [true, false] {
        let release = ana.create_release().await;
        ana.attach(UploadTarget::NewTrack(release), "song.wav", a_song(1)).await;
        let stored = app.only_file_in("objects/audio");
        if !has_landed_before {
            std::fs::remove_file(&stored).unwrap();
        }
        let track = ana.release(release).await.tracks[0].id;
        ana.call_with("tracks/remove", "id", track).await.expect_status(200);
        eventually("it is deleted for the first time", async || {
            let deleted = sqlx::query_scalar("select deleted_at is not null from objects").fetch_optional(&app.sql);
            deleted.await.unwrap().filter(|deleted: &bool| *deleted)
        })
        .await;
        assert!(!stored.exists());
        std::fs::write(&stored, "late").unwrap();
        age().await;
        eventually("it is deleted again", async || (!stored.exists()).then_some(())).await;
        eventually("its row is gone", async || {
            age().await;
            objects(&app).await.is_empty().then_some(())
        })
        .await;
        assert!(!stored.exists());
    }
    app.expect_consistent().await;
}

#[tokio::test]
async fn u14_a_delete_that_fails_is_tried_again() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    ana.attach(UploadTarget::NewTrack(release), "song.wav", a_song(1)).await;
    let stored = app.only_file_in("objects/audio");
    // A folder at the file's path makes the delete fail.
    std::fs::remove_file(&stored).unwrap();
    std::fs::create_dir(&stored).unwrap();
    let track = ana.release(release).await.tracks[0].id;
    ana.call_with("tracks/remove", "id", track).await.expect_status(200);
    eventually("the delete fails", async || (failed_rounds(&app) > 1).then_some(())).await;
    assert_eq!(objects(&app).await.len(), 1);
    // Storing and deleting other objects goes on.
    let other = ana.attach(UploadTarget::NewTrack(release), "other.wav", a_song(2)).await.track.unwrap();
    assert_eq!(objects(&app).await.len(), 2);
    ana.call_with("tracks/remove", "id", other).await.expect_status(200);
    eventually("the other one is gone", async || (objects(&app).await.len() == 1).then_some(())).await;
    std::fs::remove_dir(&stored).unwrap();
    eventually("its row is gone", async || objects(&app).await.is_empty().then_some(())).await;
    app.expect_consistent().await;
}

#[tokio::test]
async fn u14_an_object_that_cannot_be_deleted_blocks_no_other_storing_or_deleting() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    // More than enough failures to open a circuit, all before the later deletes.
    for seed in 0..6 {
        let track = ana.attach(UploadTarget::NewTrack(release), "song.wav", a_song(seed)).await.track.unwrap();
        ana.release_once(release, "it is examined", |release| release.tracks[0].state() == FileState::Ready).await;
        let stored = app.files_in("objects/audio").into_iter().find(|path| path.is_file()).unwrap();
        std::fs::remove_file(&stored).unwrap();
        std::fs::create_dir(&stored).unwrap();
        ana.call_with("tracks/remove", "id", track).await.expect_status(200);
    }
    eventually("the deletes fail", async || (failed_rounds(&app) > 1).then_some(())).await;
    for seed in 10..13 {
        let other = ana.attach(UploadTarget::NewTrack(release), "other.wav", a_song(seed)).await.track.unwrap();
        ana.call_with("tracks/remove", "id", other).await.expect_status(200);
    }
    eventually("the other ones are gone", async || (objects(&app).await.len() == 6).then_some(())).await;
    let health: serde_json::Value = app.anonymous().get("/health").await.ok();
    assert_eq!(health["storage"], "ok");
    for folder in app.files_in("objects/audio") {
        std::fs::remove_dir(folder).unwrap();
    }
    eventually("their rows are gone", async || objects(&app).await.is_empty().then_some(())).await;
    app.expect_consistent().await;
}

/// The process is killed once after objects are doomed, and once after an object is deleted but before that is
/// recorded.
#[tokio::test]
async fn u23_the_next_run_goes_on_after_a_killed_reaper() {
    for point in ["objects-doomed=kill", "object-deleted=kill"] {
        let mut app = spawn_app_with(&[("VWAZA_REPLACED_OBJECT_DAYS", "7")]).await;
        let ana = app.artist("Ana").await;
        let release = ana.create_release().await;
        let gone = ana.attach(UploadTarget::NewTrack(release), "gone.wav", a_song(1)).await;
        ana.attach(UploadTarget::NewTrack(release), "kept.wav", a_song(2)).await;
        ana.call_with("tracks/remove", "id", gone.track.unwrap()).await.expect_status(200);
        app.kill();
        // The lock delays the reaper's first run until the server listens.
        let held = app.hold_table("lock table objects in exclusive mode").await;
        app.start_with(&[("VWAZA_REPLACED_OBJECT_DAYS", "0"), ("VWAZA_FAIL_POINTS", point)]).await;
        drop(held);
        assert_eq!(app.ended().await.signal(), Some(SIGABRT), "{point} must kill the server");
        assert_eq!(objects(&app).await.iter().filter(|(state, _)| state == "DOOMED").count(), 1, "{point}");
        app.start_with(&[("VWAZA_FAIL_POINTS", "")]).await;
        eventually("only the other one is left", async || {
            (objects(&app).await.len() == 1 && app.files_in("objects/audio").len() == 1).then_some(())
        })
        .await;
        let object = ana.release(release).await.tracks[0].audio.clone().unwrap().object;
        assert_eq!(ana.get(&format!("/media/original/{object}")).await.body, a_song(2));
        app.expect_consistent().await;
    }
}
