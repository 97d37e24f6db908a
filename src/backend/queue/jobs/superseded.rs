//! Ends jobs whose uploads are superseded while they wait in the spool. The process with that spool may be away, so no
//! worker may claim these jobs, and the uploads would count against the artist's quota for ever.

use crate::{
    backend::{Backend, Result, db, queue, releases::locked},
    domain::ids::{JobId, ReleaseId, UploadId},
};

/// Ends jobs that would store superseded uploads. Returns how many.
pub(in crate::backend) async fn retire(backend: &Backend, at_most: i64) -> Result<u64> {
    let superseded = sqlx::query!(
        r#"select id as "job: JobId", upload_id as "upload!: UploadId", release_id as "release: ReleaseId" from upload_jobs
           where kind = 'STORE' and status = 'PENDING' and is_superseded(upload_id)
           order by id limit $1"#,
        at_most
    )
    .fetch_all(&backend.db)
    .await?;
    let mut retired = 0;
    for row in superseded {
        retired += u64::from(retire_one(backend, row.job, row.upload, row.release).await?);
    }
    Ok(retired)
}

/// Ends one job. Returns `false` if the job is claimed by now, or wanted again.
async fn retire_one(backend: &Backend, job: JobId, upload: UploadId, release: Option<ReleaseId>) -> Result<bool> {
    let mut tx = db::begin(&backend.db).await?;
    let release = match release {
        Some(release) => locked::lock(&mut tx, release).await?,
        None => None,
    };
    sqlx::query!(
        "update uploads set state = 'SUPERSEDED', updated_at = now() where id = $1 and state = 'RECEIVED' and is_superseded(id)",
        upload as UploadId
    )
    .execute(&mut *tx)
    .await?;
    if !queue::retire(&mut tx, job).await? {
        return Ok(false);
    }
    if let Some(release) = release {
        locked::advance(&mut tx, release).await?;
    }
    tx.commit().await?;
    backend.spool.remove(upload).await?;
    if let Some(release) = release {
        backend.events.release_changed(release.id, release.artist);
    }
    Ok(true)
}
