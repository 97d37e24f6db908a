//! The pool and the schema.

use std::{str::FromStr, time::Duration};

use sqlx::{
    PgPool, Postgres, Transaction,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;
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
const HEALTH_TIMEOUT: Duration = Duration::from_millis(1500);
/// Longer than a locked row is waited for: what has not been answered by then, and does little, never will be.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

pub(super) async fn connect(url: &str, jobs: u32) -> Result<PgPool> {
    let limits = [("lock_timeout", LOCK_TIMEOUT), ("statement_timeout", STATEMENT_TIMEOUT)];
    open(options(url)?.options(limits), POOL_BASE_CONNECTIONS + jobs).await
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
pub(super) async fn answered<T>(patience: Duration, asked: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(patience, asked).await.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut.into()))
}

pub(super) async fn is_up(db: &PgPool) -> bool {
    let answer = timeout(HEALTH_TIMEOUT, sqlx::query_scalar!("select 1").fetch_one(db)).await;
    matches!(answer, Ok(Ok(_)))
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
}
