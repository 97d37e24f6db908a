//! The upload ledger: an intent before the first byte, and what became of it.

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
    problem::Problem,
    upload::{UploadState, UploadStatus},
};

pub use begin::Channel;
pub(super) use failed::{DISCARDED, discard, is_awaited, receive_again};
pub use receive::UploadOffset;
pub(super) use sink::SpoolShareTaken;

/// How long `complete` waits for an upload to be stored before it answers "safe with us, storing".
const COMPLETE_TIMEOUT: Duration = Duration::from_secs(3);
const COMPLETE_POLL_INTERVAL: Duration = Duration::from_millis(100);

pub struct Uploads(pub(super) Arc<Backend>);

/// An upload that is over before it was received: its bytes may go.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndedUpload {
    id: UploadId,
    spool: SpoolId,
}

/// An upload's row, as far as its client is concerned.
struct UploadRow {
    id: UploadId,
    state: UploadState,
    release: Option<ReleaseId>,
    /// Its release and, for audio, its track are still there.
    has_target: bool,
    spool: SpoolId,
    offset: i64,
    length: i64,
    sha256: Option<Vec<u8>>,
    failure_status: Option<i16>,
    failure: Option<String>,
    expires_at: OffsetDateTime,
    is_expired: bool,
}

impl Uploads {
    /// # Errors
    /// 404 for what does not exist and for what is not the actor's own.
    async fn own(&self, actor: &Actor, id: UploadId) -> Result<UploadRow> {
        let row = self.0.upload_connections.run(async |connection| {
            let row = sqlx::query_as!(
                UploadRow,
                r#"select id as "id: UploadId", state as "state: UploadState", release_id as "release: ReleaseId",
                          has_target(uploads) as "has_target!",
                          spool_id as "spool: SpoolId", offset_bytes as "offset", length_bytes as "length", sha256,
                          failure_status, failure, expires_at,
                          is_expired(uploads) as "is_expired!"
                   from uploads where id = $1 and owner_id = $2"#,
                id as UploadId,
                actor.id as UserId
            );
            Ok(row.fetch_optional(connection).await?)
        });
        Ok(row.await?.ok_or(Problem::NotFound)?)
    }

    /// How an upload is doing, at this moment.
    pub async fn status(&self, actor: &Actor, id: UploadId) -> Result<UploadStatus> {
        Ok(self.own(actor, id).await?.status())
    }

    /// How an upload is doing, after waiting a little for it to be stored. Where the last byte arrived and the reply to it was
    /// lost, this is what completes it.
    pub async fn complete(&self, actor: &Actor, id: UploadId) -> Result<UploadStatus> {
        let row = self.own(actor, id).await?;
        if row.has_all_bytes() && row.spool == self.0.spool.id {
            match self.finish_if_whole(id).await {
                // What was refused is told by the status.
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

    /// Gives up an upload that is under way, or puts away one that was refused, has failed or was discarded. Of one that is over or
    /// stored, nothing is left to give up.
    ///
    /// # Errors
    /// 409 while it is being stored: then it can be replaced or removed.
    pub async fn cancel(&self, actor: &Actor, id: UploadId) -> Result<()> {
        let row = self.own(actor, id).await?;
        match self.give_up(row).await? {
            UploadState::Received => Err(arrived_already().into()),
            _ => Ok(()),
        }
    }

    /// The same at the upload's own address, as the protocol has it: also of one that is received or stored, whose file leaves its draft
    /// then. A track that was made for it and that nobody has typed into goes with it, if its file never was here.
    ///
    /// # Errors
    /// 409 for a file of a release that is not a draft; 410 for an upload that is over, 503 on a process that holds its bytes no more than
    /// the storage does.
    pub async fn terminate(&self, actor: &Actor, id: UploadId) -> Result<()> {
        let row = self.own(actor, id).await?;
        if is_over(row.state) {
            return Err(over_already().into());
        }
        if !matches!(row.state, UploadState::Attached | UploadState::Superseded) {
            self.check_spool(&row)?;
        }
        let uploads = Self(Arc::clone(&self.0));
        self.0.worker.run_to_completion(async move { uploads.terminate_own(row).await }).await?
    }

    /// What its client said of it when it made it: the header `Upload-Metadata`.
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

    /// To its end, even when the caller goes away. The state that it is in then.
    async fn give_up(&self, row: UploadRow) -> Result<UploadState> {
        let uploads = Self(Arc::clone(&self.0));
        self.0.worker.run_to_completion(async move { uploads.cancel_own(row).await }).await?
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
            // It may have come to its end since it was looked at.
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
        // A job that runs reads the bytes: it finds out when it is through, and removes them.
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

/// It was given up, or nobody went on with it.
fn is_over(state: UploadState) -> bool {
    matches!(state, UploadState::Cancelled | UploadState::Expired)
}

fn over_already() -> Problem {
    Problem::Gone("This upload has ended already.".into())
}

fn arrived_already() -> Problem {
    Problem::conflict("This file has arrived already. Replace or remove it instead.")
}

/// Ends, in the transaction that removes their target, all uploads of a release or of one track that are not received yet.
/// To be followed by `purge_bytes` after the commit.
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

/// Removes the bytes of uploads that are over. A writer in the middle of a chunk is told to go first; one that does not go in
/// time finds out at its next flush and removes them itself.
pub(super) async fn purge_bytes(backend: &Backend, ended: &[EndedUpload]) -> Result<()> {
    for EndedUpload { id, .. } in ended.iter().filter(|ended| ended.spool == backend.spool.id) {
        let _writer = backend.writers.displace(*id).await;
        backend.spool.remove(*id).await?;
        backend.writers.evict(*id);
    }
    Ok(())
}

impl UploadRow {
    /// All bytes are counted, and nobody has completed it yet.
    fn has_all_bytes(&self) -> bool {
        self.state == UploadState::Receiving && self.offset == self.length
    }

    fn status(self) -> UploadStatus {
        let (status_code, message) = match self.state {
            UploadState::Receiving if self.is_expired => {
                (410, "This upload has expired. Choose the file again.".to_owned())
            }
            UploadState::Receiving => (202, "Bytes are arriving.".to_owned()),
            UploadState::Received => (202, "Safe with us; storing.".to_owned()),
            UploadState::Attached => (200, "Stored.".to_owned()),
            UploadState::Superseded if self.has_target => (409, "A newer file has replaced this one.".to_owned()),
            UploadState::Superseded => (410, "The release or track of this file was removed.".to_owned()),
            UploadState::Refused | UploadState::Failed => (
                self.failure_status.and_then(|status| u16::try_from(status).ok()).unwrap_or(422),
                self.failure.unwrap_or_else(|| "This file could not be used. Choose another one.".into()),
            ),
            UploadState::Discarded => (410, self.failure.unwrap_or_else(|| DISCARDED.into())),
            UploadState::Cancelled => (410, "This upload was cancelled.".to_owned()),
            UploadState::Expired => (410, "This upload has expired. Choose the file again.".to_owned()),
        };
        UploadStatus { id: self.id, state: self.state, status_code, message, sha256: self.sha256.map(hex::encode) }
    }
}
