//! The accept loop: who gets a place, header, body and write timeouts, peers' addresses, and a shutdown that waits, but not for ever.

use std::{
    io,
    net::{IpAddr, SocketAddr},
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
    net::{TcpListener, TcpSocket, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::{
    connection_slots::{ConnectionSlot, ConnectionSlots, Full, Kind},
    held::hold,
    min_rate_body::{Expect, MinRateBody},
    waiting::Watched,
};

/// From the connection's start, or the last answer's end, to the end of the next request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// For a connection beyond the last place: it is to ask at once, and only once.
const SPARE_TIME: Duration = Duration::from_secs(10);
/// After an accept that failed: out of descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A new connection waits for a place for so long, and the ones behind it wait with it.
const PLACE_TIME: Duration = Duration::from_secs(1);
const PLACE_PAUSE: Duration = Duration::from_millis(10);
/// Connections that the kernel holds until they are accepted.
const BACKLOG: u32 = 1024;
/// Of one connection, in the kernel. What a client does not read takes no more memory, and even a slow client soon makes room for the next
/// write. The kernel's own choice may grow to several MB.
const SEND_BUFFER_BYTES: u32 = 256 * 1024;
/// Between two lines in the log that say the same.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Marks the request of a connection beyond the last place: health checks are answered, everybody else hears to come again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BeyondTheLastPlace;

/// Listens at this address.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart does not wait for what is left of earlier connections.
    socket.set_reuseaddr(true)?;
    // Accepted sockets have the listener's.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until `until` ends; then lets requests that run finish, for `grace` at most. `stopping` is cancelled at once, for
/// answers that would never end by themselves. Returns the moment at which `until` ended.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    places: Arc<ConnectionSlots>,
    until: impl Future<Output = ()>,
    stopping: CancellationToken,
    grace: Duration,
) -> Instant {
    let graceful = GracefulShutdown::new();
    let (mut failed, mut refused) = (Throttle::default(), Throttle::default());
    let mut until = std::pin::pin!(until);
    loop {
        let accepted = tokio::select! {
            () = &mut until => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Its descriptor is one that the next connection may have.
                places.make_room();
                if let Some(times) = failed.due() {
                    tracing::warn!(error = ?error, times, "a connection could not be accepted");
                }
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match take_place(&places, peer.ip()).await {
            Ok(place) => serve_connection(stream, peer, place, &router, &stopping, &graceful),
            Err(full) => {
                if let Some(times) = refused.due() {
                    let why = match full {
                        Full::Peer => "its address has too many (VWAZA_LIMIT_CONNECTIONS_PER_PEER)",
                        Full::All => "there are too many",
                    };
                    tracing::warn!(peer = %peer, times, why, "a connection was closed at once");
                }
            }
        }
    }
    let ended = Instant::now();
    drop(listener);
    stopping.cancel();
    if timeout(grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in time and are cut off; what they sent is kept");
    }
    ended
}

/// Waits a little where even the places beyond the last are at work: none of them is for long.
async fn take_place(places: &Arc<ConnectionSlots>, peer: IpAddr) -> Result<ConnectionSlot, Full> {
    let began = Instant::now();
    loop {
        match places.take(peer) {
            Err(Full::All) if began.elapsed() < PLACE_TIME => sleep(PLACE_PAUSE).await,
            taken => return taken,
        }
    }
}

/// On a task of its own, until it ends or has to give way.
fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    place: ConnectionSlot,
    router: &Router,
    stopping: &CancellationToken,
    graceful: &GracefulShutdown,
) {
    // Small answers must not wait for the next packet; without it they are merely slower.
    let _ = stream.set_nodelay(true);
    let (router, stopping, waiting, kind) = (router.clone(), stopping.clone(), Arc::clone(&place.waiting), place.kind);
    let service = service_fn(move |request: Request<Incoming>| {
        let serving = waiting.serve();
        let expect = match request.headers().get(header::EXPECT) {
            Some(value) if value.as_bytes().eq_ignore_ascii_case(b"100-continue") => Expect::Continue,
            _ => Expect::Nothing,
        };
        let mut request = request.map(|body| Body::new(MinRateBody::new(body, expect, stopping.clone())));
        request.extensions_mut().insert(ConnectInfo::<SocketAddr>(peer));
        if kind == Kind::Spare {
            request.extensions_mut().insert(BeyondTheLastPlace);
        }
        let answer = router.clone().oneshot(request);
        async move { Ok::<_, std::convert::Infallible>(answer.await?.map(|body| hold(body, serving))) }
    });
    // HTTP/1 only: to tell it from HTTP/2 one has to wait for the first bytes, and that wait would have no limit.
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).keep_alive(kind == Kind::Ordinary);
    let stream = TokioIo::new(Watched::new(stream, Arc::clone(&place.waiting)));
    let connection = graceful.watch(http.serve_connection(stream, service));
    tokio::spawn(async move {
        tokio::select! {
            ended = connection => if let Err(error) = ended {
                tracing::debug!(peer = %peer, error = ?error, "a connection ended early");
            },
            () = place.gives_way.cancelled() => {
                tracing::debug!(peer = %peer, "a connection that waited for its client gave way to another one");
            }
            () = sleep(SPARE_TIME), if kind == Kind::Spare => {}
        }
        // Once its socket is closed.
        drop(place);
    });
}

/// Tells when a line of the log is due, once a minute at most, and how many events it stands for.
#[derive(Default)]
struct Throttle {
    said: Option<Instant>,
    times: u64,
}

impl Throttle {
    /// How often since it was last said, if it is time to say so again.
    fn due(&mut self) -> Option<u64> {
        self.times += 1;
        if self.said.is_some_and(|said| said.elapsed() < LOG_EVERY) {
            return None;
        }
        self.said = Some(Instant::now());
        Some(std::mem::take(&mut self.times))
    }
}
