//! The pool and the schema.

use std::{str::FromStr, time::Duration};

use sqlx::{
    PgPool,
    migrate::{MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

use super::Result;

/// Forward-only; applied under an advisory lock, so that several processes may start at once.
static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

const POOL_MAX_CONNECTIONS: u32 = 16;
/// A request that gets no connection in this time tells its person so.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// A row that is locked for longer is locked by something that hangs.
const LOCK_TIMEOUT: &str = "10s";
/// Longer than any statement of ours should take by far, migrations included.
const STATEMENT_TIMEOUT: &str = "60s";
const HEALTH_TIMEOUT: Duration = Duration::from_millis(1500);

pub(super) async fn connect(url: &str) -> Result<PgPool> {
    let options = PgConnectOptions::from_str(url)?
        .options([("lock_timeout", LOCK_TIMEOUT), ("statement_timeout", STATEMENT_TIMEOUT)]);
    let pool = PgPoolOptions::new()
        .max_connections(POOL_MAX_CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options)
        .await?;
    Ok(pool)
}

/// Brings the schema up to date. Each migration is one transaction: killed in the middle, the next start completes it.
pub(super) async fn migrate(db: &PgPool) -> Result<(), MigrateError> {
    MIGRATIONS.run(db).await
}

/// As at every start of the server, for operators who do it beforehand.
pub async fn migrate_database(url: &str) -> Result<()> {
    let db = connect(url).await?;
    migrate(&db).await?;
    db.close().await;
    Ok(())
}

pub(super) async fn is_up(db: &PgPool) -> bool {
    let answer = timeout(HEALTH_TIMEOUT, sqlx::query_scalar!("select 1").fetch_one(db)).await;
    matches!(answer, Ok(Ok(_)))
}
