//! Tracks how long a connection has waited for its client to send a request or to read a response. Closes connections
//! whose clients read nothing.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// The longest time for which a client may read nothing of a response. The kernel reports space once about a third of
/// its buffer is free, so a client that reads some 3 kB/s is kept. A player that is paused for longer requests the rest
/// later, as a range.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
#[error("the client took nothing of an answer for {} s", WRITE_TIMEOUT.as_secs())]
struct WriteTimedOut;

/// Records since when a connection has waited for its client, if it waits.
pub(crate) struct IdleTracker(Mutex<State>);

struct State {
    is_serving: bool,
    since: Option<Instant>,
}

impl IdleTracker {
    /// Creates the tracker of a new connection, which waits for its first request.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State { is_serving: false, since: Some(Instant::now()) }))
    }

    /// `None` while the server works on a request, or the client reads the response.
    pub(crate) fn since(&self) -> Option<Instant> {
        self.state().since
    }

    /// Marks the connection as serving a request, until the returned guard is dropped.
    pub(crate) fn serve(self: &Arc<Self>) -> ServingGuard {
        *self.state() = State { is_serving: true, since: None };
        ServingGuard(Arc::clone(self))
    }

    fn note_blocked(&self) {
        self.state().since.get_or_insert_with(Instant::now);
    }

    fn note_written(&self) {
        let mut state = self.state();
        state.since = (!state.is_serving).then(Instant::now);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct ServingGuard(Arc<IdleTracker>);

impl Drop for ServingGuard {
    fn drop(&mut self) {
        *self.0.state() = State { is_serving: false, since: Some(Instant::now()) };
    }
}

/// The stream of a connection. Writes fail once the client has read nothing for `WRITE_TIMEOUT`.
pub(crate) struct WriteTimeoutStream<S> {
    stream: S,
    idle: Arc<IdleTracker>,
    /// Set while there is something to write and the client reads nothing.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteTimeoutStream<S> {
    pub(crate) fn new(stream: S, idle: Arc<IdleTracker>) -> Self {
        Self { stream, idle, deadline: None }
    }

    fn enforce_timeout<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.deadline = None;
            self.idle.note_written();
            return outcome;
        }
        self.idle.note_blocked();
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(WRITE_TIMEOUT)));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, WriteTimedOut)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeoutStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeoutStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.enforce_timeout(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.enforce_timeout(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Flushing a socket does nothing, so it needs no timeout.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// More than the stream's buffer holds.
    const LONG: [u8; 1000] = [0; 1000];

    fn connection() -> (Arc<IdleTracker>, WriteTimeoutStream<DuplexStream>, DuplexStream) {
        let (ours, theirs) = duplex(10);
        let idle = Arc::new(IdleTracker::new());
        (Arc::clone(&idle), WriteTimeoutStream::new(ours, idle), theirs)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_is_cut_off() {
        let (_, mut ours, _theirs) = connection();
        let began = Instant::now();
        let error = ours.write_all(&LONG).await.unwrap_err();
        assert_eq!((error.kind(), began.elapsed().as_secs()), (io::ErrorKind::TimedOut, WRITE_TIMEOUT.as_secs()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_a_byte_from_time_to_time_is_not_cut_off() {
        let (_, mut ours, mut theirs) = connection();
        let reader = tokio::spawn(async move {
            for _ in 0..LONG.len() {
                sleep(WRITE_TIMEOUT - Duration::from_secs(1)).await;
                theirs.read_u8().await.unwrap();
            }
        });
        ours.write_all(&LONG).await.unwrap();
        reader.await.unwrap();
    }

    /// Here the server is slow, not the client.
    #[tokio::test(start_paused = true)]
    async fn a_client_to_which_nothing_is_written_is_not_cut_off() {
        let (_, mut ours, mut theirs) = connection();
        for _ in 0..3 {
            ours.write_all(&[0; 10]).await.unwrap();
            sleep(2 * WRITE_TIMEOUT).await;
            theirs.read_exact(&mut [0; 10]).await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_waits_for_its_client_before_between_and_within_answers() {
        let (idle, mut ours, mut theirs) = connection();
        assert!(idle.since().is_some(), "the connection waits for the first request");
        let serving = idle.serve();
        assert_eq!(idle.since(), None);
        let blocked = tokio::spawn(async move {
            ours.write_all(&LONG).await.unwrap();
            ours
        });
        sleep(Duration::from_secs(5)).await;
        let since = idle.since().expect("the connection waits for its client to read");
        assert_eq!(since.elapsed(), Duration::from_secs(5));
        theirs.read_exact(&mut [0; LONG.len()]).await.unwrap();
        let mut ours = blocked.await.unwrap();
        assert_eq!(idle.since(), None);
        drop(serving);
        assert!(idle.since().is_some(), "the connection waits for the next request");
        // The last bytes of a response may be written after its request was served.
        sleep(Duration::from_secs(5)).await;
        ours.write_all(&[0; 1]).await.unwrap();
        assert_eq!(idle.since(), Some(Instant::now()));
    }
}
