//! Repairs findings: removes orphans and unneeded spool files, detaches objects that nothing refers to, and queues jobs
//! for uploads and objects that have none. Missing or wrong bytes cannot be repaired.

use std::{collections::BTreeSet, io};

use sqlx::{PgConnection, PgPool};
use tokio::fs;

use super::{Damage, Finding, Repair, inspection::Inspection};
use crate::{
    backend::{
        Result, Settings,
        audit::{self, By, NewEntry},
        db, queue,
        storage::Storage,
        uploads::spool,
    },
    domain::audit::AuditAction,
};

/// The largest number of orphans, and of spool files, that are removed without [`Repair::Force`].
const REMOVE_MAX: u64 = 10;

/// Repairs what it can. Returns the repaired findings and removes them from `inspection`.
pub(super) async fn repair_findings(
    pool: &PgPool,
    storage: &Storage,
    settings: &Settings,
    inspection: &mut Inspection,
    repair: Repair,
) -> Result<BTreeSet<Finding>> {
    let may_remove = |damage: Damage, of: u64| {
        let found = inspection.findings.iter().filter(|finding| finding.damage == damage).count() as u64;
        // The limit is 1 %, but at least one, because a single object among few is more than 1 %.
        repair == Repair::Force || found <= (of / 100).clamp(1, REMOVE_MAX)
    };
    let may_remove_objects = may_remove(Damage::UnknownObject, inspection.listed);
    let may_remove_files = may_remove(Damage::UnneededSpoolFile, inspection.spooled);
    let mut mended = BTreeSet::new();
    for finding in &inspection.findings {
        let subject = finding.subject.as_str();
        // The storage and the spool know no transactions, so a repair of theirs that is interrupted right behind this
        // has no entry.
        let is_removed = match finding.damage {
            Damage::UnknownObject if may_remove_objects => remove_unknown(pool, storage, subject).await?,
            Damage::UnneededSpoolFile if may_remove_files => remove_unneeded(pool, settings, subject).await?,
            _ => false,
        };
        let mut tx = db::begin(pool).await?;
        if is_removed || mend_rows(&mut tx, finding).await? {
            record(&mut tx, finding).await?;
            tx.commit().await?;
            mended.insert(finding.clone());
        }
    }
    inspection.findings.retain(|finding| !mended.contains(finding));
    Ok(mended)
}

/// Repairs what rows alone can repair. Returns whether it did.
async fn mend_rows(db: &mut PgConnection, finding: &Finding) -> Result<bool> {
    let subject = finding.subject.as_str();
    match finding.damage {
        Damage::Unreferenced => detach_unreferenced(db, subject).await,
        Damage::NoJob => requeue_store(db, subject).await,
        Damage::NotExamined => queue::requeue_examination(db, subject).await,
        _ => Ok(false),
    }
}

/// Writes a repair into the audit trail.
async fn record(db: &mut PgConnection, finding: &Finding) -> Result<()> {
    let (subject, note) = (finding.subject.as_str(), format!("{}: {}", finding.damage, finding.detail));
    let entry = NewEntry::new(By::Operator, AuditAction::StorageRepaired);
    audit::record(db, NewEntry { label: Some(subject), note: Some(&note), ..entry }).await
}

async fn remove_unknown(db: &PgPool, storage: &Storage, key: &str) -> Result<bool> {
    let half_written = storage.half_written_of(key);
    let is_known = sqlx::query_scalar!(
        r#"select exists (select 1 from objects where key = $1 and ($2 or state = 'INTENDED')) as "is!""#,
        half_written.unwrap_or(key),
        half_written.is_none()
    )
    .fetch_one(db)
    .await?;
    if is_known {
        return Ok(false);
    }
    storage.delete_listed(key).await
}

async fn remove_unneeded(db: &PgPool, settings: &Settings, name: &str) -> Result<bool> {
    let is_needed = sqlx::query_scalar!(
        r#"select exists (select 1 from uploads
                          where id::text = $1 and needs_its_bytes(uploads)) as "is!""#,
        name
    )
    .fetch_one(db)
    .await?;
    if is_needed {
        return Ok(false);
    }
    let file = spool::uploads_folder(&settings.data_dir.join("spool")).join(name);
    match fs::remove_file(file).await {
        // A directory or a protected file was not made by us, so a person has to look at it.
        Err(error) if matches!(error.kind(), io::ErrorKind::IsADirectory | io::ErrorKind::PermissionDenied) => {
            Ok(false)
        }
        // The server that owns the spool may have removed the file first.
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(true),
    }
}

/// Detaches an object that nothing refers to. It is then retained and reaped like a replaced object.
async fn detach_unreferenced(db: &mut PgConnection, key: &str) -> Result<bool> {
    let released = sqlx::query!(
        "update objects o set state = 'RELEASED', released_at = now()
         where key = $1 and state = 'ATTACHED'
           and not exists (select 1 from releases r where r.cover_id = coalesce(o.parent_id, o.id))
           and not exists (select 1 from tracks t where t.audio_id = coalesce(o.parent_id, o.id))",
        key
    )
    .execute(db)
    .await?;
    Ok(released.rows_affected() == 1)
}

async fn requeue_store(db: &mut PgConnection, upload: &str) -> Result<bool> {
    match upload.parse() {
        Ok(upload) => queue::requeue_store(db, upload).await,
        Err(_) => Ok(false),
    }
}
