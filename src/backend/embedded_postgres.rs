//! The PostgreSQL that the product starts for itself when it is given no `DATABASE_URL`.
//!
//! It is an ordinary PostgreSQL with its cluster in `<data dir>/postgres`, listening on loopback with a password
//! of its own. It outlives a killed server (`pg_ctl` starts it in a session of its own), and whoever comes next
//! joins it; the last process that leaves in peace stops it. `fsync` stays on: this is production data.

mod system;

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use self::system::{Account, installed_programs};

/// The oldest major version that the product is tested with.
const OLDEST_VERSION: u32 = 15;
/// Replaying the log after a power cut can take minutes; past this the log file has to be read by a person.
const START_TIMEOUT: Duration = Duration::from_secs(300);
const JOIN_POLL: Duration = Duration::from_millis(100);
/// What a fast shutdown may take; it writes a checkpoint first.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);
/// Where the cluster goes when root's data directory is closed to the user that PostgreSQL runs as.
const HOME_BESIDE_ROOT: &str = "/var/lib/vwaza";

#[derive(Debug, thiserror::Error)]
pub enum EmbeddedPostgresError {
    #[error(
        "found no PostgreSQL {OLDEST_VERSION} or newer to embed: install one (Debian: postgresql, Homebrew: \
         postgresql@17) or set DATABASE_URL"
    )]
    NotInstalled,
    #[error("the database in {home} was made by PostgreSQL {version}, which is no longer installed: install it again")]
    VersionGone { home: PathBuf, version: u32 },
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{program} failed: {output}")]
    Program { program: PathBuf, output: String },
    #[error("the database in {home} runs but accepts no connections; its reasons stand in data/log there")]
    NotReady { home: PathBuf },
}

type Result<T> = std::result::Result<T, EmbeddedPostgresError>;

trait At<T> {
    fn at(self, path: &Path) -> Result<T>;
}

impl<T> At<T> for std::io::Result<T> {
    fn at(self, path: &Path) -> Result<T> {
        self.map_err(|source| EmbeddedPostgresError::File { path: path.to_owned(), source })
    }
}

/// A running database which this process uses.
pub struct EmbeddedPostgres {
    cluster: Cluster,
    url: String,
    started_here: bool,
    /// Locked (shared) as long as this process uses the database; a kill releases it.
    in_use: File,
}

impl EmbeddedPostgres {
    /// Starts the database under `data_dir`, making it first if there is none, or joins the one that runs.
    /// Any number of processes may do so at once: one starts, the others wait for it and join.
    pub async fn start_or_join(data_dir: &Path) -> Result<Self> {
        fs::create_dir_all(data_dir).at(data_dir)?;
        let data_dir = data_dir.canonicalize().at(data_dir)?;
        let _starting = lock_exclusively(data_dir.join("postgres.lock")).await?;

        let cluster = Cluster::open(&data_dir).await?;
        let (port, started_here) = cluster.make_ready().await?;
        let path = data_dir.join("postgres.in-use");
        let in_use = File::create(&path).at(&path)?;
        in_use.lock_shared().at(&path)?;
        tracing::info!(port, started_here, home = %cluster.home.display(), "embedded PostgreSQL is ready");

        let password = cluster.password()?;
        Ok(Self {
            url: format!("postgres://vwaza:{password}@127.0.0.1:{port}/postgres"),
            cluster,
            started_here,
            in_use,
        })
    }

    /// A connection URL, password included.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether this process started it, rather than joined it.
    pub fn started_here(&self) -> bool {
        self.started_here
    }

    /// Shuts the database down unless another process uses it. Open connections are cut.
    pub async fn stop(self) -> Result<()> {
        let data_dir = &self.cluster.data_dir;
        let _stopping = lock_exclusively(data_dir.join("postgres.lock")).await?;
        self.in_use.unlock().at(data_dir)?;
        if self.in_use.try_lock().is_err() {
            tracing::info!("embedded PostgreSQL is left running: another process uses it");
            return Ok(());
        }
        self.cluster.stop().await
    }
}

async fn lock_exclusively(path: PathBuf) -> Result<File> {
    let file = File::create(&path).at(&path)?;
    // Waits as long as another process needs to start the database.
    tokio::task::spawn_blocking(move || file.lock().map(|()| file))
        .await
        .unwrap_or_else(|panic| Err(std::io::Error::other(panic)))
        .at(&path)
}

/// A database cluster on disk, and the programs to run it with.
#[derive(Debug)]
struct Cluster {
    data_dir: PathBuf,
    /// Holds `data`, `password` and `start.log`; belongs to the user that PostgreSQL runs as.
    home: PathBuf,
    account: Option<Account>,
    programs: PathBuf,
}

impl Cluster {
    async fn open(data_dir: &Path) -> Result<Self> {
        let account = Account::to_switch_to();
        let home = open_home(data_dir, account)?;
        let installed = installed_programs().await;
        let version = fs::read_to_string(home.join("data/PG_VERSION")).ok().and_then(|text| text.trim().parse().ok());
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
        if version.is_none() {
            cluster.initialise().await?;
        }
        Ok(cluster)
    }

    fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    fn password(&self) -> Result<String> {
        let path = self.home.join("password");
        fs::read_to_string(&path).at(&path)
    }

    /// Makes the cluster beside its place and moves it there, so that a kill leaves none or a whole one.
    async fn initialise(&self) -> Result<()> {
        let unfinished = self.home.join("data.new");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).at(&unfinished)?;
        }
        let password = self.home.join("password");
        let secret = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let mut options = File::options();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&password).at(&password)?;
        file.write_all(secret.as_bytes()).at(&password)?;
        file.sync_all().at(&password)?;
        give(&password, self.account)?;

        let mut initdb = self.command("initdb");
        initdb.arg("--pgdata").arg(&unfinished);
        initdb.arg("--pwfile").arg(&password);
        // The same sorting and letter case on every system, whatever locales it has.
        initdb.args(["--encoding=UTF8", "--locale=C"]);
        initdb.args(["--locale-provider=icu", "--icu-locale=und"]);
        initdb.args(["--username=vwaza", "--auth=scram-sha-256"]);
        run(initdb).await?;

        let data = self.data();
        fs::rename(&unfinished, &data).at(&data)?;
        File::open(&self.home).and_then(|home| home.sync_all()).at(&self.home)
    }

    async fn is_running(&self) -> Result<bool> {
        let mut status = self.pg_ctl("status");
        let output = status.output().await.at(&self.programs)?;
        Ok(output.status.success())
    }

    async fn start(&self) -> Result<()> {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).at(&self.home)?.port();
        let log = self.home.join("start.log");
        // `pg_ctl` appends; only the last attempt is of interest, and the file must not grow for ever.
        let _ = fs::remove_file(&log);
        let mut start = self.pg_ctl("start");
        start.arg("--log").arg(&log).arg("--wait");
        start.arg(format!("--timeout={}", START_TIMEOUT.as_secs()));
        // Enough for a process of the largest concurrency beside one of the usual. Seven log files, one for each day of the week.
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

    /// The port where connections are accepted, and whether it had to be started for that. One found running may
    /// still be recovering, or about to end because its machine's init system said so.
    async fn make_ready(&self) -> Result<(u16, bool)> {
        let deadline = Instant::now() + START_TIMEOUT;
        let mut started = false;
        while Instant::now() < deadline {
            if !self.is_running().await? {
                self.start().await?;
                started = true;
            }
            let postmaster = fs::read_to_string(self.data().join("postmaster.pid"));
            if let Some(port) = postmaster.ok().as_deref().and_then(ready_port)
                && TcpStream::connect(("127.0.0.1", port)).await.is_ok()
            {
                return Ok((port, started));
            }
            sleep(JOIN_POLL).await;
        }
        Err(EmbeddedPostgresError::NotReady { home: self.home.clone() })
    }

    async fn stop(&self) -> Result<()> {
        let mut stop = self.pg_ctl("stop");
        stop.arg("--mode=fast").arg("--wait");
        stop.arg(format!("--timeout={}", STOP_TIMEOUT.as_secs()));
        run(stop).await
    }

    fn pg_ctl(&self, what: &str) -> Command {
        let mut command = self.command("pg_ctl");
        command.arg(what).arg("--pgdata").arg(self.data());
        command
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir("/").env("LC_ALL", "C");
        if let Some(account) = self.account {
            command.uid(account.uid).gid(account.gid);
        }
        command
    }
}

/// The directory `<data dir>/postgres`, or what that links to: the link keeps a moved data directory together
/// with a database that had to go elsewhere.
fn open_home(data_dir: &Path, account: Option<Account>) -> Result<PathBuf> {
    let home = data_dir.join("postgres");
    if fs::symlink_metadata(&home).is_err() {
        match account {
            Some(account) if !account.reaches(data_dir) => {
                let elsewhere = Path::new(HOME_BESIDE_ROOT).join(Uuid::new_v4().simple().to_string());
                fs::create_dir_all(HOME_BESIDE_ROOT).at(Path::new(HOME_BESIDE_ROOT))?;
                fs::create_dir(&elsewhere).at(&elsewhere)?;
                std::os::unix::fs::symlink(&elsewhere, &home).at(&home)?;
                tracing::info!(
                    uid = account.uid,
                    "the database goes to {}: its user cannot reach {}",
                    elsewhere.display(),
                    data_dir.display()
                );
            }
            _ => fs::DirBuilder::new().mode(0o700).create(&home).at(&home)?,
        }
    }
    let home = home.canonicalize().at(&home)?;
    fs::set_permissions(&home, Permissions::from_mode(0o700)).at(&home)?;
    give(&home, account)?;
    Ok(home)
}

fn give(path: &Path, account: Option<Account>) -> Result<()> {
    match account {
        Some(account) => std::os::unix::fs::chown(path, Some(account.uid), Some(account.gid)).at(path),
        None => Ok(()),
    }
}

/// The port in a `postmaster.pid` (line 4) whose state (line 8) says that connections are accepted.
fn ready_port(postmaster_pid: &str) -> Option<u16> {
    let lines: Vec<_> = postmaster_pid.lines().map(str::trim).collect();
    (lines.get(7) == Some(&"ready")).then(|| lines.get(3)?.parse().ok()).flatten()
}

async fn run(mut command: Command) -> Result<()> {
    let program = PathBuf::from(command.as_std().get_program());
    let output = command.output().await.at(&program)?;
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

    /// Open to all, so that root's tests leave nothing outside it.
    fn reachable_directory() -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("it is ours");
        directory
    }

    /// How many connections it takes.
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
        let (one, other) = (one.expect("starts"), other.expect("starts"));
        assert_ne!(one.started_here(), other.started_here());
        assert_eq!(one.url(), other.url());

        one.stop().await.expect("leaves");
        assert_eq!(answer(&other).await.expect("still runs"), 200);

        let cluster = Cluster::open(directory.path()).await.expect("is there");
        other.stop().await.expect("stops");
        assert!(!cluster.is_running().await.expect("a status"));

        let again = EmbeddedPostgres::start_or_join(directory.path()).await;
        let again = again.expect("starts again, with the password it has");
        assert_eq!(answer(&again).await.expect("runs"), 200);
        again.stop().await.expect("stops");
    }

    #[test]
    fn a_database_that_is_still_recovering_has_no_port_yet() {
        let pid_file = |state| format!("812\n/data\n1700000000\n54329\n\n127.0.0.1\n  1234  5\n{state}\n");
        assert_eq!(ready_port(&pid_file("ready   ")), Some(54329));
        assert_eq!(ready_port(&pid_file("starting")), None);
        assert_eq!(ready_port("812\n/data\n"), None);
    }
}
