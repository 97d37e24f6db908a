//! The pool, the schema, connections outside the pool, and an embedded PostgreSQL.

pub(super) mod connections;
pub mod embedded_postgres;

use std::{
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{FutureExt, future::select_ok};
use sqlx::{
    Connection, PgConnection, PgPool, Postgres, Transaction,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{sync::Mutex, time::timeout};
use tracing::Instrument;

use super::Result;

/// Forward-only; applied under an advisory lock, so that several processes may start at once.
pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// For requests and for what the process does by itself; each job may hold one more.
const POOL_BASE_CONNECTIONS: u32 = 16;
/// A request that gets no connection in this time tells its person so.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// A row that is locked for longer is locked by something that hangs.
const LOCK_TIMEOUT: &str = "10s";
/// Longer than any statement of ours should take by far. Migrations take what they need.
const STATEMENT_TIMEOUT: &str = "60s";
const HEALTH_CHECK_TIMEOUT: Duration = Duration::from_millis(1500);
/// A look at the database is as good as a new one for so long.
const HEALTH_CHECK_SHARED_FOR: Duration = Duration::from_millis(100);
/// Longer than a locked row is waited for: what has not been answered by then, and does little, never will be.
pub(super) const REPLY_TIMEOUT: Duration = Duration::from_secs(15);

pub(super) async fn connect(url: &str, jobs: u32) -> Result<PgPool> {
    let limits = [("lock_timeout", LOCK_TIMEOUT), ("statement_timeout", STATEMENT_TIMEOUT)];
    open(options(url)?.options(limits), pool_connections(jobs)).await
}

/// The pool's, with so many jobs at once.
pub(super) fn pool_connections(jobs: u32) -> u32 {
    POOL_BASE_CONNECTIONS + jobs.max(1)
}

async fn open(options: PgConnectOptions, connections: u32) -> Result<PgPool> {
    let pool = PgPoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE_TIMEOUT);
    Ok(pool.connect_with(options).await?)
}

/// What is acknowledged is on the disk, whatever this server's default is.
fn options(url: &str) -> Result<PgConnectOptions> {
    Ok(PgConnectOptions::from_str(url)?.options([("synchronous_commit", "on")]))
}

/// Brings the schema up to date. Each migration is one transaction: killed in the middle, the next start completes it. On a
/// connection of its own, without limits: several processes may start at once, and all but one of them wait.
pub async fn migrate_database(url: &str) -> Result<()> {
    let db = open(options(url)?, 1).await?;
    MIGRATIONS.run(&db).await?;
    db.close().await;
    Ok(())
}

/// Begins a transaction, which is rolled back unless it is committed.
pub(super) async fn begin(db: &PgPool) -> Result<Transaction<'static, Postgres>> {
    begin_with(db, "begin").await
}

/// A read-only transaction in which several queries see one state.
pub(super) async fn snapshot(db: &PgPool) -> Result<Transaction<'static, Postgres>> {
    begin_with(db, "begin isolation level repeatable read read only").await
}

/// Its caller may go away at any time, as who asks over HTTP does: a beginning that is given up half way would leave its connection in
/// the pool with a transaction that nobody knows of and nobody commits, and what the next one says there would be lost
/// (sqlx issue 4393, as of 0.9.0). So it runs to its end by itself.
async fn begin_with(db: &PgPool, statement: &'static str) -> Result<Transaction<'static, Postgres>> {
    let db = db.clone();
    #[expect(clippy::disallowed_methods, reason = "the one place where it is not given up")]
    let begun = async move { db.begin_with(statement).await };
    Ok(tokio::spawn(begun.in_current_span()).await??)
}

/// Gives up what the database does not answer in time. The server's own limits do not help where the line has died without a word in the
/// middle of a statement: it would be waited for until the system gives the line up, a quarter of an hour or never.
///
/// # Errors
/// As for a database that is away; what was asked for may have happened all the same.
pub(super) async fn with_timeout<T>(timeout_after: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(timeout_after, work).await.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut.into()))
}

/// Looks whether the database answers, over a connection of its own: that a pool has none to spare, or a row is locked, says nothing of the
/// database.
pub(super) struct HealthCheck {
    options: PgConnectOptions,
    last: Mutex<LastCheck>,
}

struct LastCheck {
    /// Kept for the next look while it works.
    connection: Option<PgConnection>,
    seen: Option<(Instant, bool)>,
}

impl HealthCheck {
    /// Connects at once: a database that is too busy later to let anybody in quickly is up all the same.
    pub(super) async fn open(url: &str) -> Result<Self> {
        let options = options(url)?;
        let connection = Some(PgConnection::connect_with(&options).await?);
        Ok(Self { options, last: Mutex::new(LastCheck { connection, seen: None }) })
    }

    /// All who ask at once, or shortly after one another, share one look.
    pub(super) async fn is_up(self: &Arc<Self>) -> bool {
        let check = Arc::clone(self);
        // Whoever asks may go away, and would take the connection along.
        tokio::spawn(async move { check.check().await }.in_current_span()).await.unwrap_or(false)
    }

    async fn check(&self) -> bool {
        let mut last = self.last.lock().await;
        if let Some((at, is_up)) = last.seen
            && at.elapsed() < HEALTH_CHECK_SHARED_FOR
        {
            return is_up;
        }
        let kept = last.connection.take();
        let is_up = match timeout(HEALTH_CHECK_TIMEOUT, self.ping(kept)).await {
            Ok(Ok(connection)) => {
                last.connection = Some(connection);
                true
            }
            // It answers; it has no connection to spare (class 53).
            Ok(Err(sqlx::Error::Database(error))) => error.code().is_some_and(|code| code.starts_with("53")),
            Ok(Err(_)) | Err(_) => false,
        };
        last.seen = Some((Instant::now(), is_up));
        is_up
    }

    /// The kept connection may have died, perhaps without a word: then another one is tried, soon and beside it.
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

    /// More than a transaction takes to begin.
    const POLLS: usize = 12;

    /// Gives it up after so many polls; whether it was not over by then.
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
            assert!(seen > 0, "what was said to be done is seen by others, after {polls} polls");
        }
        assert!(given_up > 0, "otherwise this is no test");
    }

    #[tokio::test]
    async fn a_look_at_the_database_is_shared_for_a_moment_and_then_made_anew() {
        let database = TestDatabase::create(&test_server_url()).await;
        let check = Arc::new(HealthCheck::open(&database.url()).await.unwrap());
        assert!(check.is_up().await);
        let mut last = check.last.lock().await;
        assert!(last.seen.is_some_and(|(_, is_up)| is_up), "it is remembered");
        // The remembered look is dated an hour ahead, so that it is valid on the slowest machine. Then it is dated back and has expired.
        let soon = Instant::now() + Duration::from_secs(3600);
        last.seen = Some((soon, false));
        drop(last);
        assert!(!check.is_up().await, "nobody looks again");
        check.last.lock().await.seen = Instant::now().checked_sub(HEALTH_CHECK_SHARED_FOR).map(|at| (at, false));
        assert!(check.is_up().await);
    }
}
