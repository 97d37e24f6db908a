//! The server's log: which fields its lines have, what never stands in it, and what happens if nobody reads it.

use std::collections::BTreeMap;

use http::Method;
use serde_json::Value;
use totp_rs::TOTP;
use vwaza::domain::{account::NewAccessToken, two_factor::TwoFactorSetup, upload::UploadTarget};

use crate::support::{
    App, Client, PASSWORD, TestResponse, a_cover, a_song, ends, eventually, form, spawn_app, spawn_app_with,
};

const FROM_A_PROXY: (&str, &str) = ("VWAZA_TRUSTED_PROXIES", "127.0.0.1");

/// Requests whose lines are longer than a pipe and its reader's buffer hold.
const REQUESTS: usize = 600;

async fn ask(app: &App, requests: usize) {
    for _ in 0..requests {
        app.anonymous().get("/health/live").await.expect_status(200);
    }
}

async fn get_with_id(client: &Client, path: &str, id: &str) -> TestResponse {
    client.send(client.request(Method::GET, path).header("x-request-id", id)).await
}

/// Waits for the lines of jobs or mails that this request caused.
async fn caused_by(app: &App, id: &str, message: &str, lines: usize) -> Vec<Value> {
    eventually(&format!("{lines} lines say “{message}”"), async || {
        let mut caused = app.log.events(message);
        caused.retain(|line| line["span"]["request.id"] == id);
        (caused.len() >= lines).then_some(caused)
    })
    .await
}

#[tokio::test]
async fn a_log_that_nobody_reads_stops_nobody_and_loses_nothing_while_there_is_room() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    app.log.pause(true);
    ends("all requests are answered", ask(&app, REQUESTS)).await;
    ends("the upload is stored", ana.attach(UploadTarget::Cover(release), "cover.png", a_cover(1))).await;
    let is_answered = |line: &Value| line["span"]["http.path"] == "/health/live";
    let so_far = app.log.events("answered").into_iter().filter(is_answered).count();
    assert!(so_far < REQUESTS, "the pipe was not full, so the test proves nothing");
    app.log.pause(false);
    eventually("all lines are there", async || {
        (app.log.events("answered").into_iter().filter(is_answered).count() == REQUESTS).then_some(())
    })
    .await;
    let figures = app.anonymous().get("/metrics").await.text();
    assert!(figures.lines().any(|line| line == "vwaza_log_lines_lost_total 0"), "{figures}");
}

#[tokio::test]
async fn a_server_whose_log_nobody_reads_ends_when_it_is_told_to() {
    let mut app = spawn_app().await;
    app.log.pause(true);
    ends("all requests are answered", ask(&app, REQUESTS)).await;
    app.terminate();
    assert!(app.ended().await.success());
    app.log.pause(false);
}

#[tokio::test]
async fn the_last_lines_are_written_before_the_process_ends() {
    let mut app = spawn_app().await;
    ask(&app, 100).await;
    app.terminate();
    assert!(app.ended().await.success());
    eventually("the last line is there", async || app.log.events("stopped").pop()).await;
    assert_eq!(app.log.events("answered").len(), 100);
}

#[tokio::test]
async fn a_line_names_the_request_and_its_user() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let actor = ana.actor().await.unwrap();
    let release = ana.create_release().await;
    let page = format!("/releases/{release}");
    for (method, path, route, status) in [
        (Method::GET, page.as_str(), "/releases/{id}", 200),
        (Method::POST, "/api/account/current", "/api/account/current", 200),
        (Method::GET, "/media/original/nonsense", "/media/original/{object}", 404),
    ] {
        let answer = ana.send(ana.request(method.clone(), path).form(&form(&[]))).await.expect_status(status);
        let lines = app.log_lines_of(&answer).await;
        let answered = lines.iter().find(|line| line["message"] == "answered").unwrap();
        assert_eq!(answered["http.status"], status, "{answered}");
        assert!(answered["latency_ms"].as_f64().is_some_and(|latency_ms| latency_ms > 0.0), "{answered}");
        let span = &answered["span"];
        assert_eq!(span["http.method"], method.as_str());
        assert_eq!(span["http.path"], path);
        assert_eq!(answered["http.route"], route);
        assert_eq!(span["user.id"], actor.id.to_string());
        assert_eq!(span["user.role"], "Artist");
        let (_, host) = actor.email.split_once('@').unwrap();
        assert_eq!(span["user.email"], format!("a***@{host}"));
    }
    assert!(app.log.lines().iter().all(|line| !line.contains(&actor.email)), "an address is not masked");
}

#[tokio::test]
async fn a_trusted_proxy_names_requests_and_nobody_else_does() {
    let mut app = spawn_app_with(&[FROM_A_PROXY]).await;
    let anonymous = app.anonymous();
    let answer = get_with_id(&anonymous, "/health", "of-the-proxy.1").await;
    assert_eq!(answer.request_id(), "of-the-proxy.1");
    app.log_lines_of(&answer).await;
    for bad in ["", "with a blank", "with,comma", "\"", &"long".repeat(20)] {
        let answer = get_with_id(&anonymous, "/health", bad).await;
        assert_ne!(answer.request_id(), bad);
    }
    app.restart_with(&[("VWAZA_TRUSTED_PROXIES", "")]).await;
    assert_ne!(get_with_id(&anonymous, "/health", "of-a-stranger").await.request_id(), "of-a-stranger");
}

#[tokio::test]
async fn an_id_goes_with_the_jobs_and_the_mails_that_a_request_causes() {
    let app = spawn_app_with(&[FROM_A_PROXY]).await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let upload = ana.begin(UploadTarget::NewTrack(release), "song.wav", a_song(1).len()).await;
    let patch = ana
        .request(Method::PATCH, &upload.url)
        .header("tus-resumable", "1.0.0")
        .header("upload-offset", "0")
        .header("content-type", "application/offset+octet-stream")
        .header("x-request-id", "the-last-patch")
        .body(a_song(1));
    ana.send(patch).await.expect_status(204);
    let ended = caused_by(&app, "the-last-patch", "attempt ended", 2).await;
    let kinds: Vec<_> = ended.iter().map(|line| line["span"]["job.kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["store", "examine"]);
    for line in ended {
        assert_eq!((&line["span"]["attempt"], &line["span"]["retry_count"]), (&Value::from(1), &Value::from(0)));
        assert!(line["span"]["job.id"].is_string() && line["duration_ms"].is_u64(), "{line}");
        assert_eq!(line["outcome"], "completed");
    }
    let email = ana.actor().await.unwrap().email;
    let request = ana.request(Method::POST, "/api/account/request-password-reset").form(&form(&[("email", &email)]));
    ana.send(request.header("x-request-id", "the-forgotten-password")).await;
    let sent = caused_by(&app, "the-forgotten-password", "mail done", 1).await;
    assert!(sent[0]["span"]["mail.id"].is_string(), "{sent:?}");
}

#[tokio::test]
async fn a_job_that_fails_logs_the_chain_of_its_error() {
    let app = spawn_app_with(&[FROM_A_PROXY]).await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    sqlx::query("alter table objects rename column content_type to mislaid").execute(&app.sql).await.unwrap();
    let (_, answer) = ana.upload(UploadTarget::Cover(release), "cover.png", a_cover(1)).await;
    let failed = caused_by(&app, answer.request_id(), "job failed", 1).await;
    assert_eq!((&failed[0]["span"]["job.kind"], &failed[0]["level"]), (&Value::from("store"), &Value::from("ERROR")));
    assert!(failed[0]["error"].as_str().is_some_and(|error| error.contains("content_type")), "{failed:?}");
}

#[tokio::test]
async fn a_fault_and_a_panic_have_a_backtrace() {
    let app = spawn_app_with(&[("VWAZA_FAIL_POINTS", "upload-begun=1*panic(a bug)->off")]).await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let answer = ana.try_begin(UploadTarget::NewTrack(release), "song.wav", 1000).await.expect_status(500);
    let lines = app.log_lines_of(&answer).await;
    let panicked = lines.iter().find(|line| line["message"] == "panicked").expect("the panic is logged");
    assert!(
        panicked["backtrace"].as_str().is_some_and(|backtrace| backtrace.contains("uploads/begin.rs")),
        "{panicked}"
    );
    assert!(panicked["cause"].as_str().is_some_and(|cause| cause.contains("a bug")), "{panicked}");
    sqlx::query("alter table releases rename to mislaid").execute(&app.sql).await.unwrap();
    let answer = ana.call_with("releases/view", "id", release).await.expect_status(500);
    let lines = app.log_lines_of(&answer).await;
    let failed = lines.iter().find(|line| line["message"] == "a request failed").unwrap();
    let backtrace = failed["backtrace"].as_str().unwrap();
    assert!(backtrace.contains("app/src/api/releases.rs") && backtrace.lines().count() > 10, "{backtrace}");
    let refused = ana.get("/api/nothing").await.expect_status(404);
    assert!(app.log_lines_of(&refused).await.iter().all(|line| line.get("backtrace").is_none()));
}

#[tokio::test]
async fn no_secret_is_ever_logged() {
    const METRICS_TOKEN: &str = "figures-for-prometheus";
    let app = spawn_app_with(&[("RUST_LOG", "debug"), ("VWAZA_METRICS_TOKEN", METRICS_TOKEN)]).await;
    let ana = app.artist("Ana").await;
    let email = ana.actor().await.unwrap().email;
    let mut secrets = BTreeMap::from([
        ("the password", PASSWORD.to_owned()),
        ("the metrics token", METRICS_TOKEN.to_owned()),
        ("the session", secret_of(&ana.cookie())),
    ]);
    let database_url = app.database_url();
    let (user, _) = database_url.rsplit_once('@').unwrap();
    secrets.insert("the database's password", user.rsplit(':').next().unwrap().to_owned());
    let made: NewAccessToken = ana.call("access-tokens/make", &form(&[("name", "studio")])).await.ok();
    secrets.insert("an access token", made.token.clone());
    let wrong = "not the password at all";
    app.anonymous().sign_in(&email, wrong).await.expect_status(401);
    secrets.insert("a wrong password", wrong.to_owned());
    ana.call("account/request-password-reset", &form(&[("email", &email)])).await.expect_status(200);
    let reset = app.newest_mail(&email, "Set a new password").await;
    secrets.insert("a reset link", reset.code().to_owned());
    let setup: TwoFactorSetup = ana.call("two-factor/begin", &form(&[("current_password", PASSWORD)])).await.ok();
    secrets.insert("a second factor", TOTP::from_url(&setup.url).unwrap().get_secret_base32());
    let authorization = format!("Bearer {METRICS_TOKEN}");
    app.anonymous().send(app.anonymous().request(Method::GET, "/metrics").header("authorization", authorization)).await;
    let upload = app.anonymous();
    let request =
        upload.request(Method::OPTIONS, "/api/uploads").header("authorization", format!("Bearer {}", made.token));
    upload.send(request).await;
    let new = "another good password";
    let fields = form(&[("link", reset.link()), ("password", new), ("token", reset.code()), ("new_password", new)]);
    app.anonymous().call("account/reset-password", &fields).await;
    secrets.insert("a new password", new.to_owned());
    let last = app.anonymous().get("/health").await;
    app.log_lines_of(&last).await;
    for (what, secret) in secrets {
        assert!(secret.len() >= 8, "{what} is too short to be found: {secret}");
        if let Some(line) = app.log.lines().into_iter().find(|line| line.contains(&secret)) {
            panic!("{what} is in the log: {line}");
        }
    }
}

fn secret_of(cookie: &str) -> String {
    cookie.split_once('=').unwrap().1.to_owned()
}
