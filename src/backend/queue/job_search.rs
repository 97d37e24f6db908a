//! Jobs as admins find and read them: the list of all jobs, the search in it, and the page of one job.

use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

use super::dead_letters::file_name_or_default;
use crate::{
    backend::{
        Backend, Result,
        paging::{LATEST_FIRST, PageSearch, Side},
        releases::search,
    },
    domain::{
        account::Actor,
        ids::{JobId, ReleaseId, SpoolId, UploadId, UserId, WorkerId},
        job::{
            FailedAttempt, FoundJob, FoundJobs, JobFilter, JobLease, JobState, JobView, RelatedJob,
            SEARCHED_ARTISTS_MAX, SEARCHED_FILES_MAX, SEARCHED_RELEASES_MAX,
        },
        page::{Count, Page, Place},
        problem::Problem,
        queue::{JobKind, JobStatus},
        queue_page::{JOB_KINDS, ReleaseRef},
    },
};

/// The number of characters that are read from the end of an error log: of at least 37 failures.
const ERROR_LOG_MAX_CHARS: i32 = 20_000;

pub struct Jobs<'a>(pub(in crate::backend) &'a Backend);

/// A filter in the terms of the database.
struct Scope {
    statuses: Vec<JobStatus>,
    kinds: Vec<JobKind>,
    /// Jobs are listed from this time on, and before `end`.
    from: OffsetDateTime,
    end: OffsetDateTime,
    /// `None`: all jobs.
    named: Option<Named>,
}

/// The jobs that a search names: by their own ids, or by those of what they belong to.
#[derive(Default)]
struct Named {
    jobs: Vec<Uuid>,
    uploads: Vec<Uuid>,
    releases: Vec<Uuid>,
    artists: Vec<Uuid>,
    is_cut: bool,
}

/// A job, as the database has it.
struct JobRow {
    id: JobId,
    kind: JobKind,
    status: JobStatus,
    is_due: bool,
    file_name: String,
    artist_name: String,
    release: Option<ReleaseId>,
    title: Option<String>,
    title_version: Option<String>,
    attempt: i32,
    at: OffsetDateTime,
}

/// The query for the jobs of a table `page` of ids and times, which the rest of the statement names.
macro_rules! jobs {
    ($order:literal, $page:literal $(+ $more:literal)*, $($bind:expr),+) => {
        sqlx::query_as!(
            JobRow,
            r#"select j.id as "id: JobId", j.kind as "kind: JobKind", j.status as "status: JobStatus", j.run_after <= now() as "is_due!",
                      coalesce(u.file_name, '') as "file_name!", a.artist_name, r.id as "release?: ReleaseId", r.title as "title?",
                      r.title_version as "title_version?", j.attempt, page.at as "at!"
               from ("# + $page $(+ $more)* + r#") page
               join upload_jobs j on j.id = page.id
               join users a on a.id = j.artist_id
               left join releases r on r.id = j.release_id
               left join uploads u on u.id = j.upload_id
               order by page.at "# + $order + ", page.id " + $order,
            $($bind),+
        )
    };
}

/// Jobs on one side of a place. An index has those of each status and kind in their order, and they are merged. The other
/// end of the span of time is compared outside of the limit, as for the audit trail.
macro_rules! all_jobs {
    ($than:literal, $until:literal, $order:literal, $place:expr, $until_at:expr, $scope:expr) => {
        jobs!(
            $order,
            "select p.at, p.id from unnest($1::job_status[]) s (status) cross join unnest($2::job_kind[]) k (kind)
             cross join lateral (
                 select job_listed_at(j.status, j.run_after, j.updated_at) as at, j.id from upload_jobs j
                 where j.status = s.status and j.kind = k.kind and (job_listed_at(j.status, j.run_after, j.updated_at), j.id) "
                + $than
                + " ($3, $4) order by at "
                + $order
                + ", id "
                + $order
                + " limit 25) p
             where p.at "
                + $until
                + " $5 order by p.at "
                + $order
                + ", p.id "
                + $order
                + " limit 25",
            &$scope.statuses as &[JobStatus],
            &$scope.kinds as &[JobKind],
            $place.key,
            $place.id,
            $until_at
        )
    };
}

/// Jobs on one side of a place that a search names. A job that is named several times is listed once. `offset 0`
/// looks up the jobs of each release by their index: joined, the planner reads the whole table.
macro_rules! named_jobs {
    ($than:literal, $until:literal, $order:literal, $place:expr, $until_at:expr, $scope:expr, $named:expr) => {
        jobs!(
            $order,
            "select distinct on (p.at, p.id) p.at, p.id from (
                 select job_listed_at(j.status, j.run_after, j.updated_at) as at, j.id, j.status, j.kind
                 from upload_jobs j where j.id = any ($6::uuid[])
                 union all
                 select job_listed_at(j.status, j.run_after, j.updated_at), j.id, j.status, j.kind
                 from unnest($7::uuid[]) named (id) join upload_jobs j on j.upload_id = named.id
                 union all
                 select j.at, j.id, j.status, j.kind
                 from unnest($8::uuid[]) named (id) cross join lateral (
                     select job_listed_at(j.status, j.run_after, j.updated_at) as at, j.id, j.status, j.kind
                     from upload_jobs j where j.release_id = named.id offset 0) j
                 union all
                 select j.at, j.id, j.status, j.kind
                 from unnest($9::uuid[]) named (id) cross join unnest($1::job_status[]) s (status)
                 cross join lateral (
                     select job_listed_at(j.status, j.run_after, j.updated_at) as at, j.id, j.status, j.kind from upload_jobs j
                     where j.artist_id = named.id and j.status = s.status and j.kind = any ($2::job_kind[])
                       and (job_listed_at(j.status, j.run_after, j.updated_at), j.id) "
                + $than
                + " ($3, $4) order by at "
                + $order
                + ", id "
                + $order
                + " limit 25) j) p
             where p.status = any ($1::job_status[]) and p.kind = any ($2::job_kind[]) and (p.at, p.id) "
                + $than
                + " ($3, $4) and p.at "
                + $until
                + " $5 order by p.at "
                + $order
                + ", p.id "
                + $order
                + " limit 25",
            &$scope.statuses as &[JobStatus],
            &$scope.kinds as &[JobKind],
            $place.key,
            $place.id,
            $until_at,
            &$named.jobs,
            &$named.uploads,
            &$named.releases,
            &$named.artists
        )
    };
}

impl Jobs<'_> {
    /// A page of the jobs that fit a filter.
    ///
    /// # Errors
    /// `Invalid` if the search contains U+0000.
    pub async fn find(&self, actor: &Actor, filter: &JobFilter) -> Result<FoundJobs> {
        actor.require_admin()?;
        let db = &self.0.db;
        let scope = Scope::of(db, filter).await?;
        let place_of = |job: &JobRow| Place { key: job.at, id: job.id.0 };
        let mut pages = PageSearch::new(&filter.start, LATEST_FIRST, place_of);
        let (rows, links) = loop {
            let (place, side) = pages.read_at();
            if let Some(page) = pages.take(scope.read(db, place, side).await?) {
                break page;
            }
        };
        let total = scope.count(db).await?;
        let rows = rows.into_iter().map(|job| FoundJob {
            id: job.id,
            kind: job.kind,
            state: JobState::of(job.status, job.is_due),
            file_name: file_name_or_default(job.file_name),
            artist_name: job.artist_name,
            release: ReleaseRef::of(job.release, job.title, job.title_version),
            attempts: job.attempt,
            at: job.at,
        });
        Ok(FoundJobs {
            jobs: Page { rows: rows.collect(), links, total, is_similar: false },
            is_cut: scope.named.is_some_and(|named| named.is_cut),
            kept_days: self.0.settings.retention.completed_job.as_secs() / (24 * 60 * 60),
        })
    }

    /// One job.
    ///
    /// # Errors
    /// `NotFound` for an unknown job, and for one that ended so long ago that it is deleted.
    pub async fn view(&self, actor: &Actor, id: JobId) -> Result<JobView> {
        actor.require_admin()?;
        let job = sqlx::query!(
            r#"select j.kind as "kind: JobKind", j.status as "status: JobStatus", j.run_after <= now() as "is_due!", j.outcome,
                      j.upload_id as "upload: UploadId", coalesce(u.file_name, '') as "file_name!", u.received_at as "received_at?",
                      j.artist_id as "artist: UserId", a.artist_name, r.id as "release?: ReleaseId", r.title as "title?",
                      r.title_version as "title_version?", j.attempt, j.retry_count, j.is_background, j.created_at, j.updated_at,
                      j.run_after, j.lease_owner as "worker: WorkerId", j.lease_expires_at, j.spool_id as "spool: SpoolId",
                      j.request_id, right(j.error_log, $2) as "error_log!"
               from upload_jobs j
               join users a on a.id = j.artist_id
               left join releases r on r.id = j.release_id
               left join uploads u on u.id = j.upload_id
               where j.id = $1"#,
            id as JobId,
            ERROR_LOG_MAX_CHARS
        )
        .fetch_optional(&self.0.db)
        .await?
        .ok_or(Problem::NotFound)?;
        let related = match job.upload {
            Some(upload) => related(&self.0.db, id, upload).await?,
            None => Vec::new(),
        };
        Ok(JobView {
            id,
            kind: job.kind,
            state: JobState::of(job.status, job.is_due),
            outcome: job.outcome,
            file_name: file_name_or_default(job.file_name),
            upload: job.upload,
            artist: job.artist,
            artist_name: job.artist_name,
            release: ReleaseRef::of(job.release, job.title, job.title_version),
            attempts: job.attempt,
            failures: job.retry_count,
            is_background: job.is_background,
            received_at: job.received_at,
            created_at: job.created_at,
            updated_at: job.updated_at,
            run_after: (job.status == JobStatus::Pending).then_some(job.run_after),
            lease: job.worker.zip(job.lease_expires_at).map(|(worker, expires_at)| JobLease { worker, expires_at }),
            spool: job.spool,
            request_id: job.request_id,
            failed_attempts: FailedAttempt::all_of(&job.error_log),
            related,
        })
    }
}

/// The other jobs of an upload, in the order in which they were created.
async fn related(db: &PgPool, id: JobId, upload: UploadId) -> Result<Vec<RelatedJob>> {
    let jobs = sqlx::query!(
        r#"select id as "id: JobId", kind as "kind: JobKind", status as "status: JobStatus", run_after <= now() as "is_due!"
           from upload_jobs where upload_id = $1 and id <> $2 order by created_at, id limit 10"#,
        upload as UploadId,
        id as JobId
    );
    let jobs = jobs.fetch_all(db).await?;
    Ok(jobs
        .into_iter()
        .map(|job| RelatedJob { id: job.id, kind: job.kind, state: JobState::of(job.status, job.is_due) })
        .collect())
}

impl Named {
    /// # Errors
    /// `Invalid` if the search contains U+0000.
    async fn of(db: &PgPool, text: &str) -> Result<Option<Self>> {
        let Some(words) = search::parse(text)? else { return Ok(None) };
        let mut named = Self { uploads: files_named(db, text.trim()).await?, ..Self::default() };
        // A file may be named by a hash that looks like an id.
        if let Ok(id) = Uuid::try_parse(text.trim()) {
            named.jobs.push(id);
            named.uploads.insert(0, id);
            named.releases.push(id);
            named.artists.push(id);
        } else {
            named.releases = search::find_releases_exactly(db, &words).await?.into_iter().map(|id| id.0).collect();
            named.artists = search::find_users(db, &words).await?.ids.into_iter().map(|id| id.0).collect();
        }
        let limits = [
            (&mut named.uploads, SEARCHED_FILES_MAX),
            (&mut named.releases, SEARCHED_RELEASES_MAX),
            (&mut named.artists, SEARCHED_ARTISTS_MAX),
        ];
        for (ids, most) in limits {
            named.is_cut |= ids.len() > most;
            ids.truncate(most);
        }
        Ok(Some(named))
    }
}

/// The received files with a name, the latest first, then those whose names begin with it, by name. Ignores accents and
/// case. Returns one more than a search looks through.
async fn files_named(db: &PgPool, name: &str) -> Result<Vec<Uuid>> {
    let at_most = i64::try_from(SEARCHED_FILES_MAX + 1).unwrap_or(i64::MAX);
    let ids = sqlx::query_scalar!(r#"select id as "id!" from files_named($1, $2) id"#, name, at_most);
    Ok(ids.fetch_all(db).await?)
}

impl Scope {
    /// # Errors
    /// `Invalid` if the search contains U+0000.
    async fn of(db: &PgPool, filter: &JobFilter) -> Result<Self> {
        let statuses = match filter.state {
            Some(state) => vec![state.status()],
            None => vec![JobStatus::Pending, JobStatus::Uploading, JobStatus::Completed, JobStatus::Failed],
        };
        let (earliest, now, latest) = (OffsetDateTime::UNIX_EPOCH, OffsetDateTime::now_utc(), LATEST_FIRST.key);
        let (from, end) = match filter.state {
            Some(JobState::Due) => (earliest, now),
            Some(JobState::Later) => (now, latest),
            _ => (earliest, latest),
        };
        let kinds = filter.kind.map_or_else(|| JOB_KINDS.to_vec(), |kind| vec![kind]);
        Ok(Self { statuses, kinds, from, end, named: Named::of(db, &filter.search).await? })
    }

    /// Reads the jobs on one side of a place, for one page.
    async fn read(&self, db: &PgPool, place: Place<OffsetDateTime>, side: Side) -> Result<Vec<JobRow>> {
        let (from, end) = (self.from, self.end);
        let place = match side {
            Side::After if place.key >= end => Place { key: end, id: Uuid::nil() },
            Side::Before if place.key < from => Place { key: from, id: Uuid::nil() },
            _ => place,
        };
        Ok(match (&self.named, side) {
            (None, Side::After) => all_jobs!("<", ">=", "desc", place, from, self).fetch_all(db).await?,
            (None, Side::Before) => all_jobs!(">", "<", "asc", place, end, self).fetch_all(db).await?,
            (Some(named), Side::After) => {
                named_jobs!("<", ">=", "desc", place, from, self, named).fetch_all(db).await?
            }
            (Some(named), Side::Before) => named_jobs!(">", "<", "asc", place, end, self, named).fetch_all(db).await?,
        })
    }

    async fn count(&self, db: &PgPool) -> Result<Count> {
        let jobs = match &self.named {
            None => {
                sqlx::query_scalar!(
                    r#"select count(*) as "count!" from (
                           select from unnest($1::job_status[]) s (status) cross join unnest($2::job_kind[]) k (kind)
                           cross join lateral (
                               select from upload_jobs j
                               where j.status = s.status and j.kind = k.kind
                                 and job_listed_at(j.status, j.run_after, j.updated_at) >= $3
                                 and job_listed_at(j.status, j.run_after, j.updated_at) < $4
                               -- Without an order, the planner reads the table, whose rows may all be of another kind.
                               order by job_listed_at(j.status, j.run_after, j.updated_at) limit 1001) counted
                           limit 1001) counted"#,
                    &self.statuses as &[JobStatus],
                    &self.kinds as &[JobKind],
                    self.from,
                    self.end
                )
                .fetch_one(db)
                .await?
            }
            Some(named) => {
                sqlx::query_scalar!(
                    r#"select least(count(distinct p.id), 1001) as "count!" from (
                           select job_listed_at(j.status, j.run_after, j.updated_at) as at, j.id, j.status, j.kind
                           from upload_jobs j where j.id = any ($5::uuid[])
                           union all
                           select job_listed_at(j.status, j.run_after, j.updated_at), j.id, j.status, j.kind
                           from unnest($6::uuid[]) named (id) join upload_jobs j on j.upload_id = named.id
                           union all
                           select j.at, j.id, j.status, j.kind
                           from unnest($7::uuid[]) named (id) cross join lateral (
                               select job_listed_at(j.status, j.run_after, j.updated_at) as at, j.id, j.status, j.kind
                               from upload_jobs j where j.release_id = named.id offset 0) j
                           union all
                           select j.at, j.id, j.status, j.kind
                           from unnest($8::uuid[]) named (id) cross join unnest($1::job_status[]) s (status)
                           cross join lateral (
                               select job_listed_at(j.status, j.run_after, j.updated_at) as at, j.id, j.status, j.kind
                               from upload_jobs j
                               where j.artist_id = named.id and j.status = s.status and j.kind = any ($2::job_kind[])
                                 and job_listed_at(j.status, j.run_after, j.updated_at) >= $3
                                 and job_listed_at(j.status, j.run_after, j.updated_at) < $4
                               order by job_listed_at(j.status, j.run_after, j.updated_at) limit 1001) j) p
                       where p.status = any ($1::job_status[]) and p.kind = any ($2::job_kind[]) and p.at >= $3 and p.at < $4"#,
                    &self.statuses as &[JobStatus],
                    &self.kinds as &[JobKind],
                    self.from,
                    self.end,
                    &named.jobs,
                    &named.uploads,
                    &named.releases,
                    &named.artists
                )
                .fetch_one(db)
                .await?
            }
        };
        Ok(Count::of(jobs))
    }
}
