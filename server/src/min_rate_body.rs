//! The minimum transfer rate of request bodies, and the draining of bodies that no handler reads to their end. A client
//! that is still sending reads the response only after its bytes are taken.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use tokio::{
    runtime::Handle,
    time::{Instant, Sleep, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// The fewest bytes that a client may send within `STALL_WINDOW` while the server waits for it, unless its body ends.
const WINDOW_MIN_BYTES: usize = 1024;
/// The time within which `WINDOW_MIN_BYTES` must arrive. Handlers that report a silent client in their own words use
/// shorter timeouts.
const STALL_WINDOW: Duration = Duration::from_secs(35);

/// The lowest average rate at which a client may send, over `RATE_WINDOW_SECONDS`.
const MIN_BYTES_PER_SECOND: u64 = 4_000;
/// The period over which the rate is averaged: any period of this length that the server spent waiting for the client.
/// A whole body has no time limit: some clients send a whole file in one request over a slow connection.
const RATE_WINDOW_SECONDS: u64 = 5 * 60;

/// The most bytes of an unread body that are drained: eight chunks of a browser.
const DRAIN_MAX_BYTES: usize = 64 * 1024 * 1024;
/// The longest time for which an unread body is drained.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum TransferTooSlow {
    #[error("the client sent fewer than {WINDOW_MIN_BYTES} bytes in {} s", STALL_WINDOW.as_secs())]
    Stalled,
    #[error("the client sent fewer than {MIN_BYTES_PER_SECOND} bytes a second for {RATE_WINDOW_SECONDS} s")]
    BelowMinRate,
}

/// How a client begins to send a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    Nothing,
    /// `Expect: 100-continue`: the client waits for `100 Continue`, which is sent when somebody begins to read the
    /// body.
    Continue,
}

/// A request body whose client must keep the minimum transfer rate. Only time spent waiting for the client counts:
/// nobody is cut off because the server processes slowly or reads at a pace of its own.
pub(crate) struct MinRateBody<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    /// `None` once the body is at its end or has failed.
    body: Option<B>,
    window: Option<Pin<Box<Sleep>>>,
    /// Bytes received since the window was opened.
    received: usize,
    recent: RateMeter,
    /// The client sends nothing before somebody reads.
    client_awaits_continue: bool,
    stopping: CancellationToken,
}

/// The bytes that arrived in the last five minutes of waiting.
#[derive(Default)]
struct RateMeter {
    /// Time that was spent waiting for the client.
    waited: Duration,
    /// Start of the current wait, if the server is waiting for the client.
    since: Option<Instant>,
    /// Bytes by the second of `waited` in which they arrived, the newest last.
    bytes_by_second: VecDeque<(u64, u64)>,
}

impl RateMeter {
    fn begin_wait(&mut self) {
        let now = Instant::now();
        self.waited += now - self.since.replace(now).unwrap_or(now);
    }

    fn record(&mut self, bytes: usize) {
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
        }
        let (second, bytes) = (self.waited.as_secs(), bytes as u64);
        match self.bytes_by_second.back_mut() {
            Some((last, sum)) if *last == second => *sum += bytes,
            _ => self.bytes_by_second.push_back((second, bytes)),
        }
        while self.bytes_by_second.front().is_some_and(|(first, _)| first + RATE_WINDOW_SECONDS < second) {
            self.bytes_by_second.pop_front();
        }
    }

    fn is_below_minimum(&self) -> bool {
        let Some(from) = self.waited.as_secs().checked_sub(RATE_WINDOW_SECONDS) else { return false };
        let bytes: u64 =
            self.bytes_by_second.iter().filter(|(second, _)| *second >= from).map(|(_, bytes)| bytes).sum();
        bytes < MIN_BYTES_PER_SECOND * RATE_WINDOW_SECONDS
    }
}

impl<B> MinRateBody<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    /// `stopping` ends the draining of unread bodies, so that it does not delay the shutdown.
    pub(crate) fn new(body: B, expect: Expect, stopping: CancellationToken) -> Self {
        let client_awaits_continue = expect == Expect::Continue;
        Self {
            body: Some(body),
            window: None,
            received: 0,
            recent: RateMeter::default(),
            client_awaits_continue,
            stopping,
        }
    }
}

impl<B> Drop for MinRateBody<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    fn drop(&mut self) {
        // Reading a body that its client has not begun to send would ask for the bytes of a refused request.
        let unread = self.body.take().filter(|body| !body.is_end_stream() && !self.client_awaits_continue);
        if let (Some(mut body), Ok(runtime)) = (unread, Handle::try_current()) {
            let stopping = self.stopping.clone();
            runtime.spawn(async move {
                let unread = timeout(DRAIN_TIMEOUT, drain(&mut body));
                tokio::select! {
                    _ = unread => {}
                    () = stopping.cancelled() => {}
                }
            });
        }
    }
}

async fn drain(body: &mut (impl Body<Data = Bytes> + Unpin)) {
    let mut taken = 0;
    while taken < DRAIN_MAX_BYTES
        && let Some(Ok(frame)) = body.frame().await
    {
        taken += frame.data_ref().map_or(0, Bytes::len);
    }
}

impl<B> Body for MinRateBody<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.client_awaits_continue = false;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let outcome = match Pin::new(body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                self.recent.record(bytes);
                self.received += bytes;
                if self.received >= WINDOW_MIN_BYTES {
                    (self.window, self.received) = (None, 0);
                }
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(Some(Err(error))) => Some(Err(error.into())),
            Poll::Ready(None) => None,
            Poll::Pending => {
                self.recent.begin_wait();
                if self.recent.is_below_minimum() {
                    Some(Err(TransferTooSlow::BelowMinRate.into()))
                } else {
                    let window = self.window.get_or_insert_with(|| Box::pin(sleep(STALL_WINDOW)));
                    ready!(window.as_mut().poll(cx));
                    Some(Err(TransferTooSlow::Stalled.into()))
                }
            }
        };
        self.body = None;
        Poll::Ready(outcome)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::{SinkExt, channel::mpsc};
    use http_body_util::StreamBody;

    use super::*;

    type Piece = Result<Frame<Bytes>, Infallible>;
    type Sender = mpsc::Sender<Piece>;

    const RATE_WINDOW: Duration = Duration::from_secs(RATE_WINDOW_SECONDS);

    fn body() -> (Sender, MinRateBody<StreamBody<mpsc::Receiver<Piece>>>) {
        let (sender, receiver) = mpsc::channel(0);
        (sender, MinRateBody::new(StreamBody::new(receiver), Expect::Nothing, CancellationToken::new()))
    }

    async fn send(sender: &mut Sender, bytes: usize) -> Result<(), mpsc::SendError> {
        sender.send(Ok(Frame::data(vec![0; bytes].into()))).await
    }

    /// Sends `bytes` at each interval, until the server refuses them or `for_as_long_as` is over.
    fn send_steadily(mut sender: Sender, bytes: usize, every: Duration, for_as_long_as: Duration) {
        tokio::spawn(async move {
            let ends = Instant::now() + for_as_long_as;
            while Instant::now() < ends && send(&mut sender, bytes).await.is_ok() {
                sleep(every).await;
            }
        });
    }

    /// Reads a body as fast as it comes. Returns how it ended, and after which time.
    async fn read(
        mut body: MinRateBody<StreamBody<mpsc::Receiver<Piece>>>,
    ) -> (Result<usize, TransferTooSlow>, Duration) {
        let (began, mut bytes) = (Instant::now(), 0);
        let outcome = loop {
            match body.frame().await {
                Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, Bytes::len),
                Some(Err(error)) => break Err(*error.downcast::<TransferTooSlow>().unwrap()),
                None => break Ok(bytes),
            }
        };
        (outcome, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_next_to_nothing_is_cut_off() {
        let (sender, body) = body();
        send_steadily(sender, 1, Duration::from_secs(1), RATE_WINDOW);
        let (outcome, took) = read(body).await;
        assert_eq!(outcome, Err(TransferTooSlow::Stalled));
        assert!(took <= STALL_WINDOW + Duration::from_secs(1), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_connection_is_not_cut_off() {
        let (sender, body) = body();
        send_steadily(sender, WINDOW_MIN_BYTES / 2, STALL_WINDOW / 3, RATE_WINDOW - Duration::from_secs(1));
        let (outcome, _) = read(body).await;
        assert!(outcome.is_ok(), "{outcome:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickle_of_five_minutes_is_cut_off_in_pieces_of_any_size() {
        for (bytes, every_ms) in [(1024, 30_000), (390, 100), (3900, 1000), (35_000, 9_000), (90_000, 26_000)] {
            let (sender, body) = body();
            send_steadily(sender, bytes, Duration::from_millis(every_ms), 10 * RATE_WINDOW);
            let (outcome, took) = read(body).await;
            assert_eq!(outcome, Err(TransferTooSlow::BelowMinRate), "{bytes} bytes every {every_ms} ms");
            assert!((RATE_WINDOW..=RATE_WINDOW + STALL_WINDOW).contains(&took), "{took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_take_hours_at_the_minimum_rate() {
        for (bytes, every_ms) in [(410, 100), (4100, 1000), (36_900, 9_000), (123_000, 30_000)] {
            let (sender, body) = body();
            let hours = Duration::from_secs(3 * 60 * 60);
            send_steadily(sender, bytes, Duration::from_millis(every_ms), hours);
            let (outcome, took) = read(body).await;
            assert!(outcome.is_ok() && took >= hours, "{bytes} bytes every {every_ms} ms: {outcome:?} after {took:?}");
        }
    }

    /// The minimum rate applies to any five minutes: bytes sent before them are no credit.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_was_fast_is_cut_off_when_it_trickles() {
        let (mut sender, body) = body();
        let fast = Duration::from_secs(10 * 60);
        tokio::spawn(async move {
            let began = Instant::now();
            while began.elapsed() < fast {
                send(&mut sender, 100_000).await.unwrap();
                sleep(Duration::from_secs(1)).await;
            }
            send_steadily(sender, 2000, Duration::from_secs(1), 10 * RATE_WINDOW);
        });
        let (outcome, took) = read(body).await;
        assert_eq!(outcome, Err(TransferTooSlow::BelowMinRate));
        assert!((fast + RATE_WINDOW / 2..=fast + RATE_WINDOW + STALL_WINDOW).contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_server_cuts_nobody_off() {
        let (mut sender, mut body) = body();
        tokio::spawn(async move { while send(&mut sender, WINDOW_MIN_BYTES).await.is_ok() {} });
        for _ in 0..20 {
            body.frame().await.unwrap().unwrap();
            sleep(STALL_WINDOW * 2).await;
        }
    }

    /// Twenty pauses of the server take longer than five minutes; then the server waits for the client.
    #[tokio::test(start_paused = true)]
    async fn time_that_the_server_takes_does_not_count_against_the_client() {
        let (mut sender, mut body) = body();
        for _ in 0..20 {
            let (sent, read) = tokio::join!(send(&mut sender, WINDOW_MIN_BYTES), body.frame());
            sent.unwrap();
            read.unwrap().unwrap();
            sleep(STALL_WINDOW).await;
        }
        let late = async {
            sleep(Duration::from_secs(1)).await;
            send(&mut sender, WINDOW_MIN_BYTES).await
        };
        let (sent, read) = tokio::join!(late, body.frame());
        sent.unwrap();
        read.unwrap().unwrap();
    }
}
