//! The reaper deletes objects that nothing needs any more. No other part of the server deletes objects; `fsck` deletes
//! orphans.
//!
//! The reaper dooms an object by compare-and-set, so the object can't be attached at the same time. It deletes the
//! object outside any transaction. It deletes the row only if the storage still has nothing a grace time after the
//! delete: a put that had timed out may have arrived in between.

use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use crate::{
    backend::{Backend, Error, Result, db},
    domain::ids::ObjectId,
};

/// The largest number of objects that one statement dooms or reads.
const BATCH: i64 = 100;

/// The last object that the previous run came to. An object that cannot be deleted may open the circuit; the next run
/// continues behind it.
#[derive(Default)]
pub(in crate::backend) struct Cursor(Mutex<Option<(bool, ObjectId)>>);

impl Cursor {
    fn take(&self) -> Option<(bool, ObjectId)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn store(&self, last: (bool, ObjectId)) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
    }
}

pub(in crate::backend) async fn run_once(backend: &Arc<Backend>) -> Result<()> {
    // In a missing bucket, every object looks deleted.
    if !backend.storage.is_reachable().await {
        return Ok(());
    }
    while doom(backend).await? == BATCH.unsigned_abs() {}
    fail::fail_point!("objects-doomed");
    delete(backend).await
}

/// Dooms objects that were never attached and have no unfinished job, and objects that were released long enough ago.
/// While a backup is being made, released objects are kept: its snapshot may name them. Returns how many.
async fn doom(backend: &Backend) -> Result<u64> {
    let retention = &backend.settings.retention;
    let mut tx = db::begin(&backend.db).await?;
    // A new pin waits until this transaction ends, and a later transaction sees the pin. So a backup's snapshot, which
    // follows its pin, names no object that is doomed without it.
    sqlx::query!("lock table backup_pins in share mode").execute(&mut *tx).await?;
    let doomed = sqlx::query!(
        "update objects set state = 'DOOMED', doomed_at = now()
         where id in (
             select o.id from objects o
             where ((o.state = 'INTENDED' and o.created_at < now() - make_interval(secs => $1)
                     and not exists (select 1 from upload_jobs j
                                     where j.upload_id = o.upload_id and j.status in ('PENDING', 'UPLOADING')))
                    or (o.state = 'RELEASED' and o.released_at < now() - make_interval(secs => $2)
                        and not exists (select 1 from backup_pins where expires_at > now())))
               and not exists (select 1 from releases r where r.cover_id = o.id)
               and not exists (select 1 from tracks t where t.audio_id = o.id)
             order by o.created_at limit $3 for update skip locked)",
        retention.orphan_grace.as_secs_f64(),
        retention.replaced_object.as_secs_f64(),
        BATCH
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    if doomed.rows_affected() > 0 {
        tracing::info!(objects = doomed.rows_affected(), "objects marked for deletion");
    }
    Ok(doomed.rows_affected())
}

async fn delete(backend: &Backend) -> Result<()> {
    let (mut outcome, mut last) = (Ok(()), backend.reaper_cursor.take().unwrap_or((false, ObjectId(Uuid::nil()))));
    loop {
        // Derived objects come first: the row of their parent stays until their rows are gone.
        let doomed = sqlx::query!(
            r#"select id as "id: ObjectId", key, multipart_id, deleted_at is not null as "was_deleted!", parent_id is null as "is_parent!"
               from objects
               where state = 'DOOMED' and (deleted_at is null or deleted_at < now() - make_interval(secs => $1))
                 and (parent_id is null, id) > ($2, $3)
               order by parent_id is null, id limit $4"#,
            backend.settings.retention.orphan_grace.as_secs_f64(),
            last.0,
            last.1 as ObjectId,
            BATCH
        )
        .fetch_all(&backend.db)
        .await?;
        let is_full = doomed.len() as u64 == BATCH.unsigned_abs();
        for object in doomed {
            // An object that cannot be deleted does not keep the others from being deleted.
            let deleted =
                delete_one(backend, object.id, &object.key, object.multipart_id.as_deref(), object.was_deleted);
            match deleted.await {
                Ok(()) => {}
                Err(error @ Error::CircuitOpen) => {
                    backend.reaper_cursor.store(last);
                    // The error that opened the circuit says more than this one.
                    return outcome.and(Err(error));
                }
                Err(error) => outcome = Err(error),
            }
            last = (object.is_parent, object.id);
        }
        if !is_full {
            return outcome;
        }
    }
}

async fn delete_one(
    backend: &Backend,
    id: ObjectId,
    key: &str,
    multipart_id: Option<&str>,
    was_deleted: bool,
) -> Result<()> {
    let is_gone = backend.storage.is_gone(key).await?;
    // If the object exists, its multipart upload was completed. Otherwise every run aborts the upload again: a part
    // that was under way may have arrived after an abort.
    if let Some(upload) = multipart_id.filter(|_| is_gone) {
        backend.storage.abort_multipart(key, upload).await?;
    }
    if was_deleted && is_gone {
        return delete_row(backend, id).await;
    }
    backend.storage.delete(key).await?;
    fail::fail_point!("object-deleted");
    sqlx::query!("update objects set deleted_at = now() where id = $1 and state = 'DOOMED'", id as ObjectId)
        .execute(&backend.db)
        .await?;
    Ok(())
}

async fn delete_row(backend: &Backend, id: ObjectId) -> Result<()> {
    sqlx::query!(
        "delete from objects o where id = $1 and state = 'DOOMED'
         and not exists (select 1 from objects thumbnail where thumbnail.parent_id = o.id)",
        id as ObjectId
    )
    .execute(&backend.db)
    .await?;
    Ok(())
}
