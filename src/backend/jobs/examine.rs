//! Decodes a stored file from its first byte to its last: what it measures, what it looks like, or why it will not do.

use std::{path::Path, time::Duration};

use sha2::{Digest, Sha256};
use sqlx::{PgConnection, types::Json};
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::{JobError, supersede};
use crate::{
    backend::{
        Backend, Result, db,
        media::{Deadline, LISTENING_TYPE, MediaError, Thumbnail, examine_audio, examine_cover},
        objects::{self, Content, DerivedFrom, Intended, ObjectRole},
        queue::{self, Claimed},
        releases, spool,
        storage::Storage,
    },
    domain::{
        ids::{ObjectId, UploadId},
        media::{AudioFacts, CoverFacts, Peaks},
    },
};

const THUMBNAIL_TYPE: &str = "image/jpeg";

/// The largest cover takes some 250 MB while it is decoded, so one is at a time, however many jobs run. A thread has the permit until it
/// ends, even if its job is given up before.
static COVER_DECODER: Semaphore = Semaphore::const_new(1);

struct Stored {
    key: String,
    role: ObjectRole,
    upload: UploadId,
    is_waiting: bool,
}

enum Findings {
    Cover(CoverFacts, Vec<Intended>),
    Audio(AudioFacts, Peaks, Option<Intended>),
}

pub(super) async fn perform(backend: &Backend, job: &Claimed, id: ObjectId) -> Result<(), JobError> {
    let object = sqlx::query_as!(
        Stored,
        r#"select key, role as "role: ObjectRole", upload_id as "upload: UploadId",
                  (state = 'ATTACHED' and examination = 'PENDING') as "is_waiting!"
           from objects where id = $1"#,
        id as ObjectId
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
    let limit = backend.settings.queue.examination_max;
    let findings = match object.role {
        ObjectRole::Cover => {
            // The wait does not count against the file. The semaphore is never closed.
            let permit = COVER_DECODER.acquire().await.ok();
            let examine = move |deadline: &Deadline| {
                let _permit = permit;
                examine_cover(&path, deadline)
            };
            let (facts, thumbnails) = decode(limit, examine).await?;
            Findings::Cover(facts, put_thumbnails(backend, &storage, job, id, object.upload, thumbnails).await?)
        }
        ObjectRole::Audio => {
            let copy = backend.spool.scratch();
            // It goes along: what a thread still writes after its job was given up is removed all the same.
            let examine = move |deadline: &Deadline| {
                examine_audio(&path, copy.path(), deadline).map(|(facts, peaks)| (facts, peaks, copy))
            };
            let (facts, peaks, copy) = decode(limit, examine).await?;
            let listening = match facts.has_listening_copy {
                true => Some(put_listening_copy(backend, &storage, job, id, object.upload, copy.path()).await?),
                false => None,
            };
            Findings::Audio(facts, peaks, listening)
        }
        ObjectRole::Thumbnail | ObjectRole::Listening => {
            supersede(backend, job).await?;
            return Ok(());
        }
    };
    fail::fail_point!("file-examined");
    record(backend, job, id, &findings).await?;
    fail::fail_point!("examination-recorded");
    Ok(())
}

/// Decodes on a thread of its own. The thread ends at `limit`, or as soon as the returned future is dropped because the attempt was
/// given up: it never works for nobody.
async fn decode<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce(&Deadline) -> Result<T, MediaError> + Send + 'static,
) -> Result<T, JobError> {
    let deadline = Deadline::after(limit);
    let _waiting = deadline.end_on_drop();
    let thread = move || {
        let _counted = DecoderThread::begin();
        work(&deadline)
    };
    spawn_blocking(thread).await?.map_err(JobError::from_media)
}

/// One of the threads that `vwaza_decoder_threads` counts, until it ends, whichever way.
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
    job: &Claimed,
    parent: ObjectId,
    upload: UploadId,
    thumbnails: Vec<Thumbnail>,
) -> Result<Vec<Intended>> {
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
    job: &Claimed,
    parent: ObjectId,
    upload: UploadId,
    path: &Path,
) -> Result<Intended> {
    let size_bytes = tokio::fs::metadata(path).await?.len().cast_signed();
    let hashed = path.to_owned();
    let sha256 = spawn_blocking(move || spool::hash_of(&hashed)).await??;
    let content = Content { size_bytes, sha256: &sha256, content_type: LISTENING_TYPE };
    let of = DerivedFrom { parent, edge_px: None };
    let object = objects::intend(&backend.db, job, ObjectRole::Listening, upload, Some(of), content).await?;
    let begun = async |parts: &str| objects::begun_in_parts(&backend.db, job, object.id, parts).await;
    storage.put_file(&object, path, begun).await?;
    Ok(object)
}

/// The findings, the end of the job and what both make of the release: one transaction.
async fn record(backend: &Backend, job: &Claimed, id: ObjectId, findings: &Findings) -> Result<()> {
    let mut tx = db::begin(&backend.db).await?;
    let release = match job.release {
        Some(release) => releases::lock(&mut tx, release).await?,
        None => None,
    };
    let passed = sqlx::query!(
        "update objects set examination = 'PASSED' where id = $1 and state = 'ATTACHED' and examination = 'PENDING'",
        id as ObjectId
    )
    .execute(&mut *tx)
    .await?;
    let is_wanted = passed.rows_affected() == 1;
    if is_wanted {
        insert(&mut tx, id, findings).await?;
    }
    queue::finish(&mut tx, job, (!is_wanted).then_some("superseded")).await?;
    if let Some(release) = release {
        releases::advance_locked(&mut tx, release).await?;
    }
    tx.commit().await?;
    if let Some(release) = release {
        backend.events.release_changed(release.id, release.artist);
    }
    Ok(())
}

async fn insert(db: &mut PgConnection, id: ObjectId, findings: &Findings) -> Result<()> {
    match findings {
        Findings::Cover(facts, thumbnails) => {
            sqlx::query!(
                "insert into cover_facts (object_id, facts) values ($1, $2)",
                id as ObjectId,
                Json(facts) as Json<&CoverFacts>
            )
            .execute(&mut *db)
            .await?;
            for thumbnail in thumbnails {
                objects::attach(db, thumbnail.id).await?;
            }
        }
        Findings::Audio(facts, peaks, listening) => {
            sqlx::query!(
                "insert into audio_facts (object_id, facts, duration_ms, peaks) values ($1, $2, $3, $4)",
                id as ObjectId,
                Json(facts) as Json<&AudioFacts>,
                facts.duration_ms,
                &peaks.0
            )
            .execute(&mut *db)
            .await?;
            if let Some(copy) = listening {
                objects::attach(db, copy.id).await?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tokio::{sync::oneshot, task::yield_now};

    use super::*;

    #[tokio::test]
    async fn a_thread_ends_when_its_attempt_is_given_up() {
        let (ended, end) = oneshot::channel();
        let (begun, beginning) = oneshot::channel();
        let attempt = decode(Duration::MAX, move |deadline| {
            let _ = begun.send(());
            while deadline.check().is_ok() {
                thread::yield_now();
            }
            let _ = ended.send(());
            Ok(())
        });
        tokio::select! {
            _ = attempt => panic!("nothing ends it"),
            _ = beginning => yield_now().await,
        }
        end.await.expect("the thread ends by itself");
    }
}
