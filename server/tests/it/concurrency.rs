//! More connections and more concurrent requests than the limits allow.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{
    StreamExt,
    future::join_all,
    stream::{once, pending},
};
use http::Method;
use reqwest::{Body, RequestBuilder, multipart::Form};
use testing::assert_in_time;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::sleep,
};
use vwaza::domain::{
    account::NewAccessToken,
    upload::{BegunUpload, RawIntent, UploadStatus, UploadTarget},
};

use crate::support::{
    App, Client, PASSWORD, TestResponse, a_cover, a_long_song, complete_details, ends, eventually, fields_of, is_soak,
    metadata, sha256, spawn_app, spawn_app_with,
};

const TRUSTING: (&str, &str) = ("VWAZA_TRUSTED_PROXIES", "127.0.0.1");
/// Few enough that a busy machine opens them all before the first one is too slow.
const CONNECTIONS_PER_PEER: usize = 20;

/// Opens a connection from one of this machine's addresses, with a small receive buffer.
async fn connect(app: &App, from: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    socket.connect(app.anonymous().listen().parse().unwrap()).await.unwrap()
}

fn request(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: vwaza.example\r\n{headers}\r\n")
}

/// Opens a connection that requests more than the buffers hold, and reads nothing.
async fn never_reading(app: &App) -> TcpStream {
    const REQUESTS: usize = 3000;
    let mut stream = connect(app, "127.0.0.1").await;
    // If the server has closed the connection, the write fails.
    let _ = stream.write_all(request("/health/live", "").repeat(REQUESTS).as_bytes()).await;
    stream
}

/// Tells whether the server has closed a connection from which nobody reads.
fn is_closed(stream: &TcpStream) -> bool {
    stream.try_write(b"G").is_err_and(|error| error.kind() != std::io::ErrorKind::WouldBlock)
}

/// Opens a connection whose request is being served, because its body is still to come. It cannot be preempted.
async fn being_served(app: &App, from: &str) -> TcpStream {
    let mut stream = connect(app, from).await;
    let head = "POST /api/account/sign-in HTTP/1.1\r\nHost: vwaza.example\r\nContent-Length: 1000\r\n\
                Content-Type: application/x-www-form-urlencoded\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Reads until the server closes the connection.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    // A reset ends the connection, too.
    let _ = ends("the server closes it", stream.read_to_end(&mut said)).await;
    String::from_utf8_lossy(&said).into_owned()
}

/// Sends a health check on a connection of its own. Returns the response.
async fn health(app: &App, path: &str, from: &str) -> String {
    let mut stream = connect(app, from).await;
    let _ = stream.write_all(request(path, "Connection: close\r\n").as_bytes()).await;
    read_to_end(&mut stream).await
}

async fn is_healthy(app: &App, from: &str) -> bool {
    health(app, "/health", from).await.starts_with("HTTP/1.1 200")
}

/// Starts a call of a server function.
fn calling(client: &Client, function: &str) -> RequestBuilder {
    client.request(Method::POST, &format!("/api/{function}")).header("accept", "application/json")
}

/// Sends a request again until it has a slot, as a browser does.
async fn once_served(what: &str, send: impl AsyncFn() -> reqwest::Result<TestResponse>) -> TestResponse {
    eventually(what, async || {
        let answer = send().await.ok().filter(|answer| answer.status != 503)?;
        assert!(matches!(answer.status, 200 | 204), "{}", answer.text());
        Some(answer)
    })
    .await
}

/// There are more clients than slots. Nobody waits until the clients time out.
#[tokio::test]
async fn r1_clients_that_never_read_block_no_other_client() {
    let mut app = spawn_app().await;
    let song = a_long_song(1);
    app.restart_with_descriptors("-n 128").await;
    let clients = if is_soak() { 1000 } else { 40 };
    let attack = join_all((0..clients).map(|_| never_reading(&app)));
    let asked = async {
        for _ in 0..20 {
            let said = health(&app, "/health/live", "127.0.0.1").await;
            assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        }
    };
    let (held, ()) = tokio::join!(attack, asked);
    let ana = app.anonymous();
    let email = app.new_email("ana");
    let fields = [("artist_name", "Ana"), ("email", &*email), ("password", PASSWORD)];
    let sign_up = async || ana.try_send(calling(&ana, "account/sign-up").form(&fields)).await;
    once_served("somebody else is served", sign_up).await;
    let create = async || ana.try_send(calling(&ana, "releases/create").form(&[("", ""); 0])).await;
    let release = once_served("the place is kept for others", create).await.json();
    let intent = RawIntent {
        target: UploadTarget::NewTrack(release),
        file_name: "song.wav".into(),
        length: i64::try_from(song.len()).unwrap(),
        fingerprint: "1".into(),
        sha256: None,
    };
    let intent = serde_json::json!({ "intent": intent });
    let begin = async || ana.try_send(calling(&ana, "upload/begin").json(&intent)).await;
    let begun: BegunUpload = once_served("the upload begins", begin).await.json();
    once_served("the bytes arrive", async || ana.try_patch(&begun.url, 0, song.clone()).await).await;
    eventually("the upload is attached", async || {
        let complete = async || ana.try_send(calling(&ana, "upload/complete").form(&[("id", begun.id)])).await;
        let status: UploadStatus = once_served("the status is told", complete).await.json();
        (status.status_code == 200).then(|| assert_eq!(status.sha256, Some(sha256(&song))))
    })
    .await;
    eventually("it is healthy", async || is_healthy(&app, "127.0.0.1").await.then_some(())).await;
    assert!(held.iter().any(is_closed), "the connection that waited longest was closed");
    drop(held);
    app.expect_consistent().await;
}

/// Takes as long as the server's write timeout: a minute.
#[tokio::test]
async fn r1_clients_that_never_read_are_cut_off_and_one_that_reads_slowly_is_not() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let song = a_long_song(1);
    ana.attach(UploadTarget::NewTrack(ana.create_release().await), "song.wav", song.clone()).await;
    let object: uuid::Uuid =
        sqlx::query_scalar("select id from objects where role = 'AUDIO'").fetch_one(&app.sql).await.unwrap();
    let mut slow = connect(&app, "127.0.0.1").await;
    let headers = format!("Cookie: {}\r\nConnection: close\r\n", ana.cookie());
    slow.write_all(request(&format!("/media/original/{object}"), &headers).as_bytes()).await.unwrap();

    let began = Instant::now();
    let held = join_all((0..30).map(|_| never_reading(&app))).await;
    let (mut heard, mut bytes) = (Vec::new(), [0; 16 * 1024]);
    while !held.iter().all(is_closed) {
        assert_in_time(began, Duration::from_secs(60));
        let read = slow.read(&mut bytes).await.unwrap();
        assert!(read > 0, "the slow reader gets more bytes");
        heard.extend_from_slice(&bytes[..read]);
        sleep(Duration::from_secs(1)).await;
    }
    assert!(began.elapsed() >= Duration::from_secs(55), "closed before the write timeout");
    assert!(heard.len() < song.len(), "the whole song fits into the buffers");
    ends("the rest comes", slow.read_to_end(&mut heard)).await.unwrap();
    let head = heard.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    assert_eq!(sha256(&heard[head..]), sha256(&song));
    app.expect_consistent().await;
}

#[tokio::test]
async fn the_connections_of_one_address_are_limited_and_those_of_others_are_not() {
    let app = spawn_app_with(&[("VWAZA_LIMIT_CONNECTIONS_PER_PEER", &CONNECTIONS_PER_PEER.to_string())]).await;
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS_PER_PEER {
        held.push(being_served(&app, "127.0.0.1").await);
    }
    for _ in 0..20 {
        assert_eq!(read_to_end(&mut connect(&app, "127.0.0.1").await).await, "");
    }
    assert!(health(&app, "/health/live", "127.0.0.2").await.starts_with("HTTP/1.1 200"));
    let line = "connection rejected";
    eventually("it is logged", async || (!app.log.events(line).is_empty()).then_some(())).await;
    assert_eq!(app.log.events(line).len(), 1, "the rejections are logged once");
    assert!(held.iter().all(|stream| !is_closed(stream)));
    drop(held.pop());
    eventually("another takes its place", async || is_healthy(&app, "127.0.0.1").await.then_some(())).await;
}

#[tokio::test]
async fn a_trusted_proxy_may_use_all_connections() {
    let app = spawn_app_with(&[TRUSTING, ("VWAZA_LIMIT_CONNECTIONS_PER_PEER", "5")]).await;
    let mut held = Vec::new();
    for _ in 0..50 {
        held.push(connect(&app, "127.0.0.1").await);
    }
    assert!(health(&app, "/health/live", "127.0.0.1").await.starts_with("HTTP/1.1 200"));
    for _ in 0..5 {
        held.push(being_served(&app, "127.0.0.2").await);
    }
    assert_eq!(read_to_end(&mut connect(&app, "127.0.0.2").await).await, "");
}

/// All regular slots are taken by connections that are being served.
#[tokio::test]
async fn an_overflow_connection_gets_one_request_answered() {
    let mut app = spawn_app().await;
    app.restart_with_descriptors("-n 128").await;
    let said = app.log.events("connection limit set").pop().unwrap();
    let mut held = Vec::new();
    for _ in 0..said["connections"].as_u64().unwrap() {
        held.push(being_served(&app, "127.0.0.1").await);
    }
    let ask_twice = async |path: &str| {
        let mut stream = connect(&app, "127.0.0.1").await;
        // The server may close an overflow connection before both requests are sent.
        let _ = stream.write_all(request(path, "").repeat(2).as_bytes()).await;
        read_to_end(&mut stream).await
    };
    for (path, status, words) in [("/health/live", "200", "ok"), ("/sign-in", "503", "too many visitors")] {
        let heard = ask_twice(path).await;
        assert!(heard.starts_with(&format!("HTTP/1.1 {status}")) && heard.contains(words), "{heard}");
        assert_eq!(heard.matches("HTTP/1.1 ").count(), 1, "{heard}");
    }
    assert!(held.iter().all(|stream| !is_closed(stream)));
}

/// Opens a stream of events. Dropping the response closes it.
async fn stream(client: &Client) -> reqwest::Response {
    client.request(http::Method::GET, "/api/events").send().await.unwrap()
}

#[tokio::test]
async fn the_concurrent_requests_of_one_client_of_a_proxy_are_limited() {
    let app = spawn_app_with(&[TRUSTING, ("VWAZA_LIMIT_REQUESTS_PER_ADDRESS", "3")]).await;
    let ana = app.artist("Ana").await.from("203.0.113.7");
    let mut streams = join_all((0..3).map(|_| stream(&ana))).await;
    assert!(streams.iter().all(|stream| stream.status() == 200));
    for path in ["/api/releases/home", "/sign-in", "/media/cover/a/b", "/api/uploads/a/b"] {
        let refused = ana.get(path).await.expect_status(429);
        assert_eq!(refused.header("retry-after"), Some("1"), "{path}");
    }
    let refused = ana.call("account/current", &Vec::new()).await.expect_error(429, "Rate limit exceeded");
    assert!(refused.error()["requestId"].is_string());
    ana.get("/health").await.expect_status(200);
    ana.from("203.0.113.8").get("/sign-in").await.expect_status(200);
    drop(streams.pop());
    eventually("there is room again", async || (ana.get("/sign-in").await.status == 200).then_some(())).await;
}

/// All sessions of a user count together: some requests run, others wait in a queue, and the rest gets 429 at once.
#[tokio::test]
async fn the_concurrent_requests_of_one_user_are_limited_and_delay_no_other_user() {
    const AT_ONCE: usize = 2;
    const IN_QUEUE: usize = 10 * AT_ONCE;
    const TOO_MANY: usize = 8;
    let app = spawn_app_with(&[("VWAZA_LIMIT_REQUESTS_PER_USER", &AT_ONCE.to_string())]).await;
    let (ana, ben) = (app.artist("Ana").await, app.artist("Ben").await);
    let elsewhere = app.anonymous();
    elsewhere.sign_in(&ana.actor().await.unwrap().email, PASSWORD).await.expect_status(200);
    elsewhere.actor().await.unwrap();
    let release = ana.create_release().await;
    let held = app.hold_release(release).await;
    let details = complete_details();
    let saves = join_all((0..AT_ONCE + IN_QUEUE + TOO_MANY).map(|number| {
        let client = if number % 2 == 0 { &ana } else { &elsewhere };
        client.save_details(release, &details)
    }));
    let meanwhile = async {
        app.waits_for_locks(AT_ONCE as i64).await;
        ben.create_release().await;
        // The bytes of an upload do not wait in the queue.
        let begun = ben.begin(UploadTarget::Cover(ben.create_release().await), "cover.png", a_cover(1).len()).await;
        ben.patch(&begun.url, 0, a_cover(1)).await.expect_status(204);
        eventually("those in the queue wait without the database", async || {
            let refused = app.log.events("answered").iter().filter(|event| event["http.status"] == 429).count();
            (refused == TOO_MANY).then_some(())
        })
        .await;
        let waiting: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
        )
        .fetch_one(&app.sql)
        .await
        .unwrap();
        assert_eq!(waiting, AT_ONCE as i64);
        drop(held);
    };
    let (answers, ()) = tokio::join!(saves, meanwhile);
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
    assert_eq!(refused.len(), TOO_MANY);
    assert!(refused.iter().all(|answer| answer.header("retry-after") == Some("1")));
    assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 429)));
    app.expect_consistent().await;
}

/// Does something while a user has one request running, ten in its queue, and no room for another. `name` is applied to
/// each of these requests.
async fn beside_a_full_queue(
    app: &App,
    user: &Client,
    name: impl Fn(usize, RequestBuilder) -> RequestBuilder,
    meanwhile: impl AsyncFnOnce(),
) {
    const REQUESTS: usize = 1 + 10 + 1;
    let release = user.create_release().await;
    let held = app.hold_release(release).await;
    let mut details = fields_of("details", &complete_details());
    details.push(("id".into(), release.to_string()));
    let saves = join_all((0..REQUESTS).map(|number| {
        let save = user.request(Method::POST, "/api/releases/save-details").header("accept", "application/json");
        user.send(name(number, save.form(&details)))
    }));
    let meanwhile = async {
        eventually("one is too many", async || {
            let refused = app.log.events("answered").iter().filter(|event| event["http.status"] == 429).count();
            (refused == 1).then_some(())
        })
        .await;
        app.waits_for_locks(1).await;
        meanwhile().await;
        drop(held);
    };
    let (answers, ()) = tokio::join!(saves, meanwhile);
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), REQUESTS - 1, "{statuses:?}");
}

const ONE_PER_USER: (&str, &str) = ("VWAZA_LIMIT_REQUESTS_PER_USER", "1");

/// A token counts only where the server checks it. Elsewhere, a client could make up tokens and have a queue for each.
#[tokio::test]
async fn an_access_token_names_the_user_of_upload_requests_only() {
    let app = spawn_app_with(&[ONE_PER_USER]).await;
    let (ana, ben) = (app.artist("Ana").await, app.artist("Ben").await);
    let mut uploads = Vec::new();
    for artist in [&ana, &ben] {
        let token: NewAccessToken = artist.call_with("access-tokens/make", "name", "studio").await.ok();
        let target = UploadTarget::NewTrack(artist.create_release().await);
        let url = artist.begin(target, "song.wav", 1000).await.url;
        let script = app.anonymous();
        // From here on, the server knows the owner of the token.
        script.send(script.request(Method::GET, &url).bearer_auth(&token.token)).await.expect_status(200);
        uploads.push((url, token.token));
    }
    let [(of_ana, anas), (of_ben, bens)] = &uploads[..] else { panic!("two artists") };
    let named = |number: usize, request: RequestBuilder| request.bearer_auth(format!("vwaza_{number:064}"));
    beside_a_full_queue(&app, &ana, named, async || {
        let ask = async |client: &Client, path: &str, token: &str| {
            client.send(client.request(Method::GET, path).bearer_auth(token)).await
        };
        ask(&ana, of_ben, bens).await.expect_status(200);
        for client in [&app.anonymous(), &ben] {
            ask(client, of_ana, anas).await.expect_status(429);
        }
        let elsewhere = ben.request(Method::POST, "/api/account/current").form(&Vec::<(String, String)>::new());
        ben.send(elsewhere.header("accept", "application/json").bearer_auth(anas)).await.expect_status(200);
    })
    .await;
}

/// A request that carries bytes lasts as long as they take. It counts for its user only while it creates the upload.
#[tokio::test]
async fn a_creation_waits_in_its_users_queue_and_its_bytes_do_not() {
    let app = spawn_app_with(&[ONE_PER_USER]).await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let begun = ana.begin(UploadTarget::Cover(release), "cover.png", a_cover(1).len()).await;
    let target = format!("new-track:{release}");
    let create = |length: usize| {
        let named = metadata(&[("target", &target), ("filename", "song.wav"), ("fingerprint", "1")]);
        let request = ana.request(Method::POST, "/api/uploads").header("tus-resumable", "1.0.0");
        request.header("upload-length", length).header("upload-metadata", named)
    };
    beside_a_full_queue(
        &app,
        &ana,
        |_, request| request,
        async || {
            ana.send(create(1000)).await.expect_error(429, "Rate limit exceeded");
            let file = reqwest::multipart::Part::bytes(vec![0; 1000]).file_name("song.wav");
            let form = Form::new().text("target", target.clone()).part("file", file);
            let sent = ana.send(ana.request(Method::POST, "/api/uploads/form").multipart(form)).await;
            sent.expect_error(429, "Rate limit exceeded");
            ana.patch(&begun.url, 0, a_cover(1)).await.expect_status(204);
        },
    )
    .await;
    assert!(ana.release(release).await.tracks.is_empty(), "a refused request made a track");

    let half = once(async { Ok::<_, std::io::Error>(Bytes::from_static(&[0; 500])) }).chain(pending());
    let creation = create(1000).header("content-type", "application/offset+octet-stream").body(Body::wrap_stream(half));
    let receiving = async {
        eventually("it is made, and its bytes come in", async || {
            let made = "select count(*) from uploads where length_bytes = 1000";
            let made: i64 = sqlx::query_scalar(made).fetch_one(&app.sql).await.unwrap();
            (made == 1).then_some(())
        })
        .await;
        ana.call("account/current", &Vec::new()).await.expect_status(200);
    };
    tokio::select! {
        answer = ana.try_send(creation) => panic!("it is not whole: {answer:?}"),
        () = receiving => {}
    }
}
