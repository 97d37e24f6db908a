//! Event streams: what each takes of the server's memory, and how soon an event reaches all of them.
//!
//! The client is one task for each stream, on a socket without an HTTP client. It shares the cores with the server, so
//! its own work is part of the measured time.

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use reqwest::Client;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sqlx::PgPool;
use testing::TestDatabase;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    BenchResult, Size,
    figures::{Figures, Limit},
    server::Server,
    signed_in::{cookie, sign_in_admins},
};

const ROW_MEMORY: &str = "streams: memory of each of 10,000";
const ROW_EVENT: &str = "streams: an event reaches the last of 10,000";
/// The descriptors that the server needs for 10,000 streams. The client needs fewer.
const DESCRIPTORS: u64 = 14_500;
/// Streams that are opened at the same time.
const OPENED_AT_ONCE: usize = 32;
const READ_BUFFER_BYTES: usize = 512;
/// The session of each stream is checked again every 15 s.
const ALL_CHECKED: Duration = Duration::from_secs(20);
/// An event that takes longer counts as lost. The server may not listen for events yet when the first one is sent.
const LOST_AFTER: Duration = Duration::from_secs(20);

/// The release of an event that a stream received, and the time.
type Received = (String, Instant);

pub(crate) async fn measure(postgres: &str, size: Size, figures: &mut Figures) -> BenchResult<()> {
    let (streams, events) = size.pick((10_000, 9), (200, 1));
    let kib = Limit::AtMost(32.0);
    let in_time = Limit::AtMost(2000.0);
    if raise_descriptors() < size.pick(DESCRIPTORS, 0) {
        let why = "too few descriptors";
        figures.add_missing(ROW_MEMORY, why, "KiB", kib);
        figures.add_missing(ROW_EVENT, why, "ms", in_time);
        return Ok(());
    }
    let (database, folder) = (TestDatabase::create(postgres).await, tempfile::tempdir()?);
    // All clients come from one address.
    let settings = [
        ("VWAZA_MAX_CONNECTIONS", "20000"),
        ("VWAZA_LIMIT_CONNECTIONS_PER_PEER", "20000"),
        ("VWAZA_LIMIT_STREAMS_PER_ADDRESS", "20000"),
        // The log would have a line for each stream.
        ("RUST_LOG", "warn,vwaza=info,vwaza::requests=warn"),
    ];
    let server = Server::start(&database.url(), folder.path(), &settings)?;
    let sql = PgPool::connect(&database.url()).await?;
    sign_in_admins(&sql, streams).await?;
    sql.close().await;
    let http = Client::new();
    // The first requests make the server allocate what it allocates only once.
    create_release(&http, &server.url).await?;

    let memory = server.watch_memory();
    let (sender, mut received) = unbounded_channel();
    let open = stream::iter((1..=streams).map(|number| open(&server.url, number)));
    let sockets: Vec<_> = open.buffer_unordered(OPENED_AT_ONCE).try_collect().await?;
    let mut clients = JoinSet::new();
    for socket in sockets {
        clients.spawn(read(socket, sender.clone()));
    }
    drop(sender);
    reaches_all(&http, &server.url, streams, &mut received).await?;
    sleep(size.pick(ALL_CHECKED, Duration::ZERO)).await;
    let mut taken = Vec::new();
    for _ in 0..events {
        taken.push(milliseconds_to_all(&http, &server.url, streams, &mut received).await?);
    }
    figures.add(ROW_MEMORY, 1024.0 * memory.growth_mib() / f64::from(streams), "KiB", kib);
    figures.add_median(ROW_EVENT, &taken, "ms", in_time);
    Ok(())
}

/// Raises this process's limit of descriptors, which the server inherits. Returns the limit.
fn raise_descriptors() -> u64 {
    let maximum = getrlimit(Resource::Nofile).maximum;
    // The limit is read again below.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Opens the stream of one admin, up to its first event.
async fn open(url: &str, number: i32) -> BenchResult<BufReader<TcpStream>> {
    let host = url.trim_start_matches("http://");
    let mut socket = BufReader::with_capacity(READ_BUFFER_BYTES, TcpStream::connect(host).await?);
    let head = format!("GET /api/events HTTP/1.1\r\nHost: {host}\r\nCookie: {}\r\n\r\n", cookie(number));
    socket.write_all(head.as_bytes()).await?;
    let mut line = String::new();
    while line != "event: hello\n" {
        line.clear();
        if socket.read_line(&mut line).await? == 0 || line.starts_with("HTTP/1.1 ") && line != "HTTP/1.1 200 OK\r\n" {
            return Err(format!("a stream was not opened: {line}").into());
        }
    }
    Ok(socket)
}

/// Reports the release of each event, until the stream ends.
async fn read(socket: BufReader<TcpStream>, received: UnboundedSender<Received>) {
    let mut lines = socket.lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let release = line.strip_prefix(r#"data: {"release":""#).and_then(|rest| rest.strip_suffix(r#""}"#));
        if let Some(release) = release
            && received.send((release.to_owned(), Instant::now())).is_err()
        {
            return;
        }
    }
}

/// Creates a release, which is an event for every admin. Returns its id.
async fn create_release(http: &Client, url: &str) -> BenchResult<String> {
    let create = http.post(format!("{url}/api/releases/create")).header("cookie", cookie(1));
    Ok(create.form(&[("", ""); 0]).send().await?.error_for_status()?.json().await?)
}

/// Creates releases until one of them reaches all streams.
async fn reaches_all(
    http: &Client,
    url: &str,
    streams: i32,
    received: &mut UnboundedReceiver<Received>,
) -> BenchResult<()> {
    for _ in 0..3 {
        if milliseconds_to_all(http, url, streams, received).await.is_ok() {
            return Ok(());
        }
    }
    Err("no event reaches all streams".into())
}

/// Creates a release. Returns the milliseconds from the answer until the last stream has received the event.
async fn milliseconds_to_all(
    http: &Client,
    url: &str,
    streams: i32,
    received: &mut UnboundedReceiver<Received>,
) -> BenchResult<f64> {
    let release = create_release(http, url).await?;
    let answered = Instant::now();
    let last = timeout(LOST_AFTER, async {
        let (mut last, mut reached) = (answered, 0);
        while reached < streams {
            let (of, at) = received.recv().await?;
            if of == release {
                (last, reached) = (last.max(at), reached + 1);
            }
        }
        Some(last)
    });
    let last = last.await.map_err(|_| "an event was lost")?.ok_or("a stream has ended")?;
    Ok(1000.0 * (last - answered).as_secs_f64())
}
