//! `vwaza backup`, `verify-backup` and `restore`.

mod damage;
mod making;
mod restoring;
mod targets;
mod under_load;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;
use testing::{Gate, PausedServer, TestDatabase, test_server_url};
use vwaza::domain::{files::FileState, ids::ReleaseId};

use crate::support::{App, Client, PASSWORD, eventually, spawn_app_with};

/// A folder for backups.
struct Target(TempDir);

impl Target {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    /// The paths of all files in a folder of the target.
    fn files_in(&self, folder: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.0.path().join(folder)).into_iter().flatten();
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// The names of the backups, oldest first.
    fn backups(&self) -> Vec<String> {
        let name = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        self.files_in("manifests").iter().map(name).collect()
    }
}

/// An empty database and an empty folder, where a backup is restored.
struct Place {
    database: TestDatabase,
    data_dir: TempDir,
    settings: Vec<(String, String)>,
}

impl Place {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    async fn with(settings: &[(&str, &str)]) -> Self {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let database = TestDatabase::create(&test_server_url()).await;
        Self { database, data_dir: TempDir::new().unwrap(), settings }
    }

    fn data_dir(&self) -> &Path {
        self.data_dir.path()
    }

    fn environment(&self) -> BTreeMap<String, String> {
        let own = [
            ("DATABASE_URL", self.database.url()),
            ("VWAZA_DATA_DIR", self.data_dir().to_str().unwrap().to_owned()),
            ("VWAZA_ORPHAN_GRACE_SECONDS", "1".to_owned()),
        ];
        own.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(self.settings.iter().cloned()).collect()
    }

    async fn restore(&self, arguments: &[&str]) -> Output {
        self.restore_with(arguments, &[]).await
    }

    async fn restore_with(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vwaza"));
        command.env_clear().envs(self.environment()).envs(settings.iter().copied()).arg("restore").args(arguments);
        tokio::process::Command::from(command).output().await.unwrap()
    }

    /// Starts a server on what was restored.
    async fn start(&self) -> App {
        let environment = self.environment();
        let settings: Vec<_> = environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        spawn_app_with(&settings).await
    }
}

/// Starts a backup that waits after its snapshot.
async fn a_paused_backup(vwaza: Command, target: &Target) -> (tokio::process::Child, PausedServer) {
    let gate = Gate::new();
    let mut command = tokio::process::Command::from(vwaza);
    command.args(["backup", target.path()]).env("VWAZA_FAIL_POINTS", gate.at("backup-snapshot-taken"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let backup = command.spawn().unwrap();
    (backup, gate.reached().await)
}

/// Runs a command without blocking the servers of the test.
async fn run(app: &App, arguments: &[&str]) -> Output {
    tokio::process::Command::from(app.command()).args(arguments).output().await.unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    said(output)
}

#[track_caller]
fn failed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", said(output));
    said(output)
}

/// Signs the same user in on another server.
async fn sign_in_at(app: &App, user: &Client) -> Client {
    sign_in_as(app, &user.actor().await.unwrap().email).await
}

/// Signs in the user with this address.
async fn sign_in_as(app: &App, email: &str) -> Client {
    let client = app.anonymous();
    client.sign_in(email, PASSWORD).await.expect_status(200);
    client
}

/// Waits until all files of all releases are examined.
async fn all_is_examined(client: &Client, release: ReleaseId) {
    client
        .release_once(release, "it is examined", |release| {
            release.cover.state() == FileState::Ready
                && release.tracks.iter().all(|track| track.state() == FileState::Ready)
        })
        .await;
}

/// Waits until the database holds no pin.
async fn nothing_is_pinned(app: &App) {
    eventually("nothing is pinned", async || {
        let pins: i64 = sqlx::query_scalar("select count(*) from backup_pins").fetch_one(&app.sql).await.unwrap();
        (pins == 0).then_some(())
    })
    .await;
}
