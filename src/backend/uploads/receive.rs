//! Receiving bytes: written, hashed and flushed in constant memory by one writer at a time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use time::OffsetDateTime;
use tokio::time::timeout;

use super::{
    UploadRow, Uploads,
    sink::{DiskAllowance, Sink},
    writers::{Displacement, Writer},
};
use crate::{
    backend::{Error, Result},
    domain::{
        account::Actor,
        ids::{ReleaseId, SpoolId, UploadId, UserId},
        problem::Problem,
        upload::{Checksum, UploadState},
    },
};

/// Bytes after which a long PATCH is flushed in between, so that a lost line does not lose them.
const FLUSH_INTERVAL_BYTES: u64 = 32 * 1024 * 1024;
/// And after this long on a slow line.
const FLUSH_INTERVAL: Duration = Duration::from_secs(10);
/// A client that sends nothing for this long is gone.
const BODY_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How far an upload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadOffset {
    /// What is flushed to disk.
    pub offset: u64,
    pub length: u64,
    /// When it is given up unless it goes on; `None` once all of it is here.
    pub expires_at: Option<OffsetDateTime>,
}

impl UploadOffset {
    fn complete(length: u64) -> Self {
        Self { offset: length, length, expires_at: None }
    }

    /// Of an upload that takes no more bytes because it has them all; `None` for any other.
    fn of_complete(row: &UploadRow) -> Option<Self> {
        let is_whole = match row.state {
            UploadState::Received | UploadState::Attached | UploadState::Failed => true,
            // It was not needed, or what it was for is gone.
            UploadState::Superseded => row.has_target,
            UploadState::Receiving
            | UploadState::Refused
            | UploadState::Discarded
            | UploadState::Cancelled
            | UploadState::Expired => false,
        };
        is_whole.then(|| Self::complete(row.length.unsigned_abs()))
    }

    fn of_partial(row: &UploadRow) -> Self {
        let (offset, length) = (row.offset.unsigned_abs(), row.length.unsigned_abs());
        Self { offset, length, expires_at: Some(row.expires_at) }
    }
}

impl Uploads {
    /// The true offset. A writer that still holds the upload is believed dead and displaced; what has all its bytes is completed:
    /// whoever hears of it sends no more.
    ///
    /// # Errors
    /// 404, 410 when it is over, 503 on a process that does not hold its bytes; 415 or 422 as for the last byte.
    pub async fn offset(&self, actor: &Actor, id: UploadId) -> Result<UploadOffset> {
        let row = self.own(actor, id).await?;
        if let Some(whole) = UploadOffset::of_complete(&row) {
            return Ok(whole);
        }
        self.check_receivable(&row)?;
        if self.0.writers.request_displacement(id) == Displacement::BeforeFirstByte {
            // After a restart, hashing what is there may take longer than a client waits.
            let row = self.own(actor, id).await?;
            self.check_receivable(&row)?;
            if !row.has_all_bytes() {
                return Ok(UploadOffset::of_partial(&row));
            }
        }
        let writer = self.0.writers.displace(id).await.ok_or_else(displaced_by_another)?;
        // The writer may have brought it to its end.
        let row = self.own(actor, id).await?;
        if let Some(whole) = UploadOffset::of_complete(&row) {
            return Ok(whole);
        }
        self.check_receivable(&row)?;
        if row.has_all_bytes() {
            self.finish_held(id, writer).await?;
            return Ok(UploadOffset::complete(row.length.unsigned_abs()));
        }
        Ok(UploadOffset::of_partial(&row))
    }

    /// How far an upload that was just begun is; whoever writes to it is left alone.
    pub async fn progress(&self, actor: &Actor, id: UploadId) -> Result<UploadOffset> {
        let row = self.own(actor, id).await?;
        Ok(UploadOffset::of_complete(&row).unwrap_or_else(|| UploadOffset::of_partial(&row)))
    }

    /// The same for whoever has to hear it beside an error; `None` for an upload that is over.
    pub async fn so_far(&self, actor: &Actor, id: UploadId) -> Result<Option<UploadOffset>> {
        let row = self.own(actor, id).await?;
        let is_open = row.state == UploadState::Receiving && !row.is_expired && row.has_target;
        if row.has_all_bytes() && is_open {
            return Ok(Some(UploadOffset::complete(row.length.unsigned_abs())));
        }
        Ok(UploadOffset::of_complete(&row).or_else(|| is_open.then(|| UploadOffset::of_partial(&row))))
    }

    fn check_receivable(&self, row: &UploadRow) -> Result<()> {
        // What is over is so everywhere.
        if row.state != UploadState::Receiving || row.is_expired || !row.has_target {
            return Err(upload_is_over().into());
        }
        self.check_spool(row)
    }

    /// # Errors
    /// 503 where another process has the bytes.
    pub(super) fn check_spool(&self, row: &UploadRow) -> Result<()> {
        if row.spool == self.0.spool.id {
            return Ok(());
        }
        Err(Problem::Unavailable("This upload continues on another server. Try again in a few seconds.".into()).into())
    }

    /// Receives bytes from `offset` on. Runs to its end even when the caller goes away: what has arrived is kept. With a
    /// checksum, nothing is kept unless all of the body arrives and matches.
    ///
    /// # Errors
    /// 404; 409 for a wrong offset; 410 when it is over; 413 for more bytes than were announced; 423 while another writer has
    /// it; 503 from a client that fell silent; 415 or 422 when all bytes are here and are not a cover or a track; 460 for a body
    /// that is not as its checksum says; 507 on a full disk.
    pub async fn receive<S, E>(
        &self,
        actor: &Actor,
        id: UploadId,
        offset: u64,
        body: S,
        checksum: Option<Checksum>,
    ) -> Result<UploadOffset>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + Unpin + 'static,
        E: std::error::Error + Send + Sync + 'static,
    {
        // Whoever has written to it before is known, and what else there is to check is checked once nobody else writes.
        let writer = match self.0.writers.try_hold_again(actor.id, id) {
            Some(writer) => writer,
            None => {
                let row = self.own(actor, id).await?;
                if let Some(whole) = UploadOffset::of_complete(&row) {
                    return require_offset(whole, offset);
                }
                self.check_receivable(&row)?;
                self.0.writers.hold_as(actor.id, id).await.ok_or_else(|| Problem::Refused {
                    status: 423,
                    message: "Another connection is sending this file right now.".into(),
                })?
            }
        };
        let uploads = Uploads(Arc::clone(&self.0));
        let actor = actor.clone();
        let task = async move { uploads.receive_held(&actor, id, offset, body, checksum, writer).await };
        self.0.worker.run_to_completion(task).await?
    }

    async fn receive_held<S, E>(
        &self,
        actor: &Actor,
        id: UploadId,
        offset: u64,
        mut body: S,
        checksum: Option<Checksum>,
        mut writer: Writer,
    ) -> Result<UploadOffset>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + Unpin,
        E: std::error::Error + Send + Sync + 'static,
    {
        let Some(opened) = self.open(actor, id, offset).await? else {
            return self.not_opened(actor, id, offset, writer).await;
        };
        let OpenedUpload { length, release, .. } = opened;
        let running = std::mem::take(&mut *writer.running);
        let room =
            DiskAllowance { reserve_bytes: self.0.settings.uploads.reserve_bytes, others_bytes: opened.others_bytes };
        let mut sink = match Sink::open(self.0.spool.path(id), offset, running, checksum, room).await {
            Err(Error::BytesLost { .. }) => return Err(self.give_up_lost(id, release).await?),
            opened => opened?,
        };
        writer.takes_bytes();
        let mut outcome = self.pump(&mut sink, &opened, &mut body, &writer, id).await;
        let counts = sink.verify_checksum(outcome.is_ok()).await?;
        if outcome.is_ok() && !counts {
            let message = "These bytes do not match their checksum. Send them again.".into();
            outcome = Err(Problem::Refused { status: 460, message }.into());
        }
        // Whatever ended it, what has arrived is flushed and counted.
        let mut flushed = sink.flush().await;
        if let Err(error) = flushed {
            // A full disk may have taken a part of it, which counts.
            outcome = outcome.and(Err(error));
            flushed = sink.flush().await;
        }
        let counted = match flushed {
            Ok(flushed) => {
                fail::fail_point!("bytes-flushed");
                self.commit_offset(id, flushed, &opened).await.map(|expires_at| (flushed, expires_at))
            }
            Err(error) => Err(error),
        };
        *writer.running = sink.running();
        if matches!(counted, Err(Error::Problem(Problem::Gone(_)))) {
            self.purge_if_over(id).await?;
            return Err(upload_is_over().into());
        }
        let is_surplus = matches!(outcome, Err(Error::Problem(Problem::Refused { status: 413, .. })));
        if let Ok((flushed, _)) = counted
            && flushed == length
            && !is_surplus
        {
            // However else the request ended: all that was announced is here.
            fail::fail_point!("last-byte-counted");
            self.finish_receiving(id, writer).await?;
            return Ok(UploadOffset::complete(length));
        }
        outcome?;
        let (flushed, expires_at) = counted?;
        Ok(UploadOffset { offset: flushed, length, expires_at: Some(expires_at) })
    }

    async fn pump<S, E>(
        &self,
        sink: &mut Sink,
        opened: &OpenedUpload,
        body: &mut S,
        writer: &Writer,
        id: UploadId,
    ) -> Result<()>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::error::Error + Send + Sync + 'static,
    {
        let (mut unflushed, mut last_flush, shutdown) = (0, Instant::now(), self.0.shutdown());
        loop {
            let next = tokio::select! {
                biased;
                () = writer.displaced.cancelled() => return Err(displaced_by_another().into()),
                () = shutdown.cancelled() => {
                    return Err(Problem::Unavailable("The server is restarting. Everything that arrived is safe; continue in a few seconds.".into()).into());
                }
                next = timeout(BODY_IDLE_TIMEOUT, body.next()) => next,
            };
            let chunk = match next {
                Ok(Some(Ok(chunk))) => chunk,
                Ok(Some(Err(error))) => {
                    // Or trickled: a client that hears of it may go on.
                    tracing::debug!(upload.id = %id, error = ?error, "connection dropped in the middle of a chunk");
                    let message =
                        "The connection dropped before all bytes arrived. Everything that arrived is safe.".into();
                    return Err(Problem::Unavailable(message).into());
                }
                Ok(None) => return sink.complete().await,
                Err(_) => {
                    // Clients of tus take a 408 for the end of the upload, and try again after this.
                    let message = "Nothing arrived for 30 seconds. Send the rest in a new request.".into();
                    return Err(Problem::Unavailable(message).into());
                }
            };
            let room = opened.length - sink.position();
            if chunk.len() as u64 > room {
                let message = "More bytes arrived than were announced. Choose the file again.".into();
                return Err(Problem::Refused { status: 413, message }.into());
            }
            unflushed += chunk.len() as u64;
            sink.push(&chunk).await?;
            if unflushed >= FLUSH_INTERVAL_BYTES || last_flush.elapsed() >= FLUSH_INTERVAL {
                (unflushed, last_flush) = (0, Instant::now());
                if sink.has_checksum() {
                    // Nothing of it counts before all of it is here; it must not expire meanwhile.
                    self.prolong(id).await?;
                } else {
                    let flushed = sink.flush().await?;
                    self.commit_offset(id, flushed, opened).await?;
                }
            }
        }
    }

    /// Opens an upload to whoever holds it, if it goes on at `offset`; prolonged before its file is touched, against the janitor.
    async fn open(&self, actor: &Actor, id: UploadId, offset: u64) -> Result<Option<OpenedUpload>> {
        let Ok(offset) = i64::try_from(offset) else { return Ok(None) };
        let opened = self.0.upload_connections.run(async |connection| {
            // Nothing rests on it but a later end, which the next offset brings again: it waits for no disk.
            let opened = sqlx::query!(
                r#"with async_commit as materialized (select set_config('synchronous_commit', 'off', true))
                   update uploads set expires_at = now() + make_interval(secs => $4), updated_at = now(),
                          writer_epoch = writer_epoch + 1
                   from async_commit
                   where id = $1 and owner_id = $2 and state = 'RECEIVING' and expires_at > now()
                     and offset_bytes = $3 and not is_whole(uploads) and spool_id = $5 and has_target(uploads)
                   returning length_bytes, release_id as "release: ReleaseId", writer_epoch,
                             (select coalesce(sum(o.offset_bytes), 0) from uploads o
                              where o.owner_id = $2 and o.spool_id = $5 and o.id <> $1
                                and needs_its_bytes(o))::bigint as "others_bytes!""#,
                id as UploadId,
                actor.id as UserId,
                offset,
                self.0.settings.uploads.expiry.as_secs_f64(),
                self.0.spool.id as SpoolId
            );
            Ok(opened.fetch_optional(connection).await?)
        });
        Ok(opened.await?.map(|row| OpenedUpload {
            length: row.length_bytes.unsigned_abs(),
            release: row.release,
            epoch: row.writer_epoch,
            others_bytes: row.others_bytes.unsigned_abs(),
        }))
    }

    /// Why not; or completes what is all here.
    async fn not_opened(&self, actor: &Actor, id: UploadId, offset: u64, writer: Writer) -> Result<UploadOffset> {
        let row = self.own(actor, id).await?;
        if let Some(whole) = UploadOffset::of_complete(&row) {
            return require_offset(whole, offset);
        }
        self.check_receivable(&row)?;
        let so_far = UploadOffset::of_partial(&row);
        if so_far.offset != offset {
            return Err(wrong_offset(so_far.offset, offset).into());
        }
        if !row.has_all_bytes() {
            // It was prolonged since it was opened.
            return Err(send_again().into());
        }
        self.finish_receiving(id, writer).await?;
        Ok(UploadOffset::complete(so_far.length))
    }

    /// # Errors
    /// 410 when it was cancelled, has expired or is received by now.
    async fn prolong(&self, id: UploadId) -> Result<()> {
        // As it was opened.
        let prolonged = sqlx::query!(
            "with async_commit as materialized (select set_config('synchronous_commit', 'off', true))
             update uploads set expires_at = now() + make_interval(secs => $2), updated_at = now() from async_commit
             where id = $1 and state = 'RECEIVING' and expires_at > now()",
            id as UploadId,
            self.0.settings.uploads.expiry.as_secs_f64()
        )
        .execute(&self.0.db)
        .await?;
        if prolonged.rows_affected() == 1 { Ok(()) } else { Err(upload_is_over().into()) }
    }

    /// After the flush: from here on these bytes are acknowledged. Until when the upload is kept for the others.
    ///
    /// # Errors
    /// 410 when it was cancelled, or its target removed, while they came.
    async fn commit_offset(&self, id: UploadId, offset: u64, opened: &OpenedUpload) -> Result<OffsetDateTime> {
        let offset = i64::try_from(offset).map_err(|_| Error::Corrupt(format!("offset {offset} of upload {id}")))?;
        let expires_at = self.0.upload_connections.run(async |connection| {
            let expires_at = sqlx::query_scalar!(
                "update uploads set offset_bytes = $2, expires_at = now() + make_interval(secs => $3), updated_at = now()
                 where id = $1 and state = 'RECEIVING' and writer_epoch = $4 and offset_bytes <= $2 returning expires_at",
                id as UploadId,
                offset,
                self.0.settings.uploads.expiry.as_secs_f64(),
                opened.epoch
            );
            Ok(expires_at.fetch_optional(connection).await?)
        });
        match expires_at.await? {
            Some(expires_at) => Ok(expires_at),
            None if self.is_receiving(id).await? => Err(send_again().into()),
            None => Err(upload_is_over().into()),
        }
    }
}

/// What whoever holds an upload has to know of it.
struct OpenedUpload {
    length: u64,
    release: Option<ReleaseId>,
    /// Counts whoever has opened it, this one included.
    epoch: i64,
    /// Bytes of the same artist's other uploads that wait in this spool.
    others_bytes: u64,
}

/// For a client that never heard that its last byte arrived.
///
/// # Errors
/// 409 for one that goes on anywhere else.
fn require_offset(whole: UploadOffset, offset: u64) -> Result<UploadOffset> {
    if offset == whole.offset { Ok(whole) } else { Err(wrong_offset(whole.offset, offset).into()) }
}

/// Of what has arrived since the last offset, nothing counts.
fn send_again() -> Problem {
    Problem::Unavailable("Send these bytes again in a moment.".into())
}

pub(super) fn upload_is_over() -> Problem {
    Problem::Gone("This upload has ended. Choose the file again.".into())
}

fn wrong_offset(true_offset: u64, offset: u64) -> Problem {
    Problem::conflict(format!("This upload continues at byte {true_offset}, not at {offset}."))
}

pub(super) fn displaced_by_another() -> Problem {
    Problem::Refused { status: 423, message: "Another connection has taken over this upload.".into() }
}
