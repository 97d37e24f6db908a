//! The tracks of a draft: their order, their ISRCs, and replaced audio.

use vwaza::domain::{
    ids::{ReleaseId, TrackId},
    track::RawTrack,
    upload::UploadTarget,
};

use crate::support::{Client, a_song, sha256, spawn_app, spawn_app_with};

/// Creates tracks `a`, `b`, `c`, … whose audio has not arrived.
async fn tracks(client: &Client, release: ReleaseId, count: usize) -> Vec<TrackId> {
    let mut ids = Vec::new();
    for name in ["a.wav", "b.wav", "c.wav", "d.wav"].iter().take(count) {
        ids.push(client.begin(UploadTarget::NewTrack(release), name, 1000).await.track.unwrap());
    }
    ids
}

/// Returns the titles in order. Checks that the numbers count from 1 without gaps.
async fn order(client: &Client, release: ReleaseId) -> String {
    let tracks = client.release(release).await.tracks;
    assert!(tracks.iter().zip(1..).all(|(track, number)| track.number == number), "{tracks:?}");
    tracks.iter().map(|track| track.title.as_str()).collect()
}

async fn move_to(client: &Client, id: TrackId, number: i32) {
    let form = vec![("id".into(), id.to_string()), ("number".into(), number.to_string())];
    client.call("tracks/move", &form).await.expect_status(200);
}

#[tokio::test]
async fn tracks_are_moved_and_swapped() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let [a, b, c, d] = tracks(&ana, release, 4).await[..] else { panic!("four tracks") };
    assert_eq!(order(&ana, release).await, "abcd");
    for (track, number, expected) in [
        (a, 2, "bacd"),
        (d, 1, "dbac"),
        (b, 4, "dacb"),
        (c, 99, "dabc"),
        (b, 0, "bdac"),
        (a, i32::MIN, "abdc"),
        (a, i32::MAX, "bdca"),
        (d, 2, "bdca"),
    ] {
        move_to(&ana, track, number).await;
        assert_eq!(order(&ana, release).await, expected);
    }
}

#[tokio::test]
async fn a_removed_track_leaves_no_gap() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let ids = tracks(&ana, release, 4).await;
    ana.call_with("tracks/remove", "id", ids[1]).await.expect_status(200);
    assert_eq!(order(&ana, release).await, "acd");
    ana.call_with("tracks/remove", "id", ids[0]).await.expect_status(200);
    assert_eq!(order(&ana, release).await, "cd");
    ana.call_with("tracks/remove", "id", ids[0]).await.expect_status(404);
}

#[tokio::test]
async fn a_track_shows_the_fields_of_its_form() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let id = tracks(&ana, release, 1).await[0];
    let typed = RawTrack {
        title: " Night  Bus ".into(),
        title_version: "Acoustic".into(),
        isrc: "isrc nl-a50-26-00017".into(),
        explicit: Some("on".into()),
    };
    ana.save_track(id, &typed).await.expect_status(200);
    let track = ana.release(release).await.tracks.remove(0);
    assert_eq!(
        (track.title.as_str(), track.title_version.as_deref(), track.explicit),
        ("Night Bus", Some("Acoustic"), true)
    );
    assert_eq!(track.isrc.unwrap().as_str(), "NLA502600017");

    let wrong = RawTrack { title: "x".repeat(201), isrc: "GB-AYE-06".into(), ..RawTrack::default() };
    assert_eq!(ana.save_track(id, &wrong).await.expect_status(400).field_errors(), ["isrc", "title"]);
}

#[tokio::test]
async fn one_recording_may_be_on_two_releases() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let isrc = RawTrack { title: "Night Bus".into(), isrc: "NLA502600017".into(), ..RawTrack::default() };
    for _ in ["single", "album"] {
        let release = ana.create_release().await;
        let id = tracks(&ana, release, 1).await[0];
        ana.save_track(id, &isrc).await.expect_status(200);
        assert!(ana.release(release).await.tracks[0].isrc.is_some());
    }
}

#[tokio::test]
async fn replaced_audio_keeps_its_track() {
    let app = spawn_app_with(&[("VWAZA_REPLACED_OBJECT_DAYS", "7")]).await;
    let ana = app.artist("Ana").await;
    let release = ana.complete_release().await;
    let before = ana.release(release).await.tracks.remove(0);
    let remastered = a_song(2);
    ana.attach(UploadTarget::Audio(before.id), "02 - remaster.wav", remastered.clone()).await;
    let after = ana.release(release).await.tracks.remove(0);
    assert_eq!((after.id, &after.title, after.number), (before.id, &before.title, before.number));
    assert_eq!(after.audio.unwrap().sha256, sha256(&remastered));
    let released: i64 = sqlx::query_scalar("select count(*) from objects where state = 'RELEASED' and role = 'AUDIO'")
        .fetch_one(&app.sql)
        .await
        .unwrap();
    assert_eq!(released, 1);
}
