//! Another process of the product, as far as the queue sees it.

use sqlx::PgPool;
use uuid::Uuid;

/// Adds jobs and tells of them; runs none.
pub struct OtherProcess(PgPool);

impl OtherProcess {
    /// # Errors
    /// When the database does not answer.
    pub async fn connect(database_url: &str) -> sqlx::Result<Self> {
        Ok(Self(PgPool::connect(database_url).await?))
    }

    /// Adds a job with nothing to do: the worker that claims it ends it at once.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn add_idle_job(&self, artist: Uuid) -> sqlx::Result<()> {
        let job = "insert into upload_jobs (id, kind, artist_id) values ($1, 'EXAMINE', $2)";
        sqlx::query(job).bind(Uuid::now_v7()).bind(artist).execute(&self.0).await?;
        Ok(())
    }

    /// Notifies all processes that there is a job.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn notify(&self) -> sqlx::Result<()> {
        // The product's own statement: a hint need not outlive a crash, so its commit waits for no disk.
        let statement = "with settings as materialized (select set_config('synchronous_commit', 'off', true))
                      select pg_notify('vwaza_jobs', '') from settings";
        sqlx::query(statement).execute(&self.0).await?;
        Ok(())
    }
}
