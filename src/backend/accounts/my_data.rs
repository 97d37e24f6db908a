//! The download of a user's own data as one archive, and the deletion of their account.
//!
//! The archive is a ZIP file that is created while it is sent, so it is never whole on disk or in memory.

use std::sync::Arc;

use async_zip::{Compression, ZipEntryBuilder, base::write::ZipFileWriter};
use futures::{AsyncWriteExt, StreamExt};
use serde::Serialize;
use sqlx::PgConnection;
use time::OffsetDateTime;
use tokio::io::{AsyncRead, DuplexStream};
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};
use uuid::Uuid;

use super::{
    access_tokens, administration, browsers, email_links, locks, security_log, sessions, two_factor, visitor::Visitor,
};
use crate::{
    backend::{
        Backend, Error, Result,
        audit::{self, By, NewEntry},
        cause, db,
        releases::{locked, view},
        storage::objects,
        uploads,
    },
    domain::{
        account::{AccessToken, Actor, Role, SessionView},
        audit::{AuditAction, AuditState},
        download::portable_name,
        ids::{ObjectId, ReleaseId, UploadId, UserId},
        problem::Problem,
        release::{ReleaseStatus, ReleaseView},
        security::SecurityEvent,
    },
};

/// The largest number of archives that one process creates at once.
pub(in crate::backend) const ARCHIVES_AT_ONCE: usize = 4;
/// The buffer between the writer of an archive and its reader, in bytes.
const BUFFER_BYTES: usize = 256 * 1024;
/// The largest number of releases that one run deletes.
const DELETIONS_MAX: i64 = 100;
/// The largest number of uploads whose file names one run removes.
const UPLOADS_MAX: i64 = 1000;

pub struct MyData<'a>(pub(in crate::backend) &'a Arc<Backend>);

/// `account.json` in the archive.
#[derive(Serialize)]
struct AccountExport {
    id: UserId,
    email: String,
    artist_name: String,
    role: Role,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    sessions: Vec<SessionView>,
    access_tokens: Vec<AccessToken>,
    security_events: Vec<SecurityEvent>,
}

type Zip = ZipFileWriter<Compat<DuplexStream>>;

impl MyData<'_> {
    /// All data about the actor as a ZIP file: `account.json`, and a folder for each release with `release.json` and
    /// the originals. If writing fails, the archive ends early.
    ///
    /// # Errors
    /// `Unavailable` while four other downloads run.
    pub async fn archive(&self, actor: &Actor) -> Result<impl AsyncRead + Send + 'static> {
        let busy = "Other people are downloading their data right now. Try again in a few minutes.";
        let permit = Arc::clone(&self.0.archive_permits).try_acquire_owned();
        let permit = permit.map_err(|_| Problem::Unavailable(busy.into()))?;
        let (writer, reader) = tokio::io::duplex(BUFFER_BYTES);
        let (backend, actor) = (Arc::clone(self.0), actor.clone());
        // If the reader is dropped, the next write fails and ends the task.
        tokio::spawn(cause::inherit(async move {
            if let Err(error) = write_archive(&backend, &actor, writer).await {
                tracing::warn!(user.id = %actor.id, error = ?error, "writing the archive of a user's data failed");
            }
            drop(permit);
        }));
        Ok(reader)
    }

    /// Deletes the actor's account. Published releases, their history and the audit trail stay under a pseudonym. Everything that
    /// identifies the user or gives them access is deleted at once, and then their other releases one by one. If the
    /// process is killed in between, the janitor continues.
    ///
    /// # Errors
    /// `Invalid` for a wrong `current_password`; `Conflict` for the only admin; `RateLimited` after too many wrong passwords.
    pub async fn delete_account(&self, actor: &Actor, current_password: &str, visitor: &Visitor) -> Result<()> {
        let hash = self.0.users().require_password(actor, current_password, visitor).await?;
        let mut tx = db::begin(&self.0.db).await?;
        administration::require_not_only_admin(&mut tx, actor.id).await?;
        locks::lock_user_with_password(&mut tx, actor.id, &hash).await?;
        let deleted = NewEntry::on_account(By::User(actor.id), AuditAction::AccountDeleted, actor.id);
        audit::record(&mut tx, deleted).await?;
        let pseudonym = format!("Former artist {}", &Uuid::new_v4().simple().to_string()[..6]);
        // Adds an entry, so it comes before the account loses its role.
        audit::pseudonymise(&mut tx, actor.id, &pseudonym).await?;
        sqlx::query!(
            "update users
             set deleted_at = now(), disabled_at = coalesce(disabled_at, now()), updated_at = now(), artist_name = $2,
                 email = 'deleted-' || id || '@deleted.invalid', password_hash = '', email_verified_at = null, role = 'ARTIST'
             where id = $1",
            actor.id as UserId,
            pseudonym
        )
        .execute(&mut *tx)
        .await?;
        sessions::end_all_of(&mut tx, actor.id).await?;
        access_tokens::revoke_all_of(&mut tx, actor.id).await?;
        browsers::delete_all_of(&mut tx, actor.id).await?;
        two_factor::remove(&mut tx, actor.id).await?;
        two_factor::end_challenges(&mut tx, actor.id).await?;
        email_links::use_up_links(&mut tx, actor.id).await?;
        delete_traces(&mut tx, actor.id).await?;
        tx.commit().await?;
        fail::fail_point!("account-deleted");
        tracing::info!(user.id = %actor.id, "account deleted by its user");
        // The account is deleted even if this fails. The janitor continues.
        if let Err(error) = finish_deletions(self.0).await {
            tracing::warn!(user.id = %actor.id, error = ?error, "deleting the releases of a deleted account failed; the janitor tries again");
        }
        Ok(())
    }
}

async fn delete_traces(db: &mut PgConnection, user: UserId) -> Result<()> {
    for statement in [
        sqlx::query!("delete from security_events where user_id = $1", user as UserId),
        sqlx::query!("delete from mail_jobs where user_id = $1", user as UserId),
        sqlx::query!("delete from password_reset_tokens where user_id = $1", user as UserId),
        sqlx::query!("delete from email_verification_tokens where user_id = $1", user as UserId),
    ] {
        statement.execute(&mut *db).await?;
    }
    Ok(())
}

/// Deletes the remaining data of deleted accounts: unpublished releases, each in its own transaction, and the names of
/// files. Returns the number of deleted releases.
pub(in crate::backend) async fn finish_deletions(backend: &Arc<Backend>) -> Result<u64> {
    let left = sqlx::query_scalar!(
        r#"select r.id as "id: ReleaseId" from users u join releases r on r.artist_id = u.id
           where u.deleted_at is not null and r.status <> 'PUBLISHED' order by u.deleted_at, r.id limit $1"#,
        DELETIONS_MAX
    )
    .fetch_all(&backend.db)
    .await?;
    let mut deleted = 0;
    for id in left {
        deleted += u64::from(delete_release(backend, id).await?);
    }
    let named = sqlx::query_scalar!(
        r#"select u.id as "id: UploadId" from users a join uploads u on u.owner_id = a.id
           where a.deleted_at is not null and u.release_id is null
             and (u.file_name <> '' or u.fingerprint <> '' or u.tags is not null)
           limit $1"#,
        UPLOADS_MAX
    )
    .fetch_all(&backend.db)
    .await?;
    // There are hardly ever any. Without them, no statement takes a lock that the rest of the run would wait for.
    if !named.is_empty() {
        sqlx::query!(
            "update uploads set file_name = '', fingerprint = '', tags = null where id = any($1)",
            &named as &[UploadId]
        )
        .execute(&backend.db)
        .await?;
    }
    Ok(deleted)
}

async fn delete_release(backend: &Arc<Backend>, id: ReleaseId) -> Result<bool> {
    let mut tx = db::begin(&backend.db).await?;
    let Some(release) = locked::lock(&mut tx, id).await? else { return Ok(false) };
    if release.status == ReleaseStatus::Published {
        return Ok(false);
    }
    let ended = uploads::cancel_all(&mut tx, id, None).await?;
    objects::detach_all_of_release(&mut tx, id).await?;
    // The trail keeps no title of what this person never published.
    let entry = NewEntry { label: Some(""), ..NewEntry::on_release(By::System, AuditAction::ReleaseDeleted, id) };
    audit::record(&mut tx, NewEntry { was: Some(AuditState::Release(release.status)), ..entry }).await?;
    // A job or a reviewer may have ended something since the account was deleted. Nobody can from here on, because the
    // release is locked.
    audit::pseudonymise_release(&mut tx, release.artist, id).await?;
    sqlx::query!("delete from releases where id = $1", id as ReleaseId).execute(&mut *tx).await?;
    tx.commit().await?;
    uploads::purge_bytes(backend, &ended).await?;
    backend.events.release_changed(id, release.artist);
    Ok(true)
}

async fn write_archive(backend: &Arc<Backend>, actor: &Actor, writer: DuplexStream) -> Result<()> {
    let mut zip = ZipFileWriter::new(writer.compat_write());
    let account = account(backend, actor).await?;
    write_json(&mut zip, "account.json".into(), &account).await?;
    let releases = sqlx::query_scalar!(
        r#"select id as "id: ReleaseId" from releases where artist_id = $1 order by created_at, id"#,
        actor.id as UserId
    )
    .fetch_all(&backend.db)
    .await?;
    for (number, id) in (1..).zip(releases) {
        let mut tx = db::snapshot(&backend.db).await?;
        let release = view::load(&mut tx, id).await?;
        tx.commit().await?;
        // The release may have been deleted in the meantime.
        if let Some(release) = release {
            write_release(backend, actor, &mut zip, number, &release).await?;
        }
    }
    zip.close().await.map_err(zip_error)?;
    Ok(())
}

async fn account(backend: &Arc<Backend>, actor: &Actor) -> Result<AccountExport> {
    let created_at = sqlx::query_scalar!("select created_at from users where id = $1", actor.id as UserId)
        .fetch_one(&backend.db)
        .await?;
    Ok(AccountExport {
        id: actor.id,
        email: actor.email.clone(),
        artist_name: actor.artist_name.clone(),
        role: actor.role,
        created_at,
        sessions: backend.sessions().list(actor, None).await?,
        access_tokens: backend.access_tokens().list(actor).await?,
        security_events: security_log::list(&mut *backend.db.acquire().await?, actor.id).await?,
    })
}

async fn write_release(
    backend: &Arc<Backend>,
    actor: &Actor,
    zip: &mut Zip,
    number: u32,
    release: &ReleaseView,
) -> Result<()> {
    let folder = format!("{number:04} {}", portable_name(&release.display_title()));
    write_json(zip, format!("{folder}/release.json"), release).await?;
    if let Some(cover) = &release.cover.current {
        write_original(backend, actor, zip, &format!("{folder}/cover"), cover.object).await?;
    }
    for (track, audio) in release.tracks.iter().filter_map(|track| Some((track, track.audio.as_ref()?))) {
        write_original(backend, actor, zip, &format!("{folder}/{:03}", track.number), audio.object).await?;
    }
    Ok(())
}

async fn write_json(zip: &mut Zip, name: String, value: &impl Serialize) -> Result<()> {
    let json = serde_json::to_vec_pretty(value).map_err(|error| Error::Corrupt(format!("{name}: {error}")))?;
    let entry = ZipEntryBuilder::new(name.into(), Compression::Stored);
    zip.write_entry_whole(entry, &json).await.map_err(zip_error)
}

/// Writes an original to the archive. Its name is `place` and the file name of its download.
async fn write_original(
    backend: &Arc<Backend>,
    actor: &Actor,
    zip: &mut Zip,
    place: &str,
    object: ObjectId,
) -> Result<()> {
    let file = backend.media_files().original(actor, object).await?;
    let name = format!("{place} {}", portable_name(file.saved_as.as_deref().unwrap_or_default()));
    let mut bytes = backend.media_files().read(&file, None).await?;
    let entry = ZipEntryBuilder::new(name.into(), Compression::Stored);
    let mut writer = zip.write_entry_stream(entry).await.map_err(zip_error)?;
    while let Some(piece) = bytes.next().await {
        writer.write_all(&piece?).await?;
    }
    writer.close().await.map_err(zip_error)
}

fn zip_error(error: async_zip::error::ZipError) -> Error {
    Error::Io(std::io::Error::other(error))
}
