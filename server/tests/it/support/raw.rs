//! HTTP requests written by hand, to break off where no client library would.

use testing::{ends, eventually};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use uuid::Uuid;

use super::{app::App, client::Client};

/// A request on a connection of its own, whose bytes a test sends one by one.
pub(crate) struct RawRequest(TcpStream);

impl RawRequest {
    /// Sends the head of a PATCH of `length` bytes at `offset`, and waits until the request holds the upload.
    pub(crate) async fn patch(app: &App, client: &Client, url: &str, offset: usize, length: usize) -> Self {
        Self::patch_with(app, client, url, offset, length, &[]).await
    }

    /// Like `patch`, with further headers.
    pub(crate) async fn patch_with(
        app: &App,
        client: &Client,
        url: &str,
        offset: usize,
        length: usize,
        headers: &[&str],
    ) -> Self {
        let id: Uuid = url.rsplit('/').next().unwrap().parse().unwrap();
        let updated_at = async || -> String {
            let query = sqlx::query_scalar("select updated_at::text from uploads where id = $1");
            query.bind(id).fetch_one(&app.sql).await.unwrap()
        };
        let before = updated_at().await;
        let head = format!(
            "PATCH {url} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: {offset}\r\n\
             Content-Type: application/offset+octet-stream\r\nContent-Length: {length}\r\n{headers}\r\n",
            host = client.listen(),
            cookie = client.cookie(),
            headers = headers.iter().map(|header| format!("{header}\r\n")).collect::<String>(),
        );
        let mut stream = TcpStream::connect(client.listen()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        // A writer first extends the upload's expiry.
        eventually("the upload is held", async || (updated_at().await != before).then_some(())).await;
        Self(stream)
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// Returns the status of the response.
    pub(crate) async fn status(mut self) -> u16 {
        let mut head = [0; 12];
        ends("the request is answered", self.0.read_exact(&mut head)).await.unwrap();
        std::str::from_utf8(&head[9..]).unwrap().parse().unwrap()
    }

    /// Resets the connection: bytes that are still on their way are lost.
    pub(crate) fn reset(self) {
        self.0.set_zero_linger().unwrap();
    }

    /// Closes the connection.
    pub(crate) async fn drop_connection(mut self) {
        self.0.shutdown().await.unwrap();
    }
}
