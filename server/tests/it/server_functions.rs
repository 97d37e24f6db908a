//! Every server function names its actor or stands on the list of public ones.

use std::collections::BTreeMap;

use app::api::PUBLIC;
use http::Method;
use leptos::server_fn::axum::server_fn_paths;
use serde_json::json;
use vwaza::domain::{
    ids::{ReleaseId, TrackId},
    release::{RawDetails, ReleaseFilter},
    track::RawTrack,
    upload::UploadTarget,
};

use crate::support::{Answer, App, Client, PASSWORD, complete_details, fields_of, form, metadata, spawn_app};

/// A valid body: everything but the session is right.
enum Body {
    Form(Vec<(String, String)>),
    Json(serde_json::Value),
}

/// A valid body for each function that is not public. A new function belongs in here.
fn valid_bodies() -> BTreeMap<&'static str, Body> {
    let id = uuid::Uuid::nil().to_string();
    let with_id = |mut fields: Vec<(String, String)>| {
        fields.push(("id".into(), id.clone()));
        Body::Form(fields)
    };
    let filter = || Body::Form(fields_of("filter", &ReleaseFilter::default()));
    let page = || Body::Form(form(&[("search", ""), ("page", "1")]));
    let intent =
        json!({ "intent": { "target": { "Cover": id }, "file_name": "a.png", "length": 10, "fingerprint": "" } });
    BTreeMap::from([
        ("/api/access-tokens/list", Body::Form(form(&[]))),
        ("/api/access-tokens/make", Body::Form(form(&[("name", "a script")]))),
        ("/api/access-tokens/revoke", with_id(form(&[]))),
        (
            "/api/account/change-password",
            Body::Form(form(&[("current_password", "x"), ("new_password", "a good password")])),
        ),
        ("/api/account/change-email", Body::Form(form(&[("email", "new@example.com"), ("current_password", "x")]))),
        ("/api/account/delete", Body::Form(form(&[("current_password", "x")]))),
        ("/api/account/mail-preference", Body::Form(form(&[]))),
        ("/api/account/save-mail-preference", Body::Form(form(&[]))),
        ("/api/account/save-profile", Body::Form(form(&[("artist_name", "Ana")]))),
        ("/api/account/security-events", Body::Form(form(&[]))),
        ("/api/account/send-verification", Body::Form(form(&[]))),
        ("/api/queue/discard", with_id(form(&[]))),
        ("/api/queue/retry", with_id(form(&[]))),
        ("/api/queue/view", Body::Form(form(&[("page", "1")]))),
        ("/api/releases/create", Body::Form(form(&[]))),
        ("/api/releases/delete", with_id(form(&[]))),
        ("/api/releases/home", filter()),
        ("/api/releases/revise", with_id(form(&[]))),
        ("/api/releases/save-details", with_id(fields_of("details", &RawDetails::default()))),
        ("/api/releases/submit", with_id(form(&[]))),
        ("/api/releases/view", with_id(form(&[]))),
        ("/api/releases/withdraw", with_id(form(&[]))),
        ("/api/review/approve", with_id(form(&[("version", "1")]))),
        ("/api/review/artists", page()),
        ("/api/review/queue", page()),
        ("/api/review/reject", with_id(form(&[("version", "1"), ("reason", "Because.")]))),
        ("/api/review/releases", filter()),
        ("/api/two-factor/begin", Body::Form(form(&[("current_password", "x")]))),
        ("/api/two-factor/confirm", Body::Form(form(&[("code", "123456")]))),
        ("/api/two-factor/renew-codes", Body::Form(form(&[("current_password", "x"), ("code", "123456")]))),
        ("/api/two-factor/state", Body::Form(form(&[]))),
        ("/api/two-factor/turn-off", Body::Form(form(&[("current_password", "x"), ("code", "123456")]))),
        ("/api/users/change", with_id(form(&[("change", "enable")]))),
        ("/api/users/view", with_id(form(&[]))),
        ("/api/sessions/end", with_id(form(&[]))),
        ("/api/sessions/end-others", Body::Form(form(&[]))),
        ("/api/sessions/list", Body::Form(form(&[]))),
        ("/api/tracks/move", with_id(form(&[("number", "1")]))),
        ("/api/tracks/remove", with_id(form(&[]))),
        ("/api/tracks/save", with_id(fields_of("track", &RawTrack::default()))),
        ("/api/upload/begin", Body::Json(intent)),
        ("/api/upload/cancel", with_id(form(&[]))),
        ("/api/upload/complete", with_id(form(&[]))),
    ])
}

async fn ask(client: &Client, path: &str, body: &Body) -> Answer {
    let function = path.strip_prefix("/api/").unwrap();
    match body {
        Body::Form(form) => client.call(function, form).await,
        Body::Json(json) => client.call_json(function, json).await,
    }
}

/// All functions there are, but for the public ones.
fn guarded() -> Vec<&'static str> {
    let all: Vec<(&str, Method)> = server_fn_paths().collect();
    assert!(all.len() > PUBLIC.len(), "the application's functions are linked into this test");
    for (path, method) in &all {
        assert_eq!(method, Method::POST, "{path}: a link must not change anything");
        assert!(path.starts_with("/api/"), "{path}");
    }
    for public in PUBLIC {
        assert!(all.iter().any(|(path, _)| *path == public), "{public} is public and does not exist");
    }
    all.into_iter().map(|(path, _)| path).filter(|path| !PUBLIC.contains(path)).collect()
}

async fn app_and_bodies() -> (App, BTreeMap<&'static str, Body>) {
    (spawn_app().await, valid_bodies())
}

#[tokio::test]
async fn every_server_function_asks_who_is_asking() {
    let (app, bodies) = app_and_bodies().await;
    let stranger = app.anyone();
    let forged = stranger.with_cookie(&format!("vwaza={}", "0".repeat(64)));
    for path in guarded() {
        let Some(body) = bodies.get(path) else { panic!("{path} has no valid body in the table above") };
        for client in [&stranger, &forged] {
            ask(client, path, body).await.expect_error(401, "Sign in");
        }
    }
    for path in bodies.keys() {
        assert!(guarded().contains(path), "{path} stands in the table and does not exist");
    }
}

#[tokio::test]
async fn the_bodies_of_that_test_are_valid() {
    let (app, bodies) = app_and_bodies().await;
    let ana = app.artist("Ana").await;
    for (path, body) in &bodies {
        let answer = ask(&ana, path, body).await;
        // Passwords are wrong, on purpose; all else is understood and refused for what it asks, if at all.
        let is_understood = matches!(answer.status, 200 | 403 | 404 | 409)
            || matches!(answer.field_errors().as_slice(), [field] if field == "current_password" || field == "code");
        assert!(is_understood, "{path}: {} {}", answer.status, answer.text());
    }
}

/// And those that are public; what is edited is there.
fn all_bodies(release: ReleaseId, track: TrackId) -> BTreeMap<&'static str, Body> {
    let mut bodies = valid_bodies();
    for (path, id) in [
        ("/api/releases/save-details", release.to_string()),
        ("/api/tracks/save", track.to_string()),
        ("/api/tracks/move", track.to_string()),
    ] {
        if let Some(Body::Form(fields)) = bodies.get_mut(path) {
            fields.retain(|(name, _)| name != "id");
            fields.push(("id".into(), id));
        }
    }
    if let Some(Body::Json(body)) = bodies.get_mut("/api/upload/begin") {
        body["intent"]["target"] = json!({ "Cover": release });
    }
    let sign_in = [("email", "new@example.com"), ("password", "a good password"), ("next", "/")];
    bodies.insert("/api/account/sign-in", Body::Form(form(&sign_in)));
    let sign_up = [("artist_name", "New"), ("email", "new@example.com"), ("password", "a good password")];
    bodies.insert("/api/account/sign-up", Body::Form(form(&sign_up)));
    bodies
}

#[tokio::test]
async fn whatever_stands_in_a_field_is_no_fault_of_the_servers() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let release = ana.create_release().await;
    let track = ana.begin(UploadTarget::NewTrack(release), "song.wav", 1000).await.track.unwrap();
    let long = "é".repeat(5000);
    let nasty = [
        "",
        " ",
        "\0",
        "a\0b",
        "-1",
        "0",
        "99999999999999999999",
        "1e400",
        "NaN",
        "\u{202E}\u{FFFF}",
        "%00",
        "%",
        "\\",
        "_",
        "'; drop table users; --",
        "../../x",
        "<script>",
        "\r\nX-Evil: 1",
        &long,
    ];
    let send = async |path: &str, body: &Body, what: &str| {
        let client = match path {
            // Nobody's session changes under this test.
            _ if PUBLIC.contains(&path) => &app.anyone(),
            _ if path.starts_with("/api/review/") || path.starts_with("/api/queue/") => &admin,
            _ => &ana,
        };
        let answer = ask(client, path, body).await;
        assert!(answer.status < 500, "{path}, {what}: {} {}", answer.status, answer.text());
    };
    for (path, body) in all_bodies(release, track) {
        match body {
            Body::Form(fields) => {
                for at in 0..fields.len() {
                    let name = &fields[at].0;
                    for value in nasty {
                        let mut changed = fields.clone();
                        changed[at].1 = value.to_owned();
                        send(path, &Body::Form(changed), &format!("{name} = {value:.40?}")).await;
                    }
                    let mut changed = fields.clone();
                    changed.remove(at);
                    send(path, &Body::Form(changed), &format!("without {name}")).await;
                    let mut changed = fields.clone();
                    changed.push(fields[at].clone());
                    send(path, &Body::Form(changed), &format!("{name} twice")).await;
                }
            }
            Body::Json(whole) => {
                for name in ["target", "file_name", "length", "fingerprint", "sha256", "else"] {
                    for value in [
                        json!(null),
                        json!(""),
                        json!("\0"),
                        json!(long),
                        json!(-1),
                        json!(u64::MAX),
                        json!(1.5),
                        json!({}),
                        json!([[]]),
                        json!({ "Cover": "x" }),
                        json!({ "Cover": null, "Audio": null }),
                    ] {
                        let mut changed = whole.clone();
                        changed["intent"][name] = value.clone();
                        send(path, &Body::Json(changed), &format!("{name} = {value:.40}")).await;
                    }
                }
            }
        }
    }
    app.agrees().await;
}

#[tokio::test]
async fn text_that_no_database_takes_is_refused_in_every_field() {
    let app = spawn_app().await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let release = ana.release_in_review().await;
    let draft = ana.create_release().await;
    let begun = ana.begin(UploadTarget::NewTrack(draft), "song.wav", 1000).await;
    let nul = || "No\0thing".to_owned();
    let details = [
        RawDetails { title: nul(), ..complete_details() },
        RawDetails { title_version: nul(), ..complete_details() },
        RawDetails { label: nul(), ..complete_details() },
        RawDetails { p_line: nul(), ..complete_details() },
    ];
    for details in details {
        ana.save_details(draft, &details).await.expect_status(400);
    }
    let track = RawTrack { title: nul(), ..RawTrack::default() };
    let profile = [("artist_name", "No\0thing")];
    for answer in [
        ana.save_track(begun.track.unwrap(), &track).await,
        ana.call("account/save-profile", &form(&profile)).await,
        ana.call("access-tokens/make", &form(&[("name", "No\0thing")])).await,
        ana.call_with("releases/view", "id", "\0").await,
        app.anyone()
            .call("account/sign-up", &form(&[("artist_name", "A"), ("email", "a\0@b.example"), ("password", PASSWORD)]))
            .await,
    ] {
        assert_eq!(answer.status, 400, "{}: {}", answer.asked, answer.text());
    }
    let filter = fields_of("filter", &ReleaseFilter { search: nul(), ..ReleaseFilter::default() });
    let search = form(&[("search", "No\0thing"), ("page", "1")]);
    for answer in [
        ana.call("releases/home", &filter).await,
        admin.call("review/releases", &filter).await,
        admin.call("review/queue", &search).await,
        admin.call("review/artists", &search).await,
    ] {
        answer.expect_field_error("search");
    }
    // An address that somebody made up is answered with a page.
    admin.get("/admin/artists?search=%00").await.expect_status(200);
    let fingerprint =
        metadata(&[("target", &format!("new-track:{draft}")), ("filename", "x.wav"), ("fingerprint", "No\0thing")]);
    let headers = [("upload-length", "1000"), ("upload-metadata", fingerprint.as_str())];
    ana.tus(Method::POST, "/api/uploads", &headers).await.expect_error(400, "U+0000");
    admin.reject(release.id, release.version, "No\0thing").await.expect_field_error("reason");
    // Other things that cannot be seen are left out: a reason has lines, and may have come from anywhere.
    admin.reject(release.id, release.version, "No\u{202E}thing").await.expect_status(200);
    assert_eq!(ana.release(release.id).await.reject_reason.as_deref(), Some("Nothing"));
    app.agrees().await;
}
