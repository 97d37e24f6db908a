//! The worker's findings in files, and their effect on a release.

use testing::fixtures;
use vwaza::domain::{
    files::{Examination, FileState},
    media::{AudioCodec, AudioContainer, AudioFacts, CoverFormat},
    release::{ReleaseEventKind, ReleaseKind, ReleaseStatus, ReleaseView},
    upload::UploadTarget,
};

use crate::support::{App, Client, a_cover, a_song, complete_details, spawn_app, spawn_app_with};

#[tokio::test]
async fn a_whole_release_is_measured_and_reaches_the_review() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let id = ana.create_release().await;
    ana.save_details(id, &complete_details()).await.expect_status(200);
    for (name, bytes) in [
        ("1 one.wav", fixtures::wav(2.0, 48_000, 24, 1)),
        ("2 two.flac", fixtures::flac(2.0, 44_100, 16, 2, "Two")),
        ("3 three.mp3", fixtures::mp3(2.0, 44_100, 3, "Three")),
    ] {
        ana.attach(UploadTarget::NewTrack(id), name, bytes.into()).await;
    }
    ana.attach(UploadTarget::Cover(id), "cover.png", fixtures::cover_png(1000, 1).into()).await;
    ana.submit(id).await.expect_status(200);
    let release = ana.release_when(id, ReleaseStatus::PendingReview).await;
    assert_eq!(release.kind(), ReleaseKind::Single);

    let facts: Vec<AudioFacts> =
        release.tracks.iter().map(|track| track.audio.clone().unwrap().facts.unwrap()).collect();
    let told: Vec<_> =
        facts.iter().map(|facts| (facts.container, facts.codec, facts.sample_rate_hz, facts.bit_depth)).collect();
    assert_eq!(told[0], (AudioContainer::Wav, AudioCodec::Pcm, 48_000, Some(24)));
    assert_eq!(told[1], (AudioContainer::Flac, AudioCodec::Flac, 44_100, Some(16)));
    assert_eq!(told[2], (AudioContainer::Mp3, AudioCodec::Mp3, 44_100, None));
    for facts in &facts {
        assert!((1_950..2_150).contains(&facts.duration_ms), "{facts:?}");
        assert_eq!(facts.channels, 2);
        assert!(facts.integrated_lufs.is_some_and(|lufs| (-40.0..0.0).contains(&lufs)), "{facts:?}");
        assert!(facts.true_peak_dbtp.is_some_and(|peak| (-30.0..3.0).contains(&peak)), "{facts:?}");
        assert_eq!(facts.clipped_samples, 0);
    }
    assert!(
        release.tracks.iter().all(|track| track.peaks.as_ref().is_some_and(|peaks| peaks.iter().any(|peak| *peak > 0)))
    );

    let cover = release.cover.current.unwrap();
    let facts = cover.facts.unwrap();
    assert_eq!((facts.format, facts.width_px, facts.height_px), (CoverFormat::Png, 1000, 1000));
    for edge_px in [160, 640, 1600] {
        let thumbnail = ana.get(&format!("/media/cover/{}/{edge_px}", cover.object)).await.expect_status(200);
        assert_eq!(thumbnail.header("content-type"), Some("image/jpeg"));
        assert!(thumbnail.body.starts_with(b"\xFF\xD8\xFF"));
    }
}

/// Returns a release with a damaged track that was submitted before the damage was known.
async fn submitted_with_a_damaged_track() -> (App, Client, ReleaseView) {
    let mut app = spawn_app_with(&[("VWAZA_WORKER_CONCURRENCY", "0")]).await;
    let ana = app.artist("Ana").await;
    let id = ana.create_release().await;
    ana.save_details(id, &complete_details()).await.expect_status(200);
    ana.attach(UploadTarget::Cover(id), "cover.png", a_cover(1)).await;
    let damaged = fixtures::damaged_in_the_middle(&fixtures::flac(2.0, 44_100, 16, 1, "Night Bus"));
    ana.attach(UploadTarget::NewTrack(id), "damaged.flac", damaged.into()).await;
    ana.attach(UploadTarget::NewTrack(id), "good.wav", a_song(1)).await;
    let release: ReleaseView = ana.submit(id).await.ok();
    assert_eq!(release.status, ReleaseStatus::Processing);
    app.restart_with(&[("VWAZA_WORKER_CONCURRENCY", "4")]).await;
    let release = ana.release_when(id, ReleaseStatus::Draft).await;
    (app, ana, release)
}

#[tokio::test]
async fn a_damaged_file_returns_the_release_with_the_reason_on_its_track() {
    let (_app, ana, release) = submitted_with_a_damaged_track().await;
    let id = release.id;
    assert_eq!(release.timeline[0].kind, ReleaseEventKind::FileFailed);
    let release = ana
        .release_once(id, "the other files are examined", |release| release.tracks[1].state() == FileState::Ready)
        .await;
    let damaged = &release.tracks[0];
    assert_eq!(damaged.state(), FileState::Failed);
    let reason = match &damaged.audio.as_ref().unwrap().examination {
        Examination::Failed(reason) => reason.clone(),
        other => panic!("{other:?}"),
    };
    assert!(reason.contains("damaged"), "{reason}");
    assert_eq!(release.timeline[0].note.as_ref(), Some(&reason));

    // The damaged file blocks the submit until it is replaced.
    ana.submit(id).await.expect_field_error(&format!("track-{}", damaged.id));
    ana.attach(UploadTarget::Audio(damaged.id), "mended.wav", a_song(2)).await;
    ana.submit(id).await.expect_status(200);
    let release = ana.release_when(id, ReleaseStatus::PendingReview).await;
    assert_eq!(release.tracks[0].title, "Night Bus");
}

#[tokio::test]
async fn a_damaged_track_may_be_removed_instead() {
    let (_app, ana, release) = submitted_with_a_damaged_track().await;
    ana.call_with("tracks/remove", "id", release.tracks[0].id).await.expect_status(200);
    ana.submit(release.id).await.expect_status(200);
    let release = ana.release_when(release.id, ReleaseStatus::PendingReview).await;
    assert_eq!(release.tracks.len(), 1);
}

#[tokio::test]
async fn a_draft_is_examined_before_anybody_submits_it() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let id = ana.complete_release().await;
    let is_ready = |release: &ReleaseView| {
        release.cover.state() == FileState::Ready && release.tracks[0].state() == FileState::Ready
    };
    ana.release_once(id, "both files are examined", is_ready).await;
    // Both files are examined, so the release reaches review at once.
    let release: ReleaseView = ana.submit(id).await.ok();
    assert_eq!(release.status, ReleaseStatus::PendingReview);
}
