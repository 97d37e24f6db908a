//! Whether database, storage and spool agree. Looks only; takes no lock, so that it may run beside servers.
//!
//! What changes while it is looked at is looked at twice: storage and spool are listed before a snapshot of the database is
//! read, and only what two such rounds have found is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
};

use serde::Serialize;
use sqlx::{PgConnection, PgPool};

use super::{
    Result, Settings, db,
    objects::{Intended, ObjectState},
    releases::view::snapshot,
    spool::{self, SpoolFiles},
    storage::Storage,
};
use crate::domain::{
    ids::{ObjectId, SpoolId, UploadId},
    upload::UploadState,
};

/// What does not agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Damage {
    /// An object that a row refers to is not in the storage.
    MissingObject,
    /// An object has other bytes than its row says.
    WrongObject,
    /// A release or track shows an object that is not attached.
    NotAttached,
    /// An attached object that nothing refers to.
    Unreferenced,
    /// An object was about to be attached, and nobody works on it any more.
    Abandoned,
    /// An object in the storage that no row knows.
    UnknownObject,
    /// Acknowledged bytes are not in the spool.
    MissingBytes,
    /// A received upload that no job stores.
    NoJob,
    /// A file in the spool that no upload under way needs.
    UnneededSpoolFile,
}

/// Ordered by kind, then by what it is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    pub damage: Damage,
    /// A key in the storage, an upload's id, or a file's name.
    pub subject: String,
    pub detail: String,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Database, storage and spool agree.
    pub agree: bool,
    pub findings: Vec<Finding>,
    /// Objects whose bytes were read and hashed.
    pub objects: u64,
    /// Uploads under way.
    pub uploads: u64,
    /// What is being worked on, or waits in another process's spool: no damage.
    pub in_flight: u64,
}

/// Objects about to be attached are given this long before nobody is believed to work on them any more.
const GRACE_SECONDS: f64 = 900.0;

/// Looks at everything, and reads every object that a row refers to.
pub async fn fsck(settings: &Settings) -> Result<Report> {
    let db = db::connect(&settings.database_url).await?;
    let storage = Storage::local(&settings.data_dir.join("objects"))?;
    let spool_folder = settings.data_dir.join("spool");
    let first = Round::look(&db, &storage, &spool_folder).await?;
    let mut second = Round::look(&db, &storage, &spool_folder).await?;
    second.findings.retain(|finding| first.findings.contains(finding));
    for object in &second.stored {
        if !storage.holds(object).await? && is_still_referred_to(&db, object.id).await? {
            second.findings.insert(Finding {
                damage: Damage::WrongObject,
                subject: object.key.clone(),
                detail: "its SHA-256 is not the one that was noted when it was received".into(),
            });
        }
    }
    Ok(Report {
        agree: second.findings.is_empty(),
        objects: second.stored.len() as u64,
        uploads: second.uploads,
        in_flight: second.in_flight,
        findings: second.findings.into_iter().collect(),
    })
}

#[derive(Default)]
struct Round {
    findings: BTreeSet<Finding>,
    /// Rows whose object is there, and has the right size.
    stored: Vec<Intended>,
    uploads: u64,
    in_flight: u64,
}

impl Round {
    async fn look(db: &PgPool, storage: &Storage, spool_folder: &Path) -> Result<Self> {
        let listed = storage.list().await?;
        let spool = spool::look(spool_folder).await?;
        let mut snapshot = snapshot(db).await?;
        let mut round = Self::default();
        round.objects(&mut snapshot, listed).await?;
        round.uploads(&mut snapshot, spool).await?;
        Ok(round)
    }

    async fn objects(&mut self, db: &mut PgConnection, mut listed: BTreeMap<String, u64>) -> Result<()> {
        let rows = sqlx::query!(
            r#"select o.id as "id: ObjectId", o.key, o.state as "state: ObjectState", o.size_bytes, o.sha256,
                      (exists (select 1 from releases r where r.cover_id = coalesce(o.parent_id, o.id))
                       or exists (select 1 from tracks t where t.audio_id = o.id)) as "is_shown!",
                      (o.created_at > now() - make_interval(secs => $1)
                       or exists (select 1 from upload_jobs j where j.status <> 'COMPLETED' and j.status <> 'FAILED'
                                  and (j.upload_id = o.upload_id or j.object_id = coalesce(o.parent_id, o.id)))) as "is_worked_on!"
               from objects o"#,
            GRACE_SECONDS
        )
        .fetch_all(db)
        .await?;
        for row in rows {
            let size = listed.remove(&row.key);
            match row.state {
                ObjectState::Intended if row.is_worked_on => {
                    self.in_flight += 1;
                    continue;
                }
                ObjectState::Intended => self.found(Damage::Abandoned, &row.key, "nobody works on it any more"),
                // On its way out: there or not.
                ObjectState::Doomed => {
                    self.in_flight += 1;
                    continue;
                }
                ObjectState::Attached if !row.is_shown => {
                    self.found(Damage::Unreferenced, &row.key, "no release and no track shows it");
                }
                ObjectState::Released if row.is_shown => {
                    self.found(Damage::NotAttached, &row.key, "it is shown although it was let go");
                }
                ObjectState::Attached | ObjectState::Released => {}
            }
            match size {
                _ if row.state == ObjectState::Intended => {}
                None => self.found(Damage::MissingObject, &row.key, "the storage does not have it"),
                Some(size) if size != row.size_bytes.unsigned_abs() => {
                    let detail = format!("it has {size} bytes and should have {}", row.size_bytes);
                    self.found(Damage::WrongObject, &row.key, detail);
                }
                Some(_) => self.stored.push(Intended {
                    id: row.id,
                    key: row.key,
                    size_bytes: row.size_bytes,
                    sha256: row.sha256,
                }),
            }
        }
        for (key, size) in listed {
            self.found(Damage::UnknownObject, &key, format!("{size} bytes that no row knows"));
        }
        Ok(())
    }

    async fn uploads(&mut self, db: &mut PgConnection, spool: Option<SpoolFiles>) -> Result<()> {
        let rows = sqlx::query!(
            r#"select u.id as "id: UploadId", u.state as "state: UploadState", u.spool_id as "spool: SpoolId", u.offset_bytes,
                      (u.state = 'RECEIVED' and not exists (
                          select 1 from upload_jobs j where j.upload_id = u.id and j.kind = 'STORE'
                          and j.status in ('PENDING', 'UPLOADING'))) as "has_no_job!"
               from uploads u where u.state in ('RECEIVING', 'RECEIVED', 'FAILED')"#
        )
        .fetch_all(db)
        .await?;
        let (here, mut files) = spool.map(|spool| (spool.id, spool.lengths)).unzip();
        for row in rows {
            self.uploads += 1;
            let subject = row.id.to_string();
            if row.has_no_job {
                self.found(Damage::NoJob, &subject, "it is received, and no job stores it");
            }
            if here != Some(row.spool) {
                self.in_flight += 1;
                continue;
            }
            let length = files.as_mut().and_then(|files| files.remove(&subject)).unwrap_or_default();
            if length < row.offset_bytes.unsigned_abs() {
                let detail = format!("{length} bytes are there of {} that were acknowledged", row.offset_bytes);
                self.found(Damage::MissingBytes, &subject, detail);
            }
        }
        for (name, length) in files.into_iter().flatten() {
            self.found(Damage::UnneededSpoolFile, &name, format!("{length} bytes that no upload under way needs"));
        }
        Ok(())
    }

    fn found(&mut self, damage: Damage, subject: &str, detail: impl Into<String>) {
        self.findings.insert(Finding { damage, subject: subject.to_owned(), detail: detail.into() });
    }
}

/// An object may have been doomed and deleted while it was being read.
async fn is_still_referred_to(db: &PgPool, id: ObjectId) -> Result<bool> {
    let found = sqlx::query_scalar!(
        r#"select exists (select 1 from objects where id = $1 and state in ('ATTACHED', 'RELEASED')) as "there!""#,
        id as ObjectId
    )
    .fetch_one(db)
    .await?;
    Ok(found)
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MissingObject => "missing object",
            Self::WrongObject => "wrong object",
            Self::NotAttached => "object not attached",
            Self::Unreferenced => "unreferenced object",
            Self::Abandoned => "abandoned object",
            Self::UnknownObject => "unknown object",
            Self::MissingBytes => "missing bytes of upload",
            Self::NoJob => "no job for upload",
            Self::UnneededSpoolFile => "unneeded spool file",
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { damage, subject, detail } in &self.findings {
            writeln!(f, "{damage} {subject}: {detail}")?;
        }
        writeln!(
            f,
            "{} objects read, {} uploads under way, {} in flight or elsewhere",
            self.objects, self.uploads, self.in_flight
        )?;
        match self.findings.len() {
            0 => f.write_str("Database, storage and spool agree."),
            1 => f.write_str("1 thing does not agree."),
            many => write!(f, "{many} things do not agree."),
        }
    }
}
