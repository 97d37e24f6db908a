//! The reaper deletes what is no longer needed, and nothing else.

use std::os::unix::process::ExitStatusExt;

use testing::fixtures;
use time::OffsetDateTime;
use vwaza::domain::{
    files::FileState,
    upload::{UploadState, UploadTarget},
};

use crate::support::{
    App, Client, Gate, SIGABRT, a_cover, a_song, ends, eventually, sha256, spawn_app, spawn_app_with,
};

async fn examined_cover(ana: &Client, release: vwaza::domain::ids::ReleaseId, seed: u64) {
    ana.attach(UploadTarget::Cover(release), "cover.png", a_cover(seed)).await;
    ana.release_once(release, "the cover is examined", |release| {
        release
            .cover
            .current
            .as_ref()
            .is_some_and(|cover| cover.facts.is_some() && cover.sha256 == sha256(&a_cover(seed)))
    })
    .await;
}

async fn objects(app: &App) -> Vec<(String, String)> {
    sqlx::query_as("select state::text, key from objects order by created_at").fetch_all(&app.sql).await.unwrap()
}

/// Returns the number of failed runs of the reaper.
fn failed_rounds(app: &App) -> usize {
    let failed = app.log.events("janitor chore failed; trying again in the next round");
    failed.iter().filter(|event| event["chore"] == "reaper").count()
}

async fn only_these_are_stored(app: &App, states: &[&str]) {
    eventually(&format!("only these objects are left: {states:?}"), async || {
        let left = objects(app).await;
        let is_so = left.iter().map(|(state, _)| state.as_str()).eq(states.iter().copied());
        let files = app.files_in("objects/covers").len() + app.files_in("objects/thumbnails").len();
        (is_so && files == states.len()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_replaced_object_is_kept_for_its_retention_and_then_deleted() {
    let app = spawn_app_with(&[("VWAZA_REPLACED_OBJECT_DAYS", "7")]).await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    examined_cover(&ana, release, 1).await;
    let first = ana.release(release).await.cover.current.unwrap().object;
    let before = objects(&app).await.len();
    examined_cover(&ana, release, 2).await;
    assert!(app.run(&["fsck"], "").status.success());
    // A page that was already open still shows the replaced cover.
    assert_eq!(ana.get(&format!("/media/original/{first}")).await.expect_status(200).body, a_cover(1));
    let kept = objects(&app).await;
    assert_eq!(kept.len(), 2 * before);
    assert!(kept[..before].iter().all(|(state, _)| state == "RELEASED"), "{kept:?}");

    sqlx::query("update objects set released_at = now() - interval '8 days' where state = 'RELEASED'")
        .execute(&app.sql)
        .await
        .unwrap();
    only_these_are_stored(&app, &vec!["ATTACHED"; before]).await;
    ana.get(&format!("/media/original/{first}")).await.expect_status(404);
    app.expect_consistent().await;
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

#[tokio::test]
async fn u30_an_abandoned_upload_expires_and_its_bytes_are_removed() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", 1000).await;
    ana.patch(&begun.url, 0, vec![0; 400]).await.expect_status(204);
    sqlx::query("update uploads set expires_at = now()").execute(&app.sql).await.unwrap();
    eventually("its bytes are gone", async || app.files_in("spool/uploads").is_empty().then_some(())).await;
    ana.patch(&begun.url, 400, vec![0; 100]).await.expect_status(410);
    let status = ana.upload_status(begun.id).await;
    assert_eq!((status.state, status.status_code), (UploadState::Expired, 410));
    app.expect_consistent().await;
}

/// A client resumes an upload at the instant at which it expires: one of the two wins. Neither can lock the ledger
/// before both wait for it. For one of them the upload has not expired yet, for the other it has.
#[tokio::test]
async fn u30_of_an_expiry_and_a_resumption_one_wins() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let (mut races, mut rounds) = (0, 0);
    while races < 6 {
        // Each round uploads another file, because the same one would be resumed.
        rounds += 1;
        assert!(rounds <= 60, "only {races} races in 60 rounds");
        let begun = ana.begin(UploadTarget::NewTrack(release), &format!("{rounds}.wav"), 1000).await;
        ana.patch(&begun.url, 0, vec![0; 400]).await.expect_status(204);
        let mut held = app.hold_table("lock table uploads in exclusive mode").await;
        let patch = tokio::spawn({
            let (ana, url) = (ana.clone(), begun.url.clone());
            async move { ana.patch(&url, 400, vec![0; 100]).await.status }
        });
        eventually("the PATCH waits", async || waits_since(&app, "%writer_epoch%").await).await;
        let expires =
            sqlx::query_scalar("update uploads set expires_at = clock_timestamp() where id = $1 returning expires_at");
        let expires: OffsetDateTime = expires.bind(begun.id.0).fetch_one(&mut *held).await.unwrap();
        let since = eventually("the janitor waits", async || waits_since(&app, "%EXPIRED%").await).await;
        // If the janitor came before the expiry, it finds nothing, and this was no race.
        races += i32::from(since > expires);
        held.commit().await.unwrap();
        let answer = ends("the PATCH is answered", patch).await.unwrap();
        let spooled = app.data_dir().join("spool/uploads").join(begun.id.to_string());
        match answer {
            204 => {
                assert_eq!(ana.offset(&begun.url).await, 500);
                assert_eq!(std::fs::metadata(spooled).unwrap().len(), 500);
            }
            410 => {
                assert_eq!(ana.upload_status(begun.id).await.state, UploadState::Expired);
                eventually("its bytes are gone", async || (!spooled.exists()).then_some(())).await;
            }
            other => panic!("{other}"),
        }
    }
    app.expect_consistent().await;
}

/// Returns the time at which the transaction of a statement that waits for a lock began. The lock is read apart from
/// the other columns, which may be older or newer.
async fn waits_since(app: &App, statement: &str) -> Option<OffsetDateTime> {
    sqlx::query_scalar(
        "select xact_start from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock' and query like $1 and xact_start is not null",
    )
    .bind(statement)
    .fetch_optional(&app.sql)
    .await
    .unwrap()
}

#[tokio::test]
async fn completed_jobs_are_deleted_after_their_retention() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.release_in_review().await;
    sqlx::query("update upload_jobs set updated_at = now() - interval '31 days' where kind = 'STORE'")
        .execute(&app.sql)
        .await
        .unwrap();
    eventually("they are forgotten", async || {
        let left: Vec<String> =
            sqlx::query_scalar("select kind::text from upload_jobs").fetch_all(&app.sql).await.unwrap();
        (left.len() == 2 && left.iter().all(|kind| kind == "EXAMINE")).then_some(())
    })
    .await;
    assert_eq!(ana.release(release.id).await.status, release.status);
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

/// The objects of a deleted release are deleted after their retention.
#[tokio::test]
async fn a_deleted_release_leaves_nothing_in_the_storage() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let id = ana.complete_release().await;
    // An AIFF has a copy to listen to.
    ana.attach(UploadTarget::NewTrack(id), "02.aiff", fixtures::aiff(2.0, 44_100, 16, 1).into()).await;
    ana.release_once(id, "it is examined", |release| {
        release.cover.state() == FileState::Ready
            && release.tracks.iter().all(|track| track.state() == FileState::Ready)
    })
    .await;
    let folders = ["objects/audio", "objects/covers", "objects/thumbnails", "objects/listening"];
    assert!(folders.iter().all(|folder| !app.files_in(folder).is_empty()));
    ana.call_with("releases/delete", "id", id).await.expect_status(200);
    app.spool_is_empty().await;
    eventually("no object is left", async || {
        (objects(&app).await.is_empty() && folders.iter().all(|folder| app.files_in(folder).is_empty())).then_some(())
    })
    .await;
    app.expect_consistent().await;
}

/// There are more objects to doom and to delete than one batch holds. The same run of the janitor purges expired
/// sessions afterwards, which shows its end.
#[tokio::test]
async fn one_run_deletes_all_objects_that_are_due() {
    let mut app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    ana.attach(UploadTarget::NewTrack(release), "song.wav", a_song(1)).await;
    let kept = app.only_file_in("objects/audio");
    app.terminate();
    assert!(app.ended().await.success());
    let orphans: Vec<String> = sqlx::query_scalar(
        "insert into objects (id, key, role, upload_id, size_bytes, sha256, content_type, created_at)
         select id, 'audio/' || id, 'AUDIO', (select id from uploads), 1, '', 'audio/wav', now() - interval '1 day'
         from (select gen_random_uuid() as id from generate_series(1, 250)) ids
         returning id::text",
    )
    .fetch_all(&app.sql)
    .await
    .unwrap();
    for id in &orphans {
        std::fs::write(kept.with_file_name(id), "x").unwrap();
    }
    sqlx::query("update sessions set expires_at = 'epoch'").execute(&app.sql).await.unwrap();
    // With this grace time the janitor runs once a minute.
    app.start_with(&[("VWAZA_ORPHAN_GRACE_SECONDS", "900")]).await;
    eventually("the round is over", async || {
        let sessions: i64 = sqlx::query_scalar("select count(*) from sessions").fetch_one(&app.sql).await.unwrap();
        (sessions == 0).then_some(())
    })
    .await;
    assert_eq!(app.only_file_in("objects/audio"), kept);
    let rows: Vec<(String, bool, i64)> =
        sqlx::query_as("select state::text, deleted_at is not null, count(*) from objects group by 1, 2 order by 3")
            .fetch_all(&app.sql)
            .await
            .unwrap();
    assert_eq!(rows, [("ATTACHED".into(), false, 1), ("DOOMED".into(), true, 250)]);
}
