//! Standard tus clients, which know nothing of this product, work unchanged: the requests that they send, and how they
//! read the responses.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use vwaza::domain::upload::{UploadState, UploadStatus, UploadTarget};

use crate::support::{
    App, Bucket, Client, LONG_SONG_HALF, TestResponse, a_cover, a_long_song, a_song, eventually, form, sha256,
    spawn_app, spawn_app_with,
};

fn metadata(target: &UploadTarget, more: &str) -> String {
    format!(
        "target {},filename {}{more}",
        BASE64_STANDARD.encode(target.to_string()),
        BASE64_STANDARD.encode("song.wav")
    )
}

/// Creates an upload like a script that sends no `fingerprint`.
async fn create(client: &Client, target: UploadTarget, length: usize) -> TestResponse {
    let headers = [("upload-length", &*length.to_string()), ("upload-metadata", &*metadata(&target, ""))];
    client.tus(Method::POST, "/api/uploads", &headers).await
}

fn url_of(created: &TestResponse) -> String {
    created.header("location").unwrap().to_owned()
}

/// Waits until the first upload is in this state.
async fn upload_is(app: &App, state: &str) {
    eventually(&format!("the upload is {state}, and nobody asked"), async || {
        let query = sqlx::query_scalar("select state::text from uploads order by seq limit 1");
        let now: String = query.fetch_one(&app.sql).await.unwrap();
        (now == state).then_some(())
    })
    .await;
}

#[tokio::test]
async fn two_files_of_one_name_and_length_are_never_mixed() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let target = UploadTarget::NewTrack(ana.create_release().await);
    let (draft, master) = (a_song(1), a_song(2));
    assert_eq!(draft.len(), master.len());
    let first = create(&ana, target, draft.len()).await.expect_status(201);
    ana.patch(&url_of(&first), 0, draft.slice(..100_000)).await.expect_status(204);
    // The script runs again after the artist has rendered the file anew.
    let second = create(&ana, target, master.len()).await.expect_status(201);
    assert_ne!(url_of(&second), url_of(&first));
    assert_eq!(second.header("upload-offset"), Some("0"));
    ana.patch(&url_of(&second), 0, master.clone()).await.expect_status(204);
    let status: UploadStatus = ana.get(&url_of(&second)).await.ok();
    assert_eq!(ana.attached(status.id).await.sha256, Some(sha256(&master)));
    assert_eq!(ana.offset(&url_of(&first)).await, 100_000);
    app.expect_consistent().await;
}

#[tokio::test]
async fn u10_a_failed_completion_is_repeated_without_a_restart() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let song = a_song(1);
    let created = create(&ana, UploadTarget::NewTrack(ana.create_release().await), song.len()).await;
    let held = app.hold_table("lock table upload_jobs in share mode").await;
    // All bytes are counted. The transaction that completes the upload waits for its lock until it times out.
    ana.patch(&url_of(&created), 0, song.clone()).await.expect_status(503);
    drop(held);
    // A standard client that reads the full offset goes away, so the upload must be complete by then.
    assert_eq!(ana.offset(&url_of(&created)).await, song.len());
    upload_is(&app, "ATTACHED").await;
    app.expect_consistent().await;
}

#[tokio::test]
async fn u10_a_whole_upload_never_expires_and_is_completed_by_the_janitor() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let (release, song) = (ana.create_release().await, a_song(1));
    let target = UploadTarget::NewTrack(release);
    let url = url_of(&create(&ana, target, song.len()).await);
    let marker = ana.begin(target, "marker.wav", 1000).await;
    let held = app.hold_release(release).await;
    // All bytes of one upload are counted, and none of the other.
    let expire = async {
        app.waits_for_locks(1).await;
        sqlx::query("update uploads set expires_at = now() - interval '1 hour'").execute(&app.sql).await.unwrap();
        eventually("the marker has expired", async || {
            (ana.upload_status(marker.id).await.state == UploadState::Expired).then_some(())
        })
        .await;
    };
    let (answer, ()) = tokio::join!(ana.patch(&url, 0, song.clone()), expire);
    answer.expect_status(503);
    drop(held);
    upload_is(&app, "ATTACHED").await;
    app.expect_consistent().await;
}

/// A chunked PATCH sends all bytes, and its connection drops before its last chunk ends it.
#[tokio::test]
async fn an_upload_is_whole_without_the_end_of_its_last_request() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let cover = a_cover(1);
    let created = create(&ana, UploadTarget::Cover(ana.create_release().await), cover.len()).await;
    let head = format!(
        "PATCH {url} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n\
         Content-Type: application/offset+octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n",
        url = url_of(&created),
        host = ana.listen(),
        cookie = ana.cookie(),
        length = cover.len(),
    );
    let mut line = TcpStream::connect(ana.listen()).await.unwrap();
    line.write_all(head.as_bytes()).await.unwrap();
    line.write_all(&cover).await.unwrap();
    line.write_all(b"\r\n").await.unwrap();
    line.shutdown().await.unwrap();
    upload_is(&app, "ATTACHED").await;
    app.expect_consistent().await;
}

#[tokio::test]
async fn head_never_reports_a_refused_upload_as_whole() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let svg = Bytes::from_static(b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>");
    let url = url_of(&create(&ana, UploadTarget::Cover(release), svg.len()).await);
    let held = app.hold_release(release).await;
    let patch = tokio::spawn({
        let (ana, url, svg) = (ana.clone(), url.clone(), svg.clone());
        async move { ana.patch(&url, 0, svg).await.status }
    });
    // The PATCH has found out that the file is invalid, and is about to record that.
    app.waits_for_locks(1).await;
    // HEAD reads that all bytes have arrived, then waits for the PATCH.
    let reads = "%from uploads where id = $1 and owner_id = $2%";
    let table = app.hold_table("lock table uploads in access exclusive mode").await;
    let let_go = async {
        app.waits_for_locks_of(reads, 1).await;
        drop(table);
        eventually("HEAD has read the row", async || {
            let query = sqlx::query_scalar(
                "select count(*) from pg_stat_activity
                 where datname = current_database() and state = 'active' and pid <> pg_backend_pid() and query like $1",
            );
            let reading: i64 = query.bind(reads).fetch_one(&app.sql).await.unwrap();
            (reading == 0).then_some(())
        })
        .await;
        drop(held);
    };
    let (head, ()) = tokio::join!(ana.tus(Method::HEAD, &url, &[]), let_go);
    // HEAD waits for 2 s. On a slow machine, it then answers that the upload is busy.
    assert!(matches!(head.status, 410 | 415 | 423), "{}", head.status);
    assert_eq!(patch.await.unwrap(), 415);
    ana.tus(Method::HEAD, &url, &[]).await.expect_status(410);
    app.expect_consistent().await;
}

/// Checks the answers of HEAD, PATCH at the end, PATCH elsewhere and DELETE for an upload in each of its states.
#[tokio::test]
async fn every_state_of_an_upload_has_its_answers() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let cover = a_cover(1);
    let attached = ana.attach(UploadTarget::Cover(release), "cover.png", cover.clone()).await;
    let end = cover.len();
    for (state, head, at_the_end, elsewhere, delete) in [
        ("RECEIVED", 200, 204, 409, 204),
        ("ATTACHED", 200, 204, 409, 204),
        ("SUPERSEDED", 200, 204, 409, 204),
        ("REFUSED", 410, 410, 410, 204),
        ("DISCARDED", 410, 410, 410, 204),
        ("FAILED", 200, 204, 409, 204),
        ("CANCELLED", 410, 410, 410, 410),
        ("EXPIRED", 410, 410, 410, 410),
    ] {
        let set = format!("update uploads set state = '{state}'");
        sqlx::query(sqlx::AssertSqlSafe(set)).execute(&app.sql).await.unwrap();
        let answer = ana.tus(Method::HEAD, &attached.url, &[]).await;
        assert_eq!(answer.status, head, "HEAD {state}");
        let offset = (head == 200).then(|| end.to_string());
        assert_eq!(answer.header("upload-offset"), offset.as_deref(), "{state}");
        assert_eq!(ana.patch(&attached.url, end, Vec::new()).await.status, at_the_end, "PATCH {state}");
        assert_eq!(ana.patch(&attached.url, 1, vec![0; 3]).await.status, elsewhere, "PATCH elsewhere {state}");
        assert_eq!(ana.tus(Method::DELETE, &attached.url, &[]).await.status, delete, "DELETE {state}");
    }
}

#[tokio::test]
async fn head_gives_the_metadata_back_as_it_came() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let target = UploadTarget::Cover(ana.create_release().await);
    let given = metadata(&target, ",is_confidential,thumbnail //8=");
    let headers = [("upload-length", "1000"), ("upload-metadata", &given)];
    let created = ana.tus(Method::POST, "/api/uploads/", &headers).await.expect_status(201);
    let head = ana.tus(Method::HEAD, &url_of(&created), &[]).await.expect_status(200);
    assert_eq!(head.header("upload-metadata"), Some(given.as_str()));
    let long = metadata(&target, &format!(",note {}", "QUFB".repeat(3000)));
    let headers = [("upload-length", "1000"), ("upload-metadata", &*long)];
    ana.tus(Method::POST, "/api/uploads", &headers).await.expect_error(400, "8192 bytes");
    // An upload that the application began has no metadata.
    let begun = ana.begin(target, "cover.png", 2000).await;
    assert_eq!(ana.tus(Method::HEAD, &begun.url, &[]).await.header("upload-metadata"), None);
}

/// Sends requests like `HttpURLConnection`: it accepts HTML with every request, and its PATCH is a POST with an
/// override.
#[tokio::test]
async fn a_library_that_accepts_html_gets_the_protocols_answers() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let created = create(&ana, UploadTarget::NewTrack(ana.create_release().await), 1000).await;
    let ask = async |client: &Client, url: &str, offset: &str| {
        let request = client
            .request(Method::POST, url)
            .header("accept", "text/html, image/gif, image/jpeg, */*")
            .header("tus-resumable", "1.0.0")
            .header("x-http-method-override", "PATCH")
            .header("upload-offset", offset)
            .header("content-type", "application/offset+octet-stream");
        client.send(request.body(vec![0; 10])).await
    };
    for (answer, status) in [
        (ask(&app.anonymous(), &url_of(&created), "0").await, 401),
        (ask(&ana, &url_of(&created), "5").await, 409),
        (ask(&ana, "/api/uploads/1/2", "5").await, 404),
    ] {
        let answer = answer.expect_status(status);
        assert_eq!(answer.header("tus-resumable"), Some("1.0.0"), "{status}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{status}");
    }
}

#[tokio::test]
async fn errors_have_tus_headers_too() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let created = create(&ana, UploadTarget::NewTrack(ana.create_release().await), 1000).await;
    let url = url_of(&created);
    let foreign = ana.request(Method::PATCH, &url).header("origin", "https://elsewhere.example");
    let answers = [
        (app.anonymous().tus(Method::HEAD, &url, &[]).await, 401),
        (ana.send(foreign).await, 403),
        (ana.send(ana.request(Method::PUT, &url)).await, 405),
        (ana.patch(&url, 7, vec![0; 1]).await, 409),
        (ana.patch(&url, 0, vec![0; 1001]).await, 413),
        (ana.tus(Method::PATCH, &url, &[("upload-offset", "0")]).await, 415),
    ];
    for (answer, status) in answers {
        let answer = answer.expect_status(status);
        assert_eq!(answer.header("tus-resumable"), Some("1.0.0"), "{status}");
        let challenge = (status == 401).then_some("Bearer");
        assert_eq!(answer.header("www-authenticate"), challenge, "{status}");
    }
    for offset in ["+5", "5 6", "0x0", ""] {
        let headers = [("upload-offset", offset), ("content-type", "application/offset+octet-stream")];
        ana.tus(Method::PATCH, &url, &headers).await.expect_status(400);
    }
    let kind = "Application/Offset+Octet-Stream; charset=binary";
    ana.tus(Method::PATCH, &url, &[("upload-offset", "0"), ("content-type", kind)]).await.expect_status(204);
}

#[tokio::test]
async fn first_bytes_with_a_wrong_checksum_leave_an_upload_to_resume() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let target = UploadTarget::NewTrack(ana.create_release().await);
    let song = a_song(1);
    let request = ana
        .request(Method::POST, "/api/uploads")
        .header("tus-resumable", "1.0.0")
        .header("upload-length", song.len())
        .header("upload-metadata", metadata(&target, ""))
        .header("content-type", "application/offset+octet-stream")
        .header("upload-checksum", "sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk=");
    let created = ana.send(request.body(song.slice(..1000))).await.expect_status(460);
    let url = url_of(&created);
    assert_eq!(created.header("upload-offset"), Some("0"));
    assert!(created.header("upload-expires").is_some());
    assert_eq!(ana.offset(&url).await, 0);
    ana.patch(&url, 0, song.clone()).await.expect_status(204);
    upload_is(&app, "ATTACHED").await;
}

/// The first bytes of a creation meet a disk that is full for a moment. The client ignores the headers of a failed
/// creation and would create another upload, with a track of its own. So the creation succeeds with the offset.
#[tokio::test]
async fn a_creation_whose_first_bytes_are_cut_short_is_resumed() {
    let app = spawn_app_with(&[("VWAZA_FAIL_POINTS", "disk-full=1*return->off")]).await;
    let ana = app.artist("Ana").await;
    let (release, song) = (ana.create_release().await, a_song(1));
    let request = ana
        .request(Method::POST, "/api/uploads")
        .header("tus-resumable", "1.0.0")
        .header("upload-length", song.len())
        .header("upload-metadata", metadata(&UploadTarget::NewTrack(release), ""))
        .header("content-type", "application/offset+octet-stream");
    let created = ana.send(request.body(song.clone())).await.expect_status(201);
    let (url, offset) = (url_of(&created), created.header("upload-offset").unwrap().parse::<usize>().unwrap());
    assert!(offset < song.len(), "{offset}");
    assert!(created.header("upload-expires").is_some());
    ana.patch(&url, offset, song.slice(offset..)).await.expect_status(204);
    upload_is(&app, "ATTACHED").await;
    assert_eq!(ana.release(release).await.tracks.len(), 1);
    app.expect_consistent().await;
}

/// A script has only its token.
#[tokio::test]
async fn a_script_resumes_with_a_token_alone() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let (release, song) = (ana.create_release().await, a_long_song(1));
    let token = ana.call_with("access-tokens/make", "name", "studio").await.ok::<serde_json::Value>();
    let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
    let script = app.anonymous();
    let ask = async |method: Method, url: &str, headers: &[(&str, &str)], body: Bytes| {
        let request = script.request(method, url).header("tus-resumable", "1.0.0").header("authorization", &bearer);
        script
            .send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(body))
            .await
    };
    let (length, given) = (song.len().to_string(), metadata(&UploadTarget::NewTrack(release), ""));
    let headers = [("upload-length", &*length), ("upload-metadata", &*given)];
    let created = ask(Method::POST, "/api/uploads", &headers, Bytes::new()).await.expect_status(201);
    let (url, none) = (url_of(&created), Bytes::new());
    let chunk = [("upload-offset", "0"), ("content-type", "application/offset+octet-stream")];
    ask(Method::PATCH, &url, &chunk, song.slice(..LONG_SONG_HALF)).await.expect_status(204);
    let head = ask(Method::HEAD, &url, &[], none.clone()).await.expect_status(200);
    let offset = LONG_SONG_HALF.to_string();
    assert_eq!(head.header("upload-offset"), Some(offset.as_str()));
    let rest = [("upload-offset", &*offset), ("content-type", "application/offset+octet-stream")];
    ask(Method::PATCH, &url, &rest, song.slice(LONG_SONG_HALF..)).await.expect_status(204);
    let status: UploadStatus = ask(Method::GET, &url, &[], none.clone()).await.ok();
    assert_eq!(status.sha256, Some(sha256(&song)));
    let other = ask(Method::POST, "/api/uploads", &headers, none.clone()).await.expect_status(201);
    ask(Method::DELETE, &url_of(&other), &[], none.clone()).await.expect_status(204);
    ask(Method::HEAD, &url_of(&other), &[], none).await.expect_status(410);
}

#[tokio::test]
async fn a_process_neither_receives_nor_cancels_an_upload_of_another_process() {
    let bucket = Bucket::new().await;
    let mut first = bucket.app(&[]).await;
    let ana = first.artist("Ana").await;
    let release = ana.create_release().await;
    let song = a_song(1);
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", song.len()).await;
    ana.patch(&begun.url, 0, song.slice(..1000)).await.expect_status(204);
    let second = bucket.app(&[("DATABASE_URL", &first.database_url())]).await;
    let there = second.signed_in_here(&ana);
    for answer in [
        there.tus(Method::HEAD, &begun.url, &[]).await,
        there.patch(&begun.url, 1000, song.slice(1000..)).await,
        there.tus(Method::DELETE, &begun.url, &[]).await,
    ] {
        assert!(answer.expect_status(503).header("retry-after").is_some());
    }
    // While the other process is alive, beginning again finds its upload.
    assert_eq!(there.begin(UploadTarget::NewTrack(release), "song.wav", song.len()).await.url, begun.url);
    assert_eq!(ana.offset(&begun.url).await, 1000);
    // Once that process is gone, the same file is begun anew, for the same track.
    first.kill();
    sqlx::query("update spools set seen_at = now() - interval '1 minute'").execute(&first.sql).await.unwrap();
    let anew = there.begin(UploadTarget::NewTrack(release), "song.wav", song.len()).await;
    assert_ne!(anew.url, begun.url);
    assert_eq!(anew.track, begun.track);
    there.tus(Method::HEAD, &begun.url, &[]).await.expect_status(410);
    there.patch(&anew.url, 0, song.clone()).await.expect_status(204);
    there.attached(anew.id).await;
    assert_eq!(there.release(release).await.tracks.len(), 1);
}

#[tokio::test]
async fn a_form_without_a_file_creates_nothing() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let send = async |name: &str, bytes: &[u8]| {
        let body = [
            format!("--b\r\nContent-Disposition: form-data; name=\"target\"\r\n\r\nnew-track:{release}\r\n").as_bytes(),
            format!("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n").as_bytes(),
            bytes,
            b"\r\n--b--\r\n",
        ]
        .concat();
        let request =
            ana.request(Method::POST, "/api/uploads/form").header("content-type", "multipart/form-data; boundary=b");
        ana.send(request.body(body)).await
    };
    send("", b"").await.expect_error(400, "Choose a file first");
    send("song.wav", b"").await.expect_error(422, "“song.wav” is empty");
    assert_eq!(ana.release(release).await.tracks.len(), 0);
    let uploads: i64 = sqlx::query_scalar("select count(*) from uploads").fetch_one(&app.sql).await.unwrap();
    assert_eq!(uploads, 0);
    send("song.wav", &a_song(1)).await.expect_status(303);
    assert_eq!(ana.release(release).await.tracks.len(), 1);
}

#[tokio::test]
async fn the_upload_of_a_killed_form_is_cancelled_at_the_next_start() {
    let mut app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let head = format!(
        "--b\r\nContent-Disposition: form-data; name=\"target\"\r\n\r\nnew-track:{release}\r\n\
         --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"song.wav\"\r\n\r\n"
    );
    let mut line = TcpStream::connect(ana.listen()).await.unwrap();
    let request = format!(
        "POST /api/uploads/form HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\nContent-Type: multipart/form-data; boundary=b\r\n\
         Content-Length: 3000000\r\n\r\n{head}",
        ana.listen(),
        ana.cookie()
    );
    line.write_all(request.as_bytes()).await.unwrap();
    line.write_all(&a_long_song(1)[..1_500_000]).await.unwrap();
    eventually("it is begun", async || {
        sqlx::query("select 1 from uploads").fetch_optional(&app.sql).await.unwrap().map(drop)
    })
    .await;
    app.restart().await;
    upload_is(&app, "EXPIRED").await;
    // The track that the form created is removed with it.
    ana.release_once(release, "the track is gone", |release| release.tracks.is_empty()).await;
    app.expect_consistent().await;
}

/// The server answers before the client has sent its body. The client still reads the response.
#[tokio::test]
async fn a_client_reads_a_refusal_although_nobody_reads_its_body() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let created = create(&ana, UploadTarget::NewTrack(ana.create_release().await), 64_000_000).await;
    let mut line = TcpStream::connect(ana.listen()).await.unwrap();
    let head = format!(
        "PATCH {url} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 7\r\n\
         Content-Type: application/offset+octet-stream\r\nContent-Length: 32000000\r\n\r\n",
        url = url_of(&created),
        host = ana.listen(),
        cookie = ana.cookie(),
    );
    line.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..32 {
        line.write_all(&vec![0; 1_000_000]).await.unwrap();
    }
    let mut answer = [0; 12];
    line.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 409");
    let status: UploadStatus = ana.get(&url_of(&created)).await.ok();
    assert_eq!(status.state, UploadState::Receiving);
    // The next request is answered as usual.
    ana.call("account/sign-out", &form(&[])).await.expect_status(200);
}
