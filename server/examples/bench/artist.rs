//! An artist who uploads over HTTP, as the browser does.

use std::{
    fs,
    time::{Duration, Instant},
};

use bytes::Bytes;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use testing::fixtures;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::sleep};
use vwaza::domain::upload::{BegunUpload, CHUNK_BYTES, UploadState, UploadStatus};

use crate::BenchResult;

/// Makes a WAV in memory whose pages have been touched. Otherwise a measured loop would also measure page faults.
pub(crate) fn song(bytes: u64) -> BenchResult<Bytes> {
    let file = NamedTempFile::new()?;
    fixtures::wav_to_file(file.path(), bytes)?;
    Ok(fs::read(file.path())?.into())
}

/// Cuts a file into chunks of the browser's size.
pub(crate) fn chunks(file: &Bytes) -> impl Iterator<Item = Bytes> {
    let size = CHUNK_BYTES as usize;
    (0..file.len()).step_by(size).map(move |at| file.slice(at..file.len().min(at + size)))
}

const BUSY_PAUSE: Duration = Duration::from_millis(50);
/// A server that stays busy for longer counts as broken.
const BUSY_MAX: Duration = Duration::from_secs(60);

/// Repeats a request while the server is busy, as the browser does.
async fn retry_while_busy(ask: impl Fn() -> RequestBuilder) -> BenchResult<Response> {
    let began = Instant::now();
    loop {
        let answer = ask().send().await?;
        if answer.status() != StatusCode::SERVICE_UNAVAILABLE || began.elapsed() > BUSY_MAX {
            return Ok(answer.error_for_status()?);
        }
        sleep(BUSY_PAUSE).await;
    }
}

#[derive(Clone)]
pub(crate) struct Artist {
    http: Client,
    url: String,
    cookie: String,
    release: String,
}

impl Artist {
    /// Signs up an artist and uploads a first file, which makes the server allocate what it allocates only once (the
    /// pool, stacks, caches).
    pub(crate) async fn sign_up(url: &str) -> BenchResult<Self> {
        let artist = Self::with_a_release(url).await?;
        artist.upload(&fixtures::wav(2.0, 44_100, 16, 1).into()).await?;
        Ok(artist)
    }

    pub(crate) async fn with_a_release(url: &str) -> BenchResult<Self> {
        let http = Client::new();
        let email = format!("{}@example.com", uuid::Uuid::now_v7().simple());
        let form = [("artist_name", "Bench"), ("email", &email), ("password", "correct horse battery")];
        let answer = retry_while_busy(|| http.post(format!("{url}/api/account/sign-up")).form(&form)).await?;
        let cookie = answer.headers()["set-cookie"].to_str()?.split(';').next().unwrap_or_default().to_owned();
        let create = || http.post(format!("{url}/api/releases/create")).header("cookie", &cookie).form(&[("", ""); 0]);
        let release = retry_while_busy(create).await?.json::<String>().await?;
        Ok(Self { http, url: url.to_owned(), cookie, release })
    }

    /// Returns the same artist, using a restarted server.
    pub(crate) fn at(&self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self.clone() }
    }

    pub(crate) fn cookie(&self) -> &str {
        &self.cookie
    }

    pub(crate) fn release_path(&self) -> String {
        format!("/releases/{}", self.release)
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.url)).header("cookie", &self.cookie)
    }

    /// Uploads a file until it is stored, read back and attached.
    pub(crate) async fn upload(&self, file: &Bytes) -> BenchResult<()> {
        let upload = self.begin(file).await?;
        self.send(&upload, file).await?;
        self.stored(&upload).await
    }

    /// Uploads a JPEG as the release's cover until it is attached.
    pub(crate) async fn upload_cover(&self, file: &Bytes) -> BenchResult<()> {
        let upload = self.begin_for(&json!({ "Cover": self.release }), "cover.jpg", file).await?;
        self.send(&upload, file).await?;
        self.stored(&upload).await
    }

    pub(crate) async fn begin(&self, file: &Bytes) -> BenchResult<BegunUpload> {
        self.begin_for(&json!({ "NewTrack": self.release }), "song.wav", file).await
    }

    async fn begin_for(&self, target: &Value, file_name: &str, file: &Bytes) -> BenchResult<BegunUpload> {
        let intent = json!({ "intent": {
            "target": target, "file_name": file_name, "length": file.len(),
            "fingerprint": uuid::Uuid::now_v7().to_string(),
        }});
        let url = format!("{}/api/upload/begin", self.url);
        let begin = || self.http.post(&url).header("cookie", &self.cookie).json(&intent);
        Ok(retry_while_busy(begin).await?.json().await?)
    }

    /// Sends a file until its last 204, so that all of it is received. If the server was busy, asks for the offset and
    /// goes on from there, as the browser does.
    pub(crate) async fn send(&self, upload: &BegunUpload, file: &Bytes) -> BenchResult<()> {
        let mut offset = 0;
        while offset < file.len() {
            let chunk = file.slice(offset..file.len().min(offset + CHUNK_BYTES as usize));
            let sent = chunk.len();
            match self.try_patch(upload, offset, chunk).await? {
                answer if answer.status() == StatusCode::NO_CONTENT => offset += sent,
                answer if answer.status() == StatusCode::SERVICE_UNAVAILABLE => {
                    sleep(BUSY_PAUSE).await;
                    offset = self.offset(upload).await?;
                }
                answer => return Err(answer.text().await?.into()),
            }
        }
        Ok(())
    }

    pub(crate) async fn patch(&self, upload: &BegunUpload, offset: usize, chunk: Bytes) -> BenchResult<()> {
        let answer = self.try_patch(upload, offset, chunk).await?;
        if answer.status() == StatusCode::NO_CONTENT { Ok(()) } else { Err(answer.text().await?.into()) }
    }

    async fn try_patch(&self, upload: &BegunUpload, offset: usize, chunk: Bytes) -> BenchResult<Response> {
        let answer = self
            .http
            .patch(format!("{}{}", self.url, upload.url))
            .header("cookie", &self.cookie)
            .header("tus-resumable", "1.0.0")
            .header("content-type", "application/offset+octet-stream")
            .header("upload-offset", offset)
            .body(chunk)
            .send()
            .await?;
        Ok(answer)
    }

    /// Asks the server for the upload's offset.
    pub(crate) async fn offset(&self, upload: &BegunUpload) -> BenchResult<usize> {
        let url = format!("{}{}", self.url, upload.url);
        let ask = || self.http.head(&url).header("cookie", &self.cookie).header("tus-resumable", "1.0.0");
        let answer = retry_while_busy(ask).await?;
        Ok(answer.headers()["upload-offset"].to_str()?.parse()?)
    }

    /// Sends the head of a PATCH that announces the rest of the file, and the first bytes of its body, then falls
    /// silent. Returns the open connection.
    pub(crate) async fn stalled_patch(
        &self,
        upload: &BegunUpload,
        file: &Bytes,
        sent: usize,
    ) -> BenchResult<TcpStream> {
        let host = self.url.trim_start_matches("http://");
        let head = format!(
            "PATCH {path} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n\
             Content-Type: application/offset+octet-stream\r\nContent-Length: {length}\r\n\r\n",
            path = upload.url,
            cookie = self.cookie,
            length = file.len(),
        );
        let mut connection = TcpStream::connect(host).await?;
        connection.write_all(head.as_bytes()).await?;
        connection.write_all(&file[..sent]).await?;
        connection.flush().await?;
        Ok(connection)
    }

    pub(crate) async fn stored(&self, upload: &BegunUpload) -> BenchResult<()> {
        loop {
            let status = retry_while_busy(|| self.get(&upload.url)).await?.json::<UploadStatus>().await?;
            match status.state {
                UploadState::Receiving | UploadState::Received => sleep(BUSY_PAUSE).await,
                UploadState::Attached => return Ok(()),
                state => return Err(format!("the upload is {state:?}: {:?}", status.message).into()),
            }
        }
    }
}
