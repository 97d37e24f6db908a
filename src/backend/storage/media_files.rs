//! Serves covers, audio and the files derived from them to the artist and to admins.

use std::ops::Range;

use bytes::Bytes;
use futures::stream::BoxStream;

use crate::{
    backend::{Backend, Result},
    domain::{
        account::Actor,
        download::download_name,
        ids::{ObjectId, UserId},
        problem::Problem,
        release::display_title,
    },
};

pub struct MediaFiles<'a>(pub(in crate::backend) &'a Backend);

/// A file that the actor may read. Its bytes never change, so its tag is its version.
#[derive(Clone, Debug)]
pub struct MediaFile {
    key: String,
    pub size_bytes: u64,
    /// The media type that the validation found, never the one that the client declared.
    pub content_type: String,
    /// The name under which an original is downloaded. `None` for a derived file.
    pub saved_as: Option<String>,
}

struct DerivedFile {
    key: String,
    size_bytes: i64,
    content_type: String,
}

impl From<DerivedFile> for MediaFile {
    fn from(file: DerivedFile) -> Self {
        let DerivedFile { key, size_bytes, content_type } = file;
        Self { key, size_bytes: size_bytes.unsigned_abs(), content_type, saved_as: None }
    }
}

impl MediaFile {
    /// The id of the object that holds the bytes. A derived file that is made again has another id.
    pub fn tag(&self) -> &str {
        self.key.rsplit('/').next().unwrap_or(&self.key)
    }
}

impl MediaFiles<'_> {
    /// Finds a cover or the audio of a track, as uploaded.
    ///
    /// # Errors
    /// `NotFound` if there is no such file, or if it is not the actor's own and the actor is no admin.
    pub async fn original(&self, actor: &Actor, id: ObjectId) -> Result<MediaFile> {
        let file = sqlx::query!(
            r#"select o.key, o.size_bytes, o.content_type, u.file_name, r.title as "release?", r.title_version as release_version,
                   t.number as "number?", t.title as "track?", t.title_version as track_version
             from objects o join uploads u on u.id = o.upload_id
             left join releases r on r.id = u.release_id left join tracks t on t.id = u.track_id
             where o.id = $1 and o.state in ('ATTACHED', 'RELEASED') and o.parent_id is null and ($2 or u.owner_id = $3)"#,
            id as ObjectId,
            actor.is_admin(),
            actor.id as UserId
        )
        .fetch_optional(&self.0.db)
        .await?
        .ok_or(Problem::NotFound)?;
        let release = display_title(&file.release.unwrap_or_default(), file.release_version.as_deref());
        let part = match (file.number, file.track.as_deref()) {
            (Some(number), Some("")) => format!("{number:02}"),
            (Some(number), Some(track)) => {
                format!("{number:02} {}", display_title(track, file.track_version.as_deref()))
            }
            _ => "cover".into(),
        };
        let saved_as = download_name(&file.file_name, &format!("{release} - {part}"), &file.content_type);
        Ok(MediaFile {
            key: file.key,
            size_bytes: file.size_bytes.unsigned_abs(),
            content_type: file.content_type,
            saved_as: Some(saved_as),
        })
    }

    /// Finds the file that a player gets for an examined track: the listening copy, which every browser plays, or the
    /// audio itself if there is no copy.
    ///
    /// # Errors
    /// As [`MediaFiles::original`].
    pub async fn listening(&self, actor: &Actor, audio: ObjectId) -> Result<MediaFile> {
        let file = sqlx::query_as!(
            DerivedFile,
            "select o.key, o.size_bytes, o.content_type
             from objects o join uploads u on u.id = o.upload_id
             where ((o.id = $1 and o.role = 'AUDIO' and o.examination = 'PASSED') or (o.parent_id = $1 and o.role = 'LISTENING'))
               and o.state in ('ATTACHED', 'RELEASED') and ($2 or u.owner_id = $3)
             order by (o.state = 'ATTACHED') desc, o.parent_id limit 1",
            audio as ObjectId,
            actor.is_admin(),
            actor.id as UserId
        )
        .fetch_optional(&self.0.db)
        .await?
        .ok_or(Problem::NotFound)?;
        Ok(file.into())
    }

    /// Finds the thumbnail of a cover whose longer edge is `edge_px`, or else the largest one below, or else the
    /// smallest one above.
    ///
    /// # Errors
    /// As [`MediaFiles::original`].
    pub async fn thumbnail(&self, actor: &Actor, cover: ObjectId, edge_px: i32) -> Result<MediaFile> {
        let file = sqlx::query_as!(
            DerivedFile,
            "select o.key, o.size_bytes, o.content_type
             from objects o join uploads u on u.id = o.upload_id
             where o.parent_id = $1 and o.role = 'THUMBNAIL' and o.state in ('ATTACHED', 'RELEASED') and ($3 or u.owner_id = $4)
             order by (o.edge_px <= $2) desc, abs(o.edge_px - $2), (o.state = 'ATTACHED') desc, o.id desc
             limit 1",
            cover as ObjectId,
            edge_px,
            actor.is_admin(),
            actor.id as UserId
        )
        .fetch_optional(&self.0.db)
        .await?
        .ok_or(Problem::NotFound)?;
        Ok(file.into())
    }

    /// The storage's own address for the file, valid for ten minutes for anybody who has it. `None` for local storage:
    /// call [`MediaFiles::read`] instead.
    pub async fn address(&self, file: &MediaFile) -> Result<Option<String>> {
        self.0.storage.signed_url(&file.key, file.saved_as.as_deref()).await
    }

    /// Reads the file, or a range of its bytes.
    pub async fn read(&self, file: &MediaFile, range: Option<Range<u64>>) -> Result<BoxStream<'static, Result<Bytes>>> {
        self.0.storage.read(&file.key, range).await
    }
}
