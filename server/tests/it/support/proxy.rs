//! A line to the database that can be cut and can go dead.

use std::{
    io,
    net::TcpListener,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::{Builder, Runtime},
    task::{AbortHandle, JoinSet},
};

/// Beside the tests: a line that is cut ends at once, even when its test waits for something without yielding. PostgreSQL drops no
/// database while a line stands on which somebody has begun to sign in.
static LINES: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());

/// Forwards connections to one address until it is told otherwise. Dropping it cuts the line.
pub(crate) struct Proxy {
    port: u16,
    target: String,
    running: Mutex<Option<AbortHandle>>,
    /// What the other side says on a connection that LISTENs is swallowed.
    deaf: Arc<AtomicBool>,
}

impl Proxy {
    pub(crate) async fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            target: target.to_owned(),
            running: Mutex::default(),
            deaf: Arc::default(),
        };
        proxy.run(listener, Behaviour::Forward);
        proxy
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// All connections end; new ones are refused.
    pub(crate) fn cut(&self) {
        if let Some(running) = self.running.lock().unwrap().take() {
            running.abort();
        }
    }

    /// From now on nobody who LISTENs hears anything, and their connections stand.
    pub(crate) fn deafen_listeners(&self) {
        self.deaf.store(true, Ordering::Relaxed);
    }

    /// All connections end; new ones are taken and nothing is ever said.
    pub(crate) async fn go_dead(&self) {
        let listener = self.bind_again().await;
        self.run(listener, Behaviour::Silent);
    }

    pub(crate) async fn mend(&self) {
        let listener = self.bind_again().await;
        self.run(listener, Behaviour::Forward);
    }

    async fn bind_again(&self) -> TcpListener {
        self.cut();
        super::eventually("the proxy's port is free again", async || TcpListener::bind(self.address()).ok()).await
    }

    fn run(&self, listener: TcpListener, behaviour: Behaviour) {
        let (target, deaf) = (Arc::new(self.target.clone()), Arc::clone(&self.deaf));
        listener.set_nonblocking(true).unwrap();
        let task = LINES.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            // Aborted together with this task.
            let mut connections = JoinSet::new();
            loop {
                let Ok((inner, _)) = listener.accept().await else { return };
                let (target, deaf) = (Arc::clone(&target), Arc::clone(&deaf));
                connections.spawn(async move {
                    match behaviour {
                        Behaviour::Silent => std::future::pending::<()>().await,
                        Behaviour::Forward => {
                            let Ok(outer) = TcpStream::connect(&*target).await else { return };
                            // A line that ends is what this is for.
                            let _ = forward(inner, outer, &deaf).await;
                        }
                    }
                });
            }
        });
        *self.running.lock().unwrap() = Some(task.abort_handle());
    }
}

/// To the end of either side.
async fn forward(mut client: TcpStream, mut server: TcpStream, deaf: &AtomicBool) -> io::Result<()> {
    let (mut asked, mut told) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let mut listens = false;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => match read? {
                0 => return Ok(()),
                read => {
                    listens |= asked[..read].windows(6).any(|word| word == b"LISTEN");
                    server.write_all(&asked[..read]).await?;
                }
            },
            read = server.read(&mut told) => match read? {
                0 => return Ok(()),
                _ if listens && deaf.load(Ordering::Relaxed) => {}
                read => client.write_all(&told[..read]).await?,
            },
        }
    }
}

#[derive(Clone, Copy)]
enum Behaviour {
    Forward,
    Silent,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
    }
}
