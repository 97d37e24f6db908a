//! A gate that holds a server at a fail point for as long as a test wants.

use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};

use crate::ends;

/// Holds a server at a fail point the first time that it gets there.
pub struct Gate {
    listener: UnixListener,
    folder: TempDir,
}

/// A server that waits at a fail point. It goes on when this value is dropped.
#[must_use]
pub struct PausedServer(#[expect(dead_code, reason = "the open connection holds the server")] UnixStream);

impl Gate {
    /// # Panics
    /// When no temporary folder can be made.
    pub fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let listener = UnixListener::bind(folder.path().join("gate")).expect("a new folder has no socket yet");
        Self { listener, folder }
    }

    /// The value of `VWAZA_FAIL_POINTS` that makes the server wait at `point`.
    pub fn at(&self, point: &str) -> String {
        format!("{point}=wait({})", self.folder.path().join("gate").display())
    }

    /// Returns when the server has reached the fail point.
    ///
    /// # Panics
    /// When the server doesn't reach it in time.
    pub async fn reached(&self) -> PausedServer {
        let (server, _) =
            ends("the server comes to the fail point", self.listener.accept()).await.expect("a connection");
        PausedServer(server)
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}
