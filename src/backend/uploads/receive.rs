//! Receives the bytes of an upload. One writer at a time writes, hashes and flushes them in constant memory.

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

/// The number of bytes after which a long PATCH is flushed, so that a lost connection does not lose them.
const FLUSH_INTERVAL_BYTES: u64 = 32 * 1024 * 1024;
/// The time after which a PATCH on a slow connection is flushed.
const FLUSH_INTERVAL: Duration = Duration::from_secs(10);
/// A client that sends nothing for this long counts as gone.
const BODY_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The progress of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadOffset {
    /// The number of bytes that are flushed to disk.
    pub offset: u64,
    pub length: u64,
    /// When the upload expires unless it continues. `None` once all bytes have arrived.
    pub expires_at: Option<OffsetDateTime>,
}

impl UploadOffset {
    fn complete(length: u64) -> Self {
        Self { offset: length, length, expires_at: None }
    }

    /// The progress of an upload that takes no more bytes because it has them all. `None` for any other upload.
    fn of_complete(row: &UploadRow) -> Option<Self> {
        let is_whole = match row.state {
            UploadState::Received | UploadState::Attached | UploadState::Failed => true,
            // With a target, a newer file has replaced it. Without one, its release or track was removed.
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
    /// Returns the true offset of an upload. A writer that still holds the upload is believed dead and displaced. An
    /// upload that has all its bytes is completed, because its client sends no more once it knows the offset.
    ///
    /// # Errors
    /// `NotFound`. `Gone` for an upload that is over. `Unavailable` on a process that does not hold the bytes. `Locked`
    /// if the writer does not stop in time. `Refused` if all bytes are here and are not a valid cover or track.
    pub async fn offset(&self, actor: &Actor, id: UploadId) -> Result<UploadOffset> {
        let row = self.own(actor, id).await?;
        if let Some(whole) = UploadOffset::of_complete(&row) {
            return Ok(whole);
        }
        self.check_receivable(&row)?;
        if self.0.writers.request_displacement(id) == Displacement::BeforeFirstByte {
            // After a restart, the writer may hash the existing bytes for longer than a client waits.
            let row = self.own(actor, id).await?;
            self.check_receivable(&row)?;
            if !row.has_all_bytes() {
                return Ok(UploadOffset::of_partial(&row));
            }
        }
        let writer = self.0.writers.displace(id).await.ok_or_else(displaced_by_another)?;
        // The writer may have completed the upload.
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

    /// Returns the progress of an upload that was just begun, without displacing its writer.
    pub async fn progress(&self, actor: &Actor, id: UploadId) -> Result<UploadOffset> {
        let row = self.own(actor, id).await?;
        Ok(UploadOffset::of_complete(&row).unwrap_or_else(|| UploadOffset::of_partial(&row)))
    }

    /// Returns the progress that a client is told beside an error. `None` for an upload that is over.
    pub async fn so_far(&self, actor: &Actor, id: UploadId) -> Result<Option<UploadOffset>> {
        let row = self.own(actor, id).await?;
        let is_open = row.state == UploadState::Receiving && !row.is_expired && row.has_target;
        if row.has_all_bytes() && is_open {
            return Ok(Some(UploadOffset::complete(row.length.unsigned_abs())));
        }
        Ok(UploadOffset::of_complete(&row).or_else(|| is_open.then(|| UploadOffset::of_partial(&row))))
    }

    fn check_receivable(&self, row: &UploadRow) -> Result<()> {
        // An ended upload is over on every process, so this check comes before the one of the spool.
        if row.state != UploadState::Receiving || row.is_expired || !row.has_target {
            return Err(upload_is_over().into());
        }
        self.check_spool(row)
    }

    /// Checks that this process holds the bytes of an upload.
    ///
    /// # Errors
    /// `Unavailable` if another process holds them.
    pub(super) fn check_spool(&self, row: &UploadRow) -> Result<()> {
        if row.spool == self.0.spool.id {
            return Ok(());
        }
        Err(Problem::Unavailable("This upload continues on another server. Try again in a few seconds.".into()).into())
    }

    /// Receives bytes from `offset` on. Runs to its end even if the caller goes away, and keeps what has arrived. With
    /// a checksum, nothing is kept unless all of the body arrives and matches.
    ///
    /// # Errors
    /// `NotFound`. `Conflict` for a wrong offset. `Gone` for an upload that is over. `LengthExceeded` for more bytes
    /// than were announced. `Locked` while another writer has the upload. `Unavailable` if the client falls silent or
    /// its connection drops. `Refused` if all bytes are here and are not a valid cover or track. `ChecksumMismatch` for
    /// a body that does not match its checksum. `Io` on a full disk.
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
        // An owner who has written to this upload before is remembered, so the row need not be read. `open` checks the
        // rest once this request holds the upload.
        let writer = match self.0.writers.try_hold_again(actor.id, id) {
            Some(writer) => writer,
            None => {
                let row = self.own(actor, id).await?;
                if let Some(whole) = UploadOffset::of_complete(&row) {
                    return require_offset(whole, offset);
                }
                self.check_receivable(&row)?;
                self.0
                    .writers
                    .hold_as(actor.id, id)
                    .await
                    .ok_or_else(|| Problem::Locked("Another connection is sending this file right now.".into()))?
            }
        };
        let uploads = Uploads(Arc::clone(&self.0));
        let actor = actor.clone();
        let task = async move {
            let received = uploads.receive_held(&actor, id, offset, body, checksum, writer).await;
            if let Some(reason) = received.as_ref().err().and_then(reason_of) {
                metrics::counter!("vwaza_upload_failures_total", "reason" => reason).increment(1);
            }
            received
        };
        self.0.tasks.run_to_completion(task).await?
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
            outcome = Err(Problem::ChecksumMismatch(message).into());
        }
        // Whatever ended the body, the bytes that have arrived are flushed and counted.
        let mut flushed = sink.flush().await;
        if let Err(error) = flushed {
            // A full disk may have taken a part of the bytes, which counts.
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
        let is_surplus = matches!(outcome, Err(Error::Problem(Problem::LengthExceeded(_))));
        if let Ok((flushed, _)) = counted
            && flushed == length
            && !is_surplus
        {
            // All announced bytes are here, however the request ended.
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
                    // The connection may also have been too slow. A client that reads the answer may continue.
                    tracing::debug!(upload.id = %id, error = ?error, "connection dropped in the middle of a chunk");
                    let message =
                        "The connection dropped before all bytes arrived. Everything that arrived is safe.".into();
                    return Err(Problem::Unavailable(message).into());
                }
                Ok(None) => return sink.complete().await,
                Err(_) => {
                    // Clients of tus give up after a 408, and retry after this answer.
                    let message = "Nothing arrived for 30 seconds. Send the rest in a new request.".into();
                    return Err(Problem::Unavailable(message).into());
                }
            };
            let room = opened.length - sink.position();
            if chunk.len() as u64 > room {
                let message = "More bytes arrived than were announced. Choose the file again.".into();
                return Err(Problem::LengthExceeded(message).into());
            }
            unflushed += chunk.len() as u64;
            sink.push(&chunk).await?;
            if unflushed >= FLUSH_INTERVAL_BYTES || last_flush.elapsed() >= FLUSH_INTERVAL {
                (unflushed, last_flush) = (0, Instant::now());
                if sink.has_checksum() {
                    // Bytes with a checksum count only once all of them are here. The upload must not expire meanwhile.
                    self.prolong(id).await?;
                } else {
                    let flushed = sink.flush().await?;
                    self.commit_offset(id, flushed, opened).await?;
                }
            }
        }
    }

    /// Opens an upload for the writer that holds it, if it continues at `offset`. Prolongs the upload before its file
    /// is opened, so that the janitor does not expire it.
    async fn open(&self, actor: &Actor, id: UploadId, offset: u64) -> Result<Option<OpenedUpload>> {
        let Ok(offset) = i64::try_from(offset) else { return Ok(None) };
        let opened = self.0.upload_connections.run(async |connection| {
            // Only the expiry and the fence against earlier writers depend on this write, so the transaction commits
            // asynchronously. If a crash of PostgreSQL loses it, nothing is lost with it: the next offset renews the
            // expiry, and the crash has ended the connections that could still deliver an earlier writer's offset.
            let opened = sqlx::query!(
                r#"with async_commit as materialized (select set_config('synchronous_commit', 'off', true))
                   update uploads set expires_at = now() + make_interval(secs => $4), updated_at = now(),
                          writer_epoch = writer_epoch + 1
                   from async_commit
                   where id = $1 and owner_id = $2 and state = 'RECEIVING' and not is_expired(uploads)
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

    /// Explains why an upload was not opened, or completes it if it is whole.
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
            // The upload has been prolonged since `open` failed.
            return Err(send_again().into());
        }
        self.finish_receiving(id, writer).await?;
        Ok(UploadOffset::complete(so_far.length))
    }

    /// Prolongs an upload while bytes arrive that do not count yet.
    ///
    /// # Errors
    /// `Gone` if the upload was cancelled, has expired or is received by now.
    async fn prolong(&self, id: UploadId) -> Result<()> {
        // The transaction commits asynchronously, as in `open`.
        let prolonged = sqlx::query!(
            "with async_commit as materialized (select set_config('synchronous_commit', 'off', true))
             update uploads set expires_at = now() + make_interval(secs => $2), updated_at = now() from async_commit
             where id = $1 and state = 'RECEIVING' and not is_expired(uploads)",
            id as UploadId,
            self.0.settings.uploads.expiry.as_secs_f64()
        )
        .execute(&self.0.db)
        .await?;
        if prolonged.rows_affected() == 1 { Ok(()) } else { Err(upload_is_over().into()) }
    }

    /// Commits the offset after a flush. From here on, these bytes are acknowledged. Returns when the upload expires
    /// unless it continues.
    ///
    /// # Errors
    /// `Gone` if the upload was cancelled, or its target removed, while the bytes came. `Unavailable` if another writer
    /// has opened the upload since.
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

/// Why a request that carries bytes failed, as a label. `None` if the upload is over, is refused or continues elsewhere.
fn reason_of(error: &Error) -> Option<&'static str> {
    match error {
        Error::Problem(Problem::Unavailable(_)) => Some("interrupted"),
        Error::Problem(Problem::Locked(_)) => Some("displaced"),
        Error::Problem(Problem::ChecksumMismatch(_)) => Some("checksum_mismatch"),
        Error::Problem(Problem::LengthExceeded(_)) => Some("too_long"),
        Error::Problem(_) => None,
        error if error.is_disk_full() => Some("disk_full"),
        _ => Some("fault"),
    }
}

/// What the writer of an opened upload needs to know.
struct OpenedUpload {
    length: u64,
    release: Option<ReleaseId>,
    /// How often the upload has been opened, this time included. A later opening fences this writer off.
    epoch: i64,
    /// Bytes of the same artist's other uploads that wait in this spool.
    others_bytes: u64,
}

/// Answers a client that never heard that its last byte arrived.
///
/// # Errors
/// `Conflict` if the client continues anywhere else.
fn require_offset(whole: UploadOffset, offset: u64) -> Result<UploadOffset> {
    if offset == whole.offset { Ok(whole) } else { Err(wrong_offset(whole.offset, offset).into()) }
}

/// Asks for the bytes again: nothing that has arrived since the last offset counts.
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
    Problem::Locked("Another connection has taken over this upload.".into())
}
