//! A server with the embedded PostgreSQL, run as root or as another user.

use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use testing::{ReservedPort, eventually};

use super::{
    app::{Address, PASSWORD, run},
    client::{Client, form},
    log::Log,
};

/// The id of the user `nobody` on Debian.
const NOBODY: u32 = 65534;

pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// The user whom a test runs the server as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunAs {
    Ourselves,
    Nobody,
}

impl RunAs {
    pub(crate) fn all() -> Vec<Self> {
        if is_root() { vec![Self::Ourselves, Self::Nobody] } else { vec![Self::Ourselves] }
    }

    pub(crate) fn give(self, path: &Path) {
        if self == Self::Nobody {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
}

pub(crate) struct Embedded {
    pub(crate) run_as: RunAs,
    process: Option<Child>,
    address: Address,
    pub(crate) log: Log,
    /// Variables for the server and the commands, beside the common ones.
    pub(crate) environment: Vec<(&'static str, std::ffi::OsString)>,
    /// The argument of the shell's `umask`.
    pub(crate) umask: &'static str,
    pub(crate) data_dir: PathBuf,
    /// The folder of the data directory. Others may pass through it, because PostgreSQL does not run as root.
    pub(crate) folder: TempDir,
}

impl Embedded {
    pub(crate) fn new(run_as: RunAs) -> Self {
        let folder = TempDir::new().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        run_as.give(folder.path());
        Self {
            run_as,
            process: None,
            address: Address::default(),
            log: Log::default(),
            environment: Vec::new(),
            umask: "022",
            data_dir: folder.path().join("data"),
            folder,
        }
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.data_dir.join("postgres")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.home().join("data")
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "umask \"$0\"; exec \"$@\"", self.umask, env!("CARGO_BIN_EXE_vwaza")]);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("VWAZA_DATA_DIR", &self.data_dir).env("VWAZA_LISTEN", "127.0.0.1:0");
        command.env("RUST_LOG", "info").env("VWAZA_JOB_POLL_MS", "200").envs(self.environment.iter().cloned());
        command.current_dir(self.folder.path());
        if self.run_as == RunAs::Nobody {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// Starts a server without waiting for it.
    pub(crate) fn spawn(&mut self) {
        let mut process = self.command().stdout(Stdio::piped()).spawn().unwrap();
        self.log.follow(process.stdout.take().unwrap());
        self.process = Some(process);
    }

    pub(crate) async fn start(&mut self) {
        let starts = self.log.events("listening").len();
        self.spawn();
        let process = self.process.as_mut().unwrap();
        let listen = eventually("the server listens", async || {
            assert!(process.try_wait().unwrap().is_none(), "the server ended at once: {:#?}", self.log.lines());
            Some(self.log.events("listening").get(starts)?["listen"].as_str()?.to_owned())
        })
        .await;
        *self.address.write().unwrap() = listen;
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) async fn stop(&mut self) {
        let mut process = self.process.take().expect("the server runs");
        let id = process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let status = eventually("the server ends", async || process.try_wait().unwrap()).await;
        assert!(status.success(), "{:#?}", self.log.lines());
    }

    /// Sends SIGKILL. The database goes on.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub(crate) fn run(&self, arguments: &[&str], line: &str) -> Output {
        run(self.command(), arguments, line)
    }

    /// Starts a server that must end by itself. Returns its standard error. No PostgreSQL may be left behind.
    pub(crate) async fn refuses_to_start(&self) -> String {
        let mut command = tokio::process::Command::from(self.command());
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let status = eventually("it ends", async || process.try_wait().unwrap()).await;
        let said = String::from_utf8_lossy(&process.wait_with_output().await.unwrap().stderr).into_owned();
        assert!(!status.success(), "{said}");
        assert_eq!(self.running(), None, "{said}");
        said
    }

    pub(crate) fn anonymous(&self) -> Client {
        Client::new(self.address.clone())
    }

    pub(crate) async fn artist(&self, name: &str) -> Client {
        let client = self.anonymous();
        let email = format!("{}@example.com", name.to_lowercase());
        let sign_up = form(&[("artist_name", name), ("email", &email), ("password", PASSWORD)]);
        client.call("account/sign-up", &sign_up).await.expect_status(200);
        client
    }

    /// Returns a line of `postmaster.pid`, counted from 0.
    fn pid_line(&self, number: usize) -> Option<String> {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        text.lines().nth(number).map(|line| line.trim().to_owned())
    }

    /// Returns the process id of the PostgreSQL that runs in the data directory.
    pub(crate) fn running(&self) -> Option<u32> {
        let id = self.pid_line(0)?.parse().ok()?;
        let at = fs::metadata(format!("/proc/{id}/cwd")).ok()?;
        let is_ours = fs::metadata(self.data()).is_ok_and(|data| (at.dev(), at.ino()) == (data.dev(), data.ino()));
        let is_postgres = fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|name| name.trim() == "postgres");
        (is_ours && is_postgres).then_some(id)
    }

    pub(crate) fn superuser_url(&self) -> String {
        let password = fs::read_to_string(self.home().join("password")).unwrap();
        format!("postgres://vwaza:{password}@127.0.0.1:{}/postgres", self.pid_line(3).expect("PostgreSQL runs"))
    }

    /// Connects as the superuser.
    pub(crate) async fn superuser(&self) -> PgConnection {
        PgConnection::connect(&self.superuser_url()).await.unwrap()
    }

    /// Makes and starts a cluster as earlier versions did, whose application was the superuser. It has a schema and an
    /// account.
    pub(crate) fn earlier_cluster(&self) {
        let (home, password) = (self.home(), self.home().join("password"));
        for folder in [&self.data_dir, &home] {
            fs::create_dir(folder).unwrap();
            self.run_as.give(folder);
        }
        fs::set_permissions(&home, Permissions::from_mode(0o700)).unwrap();
        fs::write(&password, "0123456789abcdef").unwrap();
        fs::set_permissions(&password, Permissions::from_mode(0o600)).unwrap();
        let (user, group) = self.postgres_user();
        for path in [&home, &password] {
            chown(path, Some(user), Some(group)).unwrap();
        }
        let unfinished = home.join("data.new");
        let mut initdb = self.postgres_program("initdb");
        initdb.arg("--pgdata").arg(&unfinished).arg("--pwfile").arg(&password);
        initdb.args(["--encoding=UTF8", "--locale=C", "--locale-provider=icu", "--icu-locale=und"]);
        succeeds(initdb.args(["--username=vwaza", "--auth=scram-sha-256"]));
        fs::rename(&unfinished, self.data()).unwrap();
        self.start_postgres();
        for (arguments, line) in [
            (&["migrate"] as &[_], ""),
            (&["user", "create", "--email", "old@example.com", "--role", "admin"], PASSWORD),
        ] {
            let mut command = self.command();
            command.env("DATABASE_URL", self.superuser_url());
            let output = run(command, arguments, line);
            assert!(output.status.success(), "{output:?}");
        }
    }

    pub(crate) fn start_postgres(&self) {
        let reserved = ReservedPort::new();
        let port = reserved.address().port();
        let mut start = self.postgres_program("pg_ctl");
        start
            .arg("start")
            .arg("--pgdata")
            .arg(self.data())
            .arg("--log")
            .arg(self.home().join("start.log"))
            .arg("--wait");
        succeeds(start.arg(format!(
            "--options=-c port={port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=200"
        )));
    }

    pub(crate) fn stop_postgres(&self, mode: &str) {
        let mut stop = self.postgres_program("pg_ctl");
        succeeds(stop.args(["stop", "--wait", "--mode", mode]).env("PGDATA", self.data()));
    }

    /// The user and group that PostgreSQL runs as.
    pub(crate) fn postgres_user(&self) -> (u32, u32) {
        let own = fs::metadata("/proc/self").unwrap();
        match self.run_as {
            RunAs::Nobody => (NOBODY, NOBODY),
            RunAs::Ourselves if !is_root() => (own.uid(), own.gid()),
            RunAs::Ourselves => {
                let accounts = fs::read_to_string("/etc/passwd").unwrap();
                let account = accounts.lines().find_map(|line| line.strip_prefix("postgres:"));
                let fields: Vec<_> = account.map(|account| account.split(':').collect()).unwrap_or_default();
                let id = |field: usize| fields.get(field).map_or(NOBODY, |id| id.parse().unwrap());
                (id(1), id(2))
            }
        }
    }

    /// Returns a command that runs as PostgreSQL's user.
    pub(crate) fn as_postgres(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir("/").stdout(Stdio::null());
        if is_root() {
            let (user, group) = self.postgres_user();
            command.uid(user).gid(group);
        }
        command
    }

    fn postgres_program(&self, name: &str) -> Command {
        self.as_postgres(programs().join(name).to_str().unwrap())
    }
}

/// Finds the folder of PostgreSQL's programs: on PATH, or where Debian installs them.
fn programs() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian =
        fs::read_dir("/usr/lib/postgresql").into_iter().flatten().map(|entry| entry.unwrap().path().join("bin"));
    let program =
        std::env::split_paths(&path).chain(debian).find_map(|folder| folder.join("postgres").canonicalize().ok());
    program.expect("PostgreSQL is installed").parent().unwrap().to_owned()
}

fn succeeds(command: &mut Command) {
    let output = command.stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.kill();
        if self.running().is_some() {
            let mut stop = self.postgres_program("pg_ctl");
            let _ = stop.args(["stop", "--wait", "--mode=immediate"]).env("PGDATA", self.data()).status();
        }
    }
}
