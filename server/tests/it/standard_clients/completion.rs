//! Tests that an upload whose bytes have all arrived is completed, or refused for good, and that a client sees which.

use bytes::Bytes;
use http::Method;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use vwaza::domain::upload::{UploadState, UploadTarget};

use super::{create, upload_is, url_of};
use crate::support::{a_cover, a_song, eventually, spawn_app};

#[tokio::test]
async fn u10_a_failed_completion_is_repeated_without_a_restart() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let song = a_song(1);
    let created = create(&ana, UploadTarget::NewTrack(ana.create_release().await), song.len()).await;
    let held = app.hold_table("lock table upload_jobs in share mode").await;
    // All bytes are counted. The transaction that completes the upload waits for its lock until it times out.
    ana.patch(&url_of(&created), 0, song.clone()).await.expect_status(503);
    drop(held);
    // A standard client that reads the full offset goes away, so the upload must be complete by then.
    assert_eq!(ana.offset(&url_of(&created)).await, song.len());
    upload_is(&app, "ATTACHED").await;
    app.expect_consistent().await;
}

#[tokio::test]
async fn u10_a_whole_upload_never_expires_and_is_completed_by_the_janitor() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let (release, song) = (ana.create_release().await, a_song(1));
    let target = UploadTarget::NewTrack(release);
    let url = url_of(&create(&ana, target, song.len()).await);
    let marker = ana.begin(target, "marker.wav", 1000).await;
    let held = app.hold_release(release).await;
    // All bytes of one upload are counted, and none of the other.
    let expire = async {
        app.waits_for_locks(1).await;
        sqlx::query("update uploads set expires_at = now() - interval '1 hour'").execute(&app.sql).await.unwrap();
        eventually("the marker has expired", async || {
            (ana.upload_status(marker.id).await.state == UploadState::Expired).then_some(())
        })
        .await;
    };
    let (answer, ()) = tokio::join!(ana.patch(&url, 0, song.clone()), expire);
    answer.expect_status(503);
    drop(held);
    upload_is(&app, "ATTACHED").await;
    app.expect_consistent().await;
}

/// A chunked PATCH sends all bytes, and its connection drops before its last chunk ends it.
#[tokio::test]
async fn an_upload_is_whole_without_the_end_of_its_last_request() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let cover = a_cover(1);
    let created = create(&ana, UploadTarget::Cover(ana.create_release().await), cover.len()).await;
    let head = format!(
        "PATCH {url} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n\
         Content-Type: application/offset+octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n",
        url = url_of(&created),
        host = ana.listen(),
        cookie = ana.cookie(),
        length = cover.len(),
    );
    let mut connection = TcpStream::connect(ana.listen()).await.unwrap();
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(&cover).await.unwrap();
    connection.write_all(b"\r\n").await.unwrap();
    connection.shutdown().await.unwrap();
    upload_is(&app, "ATTACHED").await;
    app.expect_consistent().await;
}

#[tokio::test]
async fn head_never_reports_a_refused_upload_as_whole() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let svg = Bytes::from_static(b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>");
    let url = url_of(&create(&ana, UploadTarget::Cover(release), svg.len()).await);
    let held = app.hold_release(release).await;
    let patch = tokio::spawn({
        let (ana, url, svg) = (ana.clone(), url.clone(), svg.clone());
        async move { ana.patch(&url, 0, svg).await.status }
    });
    // The PATCH has found out that the file is invalid, and is about to record that.
    app.waits_for_locks(1).await;
    // HEAD reads that all bytes have arrived, then waits for the PATCH.
    let reads = "%from uploads where id = $1 and owner_id = $2%";
    let table = app.hold_table("lock table uploads in access exclusive mode").await;
    let let_go = async {
        app.waits_for_locks_of(reads, 1).await;
        drop(table);
        eventually("HEAD has read the row", async || {
            let query = sqlx::query_scalar(
                "select count(*) from pg_stat_activity
                 where datname = current_database() and state = 'active' and pid <> pg_backend_pid() and query like $1",
            );
            let reading: i64 = query.bind(reads).fetch_one(&app.sql).await.unwrap();
            (reading == 0).then_some(())
        })
        .await;
        drop(held);
    };
    let (head, ()) = tokio::join!(ana.tus(Method::HEAD, &url, &[]), let_go);
    // HEAD waits for 2 s. On a slow machine, it then answers that the upload is busy.
    assert!(matches!(head.status, 410 | 415 | 423), "{}", head.status);
    assert_eq!(patch.await.unwrap(), 415);
    ana.tus(Method::HEAD, &url, &[]).await.expect_status(410);
    app.expect_consistent().await;
}

/// Checks the answers of HEAD, PATCH at the end, PATCH elsewhere and DELETE for an upload in each of its states.
#[tokio::test]
async fn every_state_of_an_upload_has_its_answers() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let cover = a_cover(1);
    let attached = ana.attach(UploadTarget::Cover(release), "cover.png", cover.clone()).await;
    let end = cover.len();
    for (state, head, at_the_end, elsewhere, delete) in [
        ("RECEIVED", 200, 204, 409, 204),
        ("ATTACHED", 200, 204, 409, 204),
        ("SUPERSEDED", 200, 204, 409, 204),
        ("REFUSED", 410, 410, 410, 204),
        ("DISCARDED", 410, 410, 410, 204),
        ("FAILED", 200, 204, 409, 204),
        ("CANCELLED", 410, 410, 410, 410),
        ("EXPIRED", 410, 410, 410, 410),
    ] {
        let set = format!("update uploads set state = '{state}'");
        sqlx::query(sqlx::AssertSqlSafe(set)).execute(&app.sql).await.unwrap();
        let answer = ana.tus(Method::HEAD, &attached.url, &[]).await;
        assert_eq!(answer.status, head, "HEAD {state}");
        let offset = (head == 200).then(|| end.to_string());
        assert_eq!(answer.header("upload-offset"), offset.as_deref(), "{state}");
        assert_eq!(ana.patch(&attached.url, end, Vec::new()).await.status, at_the_end, "PATCH {state}");
        assert_eq!(ana.patch(&attached.url, 1, vec![0; 3]).await.status, elsewhere, "PATCH elsewhere {state}");
        assert_eq!(ana.tus(Method::DELETE, &attached.url, &[]).await.status, delete, "DELETE {state}");
    }
}
