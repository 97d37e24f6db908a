//! Every server function names its actor or stands on the list of public ones.

use std::collections::BTreeMap;

use app::api::PUBLIC;
use http::Method;
use leptos::server_fn::axum::server_fn_paths;
use serde_json::json;
use vwaza::domain::{
    release::{RawDetails, ReleaseFilter},
    track::RawTrack,
};

use crate::support::{Answer, App, Client, fields_of, form, spawn_app};

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
        ("/api/account/save-profile", Body::Form(form(&[("artist_name", "Ana"), ("email", "ana@example.com")]))),
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
        // The password is wrong, on purpose; all else is understood and refused for what it asks, if at all.
        let is_understood = matches!(answer.status, 200 | 403 | 404) || path.ends_with("change-password");
        assert!(is_understood, "{path}: {} {}", answer.status, answer.text());
    }
}
