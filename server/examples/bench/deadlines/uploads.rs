//! Deadlines of uploads, and of requests during uploads.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::future::{join_all, try_join_all};
use tempfile::TempDir;
use testing::{Proxy, TestDatabase, fixtures, s3_server::S3Server};
use tokio::{io::AsyncReadExt, time::sleep};
use vwaza::domain::upload::BegunUpload;

use super::spooled;
use crate::{
    BenchResult, Size,
    artist::{Artist, chunks, song},
    figures::percentile,
    server::Server,
};

const SONG_BYTES: u64 = 6_000_000;
const SENT: usize = 3_000_000;

/// U4: the server notices a silent client by itself, without another request.
pub(super) async fn stalled_client(postgres: &str) -> BenchResult<Duration> {
    let (database, folder, song) = (TestDatabase::create(postgres).await, TempDir::new()?, song(SONG_BYTES)?);
    let server = Server::start(&database.url(), folder.path(), &[])?;
    let artist = Artist::sign_up(&server.url).await?;
    let upload = artist.begin(&song).await?;
    let mut silent = artist.stalled_patch(&upload, &song, SENT).await?;
    let sent = Instant::now();
    spooled(folder.path(), upload.id).await?;
    let mut head = [0; 12];
    silent.read_exact(&mut head).await?;
    // The status 503 says that the client may try again.
    if &head[9..] != b"503" {
        return Err("a silent client is not told".into());
    }
    // The first try must succeed, and all bytes that were sent must be there.
    artist.patch(&upload, SENT, song.slice(SENT..)).await?;
    Ok(sent.elapsed())
}

/// U6: a client has moved to another network, asks for the offset and goes on from there.
pub(super) async fn head_beside_a_dead_patch(postgres: &str) -> BenchResult<Duration> {
    let (database, folder, song) = (TestDatabase::create(postgres).await, TempDir::new()?, song(SONG_BYTES)?);
    let server = Server::start(&database.url(), folder.path(), &[])?;
    let artist = Artist::sign_up(&server.url).await?;
    let mut slowest = Duration::ZERO;
    for _ in 0..10 {
        let upload = artist.begin(&song).await?;
        let _dead = artist.stalled_patch(&upload, &song, SENT).await?;
        spooled(folder.path(), upload.id).await?;
        let asked = Instant::now();
        let offset = artist.offset(&upload).await?;
        slowest = slowest.max(asked.elapsed());
        artist.patch(&upload, offset, song.slice(offset..)).await?;
    }
    Ok(slowest)
}

/// An S3 server behind a proxy that can stop answering, and the server's settings for it.
struct Bucket {
    proxy: Proxy,
    settings: Vec<(String, String)>,
    _server: S3Server,
    _folder: TempDir,
}

impl Bucket {
    async fn new() -> BenchResult<Self> {
        let folder = TempDir::new()?;
        let server = S3Server::start(folder.path()).await;
        let proxy = Proxy::to(&server.address()).await;
        let mut settings = S3Server::settings(&proxy.address());
        settings.push(("VWAZA_STORAGE".into(), "s3".into()));
        settings.push(("S3_BUCKET".into(), S3Server::BUCKET.into()));
        Ok(Self { proxy, settings, _server: server, _folder: folder })
    }

    fn settings(&self) -> Vec<(&str, &str)> {
        self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }
}

/// Pages are read for at least this long after the last byte of the uploads.
const STALL: Duration = Duration::from_secs(20);
const SMOKE_STALL: Duration = Duration::from_secs(1);
const READERS: usize = 4;
/// The pause of each reader between two pages. The measurement is of latency, not of the most readers.
const BETWEEN_PAGES: Duration = Duration::from_millis(50);

/// U17: the storage accepts requests and never answers, and fifty files arrive at once. Returns the 99th percentile of
/// the page times, in milliseconds.
pub(super) async fn pages_while_storage_hangs(postgres: &str, size: Size) -> BenchResult<f64> {
    let (database, folder, bucket) = (TestDatabase::create(postgres).await, TempDir::new()?, Bucket::new().await?);
    let server = Server::start(&database.url(), folder.path(), &bucket.settings())?;
    let artist = Artist::sign_up(&server.url).await?;
    bucket.proxy.hang().await;
    let stop = Arc::new(AtomicBool::new(false));
    let readers = (0..READERS).map(|_| tokio::spawn(read_pages(artist.clone(), Arc::clone(&stop))));
    let readers: Vec<_> = readers.collect();
    let uploads = (0..size.pick(50, 8)).map(|number| {
        let artist = artist.clone();
        async move {
            let file = Bytes::from(fixtures::wav(2.0, 44_100, 16, number));
            let upload = artist.begin(&file).await?;
            artist.send(&upload, &file).await?;
            BenchResult::Ok(upload)
        }
    });
    let uploads = try_join_all(uploads).await?;
    sleep(size.pick(STALL, SMOKE_STALL)).await;
    stop.store(true, Ordering::Relaxed);
    let mut milliseconds = Vec::new();
    for reader in readers {
        milliseconds.extend(reader.await??);
    }
    bucket.proxy.restore().await;
    try_join_all(uploads.iter().map(|upload| artist.stored(upload))).await?;
    Ok(percentile(&milliseconds, 99))
}

async fn read_pages(artist: Artist, stop: Arc<AtomicBool>) -> BenchResult<Vec<f64>> {
    let (paths, mut milliseconds) = (["/".to_owned(), artist.release_path()], Vec::new());
    while !stop.load(Ordering::Relaxed) {
        for path in &paths {
            let asked = Instant::now();
            artist.get(path).send().await?.error_for_status()?.bytes().await?;
            milliseconds.push(1000.0 * asked.elapsed().as_secs_f64());
            sleep(BETWEEN_PAGES).await;
        }
    }
    Ok(milliseconds)
}

const SENDERS: usize = 8;
const LOAD_BEFORE_THE_END: Duration = Duration::from_secs(1);

/// U24: SIGTERM arrives while files arrive, one upload is silent, a page listens for events, and a job hangs because
/// the storage does not answer. All acknowledged bytes are there afterwards.
pub(super) async fn shutdown_under_load(postgres: &str, size: Size) -> BenchResult<Duration> {
    let (database, folder, bucket) = (TestDatabase::create(postgres).await, TempDir::new()?, Bucket::new().await?);
    let (small, large) = (song(SONG_BYTES)?, song(size.pick(200_000_000, 20_000_000))?);
    let server = Server::start(&database.url(), folder.path(), &bucket.settings())?;
    let artist = Artist::sign_up(&server.url).await?;
    bucket.proxy.hang().await;
    let waiting = artist.begin(&small).await?;
    artist.send(&waiting, &small).await?;
    let upload = artist.begin(&small).await?;
    let _silent = artist.stalled_patch(&upload, &small, SENT).await?;
    spooled(folder.path(), upload.id).await?;
    let _listening = artist.get("/api/events").send().await?.error_for_status()?;
    let senders: Vec<_> = try_join_all((0..SENDERS).map(|_| artist.begin(&large))).await?;
    let senders =
        senders.into_iter().map(|upload| tokio::spawn(send_until_cut_off(artist.clone(), upload, large.clone())));
    let senders: Vec<_> = senders.collect();
    sleep(LOAD_BEFORE_THE_END).await;
    let leaving = server.terminate().await?;

    let server = Server::start(&database.url(), folder.path(), &bucket.settings())?;
    let artist = artist.at(&server.url);
    for sender in join_all(senders).await {
        let (upload, acknowledged) = sender?;
        if artist.offset(&upload).await? < acknowledged {
            return Err("acknowledged bytes are lost".into());
        }
    }
    if artist.offset(&upload).await? < SENT {
        return Err("bytes that had arrived are lost".into());
    }
    Ok(leaving)
}

/// Sends a file until a request fails. Returns how many bytes the server has acknowledged.
async fn send_until_cut_off(artist: Artist, upload: BegunUpload, file: Bytes) -> (BegunUpload, usize) {
    let mut acknowledged = 0;
    for chunk in chunks(&file) {
        let size = chunk.len();
        if artist.patch(&upload, acknowledged, chunk).await.is_err() {
            break;
        }
        acknowledged += size;
    }
    (upload, acknowledged)
}
