//! The state after a restore, and the places where a backup can be restored.

use std::{collections::BTreeMap, os::unix::process::ExitStatusExt, path::Path};

use serde_json::Value;
use sqlx::{PgPool, migrate::Migrator};
use testing::{Gate, TestDatabase, test_server_url};
use vwaza::domain::{release::ReleaseStatus, upload::UploadTarget};

use super::{Place, Target, all_is_examined, failed, run, said, sign_in_at, succeeded};
use crate::support::{
    App, Bucket, Client, SIGABRT, a_cover, a_song, all_jobs_end, eventually, sha256, spawn_app, spawn_app_with,
};

/// Rows of tables whose content people would miss, as text.
const CONTENT: [&str; 8] = [
    "select email, artist_name, role, password_hash, created_at from users order by id",
    "select id, status, version, title, submitted_at, cover_id from releases order by id",
    "select id, release_id, number, title, audio_id from tracks order by id",
    "select id, release_id, kind, actor_id, version, created_at from release_events order by id",
    "select id, key, state, size_bytes, sha256, examination from objects order by id",
    "select object_id, facts, duration_ms, peaks from audio_facts order by object_id",
    "select id, kind, status, attempt from upload_jobs order by id",
    "select id, user_id, kind, address from security_events order by id",
];

async fn content(db: &PgPool) -> Vec<String> {
    let mut all = Vec::new();
    for rows in CONTENT {
        let text = format!("select coalesce(jsonb_agg(to_jsonb(r)), '[]')::text from ({rows}) r");
        all.push(sqlx::query_scalar(sqlx::AssertSqlSafe(text)).fetch_one(db).await.unwrap());
    }
    all
}

async fn content_of(database: &TestDatabase) -> Vec<String> {
    let db = PgPool::connect(&database.url()).await.unwrap();
    let content = content(&db).await;
    db.close().await;
    content
}

/// An artist with a release in review and a draft with all that may be in it. Nothing is under way.
async fn a_catalogue(app: &App) -> Client {
    let ana = app.artist("Ana").await;
    let release = ana.release_in_review().await;
    app.admin().await.approve(release.id, release.version).await.expect_status(200);
    let draft = ana.complete_release().await;
    ana.attach(UploadTarget::NewTrack(draft), "02.aiff", testing::fixtures::aiff(1.0, 44_100, 16, 2).into()).await;
    ana.attach(UploadTarget::Cover(draft), "newer.png", a_cover(2)).await;
    all_is_examined(&ana, draft).await;
    all_jobs_end(&app.sql).await;
    ana
}

#[tokio::test]
async fn everything_is_there_after_a_restore_and_sessions_tokens_and_links_have_ended() {
    let app = spawn_app_with(&[("VWAZA_REPLACED_OBJECT_DAYS", "7")]).await;
    let ana = a_catalogue(&app).await;
    ana.call_with("access-tokens/make", "name", "Studio").await.expect_status(200);
    let email = ana.actor().await.unwrap().email;
    app.anonymous().call_with("account/request-password-reset", "email", &email).await.expect_status(200);
    eventually("the link is made", async || {
        let links: i64 =
            sqlx::query_scalar("select count(*) from password_reset_tokens").fetch_one(&app.sql).await.unwrap();
        (links == 1).then_some(())
    })
    .await;
    let target = Target::new();
    let before = content(&app.sql).await;
    succeeded(&run(&app, &["backup", target.path()]).await);
    ana.create_release().await;

    let place = Place::with(&[("VWAZA_REPLACED_OBJECT_DAYS", "7")]).await;
    let said = succeeded(&place.restore(&[target.path()]).await);
    assert!(said.contains("Database, storage and spool agree."), "{said}");
    assert_eq!(content_of(&place.database).await, before);
    let db = PgPool::connect(&place.database.url()).await.unwrap();
    for table in ["sessions", "access_tokens", "password_reset_tokens", "email_verification_tokens", "known_browsers"] {
        let count = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(&db).await.unwrap(), 0, "{table}");
    }
    let entries = "select count(*) from audit_entries
                   where action = 'BACKUP_RESTORED' and actor_role = 'OPERATOR' and note <> ''";
    let entries: i64 = sqlx::query_scalar(entries).fetch_one(&db).await.unwrap();
    assert_eq!(entries, 1, "the audit trail tells of the restore");
    let restored = place.start().await;
    assert_eq!(restored.signed_in_here(&ana).actor().await, None, "the old session has ended");
    let ana_there = sign_in_at(&restored, &ana).await;
    // New rows get new numbers, and the search finds the old releases.
    let release = ana_there.release_in_review().await;
    assert_eq!(release.status, ReleaseStatus::PendingReview);
    eventually("the search knows all releases", async || {
        let known: (i64, i64) =
            sqlx::query_as("select (select count(*) from release_search), (select count(*) from releases)")
                .fetch_one(&db)
                .await
                .unwrap();
        (known.0 == known.1).then_some(())
    })
    .await;
    restored.expect_nothing_damaged().await;
}

#[tokio::test]
async fn an_unfinished_upload_begins_anew_after_a_restore() {
    let app = spawn_app().await;
    let (ana, target) = (app.artist("Ana").await, Target::new());
    let (release, song) = (ana.create_release().await, a_song(1));
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", song.len()).await;
    ana.patch(&begun.url, 0, song.slice(..1000)).await.expect_status(204);
    let made = succeeded(&run(&app, &["backup", target.path()]).await);
    assert!(made.contains("0 received files"), "{made}");
    let place = Place::new().await;
    succeeded(&place.restore(&[target.path()]).await);
    let restored = place.start().await;
    let ana = sign_in_at(&restored, &ana).await;
    let track = begun.track.unwrap();
    let again = ana.begin(UploadTarget::Audio(track), "song.wav", song.len()).await;
    assert_eq!((again.id, ana.offset(&again.url).await), (begun.id, 0));
    ana.patch(&again.url, 0, song).await.expect_status(204);
    ana.attached(again.id).await;
    restored.expect_consistent().await;
}

#[tokio::test]
async fn a_backup_is_restored_onto_another_kind_of_storage_and_back() {
    let app = spawn_app().await;
    let ana = a_catalogue(&app).await;
    app.expect_consistent().await;
    let (target, before) = (Target::new(), content(&app.sql).await);
    succeeded(&run(&app, &["backup", target.path()]).await);
    let bucket = Bucket::new().await;
    let settings = bucket.settings();
    let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let place = Place::with(&settings).await;
    succeeded(&place.restore(&[target.path()]).await);
    assert_eq!(content_of(&place.database).await, before);
    let restored = place.start().await;
    let ana_there = sign_in_at(&restored, &ana).await;
    ana_there.complete_release().await;
    succeeded(&run(&restored, &["backup", target.path()]).await);
    let back = Place::new().await;
    succeeded(&back.restore(&[target.path()]).await);
    let app = back.start().await;
    sign_in_at(&app, &ana).await.complete_release().await;
    app.expect_consistent().await;
}

/// The database is lost, and the storage is not. It holds objects that are newer than the backup.
#[tokio::test]
async fn u26_an_older_backup_is_restored_beside_newer_objects() {
    let mut app = spawn_app_with(&[("VWAZA_JOB_LEASE_SECONDS", "2")]).await;
    let (ana, target) = (app.artist("Ana").await, Target::new());
    let release = ana.create_release().await;
    ana.attach(UploadTarget::NewTrack(release), "old.wav", a_song(1)).await;
    app.kill();
    succeeded(&run(&app, &["backup", target.path()]).await);
    app.start().await;
    ana.attach(UploadTarget::NewTrack(release), "new.wav", a_song(2)).await;
    let begun = ana.begin(UploadTarget::NewTrack(release), "under way.wav", 1000).await;
    ana.patch(&begun.url, 0, vec![0; 400]).await.expect_status(204);
    eventually("only the last one is in the spool", async || (app.files_in("spool/uploads").len() == 1).then_some(()))
        .await;
    succeeded(&run(&app, &["backup", target.path()]).await);
    app.kill();
    let files = |app: &App| (app.files_in("objects/audio").len(), app.files_in("spool/uploads").len());
    assert_eq!(files(&app), (2, 1));

    let database = TestDatabase::create(&test_server_url()).await;
    let url = database.url();
    let older = target.backups()[0].clone();
    let mut command = tokio::process::Command::from(app.command());
    let restored = command.env("DATABASE_URL", &url).args(["restore", target.path(), "--backup", &older]);
    let report = failed(&restored.output().await.unwrap());
    assert!(report.contains("unknown object audio/") && report.contains("unneeded spool file"), "{report}");
    assert!(!report.contains("missing"), "{report}");
    assert_eq!(files(&app), (2, 1), "nothing unknown is deleted");
    app.start_with(&[("DATABASE_URL", &url)]).await;
    let bo = app.artist("Bo").await;
    let release = bo.create_release().await;
    bo.attach(UploadTarget::Cover(release), "cover.png", a_cover(1)).await;
    bo.attach(UploadTarget::Cover(release), "newer.png", a_cover(2)).await;
    eventually("the replaced cover is reaped", async || (app.files_in("objects/covers").len() == 1).then_some(()))
        .await;
    assert_eq!(files(&app), (2, 1), "nothing unknown is deleted later either");
}

#[tokio::test]
async fn a_killed_restore_is_run_again_or_is_complete() {
    let app = spawn_app().await;
    let ana = a_catalogue(&app).await;
    app.expect_consistent().await;
    let (target, before) = (Target::new(), content(&app.sql).await);
    succeeded(&run(&app, &["backup", target.path()]).await);
    let place = Place::new().await;
    for point in ["restore-object-put=kill", "restore-files-put=kill"] {
        let killed = place.restore_with(&[target.path()], &[("VWAZA_FAIL_POINTS", point)]).await;
        assert_eq!(killed.status.signal(), Some(SIGABRT), "{point} must kill it: {}", said(&killed));
        assert!(content_of(&place.database).await.iter().all(|rows| rows == "[]"), "{point}");
    }
    succeeded(&place.restore(&[target.path()]).await);
    assert_eq!(content_of(&place.database).await, before);

    let place = Place::new().await;
    let point = "restore-committed=kill";
    let killed = place.restore_with(&[target.path()], &[("VWAZA_FAIL_POINTS", point)]).await;
    assert_eq!(killed.status.signal(), Some(SIGABRT), "{}", said(&killed));
    let restored = place.start().await;
    let ana = sign_in_at(&restored, &ana).await;
    ana.complete_release().await;
    restored.expect_consistent().await;
}

/// A server that nobody has used writes figures about itself.
#[tokio::test]
async fn a_server_that_was_only_started_leaves_room_for_a_restore() {
    let app = spawn_app().await;
    let ana = a_catalogue(&app).await;
    let (target, place) = (Target::new(), Place::new().await);
    succeeded(&run(&app, &["backup", target.path()]).await);
    let started = place.start().await;
    let pool = PgPool::connect(&place.database.url()).await.unwrap();
    eventually("it has written figures", async || {
        let figures = "select exists (select from operation_buckets)";
        sqlx::query_scalar::<_, bool>(figures).fetch_one(&pool).await.unwrap().then_some(())
    })
    .await;
    drop(started);
    succeeded(&place.restore(&[target.path()]).await);
    let restored = place.start().await;
    sign_in_at(&restored, &ana).await.complete_release().await;
    restored.expect_consistent().await;
}

/// A server with another data directory is started on the database while the files are put.
#[tokio::test]
async fn rows_that_appear_during_a_restore_stop_it() {
    let app = spawn_app().await;
    a_catalogue(&app).await;
    let (target, place, gate) = (Target::new(), Place::new().await, Gate::new());
    succeeded(&run(&app, &["backup", target.path()]).await);
    let point = gate.at("restore-files-put");
    let settings = [("VWAZA_FAIL_POINTS", point.as_str())];
    let arguments = [target.path()];
    let (restored, ()) = tokio::join!(place.restore_with(&arguments, &settings), async {
        let paused = gate.reached().await;
        let pool = PgPool::connect(&place.database.url()).await.unwrap();
        let insert = "insert into users (id, email, artist_name, password_hash)
                      values (gen_random_uuid(), 'bo@example.com', 'Bo', '')";
        sqlx::query(insert).execute(&pool).await.unwrap();
        drop(paused);
    });
    let said = failed(&restored);
    assert!(said.contains("the database is not empty"), "{said}");
    let pool = PgPool::connect(&place.database.url()).await.unwrap();
    let names: Vec<String> = sqlx::query_scalar("select artist_name from users").fetch_all(&pool).await.unwrap();
    assert_eq!(names, ["Bo"], "nothing of the backup is inserted");
}

/// A job runs while the snapshot is taken. Its worker doesn't exist after the restore.
#[tokio::test]
async fn a_job_that_ran_during_the_backup_is_handed_back_without_a_failure() {
    let mut app = spawn_app().await;
    let (ana, target) = (app.artist("Ana").await, Target::new());
    let release = ana.create_release().await;
    let put = Gate::new();
    app.restart_with(&[("VWAZA_FAIL_POINTS", &put.at("object-put"))]).await;
    let (begun, answer) = ana.upload(UploadTarget::NewTrack(release), "song.wav", a_song(1)).await;
    answer.expect_status(204);
    let held = put.reached().await;
    let mut backup = app.command();
    backup.env("VWAZA_FAIL_POINTS", "").args(["backup", target.path()]);
    succeeded(&tokio::process::Command::from(backup).output().await.unwrap());
    drop(held);
    let place = Place::new().await;
    succeeded(&place.restore(&[target.path()]).await);
    let restored = place.start().await;
    sign_in_at(&restored, &ana).await.attached(begun.id).await;
    let db = PgPool::connect(&place.database.url()).await.unwrap();
    let failures = "select sum(retry_count + expired_leases) from upload_jobs";
    assert_eq!(sqlx::query_scalar::<_, i64>(failures).fetch_one(&db).await.unwrap(), 0);
    db.close().await;
    restored.expect_consistent().await;
}

/// Changes a manifest of a target and the hash in its name.
fn change_manifest(target: &Target, change: impl FnOnce(&mut Value)) {
    let path = target.files_in("manifests").remove(0);
    let mut manifest = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut manifest);
    let bytes = serde_json::to_vec(&manifest).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(path.with_extension(sha256(&bytes)), bytes).unwrap();
}

/// The columns of each table of an earlier schema.
async fn columns_of_version(version: i64) -> BTreeMap<String, Vec<String>> {
    let database = TestDatabase::create(&test_server_url()).await;
    let db = PgPool::connect(&database.url()).await.unwrap();
    let all = Migrator::new(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations"))).await.unwrap();
    all.run_to(version, &db).await.unwrap();
    let columns: Vec<(String, Vec<String>)> = sqlx::query_as(
        "select table_name::text, array_agg(column_name::text) from information_schema.columns
         where table_schema = 'public' and is_generated = 'NEVER' group by table_name",
    )
    .fetch_all(&db)
    .await
    .unwrap();
    db.close().await;
    columns.into_iter().collect()
}

#[tokio::test]
async fn a_backup_of_an_earlier_schema_is_migrated_and_one_of_a_later_schema_is_refused() {
    /// The first schema that could be backed up.
    const FIRST: i64 = 40;
    let app = spawn_app().await;
    let (target, earlier) = (Target::new(), columns_of_version(FIRST).await);
    // Nobody has signed up, so the files of all tables are empty and fit any columns.
    succeeded(&run(&app, &["backup", target.path()]).await);
    let place = Place::new().await;
    change_manifest(&target, |manifest| manifest["schema_version"] = 999_999.into());
    let refused = failed(&place.restore(&[target.path()]).await);
    assert!(refused.contains("later version of vwaza"), "{refused}");
    change_manifest(&target, |manifest| {
        manifest["schema_version"] = FIRST.into();
        let tables = manifest["tables"].as_array_mut().unwrap();
        tables.retain_mut(|table| {
            let columns = earlier.get(table["name"].as_str().unwrap());
            table["columns"] = serde_json::to_value(columns).unwrap();
            columns.is_some()
        });
    });
    succeeded(&place.restore(&[target.path()]).await);
    let restored = place.start().await;
    restored.artist("Ana").await.release_in_review().await;
    restored.expect_consistent().await;
}
