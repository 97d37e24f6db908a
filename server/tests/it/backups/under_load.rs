//! A backup under load and kills.

use std::{
    process::{Command, Stdio},
    sync::Mutex,
    time::Instant,
};

use bytes::Bytes;
use sqlx::Connection;
use testing::fixtures;
use vwaza::domain::{
    ids::{ReleaseId, UploadId},
    upload::{BegunUpload, RawIntent, UploadState, UploadStatus, UploadTarget},
};

use super::{Place, Target, a_paused_backup, all_is_examined, failed, run, said, sign_in_as, succeeded};
use crate::support::{App, Client, Embedded, PASSWORD, RunAs, end_all_connections, eventually, sha256, spawn_app_with};

/// A file that the server has acknowledged: its upload, its hash, and when.
struct Acknowledged {
    upload: UploadId,
    sha256: String,
    at: Instant,
}

/// Begins and sends a file. Returns its upload if the server has acknowledged the last byte.
async fn send(ana: &Client, target: UploadTarget, name: &str, bytes: &Bytes) -> Option<UploadId> {
    let length = i64::try_from(bytes.len()).unwrap();
    let intent = RawIntent { target, file_name: name.into(), length, fingerprint: "1".into(), sha256: None };
    let begin = ana.request(http::Method::POST, "/api/upload/begin").header("accept", "application/json");
    let begun = ana.try_send(begin.json(&serde_json::json!({ "intent": intent }))).await.ok()?;
    let begun: BegunUpload = serde_json::from_slice(&begun.body).ok()?;
    let answer = ana.try_patch(&begun.url, 0, bytes.clone()).await.ok()?;
    (answer.status == 204).then_some(begun.id)
}

/// Uploads songs, and replaces the cover, until it is dropped, whatever happens to the server.
async fn upload_on(ana: &Client, release: ReleaseId, acknowledged: &Mutex<Vec<Acknowledged>>) {
    for seed in 0_u64.. {
        let song: Bytes = fixtures::wav(0.3, 44_100, 16, seed).into();
        if let Some(upload) = send(ana, UploadTarget::NewTrack(release), &format!("{seed}.wav"), &song).await {
            let file = Acknowledged { upload, sha256: sha256(&song), at: Instant::now() };
            acknowledged.lock().unwrap().push(file);
        }
        let cover = fixtures::cover_png(640, seed).into();
        let _cut_off = send(ana, UploadTarget::Cover(release), "cover.png", &cover).await;
    }
}

/// Starts a backup, and gives it a moment to get somewhere.
async fn begin_backup(app: &App, target: &Target) -> tokio::process::Child {
    let mut command = tokio::process::Command::from(app.command());
    command.args(["backup", target.path()]).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let backup = command.spawn().unwrap();
    eventually("the backup has its pin", async || {
        let pins: i64 = sqlx::query_scalar("select count(*) from backup_pins where expires_at > now()")
            .fetch_one(&app.sql)
            .await
            .ok()?;
        (pins == 1).then_some(())
    })
    .await;
    backup
}

#[tokio::test]
async fn r7_a_backup_under_load_and_kills_has_everything_that_was_acknowledged_before() {
    let mut app = spawn_app_with(&[("VWAZA_JOB_LEASE_SECONDS", "2"), ("VWAZA_MAX_OPEN_UPLOADS", "1000")]).await;
    let (ana, target) = (app.artist("Ana").await, Target::new());
    let release = ana.create_release().await;
    let acknowledged = Mutex::new(Vec::new());
    let kills = async {
        eventually("the load is there", async || (acknowledged.lock().unwrap().len() > 5).then_some(())).await;
        // The backup is killed.
        let mut backup = begin_backup(&app, &target).await;
        backup.kill().await.unwrap();
        // The database ends all connections.
        sqlx::query("delete from backup_pins").execute(&app.sql).await.unwrap();
        let backup = begin_backup(&app, &target).await;
        let mut own = sqlx::PgConnection::connect(&app.database_url()).await.unwrap();
        end_all_connections(&mut own).await;
        let ended = backup.wait_with_output().await.unwrap();
        let backups = target.backups().len();
        assert_eq!(ended.status.success(), backups == 1, "{}", said(&ended));
        // The server is killed, and the backup goes on.
        sqlx::query("delete from backup_pins").execute(&mut own).await.unwrap();
        let began = Instant::now();
        let backup = begin_backup(&app, &target).await;
        app.restart().await;
        succeeded(&backup.wait_with_output().await.unwrap());
        began
    };
    let began = tokio::select! {
        began = kills => began,
        () = upload_on(&ana, release, &acknowledged) => unreachable!(),
    };
    app.kill();
    succeeded(&run(&app, &["verify-backup", target.path()]).await);
    let place = Place::new().await;
    succeeded(&place.restore(&[target.path()]).await);
    let restored = place.start().await;
    let email = sqlx::query_scalar::<_, String>("select email from users").fetch_one(&app.sql).await.unwrap();
    let ana = sign_in_as(&restored, &email).await;
    let before: Vec<_> = acknowledged.into_inner().unwrap().into_iter().filter(|file| file.at < began).collect();
    assert!(before.len() > 5);
    for file in before {
        let status: UploadStatus = ana.attached(file.upload).await;
        assert_eq!((status.state, status.sha256), (UploadState::Attached, Some(file.sha256)));
    }
    restored.expect_consistent().await;
}

/// The database is killed with SIGKILL while a backup is made. The next backup is restored into another built-in
/// database.
#[tokio::test]
async fn r7_a_backup_whose_database_is_killed_fails_and_the_next_one_is_whole() {
    let mut app = Embedded::new(RunAs::Ourselves);
    app.start().await;
    let (ana, target) = (app.artist("Ana").await, Target::new());
    let release = ana.complete_release().await;
    all_is_examined(&ana, release).await;
    let (backup, paused) = a_paused_backup(app.command(), &target).await;
    let postgres = app.running().unwrap().to_string();
    assert!(Command::new("kill").args(["-KILL", &postgres]).status().unwrap().success());
    drop(paused);
    failed(&backup.wait_with_output().await.unwrap());
    assert_eq!(target.backups(), Vec::<String>::new());
    app.kill();
    app.start().await;
    succeeded(&app.run(&["backup", target.path()], ""));

    let mut place = Embedded::new(RunAs::Ourselves);
    let restored = succeeded(&place.run(&["restore", target.path()], ""));
    assert!(restored.contains("Database, storage and spool agree."), "{restored}");
    place.start().await;
    let ana = place.anonymous();
    ana.sign_in("ana@example.com", PASSWORD).await.expect_status(200);
    ana.submit(release).await.expect_status(200);
    succeeded(&place.run(&["fsck"], ""));
}
