//! Files that keep a decoder busy. They don't delay other files, and hold no thread for longer than their timeout.

use testing::fixtures;
use vwaza::domain::{
    files::{Examination, FileState},
    ids::ReleaseId,
    release::ReleaseView,
    upload::UploadTarget,
};

use crate::support::{App, Client, a_cover, a_long_song, a_song, eventually, make_due, spawn_app, spawn_app_with};

/// Creates releases of two artists with two tracks each, which take all job permits of the worker for tracks.
async fn two_artists(app: &App, track: &bytes::Bytes) -> [(Client, ReleaseId); 2] {
    let (ana, ben) = (app.artist("Ana").await, app.artist("Ben").await);
    let (of_ana, of_ben) = (ana.create_release().await, ben.create_release().await);
    for number in 1..=2 {
        for (artist, release) in [(&ana, of_ana), (&ben, of_ben)] {
            artist.attach(UploadTarget::NewTrack(release), &format!("{number}.m4a"), track.clone()).await;
        }
    }
    [(ana, of_ana), (ben, of_ben)]
}

/// Uploads a cover and waits until it is examined.
async fn a_third_artists_cover_is_examined(app: &App) {
    let cleo = app.artist("Cleo").await;
    let release = cleo.create_release().await;
    cleo.attach(UploadTarget::Cover(release), "cover.png", a_cover(1)).await;
    cleo.release_once(release, "its cover is examined", |release| release.cover.state() == FileState::Ready).await;
}

fn every_track_is(state: FileState) -> impl Fn(&ReleaseView) -> bool {
    move |release| release.tracks.len() == 2 && release.tracks.iter().all(|track| track.state() == state)
}

async fn no_decoder_runs(app: &App) {
    eventually("all threads of decoders have ended", async || {
        let figures = app.anonymous().get("/metrics").await.text();
        figures.lines().any(|line| line == "vwaza_decoder_threads 0").then_some(())
    })
    .await;
}

/// Each packet has an entry of its own in every table. Searching a table from its start for each packet would take time
/// that grows with the product of both.
#[tokio::test]
async fn four_m4as_with_long_tables_delay_no_cover() {
    const PACKETS: u32 = 200_000;
    let app = spawn_app().await;
    let track: bytes::Bytes = fixtures::alac_with(f64::from(PACKETS) / 44_100.0, 44_100, 1, |tables| {
        tables.durations = (0..PACKETS).map(|packet| [1, packet % 2]).collect();
    })
    .into();
    let artists = two_artists(&app, &track).await;
    a_third_artists_cover_is_examined(&app).await;
    for (artist, release) in &artists {
        artist.release_once(*release, "its tracks are examined", every_track_is(FileState::Ready)).await;
    }
    no_decoder_runs(&app).await;

    // Entries that no packet needs are refused before anything is stored.
    let (ana, of_ana) = &artists[0];
    let absurd = fixtures::alac_with(1.0, 44_100, 4096, |tables| tables.durations = vec![[0, 1]; 1_000_000]);
    let (_, answer) = ana.upload(UploadTarget::NewTrack(*of_ana), "absurd.m4a", absurd.into()).await;
    let answer = answer.expect_status(422);
    assert!(answer.text().contains("damaged"), "{}", answer.text());
}

/// One permit is never used for a track, so a job of seconds does not wait for jobs of minutes.
#[tokio::test]
async fn a_cover_does_not_wait_for_the_tracks_of_others() {
    // Fifty blocks of a song take minutes.
    let app = spawn_app_with(&[("VWAZA_FAIL_POINTS", "packet-decoded=sleep(3000)")]).await;
    let artists = two_artists(&app, &a_long_song(1)).await;
    a_third_artists_cover_is_examined(&app).await;
    for (artist, release) in &artists {
        let release = artist.release(*release).await;
        assert!(every_track_is(FileState::Examining)(&release), "{:?}", release.tracks);
    }
}

#[tokio::test]
async fn an_examination_that_takes_too_long_ends_with_its_thread_and_the_artist_is_told() {
    let app = spawn_app_with(&[
        ("VWAZA_EXAMINATION_SECONDS", "6"),
        ("VWAZA_JOB_MAX_RETRIES", "2"),
        // Six blocks of a song take more than seven seconds.
        ("VWAZA_FAIL_POINTS", "packet-decoded=sleep(1300)"),
    ])
    .await;
    let artists = two_artists(&app, &a_song(1)).await;
    for (artist, release) in &artists {
        let release = eventually("its tracks are given up", async || {
            make_due(&app.sql).await;
            Some(artist.release(*release).await).filter(every_track_is(FileState::Failed))
        })
        .await;
        for track in &release.tracks {
            let Examination::Failed(reason) = &track.audio.as_ref().unwrap().examination else {
                panic!("{:?}", track.audio)
            };
            assert!(reason.contains("took too long"), "{reason}");
        }
    }
    let attempts: Vec<(i32, String)> =
        sqlx::query_as("select retry_count, error_log from upload_jobs where status = 'FAILED'")
            .fetch_all(&app.sql)
            .await
            .unwrap();
    assert_eq!(attempts.len(), 4);
    for (failures, log) in attempts {
        assert_eq!((failures, log.matches("was not examined within 6 s").count()), (2, 2), "{log}");
    }
    no_decoder_runs(&app).await;
}
