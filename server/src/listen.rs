//! The accept loop: header and body timeouts, peers' addresses, and a shutdown that waits, but not for ever.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Router, body::Body, extract::ConnectInfo};
use http::{Request, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::paced::{Expect, Paced};

/// From the connection's start, or the last answer's end, to the end of the next request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// At once; the next ones wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 4096;
/// After an accept that failed: out of file handles, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `until` ends; then lets requests that run finish, for `grace` at most. `stopping` is cancelled at once, for
/// answers that would never end by themselves. When `until` ended.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    until: impl Future<Output = ()>,
    stopping: CancellationToken,
    grace: Duration,
) -> Instant {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    let mut until = std::pin::pin!(until);
    loop {
        let accepted = tokio::select! {
            () = &mut until => break,
            accepted = accept(&listener, &connections) => accepted,
        };
        let (stream, peer, turn) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(error = ?error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Small answers must not wait for the next packet; without it they are merely slower.
        let _ = stream.set_nodelay(true);
        let (router, stopping) = (router.clone(), stopping.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let router = router.clone();
            let expect = match request.headers().get(header::EXPECT) {
                Some(value) if value.as_bytes().eq_ignore_ascii_case(b"100-continue") => Expect::Continue,
                _ => Expect::Nothing,
            };
            let mut request = request.map(|body| Body::new(Paced::new(body, expect, stopping.clone())));
            request.extensions_mut().insert(ConnectInfo::<SocketAddr>(peer));
            router.oneshot(request)
        });
        // HTTP/1 only: to tell it from HTTP/2 one has to wait for the first bytes, and that wait would have no limit.
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(peer = %peer, error = %error, "a connection ended early");
            }
            drop(turn);
        });
    }
    let ended = Instant::now();
    drop(listener);
    stopping.cancel();
    if timeout(grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in time and are cut off; what they sent is kept");
    }
    ended
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let turn = Arc::clone(connections).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, turn))
}
