//! Figures for operators: what stands now is asked of the database, what has happened is counted where it happens (crate
//! `metrics`).

use crate::{
    backend::{Backend, Result, queue},
    domain::{circuit::CircuitState, operations::JobCounts},
};

/// How things stand, at one moment.
#[derive(Clone, Debug)]
pub struct QueueStats {
    pub jobs: Vec<JobCounts>,
    /// `None` where no job is due.
    pub oldest_due_seconds: Option<i64>,
    /// Uploads whose bytes are arriving, or whose client is away.
    pub receiving: i64,
    /// Uploads that are safe on a disk of ours, and not stored yet.
    pub received: i64,
    /// Bytes that are on disks of ours only.
    pub spooled_bytes: i64,
    pub storage: CircuitState,
}

/// Adds up what is stored, for the gauge `vwaza_stored_bytes`. Reads the row of every object.
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
        Ok(QueueStats {
            jobs,
            oldest_due_seconds,
            receiving: uploads.receiving,
            received: uploads.received,
            spooled_bytes: uploads.spooled_bytes,
            storage: self.storage.circuit(),
        })
    }
}
