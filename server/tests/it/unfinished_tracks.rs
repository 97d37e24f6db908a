//! Tracks whose only upload never finished. The submit names them, and they are removed once that upload has expired. A
//! track into which somebody has typed stays.

use http::Method;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use vwaza::domain::{
    ids::{ReleaseId, TrackId},
    track::RawTrack,
    upload::{BegunUpload, UploadState, UploadTarget},
};

use crate::support::{
    App, Client, LONG_SONG_HALF, a_cover, a_long_song, a_song, complete_details, eventually, metadata, spawn_app,
};

/// Sends a creation with bytes, and drops the connection in the middle. The client gets no response and creates another
/// upload.
async fn create_and_drop(app: &App, client: &Client, release: ReleaseId) {
    let song = a_long_song(1);
    let metadata = metadata(&[("target", &format!("new-track:{release}")), ("filename", "song.wav")]);
    let head = format!(
        "POST /api/uploads HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nTus-Resumable: 1.0.0\r\nUpload-Length: {length}\r\n\
         Upload-Metadata: {metadata}\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: {length}\r\n\r\n",
        host = client.listen(),
        cookie = client.cookie(),
        length = song.len(),
    );
    let begun = async || -> i64 {
        let query = sqlx::query_scalar("select count(*) from uploads where offset_bytes > 0");
        query.fetch_one(&app.sql).await.unwrap()
    };
    let before = begun().await;
    let mut connection = TcpStream::connect(client.listen()).await.unwrap();
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(&song[..LONG_SONG_HALF]).await.unwrap();
    connection.shutdown().await.unwrap();
    eventually("what has arrived is counted", async || (begun().await > before).then_some(())).await;
}

async fn expire_all(app: &App) {
    sqlx::query("update uploads set expires_at = now() where state = 'RECEIVING'").execute(&app.sql).await.unwrap();
}

/// Waits until these uploads have expired and the janitor has run twice.
async fn expired(app: &App, client: &Client, uploads: &[&BegunUpload]) {
    for upload in uploads {
        eventually("it has expired", async || {
            (client.upload_status(upload.id).await.state == UploadState::Expired).then_some(())
        })
        .await;
    }
    app.janitor_runs_twice().await;
}

fn typed(title: &str, version: &str, isrc: &str, explicit: bool) -> RawTrack {
    RawTrack {
        title: title.into(),
        title_version: version.into(),
        isrc: isrc.into(),
        explicit: explicit.then(|| "on".into()),
    }
}

async fn titles(client: &Client, release: ReleaseId) -> Vec<String> {
    let tracks = client.release(release).await.tracks;
    assert!(tracks.iter().zip(1..).all(|(track, number)| track.number == number), "{tracks:?}");
    tracks.into_iter().map(|track| track.title).collect()
}

#[tokio::test]
async fn creations_that_are_cut_off_leave_no_track_behind() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    ana.save_details(release, &complete_details()).await.expect_status(200);
    ana.attach(UploadTarget::Cover(release), "cover.png", a_cover(1)).await;
    create_and_drop(&app, &ana, release).await;
    ana.attach(UploadTarget::NewTrack(release), "one.wav", a_song(1)).await;
    create_and_drop(&app, &ana, release).await;
    create_and_drop(&app, &ana, release).await;
    ana.attach(UploadTarget::NewTrack(release), "two.wav", a_song(2)).await;
    // The tracks stay in the order of their creation while their uploads can be resumed.
    app.janitor_runs_twice().await;
    assert_eq!(titles(&ana, release).await, ["song", "one", "song", "song", "two"]);
    let ghosts: Vec<TrackId> =
        ana.release(release).await.tracks.iter().filter(|track| track.title == "song").map(|track| track.id).collect();
    let refused = ana.submit(release).await.expect_status(400);
    let mut named: Vec<_> = ghosts.iter().map(|id| format!("track-{id}")).collect();
    named.sort_unstable();
    assert_eq!(refused.field_errors(), named);
    assert!(refused.text().contains("“song” has not finished uploading"), "{}", refused.text());

    expire_all(&app).await;
    ana.release_once(release, "they are gone", |release| release.tracks.len() == 2).await;
    assert_eq!(titles(&ana, release).await, ["one", "two"]);
    ana.submit(release).await.expect_status(200);
    app.expect_consistent().await;
}

#[tokio::test]
async fn a_track_with_typed_text_outlives_its_upload() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let target = UploadTarget::NewTrack(release);
    let begin = async |name: &str| ana.begin(target, name, 1000).await;
    let typed = [
        ("a.wav", typed("Night Bus", "", "", false)),
        ("b.wav", typed("b", "Acoustic", "", false)),
        ("c.wav", typed("c", "", "NLA502600017", false)),
        ("d.wav", typed("d", "", "", true)),
    ];
    let mut begun = Vec::new();
    for (name, form) in &typed {
        let upload = begin(name).await;
        ana.save_track(upload.track.unwrap(), form).await.expect_status(200);
        begun.push(upload);
    }
    // A track that was saved with its guessed title holds nothing that somebody would miss.
    let untouched = begin("e.wav").await;
    ana.save_track(untouched.track.unwrap(), &self::typed("e", "", "", false)).await.expect_status(200);
    begun.push(untouched);
    expire_all(&app).await;
    expired(&app, &ana, &begun.iter().collect::<Vec<_>>()).await;
    assert_eq!(titles(&ana, release).await, ["Night Bus", "b", "c", "d"]);
    // Each track can still get its file, or be removed.
    let refused = ana.submit(release).await.expect_status(400);
    assert_eq!(refused.field_errors().iter().filter(|field| field.starts_with("track-")).count(), 4);
    ana.attach(UploadTarget::Audio(begun[0].track.unwrap()), "a.wav", a_song(1)).await;
    ana.call_with("tracks/remove", "id", begun[1].track.unwrap()).await.expect_status(200);
    assert_eq!(titles(&ana, release).await, ["Night Bus", "c", "d"]);
    app.expect_consistent().await;
}

/// Only a track that never got a file, and for which no other upload is under way, is removed.
#[tokio::test]
async fn a_track_that_has_or_had_another_upload_stays() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let target = UploadTarget::NewTrack(release);
    let stored = ana.attach(target, "stored.wav", a_song(1)).await;
    let replacing = ana.begin(UploadTarget::Audio(stored.track.unwrap()), "remaster.wav", 1000).await;
    let refused = ana.begin(target, "refused.wav", 4).await;
    assert!(matches!(ana.patch(&refused.url, 0, "text").await.status, 415 | 422));
    let again = ana.begin(UploadTarget::Audio(refused.track.unwrap()), "again.wav", 1000).await;
    let cancelled = ana.begin(target, "cancelled.wav", 1000).await;
    ana.call_with("upload/cancel", "id", cancelled.id).await.expect_status(200);
    let old = ana.begin(target, "old.wav", 1000).await;
    expire_all(&app).await;
    let new = ana.try_begin(UploadTarget::Audio(old.track.unwrap()), "new.wav", 1000).await;
    // The janitor may have removed the track first, which is too late for a new upload.
    let is_gone = new.status == 404;
    expired(&app, &ana, &[&replacing, &again, &old]).await;
    let mut expected = vec!["stored", "refused", "cancelled"];
    expected.extend((!is_gone).then_some("old"));
    assert_eq!(titles(&ana, release).await, expected);
    app.expect_consistent().await;
}

#[tokio::test]
async fn a_track_is_removed_with_its_upload_if_a_client_terminates_it() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let target = UploadTarget::NewTrack(release);
    let (untouched, edited) = (ana.begin(target, "a.wav", 1000).await, ana.begin(target, "b.wav", 1000).await);
    let stored = ana.attach(target, "c.wav", a_song(1)).await;
    ana.save_track(edited.track.unwrap(), &typed("Night Bus", "", "", false)).await.expect_status(200);
    for upload in [&untouched, &edited, &stored] {
        ana.tus(Method::DELETE, &upload.url, &[]).await.expect_status(204);
    }
    assert_eq!(titles(&ana, release).await, ["Night Bus", "c"]);
    assert!(ana.release(release).await.tracks.iter().all(|track| track.audio.is_none()));
    app.expect_consistent().await;
}

/// Without scripts, one offer is a link and the other a form.
#[tokio::test]
async fn the_submit_step_offers_to_continue_or_to_remove() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let ghost = ana.begin(UploadTarget::NewTrack(release), "song.wav", 1000).await.track.unwrap();
    let whole = ana.attach(UploadTarget::NewTrack(release), "whole.wav", a_song(1)).await.track.unwrap();
    ana.begin(UploadTarget::Audio(whole), "remaster.wav", 1000).await;
    let page = ana.get(&format!("/releases/{release}/submit")).await.expect_status(200).text();
    let offered = page.split("<li class=\"submit-file\">").skip(1).collect::<Vec<_>>();
    // A track that has its file is not offered for removal because another upload is missing.
    assert_eq!(offered.len(), 1, "{page}");
    let item = offered[0].split("</li>").next().unwrap();
    assert!(item.contains("“song” has not finished uploading"), "{item}");
    assert!(item.contains(&format!("href=\"/releases/{release}/tracks#track-{ghost}\"")), "{item}");
    assert!(item.contains("action=\"/api/tracks/remove\"") && item.contains(&format!("value=\"{ghost}\"")), "{item}");
    let form = ana.request(Method::POST, "/api/tracks/remove").header("accept", "text/html").form(&[("id", ghost)]);
    ana.send(form).await.expect_status(302);
    assert_eq!(titles(&ana, release).await, ["whole"]);
}
