//! Pages as a browser gets them: protected by headers, and inert whatever people typed.

use http::Method;
use vwaza::domain::{release::RawDetails, track::RawTrack, upload::UploadTarget};

use crate::support::{Client, TestResponse, spawn_app};

async fn page(client: &Client, path: &str) -> TestResponse {
    client.send(client.request(Method::GET, path).header("accept", "text/html")).await
}

#[tokio::test]
async fn pages_run_their_own_scripts_only() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let mut nonces = Vec::new();
    for _ in 0..2 {
        let answer = page(&ana, "/").await.expect_status(200);
        assert!(answer.header("content-type").unwrap().starts_with("text/html"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("default-src 'self'"), "{policy}");
        assert!(!policy.contains("unsafe-inline") && !policy.contains("'unsafe-eval'"), "{policy}");
        let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap().to_owned();
        let html = answer.text();
        for script in html.split("<script").skip(1) {
            let tag = script.split('>').next().unwrap();
            assert!(tag.contains(&format!("nonce=\"{nonce}\"")) || tag.contains("application/json"), "{tag}");
        }
        assert!(!html.contains(" style=\""), "an inline style");
        nonces.push(nonce);
    }
    assert_ne!(nonces[0], nonces[1]);
}

/// The browser hydrates a page with its data. If the HTML lacked that data, hydration would expect elements that were
/// not sent.
#[tokio::test]
async fn a_page_whose_data_is_slow_is_sent_whole() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    for (path, whole) in
        [(format!("/releases/{release}/details"), "wizard-aside"), (format!("/releases/{release}"), "release-hero")]
    {
        let held = app.hold_table("lock table tracks in access exclusive mode").await;
        let let_go = async {
            // The user of the request is known by then.
            app.waits_for_locks(1).await;
            drop(held);
        };
        let (answer, ()) = tokio::join!(page(&ana, &path), let_go);
        let html = answer.expect_status(200).text();
        assert!(html.contains(whole), "{path}");
    }
}

#[tokio::test]
async fn typed_text_is_inert() {
    let app = spawn_app().await;
    let ana = app.artist("<script>alert(1)</script>").await;
    let release = ana.create_release().await;
    let nasty =
        "</script></title></textarea><script>alert(1)</script><img src=x onerror=alert(1)>\"'><svg onload=alert(1)>";
    let details = RawDetails {
        title: nasty.into(),
        title_version: "{{7*7}}".into(),
        label: nasty.into(),
        ..RawDetails::default()
    };
    ana.save_details(release, &details).await.expect_status(200);
    let track = ana.begin(UploadTarget::NewTrack(release), nasty, 10).await.track.unwrap();
    ana.save_track(track, &RawTrack { title: nasty.into(), ..RawTrack::default() }).await.expect_status(200);
    for path in [
        "/".to_owned(),
        "/account".into(),
        format!("/releases/{release}"),
        format!("/releases/{release}/details"),
        format!("/releases/{release}/cover"),
        format!("/releases/{release}/tracks"),
        format!("/releases/{release}/submit"),
        "/?q=%3C/script%3E%3Cscript%3Ealert(1)%3C/script%3E".into(),
    ] {
        let answer = page(&ana, &path).await.expect_status(200);
        let html = answer.text();
        for live in ["<script>alert", "<img src=x", "<svg onload"] {
            assert!(!html.contains(live), "{path} has a live {live}");
        }
    }
}

#[tokio::test]
async fn pages_have_a_true_status() {
    let app = spawn_app().await;
    let (ana, ben) = (app.artist("Ana").await, app.artist("Ben").await);
    let release = ana.create_release().await;
    page(&app.anonymous(), "/").await.expect_status(200);
    page(&app.anonymous(), "/sign-in").await.expect_status(200);
    page(&app.anonymous(), "/sign-up").await.expect_status(200);
    page(&ana, "/no/such/page").await.expect_status(404);
    page(&ana, "/no-such-file.js").await.expect_status(404);
    for client in [&ben, &ana] {
        let other = uuid::Uuid::now_v7();
        page(client, &format!("/releases/{other}")).await.expect_status(404);
    }
    page(&ben, &format!("/releases/{release}")).await.expect_status(404);
    page(&ben, &format!("/releases/{release}/tracks")).await.expect_status(404);
    page(&ana, "/releases/nonsense").await.expect_status(404);
    page(&ana, "/review").await.expect_status(403);
    page(&ana, "/admin/artists").await.expect_status(403);
    page(&ana, "/admin/queue").await.expect_status(403);
}

#[tokio::test]
async fn a_private_page_asks_for_the_sign_in() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    for path in
        ["/account".to_owned(), format!("/releases/{release}"), format!("/releases/{release}/tracks"), "/review".into()]
    {
        let answer = page(&app.anonymous(), &path).await;
        let leads_to_sign_in =
            answer.header("location").is_some_and(|location| location.starts_with("/sign-in?next=%2F"));
        let asks = answer.status == 401 || leads_to_sign_in;
        assert!(asks, "{path}: {} {:?}", answer.status, answer.header("location"));
        assert!(!answer.text().contains(&release.to_string()) || answer.status != 200, "{path}");
    }
}
