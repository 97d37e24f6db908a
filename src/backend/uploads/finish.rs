//! Completes uploads whose bytes have all arrived: validates the file, and enqueues its job in the transaction that
//! marks it received.

use std::{fs::File, io, num::NonZero, path::Path, sync::Arc, thread::available_parallelism, time::Duration};

use sha2::Digest;
use sqlx::types::Json;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{
    Uploads, count_refusal,
    receive::{displaced_by_another, upload_is_over},
    sink::hash_of_first,
    writers::{RunningHash, Writer},
};
use crate::{
    backend::{
        Error, Result, db,
        media::{Deadline, MediaError, Refusal, validate_audio, validate_cover},
        queue::{self, NewJob, worker},
        releases::{locked, track_order},
    },
    domain::{
        circuit::CircuitState,
        ids::{BatchId, ReleaseId, SpoolId, TrackId, UploadId, UserId},
        media::{MediaLimits, Tags},
        problem::{FileRefusal, Problem},
        queue::JobKind,
        upload::{UploadKind, UploadState},
    },
};

/// The timeout of a validation. Headers take milliseconds. A gigabyte of MP3, whose frames are counted, takes some
/// seconds on a disk of its own and half a minute on a slow one.
const VALIDATION_TIMEOUT: Duration = Duration::from_secs(60);
/// The time for which an upload waits for a permit. A client that waits for longer gives up by itself.
const VALIDATION_PERMIT_TIMEOUT: Duration = Duration::from_secs(30);

/// Makes the permits to validate a file that has arrived: as many as the machine has cores, and at least two. They are
/// separate from the worker's permits. So files that take long to validate keep neither the queue nor the threads of
/// requests busy, and long jobs keep no upload from its answer.
pub(in crate::backend) fn validation_permits() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(available_parallelism().map_or(1, NonZero::get).max(2)))
}

fn validation_permit_timeout() -> Duration {
    fail::fail_point!("validation-wait-max", |seconds| {
        Duration::from_secs(seconds.and_then(|seconds| seconds.parse().ok()).unwrap_or(0))
    });
    VALIDATION_PERMIT_TIMEOUT
}

impl Uploads {
    /// Completes an upload whose bytes are all here although its client was never told.
    pub(super) async fn finish_if_whole(&self, id: UploadId) -> Result<()> {
        let writer = self.0.writers.displace(id).await.ok_or_else(displaced_by_another)?;
        self.finish_held(id, writer).await
    }

    /// Completes an upload for the writer that holds it, even if the caller goes away.
    pub(super) async fn finish_held(&self, id: UploadId, writer: Writer) -> Result<()> {
        let uploads = Uploads(Arc::clone(&self.0));
        self.0.tasks.run_to_completion(async move { uploads.finish_receiving(id, writer).await }).await?
    }

    /// Validates the file. Then, in one transaction, marks the upload received and enqueues the job that stores it.
    pub(super) async fn finish_receiving(&self, id: UploadId, writer: Writer) -> Result<()> {
        let backend = &self.0;
        let row = sqlx::query!(
            r#"select state as "state: UploadState", kind as "kind: UploadKind", length_bytes, release_id as "release: ReleaseId",
                      expected_sha256
               from uploads where id = $1"#,
            id as UploadId
        )
        .fetch_one(&backend.db);
        let row = db::with_timeout(db::REPLY_TIMEOUT, async { Ok(row.await?) }).await?;
        match row.state {
            UploadState::Receiving => {}
            UploadState::Received | UploadState::Attached | UploadState::Superseded => return Ok(()),
            _ => return Err(upload_is_over().into()),
        }
        let length = row.length_bytes.unsigned_abs();
        let (path, limits, running) = (backend.spool.path(id), backend.settings.media, writer.running.clone());
        let permit = self.acquire_validation_permit().await?;
        let validated = Deadline::never().run_on_thread(move |work| {
            // The thread holds the permit until it ends.
            let _permit = permit;
            fail::fail_point!("validation");
            let sha256 = whole_hash(&path, length, running)?;
            let result = if row.expected_sha256.is_some_and(|expected| expected != sha256) {
                Err(hash_mismatch().into())
            } else {
                // The timeout covers the validation only. After a restart, the whole file is hashed again, which takes
                // as long as the disk needs.
                validate(row.kind, &path, &limits, &work.within(VALIDATION_TIMEOUT))
            };
            match result {
                Err(MediaError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                    Err(Error::BytesLost { offset: length })
                }
                Err(MediaError::Io(error)) => Err(error.into()),
                Err(MediaError::OutOfTime) => {
                    tracing::error!(upload.id = %id, "validating an upload timed out");
                    Err(not_validated_yet().into())
                }
                Err(MediaError::Refused(refusal)) => Ok((sha256, Err(refusal))),
                Ok(validated) => Ok((sha256, Ok(validated))),
            }
        });
        match validated.await? {
            Ok((sha256, Ok(validated))) => {
                db::with_timeout(db::REPLY_TIMEOUT, self.mark_received(id, row.release, &sha256, validated)).await?;
            }
            Ok((sha256, Err(refusal))) => {
                let is_refused = self.mark_refused(id, row.release, Some(&sha256), &refusal).await?;
                self.purge_if_over(id).await?;
                return Err(match is_refused {
                    true => Problem::Refused { kind: refusal.kind, message: refusal.message }.into(),
                    false => upload_is_over().into(),
                });
            }
            Err(Error::BytesLost { .. }) => return Err(self.give_up_lost(id, row.release).await?),
            Err(error) => return Err(error),
        }
        backend.writers.evict(id);
        Ok(())
    }

    async fn acquire_validation_permit(&self) -> Result<OwnedSemaphorePermit> {
        let permit = timeout(validation_permit_timeout(), Arc::clone(&self.0.validation_permits).acquire_owned()).await;
        permit.ok().and_then(Result::ok).ok_or_else(|| not_validated_yet().into())
    }

    async fn mark_received(
        &self,
        id: UploadId,
        release: Option<ReleaseId>,
        sha256: &[u8],
        validated: ValidatedFile,
    ) -> Result<()> {
        let backend = &self.0;
        let mut tx = db::begin(&backend.db).await?;
        let release = match release {
            Some(release) => locked::lock(&mut tx, release).await?,
            None => None,
        };
        let upload = sqlx::query!(
            r#"update uploads set state = 'RECEIVED', sha256 = $2, content_type = $3, tags = $4,
                      offset_bytes = length_bytes, received_at = now(), updated_at = now()
               where id = $1 and state = 'RECEIVING' and has_target(uploads)
                 and (expected_sha256 is null or expected_sha256 = $2)
               returning owner_id as "owner: UserId", spool_id as "spool: SpoolId", track_id as "track: TrackId",
                         batch as "batch: BatchId""#,
            id as UploadId,
            sha256,
            validated.content_type,
            Json(validated.tags) as Json<Tags>
        )
        .fetch_optional(&mut *tx)
        .await?;
        let (Some(release), Some(upload)) = (release, upload) else {
            drop(tx);
            return self.resolve_lost_update(id).await;
        };
        let job = NewJob {
            kind: JobKind::Store,
            artist: upload.owner,
            release: Some(release.id),
            upload: Some(id),
            object: None,
            spool: Some(upload.spool),
        };
        // If a job permit is free and the storage is well, the file is stored at once, while the artist watches.
        // Otherwise the job waits in the queue like any other.
        let is_well = backend.storage.circuit() == CircuitState::Closed;
        let permit = backend.worker.try_job_permit(release.artist).filter(|_| is_well);
        let owner = permit.as_ref().map(|_| backend.worker.id);
        let claimed = queue::enqueue(&mut tx, &job, owner, backend.settings.queue.lease).await?;
        fail::fail_point!("job-added");
        if release.status.is_editable() {
            if let Some(batch) = upload.batch {
                track_order::order_batch(&mut tx, release.id, batch).await?;
            }
            locked::bump_version(&mut tx, release.id).await?;
        }
        tx.commit().await?;
        metrics::counter!("vwaza_uploads_total", "outcome" => "received").increment(1);
        fail::fail_point!("upload-received");
        match permit {
            Some(permit) => worker::run_in_background(backend, claimed, permit),
            None => backend.events.job_added(),
        }
        backend.events.release_changed(release.id, release.artist);
        Ok(())
    }

    /// Handles an upload that is not RECEIVING with a target any more, or that has another SHA-256 to match. Another
    /// request may have completed it, and the reply to its COMMIT was lost.
    ///
    /// # Errors
    /// `Gone` if the target was removed. `Unavailable` if a SHA-256 was announced meanwhile: the file is validated
    /// again.
    async fn resolve_lost_update(&self, id: UploadId) -> Result<()> {
        sqlx::query!(
            "update uploads set state = 'CANCELLED', updated_at = now()
             where id = $1 and state = 'RECEIVING' and not has_target(uploads)",
            id as UploadId
        )
        .execute(&self.0.db)
        .await?;
        if self.purge_if_over(id).await? {
            return Err(Problem::Gone("The release or track of this file was removed during the upload.".into()).into());
        }
        match self.is_receiving(id).await? {
            true => {
                Err(Problem::Unavailable("We're checking this file again. This takes about a minute.".into()).into())
            }
            false => Ok(()),
        }
    }

    pub(super) async fn is_receiving(&self, id: UploadId) -> Result<bool> {
        let is_receiving = sqlx::query_scalar!(
            r#"select exists (select 1 from uploads where id = $1 and state = 'RECEIVING') as "is!""#,
            id as UploadId
        )
        .fetch_one(&self.0.db)
        .await?;
        Ok(is_receiving)
    }

    /// Removes the bytes of an upload if nobody needs them any more, whatever the caller believes. Returns whether that
    /// is so.
    pub(super) async fn purge_if_over(&self, id: UploadId) -> Result<bool> {
        let is_needed = sqlx::query_scalar!(
            r#"select exists (
                   select 1 from uploads where id = $1 and needs_its_bytes(uploads)) as "is!""#,
            id as UploadId
        )
        .fetch_one(&self.0.db)
        .await?;
        if !is_needed {
            self.0.spool.remove(id).await?;
            self.0.writers.evict(id);
        }
        Ok(!is_needed)
    }

    /// Gives up an upload whose acknowledged bytes are missing: a disk was lost, or the database was restored over a
    /// younger spool. Returns the error for the client.
    pub(super) async fn give_up_lost(&self, id: UploadId, release: Option<ReleaseId>) -> Result<Error> {
        let message = "Our disk lost the part of this file that had arrived. Choose the file again.".to_owned();
        let is_lost = self
            .mark_refused(id, release, None, &Refusal { kind: FileRefusal::Lost, message: message.clone() })
            .await?;
        self.purge_if_over(id).await?;
        if !is_lost {
            // The bytes were removed because the upload is over: it was cancelled or has expired, or its target was
            // removed.
            return Ok(upload_is_over().into());
        }
        tracing::error!(upload.id = %id, "acknowledged bytes are missing from the spool");
        Ok(Problem::Gone(message).into())
    }

    /// Marks an upload as refused. Returns `false`, and tells nobody, if the upload is over already.
    async fn mark_refused(
        &self,
        id: UploadId,
        release: Option<ReleaseId>,
        sha256: Option<&[u8]>,
        refusal: &Refusal,
    ) -> Result<bool> {
        let mut tx = db::begin(&self.0.db).await?;
        let release = match release {
            Some(release) => locked::lock(&mut tx, release).await?,
            None => None,
        };
        let refused = sqlx::query!(
            "update uploads set state = 'REFUSED', sha256 = $2, refusal = $3, failure = $4, failure_status = $5, updated_at = now()
             where id = $1 and state = 'RECEIVING'",
            id as UploadId,
            sha256,
            refusal.kind as FileRefusal,
            refusal.message,
            // Processes of the version before read it.
            i16::try_from(refusal.kind.status()).ok()
        )
        .execute(&mut *tx)
        .await?;
        if refused.rows_affected() == 0 {
            return Ok(false);
        }
        tx.commit().await?;
        metrics::counter!("vwaza_uploads_total", "outcome" => "refused").increment(1);
        count_refusal(refusal.kind.as_str());
        if let Some(release) = release {
            self.0.events.release_changed(release.id, release.artist);
        }
        Ok(true)
    }
}

fn hash_mismatch() -> Refusal {
    Refusal {
        kind: FileRefusal::ChecksumMismatch,
        message: "The SHA-256 checksum of this file is not the announced one. Send the file again.".into(),
    }
}

/// Tells the client to ask again. The upload stays as it is, and the next request validates it again.
fn not_validated_yet() -> Problem {
    Problem::Unavailable("We have your file. We can't check it right now; try again in a minute.".into())
}

struct ValidatedFile {
    content_type: &'static str,
    tags: Tags,
}

fn validate(
    kind: UploadKind,
    path: &Path,
    limits: &MediaLimits,
    deadline: &Deadline,
) -> Result<ValidatedFile, MediaError> {
    match kind {
        UploadKind::Cover => validate_cover(path, limits, deadline)
            .map(|cover| ValidatedFile { content_type: cover.content_type, tags: Tags::default() }),
        UploadKind::Audio => validate_audio(path, limits, deadline)
            .map(|audio| ValidatedFile { content_type: audio.content_type, tags: audio.tags }),
    }
}

/// Returns the hash of all bytes: the running hash, or one computed anew if a restart has lost it.
fn whole_hash(path: &Path, length: u64, running: RunningHash) -> Result<Vec<u8>> {
    let running = if running.offset == length {
        running
    } else {
        match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Error::BytesLost { offset: length }),
            opened => hash_of_first(&mut opened?, length)?,
        }
    };
    Ok(running.hash.finalize().to_vec())
}
