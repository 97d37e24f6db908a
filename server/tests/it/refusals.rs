//! Files that are not a cover or a track are refused, with a message that says why.

use http::Method;
use testing::fixtures::{self, WavFormat};
use vwaza::domain::{
    files::FileState,
    upload::{UploadState, UploadTarget},
};

use crate::support::{App, a_cover, a_song, all_jobs_end, eventually, spawn_app, spawn_app_with};

/// File name, bytes, status, and words of the message.
type Refused = (&'static str, Vec<u8>, u16, &'static str);

#[tokio::test]
async fn a_file_that_is_not_a_cover_is_refused_by_its_content() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let files: [Refused; 9] = [
        ("drawing.png", fixtures::svg(), 415, "SVG"),
        ("page.jpg", b"<!DOCTYPE html><script>alert(1)</script>".to_vec(), 415, "web page"),
        ("song.png", a_song(1).to_vec(), 415, "JPEG or PNG"),
        ("oblong.png", fixtures::picture_png(800, 640, 1), 422, "square"),
        ("tiny.png", fixtures::cover_png(300, 1), 422, "640"),
        ("animated.png", fixtures::animated_png(&a_cover(1)), 422, "animated"),
        ("huge.png", fixtures::png_declaring(65_535, 65_535), 422, "65535"),
        ("half.png", fixtures::truncated(&a_cover(1)), 422, "incomplete"),
        ("half.jpg", fixtures::truncated(&fixtures::cover_jpeg(640, 1)), 422, "incomplete"),
    ];
    for (name, bytes, status, words) in files {
        let (begun, answer) = ana.upload(UploadTarget::Cover(release), name, bytes.into()).await;
        let reason = answer.expect_error(status, words).message();
        let told = ana.upload_status(begun.id).await;
        assert_eq!((told.state, told.status_code, told.message), (UploadState::Refused, status, reason), "{name}");
        let cover = ana.release(release).await.cover;
        assert_eq!((cover.state(), cover.current), (FileState::Refused, None), "{name}");
    }
    assert_eq!(app.files_in("spool/uploads").len(), 0);
    ana.attach(UploadTarget::Cover(release), "cover.png", a_cover(1)).await;
    assert_eq!(ana.release(release).await.cover.pending, None);
}

#[tokio::test]
async fn a_file_that_is_not_a_track_is_refused_by_its_content() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let track = ana.begin(UploadTarget::NewTrack(release), "song.wav", 1000).await.track.unwrap();
    let with = |at: usize, bytes: &[u8]| {
        let mut song = a_song(1).to_vec();
        song[at..at + bytes.len()].copy_from_slice(bytes);
        song
    };
    let files: [Refused; 10] = [
        ("words.wav", b"These are words, whatever the name says.\n".repeat(40), 415, "WAV, FLAC"),
        ("cover.mp3", a_cover(1).to_vec(), 415, "picture"),
        ("half.wav", fixtures::truncated(&a_song(1)), 422, "incomplete"),
        ("half.flac", fixtures::truncated(&fixtures::flac(1.0, 44_100, 16, 1, "Half")), 422, "incomplete"),
        ("endless.wav", with(40, &[0xFF; 4]), 422, "does not say how long"),
        ("no rate.wav", with(24, &[0; 4]), 422, ""),
        ("many channels.wav", with(22, &[0xFF; 2]), 422, ""),
        ("8 kHz.wav", fixtures::wav(1.0, 8_000, 16, 1), 422, "44.1"),
        ("tiny.wav", b"RIFF".to_vec(), 415, ""),
        ("nothing.wav", fixtures::wav(0.0, 44_100, 16, 1), 422, "no sound"),
    ];
    for (name, bytes, status, words) in files {
        let (begun, answer) = ana.upload(UploadTarget::Audio(track), name, bytes.into()).await;
        let reason = answer.expect_error(status, words).message();
        let told = ana.upload_status(begun.id).await;
        assert_eq!((told.state, told.status_code, told.message), (UploadState::Refused, status, reason), "{name}");
    }
    ana.attach(UploadTarget::Audio(track), "song.wav", a_song(1)).await;
    assert_eq!(ana.release(release).await.tracks[0].pending, None);
}

#[tokio::test]
async fn the_kind_of_a_file_is_decided_by_its_bytes_and_not_by_its_name() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    for (name, bytes, content_type) in [
        ("song.flac", fixtures::mp3(1.0, 44_100, 1, "Early Ferry"), "audio/mpeg"),
        ("song.mp3", fixtures::wav_as(WavFormat::Extensible, 1.0, 48_000, 24, 1), "audio/wav"),
        ("song.txt", fixtures::aiff(1.0, 48_000, 24, 1), "audio/aiff"),
        ("song", fixtures::alac(1.0, 44_100, 1, "Last Tram"), "audio/mp4"),
    ] {
        let begun = ana.attach(UploadTarget::NewTrack(release), name, bytes.into()).await;
        let track = ana.release(release).await.tracks.into_iter().find(|track| Some(track.id) == begun.track).unwrap();
        assert_eq!(track.audio.unwrap().content_type, content_type, "{name}");
    }
    ana.attach(UploadTarget::Cover(release), "cover.png", fixtures::cover_jpeg(640, 1).into()).await;
    assert_eq!(ana.release(release).await.cover.current.unwrap().content_type, "image/jpeg");
}

#[tokio::test]
async fn a_refused_file_does_not_replace_the_one_before() {
    let app = spawn_app_with(&[("VWAZA_MAX_OPEN_UPLOADS", "1")]).await;
    let ana = app.artist("Ana").await;
    let id = ana.complete_release().await;
    let before = eventually("both files are examined", async || {
        let release = ana.release(id).await;
        (release.cover.state() == FileState::Ready && release.tracks[0].state() == FileState::Ready).then_some(release)
    })
    .await;
    let (begun, answer) = ana.upload(UploadTarget::Cover(id), "drawing.png", fixtures::svg().into()).await;
    answer.expect_status(415);
    let after = ana.release(id).await;
    assert_eq!((after.cover.current.as_ref(), after.cover.state()), (before.cover.current.as_ref(), FileState::Ready));
    assert!(after.cover.pending.unwrap().message.is_some());
    // The artist dismisses the message. The refused file does not block the submit.
    ana.call_with("upload/cancel", "id", begun.id).await.expect_status(200);
    assert_eq!(ana.release(id).await.cover.pending, None);
    ana.submit(id).await.expect_status(200);
}

/// Returns the most memory that the process has used so far.
fn peak_bytes(app: &App) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", app.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

/// The pixels of the largest picture would take 12 GB.
#[tokio::test]
async fn decompression_bombs_take_no_more_memory_than_other_pictures() {
    const SLACK_BYTES: u64 = 128 * 1024 * 1024;
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    ana.attach(UploadTarget::Cover(release), "cover.png", fixtures::cover_png(3000, 1).into()).await;
    ana.release_once(release, "it is examined", |release| release.cover.state() == FileState::Ready).await;
    let before = peak_bytes(&app);
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/media");
    let kept = std::fs::read_dir(kept).unwrap().map(|entry| entry.unwrap().path());
    let pictures = kept.filter(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with("png-") || name.starts_with("jpeg-")
    });
    let mut bombs: Vec<_> = pictures.map(|path| std::fs::read(path).unwrap()).collect();
    assert!(bombs.len() > 3);
    bombs.extend([fixtures::png_declaring(65_535, 65_535), fixtures::png_declaring(u32::MAX, u32::MAX)]);
    for bomb in bombs {
        let (_, answer) = ana.upload(UploadTarget::Cover(release), "bomb.png", bomb.into()).await;
        assert!(matches!(answer.status, 204 | 413 | 415 | 422), "{} {}", answer.status, answer.text());
    }
    // The pictures that were accepted are examined.
    all_jobs_end(&app.sql).await;
    for kind in [b"iCCP", b"zTXt"] {
        let bomb = fixtures::png_with_a_bomb(&fixtures::cover_png(640, 1), kind);
        let (_, answer) = ana.upload(UploadTarget::Cover(release), "bomb.png", bomb.into()).await;
        answer.expect_error(422, "without metadata");
    }
    let grown = peak_bytes(&app) - before;
    assert!(grown < SLACK_BYTES, "{} MB more", grown / (1024 * 1024));
    app.expect_consistent().await;
}

/// A form's part has a head that never ends.
#[tokio::test]
async fn a_form_with_an_endless_head_takes_no_more_memory_than_others() {
    const SLACK_BYTES: u64 = 32 * 1024 * 1024;
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    ana.attach(UploadTarget::NewTrack(ana.create_release().await), "song.wav", a_song(1)).await;
    let before = peak_bytes(&app);
    let head = [b"--b\r\nX: ".as_slice(), &vec![b'a'; 48 * 1024 * 1024]].concat();
    let request =
        ana.request(Method::POST, "/api/uploads/form").header("content-type", "multipart/form-data; boundary=b");
    ana.send(request.body(head)).await.expect_status(400);
    let grown = peak_bytes(&app) - before;
    assert!(grown < SLACK_BYTES, "{} MB more", grown / (1024 * 1024));
    app.expect_consistent().await;
}

/// While an upgrade goes on, processes of two versions read and write the same rows.
#[tokio::test]
async fn a_refusal_keeps_its_status_in_the_version_before_and_after() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let target = UploadTarget::NewTrack(ana.create_release().await);
    let (refused, _) = ana.upload(target, "letter.wav", "This is a letter.".into()).await;
    let written: i16 = sqlx::query_scalar("select failure_status from uploads where id = $1")
        .bind(refused.id.0)
        .fetch_one(&app.sql)
        .await
        .unwrap();
    assert_eq!((ana.upload_status(refused.id).await.status_code, written), (415, 415));
    for status in [410, 413, 415, 422] {
        sqlx::query("update uploads set refusal = null, failure_status = $2 where id = $1")
            .bind(refused.id.0)
            .bind(status)
            .execute(&app.sql)
            .await
            .unwrap();
        assert_eq!(i32::from(ana.upload_status(refused.id).await.status_code), status);
    }
}
