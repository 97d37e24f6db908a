//! One inspection of database, storage and spool.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use sqlx::{PgConnection, PgPool};
use tokio::task::spawn_blocking;

use super::{Damage, Finding};
use crate::{
    backend::{
        Result, Settings, db,
        storage::{
            Storage,
            objects::{IntendedObject, ObjectState},
        },
        uploads::spool::{self, SpoolFiles},
    },
    domain::{
        ids::{ObjectId, SpoolId, UploadId},
        upload::UploadState,
    },
};

/// The age, in units of `orphan_grace`, after which reaper and janitor should have dealt with an object or upload.
const GRACE_TIMES: f64 = 2.0;

const HASH_DIFFERS: &str = "its SHA-256 is not the one that was noted when it was received";
/// The key that tests whether the storage answers. No object has it.
const PROBE_KEY: &str = "health";

#[derive(Default)]
pub(super) struct Inspection {
    pub(super) findings: BTreeSet<Finding>,
    /// Objects that are in the storage with the right size.
    pub(super) stored: Vec<IntendedObject>,
    /// Uploads whose bytes are all in the spool, and their SHA-256.
    pub(super) spooled_whole: Vec<(UploadId, Vec<u8>)>,
    /// The number of objects in the storage, orphans included.
    pub(super) listed: u64,
    /// The number of files in the spool.
    pub(super) spooled: u64,
    pub(super) uploads: u64,
    pub(super) in_flight: u64,
}

struct ObjectRow {
    id: ObjectId,
    key: String,
    state: ObjectState,
    size_bytes: i64,
    sha256: Vec<u8>,
    content_type: String,
    /// Whether a release or track refers to the object. A derived object counts with its original, unless one of
    /// another attempt replaces it, or the examination that makes it has not passed yet.
    is_shown: bool,
    /// Whether a job works on the object, or the object or its job changed within the grace time.
    is_worked_on: bool,
    is_examined_by_nobody: bool,
}

impl Inspection {
    pub(super) async fn run_once(db: &PgPool, storage: &Storage, settings: &Settings) -> Result<Self> {
        let listed = storage.list().await?;
        let spool = spool::read_spool_files(&settings.data_dir.join("spool")).await?;
        let mut snapshot = db::snapshot(db).await?;
        let mut inspection = Self { listed: listed.len() as u64, ..Self::default() };
        let grace_seconds = settings.retention.orphan_grace.as_secs_f64() * GRACE_TIMES;
        inspection.objects(&mut snapshot, listed, grace_seconds).await?;
        inspection.uploads(&mut snapshot, spool, grace_seconds).await?;
        Ok(inspection)
    }

    async fn objects(
        &mut self,
        db: &mut PgConnection,
        mut listed: BTreeMap<String, u64>,
        grace_seconds: f64,
    ) -> Result<()> {
        let rows = sqlx::query_as!(
            ObjectRow,
            r#"select o.id as "id: ObjectId", o.key, o.state as "state: ObjectState", o.size_bytes, o.sha256, o.content_type,
                      ((exists (select 1 from releases r where r.cover_id = coalesce(o.parent_id, o.id))
                        or exists (select 1 from tracks t where t.audio_id = coalesce(o.parent_id, o.id)))
                       and (o.parent_id is null or o.state = 'ATTACHED' or exists (
                           select 1 from objects parent
                           where parent.id = o.parent_id and parent.examination = 'PASSED'
                             and not exists (select 1 from objects other
                                             where other.parent_id = parent.id and other.state = 'ATTACHED'
                                               and other.edge_px is not distinct from o.edge_px)))) as "is_shown!",
                      (coalesce(o.deleted_at, o.doomed_at, o.created_at) > now() - make_interval(secs => $1)
                       or exists (select 1 from upload_jobs j
                                  where j.upload_id = o.upload_id
                                    and (j.status in ('PENDING', 'UPLOADING') or j.updated_at > now() - make_interval(secs => $1)))
                      ) as "is_worked_on!",
                      (o.state = 'ATTACHED' and o.parent_id is null and o.examination = 'PENDING'
                       and not exists (select 1 from upload_jobs j where j.object_id = o.id and j.kind = 'EXAMINE'
                                       and j.status in ('PENDING', 'UPLOADING'))) as "is_examined_by_nobody!"
               from objects o"#,
            grace_seconds
        )
        .fetch_all(db)
        .await?;
        for row in rows {
            let mut size = listed.remove(&row.key);
            if matches!(row.state, ObjectState::Intended | ObjectState::Doomed) {
                // Local storage may hold a partly written file of the object.
                size = size.or(listed.remove(&format!("{}#1", row.key)));
            }
            self.object(row, size);
        }
        for (key, size) in listed {
            self.add_finding(Damage::UnknownObject, &key, format!("{size} bytes that no row knows"));
        }
        Ok(())
    }

    fn object(&mut self, row: ObjectRow, size: Option<u64>) {
        match row.state {
            ObjectState::Released | ObjectState::Doomed if row.is_shown => {
                self.add_finding(Damage::NotAttached, &row.key, "it is shown although it was let go of");
            }
            ObjectState::Attached if !row.is_shown => {
                self.add_finding(Damage::Unreferenced, &row.key, "no release and no track shows it");
            }
            // An object that is missing from the storage leaves only its row to clean up.
            ObjectState::Intended | ObjectState::Doomed if row.is_worked_on || size.is_none() => {
                self.in_flight += 1;
                return;
            }
            ObjectState::Intended => {
                return self.add_finding(Damage::Abandoned, &row.key, "nobody works on it any more");
            }
            ObjectState::Doomed => {
                return self.add_finding(Damage::Undeleted, &row.key, "the reaper has not put it away");
            }
            // A retained object is read, too, because a backup may need it.
            ObjectState::Released => self.in_flight += 1,
            ObjectState::Attached => {}
        }
        if row.is_examined_by_nobody {
            self.add_finding(Damage::NotExamined, &row.key, "it is stored, and no job examines it");
        }
        match size {
            None => self.add_finding(Damage::MissingObject, &row.key, "the storage does not have it"),
            Some(size) if size != row.size_bytes.unsigned_abs() => {
                let detail = format!("it has {size} bytes and should have {}", row.size_bytes);
                self.add_finding(Damage::WrongObject, &row.key, detail);
            }
            Some(_) => {
                let ObjectRow { id, key, size_bytes, sha256, content_type, .. } = row;
                self.stored.push(IntendedObject { id, key, size_bytes, sha256, content_type });
            }
        }
    }

    async fn uploads(&mut self, db: &mut PgConnection, spool: Option<SpoolFiles>, grace_seconds: f64) -> Result<()> {
        let (here, mut files) = match spool {
            Some(spool) => (Some(spool.id), spool.lengths),
            None => (None, BTreeMap::new()),
        };
        self.spooled = files.len() as u64;
        let names: Vec<String> = files.keys().cloned().collect();
        let rows = sqlx::query!(
            r#"select u.id as "id: UploadId", u.state as "state: UploadState", u.spool_id as "spool: SpoolId", u.offset_bytes, u.sha256,
                      u.updated_at > now() - make_interval(secs => $2) as "is_fresh!",
                      (u.state = 'RECEIVED' and not exists (
                          select 1 from upload_jobs j where j.upload_id = u.id and j.kind = 'STORE'
                          and j.status in ('PENDING', 'UPLOADING'))) as "has_no_job!"
               from uploads u where needs_its_bytes(u) or u.id::text = any($1)"#,
            &names,
            grace_seconds
        )
        .fetch_all(db)
        .await?;
        for row in rows {
            let subject = row.id.to_string();
            if !matches!(row.state, UploadState::Receiving | UploadState::Received | UploadState::Failed) {
                // The janitor is about to remove this file.
                if row.is_fresh && files.remove(&subject).is_some() {
                    self.in_flight += 1;
                }
                continue;
            }
            self.uploads += 1;
            if row.has_no_job {
                self.add_finding(Damage::NoJob, &subject, "it is received, and no job stores it");
            }
            if here != Some(row.spool) {
                self.in_flight += 1;
                continue;
            }
            let length = files.remove(&subject).unwrap_or(Some(0));
            if let Some(length) = length.filter(|length| *length < row.offset_bytes.unsigned_abs()) {
                let detail = format!("{length} bytes are there of {} that were acknowledged", row.offset_bytes);
                self.add_finding(Damage::MissingBytes, &subject, detail);
            } else if let (UploadState::Received | UploadState::Failed, Some(sha256)) = (row.state, row.sha256) {
                self.spooled_whole.push((row.id, sha256));
            } else if length.is_none() {
                self.add_finding(
                    Damage::UnreadableBytes,
                    &subject,
                    "what stands in the spool under its name is no file",
                );
            }
        }
        for (name, length) in files {
            let what = length.map_or_else(|| "no file".to_owned(), |length| format!("{length} bytes"));
            self.add_finding(Damage::UnneededSpoolFile, &name, format!("{what} that no upload under way needs"));
        }
        Ok(())
    }

    /// Asks the storage for each missing object by its key. A listing has pages, so deletions between two pages may
    /// hide an object that still exists.
    pub(super) async fn recheck_missing(&mut self, storage: &Storage) -> Result<()> {
        let missing = self.findings.iter().filter(|finding| finding.damage == Damage::MissingObject).cloned();
        for finding in missing.collect::<Vec<_>>() {
            if storage.exists(&finding.subject).await? {
                self.findings.remove(&finding);
            }
        }
        Ok(())
    }

    /// Reads and hashes every object that has the right size.
    pub(super) async fn read_all(&mut self, db: &PgPool, storage: &Storage) -> Result<()> {
        let mut findings = Vec::new();
        for object in &self.stored {
            let (damage, detail) = match storage.has_intended_bytes(object).await {
                Ok(true) => continue,
                Ok(false) => (Damage::WrongObject, HASH_DIFFERS.to_owned()),
                // The fault lies with this object if the storage answers another request.
                Err(error) if storage.exists(PROBE_KEY).await.is_ok() => (Damage::Unreadable, error.to_string()),
                Err(error) => return Err(error),
            };
            if is_still_kept(db, object.id).await? {
                findings.push((damage, object.key.clone(), detail));
            }
        }
        for (damage, key, detail) in findings {
            self.add_finding(damage, &key, detail);
        }
        Ok(())
    }

    /// Reads and hashes every upload whose bytes are all in the spool.
    pub(super) async fn read_spool(&mut self, db: &PgPool, settings: &Settings) -> Result<()> {
        let folder = spool::uploads_folder(&settings.data_dir.join("spool"));
        for (id, sha256) in std::mem::take(&mut self.spooled_whole) {
            let path = folder.join(id.to_string());
            let (damage, detail) = match spawn_blocking(move || spool::hash_of(&path)).await? {
                Ok(held) if held == sha256 => continue,
                Ok(_) => (Damage::MissingBytes, HASH_DIFFERS.to_owned()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    (Damage::MissingBytes, "its file is gone from the spool".to_owned())
                }
                Err(error) => (Damage::UnreadableBytes, error.to_string()),
            };
            if is_still_spooled(db, id).await? {
                self.add_finding(damage, &id.to_string(), detail);
            }
        }
        Ok(())
    }

    fn add_finding(&mut self, damage: Damage, subject: &str, detail: impl Into<String>) {
        self.findings.insert(Finding { damage, subject: subject.to_owned(), detail: detail.into() });
    }
}

/// Whether an object is still attached or retained. It may have been doomed and deleted while it was read.
async fn is_still_kept(db: &PgPool, id: ObjectId) -> Result<bool> {
    let found = sqlx::query_scalar!(
        r#"select exists (select 1 from objects where id = $1 and state in ('ATTACHED', 'RELEASED')) as "there!""#,
        id as ObjectId
    )
    .fetch_one(db)
    .await?;
    Ok(found)
}

/// Whether an upload is still in the spool. It may have been stored while it was read.
async fn is_still_spooled(db: &PgPool, id: UploadId) -> Result<bool> {
    let found = sqlx::query_scalar!(
        r#"select exists (select 1 from uploads where id = $1 and state in ('RECEIVED', 'FAILED')) as "there!""#,
        id as UploadId
    )
    .fetch_one(db)
    .await?;
    Ok(found)
}
