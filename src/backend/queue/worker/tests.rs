//! Tests jobs that hang, poison jobs, and a database that goes away while a job runs.

use std::{sync::Arc, time::Duration};

use sha2::{Digest, Sha256};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use testing::{TestDatabase, eventually, test_server_url};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Worker;
use crate::{
    backend::{
        Backend, Error, LimitSettings, MailSettings, QueueSettings, RetentionSettings, Settings, StorageSettings,
        UploadSettings, db,
        queue::ClaimedJob,
        storage::objects::{self, Content, ObjectRole},
    },
    domain::{
        ids::{JobId, ObjectId, ReleaseId, SpoolId, UploadId, UserId, WorkerId},
        media::MediaLimits,
        queue::{JobKind, JobStatus},
    },
};

const BYTES: &[u8] = b"what an artist has sent";

struct Process {
    backend: Arc<Backend>,
    folder: TempDir,
    database: TestDatabase,
}

#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
struct Row {
    status: JobStatus,
    attempt: i32,
    retry_count: i32,
    error_log: String,
    updated_at: time::OffsetDateTime,
}

impl Process {
    async fn start(queue: QueueSettings) -> Self {
        Self::start_broken(queue, "").await
    }

    async fn start_broken(queue: QueueSettings, fail_points: &str) -> Self {
        let (database, folder) = (TestDatabase::migrated(&test_server_url()).await, TempDir::new().unwrap());
        let settings = Settings {
            database_url: database.url(),
            data_dir: folder.path().to_owned(),
            public_url: String::new(),
            storage: StorageSettings::Local,
            media: MediaLimits::of_mb(1024, 36),
            uploads: UploadSettings::default(),
            queue: QueueSettings { poll_interval: Duration::from_millis(50), ..queue },
            retention: RetentionSettings::default(),
            limits: LimitSettings::default(),
            mail: MailSettings::default(),
            integrity_bytes_per_day: 0,
            requires_verified_email: false,
            requires_admin_two_factor: false,
            fail_points: fail_points.to_owned(),
        };
        Self { backend: Backend::start(settings).await.unwrap(), folder, database }
    }

    async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.database.url()).await.unwrap()
    }

    /// Keeps jobs from putting objects until the returned connection is dropped.
    async fn hang_jobs(&self) -> PgConnection {
        let mut connection = self.connect().await;
        sqlx::raw_sql("begin; lock table objects in share mode").execute(&mut connection).await.unwrap();
        connection
    }

    /// Adds a received cover, with an artist and a release of its own, and the job that stores it.
    async fn receive(&self, expired_leases: i32) -> JobId {
        self.receive_again(expired_leases, None).await
    }

    /// Like `receive`, after an earlier attempt that intended an object with this key.
    async fn receive_again(&self, expired_leases: i32, key: Option<String>) -> JobId {
        self.receive_of(UserId(Uuid::now_v7()), expired_leases, key).await
    }

    async fn receive_of(&self, artist: UserId, expired_leases: i32, key: Option<String>) -> JobId {
        let (upload, job) = (UploadId(Uuid::now_v7()), JobId(Uuid::now_v7()));
        std::fs::write(self.folder.path().join(format!("spool/uploads/{upload}")), BYTES).unwrap();
        let mut tx = db::begin(&self.backend.db).await.unwrap();
        sqlx::query("insert into users (id, email, artist_name, password_hash) values ($1, $2, 'An artist', '') on conflict do nothing")
            .bind(artist)
            .bind(artist.to_string())
            .execute(&mut *tx)
            .await
            .unwrap();
        let release = ReleaseId(Uuid::now_v7());
        sqlx::query("insert into releases (id, artist_id) values ($1, $2)")
            .bind(release)
            .bind(artist)
            .execute(&mut *tx)
            .await
            .unwrap();
        sqlx::query(
            "insert into uploads (id, owner_id, release_id, kind, state, file_name, fingerprint, length_bytes, offset_bytes, spool_id, sha256,
                                  content_type, expires_at)
             values ($1, $2, $6, 'COVER', 'RECEIVED', 'cover.png', '', $3, $3, $4, $5, 'image/png', now())",
        )
        .bind(upload)
        .bind(artist)
        .bind(BYTES.len() as i64)
        .bind(self.backend.spool.id as SpoolId)
        .bind(Sha256::digest(BYTES).to_vec())
        .bind(release)
        .execute(&mut *tx)
        .await
        .unwrap();
        sqlx::query(
            "insert into upload_jobs (id, kind, artist_id, release_id, upload_id, spool_id, expired_leases)
             values ($1, 'STORE', $2, $6, $3, $4, $5)",
        )
        .bind(job)
        .bind(artist)
        .bind(upload)
        .bind(self.backend.spool.id as SpoolId)
        .bind(expired_leases)
        .bind(release)
        .execute(&mut *tx)
        .await
        .unwrap();
        if key.is_some() {
            sqlx::query(
                "insert into objects (id, key, role, upload_id, size_bytes, sha256, content_type)
             values ($1, $2, 'COVER', $3, 1, '', '')",
            )
            .bind(Uuid::now_v7())
            .bind(key)
            .bind(upload)
            .execute(&mut *tx)
            .await
            .unwrap();
        }
        tx.commit().await.unwrap();
        job
    }

    /// Waits until the row of the job is as `is_so` says.
    async fn once(&self, job: JobId, what: &str, is_so: impl Fn(&Row) -> bool) -> Row {
        eventually(what, async || Some(self.job(job).await).filter(|row| is_so(row))).await
    }

    async fn job(&self, job: JobId) -> Row {
        let query =
            sqlx::query_as("select status, attempt, retry_count, error_log, updated_at from upload_jobs where id = $1");
        query.bind(job).fetch_one(&self.backend.db).await.unwrap()
    }

    async fn runs(&self, job: JobId) -> Row {
        self.once(job, "the job runs", |row| row.status == JobStatus::Uploading).await
    }

    async fn waits(&self, job: JobId) -> Row {
        self.once(job, "the job waits", |row| row.status == JobStatus::Pending).await
    }

    async fn is_done(&self, job: JobId) -> Row {
        self.once(job, "the job is done", |row| row.status == JobStatus::Completed).await
    }
}

#[tokio::test]
async fn a_poison_job_does_not_hold_its_lease_for_long_while_its_neighbours_run_and_nothing_is_claimed_meanwhile() {
    let process = Process::start(QueueSettings { lease: Duration::from_secs(3), ..QueueSettings::default() }).await;
    let hanging = process.hang_jobs().await;
    let neighbour = process.receive(0).await;
    process.runs(neighbour).await;
    let poison_job = process.receive(2).await;
    eventually("the poison job is claimed", async || process.backend.worker.has_poison_job().then_some(())).await;
    let late = process.receive(0).await;
    let aside = process.waits(poison_job).await;
    assert_eq!((aside.attempt, aside.retry_count), (1, 0));
    assert!(process.runs(late).await.updated_at >= aside.updated_at);
    drop(hanging);
    for job in [neighbour, late, poison_job] {
        assert_eq!(process.is_done(job).await.retry_count, 0);
    }
}

#[tokio::test]
async fn an_attempt_that_does_not_end_counts_as_a_failure() {
    let queue = QueueSettings { attempt_timeout: Duration::from_secs(3), ..QueueSettings::default() };
    let process = Process::start(queue).await;
    let hanging = process.hang_jobs().await;
    let job = process.receive(0).await;
    let row = process.once(job, "the attempt fails", |row| row.retry_count > 0).await;
    assert!(row.error_log.contains("it did not end within 3 s"), "{}", row.error_log);
    drop(hanging);
    process.is_done(job).await;
}

#[tokio::test]
async fn a_database_that_goes_away_costs_no_attempt() {
    let process = Process::start(QueueSettings::default()).await;
    let mut hanging = process.hang_jobs().await;
    let job = process.receive(0).await;
    let waits =
        "select exists (select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
                 and query like 'insert into objects%')";
    eventually("the job waits for its lock", async || {
        sqlx::query_scalar::<_, bool>(waits).fetch_one(&process.backend.db).await.unwrap().then_some(())
    })
    .await;
    sqlx::query(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
    )
    .execute(&mut hanging)
    .await
    .unwrap();
    process.waits(job).await;
    drop(hanging);
    let row = process.is_done(job).await;
    assert_eq!((row.attempt, row.retry_count), (2, 0));
}

#[tokio::test]
async fn what_an_earlier_attempt_has_put_and_nobody_can_read_is_left_to_the_reaper() {
    let process = Process::start(QueueSettings::default()).await;
    std::fs::create_dir_all(process.folder.path().join("objects/covers")).unwrap();
    // The key is longer than a file's name may be.
    let unreadable = format!("covers/{}", "x".repeat(300));
    let job = process.receive_again(0, Some(unreadable.clone())).await;
    assert_eq!(process.is_done(job).await.attempt, 1);
    let objects: Vec<(bool, String)> =
        sqlx::query_as("select key = $1, state::text from objects order by key = $1 desc")
            .bind(unreadable)
            .fetch_all(&process.backend.db)
            .await
            .unwrap();
    assert_eq!(objects, [(true, "INTENDED".into()), (false, "ATTACHED".into())]);
}

#[tokio::test]
async fn an_attempt_that_holds_its_job_no_more_intends_nothing() {
    let process = Process::start(QueueSettings::default()).await;
    let job = process.receive(0).await;
    process.is_done(job).await;
    let (id, artist, upload, object): (_, _, _, ObjectId) = sqlx::query_as(
        "select j.id, j.artist_id, j.upload_id, o.id from upload_jobs j join objects o on o.upload_id = j.upload_id
         where j.kind = 'STORE'",
    )
    .fetch_one(&process.backend.db)
    .await
    .unwrap();
    let zombie = ClaimedJob {
        id,
        kind: JobKind::Store,
        attempt: 1,
        owner: process.backend.worker.id,
        retry_count: 0,
        expired_leases: 0,
        artist,
        release: None,
        upload: Some(upload),
        object: None,
        decodes_track: false,
        request_id: None,
        trace_parent: None,
    };
    let content = Content { size_bytes: 1, sha256: &[], content_type: "image/png" };
    let intended = objects::intend(&process.backend.db, &zombie, ObjectRole::Cover, upload, None, content).await;
    assert!(matches!(intended, Err(Error::LeaseLost(_))), "{intended:?}");
    // The object looks as if the attempt were about to put it.
    sqlx::query("update objects set state = 'INTENDED', attached_at = null where id = $1")
        .bind(object)
        .execute(&process.backend.db)
        .await
        .unwrap();
    let begun = objects::record_multipart_id(&process.backend.db, &zombie, object, "parts").await;
    assert!(matches!(begun, Err(Error::LeaseLost(_))), "{begun:?}");
    let query = sqlx::query_scalar("select multipart_id from objects where id = $1").bind(object);
    let multipart_id: Option<String> = query.fetch_one(&process.backend.db).await.unwrap();
    assert_eq!(multipart_id, None);
}

#[tokio::test]
async fn a_loop_that_panics_begins_anew() {
    let process = Process::start_broken(QueueSettings::default(), "objects-doomed=1*panic").await;
    process.receive(0).await;
    sqlx::query("insert into sessions (token_hash, user_id, expires_at) select '', id, 'epoch' from users")
        .execute(&process.backend.db)
        .await
        .unwrap();
    eventually("expired sessions are put away", async || {
        let are_there = "select exists (select 1 from sessions)";
        (!sqlx::query_scalar::<_, bool>(are_there).fetch_one(&process.backend.db).await.unwrap()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_long_jobs_of_one_artist_leave_a_permit_to_the_others() {
    let process = Process::start(QueueSettings { concurrency: 3, ..QueueSettings::default() }).await;
    let held = process.hang_jobs().await;
    let artist = UserId(Uuid::now_v7());
    let mut jobs = Vec::new();
    for _ in 0..4 {
        jobs.push(process.receive_of(artist, 0, None).await);
    }
    process.runs(jobs[0]).await;
    process.runs(jobs[1]).await;
    // This job is claimed although two older jobs of the first artist wait.
    let other = process.receive(0).await;
    process.runs(other).await;
    for job in &jobs[2..] {
        assert_eq!(process.job(*job).await.attempt, 0);
    }
    drop(held);
    for job in jobs {
        process.is_done(job).await;
    }
}

#[test]
fn uploads_that_end_in_one_moment_leave_a_permit_to_the_others() {
    let queue = QueueSettings { concurrency: 3, ..QueueSettings::default() };
    let worker = Worker::new(WorkerId(Uuid::now_v7()), &queue, CancellationToken::new());
    let [ana, ben] = [UserId(Uuid::now_v7()), UserId(Uuid::now_v7())];
    let mut permits = vec![worker.try_job_permit(ana).unwrap(), worker.try_job_permit(ana).unwrap()];
    assert!(worker.try_job_permit(ana).is_none());
    let bens = worker.try_job_permit(ben).unwrap();
    assert!(worker.try_job_permit(ben).is_none());
    drop(bens);
    assert!(worker.try_job_permit(ana).is_none());
    permits.pop();
    assert!(worker.try_job_permit(ana).is_some());
}
