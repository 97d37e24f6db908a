//! Creates, starts and stops the cluster on disk, with the programs of PostgreSQL.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    net::TcpListener,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    net::TcpStream,
    process::Command,
    time::{Instant, sleep},
};
use uuid::Uuid;

use super::{
    OLDEST_VERSION,
    error::{EmbeddedPostgresError, PathContext as _, Result},
    home::{foreign, open_home, version_of_cluster},
    postmaster::Postmaster,
    role,
    system::{OsUser, installed_programs},
};
use crate::backend::directories::PRIVATE_FILE_MODE;

/// The longest wait for the database to accept connections. Replaying its log after a power cut can take minutes. After
/// this time a person has to read the log file.
const START_TIMEOUT: Duration = Duration::from_secs(300);
const JOIN_POLL_INTERVAL: Duration = Duration::from_millis(100);
/// The longest wait for a fast shutdown, which writes a checkpoint first.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);
/// The name of the file that holds the superuser's password.
const SUPERUSER_PASSWORD: &str = "password";
/// The name of the file that holds the password of the application's role.
const APPLICATION_PASSWORD: &str = "app-password";

/// A database cluster on disk, and the PostgreSQL programs that run it.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) data_dir: PathBuf,
    /// The directory that holds `data`, the passwords and `start.log`. It belongs to the user that PostgreSQL runs as.
    pub(super) home: PathBuf,
    account: OsUser,
    programs: PathBuf,
}

impl Cluster {
    pub(super) async fn open(data_dir: &Path) -> Result<Self> {
        let account = OsUser::of_postgres(&data_dir.join("postgres/data"));
        let home = open_home(data_dir, account)?;
        let version = version_of_cluster(&home, account)?;
        let installed = installed_programs(account).await;
        let programs = match version {
            Some(version) => installed
                .into_iter()
                .find(|(found, _)| *found == version)
                .ok_or_else(|| EmbeddedPostgresError::VersionGone { home: home.clone(), version }),
            None => installed
                .into_iter()
                .filter(|(found, _)| *found >= OLDEST_VERSION)
                .max_by_key(|(found, _)| *found)
                .ok_or(EmbeddedPostgresError::NotInstalled),
        }?
        .1;
        let cluster = Self { data_dir: data_dir.to_owned(), home, account, programs };
        match version {
            None => cluster.initialise().await?,
            // A missing password is reported before the database is started.
            Some(_) => cluster.superuser_password().map(drop)?,
        }
        Ok(cluster)
    }

    fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    fn superuser_password(&self) -> Result<String> {
        let path = self.home.join(SUPERUSER_PASSWORD);
        read_password(&path).with_path(&path)?.ok_or(EmbeddedPostgresError::NoPassword { path })
    }

    /// Reads the password of the application's role, or makes one. [`Self::prepare`] gives it to the role.
    fn application_password(&self) -> Result<String> {
        let path = self.home.join(APPLICATION_PASSWORD);
        match read_password(&path).with_path(&path)? {
            Some(password) => Ok(password),
            None => self.make_password(&path),
        }
    }

    fn make_password(&self, path: &Path) -> Result<String> {
        let password = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        // `create_new` refuses to follow a link: the folder belongs to another user, who must not choose which file
        // root writes.
        let draft = path.with_extension("new");
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).with_path(&draft),
            _ => {}
        }
        let mut file =
            File::options().write(true).create_new(true).mode(PRIVATE_FILE_MODE).open(&draft).with_path(&draft)?;
        file.write_all(password.as_bytes()).and_then(|()| file.sync_all()).with_path(&draft)?;
        self.account.own(&draft).with_path(&draft)?;
        fs::rename(&draft, path).with_path(path)?;
        File::open(&self.home).and_then(|home| home.sync_all()).with_path(&self.home)?;
        Ok(password)
    }

    /// Makes the application's role the owner of the database. Returns the role's connection URL.
    pub(super) async fn prepare(&self, port: u16) -> Result<String> {
        let url = |role: &str, password: &str| format!("postgres://{role}:{password}@127.0.0.1:{port}/postgres");
        let password = self.application_password()?;
        let superuser = url("vwaza", &self.superuser_password()?);
        role::prepare(&superuser, &password)
            .await
            .map_err(|source| EmbeddedPostgresError::NotPrepared { home: self.home.clone(), source })?;
        Ok(url(role::APPLICATION, &password))
    }

    /// Creates the cluster under another name and renames it, so that a kill leaves no cluster or a complete one.
    async fn initialise(&self) -> Result<()> {
        let unfinished = self.home.join("data.new");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).with_path(&unfinished)?;
        }
        // A password file without a cluster was left by a kill, so it may be overwritten.
        let password = self.home.join(SUPERUSER_PASSWORD);
        self.make_password(&password)?;

        let mut initdb = self.command("initdb");
        initdb.arg("--pgdata").arg(&unfinished);
        initdb.arg("--pwfile").arg(&password);
        // ICU sorts and changes case in the same way on every system, whatever locales the system has.
        initdb.args(["--encoding=UTF8", "--locale=C"]);
        initdb.args(["--locale-provider=icu", "--icu-locale=und"]);
        initdb.args(["--username=vwaza", "--auth=scram-sha-256"]);
        run(initdb).await?;

        let data = self.data();
        fs::rename(&unfinished, &data).with_path(&data)?;
        File::open(&self.home).and_then(|home| home.sync_all()).with_path(&self.home)
    }

    pub(super) fn postmaster(&self) -> Result<Postmaster> {
        let data = self.data();
        Postmaster::of(&data).with_path(&data.join("postmaster.pid"))
    }

    async fn start(&self) -> Result<()> {
        self.refuse_foreign_files()?;
        if let Postmaster::Dead { blocks_start: true } = self.postmaster()? {
            let left = self.data().join("postmaster.pid");
            tracing::warn!(path = %left.display(), "stale postmaster.pid removed: it names another program's process");
            fs::remove_file(&left).with_path(&left)?;
        }
        loop {
            let port =
                TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).with_path(&self.home)?.port();
            let started = self.start_at(port).await;
            // Another program may have taken the port just now. Then another port is tried.
            if started.is_ok() || TcpListener::bind(("127.0.0.1", port)).is_ok() {
                return started;
            }
        }
    }

    async fn start_at(&self, port: u16) -> Result<()> {
        let log = self.home.join("start.log");
        // `pg_ctl` appends to the log. Only the latest start matters, and the file must not grow for ever.
        let _ = fs::remove_file(&log);
        let mut start = self.pg_ctl("start");
        // The log's name has no path, because `pg_ctl` puts it into a shell's double quotes.
        start.arg("--log=start.log").arg("--wait");
        start.arg(format!("--timeout={}", START_TIMEOUT.as_secs()));
        // 200 connections are enough for one process with the largest concurrency and one with the default. There are
        // seven log files, one for each day of the week.
        start.arg(format!(
            "--options=-c port={port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=200 \
             -c logging_collector=on -c log_filename=postgresql-%a.log -c log_truncate_on_rotation=on \
             -c log_rotation_size=0 -c log_checkpoints=off"
        ));
        match run(start).await {
            Err(EmbeddedPostgresError::Program { program, output }) => {
                let log = fs::read_to_string(&log).unwrap_or_default();
                let output = format!("{output}\n{log}");
                Err(EmbeddedPostgresError::Program { program, output })
            }
            other => other,
        }
    }

    /// Waits until the database accepts connections, and starts it if it does not run. Returns its port and whether it
    /// was started here. A running database may still be recovering, or be about to end because the machine's init
    /// system stops it.
    pub(super) async fn make_ready(&self) -> Result<(u16, bool)> {
        let deadline = Instant::now() + START_TIMEOUT;
        let mut started = false;
        while Instant::now() < deadline {
            match self.postmaster()? {
                Postmaster::Alive(file) => {
                    if let Some(port) = file.ready_port
                        && TcpStream::connect(("127.0.0.1", port)).await.is_ok()
                    {
                        return Ok((port, started));
                    }
                    sleep(JOIN_POLL_INTERVAL).await;
                }
                Postmaster::None | Postmaster::Dead { .. } => {
                    self.start().await?;
                    started = true;
                }
            }
        }
        Err(EmbeddedPostgresError::NotReady { home: self.home.clone() })
    }

    /// Shuts the database down unless another process uses it. The caller holds `postgres.lock` and no lock on
    /// `in_use`.
    pub(super) async fn stop_unless_used(&self, in_use: &File) -> Result<()> {
        if in_use.try_lock().is_err() {
            tracing::info!("embedded PostgreSQL is left running: another process uses it");
            return Ok(());
        }
        self.stop().await
    }

    pub(super) async fn stop(&self) -> Result<()> {
        // `pg_ctl` signals whatever process has the id in the file, so that process must be this database.
        if !matches!(self.postmaster()?, Postmaster::Alive(_)) {
            return Ok(());
        }
        let mut stop = self.pg_ctl("stop");
        stop.arg("--mode=fast").arg("--wait");
        stop.arg(format!("--timeout={}", STOP_TIMEOUT.as_secs()));
        run(stop).await
    }

    /// A `pg_ctl` command. The data directory is passed in the environment, because `pg_ctl` puts its option into a
    /// shell's double quotes, where a `"`, `$` or backtick has a meaning.
    fn pg_ctl(&self, what: &str) -> Command {
        let mut command = self.command("pg_ctl");
        command.arg(what).env("PGDATA", self.data());
        command
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(&self.home).env("LC_ALL", "C");
        self.account.run_as(&mut command);
        command
    }

    /// Refuses a data directory that holds another user's files.
    ///
    /// # Errors
    /// When a file in the data directory belongs to another user. PostgreSQL would fail at once, or later in the middle
    /// of its work.
    fn refuse_foreign_files(&self) -> Result<()> {
        match self.account.first_not_owned(&self.data())? {
            Some(path) => Err(foreign(path, self.account, &self.home)),
            None => Ok(()),
        }
    }
}

fn read_password(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        text => Ok(Some(text?.trim().to_owned()).filter(|password| !password.is_empty())),
    }
}

async fn run(mut command: Command) -> Result<()> {
    let program = PathBuf::from(command.as_std().get_program());
    let output = command.output().await.with_path(&program)?;
    if output.status.success() {
        return Ok(());
    }
    let mut text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stdout));
    Err(EmbeddedPostgresError::Program { program, output: text })
}
