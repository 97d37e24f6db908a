//! Uploads as artists experience them.

use base64::{Engine, prelude::BASE64_STANDARD};
use http::Method;
use reqwest::RequestBuilder;
use testing::fixtures;
use uuid::Uuid;
use vwaza::domain::{
    files::FileState,
    ids::{BatchId, ReleaseId},
    track::RawTrack,
    upload::{BatchMember, BegunUpload, RawIntent, UploadState, UploadTarget},
};

use crate::support::{
    Client, LONG_SONG_HALF, PASSWORD, RawRequest, a_cover, a_long_song, a_song, eventually, form, metadata, sha256,
    spawn_app, spawn_app_with,
};

#[tokio::test]
async fn beginning_the_same_upload_again_finds_it() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let target = UploadTarget::NewTrack(release);
    let begin = async || ana.begin(target, "song.wav", 1000).await;
    let (one, two) = app.at_once(release, begin(), begin()).await;
    assert_eq!((one.id, one.track, &one.url), (two.id, two.track, &two.url));
    ana.patch(&one.url, 0, vec![1; 300]).await.expect_status(204);
    let again = ana.begin(target, "song.wav", 1000).await;
    assert_eq!((again.id, again.offset), (one.id, 300));
    assert_ne!(ana.begin(target, "song.wav", 1001).await.id, one.id);
    assert_ne!(ana.begin(target, "other.wav", 1000).await.id, one.id);
    assert_eq!(ana.release(release).await.tracks.len(), 3);
    app.expect_consistent().await;
}

#[tokio::test]
async fn upload_complete_returns_how_far_an_upload_is() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let song = a_song(1);
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", song.len()).await;
    let status = ana.upload_status(begun.id).await;
    assert_eq!((status.state, status.status_code), (UploadState::Receiving, 202));
    ana.patch(&begun.url, 0, song.clone()).await.expect_status(204);
    let status = ana.attached(begun.id).await;
    assert_eq!((status.state, status.sha256), (UploadState::Attached, Some(sha256(&song))));
    app.spool_is_empty().await;
}

#[tokio::test]
async fn a_file_whose_storing_takes_long_is_shown_as_safe() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let held = app.hold_table("lock table objects in share mode").await;
    let (begun, answer) = ana.upload(UploadTarget::Cover(release), "cover.png", a_cover(1)).await;
    answer.expect_status(204);
    let status = ana.upload_status(begun.id).await;
    assert_eq!((status.state, status.status_code), (UploadState::Received, 202));
    assert!(status.message.contains("Safe with us"), "{}", status.message);
    drop(held);
    ana.attached(begun.id).await;
}

#[tokio::test]
async fn a_title_comes_from_the_files_tags() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let flac = fixtures::flac(1.0, 44_100, 16, 1, "Night Bus");
    ana.attach(UploadTarget::NewTrack(release), "03 - something_else.flac", flac.into()).await;
    ana.attach(UploadTarget::NewTrack(release), "04 - early_ferry.wav", a_song(1)).await;
    let tracks = ana.release(release).await.tracks;
    assert_eq!((tracks[0].title.as_str(), tracks[1].title.as_str()), ("Night Bus", "early ferry"));
    assert_eq!(tracks[0].isrc.as_ref().unwrap().as_str(), "NLA502600017");
}

#[tokio::test]
async fn a_title_that_was_typed_is_kept() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let flac = fixtures::flac(1.0, 44_100, 16, 1, "Night Bus");
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.flac", flac.len()).await;
    let typed = RawTrack { title: "My Own Title".into(), isrc: "GBAYE0601498".into(), ..RawTrack::default() };
    ana.save_track(begun.track.unwrap(), &typed).await.expect_status(200);
    ana.patch(&begun.url, 0, flac).await.expect_status(204);
    ana.attached(begun.id).await;
    let track = ana.release(release).await.tracks.remove(0);
    assert_eq!((track.title.as_str(), track.isrc.unwrap().as_str()), ("My Own Title", "GBAYE0601498"));
}

/// Returns an MP3 with these texts in an ID3v2.4 tag before its own.
fn tagged(texts: &[(&str, &str)]) -> Vec<u8> {
    let synchsafe = |number: usize| [0, 0, (number >> 7) as u8, (number & 0x7F) as u8];
    let frame =
        |(id, text): &(&str, &str)| [id.as_bytes(), &synchsafe(text.len() + 1), &[0, 0, 3], text.as_bytes()].concat();
    let frames: Vec<u8> = texts.iter().flat_map(frame).collect();
    [b"ID3\x04\0\0".as_slice(), &synchsafe(frames.len()), &frames, &fixtures::mp3(1.0, 44_100, 1, "x")].concat()
}

/// Begins an upload for a new track, as one of several files that were dropped together.
async fn begin_of(
    client: &Client,
    release: ReleaseId,
    batch: Uuid,
    name: &str,
    title: &str,
    length: usize,
) -> BegunUpload {
    let intent = RawIntent {
        target: UploadTarget::NewTrack(release),
        file_name: name.into(),
        length: i64::try_from(length).unwrap(),
        fingerprint: name.into(),
        sha256: None,
    };
    let of_batch = BatchMember { batch: BatchId(batch), title: title.into() };
    client.call_json("upload/begin", &serde_json::json!({ "intent": intent, "of_batch": of_batch })).await.ok()
}

async fn titles(client: &Client, release: ReleaseId) -> Vec<String> {
    let tracks = client.release(release).await.tracks;
    assert!(tracks.iter().zip(1..).all(|(track, number)| track.number == number), "{tracks:?}");
    tracks.into_iter().map(|track| track.title).collect()
}

#[tokio::test]
async fn numbers_in_tags_order_the_files_that_were_dropped_together() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let dropped = async |batch: Uuid, files: &[(&str, Option<&str>)]| {
        let mut begun = Vec::new();
        for (name, number) in files {
            let texts: Vec<(&str, &str)> =
                [("TIT2", *name)].into_iter().chain(number.map(|number| ("TRCK", number))).collect();
            let file = tagged(&texts);
            begun.push((begin_of(&ana, release, batch, name, name, file.len()).await, file));
        }
        begun
    };
    let sent = async |(begun, file): (BegunUpload, Vec<u8>)| {
        ana.patch(&begun.url, 0, file).await.expect_status(204);
        ana.attached(begun.id).await;
    };
    let first =
        dropped(Uuid::from_u128(1), &[("A", Some("3/3")), ("B", None), ("C", Some("1")), ("D", Some("2"))]).await;
    assert_eq!(titles(&ana, release).await, ["A", "B", "C", "D"]);
    for file in first {
        sent(file).await;
    }
    assert_eq!(titles(&ana, release).await, ["C", "B", "D", "A"]);

    // Tracks of another drop come after those of the first. Once somebody has moved a track, the server moves no track
    // by itself.
    let mut second = dropped(Uuid::from_u128(2), &[("E", Some("2")), ("F", Some("1")), ("G", Some("0"))]).await;
    let (last, f) = (second.pop().unwrap(), second.pop().unwrap());
    sent(second.pop().unwrap()).await;
    sent(f).await;
    assert_eq!(titles(&ana, release).await, ["C", "B", "D", "A", "F", "E", "G"]);
    let moved = ana.release(release).await.tracks[6].id;
    let form = vec![("id".into(), moved.to_string()), ("number".into(), "5".into())];
    ana.call("tracks/move", &form).await.expect_status(200);
    let third = dropped(Uuid::from_u128(2), &[("H", Some("1"))]).await;
    sent(last).await;
    for file in third {
        sent(file).await;
    }
    assert_eq!(titles(&ana, release).await, ["C", "B", "D", "A", "G", "F", "E", "H"]);
}

#[tokio::test]
async fn titles_are_derived_from_the_names_of_all_files_together() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let song = a_song(1);
    for (name, title) in [("1 Intro.wav", "Intro"), ("2 Verse.wav", "Verse"), ("3 AM.wav", "\u{3164}")] {
        begin_of(&ana, release, Uuid::from_u128(1), name, title, song.len()).await;
    }
    // The browser sent a title of invisible characters for the last file.
    assert_eq!(titles(&ana, release).await, ["Intro", "Verse", "3 AM"]);
    let without_batch = ana.begin(UploadTarget::NewTrack(release), "4 Outro.wav", song.len()).await;
    assert!(without_batch.track.is_some());
    assert_eq!(titles(&ana, release).await[3], "4 Outro");
}

#[tokio::test]
async fn album_and_guests_in_tags_fill_what_is_empty() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let file = tagged(&[
        ("TIT2", "Night Bus"),
        ("TALB", "Late Lines"),
        ("TPE1", "ana feat. Bo Sun"),
        ("TSRC", "NL-A50-26-00017"),
    ]);
    ana.attach(UploadTarget::NewTrack(release), "x.mp3", file.into()).await;
    let view = ana.release(release).await;
    assert_eq!(
        (view.details.title.as_str(), view.tracks[0].title.as_str()),
        ("Late Lines", "Night Bus (feat. Bo Sun)")
    );
    assert_eq!(view.tracks[0].isrc.as_ref().unwrap().as_str(), "NLA502600017");
    // The tags of another file do not replace the title of the release.
    let other = tagged(&[("TIT2", "Ferry"), ("TALB", "Other Lines"), ("TPE1", "Bo Sun feat. Cy")]);
    ana.attach(UploadTarget::NewTrack(release), "y.mp3", other.into()).await;
    let view = ana.release(release).await;
    assert_eq!((view.details.title.as_str(), view.tracks[1].title.as_str()), ("Late Lines", "Ferry"));
}

/// Sends a form as browsers write it: they escape only the characters that would end the file name.
fn form_of_a_browser(client: &Client, target: &str, name: &str, file: &[u8]) -> RequestBuilder {
    let name = name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A");
    let head = format!(
        "--edge\r\nContent-Disposition: form-data; name=\"target\"\r\n\r\n{target}\r\n\
         --edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: audio/wav\r\n\r\n"
    );
    let request = client.request(Method::POST, "/api/uploads/form").header("accept", "text/html");
    request
        .header("content-type", "multipart/form-data; boundary=edge")
        .body([head.as_bytes(), file, b"\r\n--edge--\r\n"].concat())
}

/// The names come as JSON, in a tus header, and in a form.
#[tokio::test]
async fn names_of_files_are_shown_and_never_used() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let names = [
        "../../x.wav",
        "..\\..\\evil.wav",
        "a\u{202E}vaw.exe",
        "quo\"te\r\nX-Evil: 1.wav",
        &"é".repeat(300),
        "nul\0.wav",
        "",
    ];
    for name in names {
        ana.attach(UploadTarget::NewTrack(release), name, a_song(1)).await;
        let target = format!("new-track:{release}");
        let pairs = [("target", target.as_str()), ("filename", name)];
        let metadata = pairs.map(|(key, value)| format!("{key} {}", BASE64_STANDARD.encode(value))).join(",");
        let length = a_song(2).len().to_string();
        let headers = [("upload-length", length.as_str()), ("upload-metadata", &metadata)];
        let created = ana.tus(Method::POST, "/api/uploads", &headers).await.expect_status(201);
        ana.patch(created.header("location").unwrap(), 0, a_song(2)).await.expect_status(204);
        // A form's part without a file name is not a file, and a browser's file name has no NUL.
        if !name.is_empty() && !name.contains('\0') {
            ana.send(form_of_a_browser(&ana, &target, name, &a_song(3))).await.expect_status(303);
        }
    }
    let stored = ana
        .release_once(release, "all are attached", |release| {
            release.tracks.len() == 3 * names.len() - 2 && release.tracks.iter().all(|track| track.audio.is_some())
        })
        .await;
    for track in stored.tracks {
        let audio = track.audio.unwrap();
        let shown = audio.file_name;
        assert!(
            !shown.contains(['/', '\\', '\0', '\r', '\n', '\u{202E}']) && shown.len() <= 255 && !shown.is_empty(),
            "{shown:?}"
        );
        let media = ana.get(&format!("/media/original/{}", audio.object)).await.expect_status(200);
        assert_eq!(media.header("x-evil"), None);
    }
    assert!(
        app.files_in("objects/audio")
            .iter()
            .all(|file| uuid::Uuid::try_parse(file.file_name().unwrap().to_str().unwrap()).is_ok())
    );
    app.expect_consistent().await;
}

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

#[tokio::test]
async fn u21_an_upload_goes_on_after_signing_in_again() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let email = ana.actor().await.unwrap().email;
    let song = a_song(1);
    let begun = ana.begin(UploadTarget::NewTrack(ana.create_release().await), "song.wav", song.len()).await;
    ana.patch(&begun.url, 0, song.slice(..1000)).await.expect_status(204);
    ana.call("account/sign-out", &form(&[])).await.expect_status(200);
    ana.patch(&begun.url, 1000, song.slice(1000..)).await.expect_error(401, "Sign in");
    ana.sign_in(&email, PASSWORD).await.expect_status(200);
    assert_eq!(ana.offset(&begun.url).await, 1000);
    ana.patch(&begun.url, 1000, song.slice(1000..)).await.expect_status(204);
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&song)));
    app.expect_consistent().await;
}

/// Once all bytes are received, no session is needed.
#[tokio::test]
async fn u21_a_received_file_is_attached_after_signing_out() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let email = ana.actor().await.unwrap().email;
    let release = ana.create_release().await;
    let held = app.hold_table("lock table objects in share mode").await;
    let (begun, answer) = ana.upload(UploadTarget::Cover(release), "cover.png", a_cover(1)).await;
    answer.expect_status(204);
    ana.call("account/sign-out", &form(&[])).await.expect_status(200);
    drop(held);
    eventually("it is attached", async || {
        let cover: Option<uuid::Uuid> =
            sqlx::query_scalar("select cover_id from releases").fetch_one(&app.sql).await.unwrap();
        cover
    })
    .await;
    ana.sign_in(&email, PASSWORD).await.expect_status(200);
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&a_cover(1))));
    app.expect_consistent().await;
}

#[tokio::test]
async fn u21_an_owner_disabled_in_the_middle_goes_on_once_enabled_again() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let email = ana.actor().await.unwrap().email;
    let song = a_long_song(1);
    let begun = ana.begin(UploadTarget::NewTrack(ana.create_release().await), "song.wav", song.len()).await;
    let mut patch = RawRequest::patch(&app, &ana, &begun.url, 0, LONG_SONG_HALF).await;
    patch.send(&song[..1_000_000]).await;
    sqlx::query("update users set disabled_at = now()").execute(&app.sql).await.unwrap();
    // A request that is already running may end. The next one is refused.
    patch.send(&song[1_000_000..LONG_SONG_HALF]).await;
    assert_eq!(patch.status().await, 204);
    ana.patch(&begun.url, LONG_SONG_HALF, song.slice(LONG_SONG_HALF..)).await.expect_status(401);
    assert_eq!(app.offset_reaches(0).await, LONG_SONG_HALF);
    assert_eq!(app.only_file_in("spool/uploads").metadata().unwrap().len() as usize, LONG_SONG_HALF);
    sqlx::query("update users set disabled_at = null").execute(&app.sql).await.unwrap();
    ana.sign_in(&email, PASSWORD).await.expect_status(200);
    ana.patch(&begun.url, LONG_SONG_HALF, song.slice(LONG_SONG_HALF..)).await.expect_status(204);
    assert_eq!(ana.attached(begun.id).await.sha256, Some(sha256(&song)));
    app.expect_consistent().await;
}

#[tokio::test]
async fn u20_a_track_removed_in_the_middle_ends_its_upload() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let song = a_song(1);
    let begun = ana.begin(UploadTarget::NewTrack(ana.create_release().await), "song.wav", song.len()).await;
    ana.patch(&begun.url, 0, song.slice(..1000)).await.expect_status(204);
    ana.call_with("tracks/remove", "id", begun.track.unwrap()).await.expect_status(200);
    ana.patch(&begun.url, 1000, song.slice(1000..)).await.expect_status(410);
    assert_eq!(app.files_in("spool/uploads").len(), 0);

    // The track is removed while bytes arrive.
    let begun = ana.begin(UploadTarget::NewTrack(ana.create_release().await), "song.wav", song.len()).await;
    let mut writer = RawRequest::patch(&app, &ana, &begun.url, 0, song.len()).await;
    writer.send(&song[..1000]).await;
    ana.call_with("tracks/remove", "id", begun.track.unwrap()).await.expect_status(200);
    assert_eq!(writer.status().await, 410);
    assert_eq!(app.files_in("spool/uploads").len(), 0);
    app.expect_consistent().await;
}

#[tokio::test]
async fn u19_of_two_covers_the_newer_one_stays() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let target = UploadTarget::Cover(release);
    let (old, new) = (a_cover(1), a_cover(2));
    let first = ana.begin(target, "old.png", old.len()).await;
    ana.attach(target, "new.png", new.clone()).await;
    // The older upload ends after the newer one is attached.
    ana.patch(&first.url, 0, old).await.expect_status(204);
    let superseded = eventually("the older one is overtaken", async || {
        Some(ana.upload_status(first.id).await).filter(|status| status.state != UploadState::Received)
    })
    .await;
    assert_eq!((superseded.state, superseded.status_code), (UploadState::Superseded, 409));
    assert_eq!(ana.release(release).await.cover.current.unwrap().sha256, sha256(&new));
    app.expect_consistent().await;
}

/// Both covers are received and reach their release at the same time.
#[tokio::test]
async fn u19_of_two_covers_at_once_the_newer_one_stays_and_the_other_is_reaped() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let target = UploadTarget::Cover(release);
    let (old, new) = (a_cover(1), a_cover(2));
    let (first, second) =
        (ana.begin(target, "old.png", old.len()).await, ana.begin(target, "new.png", new.len()).await);
    // Both objects are being put, and neither is attached yet.
    let held = app.hold_table("lock table objects in share mode").await;
    for (begun, cover) in [(&first, &old), (&second, &new)] {
        ana.patch(&begun.url, 0, cover.clone()).await.expect_status(204);
    }
    app.waits_for_locks(2).await;
    let release_held = app.hold_release(release).await;
    drop(held);
    eventually("both are put", async || (app.files_in("objects/covers").len() == 2).then_some(())).await;
    app.waits_for_locks(2).await;
    drop(release_held);
    assert_eq!(ana.attached(second.id).await.sha256, Some(sha256(&new)));
    // The older cover came first and was replaced, or came second and was superseded.
    eventually("the older one is through", async || {
        let state = ana.upload_status(first.id).await.state;
        matches!(state, UploadState::Attached | UploadState::Superseded).then_some(())
    })
    .await;
    let shown = ana.release_once(release, "it is examined", |release| release.cover.state() == FileState::Ready).await;
    assert_eq!(shown.cover.current.unwrap().sha256, sha256(&new));
    eventually("the other one is reaped", async || (app.files_in("objects/covers").len() == 1).then_some(())).await;
    app.expect_consistent().await;
}

/// The track is removed while its file is being stored, so the file reaches the release second.
#[tokio::test]
async fn u20_a_track_removed_while_its_file_is_stored_leaves_nothing() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", a_song(1).len()).await;
    let storing = app.hold_table("lock table objects in share mode").await;
    ana.patch(&begun.url, 0, a_song(1)).await.expect_status(204);
    app.waits_for_locks(1).await;
    let release_held = app.hold_release(release).await;
    let removing = ana.call_with("tracks/remove", "id", begun.track.unwrap());
    let (removed, ()) = tokio::join!(removing, async {
        // The job and the removal of the track both wait.
        app.waits_for_locks(2).await;
        drop(storing);
        eventually("it is put", async || (app.files_in("objects/audio").len() == 1).then_some(())).await;
        app.waits_for_locks(2).await;
        drop(release_held);
    });
    removed.expect_status(200);
    assert!(ana.release(release).await.tracks.is_empty());
    eventually("nothing of it is stored", async || app.files_in("objects/audio").is_empty().then_some(())).await;
    app.spool_is_empty().await;
    app.expect_consistent().await;
}
