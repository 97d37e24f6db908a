//! A user downloads all data that we hold about them, and deletes the account.

use std::{
    collections::BTreeMap,
    io::{Cursor, Read},
};

use bytes::Bytes;
use serde_json::Value;
use vwaza::domain::{release::ReleaseStatus, upload::UploadTarget};

use crate::support::{
    App, Client, PASSWORD, TestResponse, a_cover, a_song, eventually, form, spawn_app, spawn_app_with,
};

/// Returns the files in a ZIP file.
fn unzip(bytes: &Bytes) -> BTreeMap<String, Vec<u8>> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut files = BTreeMap::new();
    for at in 0..archive.len() {
        let mut file = archive.by_index(at).unwrap();
        let mut content = Vec::new();
        file.read_to_end(&mut content).unwrap();
        files.insert(file.name().to_owned(), content);
    }
    files
}

async fn delete(client: &Client, password: &str) -> TestResponse {
    client.call_with("account/delete", "current_password", password).await
}

async fn published(app: &App, ana: &Client) -> vwaza::domain::release::ReleaseView {
    let release = ana.release_in_review().await;
    app.admin().await.approve(release.id, release.version).await.expect_status(200);
    ana.release(release.id).await
}

#[tokio::test]
async fn an_archive_holds_the_account_and_every_file_as_it_was_uploaded() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.release_in_review().await;
    let song = a_song(7);
    let empty = ana.create_release().await;
    ana.attach(UploadTarget::NewTrack(empty), "odd: name?.wav", song.clone()).await;
    ana.attach(UploadTarget::NewTrack(empty), ".wav", song.clone()).await;
    ana.attach(UploadTarget::Cover(empty), &format!("{} 🚌.html", "ü".repeat(100)), a_cover(1)).await;
    app.artist("Bo").await.release_in_review().await;

    let answer = ana.get("/api/account/data").await.expect_status(200);
    assert_eq!(answer.header("content-type"), Some("application/zip"));
    let files = unzip(&answer.body);
    let account: Value = serde_json::from_slice(&files["account.json"]).unwrap();
    assert_eq!(account["artist_name"], "Ana");
    assert_eq!(account["security_events"][0]["kind"], "SignIn");
    let folder = format!("0001 {}", release.display_title());
    let details: Value = serde_json::from_slice(&files[&format!("{folder}/release.json")]).unwrap();
    assert_eq!(details["id"], release.id.to_string());
    for track in &release.tracks {
        let audio = track.audio.as_ref().unwrap();
        let name = format!("{folder}/{:03} {}", track.number, audio.file_name);
        let original = ana.get(&format!("/media/original/{}", audio.object)).await.expect_status(200);
        assert!(files[&name] == original.body, "{name}");
    }
    assert!(files["0002 Untitled/001 odd_ name_.wav"] == song);
    assert!(files["0002 Untitled/002 Untitled - 02.wav"] == song);
    assert!(files[&format!("0002 Untitled/cover {}.png", "ü".repeat(58))] == a_cover(1));
    // Two releases with their files, and the account.
    assert_eq!(files.len(), 1 + 1 + 1 + release.tracks.len() + 4, "{:?}", files.keys());
    app.anonymous().get("/api/account/data").await.expect_status(401);
}

/// The server reads from the storage only as fast as the client reads.
#[tokio::test]
async fn an_archive_is_a_stream_and_takes_no_more_memory_than_is_under_way() {
    const SOUND_BYTES: u32 = 64 * 1024 * 1024;
    const MIB: u64 = 1024;
    // The worker examines nothing.
    let app = spawn_app_with(&[("VWAZA_WORKER_CONCURRENCY", "0")]).await;
    let ana = app.artist("Ana").await;
    // Six minutes of silence.
    let mut song = a_song(1)[..44].to_vec();
    song[40..].copy_from_slice(&SOUND_BYTES.to_le_bytes());
    song.resize(44 + SOUND_BYTES as usize, 0);
    ana.attach(UploadTarget::NewTrack(ana.create_release().await), "silence.wav", song.into()).await;
    let before = app.anonymous_kib();
    let mut answer = ana.request(http::Method::GET, "/api/account/data").send().await.unwrap();
    let (mut read, mut peak) = (0, before);
    while let Some(piece) = answer.chunk().await.unwrap() {
        read += piece.len();
        peak = peak.max(app.anonymous_kib());
    }
    assert!(read > SOUND_BYTES as usize, "{read}");
    assert!(peak < before + 24 * MIB, "{before} KiB, then {peak} KiB");
}

#[tokio::test]
async fn deleting_an_account_deletes_everything_but_published_releases() {
    let app = spawn_app().await;
    let ana = app.artist("Ana Lima").await;
    let actor = ana.actor().await.unwrap();
    let kept = published(&app, &ana).await;
    let waiting = ana.release_in_review().await;
    let draft = ana.create_release().await;
    ana.attach(UploadTarget::NewTrack(draft), "Ana Lima draft.wav", a_song(3)).await;
    ana.call_with("access-tokens/make", "name", "Backup").await.expect_status(200);
    app.anonymous().call_with("account/request-password-reset", "email", &actor.email).await.expect_status(200);

    delete(&ana, "not her password").await.expect_field_error("current_password");
    delete(&ana, PASSWORD).await.expect_status(200);
    assert_eq!(ana.actor().await, None);
    app.anonymous().sign_in(&actor.email, PASSWORD).await.expect_status(401);
    let admin = app.admin().await;
    let shown = admin.release(kept.id).await;
    assert_eq!((shown.status, shown.timeline.len()), (ReleaseStatus::Published, kept.timeline.len()));
    assert!(shown.artist_name.starts_with("Former artist "), "{}", shown.artist_name);
    let audio = shown.tracks[0].audio.as_ref().unwrap().object;
    admin.get(&format!("/media/original/{audio}")).await.expect_status(200);
    for gone in [waiting.id, draft] {
        admin.call_with("releases/view", "id", gone).await.expect_status(404);
    }
    for table in
        ["sessions", "access_tokens", "known_browsers", "security_events", "mail_jobs", "password_reset_tokens"]
    {
        let query = format!("select count(*) from {table} where user_id = $1");
        let left: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(query)).bind(actor.id.0).fetch_one(&app.sql).await.unwrap();
        assert_eq!(left, 0, "{table}");
    }
    let named: i64 = sqlx::query_scalar(
        "select (select count(*) from users where artist_name like '%Lima%' or email = $1)
              + (select count(*) from uploads where file_name like '%Ana Lima%')",
    )
    .bind(&actor.email)
    .fetch_one(&app.sql)
    .await
    .unwrap();
    assert_eq!(named, 0);
    // An admin cannot bring the account back.
    let enable = form(&[("id", &actor.id.to_string()), ("change", "enable")]);
    admin.call("users/change", &enable).await.expect_error(409, "has deleted the account");
    // The address can be used for a new account.
    let again = form(&[("artist_name", "Ana"), ("email", &actor.email), ("password", PASSWORD)]);
    app.anonymous().call("account/sign-up", &again).await.expect_status(200);
    app.expect_consistent().await;
}

#[tokio::test]
async fn a_deletion_that_was_killed_is_finished() {
    let mut app = spawn_app().await;
    let ana = app.artist("Ana").await;
    for _ in 0..2 {
        ana.create_release().await;
    }
    app.restart_with(&[("VWAZA_FAIL_POINTS", "account-deleted=kill")]).await;
    let request = ana.request(http::Method::POST, "/api/account/delete").form(&form(&[("current_password", PASSWORD)]));
    let _ = ana.try_send(request).await;
    crate::support::ends("the process", app.ended()).await;
    app.start_with(&[("VWAZA_FAIL_POINTS", "")]).await;
    eventually("the releases are gone", async || {
        let left: i64 = sqlx::query_scalar("select count(*) from releases").fetch_one(&app.sql).await.unwrap();
        (left == 0).then_some(())
    })
    .await;
    app.expect_consistent().await;
}

#[tokio::test]
async fn the_only_admin_cannot_delete_their_account() {
    let app = spawn_app().await;
    let admin = app.admin().await;
    delete(&admin, PASSWORD).await.expect_error(409, "This is the only admin");
    app.admin().await;
    delete(&admin, PASSWORD).await.expect_status(200);
}
