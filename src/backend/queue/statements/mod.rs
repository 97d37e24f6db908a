//! The queue's statements: one claim, one heartbeat, one finish and one way to fail, for every kind of job. Nothing
//! else writes to `upload_jobs`.
//!
//! Jobs run at least once, and their effects are fenced: a job writes only in a transaction that proves with its id,
//! attempt and lease owner that it still holds the job.

mod upkeep;

use std::time::Duration;

use rand::Rng;
use sqlx::{PgConnection, PgPool};
use tracing::error_span;
pub(in crate::backend) use upkeep::{
    delete_completed, examine_outdated, requeue_examination, requeue_store, retire, retire_store, retire_superseded,
};
use uuid::Uuid;

use crate::{
    backend::{
        Error, QueueSettings, Result,
        cause::{self, Cause},
    },
    domain::{
        ids::{JobId, ObjectId, ReleaseId, SpoolId, UploadId, UserId, WorkerId},
        queue::{AfterFailure, Failure, JobKind, after_failure},
        queue_page::{JOB_KINDS, JobCounts},
    },
};

/// The number of characters of a failure that the error log keeps.
const ERROR_MAX_CHARS: usize = 500;

/// A job that a worker holds.
#[derive(Clone, Debug)]
pub(in crate::backend) struct ClaimedJob {
    pub(in crate::backend) id: JobId,
    pub(in crate::backend) kind: JobKind,
    pub(in crate::backend) attempt: i32,
    pub(in crate::backend) owner: WorkerId,
    pub(in crate::backend) retry_count: i32,
    pub(in crate::backend) expired_leases: i32,
    pub(in crate::backend) artist: UserId,
    pub(in crate::backend) release: Option<ReleaseId>,
    pub(in crate::backend) upload: Option<UploadId>,
    pub(in crate::backend) object: Option<ObjectId>,
    /// Whether the job decodes a track, which may take minutes. Other jobs take seconds.
    pub(in crate::backend) decodes_track: bool,
    /// The id of the request that caused the job.
    pub(in crate::backend) request_id: Option<String>,
    /// The span that enqueued the job.
    pub(in crate::backend) trace_parent: Option<String>,
}

impl ClaimedJob {
    /// Does work of the job: its log lines name the job and the request that caused it, and what it enqueues has the
    /// same cause.
    pub(in crate::backend) fn run<T>(&self, work: impl Future<Output = T>) -> impl Future<Output = T> {
        // The span has the highest level, so that its names stay in the log whatever the filter is.
        let span = error_span!(
            parent: None,
            "job",
            job.id = %self.id,
            job.kind = self.kind.as_str(),
            attempt = self.attempt,
            retry_count = self.retry_count,
            request.id = self.request_id,
        );
        cause::resume(self.request_id.as_deref(), self.trace_parent.as_deref(), span, work)
    }
}

/// A job that is to be added to the queue.
pub(in crate::backend) struct NewJob {
    pub(in crate::backend) kind: JobKind,
    pub(in crate::backend) artist: UserId,
    pub(in crate::backend) release: Option<ReleaseId>,
    pub(in crate::backend) upload: Option<UploadId>,
    pub(in crate::backend) object: Option<ObjectId>,
    /// The spool of a job that only a process with this spool can do.
    pub(in crate::backend) spool: Option<SpoolId>,
}

/// Adds a job to the queue, in the transaction that makes it true. With `owner`, the job is leased to that worker from
/// the start.
pub(in crate::backend) async fn enqueue(
    db: &mut PgConnection,
    job: &NewJob,
    owner: Option<WorkerId>,
    lease: Duration,
) -> Result<ClaimedJob> {
    let id = JobId(Uuid::now_v7());
    let cause = Cause::current();
    sqlx::query!(
        "insert into upload_jobs (id, kind, artist_id, release_id, upload_id, object_id, spool_id,
                                  status, attempt, lease_owner, lease_expires_at, request_id, trace_parent)
         values ($1, $2, $3, $4, $5, $6, $7,
                 case when $8::uuid is null then 'PENDING'::job_status else 'UPLOADING' end,
                 case when $8::uuid is null then 0 else 1 end,
                 $8, case when $8::uuid is not null then now() + make_interval(secs => $9) end, $10, $11)",
        id as JobId,
        job.kind as JobKind,
        job.artist as UserId,
        job.release as Option<ReleaseId>,
        job.upload as Option<UploadId>,
        job.object as Option<ObjectId>,
        job.spool as Option<SpoolId>,
        owner as Option<WorkerId>,
        lease.as_secs_f64(),
        cause.request_id,
        cause.trace_parent
    )
    .execute(db)
    .await?;
    Ok(ClaimedJob {
        id,
        kind: job.kind,
        attempt: 1,
        // Without an owner, nobody holds the job, and this value is not used.
        owner: owner.unwrap_or(WorkerId(Uuid::nil())),
        retry_count: 0,
        expired_leases: 0,
        artist: job.artist,
        release: job.release,
        upload: job.upload,
        object: job.object,
        // No examination of a track is leased from the start.
        decodes_track: false,
        request_id: cause.request_id,
        trace_parent: cause.trace_parent,
    })
}

/// A worker that claims a job, and which jobs it may claim.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend) struct Claimant {
    pub(in crate::backend) owner: WorkerId,
    pub(in crate::backend) spool: SpoolId,
    /// Whether only jobs whose bytes are on the spool of this process may be claimed.
    pub(in crate::backend) own_spool_only: bool,
    pub(in crate::backend) lease: Duration,
    /// The artist whose job was claimed last. The next claim begins with the artist after this one.
    pub(in crate::backend) last_artist: UserId,
    /// The artist whose jobs hold all permits but one. No other job of theirs may be claimed for the time being.
    pub(in crate::backend) artist_at_fair_share: Option<UserId>,
    /// Whether a job that decodes a track may be claimed.
    pub(in crate::backend) may_decode_track: bool,
}

/// Claims the next due job. Artists take turns, and the job of one artist that has been due longest comes first. A
/// background job is claimed only if no other job is due and no background job runs, in any process. The claim, the
/// attempt and the lease are one statement. Work begins after its commit.
pub(in crate::backend) async fn claim(db: &mut PgConnection, by: Claimant) -> Result<Option<ClaimedJob>> {
    match try_claim(db, by).await.map_err(Error::from) {
        // Another worker claimed a background job in the same moment. No other job was due.
        Err(error) if error.is_unique_violation_of("idx_upload_jobs_running_background") => Ok(None),
        claimed => claimed,
    }
}

async fn try_claim(db: &mut PgConnection, by: Claimant) -> sqlx::Result<Option<ClaimedJob>> {
    sqlx::query_as!(
        ClaimedJob,
        r#"update upload_jobs
           set status = 'UPLOADING', attempt = attempt + 1, lease_owner = $1,
               lease_expires_at = now() + make_interval(secs => $4), updated_at = now()
           where id = coalesce(
               (select id from upload_jobs
                where status = 'PENDING' and not is_background and artist_id > $5 and run_after <= now() and artist_id is distinct from $6
                  and (spool_id = $2 or (spool_id is null and not $3))
                  and ($7 or not exists (select 1 from objects o where o.id = object_id and o.role = 'AUDIO'))
                order by artist_id, run_after, id limit 1 for update skip locked),
               (select id from upload_jobs
                where status = 'PENDING' and not is_background and artist_id <= $5 and run_after <= now() and artist_id is distinct from $6
                  and (spool_id = $2 or (spool_id is null and not $3))
                  and ($7 or not exists (select 1 from objects o where o.id = object_id and o.role = 'AUDIO'))
                order by artist_id, run_after, id limit 1 for update skip locked),
               (select id from upload_jobs
                where status = 'PENDING' and is_background and run_after <= now() and artist_id is distinct from $6
                  and (spool_id = $2 or (spool_id is null and not $3))
                  and ($7 or not exists (select 1 from objects o where o.id = object_id and o.role = 'AUDIO'))
                  and not exists (select 1 from upload_jobs b where b.is_background and b.status = 'UPLOADING')
                order by run_after, id limit 1 for update skip locked))
           returning id as "id: JobId", kind as "kind: JobKind", attempt, lease_owner as "owner!: WorkerId", retry_count,
                     expired_leases, artist_id as "artist: UserId", release_id as "release: ReleaseId",
                     upload_id as "upload: UploadId", object_id as "object: ObjectId",
                     exists (select 1 from objects o where o.id = object_id and o.role = 'AUDIO') as "decodes_track!",
                     request_id, trace_parent"#,
        by.owner as WorkerId,
        by.spool as SpoolId,
        by.own_spool_only,
        by.lease.as_secs_f64(),
        by.last_artist as UserId,
        by.artist_at_fair_share as Option<UserId>,
        by.may_decode_track
    )
    .fetch_optional(db)
    .await
}

/// Prolongs a lease. Returns `false` if the lease is lost, and with it the right to write anything. A job that this
/// attempt has finished counts as held: the attempt may still be at work after its commit.
pub(in crate::backend) async fn heartbeat(db: &PgPool, job: &ClaimedJob, lease: Duration) -> Result<bool> {
    let held = sqlx::query_scalar!(
        r#"with held as (
               update upload_jobs set lease_expires_at = now() + make_interval(secs => $4)
               where id = $1 and attempt = $2 and lease_owner = $3 and status = 'UPLOADING'
               returning id)
           select exists (select 1 from held)
               or exists (select 1 from upload_jobs where id = $1 and attempt = $2 and status = 'COMPLETED') as "is_held!""#,
        job.id as JobId,
        job.attempt,
        job.owner as WorkerId,
        lease.as_secs_f64()
    )
    .fetch_one(db)
    .await?;
    Ok(held)
}

/// Completes a job, in the transaction of its effect.
///
/// # Errors
/// `LeaseLost` if this attempt no longer holds the job. The transaction must not commit then.
pub(in crate::backend) async fn finish(db: &mut PgConnection, job: &ClaimedJob, outcome: Option<&str>) -> Result<()> {
    let finished = sqlx::query!(
        "update upload_jobs set status = 'COMPLETED', outcome = $4, lease_owner = null, lease_expires_at = null, updated_at = now()
         where id = $1 and attempt = $2 and lease_owner = $3 and status = 'UPLOADING'",
        job.id as JobId,
        job.attempt,
        job.owner as WorkerId,
        outcome
    )
    .execute(db)
    .await?;
    require_lease(finished.rows_affected(), job)
}

/// Hands a job back without counting a failure. The job is due again after `delay`.
///
/// # Errors
/// `LeaseLost` if this attempt no longer holds the job.
pub(in crate::backend) async fn hand_back(db: &PgPool, job: &ClaimedJob, delay: Duration) -> Result<()> {
    let handed_back = sqlx::query!(
        "update upload_jobs set status = 'PENDING', run_after = now() + make_interval(secs => $4),
                lease_owner = null, lease_expires_at = null, updated_at = now()
         where id = $1 and attempt = $2 and lease_owner = $3 and status = 'UPLOADING'",
        job.id as JobId,
        job.attempt,
        job.owner as WorkerId,
        delay.as_secs_f64()
    )
    .execute(db)
    .await?;
    require_lease(handed_back.rows_affected(), job)
}

/// Hands back all jobs of a database that was restored from a backup, because their workers no longer run. Jobs
/// whose bytes were in a spool find them in `spool` from now on.
pub(in crate::backend) async fn hand_back_all(db: &mut PgConnection, spool: SpoolId) -> Result<()> {
    sqlx::query!(
        "update upload_jobs
         set spool_id = case when spool_id is not null then $1::uuid end, lease_owner = null, lease_expires_at = null,
             status = case status when 'UPLOADING' then 'PENDING' else status end
         where status <> 'COMPLETED'",
        spool as SpoolId
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Why an attempt failed.
#[derive(Clone, Debug)]
pub(in crate::backend) struct FailureReport {
    pub(in crate::backend) failure: Failure,
    /// The text for the error log.
    pub(in crate::backend) detail: String,
    pub(in crate::backend) lease_expired: bool,
}

/// Counts a failure, and puts the job back into the queue or into the dead letter queue. The caller applies the
/// consequences for the release in the same transaction.
///
/// # Errors
/// `LeaseLost` if this attempt no longer holds the job, or if an expired lease was prolonged after all.
pub(in crate::backend) async fn fail(
    db: &mut PgConnection,
    job: &ClaimedJob,
    report: &FailureReport,
    settings: &QueueSettings,
) -> Result<AfterFailure> {
    let failures = u32::try_from(job.retry_count).unwrap_or(0) + 1;
    let next = after_failure(report.failure, failures, settings.max_failures, rand::rng().random());
    let detail: String = report.detail.chars().filter(|c| *c != '\0').take(ERROR_MAX_CHARS).collect();
    let (is_dead, delay) = match next {
        AfterFailure::DeadLetter => (true, Duration::ZERO),
        // The job has already waited for its lease to expire.
        AfterFailure::RetryIn(_) if report.lease_expired => (false, Duration::ZERO),
        AfterFailure::RetryIn(delay) => (false, delay),
    };
    let failed = sqlx::query!(
        "update upload_jobs
         set status = case when $4 then 'FAILED'::job_status else 'PENDING' end,
             retry_count = retry_count + 1,
             expired_leases = expired_leases + case when $7 then 1 else 0 end,
             run_after = now() + make_interval(secs => $5),
             error_log = error_log || to_char(now() at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
                         || ' attempt ' || attempt || ': ' || replace($6, E'\\n', ' ') || E'\\n',
             lease_owner = null, lease_expires_at = null, updated_at = now()
         where id = $1 and attempt = $2 and lease_owner = $3 and status = 'UPLOADING'
           and (not $7 or lease_expires_at < now())",
        job.id as JobId,
        job.attempt,
        job.owner as WorkerId,
        is_dead,
        delay.as_secs_f64(),
        detail,
        report.lease_expired
    )
    .execute(db)
    .await?;
    require_lease(failed.rows_affected(), job)?;
    Ok(next)
}

/// Finds jobs whose lease has expired, because their worker sent no heartbeat. Returns at most 100.
pub(super) async fn with_expired_lease(db: &PgPool) -> Result<Vec<ClaimedJob>> {
    let jobs = sqlx::query_as!(
        ClaimedJob,
        r#"select id as "id: JobId", kind as "kind: JobKind", attempt, lease_owner as "owner!: WorkerId", retry_count, expired_leases,
                  artist_id as "artist: UserId", release_id as "release: ReleaseId", upload_id as "upload: UploadId",
                  object_id as "object: ObjectId", false as "decodes_track!", request_id, trace_parent
           from upload_jobs where status = 'UPLOADING' and lease_expires_at < now()
           order by lease_expires_at limit 100"#
    )
    .fetch_all(db)
    .await?;
    Ok(jobs)
}

/// Moves a job from the dead letter queue back into the queue, as if it had never failed. Its attempts count on.
/// Returns `false` if the job is not a dead letter any more. The caller applies the consequences for the file and its
/// release in the same transaction.
pub(super) async fn requeue(db: &mut PgConnection, job: JobId) -> Result<bool> {
    let cause = Cause::current();
    let requeued = sqlx::query!(
        "update upload_jobs set status = 'PENDING', retry_count = 0, expired_leases = 0, run_after = now(), is_background = false,
                updated_at = now(), request_id = $2, trace_parent = $3
         where id = $1 and status = 'FAILED'",
        job as JobId,
        cause.request_id,
        cause.trace_parent
    )
    .execute(db)
    .await?;
    Ok(requeued.rows_affected() == 1)
}

/// Ends a dead letter although its work was not done. Returns `false` if the job is not a dead letter any more.
pub(in crate::backend) async fn discard(db: &mut PgConnection, job: JobId) -> Result<bool> {
    let discarded = sqlx::query!(
        "update upload_jobs set status = 'COMPLETED', outcome = 'discarded', updated_at = now()
         where id = $1 and status = 'FAILED'",
        job as JobId
    )
    .execute(db)
    .await?;
    Ok(discarded.rows_affected() == 1)
}

/// Counts the unfinished jobs of each kind. Also returns for how many seconds the job that has been due longest has
/// waited; background jobs do not count here.
pub(in crate::backend) async fn counts(db: &mut PgConnection) -> Result<(Vec<JobCounts>, Option<i64>)> {
    let counted = sqlx::query!(
        r#"select kind as "kind: JobKind",
                  count(*) filter (where status = 'PENDING' and run_after <= now()) as "due!",
                  count(*) filter (where status = 'PENDING' and run_after > now()) as "later!",
                  count(*) filter (where status = 'UPLOADING') as "running!",
                  count(*) filter (where status = 'FAILED') as "failed!",
                  floor(extract(epoch from now() - min(run_after)
                      filter (where status = 'PENDING' and run_after <= now() and not is_background)))::bigint as oldest_due_seconds
           from upload_jobs where status in ('PENDING', 'UPLOADING', 'FAILED')
           group by kind"#
    )
    .fetch_all(db)
    .await?;
    let oldest_due_seconds = counted.iter().filter_map(|row| row.oldest_due_seconds).max();
    let of_kind = |kind| counted.iter().find(|row| row.kind == kind);
    let jobs = JOB_KINDS.into_iter().map(|kind| match of_kind(kind) {
        Some(row) => JobCounts { kind, due: row.due, later: row.later, running: row.running, failed: row.failed },
        None => JobCounts::none_of(kind),
    });
    let jobs = jobs.collect();
    Ok((jobs, oldest_due_seconds))
}

pub(in crate::backend) fn require_lease(rows: u64, job: &ClaimedJob) -> Result<()> {
    if rows == 1 { Ok(()) } else { Err(Error::LeaseLost(job.id)) }
}

#[cfg(test)]
mod tests;
