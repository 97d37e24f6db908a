//! The files of a release as people see them: what a cover or a track holds, what is on its way, and how far it is.

use serde::{Deserialize, Serialize};

use super::{
    ids::{ObjectId, UploadId},
    media::{AudioFacts, CoverFacts, EXAMINATION_VERSION},
    upload::UploadState,
};

/// How far the file of one target (the cover, a track's audio) is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileState {
    Missing,
    /// Bytes are arriving, or waiting to be resumed.
    Receiving,
    /// What arrived was not what it has to be; nothing else is there.
    Refused,
    /// Received whole: safe with us, on its way to the storage.
    Storing,
    /// In the storage; being decoded and measured.
    Examining,
    Ready,
    /// It could not be stored or examined: the artist replaces or removes it, or an admin has it tried again or gives it up.
    Failed,
}

impl FileState {
    pub const ALL: [Self; 7] =
        [Self::Missing, Self::Receiving, Self::Refused, Self::Storing, Self::Examining, Self::Ready, Self::Failed];

    /// The state of a target, from what it holds and the newest upload towards it.
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

/// What the examination of a stored file came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Examination {
    Pending,
    Passed,
    /// Why, in a sentence for the artist.
    Failed(String),
}

/// A file that a cover or a track holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredFile<Facts> {
    pub object: ObjectId,
    /// The file's name on the artist's computer; for display only.
    pub file_name: String,
    pub size_bytes: i64,
    /// Lower-case hexadecimal.
    pub sha256: String,
    pub content_type: String,
    pub examination: Examination,
    /// Known once the examination has passed.
    pub facts: Option<Facts>,
}

pub type CoverFile = StoredFile<CoverFacts>;
pub type AudioFile = StoredFile<AudioFacts>;

/// The newest upload towards a target that is not attached (yet).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingUpload {
    pub id: UploadId,
    pub file_name: String,
    pub offset: i64,
    pub length: i64,
    pub state: UploadState,
    /// Why it was refused, has failed or was given up, or what a received one waits for.
    pub message: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CoverView {
    pub current: Option<CoverFile>,
    pub pending: Option<PendingUpload>,
}

/// In words, where it is known: a file that came later failed, or the one in place did.
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

/// The address of a cover, scaled so that its longer edge has `edge_px` pixels (160, 640 or 1600).
/// `?v=` is the version of the server's own examination and changes with the server; the file may still have the thumbnails of an older one.
/// Their ETag, with which browsers ask each time, keeps a browser from showing old ones.
pub fn cover_url(object: ObjectId, edge_px: u32) -> String {
    format!("/media/cover/{object}/{edge_px}?v={EXAMINATION_VERSION}")
}

/// The address of what a player is given of an examined track's audio. `?v=` is as in [`cover_url`].
pub fn listening_url(audio: ObjectId) -> String {
    format!("/media/listen/{audio}?v={EXAMINATION_VERSION}")
}

/// The address of an object as it was uploaded.
pub fn original_url(object: ObjectId) -> String {
    format!("/media/original/{object}")
}
