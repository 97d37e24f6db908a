//! The reaper deletes what is no longer needed, and nothing else.

mod backups;
mod completion;
mod expiry;
mod storage;

use testing::fixtures;
use time::OffsetDateTime;
use vwaza::domain::{files::FileState, upload::UploadTarget};

use crate::support::{App, Client, a_cover, a_song, eventually, sha256, spawn_app, spawn_app_with};

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
    eventually("they are deleted", async || {
        let left: Vec<String> =
            sqlx::query_scalar("select kind::text from upload_jobs").fetch_all(&app.sql).await.unwrap();
        (left.len() == 2 && left.iter().all(|kind| kind == "EXAMINE")).then_some(())
    })
    .await;
    assert_eq!(ana.release(release.id).await.status, release.status);
    app.expect_consistent().await;
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
