//! Uploads that could not be stored or examined: tried again, or given up for good.

use sqlx::PgConnection;

use super::EndedUpload;
use crate::{
    backend::Result,
    domain::{
        ids::{SpoolId, UploadId},
        upload::UploadState,
    },
};

/// What the artist is told of a file that was given up though nothing is wrong with it.
pub(in crate::backend) const DISCARDED: &str = "We could not keep this file. Upload it again.";

/// Whether an upload that could not be stored is still what its target waits for: the target is there and holds nothing newer.
pub(in crate::backend) async fn is_awaited(db: &mut PgConnection, id: UploadId) -> Result<bool> {
    let is_awaited = sqlx::query_scalar!(
        r#"select exists (select 1 from upload_targets
                              where upload_id = $1 and state = 'FAILED' and not is_superseded) as "is_awaited!""#,
        id as UploadId
    )
    .fetch_one(db)
    .await?;
    Ok(is_awaited)
}

/// What could not be stored waits to be stored again. `false`: it has not failed, or not any more.
pub(in crate::backend) async fn receive_again(db: &mut PgConnection, id: UploadId) -> Result<bool> {
    let received = sqlx::query!(
        "update uploads set state = 'RECEIVED', failure_status = null, failure = null, updated_at = now()
         where id = $1 and state = 'FAILED'",
        id as UploadId
    )
    .execute(db)
    .await?;
    Ok(received.rows_affected() == 1)
}

/// Gives an upload up that is in the state `from`. To be followed by `purge_bytes` after the commit.
pub(in crate::backend) async fn discard(
    db: &mut PgConnection,
    id: UploadId,
    from: UploadState,
    artist_message: &str,
) -> Result<Option<EndedUpload>> {
    let discarded = sqlx::query_as!(
        EndedUpload,
        r#"update uploads set state = 'DISCARDED', failure_status = 410, failure = $3, updated_at = now()
           where id = $1 and state = $2
           returning id as "id: UploadId", spool_id as "spool: SpoolId""#,
        id as UploadId,
        from as UploadState,
        artist_message
    )
    .fetch_optional(db)
    .await?;
    Ok(discarded)
}
