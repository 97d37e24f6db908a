//! Clients behind something that lets no PATCH or DELETE through: a header carries the method.

use http::Method;
use vwaza::domain::upload::UploadTarget;

use crate::support::{form, spawn_app};

const OVERRIDE: &str = "x-http-method-override";

#[tokio::test]
async fn a_request_of_any_method_can_name_another_one_in_a_header() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let target = UploadTarget::NewTrack(ana.create_release().await);
    for carrier in [Method::POST, Method::PUT, Method::GET, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        let begun = ana.begin(target, &format!("by {carrier}.wav"), 1000).await;
        let ask = |method: &'static str| {
            ana.request(carrier.clone(), &begun.url).header("tus-resumable", "1.0.0").header(OVERRIDE, method)
        };
        let chunk = ask("PATCH").header("upload-offset", 0).header("content-type", "application/offset+octet-stream");
        let received = ana.send(chunk.body(vec![0; 400])).await;
        assert_eq!((received.status, received.header("upload-offset")), (204, Some("400")), "{carrier}");
        let head = ana.send(ask("HEAD")).await.expect_status(200);
        assert_eq!((head.header("upload-offset"), head.body.len()), (Some("400"), 0), "{carrier}");
        ana.send(ask("PUT")).await.expect_error(405, "");
        ana.send(ask("no method")).await.expect_error(405, "");
        assert_eq!(ana.offset(&begun.url).await, 400, "{carrier}");
        ana.send(ask("DELETE")).await.expect_status(204);
        ana.tus(Method::HEAD, &begun.url, &[]).await.expect_status(410);
    }
    let asked = ana.send(ana.request(Method::POST, "/api/uploads").header(OVERRIDE, "OPTIONS")).await;
    assert!(asked.expect_status(204).header("tus-extension").is_some());
}

/// The cross-site check applies to the method in the header.
#[tokio::test]
async fn no_other_site_passes_the_cross_site_check_with_another_method() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", 1000).await;
    for carrier in [Method::GET, Method::OPTIONS, Method::POST] {
        let ask = ana.request(carrier, &begun.url).header("tus-resumable", "1.0.0").header(OVERRIDE, "DELETE");
        ana.send(ask.header("origin", "https://evil.example")).await.expect_error(403, "another site");
    }
    assert_eq!(ana.offset(&begun.url).await, 0);
    // Only uploads read the header.
    let path = format!("/api/releases/delete?id={release}");
    ana.send(ana.request(Method::GET, &path).header(OVERRIDE, "POST")).await.expect_error(405, "");
    let profile = form(&[("artist_name", "Ana")]);
    let save = ana.request(Method::POST, "/api/account/save-profile").header(OVERRIDE, "GET").form(&profile);
    ana.send(save.header("accept", "application/json")).await.expect_status(200);
    ana.release(release).await;
}
