//! Standard tus clients, which know nothing of this product, work unchanged: the requests that they send, and how they
//! read the responses.

mod completion;
mod forms;
mod resumption;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use vwaza::domain::upload::{UploadState, UploadStatus, UploadTarget};

use crate::support::{App, Client, TestResponse, a_song, eventually, form, sha256, spawn_app};

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

/// The server answers before the client has sent its body. The client still reads the response.
#[tokio::test]
async fn a_client_reads_a_refusal_although_nobody_reads_its_body() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let created = create(&ana, UploadTarget::NewTrack(ana.create_release().await), 64_000_000).await;
    let mut connection = TcpStream::connect(ana.listen()).await.unwrap();
    let head = format!(
        "PATCH {url} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 7\r\n\
         Content-Type: application/offset+octet-stream\r\nContent-Length: 32000000\r\n\r\n",
        url = url_of(&created),
        host = ana.listen(),
        cookie = ana.cookie(),
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..32 {
        connection.write_all(&vec![0; 1_000_000]).await.unwrap();
    }
    let mut answer = [0; 12];
    connection.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 409");
    let status: UploadStatus = ana.get(&url_of(&created)).await.ok();
    assert_eq!(status.state, UploadState::Receiving);
    // The next request is answered as usual.
    ana.call("account/sign-out", &form(&[])).await.expect_status(200);
}
