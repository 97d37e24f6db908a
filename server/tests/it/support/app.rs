//! Starts, kills and restarts the real binary for a test.

use std::{
    env,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        Arc, RwLock,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
};

use serde_json::Value;
use sqlx::PgPool;
use tempfile::TempDir;
use testing::{Proxy, TestDatabase, eventually, eventually_or_none, test_server_url};
use time::OffsetDateTime;
use vwaza::domain::ids::ReleaseId;

use super::{
    client::{Client, form},
    log::Log,
    response::TestResponse,
};

/// The signal that ends a process at a fail point.
pub(crate) const SIGABRT: i32 = 6;

/// The password of every account.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// The server's present address. Each restart takes another port.
pub(crate) type Address = Arc<RwLock<String>>;

pub(crate) struct App {
    process: Option<Child>,
    environment: Vec<(String, String)>,
    /// The argument of `ulimit -n` for the process.
    descriptors: Option<String>,
    address: Address,
    /// The start of the present process.
    started: OffsetDateTime,
    pub(crate) log: Log,
    /// A connection pool for reading rows behind the server's back and for holding locks.
    pub(crate) sql: PgPool,
    data_dir: TempDir,
    people: AtomicU32,
    /// The number of answers of 500 that the test has provoked.
    provoked_faults: AtomicUsize,
    database: TestDatabase,
}

pub(crate) async fn spawn_app() -> App {
    spawn_app_with(&[]).await
}

/// Starts a server with additional settings. It gets nothing else from this environment.
pub(crate) async fn spawn_app_with(settings: &[(&str, &str)]) -> App {
    let database = TestDatabase::migrated(&test_server_url()).await;
    let data_dir = TempDir::new().unwrap();
    let defaults = [
        ("DATABASE_URL", database.url()),
        ("VWAZA_DATA_DIR", data_dir.path().to_str().unwrap().to_owned()),
        ("VWAZA_LISTEN", "127.0.0.1:0".to_owned()),
        // A notification may get lost between two processes. Then the next poll finds the job, so polls are frequent.
        ("VWAZA_JOB_POLL_MS", "200".to_owned()),
        // At the end of a test, everything unneeded must be gone. With these settings no grace time excuses it.
        ("VWAZA_ORPHAN_GRACE_SECONDS", "1".to_owned()),
        ("VWAZA_REPLACED_OBJECT_DAYS", "0".to_owned()),
        ("RUST_LOG", "info".to_owned()),
    ];
    let own = settings.iter().map(|(name, value)| (*name, (*value).to_owned()));
    let mut app = App {
        process: None,
        environment: defaults.into_iter().chain(own).map(|(name, value)| (name.to_owned(), value)).collect(),
        descriptors: None,
        address: Address::default(),
        started: OffsetDateTime::now_utc(),
        log: Log::default(),
        sql: PgPool::connect_lazy(&database.url()).unwrap(),
        data_dir,
        people: AtomicU32::new(0),
        provoked_faults: AtomicUsize::new(0),
        database,
    };
    app.start().await;
    app
}

impl App {
    /// Starts a server whose database connections go through a proxy. `sql` does not.
    pub(crate) async fn behind_a_proxy() -> (Self, Proxy) {
        let mut app = spawn_app().await;
        let url = app.database_url();
        let (_, rest) = url.rsplit_once('@').unwrap();
        let (host, _) = rest.split_once('/').unwrap();
        let proxy = Proxy::to(host).await;
        let url = url.replace(&format!("@{host}/"), &format!("@{}/", proxy.address()));
        app.restart_with(&[("DATABASE_URL", &url)]).await;
        (app, proxy)
    }

    /// The id of the process.
    pub(crate) fn id(&self) -> u32 {
        self.process.as_ref().expect("the server runs").id()
    }

    /// Returns the anonymous memory of the process, in KiB.
    pub(crate) fn anonymous_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    }

    /// Returns the binary as a command in this app's environment.
    pub(crate) fn command(&self) -> Command {
        let binary = env!("CARGO_BIN_EXE_vwaza");
        let mut command = match &self.descriptors {
            None => Command::new(binary),
            Some(limit) => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$@\""), binary]);
                shell
            }
        };
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) async fn start(&mut self) {
        let starts = self.log.events("listening").len();
        self.started = OffsetDateTime::now_utc();
        let mut process = self.command().stdout(Stdio::piped()).spawn().unwrap();
        self.log.follow(process.stdout.take().unwrap());
        let listen = eventually("the server listens", async || {
            assert!(process.try_wait().unwrap().is_none(), "the server ended at once: {:#?}", self.log.lines());
            Some(self.log.events("listening").get(starts)?["listen"].as_str()?.to_owned())
        })
        .await;
        *self.address.write().unwrap() = listen;
        self.process = Some(process);
    }

    /// Starts another process, which must end by itself. Returns its standard error.
    pub(crate) async fn refuses_to_start(&self) -> String {
        let mut command = tokio::process::Command::from(self.command());
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let status = eventually("it ends", async || process.try_wait().unwrap()).await;
        let said = process.wait_with_output().await.unwrap().stderr;
        assert!(!status.success());
        String::from_utf8_lossy(&said).into_owned()
    }

    /// Sends SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub(crate) async fn restart(&mut self) {
        self.kill();
        self.start().await;
    }

    pub(crate) async fn restart_with(&mut self, settings: &[(&str, &str)]) {
        self.kill();
        self.start_with(settings).await;
    }

    /// Restarts with another limit of file descriptors, as `ulimit` takes it.
    pub(crate) async fn restart_with_descriptors(&mut self, limit: &str) {
        self.kill();
        self.descriptors = Some(limit.to_owned());
        self.start().await;
    }

    pub(crate) async fn start_with(&mut self, settings: &[(&str, &str)]) {
        self.environment.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.start().await;
    }

    /// The oracle of the tests: in the end `fsck` finds nothing and excuses nothing, no file of the spool is open, and
    /// no request was answered with an error that is the server's fault.
    pub(crate) async fn expect_consistent(&self) {
        let mut said = String::new();
        let agreed = eventually_or_none(async || {
            // fsck may need a storage that this test serves, so waiting must not block the runtime.
            let fsck = tokio::process::Command::from(self.command()).args(["fsck", "--json"]).output().await.unwrap();
            let open = self.open_spool_files();
            said = format!("{}, open: {open:?}", String::from_utf8_lossy(&fsck.stdout));
            let report: Value = serde_json::from_slice(&fsck.stdout).ok()?;
            (fsck.status.success() && report["in_flight"] == 0 && open.is_empty()).then_some(())
        });
        assert!(agreed.await.is_some(), "{said}");
        let faults = self.log.events("answered").into_iter().filter(|event| event["http.status"] == 500);
        let provoked = self.provoked_faults.load(Ordering::Relaxed);
        assert_eq!(faults.skip(provoked).collect::<Vec<_>>(), Vec::<Value>::new());
    }

    /// The oracle while a test is still running. What a kill has left behind is in its grace time, and `fsck` must not
    /// call it damaged.
    pub(crate) async fn expect_nothing_damaged(&self) {
        let mut command = tokio::process::Command::from(self.command());
        let fsck = command.env("VWAZA_ORPHAN_GRACE_SECONDS", "900").arg("fsck").output().await.unwrap();
        assert!(fsck.status.success(), "{}", String::from_utf8_lossy(&fsck.stdout));
    }

    /// Returns the spool files that the process holds open.
    pub(crate) fn open_spool_files(&self) -> Vec<PathBuf> {
        let Some(process) = &self.process else { return Vec::new() };
        let uploads = self.data_dir().join("spool/uploads");
        let handles = std::fs::read_dir(format!("/proc/{}/fd", process.id())).into_iter().flatten();
        // A descriptor may be closed meanwhile.
        let files = handles.filter_map(|handle| std::fs::read_link(handle.ok()?.path()).ok());
        files.filter(|file| file.starts_with(&uploads)).collect()
    }

    /// Waits until the database counts at least so many bytes of the only upload. Returns how many.
    pub(crate) async fn offset_reaches(&self, bytes: usize) -> usize {
        eventually(&format!("{bytes} bytes are counted"), async || {
            let offset: i64 =
                sqlx::query_scalar("select offset_bytes from uploads").fetch_one(&self.sql).await.unwrap();
            usize::try_from(offset).ok().filter(|offset| *offset >= bytes)
        })
        .await
    }

    /// Returns the log lines of one request, once the last of them is written.
    pub(crate) async fn log_lines_of(&self, answer: &TestResponse) -> Vec<Value> {
        let of_request = || -> Vec<Value> {
            let lines = self.log.lines().into_iter().map(|line| serde_json::from_str::<Value>(&line).unwrap());
            lines.filter(|line| line["span"]["request.id"] == answer.request_id()).collect()
        };
        eventually("the log says that it is answered", async || {
            of_request().iter().any(|line| line["message"] == "answered").then_some(())
        })
        .await;
        of_request()
    }

    /// Waits until at least so many statements in this database wait for locks.
    pub(crate) async fn waits_for_locks(&self, statements: i64) {
        self.waits_for_locks_of("%", statements).await;
    }

    /// Waits until at least `count` statements that match `like` wait for locks. The janitor's statements do not match,
    /// if it may wait for the same lock.
    pub(crate) async fn waits_for_locks_of(&self, like: &str, count: i64) {
        eventually(&format!("{count} statements like {like} wait for locks"), async || {
            let waiting: i64 = sqlx::query_scalar(
                "select count(*) from pg_stat_activity
                 where datname = current_database() and wait_event_type = 'Lock' and query like $1",
            )
            .bind(like)
            .fetch_one(&self.sql)
            .await
            .unwrap();
            (waiting >= count).then_some(())
        })
        .await;
    }

    /// Waits until the present process listens for notifications of its database, which happens a moment after it
    /// listens for requests.
    pub(crate) async fn listens_for_hints(&self) {
        eventually("the server listens for hints", async || {
            let listens: bool = sqlx::query_scalar(
                "select exists (select 1 from pg_stat_activity
                                where datname = current_database() and query ilike 'listen %' and state = 'idle'
                                  and backend_start > $1)",
            )
            .bind(self.started)
            .fetch_one(&self.sql)
            .await
            .unwrap();
            listens.then_some(())
        })
        .await;
    }

    /// Waits until the spool holds no bytes of uploads. They are removed a moment after the commit that makes them
    /// unneeded.
    pub(crate) async fn spool_is_empty(&self) {
        eventually("the spool is empty", async || self.files_in("spool/uploads").is_empty().then_some(())).await;
    }

    /// Waits until the clock of the database is past `at`.
    pub(crate) async fn clock_passes(&self, at: OffsetDateTime) {
        eventually(&format!("it is past {at}"), async || {
            let is_past: bool =
                sqlx::query_scalar("select clock_timestamp() > $1").bind(at).fetch_one(&self.sql).await.unwrap();
            is_past.then_some(())
        })
        .await;
    }

    /// Locks a release until the returned transaction is dropped.
    pub(crate) async fn hold_release(&self, id: ReleaseId) -> sqlx::Transaction<'static, sqlx::Postgres> {
        let mut transaction = self.sql.begin().await.unwrap();
        let held = sqlx::query("select 1 from releases where id = $1 for update").bind(id.0);
        held.execute(&mut *transaction).await.unwrap();
        transaction
    }

    /// Does two things at once: neither can lock the release before both wait for it.
    pub(crate) async fn at_once<A, B>(
        &self,
        release: ReleaseId,
        one: impl Future<Output = A>,
        two: impl Future<Output = B>,
    ) -> (A, B) {
        let held = self.hold_release(release).await;
        let let_go = async {
            self.waits_for_locks(2).await;
            drop(held);
        };
        let (one, two, ()) = tokio::join!(one, two, let_go);
        (one, two)
    }

    /// Copies the database, for `restore`. The server must not run.
    pub(crate) async fn backup(&self) -> TestDatabase {
        assert!(self.process.is_none(), "the server is connected");
        self.database.backup().await
    }

    pub(crate) async fn restore(&self, backup: &TestDatabase) {
        assert!(self.process.is_none(), "the server is connected");
        self.database.restore(backup).await;
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        let id = self.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }

    /// Waits until the search knows of all changes.
    pub(crate) async fn search_is_current(&self) {
        eventually("the search is current", async || {
            let is_stale = "select exists (select 1 from search_stale)";
            (!sqlx::query_scalar::<_, bool>(is_stale).fetch_one(&self.sql).await.unwrap()).then_some(())
        })
        .await;
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let process = self.process.as_mut().expect("the server runs");
        let status = eventually("the server ends", async || process.try_wait().unwrap()).await;
        self.process = None;
        status
    }

    pub(crate) fn database_url(&self) -> String {
        self.database.url()
    }

    pub(crate) fn data_dir(&self) -> &Path {
        self.data_dir.path()
    }

    /// Returns the only file in a folder of the data directory.
    pub(crate) fn only_file_in(&self, folder: &str) -> PathBuf {
        let files = self.files_in(folder);
        assert_eq!(files.len(), 1, "{folder}: {files:?}");
        files[0].clone()
    }

    /// Waits until the spool holds more than so many bytes of the only upload. Returns how many.
    pub(crate) async fn spooled_beyond(&self, bytes: usize) -> usize {
        eventually("bytes stand in the spool", async || {
            // The file is created with its first byte.
            let file = self.files_in("spool/uploads").pop()?;
            let length = std::fs::metadata(file).ok()?.len();
            usize::try_from(length).ok().filter(|length| *length > bytes)
        })
        .await
    }

    pub(crate) fn files_in(&self, folder: &str) -> Vec<PathBuf> {
        // The folder is created with its first file.
        let entries = std::fs::read_dir(self.data_dir().join(folder)).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Makes the server log its first backtrace. For that it reads the debug info, which stays in its memory: 60 MB in a
    /// debug build.
    pub(crate) async fn logs_a_backtrace(&self, client: &Client) {
        sqlx::query("alter table releases rename to mislaid").execute(&self.sql).await.unwrap();
        client.call_with("releases/view", "id", uuid::Uuid::nil()).await.expect_status(500);
        sqlx::query("alter table mislaid rename to releases").execute(&self.sql).await.unwrap();
        self.provoked_faults.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns a client that is not signed in.
    pub(crate) fn anonymous(&self) -> Client {
        Client::new(self.address.clone())
    }

    /// Returns a client with the session of another server on the same database.
    pub(crate) fn signed_in_here(&self, client: &Client) -> Client {
        client.at(self.address.clone())
    }

    /// Returns an e-mail address that nobody else has.
    pub(crate) fn new_email(&self, name: &str) -> String {
        // A name may contain characters that an e-mail address may not.
        let local: String = name.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
        format!("{local}.{}@example.com", self.people.fetch_add(1, Ordering::Relaxed))
    }

    /// Signs up a new artist.
    pub(crate) async fn artist(&self, name: &str) -> Client {
        let client = self.anonymous();
        let email = self.new_email(name);
        let sign_up = form(&[("artist_name", name), ("email", &email), ("password", PASSWORD)]);
        client.call("account/sign-up", &sign_up).await.expect_status(200);
        client
    }

    /// Creates a new admin by the operator's command, and signs in.
    pub(crate) async fn admin(&self) -> Client {
        let email = self.new_email("admin");
        let made = self.run(&["user", "create", "--email", &email, "--role", "admin"], PASSWORD);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let client = self.anonymous();
        client.sign_in(&email, PASSWORD).await.expect_status(200);
        client
    }

    /// Runs one of the operator's commands, with a line on its standard input.
    pub(crate) fn run(&self, arguments: &[&str], line: &str) -> Output {
        run(self.command(), arguments, line)
    }

    /// Waits for two runs of the janitor, of which the second began after this call.
    pub(crate) async fn janitor_runs_twice(&self) {
        for name in ["Bo", "Cleo"] {
            // The janitor also deletes expired sessions, so the end of this one shows a run.
            self.artist(name).await;
            let newest =
                "update sessions set expires_at = now() where created_at = (select max(created_at) from sessions)";
            sqlx::query(newest).execute(&self.sql).await.unwrap();
            eventually("a round is over", async || {
                let expired = "select count(*) from sessions where expires_at <= now()";
                let left: i64 = sqlx::query_scalar(expired).fetch_one(&self.sql).await.unwrap();
                (left == 0).then_some(())
            })
            .await;
        }
    }

    /// Locks a table until the returned transaction is dropped. Inserts and updates of it wait, so a test can hold a
    /// job in its middle.
    pub(crate) async fn hold_table(&self, lock: &'static str) -> sqlx::Transaction<'static, sqlx::Postgres> {
        let mut transaction = self.sql.begin().await.unwrap();
        sqlx::query(lock).execute(&mut *transaction).await.unwrap();
        transaction
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a command to its end, with a line on its standard input.
pub(crate) fn run(mut command: Command, arguments: &[&str], line: &str) -> Output {
    let command = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    // A command that needs no input may have closed it by now.
    let _ = process.stdin.take().unwrap().write_all(format!("{line}\n").as_bytes());
    process.wait_with_output().unwrap()
}
