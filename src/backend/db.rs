//! The pool and the schema.

use std::{str::FromStr, time::Duration};

use sqlx::{
    PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

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

pub(super) async fn is_up(db: &PgPool) -> bool {
    let answer = timeout(HEALTH_TIMEOUT, sqlx::query_scalar!("select 1").fetch_one(db)).await;
    matches!(answer, Ok(Ok(_)))
}
