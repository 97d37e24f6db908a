//! Retries or discards uploads that could not be stored or examined.

use sqlx::PgConnection;

use super::EndedUpload;
use crate::{
    backend::Result,
    domain::{
        ids::{SpoolId, UploadId},
        upload::UploadState,
    },
};

/// What the artist reads about a file that was discarded although nothing is wrong with it.
pub(in crate::backend) const DISCARDED: &str = "We could not keep this file. Upload it again.";

/// Whether the target of an upload that could not be stored still waits for it: the target exists and holds nothing
/// newer.
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

/// Sets a failed upload back to received, so that it is stored. Returns `false` if the upload has not failed, or not
/// any more.
pub(in crate::backend) async fn receive_again(db: &mut PgConnection, id: UploadId) -> Result<bool> {
    let received = sqlx::query!(
        "update uploads set state = 'RECEIVED', refusal = null, failure = null, updated_at = now()
         where id = $1 and state = 'FAILED'",
        id as UploadId
    )
    .execute(db)
    .await?;
    Ok(received.rows_affected() == 1)
}

/// Discards an upload that is in the state `from`. Returns `None` if it is not. Call `purge_bytes` after the commit.
pub(in crate::backend) async fn discard(
    db: &mut PgConnection,
    id: UploadId,
    from: UploadState,
    artist_message: &str,
) -> Result<Option<EndedUpload>> {
    let discarded = sqlx::query_as!(
        EndedUpload,
        r#"update uploads set state = 'DISCARDED', refusal = null, failure = $3, updated_at = now()
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
