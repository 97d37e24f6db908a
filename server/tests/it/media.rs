//! Covers and audio: who may read them, ranges, and headers that keep them from running as pages.

use http::Method;
use testing::fixtures;
use uuid::Uuid;
use vwaza::domain::{files::FileState, release::RawDetails, upload::UploadTarget};

use crate::support::{Client, TestResponse, a_cover, a_song, spawn_app, spawn_app_with};

async fn get_with(client: &Client, path: &str, headers: &[(&str, &str)]) -> TestResponse {
    let request =
        headers.iter().fold(client.request(Method::GET, path), |request, (name, value)| request.header(*name, *value));
    client.send(request).await
}

#[tokio::test]
async fn unreleased_files_do_not_leak() {
    let app = spawn_app().await;
    let (ana, ben, admin) = (app.artist("Ana").await, app.artist("Ben").await, app.admin().await);
    let release = ana.release_in_review().await;
    let (cover, audio) = (release.cover.current.unwrap().object, release.tracks[0].audio.clone().unwrap().object);
    let missing = ben.get(&format!("/media/original/{}", Uuid::now_v7())).await.expect_status(404).anonymous_error();
    for path in ["original", "listen"]
        .map(|kind| format!("/media/{kind}/{audio}"))
        .into_iter()
        .chain([format!("/media/original/{cover}"), format!("/media/cover/{cover}/640")])
    {
        app.anonymous().get(&path).await.expect_status(401);
        assert_eq!(ben.get(&path).await.expect_status(404).anonymous_error(), missing);
        ana.get(&path).await.expect_status(200);
        admin.get(&path).await.expect_status(200);
    }
    // The storage's keys are not valid paths.
    for path in [
        format!("/media/audio/{audio}"),
        format!("/media/listen/{cover}"),
        format!("/media/original/..%2faudio%2f{audio}"),
        "/media/".into(),
        format!("/objects/audio/{audio}"),
    ] {
        admin.get(&path).await.expect_status(404);
    }
    for path in [
        format!("/media/cover/{cover}/-1"),
        format!("/media/cover/{cover}/-2147483648"),
        format!("/media/cover/{cover}/huge"),
        format!("/media/cover/{audio}/160"),
    ] {
        let answer = ana.get(&path).await;
        assert!(matches!(answer.status, 200 | 404), "{path}: {}", answer.status);
    }
}

#[tokio::test]
async fn a_player_seeks_by_ranges() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let id = ana.create_release().await;
    let song = a_song(1);
    let size = song.len();
    ana.attach(UploadTarget::NewTrack(id), "song.wav", song.clone()).await;
    let path = format!("/media/original/{}", ana.release(id).await.tracks[0].audio.clone().unwrap().object);

    let whole = ana.get(&path).await.expect_status(200);
    assert_eq!((whole.body.clone(), whole.header("accept-ranges")), (song.clone(), Some("bytes")));
    for (range, from, to) in [
        ("bytes=0-0".to_owned(), 0, 1),
        ("bytes=1000-1999".into(), 1000, 2000),
        ("bytes=300000-".into(), 300_000, size),
        ("bytes=-1000".into(), size - 1000, size),
        (format!("bytes=-{}", size + 1), 0, size),
        (format!("bytes=0-{}", u64::MAX), 0, size),
    ] {
        let part = get_with(&ana, &path, &[("range", &range)]).await.expect_status(206);
        assert_eq!(part.body, song.slice(from..to), "{range}");
        assert_eq!(part.header("content-range"), Some(format!("bytes {from}-{}/{size}", to - 1).as_str()), "{range}");
    }
    for range in [format!("bytes={size}-"), "bytes=-0".into()] {
        let answer = get_with(&ana, &path, &[("range", &range)]).await.expect_status(416);
        assert_eq!(answer.header("content-range"), Some(format!("bytes */{size}").as_str()));
    }
    for range in ["bytes=5-4", "bytes=0-1,5-6", "bytes=0-1,x", "bytes=0-1,-99999999", "lines=1-2", "bytes=x-"] {
        assert_eq!(get_with(&ana, &path, &[("range", range)]).await.expect_status(200).body.len(), size, "{range}");
    }

    let etag = whole.header("etag").unwrap();
    get_with(&ana, &path, &[("range", "bytes=0-9"), ("if-range", etag)]).await.expect_status(206);
    // Without the certainty that the file is the same, its parts must not be joined (RFC 9110, 13.1.5).
    for other in
        ["\"other\"", "\"an other\"", "", "\"", "*", &format!("W/{etag}"), "Wed, 21 Oct 2099 07:28:00 GMT", "soon"]
    {
        let answer = get_with(&ana, &path, &[("range", "bytes=0-9"), ("if-range", other)]).await;
        assert_eq!(answer.expect_status(200).body.len(), size, "{other}");
    }
    let head = ana.send(ana.request(Method::HEAD, &path)).await.expect_status(200);
    assert_eq!((head.header("content-length"), head.body.len()), (Some(size.to_string().as_str()), 0));
}

#[tokio::test]
async fn a_file_that_the_browser_knows_is_not_sent_again() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let id = ana.create_release().await;
    ana.attach(UploadTarget::NewTrack(id), "song.wav", a_song(1)).await;
    let path = format!("/media/original/{}", ana.release(id).await.tracks[0].audio.clone().unwrap().object);
    let etag = ana.get(&path).await.expect_status(200).header("etag").unwrap().to_owned();

    let list = format!("\"an, other\", {etag}");
    for known in [etag.as_str(), &format!("W/{etag}"), &list, "*"] {
        let answer =
            get_with(&ana, &path, &[("if-none-match", known), ("range", "bytes=0-9")]).await.expect_status(304);
        assert!(answer.body.is_empty());
        assert_eq!((answer.header("etag"), answer.header("cache-control")), (Some(&*etag), Some("private, no-cache")));
    }
    get_with(&ana, &path, &[("if-none-match", "\"other\""), ("if-none-match", &etag)]).await.expect_status(304);
    for other in ["\"other\"", "\"an other\"", "", "\"", etag.trim_matches('"'), "\"*\"", "é"] {
        get_with(&ana, &path, &[("if-none-match", other)]).await.expect_status(200);
    }
}

#[tokio::test]
async fn a_file_that_not_every_browser_plays_is_played_as_a_copy() {
    let app = spawn_app_with(&[("VWAZA_REPLACED_OBJECT_DAYS", "7")]).await;
    let ana = app.artist("Ana").await;
    let id = ana.create_release().await;
    let (aiff, alac) = (fixtures::aiff(2.0, 44_100, 24, 1), fixtures::alac(2.0, 44_100, 2, "Tram"));
    for (name, song) in [("bus.aiff", aiff.clone()), ("tram.m4a", alac.clone())] {
        ana.attach(UploadTarget::NewTrack(id), name, song.into()).await;
    }
    let release = ana
        .release_once(id, "both are examined", |release| {
            release.tracks.iter().all(|track| track.state() == FileState::Ready)
        })
        .await;
    for (track, original) in release.tracks.iter().zip([aiff, alac]) {
        let file = track.audio.as_ref().unwrap();
        assert_eq!(file.facts.as_ref().unwrap().played_as(), "audio/flac");
        let (heard, kept) = (format!("/media/listen/{}", file.object), format!("/media/original/{}", file.object));
        let copy = ana.get(&heard).await.expect_status(200);
        assert_eq!((copy.header("content-type"), copy.header("accept-ranges")), (Some("audio/flac"), Some("bytes")));
        assert!(copy.body.starts_with(b"fLaC"));
        let part = get_with(&ana, &heard, &[("range", "bytes=100-199")]).await.expect_status(206);
        assert_eq!(part.body, copy.body.slice(100..200));
        // The original stays as the artist uploaded it.
        assert_eq!(ana.get(&kept).await.expect_status(200).body, original);
        ana.get(&format!("/media/cover/{}/160", file.object)).await.expect_status(404);
    }
    app.expect_consistent().await;

    // The copy stays and goes with the track's audio.
    let [kept, removed] = release.tracks.as_slice() else { panic!("two tracks") };
    ana.attach(UploadTarget::Audio(kept.id), "song.wav", a_song(3)).await;
    ana.call_with("tracks/remove", "id", removed.id).await.expect_status(200);
    let states: Vec<String> = sqlx::query_scalar("select state::text from objects where role = 'LISTENING'")
        .fetch_all(&app.sql)
        .await
        .unwrap();
    assert_eq!(states, ["RELEASED", "RELEASED"]);
    assert!(app.run(&["fsck"], "").status.success());
}

#[tokio::test]
async fn an_original_is_downloaded_under_its_own_name() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let id = ana.create_release().await;
    let details = RawDetails { title: "Späte Linien".into(), ..RawDetails::default() };
    ana.save_details(id, &details).await.expect_status(200);
    let names = [
        ("Überraschung – größer.wav", "Überraschung – größer.wav"),
        ("7\" Mix \\ 100 %; it's \"live\".wav", "100 %; it's \"live\".wav"),
        ("two\r\nSet-Cookie: a=b.wav", "twoSet-Cookie: a=b.wav"),
        ("夜のバス 🚌.WAV", "夜のバス 🚌.WAV"),
        ("gnp\u{202E}vaw.html", "gnpvaw.html.wav"),
        ("../../aux.wav", "_aux.wav"),
        (".wav", "Späte Linien - 07.wav"),
        ("", "Späte Linien - 08 file.wav"),
    ];
    for (name, _) in names {
        ana.attach(UploadTarget::NewTrack(id), name, a_song(1)).await;
    }
    ana.attach(UploadTarget::Cover(id), ".png", a_cover(1)).await;
    let release = ana.release(id).await;
    let tracks = release.tracks.iter().map(|track| track.audio.as_ref().unwrap().object);
    let originals = tracks.chain(release.cover.current.map(|file| file.object));
    let saved = names.iter().map(|(_, saved)| *saved).chain(["Späte Linien - cover.png"]);
    for (object, name) in originals.zip(saved) {
        let answer = ana.get(&format!("/media/original/{object}")).await.expect_status(200);
        let header = answer.header("content-disposition").expect("the header is set");
        let (plain, full) = header.split_once("; filename*=UTF-8''").expect("both forms of the name are given");
        assert_eq!(percent_decoded(full), name, "{header}");
        let plain = plain
            .strip_prefix("attachment; filename=\"")
            .and_then(|rest| rest.strip_suffix('"'))
            .expect("the name is quoted");
        assert!(plain.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')), "{header}");
        assert_eq!(plain.rsplit_once('.').map(|(_, end)| end), name.rsplit_once('.').map(|(_, end)| end), "{header}");
    }
}

/// Decodes `filename*` as a browser does.
fn percent_decoded(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                u8::from_str_radix(str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).unwrap()
}

#[tokio::test]
async fn media_is_inert_and_cached_by_its_reader_only() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let id = ana.create_release().await;
    ana.attach(UploadTarget::NewTrack(id), "song.html", a_song(1)).await;
    // A picture with an HTML page after its end.
    let polyglot = [&a_cover(1)[..], b"<script>alert(1)</script>"].concat();
    ana.attach(UploadTarget::Cover(id), "cover.svg", polyglot.into()).await;
    let release = ana
        .release_once(id, "both are examined", |release| {
            release.cover.state() == FileState::Ready && release.tracks[0].state() == FileState::Ready
        })
        .await;
    let (cover, audio) = (release.cover.current.unwrap().object, release.tracks[0].audio.clone().unwrap().object);
    for (path, content_type) in [
        (format!("/media/original/{audio}"), "audio/wav"),
        (format!("/media/listen/{audio}"), "audio/wav"),
        (format!("/media/original/{cover}"), "image/png"),
        (format!("/media/cover/{cover}/160"), "image/jpeg"),
    ] {
        let answer = ana.get(&path).await.expect_status(200);
        assert_eq!(answer.header("content-type"), Some(content_type), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        // A file that is opened by itself is saved, and never as a page.
        let saved = answer.header("content-disposition").unwrap_or_default();
        let name = if path.contains("original") { "; filename=" } else { "" };
        assert_eq!(
            saved.starts_with(&format!("attachment{name}")),
            !path.starts_with("/media/cover/"),
            "{path}: {saved}"
        );
        assert!(!saved.ends_with(".html") && !saved.ends_with(".svg"), "{path}: {saved}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("sandbox"), "{path}: {policy}");
        // Nobody can read the file from the browser's cache after the user has signed out.
        assert_eq!(answer.header("cache-control"), Some("private, no-cache"), "{path}");
        let tag = answer.header("etag").unwrap();
        let again =
            async |client: &Client| client.send(client.request(Method::GET, &path).header("if-none-match", tag)).await;
        let kept = again(&ana).await.expect_status(304);
        assert_eq!(kept.header("cache-control"), Some("private, no-cache"), "{path}");
        again(&app.anonymous()).await.expect_status(401);
    }
}
