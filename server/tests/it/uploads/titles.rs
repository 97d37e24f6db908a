//! Tests where the titles of tracks come from, and how the names of files are shown.

use base64::{Engine, prelude::BASE64_STANDARD};
use http::Method;
use reqwest::RequestBuilder;
use testing::fixtures;
use uuid::Uuid;
use vwaza::domain::{
    ids::{BatchId, ReleaseId},
    track::RawTrack,
    upload::{BatchMember, BegunUpload, RawIntent, UploadTarget},
};

use crate::support::{Client, a_song, spawn_app};

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
