//! Tests the limits of one artist: open uploads, space, and the disk of the spool.

use http::Method;
use vwaza::domain::upload::UploadTarget;

use crate::support::{a_cover, a_long_song, metadata, sha256, spawn_app_with};

#[tokio::test]
async fn the_number_of_an_artists_open_uploads_is_limited() {
    let app = spawn_app_with(&[("VWAZA_MAX_OPEN_UPLOADS", "2")]).await;
    let (ana, ben) = (app.artist("Ana").await, app.artist("Ben").await);
    let release = ana.create_release().await;
    let target = UploadTarget::NewTrack(release);
    let first = ana.begin(target, "1.wav", 1000).await;
    ana.begin(target, "2.wav", 1000).await;
    let refused = ana.try_begin(target, "3.wav", 1000).await.expect_error(429, "You already have 2 unfinished uploads");
    assert!(refused.header("retry-after").is_some());
    let metadata = metadata(&[("target", &target.to_string()), ("filename", "3.wav")]);
    let headers = [("upload-length", "1000"), ("upload-metadata", &*metadata)];
    let created = ana.tus(Method::POST, "/api/uploads", &headers).await;
    let refused = created.expect_error(429, "You already have 2 unfinished uploads");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(ana.release(release).await.tracks.len(), 2);
    // Beginning the same upload again does not count, and other artists are not limited.
    ana.begin(target, "2.wav", 1000).await;
    ben.begin(UploadTarget::NewTrack(ben.create_release().await), "1.wav", 1000).await;
    ana.call_with("upload/cancel", "id", first.id).await.expect_status(200);
    ana.begin(target, "3.wav", 1000).await;
}

#[tokio::test]
async fn an_artists_space_is_limited() {
    let app = spawn_app_with(&[("VWAZA_ARTIST_QUOTA_GB", "1")]).await;
    let ana = app.artist("Ana").await;
    let target = UploadTarget::NewTrack(ana.create_release().await);
    let begun = ana.begin(target, "1.wav", 700_000_000).await;
    ana.try_begin(target, "2.wav", 700_000_000).await.expect_error(413, "your 1 GB of space");
    ana.call_with("upload/cancel", "id", begun.id).await.expect_status(200);
    ana.begin(target, "2.wav", 700_000_000).await;
}

/// Each cover replaces the one before it. The first cover's object is stored and never attached.
#[tokio::test]
async fn replaced_files_count_until_they_are_deleted_and_copies_do_not() {
    let kept = [("VWAZA_REPLACED_OBJECT_DAYS", "7"), ("VWAZA_ORPHAN_GRACE_SECONDS", "900")];
    let app = spawn_app_with(&[kept[0], kept[1], ("VWAZA_ARTIST_QUOTA_GB", "1")]).await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    for number in [1, 2] {
        ana.attach(UploadTarget::Cover(release), "cover.png", a_cover(number)).await;
    }
    ana.release_once(release, "its thumbnails are there", |release| {
        release.cover.current.as_ref().is_some_and(|cover| cover.facts.is_some())
    })
    .await;
    let enlarge = |state: &str, parent: &str| {
        let statement =
            format!("update objects set size_bytes = 400000000 where state = '{state}' and parent_id is {parent}");
        let sql = app.sql.clone();
        async move { sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&sql).await.unwrap().rows_affected() }
    };
    let target = UploadTarget::NewTrack(release);
    assert!(enlarge("ATTACHED", "not null").await > 1);
    ana.begin(target, "beside large copies.wav", 900_000_000).await;
    let open = ana.release(release).await.tracks[0].clone();
    ana.call_with("tracks/remove", "id", open.id).await.expect_status(200);
    assert_eq!(enlarge("RELEASED", "null").await, 1);
    ana.try_begin(target, "beside a replaced cover.wav", 700_000_000).await.expect_error(413, "your 1 GB of space");
    // Makes the object look as if the process was killed between putting and attaching it.
    sqlx::query("update objects set state = 'INTENDED', attached_at = null where state = 'RELEASED'")
        .execute(&app.sql)
        .await
        .unwrap();
    ana.try_begin(target, "beside an intended object.wav", 700_000_000).await.expect_error(413, "your 1 GB of space");
}

#[tokio::test]
async fn one_artists_files_leave_room_on_the_spool_for_others() {
    let settings = [("VWAZA_FAIL_POINTS", "spool-free=return(8000000)"), ("VWAZA_SPOOL_RESERVE_MB", "0")];
    let app = spawn_app_with(&settings).await;
    let (ana, ben) = (app.artist("Ana").await, app.artist("Ben").await);
    let target = UploadTarget::NewTrack(ana.create_release().await);
    // Two of Ana's files wait for their last byte.
    let mut waiting = Vec::new();
    for number in 1..=2 {
        let song = a_long_song(number);
        let begun = ana.begin(target, &format!("{number}.wav"), song.len()).await;
        ana.patch(&begun.url, 0, song.slice(..song.len() - 1)).await.expect_status(204);
        waiting.push(begun);
    }
    let song = a_long_song(3);
    let begun = ana.begin(target, "third.wav", song.len()).await;
    ana.patch(&begun.url, 0, song.clone()).await.expect_error(507, "Your other files are still being stored");
    ben.attach(UploadTarget::NewTrack(ben.create_release().await), "song.wav", a_long_song(4)).await;
    // Cancelling an upload makes room, and the bytes of the third that have arrived count.
    ana.call_with("upload/cancel", "id", waiting[0].id).await.expect_status(200);
    let offset = ana.offset(&begun.url).await;
    assert!((1..song.len()).contains(&offset), "{offset}");
    ana.patch(&begun.url, offset, song.slice(offset..)).await.expect_status(204);
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&song)));
    app.expect_consistent().await;
}
