//! Figures for operators. The current state is queried from the database; events are counted with the crate `metrics`
//! where they happen.

use super::integrity;
use crate::{
    backend::{Backend, Result, queue},
    domain::{integrity::IntegrityRun, operations::LastBackup, queue_page::JobCounts},
};

/// The state of queue, uploads and storage at one moment.
#[derive(Clone, Debug)]
pub struct QueueStats {
    pub jobs: Vec<JobCounts>,
    /// The time for which the oldest due job has been due; `None` if no job is due.
    pub oldest_due_seconds: Option<i64>,
    /// Unfinished uploads, whether their bytes are arriving or their client is away.
    pub receiving: i64,
    /// Uploads whose bytes are all in a spool and not stored yet.
    pub received: i64,
    /// Bytes of these uploads, which are only in the spools.
    pub spooled_bytes: i64,
    /// The latest run of the integrity check that is over.
    pub integrity: Option<IntegrityRun>,
    pub backup: Option<LastBackup>,
    /// Mails that are due, or wait for their next attempt.
    pub mails_waiting: i64,
    /// The time for which the oldest due mail has been due; `None` if no mail is due.
    pub oldest_due_mail_seconds: Option<i64>,
}

/// Sums up the sizes of all stored objects for the gauge `vwaza_stored_bytes`. Reads the row of every object.
pub(super) async fn update_stored_bytes(backend: &Backend) -> Result<()> {
    let stored = sqlx::query!(
        r#"select coalesce(sum(size_bytes) filter (where parent_id is null), 0)::bigint as "originals!",
                  coalesce(sum(size_bytes) filter (where parent_id is not null), 0)::bigint as "derived!"
           from objects where state <> 'DOOMED'"#
    )
    .fetch_one(&backend.db)
    .await?;
    for (kind, bytes) in [("original", stored.originals), ("derived", stored.derived)] {
        #[expect(clippy::cast_precision_loss, reason = "exact up to 9 PB")]
        metrics::gauge!("vwaza_stored_bytes", "kind" => kind).set(bytes as f64);
    }
    Ok(())
}

impl Backend {
    pub async fn queue_stats(&self) -> Result<QueueStats> {
        let integrity = integrity::status(&self.db).await?.last;
        let mut db = self.db.acquire().await?;
        let (jobs, oldest_due_seconds) = queue::counts(&mut db).await?;
        let uploads = sqlx::query!(
            r#"select count(*) filter (where state = 'RECEIVING') as "receiving!",
                      count(*) filter (where state = 'RECEIVED') as "received!",
                      coalesce(sum(offset_bytes), 0)::bigint as "spooled_bytes!"
               from uploads where state in ('RECEIVING', 'RECEIVED')"#
        )
        .fetch_one(&mut *db)
        .await?;
        let backup = sqlx::query_as!(LastBackup, r#"select ended_at, bytes, missing from last_backup"#);
        let backup = backup.fetch_optional(&mut *db).await?;
        let mails = sqlx::query!(
            r#"select count(*) as "waiting!",
                      floor(extract(epoch from now() - min(run_after) filter (where run_after <= now())))::bigint as oldest_due_seconds
               from mail_jobs where status = 'PENDING'"#
        )
        .fetch_one(&mut *db)
        .await?;
        Ok(QueueStats {
            jobs,
            oldest_due_seconds,
            receiving: uploads.receiving,
            received: uploads.received,
            spooled_bytes: uploads.spooled_bytes,
            integrity,
            backup,
            mails_waiting: mails.waiting,
            oldest_due_mail_seconds: mails.oldest_due_seconds,
        })
    }
}
