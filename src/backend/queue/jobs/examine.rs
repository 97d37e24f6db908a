//! Examines a stored file: decodes it from its first byte to its last, and either records its facts or refuses it.
//!
//! The worker examines a file again, in the background, if an older version of the examination has examined it. That
//! never alters a published file: admins are told of the differences.

use std::{path::Path, time::Duration};

use sha2::{Digest, Sha256};
use sqlx::{PgConnection, types::Json};
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::{JobError, supersede};
use crate::{
    backend::{
        Backend, Error, Result, db,
        media::{Deadline, LISTENING_TYPE, MediaError, Thumbnail, examine_audio, examine_cover},
        queue::{self, ClaimedJob},
        releases::{
            changed_facts,
            locked::{self, LockedRelease},
            view::ExaminationState,
        },
        storage::{
            Storage,
            objects::{self, Content, DerivedFrom, IntendedObject, ObjectRole},
        },
        uploads::spool,
    },
    domain::{
        ids::{ObjectId, ReleaseId, UploadId},
        media::{AudioFacts, CoverFacts, EXAMINATION_VERSION, Peaks},
        release::ReleaseStatus,
    },
};

const THUMBNAIL_TYPE: &str = "image/jpeg";

/// The permit to decode a cover. One cover is decoded at a time, whatever the concurrency, because the largest needs
/// about 300 MB. A thread holds the permit until it ends, even if its job is given up before.
static COVER_DECODER: Semaphore = Semaphore::const_new(1);

struct Stored {
    key: String,
    role: ObjectRole,
    upload: UploadId,
    is_waiting: bool,
    is_published: bool,
}

enum Examined {
    Cover(CoverFacts),
    Audio(AudioFacts, Peaks),
}

/// The files that were derived from an object to show it or to play it. `None` if the object is published and keeps
/// those that it has.
type Derived = Option<Vec<IntendedObject>>;

pub(super) async fn perform(backend: &Backend, job: &ClaimedJob, id: ObjectId) -> Result<(), JobError> {
    let object = sqlx::query_as!(
        Stored,
        r#"select key, role as "role: ObjectRole", upload_id as "upload: UploadId",
                  (state = 'ATTACHED' and (examination = 'PENDING' or examination_version < $2)) as "is_waiting!",
                  (examination = 'PASSED' and exists (select 1 from releases where id = $3 and status = 'PUBLISHED')) as "is_published!"
           from objects where id = $1"#,
        id as ObjectId,
        EXAMINATION_VERSION,
        job.release as Option<ReleaseId>
    )
    .fetch_one(&backend.db)
    .await?;
    if !object.is_waiting {
        supersede(backend, job).await?;
        return Ok(());
    }
    let scratch = backend.spool.scratch();
    let storage = backend.storage.on_behalf_of(job.id);
    storage.copy_to_file(&object.key, scratch.path()).await?;
    let path = scratch.path().to_owned();
    let limit = backend.settings.queue.examination_timeout;
    let keeps = object.is_published;
    let (examined, derived) = match object.role {
        ObjectRole::Cover => {
            // The wait does not count against the file. The semaphore is never closed.
            let permit = COVER_DECODER.acquire().await.ok();
            let examine = move |deadline: &Deadline| {
                let _permit = permit;
                examine_cover(&path, deadline)
            };
            let (facts, thumbnails) = decode(limit, examine).await?;
            let derived = match keeps {
                true => None,
                false => Some(put_thumbnails(backend, &storage, job, id, object.upload, thumbnails).await?),
            };
            (Examined::Cover(facts), derived)
        }
        ObjectRole::Audio => {
            let copy = backend.spool.scratch();
            // The thread owns this temporary file. So the file is removed even if the thread outlives its job.
            let examine = move |deadline: &Deadline| {
                examine_audio(&path, copy.path(), deadline).map(|(facts, peaks)| (facts, peaks, copy))
            };
            let (facts, peaks, copy) = decode(limit, examine).await?;
            let derived = match (keeps, facts.has_listening_copy) {
                (true, _) => None,
                (_, true) => {
                    Some(vec![put_listening_copy(backend, &storage, job, id, object.upload, copy.path()).await?])
                }
                (_, false) => Some(Vec::new()),
            };
            (Examined::Audio(facts, peaks), derived)
        }
        ObjectRole::Thumbnail | ObjectRole::Listening => {
            supersede(backend, job).await?;
            return Ok(());
        }
    };
    fail::fail_point!("file-examined");
    record(backend, job, id, &examined, derived).await?;
    fail::fail_point!("examination-recorded");
    Ok(())
}

/// Decodes on a thread of its own, which ends at `limit` or when the attempt is given up.
async fn decode<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce(&Deadline) -> Result<T, MediaError> + Send + 'static,
) -> Result<T, JobError> {
    let decoded = Deadline::after(limit).run_on_thread(|deadline| {
        let _counted = DecoderThread::begin();
        work(deadline)
    });
    decoded.await?.map_err(JobError::from_media)
}

/// Counts a thread in `vwaza_decoder_threads` until the thread ends or panics.
struct DecoderThread;

impl DecoderThread {
    fn begin() -> Self {
        metrics::gauge!("vwaza_decoder_threads").increment(1.0);
        Self
    }
}

impl Drop for DecoderThread {
    fn drop(&mut self) {
        metrics::gauge!("vwaza_decoder_threads").decrement(1.0);
    }
}

async fn put_thumbnails(
    backend: &Backend,
    storage: &Storage,
    job: &ClaimedJob,
    parent: ObjectId,
    upload: UploadId,
    thumbnails: Vec<Thumbnail>,
) -> Result<Vec<IntendedObject>> {
    let mut put = Vec::new();
    for Thumbnail { edge_px, jpeg } in thumbnails {
        let sha256 = Sha256::digest(&jpeg);
        let content = Content { size_bytes: jpeg.len() as i64, sha256: &sha256, content_type: THUMBNAIL_TYPE };
        let of = DerivedFrom { parent, edge_px: Some(edge_px) };
        let object = objects::intend(&backend.db, job, ObjectRole::Thumbnail, upload, Some(of), content).await?;
        storage.put_bytes(&object, jpeg).await?;
        put.push(object);
    }
    Ok(put)
}

async fn put_listening_copy(
    backend: &Backend,
    storage: &Storage,
    job: &ClaimedJob,
    parent: ObjectId,
    upload: UploadId,
    path: &Path,
) -> Result<IntendedObject> {
    let size_bytes = tokio::fs::metadata(path).await?.len().cast_signed();
    let hashed = path.to_owned();
    let sha256 = spawn_blocking(move || spool::hash_of(&hashed)).await??;
    let content = Content { size_bytes, sha256: &sha256, content_type: LISTENING_TYPE };
    let of = DerivedFrom { parent, edge_px: None };
    let object = objects::intend(&backend.db, job, ObjectRole::Listening, upload, Some(of), content).await?;
    let on_multipart_begun =
        async |multipart_id: &str| objects::record_multipart_id(&backend.db, job, object.id, multipart_id).await;
    storage.put_file(&object, path, on_multipart_begun).await?;
    Ok(object)
}

/// Records the result of an examination, completes the job and advances the release, in one transaction.
async fn record(
    backend: &Backend,
    job: &ClaimedJob,
    id: ObjectId,
    examined: &Examined,
    derived: Derived,
) -> Result<()> {
    let mut tx = db::begin(&backend.db).await?;
    let release = match job.release {
        Some(release) => locked::lock(&mut tx, release).await?,
        None => None,
    };
    let is_wanted = apply(&mut tx, release, id, examined, derived).await?;
    queue::finish(&mut tx, job, (!is_wanted).then_some("superseded")).await?;
    if let Some(release) = release {
        locked::advance(&mut tx, release).await?;
    }
    tx.commit().await?;
    if let Some(release) = release {
        backend.events.release_changed(release.id, release.artist);
    }
    Ok(())
}

/// Writes the result to the database. Returns `false` if nobody waits for it any more.
async fn apply(
    db: &mut PgConnection,
    release: Option<LockedRelease>,
    id: ObjectId,
    examined: &Examined,
    derived: Derived,
) -> Result<bool> {
    let object = sqlx::query!(
        r#"select examination as "examination: ExaminationState", examination_version < $2 as "is_outdated!"
           from objects where id = $1 and state = 'ATTACHED' for update"#,
        id as ObjectId,
        EXAMINATION_VERSION
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(object) = object else { return Ok(false) };
    let is_first = object.examination == ExaminationState::Pending;
    if !is_first && !object.is_outdated {
        return Ok(false);
    }
    let has_changed = match object.examination {
        ExaminationState::Passed => examined.differ(&mut *db, id).await?,
        ExaminationState::Pending | ExaminationState::Failed => true,
    };
    sqlx::query!(
        "update objects set examination = 'PASSED', examination_failure = null, was_given_up = false, examination_version = $2 where id = $1",
        id as ObjectId,
        EXAMINATION_VERSION
    )
    .execute(&mut *db)
    .await?;
    let status = release.map(|release| release.status);
    if object.examination == ExaminationState::Passed && status == Some(ReleaseStatus::Published) {
        let changed = has_changed.then(|| examined.to_json()).transpose()?;
        changed_facts::record(db, id, changed.map(Ok)).await?;
        return Ok(true);
    }
    let derived = derived.ok_or_else(|| Error::Corrupt(format!("object {id} is not published any more")))?;
    if !is_first {
        objects::detach_derived(&mut *db, id).await?;
        changed_facts::record(&mut *db, id, None).await?;
    }
    examined.write(&mut *db, id).await?;
    for object in derived {
        objects::attach(&mut *db, object.id).await?;
    }
    // Other facts give the release a new version, so that no reviewer decides about the old ones.
    if let Some(release) = release
        && !is_first
        && has_changed
    {
        locked::bump_version(db, release.id).await?;
    }
    Ok(true)
}

impl Examined {
    fn to_json(&self) -> Result<serde_json::Value> {
        let json = match self {
            Self::Cover(facts) => serde_json::to_value(facts),
            Self::Audio(facts, _) => serde_json::to_value(facts),
        };
        json.map_err(|error| Error::Corrupt(format!("facts that cannot be written: {error}")))
    }

    /// Whether the result differs from the facts in the database.
    async fn differ(&self, db: &mut PgConnection, id: ObjectId) -> Result<bool> {
        let written = sqlx::query_scalar!(
            r#"select facts as "facts!" from audio_facts where object_id = $1
               union all select facts from cover_facts where object_id = $1"#,
            id as ObjectId
        )
        .fetch_optional(db)
        .await?;
        // Facts that cannot be read any more were written by another version.
        Ok(match (self, written) {
            (_, None) => true,
            (Self::Cover(facts), Some(json)) => {
                serde_json::from_value(json).map_or(true, |old: CoverFacts| old != *facts)
            }
            (Self::Audio(facts, _), Some(json)) => {
                serde_json::from_value(json).map_or(true, |old: AudioFacts| facts.differs_from(&old))
            }
        })
    }

    async fn write(&self, db: &mut PgConnection, id: ObjectId) -> Result<()> {
        match self {
            Self::Cover(facts) => {
                sqlx::query!(
                    "insert into cover_facts (object_id, facts) values ($1, $2)
                     on conflict (object_id) do update set facts = excluded.facts",
                    id as ObjectId,
                    Json(facts) as Json<&CoverFacts>
                )
                .execute(db)
                .await?;
            }
            Self::Audio(facts, peaks) => {
                sqlx::query!(
                    "insert into audio_facts (object_id, facts, duration_ms, peaks) values ($1, $2, $3, $4)
                     on conflict (object_id) do update
                     set facts = excluded.facts, duration_ms = excluded.duration_ms, peaks = excluded.peaks",
                    id as ObjectId,
                    Json(facts) as Json<&AudioFacts>,
                    facts.duration_ms,
                    &peaks.0
                )
                .execute(db)
                .await?;
            }
        }
        Ok(())
    }
}
