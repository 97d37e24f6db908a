//! An S3 server for tests: a real server over HTTP that keeps its objects in a folder.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use s3s_fs::FileSystem;
use tokio::{net::TcpListener, task::JoinSet};

const KEY_ID: &str = "test-key-id";
const KEY: &str = "test-secret-key";

/// A running server with one bucket. Dropping it stops the server.
pub struct S3Server {
    address: SocketAddr,
    folder: PathBuf,
    _running: JoinSet<()>,
}

impl S3Server {
    pub const BUCKET: &'static str = "masters";

    /// # Panics
    /// When the folder can't be written to, or no port is free.
    pub async fn start(folder: &Path) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), folder).await
    }

    /// Starts at an address that another server may have used before.
    ///
    /// # Panics
    /// When the folder can't be written to, or the address is in use.
    pub async fn start_at(address: SocketAddr, folder: &Path) -> Self {
        let bucket = folder.join(Self::BUCKET);
        std::fs::create_dir_all(&bucket).expect("the folder can be written to");
        let mut service = S3ServiceBuilder::new(FileSystem::new(folder).expect("the folder exists"));
        service.set_auth(SimpleAuth::from_single(KEY_ID, KEY));
        let service = service.build();
        let listener = TcpListener::bind(address).await.expect("a port is free");
        let address = listener.local_addr().expect("the listener has an address");
        let mut running = JoinSet::new();
        running.spawn(async move {
            // The connections end together with this task.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                connections.spawn(async move {
                    // Tests make clients leave early, so an error here is expected.
                    let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, folder: bucket, _running: running }
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The environment variables that make a server use this storage. `address` may be a proxy's.
    pub fn settings(address: &str) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT", format!("http://{address}")),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", KEY_ID.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", KEY.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// The folder that holds the bucket's objects.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}
