//! A TCP proxy in front of a database or a storage that can cut, freeze and hang connections.

use std::{
    io,
    net::TcpListener,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::{Builder, Runtime},
    task::{AbortHandle, JoinSet},
    time::sleep,
};

use crate::ReservedPort;

/// Attempts to listen on a port whose last listener may not be closed yet.
const TRIES: u32 = 1000;
const TRY_EVERY: Duration = Duration::from_millis(25);

/// The runtime of all proxies, beside those of the tests. So a connection that is cut ends at once, even if its test
/// waits for something without yielding. PostgreSQL drops no database while a connection to it exists on which somebody
/// has begun to sign in.
static PROXY_RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("the system starts a thread")
});

/// Forwards connections to one address until a test changes that. Dropping it cuts all connections.
pub struct Proxy {
    port: ReservedPort,
    target: String,
    running: Mutex<Option<AbortHandle>>,
    faults: Arc<Faults>,
}

/// The faults of open connections.
#[derive(Default)]
struct Faults {
    /// Discards everything that the server sends on a connection that has used LISTEN.
    deaf: AtomicBool,
    swallowed: AtomicUsize,
    /// Counts calls of `freeze`. Connections of an earlier generation stay open, and nothing gets through any more.
    generation: AtomicUsize,
    /// The statement before a COMMIT whose reply is lost. The connection ends as well. Happens once.
    lose_reply_after: Mutex<Option<String>>,
    has_lost: AtomicBool,
}

impl Proxy {
    /// # Panics
    /// When no port is free.
    pub async fn to(target: &str) -> Self {
        let proxy = Self {
            port: ReservedPort::new(),
            target: target.to_owned(),
            running: Mutex::default(),
            faults: Arc::default(),
        };
        proxy.restore().await;
        proxy
    }

    pub fn address(&self) -> String {
        self.port.address().to_string()
    }

    /// Ends all connections. New ones are refused.
    pub fn cut(&self) {
        if let Some(running) = lock(&self.running).take() {
            running.abort();
        }
    }

    /// From now on, connections that have used LISTEN stay open and receive nothing.
    pub fn deafen_listeners(&self) {
        self.faults.deaf.store(true, Ordering::Relaxed);
    }

    /// Keeps all open connections open, and from now on silently discards everything sent on them, in both directions.
    /// New connections work.
    pub fn freeze(&self) {
        self.faults.generation.fetch_add(1, Ordering::Relaxed);
    }

    /// How many reads from the server were discarded because of `deafen_listeners`.
    pub fn swallowed(&self) -> usize {
        self.faults.swallowed.load(Ordering::Relaxed)
    }

    /// Loses the reply to the COMMIT of the next transaction that uses this statement. A connection sends the
    /// statement's text only the first time that it uses it.
    pub fn lose_reply_to_commit_of(&self, statement: &str) {
        *lock(&self.faults.lose_reply_after) = Some(statement.to_owned());
    }

    pub fn has_lost_a_reply(&self) -> bool {
        self.faults.has_lost.load(Ordering::Relaxed)
    }

    /// Ends all connections. New ones are accepted and receive nothing.
    pub async fn hang(&self) {
        let listener = self.bind_again().await;
        self.run(listener, Behaviour::Hang);
    }

    /// Sets another address, which takes effect at the next [`Proxy::restore`].
    pub fn set_target(&mut self, target: &str) {
        target.clone_into(&mut self.target);
    }

    /// Ends all connections. New ones are forwarded.
    pub async fn restore(&self) {
        let listener = self.bind_again().await;
        self.run(listener, Behaviour::Forward);
    }

    async fn bind_again(&self) -> TcpListener {
        self.cut();
        for _ in 0..TRIES {
            if let Ok(listener) = TcpListener::bind(self.port.address()) {
                return listener;
            }
            sleep(TRY_EVERY).await;
        }
        panic!("the proxy's port is not free again")
    }

    fn run(&self, listener: TcpListener, behaviour: Behaviour) {
        let (target, faults) = (Arc::new(self.target.clone()), Arc::clone(&self.faults));
        listener.set_nonblocking(true).expect("a socket can be non-blocking");
        let task = PROXY_RUNTIME.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("the socket is non-blocking");
            // The connections are aborted together with this task.
            let mut connections = JoinSet::new();
            loop {
                let Ok((inner, _)) = listener.accept().await else { return };
                let (target, faults) = (Arc::clone(&target), Arc::clone(&faults));
                connections.spawn(async move {
                    match behaviour {
                        Behaviour::Hang => std::future::pending::<()>().await,
                        Behaviour::Forward => {
                            let Ok(outer) = TcpStream::connect(&*target).await else { return };
                            // Tests end connections on purpose, so an error here is expected.
                            let _ = forward(inner, outer, &faults).await;
                        }
                    }
                });
            }
        });
        *lock(&self.running) = Some(task.abort_handle());
    }
}

/// Forwards a connection until either side closes it.
async fn forward(mut client: TcpStream, mut server: TcpStream, faults: &Faults) -> io::Result<()> {
    let (mut asked, mut told) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let (mut listens, mut commits) = (false, false);
    let generation = faults.generation.load(Ordering::Relaxed);
    let is_frozen = || faults.generation.load(Ordering::Relaxed) > generation;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => match read? {
                0 => return Ok(()),
                _ if is_frozen() => {}
                read => {
                    let said = String::from_utf8_lossy(&asked[..read]);
                    listens |= said.contains("LISTEN");
                    let after = lock(&faults.lose_reply_after).clone();
                    commits |= after.is_some_and(|statement| said.contains(&statement));
                    let loses = commits && said.contains("COMMIT");
                    server.write_all(&asked[..read]).await?;
                    if loses {
                        // Once the server replies, the transaction is committed.
                        let answered = server.read(&mut told).await? > 0;
                        *lock(&faults.lose_reply_after) = None;
                        faults.has_lost.store(answered, Ordering::Relaxed);
                        return Ok(());
                    }
                }
            },
            read = server.read(&mut told) => match read? {
                0 => return Ok(()),
                _ if is_frozen() => {}
                _ if listens && faults.deaf.load(Ordering::Relaxed) => {
                    faults.swallowed.fetch_add(1, Ordering::Relaxed);
                }
                read => client.write_all(&told[..read]).await?,
            },
        }
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while the lock is held.
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone, Copy)]
enum Behaviour {
    Forward,
    Hang,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
    }
}
