//! Tests chunks: their offset, their size and their content type.

use http::Method;
use vwaza::domain::upload::UploadTarget;

use crate::support::{a_cover, spawn_app};

#[tokio::test]
async fn a_chunk_that_does_not_fit_leaves_everything_as_it_was() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", 1000).await;
    let url = &begun.url;
    ana.patch(url, 0, vec![1; 400]).await.expect_status(204);
    ana.patch(url, 0, vec![1; 400]).await.expect_error(409, "byte 400");
    ana.patch(url, 401, vec![1; 400]).await.expect_error(409, "byte 400");
    ana.patch(url, 400, vec![1; 601]).await.expect_error(413, "More bytes");
    let patch = |headers: &[(&str, &str)]| {
        let request = ana.request(Method::PATCH, url).header("tus-resumable", "1.0.0").body(vec![1; 10]);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    };
    let chunk = ("content-type", "application/offset+octet-stream");
    for (headers, status) in [
        (&[("upload-offset", "400"), ("content-type", "application/octet-stream")][..], 415),
        (&[("upload-offset", "400")][..], 415),
        (&[chunk][..], 400),
        (&[chunk, ("upload-offset", "-1")][..], 400),
        (&[chunk, ("upload-offset", "soon")][..], 400),
        (&[chunk, ("upload-offset", "18446744073709551616")][..], 400),
        (&[chunk, ("upload-offset", "9223372036854775807")][..], 409),
    ] {
        let answer = ana.send(patch(headers)).await;
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.text());
    }
    assert_eq!(ana.offset(url).await, 400);
}

#[tokio::test]
async fn an_empty_chunk_changes_nothing() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let begun = ana.begin(UploadTarget::NewTrack(release), "song.wav", 1000).await;
    ana.patch(&begun.url, 0, Vec::new()).await.expect_status(204);
    assert_eq!(ana.offset(&begun.url).await, 0);
}

#[tokio::test]
async fn a_patch_at_a_wrong_offset_is_told_the_right_one() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let (release, cover) = (ana.create_release().await, a_cover(1));
    let begun = ana.begin(UploadTarget::Cover(release), "cover.png", cover.len()).await;
    let url = &begun.url;
    for (true_offset, wrong) in [(0, 1), (400, 0), (400, 401), (cover.len(), 0), (cover.len(), cover.len() - 1)] {
        let offset = ana.offset(url).await;
        if offset < true_offset {
            ana.patch(url, offset, cover.slice(offset..true_offset)).await.expect_status(204);
        }
        let told = true_offset.to_string();
        let answer = ana.patch(url, wrong, vec![0; 3]).await.expect_error(409, &told);
        assert_eq!(answer.header("upload-offset"), Some(told.as_str()));
    }
    // The offset is not told for an upload that is over, nor for one of somebody else.
    ana.attached(begun.id).await;
    let ben = app.artist("Ben").await;
    assert_eq!(ben.patch(url, 0, vec![0; 3]).await.expect_status(404).header("upload-offset"), None);
    ana.tus(Method::DELETE, url, &[]).await.expect_status(204);
    assert_eq!(ana.patch(url, 0, vec![0; 3]).await.expect_status(410).header("upload-offset"), None);
}
