//! Covers and audio for those who may see and hear them.

use std::ops::Range;

use bytes::Bytes;
use futures::stream::BoxStream;

use super::{Backend, Result};
use crate::domain::{
    account::Actor,
    ids::{ObjectId, UserId},
    problem::Problem,
};

pub struct MediaFiles<'a>(pub(super) &'a Backend);

/// A file that the actor may have. Its bytes never change: its id is its version.
#[derive(Clone, Debug)]
pub struct MediaFile {
    key: String,
    pub size_bytes: u64,
    /// Judged by us, never the one that was declared.
    pub content_type: String,
}

impl MediaFiles<'_> {
    /// A cover or a track's audio as it was uploaded.
    ///
    /// # Errors
    /// 404 for what does not exist and for what is neither the actor's own nor seen by an admin.
    pub async fn original(&self, actor: &Actor, id: ObjectId) -> Result<MediaFile> {
        let file = sqlx::query!(
            "select o.key, o.size_bytes, o.content_type
             from objects o join uploads u on u.id = o.upload_id
             where o.id = $1 and o.state in ('ATTACHED', 'RELEASED') and o.parent_id is null and ($2 or u.owner_id = $3)",
            id as ObjectId,
            actor.is_admin(),
            actor.id as UserId
        )
        .fetch_optional(&self.0.db)
        .await?
        .ok_or(Problem::NotFound)?;
        Ok(MediaFile { key: file.key, size_bytes: file.size_bytes.unsigned_abs(), content_type: file.content_type })
    }

    /// What a player is given of an examined track: its audio, or the copy of it that every browser plays.
    ///
    /// # Errors
    /// As `original`.
    pub async fn listening(&self, actor: &Actor, audio: ObjectId) -> Result<MediaFile> {
        let file = sqlx::query!(
            "select o.key, o.size_bytes, o.content_type
             from objects o join uploads u on u.id = o.upload_id
             where ((o.id = $1 and o.role = 'AUDIO' and o.examination = 'PASSED') or (o.parent_id = $1 and o.role = 'LISTENING'))
               and o.state in ('ATTACHED', 'RELEASED') and ($2 or u.owner_id = $3)
             order by o.parent_id limit 1",
            audio as ObjectId,
            actor.is_admin(),
            actor.id as UserId
        )
        .fetch_optional(&self.0.db)
        .await?
        .ok_or(Problem::NotFound)?;
        Ok(MediaFile { key: file.key, size_bytes: file.size_bytes.unsigned_abs(), content_type: file.content_type })
    }

    /// A cover's thumbnail whose longer edge is `edge_px`, or the largest below it.
    ///
    /// # Errors
    /// As `original`.
    pub async fn thumbnail(&self, actor: &Actor, cover: ObjectId, edge_px: i32) -> Result<MediaFile> {
        let file = sqlx::query!(
            "select o.key, o.size_bytes, o.content_type
             from objects o join uploads u on u.id = o.upload_id
             where o.parent_id = $1 and o.role = 'THUMBNAIL' and o.state in ('ATTACHED', 'RELEASED') and ($3 or u.owner_id = $4)
             order by (o.edge_px <= $2) desc, abs(o.edge_px - $2), o.id
             limit 1",
            cover as ObjectId,
            edge_px,
            actor.is_admin(),
            actor.id as UserId
        )
        .fetch_optional(&self.0.db)
        .await?
        .ok_or(Problem::NotFound)?;
        Ok(MediaFile { key: file.key, size_bytes: file.size_bytes.unsigned_abs(), content_type: file.content_type })
    }

    /// Where the storage itself gives the file to whoever has the address, for ten minutes. `None`: `read` it.
    pub async fn address(&self, file: &MediaFile) -> Result<Option<String>> {
        self.0.storage.signed_url(&file.key).await
    }

    /// The bytes, or a range of them.
    pub async fn read(&self, file: &MediaFile, range: Option<Range<u64>>) -> Result<BoxStream<'static, Result<Bytes>>> {
        self.0.storage.read(&file.key, range).await
    }
}
