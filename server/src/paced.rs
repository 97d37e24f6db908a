//! Bodies that trickle: a client has to send something worth while from time to time, or its request is over.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// A client that is waited for sends so much …
const BYTES_MIN: usize = 1024;
/// … within this time; or ends its body. Whoever reads a body and has words for silence is faster.
const WINDOW: Duration = Duration::from_secs(35);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
#[error("the client sent fewer than {BYTES_MIN} bytes in {} s", WINDOW.as_secs())]
struct TooSlow;

/// Only waiting counts: a server that takes its time with what has arrived cuts nobody off.
pub(crate) struct Paced<B> {
    body: B,
    window: Option<Pin<Box<Sleep>>>,
    /// Since the window was opened.
    received: usize,
}

impl<B> Paced<B> {
    pub(crate) fn new(body: B) -> Self {
        Self { body, window: None, received: 0 }
    }
}

impl<B> Body for Paced<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.received += frame.data_ref().map_or(0, Bytes::len);
                if self.received >= BYTES_MIN {
                    (self.window, self.received) = (None, 0);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                let window = self.window.get_or_insert_with(|| Box::pin(sleep(WINDOW)));
                ready!(window.as_mut().poll(cx));
                Poll::Ready(Some(Err(TooSlow.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::{SinkExt, channel::mpsc};
    use http_body_util::{BodyExt, StreamBody};
    use tokio::time::Instant;

    use super::*;

    type Piece = Result<Frame<Bytes>, Infallible>;
    type Sender = mpsc::Sender<Piece>;

    fn paced() -> (Sender, Paced<StreamBody<mpsc::Receiver<Piece>>>) {
        let (sender, receiver) = mpsc::channel(0);
        (sender, Paced::new(StreamBody::new(receiver)))
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
