//! A line to a database or a storage that can be cut and can go dead.

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

/// For a port that its last user may not have left yet.
const TRIES: u32 = 1000;
const TRY_EVERY: Duration = Duration::from_millis(25);

/// Beside the tests: a line that is cut ends at once, even when its test waits for something without yielding. PostgreSQL drops no
/// database while a line stands on which somebody has begun to sign in.
static PROXY_RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a thread can be had"));

/// Forwards connections to one address until it is told otherwise. Dropping it cuts the line.
pub struct Proxy {
    port: u16,
    target: String,
    running: Mutex<Option<AbortHandle>>,
    faults: Arc<Faults>,
}

/// What goes wrong on a line that stands.
#[derive(Default)]
struct Faults {
    /// What the other side says on a connection that LISTENs is swallowed.
    deaf: AtomicBool,
    swallowed: AtomicUsize,
    /// Lines of an earlier age than this stand, and nothing gets through any more.
    generation: AtomicUsize,
    /// The reply to the COMMIT that follows this text is lost, once, and its line with it.
    lose_reply_after: Mutex<Option<String>>,
    has_lost: AtomicBool,
}

impl Proxy {
    /// # Panics
    /// When no port is free.
    pub async fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let proxy = Self {
            port: listener.local_addr().expect("it is bound").port(),
            target: target.to_owned(),
            running: Mutex::default(),
            faults: Arc::default(),
        };
        proxy.run(listener, Behaviour::Forward);
        proxy
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// All connections end; new ones are refused.
    pub fn cut(&self) {
        if let Some(running) = lock(&self.running).take() {
            running.abort();
        }
    }

    /// From now on nobody who LISTENs hears anything, and their connections stand.
    pub fn deafen_listeners(&self) {
        self.faults.deaf.store(true, Ordering::Relaxed);
    }

    /// All connections stand, and nothing that is said on them arrives from now on, nor is anybody told; new ones are well.
    pub fn freeze(&self) {
        self.faults.generation.fetch_add(1, Ordering::Relaxed);
    }

    /// How often something was said to a deaf listener.
    pub fn swallowed(&self) -> usize {
        self.faults.swallowed.load(Ordering::Relaxed)
    }

    /// Of the next transaction with this statement in it. Its text is on the line the first time that a connection uses it.
    pub fn lose_reply_to_commit_of(&self, statement: &str) {
        *lock(&self.faults.lose_reply_after) = Some(statement.to_owned());
    }

    pub fn has_lost_a_reply(&self) -> bool {
        self.faults.has_lost.load(Ordering::Relaxed)
    }

    /// All connections end; new ones are taken and nothing is ever said.
    pub async fn hang(&self) {
        let listener = self.bind_again().await;
        self.run(listener, Behaviour::Hang);
    }

    /// Leads to another address from the next `mend` on.
    pub fn set_target(&mut self, target: &str) {
        target.clone_into(&mut self.target);
    }

    pub async fn restore(&self) {
        let listener = self.bind_again().await;
        self.run(listener, Behaviour::Forward);
    }

    async fn bind_again(&self) -> TcpListener {
        self.cut();
        for _ in 0..TRIES {
            if let Ok(listener) = TcpListener::bind(self.address()) {
                return listener;
            }
            sleep(TRY_EVERY).await;
        }
        panic!("the proxy's port is not free again")
    }

    fn run(&self, listener: TcpListener, behaviour: Behaviour) {
        let (target, faults) = (Arc::new(self.target.clone()), Arc::clone(&self.faults));
        listener.set_nonblocking(true).expect("a socket can be told so");
        let task = PROXY_RUNTIME.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("it does not block");
            // Aborted together with this task.
            let mut connections = JoinSet::new();
            loop {
                let Ok((inner, _)) = listener.accept().await else { return };
                let (target, faults) = (Arc::clone(&target), Arc::clone(&faults));
                connections.spawn(async move {
                    match behaviour {
                        Behaviour::Hang => std::future::pending::<()>().await,
                        Behaviour::Forward => {
                            let Ok(outer) = TcpStream::connect(&*target).await else { return };
                            // A line that ends is what this is for.
                            let _ = forward(inner, outer, &faults).await;
                        }
                    }
                });
            }
        });
        *lock(&self.running) = Some(task.abort_handle());
    }
}

/// To the end of either side.
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
                        // Once it answers, it is committed.
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
    // Nothing panics while it is held.
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
