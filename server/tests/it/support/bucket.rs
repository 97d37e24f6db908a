//! A storage that several servers share, behind a proxy that can be cut.

use tempfile::TempDir;
use testing::{Proxy, s3_server::S3Server, supabase_server::SupabaseServer};

use super::app::{App, spawn_app_with};

/// A bucket behind a proxy that can be cut, and the server's settings for it.
pub(crate) struct Bucket {
    server: S3Server,
    pub(crate) proxy: Proxy,
    _folder: TempDir,
}

impl Bucket {
    pub(crate) async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let server = S3Server::start(folder.path()).await;
        Self { proxy: Proxy::to(&server.address()).await, server, _folder: folder }
    }

    pub(crate) async fn app(&self, settings: &[(&str, &str)]) -> App {
        let own = self.settings();
        let own = own.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let all: Vec<_> = own.chain(settings.iter().copied()).collect();
        spawn_app_with(&all).await
    }

    /// The settings that make a server use this bucket.
    pub(crate) fn settings(&self) -> Vec<(String, String)> {
        let bucket = [("VWAZA_STORAGE", "s3"), ("S3_BUCKET", S3Server::BUCKET)];
        let bucket = bucket.map(|(name, value)| (name.to_owned(), value.to_owned()));
        S3Server::settings(&self.proxy.address()).into_iter().chain(bucket).collect()
    }

    /// Returns the number of open multipart uploads. The S3 server keeps each in a folder of its own.
    pub(crate) fn open_parts(&self) -> usize {
        let entries = std::fs::read_dir(self.server.folder().parent().unwrap()).unwrap();
        entries.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".upload")).count()
    }

    pub(crate) fn objects(&self) -> usize {
        let folders = std::fs::read_dir(self.server.folder()).unwrap().map(|folder| folder.unwrap().path());
        folders.filter(|folder| folder.is_dir()).map(|folder| std::fs::read_dir(folder).unwrap().count()).sum()
    }
}

pub(crate) async fn app_on_supabase(server: &SupabaseServer, settings: &[(&str, &str)]) -> App {
    let url = server.url();
    let supabase = [
        ("VWAZA_STORAGE", "supabase"),
        ("SUPABASE_URL", &url),
        ("SUPABASE_SERVICE_ROLE_KEY", SupabaseServer::KEY),
        ("SUPABASE_BUCKET", SupabaseServer::BUCKET),
    ];
    spawn_app_with(&supabase.into_iter().chain(settings.iter().copied()).collect::<Vec<_>>()).await
}
