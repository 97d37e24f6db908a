//! The contents of a backup, and the work of the server that it holds up.

use std::os::unix::process::ExitStatusExt;

use vwaza::domain::upload::UploadTarget;

use super::{
    Place, Target, a_paused_backup, all_is_examined, failed, nothing_is_pinned, run, sign_in_as, sign_in_at, succeeded,
};
use crate::support::{App, Bucket, SIGABRT, a_cover, a_song, eventually, sha256, spawn_app, spawn_app_with};

async fn objects(app: &App) -> i64 {
    sqlx::query_scalar("select count(*) from objects").fetch_one(&app.sql).await.unwrap()
}

#[tokio::test]
async fn a_second_backup_copies_only_what_is_new() {
    let app = spawn_app().await;
    let (ana, target) = (app.artist("Ana").await, Target::new());
    let release = ana.complete_release().await;
    all_is_examined(&ana, release).await;
    let first = succeeded(&run(&app, &["backup", target.path()]).await);
    let stored = objects(&app).await;
    assert!(first.contains(&format!("{stored} objects, 0 received files; {stored} copied")), "{first}");
    let second = succeeded(&run(&app, &["backup", target.path()]).await);
    assert!(second.contains(&format!("{stored} objects, 0 received files; 0 copied (0 bytes)")), "{second}");
    let song = a_song(2);
    ana.attach(UploadTarget::NewTrack(release), "song.wav", song.clone()).await;
    all_is_examined(&ana, release).await;
    let third = succeeded(&run(&app, &["backup", target.path()]).await);
    assert!(third.contains(&format!("1 copied ({} bytes)", song.len())), "{third}");
    assert_eq!(target.backups().len(), 3);
    let checked = succeeded(&run(&app, &["verify-backup", target.path()]).await);
    assert!(checked.contains("Everything is there."), "{checked}");
    nothing_is_pinned(&app).await;
}

#[tokio::test]
async fn an_object_that_is_replaced_during_a_backup_is_in_it() {
    let app = spawn_app().await;
    let (ana, target) = (app.artist("Ana").await, Target::new());
    let release = ana.complete_release().await;
    all_is_examined(&ana, release).await;
    let covers = app.files_in("objects/covers");
    let (backup, paused) = a_paused_backup(app.command(), &target).await;
    ana.attach(UploadTarget::Cover(release), "newer.png", a_cover(2)).await;
    app.janitor_runs_twice().await;
    assert!(covers[0].exists(), "the reaper keeps what the snapshot names");
    drop(paused);
    succeeded(&backup.wait_with_output().await.unwrap());
    succeeded(&run(&app, &["verify-backup", target.path()]).await);
    eventually("the replaced cover is reaped after the backup", async || (!covers[0].exists()).then_some(())).await;
    let place = Place::new().await;
    succeeded(&place.restore(&[target.path()]).await);
    let restored = place.start().await;
    let ana = sign_in_at(&restored, &ana).await;
    let cover = ana.release(release).await.cover.current.unwrap();
    assert_eq!(cover.sha256, sha256(&a_cover(1)));
    restored.expect_consistent().await;
}

#[tokio::test]
async fn a_backup_that_has_lost_its_pin_fails() {
    let app = spawn_app().await;
    let target = Target::new();
    let (backup, paused) = a_paused_backup(app.command(), &target).await;
    sqlx::query("update backup_pins set expires_at = now()").execute(&app.sql).await.unwrap();
    drop(paused);
    let said = failed(&backup.wait_with_output().await.unwrap());
    assert!(said.contains("interrupted for too long"), "{said}");
    assert_eq!(target.backups(), Vec::<String>::new());
}

#[tokio::test]
async fn a_killed_backup_is_no_backup_and_pins_nothing_for_long() {
    let app = spawn_app().await;
    let (ana, target) = (app.artist("Ana").await, Target::new());
    let release = ana.complete_release().await;
    all_is_examined(&ana, release).await;
    for point in ["object-half-put=kill", "backup-object-put=kill", "backup-complete=kill"] {
        sqlx::query("delete from backup_pins").execute(&app.sql).await.unwrap();
        let killed = app.command().args(["backup", target.path()]).env("VWAZA_FAIL_POINTS", point).output().unwrap();
        assert_eq!(killed.status.signal(), Some(SIGABRT), "{point} must kill the backup");
        let said = failed(&run(&app, &["verify-backup", target.path()]).await);
        assert!(said.contains("there is no backup"), "{said}");
    }
    assert!(!target.files_in("content").is_empty() && !target.files_in("tables").is_empty());
    let covers = app.files_in("objects/covers");
    ana.attach(UploadTarget::Cover(release), "newer.png", a_cover(2)).await;
    // The pin ends by itself, half a minute after its last heartbeat.
    eventually("the replaced cover is reaped", async || (!covers[0].exists()).then_some(())).await;
    nothing_is_pinned(&app).await;
    all_is_examined(&ana, release).await;
    app.expect_consistent().await;
    succeeded(&run(&app, &["backup", target.path()]).await);
    let (tables, contents) = (target.files_in("tables").len(), target.files_in("content").len());
    assert_eq!(contents as i64, objects(&app).await, "what the killed backups left is gone");
    succeeded(&run(&app, &["backup", target.path(), "--keep", "1"]).await);
    assert_eq!((target.files_in("tables").len(), target.files_in("content").len()), (tables, contents));
    succeeded(&run(&app, &["verify-backup", target.path()]).await);
}

/// The process is killed after it has received a file and before it stores it.
#[tokio::test]
async fn a_received_file_is_in_the_backup_and_stored_after_the_restore() {
    let mut app = spawn_app_with(&[("VWAZA_JOB_LEASE_SECONDS", "2")]).await;
    let (ana, target) = (app.artist("Ana").await, Target::new());
    let release = ana.create_release().await;
    app.restart_with(&[("VWAZA_FAIL_POINTS", "upload-received=kill")]).await;
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", a_song(1).len()).await;
    let _cut_off = ana.try_patch(&begun.url, 0, a_song(1)).await;
    app.ended().await;
    let made = succeeded(&run(&app, &["backup", target.path()]).await);
    assert!(made.contains("0 objects, 1 received files; 1 copied"), "{made}");
    app.start_with(&[("VWAZA_FAIL_POINTS", "")]).await;
    let place = Place::new().await;
    succeeded(&place.restore(&[target.path()]).await);
    let restored = place.start().await;
    let ana = sign_in_at(&restored, &ana).await;
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&a_song(1))));
    restored.expect_consistent().await;
}

/// A file that its artist cancels between the snapshot and its copy is not missing.
#[tokio::test]
async fn a_file_that_is_given_up_during_a_backup_has_expired_after_the_restore() {
    let mut app = spawn_app_with(&[("VWAZA_JOB_LEASE_SECONDS", "2")]).await;
    let (ana, target) = (app.artist("Ana").await, Target::new());
    let release = ana.create_release().await;
    app.restart_with(&[("VWAZA_FAIL_POINTS", "upload-received=kill")]).await;
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", a_song(1).len()).await;
    let _cut_off = ana.try_patch(&begun.url, 0, a_song(1)).await;
    app.ended().await;
    let (backup, paused) = a_paused_backup(app.command(), &target).await;
    app.start_with(&[("VWAZA_FAIL_POINTS", "")]).await;
    ana.tus(http::Method::DELETE, &begun.url, &[]).await.expect_status(204);
    eventually("its bytes are gone", async || {
        let kept: i64 = sqlx::query_scalar("select count(*) from objects where state in ('ATTACHED', 'RELEASED')")
            .fetch_one(&app.sql)
            .await
            .unwrap();
        (app.files_in("spool/uploads").is_empty() && kept == 0).then_some(())
    })
    .await;
    drop(paused);
    let made = succeeded(&backup.wait_with_output().await.unwrap());
    assert!(made.contains("0 objects, 0 received files"), "{made}");
    let place = Place::new().await;
    succeeded(&place.restore(&[target.path()]).await);
    let restored = place.start().await;
    restored.expect_consistent().await;
}

#[tokio::test]
async fn files_in_the_spools_of_other_processes_are_waited_for_or_named() {
    let bucket = Bucket::new().await;
    let mut first = bucket.app(&[("VWAZA_JOB_LEASE_SECONDS", "2")]).await;
    let second = bucket.app(&[("DATABASE_URL", &first.database_url())]).await;
    let (ana, target) = (first.artist("Ana").await, Target::new());
    let (release, email) = (ana.create_release().await, ana.actor().await.unwrap().email);
    succeeded(&run(&second, &["backup", target.path()]).await);
    first.restart_with(&[("VWAZA_FAIL_POINTS", "upload-received=kill")]).await;
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", a_song(1).len()).await;
    let _cut_off = ana.try_patch(&begun.url, 0, a_song(1)).await;
    first.ended().await;
    let said = failed(&run(&second, &["backup", target.path(), "--wait", "1", "--keep", "1"]).await);
    assert!(said.contains(&format!("missing: upload {}: “song.wav” is in spool", begun.id)), "{said}");
    assert_eq!(target.backups().len(), 2, "a backup that lacks something deletes no other one");
    let checked = failed(&run(&second, &["verify-backup", target.path()]).await);
    assert!(checked.contains(&format!("missing since it was made: upload {}", begun.id)), "{checked}");

    // After a restore, its artist is asked for the file again.
    let place = Place::new().await;
    let report = failed(&place.restore(&[target.path()]).await);
    assert!(report.contains(&format!("missing bytes of upload {}", begun.id)), "{report}");
    let restored = place.start().await;
    let ana_there = sign_in_as(&restored, &email).await;
    ana_there
        .release_once(release, "its artist reads what to do", |release| {
            serde_json::to_string(release).unwrap().contains("Our disk no longer has this file.")
        })
        .await;

    let (backup, paused) = a_paused_backup(second.command(), &target).await;
    first.start_with(&[("VWAZA_FAIL_POINTS", "")]).await;
    drop(paused);
    let made = succeeded(&backup.wait_with_output().await.unwrap());
    assert!(made.contains("1 received files"), "{made}");
    succeeded(&run(&second, &["verify-backup", target.path(), "--backup", &target.backups()[2]]).await);
}
