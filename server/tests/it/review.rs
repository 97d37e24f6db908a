//! Verdicts: only one counts, and it applies to exactly what was reviewed.

use vwaza::domain::{
    ids::ReleaseId,
    release::{RawDetails, ReleaseEventKind, ReleaseFilter, ReleaseStatus, ReleaseView},
    review::VerdictOutcome,
    track::RawTrack,
    upload::UploadTarget,
};

use crate::support::{App, Client, TestResponse, a_song, complete_details, fields_of, form, sha256, spawn_app};

const REASON: &str = "The cover shows a price.\nRemove it.";

/// Returns the verdicts and withdrawals in the audit trail.
async fn decisions(app: &App) -> Vec<String> {
    sqlx::query_scalar("select kind::text from release_events where kind in ('APPROVED', 'REJECTED', 'WITHDRAWN')")
        .fetch_all(&app.sql)
        .await
        .unwrap()
}

/// Checks that one response is 200, and that the other is 409 and says what happened.
#[track_caller]
fn one_wins(one: TestResponse, two: TestResponse) {
    let (won, lost) = if one.status == 200 { (one, two) } else { (two, one) };
    won.expect_status(200);
    let told = lost.expect_status(409).message();
    assert!(told.contains("before you decided") || told.contains("before you withdrew"), "{told}");
}

#[tokio::test]
async fn a_release_is_approved() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let release = ana.release_in_review().await;
    let outcome: VerdictOutcome = admin.approve(release.id, release.version).await.ok();
    assert_eq!(outcome.next, None);
    let release = ana.release(release.id).await;
    assert_eq!((release.status, release.timeline[0].kind), (ReleaseStatus::Published, ReleaseEventKind::Approved));
    ana.save_details(release.id, &RawDetails::default()).await.expect_error(409, "published");
    ana.call_with("releases/withdraw", "id", release.id).await.expect_error(409, "approved before");
    ana.call_with("releases/revise", "id", release.id).await.expect_status(409);
}

#[tokio::test]
async fn a_release_is_rejected_revised_and_approved() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let release = ana.release_in_review().await;
    let id = release.id;
    admin.reject(id, release.version, " \n ").await.expect_field_error("reason");
    admin.reject(id, release.version, &"x".repeat(2001)).await.expect_field_error("reason");
    admin.reject(id, release.version, REASON).await.expect_status(200);

    let rejected = ana.release(id).await;
    assert_eq!((rejected.status, rejected.reject_reason.as_deref()), (ReleaseStatus::Rejected, Some(REASON)));
    assert_eq!(rejected.timeline[0].note.as_deref(), Some(REASON));
    ana.save_details(id, &complete_details()).await.expect_error(409, "Revise");
    ana.submit(id).await.expect_status(409);
    ana.call_with("releases/revise", "id", id).await.expect_status(200);
    let renamed = RawDetails { title: "Better".into(), ..complete_details() };
    ana.save_details(id, &renamed).await.expect_status(200);
    ana.submit(id).await.expect_status(200);

    let again = ana.release_when(id, ReleaseStatus::PendingReview).await;
    assert_eq!(again.reject_reason, None);
    admin.approve(id, again.version).await.expect_status(200);
    let story: Vec<_> = ana.release(id).await.timeline.iter().rev().map(|event| event.kind).collect();
    use ReleaseEventKind::{Approved, Created, Examined, Rejected, Revised, Submitted};
    assert_eq!(story, [Created, Submitted, Examined, Rejected, Revised, Submitted, Examined, Approved]);
}

#[tokio::test]
async fn a1_one_of_two_admins_who_approve_at_once_is_refused() {
    let app = spawn_app().await;
    let (ana, admin, other) = (app.artist("Ana").await, app.admin().await, app.admin().await);
    // Once two admins approve, and once one admin clicks twice.
    for second in [&other, &admin] {
        let ReleaseView { id, version, .. } = ana.release_in_review().await;
        let (one, two) = app.at_once(id, admin.approve(id, version), second.approve(id, version)).await;
        one_wins(one, two);
        assert_eq!(ana.release(id).await.timeline[0].kind, ReleaseEventKind::Approved);
    }
    assert_eq!(decisions(&app).await, ["APPROVED", "APPROVED"]);
    app.expect_consistent().await;
}

#[tokio::test]
async fn a2_one_of_an_approval_and_a_rejection_at_once_counts() {
    let app = spawn_app().await;
    let (ana, one, two) = (app.artist("Ana").await, app.admin().await, app.admin().await);
    let release = ana.release_in_review().await;
    let (approved, rejected) = app
        .at_once(release.id, one.approve(release.id, release.version), two.reject(release.id, release.version, REASON))
        .await;
    let (status, decision) = match approved.status {
        200 => (ReleaseStatus::Published, "APPROVED"),
        _ => (ReleaseStatus::Rejected, "REJECTED"),
    };
    one_wins(approved, rejected);
    assert_eq!((ana.release(release.id).await.status, decisions(&app).await), (status, vec![decision.to_owned()]));
    app.expect_consistent().await;
}

#[tokio::test]
async fn a6_one_of_an_approval_and_a_withdrawal_at_once_counts() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let release = ana.release_in_review().await;
    let (approved, withdrawn) = app
        .at_once(
            release.id,
            admin.approve(release.id, release.version),
            ana.call_with("releases/withdraw", "id", release.id),
        )
        .await;
    let (status, decision) = match approved.status {
        200 => (ReleaseStatus::Published, "APPROVED"),
        _ => (ReleaseStatus::Draft, "WITHDRAWN"),
    };
    one_wins(approved, withdrawn);
    assert_eq!((ana.release(release.id).await.status, decisions(&app).await), (status, vec![decision.to_owned()]));
    app.expect_consistent().await;
}

#[tokio::test]
async fn a3_a_release_that_changed_since_it_was_opened_is_not_approved() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let seen = ana.release_in_review().await;
    ana.call_with("releases/withdraw", "id", seen.id).await.expect_status(200);
    admin.approve(seen.id, seen.version).await.expect_error(409, "withdrew");
    let renamed = RawDetails { title: "Something else".into(), ..complete_details() };
    ana.save_details(seen.id, &renamed).await.expect_status(200);
    ana.submit(seen.id).await.expect_status(200);
    let now = ana.release_when(seen.id, ReleaseStatus::PendingReview).await;
    for version in [seen.version, 0, -1, i64::MAX] {
        admin.approve(seen.id, version).await.expect_error(409, "changed since");
        admin.reject(seen.id, version, REASON).await.expect_error(409, "changed since");
    }
    admin.approve(seen.id, now.version).await.expect_status(200);
    assert_eq!(decisions(&app).await, ["WITHDRAWN", "APPROVED"]);
    app.expect_consistent().await;
}

/// The reviewer has listened to one song. Meanwhile another song has replaced it, and the release is in review again.
#[tokio::test]
async fn a3_a_track_that_was_replaced_since_is_not_approved_unheard() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let seen = ana.release_in_review().await;
    ana.call_with("releases/withdraw", "id", seen.id).await.expect_status(200);
    let held = app.hold_table("lock table objects in share mode").await;
    let (begun, answer) = ana.upload(UploadTarget::Audio(seen.tracks[0].id), "other.wav", a_song(2)).await;
    answer.expect_status(204);
    ana.submit(seen.id).await.expect_status(200);
    admin.approve(seen.id, seen.version).await.expect_status(409);
    drop(held);
    ana.attached(begun.id).await;
    let now = ana.release_when(seen.id, ReleaseStatus::PendingReview).await;
    admin.approve(seen.id, seen.version).await.expect_error(409, "changed since");
    assert_eq!(decisions(&app).await, ["WITHDRAWN"]);
    admin.approve(seen.id, now.version).await.expect_status(200);
    assert_eq!(now.tracks[0].audio.as_ref().unwrap().sha256, sha256(&a_song(2)));
    app.expect_consistent().await;
}

/// The details, tracks and files of a release in review or with a verdict can't be edited.
#[tokio::test]
async fn a_release_that_is_not_a_draft_is_not_edited() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    for status in [ReleaseStatus::PendingReview, ReleaseStatus::Published, ReleaseStatus::Rejected] {
        let release = ana.release_in_review().await;
        match status {
            ReleaseStatus::Published => {
                admin.approve(release.id, release.version).await.expect_status(200);
            }
            ReleaseStatus::Rejected => {
                admin.reject(release.id, release.version, REASON).await.expect_status(200);
            }
            _ => {}
        }
        let before = ana.release(release.id).await;
        assert_eq!(before.status, status);
        let (id, track) = (release.id, release.tracks[0].id);
        let renamed = RawTrack { title: "Renamed".into(), ..RawTrack::default() };
        for answer in [
            ana.save_details(id, &complete_details()).await,
            ana.save_track(track, &renamed).await,
            ana.call("tracks/move", &form(&[("id", &track.to_string()), ("number", "1")])).await,
            ana.call_with("tracks/remove", "id", track).await,
            ana.try_begin(UploadTarget::Cover(id), "cover.png", 1000).await,
            ana.try_begin(UploadTarget::Audio(track), "song.wav", 1000).await,
            ana.try_begin(UploadTarget::NewTrack(id), "song.wav", 1000).await,
        ] {
            assert_eq!(answer.status, 409, "{status:?}: {}: {}", answer.asked, answer.text());
        }
        assert_eq!(ana.release(id).await, before);
    }
    app.expect_consistent().await;
}

#[tokio::test]
async fn only_a_release_in_review_is_decided() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let id = ana.create_release().await;
    admin.approve(id, 1).await.expect_status(409);
    admin.reject(id, 1, REASON).await.expect_status(409);
    admin.approve(ReleaseId(uuid::Uuid::now_v7()), 1).await.expect_status(404);
}

#[tokio::test]
async fn a_verdict_leads_to_the_next_in_the_queue() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let (first, second) = (ana.release_in_review().await, ana.release_in_review().await);
    let outcome: VerdictOutcome = admin.approve(first.id, first.version).await.ok();
    assert_eq!(outcome.next, Some(second.id));
}

/// Sends every request that only admins may send.
async fn ask_as_admin(client: &Client, id: ReleaseId, version: i64) -> Vec<TestResponse> {
    let list = form(&[("search", "")]);
    vec![
        client.approve(id, version).await,
        client.reject(id, version, REASON).await,
        client.call("review/queue", &list).await,
        client.call("review/artists", &list).await,
        client.call("review/releases", &fields_of("filter", &ReleaseFilter::default())).await,
    ]
}

#[tokio::test]
async fn artists_do_not_review() {
    let app = spawn_app().await;
    let (ana, ben) = (app.artist("Ana").await, app.artist("Ben").await);
    let release = ana.release_in_review().await;
    for artist in [&ana, &ben] {
        for answer in ask_as_admin(artist, release.id, release.version).await {
            answer.expect_error(403, "admins only");
        }
    }
    for answer in ask_as_admin(&app.anonymous(), release.id, release.version).await {
        answer.expect_status(401);
    }
    assert_eq!(ana.release(release.id).await, release);
}
