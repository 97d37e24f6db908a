//! The pin of a backup. While it is alive, the reaper dooms no released object, see `storage/reaper.rs`.

use std::time::{Duration, Instant};

use sqlx::PgPool;
use tokio::time::sleep;
use uuid::Uuid;

use crate::backend::{Error, Result, db};

/// The time without a heartbeat after which a pin is over. A killed backup holds the reaper up for no longer.
const LIFETIME: Duration = Duration::from_secs(30);
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
/// The longest wait for the database's reply to a heartbeat.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(500);

pub(super) struct Pin {
    db: PgPool,
    id: Uuid,
}

impl Pin {
    /// Pins what a snapshot that begins afterwards names. Waits for the pin of a backup that was killed.
    ///
    /// # Errors
    /// If another backup is being made.
    pub(super) async fn acquire(db: &PgPool) -> Result<Self> {
        let began = Instant::now();
        let id = Uuid::now_v7();
        while !insert(db, id).await? {
            if began.elapsed() > LIFETIME + HEARTBEAT_INTERVAL {
                return Err(Error::Corrupt("another backup of this database is being made".into()));
            }
            sleep(POLL_INTERVAL).await;
        }
        Ok(Self { db: db.clone(), id })
    }

    /// Runs `work` and keeps the pin alive meanwhile.
    ///
    /// # Errors
    /// Those of `work`. If the pin is lost, `work` is given up: objects that its snapshot names may be deleted by now.
    pub(super) async fn hold<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            outcome = work => outcome,
            error = self.keep_alive() => Err(error),
        }
    }

    /// Sends heartbeats until the pin is lost. Returns why.
    async fn keep_alive(&self) -> Error {
        let mut renewed_at = Instant::now();
        loop {
            sleep(HEARTBEAT_INTERVAL).await;
            let sent_at = Instant::now();
            match db::with_timeout(HEARTBEAT_TIMEOUT, self.renew()).await {
                Ok(()) => renewed_at = sent_at,
                // The database is away, perhaps for a moment.
                Err(error @ Error::Database(_)) if renewed_at.elapsed() < LIFETIME => {
                    tracing::warn!(error = ?error, "heartbeat of the backup failed");
                }
                Err(error) => return error,
            }
        }
    }

    /// Prolongs the pin. If this succeeds, the pin has been alive ever since it was made.
    ///
    /// # Errors
    /// If the pin is lost.
    pub(super) async fn renew(&self) -> Result<()> {
        let renewed = sqlx::query!(
            "update backup_pins set expires_at = now() + make_interval(secs => $2) where id = $1 and expires_at > now()",
            self.id,
            LIFETIME.as_secs_f64()
        )
        .execute(&self.db)
        .await?;
        match renewed.rows_affected() {
            1 => Ok(()),
            _ => Err(Error::Corrupt("the backup was interrupted for too long; make another one".into())),
        }
    }

    pub(super) async fn release(self) -> Result<()> {
        sqlx::query!("delete from backup_pins where id = $1", self.id).execute(&self.db).await?;
        Ok(())
    }
}

/// Makes a pin unless another one is alive.
async fn insert(db: &PgPool, id: Uuid) -> Result<bool> {
    let mut tx = db::begin(db).await?;
    // Waits for the reaper's transactions that see no pin, and for another backup that begins.
    sqlx::query!("lock table backup_pins in share row exclusive mode").execute(&mut *tx).await?;
    let inserted = sqlx::query!(
        "insert into backup_pins (id, expires_at)
         select $1, now() + make_interval(secs => $2)
         where not exists (select 1 from backup_pins where expires_at > now())",
        id,
        LIFETIME.as_secs_f64()
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(inserted.rows_affected() == 1)
}

/// Deletes the pins of backups that were killed. Returns their number.
pub(in crate::backend) async fn delete_expired_pins(db: &PgPool) -> Result<u64> {
    let deleted = sqlx::query!("delete from backup_pins where expires_at <= now()").execute(db).await?;
    Ok(deleted.rows_affected())
}
