//! A stand-in for another process of the product, as the queue sees it.

use sqlx::PgPool;
use uuid::Uuid;

/// Adds jobs and sends notifications, and runs no jobs.
pub struct OtherProcess(PgPool);

impl OtherProcess {
    /// # Errors
    /// When the database doesn't answer.
    pub async fn connect(database_url: &str) -> sqlx::Result<Self> {
        Ok(Self(PgPool::connect(database_url).await?))
    }

    /// Adds a job without work. The worker that claims it ends it at once.
    ///
    /// # Errors
    /// When the database doesn't answer.
    pub async fn add_idle_job(&self, artist: Uuid) -> sqlx::Result<()> {
        let job = "insert into upload_jobs (id, kind, artist_id) values ($1, 'EXAMINE', $2)";
        sqlx::query(job).bind(Uuid::now_v7()).bind(artist).execute(&self.0).await?;
        Ok(())
    }

    /// Notifies all processes that there is a job.
    ///
    /// # Errors
    /// When the database doesn't answer.
    pub async fn notify(&self) -> sqlx::Result<()> {
        // This is the product's own statement. A notification doesn't have to survive a crash, so its commit doesn't
        // wait for the disk.
        let statement = "with settings as materialized (select set_config('synchronous_commit', 'off', true))
                      select pg_notify('vwaza_jobs', '') from settings";
        sqlx::query(statement).execute(&self.0).await?;
        Ok(())
    }
}
