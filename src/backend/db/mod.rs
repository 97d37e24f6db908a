//! The connection pool, the schema, dedicated connections outside the pool, and the embedded PostgreSQL.

pub(super) mod connections;
pub mod embedded_postgres;
mod indexes;

use std::{
    str::FromStr,
    sync::{Arc, LazyLock, PoisonError, RwLock},
    time::{Duration, Instant},
};

use futures::{FutureExt, future::select_ok};
use sqlx::{
    Connection, PgConnection, PgPool, Postgres, SqlSafeStr, Transaction,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{sync::Mutex, time::timeout};
use tracing::Instrument;

use super::Result;

/// The migrations. They only go forward. A schema that a newer version has migrated is accepted: while an upgrade goes
/// from process to process, those of this version still start and serve.
pub(super) static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrations = sqlx::migrate!("./migrations");
    migrations.set_ignore_missing(true);
    migrations
});

/// The advisory lock of the process that changes the schema. Processes of versions before 0036 take only that of sqlx.
const SCHEMA_LOCK: i64 = 0x0073_6368_656d_6121;
const SCHEMA_LOCK_POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The pool's connections for requests and background tasks. The pool has one more for each job that may run at once.
const POOL_BASE_CONNECTIONS: u32 = 16;
/// The longest wait for a connection. After it, a request fails and tells its user so.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest wait for a lock. A transaction that holds a row lock for longer hangs.
const LOCK_TIMEOUT: &str = "10s";
/// The longest time a statement may take, far more than any of ours needs. Migrations have no limit.
const STATEMENT_TIMEOUT: &str = "60s";
const HEALTH_CHECK_TIMEOUT: Duration = Duration::from_millis(1500);
/// The time for which the result of a health check is reused.
const HEALTH_CHECK_SHARED_FOR: Duration = Duration::from_millis(100);
/// The longest wait for the reply to a short statement. It exceeds [`LOCK_TIMEOUT`], so a statement that has not been
/// answered by then never will be.
pub(super) const REPLY_TIMEOUT: Duration = Duration::from_secs(15);

pub(super) async fn connect(url: &str, jobs: u32) -> Result<PgPool> {
    let limits = [("lock_timeout", LOCK_TIMEOUT), ("statement_timeout", STATEMENT_TIMEOUT)];
    open(options(url)?.options(limits), pool_connections(jobs)).await
}

/// The size of the pool in a process that runs up to `jobs` jobs at once.
pub(super) fn pool_connections(jobs: u32) -> u32 {
    POOL_BASE_CONNECTIONS + jobs.max(1)
}

async fn open(options: PgConnectOptions, connections: u32) -> Result<PgPool> {
    let pool = PgPoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE_TIMEOUT);
    Ok(pool.connect_with(options).await?)
}

/// The connection options. `synchronous_commit` is on, whatever the server's default is, so an acknowledged commit is
/// on the disk.
pub(super) fn options(url: &str) -> Result<PgConnectOptions> {
    Ok(PgConnectOptions::from_str(url)?.options([("synchronous_commit", "on")]))
}

/// Brings the schema up to date. Each migration is one transaction, so the next start completes a run that was killed.
/// Indexes of large tables follow, while processes of the version before read and write. Uses a connection of its own
/// without timeouts: several processes may start at once, and all but one of them wait.
pub async fn migrate_database(url: &str) -> Result<()> {
    let mut db = connect_without_timeouts(url).await?;
    lock_schema(&mut db).await?;
    MIGRATIONS.run(&mut db).await?;
    if is_newer(&mut db).await? {
        tracing::info!("a newer version has migrated the database; its indexes are left alone");
    } else {
        indexes::build(&mut db).await?;
    }
    db.close().await?;
    Ok(())
}

/// Brings the schema to an earlier version, or as far as this program knows. No indexes are built. The connection keeps
/// the schema locked until it is closed.
pub(super) async fn migrate_to(db: &mut PgConnection, version: i64) -> Result<()> {
    lock_schema(db).await?;
    Ok(MIGRATIONS.run_to(version, db).await?)
}

/// The version of the schema that this program brings a database to.
pub(super) fn schema_version() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Opens a connection outside the pool, for statements that may take as long as they need.
pub(super) async fn connect_without_timeouts(url: &str) -> Result<PgConnection> {
    let unlimited = [("lock_timeout", "0"), ("statement_timeout", "0")];
    Ok(PgConnection::connect_with(&options(url)?.options(unlimited)).await?)
}

/// Whether the schema has migrations that this version doesn't know.
async fn is_newer(db: &mut PgConnection) -> Result<bool> {
    let is_newer = sqlx::query_scalar!(
        r#"select exists (select 1 from _sqlx_migrations where version > $1) as "is_newer!""#,
        schema_version()
    );
    Ok(is_newer.fetch_one(db).await?)
}

/// Waits until no other process changes the schema. The connection keeps the lock until it is closed.
///
/// No statement waits for the lock, as one of sqlx does: a concurrent build of an index waits until all statements that
/// began before it have ended, so both would wait for each other.
async fn lock_schema(db: &mut PgConnection) -> Result<()> {
    loop {
        let is_locked = sqlx::query_scalar!(r#"select pg_try_advisory_lock($1) as "is_locked!""#, SCHEMA_LOCK);
        if is_locked.fetch_one(&mut *db).await? {
            return Ok(());
        }
        tokio::time::sleep(SCHEMA_LOCK_POLL_INTERVAL).await;
    }
}

/// Begins a transaction. Dropping it without a commit rolls it back.
pub(super) async fn begin(db: &PgPool) -> Result<Transaction<'static, Postgres>> {
    begin_with(db, "begin").await
}

/// Begins a read-only transaction in which all queries see the same state.
pub(super) async fn snapshot(db: &PgPool) -> Result<Transaction<'static, Postgres>> {
    begin_with(db, "begin isolation level repeatable read read only").await
}

/// Begins a transaction in a task of its own, which always runs to its end.
///
/// The caller may be dropped at any time, for example when an HTTP client disconnects. If `begin` were cancelled half
/// way, the connection would return to the pool inside a transaction that nobody commits, and the writes of the
/// connection's next user would be lost (sqlx issue 4393, as of 0.9.0).
async fn begin_with(db: &PgPool, statement: &'static str) -> Result<Transaction<'static, Postgres>> {
    let db = db.clone();
    let begun = async move {
        let began = Instant::now();
        let connection = db.acquire().await;
        connections::record_wait("main", began);
        Transaction::begin(connection?, Some(statement.into_sql_str())).await
    };
    Ok(tokio::spawn(begun.in_current_span()).await??)
}

/// Runs `work` and gives up when it takes longer than `timeout_after`. The server's own timeouts do not help if the
/// connection dies silently in the middle of a statement: the system notices that after a quarter of an hour, or never.
///
/// # Errors
/// The errors of `work`; `PoolTimedOut` after `timeout_after`, as for an unreachable database. The statement may have
/// been executed all the same.
pub(super) async fn with_timeout<T>(timeout_after: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(timeout_after, work).await.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut.into()))
}

/// Checks whether the database answers. It has a connection of its own, because an exhausted pool or a locked row says
/// nothing about the database.
pub(super) struct HealthCheck {
    options: PgConnectOptions,
    /// The connection of the latest successful check, reused by the next one. Checks run one at a time.
    connection: Mutex<Option<PgConnection>>,
    /// When the latest check ended, and whether the database was up.
    seen: RwLock<Option<(Instant, bool)>>,
}

impl HealthCheck {
    /// Connects at once. A database that later is too busy to accept new connections quickly still counts as up.
    pub(super) async fn open(url: &str) -> Result<Self> {
        let options = options(url)?;
        let connection = Some(PgConnection::connect_with(&options).await?);
        Ok(Self { options, connection: Mutex::new(connection), seen: RwLock::new(None) })
    }

    /// Whether the database is up. Concurrent callers, and those within [`HEALTH_CHECK_SHARED_FOR`], share one check.
    pub(super) async fn is_up(self: &Arc<Self>) -> bool {
        if let Some(is_up) = self.seen_lately() {
            return is_up;
        }
        let check = Arc::clone(self);
        // If the caller were dropped in the middle of a check, the connection would be lost. A task of its own prevents
        // that.
        tokio::spawn(async move { check.check().await }.in_current_span()).await.unwrap_or(false)
    }

    fn seen_lately(&self) -> Option<bool> {
        let seen = *self.seen.read().unwrap_or_else(PoisonError::into_inner);
        seen.filter(|(at, _)| at.elapsed() < HEALTH_CHECK_SHARED_FOR).map(|(_, is_up)| is_up)
    }

    async fn check(&self) -> bool {
        let mut connection = self.connection.lock().await;
        // Another check may have ended while this one waited for the lock.
        if let Some(is_up) = self.seen_lately() {
            return is_up;
        }
        let kept = connection.take();
        let is_up = match timeout(HEALTH_CHECK_TIMEOUT, self.ping(kept)).await {
            Ok(Ok(live)) => {
                *connection = Some(live);
                true
            }
            // The database answers, but has no connection to spare (SQLSTATE class 53).
            Ok(Err(sqlx::Error::Database(error))) => error.code().is_some_and(|code| code.starts_with("53")),
            Ok(Err(_)) | Err(_) => false,
        };
        *self.seen.write().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), is_up));
        is_up
    }

    /// Sends a query on the kept connection. If that fails, or takes longer than a third of the timeout, also tries a
    /// new connection, because the kept one may have died silently.
    async fn ping(&self, kept: Option<PgConnection>) -> Result<PgConnection, sqlx::Error> {
        let Some(kept) = kept else { return self.ping_on_new_connection().await };
        let mut work = ping_on(kept).boxed();
        match timeout(HEALTH_CHECK_TIMEOUT / 3, &mut work).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(_)) => self.ping_on_new_connection().await,
            Err(_) => select_ok([work, self.ping_on_new_connection().boxed()]).await.map(|(connection, _)| connection),
        }
    }

    async fn ping_on_new_connection(&self) -> Result<PgConnection, sqlx::Error> {
        ping_on(PgConnection::connect_with(&self.options).await?).await
    }
}

async fn ping_on(mut connection: PgConnection) -> Result<PgConnection, sqlx::Error> {
    sqlx::query_scalar!("select 1").fetch_one(&mut connection).await?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::pin, task::Poll};

    use futures::future::poll_fn;
    use sqlx::{Connection, PgConnection};

    use super::*;
    use testing::{TestDatabase, test_server_url};

    /// More polls than a transaction takes to begin.
    const POLLS: usize = 12;

    /// Polls a future up to `polls` times and drops it. Returns whether it was unfinished by then.
    async fn is_given_up<F: Future>(future: F, polls: usize) -> bool {
        let mut future = pin!(future);
        for _ in 0..polls {
            if poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready())).await {
                return false;
            }
            tokio::task::yield_now().await;
        }
        true
    }

    #[tokio::test]
    async fn a_transaction_that_is_given_up_while_it_begins_takes_nothing_with_it() {
        let database = TestDatabase::create(&test_server_url()).await;
        let db = open(options(&database.url()).unwrap(), 1).await.unwrap();
        let mut other = PgConnection::connect(&database.url()).await.unwrap();
        sqlx::query("create table said (what bigint not null)").execute(&db).await.unwrap();
        let mut given_up = 0;
        for polls in (0..POLLS).cycle().take(5 * POLLS) {
            given_up += i64::from(is_given_up(begin(&db), polls).await);
            sqlx::query("insert into said values ($1)").bind(given_up).execute(&db).await.unwrap();
            let seen: i64 = sqlx::query_scalar("select count(*) from said where what = $1")
                .bind(given_up)
                .fetch_one(&mut other)
                .await
                .unwrap();
            assert!(seen > 0, "a committed row is visible to other connections, after {polls} polls");
        }
        assert!(given_up > 0, "no begin was cancelled, so the test proved nothing");
    }

    #[tokio::test]
    async fn a_look_at_the_database_is_shared_for_a_moment_and_then_made_anew() {
        let database = TestDatabase::create(&test_server_url()).await;
        let check = Arc::new(HealthCheck::open(&database.url()).await.unwrap());
        assert!(check.is_up().await);
        assert!(check.seen.read().unwrap().is_some_and(|(_, is_up)| is_up), "the result is remembered");
        // The result is dated an hour ahead, so it stays valid even on the slowest machine. Then it is dated back, so
        // it has expired.
        *check.seen.write().unwrap() = Some((Instant::now() + Duration::from_secs(3600), false));
        assert!(!check.is_up().await, "the remembered result is reused");
        *check.seen.write().unwrap() = Instant::now().checked_sub(HEALTH_CHECK_SHARED_FOR).map(|at| (at, false));
        assert!(check.is_up().await);
    }
}
