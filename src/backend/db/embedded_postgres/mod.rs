//! The embedded PostgreSQL, which the product starts when `DATABASE_URL` is not set.
//!
//! The cluster is in `<data dir>/postgres`, and the database listens on loopback. The superuser (`vwaza`) only prepares
//! a role for the application. Each of the two has a password of its own. `pg_ctl` starts the database in a session of
//! its own, so it outlives a killed server. Later processes join the running database, and the last process that shuts
//! down cleanly stops it. `fsync` stays on, because this is production data.

mod postmaster;
mod role;
mod system;

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use self::{
    postmaster::Postmaster,
    system::{OsUser, installed_programs},
};
use crate::backend::directories::{
    PRIVATE_DIR_MODE, PRIVATE_FILE_MODE, create_traversable_dir, open_private_file, shell_quoted,
};

/// The oldest major version that the product is tested with.
const OLDEST_VERSION: u32 = 15;
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
/// The parent of the cluster's directory if the data directory is root's and PostgreSQL's user cannot enter it.
const HOME_BESIDE_ROOT: &str = "/var/lib/vwaza";

#[derive(Debug, thiserror::Error)]
pub enum EmbeddedPostgresError {
    #[error(
        "found no PostgreSQL {OLDEST_VERSION} or newer to embed: install one (Debian: postgresql, Homebrew: \
         postgresql@17) or set DATABASE_URL. Root uses none that other users could replace"
    )]
    NotInstalled,
    #[error(
        "the database in {home} was made by PostgreSQL {version}, which is no longer installed: install it again. Root uses none that other \
         users could replace"
    )]
    VersionGone { home: PathBuf, version: u32 },
    #[error(
        "{path} does not say which PostgreSQL made the database there, so it is left as it is: restore it from a backup, or move {data} \
         away to begin with an empty database"
    )]
    Damaged { path: PathBuf, data: PathBuf },
    #[error(
        "{path} is missing or empty, without which nobody gets into the database beside it: restore it from a backup"
    )]
    NoPassword { path: PathBuf },
    #[error(
        "{path} belongs to another user than PostgreSQL, which runs as user {uid}: files that were copied back are to be given to it. As \
         root: chown -R {uid}:{gid} {folder}"
    )]
    Foreign { path: PathBuf, uid: u32, gid: u32, folder: String },
    #[error(
        "PostgreSQL runs as user {uid}, who cannot get to {home}: each folder above it has to let others through (chmod a+x)"
    )]
    OutOfReach { home: PathBuf, uid: u32 },
    #[error("there is a line break in the path of the data directory {0:?}, with which PostgreSQL does not work")]
    LineBreak(PathBuf),
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{program} failed: {output}")]
    Program { program: PathBuf, output: String },
    #[error("the database in {home} runs but accepts no connections; its reasons stand in data/log there")]
    NotReady { home: PathBuf },
    #[error("the database in {home} runs but could not be prepared for the application: {source}")]
    NotPrepared { home: PathBuf, source: sqlx::Error },
}

type Result<T> = std::result::Result<T, EmbeddedPostgresError>;

trait PathContext<T> {
    fn with_path(self, path: &Path) -> Result<T>;
}

impl<T> PathContext<T> for std::io::Result<T> {
    fn with_path(self, path: &Path) -> Result<T> {
        self.map_err(|source| EmbeddedPostgresError::File { path: path.to_owned(), source })
    }
}

/// A running database that this process uses.
pub struct EmbeddedPostgres {
    cluster: Cluster,
    url: String,
    started_here: bool,
    /// A file with a shared lock for as long as this process uses the database. The system releases the lock of a
    /// killed process.
    in_use: File,
}

impl EmbeddedPostgres {
    /// Starts the database under `data_dir`, or joins the running one. Creates the cluster if there is none. Any number
    /// of processes may call this at once: one starts the database, the others wait for it and join.
    pub async fn start_or_join(data_dir: &Path) -> Result<Self> {
        create_traversable_dir(data_dir).with_path(data_dir)?;
        let data_dir = data_dir.canonicalize().with_path(data_dir)?;
        refuse_line_break(&data_dir)?;
        let _starting = lock_exclusively(data_dir.join("postgres.lock")).await?;
        let path = data_dir.join("postgres.in-use");
        let in_use = open_lock(&path)?;

        let cluster = Cluster::open(&data_dir).await?;
        let (port, started_here) = cluster.make_ready().await?;
        let url = match cluster.prepare(port).await {
            Ok(url) => url,
            Err(error) => {
                if started_here {
                    // The first error is the one to report, not a failure to stop.
                    let _ = cluster.stop_unless_used(&in_use).await;
                }
                return Err(error);
            }
        };
        in_use.lock_shared().with_path(&path)?;
        tracing::info!(port, started_here, home = %cluster.home.display(), "embedded PostgreSQL is ready");
        Ok(Self { cluster, url, started_here, in_use })
    }

    /// The connection URL of the application's role, with its password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether this process started the database rather than joined it.
    pub fn started_here(&self) -> bool {
        self.started_here
    }

    /// Shuts the database down unless another process uses it. A shutdown closes all open connections.
    pub async fn stop(self) -> Result<()> {
        let data_dir = &self.cluster.data_dir;
        let _stopping = lock_exclusively(data_dir.join("postgres.lock")).await?;
        self.in_use.unlock().with_path(data_dir)?;
        self.cluster.stop_unless_used(&self.in_use).await
    }
}

/// Opens a lock file of the data directory. Reports a file or directory that belongs to another user, such as root
/// after a copy that root has made.
fn open_lock(path: &Path) -> Result<File> {
    open_private_file(path).map_err(|error| {
        let data_dir = path.parent().unwrap_or(path);
        let own = OsUser::of_this_process();
        let is_foreign =
            fs::metadata(path).or_else(|_| fs::metadata(data_dir)).is_ok_and(|found| found.uid() != own.uid);
        match error.kind() {
            io::ErrorKind::PermissionDenied if is_foreign => foreign(path.to_owned(), own, data_dir),
            _ => EmbeddedPostgresError::File { path: path.to_owned(), source: error },
        }
    })
}

async fn lock_exclusively(path: PathBuf) -> Result<File> {
    let file = open_lock(&path)?;
    // The lock may take as long as another process needs to start the database.
    tokio::task::spawn_blocking(move || file.lock().map(|()| file))
        .await
        .unwrap_or_else(|panic| Err(std::io::Error::other(panic)))
        .with_path(&path)
}

/// A database cluster on disk, and the PostgreSQL programs that run it.
#[derive(Debug)]
struct Cluster {
    data_dir: PathBuf,
    /// The directory that holds `data`, the passwords and `start.log`. It belongs to the user that PostgreSQL runs as.
    home: PathBuf,
    account: OsUser,
    programs: PathBuf,
}

impl Cluster {
    async fn open(data_dir: &Path) -> Result<Self> {
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
    async fn prepare(&self, port: u16) -> Result<String> {
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

    fn postmaster(&self) -> Result<Postmaster> {
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
    async fn make_ready(&self) -> Result<(u16, bool)> {
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
    async fn stop_unless_used(&self, in_use: &File) -> Result<()> {
        if in_use.try_lock().is_err() {
            tracing::info!("embedded PostgreSQL is left running: another process uses it");
            return Ok(());
        }
        self.stop().await
    }

    async fn stop(&self) -> Result<()> {
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

/// The error for a file below `folder` that does not belong to PostgreSQL's user.
fn foreign(path: PathBuf, account: OsUser, folder: &Path) -> EmbeddedPostgresError {
    // `chown -R` follows no link below its folder, so the command names the target of such a link.
    let folder = path.ancestors().find(|part| part.is_symlink() && part.starts_with(folder)).unwrap_or(folder);
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    EmbeddedPostgresError::Foreign { path, uid: account.uid, gid: account.gid, folder: shell_quoted(&folder) }
}

fn refuse_line_break(path: &Path) -> Result<()> {
    // `postmaster.pid` is read by line numbers, and one of its lines is this path.
    match path.as_os_str().as_bytes().contains(&b'\n') {
        true => Err(EmbeddedPostgresError::LineBreak(path.to_owned())),
        false => Ok(()),
    }
}

fn read_password(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        text => Ok(Some(text?.trim().to_owned()).filter(|password| !password.is_empty())),
    }
}

/// The major version of the PostgreSQL that made the cluster; `None` if there is no cluster yet. A `data` folder
/// without a version may be the mount point of a disk that is not mounted, or a damaged cluster, so no new cluster is
/// made in its place.
fn version_of_cluster(home: &Path, account: OsUser) -> Result<Option<u32>> {
    let data = home.join("data");
    match fs::symlink_metadata(&data) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found.with_path(&data)?,
    };
    let path = data.join("PG_VERSION");
    match fs::read_to_string(&path) {
        Ok(text) if text.trim().parse::<u32>().is_ok() => Ok(text.trim().parse().ok()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => match account.first_not_owned(&data)? {
            Some(path) => Err(foreign(path, account, home)),
            None => Err(error).with_path(&path),
        },
        Ok(_) => Err(EmbeddedPostgresError::Damaged { path, data }),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
            Err(EmbeddedPostgresError::Damaged { path, data })
        }
        Err(error) => Err(error).with_path(&path),
    }
}

/// Opens the directory `<data dir>/postgres`, or the target of that link, and creates it if need be. The link lets a
/// data directory be moved although its database had to be placed elsewhere.
fn open_home(data_dir: &Path, account: OsUser) -> Result<PathBuf> {
    let home = data_dir.join("postgres");
    if fs::symlink_metadata(&home).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        if account.can_traverse(data_dir) {
            fs::DirBuilder::new().mode(PRIVATE_DIR_MODE).create(&home).with_path(&home)?;
        } else {
            let elsewhere = Path::new(HOME_BESIDE_ROOT).join(Uuid::new_v4().simple().to_string());
            create_traversable_dir(Path::new(HOME_BESIDE_ROOT)).with_path(Path::new(HOME_BESIDE_ROOT))?;
            fs::DirBuilder::new().mode(PRIVATE_DIR_MODE).create(&elsewhere).with_path(&elsewhere)?;
            std::os::unix::fs::symlink(&elsewhere, &home).with_path(&home)?;
            tracing::info!(
                uid = account.uid,
                home = %elsewhere.display(),
                data_dir = %data_dir.display(),
                "embedded PostgreSQL is placed outside the data directory, which its user cannot reach"
            );
        }
    }
    let home = home.canonicalize().with_path(&home)?;
    refuse_line_break(&home)?;
    // A home without a cluster was created a moment ago, or by a process that was killed at that point.
    if fs::symlink_metadata(home.join("data")).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        account.own(&home).with_path(&home)?;
    }
    if fs::metadata(&home).with_path(&home)?.uid() != account.uid {
        return Err(foreign(home.clone(), account, &home));
    }
    fs::set_permissions(&home, Permissions::from_mode(PRIVATE_DIR_MODE)).with_path(&home)?;
    if !account.can_traverse(&home) {
        return Err(EmbeddedPostgresError::OutOfReach { home, uid: account.uid });
    }
    Ok(home)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that all users can enter, so that tests run by root leave nothing in [`HOME_BESIDE_ROOT`].
    fn reachable_directory() -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("the directory is ours");
        directory
    }

    /// Asks the database for its `max_connections`.
    async fn answer(database: &EmbeddedPostgres) -> sqlx::Result<i32> {
        use sqlx::{Connection as _, PgConnection};
        let mut connection = PgConnection::connect(database.url()).await?;
        sqlx::query_scalar("select current_setting('max_connections')::int").fetch_one(&mut connection).await
    }

    #[tokio::test]
    async fn one_starts_another_joins_and_the_last_one_out_stops_it() {
        let directory = reachable_directory();
        let (one, other) = tokio::join!(
            EmbeddedPostgres::start_or_join(directory.path()),
            EmbeddedPostgres::start_or_join(directory.path())
        );
        let (one, other) = (one.expect("the database starts"), other.expect("the database starts"));
        assert_ne!(one.started_here(), other.started_here());
        assert_eq!(one.url(), other.url());

        one.stop().await.expect("the first process leaves");
        assert_eq!(answer(&other).await.expect("the database still runs"), 200);

        let cluster = Cluster::open(directory.path()).await.expect("the cluster exists");
        other.stop().await.expect("the database stops");
        assert_eq!(cluster.postmaster().expect("the pid file can be read"), Postmaster::None);

        let again = EmbeddedPostgres::start_or_join(directory.path()).await;
        let again = again.expect("the database starts again with its old password");
        assert_eq!(answer(&again).await.expect("the database runs"), 200);
        again.stop().await.expect("the database stops");
    }
}
