//! The integrity check: reads and hashes objects, a part of all of them each day, and tells admins about damage.
//!
//! A run is a row. The process that holds the row's lease works on it and notes after each few objects how far it is, so
//! that another process can go on. A damaged object is read once more at the end of its run, before anybody is told.

use std::{pin::pin, sync::Arc, time::Duration};

use sqlx::{PgExecutor, PgPool, types::Json};
use tokio::time::sleep;
use uuid::Uuid;

use crate::{
    backend::{
        Backend, Error, Result,
        audit::{self, By, NewEntry},
        days, db, fail_points,
        mail::{self, Recipient},
        storage::{Storage, objects::IntendedObject},
    },
    domain::{
        account::{Actor, Role},
        audit::AuditAction,
        ids::{ObjectId, UserId},
        integrity::{DamagedObject, IntegrityRun, IntegrityStatus},
        mail::Message,
        problem::Problem,
    },
};

/// The time from the start of one run to the start of the next.
const RUN_INTERVAL: Duration = days(1);
/// The lease of a run. Another process goes on with a run whose process was killed.
const LEASE: Duration = Duration::from_secs(60);
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);
/// The number of objects after which a run notes how far it is.
const BATCH: i64 = 20;
/// The largest number of damaged objects of a run. A run with more ends, because it is the storage that is damaged.
const SUSPECTS_MAX: usize = 1000;
/// The number of damaged objects that a mail names.
const NAMED_MAX: usize = 20;
/// The key that tests whether the storage answers. No object has it.
const PROBE_KEY: &str = "health";
const RETENTION: Duration = days(90);

pub struct Integrity<'a>(pub(in crate::backend) &'a Backend);

impl Integrity<'_> {
    /// The latest run that is over, and the one that goes on.
    pub async fn status(&self) -> Result<IntegrityStatus> {
        status(&self.0.db).await
    }

    /// Starts a run now. One of the processes begins with it at its next poll.
    ///
    /// # Errors
    /// `Conflict` if a run goes on, or if the operator has turned the check off.
    pub async fn start_now(&self, actor: &Actor) -> Result<()> {
        actor.require_admin()?;
        if self.0.settings.integrity_bytes_per_day == 0 {
            return Err(Problem::conflict("The integrity check is turned off.").into());
        }
        let mut tx = db::begin(&self.0.db).await?;
        if !begin(&mut *tx, Duration::ZERO).await? {
            return Err(Problem::conflict("An integrity check is running already.").into());
        }
        audit::record(&mut tx, NewEntry::new(By::Admin(actor.id), AuditAction::IntegrityCheckStarted)).await?;
        tx.commit().await?;
        tracing::info!(user.id = %actor.id, "integrity check started");
        Ok(())
    }
}

pub(super) async fn status(db: impl PgExecutor<'_>) -> Result<IntegrityStatus> {
    let rows = sqlx::query!(
        r#"select started_at, ended_at, objects, bytes, findings as "findings: Json<Vec<DamagedObject>>"
           from (select * from integrity_checks where ended_at is not null order by started_at desc limit 1) last
           union all
           select started_at, ended_at, objects, bytes, findings from integrity_checks where ended_at is null"#
    );
    let mut status = IntegrityStatus::default();
    for row in rows.fetch_all(db).await? {
        let (Some(started_at), Some(objects), Some(bytes)) = (row.started_at, row.objects, row.bytes) else { continue };
        let findings = row.findings.map_or_else(Vec::new, |Json(findings)| findings);
        let run = IntegrityRun { started_at, ended_at: row.ended_at, objects, bytes, findings };
        match run.ended_at {
            Some(_) => status.last = Some(run),
            None => status.running = Some(run),
        }
    }
    Ok(status)
}

/// Begins a run each day, and works on it. Several processes may do this at the same time.
pub(in crate::backend) async fn run(backend: Arc<Backend>) {
    let shutdown = backend.shutdown();
    if backend.settings.integrity_bytes_per_day == 0 {
        return;
    }
    while !shutdown.is_cancelled() {
        let work = async {
            begin(&backend.db, RUN_INTERVAL).await?;
            match claim(&backend.db).await? {
                Some(run) => work_on(&backend, run).await,
                None => Ok(()),
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            outcome = work => match outcome {
                // The circuit breaker tells when the storage is away.
                Ok(()) | Err(Error::CircuitOpen | Error::StorageDown { .. }) => {}
                Err(error) => tracing::warn!(error = ?error, "integrity check interrupted; it goes on at the next poll"),
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = sleep(backend.settings.queue.poll_interval) => {}
        }
    }
}

/// Adds a run, unless one goes on or the latest one began within `interval`. What the latest one found damaged is read
/// again, wherever the new one begins: an object counts as damaged until it is not. Returns whether a run was added.
async fn begin(db: impl PgExecutor<'_>, interval: Duration) -> Result<bool> {
    let begun = sqlx::query!(
        "insert into integrity_checks (id, last_object_id, suspects)
         select $1, (select case when not is_at_end then last_object_id end
                     from integrity_checks order by started_at desc limit 1),
                coalesce((select array(select finding ->> 'key' from jsonb_array_elements(findings) finding)
                          from integrity_checks order by started_at desc limit 1), '{}')
         where not exists (select 1 from integrity_checks
                           where ended_at is null or started_at > now() - make_interval(secs => $2))
         on conflict do nothing",
        Uuid::now_v7(),
        interval.as_secs_f64()
    )
    .execute(db)
    .await?;
    Ok(begun.rows_affected() == 1)
}

/// A run that this process works on.
struct Run {
    id: Uuid,
    owner: Uuid,
    last: Option<ObjectId>,
    objects: i64,
    bytes: i64,
    suspects: Vec<String>,
}

/// Takes the lease of the run that goes on, unless another process works on it.
async fn claim(db: &PgPool) -> Result<Option<Run>> {
    let run = sqlx::query_as!(
        Run,
        r#"update integrity_checks
           set lease_owner = $1, lease_expires_at = now() + make_interval(secs => $2)
           where ended_at is null and (lease_owner is null or lease_expires_at < now())
           returning id, lease_owner as "owner!", last_object_id as "last: ObjectId", objects, bytes, suspects"#,
        Uuid::now_v7(),
        LEASE.as_secs_f64()
    );
    Ok(run.fetch_optional(db).await?)
}

async fn work_on(backend: &Backend, mut run: Run) -> Result<()> {
    let worked = async {
        let is_at_end = read_objects(backend, &mut run).await?;
        finish(backend, &mut run, is_at_end).await
    };
    let outcome = worked.await;
    if outcome.is_err() {
        // The storage is away. Whichever process polls next tries again.
        let hand_back = sqlx::query!(
            "update integrity_checks set lease_owner = null, lease_expires_at = null where id = $1 and lease_owner = $2",
            run.id,
            run.owner
        );
        hand_back.execute(&backend.db).await?;
    }
    outcome
}

/// Reads objects until the day's budget is spent. Returns whether the last object of all was reached.
async fn read_objects(backend: &Backend, run: &mut Run) -> Result<bool> {
    let budget = backend.settings.integrity_bytes_per_day;
    while run.bytes.unsigned_abs() < budget && run.suspects.len() < SUSPECTS_MAX {
        let objects = sqlx::query_as!(
            IntendedObject,
            r#"select id as "id: ObjectId", key, size_bytes, sha256, content_type from objects
               where state in ('ATTACHED', 'RELEASED') and id > $1 order by id limit $2"#,
            run.last.unwrap_or(ObjectId(Uuid::nil())) as ObjectId,
            BATCH
        )
        .fetch_all(&backend.db)
        .await?;
        if objects.is_empty() {
            return Ok(true);
        }
        for object in objects {
            if read(backend, run, &object).await?.is_some() && !run.suspects.contains(&object.key) {
                run.suspects.push(object.key);
            }
            run.last = Some(object.id);
            run.objects += 1;
            run.bytes += object.size_bytes;
            if run.bytes.unsigned_abs() >= budget {
                break;
            }
        }
        save(&backend.db, run).await?;
        fail_points::wait_at("integrity-batch-read").await;
    }
    Ok(false)
}

/// Reads an object, and keeps the lease meanwhile. Returns what is wrong with the object.
async fn read(backend: &Backend, run: &Run, object: &IntendedObject) -> Result<Option<String>> {
    let storage = backend.storage.without_circuit();
    let mut reading = pin!(damage_of(&storage, object));
    loop {
        tokio::select! {
            damage = &mut reading => return damage,
            () = sleep(HEARTBEAT_INTERVAL) => save(&backend.db, run).await?,
        }
    }
}

async fn damage_of(storage: &Storage, object: &IntendedObject) -> Result<Option<String>> {
    match storage.has_intended_bytes(object).await {
        Ok(true) => Ok(None),
        Ok(false) if storage.exists(&object.key).await? => {
            Ok(Some("its bytes are not those that were received".into()))
        }
        Ok(false) => Ok(Some("the storage does not have it".into())),
        // The fault lies with this object if the storage answers another request.
        Err(error) if storage.exists(PROBE_KEY).await.is_ok() => Ok(Some(error.to_string())),
        Err(error) => Err(error),
    }
}

/// Notes how far a run is, and prolongs its lease.
///
/// # Errors
/// If another process works on the run by now.
async fn save(db: &PgPool, run: &Run) -> Result<()> {
    let saved = sqlx::query!(
        "update integrity_checks
         set last_object_id = $3, objects = $4, bytes = $5, suspects = $6, lease_expires_at = now() + make_interval(secs => $7)
         where id = $1 and lease_owner = $2",
        run.id,
        run.owner,
        run.last as Option<ObjectId>,
        run.objects,
        run.bytes,
        &run.suspects,
        LEASE.as_secs_f64()
    )
    .execute(db)
    .await?;
    require_lease(saved.rows_affected())
}

fn require_lease(rows: u64) -> Result<()> {
    if rows == 1 { Ok(()) } else { Err(Error::Corrupt("another process goes on with the integrity check".into())) }
}

/// Reads damaged objects once more, ends the run, and tells admins what is damaged.
async fn finish(backend: &Backend, run: &mut Run, is_at_end: bool) -> Result<()> {
    let mut findings = Vec::new();
    for key in run.suspects.clone() {
        // An object that was deleted meanwhile is not missing.
        let object = sqlx::query_as!(
            IntendedObject,
            r#"select id as "id: ObjectId", key, size_bytes, sha256, content_type from objects
               where key = $1 and state in ('ATTACHED', 'RELEASED')"#,
            key
        );
        let Some(object) = object.fetch_optional(&backend.db).await? else { continue };
        if let Some(detail) = read(backend, run, &object).await? {
            findings.push(DamagedObject { key, detail });
        }
    }
    for DamagedObject { key, detail } in &findings {
        tracing::error!(object.key = key, detail, "stored object damaged");
    }
    let mut tx = db::begin(&backend.db).await?;
    let ended = sqlx::query!(
        "update integrity_checks
         set ended_at = now(), is_at_end = $3, findings = $4, suspects = '{}', lease_owner = null, lease_expires_at = null
         where id = $1 and lease_owner = $2",
        run.id,
        run.owner,
        is_at_end,
        Json(&findings) as Json<&Vec<DamagedObject>>
    );
    require_lease(ended.execute(&mut *tx).await?.rows_affected())?;
    if !findings.is_empty() {
        let keys: Vec<_> = findings.iter().take(NAMED_MAX).map(|finding| finding.key.clone()).collect();
        let admins = sqlx::query_scalar!(
            r#"select id as "id: UserId" from users where role = $1 and disabled_at is null and deleted_at is null"#,
            Role::Admin as Role
        );
        for admin in admins.fetch_all(&mut *tx).await? {
            let message = Message::DamagedObjects { count: findings.len(), keys: keys.clone() };
            mail::enqueue(&mut tx, Recipient::User(admin), message).await?;
        }
    }
    tx.commit().await?;
    if !findings.is_empty() {
        backend.events.mail_added();
    }
    Ok(())
}

/// Deletes old runs. Returns their number.
pub(super) async fn delete_old(backend: &Backend) -> Result<u64> {
    let deleted = sqlx::query!(
        "delete from integrity_checks where ended_at is not null and started_at < now() - make_interval(secs => $1)",
        RETENTION.as_secs_f64()
    );
    Ok(deleted.execute(&backend.db).await?.rows_affected())
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};
    use tempfile::TempDir;
    use testing::{TestDatabase, eventually, test_server_url};

    use super::*;
    use crate::{
        backend::{
            LimitSettings, MailSettings, QueueSettings, RetentionSettings, Settings, StorageSettings, UploadSettings,
        },
        domain::{circuit::CircuitState, media::MediaLimits},
    };

    async fn start(database: &TestDatabase, folder: &TempDir, integrity_bytes_per_day: u64) -> Arc<Backend> {
        let settings = Settings {
            database_url: database.url(),
            data_dir: folder.path().to_owned(),
            public_url: "http://127.0.0.1".into(),
            storage: StorageSettings::Local,
            media: MediaLimits::of_mb(1, 1),
            uploads: UploadSettings::default(),
            queue: QueueSettings { poll_interval: Duration::from_millis(50), ..QueueSettings::default() },
            retention: RetentionSettings::default(),
            limits: LimitSettings::default(),
            mail: MailSettings::default(),
            integrity_bytes_per_day,
            requires_verified_email: false,
            requires_admin_two_factor: false,
            fail_points: String::new(),
        };
        Backend::start(settings).await.unwrap()
    }

    fn admin() -> Actor {
        Actor {
            id: UserId(Uuid::nil()),
            role: Role::Admin,
            email: "admin@example.com".into(),
            artist_name: "Admin".into(),
            must_verify_email: false,
            must_set_up_two_factor: false,
        }
    }

    /// Adds replaced objects of ten bytes each.
    async fn add_objects(backend: &Backend, count: usize) {
        sqlx::raw_sql(
            "insert into users (id, email, artist_name, password_hash) values (gen_random_uuid(), 'ana@example.com', 'Ana', '');
             insert into uploads (id, owner_id, kind, file_name, fingerprint, length_bytes, spool_id, expires_at)
             select gen_random_uuid(), id, 'AUDIO', 'song.wav', '1', 10, gen_random_uuid(), now() from users",
        )
        .execute(&backend.db)
        .await
        .unwrap();
        std::fs::create_dir_all(backend.settings.data_dir.join("objects/audio")).unwrap();
        for _ in 0..count {
            let id = Uuid::now_v7();
            std::fs::write(backend.settings.data_dir.join(format!("objects/audio/{id}")), "ten bytes.").unwrap();
            sqlx::query(
                "insert into objects (id, key, role, state, upload_id, size_bytes, sha256, content_type, released_at)
                 select $1, 'audio/' || $1, 'AUDIO', 'RELEASED', id, 10, $2, 'audio/wav', now() from uploads",
            )
            .bind(id)
            .bind(Sha256::digest("ten bytes.").as_slice())
            .execute(&backend.db)
            .await
            .unwrap();
        }
    }

    /// Waits until so many runs are over. Returns the latest.
    async fn run_number(backend: &Backend, number: i64) -> IntegrityRun {
        eventually(&format!("run {number} is over"), async || {
            let over = "select count(*) from integrity_checks where ended_at is not null";
            let over: i64 = sqlx::query_scalar(over).fetch_one(&backend.db).await.unwrap();
            if over < number { None } else { backend.integrity().status().await.unwrap().last }
        })
        .await
    }

    #[tokio::test]
    async fn a_run_reads_as_much_as_the_budget_allows_and_the_next_one_goes_on() {
        let (database, folder) = (TestDatabase::migrated(&test_server_url()).await, TempDir::new().unwrap());
        let backend = start(&database, &folder, 25).await;
        // The first run begins with the server, and finds no objects.
        assert_eq!(run_number(&backend, 1).await.objects, 0);
        add_objects(&backend, 5).await;
        for (run, objects) in [(2, 3), (3, 2), (4, 3)] {
            backend.integrity().start_now(&admin()).await.unwrap();
            let last = run_number(&backend, run).await;
            assert_eq!((last.objects, last.bytes, last.findings), (objects, 10 * objects, vec![]), "run {run}");
        }
    }

    /// More objects than failures that open a circuit. The files are links to themselves, which nobody can read.
    #[tokio::test]
    async fn many_unreadable_objects_are_all_found_and_the_storage_stays_in_use() {
        let (database, folder) = (TestDatabase::migrated(&test_server_url()).await, TempDir::new().unwrap());
        let backend = start(&database, &folder, 1000).await;
        run_number(&backend, 1).await;
        add_objects(&backend, 8).await;
        for file in std::fs::read_dir(folder.path().join("objects/audio")).unwrap() {
            let file = file.unwrap().path();
            std::fs::remove_file(&file).unwrap();
            std::os::unix::fs::symlink(&file, &file).unwrap();
        }
        backend.integrity().start_now(&admin()).await.unwrap();
        assert_eq!(run_number(&backend, 2).await.findings.len(), 8);
        assert_eq!(backend.storage_circuit(), CircuitState::Closed);
    }

    #[tokio::test]
    async fn an_object_counts_as_damaged_until_it_is_not_wherever_the_runs_begin() {
        let (database, folder) = (TestDatabase::migrated(&test_server_url()).await, TempDir::new().unwrap());
        let backend = start(&database, &folder, 25).await;
        run_number(&backend, 1).await;
        add_objects(&backend, 6).await;
        let first = "select key from objects order by id limit 1";
        let first: String = sqlx::query_scalar(first).fetch_one(&backend.db).await.unwrap();
        let file = folder.path().join("objects").join(first);
        std::fs::write(&file, "bad bytes.").unwrap();
        // The second of these runs begins behind the object.
        for run in [2, 3] {
            backend.integrity().start_now(&admin()).await.unwrap();
            assert_eq!(run_number(&backend, run).await.findings.len(), 1, "run {run}");
        }
        std::fs::write(&file, "ten bytes.").unwrap();
        backend.integrity().start_now(&admin()).await.unwrap();
        assert_eq!(run_number(&backend, 4).await.findings, vec![]);
    }

    #[tokio::test]
    async fn a_check_that_is_turned_off_does_not_start() {
        let (database, folder) = (TestDatabase::migrated(&test_server_url()).await, TempDir::new().unwrap());
        let backend = start(&database, &folder, 0).await;
        assert!(backend.integrity().start_now(&admin()).await.is_err());
        assert_eq!(backend.integrity().status().await.unwrap(), IntegrityStatus::default());
    }
}
