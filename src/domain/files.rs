//! The files of a release as people see them: the file that a cover or a track holds, the upload that is to replace it,
//! and their states.

use serde::{Deserialize, Serialize};

use super::{
    ids::{ObjectId, UploadId},
    media::{AudioFacts, CoverFacts, EXAMINATION_VERSION},
    upload::UploadState,
};

/// The state of the file of one target (the cover, or the audio of a track).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileState {
    Missing,
    /// Bytes are arriving, or the upload is paused.
    Receiving,
    /// The file that arrived was refused, and the target holds no other file.
    Refused,
    /// All bytes are received and safe on the server, but not in the storage yet.
    Storing,
    /// The file is in the storage and is being examined.
    Examining,
    Ready,
    /// The file couldn't be stored or examined. Either the artist replaces or removes it, or an admin retries or
    /// discards it.
    Failed,
}

impl FileState {
    pub const ALL: [Self; 7] =
        [Self::Missing, Self::Receiving, Self::Refused, Self::Storing, Self::Examining, Self::Ready, Self::Failed];

    /// Derives the state of a target from the file that it holds and its newest upload.
    pub fn of(attached: Option<&Examination>, pending: Option<UploadState>) -> Self {
        match (pending, attached) {
            (Some(UploadState::Receiving), _) => Self::Receiving,
            (Some(UploadState::Received), _) => Self::Storing,
            (Some(UploadState::Failed), _) => Self::Failed,
            (_, Some(Examination::Pending)) => Self::Examining,
            (_, Some(Examination::Passed)) => Self::Ready,
            (_, Some(Examination::Failed(_))) => Self::Failed,
            (Some(UploadState::Refused), None) => Self::Refused,
            (Some(UploadState::Discarded), None) => Self::Failed,
            (_, None) => Self::Missing,
        }
    }
}

/// The result of the examination of a stored file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Examination {
    Pending,
    Passed,
    /// The reason, in a sentence for the artist.
    Failed(String),
}

/// A file that a cover or a track holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredFile<Facts> {
    pub object: ObjectId,
    /// The file's name on the artist's computer, for display only.
    pub file_name: String,
    pub size_bytes: i64,
    /// The SHA-256 of the file, in lower-case hexadecimal.
    pub sha256: String,
    pub content_type: String,
    pub examination: Examination,
    /// `None` until the examination has passed.
    pub facts: Option<Facts>,
}

pub type CoverFile = StoredFile<CoverFacts>;
pub type AudioFile = StoredFile<AudioFacts>;

/// The newest upload for a target, if its file isn't attached (yet).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingUpload {
    pub id: UploadId,
    pub file_name: String,
    pub offset: i64,
    pub length: i64,
    pub state: UploadState,
    /// Why the upload was refused, failed or was discarded, or what a received upload waits for.
    pub message: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CoverView {
    pub current: Option<CoverFile>,
    pub pending: Option<PendingUpload>,
}

/// The reason for a failure in words, if it is known. The reason of the newer upload comes before that of the file in
/// place.
pub(crate) fn why_failed<'a>(
    pending: Option<&'a PendingUpload>,
    examination: Option<&'a Examination>,
) -> Option<&'a str> {
    let of_upload = pending.and_then(|upload| upload.message.as_deref());
    of_upload.or(match examination {
        Some(Examination::Failed(reason)) => Some(reason),
        _ => None,
    })
}

impl CoverView {
    pub fn why_failed(&self) -> Option<&str> {
        why_failed(self.pending.as_ref(), self.current.as_ref().map(|file| &file.examination))
    }

    pub fn state(&self) -> FileState {
        FileState::of(
            self.current.as_ref().map(|file| &file.examination),
            self.pending.as_ref().map(|upload| upload.state),
        )
    }
}

/// Makes the URL of a cover, scaled so that its longer edge has `edge_px` pixels (160, 640 or 1600).
///
/// The parameter `v` is the server's [`EXAMINATION_VERSION`], so it changes with the server. The file may still have
/// the thumbnails of an older examination. Browsers revalidate with the ETag of the thumbnail each time, so they never
/// keep showing an old one.
pub fn cover_url(object: ObjectId, edge_px: u32) -> String {
    format!("/media/cover/{object}/{edge_px}?v={EXAMINATION_VERSION}")
}

/// Makes the URL of the audio that players get of an examined track. The parameter `v` is as in [`cover_url`].
pub fn listening_url(audio: ObjectId) -> String {
    format!("/media/listen/{audio}?v={EXAMINATION_VERSION}")
}

/// Makes the URL of an object as it was uploaded.
pub fn original_url(object: ObjectId) -> String {
    format!("/media/original/{object}")
}
