//! Tests the uploads of plain forms that bring no file or whose process is killed.

use http::Method;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::upload_is;
use crate::support::{a_long_song, a_song, eventually, spawn_app};

#[tokio::test]
async fn a_form_without_a_file_creates_nothing() {
    let app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let send = async |name: &str, bytes: &[u8]| {
        let body = [
            format!("--b\r\nContent-Disposition: form-data; name=\"target\"\r\n\r\nnew-track:{release}\r\n").as_bytes(),
            format!("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n").as_bytes(),
            bytes,
            b"\r\n--b--\r\n",
        ]
        .concat();
        let request =
            ana.request(Method::POST, "/api/uploads/form").header("content-type", "multipart/form-data; boundary=b");
        ana.send(request.body(body)).await
    };
    send("", b"").await.expect_error(400, "Choose a file first");
    send("song.wav", b"").await.expect_error(422, "“song.wav” is empty");
    assert_eq!(ana.release(release).await.tracks.len(), 0);
    let uploads: i64 = sqlx::query_scalar("select count(*) from uploads").fetch_one(&app.sql).await.unwrap();
    assert_eq!(uploads, 0);
    send("song.wav", &a_song(1)).await.expect_status(303);
    assert_eq!(ana.release(release).await.tracks.len(), 1);
}

#[tokio::test]
async fn the_upload_of_a_killed_form_is_cancelled_at_the_next_start() {
    let mut app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let release = ana.create_release().await;
    let head = format!(
        "--b\r\nContent-Disposition: form-data; name=\"target\"\r\n\r\nnew-track:{release}\r\n\
         --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"song.wav\"\r\n\r\n"
    );
    let mut connection = TcpStream::connect(ana.listen()).await.unwrap();
    let request = format!(
        "POST /api/uploads/form HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\nContent-Type: multipart/form-data; boundary=b\r\n\
         Content-Length: 3000000\r\n\r\n{head}",
        ana.listen(),
        ana.cookie()
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    connection.write_all(&a_long_song(1)[..1_500_000]).await.unwrap();
    eventually("it is begun", async || {
        sqlx::query("select 1 from uploads").fetch_optional(&app.sql).await.unwrap().map(drop)
    })
    .await;
    app.restart().await;
    upload_is(&app, "EXPIRED").await;
    // The track that the form created is removed with it.
    ana.release_once(release, "the track is gone", |release| release.tracks.is_empty()).await;
    app.expect_consistent().await;
}
