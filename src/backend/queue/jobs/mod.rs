//! What jobs do. The queue knows nothing of it.

mod examine;
mod store;
pub(in crate::backend) mod superseded;

use sqlx::PgConnection;

use super::{ClaimedJob, FailureReport};
use crate::{
    backend::{
        Backend, Error, Result, db, mail,
        media::MediaError,
        queue,
        releases::{
            changed_facts,
            locked::{self, LockedRelease},
        },
        storage::objects,
    },
    domain::{
        ids::{ObjectId, ReleaseId, UploadId},
        mail::FailedFile,
        media::EXAMINATION_VERSION,
        queue::{AfterFailure, Failure, JobKind},
        release::ReleaseStatus,
    },
};

/// Told when all attempts are used up and the cause is ours.
const NOT_STORED: &str = "We tried several times and could not store this file. We know about it, and we still have your file. \
                          Wait until we try again, or replace the file.";
pub(super) const NOT_EXAMINED: &str = "We tried several times and could not examine this file. We know about it. Wait until we try again, \
                            or replace the file.";

/// Told when all attempts are used up and each ran out of time. Neither the file nor we are known to be at fault.
pub(super) const EXAMINED_TOO_LONG: &str = "We tried several times to examine this file, and it took too long each time. We know about it. Export it again, best as WAV or \
                                 FLAC, and replace the file.";

/// How a job ends badly.
pub(super) enum JobError {
    /// The file is not what it has to be: a sentence for the artist. No retry mends it.
    Refused(String),
    /// The file was not examined in the time that one may take. A busy machine may be the reason: trying again may help.
    OutOfTime,
    /// Something broke; trying again may help.
    Fault(Error),
}

impl<E: Into<Error>> From<E> for JobError {
    fn from(error: E) -> Self {
        Self::Fault(error.into())
    }
}

impl JobError {
    fn from_media(error: MediaError) -> Self {
        match error {
            MediaError::Refused(refusal) => Self::Refused(refusal.message),
            MediaError::Io(error) => Self::Fault(error.into()),
            MediaError::OutOfTime => Self::OutOfTime,
        }
    }
}

/// Does what the job is for; its effects and its end are one transaction.
pub(super) async fn perform(backend: &Backend, job: &ClaimedJob) -> Result<(), JobError> {
    match (job.kind, job.upload, job.object) {
        (JobKind::Store, Some(upload), _) => store::perform(backend, job, upload).await,
        (JobKind::Examine, _, Some(object)) => examine::perform(backend, job, object).await,
        // Its object's row is gone: there is nothing left to do.
        (JobKind::Store | JobKind::Examine, _, _) => {
            supersede(backend, job).await?;
            Ok(())
        }
    }
}

/// Ends a job that has nothing to do any more.
async fn supersede(backend: &Backend, job: &ClaimedJob) -> Result<()> {
    backend.queue_connections.run(async |connection| queue::finish(connection, job, Some("superseded")).await).await
}

/// Records a failed attempt and what it means for the file and its release, in one transaction.
pub(in crate::backend) async fn fail(
    backend: &Backend,
    job: &ClaimedJob,
    report: &FailureReport,
    for_artist: Option<&str>,
) -> Result<()> {
    let mut tx = db::begin(&backend.db).await?;
    let release = match job.release {
        Some(id) => locked::lock(&mut tx, id).await?,
        None => None,
    };
    // The order of all locks: what it is about before the job.
    match job.kind {
        JobKind::Store => {
            sqlx::query_scalar!("select 1 from uploads where id = $1 for update", job.upload as Option<UploadId>)
                .fetch_optional(&mut *tx)
                .await?
        }
        JobKind::Examine => {
            sqlx::query_scalar!("select 1 from objects where id = $1 for update", job.object as Option<ObjectId>)
                .fetch_optional(&mut *tx)
                .await?
        }
    };
    let next = queue::fail(&mut tx, job, report, &backend.settings.queue).await?;
    if next == AfterFailure::DeadLetter {
        let changed = match job.kind {
            JobKind::Store => sqlx::query!(
                "update uploads set state = 'FAILED', failure_status = 422, failure = $2, updated_at = now()
                 where id = $1 and state = 'RECEIVED'",
                job.upload as Option<UploadId>,
                for_artist.unwrap_or(NOT_STORED)
            )
            .execute(&mut *tx)
            .await?
            .rows_affected(),
            JobKind::Examine => match job.object {
                Some(object) => examination_failed(&mut tx, object, release, report, for_artist).await?,
                None => 0,
            },
        };
        // What failed may be something that the release has done without for long.
        if let Some(release) = release
            && changed > 0
        {
            if matches!(release.status, ReleaseStatus::Draft | ReleaseStatus::Processing) {
                locked::bump_version(&mut tx, release.id).await?;
            }
            enqueue_failure_mail(&mut tx, job, release.id, for_artist).await?;
            locked::advance(&mut tx, release).await?;
        }
    }
    tx.commit().await?;
    if let Some(release) = release {
        backend.events.release_changed(release.id, release.artist);
    }
    Ok(())
}

/// Records that an examination has failed. Returns how many files count as failed by it: one or none.
async fn examination_failed(
    db: &mut PgConnection,
    object: ObjectId,
    release: Option<LockedRelease>,
    report: &FailureReport,
    for_artist: Option<&str>,
) -> Result<u64> {
    let is_refused = report.failure == Failure::Permanent;
    let reason = for_artist.unwrap_or(NOT_EXAMINED);
    let is_open =
        release.is_none_or(|release| matches!(release.status, ReleaseStatus::Draft | ReleaseStatus::Processing));
    // A file that an older version has passed fails only if it is refused, and only while its artist can still replace it.
    let failed = sqlx::query!(
        "update objects set examination = 'FAILED', examination_failure = $2, examination_version = $3
         where id = $1 and state = 'ATTACHED'
           and (examination = 'PENDING' or ($4 and examination = 'PASSED' and examination_version < $3))",
        object as ObjectId,
        reason,
        EXAMINATION_VERSION,
        is_refused && is_open
    )
    .execute(&mut *db)
    .await?
    .rows_affected();
    if failed > 0 {
        sqlx::query!("delete from audio_facts where object_id = $1", object as ObjectId).execute(&mut *db).await?;
        sqlx::query!("delete from cover_facts where object_id = $1", object as ObjectId).execute(&mut *db).await?;
        objects::detach_derived(db, object).await?;
        return Ok(failed);
    }
    // A file that cannot be examined again keeps what an older version has found. It is not tried for ever.
    let examined = sqlx::query!(
        "update objects set examination_version = $2,
                examination_failure = case when examination = 'FAILED' and $4 then $3 else examination_failure end
         where id = $1 and state = 'ATTACHED' and examination_version < $2
         returning examination = 'PASSED' as \"has_passed!\"",
        object as ObjectId,
        EXAMINATION_VERSION,
        reason,
        is_refused
    )
    .fetch_optional(&mut *db)
    .await?;
    // A fault of ours says nothing about the file, so it stands in no reviewer's way.
    let is_published = release.is_some_and(|release| release.status == ReleaseStatus::Published);
    if (is_published || is_refused && !is_open) && examined.is_some_and(|object| object.has_passed) {
        changed_facts::record(db, object, Some(Err(reason))).await?;
    }
    Ok(0)
}

async fn enqueue_failure_mail(
    db: &mut PgConnection,
    job: &ClaimedJob,
    release: ReleaseId,
    for_artist: Option<&str>,
) -> Result<()> {
    let reason = for_artist.unwrap_or(match job.kind {
        JobKind::Store => NOT_STORED,
        JobKind::Examine => NOT_EXAMINED,
    });
    let name = sqlx::query_scalar!("select file_name from uploads where id = $1", job.upload as Option<UploadId>)
        .fetch_optional(&mut *db)
        .await?;
    let file = FailedFile { name: name.unwrap_or_else(|| "file".into()), reason: reason.to_owned() };
    mail::enqueue_failed_file_mail(db, release, file).await
}
