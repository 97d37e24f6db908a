//! A real Redis server that can be stopped, continued, killed and started again at the same address.

use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{ReservedPort, eventually};

/// A running `redis-server`. Dropping it kills the process.
pub struct RedisServer {
    port: ReservedPort,
    folder: TempDir,
    process: Child,
}

impl RedisServer {
    pub fn is_installed() -> bool {
        Command::new("redis-server")
            .arg("--version")
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// # Panics
    /// When there is no `redis-server`, which `./dev setup` installs.
    pub async fn start() -> Self {
        let port = ReservedPort::new();
        let folder = TempDir::new().expect("a temporary folder");
        let process = spawn(&port, &folder);
        let server = Self { port, folder, process };
        server.answers().await;
        server
    }

    /// The value for `REDIS_URL`.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    pub fn address(&self) -> String {
        self.port.address().to_string()
    }

    /// Runs one command. Returns the reply as Redis writes it, such as `:3` for the number 3.
    ///
    /// # Panics
    /// When Redis doesn't answer.
    pub async fn run(&self, command: &[&str]) -> String {
        let mut connection = TcpStream::connect(self.address()).await.expect("Redis answers");
        let mut request = String::new();
        for words in [command, &["QUIT"]] {
            request += &format!("*{}\r\n", words.len());
            for word in words {
                request += &format!("${}\r\n{word}\r\n", word.len());
            }
        }
        connection.write_all(request.as_bytes()).await.expect("Redis reads");
        let mut replies = String::new();
        connection.read_to_string(&mut replies).await.expect("Redis replies");
        replies.strip_suffix("+OK\r\n").expect("Redis replies to QUIT").trim_end().to_owned()
    }

    /// Stops the process. Its connections stay open, and nobody gets a reply.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn hang(&self) {
        self.signal("-STOP");
    }

    /// # Panics
    /// When the process is gone.
    pub fn go_on(&self) {
        self.signal("-CONT");
    }

    /// # Panics
    /// When the process can't be killed.
    pub fn kill(&mut self) {
        self.process.kill().expect("redis-server can be killed");
        self.process.wait().expect("redis-server ends");
    }

    /// Starts an empty server at the same address.
    ///
    /// # Panics
    /// When the server doesn't start.
    pub async fn start_again(&mut self) {
        self.process = spawn(&self.port, &self.folder);
        self.answers().await;
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.process.id().to_string()]).status();
        assert!(sent.expect("the program kill runs").success());
    }

    async fn answers(&self) {
        eventually("Redis answers", async || TcpStream::connect(self.port.address()).await.ok()).await;
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(port: &ReservedPort, folder: &TempDir) -> Child {
    Command::new("redis-server")
        .args([
            "--port",
            &port.address().port().to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
        ])
        .arg(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed; ./dev setup does it")
}
