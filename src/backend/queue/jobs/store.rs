//! Moves received bytes from the spool to the storage, verifies them there, and attaches them to their target.

use sqlx::{PgConnection, types::Json};

use super::{JobError, supersede};
use crate::{
    backend::{
        Backend, Error, Result, db,
        queue::{self, ClaimedJob, NewJob},
        releases::locked::{self, LockedRelease},
        storage::{
            Storage,
            objects::{self, Content, IntendedObject, ObjectRole},
        },
    },
    domain::{
        codes::Isrc,
        ids::{ObjectId, ReleaseId, TrackId, UploadId},
        media::Tags,
        queue::JobKind,
        release::ReleaseStatus,
        upload::{UploadKind, UploadState},
    },
};

struct ReceivedUpload {
    seq: i64,
    kind: UploadKind,
    state: UploadState,
    track: Option<TrackId>,
    length_bytes: i64,
    sha256: Option<Vec<u8>>,
    content_type: Option<String>,
    tags: Option<Json<Tags>>,
    owner_is_disabled: bool,
    artist_name: String,
}

pub(super) async fn perform(backend: &Backend, job: &ClaimedJob, id: UploadId) -> Result<(), JobError> {
    let mut db = backend.db.acquire().await?;
    let upload = load(&mut db, id).await?;
    drop(db);
    if upload.state != UploadState::Received {
        // The upload is attached already and only the reply to the COMMIT was lost, or the upload was given up.
        supersede(backend, job).await?;
        if upload.state != UploadState::Failed {
            backend.spool.remove(id).await?;
        }
        return Ok(());
    }
    if upload.owner_is_disabled {
        return Err(owner_is_disabled());
    }
    let storage = backend.storage.on_behalf_of(job.id);
    // An object that is there already is not put again. The process may have been killed between PUT and COMMIT, or the
    // database restored from a backup of a moment between them.
    let object = match stored_by_another_attempt(backend, &storage, id).await? {
        Some(object) => object,
        None => match put(backend, &storage, job, id, &upload).await? {
            Some(object) => object,
            None => {
                supersede(backend, job).await?;
                return Ok(());
            }
        },
    };
    fail::fail_point!("object-put");
    attach(backend, job, id, &object).await?;
    fail::fail_point!("object-attached");
    // The upload is stored and attached, or has no target, so nobody needs these bytes. If this process is killed
    // before, the next start removes them.
    backend.spool.remove(id).await?;
    Ok(())
}

/// Puts the bytes of an upload. `None` if the upload was given up meanwhile and its bytes are gone.
async fn put(
    backend: &Backend,
    storage: &Storage,
    job: &ClaimedJob,
    id: UploadId,
    upload: &ReceivedUpload,
) -> Result<Option<IntendedObject>, JobError> {
    let (Some(sha256), Some(content_type)) = (&upload.sha256, &upload.content_type) else {
        return Err(Error::Corrupt(format!("upload {id} is received without a hash")).into());
    };
    let path = backend.spool.path(id);
    if !tokio::fs::try_exists(&path).await.map_err(Error::from)? {
        let mut db = backend.db.acquire().await?;
        if load(&mut db, id).await?.state != UploadState::Received {
            return Ok(None);
        }
        return Err(JobError::Refused("Our disk no longer has this file. Upload it again.".into()));
    }
    let role = match upload.kind {
        UploadKind::Cover => ObjectRole::Cover,
        UploadKind::Audio => ObjectRole::Audio,
    };
    let content = Content { size_bytes: upload.length_bytes, sha256, content_type };
    let object = objects::intend(&backend.db, job, role, id, None, content).await?;
    fail::fail_point!("object-intended");
    let on_multipart_begun =
        async |multipart_id: &str| objects::record_multipart_id(&backend.db, job, object.id, multipart_id).await;
    storage.put_file(&object, &path, on_multipart_begun).await?;
    Ok(Some(object))
}

async fn stored_by_another_attempt(
    backend: &Backend,
    storage: &Storage,
    id: UploadId,
) -> Result<Option<IntendedObject>> {
    for (object, multipart_id) in objects::intents_of_upload(&backend.db, id).await? {
        match storage.has_intended_bytes(&object).await {
            Ok(true) => return Ok(Some(object)),
            Ok(false) => {}
            // Another put would leave one more object each time.
            Err(error @ Error::CircuitOpen) => return Err(error),
            // The reaper deletes this object. The next PUT shows whether the storage is away.
            Err(error) => {
                tracing::warn!(object.key = %object.key, error = ?error, "checking an earlier attempt's object failed");
                continue;
            }
        }
        // This attempt holds the lease, so nobody else continues the multipart upload. If the abort fails, the reaper
        // tries again.
        if let Some(multipart_id) = multipart_id
            && let Err(error) = storage.abort_multipart(&object.key, &multipart_id).await
        {
            tracing::warn!(object.key = %object.key, error = ?error, "aborting an earlier multipart upload failed");
        }
    }
    Ok(None)
}

/// Refuses a file whose owner is disabled. Nothing is lost: once the account is enabled, an admin can retry the job.
fn owner_is_disabled() -> JobError {
    JobError::Refused(
        "Your account was disabled, so we did not store this file. We still have it: ask us to try again.".into(),
    )
}

async fn load(db: &mut PgConnection, id: UploadId) -> Result<ReceivedUpload> {
    let upload = sqlx::query_as!(
        ReceivedUpload,
        r#"select u.seq, u.kind as "kind: UploadKind", u.state as "state: UploadState",
                  u.track_id as "track: TrackId", u.length_bytes, u.sha256, u.content_type, u.tags as "tags: Json<Tags>",
                  o.disabled_at is not null as "owner_is_disabled!", o.artist_name
           from uploads u join users o on o.id = u.owner_id where u.id = $1"#,
        id as UploadId
    )
    .fetch_one(db)
    .await?;
    Ok(upload)
}

/// Attaches an object in one short transaction. It checks that the target still exists and holds nothing newer, that
/// the owner may still attach, and that this attempt still holds the job.
async fn attach(backend: &Backend, job: &ClaimedJob, id: UploadId, object: &IntendedObject) -> Result<(), JobError> {
    let mut tx = db::begin(&backend.db).await?;
    let release = match job.release {
        Some(release) => locked::lock(&mut tx, release).await?,
        None => None,
    };
    let upload = load(&mut tx, id).await?;
    if upload.state == UploadState::Received && upload.owner_is_disabled {
        return Err(owner_is_disabled());
    }
    let attached = match (release, upload.state) {
        (Some(release), UploadState::Received) => attach_to_target(&mut tx, release, id, &upload, object.id).await?,
        _ => false,
    };
    let state = if attached { UploadState::Attached } else { UploadState::Superseded };
    sqlx::query!(
        "update uploads set state = $2, updated_at = now() where id = $1 and state = 'RECEIVED'",
        id as UploadId,
        state as UploadState
    )
    .execute(&mut *tx)
    .await?;
    queue::finish(&mut tx, job, (!attached).then_some("superseded")).await?;
    if let Some(release) = release {
        if attached {
            let examine = NewJob {
                kind: JobKind::Examine,
                artist: release.artist,
                release: Some(release.id),
                upload: Some(id),
                object: Some(object.id),
                spool: None,
            };
            queue::enqueue(&mut tx, &examine, None, backend.settings.queue.lease).await?;
            locked::bump_version(&mut tx, release.id).await?;
        }
        locked::advance(&mut tx, release).await?;
    }
    tx.commit().await?;
    let outcome = if attached { "attached" } else { "superseded" };
    metrics::counter!("vwaza_uploads_total", "outcome" => outcome).increment(1);
    if let Some(release) = release {
        // Workers wait for this event, so it goes out first: an event right after another one waits for the next batch.
        backend.events.job_added();
        backend.events.release_changed(release.id, release.artist);
    }
    Ok(())
}

/// Attaches an object to its target. Returns `false` if the target is gone or holds a newer file, or if its release
/// takes no files now.
async fn attach_to_target(
    db: &mut PgConnection,
    release: LockedRelease,
    id: UploadId,
    upload: &ReceivedUpload,
    object: ObjectId,
) -> Result<bool> {
    if !matches!(release.status, ReleaseStatus::Draft | ReleaseStatus::Processing) {
        return Ok(false);
    }
    if let Some(track) = upload.track {
        // Nobody else writes to the track before this transaction ends.
        sqlx::query!("select id from tracks where id = $1 for update", track as TrackId)
            .fetch_optional(&mut *db)
            .await?;
    }
    let target = sqlx::query!(
        r#"select held_id as "held: ObjectId", is_superseded as "is_superseded!" from upload_targets where upload_id = $1"#,
        id as UploadId
    )
    .fetch_one(&mut *db)
    .await?;
    if target.is_superseded {
        return Ok(false);
    }
    objects::attach(db, object).await?;
    if let Some(held) = target.held {
        objects::detach(db, held).await?;
    }
    match upload.track {
        None => {
            sqlx::query!(
                "update releases set cover_id = $2 where id = $1",
                release.id as ReleaseId,
                object as ObjectId
            )
            .execute(&mut *db)
            .await?;
        }
        Some(track) => {
            let tags = upload.tags.as_ref().map(|Json(tags)| tags);
            let isrc = tags.and_then(|tags| Isrc::parse(tags.isrc.as_deref()?).ok());
            // Text that the artist has typed stays. A title that was guessed from the files' names gives way to the
            // file's own tags.
            sqlx::query!(
                "update tracks set audio_id = $2, updated_at = now(), isrc = coalesce(isrc, $4),
                        title = case when title_is_guessed and $3::text is not null then $3 else title end,
                        title_is_guessed = false
                 where id = $1",
                track as TrackId,
                object as ObjectId,
                tags.and_then(|tags| tags.title_beside(&upload.artist_name)),
                isrc.as_ref().map(|isrc| isrc.as_str())
            )
            .execute(&mut *db)
            .await?;
            if let Some(album) = tags.and_then(|tags| tags.album.as_deref()) {
                sqlx::query!(
                    "update releases set title = $2 where id = $1 and title = ''",
                    release.id as ReleaseId,
                    album
                )
                .execute(&mut *db)
                .await?;
            }
        }
    }
    // Earlier uploads for this target that were refused, failed or discarded are superseded.
    sqlx::query!(
        "update uploads set state = 'SUPERSEDED', updated_at = now()
         where release_id = $1 and kind = $2 and track_id is not distinct from $3 and seq < $4 and id <> $5
           and state in ('REFUSED', 'FAILED', 'DISCARDED')",
        release.id as ReleaseId,
        upload.kind as UploadKind,
        upload.track as Option<TrackId>,
        upload.seq,
        id as UploadId
    )
    .execute(db)
    .await?;
    Ok(true)
}
