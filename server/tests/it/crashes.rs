//! SIGKILL in the middle of an upload: acknowledged bytes are there after the restart.

use vwaza::domain::{
    release::ReleaseStatus,
    upload::{UploadState, UploadTarget},
};

use crate::support::{
    LONG_SONG_HALF, RawRequest, a_cover, a_long_song, a_song, eventually, sha256, spawn_app, spawn_app_with,
};

#[tokio::test]
async fn u2_an_upload_survives_a_killed_server() {
    let mut app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let song = a_long_song(1);
    let begun = ana.begin(UploadTarget::NewTrack(ana.create_release().await), "song.wav", song.len()).await;
    ana.patch(&begun.url, 0, song.slice(..100_000)).await.expect_status(204);
    let mut patch = RawRequest::patch(&app, &ana, &begun.url, 100_000, song.len() - 100_000).await;
    patch.send(&song[100_000..LONG_SONG_HALF]).await;
    app.spooled_beyond(100_000).await;
    app.restart().await;

    let offset = ana.offset(&begun.url).await;
    assert!((100_000..=LONG_SONG_HALF).contains(&offset), "{offset}");
    assert_eq!(
        ana.begin(UploadTarget::Audio(begun.track.unwrap()), "song.wav", song.len()).await.offset,
        offset as i64
    );
    ana.patch(&begun.url, offset, song.slice(offset..)).await.expect_status(204);
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&song)));
    app.expect_consistent().await;
}

#[tokio::test]
async fn bytes_that_a_crash_left_beyond_the_offset_are_cut_off() {
    let mut app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let song = a_song(1);
    let begun = ana.begin(UploadTarget::NewTrack(ana.create_release().await), "song.wav", song.len()).await;
    ana.patch(&begun.url, 0, song.slice(..100_000)).await.expect_status(204);
    app.kill();
    // A power cut may leave bytes that were never acknowledged and are wrong, and more of them than the file has.
    let spooled = app.only_file_in("spool/uploads");
    let mut bytes = std::fs::read(&spooled).unwrap();
    bytes.truncate(100_000);
    bytes.extend(vec![0xEE; song.len()]);
    std::fs::write(&spooled, bytes).unwrap();
    app.start().await;
    assert_eq!(ana.offset(&begun.url).await, 100_000);
    ana.patch(&begun.url, 100_000, song.slice(100_000..)).await.expect_status(204);
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&song)));
    app.expect_consistent().await;
}

#[tokio::test]
async fn u28_a_received_file_is_stored_after_a_crash_without_a_request() {
    let mut app = spawn_app_with(&[("VWAZA_JOB_LEASE_SECONDS", "2")]).await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let song = a_song(1);
    let held = app.hold_table("lock table objects in share mode").await;
    let (_, answer) = ana.upload(UploadTarget::NewTrack(release), "song.wav", song.clone()).await;
    answer.expect_status(204);
    app.kill();
    drop(held);
    app.start().await;
    let attached = eventually("it is stored", async || {
        let hash: Option<Vec<u8>> =
            sqlx::query_scalar("select o.sha256 from tracks t join objects o on o.id = t.audio_id")
                .fetch_optional(&app.sql)
                .await
                .unwrap();
        hash
    })
    .await;
    assert_eq!(hex::encode(&attached), sha256(&song));
    let job: (String, i32, i32, i32) = sqlx::query_as(
        "select status::text, attempt, retry_count, expired_leases from upload_jobs where kind = 'STORE'",
    )
    .fetch_one(&app.sql)
    .await
    .unwrap();
    assert_eq!(job, ("COMPLETED".into(), 2, 1, 1));
    eventually("the stuck job is logged", async || {
        Some(()).filter(|()| app.log.events("stuck job taken back").len() == 1)
    })
    .await;
    let object = ana.release(release).await.tracks[0].audio.clone().unwrap().object;
    assert_eq!(ana.get(&format!("/media/original/{object}")).await.body, song);
    app.expect_consistent().await;
}

#[tokio::test]
async fn u10_an_upload_whose_last_byte_arrived_is_completed_by_the_next_start() {
    let mut app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let cover = a_cover(1);
    // The lock stops the server between the last byte and the row that records it.
    let held = app.hold_table("lock table upload_jobs in share mode").await;
    let begun = ana.begin(UploadTarget::Cover(release), "cover.png", cover.len()).await;
    let mut patch = RawRequest::patch(&app, &ana, &begun.url, 0, cover.len()).await;
    patch.send(&cover).await;
    eventually("all bytes are counted", async || {
        let all: bool =
            sqlx::query_scalar("select offset_bytes = length_bytes from uploads").fetch_one(&app.sql).await.unwrap();
        all.then_some(())
    })
    .await;
    app.kill();
    drop(held);
    app.start().await;
    let release = ana.release_once(release, "the cover is there", |release| release.cover.current.is_some()).await;
    assert_eq!(release.cover.current.unwrap().sha256, sha256(&cover));
    assert_eq!(ana.upload_status(begun.id).await.state, UploadState::Attached);
    app.expect_consistent().await;
}

#[tokio::test]
async fn a_submitted_release_is_examined_after_a_crash() {
    // Nothing is examined before the submit.
    let mut app = spawn_app_with(&[("VWAZA_WORKER_CONCURRENCY", "0"), ("VWAZA_JOB_LEASE_SECONDS", "2")]).await;
    let ana = app.artist("Ana").await;
    let id = ana.complete_release().await;
    ana.submit(id).await.expect_status(200);
    let held = app.hold_table("lock table audio_facts, cover_facts in share mode").await;
    app.restart_with(&[("VWAZA_WORKER_CONCURRENCY", "4")]).await;
    eventually("both files are being examined", async || {
        let claimed: i64 =
            sqlx::query_scalar("select count(*) from upload_jobs where kind = 'EXAMINE' and status = 'UPLOADING'")
                .fetch_one(&app.sql)
                .await
                .unwrap();
        (claimed == 2).then_some(())
    })
    .await;
    app.kill();
    drop(held);
    app.start().await;
    ana.release_when(id, ReleaseStatus::PendingReview).await;
}
