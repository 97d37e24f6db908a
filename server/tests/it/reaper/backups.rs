//! Tests that a database from an older backup loses no file.

use vwaza::domain::upload::{UploadState, UploadTarget};

use crate::support::{Gate, a_cover, a_song, eventually, sha256, spawn_app_with};

#[tokio::test]
async fn u26_an_older_backup_deletes_nothing() {
    // The backup may be of a moment at which a worker that is later gone was examining the cover.
    let mut app = spawn_app_with(&[("VWAZA_JOB_LEASE_SECONDS", "2")]).await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    ana.attach(UploadTarget::Cover(release), "cover.png", a_cover(1)).await;
    app.kill();
    let backup = app.backup().await;
    app.start().await;
    for seed in 1..4 {
        ana.attach(UploadTarget::NewTrack(release), &format!("{seed}.wav"), a_song(seed)).await;
    }
    let begun = ana.begin(UploadTarget::NewTrack(release), "under way.wav", 1000).await;
    ana.patch(&begun.url, 0, vec![0; 400]).await.expect_status(204);
    eventually("only the last one is in the spool", async || (app.files_in("spool/uploads").len() == 1).then_some(()))
        .await;
    app.kill();
    let (songs, spooled) = (app.files_in("objects/audio").len(), app.files_in("spool/uploads").len());
    assert_eq!((songs, spooled), (3, 1));
    app.restore(&backup).await;
    app.start().await;
    // The reaping of the replaced cover shows that the janitor has run.
    ana.attach(UploadTarget::Cover(release), "newer.png", a_cover(2)).await;
    eventually("the replaced cover is reaped", async || {
        let covers: i64 =
            sqlx::query_scalar("select count(*) from objects where role = 'COVER'").fetch_one(&app.sql).await.unwrap();
        (covers == 1).then_some(())
    })
    .await;
    assert_eq!((app.files_in("objects/audio").len(), app.files_in("spool/uploads").len()), (songs, spooled));
    // fsck reports the unknown files, and removes them only with `--force`.
    assert!(!app.run(&["fsck"], "").status.success());
    assert!(!app.run(&["fsck", "--repair"], "").status.success());
    assert_eq!(app.files_in("objects/audio").len(), songs);
    assert!(app.run(&["fsck", "--repair", "--force"], "").status.success());
    assert_eq!((app.files_in("objects/audio").len(), app.files_in("spool/uploads").len()), (0, 0));
    app.expect_consistent().await;
}

#[tokio::test]
async fn a_file_stored_after_the_backup_is_found_again() {
    let mut app = spawn_app_with(&[("VWAZA_JOB_LEASE_SECONDS", "2")]).await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", a_song(1).len()).await;
    let put = Gate::new();
    app.restart_with(&[("VWAZA_FAIL_POINTS", &put.at("object-put"))]).await;
    ana.patch(&begun.url, 0, a_song(1)).await.expect_status(204);
    let _held = put.reached().await;
    let first = app.only_file_in("objects/audio");
    app.kill();
    let backup = app.backup().await;
    app.start_with(&[("VWAZA_FAIL_POINTS", "")]).await;
    ana.attached(begun.id).await;
    app.spool_is_empty().await;
    app.kill();
    app.restore(&backup).await;
    // The bytes are no longer in the spool, but already in the storage.
    app.start().await;
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&a_song(1))));
    assert_eq!(ana.upload_status(begun.id).await.state, UploadState::Attached);
    app.expect_consistent().await;
    assert_eq!(app.only_file_in("objects/audio"), first);
}
