//! Tests that the reaper leaves an object alone that is being completed or attached.

use vwaza::domain::upload::UploadTarget;

use super::objects;
use crate::support::{a_song, eventually, sha256, spawn_app};

#[tokio::test]
async fn u23_an_object_is_not_reaped_while_its_upload_is_being_completed() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", a_song(1).len()).await;
    ana.patch(&begun.url, 0, a_song(1).slice(..100_000)).await.expect_status(204);
    // The job puts the object, and then waits for many grace times until it can lock the track.
    let held = app.hold_table("lock table tracks in exclusive mode").await;
    ana.patch(&begun.url, 100_000, a_song(1).slice(100_000..)).await.expect_status(204);
    eventually("it is put", async || (objects(&app).await.len() == 1).then_some(())).await;
    sqlx::query("update objects set created_at = now() - interval '1 hour'").execute(&app.sql).await.unwrap();
    app.janitor_runs_twice().await;
    assert_eq!(objects(&app).await[0].0, "INTENDED");
    drop(held);
    ana.attached(begun.id).await;
    app.expect_consistent().await;
}

/// The reaper comes first: an object that it has doomed is not attached, and the next attempt puts another object.
#[tokio::test]
async fn u23_an_object_that_was_doomed_before_it_was_attached_is_put_again() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", a_song(1).len()).await;
    ana.patch(&begun.url, 0, a_song(1).slice(..100_000)).await.expect_status(204);
    let held = app.hold_table("lock table tracks in exclusive mode").await;
    ana.patch(&begun.url, 100_000, a_song(1).slice(100_000..)).await.expect_status(204);
    // The job has put the object and waits for the track's lock.
    app.waits_for_locks(1).await;
    let doomed = app.only_file_in("objects/audio");
    sqlx::query("update objects set state = 'DOOMED', doomed_at = now()").execute(&app.sql).await.unwrap();
    eventually("the reaper deletes it", async || (!doomed.exists()).then_some(())).await;
    drop(held);
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&a_song(1))));
    let object = ana.release(release).await.tracks[0].audio.clone().unwrap().object;
    assert!(!doomed.ends_with(object.to_string()), "the doomed object was attached");
    assert_eq!(ana.get(&format!("/media/original/{object}")).await.body, a_song(1));
    app.expect_consistent().await;
}
