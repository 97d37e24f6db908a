//! Buckets as targets, and how many backups are kept.

use tempfile::TempDir;
use testing::s3_server::S3Server;
use vwaza::domain::upload::UploadTarget;

use super::{Place, Target, all_is_examined, failed, run, sign_in_at, succeeded};
use crate::support::{App, a_song, ends, sha256, spawn_app};

/// The settings of the bucket for backups, which has a key of its own.
fn settings(server: &S3Server) -> Vec<(String, String)> {
    let own = S3Server::settings(&server.address()).into_iter();
    own.map(|(name, value)| (format!("VWAZA_BACKUP_{name}"), value)).collect()
}

fn borrowed(settings: &[(String, String)]) -> Vec<(&str, &str)> {
    settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[tokio::test]
async fn a_backup_goes_to_a_bucket_and_comes_back() {
    let folder = TempDir::new().unwrap();
    let server = S3Server::start(folder.path()).await;
    let (settings, target) = (settings(&server), format!("s3://{}/nightly", S3Server::BUCKET));
    std::fs::write(server.folder().join("of-somebody-else"), "other bytes").unwrap();
    let mut app = spawn_app().await;
    app.restart_with(&borrowed(&settings)).await;
    let ana = app.artist("Ana").await;
    let release = ana.complete_release().await;
    // A master that is larger than what goes into one request.
    let master: bytes::Bytes = testing::fixtures::wav(60.0, 44_100, 24, 3).into();
    ana.attach(UploadTarget::NewTrack(release), "master.wav", master.clone()).await;
    all_is_examined(&ana, release).await;
    for _ in 0..2 {
        succeeded(&run(&app, &["backup", &target, "--keep", "1"]).await);
    }
    assert_eq!(std::fs::read_dir(server.folder().join("nightly/manifests")).unwrap().count(), 1);
    assert!(server.folder().join("of-somebody-else").exists(), "only backups are deleted");
    let checked = succeeded(&run(&app, &["verify-backup", &target]).await);
    assert!(checked.contains("Everything is there."), "{checked}");
    let place = Place::with(&borrowed(&settings)).await;
    succeeded(&place.restore(&[&target]).await);
    let restored = place.start().await;
    let ana = sign_in_at(&restored, &ana).await;
    let tracks = ana.release(release).await.tracks;
    let master_there =
        tracks.iter().find_map(|track| track.audio.clone().filter(|audio| audio.sha256 == sha256(&master)));
    let object = master_there.unwrap().object;
    assert_eq!(ana.get(&format!("/media/original/{object}")).await.body, master);
    restored.expect_consistent().await;
}

/// Without keys of its own, a bucket for backups can't be reached, whatever keys the storage has.
#[tokio::test]
async fn a_bucket_for_backups_has_credentials_of_its_own() {
    let folder = TempDir::new().unwrap();
    let server = S3Server::start(folder.path()).await;
    let mut app = spawn_app().await;
    let mut settings = settings(&server);
    settings.retain(|(name, _)| !name.ends_with("_KEY") && !name.ends_with("_KEY_ID"));
    settings.extend(S3Server::settings(&server.address()).into_iter().filter(|(name, _)| name.contains("_KEY")));
    settings.push(("VWAZA_BACKUP_AWS_ACCESS_KEY_ID".into(), "another".into()));
    settings.push(("VWAZA_BACKUP_AWS_SECRET_ACCESS_KEY".into(), "wrong".into()));
    app.restart_with(&borrowed(&settings)).await;
    let target = format!("s3://{}", S3Server::BUCKET);
    ends("the backup is refused", async { failed(&run(&app, &["backup", &target]).await) }).await;
    assert_eq!(std::fs::read_dir(server.folder()).unwrap().count(), 0);
}

async fn add_song(app: &App, target: &Target, seed: u64) {
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    ana.attach(UploadTarget::NewTrack(release), "song.wav", a_song(seed)).await;
    succeeded(&run(app, &["backup", target.path()]).await);
}

#[tokio::test]
async fn only_the_latest_backups_are_kept_and_each_is_whole() {
    let app = spawn_app().await;
    let target = Target::new();
    for seed in 1..4 {
        add_song(&app, &target, seed).await;
    }
    let before = target.backups();
    assert_eq!((before.len(), target.files_in("content").len()), (3, 3));
    sqlx::query(
        "update tracks set audio_id = null where release_id = (select id from releases order by created_at limit 1)",
    )
    .execute(&app.sql)
    .await
    .unwrap();
    sqlx::query("update objects set state = 'RELEASED', released_at = now() where id = (select min(id::text)::uuid from objects)")
        .execute(&app.sql)
        .await
        .unwrap();
    app.janitor_runs_twice().await;
    let said = succeeded(&run(&app, &["backup", target.path(), "--keep", "2"]).await);
    assert!(before[..2].iter().all(|name| said.contains(&format!("deleted: backup {name}"))), "{said}");
    assert_eq!(target.backups()[0], before[2]);
    assert_eq!((target.backups().len(), target.files_in("content").len()), (2, 3));
    succeeded(&run(&app, &["verify-backup", target.path()]).await);
    succeeded(&run(&app, &["backup", target.path(), "--keep", "1"]).await);
    assert_eq!((target.backups().len(), target.files_in("content").len()), (1, 2), "nobody needs the first song");
    succeeded(&run(&app, &["verify-backup", target.path()]).await);
}
