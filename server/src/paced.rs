//! Bodies that trickle: a client has to send something worth while from time to time, or its request is over. And bodies that nobody
//! reads to their end: their client hears why only if what it is still sending is taken from it.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use tokio::{
    runtime::Handle,
    time::{Sleep, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// A client that is waited for sends so much …
const BYTES_MIN: usize = 1024;
/// … within this time; or ends its body. Whoever reads a body and has words for silence is faster.
const WINDOW: Duration = Duration::from_secs(35);

/// Of a body that nobody reads, taken all the same: eight chunks of a browser …
const UNREAD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// … within this time.
const UNREAD_TIME: Duration = Duration::from_secs(10);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
#[error("the client sent fewer than {BYTES_MIN} bytes in {} s", WINDOW.as_secs())]
struct TooSlow;

/// What a client does before it sends a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    Nothing,
    /// It waits to be told to go on. Whoever reads tells it so.
    Continue,
}

/// Only waiting counts: a server that takes its time with what has arrived cuts nobody off.
pub(crate) struct Paced<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    /// `None` once it is at its end, or broken.
    body: Option<B>,
    window: Option<Pin<Box<Sleep>>>,
    /// Since the window was opened.
    received: usize,
    /// Its client sends nothing before somebody reads.
    is_awaited: bool,
    stopping: CancellationToken,
}

impl<B> Paced<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    /// Of a server that is `stopping` nothing unread is waited for.
    pub(crate) fn new(body: B, expect: Expect, stopping: CancellationToken) -> Self {
        Self { body: Some(body), window: None, received: 0, is_awaited: expect == Expect::Continue, stopping }
    }
}

impl<B> Drop for Paced<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    fn drop(&mut self) {
        // To read a body that its client has not begun to send would be to ask for what was refused.
        let unread = self.body.take().filter(|body| !body.is_end_stream() && !self.is_awaited);
        if let (Some(mut body), Ok(runtime)) = (unread, Handle::try_current()) {
            let stopping = self.stopping.clone();
            runtime.spawn(async move {
                let unread = timeout(UNREAD_TIME, take_the_rest(&mut body));
                tokio::select! {
                    _ = unread => {}
                    () = stopping.cancelled() => {}
                }
            });
        }
    }
}

async fn take_the_rest(body: &mut (impl Body<Data = Bytes> + Unpin)) {
    let mut taken = 0;
    while taken < UNREAD_BYTES_MAX
        && let Some(Ok(frame)) = body.frame().await
    {
        taken += frame.data_ref().map_or(0, Bytes::len);
    }
}

impl<B> Body for Paced<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.is_awaited = false;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let outcome = match Pin::new(body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.received += frame.data_ref().map_or(0, Bytes::len);
                if self.received >= BYTES_MIN {
                    (self.window, self.received) = (None, 0);
                }
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(Some(Err(error))) => Some(Err(error.into())),
            Poll::Ready(None) => None,
            Poll::Pending => {
                let window = self.window.get_or_insert_with(|| Box::pin(sleep(WINDOW)));
                ready!(window.as_mut().poll(cx));
                Some(Err(TooSlow.into()))
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
    use tokio::time::Instant;

    use super::*;

    type Piece = Result<Frame<Bytes>, Infallible>;
    type Sender = mpsc::Sender<Piece>;

    fn paced() -> (Sender, Paced<StreamBody<mpsc::Receiver<Piece>>>) {
        let (sender, receiver) = mpsc::channel(0);
        (sender, Paced::new(StreamBody::new(receiver), Expect::Nothing, CancellationToken::new()))
    }

    async fn send(sender: &mut Sender, bytes: usize) -> Result<(), mpsc::SendError> {
        sender.send(Ok(Frame::data(vec![0; bytes].into()))).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickle_is_cut_off() {
        let (mut sender, body) = paced();
        let trickle = tokio::spawn(async move {
            while send(&mut sender, 1).await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        });
        let began = Instant::now();
        let error = body.collect().await.unwrap_err();
        assert!(error.is::<TooSlow>(), "{error}");
        assert!(began.elapsed() <= WINDOW + Duration::from_secs(1));
        trickle.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_line_is_not() {
        let (mut sender, body) = paced();
        tokio::spawn(async move {
            for _ in 0..20 {
                sleep(WINDOW / 3).await;
                send(&mut sender, BYTES_MIN / 2).await.unwrap();
            }
        });
        assert_eq!(body.collect().await.unwrap().to_bytes().len(), 20 * BYTES_MIN / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_takes_its_time_cuts_nobody_off() {
        let (mut sender, mut body) = paced();
        tokio::spawn(async move { while send(&mut sender, BYTES_MIN).await.is_ok() {} });
        for _ in 0..5 {
            body.frame().await.unwrap().unwrap();
            sleep(WINDOW * 2).await;
        }
    }
}
