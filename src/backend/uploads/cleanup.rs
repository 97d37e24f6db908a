//! Expires uploads that nobody continues, and removes bytes that nobody needs any more.

use std::collections::HashSet;

use uuid::Uuid;

use super::{EndedUpload, Uploads, purge_bytes};
use crate::{
    backend::{Error, Result},
    domain::ids::{ReleaseId, SpoolId, UploadId, UserId},
};

/// The largest number of uploads that one run expires.
const BATCH: i64 = 1000;

impl Uploads {
    /// Expires uploads for which nobody has sent a byte in time. Each one is a compare-and-set: a PATCH prolongs its
    /// upload before it opens the file, so one of the two wins. An upload that is whole never expires: its process
    /// completes it, now or when it comes back.
    pub(in crate::backend) async fn expire(&self) -> Result<()> {
        let expired = sqlx::query!(
            r#"update uploads set state = 'EXPIRED', updated_at = now()
               where id in (select id from uploads
                            where is_expired(uploads)
                            order by expires_at limit $1 for update skip locked)
                 and is_expired(uploads)
               returning id as "id: UploadId", spool_id as "spool: SpoolId", release_id as "release: ReleaseId",
                         owner_id as "artist: UserId""#,
            BATCH
        )
        .fetch_all(&self.0.db)
        .await?;
        if expired.is_empty() {
            return Ok(());
        }
        tracing::info!(uploads = expired.len(), "unfinished uploads expired");
        let ended: Vec<_> = expired.iter().map(|row| EndedUpload { id: row.id, spool: row.spool }).collect();
        purge_bytes(&self.0, &ended).await?;
        for row in expired {
            if let Some(release) = row.release {
                self.0.events.release_changed(release, row.artist);
            }
        }
        Ok(())
    }

    /// Removes bytes from this process's spool whose upload is over. Bytes that the database does not know stay,
    /// because the database may be an older backup. Returns their uploads.
    pub(in crate::backend) async fn sweep_spool(&self) -> Result<Vec<UploadId>> {
        let spooled = self.0.spool.uploads().await?;
        let ids: Vec<Uuid> = spooled.iter().map(|id| id.0).collect();
        let known = sqlx::query!(
            r#"select id as "id: UploadId", spool_id as "spool: SpoolId",
                      needs_its_bytes(uploads) as "is_needed!"
               from uploads where id = any($1)"#,
            &ids
        )
        .fetch_all(&self.0.db)
        .await?;
        let needless: Vec<_> =
            known.iter().filter(|row| !row.is_needed).map(|row| EndedUpload { id: row.id, spool: row.spool }).collect();
        purge_bytes(&self.0, &needless).await?;
        let known: HashSet<_> = known.iter().map(|row| row.id).collect();
        Ok(spooled.into_iter().filter(|id| !known.contains(id)).collect())
    }

    /// Completes uploads in this process's spool whose last byte has arrived and that nobody has completed: the process
    /// was killed, or the database was away.
    pub(in crate::backend) async fn complete_received(&self) -> Result<()> {
        let whole = sqlx::query_scalar!(
            r#"select id as "id: UploadId" from uploads
               where spool_id = $1 and state = 'RECEIVING' and is_whole(uploads)"#,
            self.0.spool.id as SpoolId
        )
        .fetch_all(&self.0.db)
        .await?;
        for id in whole {
            // The writer that holds the upload is completing it.
            let Some(writer) = self.0.writers.try_hold(id) else { continue };
            match self.finish_held(id, writer).await {
                // The release's page tells the artist about a refusal.
                Ok(()) | Err(Error::Problem(_)) => {}
                Err(error) => tracing::warn!(upload.id = %id, error = ?error, "completing an upload failed"),
            }
        }
        Ok(())
    }

    /// Expires uploads that cannot resume after a start of the process, and logs bytes that the database does not know.
    pub(in crate::backend) async fn recover_at_start(&self) -> Result<()> {
        sqlx::query!(
            "update uploads set state = 'EXPIRED', updated_at = now()
             where spool_id = $1 and state = 'RECEIVING' and not can_resume and not is_whole(uploads)",
            self.0.spool.id as SpoolId
        )
        .execute(&self.0.db)
        .await?;
        for id in self.sweep_spool().await? {
            tracing::warn!(upload.id = %id, "spool file unknown to the database");
        }
        Ok(())
    }
}
