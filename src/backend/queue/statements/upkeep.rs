//! Statements of the janitor and of repairs: jobs that nothing waits for end, and work without a job gets one.

use std::time::Duration;

use sqlx::{PgConnection, PgPool};

use crate::{
    backend::Result,
    domain::ids::{JobId, UploadId},
};

/// Ends dead letters whose files nothing waits for any more: the artists have replaced, removed or dismissed them.
/// Returns how many.
pub(in crate::backend) async fn retire_superseded(db: &PgPool, at_most: i64) -> Result<u64> {
    let retired = sqlx::query!(
        "update upload_jobs set status = 'COMPLETED', outcome = 'superseded', updated_at = now()
         where status = 'FAILED' and id in (
             select j.id from upload_jobs j
             where j.status = 'FAILED'
               and case j.kind
                   when 'STORE' then not exists (
                       select 1 from uploads u where u.id = j.upload_id and u.state in ('RECEIVED', 'FAILED'))
                   when 'EXAMINE' then not exists (
                       select 1 from objects o where o.id = j.object_id and o.state = 'ATTACHED' and o.examination <> 'PASSED')
                   end
             order by j.updated_at limit $1 for update skip locked)",
        at_most
    )
    .execute(db)
    .await?;
    Ok(retired.rows_affected())
}

/// Ends a waiting job that is superseded. Returns `false` if the job does not wait any more, or if its upload is still
/// wanted.
pub(in crate::backend) async fn retire(db: &mut PgConnection, job: JobId) -> Result<bool> {
    let retired = sqlx::query!(
        "update upload_jobs set status = 'COMPLETED', outcome = 'superseded', updated_at = now()
         where id = $1 and status = 'PENDING'
           and not exists (select 1 from uploads u where u.id = upload_id and u.state = 'RECEIVED')",
        job as JobId
    )
    .execute(db)
    .await?;
    Ok(retired.rows_affected() == 1)
}

/// Ends the job that would store an upload, if the job waits. Returns `false` if the job runs or has ended.
pub(in crate::backend) async fn retire_store(db: &mut PgConnection, upload: UploadId) -> Result<bool> {
    let retired = sqlx::query!(
        "update upload_jobs set status = 'COMPLETED', outcome = 'superseded', updated_at = now()
         where upload_id = $1 and kind = 'STORE' and status = 'PENDING'",
        upload as UploadId
    )
    .execute(db)
    .await?;
    Ok(retired.rows_affected() == 1)
}

/// Makes sure that a received upload has a job that stores it. Returns `false` if it has one, or needs none.
pub(in crate::backend) async fn requeue_store(db: &mut PgConnection, upload: UploadId) -> Result<bool> {
    let queued = sqlx::query!(
        "insert into upload_jobs (id, kind, artist_id, release_id, upload_id, spool_id)
         select gen_random_uuid(), 'STORE', owner_id, release_id, id, spool_id from uploads where id = $1 and state = 'RECEIVED'
         on conflict (upload_id) where kind = 'STORE'
         do update set status = 'PENDING', run_after = now(), retry_count = 0, expired_leases = 0, updated_at = now()
            where upload_jobs.status in ('COMPLETED', 'FAILED')",
        upload as UploadId
    )
    .execute(db)
    .await?;
    Ok(queued.rows_affected() == 1)
}

/// Makes sure that a stored file that waits for its examination has a job for it. Returns `false` if it has one, or
/// needs none.
pub(in crate::backend) async fn requeue_examination(db: &mut PgConnection, key: &str) -> Result<bool> {
    let queued = sqlx::query!(
        "insert into upload_jobs (id, kind, artist_id, release_id, upload_id, object_id)
         select gen_random_uuid(), 'EXAMINE', u.owner_id, u.release_id, u.id, o.id
         from objects o join uploads u on u.id = o.upload_id
         where o.key = $1 and o.state = 'ATTACHED' and o.parent_id is null and o.examination = 'PENDING'
         on conflict (object_id) where object_id is not null
         do update set status = 'PENDING', run_after = now(), retry_count = 0, expired_leases = 0, is_background = false, updated_at = now()
            where upload_jobs.status in ('COMPLETED', 'FAILED')",
        key
    )
    .execute(db)
    .await?;
    Ok(queued.rows_affected() == 1)
}

/// Adds background jobs for files that an older version has examined, until `at_most` such jobs wait or run. Releases
/// that wait for review come first, published ones last. Returns how many jobs were added.
pub(in crate::backend) async fn examine_outdated(db: &PgPool, version: i32, at_most: i64) -> Result<u64> {
    let queued = sqlx::query!(
        "with waiting as (select count(*) as jobs from upload_jobs where is_background and status in ('PENDING', 'UPLOADING')),
         outdated as (
             select o.id, o.upload_id, r.artist_id, r.id as release_id, r.status
             from objects o
             left join tracks t on t.audio_id = o.id
             join releases r on r.id = coalesce(t.release_id, (select c.id from releases c where c.cover_id = o.id limit 1))
             where o.state = 'ATTACHED' and o.parent_id is null and o.examination <> 'PENDING' and o.examination_version < $1
               and not exists (select 1 from upload_jobs j
                               where j.object_id = o.id and j.kind = 'EXAMINE'
                                 and (j.status in ('PENDING', 'UPLOADING') or (j.status = 'FAILED' and o.examination = 'PASSED')))
             order by array_position(array['PENDING_REVIEW', 'PROCESSING', 'DRAFT', 'REJECTED', 'PUBLISHED']::release_status[], r.status), o.id
             limit greatest($2 - (select jobs from waiting), 0))
         insert into upload_jobs (id, kind, artist_id, release_id, upload_id, object_id, is_background, run_after)
         select gen_random_uuid(), 'EXAMINE', artist_id, release_id, upload_id, id, true, clock_timestamp() from outdated
         on conflict (object_id) where object_id is not null
         do update set status = 'PENDING', run_after = excluded.run_after, retry_count = 0, expired_leases = 0, is_background = true,
                       updated_at = now()
            where upload_jobs.status in ('COMPLETED', 'FAILED')",
        version,
        at_most
    )
    .execute(db)
    .await?;
    Ok(queued.rows_affected())
}

/// Deletes jobs that have been completed for longer than `kept`. Returns how many.
pub(in crate::backend) async fn delete_completed(db: &PgPool, kept: Duration, at_most: i64) -> Result<u64> {
    let deleted = sqlx::query!(
        "delete from upload_jobs where id in (
             select id from upload_jobs where status = 'COMPLETED' and updated_at < now() - make_interval(secs => $1)
             order by updated_at limit $2 for update skip locked)",
        kept.as_secs_f64(),
        at_most
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected())
}
