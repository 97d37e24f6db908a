//! A line to the database that can be cut and can go dead.

use std::sync::{Arc, Mutex};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};

/// Forwards connections to one address until it is told otherwise. Dropping it cuts the line.
pub(crate) struct Proxy {
    port: u16,
    target: String,
    running: Mutex<Option<AbortHandle>>,
}

impl Proxy {
    pub(crate) async fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy =
            Self { port: listener.local_addr().unwrap().port(), target: target.to_owned(), running: Mutex::default() };
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
        super::eventually("the proxy's port is free again", async || TcpListener::bind(self.address()).await.ok()).await
    }

    fn run(&self, listener: TcpListener, behaviour: Behaviour) {
        let target = Arc::new(self.target.clone());
        let task = tokio::spawn(async move {
            // Aborted together with this task.
            let mut connections = JoinSet::new();
            loop {
                let Ok((mut inner, _)) = listener.accept().await else { return };
                let target = Arc::clone(&target);
                connections.spawn(async move {
                    match behaviour {
                        Behaviour::Silent => std::future::pending::<()>().await,
                        Behaviour::Forward => {
                            let Ok(mut outer) = TcpStream::connect(&*target).await else { return };
                            // A line that ends is what this is for.
                            let _ = copy_bidirectional(&mut inner, &mut outer).await;
                        }
                    }
                });
            }
        });
        *self.running.lock().unwrap() = Some(task.abort_handle());
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
