//! The dead letter queue: jobs that failed for good, and what admins do with them. To retry or to discard a job is one
//! compare-and-set, in one transaction with the consequences for the file and its release.

use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::{
    backend::{
        Backend, Result,
        audit::{self, By, NewEntry},
        db,
        paging::{LATEST_FIRST, PageSearch, Side},
        queue,
        releases::{
            changed_facts,
            locked::{self, LockedRelease},
        },
        storage::objects,
        uploads,
    },
    domain::{
        account::Actor,
        audit::{AuditAction, AuditState},
        ids::{JobId, ObjectId, ReleaseId, UploadId},
        page::{Count, Page, PageStart, Place},
        problem::Problem,
        queue::{JobKind, JobStatus},
        queue_page::{DeadLetter, QueueOverview, ReleaseRef},
        release::{ReleaseEventKind, ReleaseStatus},
        upload::UploadState,
    },
};

/// The number of characters that are read from the end of the error log. The last failure has fewer.
const ERROR_LOG_TAIL_CHARS: i32 = 1000;

const SUPERSEDED: &str = "No release needs this file any more. It was replaced, removed or dismissed.";
const JOB_CHANGED: &str = "This job changed just now. Reload the page to see its state.";

pub struct DeadLetters<'a>(pub(in crate::backend) &'a Backend);

/// The file of a dead letter.
#[derive(Clone, Copy)]
enum JobFile {
    /// The file is received but not stored.
    Spooled(UploadId),
    /// The file is stored but not examined.
    Stored(UploadId, ObjectId),
}

/// A job in the dead letter queue. The row of its release is locked.
struct DeadLetterJob {
    id: JobId,
    kind: JobKind,
    /// The release that the job is for, if it still exists.
    release: Option<ReleaseId>,
    /// `None` if not even the row of the file is left.
    file: Option<JobFile>,
    file_name: String,
    /// What the artist reads once the job is discarded: what is wrong with the file, or that the fault is ours.
    artist_message: String,
    /// The release, if it still waits for this file and nothing newer has come.
    awaiting_release: Option<LockedRelease>,
}

impl DeadLetters<'_> {
    /// Returns the state of the queue at one moment, with a page of its dead letters and one of the changed files.
    pub async fn queue(&self, actor: &Actor, letters: &PageStart, changed: &PageStart) -> Result<QueueOverview> {
        actor.require_admin()?;
        let mut tx = db::snapshot(&self.0.db).await?;
        let (jobs, oldest_due_seconds) = queue::counts(&mut tx).await?;
        let total = Count::of(jobs.iter().map(|counts| counts.failed).sum());
        let dead_letters = list(&mut tx, letters, total).await?;
        let changed_files = changed_facts::list(&mut tx, changed).await?;
        tx.commit().await?;
        Ok(QueueOverview { jobs, oldest_due_seconds, dead_letters, changed_files })
    }

    /// Puts a job back into the queue, as if it had never failed.
    ///
    /// # Errors
    /// `NotFound` for an unknown job. `Conflict` if the job is not a dead letter any more, if its file is superseded,
    /// or if its release waits for review or is decided.
    pub async fn retry(&self, actor: &Actor, id: JobId) -> Result<()> {
        actor.require_admin()?;
        let mut tx = db::begin(&self.0.db).await?;
        let letter = lock_dead_letter(&mut tx, id).await?;
        let (Some(file), Some(release)) = (letter.file, letter.awaiting_release) else {
            return Err(Problem::conflict(SUPERSEDED).into());
        };
        let waits_again = match file {
            JobFile::Spooled(upload) => uploads::receive_again(&mut tx, upload).await?,
            JobFile::Stored(_, object) => objects::examine_again(&mut tx, object).await?,
        };
        if !waits_again || !queue::requeue(&mut tx, id).await? {
            return Err(Problem::conflict(JOB_CHANGED).into());
        }
        letter.record_act(&mut tx, actor, AuditAction::JobRetried, AuditState::Retried).await?;
        letter.record_decision(&mut tx, actor, release, ReleaseEventKind::FileRetried).await?;
        tx.commit().await?;
        tracing::info!(job.id = %id, job.kind = ?letter.kind, user.id = %actor.id, "dead letter retried");
        self.0.events.job_added();
        self.0.events.release_changed(release.id, release.artist);
        Ok(())
    }

    /// Discards a job and the bytes of its file. Returns whether the artist is told: an artist who has uploaded another
    /// file, or deleted the release, has nothing left to do.
    ///
    /// # Errors
    /// `NotFound` for an unknown job. `Conflict` if the job is not a dead letter any more, or if its release is in
    /// review or decided.
    pub async fn discard(&self, actor: &Actor, id: JobId) -> Result<bool> {
        actor.require_admin()?;
        let mut tx = db::begin(&self.0.db).await?;
        let letter = lock_dead_letter(&mut tx, id).await?;
        let ended = match (letter.file, letter.awaiting_release) {
            (Some(JobFile::Spooled(upload)), _) => {
                uploads::discard(&mut tx, upload, UploadState::Failed, &letter.artist_message).await?
            }
            (Some(JobFile::Stored(upload, object)), Some(_)) => {
                objects::detach_from_target(&mut tx, object).await?;
                uploads::discard(&mut tx, upload, UploadState::Attached, &letter.artist_message).await?
            }
            // The transaction that detached the object has done the rest.
            (Some(JobFile::Stored(..)) | None, _) => None,
        };
        if !queue::discard(&mut tx, id).await? {
            return Err(Problem::conflict(JOB_CHANGED).into());
        }
        letter.record_act(&mut tx, actor, AuditAction::JobDiscarded, AuditState::Discarded).await?;
        if let Some(release) = letter.awaiting_release {
            letter.record_decision(&mut tx, actor, release, ReleaseEventKind::FileDiscarded).await?;
        }
        tx.commit().await?;
        tracing::info!(job.id = %id, job.kind = ?letter.kind, user.id = %actor.id, "dead letter discarded");
        if let Some(release) = letter.awaiting_release {
            self.0.events.release_changed(release.id, release.artist);
        }
        // Each process sweeps its own spool. Bytes that are left here are removed by the next sweep.
        if let Err(error) = uploads::purge_bytes(self.0, ended.as_slice()).await {
            tracing::warn!(job.id = %id, error = ?error, "removing the bytes of a discarded file failed");
        }
        Ok(letter.awaiting_release.is_some())
    }
}

/// A failed job, as the database has it.
struct FailedJob {
    id: JobId,
    kind: JobKind,
    file_name: String,
    artist_name: String,
    release: Option<ReleaseId>,
    title: Option<String>,
    title_version: Option<String>,
    /// The end of the error log.
    error_log: String,
    retry_count: i32,
    updated_at: OffsetDateTime,
}

/// The query for the failed jobs on one side of a place.
macro_rules! failed_jobs {
    ($than:literal, $direction:literal, $place:expr) => {
        sqlx::query_as!(
            FailedJob,
            r#"select j.id as "id: JobId", j.kind as "kind: JobKind", coalesce(u.file_name, '') as "file_name!", a.artist_name,
                      r.id as "release?: ReleaseId", r.title as "title?", r.title_version as "title_version?",
                      right(j.error_log, $3) as "error_log!", j.retry_count, j.updated_at
               from upload_jobs j
               join users a on a.id = j.artist_id
               left join releases r on r.id = j.release_id
               left join uploads u on u.id = j.upload_id
               where j.status = 'FAILED' and (j.updated_at, j.id) "# + $than + " ($1, $2)
               order by j.updated_at " + $direction + ", j.id " + $direction + " limit 25",
            $place.key,
            $place.id,
            ERROR_LOG_TAIL_CHARS
        )
    };
}

/// Lists the dead letters, the latest failure first.
async fn list(db: &mut PgConnection, start: &PageStart, total: Count) -> Result<Page<DeadLetter>> {
    let place_of = |job: &FailedJob| Place { key: job.updated_at, id: job.id.0 };
    let mut search = PageSearch::new(start, LATEST_FIRST, place_of);
    let (jobs, links) = loop {
        let jobs = match search.read_at() {
            (place, Side::After) => failed_jobs!("<", "desc", place).fetch_all(&mut *db).await?,
            (place, Side::Before) => failed_jobs!(">", "asc", place).fetch_all(&mut *db).await?,
        };
        if let Some(page) = search.take(jobs) {
            break page;
        }
    };
    let rows = jobs.into_iter().map(|job| DeadLetter {
        id: job.id,
        kind: job.kind,
        file_name: file_name_or_default(job.file_name),
        artist_name: job.artist_name,
        release: job.release.zip(job.title).map(|(id, title)| ReleaseRef {
            id,
            title,
            title_version: job.title_version,
        }),
        error: last_failure(&job.error_log),
        failures: job.retry_count,
        failed_at: job.updated_at,
    });
    Ok(Page { rows: rows.collect(), links, total, is_similar: false })
}

impl DeadLetterJob {
    /// Writes what the admin did with the job into the audit trail.
    async fn record_act(
        &self,
        db: &mut PgConnection,
        actor: &Actor,
        action: AuditAction,
        became: AuditState,
    ) -> Result<()> {
        let entry = NewEntry {
            subject: Some(self.id.0),
            label: Some(&self.file_name),
            release: self.release,
            was: Some(AuditState::Failed),
            became: Some(became),
            ..NewEntry::new(By::Admin(actor.id), action)
        };
        audit::record(db, entry).await
    }

    /// Raises the version of the release, writes a row of its history and advances the release.
    async fn record_decision(
        &self,
        db: &mut PgConnection,
        actor: &Actor,
        release: LockedRelease,
        event: ReleaseEventKind,
    ) -> Result<()> {
        let name = &self.file_name;
        let note = match event {
            ReleaseEventKind::FileDiscarded => format!("“{name}” was discarded. {}", self.artist_message),
            _ => format!("“{name}”"),
        };
        locked::bump_version(db, release.id).await?;
        locked::record(db, release.id, event, Some(actor.id), release.version + 1, Some(&note)).await?;
        locked::advance(db, release).await
    }
}

/// Locks the release of a dead letter, and reads the job under that lock.
///
/// # Errors
/// `NotFound` for an unknown job. `Conflict` if the job is not a dead letter any more, or if its release waits for
/// review or is decided.
async fn lock_dead_letter(db: &mut PgConnection, id: JobId) -> Result<DeadLetterJob> {
    let release =
        sqlx::query_scalar!(r#"select release_id as "release: ReleaseId" from upload_jobs where id = $1"#, id as JobId)
            .fetch_optional(&mut *db)
            .await?
            .ok_or(Problem::NotFound)?;
    let release = match release {
        Some(release) => locked::lock(&mut *db, release).await?,
        None => None,
    };
    let job = sqlx::query!(
        r#"select j.kind as "kind: JobKind", j.status as "status: JobStatus", j.outcome, j.upload_id as "upload: UploadId",
                  j.object_id as "object: ObjectId", coalesce(u.file_name, '') as "file_name!",
                  case when not o.was_given_up
                             -- Processes of the version before know a file that was given up by its sentence.
                             and o.examination_failure not like 'We could not examine this file, though we tried several times.%'
                       then o.examination_failure end as examination_failure
           from upload_jobs j
           left join uploads u on u.id = j.upload_id
           left join objects o on o.id = j.object_id
           where j.id = $1"#,
        id as JobId
    )
    .fetch_optional(&mut *db)
    .await?
    .ok_or(Problem::NotFound)?;
    if let Some(artist_message) = why_not_dead(job.status, job.outcome.as_deref()) {
        return Err(Problem::conflict(artist_message).into());
    }
    let file = match (job.kind, job.upload, job.object) {
        (JobKind::Store, Some(upload), _) => Some(JobFile::Spooled(upload)),
        (JobKind::Examine, Some(upload), Some(object)) => Some(JobFile::Stored(upload, object)),
        (JobKind::Store | JobKind::Examine, _, _) => None,
    };
    let is_awaited = match file {
        Some(JobFile::Spooled(upload)) => uploads::is_awaited(&mut *db, upload).await?,
        Some(JobFile::Stored(_, object)) => objects::is_unexamined(&mut *db, object).await?,
        None => false,
    };
    let awaiting_release = release.filter(|_| is_awaited);
    // A release with such a file does not get into review. If one did, its files must not change under the reviewer.
    if awaiting_release
        .is_some_and(|release| !matches!(release.status, ReleaseStatus::Draft | ReleaseStatus::Processing))
    {
        return Err(Problem::conflict(
            "The release of this file already waits for review or is decided, so its files can't change.",
        )
        .into());
    }
    let artist_message = job.examination_failure.unwrap_or_else(|| uploads::DISCARDED.into());
    Ok(DeadLetterJob {
        id,
        kind: job.kind,
        release: release.map(|release| release.id),
        file,
        file_name: file_name_or_default(job.file_name),
        artist_message,
        awaiting_release,
    })
}

/// Explains why a job is not a dead letter. `None` if it is one.
fn why_not_dead(status: JobStatus, outcome: Option<&str>) -> Option<&'static str> {
    match (status, outcome) {
        (JobStatus::Failed, _) => None,
        (JobStatus::Pending | JobStatus::Uploading, _) => Some("This job is in the queue again already."),
        (JobStatus::Completed, Some("discarded")) => Some("This job is discarded already."),
        (JobStatus::Completed, Some("superseded")) => Some(SUPERSEDED),
        (JobStatus::Completed, _) => Some("This job is done already."),
    }
}

fn file_name_or_default(file_name: String) -> String {
    if file_name.is_empty() { "file".into() } else { file_name }
}

/// The last line of an error log, without its time and attempt.
fn last_failure(error_log: &str) -> String {
    let line = error_log.lines().last().unwrap_or_default();
    line.split_once(": ").map_or(line, |(_, what)| what).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_failure_is_told_in_its_own_words() {
        let log = "2026-03-01T12:00:00Z attempt 1: it panicked\n2026-03-01T12:00:04Z attempt 2: the storage failed: no: such key\n";
        assert_eq!(last_failure(log), "the storage failed: no: such key");
        assert_eq!(last_failure(""), "");
    }

    #[test]
    fn only_a_failed_job_is_a_dead_letter() {
        assert_eq!(why_not_dead(JobStatus::Failed, None), None);
        for status in [JobStatus::Pending, JobStatus::Uploading] {
            assert!(
                why_not_dead(status, None)
                    .is_some_and(|artist_message| artist_message.contains("in the queue again already"))
            );
        }
        for (outcome, artist_message) in
            [(None, "done"), (Some("discarded"), "discarded"), (Some("superseded"), "replaced")]
        {
            assert!(why_not_dead(JobStatus::Completed, outcome).is_some_and(|words| words.contains(artist_message)));
        }
    }
}
