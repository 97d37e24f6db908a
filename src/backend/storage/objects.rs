//! The rows of objects in the storage: intended, attached, released. Nothing here deletes objects; the reaper does.

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::{
    backend::{
        Error, Result,
        queue::{ClaimedJob, require_lease},
    },
    domain::ids::{JobId, ObjectId, ReleaseId, TrackId, UploadId, WorkerId},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "object_role", rename_all = "UPPERCASE")]
pub(in crate::backend) enum ObjectRole {
    Cover,
    Audio,
    Thumbnail,
    Listening,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "object_state", rename_all = "UPPERCASE")]
pub(in crate::backend) enum ObjectState {
    Intended,
    Attached,
    Released,
    Doomed,
}

impl ObjectRole {
    fn folder(self) -> &'static str {
        match self {
            Self::Cover => "covers",
            Self::Audio => "audio",
            Self::Thumbnail => "thumbnails",
            Self::Listening => "listening",
        }
    }
}

/// An object that is about to be put.
#[derive(Clone, Debug)]
pub(in crate::backend) struct IntendedObject {
    pub(in crate::backend) id: ObjectId,
    pub(in crate::backend) key: String,
    pub(in crate::backend) size_bytes: i64,
    pub(in crate::backend) sha256: Vec<u8>,
    pub(in crate::backend) content_type: String,
}

/// The size, the checksum and the media type of an object that is about to be put.
pub(in crate::backend) struct Content<'a> {
    pub(in crate::backend) size_bytes: i64,
    pub(in crate::backend) sha256: &'a [u8],
    pub(in crate::backend) content_type: &'a str,
}

/// The object that a thumbnail or a listening copy is made of.
#[derive(Clone, Copy)]
pub(in crate::backend) struct DerivedFrom {
    pub(in crate::backend) parent: ObjectId,
    /// The longer edge of a thumbnail. `None` for a listening copy.
    pub(in crate::backend) edge_px: Option<i32>,
}

/// Commits the row of an object, its intent, before its first byte is put. Each call makes a new key, so no attempt
/// ever writes where another one did.
///
/// # Errors
/// `LeaseLost` if another worker holds the job by now. Nothing may be put then.
pub(in crate::backend) async fn intend(
    db: &PgPool,
    job: &ClaimedJob,
    role: ObjectRole,
    upload: UploadId,
    derived: Option<DerivedFrom>,
    content: Content<'_>,
) -> Result<IntendedObject> {
    let id = ObjectId(Uuid::now_v7());
    let key = format!("{}/{id}", role.folder());
    let intended = sqlx::query!(
        "insert into objects (id, key, role, upload_id, parent_id, edge_px, size_bytes, sha256, content_type)
         select $1, $2, $3, $4, $5, $6, $7, $8, $9
         where exists (select 1 from upload_jobs where id = $10 and attempt = $11 and lease_owner = $12 and status = 'UPLOADING')",
        id as ObjectId,
        key,
        role as ObjectRole,
        upload as UploadId,
        derived.map(|derived| derived.parent) as Option<ObjectId>,
        derived.and_then(|derived| derived.edge_px),
        content.size_bytes,
        content.sha256,
        content.content_type,
        job.id as JobId,
        job.attempt,
        job.owner as WorkerId
    )
    .execute(db)
    .await?;
    require_lease(intended.rows_affected(), job)?;
    Ok(IntendedObject {
        id,
        key,
        size_bytes: content.size_bytes,
        sha256: content.sha256.to_vec(),
        content_type: content.content_type.to_owned(),
    })
}

/// The intents of an upload that were never attached, oldest first, each with the id of the multipart upload that it
/// began.
pub(in crate::backend) async fn intents_of_upload(
    db: &PgPool,
    upload: UploadId,
) -> Result<Vec<(IntendedObject, Option<String>)>> {
    let rows = sqlx::query!(
        r#"select id as "id: ObjectId", key, size_bytes, sha256, content_type, multipart_id from objects
           where upload_id = $1 and parent_id is null and state = 'INTENDED'
           order by created_at"#,
        upload as UploadId
    )
    .fetch_all(db)
    .await?;
    let objects = rows.into_iter().map(|row| {
        let object = IntendedObject {
            id: row.id,
            key: row.key,
            size_bytes: row.size_bytes,
            sha256: row.sha256,
            content_type: row.content_type,
        };
        (object, row.multipart_id)
    });
    Ok(objects.collect())
}

/// Commits the id of a multipart upload before its first part is sent, so that the reaper can abort an upload that a
/// killed process left open.
///
/// # Errors
/// `LeaseLost` if another worker holds the job by now, or if the reaper has doomed the object. No part may be sent
/// then.
pub(in crate::backend) async fn record_multipart_id(
    db: &PgPool,
    job: &ClaimedJob,
    object: ObjectId,
    multipart_id: &str,
) -> Result<()> {
    let noted = sqlx::query!(
        "update objects set multipart_id = $2 where id = $1 and state = 'INTENDED'
         and exists (select 1 from upload_jobs where id = $3 and attempt = $4 and lease_owner = $5 and status = 'UPLOADING')",
        object as ObjectId,
        multipart_id,
        job.id as JobId,
        job.attempt,
        job.owner as WorkerId
    )
    .execute(db)
    .await?;
    fail::fail_point!("multipart-begun");
    require_lease(noted.rows_affected(), job)
}

/// Attaches an object by compare-and-set: an INTENDED object becomes ATTACHED here or DOOMED by the reaper.
///
/// # Errors
/// If the reaper was first. The transaction must not commit then, and the next attempt puts another object.
pub(in crate::backend) async fn attach(db: &mut PgConnection, object: ObjectId) -> Result<()> {
    let attached = sqlx::query!(
        "update objects set state = 'ATTACHED', attached_at = now(), multipart_id = null where id = $1 and state = 'INTENDED'",
        object as ObjectId
    )
    .execute(db)
    .await?;
    require_intended(attached.rows_affected(), object)
}

fn require_intended(rows: u64, object: ObjectId) -> Result<()> {
    if rows == 1 { Ok(()) } else { Err(Error::Corrupt(format!("object {object} was given up before it was attached"))) }
}

/// Detaches an object and the objects derived from it: they become RELEASED, and the reaper deletes them later.
pub(in crate::backend) async fn detach(db: &mut PgConnection, object: ObjectId) -> Result<()> {
    sqlx::query!(
        "update objects set state = 'RELEASED', released_at = now() where (id = $1 or parent_id = $1) and state = 'ATTACHED'",
        object as ObjectId
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Detaches the objects derived from an object, which itself stays attached.
pub(in crate::backend) async fn detach_derived(db: &mut PgConnection, parent: ObjectId) -> Result<()> {
    sqlx::query!(
        "update objects set state = 'RELEASED', released_at = now() where parent_id = $1 and state = 'ATTACHED'",
        parent as ObjectId
    )
    .execute(db)
    .await?;
    Ok(())
}

pub(in crate::backend) async fn detach_audio_of_track(db: &mut PgConnection, track: TrackId) -> Result<()> {
    sqlx::query!(
        "with held as (select audio_id as id from tracks where id = $1 and audio_id is not null)
         update objects set state = 'RELEASED', released_at = now()
         where state = 'ATTACHED' and (id in (select id from held) or parent_id in (select id from held))",
        track as TrackId
    )
    .execute(db)
    .await?;
    Ok(())
}

pub(in crate::backend) async fn detach_all_of_release(db: &mut PgConnection, release: ReleaseId) -> Result<()> {
    sqlx::query!(
        "with held as (
             select cover_id as id from releases where id = $1 and cover_id is not null
             union all
             select audio_id from tracks where release_id = $1 and audio_id is not null
         )
         update objects set state = 'RELEASED', released_at = now()
         where state = 'ATTACHED' and (id in (select id from held) or parent_id in (select id from held))",
        release as ReleaseId
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whether an object is attached although its examination failed.
pub(in crate::backend) async fn is_unexamined(db: &mut PgConnection, object: ObjectId) -> Result<bool> {
    let is_unexamined = sqlx::query_scalar!(
        r#"select exists (select 1 from objects where id = $1 and state = 'ATTACHED' and examination = 'FAILED') as "is!""#,
        object as ObjectId
    )
    .fetch_one(db)
    .await?;
    Ok(is_unexamined)
}

/// Sets the examination of an attached object from FAILED back to PENDING. Returns `false` if there is no such object
/// any more.
pub(in crate::backend) async fn examine_again(db: &mut PgConnection, object: ObjectId) -> Result<bool> {
    let waits = sqlx::query!(
        "update objects set examination = 'PENDING', examination_failure = null, was_given_up = false
         where id = $1 and state = 'ATTACHED' and examination = 'FAILED'",
        object as ObjectId
    )
    .execute(db)
    .await?;
    Ok(waits.rows_affected() == 1)
}

/// Removes an object from the release or track that shows it, and detaches it.
pub(in crate::backend) async fn detach_from_target(db: &mut PgConnection, object: ObjectId) -> Result<()> {
    sqlx::query!("update releases set cover_id = null where cover_id = $1", object as ObjectId)
        .execute(&mut *db)
        .await?;
    sqlx::query!("update tracks set audio_id = null, updated_at = now() where audio_id = $1", object as ObjectId)
        .execute(&mut *db)
        .await?;
    detach(db, object).await
}
