//! The work of the jobs of each kind. The queue's statements know nothing about it.

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

/// What the artist reads when all attempts are used up and the fault is ours.
const NOT_STORED: &str = "We tried several times and could not store this file. We know about the problem, and we still have your file. \
                          Wait until we try again, or replace the file.";
const NOT_EXAMINED: &str = "We tried several times and could not examine this file. We know about the problem. Wait until we try again, \
                            or replace the file.";

/// What the artist reads when all attempts are used up and each ran out of time. Neither the file nor the server is
/// known to be at fault.
pub(super) const EXAMINED_TOO_LONG: &str = "We tried several times to examine this file, and it took too long each time. We know about the problem. Export it again, preferably as WAV or \
                                 FLAC, and replace the file.";

/// How a job fails.
pub(super) enum JobError {
    /// The file is not valid. Holds a sentence for the artist. A retry cannot help.
    Refused(String),
    /// The file was not examined within the timeout. A retry may help, because a busy machine may be the reason.
    OutOfTime,
    /// Something broke. A retry may help.
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

/// Does the work of a job. The job's effects and its end are one transaction.
pub(super) async fn perform(backend: &Backend, job: &ClaimedJob) -> Result<(), JobError> {
    match (job.kind, job.upload, job.object) {
        (JobKind::Store, Some(upload), _) => store::perform(backend, job, upload).await,
        (JobKind::Examine, _, Some(object)) => examine::perform(backend, job, object).await,
        // The row of the upload or object is gone, so nothing is left to do.
        (JobKind::Store | JobKind::Examine, _, _) => {
            supersede(backend, job).await?;
            Ok(())
        }
    }
}

/// Completes a job that is superseded.
async fn supersede(backend: &Backend, job: &ClaimedJob) -> Result<()> {
    backend.queue_connections.run(async |connection| queue::finish(connection, job, Some("superseded")).await).await
}

/// Records a failed attempt and its consequences for the file and its release, in one transaction.
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
    // Lock order: the upload or object comes before the job.
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
                "update uploads set state = 'FAILED', failure = $2, updated_at = now()
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
        // The release may have replaced or removed the failed file before.
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
    let kind = job.kind.as_str();
    match next {
        AfterFailure::RetryIn(_) => metrics::counter!("vwaza_job_retries_total", "kind" => kind).increment(1),
        AfterFailure::DeadLetter => {
            metrics::counter!("vwaza_job_dead_letters_total", "kind" => kind).increment(1);
            if job.kind == JobKind::Store {
                metrics::counter!("vwaza_uploads_total", "outcome" => "failed").increment(1);
                metrics::counter!("vwaza_upload_failures_total", "reason" => "not_stored").increment(1);
            }
        }
    }
    if let Some(release) = release {
        backend.events.release_changed(release.id, release.artist);
    }
    Ok(())
}

/// Records that an examination has failed. Returns how many files count as failed by this: one or none.
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
    // A file that an older version has passed fails only if it is refused, and only while its artist can still replace
    // it.
    let failed = sqlx::query!(
        "update objects set examination = 'FAILED', examination_failure = $2, was_given_up = $5, examination_version = $3
         where id = $1 and state = 'ATTACHED'
           and (examination = 'PENDING' or ($4 and examination = 'PASSED' and examination_version < $3))",
        object as ObjectId,
        reason,
        EXAMINATION_VERSION,
        is_refused && is_open,
        for_artist.is_none()
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
    // A file that cannot be examined again keeps the facts that an older version has found. The recorded version keeps
    // it from being tried for ever.
    let examined = sqlx::query!(
        "update objects set examination_version = $2,
                examination_failure = case when examination = 'FAILED' and $4 then $3 else examination_failure end,
                was_given_up = was_given_up and not $4
         where id = $1 and state = 'ATTACHED' and examination_version < $2
         returning examination = 'PASSED' as \"has_passed!\"",
        object as ObjectId,
        EXAMINATION_VERSION,
        reason,
        is_refused
    )
    .fetch_optional(&mut *db)
    .await?;
    // A fault of ours says nothing about the file, so it does not stop an approval.
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
