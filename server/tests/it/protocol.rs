//! Rules for all addresses: error envelopes, no requests from other sites, logs that stay valid JSON.

use std::time::{Duration, Instant};

use futures::future::join_all;
use http::Method;
use reqwest::RequestBuilder;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};
use uuid::Uuid;
use vwaza::domain::{release::RawDetails, upload::UploadTarget};

use crate::support::{
    AccessRow, Client, Placeholders, TestResponse, assert_in_time, eventually, form, spawn_app, spawn_app_with,
    with_body,
};

#[tokio::test]
async fn server_functions_take_no_method_but_post() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let id = ana.create_release().await;
    for method in [Method::GET, Method::PUT, Method::PATCH, Method::DELETE] {
        for path in
            ["/api/account/sign-out".to_owned(), "/api/releases/create".into(), format!("/api/releases/delete?id={id}")]
        {
            ana.send(ana.request(method.clone(), &path)).await.expect_error(405, "");
        }
    }
    assert!(ana.actor().await.is_some());
    ana.release(id).await;
}

/// Sends a changing request with these headers to each kind of route.
async fn knock(client: &Client, headers: &[(&str, &str)]) -> Vec<TestResponse> {
    let with =
        |request: RequestBuilder| headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let form = client.request(Method::POST, "/api/releases/create").form(&form(&[]));
    let tus = client.request(Method::POST, "/api/uploads").header("tus-resumable", "1.0.0");
    let multipart =
        client.request(Method::POST, "/api/uploads/form").header("content-type", "multipart/form-data; boundary=x");
    let mut answers = Vec::new();
    for request in [form, tus, multipart] {
        answers.push(client.send(with(request)).await);
    }
    answers
}

#[tokio::test]
async fn other_sites_change_nothing() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    for headers in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")],
    ] {
        for answer in knock(&ana, headers).await {
            assert_eq!(answer.status, 403, "{headers:?}: {} {}", answer.asked, answer.text());
            answer.expect_error(403, "another site");
        }
    }
    let own = format!("http://{}", ana.listen());
    for headers in [&[("sec-fetch-site", "same-origin")][..], &[("sec-fetch-site", "none")], &[("origin", &own)]] {
        let statuses: Vec<u16> = knock(&ana, headers).await.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200, 400, 400], "{headers:?}");
    }
}

#[tokio::test]
async fn requests_from_the_public_address_are_accepted() {
    let app = spawn_app_with(&[("VWAZA_PUBLIC_URL", "https://music.example")]).await;
    let anonymous = app.anonymous();
    for (origin, status) in
        [("https://music.example", 401), ("http://music.example", 403), ("https://music.example.evil.example", 403)]
    {
        let request = anonymous.request(Method::POST, "/api/releases/create").header("origin", origin);
        anonymous.send(request.form(&form(&[]))).await.expect_status(status);
    }
}

#[tokio::test]
async fn content_of_the_wrong_kind_is_refused() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let intent = serde_json::json!({ "intent": { "target": { "Cover": release }, "file_name": "a.png", "length": 10, "fingerprint": "" } });
    let post = |path: &str, content_type: &str, body: String| {
        ana.request(Method::POST, path)
            .header("content-type", content_type)
            .header("accept", "application/json")
            .body(body)
    };
    for path in ["/api/upload/begin", "/api/releases/view"] {
        ana.send(post(path, "text/plain", intent.to_string())).await.expect_status(415).error();
    }
    for (path, content_type, body) in [
        ("/api/upload/begin", "application/json", "{".into()),
        ("/api/upload/begin", "application/json", "[]".into()),
        ("/api/upload/begin", "application/json", String::new()),
        ("/api/releases/view", "application/json", format!("{{\"id\":\"{release}\"}}")),
        ("/api/releases/view", "multipart/form-data; boundary=x", format!("id={release}")),
        ("/api/uploads/form", "text/plain", "x".into()),
        ("/api/uploads/form", "multipart/form-data", "x".into()),
        ("/api/uploads/form", "multipart/form-data; boundary=\"x", "x".into()),
    ] {
        let answer = ana.send(post(path, content_type, body)).await;
        assert!(matches!(answer.status, 400 | 415), "{path} as {content_type}: {} {}", answer.status, answer.text());
        answer.error();
    }
    assert_eq!(ana.release(release).await.cover.pending, None);
}

#[tokio::test]
async fn every_error_has_one_envelope() {
    let app = spawn_app().await;
    let (ana, anonymous) = (app.artist("Ana").await, app.anonymous());
    let missing = Uuid::now_v7().to_string();
    let big = "x".repeat(100_000);
    let answers = [
        (400, ana.call_with("releases/view", "id", "nonsense").await),
        (401, anonymous.call("releases/create", &form(&[])).await),
        (401, anonymous.get("/api/events").await),
        (401, anonymous.get(&format!("/media/original/{missing}")).await),
        (403, ana.call("review/queue", &form(&[("search", "")])).await),
        (404, ana.get("/api/nothing/here").await),
        (404, ana.call("no/such/function", &form(&[])).await),
        (404, ana.get(&format!("/media/original/{missing}")).await),
        (404, ana.get("/media/nothing").await),
        (404, ana.call_with("releases/view", "id", &missing).await),
        (405, ana.send(ana.request(Method::DELETE, "/health")).await),
        (405, ana.get("/api/uploads").await),
        (412, ana.send(ana.request(Method::POST, "/api/uploads")).await),
        (413, ana.call("account/save-profile", &form(&[("artist_name", &big)])).await),
    ];
    for (status, answer) in answers {
        let asked = answer.asked.clone();
        let error = answer.expect_status(status).error();
        assert!(error["message"].as_str().unwrap().len() > 10, "{asked}: {error}");
    }
}

#[tokio::test]
async fn an_error_of_the_database_reaches_no_client() {
    let app = spawn_app_with(&[("VWAZA_RATE_LIMITS", "off")]).await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let things = Placeholders::of(&app, &ana).await;
    sqlx::raw_sql("alter table releases rename to no_releases; alter table uploads rename to no_uploads")
        .execute(&app.sql)
        .await
        .unwrap();
    let mut broken = 0;
    for row in AccessRow::all() {
        let (path, body) = row.filled(&things);
        for client in [&ana, &admin] {
            let method = row.method.clone().unwrap_or(Method::GET);
            // A stream of events has no end. Signing in or out would change the session.
            if row.path == "/api/events" || row.path.starts_with("/api/account/sign-") {
                continue;
            }
            let answer = client.send(with_body(client.request(method, &path), &body)).await;
            broken += u32::from(answer.status == 500);
            let (said, headers) = (answer.text(), format!("{:?}", answer.headers));
            for word in ["relation", "no_releases", "sqlx", "42P01", "from releases"] {
                assert!(!said.contains(word) && !headers.contains(word), "{row} says “{word}”: {said} {headers}");
            }
        }
    }
    assert!(broken > 20, "{broken} requests needed the tables");
    let logged = app.log.events("a request failed");
    assert!(logged.iter().any(|event| event.to_string().contains("relation")), "the log lacks the cause");
}

#[tokio::test]
async fn a_request_has_the_id_that_the_server_gave_it() {
    let app = spawn_app().await;
    let anonymous = app.anonymous();
    let request =
        anonymous.request(Method::POST, "/api/releases/create").header("x-request-id", "their-own").form(&form(&[]));
    let id = anonymous.send(request).await.expect_status(401).error()["requestId"].as_str().unwrap().to_owned();
    assert!(Uuid::try_parse(&id).is_ok());
    let logged = eventually("it is logged", async || {
        app.log.events("answered").into_iter().find(|event| event["span"]["request.id"] == id.as_str())
    })
    .await;
    assert_eq!(
        (&logged["http.status"], &logged["span"]["http.path"]),
        (&Value::from(401), &Value::from("/api/releases/create"))
    );
}

#[tokio::test]
async fn every_log_line_is_json_whatever_a_request_contains() {
    let app = spawn_app().await;
    let ana = app.artist("Ana \"}{\\ Evil").await;
    let id = ana.create_release().await;
    let nasty = "\"}\\ {\"level\":\"ERROR\"} %0a\u{1b}[31m";
    let details = RawDetails { title: "\"}\\\" {\"level\":\"ERROR\"}".into(), ..RawDetails::default() };
    ana.save_details(id, &details).await.expect_status(200);
    ana.begin(UploadTarget::NewTrack(id), nasty, 10).await;
    for path in ["/api/%22%7D%0A%7B", "/%0d%0a%7b%22level%22:1%7d", "/media/original/%00%1b%5b31m"] {
        ana.get(path).await.expect_status(404);
    }
    app.anonymous().sign_in(nasty, nasty).await.expect_status(401);
    let request = ana.request(Method::GET, "/health").header("user-agent", "\"}{").header("x-forwarded-for", "\"}{");
    ana.send(request).await.expect_status(200);
    // `events` panics on a line that is not JSON.
    let answered = eventually("all nine requests are logged", async || {
        Some(app.log.events("answered")).filter(|answered| answered.len() >= 9)
    })
    .await;
    assert!(app.log.lines().iter().all(|line| !line.contains('\u{1b}')));
    assert!(answered.iter().all(|event| event["level"] == "INFO"), "{answered:?}");
}

/// Sends a head, then `more` each second, until the server answers or closes the connection. Fails after a minute.
/// Returns the time taken and the size of the response.
async fn cut_off(address: &str, head: &str, more: &[u8]) -> (Duration, usize) {
    let began = Instant::now();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut theirs, mut ours) = stream.split();
    let mut answer = [0; 1];
    loop {
        assert_in_time(began, Duration::from_secs(60));
        tokio::select! {
            read = theirs.read(&mut answer) => return (began.elapsed(), read.unwrap_or(0)),
            () = sleep(Duration::from_secs(1)) => if ours.write_all(more).await.is_err() {
                return (began.elapsed(), 0);
            },
        }
    }
}

#[tokio::test]
async fn slow_heads_and_slow_bodies_are_cut_off_within_a_minute() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", 1000).await;
    let (address, cookie) = (ana.listen(), ana.cookie());
    let common = format!("Host: {address}\r\nCookie: {cookie}\r\n");
    let form = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\n";
    let chunk = "Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: 1000\r\n\r\n";
    let file_form = format!(
        "Content-Type: multipart/form-data; boundary=-\r\nContent-Length: 1000\r\n\r\n\
         ---\r\nContent-Disposition: form-data; name=\"target\"\r\n\r\nnew-track:{release}\r\n\
         ---\r\nContent-Disposition: form-data; name=\"file\"; filename=\"song.wav\"\r\n\r\n"
    );
    let slow = [
        format!("GET / HTTP/1.1\r\n{common}X-Slow: "),
        format!("POST /api/account/sign-in HTTP/1.1\r\n{common}{form}"),
        format!("PATCH {} HTTP/1.1\r\n{common}{chunk}", begun.url),
        format!("POST /api/uploads/form HTTP/1.1\r\n{common}{file_form}"),
    ];
    let trickles = join_all(slow.iter().map(|head| cut_off(&address, head, b"a")));
    let (slow, silent) = tokio::join!(trickles, cut_off(&address, "", b""));
    assert_eq!(silent.1, 0, "a connection without a request gets no response");
    for (took, _) in slow.into_iter().chain([silent]) {
        // The connections are cut off for their slowness: the server's timeouts are 30 s and 35 s.
        assert!(took >= Duration::from_secs(25), "{took:?}");
    }
    // The bytes of the upload that arrived are kept, and the upload is free again.
    assert!(ana.offset(&begun.url).await > 0);
}

/// Sends a request and nothing more. Returns the statuses of the responses.
async fn say(address: &str, request: String) -> Vec<u16> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut said = Vec::new();
    // The server may close the connection. Responses that it sent before count.
    let _ = stream.read_to_end(&mut said).await;
    let said = String::from_utf8_lossy(&said).into_owned();
    said.split("HTTP/1.1 ").skip(1).map(|answer| answer[..3].parse().unwrap()).collect()
}

#[tokio::test]
async fn a_false_content_length_adds_and_hides_nothing() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let begun = ana.begin(UploadTarget::NewTrack(ana.create_release().await), "song.wav", 1000).await;
    let (address, cookie) = (ana.listen(), ana.cookie());
    let patch = |offset: usize, lengths: &[&str], bytes: usize| {
        let lengths: String = lengths.iter().map(|length| format!("Content-Length: {length}\r\n")).collect();
        format!(
            "PATCH {} HTTP/1.1\r\nHost: {address}\r\nCookie: {cookie}\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: {offset}\r\n\
             Content-Type: application/offset+octet-stream\r\n{lengths}\r\n{}",
            begun.url,
            "x".repeat(bytes)
        )
    };
    // Bytes after the body are not handled as a request.
    let statuses = say(&address, patch(0, &["10"], 500)).await;
    assert!(matches!(statuses[..], [204] | [204, 400]), "{statuses:?}");
    assert_eq!(ana.offset(&begun.url).await, 10);
    // A body that is shorter than announced counts as a dropped connection.
    let dropped = say(&address, patch(10, &["500"], 10)).await;
    assert!(dropped.iter().all(|status| *status == 503), "{dropped:?}");
    eventually("what has arrived is counted", async || (ana.offset(&begun.url).await == 20).then_some(())).await;
    for lengths in [&["10", "20"][..], &["-1"], &["ten"], &["18446744073709551616"], &["+10"]] {
        assert_eq!(say(&address, patch(20, lengths, 10)).await, [400], "{lengths:?}");
    }
    assert_eq!(ana.offset(&begun.url).await, 20);
    let form = "email=ana%40example.com&password=secret";
    let cut = format!(
        "POST /api/account/sign-in HTTP/1.1\r\nHost: {address}\r\nAccept: application/json\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\n{form}"
    );
    let statuses = say(&address, cut).await;
    assert!(matches!(statuses[..], [400] | [400, 400]), "{statuses:?}");
    app.expect_consistent().await;
}

/// A client waits before it sends its body. A refused request is refused before the body is requested; any other
/// request gets `100 Continue`.
#[tokio::test]
async fn a_body_is_requested_only_if_it_will_be_read() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let begun = ana.begin(UploadTarget::NewTrack(ana.create_release().await), "song.wav", 64_000_000).await;
    let (url, host, cookie) = (&begun.url, ana.listen(), ana.cookie());
    let chunk = "Tus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\n";
    let cases = [
        (format!("PATCH {url}"), format!("{chunk}Upload-Offset: 7\r\nCookie: {cookie}\r\n"), 409),
        (format!("PATCH {url}"), format!("{chunk}Upload-Offset: 0\r\n"), 401),
        (
            format!("PATCH {url}"),
            format!("{chunk}Upload-Offset: 0\r\nCookie: {cookie}\r\nOrigin: https://evil.example\r\n"),
            403,
        ),
        ("POST /api/uploads/form".to_owned(), "Content-Type: multipart/form-data; boundary=b\r\n".to_owned(), 401),
        ("POST /api/account/sign-in".to_owned(), "Content-Type: application/x-www-form-urlencoded\r\n".to_owned(), 413),
    ];
    // The cases are repeated many times, because a body that is requested too early is requested only now and then.
    for (asked, headers, status) in cases.iter().cycle().take(100) {
        let head = format!(
            "{asked} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Length: 32000000\r\nExpect: 100-continue\r\n\r\n"
        );
        let mut connection = TcpStream::connect(&host).await.unwrap();
        connection.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        connection.read_exact(&mut answer).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {status}"), "{asked}");
    }
    let head = format!(
        "PATCH {url} HTTP/1.1\r\nHost: {host}\r\n{chunk}Upload-Offset: 0\r\nCookie: {cookie}\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
    );
    let mut connection = TcpStream::connect(&host).await.unwrap();
    connection.write_all(head.as_bytes()).await.unwrap();
    let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
    let mut answer = vec![0; go_on.len()];
    connection.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, go_on);
    connection.write_all(b"RIFF").await.unwrap();
    let mut answer = [0; 12];
    connection.read_exact(&mut answer).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 204");
}
