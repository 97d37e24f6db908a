//! A client that costs as little as possible: it shares the cores with the server that it measures.

use std::time::{Duration, Instant};

use futures::future::try_join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::BenchResult;

const CONNECTIONS: usize = 32;
const BUFFER_BYTES: usize = 64 * 1024;

/// One GET request, sent again and again on each of 32 connections.
pub(crate) struct Load {
    host: String,
    request: String,
}

pub(crate) struct Answers {
    pub(crate) milliseconds: Vec<f64>,
    took: Duration,
}

impl Answers {
    pub(crate) fn per_second(&self) -> f64 {
        self.milliseconds.len() as f64 / self.took.as_secs_f64()
    }
}

impl Load {
    /// `url` has no path.
    pub(crate) fn new(url: &str, path: &str, cookie: &str) -> Self {
        let host = url.trim_start_matches("http://").to_owned();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\nCookie: {cookie}\r\n\r\n");
        Self { host, request }
    }

    pub(crate) async fn run(&self, round: Duration) -> BenchResult<Answers> {
        let connections = (0..CONNECTIONS).map(|_| async {
            let connection = TcpStream::connect(&self.host).await?;
            connection.set_nodelay(true)?;
            BenchResult::Ok(connection)
        });
        let connections = try_join_all(connections).await?;
        let began = Instant::now();
        let clients = connections.into_iter().map(|connection| self.ask_until(connection, began + round));
        let milliseconds = try_join_all(clients).await?.concat();
        Ok(Answers { milliseconds, took: began.elapsed() })
    }

    async fn ask_until(&self, mut connection: TcpStream, end: Instant) -> BenchResult<Vec<f64>> {
        let (mut buffer, mut milliseconds) = (Vec::with_capacity(BUFFER_BYTES), Vec::new());
        while Instant::now() < end {
            let asked = Instant::now();
            connection.write_all(self.request.as_bytes()).await?;
            buffer.clear();
            while !is_whole(&buffer)? {
                if connection.read_buf(&mut buffer).await? == 0 {
                    return Err("the server closed a connection".into());
                }
            }
            milliseconds.push(1000.0 * asked.elapsed().as_secs_f64());
        }
        Ok(milliseconds)
    }
}

/// Whether a whole response has arrived.
///
/// # Errors
/// A status other than 200, and a response without a length.
fn is_whole(response: &[u8]) -> BenchResult<bool> {
    let Some(end) = response.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(false) };
    let (head, body) = (std::str::from_utf8(&response[..end])?, &response[end + 4..]);
    if !head.starts_with("HTTP/1.1 200") {
        return Err(head.into());
    }
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    match header("content-length") {
        Some(length) => Ok(body.len() >= length.parse()?),
        None if header("transfer-encoding") == Some("chunked") => Ok(body.ends_with(b"\r\n0\r\n\r\n")),
        None => Err("a response without a length".into()),
    }
}
