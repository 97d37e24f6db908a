//! Restores a backup into an empty database and a storage, which may hold other objects.
//!
//! All rows are committed at once, after everything else is in its place. A restore that is killed before that leaves a
//! database without rows, and can be run again. One that is killed afterwards is complete: the next start of a server
//! migrates the database on.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt};
use sqlx::{Connection, PgConnection};
use tokio::{fs, io::AsyncWriteExt};

use super::{
    manifest::{Manifest, SavedObject, table_key},
    tables,
    target::{ScratchFolder, Target},
    verify::{self, BackupCheck},
};
use crate::{
    backend::{
        BackupTarget, Error, Report, Result, Settings,
        audit::{self, By, NewEntry},
        db,
        directories::open_private_file,
        fail_points, mail, migrate_database,
        operations::fsck::{Repair, fsck},
        queue,
        storage::Storage,
        uploads::spool::Spool,
    },
    domain::{
        audit::AuditAction,
        ids::{SpoolId, UploadId},
    },
};

/// The number of objects that are put at once.
const PUTS_AT_ONCE: usize = 4;

/// A restored backup, and what `fsck` says of the result.
#[derive(Debug)]
pub struct Restored {
    pub name: String,
    pub objects: usize,
    pub uploads: usize,
    pub report: Report,
}

/// Restores a backup: the named one or the latest. Everything is read and compared before anything is changed.
///
/// # Errors
/// If a piece of the backup is missing or damaged; if the database has rows; if a server uses the spool; if the backup
/// is of a later version of the program.
pub async fn restore(settings: &Settings, target: &BackupTarget, backup: Option<&str>) -> Result<Restored> {
    fail_points::arm(&settings.fail_points)?;
    let target = Target::open_existing(target)?;
    let listed = target.list().await?;
    let name = verify::find(&listed, backup)?;
    let manifest = target.read_manifest(&name).await?;
    if manifest.schema_version > db::schema_version() {
        let program = &manifest.program;
        return Err(Error::Corrupt(format!(
            "the backup was made by a later version of vwaza, {program}; restore with that"
        )));
    }
    let mut db = db::connect_without_timeouts(&settings.database_url).await?;
    if !tables::are_empty(&mut db).await? {
        return Err(not_empty());
    }
    let mut check = BackupCheck::default();
    verify::verify(&target, &listed, &name, &manifest, &mut BTreeSet::new(), &mut check).await?;
    if !check.damaged.is_empty() {
        return Err(Error::Corrupt(format!("nothing was restored, because the backup is damaged\n{check}")));
    }
    // A server that starts from now on waits for the schema.
    db::migrate_to(&mut db, manifest.schema_version).await?;
    if tables::schema_version(&mut db).await? != Some(manifest.schema_version) {
        return Err(not_empty());
    }
    let storage = Storage::open(settings, Storage::recorded_folder_id(&mut db).await?)?;
    let spool = Spool::open(&settings.data_dir.join("spool")).await?;
    let restore = Restore { target, storage, spool, scratch: ScratchFolder::open(&settings.data_dir).await?, manifest };
    restore.put_objects().await?;
    restore.put_uploads().await?;
    fail::fail_point!("restore-files-put");
    restore.insert_rows(settings, &name.backup, &mut db).await?;
    db.close().await?;
    fail::fail_point!("restore-committed");
    migrate_database(&settings.database_url).await?;
    let pool = db::connect(&settings.database_url, 0).await?;
    restore.storage.record_folder_id(&pool).await?;
    let restored = NewEntry { note: Some(&name.backup), ..NewEntry::new(By::Operator, AuditAction::BackupRestored) };
    audit::record(&mut *pool.acquire().await?, restored).await?;
    let Manifest { objects, uploads, .. } = restore.manifest;
    let report = fsck(settings, Repair::No).await?;
    Ok(Restored { name: name.backup, objects: objects.len(), uploads: uploads.len(), report })
}

/// The error for a database with rows, or with a later schema than the backup's: its migrations would not change the
/// backup's rows.
fn not_empty() -> Error {
    Error::Corrupt("the database is not empty; restore into a new one".into())
}

/// A restore that is under way.
struct Restore {
    target: Target,
    manifest: Manifest,
    storage: Storage,
    spool: Spool,
    scratch: ScratchFolder,
}

impl Restore {
    /// Puts the objects that the storage hasn't. Nothing else in the storage is touched.
    async fn put_objects(&self) -> Result<()> {
        let there = self.storage.list().await?;
        let puts = futures::stream::iter(&self.manifest.objects).map(|object| self.put_object(object, &there));
        puts.buffer_unordered(PUTS_AT_ONCE).try_collect().await
    }

    async fn put_object(&self, saved: &SavedObject, there: &BTreeMap<String, u64>) -> Result<()> {
        let object = saved.content.at(&saved.key, &saved.content_type)?;
        let has_size = there.get(&saved.key) == Some(&object.size_bytes.unsigned_abs());
        if has_size && self.storage.has_intended_bytes(&object).await? {
            return Ok(());
        }
        // A restore that was killed may have left a part of it.
        self.storage.delete_half_written(&saved.key).await?;
        let file = self.scratch.file();
        self.target.fetch(&saved.content.content_key(), &saved.content, file.path()).await?;
        self.storage.put_file(&object, file.path(), async |_| Ok(())).await?;
        fail::fail_point!("restore-object-put");
        Ok(())
    }

    /// Puts received files into this spool.
    async fn put_uploads(&self) -> Result<()> {
        for upload in &self.manifest.uploads {
            let file = self.scratch.file();
            self.target.fetch(&upload.content.content_key(), &upload.content, file.path()).await?;
            let mut spooled = fs::File::from_std(open_private_file(&self.spool.path(upload.id))?);
            spooled.set_len(0).await?;
            tokio::io::copy(&mut fs::File::open(file.path()).await?, &mut spooled).await?;
            spooled.flush().await?;
            spooled.sync_all().await?;
        }
        self.spool.sync().await
    }

    /// Inserts all rows, and ends what must not outlive a restore, in one transaction.
    async fn insert_rows(&self, settings: &Settings, backup: &str, db: &mut PgConnection) -> Result<()> {
        sqlx::raw_sql("begin").execute(&mut *db).await?;
        // A server with another data directory may have started while the backup was read.
        tables::lock_against_writes(db).await?;
        if !tables::are_empty(db).await? {
            return Err(not_empty());
        }
        tables::forget_figures(db).await?;
        tables::set_sequences(db, &self.manifest.sequences).await?;
        let keys = tables::drop_foreign_keys(db).await?;
        for table in &self.manifest.tables {
            let file = self.scratch.file();
            self.target.fetch(&table_key(backup, &table.name), &table.rows, file.path()).await?;
            tables::copy_in(db, table, file.path()).await?;
        }
        tables::add_foreign_keys(db, &keys).await?;
        self.adopt_uploads(settings, db).await?;
        queue::hand_back_all(db, self.spool.id).await?;
        // Sessions, tokens and links are in no backup.
        mail::drop_all_resets(db).await?;
        sqlx::raw_sql("commit").execute(&mut *db).await?;
        Ok(())
    }

    /// Gives all uploads to this spool. Unfinished ones begin anew: no bytes of theirs were saved.
    async fn adopt_uploads(&self, settings: &Settings, db: &mut PgConnection) -> Result<()> {
        sqlx::query!(
            "update uploads
             set spool_id = $1, writer_epoch = writer_epoch + 1,
                 offset_bytes = case when is_whole(uploads) then offset_bytes else 0 end,
                 expires_at = case when is_whole(uploads) then expires_at else now() + make_interval(secs => $2) end
             where needs_its_bytes(uploads)",
            self.spool.id as SpoolId,
            settings.uploads.expiry.as_secs_f64()
        )
        .execute(&mut *db)
        .await?;
        // Nobody can send the rest of these, and nobody waits for it.
        sqlx::query!(
            "update uploads set state = 'EXPIRED', offset_bytes = 0, updated_at = now() where id = any($1)",
            &self.manifest.given_up as &[UploadId]
        )
        .execute(db)
        .await?;
        Ok(())
    }
}
