//! The fields of server functions.

use app::api::PUBLIC_PATHS;
use http::Method;
use serde_json::json;
use vwaza::domain::{
    release::{RawDetails, ReleaseFilter},
    track::RawTrack,
    upload::UploadTarget,
};

use crate::support::{
    AccessRow, PASSWORD, Placeholders, RowBody, complete_details, fields_of, form, metadata, spawn_app, spawn_app_with,
    with_body,
};

#[tokio::test]
async fn no_value_of_a_field_makes_the_server_fail() {
    let app = spawn_app_with(&[("VWAZA_RATE_LIMITS", "off")]).await;
    let (ana, admin) = (app.artist("Ana").await, app.admin().await);
    let mut things = Placeholders::of(&app, &ana).await;
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
    let send = async |path: &str, body: &RowBody, what: &str| {
        let client = match path {
            // Public functions are called without a session, so that they cannot end one of this test.
            _ if PUBLIC_PATHS.contains(&path) => &app.anonymous(),
            _ if ["/api/review/", "/api/queue/", "/api/users/"].iter().any(|prefix| path.starts_with(prefix)) => &admin,
            _ => &ana,
        };
        let answer = client.send(with_body(client.request(Method::POST, path), body)).await;
        assert!(answer.status < 500, "{path}, {what}: {} {}", answer.status, answer.text());
    };
    for row in AccessRow::all().into_iter().filter(AccessRow::is_server_function) {
        let path = row.path;
        things.renew(&app, &ana, |name| row.names(name)).await;
        let (_, body) = row.filled(&things);
        match body {
            RowBody::Form(fields) => {
                for at in 0..fields.len() {
                    let name = &fields[at].0;
                    for value in nasty {
                        let mut changed = fields.clone();
                        changed[at].1 = value.to_owned();
                        send(path, &RowBody::Form(changed), &format!("{name} = {value:.40?}")).await;
                    }
                    let mut changed = fields.clone();
                    changed.remove(at);
                    send(path, &RowBody::Form(changed), &format!("without {name}")).await;
                    let mut changed = fields.clone();
                    changed.push(fields[at].clone());
                    send(path, &RowBody::Form(changed), &format!("{name} twice")).await;
                }
            }
            RowBody::Json(whole) => {
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
                        send(path, &RowBody::Json(changed), &format!("{name} = {value:.40}")).await;
                    }
                }
            }
            RowBody::Nothing | RowBody::Multipart(_) | RowBody::Tus(..) => panic!("{path} is no server function"),
        }
    }
    app.expect_consistent().await;
}

#[tokio::test]
async fn text_that_the_database_cannot_store_is_refused_in_every_field() {
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
        app.anonymous()
            .call("account/sign-up", &form(&[("artist_name", "A"), ("email", "a\0@b.example"), ("password", PASSWORD)]))
            .await,
    ] {
        assert_eq!(answer.status, 400, "{}: {}", answer.asked, answer.text());
    }
    let filter = fields_of("filter", &ReleaseFilter { search: nul(), ..ReleaseFilter::default() });
    let search = form(&[("search", "No\0thing")]);
    for answer in [
        ana.call("releases/home", &filter).await,
        admin.call("review/releases", &filter).await,
        admin.call("review/queue", &search).await,
        admin.call("review/artists", &search).await,
    ] {
        answer.expect_field_error("search");
    }
    // A made-up address in a browser is answered with a page.
    admin.get("/admin/artists?search=%00").await.expect_status(200);
    let fingerprint =
        metadata(&[("target", &format!("new-track:{draft}")), ("filename", "x.wav"), ("fingerprint", "No\0thing")]);
    let headers = [("upload-length", "1000"), ("upload-metadata", fingerprint.as_str())];
    ana.tus(Method::POST, "/api/uploads", &headers).await.expect_error(400, "U+0000");
    admin.reject(release.id, release.version, "No\0thing").await.expect_field_error("reason");
    // Other invisible characters are removed, because a reason has line breaks and may have been pasted from anywhere.
    admin.reject(release.id, release.version, "No\u{202E}thing").await.expect_status(200);
    assert_eq!(ana.release(release.id).await.reject_reason.as_deref(), Some("Nothing"));
    app.expect_consistent().await;
}
