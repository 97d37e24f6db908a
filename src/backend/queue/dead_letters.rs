//! The dead letter queue: jobs that failed for good, and what admins do with them. To retry or to discard a job is one
//! compare-and-set, in one transaction with the consequences for the file and its release.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;

use crate::{
    backend::{
        Backend, Error, Result,
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
        job::FailedAttempt,
        page::{Count, Page, PageStart, Place},
        problem::Problem,
        queue::{JobKind, JobStatus},
        queue_page::{ACTED_ON_MAX, DeadLetter, ManyActedOn, QueueOverview, RefusedAct, ReleaseRef},
        release::{ReleaseEventKind, ReleaseStatus},
        upload::UploadState,
    },
};

/// The number of characters that are read from the end of the error log. The last failure has fewer.
const ERROR_LOG_TAIL_CHARS: i32 = 1000;

/// The number of dead letters that one request retries if all are to be retried. Each takes a transaction of some
/// milliseconds.
const RETRY_BATCH: i64 = 100;

const SUPERSEDED: &str = "No release needs this file any more. It was replaced, removed or dismissed.";
const JOB_CHANGED: &str = "This job changed just now. Reload the page to see its state.";

pub struct DeadLetters<'a>(pub(in crate::backend) &'a Backend);

/// What an admin does with a dead letter.
#[derive(Clone, Copy)]
enum Act {
    Retry,
    Discard,
}

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

    /// Retries several dead letters, each as [`DeadLetters::retry`] does. One that is refused does not hold back the others.
    ///
    /// # Errors
    /// `BadRequest` for no job, or for more than [`ACTED_ON_MAX`]. If the database fails, some jobs may have been retried.
    pub async fn retry_many(&self, actor: &Actor, ids: &[JobId]) -> Result<ManyActedOn> {
        actor.require_admin()?;
        self.act_on_each(actor, Act::Retry, &acted_on(ids)?).await
    }

    /// Discards several dead letters, each as [`DeadLetters::discard`] does.
    ///
    /// # Errors
    /// As [`DeadLetters::retry_many`].
    pub async fn discard_many(&self, actor: &Actor, ids: &[JobId]) -> Result<ManyActedOn> {
        actor.require_admin()?;
        self.act_on_each(actor, Act::Discard, &acted_on(ids)?).await
    }

    /// Retries a batch of all dead letters, from a place on, the latest failure first. So a job that fails again is not
    /// retried again: its new failure is before the place where the next batch begins.
    pub async fn retry_all(&self, actor: &Actor, start: &PageStart) -> Result<ManyActedOn> {
        actor.require_admin()?;
        let places = batch_after(&self.0.db, start).await?;
        let ids: Vec<JobId> = places.iter().map(|place| JobId(place.id)).collect();
        let mut outcome = self.act_on_each(actor, Act::Retry, &ids).await?;
        let is_full = i64::try_from(places.len()).is_ok_and(|count| count == RETRY_BATCH);
        outcome.next = places.last().filter(|_| is_full).map(|place| PageStart::After(place.cursor()));
        Ok(outcome)
    }

    async fn act_on_each(&self, actor: &Actor, act: Act, ids: &[JobId]) -> Result<ManyActedOn> {
        let mut file_names = file_names(&self.0.db, ids).await?;
        let mut outcome = ManyActedOn::default();
        for (number, id) in ids.iter().enumerate() {
            let is_told = match act {
                Act::Retry => self.retry(actor, *id).await.map(|()| false),
                Act::Discard => self.discard(actor, *id).await,
            };
            match is_told {
                Ok(is_told) => {
                    outcome.done += 1;
                    outcome.told += usize::from(is_told);
                }
                Err(Error::Problem(problem)) => outcome.refused.push(RefusedAct {
                    file_name: file_name_or_default(file_names.remove(id).unwrap_or_default()),
                    reason: problem.to_string(),
                }),
                Err(error) if number == 0 => return Err(error),
                // What is done is told. The rest was not tried.
                Err(error) => {
                    tracing::error!(error = ?error, "several dead letters: interrupted");
                    outcome.refused.extend(ids[number..].iter().map(|id| RefusedAct {
                        file_name: file_name_or_default(file_names.remove(id).unwrap_or_default()),
                        reason: "Something broke on our side. Try again in a minute.".to_owned(),
                    }));
                    break;
                }
            }
        }
        Ok(outcome)
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
        release: ReleaseRef::of(job.release, job.title, job.title_version),
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

/// The jobs that a request names, each once.
///
/// # Errors
/// `BadRequest` for no job, or for more than [`ACTED_ON_MAX`].
fn acted_on(ids: &[JobId]) -> Result<Vec<JobId>> {
    let ids = Vec::from_iter(BTreeSet::from_iter(ids.iter().copied()));
    let refusal = match ids.len() {
        1..=ACTED_ON_MAX => return Ok(ids),
        0 => "Select at least one dead letter.".to_owned(),
        _ => format!("Select at most {ACTED_ON_MAX} dead letters."),
    };
    Err(Problem::BadRequest(refusal).into())
}

/// The names of the files of jobs. Jobs that don't exist are left out.
async fn file_names(db: &PgPool, ids: &[JobId]) -> Result<BTreeMap<JobId, String>> {
    let names = sqlx::query!(
        r#"select j.id as "id!: JobId", coalesce(u.file_name, '') as "file_name!"
           from upload_jobs j left join uploads u on u.id = j.upload_id where j.id = any ($1)"#,
        ids as &[JobId]
    );
    let names = names.fetch_all(db).await?;
    Ok(names.into_iter().map(|row| (row.id, row.file_name)).collect())
}

/// The dead letters of one batch, from a place on, the latest failure first.
async fn batch_after(db: &PgPool, start: &PageStart) -> Result<Vec<Place<OffsetDateTime>>> {
    let place = match start {
        PageStart::After(cursor) => Place::parse(cursor).unwrap_or(LATEST_FIRST),
        PageStart::First | PageStart::Before(_) | PageStart::Numbered(_) => LATEST_FIRST,
    };
    let places = sqlx::query!(
        "select updated_at, id from upload_jobs where status = 'FAILED' and (updated_at, id) < ($1, $2)
         order by updated_at desc, id desc limit $3",
        place.key,
        place.id,
        RETRY_BATCH
    );
    let places = places.fetch_all(db).await?;
    Ok(places.into_iter().map(|row| Place { key: row.updated_at, id: row.id }).collect())
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

pub(super) fn file_name_or_default(file_name: String) -> String {
    if file_name.is_empty() { "file".into() } else { file_name }
}

/// The last failure in an error log, without its time and attempt.
fn last_failure(error_log: &str) -> String {
    FailedAttempt::all_of(error_log).into_iter().next().map(|failed| failed.error).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

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
