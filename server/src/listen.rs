//! The accept loop: connection slots, timeouts for heads, bodies and writes, the peers' addresses, and a shutdown with
//! a time limit.

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
    connection_slots::{ConnectionSlot, ConnectionSlots, NoSlot, SlotKind},
    guarded_body::with_guard,
    idle::WriteTimeoutStream,
    min_rate_body::{Expect, MinRateBody},
};

/// From the start of the connection, or the end of the last response, to the end of the next request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// For an overflow connection: its one request must come and be answered within this time.
const OVERFLOW_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after a failed accept, whose most likely cause is a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a new connection waits for a slot. The connections behind it wait as well.
const SLOT_TIMEOUT: Duration = Duration::from_secs(1);
const SLOT_RETRY_PAUSE: Duration = Duration::from_millis(10);
/// Connections that the kernel queues until they are accepted.
const BACKLOG: u32 = 1024;
/// Bytes that the kernel buffers for one connection. A response that the client does not read takes no more memory, and
/// even a slow client soon makes room for the next write. By default, the kernel may grow this buffer to several MB.
const SEND_BUFFER_BYTES: u32 = 256 * 1024;
/// The interval between two log lines with the same message.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Marks the request of an overflow connection. Health checks are answered; every other request gets 503.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OverflowConnection;

/// Listens at `address`.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Otherwise a restart would wait for connections in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    // Accepted sockets inherit this size.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until `until` ends. Running requests may then finish, for at most `grace`. `stopping` is cancelled at once,
/// for responses that never end by themselves. Returns the moment at which `until` ended.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    slots: Arc<ConnectionSlots>,
    until: impl Future<Output = ()>,
    stopping: CancellationToken,
    grace: Duration,
) -> Instant {
    let graceful = GracefulShutdown::new();
    let (mut failed, mut refused) = (LogThrottle::default(), LogThrottle::default());
    let mut until = std::pin::pin!(until);
    loop {
        let accepted = tokio::select! {
            () = &mut until => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Closing a waiting connection frees a file descriptor for the next one.
                slots.preempt_longest_waiting();
                if let Some(times) = failed.due() {
                    tracing::warn!(error = ?error, times, "accepting a connection failed");
                }
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match acquire_slot(&slots, peer.ip()).await {
            Ok(slot) => serve_connection(stream, peer, slot, &router, &stopping, &graceful),
            Err(full) => {
                let reason = match full {
                    NoSlot::PeerLimit => "peer_limit",
                    NoSlot::AllTaken => "all_taken",
                };
                metrics::counter!("vwaza_connections_rejected_total", "reason" => reason).increment(1);
                if let Some(times) = refused.due() {
                    let why = match full {
                        NoSlot::PeerLimit => "too many connections from its address (VWAZA_LIMIT_CONNECTIONS_PER_PEER)",
                        NoSlot::AllTaken => "too many connections",
                    };
                    tracing::warn!(peer = %peer, times, why, "connection rejected");
                }
            }
        }
    }
    let ended = Instant::now();
    drop(listener);
    stopping.cancel();
    if timeout(grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests cut off at shutdown; uploaded bytes that arrived are kept");
    }
    ended
}

/// Takes a slot for a new connection. If even the overflow slots are taken, waits for up to `SLOT_TIMEOUT`, because
/// none of them is held for long.
async fn acquire_slot(slots: &Arc<ConnectionSlots>, peer: IpAddr) -> Result<ConnectionSlot, NoSlot> {
    let began = Instant::now();
    loop {
        match slots.acquire(peer) {
            Err(NoSlot::AllTaken) if began.elapsed() < SLOT_TIMEOUT => sleep(SLOT_RETRY_PAUSE).await,
            taken => return taken,
        }
    }
}

/// Serves a connection on a task of its own, until it ends or is preempted.
fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    slot: ConnectionSlot,
    router: &Router,
    stopping: &CancellationToken,
    graceful: &GracefulShutdown,
) {
    // Small responses must not wait for the next packet. If this fails, they are only slower.
    let _ = stream.set_nodelay(true);
    let (router, stopping, idle, kind) = (router.clone(), stopping.clone(), Arc::clone(&slot.idle), slot.kind);
    let service = service_fn(move |request: Request<Incoming>| {
        let serving = idle.serve();
        let expect = match request.headers().get(header::EXPECT) {
            Some(value) if value.as_bytes().eq_ignore_ascii_case(b"100-continue") => Expect::Continue,
            _ => Expect::Nothing,
        };
        let mut request = request.map(|body| Body::new(MinRateBody::new(body, expect, stopping.clone())));
        request.extensions_mut().insert(ConnectInfo::<SocketAddr>(peer));
        if kind == SlotKind::Overflow {
            request.extensions_mut().insert(OverflowConnection);
        }
        let answer = router.clone().oneshot(request);
        async move { Ok::<_, std::convert::Infallible>(answer.await?.map(|body| with_guard(body, serving))) }
    });
    // HTTP/1 only: telling it from HTTP/2 means waiting for the first bytes, and that wait would have no timeout.
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).keep_alive(kind == SlotKind::Regular);
    let stream = TokioIo::new(WriteTimeoutStream::new(stream, Arc::clone(&slot.idle)));
    let connection = graceful.watch(http.serve_connection(stream, service));
    tokio::spawn(async move {
        tokio::select! {
            ended = connection => if let Err(error) = ended {
                tracing::debug!(peer = %peer, error = ?error, "connection ended early");
            },
            () = slot.preempted.cancelled() => {
                tracing::debug!(peer = %peer, "connection waiting for its client closed to make room");
            }
            () = sleep(OVERFLOW_TIMEOUT), if kind == SlotKind::Overflow => {}
        }
        // The slot is freed after the socket is closed.
        drop(slot);
    });
}

/// Limits a log line to one a minute, and counts the events that it stands for.
#[derive(Default)]
struct LogThrottle {
    last_logged: Option<Instant>,
    times: u64,
}

impl LogThrottle {
    /// Counts an event. Returns the number of events since the last log line, if the next line is due.
    fn due(&mut self) -> Option<u64> {
        self.times += 1;
        if self.last_logged.is_some_and(|last_logged| last_logged.elapsed() < LOG_EVERY) {
            return None;
        }
        self.last_logged = Some(Instant::now());
        Some(std::mem::take(&mut self.times))
    }
}
