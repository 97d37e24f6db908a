//! Receives files from a plain form, with the same ledger. The length of such a file is known only once all of it has
//! arrived.

use std::sync::Arc;

use bytes::Bytes;
use futures::Stream;

use super::{Channel, UploadOffset, Uploads, receive::displaced_by_another};
use crate::{
    backend::{Error, Result, db, fail_points, releases::locked},
    domain::{
        account::Actor,
        ids::{BatchId, ReleaseId, TrackId, UploadId, UserId},
        media::too_large,
        problem::{FileRefusal, Problem},
        titles::{title_from_file_name, titles_from_file_names},
        upload::{BatchMember, BegunUpload, RawIntent, UploadKind, UploadTarget},
    },
};

impl Uploads {
    /// Receives a whole file. `at_most_bytes` is the number of bytes that the request can carry at most. The ledger
    /// counts them until the true length is known. A file that is not a cover or a track is no error here: the
    /// release's page says why.
    ///
    /// # Errors
    /// As [`Uploads::begin`] and [`Uploads::receive`]. An upload whose connection drops is given up.
    pub async fn receive_form<S, E>(
        &self,
        actor: &Actor,
        target: UploadTarget,
        file_name: String,
        batch: BatchId,
        at_most_bytes: u64,
        body: S,
    ) -> Result<()>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + Unpin + 'static,
        E: std::error::Error + Send + Sync + 'static,
    {
        let limits = self.0.media_limits();
        let max_bytes = match target.kind() {
            UploadKind::Cover => limits.max_cover_bytes,
            UploadKind::Audio => limits.max_audio_bytes,
        };
        let intent = RawIntent {
            target,
            file_name,
            length: i64::try_from(at_most_bytes.min(max_bytes)).unwrap_or(i64::MAX),
            // A form cannot resume, so each file is an upload of its own.
            fingerprint: String::new(),
            sha256: None,
        };
        // The names of the files that follow in the form are not known yet.
        let batch_member = Some(BatchMember { batch, title: String::new() });
        let begun = self.begin_in_batch(actor, &intent, Channel::Form, batch_member).await?;
        let (uploads, actor) = (Self(Arc::clone(&self.0)), actor.clone());
        // The task runs to its end even if the browser goes away, so that no half upload stays behind.
        let received = self
            .0
            .tasks
            .run_to_completion(async move { uploads.receive_begun(&actor, target, begun, body).await })
            .await?;
        received.map_err(|error| match error {
            // The form announced no length, so the message is about the size: more came than any file may have.
            Error::Problem(Problem::LengthExceeded(_)) if at_most_bytes > max_bytes => {
                Problem::Refused { kind: FileRefusal::TooLarge, message: too_large(max_bytes) }.into()
            }
            error => error,
        })
    }

    /// Gives the new tracks of a batch the titles that follow from the names of all its files together, now that all
    /// are known. A title that came from tags or from the artist stays.
    pub async fn title_batch(&self, actor: &Actor, batch: BatchId) -> Result<()> {
        let mut tx = db::begin(&self.0.db).await?;
        let files = sqlx::query!(
            r#"select file_name, track_id as "track: TrackId", release_id as "release: ReleaseId",
                      tags ->> 'title' is not null as "has_title!"
               from uploads
               where batch = $1 and owner_id = $2 and kind = 'AUDIO' order by seq"#,
            batch as BatchId,
            actor.id as UserId
        )
        .fetch_all(&mut *tx)
        .await?;
        let Some(release) = files.iter().find_map(|file| file.release) else { return Ok(()) };
        let release = locked::lock_draft(&mut tx, actor, release).await?;
        let names: Vec<&str> = files.iter().map(|file| file.file_name.as_str()).collect();
        let mut has_changed = false;
        for (file, title) in files.iter().zip(titles_from_file_names(&names)) {
            let alone = title_from_file_name(&file.file_name);
            if file.has_title || alone == title {
                continue;
            }
            let titled = sqlx::query!(
                "update tracks set title = $2, updated_at = now() where id = $1 and title = $3",
                file.track as Option<TrackId>,
                title,
                alone
            )
            .execute(&mut *tx)
            .await?;
            has_changed |= titled.rows_affected() > 0;
        }
        if has_changed {
            locked::bump_version(&mut tx, release.id).await?;
            tx.commit().await?;
            self.0.events.release_changed(release.id, release.artist);
        }
        Ok(())
    }

    async fn receive_begun<S, E>(&self, actor: &Actor, target: UploadTarget, begun: BegunUpload, body: S) -> Result<()>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + Unpin + 'static,
        E: std::error::Error + Send + Sync + 'static,
    {
        let received = self.receive(actor, begun.id, 0, body, None).await;
        let completed = match received {
            Ok(received) => self.complete_at_received_length(begun.id, received).await,
            Err(error) => Err(error),
        };
        match (completed, target, begun.track) {
            (Ok(()) | Err(Error::Problem(Problem::Refused { .. })), _, _) => Ok(()),
            (Err(error), UploadTarget::NewTrack(_), Some(track)) => {
                self.0.tracks().remove(actor, track).await?;
                Err(error)
            }
            (Err(error), _, _) => {
                self.cancel(actor, begun.id).await?;
                Err(error)
            }
        }
    }

    /// Takes the bytes that the form has brought as the whole file, while nobody else writes to it.
    ///
    /// # Errors
    /// `Conflict` if another connection has added bytes meanwhile: the file is not the form's any more.
    async fn complete_at_received_length(&self, id: UploadId, received: UploadOffset) -> Result<()> {
        fail_points::wait_at("form-received").await;
        if received.offset == received.length {
            // All of `at_most_bytes` came, so the upload is completed already.
            return Ok(());
        }
        let writer = self.0.writers.displace(id).await.ok_or_else(displaced_by_another)?;
        let cut = sqlx::query!(
            "update uploads set length_bytes = offset_bytes, updated_at = now()
             where id = $1 and state = 'RECEIVING' and offset_bytes > 0 and offset_bytes = $2",
            id as UploadId,
            received.offset.cast_signed()
        )
        .execute(&self.0.db)
        .await?;
        match cut.rows_affected() {
            0 => Err(Problem::conflict("Another connection has sent a part of this file. Choose it again.").into()),
            _ => self.finish_held(id, writer).await,
        }
    }
}
