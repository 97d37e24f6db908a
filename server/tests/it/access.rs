//! What belongs to somebody else does not exist.

use serde_json::Value;
use uuid::Uuid;
use vwaza::domain::{
    ids::{ReleaseId, TrackId, UploadId},
    track::RawTrack,
    upload::UploadTarget,
};

use crate::support::{Answer, Client, a_cover, complete_details, spawn_app};

/// The ids that a stranger has got hold of.
#[derive(Clone, Copy)]
struct Ids {
    release: ReleaseId,
    track: TrackId,
    upload: UploadId,
}

/// Asks for everything that takes an id.
async fn ask_all(client: &Client, ids: Ids) -> Vec<Answer> {
    let title = RawTrack { title: "Mine now".into(), ..RawTrack::default() };
    let mut answers = vec![
        client.save_details(ids.release, &complete_details()).await,
        client.save_track(ids.track, &title).await,
        client.call("tracks/move", &vec![("id".into(), ids.track.to_string()), ("number".into(), "1".into())]).await,
        client.call_with("tracks/remove", "id", ids.track).await,
        client.try_begin(UploadTarget::Cover(ids.release), "cover.png", 1000).await,
        client.try_begin(UploadTarget::NewTrack(ids.release), "song.wav", 1000).await,
        client.try_begin(UploadTarget::Audio(ids.track), "song.wav", 1000).await,
        client.call_with("upload/complete", "id", ids.upload).await,
        client.call_with("upload/cancel", "id", ids.upload).await,
    ];
    for function in ["view", "submit", "withdraw", "revise", "delete"] {
        answers.push(client.call_with(&format!("releases/{function}"), "id", ids.release).await);
    }
    answers
}

#[tokio::test]
async fn another_artists_release_looks_like_one_that_does_not_exist() {
    let app = spawn_app().await;
    let (ana, ben) = (app.artist("Ana").await, app.artist("Ben").await);
    let release = ana.complete_release().await;
    let open = ana.begin(UploadTarget::Cover(release), "new.png", a_cover(2).len()).await;
    let before = ana.release(release).await;
    let anas = Ids { release, track: before.tracks[0].id, upload: open.id };
    let nobodys =
        Ids { release: ReleaseId(Uuid::now_v7()), track: TrackId(Uuid::now_v7()), upload: UploadId(Uuid::now_v7()) };
    let answers: Vec<(Answer, Answer)> =
        ask_all(&ben, anas).await.into_iter().zip(ask_all(&ben, nobodys).await).collect();
    for (anas, nobodys) in answers {
        let asked = anas.asked.clone();
        let bodies: [Value; 2] = [anas, nobodys].map(|answer| answer.expect_status(404).anonymous_error());
        assert_eq!(bodies[0], bodies[1], "{asked}");
    }
    let after = ana.release(release).await;
    assert_eq!((after.version, after.cover.pending), (before.version, before.cover.pending));
}

#[tokio::test]
async fn an_admin_sees_every_release_and_changes_none() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let release = ana.complete_release().await;
    let seen = admin.release(release).await;
    let ids = Ids { release, track: seen.tracks[0].id, upload: UploadId(Uuid::now_v7()) };
    for answer in ask_all(&admin, ids).await {
        let expected = if answer.asked.ends_with("/view") { 200 } else { 404 };
        answer.expect_status(expected);
    }
}
