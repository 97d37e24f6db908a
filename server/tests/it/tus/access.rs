//! Tests that nobody reaches the uploads and releases of another artist.

use http::Method;
use vwaza::domain::upload::UploadTarget;

use super::create;
use crate::support::{App, Client, TestResponse, a_song, spawn_app};

/// Sends every kind of request to an upload.
async fn ask_all(client: &Client, url: &str) -> Vec<TestResponse> {
    vec![
        client.get(url).await,
        client.tus(Method::HEAD, url, &[]).await,
        client.patch(url, 0, vec![0; 10]).await,
        client.tus(Method::DELETE, url, &[]).await,
    ]
}

async fn begun_by(app: &App, name: &str) -> (Client, String) {
    let client = app.artist(name).await;
    let release = client.create_release().await;
    let begun = client.begin(UploadTarget::Cover(release), "cover.png", 1000).await;
    (client, begun.url)
}

#[tokio::test]
async fn another_artists_upload_does_not_exist() {
    let app = spawn_app().await;
    let ((ana, anas), (ben, bens)) = (begun_by(&app, "Ana").await, begun_by(&app, "Ben").await);
    let (spool, id) = bens.rsplit_once('/').unwrap();
    let missing = format!("{spool}/{}", uuid::Uuid::now_v7());
    for (anas_answer, none) in ask_all(&ben, &anas).await.into_iter().zip(ask_all(&ben, &missing).await) {
        let (anas_answer, none) = (anas_answer.expect_status(404), none.expect_status(404));
        // The response to a HEAD has no body.
        if !none.body.is_empty() {
            assert_eq!(anas_answer.anonymous_error(), none.anonymous_error());
        }
    }
    for url in ["/api/uploads/1/2".to_owned(), format!("/api/uploads/x/{id}"), format!("{spool}/..%2f..%2fspool.id")] {
        for answer in ask_all(&ben, &url).await {
            answer.expect_status(404);
        }
    }
    for answer in ask_all(&app.anonymous(), &anas).await {
        answer.expect_status(401);
    }
    assert_eq!(ana.offset(&anas).await, 0);
}

/// Tus and plain forms refuse such uploads as the application does.
#[tokio::test]
async fn releases_of_others_and_submitted_ones_take_no_uploads() {
    let app = spawn_app().await;
    let (ana, ben) = (app.artist("Ana").await, app.artist("Ben").await);
    let release = ana.release_in_review().await;
    let (id, track, none) = (release.id, release.tracks[0].id, uuid::Uuid::now_v7());
    let form = async |client: &Client, target: &str| {
        let part = reqwest::multipart::Part::bytes(a_song(1).to_vec()).file_name("song.wav");
        let form = reqwest::multipart::Form::new().text("target", target.to_owned()).part("file", part);
        client.send(client.request(Method::POST, "/api/uploads/form").multipart(form)).await
    };
    for (target, missing) in [
        (format!("cover:{id}"), format!("cover:{none}")),
        (format!("new-track:{id}"), format!("new-track:{none}")),
        (format!("audio:{track}"), format!("audio:{none}")),
    ] {
        for (anas, nobodys) in [
            (create(&ben, &target, "1000").await, create(&ben, &missing, "1000").await),
            (form(&ben, &target).await, form(&ben, &missing).await),
        ] {
            let (anas, nobodys) = (anas.expect_status(404), nobodys.expect_status(404));
            assert_eq!(anas.anonymous_error(), nobodys.anonymous_error(), "{target}");
        }
        create(&ana, &target, "1000").await.expect_error(409, "submitted");
        form(&ana, &target).await.expect_error(409, "submitted");
    }
    assert_eq!(ana.release(id).await, release);
    app.expect_consistent().await;
}
