//! Makes a backup while everything runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    path::PathBuf,
    time::{Duration, Instant},
};

use futures::{StreamExt, TryStreamExt};
use sqlx::{Connection, PgConnection, PgPool};
use time::{OffsetDateTime, UtcOffset, macros::format_description};
use tokio::{fs::File, time::sleep};
use tokio_util::io::ReaderStream;

use super::{
    manifest::{FORMAT, Manifest, Missing, Piece, SavedObject, SavedUpload, table_key},
    pin::Pin,
    tables,
    target::{ManifestName, ScratchFolder, Target, write_and_hash},
};
use crate::{
    backend::{
        BackupTarget, Error, Result, Settings, db, fail_points,
        storage::Storage,
        uploads::spool::{self, SpoolFiles},
    },
    domain::ids::{SpoolId, UploadId},
};

/// The number of objects that are copied at once.
const COPIES_AT_ONCE: usize = 4;
/// The pause between two looks for files in the spools of other processes.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// The key that tests whether the storage answers. No object has it.
const PROBE_KEY: &str = "health";

/// The outcome of a backup.
#[derive(Debug)]
pub struct BackupReport {
    /// The name of the backup: the time of its snapshot.
    pub name: String,
    pub tables: usize,
    pub objects: usize,
    /// Received files that were not stored yet.
    pub uploads: usize,
    /// Objects and files that the target had not yet, and their bytes.
    pub copied: u64,
    pub copied_bytes: i64,
    /// What the backup lacks.
    pub missing: Vec<Missing>,
    /// Older backups that were deleted.
    pub deleted: Vec<String>,
    /// Why older backups, and pieces that no backup needs, were not deleted.
    pub not_deleted: Option<String>,
}

impl BackupReport {
    /// Whether nothing is missing and nothing remains that should have been deleted.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.not_deleted.is_none()
    }
}

/// Makes a backup. Waits for up to `wait` for files that are in the spools of other processes. Then keeps the latest
/// `keep` backups and deletes older ones; without `keep`, or if something is missing, all of them stay.
///
/// # Errors
/// If the database, the target or the storage fails, or if the pin expires before the backup is whole. There is no backup
/// then; the next one copies only what is not in the target yet.
pub async fn backup(
    settings: &Settings,
    target: &BackupTarget,
    wait: Duration,
    keep: Option<usize>,
) -> Result<BackupReport> {
    fail_points::arm(&settings.fail_points)?;
    let target = Target::open(target)?;
    let db = db::connect(&settings.database_url, 0).await?;
    let storage = Storage::open(settings, Storage::recorded_folder_id(&db).await?)?.without_circuit();
    let pin = Pin::acquire(&db).await?;
    let made = pin.hold(async {
        let scratch = ScratchFolder::open(&settings.data_dir).await?;
        let mut backup = Backup {
            contents: target.list().await?,
            target,
            db: db.clone(),
            storage,
            scratch,
            spool: settings.data_dir.join("spool"),
            copied: 0,
            copied_bytes: 0,
            missing: BTreeSet::new(),
        };
        let (name, manifest) = backup.save(settings, wait).await?;
        pin.renew().await?;
        fail::fail_point!("backup-complete");
        let written = backup.target.write_manifest(&name, &manifest).await?;
        // An older backup may hold what this one lacks.
        let keep = keep.filter(|_| manifest.missing.is_empty());
        note_backup(&db, &name, &manifest).await?;
        let (deleted, not_deleted) = match backup.purge(&written, keep).await {
            Ok(deleted) => (deleted, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        Ok(BackupReport {
            name,
            tables: manifest.tables.len(),
            objects: manifest.objects.len(),
            uploads: manifest.uploads.len(),
            copied: backup.copied,
            copied_bytes: backup.copied_bytes,
            missing: manifest.missing,
            deleted,
            not_deleted,
        })
    });
    let made = made.await;
    // If the database is away, the pin ends by itself.
    if let Err(error) = pin.release().await {
        tracing::warn!(error = ?error, "pin of the backup not released; it ends by itself");
    }
    made
}

/// Notes the backup for metrics.
async fn note_backup(db: &PgPool, name: &str, manifest: &Manifest) -> Result<()> {
    let contents: BTreeSet<_> = manifest.pieces(name).map(|(_, piece)| piece).collect();
    sqlx::query!(
        "insert into last_backup (name, bytes, missing) values ($1, $2, $3)
         on conflict (only_row) do update
         set name = excluded.name, bytes = excluded.bytes, missing = excluded.missing, ended_at = now()",
        name,
        contents.iter().map(|piece| piece.size_bytes).sum::<i64>(),
        i32::try_from(manifest.missing.len()).unwrap_or(i32::MAX)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A backup that is being made.
struct Backup {
    target: Target,
    db: PgPool,
    storage: Storage,
    scratch: ScratchFolder,
    spool: PathBuf,
    /// What is in the target: keys and sizes.
    contents: BTreeMap<String, u64>,
    copied: u64,
    copied_bytes: i64,
    missing: BTreeSet<Missing>,
}

/// A whole upload of the snapshot whose bytes were in a spool.
struct WholeUpload {
    id: UploadId,
    spool: SpoolId,
    length_bytes: i64,
    /// `None` until the process that received it has validated it.
    sha256: Option<Vec<u8>>,
    file_name: String,
}

/// Where the bytes of an upload are.
enum UploadBytes {
    Copied(Piece),
    /// Nobody needs them any more.
    GivenUp,
    /// Only another process can reach them.
    Elsewhere,
}

impl Backup {
    /// Copies everything but the manifest to the target. Returns the name and the manifest.
    async fn save(&mut self, settings: &Settings, wait: Duration) -> Result<(String, Manifest)> {
        let mut snapshot = db::connect_without_timeouts(&settings.database_url).await?;
        let version = db::schema_version();
        let listed = tables::begin_snapshot(&mut snapshot, version).await?;
        let taken_at = sqlx::query_scalar!(r#"select now() as "now!""#).fetch_one(&mut snapshot).await?;
        let name = name_at(taken_at)?;
        let mut copied_out = Vec::new();
        for table in listed {
            let file = self.scratch.file();
            let rows = tables::copy_out(&mut snapshot, &table, file.path()).await?;
            copied_out.push((table.saved(rows), file));
        }
        let sequences = tables::sequences(&mut snapshot).await?;
        let (objects, whole) = (kept_objects(&mut snapshot).await?, whole_uploads(&mut snapshot).await?);
        // The pin keeps the objects. A snapshot that stays open would keep the database from cleaning up, so nothing is
        // sent to the target before.
        snapshot.close().await?;
        tracing::info!(
            backup = name,
            tables = copied_out.len(),
            objects = objects.len(),
            received_files = whole.len(),
            "snapshot taken"
        );
        fail_points::wait_at("backup-snapshot-taken").await;
        let (mut uploads, mut given_up) = (Vec::new(), Vec::new());
        let mut elsewhere = self.save_uploads(whole, &mut uploads, &mut given_up).await?;
        let mut saved = Vec::new();
        for (table, file) in copied_out {
            self.target.put(&table_key(&name, &table.name), &table.rows, file.path()).await?;
            saved.push(table);
        }
        let objects = self.save_objects(objects).await?;
        tracing::info!(backup = name, copied = self.copied, bytes = self.copied_bytes, "objects copied");
        let deadline = Instant::now() + wait;
        while !elsewhere.is_empty() && Instant::now() < deadline {
            sleep(POLL_INTERVAL).await;
            elsewhere = self.save_uploads(elsewhere, &mut uploads, &mut given_up).await?;
        }
        for upload in elsewhere {
            let why = format!("“{}” is in spool {}, and its process has not stored it", upload.file_name, upload.spool);
            self.missing.insert(Missing { what: format!("upload {}", upload.id), why });
        }
        let manifest = Manifest {
            format: FORMAT,
            program: env!("CARGO_PKG_VERSION").into(),
            taken_at,
            schema_version: version,
            tables: saved,
            sequences,
            objects,
            uploads,
            given_up,
            missing: std::mem::take(&mut self.missing).into_iter().collect(),
        };
        Ok((name, manifest))
    }

    /// Copies the bytes of uploads. Returns the uploads whose bytes are elsewhere.
    async fn save_uploads(
        &mut self,
        whole: Vec<WholeUpload>,
        saved: &mut Vec<SavedUpload>,
        given_up: &mut Vec<UploadId>,
    ) -> Result<Vec<WholeUpload>> {
        let here = spool::read_spool_files(&self.spool).await?;
        let mut elsewhere = Vec::new();
        for upload in whole {
            match self.save_upload(&upload, here.as_ref()).await? {
                UploadBytes::Copied(content) => saved.push(SavedUpload { id: upload.id, content }),
                UploadBytes::GivenUp => given_up.push(upload.id),
                UploadBytes::Elsewhere => elsewhere.push(upload),
            }
        }
        Ok(elsewhere)
    }

    async fn save_upload(&mut self, upload: &WholeUpload, here: Option<&SpoolFiles>) -> Result<UploadBytes> {
        if let Some(sha256) = &upload.sha256 {
            let content = Piece::new(upload.length_bytes, sha256);
            if self.has(&content) {
                return Ok(UploadBytes::Copied(content));
            }
        }
        if here.is_some_and(|here| here.id == upload.spool)
            && let Some(content) = self.save_spooled(upload).await?
        {
            return Ok(UploadBytes::Copied(content));
        }
        // The upload was stored after the snapshot, or is in the spool of another process.
        let now = sqlx::query!(
            r#"select o.key as "key?", o.size_bytes as "size_bytes?", o.sha256 as "sha256?", needs_its_bytes(u) as "is_needed!"
               from uploads u
               left join objects o on o.upload_id = u.id and o.parent_id is null and o.state in ('ATTACHED', 'RELEASED')
               where u.id = $1 limit 1"#,
            upload.id as UploadId
        )
        .fetch_optional(&self.db)
        .await?;
        let Some(now) = now else { return Ok(UploadBytes::GivenUp) };
        if let (Some(key), Some(size_bytes), Some(sha256)) = (now.key, now.size_bytes, now.sha256) {
            let content = Piece::new(size_bytes, &sha256);
            match self.copy(&key, &content).await? {
                Copied::No(_) => return Ok(UploadBytes::Elsewhere),
                copied => self.count(&key, &content, copied),
            }
            return Ok(UploadBytes::Copied(content));
        }
        Ok(if now.is_needed { UploadBytes::Elsewhere } else { UploadBytes::GivenUp })
    }

    /// Copies the bytes of an upload from this spool. `None` if they are not here, or not as they were received.
    async fn save_spooled(&mut self, upload: &WholeUpload) -> Result<Option<Piece>> {
        let spooled = match File::open(spool::uploads_folder(&self.spool).join(upload.id.to_string())).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let file = self.scratch.file();
        let content = write_and_hash(ReaderStream::new(spooled).map_err(Error::from), file.path()).await?;
        let is_whole = content.size_bytes == upload.length_bytes;
        let is_received = upload.sha256.as_ref().is_none_or(|sha256| hex::encode(sha256) == content.sha256);
        if !is_whole || !is_received {
            return Ok(None);
        }
        if !self.has(&content) {
            self.target.put(&content.content_key(), &content, file.path()).await?;
            self.count("", &content, Copied::New);
        }
        Ok(Some(content))
    }

    /// Copies objects that the target hasn't. Returns all objects but those that the storage lacks.
    async fn save_objects(&mut self, objects: Vec<SavedObject>) -> Result<Vec<SavedObject>> {
        let this = &*self;
        let copies = futures::stream::iter(&objects).map(|object| async move {
            let copied = this.copy(&object.key, &object.content).await?;
            fail::fail_point!("backup-object-put");
            Ok::<_, Error>(copied)
        });
        let copies: Vec<_> = copies.buffered(COPIES_AT_ONCE).try_collect().await?;
        for (object, copied) in objects.iter().zip(copies) {
            self.count(&object.key, &object.content, copied);
        }
        Ok(objects.into_iter().filter(|object| self.has(&object.content)).collect())
    }

    /// Copies an object from the storage unless the target has it.
    async fn copy(&self, key: &str, content: &Piece) -> Result<Copied> {
        if self.has(content) {
            return Ok(Copied::Before);
        }
        let file = self.scratch.file();
        let read = async { write_and_hash(self.storage.read(key, None).await?, file.path()).await };
        match read.await {
            Ok(read) if read == *content => {}
            Ok(read) => {
                let held = format!("the storage has other bytes: {} of {}", read.size_bytes, content.size_bytes);
                return Ok(Copied::No(held));
            }
            Err(Error::Storage(object_store::Error::NotFound { .. })) => {
                return Ok(Copied::No("the storage does not have it".into()));
            }
            // The fault lies with this object if the storage answers another request.
            Err(error @ (Error::Storage(_) | Error::StorageDown { .. }))
                if self.storage.exists(PROBE_KEY).await.is_ok() =>
            {
                return Ok(Copied::No(error.to_string()));
            }
            Err(error) => return Err(error),
        }
        self.target.put(&content.content_key(), content, file.path()).await?;
        Ok(Copied::New)
    }

    /// Records the outcome of a copy.
    fn count(&mut self, key: &str, content: &Piece, copied: Copied) {
        match copied {
            Copied::Before => {}
            Copied::New => {
                self.copied += 1;
                self.copied_bytes += content.size_bytes;
                self.contents.insert(content.content_key(), content.size_bytes.unsigned_abs());
            }
            Copied::No(why) => {
                self.missing.insert(Missing { what: key.to_owned(), why });
            }
        }
    }

    fn has(&self, content: &Piece) -> bool {
        self.contents.get(&content.content_key()) == Some(&content.size_bytes.unsigned_abs())
    }

    /// Deletes all but the latest `keep` backups, and what no backup needs, such as the pieces of killed ones. Returns
    /// the names of deleted backups.
    async fn purge(&self, latest: &ManifestName, keep: Option<usize>) -> Result<Vec<String>> {
        let listed = self.target.list().await?;
        let mut manifests = Target::manifests(&listed);
        // A clock that was set back gives the latest backup an earlier name.
        manifests.retain(|manifest| manifest != latest);
        let older = keep.map_or(0, |keep| manifests.len().saturating_sub(keep.saturating_sub(1)));
        let kept = manifests.split_off(older);
        let mut needed = BTreeSet::new();
        for name in kept.iter().chain([latest]) {
            // Nobody knows which pieces a backup needs whose manifest is unreadable.
            let manifest = self.target.read_manifest(name).await?;
            needed.insert(name.key());
            needed.extend(manifest.pieces(&name.backup).map(|(key, _)| key));
        }
        // A backup without its manifest doesn't exist, so the manifest goes first.
        for manifest in &manifests {
            self.target.delete(&manifest.key()).await?;
        }
        let is_ours = |key: &str| ["content/", "tables/", "manifests/"].iter().any(|folder| key.starts_with(folder));
        for key in listed.keys().filter(|key| is_ours(key) && !needed.contains(*key)) {
            self.target.delete(key).await?;
        }
        Ok(manifests.into_iter().map(|manifest| manifest.backup).collect())
    }
}

/// Whether a piece was copied.
enum Copied {
    New,
    /// The target had it.
    Before,
    /// The storage lacks it, or has other bytes.
    No(String),
}

/// The uploads whose bytes are all in a spool, as the snapshot says.
async fn whole_uploads(snapshot: &mut PgConnection) -> Result<Vec<WholeUpload>> {
    let uploads = sqlx::query_as!(
        WholeUpload,
        r#"select id as "id: UploadId", spool_id as "spool: SpoolId", length_bytes, sha256, file_name
           from uploads where needs_its_bytes(uploads) and is_whole(uploads)"#
    );
    Ok(uploads.fetch_all(snapshot).await?)
}

/// The objects that are attached or retained, as the snapshot says.
async fn kept_objects(snapshot: &mut PgConnection) -> Result<Vec<SavedObject>> {
    let rows = sqlx::query!(
        "select key, content_type, size_bytes, sha256 from objects where state in ('ATTACHED', 'RELEASED') order by key"
    );
    let rows = rows.fetch_all(snapshot).await?.into_iter();
    let objects = rows.map(|row| SavedObject {
        key: row.key,
        content_type: row.content_type,
        content: Piece::new(row.size_bytes, &row.sha256),
    });
    Ok(objects.collect())
}

fn name_at(time: OffsetDateTime) -> Result<String> {
    let format = format_description!("[year]-[month]-[day]T[hour]-[minute]-[second].[subsecond digits:6]Z");
    time.to_offset(UtcOffset::UTC).format(format).map_err(|error| Error::Corrupt(error.to_string()))
}

impl fmt::Display for BackupReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in &self.deleted {
            writeln!(f, "deleted: backup {name}")?;
        }
        for Missing { what, why } in &self.missing {
            writeln!(f, "missing: {what}: {why}")?;
        }
        writeln!(
            f,
            "{} tables, {} objects, {} received files; {} copied ({} bytes)",
            self.tables, self.objects, self.uploads, self.copied, self.copied_bytes
        )?;
        if let Some(why) = &self.not_deleted {
            writeln!(f, "nothing was deleted: {why}")?;
        }
        match self.missing.len() {
            0 => write!(f, "Backup {} is complete.", self.name),
            missing => write!(f, "Backup {} is made, but {missing} of its files are missing.", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    /// A restore takes the backup with the greatest name for the latest one.
    #[test]
    fn a_later_snapshot_has_a_greater_name() {
        let times = [
            datetime!(2026-09-30 23:59:59.9 UTC),
            datetime!(2026-09-30 23:59:59.999999 UTC),
            datetime!(2026-10-01 02:00 +2),
            datetime!(2026-10-01 00:00:00.000001 UTC),
            datetime!(2027-01-01 00:00 UTC),
        ];
        let names: Vec<_> = times.into_iter().map(|time| name_at(time).unwrap()).collect();
        assert!(names.is_sorted_by(|earlier, later| earlier < later), "{names:?}");
    }
}
