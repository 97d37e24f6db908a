//! The upload ledger: the row of each upload, which is written before its first byte, and its state.

mod begin;
mod checksum;
mod cleanup;
mod failed;
pub(super) mod finish;
mod form;
mod receive;
mod sink;
pub(super) mod spool;
pub(super) mod writers;

use std::{sync::Arc, time::Duration};

use sqlx::PgConnection;
use time::OffsetDateTime;
use tokio::time::{Instant, sleep};

use super::{
    Backend, Result, db, queue,
    releases::{locked, track_order},
    storage::objects,
};
use crate::domain::{
    account::Actor,
    ids::{ObjectId, ReleaseId, SpoolId, TrackId, UploadId, UserId},
    problem::{FileRefusal, Problem},
    upload::{UploadState, UploadStatus},
};

pub use begin::Channel;
pub(super) use failed::{DISCARDED, discard, is_awaited, receive_again};
pub use receive::UploadOffset;
pub(super) use sink::SpoolShareTaken;

/// The time for which `complete` waits until an upload is stored. After that it answers "safe with us, storing".
const COMPLETE_TIMEOUT: Duration = Duration::from_secs(3);
const COMPLETE_POLL_INTERVAL: Duration = Duration::from_millis(100);

pub struct Uploads(pub(super) Arc<Backend>);

/// An upload that is over. Its bytes may be removed.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndedUpload {
    id: UploadId,
    spool: SpoolId,
}

/// The columns of an upload's row that its client is told about.
struct UploadRow {
    id: UploadId,
    state: UploadState,
    release: Option<ReleaseId>,
    /// Whether its release and, for audio, its track still exist.
    has_target: bool,
    spool: SpoolId,
    offset: i64,
    length: i64,
    sha256: Option<Vec<u8>>,
    refusal: Option<FileRefusal>,
    failure: Option<String>,
    expires_at: OffsetDateTime,
    is_expired: bool,
}

impl Uploads {
    /// Loads an upload of the actor's own.
    ///
    /// # Errors
    /// `NotFound` if the upload does not exist or is not the actor's own.
    async fn own(&self, actor: &Actor, id: UploadId) -> Result<UploadRow> {
        let row = self.0.upload_connections.run(async |connection| {
            let row = sqlx::query_as!(
                UploadRow,
                r#"select id as "id: UploadId", state as "state: UploadState", release_id as "release: ReleaseId",
                          has_target(uploads) as "has_target!",
                          spool_id as "spool: SpoolId", offset_bytes as "offset", length_bytes as "length", sha256,
                          -- Processes of the version before write an HTTP status instead of a kind.
                          coalesce(refusal, case when state = 'REFUSED' then
                              case failure_status when 410 then 'LOST'::file_refusal when 413 then 'TOO_LARGE'
                                                  when 415 then 'WRONG_KIND' end end) as "refusal: FileRefusal",
                          failure, expires_at,
                          is_expired(uploads) as "is_expired!"
                   from uploads where id = $1 and owner_id = $2"#,
                id as UploadId,
                actor.id as UserId
            );
            Ok(row.fetch_optional(connection).await?)
        });
        Ok(row.await?.ok_or(Problem::NotFound)?)
    }

    /// Returns the status of an upload at this moment.
    pub async fn status(&self, actor: &Actor, id: UploadId) -> Result<UploadStatus> {
        Ok(self.own(actor, id).await?.status())
    }

    /// Returns the status of an upload after waiting up to three seconds for it to be stored. Also completes an upload
    /// whose last byte arrived although the reply to it was lost.
    pub async fn complete(&self, actor: &Actor, id: UploadId) -> Result<UploadStatus> {
        let row = self.own(actor, id).await?;
        if row.has_all_bytes() && row.spool == self.0.spool.id {
            match self.finish_if_whole(id).await {
                // The status tells about a refusal.
                Ok(()) | Err(super::Error::Problem(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let until = Instant::now() + COMPLETE_TIMEOUT;
        loop {
            let status = self.status(actor, id).await?;
            if status.state != UploadState::Received || Instant::now() >= until {
                return Ok(status);
            }
            sleep(COMPLETE_POLL_INTERVAL).await;
        }
    }

    /// Cancels an upload that is under way, or dismisses one that was refused, has failed or was discarded. Does
    /// nothing to an upload that is over or stored.
    ///
    /// # Errors
    /// `Conflict` while the file is being stored. The file can then be replaced or removed.
    pub async fn cancel(&self, actor: &Actor, id: UploadId) -> Result<()> {
        let row = self.own(actor, id).await?;
        match self.give_up(row).await? {
            UploadState::Received => Err(arrived_already().into()),
            _ => Ok(()),
        }
    }

    /// Ends an upload at its own address, as tus has it. Unlike [`Uploads::cancel`], this also ends an upload that is
    /// received or stored, and removes its file from the draft. A track that was made for the upload is removed too, if
    /// no file has ever arrived for it and nobody has typed into it.
    ///
    /// # Errors
    /// `Conflict` for a file of a release that is not a draft. `Gone` for an upload that is over. `Unavailable` if
    /// neither this process nor the storage has the bytes.
    pub async fn terminate(&self, actor: &Actor, id: UploadId) -> Result<()> {
        let row = self.own(actor, id).await?;
        if is_over(row.state) {
            return Err(over_already().into());
        }
        if !matches!(row.state, UploadState::Attached | UploadState::Superseded) {
            self.check_spool(&row)?;
        }
        let uploads = Self(Arc::clone(&self.0));
        self.0.tasks.run_to_completion(async move { uploads.terminate_own(row).await }).await?
    }

    /// The header `Upload-Metadata` with which a client created the upload. `None` for uploads without one.
    pub async fn metadata(&self, actor: &Actor, id: UploadId) -> Result<Option<String>> {
        let metadata = sqlx::query_scalar!(
            "select metadata from uploads where id = $1 and owner_id = $2",
            id as UploadId,
            actor.id as UserId
        )
        .fetch_optional(&self.0.db)
        .await?;
        Ok(metadata.flatten())
    }

    /// Cancels an upload, even if the caller goes away. Returns its state after that.
    async fn give_up(&self, row: UploadRow) -> Result<UploadState> {
        let uploads = Self(Arc::clone(&self.0));
        self.0.tasks.run_to_completion(async move { uploads.cancel_own(row).await }).await?
    }

    async fn cancel_own(&self, row: UploadRow) -> Result<UploadState> {
        let mut tx = db::begin(&self.0.db).await?;
        let release = match row.release {
            Some(release) => locked::lock(&mut tx, release).await?,
            None => None,
        };
        let cancelled = sqlx::query_as!(
            EndedUpload,
            r#"update uploads set state = 'CANCELLED', updated_at = now()
               where id = $1 and state in ('RECEIVING', 'REFUSED', 'FAILED', 'DISCARDED')
               returning id as "id: UploadId", spool_id as "spool: SpoolId""#,
            row.id as UploadId
        )
        .fetch_all(&mut *tx)
        .await?;
        if cancelled.is_empty() {
            // The upload may have ended since its row was read.
            let state = sqlx::query_scalar!(
                r#"select state as "state: UploadState" from uploads where id = $1"#,
                row.id as UploadId
            )
            .fetch_one(&mut *tx)
            .await?;
            return Ok(state);
        }
        if let Some(release) = release.filter(|release| release.status.is_editable()) {
            locked::bump_version(&mut tx, release.id).await?;
        }
        tx.commit().await?;
        purge_bytes(&self.0, &cancelled).await?;
        if let Some(release) = release {
            self.0.events.release_changed(release.id, release.artist);
        }
        Ok(UploadState::Cancelled)
    }

    async fn terminate_own(&self, row: UploadRow) -> Result<()> {
        let mut tx = db::begin(&self.0.db).await?;
        let release = match row.release {
            Some(release) => locked::lock(&mut tx, release).await?,
            None => None,
        };
        let upload = sqlx::query!(
            r#"select state as "state: UploadState", track_id as "track: TrackId" from uploads where id = $1 for update"#,
            row.id as UploadId
        )
        .fetch_one(&mut *tx)
        .await?;
        let is_of_release = matches!(upload.state, UploadState::Received | UploadState::Attached);
        match release {
            _ if is_over(upload.state) => return Err(over_already().into()),
            Some(release) if is_of_release && !release.status.is_editable() => {
                return Err(Problem::conflict(release.status.why_not_editable()).into());
            }
            _ => {}
        }
        sqlx::query!("update uploads set state = 'CANCELLED', updated_at = now() where id = $1", row.id as UploadId)
            .execute(&mut *tx)
            .await?;
        // A running job still reads the bytes. It removes them when it ends.
        let are_free = upload.state != UploadState::Received || queue::retire_store(&mut tx, row.id).await?;
        let object = sqlx::query_scalar!(
            r#"select id as "id: ObjectId" from objects where upload_id = $1 and parent_id is null and state = 'ATTACHED'"#,
            row.id as UploadId
        )
        .fetch_optional(&mut *tx)
        .await?;
        if let Some(object) = object {
            objects::detach_from_target(&mut tx, object).await?;
        }
        if let Some(release) = release.filter(|release| release.status.is_editable()) {
            if let Some(track) = upload.track {
                track_order::remove_announced(&mut tx, release.id, track).await?;
            }
            locked::bump_version(&mut tx, release.id).await?;
        }
        tx.commit().await?;
        if are_free {
            purge_bytes(&self.0, &[EndedUpload { id: row.id, spool: row.spool }]).await?;
        }
        if let Some(release) = release {
            self.0.events.release_changed(release.id, release.artist);
        }
        Ok(())
    }
}

/// Counts an upload that was not begun, or whose file was refused.
fn count_refusal(reason: &'static str) {
    metrics::counter!("vwaza_upload_refusals_total", "reason" => reason).increment(1);
}

/// Whether an upload was cancelled or has expired.
fn is_over(state: UploadState) -> bool {
    matches!(state, UploadState::Cancelled | UploadState::Expired)
}

fn over_already() -> Problem {
    Problem::Gone("This upload has ended already.".into())
}

fn arrived_already() -> Problem {
    Problem::conflict("This file has arrived already. Replace or remove it instead.")
}

/// Cancels the uploads of a release, or of one track, that are under way, refused, failed or discarded, in the
/// transaction that removes their target. Call `purge_bytes` after the commit.
pub(super) async fn cancel_all(
    db: &mut PgConnection,
    release: ReleaseId,
    track: Option<TrackId>,
) -> Result<Vec<EndedUpload>> {
    let ended = sqlx::query_as!(
        EndedUpload,
        r#"update uploads set state = 'CANCELLED', updated_at = now()
           where release_id = $1 and ($2::uuid is null or track_id = $2) and state in ('RECEIVING', 'REFUSED', 'FAILED', 'DISCARDED')
           returning id as "id: UploadId", spool_id as "spool: SpoolId""#,
        release as ReleaseId,
        track as Option<TrackId>
    )
    .fetch_all(db)
    .await?;
    Ok(ended)
}

/// Removes the bytes of uploads that are over. A writer in the middle of a chunk is displaced first. A writer that does
/// not stop in time finds out at its next flush and removes the bytes itself.
pub(super) async fn purge_bytes(backend: &Backend, ended: &[EndedUpload]) -> Result<()> {
    for EndedUpload { id, .. } in ended.iter().filter(|ended| ended.spool == backend.spool.id) {
        let _writer = backend.writers.displace(*id).await;
        backend.spool.remove(*id).await?;
        backend.writers.evict(*id);
    }
    Ok(())
}

impl UploadRow {
    /// Whether all bytes are acknowledged but nobody has completed the upload yet.
    fn has_all_bytes(&self) -> bool {
        self.state == UploadState::Receiving && self.offset == self.length
    }

    fn status(self) -> UploadStatus {
        let (state, message) = match self.state {
            UploadState::Receiving if self.is_expired => {
                (UploadState::Expired, "This upload has expired. Choose the file again.".to_owned())
            }
            UploadState::Receiving => (self.state, "Bytes are arriving.".to_owned()),
            UploadState::Received => (self.state, "Safe with us; storing.".to_owned()),
            UploadState::Attached => (self.state, "Stored.".to_owned()),
            UploadState::Superseded if self.has_target => {
                (self.state, "A newer file has replaced this one.".to_owned())
            }
            UploadState::Superseded => {
                (UploadState::Cancelled, "The release or track of this file was removed.".to_owned())
            }
            UploadState::Refused | UploadState::Failed => {
                (self.state, self.failure.unwrap_or_else(|| "This file could not be used. Choose another one.".into()))
            }
            UploadState::Discarded => (self.state, self.failure.unwrap_or_else(|| DISCARDED.into())),
            UploadState::Cancelled => (self.state, "This upload was cancelled.".to_owned()),
            UploadState::Expired => (self.state, "This upload has expired. Choose the file again.".to_owned()),
        };
        let status_code = state.status(self.refusal);
        UploadStatus { id: self.id, state: self.state, status_code, message, sha256: self.sha256.map(hex::encode) }
    }
}
